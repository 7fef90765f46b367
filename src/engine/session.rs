//! A pipeline at work, stepped from outside: one call is one micro-batch. The clock of a run, test blocks and programs
//! that use the library all move it this way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::RecordBatch;

use crate::engine::accounts::BatchReport;
use crate::engine::aside::Aside;
use crate::engine::batch::{Carry, Input, Means};
use crate::engine::clock::{Clock, ManualClock};
use crate::engine::durable::Durable;
use crate::engine::failure::{EngineError, Failure, at};
use crate::engine::first_batch::FirstBatch;
use crate::engine::pool::Pool;
use crate::engine::program::{Held, Program, Setup, Step, Watch, prepare};
use crate::engine::queue::Inlet;
use crate::engine::rate::Done;
use crate::engine::room::{ColdPlace, Room};
use crate::engine::snapshot::{Head, Snapshot, SourceState, State};
use crate::engine::stopping::Stopping;
use crate::engine::switch::Switched;
use crate::plan::Plan;
use crate::plan::operator::{self, BatchTime, TaskError};
use crate::plan::seams::{BadRow, Bell};

/// Microseconds after which an empty batch looks for what has expired, under `every: 0s`.
const EXPIRY: i64 = 1_000_000;

/// Into so many partitions rows are brought together where some may lie on disk.
const PIECES: usize = 64;

/// How a pipeline is opened. The default is how test blocks want it: rows are handed in, one thread, nothing is
/// written, everything can be looked at, and a row that is not accounted for is an error.
#[derive(Clone)]
pub struct Opening {
    /// Partitions that rows are brought together in by key; what the pipeline says, or one a thread, for none.
    pub partitions: Option<usize>,
    /// Threads that compute; one a core for none.
    pub threads: Option<usize>,
    /// At most so many rows a block.
    pub block_rows: usize,
    /// Rows of sources and tables are handed in with [`Session::give`] instead of being read.
    pub queued: bool,
    /// The same for sources and tables of these names only.
    pub handed: BTreeSet<String>,
    /// A batch takes one block that was handed in instead of all.
    pub one_at_a_time: bool,
    /// Sinks are opened and written to.
    pub sinks: bool,
    /// In what batches are numbered, where sinks are to find their marks again: empty for a run by itself.
    pub history: String,
    /// Which named outputs [`Stepped::streams`] holds.
    pub watch: Watch,
    /// A row that is not accounted for fails the batch.
    pub strict: bool,
    /// For waits between tries.
    pub clock: Arc<dyn Clock>,
    /// Becomes true when the run is to end.
    pub stop: Arc<AtomicBool>,
    /// How long what is under way may take from then on, in microseconds.
    pub grace: i64,
    /// Where state is put that does not fit into `state_limit`; for none the pipeline stops instead.
    pub cold: Option<ColdPlace>,
}

impl Default for Opening {
    fn default() -> Self {
        Opening {
            partitions: None,
            threads: Some(1),
            block_rows: 65_536,
            queued: true,
            handed: BTreeSet::new(),
            one_at_a_time: false,
            sinks: false,
            history: String::new(),
            watch: Watch::All,
            strict: true,
            clock: Arc::new(ManualClock::default()),
            stop: Arc::new(AtomicBool::new(false)),
            grace: 0,
            cold: None,
        }
    }
}

/// A pipeline at work.
pub struct Session {
    pub(super) program: Program,
    pub(super) pool: Pool,
    pub(super) carry: Carry,
    pub(super) opening: Opening,
    pub(super) stopping: Stopping,
    /// State that nobody took over, for a while: by identity.
    pub(super) aside: BTreeMap<String, Aside>,
    /// How much state may be in memory, and where the rest lies.
    room: Option<Arc<Room>>,
    /// Where batches are committed, so that nothing is lost with the process.
    pub(super) durable: Option<Durable>,
    /// Operators, by identity, of whose state the checkpoint knows as it is between two batches.
    pub(super) told: BTreeSet<String>,
    /// The text that runs, as the checkpoint keeps it.
    pub(super) text: Vec<u8>,
    /// What a text that was switched to is taken back for, until its first batch is delivered.
    pub(super) first: Option<Box<FirstBatch>>,
    /// What came of it.
    pub(super) outcome: Option<Result<Switched, EngineError>>,
    /// What sources ring.
    bell: Option<Bell>,
    /// The number of the next batch.
    pub(super) number: u64,
    /// The time of the last batch.
    pub(super) last: Option<i64>,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Stepped {
    /// What became of the rows.
    pub report: BatchReport,
    /// What the watched outputs gave, by name.
    pub streams: BTreeMap<String, Vec<RecordBatch>>,
}

impl Session {
    /// Opens everything; everything that cannot be run is said at once.
    pub fn open(plan: &Plan, opening: Opening) -> Result<Self, EngineError> {
        Self::open_but(plan, opening, Held::default())
    }

