//! Operators made by hand: words of lines, counts of words in halves, what is seen of the watermark.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;

use super::{counts_schema, in_order, words_schema};
use crate::plan::operator::{
    BatchTime, Distribution, Evaluated, KeyedTask, NotRunnable, RowTask, SavedTable, StepTime, Task, TaskError,
};
use crate::plan::{Operator, Port, Properties};

/// Lines to words.
#[derive(Debug)]
pub(super) struct Words;

impl Operator for Words {
    fn word(&self) -> &'static str {
        "words"
    }

    fn explain(&self) -> String {
        "words".into()
    }

    fn properties(&self) -> Properties {
        Properties::row_wise(vec![0])
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Rows(Box::new(Words)))
    }
}

impl RowTask for Words {
    fn schema(&self) -> SchemaRef {
        words_schema().to_arrow()
    }

    fn eval(&self, block: &RecordBatch, _: &BatchTime) -> Result<Evaluated, TaskError> {
        let lines = block.column(0).as_string::<i32>();
        assert!(lines.iter().all(|line| line != Some("panic please")), "asked to");
        let words: Vec<_> = lines.iter().flatten().flat_map(str::split_whitespace).collect();
        let words = StringArray::from(words);
        let rows = RecordBatch::try_new(RowTask::schema(self), vec![Arc::new(words)]).unwrap();
        Ok(Evaluated { rows: vec![(Port::Out, rows)], handed: Some(block.num_rows()), ..Evaluated::default() })
    }
}

/// Counts words, in halves.
#[derive(Debug)]
pub(super) struct Count;

impl Operator for Count {
    fn word(&self) -> &'static str {
        "count"
    }

    fn explain(&self) -> String {
        "count".into()
    }

    fn properties(&self) -> Properties {
        Properties { mergeable: true, ..Properties::gathering(Distribution::ByKey(vec![vec![0]])) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(Sum)))
    }

    fn halves(&self) -> Option<(Box<dyn Operator>, Box<dyn Operator>)> {
        Some((Box::new(Ones), Box::new(Sums)))
    }
}

/// The first half: counts by block.
#[derive(Debug)]
struct Ones;

impl Operator for Ones {
    fn word(&self) -> &'static str {
        "count"
    }

    fn explain(&self) -> String {
        "count by block".into()
    }

    fn properties(&self) -> Properties {
        Properties { row_wise: false, ..Properties::row_wise(vec![0]) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Rows(Box::new(Ones)))
    }
}

impl RowTask for Ones {
    fn schema(&self) -> SchemaRef {
        counts_schema().to_arrow()
    }

    fn eval(&self, block: &RecordBatch, _: &BatchTime) -> Result<Evaluated, TaskError> {
        let words = block.column(0).as_string::<i32>();
        let rows = sums(words.iter().flatten().map(|word| (word.to_owned(), 1)));
        Ok(Evaluated { rows: vec![(Port::Out, rows)], ..Evaluated::default() })
    }
}

/// The second half: sums of counts.
#[derive(Debug)]
struct Sums;

impl Operator for Sums {
    fn word(&self) -> &'static str {
        "count"
    }

    fn explain(&self) -> String {
        "sum of counts".into()
    }

    fn properties(&self) -> Properties {
        Properties::gathering(Distribution::ByKey(vec![vec![0]]))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(Sum)))
    }
}

struct Sum;

impl KeyedTask for Sum {
    fn schema(&self) -> SchemaRef {
        counts_schema().to_arrow()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, _: &StepTime) -> Result<Evaluated, TaskError> {
        let taken = inputs.iter().flatten().map(RecordBatch::num_rows).sum();
        Ok(Evaluated::taken(sums(in_order(&inputs).into_iter().flatten()), taken))
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(Vec::new())
    }

    fn load(&mut self, _: Vec<SavedTable>) -> Result<(), TaskError> {
        Ok(())
    }
}

/// In the order of first appearance.
fn sums(counts: impl Iterator<Item = (String, i64)>) -> RecordBatch {
    let (mut words, mut sums): (Vec<String>, Vec<i64>) = (Vec::new(), Vec::new());
    for (word, count) in counts {
        match words.iter().position(|w| *w == word) {
            Some(i) => sums[i] += count,
            None => {
                words.push(word);
                sums.push(count);
            }
        }
    }
    let columns: Vec<Arc<dyn Array>> = vec![Arc::new(StringArray::from(words)), Arc::new(Int64Array::from(sums))];
    RecordBatch::try_new(counts_schema().to_arrow(), columns).unwrap()
}

/// What a stateful stage sees of the watermark: a row a batch, with the number of rows that came.
#[derive(Debug)]
pub(super) struct Marks;

impl Operator for Marks {
    fn word(&self) -> &'static str {
        "marks"
    }

    fn explain(&self) -> String {
        "marks".into()
    }

    fn properties(&self) -> Properties {
        Properties { stateful: true, ..Properties::gathering(Distribution::Single) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(Marks)))
    }
}

impl KeyedTask for Marks {
    fn schema(&self) -> SchemaRef {
        counts_schema().to_arrow()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let second = |mark: Option<i64>| match mark {
            Some(StepTime::END) => "end".to_owned(),
            Some(micros) => (micros / 1_000_000).to_string(),
            None => "-".to_owned(),
        };
        let seen = format!("{} to {}", second(time.mark_before), second(time.mark_after));
        let rows: i64 = inputs.iter().flatten().map(|block| block.num_rows() as i64).sum();
        let columns: Vec<Arc<dyn Array>> =
            vec![Arc::new(StringArray::from(vec![seen])), Arc::new(Int64Array::from(vec![rows]))];
        let row = RecordBatch::try_new(counts_schema().to_arrow(), columns).unwrap();
        Ok(Evaluated::taken(row, rows as usize))
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(Vec::new())
    }

    fn load(&mut self, _: Vec<SavedTable>) -> Result<(), TaskError> {
        Ok(())
    }
}

/// A stage that is not finished.
#[derive(Debug)]
pub(super) struct Unrunnable(pub(super) &'static str);

impl Operator for Unrunnable {
    fn word(&self) -> &'static str {
        self.0
    }

    fn explain(&self) -> String {
        self.0.into()
    }

    fn properties(&self) -> Properties {
        Properties::row_wise(Vec::new())
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Err(NotRunnable::not_yet("stage", self.0))
    }
}
