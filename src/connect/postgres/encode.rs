//! Rows as `copy ... (format binary)` takes them: their numbers, then their columns as they are staged.

use arrow::array::{Array, AsArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int64Type,
    Time64MicrosecondType, TimestampMicrosecondType, UInt64Type,
};
use arrow::error::ArrowError;

use crate::connect::postgres::types::is_plain;
use crate::model::{Schema, Type};

/// Days, and microseconds, from 1970 to 2000, from which PostgreSQL counts.
const DAYS: i32 = 10_957;
const MICROS: i64 = 946_684_800_000_000;

/// What stands in front of the first row.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Rows as bytes.
pub(crate) struct Encoder {
    types: Vec<Type>,
    out: Vec<u8>,
}

impl Encoder {
    /// For rows of these columns; those with parts have been made JSON.
    pub(crate) fn new(schema: &Schema) -> Self {
        let types = schema.columns.iter().map(|column| column.slot.ty.clone()).collect();
        Encoder { types, out: HEAD.to_vec() }
    }

    /// Adds rows, numbered from 0; those that cannot be there are left out and named with the reason.
    pub(crate) fn add(
        &mut self,
        rows: &RecordBatch,
        mut refuse: impl FnMut(usize) -> Option<String>,
    ) -> Result<Vec<(usize, String)>, ArrowError> {
        let columns: Vec<Column<'_>> =
            self.types.iter().zip(rows.columns()).map(|(ty, array)| Column::of(ty, array)).collect::<Result<_, _>>()?;
        let mut refused = Vec::new();
        let count = i16::try_from(columns.len() + 1).unwrap_or(i16::MAX);
        for row in 0..rows.num_rows() {
            if let Some(why) = refuse(row) {
                refused.push((row, why));
                continue;
            }
            let start = self.out.len();
            self.out.extend(count.to_be_bytes());
            sized(&mut self.out, |out| out.extend((row as i64).to_be_bytes()));
            let wrong = columns.iter().zip(&rows.schema().fields().clone()).find_map(|(column, field)| {
                let why = column.put(row, &mut self.out).err()?;
                Some(format!("column `{}`: {why}", field.name()))
            });
            if let Some(why) = wrong {
                self.out.truncate(start);
                refused.push((row, why));
            }
        }
        Ok(refused)
    }

    /// All of it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.extend((-1_i16).to_be_bytes());
        self.out
    }
}

/// A value behind its length.
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0; 4]);
    write(out);
    let length = i32::try_from(out.len() - at - 4).unwrap_or(i32::MAX);
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
}

