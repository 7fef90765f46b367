//! Steps the tasks of a stage written as text, without an engine: rows go in and come out as JSON. Every step checks
//! that each row became exactly one thing.

use std::io::Cursor;
use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, UInt8Type};
use arrow::json::{ReaderBuilder, WriterBuilder, writer::LineDelimited};
use millstream_dsl::SourceMap;

use crate::check::{Overrides, Program, ProgramFile};
use crate::engine::tables::{equal, merged};
use crate::engine::{self, EngineError, Opening, Session};
use crate::model::key_groups::{key_groups, partition_of};
use crate::plan::graph::Work;
use crate::plan::measure::Measured;
use crate::plan::operator::{BatchTime, Distribution, Evaluated, KeyedTask, SavedTable, StepTime, Task};
use crate::plan::{Plan, Port};

pub(in crate::operators) const SECOND: i64 = 1_000_000;

/// The columns of the source `rows`, whose time is `ts`.
const HEAD: &str = "pipeline p { every: 1s }\n\
    type Row = { k: string, n: int64, x: float64?, d: decimal(12, 2)?, m: map(string, int64)?, ts: timestamp }\n\
    source rows = queue() { schema: Row, time: ts, watermark: 0s } bad drop\n\
    source plain = queue() { schema: Row } bad drop\n\
    table start = queue() { schema: { k: string, total: int64 } }\n";

/// What came of a step.
#[derive(Debug, Default, Clone, PartialEq)]
pub(in crate::operators) struct Stepped {
    pub(in crate::operators) out: Vec<String>,
    pub(in crate::operators) late: Vec<String>,
    pub(in crate::operators) bad: Vec<String>,
    pub(in crate::operators) filtered: usize,
    pub(in crate::operators) partly_late: usize,
    /// Name and value of each meter.
    pub(in crate::operators) measured: Vec<String>,
}

/// The tasks of one stage.
pub(in crate::operators) struct Bench {
    plan: Plan,
    tasks: Vec<Box<dyn KeyedTask>>,
    distribution: Distribution,
    input: SchemaRef,
    table: SchemaRef,
    reads_table: bool,
    /// The rows of the table `start`, as JSON.
    pub(in crate::operators) start: Vec<String>,
    pub(in crate::operators) batch: BatchTime,
    pub(in crate::operators) mark: Option<i64>,
    followed: Followed,
}

/// What tasks saved when they were made, kept up with by what they say has changed since.
pub(in crate::operators) struct Followed(Vec<Vec<SavedTable>>);

impl Followed {
    pub(in crate::operators) fn of(tasks: &mut [Box<dyn KeyedTask>]) -> Self {
        tasks.iter_mut().for_each(|task| task.track());
        Followed(tasks.iter().map(|task| task.save().unwrap()).collect())
    }

    /// Behind a step: what changes make is what would be saved.
    pub(in crate::operators) fn step(&mut self, tasks: &mut [Box<dyn KeyedTask>]) {
        for (tables, task) in self.0.iter_mut().zip(tasks) {
            *tables = merged(std::mem::take(tables), task.changes().unwrap()).unwrap();
            let saved = task.save().unwrap();
            equal(tables, &saved).unwrap();
            // What comes out in the order in which rows came is held in it.
            let whole = |tables: &[SavedTable], name: &str| {
                let table = tables.iter().find(|table| table.name == name)?;
                let schema = table.rows.first()?.schema();
                concat_batches(&schema, &table.rows).ok().filter(|rows| rows.num_rows() > 0)
            };
            for name in ["cells", "rows", "left", "right"] {
                assert_eq!(whole(tables, name), whole(&saved, name));
            }
        }
    }

    /// The tables of all tasks.
    pub(in crate::operators) fn tables(&self) -> Vec<SavedTable> {
        self.0.iter().flatten().cloned().collect()
    }
}

/// The checked plan of a text, which must have no mistakes.
pub(in crate::operators) fn checked(text: &str) -> Plan {
    let mut sources = SourceMap::default();
    let id = sources.add("test.stream", text);
    let parsed = crate::load::parse(text, id, crate::load::Form::Stream);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    let file = ProgramFile { id, path: PathBuf::from("test.stream"), tree: parsed.tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file], incomplete: false, ..Program::default() };
    let checked = crate::check::check(&program, &crate::builtins::catalog(), &Overrides::default());
    let errors: Vec<_> = checked.problems.iter().filter(|p| p.is_error()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    checked.plan
}

impl Bench {
    /// `stage` over the rows of the source `rows`, in one partition.
    pub(in crate::operators) fn timed(stage: &str) -> Self {
        Bench::over("rows", stage, 1)
    }

    /// `stage` over the rows of a source without event time.
    pub(in crate::operators) fn untimed(stage: &str) -> Self {
        Bench::over("plain", stage, 1)
    }