    /// The same without some of it.
    pub(super) fn open_but(plan: &Plan, mut opening: Opening, held: Held) -> Result<Self, EngineError> {
        if opening.history.is_empty() {
            opening.history = format!("run {:032x}", fastrand::u128(..));
        }
        let pool = Pool::new(opening.threads).map_err(|error| before_start(plan, error))?;
        let mut room = None;
        make_room(&mut room, plan, &opening).map_err(|error| before_start(plan, error))?;
        let setup = Setup { held, ..setup(plan, &opening, &pool, room.as_ref()) };
        let program = prepare(plan, &setup).map_err(EngineError::Refused)?;
        let stopping = Stopping::new(Arc::clone(&opening.stop), opening.grace);
        Ok(Session {
            program,
            pool,
            carry: Carry::default(),
            opening,
            stopping,
            aside: BTreeMap::new(),
            room,
            durable: None,
            told: BTreeSet::new(),
            text: Vec::new(),
            first: None,
            outcome: None,
            bell: None,
            number: 0,
            last: None,
        })
    }

    /// Hands rows in: more rows for a source, or a table's rows from now on. False where there is no such input.
    pub fn give(&self, input: &str, rows: Vec<RecordBatch>) -> bool {
        self.inlet(input).map(|inlet| inlet.give(rows)).is_some()
    }

    /// Where rows of a source or table are handed in, for another thread. None where there is no such input.
    pub fn inlet(&self, input: &str) -> Option<Inlet> {
        let queue = self.program.queues.get(input)?.clone();
        Some(Inlet { queue, table: self.is_table(input) })
    }

    /// Whether no source will ever give a row again.
    pub fn ended(&self) -> bool {
        self.program.ended()
    }

    /// Hands in rows of a source that could not be read where they came from: they go where the source's bad rows go.
    /// False where there is no such source.
    pub fn give_bad(&self, source: &str, rows: Vec<BadRow>) -> bool {
        let queue = self.program.queues.get(source).filter(|_| !self.is_table(source));
        queue.map(|queue| queue.push_bad(rows)).is_some()
    }

    /// Says that no more rows will be handed in.
    pub fn end_input(&self) {
        self.program.queues.values().for_each(|queue| queue.end());
    }

    /// Whether rows that were handed in wait for a batch.
    pub fn has_waiting(&self) -> bool {
        self.program.queues.iter().any(|(name, queue)| !self.is_table(name) && !queue.is_empty())
    }

    /// Runs one batch of that time, in microseconds since 1970 UTC.
    pub fn step(&mut self, time: i64) -> Result<Stepped, EngineError> {
        let stepped = self.intake(time, false).and_then(|input| self.batch(time, input, false));
        stepped.map_err(|failure| self.failed(failure))
    }

    /// Runs an empty batch behind which no row follows, so that every window closes.
    pub fn close(&mut self, time: i64) -> Result<Stepped, EngineError> {
        self.batch(time, Input::default(), true).map_err(|failure| self.failed(failure))
    }

    /// Lets the watermark of a source, or of all, reach a time. It shows with the next batch. False where there is no
    /// such source, or its rows have no time.
    pub fn advance_mark(&mut self, source: Option<&str>, micros: i64) -> bool {
        let mut found = false;
        for step in &mut self.program.steps {
            if let Step::Source(node, intake) = step
                && source.is_none_or(|name| self.program.nodes[*node].stream == name)
                && let Some(mark) = &mut intake.mark
            {
                mark.lift(micros);
                found = true;
            }
        }
        found
    }

