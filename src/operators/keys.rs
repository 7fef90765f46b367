//! Numbers the distinct keys of rows in the order in which they first appear, so that what is grouped by them comes
//! out the same whatever runs where.

use std::sync::Arc;

use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, PrimitiveArray, StringBuilder};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};

use crate::model::numbers::Numbers;
use crate::operators::values::bug;
use crate::plan::operator::TaskError;

/// The keys seen so far.
pub(super) struct KeyTable {
    numbers: Numbers,
    form: Form,
}

/// How keys are looked up and kept. One string is looked up as it is, without being encoded.
enum Form {
    Text(TextKeys),
    Rows { converter: RowConverter, known: Rows },
}

/// Strings by number. Null has a number of its own.
#[derive(Default)]
struct TextKeys {
    texts: StringBuilder,
    null: Option<usize>,
}

impl KeyTable {
    /// For keys of these types.
    pub(super) fn new(types: &[DataType]) -> Result<Self, TaskError> {
        let form = if let [DataType::Utf8] = types {
            Form::Text(TextKeys::default())
        } else {
            let fields = types.iter().map(|t| SortField::new(t.clone())).collect();
            let converter = RowConverter::new(fields).map_err(bug)?;
            let known = converter.empty_rows(0, 0);
            Form::Rows { converter, known }
        };
        Ok(KeyTable { numbers: Numbers::default(), form })
    }

    /// The number of each row's key; new keys get the next numbers.
    pub(super) fn assign(&mut self, columns: &[ArrayRef]) -> Result<Vec<usize>, TaskError> {
        match &mut self.form {
            Form::Text(keys) => {
                let texts = columns.first().and_then(|column| column.as_string_opt::<i32>());
                let texts = texts.ok_or_else(|| bug("the keys are no strings"))?;
                Ok(texts.iter().map(|text| keys.number(text, &mut self.numbers)).collect())
            }
            Form::Rows { converter, known } => {
                let columns: Vec<_> = columns.iter().map(canonical).collect();
                let rows = converter.convert_columns(&columns).map_err(bug)?;
                let mut numbers = Vec::with_capacity(rows.num_rows());
                for row in &rows {
                    let next = known.num_rows();
                    let number = self.numbers.of(row.data(), next, |number| known.row(number).data() == row.data());
                    if number == next {
                        known.push(row);
                    }
                    numbers.push(number);
                }
                Ok(numbers)
            }
        }
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
        match &self.form {
            Form::Text(keys) => keys.texts.len(),
            Form::Rows { known, .. } => known.num_rows(),
        }
    }

    /// The keys by number.
    pub(super) fn columns(&self) -> Result<Vec<ArrayRef>, TaskError> {
        match &self.form {
            Form::Text(keys) => Ok(vec![Arc::new(keys.texts.finish_cloned())]),
            Form::Rows { converter, known } => converter.convert_rows(known).map_err(bug),
        }
    }
}

impl TextKeys {
    fn number(&mut self, text: Option<&str>, numbers: &mut Numbers) -> usize {
        let next = self.texts.len();
        let number = match text {
            Some(text) => {
                let (offsets, bytes) = (self.texts.offsets_slice(), self.texts.values_slice());
                let of = |number: usize| &bytes[offsets[number] as usize..offsets[number + 1] as usize];
                numbers.of(text.as_bytes(), next, |number| of(number) == text.as_bytes())
            }
            None => *self.null.get_or_insert(next),
        };
        if number == next {
            self.texts.append_option(text);
        }
        number
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
