//! `millstream check`: every mistake of several pipelines, for people or for editors.

use std::io::Write;

use super::args::{Check, ReportFormat};
use super::edges;
use super::findings::{self, Findings};
use super::json;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::plan::Catalog;

/// Checks each file by itself; the worst outcome decides.
pub(crate) fn check(args: &Check, terminal: &mut Terminal) -> Outcome {
    let catalog = builtins::catalog();
    let overrides = args.set.iter().cloned().collect();
    let mut worst = Exit::Clean;
    for path in &args.files {
        let found = findings::find(path, &catalog, &overrides);
        match args.format {
            ReportFormat::Text => text(&path.display().to_string(), &found, &catalog, terminal)?,
            ReportFormat::Json => objects(&found, terminal)?,
        }
        worst = worst.max(found.exit(args.deny.is_some()));
    }
    Ok(worst)
}

fn text(name: &str, found: &Findings, catalog: &Catalog, terminal: &mut Terminal) -> Result<(), Failure> {
    let problems = found.text(terminal.look);
    let counts = found.counts();
    let out = terminal.out();
    out.write_all(problems.as_bytes())?;
    writeln!(out, "{name}: {counts}")?;
    if let Some(plan) = found.plan.as_ref().filter(|_| counts.errors == 0) {
        out.write_all(edges::table(plan, catalog).as_bytes())?;
    }
    Ok(())
}

fn objects(found: &Findings, terminal: &mut Terminal) -> Result<(), Failure> {
    for problem in &found.problems {
        writeln!(terminal.out(), "{}", json::object(problem, &found.program.sources))?;
    }
    Ok(())
}
