//! Numbers the distinct keys of rows in the order in which they first appear, so that what is grouped by them comes
//! out the same whatever runs where.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::HashMap;

use crate::operators::values::bug;
use crate::plan::operator::TaskError;

/// The keys seen so far.
pub(super) struct KeyTable {
    converter: RowConverter,
    numbers: HashMap<Vec<u8>, usize>,
    known: Rows,
}

impl KeyTable {
    /// For keys of these types.
    pub(super) fn new(types: &[DataType]) -> Result<Self, TaskError> {
        let fields = types.iter().map(|t| SortField::new(t.clone())).collect();
        let converter = RowConverter::new(fields).map_err(bug)?;
        let known = converter.empty_rows(0, 0);
        Ok(KeyTable { converter, numbers: HashMap::default(), known })
    }

    /// The number of each row's key; new keys get the next numbers.
    pub(super) fn assign(&mut self, columns: &[ArrayRef]) -> Result<Vec<usize>, TaskError> {
        let columns: Vec<_> = columns.iter().map(canonical).collect();
        let rows = self.converter.convert_columns(&columns).map_err(bug)?;
        let mut numbers = Vec::with_capacity(rows.num_rows());
        for row in &rows {
            let next = self.numbers.len();
            let number = *self.numbers.entry_ref(row.data()).or_insert(next);
            if number == next {
                self.known.push(row);
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// The positions of rows whose keys have not been seen; from now on they have.
    pub(super) fn first_of_each(&mut self, columns: &[ArrayRef]) -> Result<Vec<u32>, TaskError> {
        // New keys get the next numbers, so a row is the first of its key where the next number stands.
        let mut next = self.len();
        let mut first = Vec::new();
        for (row, number) in self.assign(columns)?.into_iter().enumerate() {
            if number == next {
                first.push(row as u32);
                next += 1;
            }
        }
        Ok(first)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The keys by number.
    pub(super) fn columns(&self) -> Result<Vec<ArrayRef>, TaskError> {
        self.converter.convert_rows(&self.known).map_err(bug)
    }
}

/// Floats that are equal get one form: one zero, one NaN.
pub(super) fn canonical(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => one_form::<Float32Type>(column, |x| if x.is_nan() { f32::NAN } else { x + 0.0 }),
        DataType::Float64 => one_form::<Float64Type>(column, |x| if x.is_nan() { f64::NAN } else { x + 0.0 }),
        _ => column.clone(),
    }
}

fn one_form<T: ArrowPrimitiveType>(column: &ArrayRef, form: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let column: PrimitiveArray<T> = column.as_primitive::<T>().unary(form);
    Arc::new(column)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, StringArray};

    use super::*;

    #[test]
    fn keys_are_numbered_as_they_appear() {
        let mut keys = KeyTable::new(&[DataType::Utf8]).unwrap();
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), Some("a"), None, Some("b"), Some("")]));
        assert_eq!(keys.assign(&[words]).unwrap(), [0, 1, 2, 0, 3]);
        let more: ArrayRef = Arc::new(StringArray::from(vec![Some("c"), None]));
        assert_eq!(keys.assign(&[more]).unwrap(), [4, 2]);
        let all = keys.columns().unwrap();
        assert_eq!(
            all[0].as_string::<i32>().iter().collect::<Vec<_>>(),
            [Some("b"), Some("a"), None, Some(""), Some("c")]
        );
    }

    #[test]
    fn zeros_and_nans_are_one_key_each() {
        let mut keys = KeyTable::new(&[DataType::Float64]).unwrap();
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0]));
        assert_eq!(keys.assign(&[floats]).unwrap(), [0, 0, 1, 1, 2]);
    }
}