    /// When the next batch is due: the next multiple of the interval; under `every: 0s` now, but never the same moment
    /// twice.
    pub fn next_time(&self, now: i64) -> i64 {
        let every = self.program.every;
        let last = self.last.unwrap_or(i64::MIN);
        if every == 0 {
            return now.max(last.saturating_add(1));
        }
        let next = (now.max(last.saturating_add(1)) + every - 1).div_euclid(every) * every;
        next.max(last.saturating_add(every))
    }

    /// The batch interval in microseconds; zero for as soon as possible.
    pub fn interval(&self) -> i64 {
        self.program.every
    }

    /// The time of the last batch.
    pub fn last_time(&self) -> Option<i64> {
        self.last
    }

    /// How many batches there were.
    pub fn batches(&self) -> u64 {
        self.number
    }

    /// How much every operator remembers: its identity, its word, how much.
    pub fn held(&self) -> Vec<(&str, &str, operator::Held)> {
        let keyed = self.program.keyed();
        let of = |(node, held): (usize, operator::Held)| {
            let node = &self.program.nodes[node];
            (node.identity.as_str(), node.word.as_str(), held)
        };
        keyed
            .map(|(node, keyed)| of((node, keyed.held())))
            .filter(|(_, _, held)| *held != operator::Held::default())
            .collect()
    }

    /// Everything it remembers, as bytes that [`Session::restore`] takes.
    pub fn save(&self) -> Result<Vec<u8>, EngineError> {
        let snapshot = self.snapshot().map_err(|failure| self.failed(failure))?;
        snapshot.encode().map_err(|why| self.failed(Failure { node: 0, error: TaskError::Bug(why) }))
    }

    /// Goes on from what was saved, perhaps in another number of partitions. Before the first batch.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        let stop = |why| self.failed(Failure { node: 0, error: TaskError::Stop(why) });
        let snapshot = Snapshot::decode(bytes).map_err(|why| stop(format!("the saved state cannot be read: {why}")))?;
        self.go_on_from(snapshot, false).map_err(|failure| self.failed(failure))
    }

    fn is_table(&self, name: &str) -> bool {
        let table = |step: &Step| matches!(step, Step::Table(node, _) if self.program.nodes[*node].stream == name);
        self.program.steps.iter().any(table)
    }

    /// Takes from every source what a batch may have.
    pub(super) fn intake(&mut self, time: i64, drain: bool) -> Result<Input, Failure> {
        let (program, means) = self.split();
        program.intake(time, drain, false, &means)
    }

    /// Takes what was received from where it cannot be read again.
    pub(super) fn intake_received(&mut self, time: i64) -> Result<Input, Failure> {
        let (program, means) = self.split();
        program.intake(time, false, true, &means)
    }

    /// Sources take in nothing more from outside.
    pub(super) fn hang_up(&mut self) {
        self.program.hang_up();
    }

    /// Sources ring when there is something to read.
    pub(super) fn ring(&mut self, bell: &Bell) {
        self.program.ring(bell);
        self.bell = Some(bell.clone());
    }

    /// Sources learn from a batch how fast they may go.
    pub(super) fn learn(&mut self, report: &BatchReport, done: Done) {
        self.program.learn(report, done);
    }

    /// Whether the run is to end.
    pub(super) fn is_asked_to_stop(&self) -> bool {
        self.stopping.is_asked()
    }

    /// Whether the time to end in is over.
    pub(super) fn is_out_of_time(&self) -> bool {
        self.stopping.is_over(&*self.opening.clock)
    }

