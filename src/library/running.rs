//! A pipeline at work in a program: rows in by name, a batch at a time, rows out by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;

use crate::engine::{BatchReport, Clock, EngineError, Opening, RealClock, Session, Stepped, Watch};
use crate::optimize::optimize_watched;
use crate::plan::graph::Work;
use crate::plan::{Plan, Port};

use super::feeder::{Feeder, Given, NotGiven};
use super::kept::Kept;

/// The word of the source that a program fills.
const QUEUE: &str = "queue";

/// How long `every: 0s` waits behind a batch without rows.
const IDLE: i64 = 1_000;

/// How a pipeline is started.
#[derive(Clone)]
pub struct Start {
    /// Which named streams can be read from a [`Batch`].
    pub watch: Watch,
    /// Rows of every source and table are given by the program, not only those of `queue()`: for tests. Nothing is
    /// committed to a checkpoint then.
    pub give_all: bool,
    /// Sinks are written to.
    pub sinks: bool,
    /// Threads that compute; one a core for none.
    pub threads: Option<usize>,
    /// Partitions that rows are brought together in by key; what the pipeline says, or one a thread, for none.
    pub partitions: Option<usize>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl Default for Start {
    fn default() -> Self {
        Start {
            watch: Watch::All,
            give_all: false,
            sinks: true,
            threads: None,
            partitions: None,
            clock: Arc::new(RealClock),
        }
    }
}

/// A pipeline at work.
pub struct Running {
    session: Session,
    clock: Arc<dyn Clock>,
    /// What is given by the program.
    given: BTreeMap<String, Given>,
}

impl Running {
    pub(super) fn open(plan: Plan, kept: &Kept, start: Start) -> Result<Self, EngineError> {
        let mut given = BTreeMap::new();
        for id in plan.ordered() {
            let node = plan.node(id);
            if let Work::Source(endpoint) | Work::Table(endpoint) = &node.work
                && (start.give_all || endpoint.word == QUEUE)
                && let Some(edge) = plan.edge(id, &Port::Out)
            {
                let buffer = endpoint.settings.size("buffer").and_then(|bytes| usize::try_from(bytes).ok());
                given.insert(node.stream.clone(), Given { columns: edge.schema.to_arrow(), buffer });
            }
        }
        let opening = Opening {
            partitions: start.partitions,
            threads: start.threads,
            queued: start.give_all,
            handed: given.keys().cloned().collect::<BTreeSet<_>>(),
            sinks: start.sinks,
            watch: start.watch.clone(),
            strict: cfg!(debug_assertions),
            clock: Arc::clone(&start.clock),
            ..Opening::default()
        };
        let optimized = optimize_watched(plan, &|name| start.watch.wants(name), &mut |_, _| {});
        let session = match kept.checkpoint(&optimized.plan).filter(|_| !start.give_all) {
            Some(checkpoint) => Session::open_at(&optimized.plan, opening, checkpoint?)?,
            None => Session::open(&optimized.plan, opening)?,
        };
        Ok(Running { session, clock: start.clock, given })
    }

    /// Gives rows to a `queue()`: more for a source, all there are for a table. Columns are found by name and may
    /// be of types that can be read as the declared ones. Never waits.
    pub fn give(&self, name: &str, rows: &RecordBatch) -> Result<(), NotGiven> {
        let feeder = self.feeder(name)?;
        feeder.inlet.give(vec![feeder.fitting(rows)?]);
        Ok(())
    }

    /// Gives rows from other threads, while this one steps.
    pub fn feeder(&self, name: &str) -> Result<Feeder, NotGiven> {
        if let (Some(given), Some(inlet)) = (self.given.get(name), self.session.inlet(name)) {
            return Ok(Feeder { name: name.to_owned(), given: given.clone(), inlet });
        }
        let all: Vec<_> = self.given.keys().map(|name| format!("`{name}`")).collect();
        let these = if all.is_empty() { "no input does".into() } else { format!("those that do: {}", all.join(", ")) };
        Err(NotGiven { name: name.to_owned(), why: format!("it takes none from the program; {these}") })
    }

    /// Whether rows that were given wait for a batch.
    pub fn has_waiting(&self) -> bool {
        self.session.has_waiting()
    }

    /// Runs the next batch, without waiting: its time is the next multiple of the interval, by the clock or by the
    /// batch before.
    pub fn step(&mut self) -> Result<Batch, EngineError> {
        self.step_at(self.session.next_time(self.clock.now()))
    }

    /// Runs a batch of that time, in microseconds since 1970 UTC.
    pub fn step_at(&mut self, micros: i64) -> Result<Batch, EngineError> {
        self.session.step(micros).map(Batch::of)
    }

    /// Runs batch after batch when they are due, until `stop` becomes true or every source has come to its end; in the
    /// latter case all open windows close with a last batch. `each` is shown every batch.
    pub fn run(&mut self, stop: &AtomicBool, mut each: impl FnMut(&Batch)) -> Result<(), EngineError> {
        while !stop.load(Ordering::Relaxed) {
            let time = self.session.next_time(self.clock.now());
            self.clock.wait_until(time, stop);
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let batch = self.step_at(time)?;
            each(&batch);
            let nothing = batch.report.sources.iter().all(|source| source.rows == 0);
            if nothing && self.session.ended() {
                let time = self.session.next_time(self.clock.now());
                each(&Batch::of(self.session.close(time)?));
                return Ok(());
            }
            if nothing && self.session.interval() == 0 {
                self.clock.wait_until(self.clock.now() + IDLE, stop);
            }
        }
        Ok(())
    }

    /// Runs a last, empty batch in which every open window closes.
    pub fn close(mut self) -> Result<Batch, EngineError> {
        let time = self.session.next_time(self.clock.now());
        self.session.close(time).map(Batch::of)
    }

    /// Lets the watermark of a source, or of all, reach a time with the next batch. False where there is no such
    /// source, or its rows have no time.
    pub fn advance_watermark(&mut self, source: Option<&str>, micros: i64) -> bool {
        self.session.advance_mark(source, micros)
    }

    /// Everything that is remembered, as bytes that [`Running::restore`] takes.
    pub fn save(&self) -> Result<Vec<u8>, EngineError> {
        self.session.save()
    }

    /// Goes on from what was saved, perhaps with other threads and partitions. Before the first batch.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), EngineError> {
        self.session.restore(saved)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("batches", &self.session.batches()).finish_non_exhaustive()
    }
}

/// What came of a batch.
#[derive(Debug)]
pub struct Batch {
    /// What became of the rows: read, handed on, filtered, late, bad, delivered.
    pub report: BatchReport,
    /// What the streams gave, by name: those that [`Start::watch`] wants.
    pub streams: BTreeMap<String, Vec<RecordBatch>>,
}

impl Batch {
    fn of(stepped: Stepped) -> Self {
        Batch { report: stepped.report, streams: stepped.streams }
    }

    /// What a stream, source or side output gave; empty where there is none of that name.
    pub fn stream(&self, name: &str) -> &[RecordBatch] {
        self.streams.get(name).map_or(&[], Vec::as_slice)
    }
}
