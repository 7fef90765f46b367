//! Sources, sinks and operators made by hand, so that the engine is tested without any of the real ones.

mod operators;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use millstream_dsl::Span;

use self::operators::{Count, Marks, Unrunnable, Words};
use crate::engine::{BatchReport, Report};
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{Changes, Doc, Endpoint, EndpointEntry, RowsFrom, SinkEntry, SourceEntry};
use crate::plan::graph::{NodeId, Running, Work};
use crate::plan::operator::{BatchTime, TaskError};
use crate::plan::seams::{Artifact, BadRow, Delivered, Limits, Position, Positions, Read, Sink, Source, Split};
use crate::plan::{Edge, EventTime, Mode, Operator, OptionValue, Plan, PlanNode, Port, Settings};

/// Keeps what a run reports.
#[derive(Default)]
pub(super) struct Noted {
    pub(super) times: Vec<i64>,
    /// Asks for the end after so many batches.
    pub(super) stop_after: Option<(usize, Arc<AtomicBool>)>,
}

impl Report for Noted {
    fn batch(&mut self, done: &BatchReport) {
        self.times.push(done.time);
        if let Some((count, stop)) = &self.stop_after
            && self.times.len() == *count
        {
            stop.store(true, Ordering::Relaxed);
        }
    }

    fn note(&mut self, _: &str) {}
}

/// A plan and what its last sink gets.
pub(super) struct Pipeline {
    pub(super) plan: Plan,
    pub(super) sink: Caught,
    last: NodeId,
}

/// The batches a sink got.
#[derive(Clone, Default)]
pub(super) struct Caught(Arc<Mutex<Vec<Vec<RecordBatch>>>>);

impl Caught {
    pub(super) fn batches(&self) -> Vec<Vec<RecordBatch>> {
        self.0.lock().unwrap().clone()
    }
}

/// Words and counts, by word.
pub(super) fn counts(batch: &[RecordBatch]) -> Vec<(String, i64)> {
    let mut counts = in_order(&[batch.to_vec()]).remove(0);
    counts.sort();
    counts
}

/// Words and counts as they came.
pub(super) fn in_order(batches: &[Vec<RecordBatch>]) -> Vec<Vec<(String, i64)>> {
    let row = |block: &RecordBatch, i: usize| {
        let word = block.column(0).as_string::<i32>().value(i).to_owned();
        (word, block.column(1).as_primitive::<Int64Type>().value(i))
    };
    let rows = |batch: &Vec<RecordBatch>| {
        batch.iter().flat_map(|block| (0..block.num_rows()).map(|i| row(block, i)).collect::<Vec<_>>()).collect()
    };
    batches.iter().map(rows).collect()
}

impl Pipeline {
    /// What the source gives.
    pub(super) fn lines() -> Schema {
        lines_schema()
    }

    /// Lines, a batch each, to counts of words.
    pub(super) fn word_count(batches: &[&[&str]]) -> Self {
        let mut plan = Plan::default();
        let source = add_source(&mut plan, batches);
        let words = add_operator(&mut plan, Box::new(Words), words_schema());
        let count = add_operator(&mut plan, Box::new(Count), counts_schema());
        plan.connect(source, Port::Out, words, 0);
        plan.connect(words, Port::Out, count, 0);
        let (last, sink) = add_sink(&mut plan, &counts_schema(), false);
        plan.connect(count, Port::Out, last, 0);
        Pipeline { plan, sink, last: count }
    }

    /// Lines into a sink that refuses "bad", and what it refuses into another.
    pub(super) fn refusing(batches: &[&[&str]]) -> Self {
        let mut plan = Plan::default();
        let source = add_source(&mut plan, batches);
        let (first, _) = add_sink(&mut plan, &lines_schema(), true);
        plan.connect(source, Port::Out, first, 0);
        let (last, sink) = add_sink(&mut plan, &rejected_schema(), false);
        plan.connect(first, Port::Rejected, last, 0);
        Pipeline { plan, sink, last }
    }

    /// Seconds, up to ten of them late, to what a stage sees of the watermark.
    pub(super) fn timed(batches: &[&[&str]]) -> Self {
        let mut plan = Plan::default();
        let time = EventTime { column: "ts".into(), delay: Some(10_000_000), ends_window: false };
        let edge = Edge { time: Some(time), ..Edge::append(times_schema()) };
        let source = add_source_of(&mut plan, batches, edge);
        let marks = add_operator(&mut plan, Box::new(Marks), counts_schema());
        plan.connect(source, Port::Out, marks, 0);
        let (last, sink) = add_sink(&mut plan, &counts_schema(), false);
        plan.connect(marks, Port::Out, last, 0);
        Pipeline { plan, sink, last: marks }
    }