    /// No batch follows: sinks make visible what they hold back.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let (program, means) = self.split();
        program.finish(&means)?;
        self.durable.take().map_or(Ok(()), Durable::close).map_err(at(usize::MAX))
    }

    /// Runs a batch over what was taken in.
    pub(super) fn batch(&mut self, time: i64, input: Input, close: bool) -> Result<Stepped, Failure> {
        match self.tries(&input) {
            None => self.run(time, input, close),
            Some(spare) => match self.run(time, input, close) {
                Ok(stepped) => {
                    self.stays();
                    Ok(stepped)
                }
                Err(failure) => {
                    let input = self.takes_back(failure, spare)?;
                    self.run(time, input, close)
                }
            },
        }
    }

    fn run(&mut self, time: i64, input: Input, close: bool) -> Result<Stepped, Failure> {
        self.forget_aside();
        let started = self.opening.clock.ticks();
        let batch = BatchTime { number: self.number, micros: time };
        let mut carry = std::mem::take(&mut self.carry);
        let mut durable = self.durable.take();
        let (program, means) = self.split();
        let done = program.run(batch, input, close, &mut carry, durable.as_mut(), &means);
        (self.carry, self.durable) = (carry, durable);
        let mut done = done?;
        if let Some(durable) = &mut self.durable {
            durable.tend().map_err(at(usize::MAX))?;
        }
        done.report.took = self.opening.clock.ticks().saturating_sub(started);
        self.last = Some(time);
        self.number += 1;
        Ok(Stepped { report: done.report, streams: done.streams })
    }

    /// What time it is.
    pub(super) fn now(&self) -> i64 {
        self.opening.clock.now()
    }

    /// A plan made ready as this session was opened, but for what is open already.
    pub(super) fn prepared(&mut self, plan: &Plan, held: Held) -> Result<Program, EngineError> {
        make_room(&mut self.room, plan, &self.opening).map_err(|error| before_start(plan, error))?;
        let setup = Setup { held, ..setup(plan, &self.opening, &self.pool, self.room.as_ref()) };
        let mut program = prepare(plan, &setup).map_err(EngineError::Refused)?;
        // What is put in later has this bell already.
        if let Some(bell) = &self.bell {
            program.ring(bell);
        }
        Ok(program)
    }

    /// Whether sinks are opened at all.
    pub(super) fn opens_sinks(&self) -> bool {
        self.opening.sinks
    }

    pub(super) fn split(&mut self) -> (&mut Program, Means<'_>) {
        let means = Means {
            pool: &self.pool,
            clock: &*self.opening.clock,
            stop: &self.stopping,
            block_rows: self.opening.block_rows.max(1),
            strict: self.opening.strict,
        };
        (&mut self.program, means)
    }

    /// What is read, whether it ends, and what is still to come in again.
    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    /// Whether rows that a sink refused are to come in again.
    pub(super) fn has_rejected(&self) -> bool {
        !self.carry.rejected.is_empty()
    }

    /// Whether an empty batch of that time has something to do under `every: 0s`: a watermark moves because a source is
    /// silent, or what is remembered may have run out of time.
    pub fn is_due(&self, time: i64) -> bool {
        let waited = self.last.map_or(0, |last| time.saturating_sub(last));
        self.would_move(time) || (waited >= EXPIRY && !self.held().is_empty())
    }

    fn would_move(&self, time: i64) -> bool {
        let marks = self.program.marks(&self.carry.marks, time, false);
        marks.iter().any(|mark| mark.before != mark.after)
    }

    /// A failure with the name of what failed.
    pub(super) fn failed(&self, failure: Failure) -> EngineError {
        let Some(node) = self.program.nodes.get(failure.node) else {
            let place = "the pipeline".into();
            return EngineError::Failed { batch: self.number, place, span: <_>::default(), error: failure.error };
        };
        EngineError::Failed { batch: self.number, place: node.place(), span: node.span, error: failure.error }
    }

    fn snapshot(&self) -> Result<Snapshot, Failure> {
        let mut snapshot =
            Snapshot { head: self.program.head(self.number, self.last, &self.carry.marks), ..Snapshot::default() };
        for step in &self.program.steps {
            let Step::Source(node, intake) = step else { continue };
            let heard = intake.mark.as_ref().map(|mark| mark.heard().clone()).unwrap_or_default();
            let state = SourceState { positions: intake.positions().clone(), heard };
            snapshot.sources.insert(self.program.nodes[*node].stream.clone(), state);
        }
        for (node, keyed) in self.program.keyed() {
            let tables = keyed.save().map_err(at(node))?;
            if !tables.is_empty() {
                let node = &self.program.nodes[node];
                snapshot.states.insert(node.identity.clone(), State { word: node.word.clone(), tables });
            }
        }
        snapshot.aside = self.saved_aside().map_err(at(usize::MAX))?.into_iter().collect();
        for (node, rows) in &self.carry.rejected {
            snapshot.rejected.insert(self.program.nodes[*node].identity.clone(), rows.clone());
        }
        Ok(snapshot)
    }

    /// Goes on from what is remembered. Before the first batch. Sources that are queues have nothing to go on from, unless
    /// it is wanted `whole`.
    pub(super) fn go_on_from(&mut self, snapshot: Snapshot, whole: bool) -> Result<(), Failure> {
        let Program { steps, nodes, .. } = &mut self.program;
        let Head { number, last, marks, settled, rates, .. } = snapshot.head;
        for step in steps {
            match step {
                Step::Source(node, intake) => {
                    let name = &nodes[*node].stream;
                    let Some(state) = snapshot.sources.get(name) else { continue };
                    if whole || !self.opening.queued && !self.opening.handed.contains(name) {
                        intake.go_on_from(state.positions.clone());
                    }
                    if let (Some(rate), Some(learnt)) = (&mut intake.rate, rates.get(name)) {
                        rate.restore(*learnt);
                    }
                    if let Some(mark) = &mut intake.mark {
                        mark.restore(state.heard.clone(), settled.get(name).copied());
                    }
                }
                Step::Compute(stage) => {
                    for (node, keyed) in stage.then.iter_mut().chain(&mut stage.also) {
                        let of = &nodes[*node];
                        let state = snapshot.states.get(&of.identity).filter(|s| s.word == of.word);
                        let Some(state) = state else { continue };
                        keyed.load(&state.tables, &self.pool).map_err(at(*node))?;
                    }
                }
                Step::Table(..) | Step::Sink(..) => {}
            }
        }
        self.carry.marks = nodes.iter().map(|node| marks.get(&node.identity).copied()).collect();
        let place = |identity: &String| nodes.iter().position(|node| node.identity == *identity);
        let rejected = snapshot.rejected.iter().filter_map(|(id, rows)| Some((place(id)?, rows.clone())));
        self.carry.rejected = rejected.collect();
        (self.number, self.last) = (number, last);
        let found = self.find_aside(snapshot.aside);
        found.map_err(|why| at(usize::MAX)(TaskError::Stop(format!("the checkpoint cannot be read: {why}"))))
    }
}

