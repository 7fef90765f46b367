//! `millstream plan NEW --against OLD`: what a new text would do to a pipeline that runs by an old one.

use std::io::Write;
use std::path::Path;

use crate::builtins;
use crate::cli::args;
use crate::cli::findings;
use crate::cli::table::aligned;
use crate::cli::terminal::Terminal;
use crate::cli::{Exit, Failure, Outcome};
use crate::plan::Plan;
use crate::plan::graph::Work;
use crate::reload::{Changes, compare};

/// Checks the old text too, compares, prints.
pub(super) fn against(plan: &Plan, old: &Path, args: &args::Plan, terminal: &mut Terminal) -> Outcome {
    if old.is_dir() {
        return Err(Failure::new(format!(
            "`{}` is a folder: a plan cannot be compared with a checkpoint yet, give the file that it was started with",
            old.display()
        )));
    }
    let overrides = args.set.iter().cloned().collect();
    let mut before = match findings::find(old, &builtins::catalog(), &overrides).plan_or_complain(terminal) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    at_home(&mut before, folder(old), folder(&args.file));
    let text = told(&compare(&before, plan));
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

/// The table and when it takes effect.
pub(in crate::cli) fn told(changes: &Changes) -> String {
    format!("{}{}\n", aligned(&changes.rows(), ""), changes.when())
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// The old text is taken as if it lay where the new one does: a copy of it may be kept anywhere.
fn at_home(plan: &mut Plan, from: &Path, to: &Path) {
    for id in plan.ordered() {
        if let Work::Source(endpoint) | Work::Table(endpoint) | Work::Sink(endpoint) = &mut plan.node_mut(id).work
            && let Ok(below) = endpoint.base.strip_prefix(from)
        {
            endpoint.base = to.join(below);
        }
    }
}