/// A column, ready to be written.
enum Column<'a> {
    Bool(&'a BooleanArray),
    Whole(PrimitiveArray<Int64Type>),
    Unsigned(&'a PrimitiveArray<UInt64Type>),
    Float(&'a PrimitiveArray<Float32Type>),
    Double(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>, i8),
    Text(&'a arrow::array::StringArray),
    Bytes(&'a arrow::array::BinaryArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<Time64MicrosecondType>),
    Timestamp(&'a PrimitiveArray<TimestampMicrosecondType>),
    Duration(&'a PrimitiveArray<DurationMicrosecondType>),
    List(&'a ListArray, u32, Box<Column<'a>>),
}

impl<'a> Column<'a> {
    fn of(ty: &Type, array: &'a dyn Array) -> Result<Self, ArrowError> {
        let unknown = || ArrowError::NotYetImplemented(format!("no column of PostgreSQL holds {ty}"));
        Ok(match ty {
            Type::Bool => Column::Bool(array.as_boolean()),
            Type::UInt64 => Column::Unsigned(array.as_primitive()),
            ty if ty.is_integer() => Column::Whole(cast(array, &DataType::Int64)?.as_primitive().clone()),
            Type::Float32 => Column::Float(array.as_primitive()),
            Type::Float64 => Column::Double(array.as_primitive()),
            Type::Decimal { scale, .. } => Column::Decimal(array.as_primitive(), *scale),
            Type::String | Type::Json => Column::Text(array.as_string()),
            Type::Bytes => Column::Bytes(array.as_binary()),
            Type::Date => Column::Date(array.as_primitive()),
            Type::Time => Column::Time(array.as_primitive()),
            Type::Timestamp(_) => Column::Timestamp(array.as_primitive()),
            Type::Duration => Column::Duration(array.as_primitive()),
            Type::List(item) if is_plain(&item.ty) => {
                let list = array.as_list::<i32>();
                Column::List(list, object(&item.ty), Box::new(Column::of(&item.ty, list.values())?))
            }
            _ => return Err(unknown()),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Column::Bool(array) => array.is_null(row),
            Column::Whole(array) => array.is_null(row),
            Column::Unsigned(array) => array.is_null(row),
            Column::Float(array) => array.is_null(row),
            Column::Double(array) => array.is_null(row),
            Column::Decimal(array, _) => array.is_null(row),
            Column::Text(array) => array.is_null(row),
            Column::Bytes(array) => array.is_null(row),
            Column::Date(array) => array.is_null(row),
            Column::Time(array) => array.is_null(row),
            Column::Timestamp(array) => array.is_null(row),
            Column::Duration(array) => array.is_null(row),
            Column::List(array, ..) => array.is_null(row),
        }
    }

    /// Writes a value; the error says why it cannot be one.
    fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.is_null(row) {
            out.extend((-1_i32).to_be_bytes());
            return Ok(());
        }
        match self {
            Column::Bool(array) => sized(out, |out| out.push(u8::from(array.value(row)))),
            Column::Whole(array) => sized(out, |out| out.extend(array.value(row).to_be_bytes())),
            Column::Unsigned(array) => sized(out, |out| numeric(i128::from(array.value(row)), 0, out)),
            Column::Float(array) => sized(out, |out| out.extend(array.value(row).to_be_bytes())),
            Column::Double(array) => sized(out, |out| out.extend(array.value(row).to_be_bytes())),
            Column::Decimal(array, scale) => sized(out, |out| numeric(array.value(row), *scale, out)),
            Column::Text(array) => {
                let text = array.value(row);
                if memchr::memchr(0, text.as_bytes()).is_some() {
                    return Err("a text of PostgreSQL holds no zero byte");
                }
                sized(out, |out| out.extend(text.as_bytes()));
            }
            Column::Bytes(array) => sized(out, |out| out.extend(array.value(row))),
            Column::Date(array) => {
                let days = array.value(row).checked_sub(DAYS).ok_or("it is before the first day of PostgreSQL")?;
                sized(out, |out| out.extend(days.to_be_bytes()));
            }
            Column::Time(array) => sized(out, |out| out.extend(array.value(row).to_be_bytes())),
            Column::Timestamp(array) => {
                let micros = array.value(row).checked_sub(MICROS).ok_or("it is before the first day of PostgreSQL")?;
                sized(out, |out| out.extend(micros.to_be_bytes()));
            }
            Column::Duration(array) => sized(out, |out| {
                out.extend(array.value(row).to_be_bytes());
                out.extend([0; 8]);
            }),
            Column::List(array, object, items) => return list(array, *object, items, row, out),
        }
        Ok(())
    }
}

fn list(array: &ListArray, object: u32, items: &Column<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (from, to) = (array.value_offsets()[row] as usize, array.value_offsets()[row + 1] as usize);
    let mut wrong = None;
    sized(out, |out| {
        let count = i32::try_from(to - from).unwrap_or(i32::MAX);
        let nulls = (from..to).any(|item| items.is_null(item));
        out.extend(i32::from(count > 0).to_be_bytes());
        out.extend(i32::from(nulls).to_be_bytes());
        out.extend(object.to_be_bytes());
        if count > 0 {
            out.extend(count.to_be_bytes());
            out.extend(1_i32.to_be_bytes());
        }
        wrong = (from..to).find_map(|item| items.put(item, out).err());
    });
    wrong.map_or(Ok(()), Err)
}

/// The number by which the server knows the type of an element.
fn object(ty: &Type) -> u32 {
    match ty {
        Type::Bool => 16,
        Type::UInt64 | Type::Decimal { .. } => 1700,
        ty if ty.is_integer() => 20,
        Type::Float32 => 700,
        Type::Float64 => 701,
        Type::Bytes => 17,
        Type::Date => 1082,
        Type::Time => 1083,
        Type::Timestamp(_) => 1184,
        Type::Duration => 1186,
        _ => 25,
    }
}

/// A decimal: digits to the base of ten thousand, the weight of the first, the sign, how many stand behind the point.
fn numeric(value: i128, scale: i8, out: &mut Vec<u8>) {
    let behind = u32::from(scale.max(0).unsigned_abs());
    // Filled up, so that the point stands between two digits of ten thousand.
    let filled = (4 - behind % 4) % 4;
    let (mut digits, mut rest) = (Vec::new(), value.unsigned_abs());
    let mut push = |digit: u128| digits.push(i16::try_from(digit).unwrap_or_default());
    if filled > 0 {
        let unit = 10_u128.pow(4 - filled);
        push(rest % unit * 10_u128.pow(filled));
        rest /= unit;
    }
    while rest > 0 {
        push(rest % 10_000);
        rest /= 10_000;
    }
    let fraction = i32::try_from(behind.div_ceil(4)).unwrap_or_default();
    let mut weight = i32::try_from(digits.len()).unwrap_or_default() - fraction - 1;
    digits.reverse();
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    digits.drain(..zeros);
    weight -= i32::try_from(zeros).unwrap_or_default();
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let short = |n: i32| i16::try_from(n).unwrap_or_default();
    let weight = if digits.is_empty() { 0 } else { short(weight) };
    out.extend(i16::try_from(digits.len()).unwrap_or_default().to_be_bytes());
    out.extend(weight.to_be_bytes());
    out.extend(if value < 0 { [0x40, 0] } else { [0, 0] });
    out.extend(i16::from(scale.max(0)).to_be_bytes());
    digits.iter().for_each(|digit| out.extend(digit.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(value: i128, scale: i8) -> Vec<i16> {
        let mut out = Vec::new();
        numeric(value, scale, &mut out);
        out.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn decimals_are_digits_to_the_base_of_ten_thousand() {
        assert_eq!(parts(0, 2), [0, 0, 0, 2]);
        assert_eq!(parts(1, 0), [1, 0, 0, 0, 1]);
        assert_eq!(parts(-12_345_678, 0), [2, 1, 0x4000, 0, 1234, 5678]);
        assert_eq!(parts(1234, 2), [2, 0, 0, 2, 12, 3400]);
        assert_eq!(parts(5, 5), [1, -2, 0, 5, 5000]);
        assert_eq!(parts(1_000_000, 2), [1, 1, 0, 2, 1]);
        assert_eq!(parts(i128::from(u64::MAX), 0)[..2], [5, 4]);
    }
}
