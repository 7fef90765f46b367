//! A run that goes on from a checkpoint: what ran before is compared with the file as it is now, as it is when a file is
//! saved while it runs.

use std::path::Path;
use std::sync::Arc;

use crate::builtins;
use crate::check::{Overrides, Program};
use crate::cli::kept::Kept;
use crate::cli::plan::against::told;
use crate::cli::table::aligned;
use crate::cli::terminal::Terminal;
use crate::cli::watch::draining::Draining;
use crate::cli::watch::{on_change, waiting::Desk};
use crate::cli::{Exit, Failure};
use crate::engine::{Checkpoint, Start};
use crate::journal::RealDisk;
use crate::optimize::optimize;
use crate::plan::Plan;
use crate::reload::{Answers, compare};

/// What is run, and from where on.
pub(super) struct Begun {
    pub(super) plan: Plan,
    /// The texts it was made of.
    pub(super) program: Program,
    /// The values its parameters were given.
    pub(super) set: Overrides,
    pub(super) start: Option<Start>,
    /// The text before still runs beside this one.
    pub(super) draining: Option<Draining>,
}

/// Opens the pipeline's checkpoint, where it has one, and finds out what became of the text since. `waits`: a decision
/// can be waited for, with the old text running. `Err` of the exit: it cannot be begun, and why has been printed.
pub(super) fn begin(
    file: &Path,
    (plan, program): (Plan, Program),
    set: Overrides,
    waits: bool,
    terminal: &mut Terminal,
) -> Result<Result<Begun, Exit>, Failure> {
    let Some(folder) = &plan.header.checkpoint else {
        return Ok(Ok(Begun { plan, program, set, start: None, draining: None }));
    };
    let folder = file.parent().unwrap_or(Path::new("")).join(folder);
    let checkpoint = Checkpoint::open(Arc::new(RealDisk), &folder, &plan.header.name);
    let checkpoint = checkpoint.map_err(|trouble| Failure::new(trouble.to_string()))?;
    let text = Kept::of(&program, &set).encode();
    let Some(before) = checkpoint.text().filter(|before| *before != text) else {
        return Ok(Ok(Begun {
            plan,
            program,
            set,
            start: Some(Start { checkpoint, text, changed: None }),
            draining: None,
        }));
    };
    let before = Kept::decode(before);
    let before =
        before.map_err(|why| Failure::new(format!("the text in `{}` cannot be read: {why}", folder.display())))?;
    if let Some(both) = before.both(file, &builtins::catalog()) {
        let kept = before.alone();
        if kept != Kept::of(&program, &set) {
            terminal.complain(&format!(
                "windows of the text before the last one are still open, and {} has changed again since: put back the text \
                 that ran last until they have ended, or begin with a new checkpoint",
                file.display()
            ));
            return Ok(Err(Exit::Mistakes));
        }
        let both =
            both.map_err(|why| Failure::new(format!("the two texts in `{}` cannot be run: {why}", folder.display())))?;
        let draining = Some(Draining::again(both.until, optimize(plan).plan, kept));
        let start = Some(Start { checkpoint, text: before.encode(), changed: None });
        return Ok(Ok(Begun { plan: both.plan, program, set, start, draining }));
    }
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
    let changes = compare(&old_plan, &plan);
    if changes.same {
        return Ok(Ok(Begun {
            plan,
            program,
            set,
            start: Some(Start { checkpoint, text, changed: None }),
            draining: None,
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
        Ok(taking) => {
            desk.clear();
            let rows = aligned(&changes.rows(), "  ");
            terminal.aside(&format!(
                "{} has changed since the last run, and goes on by the new text\n{rows}",
                file.display()
            ));
            let changed = Some((optimize(old_plan).plan, taking));
            Ok(Ok(Begun { plan, program, set, start: Some(Start { checkpoint, text, changed }), draining: None }))
        }
        Err(_) if waits => {
            let text = before.encode();
            let (plan, program, set) = (old_plan, old.program, before.set().clone());
            terminal.aside(&format!("{} has changed since the last run: the old text goes on\n", file.display()));
            Ok(Ok(Begun { plan, program, set, start: Some(Start { checkpoint, text, changed: None }), draining: None }))
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
