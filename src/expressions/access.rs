//! `x.name`, `list[0]`, `map["key"]`: parts of values. What is not there is null.

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, make_array, make_comparator};
use arrow::buffer::NullBuffer;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Int64Type};

use super::attempt::{bug, column};
use super::compare::plain_floats;
use super::construct::evaluated;
use super::step::{Compute, Rows, Step, Value};
use crate::model::Type;
use crate::plan::operator::{NotRunnable, TaskError};

/// A field of a struct.
pub(super) fn field(of_type: &Type, name: &str, of: Step, ty: DataType) -> Result<Step, NotRunnable> {
    let Type::Struct(columns) = of_type else { return Err(NotRunnable(format!("`{of_type}` has no field `{name}`"))) };
    let position = columns.iter().position(|c| c.name == name);
    let position = position.ok_or_else(|| NotRunnable(format!("`{of_type}` has no field `{name}`")))?;
    Ok(Step::new(Field { position }, vec![of], ty, false))
}

/// An element of a list, or the value of a map's key.
pub(super) fn index(of: Step, at: Step, ty: DataType) -> Step {
    match of.ty {
        DataType::Map(..) => Step::new(Entry, vec![of, at], ty, false),
        _ => Step::new(Element, vec![of, at], ty, false),
    }
}

struct Field {
    position: usize,
}

impl Compute for Field {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let value = operands[0].eval(rows)?;
        let array = value.array(rows.count)?;
        let record = array.as_struct();
        let field = record.column(self.position);
        let nulls = NullBuffer::union(record.nulls(), field.logical_nulls().as_ref());
        let data = field.to_data().into_builder().nulls(nulls).build().map_err(bug)?;
        Ok(Value { data: make_array(data).into(), failures: value.failures })
    }
}

struct Element;

impl Compute for Element {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let (data, failures) = evaluated(operands, rows)?;
        let [list, at] = data.as_slice() else { return Err(bug("an index has two sides")) };
        let list = list.to_array(rows.count).map_err(bug)?;
        let list = list.as_list::<i32>();
        let at = column(at, &DataType::Int64, rows.count)?;
        let at = at.as_primitive::<Int64Type>();
        let offsets = list.value_offsets();
        let source = |row: usize| {
            let (from, to) = (i64::from(offsets[row]), i64::from(offsets[row + 1]));
            let there = list.is_valid(row) && at.is_valid(row) && at.value(row) >= 0 && at.value(row) < to - from;
            there.then(|| u32::try_from(from + at.value(row)).ok()).flatten()
        };
        let sources: UInt32Array = (0..rows.count).map(source).collect();
        Ok(Value { data: take(list.values(), &sources, None).map_err(bug)?.into(), failures })
    }
}

struct Entry;

impl Compute for Entry {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let (data, failures) = evaluated(operands, rows)?;
        let [map, key] = data.as_slice() else { return Err(bug("an index has two sides")) };
        let map = map.to_array(rows.count).map_err(bug)?;
        let map = map.as_map();
        let key: ArrayRef = plain_floats(&column(key, map.keys().data_type(), rows.count)?);
        let keys = plain_floats(map.keys());
        let order = make_comparator(&keys, &key, SortOptions::default()).map_err(bug)?;
        let offsets = map.value_offsets();
        let source = |row: usize| {
            let entries = usize::try_from(offsets[row]).ok()?..usize::try_from(offsets[row + 1]).ok()?;
            let there = map.is_valid(row) && key.is_valid(row);
            let found = entries.rev().find(|&entry| there && order(entry, row).is_eq())?;
            u32::try_from(found).ok()
        };
        let sources: UInt32Array = (0..rows.count).map(source).collect();
        Ok(Value { data: take(map.values(), &sources, None).map_err(bug)?.into(), failures })
    }
}
