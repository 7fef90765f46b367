//! The batch clock: when a batch starts, and when the run is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::engine::accounts::{Report, Summary};
use crate::engine::batch::{Carry, Input, Means};
use crate::engine::clock::{Clock, RealClock};
use crate::engine::failure::{EngineError, Failure};
use crate::engine::pool::Pool;
use crate::engine::program::{Program, prepare};
use crate::plan::Plan;
use crate::plan::operator::{BatchTime, TaskError};

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
        }
    }
}

/// Runs a plan until it ends, is stopped or fails.
pub fn run(plan: Plan, settings: RunSettings, out: &mut dyn Report) -> Result<Summary, EngineError> {
    let pool = Pool::new(settings.threads).map_err(|error| before_start(&plan, error))?;
    let wanted = plan.header.settings.integer("partitions").and_then(|n| usize::try_from(n).ok());
    let partitions = settings.partitions.or(wanted).unwrap_or(pool.size()).max(1);
    let program = prepare(&plan, partitions).map_err(EngineError::Refused)?;
    let started = settings.clock.now();
    let mut run = Run {
        last: None,
        number: 0,
        summary: Summary::default(),
        carry: Carry::default(),
        out,
        means: Means {
            pool: &pool,
            clock: &*settings.clock,
            stop: &settings.stop,
            block_rows: settings.block_rows.max(1),
        },
        settings: &settings,
        program,
    };
    let ended = run.batches();
    let mut summary = std::mem::take(&mut run.summary);
    summary.took = between(started, settings.clock.now());
    ended.map(|()| summary).map_err(|failure| {
        let node = &run.program.nodes[failure.node];
        EngineError::Failed { batch: run.number, place: node.place(), span: node.span, error: failure.error }
    })
}

fn before_start(plan: &Plan, error: TaskError) -> EngineError {
    let place = format!("the start of `{}`", plan.header.name);
    EngineError::Failed { batch: 0, place, span: millstream_dsl::Span::default(), error }
}

fn between(start: i64, end: i64) -> Duration {
    Duration::from_micros(end.saturating_sub(start).max(0).unsigned_abs())
}

/// A run under way.
struct Run<'a> {
    program: Program,
    settings: &'a RunSettings,
    means: Means<'a>,
    out: &'a mut dyn Report,
    carry: Carry,
    summary: Summary,
    /// The number of the next batch.
    number: u64,
    /// The time of the last batch.
    last: Option<i64>,
}

impl Run<'_> {
    fn batches(&mut self) -> Result<(), Failure> {
        let once = self.settings.once;
        while !self.is_over() {
            let time = self.next_time();
            if !once {
                self.means.clock.wait_until(time, self.means.stop);
                if self.is_stopped() {
                    return Ok(());
                }
            }
            let input = self.program.intake(time, once, &self.means)?;
            let nothing = input.is_empty() && self.carry.rejected.is_empty();
            if nothing && (once || self.program.ended()) {
                return self.close(time);
            }
            if nothing && self.program.every == 0 {
                self.means.clock.wait_until(self.means.clock.now() + IDLE, self.means.stop);
                continue;
            }
            self.batch(time, input, false)?;
        }
        Ok(())
    }

    /// Closes every window that is still open, as nothing will follow.
    fn close(&mut self, time: i64) -> Result<(), Failure> {
        if self.number > 0 && self.program.has_marks() {
            self.batch(time, Input::default(), true)?;
        }
        if !self.carry.rejected.is_empty() {
            self.batch(time, Input::default(), true)?;
        }
        Ok(())
    }

    fn batch(&mut self, time: i64, input: Input, close: bool) -> Result<(), Failure> {
        let started = self.means.clock.now();
        let batch = BatchTime { number: self.number, micros: time };
        let mut report = self.program.run(batch, input, close, &mut self.carry, &self.means)?;
        report.took = between(started, self.means.clock.now());
        self.last = Some(time);
        self.number += 1;
        self.summary.add(&report);
        report.notes.iter().for_each(|note| self.out.note(note));
        self.out.batch(&report);
        Ok(())
    }

    /// The next multiple of the interval; under `every: 0s` now, but never the same moment twice.
    fn next_time(&self) -> i64 {
        let (every, now) = (self.program.every, self.means.clock.now());
        let last = self.last.unwrap_or(i64::MIN);
        if every == 0 {
            return now.max(last.saturating_add(1));
        }
        if self.settings.once && self.last.is_some() {
            return last + every;
        }
        let next = (now.max(last.saturating_add(1)) + every - 1).div_euclid(every) * every;
        next.max(last.saturating_add(every))
    }

    fn is_over(&self) -> bool {
        self.settings.batches.is_some_and(|most| self.number >= most) || self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        self.means.stop.load(Ordering::Relaxed)
    }
}
