//! Which rows have equal keys: the keys of one input get numbers, the rows of another are looked up among them. Null is
//! equal to nothing, so a row with a null in its key has no number.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion_common::HashMap;
use twox_hash::XxHash3_64;

use crate::operators::keys::canonical;
use crate::operators::values::bug;
use crate::plan::operator::{NotRunnable, TaskError};

/// No number, no row.
pub(super) const NONE: u32 = u32::MAX;

/// The distinct keys seen so far, numbered as they first appear.
pub(super) struct KeyNumbers {
    form: Form,
    /// The first key with a hash.
    first: HashMap<u64, u32>,
    /// By number: the next key with the same hash.
    next: Vec<u32>,
    /// The keys' bytes, one behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// How a key becomes bytes.
enum Form {
    /// There is no key: all rows are equal.
    Same,
    /// One text: its own bytes.
    Text,
    /// Anything else.
    Rows(RowConverter),
}

impl KeyNumbers {
    /// For keys of these types.
    pub(super) fn new(types: &[DataType]) -> Result<Self, NotRunnable> {
        let form = match types {
            [] => Form::Same,
            [DataType::Utf8] => Form::Text,
            _ => {
                let fields = types.iter().map(|t| SortField::new(t.clone())).collect();
                let converter = RowConverter::new(fields);
                Form::Rows(converter.map_err(|e| NotRunnable(format!("a key cannot be compared: {e}")))?)
            }
        };
        Ok(KeyNumbers { form, first: HashMap::default(), next: Vec::new(), bytes: Vec::new(), ends: Vec::new() })
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Forgets them all.
    pub(super) fn clear(&mut self) {
        self.first = HashMap::default();
        self.next = Vec::new();
        self.bytes = Vec::new();
        self.ends = Vec::new();
    }

    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.next.capacity() * 4 + self.first.capacity() * 16
    }

    /// The number of each row's key; new keys get the next numbers.
    pub(super) fn assign(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>, TaskError> {
        let mut numbers = Vec::with_capacity(rows);
        let KeyNumbers { form, first, next, bytes, ends } = self;
        let mut known = Known { first, next, bytes, ends };
        form.each(columns, rows, |key| numbers.push(key.map_or(NONE, |key| known.number(key))))?;
        Ok(numbers)
    }

    /// The number of each row's key where it has one.
    pub(super) fn find(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>, TaskError> {
        let mut numbers = Vec::with_capacity(rows);
        self.form.each(columns, rows, |key| numbers.push(key.map_or(NONE, |key| self.known(key))))?;
        Ok(numbers)
    }

    fn known(&self, key: &[u8]) -> u32 {
        let mut at = self.first.get(&XxHash3_64::oneshot(key)).copied().unwrap_or(NONE);
        while at != NONE && key_at(&self.bytes, &self.ends, at) != key {
            at = self.next[at as usize];
        }
        at
    }
}

fn key_at<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &bytes[start..ends[number]]
}

/// The keys while new ones are added.
struct Known<'a> {
    first: &'a mut HashMap<u64, u32>,
    next: &'a mut Vec<u32>,
    bytes: &'a mut Vec<u8>,
    ends: &'a mut Vec<usize>,
}

impl Known<'_> {
    fn number(&mut self, key: &[u8]) -> u32 {
        let fresh = self.ends.len() as u32;
        let first = self.first.entry(XxHash3_64::oneshot(key)).or_insert(fresh);
        let mut at = *first;
        while at != fresh && key_at(self.bytes, self.ends, at) != key {
            match self.next[at as usize] {
                NONE => {
                    self.next[at as usize] = fresh;
                    at = fresh;
                }
                next => at = next,
            }
        }
        if at == fresh {
            self.bytes.extend_from_slice(key);
            self.ends.push(self.bytes.len());
            self.next.push(NONE);
        }
        at
    }
}

