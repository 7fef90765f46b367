//! Which of 256 groups a key belongs to. The hash is fixed for ever: state is saved by group, so that it can be
//! split anew among another number of partitions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use twox_hash::XxHash3_64;

/// How many groups there are.
pub const GROUPS: usize = 256;

/// The group of each row's key. Equal keys have equal groups: one zero, one NaN, and null is a value as any other.
pub fn key_groups(columns: &[ArrayRef]) -> Result<Vec<u8>, ArrowError> {
    if let [column] = columns
        && let Some(texts) = column.as_string_opt::<i32>()
    {
        return Ok(texts.iter().map(|text| text.map_or(0, |t| group(t.as_bytes()))).collect());
    }
    let columns: Vec<_> = columns.iter().map(one_form).collect();
    let fields = columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
    Ok(rows.iter().map(|row| group(row.data())).collect())
}

/// Which of so many partitions a group belongs to: neighbours stay together.
pub fn partition_of(group: u8, partitions: usize) -> usize {
    usize::from(group) * partitions / GROUPS
}

fn group(key: &[u8]) -> u8 {
    let [first, ..] = XxHash3_64::oneshot(key).to_le_bytes();
    first
}

/// Floats that are equal get one form.
fn one_form(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float32 => unary::<Float32Type>(column, |x| if x.is_nan() { f32::NAN } else { x + 0.0 }),
        DataType::Float64 => unary::<Float64Type>(column, |x| if x.is_nan() { f64::NAN } else { x + 0.0 }),
        _ => column.clone(),
    }
}

fn unary<T: ArrowPrimitiveType>(column: &ArrayRef, form: impl Fn(T::Native) -> T::Native) -> ArrayRef {
    let column: PrimitiveArray<T> = column.as_primitive::<T>().unary(form);
    Arc::new(column)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn equal_keys_have_equal_groups() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let groups = key_groups(&[floats]).unwrap();
        assert_eq!((groups[0], groups[2]), (groups[1], groups[3]));
    }

    #[test]
    fn the_hash_is_fixed_for_ever() {
        let words: ArrayRef = Arc::new(StringArray::from(vec!["", "be", "question"]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, -1]));
        assert_eq!(key_groups(std::slice::from_ref(&words)).unwrap(), [194, 60, 5]);
        assert_eq!(key_groups(&[words, numbers]).unwrap(), [53, 207, 30]);
    }

    #[test]
    fn every_group_has_a_partition() {
        for partitions in [1, 2, 3, 7, 256] {
            let mut seen: Vec<_> = (0..=255).map(|group| partition_of(group, partitions)).collect();
            seen.dedup();
            assert_eq!(seen, (0..partitions).collect::<Vec<_>>());
        }
    }
}
