//! The batch clock: when a batch starts, and when the run is over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::engine::accounts::{Report, Summary};
use crate::engine::batch::Input;
use crate::engine::clock::{Clock, RealClock};
use crate::engine::durable::Start;
use crate::engine::failure::{EngineError, Failure};
use crate::engine::program::Watch;
use crate::engine::rate::Done;
use crate::engine::reload::{self, Reloads};
use crate::engine::session::{Opening, Session};
use crate::engine::silence::Silence;
use crate::model::time::show_duration;
use crate::plan::operator::TaskError;
use crate::plan::seams::Bell;
use crate::plan::{Plan, Settings};

/// Microseconds between two looks at sources that had nothing, under `every: 0s`: at first, and at most.
const IDLE: (i64, i64) = (5_000, 50_000);

/// How a plan is run.
#[derive(Clone)]
pub struct RunSettings {
    /// Takes all there is, in limited batches and without waiting, then ends.
    pub once: bool,
    /// Ends after so many batches.
    pub batches: Option<u64>,
    /// Ends after so many microseconds.
    pub lasting: Option<i64>,
    /// How long what was received may still be worked off when the run is to end, in microseconds.
    pub drain: i64,
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
            lasting: None,
            drain: 30_000_000,
            threads: None,
            partitions: None,
            block_rows: 65_536,
            clock: Arc::new(RealClock),
            stop: Arc::new(AtomicBool::new(false)),
            reloads: None,
        }
    }
}

/// Runs a plan until it ends, is stopped or fails; nothing outlives the process.
pub fn run(plan: &Plan, settings: RunSettings, out: &mut dyn Report) -> Result<Summary, EngineError> {
    run_from(plan, None, settings, out)
}

/// The same with a checkpoint, where it has one: the run begins where that ends, and every batch is committed there.
pub fn run_from(
    plan: &Plan,
    start: Option<Start>,
    settings: RunSettings,
    out: &mut dyn Report,
) -> Result<Summary, EngineError> {
    let opening = Opening {
        partitions: settings.partitions,
        threads: settings.threads,
        block_rows: settings.block_rows,
        queued: false,
        handed: BTreeSet::new(),
        one_at_a_time: false,
        sinks: true,
        watch: Watch::Nothing,
        strict: cfg!(debug_assertions),
        clock: Arc::clone(&settings.clock),
        stop: Arc::clone(&settings.stop),
        grace: settings.drain,
        cold: None,
        history: String::new(),
    };
    let mut session = match start {
        Some(start) => {
            let (session, notes) = Session::resume(plan, opening, start)?;
            notes.iter().for_each(|note| out.note(note));
            session
        }
        None => Session::open(plan, opening)?,
    };
    let bell = Bell::default();
    session.ring(&bell);
    let started = settings.clock.now();
    let overrun = Overrun::of(&plan.header.settings);
    let silence = Silence::new(plan.header.every);
    let mut run = Run {
        session,
        settings: &settings,
        out,
        summary: Summary::default(),
        bell,
        overrun,
        started,
        silence,
        tried: None,
    };
    let ended = run.batches();
    let mut summary = std::mem::take(&mut run.summary);
    summary.took = between(started, settings.clock.now());
    ended.map(|()| summary).map_err(|failure| run.session.failed(failure))
}

pub(super) fn between(start: i64, end: i64) -> Duration {
    Duration::from_micros(end.saturating_sub(start).max(0).unsigned_abs())
}

/// What happens to ticks that fell due while a batch was worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overrun {
    Skip,
    CatchUp,
    Fail,
}

impl Overrun {
    fn of(settings: &Settings) -> Self {
        match settings.text("on_overrun") {
            Some("catch_up") => Overrun::CatchUp,
            Some("fail") => Overrun::Fail,
            _ => Overrun::Skip,
        }
    }
}

/// A run under way.
struct Run<'a> {
    session: Session,
    settings: &'a RunSettings,
    out: &'a mut dyn Report,
    summary: Summary,
    /// Rung by sources that have something.
    bell: Bell,
    overrun: Overrun,
    /// When it began.
    started: i64,
    silence: Silence,
    /// A text that stays only if its first batch is delivered: how long the switch took, and what was before.
    tried: Option<(Duration, Overrun)>,
}

/// When a batch is due.
#[derive(Debug, Clone, Copy)]
struct Tick {
    time: i64,
    /// Ticks before it that had no batch.
    skipped: u64,
}

