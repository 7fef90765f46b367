//! Columns that nobody reads: of the right type and length, but without meaning. They cost next to nothing to make, to
//! cut and to move.

use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, make_array, new_null_array};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{DataType, Field};

/// A column of so many rows that must not be read; none where the type has no cheap form.
pub fn hollow(field: &Field, rows: usize) -> Option<ArrayRef> {
    if field.is_nullable() {
        return Some(new_null_array(field.data_type(), rows));
    }
    let zeros = |bytes: usize| Buffer::from(MutableBuffer::from_len_zeroed(bytes));
    let of = |ty: &DataType| ArrayData::builder(ty.clone()).len(rows);
    let data = match field.data_type() {
        ty @ (DataType::Utf8 | DataType::Binary) => of(ty).add_buffer(zeros((rows + 1) * 4)).add_buffer(zeros(0)),
        ty @ DataType::Boolean => of(ty).add_buffer(zeros(rows.div_ceil(8))),
        ty => of(ty).add_buffer(zeros(rows * ty.primitive_width()?)),
    };
    data.build().ok().map(make_array)
}

/// The block with these columns hollow.
pub fn hollowed(
    block: &arrow::array::RecordBatch,
    unread: &std::collections::BTreeSet<usize>,
) -> arrow::array::RecordBatch {
    let schema = block.schema();
    let column = |(i, column): (usize, &ArrayRef)| {
        let hollow = unread.contains(&i).then(|| hollow(schema.field(i), block.num_rows())).flatten();
        hollow.unwrap_or_else(|| Arc::clone(column))
    };
    let columns = block.columns().iter().enumerate().map(column).collect();
    arrow::array::RecordBatch::try_new(Arc::clone(&schema), columns).unwrap_or_else(|_| block.clone())
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use arrow::datatypes::TimeUnit;

    use super::*;

    #[test]
    fn a_hollow_column_has_its_type_and_length() {
        let types = [
            DataType::Utf8,
            DataType::Int64,
            DataType::Boolean,
            DataType::Decimal128(12, 2),
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        ];
        for ty in types {
            for nullable in [false, true] {
                let column = hollow(&Field::new("c", ty.clone(), nullable), 5).unwrap();
                assert_eq!((column.data_type(), column.len()), (&ty, 5));
                assert_eq!(column.is_nullable(), nullable);
            }
        }
    }
}
