//! Where a run hears of a saved edit: asked between two batches, it switches when a plan is ready and says what came of
//! it. What an edit means and whether it may be taken is decided elsewhere, on another thread, before.

use std::time::Duration;

use crate::engine::accounts::Report;
use crate::engine::clock::Clock;
use crate::engine::failure::{EngineError, Failure};
use crate::engine::session::Session;
use crate::engine::switch::Switched;
use crate::plan::memory::Taking;
use crate::plan::seams::Bell;
use crate::plan::{Plan, Settings};

/// A plan that is ready to take the place of the one that runs.
#[derive(Debug)]
pub struct Handover {
    /// What is to be run.
    pub plan: Plan,
    /// What it takes over.
    pub taking: Taking,
    /// Its text, for the checkpoint.
    pub text: Vec<u8>,
}

/// Where plans come from.
pub trait Reloads: Send + Sync {
    /// Rung when a plan is ready, so that nobody waits for the next batch first.
    fn bell(&self) -> &Bell;

    /// The plan that is ready for what runs, if there is one; each is given once.
    fn ready(&self, session: &Session) -> Option<Handover>;

    /// What came of it, how long the switch took, and the number of the batch that is the first of the new plan. What
    /// it gives back is said to people.
    fn came_of_it(&self, outcome: Result<&Switched, &EngineError>, took: Duration, batch: u64) -> Vec<String>;
}

/// Switches where a plan is ready; between two batches. None where nothing changed.
pub(super) fn at_boundary(
    session: &mut Session,
    reloads: Option<&dyn Reloads>,
    clock: &dyn Clock,
    out: &mut dyn Report,
) -> Result<Option<Applied>, Failure> {
    let Some(reloads) = reloads else { return Ok(None) };
    let Some(Handover { plan, taking, text }) = reloads.ready(session) else { return Ok(None) };
    let started = clock.ticks();
    let outcome = session.switch(&plan, &taking);
    if outcome.is_ok() {
        session.runs_by(&text)?;
        session.forget_logs();
    }
    let took = clock.ticks().saturating_sub(started);
    let notes = outcome.iter().flat_map(|switched| &switched.notes);
    notes.for_each(|note| out.note(note));
    if session.is_tried() {
        return Ok(Some(Applied { settings: plan.header.settings, tried: Some(took) }));
    }
    reloads.came_of_it(outcome.as_ref(), took, session.batches()).iter().for_each(|note| out.note(note));
    Ok(outcome.ok().map(|_| Applied { settings: plan.header.settings, tried: None }))
}

/// A switch that was made.
pub(super) struct Applied {
    /// The settings of the pipeline from now on.
    pub(super) settings: Settings,
    /// How long it took, where it stays only if its first batch is delivered.
    pub(super) tried: Option<Duration>,
}

/// Says what came of a switch that was to be seen with its first batch. False where it was taken back.
pub(super) fn behind_first_batch(
    session: &mut Session,
    reloads: Option<&dyn Reloads>,
    took: Duration,
    out: &mut dyn Report,
) -> bool {
    let Some(outcome) = session.came_of_it() else { return true };
    let first = session.batches().saturating_sub(1);
    let said = reloads.map(|reloads| reloads.came_of_it(outcome.as_ref(), took, first)).unwrap_or_default();
    said.iter().for_each(|note| out.note(note));
    outcome.is_ok()
}
