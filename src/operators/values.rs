//! Expressions over the rows of one input, ready to run. Rows for which one fails are told from the others and set
//! aside with the reason; every operator computes through here, so that they all treat such rows alike.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt32Array};
use arrow::compute::{cast, filter, filter_record_batch, not, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};

use crate::expressions::{Compiled, Evaluation, Failures};
use crate::model::Schema;
use crate::operators::carry;
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, TaskError};
use crate::plan::{Port, TypedExpr};

/// Some expressions over one input.
pub(super) struct Values {
    compiled: Compiled,
    /// The columns that rows keep when they are set aside.
    kept: Vec<usize>,
    aside: SchemaRef,
}

/// What came out for a block.
pub(super) struct Computed {
    /// The input rows for which every expression has a value.
    pub rows: RecordBatch,
    /// The values for those rows, by expression.
    pub columns: Vec<ArrayRef>,
    /// The other rows.
    pub bad: BadRows,
}

/// Rows for which an expression failed, with `_reason` behind their columns.
#[derive(Debug)]
pub(super) struct BadRows(Option<RecordBatch>);

impl Values {
    /// Gets expressions ready that read columns of `input`.
    pub(super) fn new<'a>(exprs: impl IntoIterator<Item = &'a TypedExpr>, input: &Schema) -> Result<Self, NotRunnable> {
        let exprs: Vec<_> = exprs.into_iter().cloned().collect();
        let kept = carry::keeps_but(input, &["_reason"]);
        let mut fields: Vec<_> = kept.iter().map(|i| Arc::new(input.columns[*i].to_field())).collect();
        fields.push(Arc::new(Field::new("_reason", DataType::Utf8, false)));
        Ok(Values { compiled: Compiled::new(&exprs, input)?, kept, aside: Arc::new(ArrowSchema::new(fields)) })
    }

    /// Computes one block.
    pub(super) fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Computed, TaskError> {
        let Evaluation { columns, failed, failures } = self.compiled.eval(block, batch)?;
        let Some(failed) = failed else {
            return Ok(Computed { rows: block.clone(), columns, bad: BadRows::none() });
        };
        let good = not(&failed).map_err(bug)?;
        let columns = columns.iter().map(|c| filter(c, &good)).collect::<Result<_, _>>().map_err(bug)?;
        let rows = filter_record_batch(block, &good).map_err(bug)?;
        Ok(Computed { rows, columns, bad: self.set_aside(block, &failures)? })
    }

    /// The failed rows with the reason behind their columns.
    fn set_aside(&self, block: &RecordBatch, failures: &Failures) -> Result<BadRows, TaskError> {
        let rows: UInt32Array = failures.iter().map(|(row, _)| row as u32).collect();
        let kept = self.kept.iter().map(|i| take_rows(block.column(*i), &rows));
        let mut columns = kept.collect::<Result<Vec<_>, _>>()?;
        columns.push(Arc::new(failures.iter().map(|(_, why)| Some(why)).collect::<StringArray>()));
        Ok(BadRows(Some(batch_of(&self.aside, columns, rows.len())?)))
    }
}

impl BadRows {
    /// No row failed.
    pub(super) fn none() -> Self {
        BadRows(None)
    }

    /// Why the first one failed.
    pub(super) fn first_reason(&self) -> Option<String> {
        let reasons = self.0.as_ref()?.columns().last()?;
        reasons.as_any().downcast_ref::<StringArray>().filter(|r| !r.is_empty()).map(|r| r.value(0).to_owned())
    }

    /// By the port they leave through.
    pub(super) fn into_rows(self) -> Option<(Port, RecordBatch)> {
        self.0.map(|rows| (Port::Bad, rows))
    }

    /// What came of a block: these rows through `port`, the bad ones aside.
    pub(super) fn evaluated(self, port: Port, rows: RecordBatch, filtered: usize) -> Evaluated {
        let mut all = vec![(port, rows)];
        all.extend(self.into_rows());
        Evaluated { rows: all, filtered, ..Evaluated::default() }
    }
}

/// Columns as rows of a schema; also where there are no columns.
pub(super) fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, TaskError> {
    let fit = |(column, field): (ArrayRef, &Arc<Field>)| match column.data_type() == field.data_type() {
        true => Ok(column),
        false => cast(&column, field.data_type()).map_err(bug),
    };
    let columns = columns.into_iter().zip(schema.fields()).map(fit).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(bug)
}

/// These rows of a column.
pub(super) fn take_rows(column: &ArrayRef, rows: &UInt32Array) -> Result<ArrayRef, TaskError> {
    take(column, rows, None).map_err(bug)
}

/// These rows of a batch.
pub(super) fn take_batch(batch: &RecordBatch, rows: &UInt32Array) -> Result<RecordBatch, TaskError> {
    take_record_batch(batch, rows).map_err(bug)
}

/// What an accumulator says: a sum that is too large is the data's fault, all else ours.
pub(super) fn not_accumulated(why: datafusion_common::DataFusionError) -> TaskError {
    match why.find_root() {
        datafusion_common::DataFusionError::ArrowError(cause, _) => match cause.as_ref() {
            arrow::error::ArrowError::ArithmeticOverflow(why) => {
                TaskError::Stop(format!("an aggregate cannot be computed: {why}"))
            }
            _ => bug(why),
        },
        _ => bug(why),
    }
}

/// What cannot happen did: an assumption between phases is broken.
pub(super) fn bug(why: impl fmt::Display) -> TaskError {
    TaskError::Bug(why.to_string())
}