impl Form {
    /// Calls `f` with the key of each row; none where a part of it is null.
    fn each(&self, columns: &[ArrayRef], rows: usize, mut f: impl FnMut(Option<&[u8]>)) -> Result<(), TaskError> {
        let nulls = columns.iter().fold(None, |nulls: Option<NullBuffer>, column| {
            NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref())
        });
        let valid = |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
        match self {
            Form::Same => (0..rows).for_each(|_| f(Some(&[]))),
            Form::Text => {
                let texts = columns.first().and_then(|c| c.as_string_opt::<i32>());
                let texts = texts.ok_or_else(|| bug("a text key is no text"))?;
                (0..rows).for_each(|row| f(valid(row).then(|| texts.value(row).as_bytes())));
            }
            Form::Rows(converter) => {
                let columns: Vec<_> = columns.iter().map(canonical).collect();
                let keys = converter.convert_columns(&columns).map_err(bug)?;
                (0..rows).for_each(|row| f(valid(row).then(|| keys.row(row).data())));
            }
        }
        Ok(())
    }
}

/// Rows by the number of their key, each key's in input order.
pub(super) struct Buckets {
    starts: Vec<u32>,
    rows: Vec<u32>,
}

impl Buckets {
    /// Sorts rows with these numbers, of which there are `count`.
    pub(super) fn new(numbers: &[u32], count: usize) -> Self {
        let mut starts = vec![0_u32; count + 1];
        numbers.iter().filter(|n| **n != NONE).for_each(|n| starts[*n as usize + 1] += 1);
        for i in 0..count {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; starts[count] as usize];
        for (row, number) in numbers.iter().enumerate().filter(|(_, n)| **n != NONE) {
            let place = &mut next[*number as usize];
            rows[*place as usize] = row as u32;
            *place += 1;
        }
        Buckets { starts, rows }
    }

    /// The rows with a number; none have none.
    pub(super) fn of(&self, number: u32) -> &[u32] {
        if number == NONE {
            return &[];
        }
        let number = number as usize;
        &self.rows[self.starts[number] as usize..self.starts[number + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array, StringArray};

    use super::*;

    fn texts(values: Vec<Option<&str>>) -> ArrayRef {
        Arc::new(StringArray::from(values))
    }

    #[test]
    fn equal_keys_have_one_number_and_null_has_none() {
        let mut keys = KeyNumbers::new(&[DataType::Utf8]).unwrap();
        assert_eq!(keys.assign(&[texts(vec![Some("b"), None, Some(""), Some("b")])], 4).unwrap(), [0, NONE, 1, 0]);
        assert_eq!(keys.find(&[texts(vec![Some(""), Some("c"), None])], 3).unwrap(), [1, NONE, NONE]);
    }

    #[test]
    fn a_null_in_one_part_makes_the_key_equal_to_nothing() {
        let mut keys = KeyNumbers::new(&[DataType::Utf8, DataType::Int64]).unwrap();
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1), None]));
        let columns = [texts(vec![Some("a"), Some("a"), Some("a")]), numbers];
        assert_eq!(keys.assign(&columns, 3).unwrap(), [0, 0, NONE]);
    }

    #[test]
    fn zeros_and_nans_are_equal_and_no_key_is_one_key() {
        let mut keys = KeyNumbers::new(&[DataType::Float64]).unwrap();
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        assert_eq!(keys.assign(&[floats], 4).unwrap(), [0, 0, 1, 1]);
        assert_eq!(KeyNumbers::new(&[]).unwrap().assign(&[], 2).unwrap(), [0, 0]);
    }

    #[test]
    fn buckets_hold_rows_in_input_order() {
        let buckets = Buckets::new(&[1, NONE, 0, 1], 3);
        assert_eq!((buckets.of(0), buckets.of(1), buckets.of(2)), (&[2][..], &[0, 3][..], &[][..]));
        assert!(buckets.of(NONE).is_empty());
    }
}
