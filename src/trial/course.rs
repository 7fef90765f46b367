//! A test under way: the session it steps, its clock, and what its streams gave.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use datafusion_common::ScalarValue;
use millstream_dsl::{Diagnostic, Span};

use crate::engine::{EngineError, Opening, Session, Watch};
use crate::model::Schema;
use crate::plan::Port;
use crate::plan::catalog::Endpoint;
use crate::plan::graph::Work;
use crate::plan::scenario::{Action, Counted, ExpectedRow, ExpectedRows, Scenario};
use crate::plan::seams::BadRow;
use crate::trial::compare::{Demand, Row, Wanted, difference};
use crate::trial::mismatch::Mismatch;
use crate::trial::tally::Tally;
use crate::trial::value::Value;
use crate::trial::{Failed, START, Setting, given};

/// How many ticks of the clock `advance` runs one by one. A longer time is gone through as by a machine that slept: the
/// last of them takes what the others would have.
const TICKS: i64 = 10_000;

/// How far a step moves the clock under `every: 0s`.
const SOON: i64 = 1_000;

/// A test under way.
pub(super) struct Course<'a> {
    setting: Setting<'a>,
    session: Session,
    opening: Opening,
    /// What time it is.
    clock: i64,
    /// Rows for the next batch, by source.
    waiting: Vec<(String, Vec<RecordBatch>)>,
    /// Rows for the next batch that could not be read, by source.
    bad: Vec<(String, Vec<BadRow>)>,
    /// The rows of tables.
    tables: BTreeMap<String, Vec<RecordBatch>>,
    /// What streams gave, in each batch that it was not nothing.
    gave: BTreeMap<String, Vec<(u64, Vec<RecordBatch>)>>,
    /// How many entries of `gave` an expectation has taken.
    taken: BTreeMap<String, usize>,
    tally: Tally,
}

type Done = Result<(), Box<Failed>>;

impl<'a> Course<'a> {
    /// Opens the pipeline for a test.
    pub(super) fn open(setting: Setting<'a>, scenario: &Scenario) -> Result<Self, Box<Failed>> {
        let asked = scenario.steps.iter().filter_map(|step| match &step.action {
            Action::Expect { of, .. } | Action::ExpectCount { of, .. } => Some(of.clone()),
            _ => None,
        });
        let watch = Watch::Only(asked.collect::<BTreeSet<_>>());
        let opening = Opening { partitions: Some(1), watch, ..Opening::default() };
        let session = open(setting, &opening, scenario.span)?;
        let interval = session.interval().max(1);
        Ok(Course {
            setting,
            session,
            opening,
            clock: (START + interval - 1).div_euclid(interval) * interval,
            waiting: Vec::new(),
            bad: Vec::new(),
            tables: BTreeMap::new(),
            gave: BTreeMap::new(),
            taken: BTreeMap::new(),
            tally: Tally::default(),
        })
    }

    /// How many batches there were.
    pub(super) fn batches(&self) -> u64 {
        self.session.batches()
    }

    /// Queues rows of a source, or makes them a table's.
    pub(super) fn give(&mut self, input: &str, rows: &[Vec<ScalarValue>], at: Span) -> Done {
        let (_, schema) = self.input(input, at)?;
        let rows = given::from_cells(rows, &schema).map_err(|why| failed(at, why))?;
        self.hand_in(input, vec![rows]);
        Ok(())
    }

    /// The same from a file.
    pub(super) fn give_file(&mut self, input: &str, path: &std::path::Path, at: Span) -> Done {
        let (endpoint, schema) = self.input(input, at)?;
        let path = self.setting.base.join(path);
        let given = given::from_file(&path, &endpoint, &schema, self.setting.formats).map_err(|why| failed(at, why))?;
        if let Some(bad) = given.bad.first().filter(|_| !self.handles_bad(input)) {
            let (line, place, reason) = (bad.line, &bad.place, &bad.reason);
            let more = match given.bad.len() {
                1 => String::new(),
                2 => " (and another row)".into(),
                n => format!(" (and {} more rows)", n - 1),
            };
            let message = format!("line {line} of `{place}` is no row of `{input}`: {reason}{more}");
            let help =
                format!("where `{input}` says what becomes of bad rows (`bad to x`, `bad drop`), they may be given");
            return Err(Failed::of(Diagnostic::error("", at, message).help(help)));
        }
        self.hand_in(input, given.rows);
        if !given.bad.is_empty() {
            self.bad.push((input.to_owned(), given.bad));
        }
        Ok(())
    }

    /// Whether it is said what becomes of rows of a source that cannot be read.
    fn handles_bad(&self, source: &str) -> bool {
        let plan = self.setting.plan;
        let Some((node, _)) = plan.stream(source).filter(|_| !self.is_table(source)) else { return false };
        plan.node(node).fates.contains_key(&Port::Bad)
            || plan.streams().any(|(_, of, port)| of == node && *port == Port::Bad)
    }

