//! `millstream plan NEW --against OLD`: what a new text would do to a pipeline that runs by an old one. The old one is a
//! file, or what a process says that it runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::builtins;
use crate::check::Overrides;
use crate::cli::args;
use crate::cli::findings;
use crate::cli::fmt::stream_files;
use crate::cli::kept::Kept;
use crate::cli::table::aligned;
use crate::cli::terminal::Terminal;
use crate::cli::watch::record::{ENDING, Recorded};
use crate::cli::watch::waiting::{FOLDER, beside};
use crate::cli::{Exit, Failure, Outcome};
use crate::engine::Checkpoint;
use crate::journal::RealDisk;
use crate::plan::Plan;
use crate::plan::graph::Work;
use crate::reload::{Changes, compare_with};

/// What is compared with.
enum Old {
    /// A text on the disk.
    File(PathBuf),
    /// What a process runs.
    Running(Recorded),
    /// What ran last by a checkpoint, and what is put aside there.
    Checkpoint(Kept, Vec<(String, Kept)>),
}

/// Checks both texts, compares, prints.
pub(super) fn against(old: &Path, args: &args::Plan, terminal: &mut Terminal) -> Outcome {
    let catalog = builtins::catalog();
    let old = found(old, &args.file)?;
    let set: Overrides = args.set.iter().cloned().collect();
    // A saved edit is read with the parameters of the run.
    let overrides = match &old {
        Old::Running(Recorded { kept, .. }) | Old::Checkpoint(kept, _) => {
            kept.set().clone().into_iter().chain(set.clone()).collect()
        }
        Old::File(_) => set.clone(),
    };
    let mut new = match findings::find(&args.file, &catalog, &overrides).plan_or_complain(terminal) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    let mut aside: Vec<(String, Plan)> = Vec::new();
    let (before, file) = match old {
        Old::File(file) => (findings::find(&file, &catalog, &set), file),
        Old::Running(recorded) => {
            terminal.aside(&told_of(&recorded));
            (recorded.kept.find(&recorded.file, &catalog), recorded.file)
        }
        Old::Checkpoint(kept, left) => {
            aside = left
                .into_iter()
                .filter_map(|(name, text)| Some((name, text.find(&args.file, &catalog).plan?)))
                .collect();
            (kept.find(&args.file, &catalog), args.file.clone())
        }
    };
    let mut before = match before.plan_or_complain(terminal) {
        Ok(plan) => plan,
        Err(exit) => return Ok(exit),
    };
    at_home(&mut new, folder(&args.file), folder(&args.file));
    at_home(&mut before, folder(&file), folder(&args.file));
    aside.iter_mut().for_each(|(_, plan)| at_home(plan, folder(&file), folder(&args.file)));
    let aside: Vec<_> = aside.iter().map(|(name, plan)| (name.as_str(), plan)).collect();
    let text = told(&compare_with(&before, &new, &aside));
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

/// The table and when it takes effect.
pub(in crate::cli) fn told(changes: &Changes) -> String {
    format!("{}{}\n", aligned(&changes.rows(), ""), changes.when())
}

/// What `--against` means: a file, or what runs by it; a folder, in which the pipeline of the same name runs or lies.
fn found(old: &Path, new: &Path) -> Result<Old, Failure> {
    if !old.is_dir() {
        let running = Recorded::read(&beside(old, ENDING)).filter(Recorded::is_alive);
        return Ok(running.map_or_else(|| Old::File(old.to_owned()), Old::Running));
    }
    if Checkpoint::is_at(old) {
        let looked = Checkpoint::look(Arc::new(RealDisk), old);
        let (text, aside) = looked.map_err(|trouble| Failure::new(trouble.to_string()))?;
        let text = text.ok_or_else(|| Failure::new(format!("no batch was committed to `{}` yet", old.display())))?;
        return Ok(Old::Checkpoint(Kept::of_checkpoint(&text, old)?, Kept::all_aside(aside)));
    }
    let home = if old.file_name().is_some_and(|name| name == FOLDER) { folder(old) } else { old };
    let home = if home.as_os_str().is_empty() { Path::new(".") } else { home };
    let file = home.join(new.file_name().unwrap_or_default());
    if let Some(recorded) = Recorded::read(&beside(&file, ENDING)) {
        return Ok(Old::Running(recorded));
    }
    if file.is_file() {
        return Ok(Old::File(file));
    }
    let there: Vec<_> = stream_files(home)?.iter().map(|file| format!("`{}`", file.display())).collect();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let help = if there.is_empty() { String::new() } else { format!("; give one of {}", there.join(", ")) };
    Err(Failure::new(format!("in `{}` no pipeline `{name}` runs, and none lies there{help}", home.display())))
}

fn told_of(recorded: &Recorded) -> String {
    let (name, pid) = (&recorded.pipeline, recorded.pid);
    if recorded.is_alive() {
        format!("compared with what process {pid} runs as `{name}`\n")
    } else {
        format!("process {pid} is gone; compared with what it ran last as `{name}`\n")
    }
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// The old text is taken as if it lay where the new one does: a copy of it may be kept anywhere. Folders become absolute,
/// so that it does not matter how they were written.
fn at_home(plan: &mut Plan, from: &Path, to: &Path) {
    // What has no folder to be absolute in stays as it is.
    let absolute = |path: &Path| std::path::absolute(Path::new(".").join(path)).unwrap_or_else(|_| path.to_owned());
    let (from, to) = (absolute(from), absolute(to));
    for id in plan.ordered() {
        if let Work::Source(endpoint) | Work::Table(endpoint) | Work::Sink(endpoint) = &mut plan.node_mut(id).work {
            let base = absolute(&endpoint.base);
            endpoint.base = base.strip_prefix(&from).map(|below| to.join(below)).unwrap_or(base.clone());
        }
    }
}