/// What a plan is to be beside what it says, given how its session was opened.
fn setup(plan: &Plan, opening: &Opening, pool: &Pool, room: Option<&Arc<Room>>) -> Setup {
    // What may have to be put on disk is put there in small pieces.
    let usual = if room.is_some() { PIECES.max(pool.size()) } else { pool.size() };
    let written = plan.header.settings.integer("partitions").and_then(|n| usize::try_from(n).ok());
    Setup {
        partitions: opening.partitions.or(written).unwrap_or(usual).max(1),
        room: room.cloned(),
        queued: opening.queued,
        handed: opening.handed.clone(),
        one_at_a_time: opening.one_at_a_time,
        without_sinks: !opening.sinks,
        history: opening.history.clone(),
        watch: opening.watch.clone(),
        held: Held::default(),
    }
}

/// A room for the state of a plan that has a limit, where what does not fit can be put somewhere.
fn make_room(room: &mut Option<Arc<Room>>, plan: &Plan, opening: &Opening) -> Result<(), TaskError> {
    let limit = opening.cold.as_ref().and_then(|place| place.limit(plan));
    match (limit, &room, &opening.cold) {
        (Some(limit), Some(room), _) => room.resize(limit),
        (Some(limit), None, Some(place)) => *room = Some(Room::new(place.clone(), limit)?),
        // Parts of the plan before may lie there.
        (None, Some(room), _) => room.resize(u64::MAX),
        (_, None, _) => {}
    }
    Ok(())
}

/// A failure before anything could be opened.
pub(super) fn before_start(plan: &Plan, error: TaskError) -> EngineError {
    let place = format!("the start of `{}`", plan.header.name);
    EngineError::Failed { batch: 0, place, span: <_>::default(), error }
}