    fn hand_in(&mut self, input: &str, rows: Vec<RecordBatch>) {
        if self.is_table(input) {
            self.tables.insert(input.to_owned(), rows.clone());
            self.session.give(input, rows);
        } else {
            self.waiting.push((input.to_owned(), rows));
        }
    }

    /// Runs the next batch: the clock moves on to it.
    pub(super) fn step(&mut self, at: Span) -> Done {
        let soon = if self.session.interval() == 0 { SOON } else { 1 };
        self.batch(self.session.next_time(self.clock + soon), at)
    }

    /// Moves the clock and runs the batches that fall due.
    pub(super) fn advance(&mut self, micros: i64, at: Span) -> Done {
        let until = self.clock.saturating_add(micros);
        let interval = self.session.interval();
        if interval == 0 {
            self.step_waiting(at)?;
            self.clock = until;
            return if self.session.is_due(until) { self.batch(self.session.next_time(until), at) } else { Ok(()) };
        }
        for _ in 1..TICKS {
            let due = self.session.next_time(self.clock + 1);
            if due > until {
                self.clock = until;
                return Ok(());
            }
            self.batch(due, at)?;
        }
        let last = until.div_euclid(interval) * interval;
        if last > self.clock {
            self.batch(last, at)?;
        }
        self.clock = until;
        Ok(())
    }

    /// Runs what waits, then moves watermarks and runs the batch that notices.
    pub(super) fn advance_mark(&mut self, of: Option<&str>, to: i64, at: Span) -> Done {
        self.step_waiting(at)?;
        if !self.session.advance_mark(of, to) {
            let who = of.map_or_else(|| "no source".into(), |of| format!("`{of}` is no source that"));
            let problem = Diagnostic::error("", at, format!("{who} has a watermark")).label("nothing to move");
            return Err(Failed::of(problem.help("a source has one where it says which column is its time, and how late:\n  { ..., time: ts, watermark: 30s }")));
        }
        self.step(at)
    }

    /// Saves everything, forgets it, and goes on from what was saved in another number of partitions.
    pub(super) fn restart(&mut self, at: Span) -> Done {
        // What a source has taken in part must not be given twice; what it has not seen waits here.
        while self.session.has_waiting() {
            self.step(at)?;
        }
        let saved = self.session.save().map_err(|error| broken(error, at))?;
        let partitions = self.opening.partitions.map(|n| n % 3 + 1);
        self.opening = Opening { partitions, ..self.opening.clone() };
        self.session = open(self.setting, &self.opening, at)?;
        self.session.restore(&saved).map_err(|error| broken(error, at))?;
        for (table, rows) in &self.tables {
            self.session.give(table, rows.clone());
        }
        Ok(())
    }

    /// Compares rows. Without a batch, everything since this was last asked of that stream is taken.
    pub(super) fn expect(&mut self, of: &str, batch: Option<u64>, expected: &ExpectedRows, at: Span) -> Done {
        self.step_waiting(at)?;
        let Some(schema) = self.schema(of) else { return Err(failed(at, format!("there is no stream `{of}`"))) };
        if let Some(number) = batch.filter(|n| *n == 0 || *n > self.batches()) {
            let have = self.batches();
            let problem = Diagnostic::error("", at, format!("there was no batch {number}, only {have} of them"));
            return Err(Failed::of(problem.label("none of this number").help("batches count from 1")));
        }
        let given = self.rows(of, batch, &schema).map_err(|why| failed(at, why))?;
        let (demand, wanted) = wanted(expected, &schema).map_err(|why| failed(at, why))?;
        let Some(difference) = difference(demand, &wanted, &given) else { return Ok(()) };
        let of = batch.map_or_else(|| format!("`{of}`"), |n| format!("batch {n} of `{of}`"));
        let mismatch = Mismatch { of, demand, columns: schema.columns, wanted, given, difference };
        let problem = Diagnostic::error("", at, mismatch.sentence()).label(mismatch.label());
        Err(Box::new(Failed { problem, mismatch: Some(mismatch) }))
    }

    /// Compares a counter, which counts since the test began.
    pub(super) fn expect_count(&mut self, what: Counted, of: &str, count: u64, at: Span) -> Done {
        self.step_waiting(at)?;
        let found = self.tally.count(what, of);
        if found == count {
            return Ok(());
        }
        let problem = Diagnostic::error("", at, format!("{}, but {count} expected", said(what, of, found)));
        let problem = problem.label(format!("{found} so far"));
        Err(Failed::of(match what {
            Counted::Rejected => problem.help("sinks reject rows, and tests open none of them"),
            _ => problem,
        }))
    }

    /// What a stream gave: in that batch, or since it was last taken, and then it is taken. A table has its rows.
    fn rows(&mut self, of: &str, batch: Option<u64>, schema: &Schema) -> Result<Vec<Row>, String> {
        if self.is_table(of) {
            return rows(self.tables.get(of).into_iter().flatten(), schema);
        }
        let all = self.gave.get(of).map(Vec::as_slice).unwrap_or_default();
        match batch {
            Some(number) => rows(all.iter().filter(|(n, _)| *n == number).flat_map(|(_, rows)| rows), schema),
            None => {
                let taken = self.taken.insert(of.to_owned(), all.len()).unwrap_or(0);
                rows(all[taken..].iter().flat_map(|(_, rows)| rows), schema)
            }
        }
    }

