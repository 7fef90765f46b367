//! A stage with two inputs on a bench: its tasks are made from text, its rows written as `id seconds number`, and every
//! step's accounts are held against its rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType, UInt8Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_dsl::{Diagnostic, Severity, SourceMap};

use crate::check::{Overrides, Program, ProgramFile, check};
use crate::model::key_groups::{key_groups, partition_of};
use crate::operators::stepping::Followed;
use crate::plan::graph::Work;
use crate::plan::operator::{BatchTime, Distribution, Held, KeyedTask, SavedTable, StepTime, Task};
use crate::plan::{Plan, Port, Properties};

const SECOND: i64 = 1_000_000;

/// The mark behind everything, in seconds.
pub(crate) const END: i64 = i64::MAX;

const BEFORE: &str = r#"
pipeline p { every: 1s }
type A = { id: string?, ts: timestamp, v: int64 }
type B = { id: string?, ts: timestamp, w: int64 }
source a = files("a.json") { format: json, schema: A, time: ts, watermark: 0s }
source b = files("b.json") { format: json, schema: B, time: ts, watermark: 0s }
table t = files("t.json") { format: json, schema: B, time: ts }
"#;

/// A stage and its tasks.
pub(crate) struct Bench {
    plan: Plan,
    word: &'static str,
    tasks: Vec<Box<dyn KeyedTask>>,
    batch: u64,
    mark: Option<i64>,
    followed: Followed,
}

/// What a step gave, rows as text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) out: Vec<String>,
    pub(crate) late: Vec<String>,
    pub(crate) bad: Vec<String>,
    pub(crate) handed: usize,
    pub(crate) filtered: usize,
    pub(crate) taken: usize,
    pub(crate) partly_late: usize,
}

/// Checks `from a |> STAGE` with whatever is wrong with it.
pub(crate) fn checked(stage: &str) -> (Plan, Vec<Diagnostic>) {
    let text = format!("{BEFORE}\nstream out = from a\n  |> {stage}\nfrom out |> into console\n");
    let mut sources = SourceMap::new();
    let id = sources.add("bench.stream", &text);
    let parsed = millstream_dsl::parse::file(id, &text);
    assert_eq!(parsed.problems, Vec::new(), "{text}");
    let file = ProgramFile { id, path: "bench.stream".into(), tree: parsed.tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file], incomplete: false, ..Program::default() };
    let checked = check(&program, &crate::builtins::catalog(), &Overrides::new());
    (checked.plan, checked.problems)
}

impl Bench {
    /// `from a |> STAGE` in so many partitions; the other input is the stream `b` or the table `t`.
    pub(crate) fn new(word: &'static str, stage: &str, partitions: usize) -> Self {
        let (plan, problems) = checked(stage);
        // Columns of one name are in the way of the sink only.
        let grave = |p: &&Diagnostic| p.severity == Severity::Error && p.code != "colliding-columns";
        let errors: Vec<_> = problems.iter().filter(grave).collect();
        assert!(errors.is_empty(), "{stage}\n{errors:#?}");
        let mut bench = Bench { plan, word, tasks: Vec::new(), batch: 0, mark: None, followed: Followed::of(&mut []) };
        bench.tasks = bench.new_tasks(partitions);
        bench.followed = Followed::of(&mut bench.tasks);
        bench
    }

    fn operator(&self) -> &dyn crate::plan::Operator {
        let mut found = self.plan.ordered().into_iter().filter_map(|id| match &self.plan.node(id).work {
            Work::Operator(operator) if operator.word() == self.word => Some(operator.as_ref()),
            _ => None,
        });
        found.next().unwrap()
    }

    pub(crate) fn properties(&self) -> Properties {
        self.operator().properties()
    }

    fn new_tasks(&self, partitions: usize) -> Vec<Box<dyn KeyedTask>> {
        let single = self.properties().distribution == Distribution::Single;
        let make = |_| match self.operator().task().unwrap() {
            Task::Keyed(task) => task,
            Task::Rows(_) => panic!("not a keyed task"),
        };
        (0..if single { 1 } else { partitions }).map(make).collect()
    }

    /// One batch: `x 10 1, - 11 2` on either side; the watermark moves to `mark` (in seconds).
    pub(crate) fn step(&mut self, left: &str, right: &str, mark: impl Into<Option<i64>>) -> Given {
        self.step_rows((read(left, "v"), read(right, "w")), mark)
    }

    pub(crate) fn step_rows(&mut self, sides: (RecordBatch, RecordBatch), mark: impl Into<Option<i64>>) -> Given {
        let micros = |mark: i64| if mark == END { StepTime::END } else { mark * SECOND };
        let after = mark.into().map(micros).or(self.mark);
        let batch = BatchTime { number: self.batch, micros: self.batch as i64 * SECOND };
        let time = StepTime { batch, mark_before: self.mark, mark_after: after };
        let counted = sides.0.num_rows()
            + if matches!(self.properties().distribution, Distribution::Beside { .. }) {
                0
            } else {
                sides.1.num_rows()
            };
        let shares = self.shares([sides.0, sides.1]);
        let mut given = Given::default();
        for (task, share) in self.tasks.iter_mut().zip(shares) {
            let schema = task.schema();
            let evaluated = task.step(share, &time).unwrap();
            let mut came_out = 0;
            for (port, rows) in evaluated.rows {
                let texts = written(&rows);
                match port {
                    Port::Out => {
                        assert_eq!(rows.schema(), schema);
                        came_out += rows.num_rows();
                        given.out.extend(texts);
                    }
                    Port::Late => given.late.extend(texts),
                    Port::Bad => given.bad.extend(texts),
                    other => panic!("rows through {other:?}"),
                }
            }
            given.handed += evaluated.handed.unwrap_or(came_out);
            given.filtered += evaluated.filtered;
            given.taken += evaluated.taken;
            given.partly_late += evaluated.partly_late;
        }
        let accounted = given.handed + given.filtered + given.taken + given.late.len() + given.bad.len();
        assert_eq!(counted, accounted, "{given:?}");
        self.followed.step(&mut self.tasks);
        self.batch += 1;
        self.mark = after;
        given
    }

