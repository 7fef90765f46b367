//! All programs at all workloads, in turn, each result checked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::digest::{self, Digest};
use crate::expect;
use crate::figures::{Figure, Run, table};
use crate::generate::{self, Size};
use crate::limit::files_of;
use crate::measure::{Line, measure};
use crate::programs::{self, Places, Program};
use crate::workload::Workload;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// At what.
    pub workloads: Vec<&'static Workload>,
    /// Who.
    pub programs: Vec<Program>,
    /// On how many cores. Peers are measured with the most of them only.
    pub cores: Vec<usize>,
    /// How often.
    pub runs: usize,
    /// With how much input.
    pub size: Size,
    /// Seconds over which idleness is measured, where it is.
    pub idle: Option<u64>,
    /// Where input is kept.
    pub data: PathBuf,
    /// Where everything is.
    pub places: Places,
}

/// What came of a workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Which.
    pub workload: &'static Workload,
    /// Of everyone who could be measured.
    pub figures: Vec<Figure>,
    /// Who could not be measured or was wrong, and why.
    pub skipped: Vec<(Program, String)>,
}

/// Measures everything; `say` is told of what happens.
pub fn compare(plan: &Plan, mut say: impl FnMut(&str)) -> io::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for workload in &plan.workloads {
        say(&format!("\n{}: {}\n", workload.name, workload.does));
        let outcome = one(plan, workload, &mut say)?;
        say(&table(&outcome.figures));
        for (program, why) in &outcome.skipped {
            say(&format!("without {}: {why}\n", program.name()));
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn one(plan: &Plan, workload: &'static Workload, say: &mut impl FnMut(&str)) -> io::Result<Outcome> {
    let input = fs::canonicalize(generate::ensure(&plan.data, workload.input, plan.size)?)?;
    let weight = weight(&input)?;
    let most = plan.cores.iter().max().copied().unwrap_or(1);
    let mut entrants: Vec<(Program, usize, Vec<Run>)> = Vec::new();
    let mut skipped: Vec<(Program, String)> = Vec::new();
    for program in &plan.programs {
        if let Some(why) = programs::missing(*program, workload, &plan.places) {
            skipped.push((*program, why));
            continue;
        }
        let ours = matches!(program, Program::Millstream | Program::Durable | Program::Limit);
        let cores = plan.cores.iter().filter(|cores| ours || **cores == most);
        entrants.extend(cores.map(|cores| (*program, *cores, Vec::new())));
    }
    for round in 0..plan.runs {
        for (program, cores, runs) in &mut entrants {
            if skipped.iter().any(|(wrong, _)| wrong == program) {
                continue;
            }
            match run(plan, workload, &input, *program, *cores) {
                Ok(run) => runs.push(run),
                Err(e) => skipped.push((*program, e.to_string())),
            }
        }
        if round == 0 {
            let first: Vec<String> = entrants
                .iter()
                .filter_map(|(program, cores, runs)| {
                    Some(format!("{}/{cores} {:.1} ms", program.name(), runs.first()?.steady()))
                })
                .collect();
            say(&format!("  first of {} runs: {}\n", plan.runs, first.join(", ")));
        }
    }
    entrants.retain(|(program, _, runs)| !runs.is_empty() && skipped.iter().all(|(wrong, _)| wrong != program));
    let figures = entrants.iter().map(|(program, cores, runs)| Figure::of(*program, *cores, runs, weight)).collect();
    Ok(Outcome { workload, figures, skipped })
}

/// One run, whose result is what must come out.
fn run(plan: &Plan, workload: &Workload, input: &Path, program: Program, cores: usize) -> io::Result<Run> {
    let line = programs::prepare(program, workload, input, cores, &plan.places)?;
    let needed = measure(&plan.places.own, &line, cores)?;
    let told = programs::told(program, &line.folder)?;
    let expected = expect::digest(workload, input, program.closes())?;
    let found = digest::of_folder(&programs::rows_in(program, &line.folder), workload.columns)?;
    if found != expected {
        let Digest { rows, .. } = found;
        let why = format!(
            "its result is wrong: {rows} rows where {} must come, or others; see {}",
            expected.rows,
            line.folder.display()
        );
        return Err(io::Error::other(why));
    }
    Ok(Run { needed, told })
}

/// What Millstream needs while there is nothing to do: its share of a core, and bytes of memory.
pub fn idle(plan: &Plan, seconds: u64) -> io::Result<(f64, u64)> {
    let folder = plan.places.results.join("idle");
    fs::create_dir_all(folder.join("in"))?;
    fs::copy(plan.places.home.join("workloads/idle.stream"), folder.join("idle.stream"))?;
    let words = [&plan.places.millstream.display().to_string(), "run", "idle.stream", "--no-reload", "--for"];
    let mut words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    words.push(format!("{seconds}s"));
    let [short, long] = [1, seconds + 1].map(|seconds| {
        let last = words.len() - 1;
        words[last] = format!("{seconds}s");
        measure(&plan.places.own, &Line { words: words.clone(), env: Vec::new(), folder: folder.clone() }, 2)
    });
    // What starting costs is in both.
    let (short, long) = (short?, long?);
    let share = (long.cpu_seconds - short.cpu_seconds) / ((long.millis - short.millis) / 1000.0);
    Ok((share.max(0.0), long.peak_bytes))
}

/// How many rows and bytes a batch has.
fn weight(input: &Path) -> io::Result<(f64, f64)> {
    let files = files_of(input)?;
    let (mut rows, mut bytes) = (0, 0);
    for file in &files {
        let text = fs::read(file)?;
        rows += memchr::memchr_iter(b'\n', &text).count();
        bytes += text.len();
    }
    let count = files.len().max(1) as f64;
    Ok((rows as f64 / count, bytes as f64 / count))
}

/// Everything as JSON, with the machine's size.
pub fn json(plan: &Plan, outcomes: &[Outcome], idle: Option<(f64, u64)>) -> Value {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let outcome = |outcome: &Outcome| {
        json!({
            "workload": outcome.workload.name,
            "figures": outcome.figures.iter().map(Figure::json).collect::<Vec<_>>(),
            "skipped": outcome.skipped.iter().map(|(program, why)| json!({"program": program.name(), "why": why})).collect::<Vec<_>>(),
        })
    };
    json!({
        "machine": {
            "cores": std::thread::available_parallelism().map_or(1, usize::from),
            "processor": processor.map(|(_, name)| name),
            "memory": memory.map(str::trim),
        },
        "input": {"files": plan.size.files, "lines": plan.size.lines},
        "runs": plan.runs,
        "idle": idle.map(|(share, bytes)| json!({"share_of_a_core": share, "peak_bytes": bytes})),
        "workloads": outcomes.iter().map(outcome).collect::<Vec<_>>(),
    })
}
