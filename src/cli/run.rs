//! `millstream run`: a checked pipeline, batch by batch, until it ends or is told to.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use millstream_dsl::{SourceMap, Span};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::args::Run;
use super::findings::{self, Counts};
use super::terminal::Terminal;
use super::watch::{Watch, Watching};
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::check::Program;
use crate::engine::{self, BatchReport, EngineError, MeterCount, Report, RunSettings, Summary};
use crate::load::STDIN;
use crate::model::time::show_duration;
use crate::optimize::optimize;
use crate::plan::operator::TaskError;

/// What a shell calls a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Checks, then runs. What the pipeline prints goes to standard output, everything about it to standard error.
pub(crate) fn run(args: &Run, terminal: &mut Terminal) -> Outcome {
    let overrides = args.set.iter().cloned().collect();
    let found = findings::find(&args.file, &builtins::catalog(), &overrides);
    let exit = found.exit(false);
    let Counts { errors, warnings } = found.counts();
    if errors > 0 {
        let said = found.text(terminal.error_look);
        terminal.aside(&said);
    } else if warnings > 0 {
        let name = args.file.display();
        terminal.aside(&format!("{name}: {}; millstream check {name} shows them\n", found.counts()));
    }
    let Some(plan) = found.plan.filter(|_| errors == 0) else { return Ok(exit) };
    let stop = Arc::new(AtomicBool::new(false));
    end_on_signals(&stop).map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let sources = found.program.sources.clone();
    let watch = watched(args, found.program, terminal)?;
    let reloads = watch.as_ref().map(Watch::reloads);
    let settings = RunSettings { once: args.once, batches: args.batches, stop, reloads, ..RunSettings::default() };
    let ended_in = engine::run(&optimize(plan).plan, settings, &mut Notes { terminal });
    match ended_in {
        Ok(summary) => {
            terminal.aside(&ended(&summary));
            Ok(Exit::Clean)
        }
        Err(error) => {
            let sources = watch.as_ref().map_or(sources, Watch::sources);
            failed(&error, &sources, terminal)
        }
    }
}

/// The pipeline's text under watch; none where it is run once, or comes from a pipe.
fn watched(args: &Run, program: Program, terminal: &Terminal) -> Result<Option<Watch>, Failure> {
    if args.once || args.no_reload || args.file == Path::new(STDIN) {
        return Ok(None);
    }
    let again = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&again))
        .map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let say = Arc::new(|text: &str| {
        // Who does not listen there misses it.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    });
    let overrides = args.set.iter().cloned().collect();
    let watching = Watching { file: args.file.clone(), overrides, look: terminal.error_look, say, again };
    Ok(Some(Watch::start(watching, program)))
}

/// The first signal lets the batch at hand end, the second one does not.
fn end_on_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

fn failed(error: &EngineError, sources: &SourceMap, terminal: &mut Terminal) -> Outcome {
    match error {
        EngineError::Refused(refusals) => {
            let lines =
                refusals.iter().map(|refusal| format!("\n  {}: {}", place(refusal.span, sources), refusal.message));
            terminal.complain(&format!("the pipeline has no mistakes, but cannot be run{}", lines.collect::<String>()));
        }
        EngineError::Failed { error: TaskError::Stop(why), .. } if why.contains("Broken pipe") => {
            return Err(Failure::NobodyListens);
        }
        EngineError::Failed { span, .. } => terminal.complain(&format!("{}: {error}", place(*span, sources))),
    }
    Ok(Exit::Mistakes)
}

/// `file:line:column`
fn place(span: Span, sources: &SourceMap) -> String {
    let Some(file) = sources.get(span.file) else { return "the pipeline".into() };
    let at = file.line_column(span.start);
    format!("{}:{}:{}", file.name, at.line, at.column)
}

/// What came of a run, in a line, and a line for what did not go the straight way.
fn ended(summary: &Summary) -> String {
    let batches = if summary.batches == 1 { "1 batch".into() } else { format!("{} batches", summary.batches) };
    let rows_in: u64 = summary.sources.iter().map(|source| source.rows).sum();
    let rows_out: u64 = summary.sinks.iter().map(|sink| sink.rows).sum();
    let millis = i64::try_from(summary.took.as_millis()).unwrap_or(i64::MAX / 1000);
    let mut text = format!("{batches}, {rows_in} rows in, {rows_out} rows out, {}\n", show_duration(millis * 1000));
    let late: u64 = summary.operators.iter().map(|operator| operator.late).sum();
    let rejected: u64 = summary.sinks.iter().map(|sink| sink.rejected).sum();
    let astray = [(summary.bad_rows(), "bad"), (late, "late"), (rejected, "rejected")];
    let astray: Vec<String> = astray.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !astray.is_empty() {
        text.push_str(&format!("rows that did not go the straight way: {}\n", astray.join(", ")));
    }
    for MeterCount { stream, measured } in &summary.meters {
        let value = measured.so_far.map_or_else(|| "no value".to_owned(), |value| value.to_string());
        text.push_str(&format!("{} of {stream}: {value}\n", measured.name));
    }
    text
}

/// Passes on what the engine has to say.
struct Notes<'a> {
    terminal: &'a mut Terminal,
}

impl Report for Notes<'_> {
    fn batch(&mut self, _: &BatchReport) {}

    fn note(&mut self, text: &str) {
        self.terminal.aside(&format!("{text}\n"));
    }
}
