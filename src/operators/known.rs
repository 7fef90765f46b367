//! Keys that are remembered between batches. Each has a number for as long as it is remembered; numbers of forgotten
//! keys are given out again, so that what is kept by number stays small. Knows nothing of stages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt8Array};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion_common::HashMap;

use crate::model::key_groups::key_groups;
use crate::operators::keys::canonical;
use crate::operators::values::bug;
use crate::plan::operator::TaskError;

/// The keys that are remembered.
pub(super) struct Known {
    codec: RowBytes,
    numbers: HashMap<Arc<[u8]>, u32>,
    keys: Vec<Option<Arc<[u8]>>>,
    free: Vec<u32>,
    bytes: usize,
}

impl Known {
    /// For keys of these types; without any there is one key.
    pub(super) fn new(types: &[DataType]) -> Result<Self, TaskError> {
        let codec = RowBytes::new(types)?;
        Ok(Known { codec, numbers: HashMap::default(), keys: Vec::new(), free: Vec::new(), bytes: 0 })
    }

    /// The number of each row's key; a key that is not remembered is from now on.
    pub(super) fn assign(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>, TaskError> {
        let columns: Vec<_> = columns.iter().map(canonical).collect();
        let mut numbers = Vec::with_capacity(rows);
        let encoded = self.codec.encode(&columns, rows)?;
        encoded.for_each(|key| numbers.push(self.number(key)));
        Ok(numbers)
    }

    /// The number of each row's key, where it is remembered.
    pub(super) fn find(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Option<u32>>, TaskError> {
        let columns: Vec<_> = columns.iter().map(canonical).collect();
        let mut numbers = Vec::with_capacity(rows);
        self.codec.encode(&columns, rows)?.for_each(|key| numbers.push(self.numbers.get(key).copied()));
        Ok(numbers)
    }

    fn number(&mut self, key: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let key: Arc<[u8]> = Arc::from(key);
        self.bytes += key.len() + OVERHEAD;
        let number = self.free.pop().unwrap_or_else(|| {
            self.keys.push(None);
            self.keys.len() as u32 - 1
        });
        self.keys[number as usize] = Some(key.clone());
        self.numbers.insert(key, number);
        number
    }

    /// Forgets a key.
    pub(super) fn forget(&mut self, number: u32) {
        if let Some(key) = self.keys[number as usize].take() {
            self.numbers.remove(&key);
            self.bytes -= key.len() + OVERHEAD;
            self.free.push(number);
        }
    }

    /// Every number is below this one.
    pub(super) fn end(&self) -> usize {
        self.keys.len()
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes of a key, which are ordered as keys are: for an order that depends on keys alone.
    pub(super) fn key(&self, number: u32) -> &[u8] {
        self.keys[number as usize].as_deref().unwrap_or_default()
    }

    /// The number of a key by its bytes.
    pub(super) fn number_of(&self, key: &[u8]) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// The bytes of a key, to be kept beyond its time.
    pub(super) fn shared(&self, number: u32) -> Option<Arc<[u8]>> {
        self.keys[number as usize].clone()
    }

    /// Keys as columns, of bytes that were theirs.
    pub(super) fn decoded<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, TaskError> {
        self.codec.decode(keys)
    }

    /// The keys of these numbers, as columns.
    pub(super) fn columns(&self, numbers: &[u32]) -> Result<Vec<ArrayRef>, TaskError> {
        self.codec.decode(numbers.iter().map(|number| self.key(*number)))
    }
}

/// What a key costs beside its bytes: its place in the map and in the list, and the counts of its owner.
const OVERHEAD: usize = 64;

/// The key groups of keys, for saving; without columns there is one key, of group 0.
pub(super) fn groups(keys: &[ArrayRef], rows: usize) -> Result<UInt8Array, TaskError> {
    match keys {
        [] => Ok(UInt8Array::from(vec![0; rows])),
        keys => Ok(UInt8Array::from(key_groups(keys).map_err(bug)?)),
    }
}

/// Rows as bytes, from which they can be made again bit for bit.
pub(super) struct RowBytes {
    /// None where rows have no columns.
    converter: Option<RowConverter>,
}

impl RowBytes {
    /// For columns of these types.
    pub(super) fn new(types: &[DataType]) -> Result<Self, TaskError> {
        if types.is_empty() {
            return Ok(RowBytes { converter: None });
        }
        let fields = types.iter().map(|ty| SortField::new(ty.clone())).collect();
        Ok(RowBytes { converter: Some(RowConverter::new(fields).map_err(bug)?) })
    }

    /// The rows of these columns.
    pub(super) fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Encoded, TaskError> {
        let encoded = self.converter.as_ref().map(|c| c.convert_columns(columns)).transpose().map_err(bug)?;
        Ok(Encoded { encoded, rows })
    }

    /// The columns of these rows.
    pub(super) fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, TaskError> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        converter.convert_rows(rows.map(|row| parser.parse(row))).map_err(bug)
    }
}

/// Rows as bytes.
pub(super) struct Encoded {
    encoded: Option<arrow::row::Rows>,
    rows: usize,
}

impl Encoded {
    /// Calls `f` for each row.
    pub(super) fn for_each(&self, mut f: impl FnMut(&[u8])) {
        match &self.encoded {
            Some(rows) => rows.iter().for_each(|row| f(row.data())),
            None => (0..self.rows).for_each(|_| f(&[])),
        }
    }

    /// The bytes of a row.
    pub(super) fn row(&self, row: usize) -> &[u8] {
        self.encoded.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

/// When numbers are to be looked at again: never too late, perhaps too early, so that a time that moves on and on
/// costs nothing until it has come.
#[derive(Default)]
pub(super) struct Timers {
    due: BinaryHeap<Reverse<(i64, u32)>>,
}

impl Timers {
    /// To be looked at as soon as time is `at`.
    pub(super) fn set(&mut self, at: i64, number: u32) {
        self.due.push(Reverse((at, number)));
    }

    /// Takes what is to be looked at by now.
    pub(super) fn take(&mut self, now: i64) -> Vec<u32> {
        let mut taken = Vec::new();
        while let Some(Reverse((at, number))) = self.due.peek()
            && *at <= now
        {
            taken.push(*number);
            self.due.pop();
        }
        taken
    }

    /// How many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.due.capacity() * size_of::<(i64, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float64Array, StringArray};

    use super::*;

    fn words(words: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(words.to_vec()))
    }

    #[test]
    fn numbers_of_forgotten_keys_are_given_out_again() {
        let mut known = Known::new(&[DataType::Utf8]).unwrap();
        assert_eq!(known.assign(&[words(&["b", "a", "b"])], 3).unwrap(), [0, 1, 0]);
        known.forget(0);
        assert_eq!(known.find(&[words(&["b", "a"])], 2).unwrap(), [None, Some(1)]);
        assert_eq!(known.assign(&[words(&["c", "b"])], 2).unwrap(), [0, 2]);
        assert_eq!((known.len(), known.end()), (3, 3));
        let columns = known.columns(&[2, 0, 1]).unwrap();
        assert_eq!(columns[0].as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["b", "c", "a"]);
    }

    #[test]
    fn without_columns_there_is_one_key() {
        let mut known = Known::new(&[]).unwrap();
        assert_eq!(known.assign(&[], 3).unwrap(), [0, 0, 0]);
        assert_eq!(groups(&[], 1).unwrap().value(0), 0);
        assert!(known.columns(&[0]).unwrap().is_empty());
    }

    #[test]
    fn rows_come_back_bit_for_bit() {
        let bits = [0.0_f64, -0.0, f64::NAN, -f64::NAN, 1e-310, f64::NEG_INFINITY];
        let codec = RowBytes::new(&[DataType::Float64]).unwrap();
        let column: ArrayRef = Arc::new(Float64Array::from(bits.to_vec()));
        let encoded = codec.encode(&[column], bits.len()).unwrap();
        let back = codec.decode((0..bits.len()).map(|row| encoded.row(row))).unwrap();
        let back = back[0].as_primitive::<arrow::datatypes::Float64Type>();
        assert_eq!(back.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), bits.map(f64::to_bits));
    }

    #[test]
    fn timers_are_taken_when_they_are_due() {
        let mut timers = Timers::default();
        timers.set(20, 1);
        timers.set(10, 2);
        timers.set(20, 3);
        assert!(timers.take(9).is_empty());
        assert_eq!(timers.take(20), [2, 1, 3]);
        assert!(timers.take(i64::MAX).is_empty());
    }
}
