//! What it costs to tell what changed: a batch that touches a few keys of many.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;

use crate::engine::tables::{equal, merged};
use crate::operators::stepping::{SECOND, checked, tasks};
use crate::plan::operator::{BatchTime, Changes, KeyedTask, SavedTable, StepTime};

const TEXT: &str = "pipeline p { every: 1s }\n\
    type Row = { k: string, n: int64, ts: timestamp }\n\
    source rows = queue() { schema: Row, time: ts, watermark: 0s } bad drop\n\
    source others = queue() { schema: { k: string, v: int64, ts: timestamp }, time: ts, watermark: 0s } bad drop\n";

const STAGES: [&str; 10] = [
    "dedupe by k within 1h",
    "fold by k running ttl 1h init { total: 0 } step { total: state.total + n }",
    "aggregate count() as c, sum(n) as s by k running ttl 1h",
    "aggregate count() as c, sum(n) as s by k running ttl 1h emit changes every 1h",
    "aggregate count(distinct n) as d, collect_list(n) as l by k running ttl 1h",
    "aggregate count() as c by k over sliding(1h, every 10m)",
    "aggregate count() as c, stddev(n) as v by k over session(gap 1h)",
    "window over session(gap 1h) by k",
    "join others on rows.k == others.k and others.ts between rows.ts - 1h and rows.ts + 1h |> select rows.k as k",
    "cogroup others using k over tumbling(1h)",
];

/// Rows of these keys at a second, each with its own number.
fn block(schema: &SchemaRef, keys: impl Iterator<Item = i64>, second: i64) -> RecordBatch {
    let keys: Vec<i64> = keys.collect();
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_value(second * SECOND, keys.len()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("customer {key}")))),
        Arc::new(Int64Array::from(keys)),
        cast(&times, schema.field(2).data_type()).unwrap(),
    ];
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

/// A stage that has seen so many keys, and the rows of the batch that it sees next.
struct Large {
    task: Box<dyn KeyedTask>,
    inputs: Vec<SchemaRef>,
    number: u64,
}

impl Large {
    fn of(stage: &str, keys: i64) -> Self {
        let text = format!("{TEXT}stream out = from rows |> {stage}\nfrom out |> into discard()\n");
        let plan = checked(&text);
        let schema = |name: &str| {
            let (node, port) = plan.stream(name)?;
            plan.edge(node, port).map(|edge| edge.schema.to_arrow())
        };
        let two = stage.contains("others");
        let inputs = ["rows", "others"].into_iter().take(if two { 2 } else { 1 }).filter_map(schema).collect();
        let task = tasks(&plan, 1).0.remove(0);
        let mut large = Large { task, inputs, number: 0 };
        for start in (0..keys).step_by(100_000) {
            large.step(start..keys.min(start + 100_000), 0);
        }
        large
    }

    fn step(&mut self, keys: std::ops::Range<i64>, second: i64) {
        let batch = BatchTime { number: self.number, micros: self.number as i64 * SECOND };
        let time = StepTime { batch, mark_before: None, mark_after: Some(0) };
        self.number += 1;
        let inputs = self.inputs.iter().map(|schema| vec![block(schema, keys.clone(), second)]).collect();
        self.task.step(inputs, &time).unwrap();
    }

    fn changes(&mut self) -> Changes {
        self.task.changes().unwrap()
    }
}

fn told(changes: &Changes) -> usize {
    let Changes::Some(tables) = changes else { panic!("everything is told") };
    tables.iter().flat_map(|table| table.rows.iter().chain(&table.gone)).map(RecordBatch::num_rows).sum()
}

fn rows(tables: &[SavedTable]) -> usize {
    tables.iter().flat_map(|table| &table.rows).map(RecordBatch::num_rows).sum()
}

#[test]
fn what_is_told_is_as_much_as_a_batch_touched() {
    for stage in STAGES {
        let mut large = Large::of(stage, 2_000);
        large.task.track();
        let before = large.task.save().unwrap();
        assert!(rows(&before) >= 2_000, "{stage}");
        large.step(1_995..2_005, 60);
        let changes = large.changes();
        assert!((5..=60).contains(&told(&changes)), "{stage}: {}", told(&changes));
        equal(&merged(before, changes).unwrap(), &large.task.save().unwrap()).unwrap();
        assert_eq!(told(&large.changes()), 0, "{stage}: nothing came since");
    }
}

/// `cargo test --release --lib telling -- --ignored --nocapture`
#[test]
#[ignore = "takes long; shows times"]
#[expect(clippy::print_stdout, reason = "it is run by hand, to read them")]
fn times_of_a_thousand_keys_of_a_million() {
    for stage in STAGES {
        let mut large = Large::of(stage, 1_000_000);
        let took = |what: &mut dyn FnMut()| {
            let start = Instant::now();
            what();
            start.elapsed()
        };
        large.step(998_000..1_001_000, 20);
        let untold = took(&mut || large.step(1_000_500..1_001_500, 30));
        large.task.track();
        let mut before = Vec::new();
        let save = took(&mut || before = large.task.save().unwrap());
        let step = took(&mut || large.step(1_001_000..1_002_000, 60));
        let mut changes = Changes::Some(Vec::new());
        let tell = took(&mut || changes = large.changes());
        let count = told(&changes);
        let merge = took(&mut || before = merged(std::mem::take(&mut before), changes.clone()).unwrap());
        println!(
            "{stage}\n    step {untold:?}, with notes {step:?}; tell {tell:?} ({count} rows); save {save:?}; merge {merge:?}"
        );
    }
}