    /// Lines that cannot be read into a sink.
    pub(super) fn with_bad_rows(batches: &[&[&str]]) -> Self {
        let mut plan = Plan::default();
        let source = add_source(&mut plan, batches);
        let (last, sink) = add_sink(&mut plan, &BadRow::schema(), false);
        plan.connect(source, Port::Bad, last, 0);
        Pipeline { plan, sink, last }
    }

    /// A stage that has no running half.
    pub(super) fn add_unrunnable(&mut self, word: &'static str) {
        let stage = add_operator(&mut self.plan, Box::new(Unrunnable(word)), counts_schema());
        self.plan.connect(self.last, Port::Out, stage, 0);
    }
}

fn schema(columns: &[(&str, Type)]) -> Schema {
    Schema::new(columns.iter().map(|(name, ty)| Column::new(*name, Slot::required(ty.clone()))).collect())
}

fn lines_schema() -> Schema {
    schema(&[("line", Type::String)])
}

fn words_schema() -> Schema {
    schema(&[("word", Type::String)])
}

fn times_schema() -> Schema {
    schema(&[("ts", Type::Timestamp(None))])
}

fn counts_schema() -> Schema {
    schema(&[("word", Type::String), ("n", Type::Int64)])
}

fn rejected_schema() -> Schema {
    schema(&[("line", Type::String), ("_reason", Type::String)])
}

fn add(plan: &mut Plan, stream: &str, work: Work, outputs: BTreeMap<Port, Edge>) -> NodeId {
    let run = match &work {
        Work::Operator(operator) => {
            let halved = operator.halves().is_some();
            Running { halved, fused: halved || operator.properties().row_wise, ..Running::default() }
        }
        _ => Running::default(),
    };
    plan.add(PlanNode {
        stream: stream.into(),
        identity: stream.into(),
        work,
        outputs,
        fates: BTreeMap::new(),
        on_change: None,
        run,
        span: Span::default(),
    })
}

fn add_operator(plan: &mut Plan, operator: Box<dyn Operator>, out: Schema) -> NodeId {
    let added = add(plan, "counts", Work::Operator(operator.into()), BTreeMap::from([(Port::Out, Edge::append(out))]));
    plan.name("counts", added, Port::Out);
    added
}

fn endpoint(word: &str, entry: EndpointEntry, settings: Settings, schema: Schema) -> Endpoint {
    Endpoint {
        name: word.into(),
        word: word.into(),
        entry,
        settings,
        format: None,
        schema,
        changes: false,
        pipeline: "p".into(),
        base: ".".into(),
    }
}

fn add_source(plan: &mut Plan, batches: &[&[&str]]) -> NodeId {
    add_source_of(plan, batches, Edge::append(lines_schema()))
}

/// A source of lines, or of times where the edge has such.
fn add_source_of(plan: &mut Plan, batches: &[&[&str]], edge: Edge) -> NodeId {
    let text = |line: &&str| OptionValue::Text((*line).to_owned());
    let batches = batches.iter().map(|lines| OptionValue::List(lines.iter().map(text).collect())).collect();
    let mut settings = Settings::default();
    settings.set("batches", OptionValue::List(batches), Span::default());
    let entry = SourceEntry {
        doc: Doc::new("given", "gives rows", "given"),
        args: Vec::new(),
        options: Vec::new(),
        rows: RowsFrom::Fixed(lines_schema().columns),
        rewinds: true,
        table: false,
        mode: |_| Mode::Append,
        feature: None,
        conflicts: |_| Vec::new(),
        sample: None,
        open: SourceEntry::by(|endpoint| Ok(Box::new(Given::of(&endpoint.settings)))),
    };
    settings.set("times", OptionValue::Bool(edge.time.is_some()), Span::default());
    let source = endpoint("given", EndpointEntry::Source(Arc::new(entry)), settings, edge.schema.clone());
    let out = BTreeMap::from([(Port::Out, edge), (Port::Bad, Edge::append(BadRow::schema()))]);
    let added = add(plan, "lines", Work::Source(source), out);
    plan.name("lines", added, Port::Out);
    added
}

