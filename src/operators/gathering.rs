//! Tasks that need the rows of a whole partition of a batch and remember nothing between batches.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::operators::values::{Values, bug};
use crate::plan::Port;
use crate::plan::operator::{BatchTime, Changes, Evaluated, KeyedTask, SavedTable, StepTime, Task, TaskError};

/// What is done with the rows of one batch, by input.
type Work = Box<dyn Fn(Vec<Vec<RecordBatch>>, &BatchTime) -> Result<Evaluated, TaskError> + Send>;

/// A task that remembers nothing.
struct Gathering {
    schema: SchemaRef,
    work: Work,
}

/// Makes a task of what is done with the rows of one batch.
pub(super) fn gathering(
    schema: SchemaRef,
    work: impl Fn(Vec<Vec<RecordBatch>>, &BatchTime) -> Result<Evaluated, TaskError> + Send + 'static,
) -> Task {
    Task::Keyed(Box::new(Gathering { schema, work: Box::new(work) }))
}

impl KeyedTask for Gathering {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        (self.work)(inputs, &time.batch)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(Vec::new())
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        Ok(Changes::Some(Vec::new()))
    }

    fn load(&mut self, _: Vec<SavedTable>) -> Result<(), TaskError> {
        Ok(())
    }
}

/// All rows of a batch together, with values computed for each.
pub(super) struct Gathered {
    /// The rows that have every value.
    pub rows: RecordBatch,
    /// The values, by expression.
    pub columns: Vec<ArrayRef>,
    /// The others, with the reason.
    pub bad: Vec<(Port, RecordBatch)>,
}

/// Computes values for all rows of a batch and puts the blocks together.
pub(super) fn gather(
    values: &Values,
    schema: &SchemaRef,
    blocks: &[RecordBatch],
    batch: &BatchTime,
) -> Result<Gathered, TaskError> {
    let all = concat_batches(schema, blocks).map_err(bug)?;
    let computed = values.eval(&all, batch)?;
    Ok(Gathered { rows: computed.rows, columns: computed.columns, bad: computed.bad.into_rows().into_iter().collect() })
}