impl Run<'_> {
    fn batches(&mut self) -> Result<(), Failure> {
        let RunSettings { once, clock, stop, reloads, .. } = self.settings;
        let mut idle = IDLE.0;
        loop {
            if self.session.is_asked_to_stop() {
                return self.drain();
            }
            if self.is_long_enough() {
                return self.session.finish();
            }
            let tick = self.next_tick()?;
            if !once {
                let until = tick.time.min(self.ends_at());
                match reloads {
                    Some(reloads) => clock.wait_for(reloads.bell(), until, stop),
                    None => clock.wait_until(until, stop),
                }
                // A text that is ready may ask for other times.
                if self.reload(reloads.as_deref())? {
                    continue;
                }
                if clock.now() < until && !self.session.is_asked_to_stop() {
                    continue;
                }
                if self.session.is_asked_to_stop() || self.is_long_enough() {
                    continue;
                }
            }
            let started = clock.ticks();
            let input = self.session.intake(tick.time, *once)?;
            let intake = clock.ticks().saturating_sub(started);
            let nothing = input.is_empty() && !self.session.has_rejected();
            if nothing && *once && self.session.program().waits() {
                continue;
            }
            if nothing && (*once || self.session.program().ended()) {
                self.close(tick.time)?;
                return self.session.finish();
            }
            if nothing && self.session.interval() == 0 && !self.session.is_due(tick.time) {
                clock.wait_for(&self.bell, clock.now().saturating_add(idle).min(self.ends_at()), stop);
                idle = (idle * 2).min(IDLE.1);
                continue;
            }
            idle = IDLE.0;
            self.batch(tick, intake, input, false)?;
        }
    }

    /// Goes on by another text, where one is ready. Whether it does.
    fn reload(&mut self, reloads: Option<&dyn Reloads>) -> Result<bool, Failure> {
        let clock = self.settings.clock.as_ref();
        let Some(applied) = reload::at_boundary(&mut self.session, reloads, clock, self.out)? else { return Ok(false) };
        self.tried = applied.tried.map(|took| (took, self.overrun));
        self.overrun = Overrun::of(&applied.settings);
        self.silence = Silence::new(self.session.interval());
        Ok(true)
    }

    /// Closes every window that is still open, as nothing will follow; with a checkpoint the next run goes on with them.
    fn close(&mut self, time: i64) -> Result<(), Failure> {
        let tick = Tick { time, skipped: 0 };
        if self.session.is_durable() {
            while self.session.has_rejected() {
                self.batch(tick, Duration::ZERO, Input::default(), false)?;
            }
            self.tell_held("stay in the checkpoint for the next run");
            return Ok(());
        }
        // Windows of batch time and of so many rows wait for the end without a mark.
        let waits = self.session.program().has_marks() || !self.session.held().is_empty();
        if self.session.batches() > 0 && waits {
            self.batch(tick, Duration::ZERO, Input::default(), true)?;
        }
        if self.session.has_rejected() {
            self.batch(tick, Duration::ZERO, Input::default(), true)?;
        }
        Ok(())
    }

    /// Works off what was received and cannot be read again, then ends. What can be read again waits for the next run.
    fn drain(&mut self) -> Result<(), Failure> {
        self.session.hang_up();
        loop {
            let time = self.session.next_time(self.settings.clock.now());
            let input = self.session.intake_received(time)?;
            if input.is_empty() && !self.session.has_rejected() {
                break;
            }
            if self.session.is_out_of_time() {
                self.summary.cut_short = true;
                let fate = if self.session.is_durable() { "wait for the next run" } else { "are lost" };
                self.out.note(&format!("the time to end in is over: rows that had been received {fate}"));
                break;
            }
            self.batch(Tick { time, skipped: 0 }, Duration::ZERO, input, false)?;
        }
        let fate = if self.session.is_durable() { "stay in the checkpoint" } else { "are given up" };
        self.tell_held(fate);
        self.session.finish()
    }

    /// What becomes of what is remembered.
    fn tell_held(&mut self, fate: &str) {
        let held = self.session.held();
        let rows: usize = held.iter().map(|(_, _, held)| held.keys).sum();
        if rows > 0 {
            let of: Vec<&str> = held.iter().map(|(identity, _, _)| *identity).collect();
            self.out.note(&format!("{rows} keys or rows that were remembered {fate}: {}", of.join(", ")));
        }
    }

    fn batch(&mut self, tick: Tick, intake: Duration, input: Input, close: bool) -> Result<(), Failure> {
        let clock = &self.settings.clock;
        let delay = if self.session.interval() == 0 { 0 } else { clock.now().saturating_sub(tick.time).max(0) };
        self.out.before();
        let mut report = self.session.batch(tick.time, input, close)?.report;
        if let Some((took, before)) = self.tried.take() {
            let reloads = self.settings.reloads.as_deref();
            if !reload::behind_first_batch(&mut self.session, reloads, took, self.out) {
                self.overrun = before;
                self.silence = Silence::new(self.session.interval());
            }
        }
        report.took += intake;
        report.phases.intake = intake;
        report.delay = Duration::from_micros(delay.unsigned_abs());
        report.skipped = tick.skipped;
        let processing = i64::try_from(report.took.as_micros()).unwrap_or(i64::MAX);
        self.session.learn(&report, Done { ended: clock.now(), processing, scheduling: delay });
        self.summary.add(&report);
        report.notes.iter().for_each(|note| self.out.note(note));
        self.out.batch(&report);
        if let Some(why) = self.silence.hear(&report).filter(|_| !self.settings.once) {
            self.out.note(&why);
        }
        Ok(())
    }

    /// With `--once` batches follow each other without waiting, an interval apart.
    fn next_tick(&self) -> Result<Tick, Failure> {
        let every = self.session.interval();
        let now = self.settings.clock.now();
        let Some(last) = self.session.last_time().filter(|_| every > 0) else {
            return Ok(Tick { time: self.session.next_time(now), skipped: 0 });
        };
        let following = last.saturating_add(every);
        if self.settings.once || self.overrun == Overrun::CatchUp {
            return Ok(Tick { time: following, skipped: 0 });
        }
        let time = self.session.next_time(now);
        let skipped = time.saturating_sub(following).max(0) / every;
        if skipped > 0 && self.overrun == Overrun::Fail {
            let late = show_duration(now.saturating_sub(last));
            let why = format!("a batch took {late}, longer than `every`, and `on_overrun` is `fail`");
            return Err(Failure { node: usize::MAX, error: TaskError::Stop(why) });
        }
        Ok(Tick { time, skipped: skipped.unsigned_abs() })
    }

    /// Whether it had all the batches and all the time it was given.
    fn is_long_enough(&self) -> bool {
        let enough = self.settings.batches.is_some_and(|most| self.session.batches() >= most);
        enough || self.settings.clock.now() >= self.ends_at()
    }

    fn ends_at(&self) -> i64 {
        self.settings.lasting.map_or(i64::MAX, |lasting| self.started.saturating_add(lasting))
    }
}
