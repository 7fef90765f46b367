//! A pipeline at work in a program: rows in by name, a batch at a time, rows out by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::engine::{BatchReport, Clock, EngineError, Opening, RealClock, Session, Stepped, Watch};
use crate::formats::conform::conform;
use crate::model::Schema;
use crate::optimize::optimize_watched;
use crate::plan::graph::Work;
use crate::plan::{Plan, Port};

/// The word of the source that a program fills.
const QUEUE: &str = "queue";

/// How a pipeline is started.
#[derive(Clone)]
pub struct Start {
    /// Which named streams can be read from a [`Batch`].
    pub watch: Watch,
    /// Rows of every source and table are given by the program, not only those of `queue()`: for tests.
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
    /// The columns of what is given by the program.
    given: BTreeMap<String, Schema>,
}

impl Running {
    pub(super) fn open(plan: Plan, start: Start) -> Result<Self, EngineError> {
        let mut given = BTreeMap::new();
        for id in plan.ordered() {
            let node = plan.node(id);
            if let Work::Source(endpoint) | Work::Table(endpoint) = &node.work
                && (start.give_all || endpoint.word == QUEUE)
                && let Some(edge) = plan.edge(id, &Port::Out)
            {
                given.insert(node.stream.clone(), edge.schema.clone());
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
        let session = Session::open(&optimized.plan, opening)?;
        Ok(Running { session, clock: start.clock, given })
    }

    /// Gives rows to a `queue()`: more for a source, all there are for a table. Columns are found by name and may
    /// be of types that can be read as the declared ones.
    pub fn give(&self, name: &str, rows: &RecordBatch) -> Result<(), NotGiven> {
        let not = |why: String| NotGiven { name: name.to_owned(), why };
        let Some(schema) = self.given.get(name) else {
            let all: Vec<_> = self.given.keys().map(|name| format!("`{name}`")).collect();
            let these = if all.is_empty() { "nothing does".into() } else { format!("{} do", all.join(", ")) };
            return Err(not(format!("it does not take rows from the program; {these}")));
        };
        let (fitting, bad) = conform(rows, &schema.to_arrow()).map_err(not)?;
        if let Some(first) = bad.first() {
            return Err(not(format!("row {} has {}", first.line + 1, first.reason)));
        }
        self.session.give(name, vec![fitting]);
        Ok(())
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

/// Rows that an input did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotGiven {
    /// The input.
    pub name: String,
    /// Why, in a sentence.
    pub why: String,
}

impl fmt::Display for NotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was given no rows: {}", self.name, self.why)
    }
}

impl std::error::Error for NotGiven {}
