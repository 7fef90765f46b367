//! The batch clock: when a batch starts, and when the run is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::engine::accounts::{Report, Summary};
use crate::engine::batch::Input;
use crate::engine::clock::{Clock, RealClock};
use crate::engine::failure::{EngineError, Failure};
use crate::engine::program::Watch;
use crate::engine::reload::{self, Reloads};
use crate::engine::session::{Opening, Session};
use crate::plan::Plan;

/// Microseconds between two looks at sources that had nothing, under `every: 0s`.
const IDLE: i64 = 5_000;

/// How a plan is run.
#[derive(Clone)]
pub struct RunSettings {
    /// Takes all there is, in limited batches and without waiting, then ends.
    pub once: bool,
    /// Ends after so many batches.
    pub batches: Option<u64>,
    /// Threads that compute; one a core for none.
    pub threads: Option<usize>,
    /// Partitions that rows are brought together in by key; one a thread for none.
    pub partitions: Option<usize>,
    /// At most so many rows a block.
    pub block_rows: usize,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Becomes true when the run is to end after the batch at hand.
    pub stop: Arc<AtomicBool>,
    /// Where saved edits come from.
    pub reloads: Option<Arc<dyn Reloads>>,
}

impl Default for RunSettings {
    fn default() -> Self {
        RunSettings {
            once: false,
            batches: None,
            threads: None,
            partitions: None,
            block_rows: 65_536,
            clock: Arc::new(RealClock),
            stop: Arc::new(AtomicBool::new(false)),
            reloads: None,
        }
    }
}

/// Runs a plan until it ends, is stopped or fails.
pub fn run(plan: &Plan, settings: RunSettings, out: &mut dyn Report) -> Result<Summary, EngineError> {
    let opening = Opening {
        partitions: settings.partitions,
        threads: settings.threads,
        block_rows: settings.block_rows,
        queued: false,
        handed: BTreeSet::new(),
        one_at_a_time: false,
        sinks: true,
        watch: Watch::Nothing,
        strict: false,
        clock: Arc::clone(&settings.clock),
        stop: Arc::clone(&settings.stop),
    };
    let session = Session::open(plan, opening)?;
    let started = settings.clock.now();
    let mut run = Run { session, settings: &settings, out, summary: Summary::default() };
    let ended = run.batches();
    let mut summary = std::mem::take(&mut run.summary);
    summary.took = between(started, settings.clock.now());
    ended.map(|()| summary).map_err(|failure| run.session.failed(failure))
}

pub(super) fn between(start: i64, end: i64) -> Duration {
    Duration::from_micros(end.saturating_sub(start).max(0).unsigned_abs())
}

/// A run under way.
struct Run<'a> {
    session: Session,
    settings: &'a RunSettings,
    out: &'a mut dyn Report,
    summary: Summary,
}

impl Run<'_> {
    fn batches(&mut self) -> Result<(), Failure> {
        let RunSettings { once, clock, stop, reloads, .. } = self.settings;
        while !self.is_over() {
            let time = self.next_time();
            if !once {
                clock.wait_until(time, stop);
                if self.is_stopped() {
                    return Ok(());
                }
            }
            reload::at_boundary(&mut self.session, reloads.as_deref(), clock.as_ref(), self.out);
            let input = self.session.intake(time, *once)?;
            let nothing = input.is_empty() && !self.session.has_rejected();
            if nothing && (*once || self.session.program().ended()) {
                return self.close(time);
            }
            if nothing && self.session.interval() == 0 && !self.session.is_due(time) {
                clock.wait_until(clock.now() + IDLE, stop);
                continue;
            }
            self.batch(time, input, false)?;
        }
        Ok(())
    }

    /// Closes every window that is still open, as nothing will follow.
    fn close(&mut self, time: i64) -> Result<(), Failure> {
        // Windows of batch time and of so many rows wait for the end without a mark.
        let waits = self.session.program().has_marks() || !self.session.held().is_empty();
        if self.session.batches() > 0 && waits {
            self.batch(time, Input::default(), true)?;
        }
        if self.session.has_rejected() {
            self.batch(time, Input::default(), true)?;
        }
        Ok(())
    }

    fn batch(&mut self, time: i64, input: Input, close: bool) -> Result<(), Failure> {
        let report = self.session.batch(time, input, close)?.report;
        self.summary.add(&report);
        report.notes.iter().for_each(|note| self.out.note(note));
        self.out.batch(&report);
        Ok(())
    }

    /// With `--once` batches follow each other without waiting, an interval apart.
    fn next_time(&self) -> i64 {
        match (self.settings.once, self.session.interval(), self.session.last_time()) {
            (true, every, Some(last)) if every > 0 => last + every,
            _ => self.session.next_time(self.settings.clock.now()),
        }
    }

    fn is_over(&self) -> bool {
        self.settings.batches.is_some_and(|most| self.session.batches() >= most) || self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        self.settings.stop.load(Ordering::Relaxed)
    }
}
