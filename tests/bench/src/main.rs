//! The command: `millstream-bench compare`, and what it calls itself for (`measure`, `limit`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use millstream_bench::chart;
use millstream_bench::compare::{Plan, compare, idle, json};
use millstream_bench::figures::shown;
use millstream_bench::generate::{self, Kind, Size};
use millstream_bench::limit;
use millstream_bench::measure::wrapped;
use millstream_bench::programs::{Places, Program};
use millstream_bench::workload::{self, Workload};

const USAGE: &str = "millstream-bench compare [OPTIONS]     measures, prints a table, writes figures.json and chart.svg
  --workload NAME   only this one; may be repeated
  --program NAME    only this one; may be repeated
  --runs N          how often each is measured (5)
  --cores N         on so many cores; may be repeated (1 and 2)
  --small           little input, a run of each
  --files N         so many files (10)
  --lines N         so many lines a file (400000)
  --data DIR        where input is kept (target/bench/data)
  --results DIR     where results go (target/bench/results)
  --millstream FILE the binary (target/release/millstream)
  --peers DIR       a virtual environment with duckdb, polars and pyspark
millstream-bench generate KIND DIR [FILES LINES]   words, orders, tiny or nexmark
millstream-bench limit WORKLOAD INPUT OUT THREADS   the hand-written program
millstream-bench list";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (verb, rest) = words.split_first().map_or(("", &[][..]), |(verb, rest)| (verb.as_str(), rest));
    let done = match verb {
        "compare" => measured(rest),
        "measure" => rest.split_first().ok_or_else(usage).and_then(|(told, line)| wrapped(Path::new(told), line)),
        "limit" => limited(rest),
        "generate" => generated(rest),
        "list" => {
            workload::ALL.iter().for_each(|workload| say(&format!("{:<20} {}\n", workload.name, workload.does)));
            Ok(0)
        }
        _ => Err(usage()),
    };
    match done {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(e) => {
            complain(&format!("{e}\n"));
            ExitCode::from(2)
        }
    }
}

fn usage() -> io::Error {
    io::Error::other(USAGE)
}

/// Code 1 where somebody's result was wrong or nobody could be measured.
fn measured(words: &[String]) -> io::Result<i32> {
    let plan = plan(words)?;
    fs::create_dir_all(&plan.places.results)?;
    let outcomes = compare(&plan, say)?;
    let idle = plan.idle.map(|seconds| idle(&plan, seconds)).transpose()?;
    if let Some((share, bytes)) = idle {
        say(&format!("\nidle: {:.2} % of a core, {} of memory\n", share * 100.0, shown(bytes as f64, "B")));
    }
    let figures = json(&plan, &outcomes, idle);
    let machine = &figures["machine"];
    let machine = format!("{} cores, {}", machine["cores"], machine["memory"].as_str().unwrap_or("memory unknown"));
    fs::write(plan.places.results.join("figures.json"), format!("{figures:#}\n"))?;
    fs::write(plan.places.results.join("chart.svg"), chart::svg(&outcomes, &machine))?;
    say(&format!("\n{0}/figures.json and {0}/chart.svg are written\n", plan.places.results.display()));
    let ours = |program: &Program| matches!(program, Program::Millstream | Program::Durable | Program::Limit);
    let wrong = outcomes.iter().any(|o| o.figures.is_empty() || o.skipped.iter().any(|(program, _)| ours(program)));
    Ok(i32::from(wrong))
}

fn plan(words: &[String]) -> io::Result<Plan> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = std::env::current_exe()?;
    // target/release/millstream-bench
    let target = own.parent().and_then(Path::parent).unwrap_or(Path::new("target")).to_owned();
    let places = Places {
        millstream: own.with_file_name("millstream"),
        home: home.to_owned(),
        peers: None,
        results: target.join("bench/results"),
        own,
    };
    let mut plan = Plan {
        workloads: Vec::new(),
        programs: Vec::new(),
        cores: Vec::new(),
        runs: 5,
        size: Size::FULL,
        idle: None,
        data: target.join("bench/data"),
        places,
    };
    let mut idle = false;
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--small" {
            plan.size = Size::SMALL;
            plan.runs = 1;
            continue;
        }
        let value = words.next().ok_or_else(usage)?;
        let number = || value.parse::<usize>().ok().filter(|n| *n > 0).ok_or_else(usage);
        match word.as_str() {
            "--workload" if value == "idle" => idle = true,
            "--workload" => plan.workloads.push(of_name(value)?),
            "--program" => plan.programs.push(Program::named(value).ok_or_else(usage)?),
            "--runs" => plan.runs = number()?,
            "--cores" => plan.cores.push(number()?),
            "--files" => plan.size.files = number()?,
            "--lines" => plan.size.lines = number()?,
            "--data" => plan.data = PathBuf::from(value),
            "--results" => plan.places.results = std::path::absolute(value)?,
            "--millstream" => plan.places.millstream = std::path::absolute(value)?,
            "--peers" => plan.places.peers = Some(std::path::absolute(value)?),
            _ => return Err(usage()),
        }
    }
    if idle || plan.workloads.is_empty() {
        plan.idle = Some(if plan.size == Size::SMALL { 1 } else { 10 });
    }
    if plan.workloads.is_empty() && !idle {
        plan.workloads = workload::ALL.iter().collect();
    }
    if plan.programs.is_empty() {
        plan.programs = Program::ALL.to_vec();
    }
    if plan.cores.is_empty() {
        plan.cores = vec![1, 2];
    }
    if !plan.places.millstream.is_file() {
        let path = plan.places.millstream.display().to_string();
        return Err(io::Error::other(format!("no {path}: cargo build --release, or give --millstream")));
    }
    Ok(plan)
}

fn of_name(name: &str) -> io::Result<&'static Workload> {
    workload::named(name).ok_or_else(|| io::Error::other(format!("no workload is called `{name}`")))
}

fn limited(words: &[String]) -> io::Result<i32> {
    let [workload, input, out, threads] = words else { return Err(usage()) };
    limit::run(workload, Path::new(input), Path::new(out), threads.parse().map_err(|_| usage())?)?;
    Ok(0)
}

fn generated(words: &[String]) -> io::Result<i32> {
    let (kind, folder, files, lines) = match words {
        [kind, folder] => (kind, folder, Size::FULL.files, Size::FULL.lines),
        [kind, folder, files, lines] => {
            let number = |text: &String| text.parse::<usize>().map_err(|_| usage());
            (kind, folder, number(files)?, number(lines)?)
        }
        _ => return Err(usage()),
    };
    let kinds = [Kind::Words, Kind::Orders, Kind::Tiny, Kind::Nexmark];
    let kind = kinds.into_iter().find(|known| known.folder() == kind).ok_or_else(usage)?;
    let made = generate::ensure(Path::new(folder), kind, Size { files, lines })?;
    say(&format!("{}\n", made.display()));
    Ok(0)
}

#[expect(clippy::print_stdout, reason = "what was measured is what this is for")]
fn say(text: &str) {
    print!("{text}");
}

#[expect(clippy::print_stderr, reason = "why nothing was measured")]
fn complain(text: &str) {
    eprint!("{text}");
}