    /// In so many partitions.
    pub(in crate::operators) fn over(source: &str, stage: &str, partitions: usize) -> Self {
        let plan = checked(&format!("{HEAD}stream out = from {source} |> {stage}\nfrom out |> into discard()\n"));
        let schema = |name: &str| {
            let (node, port) = plan.stream(name)?;
            plan.edge(node, port).map(|edge| edge.schema.to_arrow())
        };
        let input = schema(source).unwrap();
        let table = schema("start").unwrap_or_else(|| input.clone());
        let (_, distribution) = tasks(&plan, 0);
        let reads_table = stage.contains("init from");
        let mut bench = Bench {
            plan,
            tasks: Vec::new(),
            distribution,
            input,
            table,
            reads_table,
            start: Vec::new(),
            batch: BatchTime { number: 0, micros: 1_000 * SECOND },
            mark: None,
            followed: Followed(Vec::new()),
        };
        bench.tasks = bench.fresh(partitions);
        bench.followed = Followed::of(&mut bench.tasks);
        bench
    }

    fn fresh(&self, partitions: usize) -> Vec<Box<dyn KeyedTask>> {
        let single = matches!(self.distribution, Distribution::Single | Distribution::Any);
        tasks(&self.plan, if single { 1 } else { partitions }).0
    }

    /// One batch of these rows; the mark goes on to `mark` with it, the clock by a second.
    pub(in crate::operators) fn step(&mut self, rows: &[String], mark: Option<i64>) -> Stepped {
        let block = read_rows(&self.input, rows);
        self.blocks(vec![block], mark)
    }

    /// One batch of these blocks.
    pub(in crate::operators) fn blocks(&mut self, blocks: Vec<RecordBatch>, mark: Option<i64>) -> Stepped {
        let count: usize = blocks.iter().map(RecordBatch::num_rows).sum();
        let time = StepTime { batch: self.batch, mark_before: self.mark, mark_after: mark.or(self.mark) };
        self.mark = time.mark_after;
        self.batch = BatchTime { number: self.batch.number + 1, micros: self.batch.micros + SECOND };
        let mut inputs = vec![blocks];
        if self.reads_table {
            inputs.push(vec![read_rows(&self.table, &self.start)]);
        }
        let partitions = self.tasks.len();
        let (mut all, mut became) = (Stepped::default(), 0);
        for (i, task) in self.tasks.iter_mut().enumerate() {
            let mine = |(input, blocks): (usize, &Vec<RecordBatch>)| match &self.distribution {
                Distribution::ByKey(keys) => {
                    blocks.iter().map(|b| of_partition(b, &keys[input], i, partitions)).collect()
                }
                _ => blocks.clone(),
            };
            let shares = inputs.iter().enumerate().map(mine).collect();
            became += all.add(task.step(shares, &time).unwrap());
        }
        self.followed.step(&mut self.tasks);
        assert_eq!(count, became, "rows in, and what became of them: {all:?}");
        all
    }

    /// Goes on with new tasks from what changes made.
    pub(in crate::operators) fn restart(&mut self, partitions: usize) {
        let saved = self.followed.tables();
        self.tasks = self.fresh(partitions);
        let count = self.tasks.len();
        for (i, task) in self.tasks.iter_mut().enumerate() {
            task.load(split(&saved, i, count)).unwrap();
        }
        self.followed = Followed::of(&mut self.tasks);
    }

    pub(in crate::operators) fn keys(&self) -> usize {
        self.tasks.iter().map(|task| task.held().keys).sum()
    }

    pub(in crate::operators) fn saved(&self) -> Vec<SavedTable> {
        self.tasks[0].save().unwrap()
    }
}

/// So many tasks of the plan's only operator, and how rows are brought together for them.
pub(in crate::operators) fn tasks(plan: &Plan, count: usize) -> (Vec<Box<dyn KeyedTask>>, Distribution) {
    let operator = plan.ordered().into_iter().find_map(|id| match &plan.node(id).work {
        Work::Operator(operator) => Some(operator),
        _ => None,
    });
    let operator = operator.unwrap();
    let task = |_| match operator.task() {
        Ok(Task::Keyed(task)) => task,
        Ok(Task::Rows(_)) => panic!("`{}` is row-wise", operator.word()),
        Err(why) => panic!("{}", why.0),
    };
    ((0..count).map(task).collect(), operator.properties().distribution)
}

/// The rows of a block whose keys are of a partition.
fn of_partition(block: &RecordBatch, key: &[usize], partition: usize, partitions: usize) -> RecordBatch {
    let columns: Vec<_> = key.iter().map(|i| block.column(*i).clone()).collect();
    let groups = key_groups(&columns).unwrap();
    let rows = (0..block.num_rows()).filter(|row| partition_of(groups[*row], partitions) == partition);
    take_record_batch(block, &UInt32Array::from_iter_values(rows.map(|row| row as u32))).unwrap()
}

