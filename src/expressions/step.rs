//! The parts of a compiled expression, and the rows they run over.

use std::borrow::Cow;

use arrow::array::{ArrayRef, NullArray, RecordBatch, UInt32Array, new_empty_array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use std::sync::Arc;

use super::attempt::bug;
use super::failures::Failures;
use crate::plan::operator::{BatchTime, TaskError};

/// A node at work.
pub(super) trait Compute: Send + Sync {
    /// Computes one block from its operands. In failed rows the data may be anything.
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError>;
}

/// A compiled expression.
pub(super) struct Step {
    compute: Box<dyn Compute>,
    operands: Vec<Step>,
    /// Whether a row may fail in it.
    pub fails: bool,
    /// Positions of the columns it reads, ascending.
    pub reads: Vec<usize>,
    /// The Arrow type of what comes out.
    pub ty: DataType,
    /// Its value, where it is a constant.
    pub constant: Option<ScalarValue>,
}

/// What came out of a step.
pub(super) struct Value {
    /// The data.
    pub data: ColumnarValue,
    /// The rows that have none.
    pub failures: Failures,
}

/// A block of rows.
pub(super) struct Rows<'a> {
    columns: Cow<'a, [ArrayRef]>,
    /// How many.
    pub count: usize,
    /// When.
    pub time: &'a BatchTime,
}

impl Step {
    /// A step of these operands. `fails`: whether it can fail by itself.
    pub(super) fn new(compute: impl Compute + 'static, operands: Vec<Step>, ty: DataType, fails: bool) -> Self {
        let mut reads: Vec<_> = operands.iter().flat_map(|o| o.reads.iter().copied()).collect();
        reads.sort_unstable();
        reads.dedup();
        let fails = fails || operands.iter().any(|o| o.fails);
        Step { compute: Box::new(compute), operands, fails, reads, ty, constant: None }
    }

    /// A step that repeats a column.
    pub(super) fn column(position: usize, ty: DataType) -> Self {
        Step { reads: vec![position], ..Step::new(Column(position), Vec::new(), ty, false) }
    }

    /// A step with one value.
    pub(super) fn constant(value: ScalarValue) -> Self {
        let ty = value.data_type();
        Step { constant: Some(value.clone()), ..Step::new(Constant(value), Vec::new(), ty, false) }
    }

    /// Computes a block.
    pub(super) fn eval(&self, rows: &Rows<'_>) -> Result<Value, TaskError> {
        self.compute.eval(&self.operands, rows)
    }

    /// Computes only some rows of a block.
    pub(super) fn eval_picked(&self, rows: &Rows<'_>, picked: &UInt32Array) -> Result<Value, TaskError> {
        if picked.is_empty() {
            let data = ColumnarValue::Array(new_empty_array(&self.ty));
            return Ok(Value { data, failures: Failures::default() });
        }
        if picked.len() == rows.count {
            return self.eval(rows);
        }
        self.eval(&rows.pick(picked, &self.reads)?)
    }
}

impl Value {
    /// A value for every row.
    pub(super) fn total(data: ColumnarValue) -> Self {
        Value { data, failures: Failures::default() }
    }

    /// A column without failures.
    pub(super) fn column(array: ArrayRef) -> Self {
        Value::total(ColumnarValue::Array(array))
    }

    /// The data, spread over the rows.
    pub(super) fn array(&self, count: usize) -> Result<ArrayRef, TaskError> {
        match &self.data {
            ColumnarValue::Array(array) => Ok(Arc::clone(array)),
            ColumnarValue::Scalar(value) => value.to_array_of_size(count).map_err(bug),
        }
    }
}

impl<'a> Rows<'a> {
    /// All rows of a batch.
    pub(super) fn of(block: &'a RecordBatch, time: &'a BatchTime) -> Self {
        Rows { columns: Cow::Borrowed(block.columns()), count: block.num_rows(), time }
    }

    /// One row without columns.
    pub(super) fn one(time: &'a BatchTime) -> Self {
        Rows { columns: Cow::Borrowed(&[]), count: 1, time }
    }

    /// A column.
    pub(super) fn get(&self, position: usize) -> &ArrayRef {
        &self.columns[position]
    }

    /// Some of the rows; of the columns only those that are read.
    fn pick(&self, picked: &UInt32Array, reads: &[usize]) -> Result<Rows<'a>, TaskError> {
        let unread: ArrayRef = Arc::new(NullArray::new(picked.len()));
        let mut columns = vec![unread; self.columns.len()];
        for &read in reads {
            columns[read] = take(&self.columns[read], picked, None).map_err(bug)?;
        }
        Ok(Rows { columns: Cow::Owned(columns), count: picked.len(), time: self.time })
    }
}

struct Column(usize);

impl Compute for Column {
    fn eval(&self, _: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        Ok(Value::column(Arc::clone(rows.get(self.0))))
    }
}

struct Constant(ScalarValue);

impl Compute for Constant {
    fn eval(&self, _: &[Step], _: &Rows<'_>) -> Result<Value, TaskError> {
        Ok(Value::total(ColumnarValue::Scalar(self.0.clone())))
    }
}