/// Sinks find what they fill by a number: an entry's `open` is a plain function.
static CAUGHT: Mutex<Vec<Caught>> = Mutex::new(Vec::new());

fn add_sink(plan: &mut Plan, schema: &Schema, refuses: bool) -> (NodeId, Caught) {
    let caught = Caught::default();
    let mut all = CAUGHT.lock().unwrap();
    let number = i64::try_from(all.len()).unwrap();
    all.push(caught.clone());
    let mut settings = Settings::default();
    settings.set("number", OptionValue::Integer(number), Span::default());
    settings.set("refuses", OptionValue::Bool(refuses), Span::default());
    let entry = SinkEntry {
        doc: Doc::new("catch", "keeps rows", "catch"),
        args: Vec::new(),
        options: Vec::new(),
        takes_changes: |_| Changes::Any,
        format: None,
        guarantee: |_| String::new(),
        target: |_| None,
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(|endpoint| Ok(Box::new(Catch::of(&endpoint.settings)))),
    };
    let sink = endpoint("catch", EndpointEntry::Sink(Arc::new(entry)), settings, schema.clone());
    let out = BTreeMap::from([(Port::Rejected, Edge::append(rejected_schema()))]);
    (add(plan, "counts", Work::Sink(sink), out), caught)
}

/// Gives a list of lines a batch; lines that start with `!` cannot be read.
struct Given {
    batches: VecDeque<Vec<String>>,
    /// Whether the lines are seconds.
    times: bool,
}

impl Given {
    fn of(settings: &Settings) -> Self {
        let Some(OptionValue::List(batches)) = settings.get("batches") else { panic!("no batches") };
        let text = |value: &OptionValue| if let OptionValue::Text(t) = value { t.clone() } else { String::new() };
        let lines = |batch: &OptionValue| match batch {
            OptionValue::List(lines) => lines.iter().map(text).collect(),
            _ => Vec::new(),
        };
        Given { batches: batches.iter().map(lines).collect(), times: settings.flag("times") }
    }
}

impl Source for Given {
    fn discover(&mut self, _: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        Ok(vec![Split { id: "given".into() }])
    }

    fn read(&mut self, _: &Split, from: &Position, _: &Limits) -> Result<Read, TaskError> {
        let Some(lines) = self.batches.pop_front() else {
            return Ok(Read { to: from.clone(), exhausted: true, ..Read::default() });
        };
        let (bad, good): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with('!'));
        let reason = || "starts with !".to_owned();
        let bad =
            bad.into_iter().map(|text| BadRow { text, reason: reason(), place: "given".into(), line: 1, bytes: None });
        let block = if self.times {
            let times = good.iter().map(|second| second.parse::<i64>().unwrap() * 1_000_000);
            let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
            RecordBatch::try_new(times_schema().to_arrow(), vec![Arc::new(times)]).unwrap()
        } else {
            RecordBatch::try_new(lines_schema().to_arrow(), vec![Arc::new(StringArray::from(good))]).unwrap()
        };
        let to = Position(vec![from.0.first().copied().unwrap_or(0) + 1]);
        Ok(Read { blocks: vec![block], bad: bad.collect(), to, bytes: 1, exhausted: false })
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }
}

/// Keeps rows; refuses rows that say "bad".
struct Catch {
    caught: Caught,
    staged: Vec<RecordBatch>,
    refuses: bool,
}

impl Catch {
    fn of(settings: &Settings) -> Self {
        let number = usize::try_from(settings.integer("number").unwrap()).unwrap();
        let caught = CAUGHT.lock().unwrap()[number].clone();
        Catch { caught, staged: Vec::new(), refuses: settings.flag("refuses") }
    }
}

impl Sink for Catch {
    fn stage(&mut self, _: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        self.staged = rows.to_vec();
        Ok(Artifact::default())
    }

    fn deliver(&mut self, _: &BatchTime, _: &Artifact) -> Result<Delivered, TaskError> {
        let rows = std::mem::take(&mut self.staged);
        let mut rejected = Vec::new();
        if self.refuses {
            let all = concat_batches(&rows[0].schema(), &rows).unwrap();
            let bad = (0..all.num_rows()).filter(|i| all.column(0).as_string::<i32>().value(*i) == "bad");
            rejected = bad.map(|i| (all.slice(i, 1), "not wanted".into())).collect();
        }
        self.caught.0.lock().unwrap().push(rows);
        Ok(Delivered { rejected })
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}
