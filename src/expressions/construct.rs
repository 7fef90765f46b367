//! `[a, b]` and `{ a: x }`: values made of values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::datatypes::DataType;

use super::attempt::{bug, column};
use super::failures::Failures;
use super::step::{Compute, Rows, Step, Value};
use crate::plan::operator::TaskError;

/// A list of elements of one type.
pub(super) fn list(elements: Vec<Step>, ty: DataType) -> Step {
    Step::new(List { ty: ty.clone() }, elements, ty, false)
}

/// A struct of fields in the order of its type.
pub(super) fn record(fields: Vec<Step>, ty: DataType) -> Step {
    Step::new(Record { ty: ty.clone() }, fields, ty, false)
}

struct List {
    ty: DataType,
}

impl Compute for List {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let DataType::List(element) = &self.ty else { return Err(bug("a list has a list's type")) };
        let (columns, failures) = evaluated(operands, rows)?;
        let columns =
            columns.iter().map(|c| column(c, element.data_type(), rows.count)).collect::<Result<Vec<_>, _>>()?;
        // Failed rows get an empty list, because what stands in their elements may be null where it must not.
        let valid = failures.valid(None, rows.count);
        let here = |row: usize| valid.as_ref().is_none_or(|v| v.is_valid(row));
        let mut sources = Vec::with_capacity(rows.count * columns.len());
        for row in (0..rows.count).filter(|&row| here(row)) {
            sources.extend((0..columns.len()).map(|column| (column, row)));
        }
        let offsets = OffsetBuffer::from_lengths((0..rows.count).map(|row| if here(row) { columns.len() } else { 0 }));
        let values: ArrayRef = match columns.is_empty() {
            true => arrow::array::new_empty_array(element.data_type()),
            false => {
                interleave(&columns.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>(), &sources).map_err(bug)?
            }
        };
        let list = ListArray::try_new(Arc::clone(element), offsets, values, valid).map_err(bug)?;
        Ok(Value { data: (Arc::new(list) as ArrayRef).into(), failures })
    }
}

struct Record {
    ty: DataType,
}

impl Compute for Record {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let DataType::Struct(fields) = &self.ty else { return Err(bug("a struct has a struct's type")) };
        let (columns, failures) = evaluated(operands, rows)?;
        let columns = columns.iter().zip(fields).map(|(c, f)| column(c, f.data_type(), rows.count));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let valid = failures.valid(None, rows.count);
        let record = StructArray::try_new_with_length(fields.clone(), columns, valid, rows.count).map_err(bug)?;
        Ok(Value { data: (Arc::new(record) as ArrayRef).into(), failures })
    }
}

/// The data of some steps, and all their failures.
pub(super) fn evaluated(
    operands: &[Step],
    rows: &Rows<'_>,
) -> Result<(Vec<datafusion_expr::ColumnarValue>, Failures), TaskError> {
    let mut failures = Failures::default();
    let mut data = Vec::with_capacity(operands.len());
    for operand in operands {
        let value = operand.eval(rows)?;
        data.push(value.data);
        failures.add(value.failures);
    }
    Ok((data, failures))
}
