//! Expressions over the rows of one input, ready to run. Rows for which one fails are told from the others and set
//! aside with the reason; every operator computes through here, so that they all treat such rows alike.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt32Array};
use arrow::compute::{cast, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};

use crate::model::Schema;
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, TaskError};
use crate::plan::{Node, Port, TypedExpr};

/// Some expressions over one input.
pub(super) struct Values {
    values: Vec<Value>,
    aside: SchemaRef,
}

/// One expression.
enum Value {
    /// An input column as it is.
    Column(usize),
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
        let schema = input.to_arrow();
        let value = |expr: &TypedExpr| match &expr.node {
            Node::Column { index, .. } => Ok(Value::Column(*index)),
            _ => Err(NotRunnable("expressions cannot be run yet".into())),
        };
        let values = exprs.into_iter().map(value).collect::<Result<_, _>>()?;
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_reason", DataType::Utf8, false)));
        Ok(Values { values, aside: Arc::new(ArrowSchema::new(fields)) })
    }

    /// Computes one block.
    pub(super) fn eval(&self, block: &RecordBatch, _batch: &BatchTime) -> Result<Computed, TaskError> {
        let value = |value: &Value| match value {
            Value::Column(index) => block.column(*index).clone(),
        };
        Ok(Computed { rows: block.clone(), columns: self.values.iter().map(value).collect(), bad: BadRows::none() })
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
        Evaluated { rows: all, filtered }
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

/// What cannot happen did: an assumption between phases is broken.
pub(super) fn bug(why: impl fmt::Display) -> TaskError {
    TaskError::Bug(why.to_string())
}
