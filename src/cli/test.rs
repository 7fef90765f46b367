//! `millstream test`: the test blocks of several pipelines, run in virtual time on all cores.

mod diff;
mod json;
mod junit;
mod text;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use millstream_dsl::ast::StatementKind;
use millstream_dsl::{Diagnostic, SourceMap};

use super::args::{Test, TestFormat};
use super::findings::{self, Findings};
use super::fmt::stream_files;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::plan::Catalog;
use crate::plan::scenario::Scenario;
use crate::trial::{self, Failed, Setting};

/// Runs the tests of each file; the worst outcome decides.
pub(crate) fn test(args: &Test, terminal: &mut Terminal) -> Outcome {
    let files = files(&args.files)?;
    match args.format {
        TestFormat::Text => all(args, &files, &mut text::Text::new(terminal)),
        TestFormat::Json => all(args, &files, &mut json::Json::new(terminal)),
        TestFormat::Junit => all(args, &files, &mut junit::Junit::new(terminal)),
    }
}

/// Who is told, in the order of files and tests.
trait Tell {
    /// A file was read; with mistakes its tests are not run.
    fn file(&mut self, name: &str, found: &Findings, tests: usize) -> Result<(), Failure>;
    /// A test of that file is over.
    fn test(&mut self, verdict: &Verdict<'_>) -> Result<(), Failure>;
    /// All of them are.
    fn end(&mut self, total: &Total) -> Result<(), Failure>;
}

/// What came of a test.
struct Verdict<'a> {
    /// The file's name as it was given.
    file: &'a str,
    /// What messages point into.
    sources: &'a SourceMap,
    /// The test.
    scenario: &'a Scenario,
    /// How many batches it ran, or why it failed.
    outcome: Result<u64, Box<Failed>>,
    /// How long it took, in real time.
    took: Duration,
}

/// How it went.
#[derive(Debug, Default)]
struct Total {
    passed: usize,
    failed: usize,
    /// Left out by `--filter`.
    filtered: usize,
    /// Files with mistakes, and files that cannot be read.
    broken: usize,
    took: Duration,
}

fn all(args: &Test, files: &[Wanted], out: &mut dyn Tell) -> Outcome {
    let started = Instant::now();
    let catalog = builtins::catalog();
    let mut worst = Exit::Clean;
    let mut total = Total::default();
    for file in files {
        worst = worst.max(one(args, file, &catalog, &mut total, out)?);
    }
    total.took = started.elapsed();
    out.end(&total)?;
    Ok(worst)
}

fn one(args: &Test, file: &Wanted, catalog: &Catalog, total: &mut Total, out: &mut dyn Tell) -> Outcome {
    let overrides = args.set.iter().cloned().collect();
    let path = file.path.as_path();
    let found = findings::find(path, catalog, &overrides);
    if file.in_folder && is_library(&found) {
        return Ok(Exit::Clean);
    }
    let name = path.display().to_string();
    let exit = found.exit(false);
    let wanted = |test: &&Scenario| args.filter.as_ref().is_none_or(|text| test.name.contains(text));
    let tests: Vec<&Scenario> = found.tests.iter().filter(wanted).collect();
    out.file(&name, &found, tests.len())?;
    let Some(plan) = found.plan.as_ref().filter(|_| exit == Exit::Clean) else {
        total.broken += 1;
        return Ok(exit);
    };
    total.filtered += found.tests.len() - tests.len();
    let failed = total.failed;
    let base = path.parent().unwrap_or(Path::new(""));
    let setting = Setting { plan, base, formats: &catalog.formats };
    in_parallel(setting, &tests, |test, (outcome, took)| {
        *if outcome.is_ok() { &mut total.passed } else { &mut total.failed } += 1;
        out.test(&Verdict { file: &name, sources: &found.program.sources, scenario: tests[test], outcome, took })
    })?;
    Ok(if total.failed > failed { Exit::Mistakes } else { Exit::Clean })
}

/// What a test gives back and how long it took.
type Ran = (Result<u64, Box<Failed>>, Duration);

/// Runs tests on all cores and hands on what came of them in the order of the text, each as soon as it is its turn.
fn in_parallel(
    setting: Setting<'_>,
    tests: &[&Scenario],
    mut hand_on: impl FnMut(usize, Ran) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let (done, over) = mpsc::channel();
    std::thread::scope(|threads| {
        for _ in 0..cores.min(tests.len()) {
            let (done, next) = (done.clone(), &next);
            threads.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(test) = tests.get(number) else { return };
                    let started = Instant::now();
                    let outcome = trial::run(setting, test);
                    if done.send((number, (outcome, started.elapsed()))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut early: Vec<Option<Ran>> = tests.iter().map(|_| None).collect();
        let mut turn = 0;
        for (number, ran) in over {
            early[number] = Some(ran);
            while let Some(ran) = early.get_mut(turn).and_then(Option::take) {
                hand_on(turn, ran)?;
                turn += 1;
            }
        }
        Ok(())
    })
}

/// The problem with no more underlined than the first line of the step: an expectation's rows are many lines.
fn at_first_line(failed: &Failed, sources: &SourceMap) -> Diagnostic {
    let mut problem = failed.problem.clone();
    if let Some(first) = problem.labels.first_mut()
        && let Some(file) = sources.get(first.span.file)
    {
        let end = u32::try_from(file.line_range(first.span.start).end).unwrap_or(u32::MAX);
        first.span.end = first.span.end.min(end);
    }
    problem
}

/// A file whose tests are wanted.
struct Wanted {
    path: PathBuf,
    /// It was not named, but lies in a folder that was.
    in_folder: bool,
}

/// Files as they were given, folders as the files in them.
fn files(given: &[PathBuf]) -> Result<Vec<Wanted>, Failure> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            files.extend(stream_files(path)?.into_iter().map(|path| Wanted { path, in_folder: true }));
        } else {
            files.push(Wanted { path: path.clone(), in_folder: false });
        }
    }
    Ok(files)
}

/// Whether a file is there to be imported: it has no `pipeline` statement.
fn is_library(found: &Findings) -> bool {
    let statements = found.program.files.first().map(|file| file.tree.statements.as_slice()).unwrap_or_default();
    !statements.is_empty() && !statements.iter().any(|s| matches!(s.kind, StatementKind::Pipeline { .. }))
}