    fn step_waiting(&mut self, at: Span) -> Done {
        while !self.waiting.is_empty() || !self.bad.is_empty() || self.session.has_waiting() {
            self.step(at)?;
        }
        Ok(())
    }

    fn batch(&mut self, time: i64, at: Span) -> Done {
        for (input, rows) in self.waiting.drain(..) {
            self.session.give(&input, rows);
        }
        for (source, rows) in self.bad.drain(..) {
            self.session.give_bad(&source, rows);
        }
        self.clock = time;
        let done = self.session.step(time).map_err(|error| broken(error, at))?;
        self.tally.add(&done.report);
        let number = self.session.batches();
        for (stream, rows) in done.streams {
            let count = rows.iter().map(|block| block.num_rows() as u64).sum();
            self.tally.gave(&stream, count);
            if count > 0 {
                self.gave.entry(stream).or_default().push((number, rows));
            }
        }
        Ok(())
    }

    fn is_table(&self, name: &str) -> bool {
        let plan = self.setting.plan;
        plan.stream(name).is_some_and(|(node, _)| matches!(plan.node(node).work, Work::Table(_)))
    }

    fn schema(&self, of: &str) -> Option<Schema> {
        let (node, port) = self.setting.plan.stream(of)?;
        Some(self.setting.plan.edge(node, port)?.schema.clone())
    }

    fn input(&self, name: &str, at: Span) -> Result<(Endpoint, Schema), Box<Failed>> {
        let plan = self.setting.plan;
        let endpoint = plan.stream(name).and_then(|(node, _)| match &plan.node(node).work {
            Work::Source(endpoint) | Work::Table(endpoint) => Some(endpoint.clone()),
            Work::Operator(_) | Work::Sink(_) => None,
        });
        endpoint.zip(self.schema(name)).ok_or_else(|| failed(at, format!("there is no source or table `{name}`")))
    }
}

/// "2 rows of `paid` were filtered"
fn said(what: Counted, of: &str, count: u64) -> String {
    let (rows, were) = if count == 1 { ("row", "was") } else { ("rows", "were") };
    let word = Counted::ALL.iter().find(|(counted, _)| *counted == what).map_or("", |(_, word)| word);
    match what {
        Counted::In => format!("{count} {rows} came into `{of}`"),
        Counted::Out => format!("{count} {rows} went out of `{of}`"),
        _ => format!("{count} {rows} of `{of}` {were} {word}"),
    }
}

fn open(setting: Setting<'_>, opening: &Opening, at: Span) -> Result<Session, Box<Failed>> {
    Session::open(setting.plan, opening.clone()).map_err(|error| broken(error, at))
}

fn failed(at: Span, why: String) -> Box<Failed> {
    Failed::of(Diagnostic::error("", at, why))
}

/// What the engine could not do, said at the step of the test and at the stage.
fn broken(error: EngineError, at: Span) -> Box<Failed> {
    Failed::of(match error {
        EngineError::Refused(refusals) => {
            let message = "the pipeline has no mistakes, but cannot be run";
            let mut refusals = refusals.into_iter();
            let first = refusals.next().map(|first| Diagnostic::error("", first.span, message).label(first.message));
            let problem = first.unwrap_or_else(|| Diagnostic::error("", at, message));
            refusals.fold(problem, |problem, refused| problem.also(refused.span, refused.message))
        }
        EngineError::Failed { place, span, error, .. } => {
            Diagnostic::error("", at, format!("the batch failed at {place}: {error}"))
                .label("ran it")
                .also(span, "failed")
        }
    })
}

fn wanted(expected: &ExpectedRows, schema: &Schema) -> Result<(Demand, Vec<Wanted>), String> {
    let cell = |(i, scalar): &(usize, ScalarValue)| {
        let value = Value::of_scalar(&schema.columns[*i].slot.ty, scalar).map_err(|e| e.to_string())?;
        Ok::<_, String>((*i, value))
    };
    let row = |row: &ExpectedRow| row.iter().map(cell).collect::<Result<Wanted, _>>();
    let all = |rows: &[ExpectedRow]| rows.iter().map(row).collect::<Result<Vec<_>, _>>();
    Ok(match expected {
        ExpectedRows::Exactly(rows) => (Demand::Exactly, all(rows)?),
        ExpectedRows::Contains(rows) => (Demand::Contains, all(rows)?),
        ExpectedRows::InOrder(rows) => (Demand::InOrder, all(rows)?),
        ExpectedRows::Nothing => (Demand::Exactly, Vec::new()),
    })
}

fn rows<'r>(blocks: impl Iterator<Item = &'r RecordBatch>, schema: &Schema) -> Result<Vec<Row>, String> {
    let mut all: Vec<Row> = Vec::new();
    for block in blocks {
        all.extend(Value::of_rows(schema, block).map_err(|e| e.to_string())?);
    }
    Ok(all)
}
