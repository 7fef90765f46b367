//! A run that goes on from a checkpoint: what ran before is compared with the file as it is now, as it is when a file is
//! saved while it runs.

use std::path::Path;
use std::sync::Arc;

use crate::builtins;
use crate::check::{Overrides, Program};
use crate::cli::checkpoint::read;
use crate::cli::kept::Kept;
use crate::cli::plan::against::told;
use crate::cli::state::is_checkpoint;
use crate::cli::table::aligned;
use crate::cli::terminal::Terminal;
use crate::cli::watch::draining::Draining;
use crate::cli::watch::{Before, on_change, waiting::Desk};
use crate::cli::{Exit, Failure};
use crate::engine::{Checkpoint, Copied, Start};
use crate::journal::{Disk, RealDisk};
use crate::optimize::optimize;
use crate::plan::Plan;
use crate::reload::{Answers, Taking, compare_with, drain, identities};

/// What is run, and from where on.
pub(super) struct Begun {
    pub(super) plan: Plan,
    /// The texts it was made of.
    pub(super) program: Program,
    /// The values its parameters were given.
    pub(super) set: Overrides,
    pub(super) start: Option<Start>,
    /// What edits left behind.
    pub(super) before: Before,
}

/// Opens the pipeline's checkpoint, where it has one, and finds out what became of the text since. `waits`: a decision
/// can be waited for, with the old text running. `Err` of the exit: it cannot be begun, and why has been printed.
pub(super) fn begin(
    file: &Path,
    (plan, program): (Plan, Program),
    set: Overrides,
    (waits, snapshot): (bool, Option<&Path>),
    terminal: &mut Terminal,
) -> Result<Result<Begun, Exit>, Failure> {
    let home = file.parent().unwrap_or(Path::new(""));
    let folder = plan.header.checkpoint.as_ref().map(|folder| home.join(folder));
    let (checkpoint, folder) = match (folder, snapshot) {
        (None, None) => return Ok(Ok(Begun { plan, program, set, start: None, before: Before::default() })),
        (None, Some(snapshot)) => {
            let checkpoint = copied(snapshot, &plan)?.alone();
            (checkpoint.map_err(|why| Failure::new(format!("`{}`: {why}", snapshot.display())))?, snapshot.to_owned())
        }
        (Some(folder), snapshot) => {
            if let Some(snapshot) = snapshot {
                let disk: Arc<dyn Disk> = Arc::new(RealDisk);
                copied(snapshot, &plan)?.put(&disk, &folder).map_err(Failure::new)?;
            }
            let checkpoint = Checkpoint::open(Arc::new(RealDisk), &folder, &plan.header.name);
            (checkpoint.map_err(|trouble| Failure::new(trouble.to_string()))?, folder)
        }
    };
    let text = Kept::of(&program, &set).encode();
    let aside = Kept::all_aside(checkpoint.aside().map_err(|trouble| Failure::new(trouble.to_string()))?);
    let Some(before) = checkpoint.text().filter(|before| *before != text) else {
        return Ok(Ok(Begun {
            plan,
            program,
            set,
            start: Some(Start { checkpoint, text, changed: None }),
            before: Before { draining: None, aside },
        }));
    };
    let before = Kept::of_checkpoint(before, &folder)?;
    let old = before.find(file, &builtins::catalog());
    if old.counts().errors > 0 {
        terminal.complain(&format!(
            "the text that ran before, kept in `{}`, has mistakes for this version of millstream; begin with a new \
             checkpoint, or let the version that wrote it end its work",
            folder.display()
        ));
        terminal.aside(&old.text(terminal.error_look));
        return Ok(Err(Exit::Mistakes));
    }
    let Some(old_plan) = old.plan else { return Ok(Err(Exit::Unreadable)) };
    let found = |(name, kept): &(String, Kept)| Some((name.clone(), kept.find(file, &builtins::catalog()).plan?));
    let stood: Vec<(String, Plan)> = aside.iter().filter_map(found).collect();
    let stood: Vec<_> = stood.iter().map(|(name, plan)| (name.as_str(), plan)).collect();
    let changes = compare_with(&old_plan, &plan, &stood);
    if before.before().is_some() {
        let now = (changes.same || waits).then_some(old.program);
        return still_draining(file, before, now, (checkpoint, changes.same, aside), terminal);
    }
    if changes.same {
        return Ok(Ok(Begun {
            plan,
            program,
            set,
            start: Some(Start { checkpoint, text, changed: None }),
            before: Before { draining: None, aside },
        }));
    }
    let desk = Desk::of(file);
    let mut answers = Answers::of_text(on_change(&plan));
    match desk.answers() {
        Some(Ok(given)) => answers.add(given),
        Some(Err(why)) => terminal.complain(&why),
        None => {}
    }
    match changes.settled(&answers) {
        Ok(taking) if taking.drains.is_empty() => {
            desk.clear();
            let rows = aligned(&changes.rows(), "  ");
            terminal.aside(&format!(
                "{} has changed since the last run, and goes on by the new text\n{rows}",
                file.display()
            ));
            let aside = left(aside, (&old_plan, &before), &taking);
            let changed = Some((optimize(old_plan).plan, taking));
            let start = Some(Start { checkpoint, text, changed });
            Ok(Ok(Begun { plan, program, set, start, before: Before { draining: None, aside } }))
        }
        // Who drains begins with windows that are open: the old text runs, and is switched from as in any other run.
        Ok(_) | Err(_) if waits => {
            let text = before.encode();
            let (plan, program, set) = (old_plan, old.program, before.set().clone());
            terminal.aside(&format!("{} has changed since the last run: the old text goes on\n", file.display()));
            let start = Some(Start { checkpoint, text, changed: None });
            Ok(Ok(Begun { plan, program, set, start, before: Before { draining: None, aside } }))
        }
        Ok(_) => {
            terminal.complain(&format!(
                "`drain` needs a run in which {} is watched: run it without `--once` and `--no-reload`, or answer otherwise",
                file.display()
            ));
            Ok(Err(Exit::Mistakes))
        }
        Err(pending) => {
            terminal.aside(&format!("{} has changed since the last run\n{}", file.display(), told(&changes)));
            pending.wrong.iter().for_each(|sentence| terminal.complain(sentence));
            let asked = desk.ask(&changes);
            let how = match asked {
                Ok(()) => format!("millstream decide {} NAME=ANSWER", file.display()),
                Err(_) => "`on_change` in the pipeline statement".to_owned(),
            };
            terminal.complain(&format!("nothing is run before this is decided: answer with {how}, then run again"));
            Ok(Err(Exit::Mistakes))
        }
    }
}