    fn shares(&self, sides: [RecordBatch; 2]) -> Vec<Vec<Vec<RecordBatch>>> {
        let count = self.tasks.len();
        let mut shares = vec![Vec::new(); count];
        for (input, rows) in sides.into_iter().enumerate() {
            let cut: Vec<Vec<RecordBatch>> = match self.properties().distribution {
                Distribution::ByKey(keys) => {
                    let key: Vec<_> = keys[input].iter().map(|i| rows.column(*i).clone()).collect();
                    let groups = key_groups(&key).unwrap();
                    (0..count).map(|p| vec![picked(&rows, |row| partition_of(groups[row], count) == p)]).collect()
                }
                Distribution::Beside { whole } if whole.contains(&input) => vec![vec![rows]; count],
                Distribution::Beside { .. } => {
                    let size = rows.num_rows().div_ceil(count);
                    (0..count).map(|p| vec![picked(&rows, |row| row / size == p)]).collect()
                }
                Distribution::Single => vec![vec![rows]],
                other => panic!("not foreseen: {other:?}"),
            };
            shares.iter_mut().zip(cut).for_each(|(share, rows)| share.push(rows));
        }
        shares
    }

    /// Whether the watermark would not go back to there, in seconds.
    pub(crate) fn mark_allows(&self, mark: i64) -> bool {
        self.mark.is_none_or(|now| now <= mark * SECOND)
    }

    /// Goes on with what changes made, in so many partitions.
    pub(crate) fn restart(&mut self, partitions: usize) {
        let saved = self.followed.tables();
        let mut tasks = self.new_tasks(partitions);
        let count = tasks.len();
        for (partition, task) in tasks.iter_mut().enumerate() {
            let mut known = Vec::new();
            let own = saved.iter().map(|table| {
                let rows = table.rows.iter().map(|rows| {
                    assert_eq!(rows.schema().field(0).name(), "_group");
                    let groups = rows.column(0).as_primitive::<UInt8Type>().clone();
                    picked(rows, |row| match groups.is_null(row) {
                        // One copy of what all know.
                        true => !std::mem::replace(&mut known, vec![table.name.clone()]).contains(&table.name),
                        false => partition_of(groups.value(row), count) == partition,
                    })
                });
                SavedTable { name: table.name.clone(), identity: table.identity, rows: rows.collect() }
            });
            let own = own.collect();
            task.load(own).unwrap();
        }
        self.followed = Followed::of(&mut tasks);
        self.tasks = tasks;
    }

    /// The saved tables, each row as text.
    pub(crate) fn saved(&self) -> Vec<(String, SchemaRef, Vec<String>)> {
        let tables = self.tasks.iter().flat_map(|task| task.save().unwrap());
        tables.map(|t| (t.name, t.rows[0].schema(), t.rows.iter().flat_map(written).collect())).collect()
    }

    pub(crate) fn held(&self) -> Held {
        let all = self.tasks.iter().map(|task| task.held());
        all.fold(Held::default(), |a, b| Held { keys: a.keys + b.keys, bytes: a.bytes + b.bytes, on_disk: 0 })
    }
}

fn picked(rows: &RecordBatch, mut wanted: impl FnMut(usize) -> bool) -> RecordBatch {
    let rows_wanted: UInt32Array = (0..rows.num_rows()).filter(|row| wanted(*row)).map(|row| row as u32).collect();
    take_record_batch(rows, &rows_wanted).unwrap()
}

fn read(text: &str, number: &str) -> RecordBatch {
    let parse = |row: &str| {
        let cells: Vec<_> = row.split_whitespace().collect();
        ((cells[0] != "-").then(|| cells[0].to_owned()), cells[1].parse().unwrap(), cells[2].parse().unwrap())
    };
    rows_of(&text.split(',').map(str::trim).filter(|row| !row.is_empty()).map(parse).collect::<Vec<_>>(), number)
}

/// Rows of one side: id, seconds, number.
pub(crate) fn rows_of(rows: &[(Option<String>, i64, i64)], number: &str) -> RecordBatch {
    let ids: ArrayRef = Arc::new(rows.iter().map(|row| row.0.clone()).collect::<StringArray>());
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.1 * SECOND)).with_timezone("UTC");
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
    let columns = [("id", ids, true), ("ts", Arc::new(times) as ArrayRef, false), (number, numbers, false)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Cells with blanks between; null is `-`, times are in seconds.
fn written(rows: &RecordBatch) -> Vec<String> {
    let cell = |column: &ArrayRef, row: usize| match column.data_type() {
        _ if column.is_null(row) => "-".to_owned(),
        DataType::Timestamp(..) => (column.as_primitive::<TimestampMicrosecondType>().value(row) / SECOND).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        _ => ArrayFormatter::try_new(column, &FormatOptions::default()).unwrap().value(row).to_string(),
    };
    (0..rows.num_rows())
        .map(|row| rows.columns().iter().map(|column| cell(column, row)).collect::<Vec<_>>().join(" "))
        .collect()
}
