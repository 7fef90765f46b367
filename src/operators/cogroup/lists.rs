//! The rows of two inputs by key: each key once, in the order of first appearance (left rows first), with the list of
//! its left rows and that of its right ones. Null is a key as any other here.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, RecordBatch, StructArray, TimestampMicrosecondArray, UInt32Array};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};

use crate::operators::keys::KeyTable;
use crate::operators::sides::Side;
use crate::operators::values::{batch_of, bug, take_rows};
use crate::plan::operator::TaskError;

/// How rows become lists.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    /// Both inputs.
    pub sides: (Side, Side),
    /// What comes out: the window, where there is one, the key, the two lists.
    pub schema: SchemaRef,
}

impl Lists {
    /// The rows of both inputs by key.
    pub(super) fn group(
        &self,
        left: &RecordBatch,
        right: &RecordBatch,
        window: Option<(i64, i64)>,
    ) -> Result<RecordBatch, TaskError> {
        let (of_left, of_right) = (self.sides.0.key(left), self.sides.1.key(right));
        let types: Vec<_> = of_left.iter().map(|column| column.data_type().clone()).collect();
        let mut keys = KeyTable::new(&types)?;
        let (numbers_left, numbers_right) = (keys.assign(&of_left)?, keys.assign(&of_right)?);
        let count = keys.len();
        let fields = self.schema.fields();
        let mut columns = Vec::with_capacity(fields.len());
        if let Some((start, end)) = window {
            for (bound, field) in [start, end].into_iter().zip(fields) {
                let moments = TimestampMicrosecondArray::from_value(bound, count);
                columns.push(Arc::new(moments.with_data_type(field.data_type().clone())) as ArrayRef);
            }
        }
        columns.extend(keys.columns()?);
        columns.push(list(&fields[fields.len() - 2], left, &self.sides.0.keys, &numbers_left, count)?);
        columns.push(list(&fields[fields.len() - 1], right, &self.sides.1.keys, &numbers_right, count)?);
        batch_of(&self.schema, columns, count)
    }
}

/// For each key the rows that have its number, without the key's columns.
fn list(
    field: &FieldRef,
    rows: &RecordBatch,
    keys: &[usize],
    numbers: &[usize],
    count: usize,
) -> Result<ArrayRef, TaskError> {
    let (DataType::List(item), mut ends) = (field.data_type(), vec![0_i32; count + 1]) else {
        return Err(bug("a cogroup gives lists"));
    };
    let DataType::Struct(parts) = item.data_type() else { return Err(bug("a cogroup gives lists of rows")) };
    numbers.iter().for_each(|number| ends[number + 1] += 1);
    for i in 0..count {
        ends[i + 1] += ends[i];
    }
    let mut next = ends.clone();
    let mut order = vec![0_u32; numbers.len()];
    for (row, number) in numbers.iter().enumerate() {
        order[next[*number] as usize] = row as u32;
        next[*number] += 1;
    }
    let order = UInt32Array::from(order);
    let rest = (0..rows.num_columns()).filter(|i| !keys.contains(i));
    let columns = rest.map(|i| take_rows(rows.column(i), &order)).collect::<Result<Vec<_>, _>>()?;
    let structs = if columns.is_empty() {
        StructArray::new_empty_fields(numbers.len(), None)
    } else {
        StructArray::try_new(parts.clone(), columns, None).map_err(bug)?
    };
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends));
    Ok(Arc::new(ListArray::try_new(item.clone(), offsets, Arc::new(structs), None).map_err(bug)?))
}