/// What is put aside when the run begins: what was before and nobody takes, and what nobody takes of the old text.
fn left(mut aside: Vec<(String, Kept)>, (plan, text): (&Plan, &Kept), taking: &Taking) -> Vec<(String, Kept)> {
    let is_free = |name: &String| !taking.states.values().any(|(from, _)| from == name);
    let mut gone = identities(plan);
    gone.retain(|name| is_free(name) && !taking.over.contains(name));
    aside.retain(|(name, _)| is_free(name) && !gone.contains(name));
    aside.extend(gone.into_iter().map(|name| (name, text.clone().alone())));
    aside
}

/// What a run is to begin with instead of nothing.
fn copied(snapshot: &Path, plan: &Plan) -> Result<Copied, Failure> {
    let copied = if snapshot.is_dir() {
        is_checkpoint(snapshot)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        Copied::of(&disk, snapshot).map_err(Failure::new)?
    } else {
        read(snapshot)?
    };
    if copied.pipeline() != plan.header.name {
        return Err(Failure::new(format!(
            "`{}` is of pipeline `{}`, and this one is called `{}`: give them the same name",
            snapshot.display(),
            copied.pipeline(),
            plan.header.name
        )));
    }
    Ok(copied)
}

/// Goes on by two texts, where windows of the older one were open when the last run ended. `now`: the newer of them; none
/// where the file holds a third one, which could only come in by an edit of a run.
fn still_draining(
    file: &Path,
    kept: Kept,
    now: Option<Program>,
    (checkpoint, same, aside): (Checkpoint, bool, Vec<(String, Kept)>),
    terminal: &mut Terminal,
) -> Result<Result<Begun, Exit>, Failure> {
    let catalog = builtins::catalog();
    let Some(before) = kept.before() else { return Ok(Err(Exit::Unreadable)) };
    let older = before.text.find(file, &catalog).plan;
    let alone = kept.clone().alone();
    let newer = || alone.find(file, &catalog).plan;
    let (Some(older), Some(new), Some(then)) = (older, newer(), newer()) else { return Ok(Err(Exit::Unreadable)) };
    let draining = Draining::resumed(before.until.clone(), optimize(then).plan, alone.encode());
    let Some(program) = now else {
        let until = draining.until();
        terminal.complain(&format!(
            "windows of a text before are still open ({until}): run the text of the last run until they have ended"
        ));
        return Ok(Err(Exit::Mistakes));
    };
    if !same {
        terminal.aside(&format!("{} has changed since the last run: the old text goes on\n", file.display()));
    }
    draining.told().iter().for_each(|sentence| terminal.aside(&format!("{}: {sentence}\n", file.display())));
    let plan = drain::resumed(older, new, &before.until).map_err(Failure::new)?;
    let start = Some(Start { checkpoint, text: kept.encode(), changed: None });
    let before = Before { draining: Some(draining), aside };
    Ok(Ok(Begun { plan, program, set: kept.set().clone(), start, before }))
}