/// Of saved rows those of a partition, and one copy of those of no group.
fn split(saved: &[SavedTable], partition: usize, partitions: usize) -> Vec<SavedTable> {
    let mut tables: Vec<SavedTable> = Vec::new();
    for table in saved {
        for rows in &table.rows {
            let groups = rows.column_by_name("_group").unwrap().as_primitive::<UInt8Type>().clone();
            let first = tables.iter().all(|t| t.name != table.name);
            let mine = |row: &usize| match groups.is_valid(*row) {
                true => partition_of(groups.value(*row), partitions) == partition,
                false => first,
            };
            let mine = (0..rows.num_rows()).filter(mine).map(|row| row as u32);
            let rows = take_record_batch(rows, &UInt32Array::from_iter_values(mine)).unwrap();
            tables.push(SavedTable { name: table.name.clone(), identity: table.identity, rows: vec![rows] });
        }
    }
    tables
}

impl Stepped {
    /// Adds what came of a partition; how many input rows that accounts for.
    fn add(&mut self, evaluated: Evaluated) -> usize {
        let before = self.out.len() + self.late.len() + self.bad.len();
        let aside_before = self.late.len() + self.bad.len();
        for (port, rows) in evaluated.rows {
            let to = match port {
                Port::Out | Port::Branch(_) => &mut self.out,
                Port::Late => &mut self.late,
                Port::Bad => &mut self.bad,
                Port::Rejected => panic!("an operator rejects nothing"),
            };
            to.extend(json(&rows));
        }
        self.filtered += evaluated.filtered;
        self.partly_late += evaluated.partly_late;
        let shown = |m: Measured| format!("{} {}", m.name, m.so_far.map_or("-".into(), |value| value.to_string()));
        self.measured.extend(evaluated.measured.into_iter().map(shown));
        let aside = self.late.len() + self.bad.len() - aside_before;
        let straight = self.out.len() + self.late.len() + self.bad.len() - before - aside;
        evaluated.handed.unwrap_or(straight) + evaluated.filtered + evaluated.taken + aside - evaluated.made_bad
    }

    /// The rows in an order that does not depend on partitions.
    pub(in crate::operators) fn sorted(mut self) -> Vec<String> {
        self.out.sort();
        self.out
    }
}

/// Rows as JSON, nulls left out.
pub(in crate::operators) fn json(rows: &RecordBatch) -> Vec<String> {
    let mut writer = WriterBuilder::new().build::<_, LineDelimited>(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    String::from_utf8(writer.into_inner()).unwrap().lines().map(str::to_owned).collect()
}

/// A row of key and number at a second.
pub(in crate::operators) fn row(k: &str, n: i64, second: i64) -> String {
    format!(r#"{{"k": "{k}", "n": {n}, "m": {{}}, "ts": {}}}"#, second * SECOND)
}

/// A pipeline whose stream `out` is looked at, at work in an engine that holds every row to account.
pub(in crate::operators) struct Line {
    plan: Plan,
    session: Session,
    partitions: usize,
    time: i64,
}

impl Line {
    /// `stages` over the rows of the source `rows` or `plain`.
    pub(in crate::operators) fn of(source: &str, stages: &str, partitions: usize) -> Self {
        let plan = checked(&format!("{HEAD}stream out = from {source} |> {stages}\nfrom out |> into discard()\n"));
        let session = open(&plan, partitions);
        Line { plan, session, partitions, time: 1_000 * SECOND }
    }

    /// One batch of these rows, a block each, and what became of them.
    pub(in crate::operators) fn step(&mut self, rows: &[String]) -> Result<engine::Stepped, EngineError> {
        for source in ["rows", "plain"] {
            let Some((node, port)) = self.plan.stream(source) else { continue };
            let schema = self.plan.edge(node, port).unwrap().schema.to_arrow();
            let blocks = rows.iter().map(|row| read_rows(&schema, std::slice::from_ref(row))).collect();
            self.session.give(source, blocks);
        }
        self.time += SECOND;
        self.session.step(self.time)
    }

    /// The rows of `out` of one batch.
    pub(in crate::operators) fn out(&mut self, rows: &[String]) -> Vec<String> {
        self.stream("out", rows)
    }

    /// The rows of a stream of one batch.
    pub(in crate::operators) fn stream(&mut self, name: &str, rows: &[String]) -> Vec<String> {
        let stepped = self.step(rows).unwrap();
        stepped.streams.get(name).into_iter().flatten().flat_map(json).collect()
    }

    /// Saves everything and goes on in a new session.
    pub(in crate::operators) fn restart(&mut self) {
        let saved = self.session.save().unwrap();
        self.session = open(&self.plan, self.partitions);
        self.session.restore(&saved).unwrap();
    }
}

fn open(plan: &Plan, partitions: usize) -> Session {
    Session::open(plan, Opening { partitions: Some(partitions), ..Opening::default() }).unwrap()
}

fn read_rows(schema: &SchemaRef, rows: &[String]) -> RecordBatch {
    let reader = ReaderBuilder::new(schema.clone()).build(Cursor::new(rows.join("\n"))).unwrap();
    let blocks: Vec<_> = reader.collect::<Result<_, _>>().unwrap();
    concat_batches(schema, &blocks).unwrap()
}
