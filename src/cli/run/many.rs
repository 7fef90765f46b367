//! Every `.stream` file of a folder in one process, each on a thread of its own: what happens to one is nothing to the
//! others. Files that come are run, files that go end their pipeline, and what failed is tried again when its text is
//! saved.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use super::{Around, is_well, one};
use crate::cli::args::Run;
use crate::cli::findings;
use crate::cli::terminal::Terminal;
use crate::cli::{Exit, Failure, Outcome};

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a file may be missing, as it is while some editors save it.
const GONE: Duration = Duration::from_millis(500);

/// A pipeline of the folder.
struct Member {
    stop: Arc<AtomicBool>,
    again: Arc<AtomicBool>,
    /// None once it has ended.
    thread: Option<JoinHandle<Outcome>>,
    /// How its file looked when it was started.
    look: Option<(SystemTime, u64)>,
    missing: Option<Instant>,
}

/// Runs all until they are to end; with `--once`, or without reload, until all have ended. The worst outcome decides.
pub(super) fn run(args: &Run, around: &Around, terminal: &mut Terminal) -> Outcome {
    let mut members: BTreeMap<PathBuf, Member> = BTreeMap::new();
    let mut worst = Exit::Clean;
    let lasts = !args.once && !args.no_reload;
    let found = files(&args.file)?;
    if found.is_empty() {
        let what = if lasts { "no pipeline in it yet" } else { "no pipeline in it" };
        terminal.aside(&format!("{}: {what}; pipelines are files that end in .stream\n", args.file.display()));
    }
    for file in found {
        members.insert(file.clone(), started(&file, args, around, terminal));
    }
    while !around.stop.load(Ordering::Relaxed) {
        for (file, member) in &mut members {
            worst = worst.max(ended(file, member, terminal));
        }
        if !lasts && members.values().all(|member| member.thread.is_none()) {
            return Ok(worst);
        }
        thread::sleep(LOOK);
        if lasts {
            if around.again.swap(false, Ordering::Relaxed) {
                members.values().for_each(|member| member.again.store(true, Ordering::Relaxed));
            }
            look(args, around, &mut members, terminal);
        }
    }
    members.values().for_each(|member| member.stop.store(true, Ordering::Relaxed));
    for (file, member) in &mut members {
        worst = worst.max(joined(file, member, terminal));
    }
    Ok(worst)
}

/// Starts what has come, and what had ended and was saved; ends what has gone.
fn look(args: &Run, around: &Around, members: &mut BTreeMap<PathBuf, Member>, terminal: &mut Terminal) {
    // A folder that cannot be read for a moment has not lost its files.
    let Ok(found) = files(&args.file) else { return };
    for file in &found {
        let again = match members.get_mut(file) {
            None => true,
            Some(member) => {
                member.missing = None;
                member.thread.is_none() && looks(file) != member.look
            }
        };
        if again {
            members.insert(file.clone(), started(file, args, around, terminal));
        }
    }
    let mut gone = Vec::new();
    for (file, member) in members.iter_mut().filter(|(file, _)| !found.contains(file)) {
        if member.missing.get_or_insert_with(Instant::now).elapsed() > GONE {
            gone.push(file.clone());
        }
    }
    for file in gone {
        if let Some(mut member) = members.remove(&file) {
            let ran = member.thread.is_some();
            member.stop.store(true, Ordering::Relaxed);
            joined(&file, &mut member, terminal);
            if ran {
                let name = file.display();
                terminal.aside(&format!("{name}: is gone; its pipeline has ended, and what it remembered with it\n"));
            }
        }
    }
}

fn started(file: &Path, args: &Run, around: &Around, terminal: &mut Terminal) -> Member {
    let look = looks(file);
    let (stop, again): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
    let overrides = args.set.iter().cloned().collect();
    let found = findings::find(file, &around.catalog, &overrides);
    let well = is_well(file, &found, terminal);
    let exit = found.exit(false);
    let own = Around { stop: Arc::clone(&stop), again: Arc::clone(&again), ..around.clone() };
    let (path, args, mut beside) = (file.to_owned(), args.clone(), terminal.beside());
    let work = move || {
        if well { one(&path, found, &args, &own, None, &mut beside) } else { Ok(exit) }
    };
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let thread = thread::Builder::new().name(name).spawn(work);
    let thread = thread.map_err(|error| terminal.complain(&format!("{}: {error}", file.display()))).ok();
    Member { stop, again, thread, look, missing: None }
}

/// What a pipeline that has ended by itself ended in.
fn ended(file: &Path, member: &mut Member, terminal: &mut Terminal) -> Exit {
    match &member.thread {
        Some(thread) if thread.is_finished() => joined(file, member, terminal),
        _ => Exit::Clean,
    }
}

fn joined(file: &Path, member: &mut Member, terminal: &mut Terminal) -> Exit {
    let Some(thread) = member.thread.take() else { return Exit::Clean };
    match thread.join() {
        Ok(Ok(exit)) => exit,
        Ok(Err(Failure::NobodyListens)) => Exit::Clean,
        Ok(Err(Failure::Said(why))) => {
            terminal.complain(&format!("{}: {why}", file.display()));
            Exit::Unreadable
        }
        Err(_) => {
            terminal.complain(&format!("{}: it broke down; the others go on", file.display()));
            Exit::Mistakes
        }
    }
}

/// The `.stream` files that lie in a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(folder).map_err(|refused| Failure::of(folder, &refused))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_one = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && path.extension().is_some_and(|ending| ending == "stream") && path.is_file()
    };
    files.retain(is_one);
    files.sort();
    Ok(files)
}

fn looks(file: &Path) -> Option<(SystemTime, u64)> {
    let about = fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len()))
}
