//! Keys that are remembered between batches. Each has a number for as long as it is remembered; numbers of forgotten
//! keys are given out again, so that what is kept by number stays small. Knows nothing of stages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt8Array};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::model::key_groups::key_groups;
use crate::model::numbers::widened;
use crate::operators::keys::canonical;
use crate::operators::values::bug;
use crate::plan::operator::TaskError;

/// The keys that are remembered.
pub(super) struct Known {
    codec: RowBytes,
    hashing: DefaultHashBuilder,
    /// Numbers, by the hash of their keys.
    numbers: HashTable<u32>,
    slots: Vec<Slot>,
    /// The bytes of keys, one behind the other.
    bytes: Vec<u8>,
    /// How many of them are of keys that were forgotten.
    dead: usize,
    free: Vec<u32>,
}

/// The key that has a number.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Where its bytes begin.
    at: u64,
    /// How many there are; [`NOBODY`] where the number is free.
    length: u32,
    /// Of the key's hash, so that the table can grow without looking at keys.
    hash: u32,
}

const NOBODY: u32 = u32::MAX;

/// Bytes of forgotten keys are not cleared away before they are so many.
const CLUTTER: usize = 16 << 10;

impl Slot {
    fn is_somebodys(&self) -> bool {
        self.length != NOBODY
    }

    /// Which bytes are its key's.
    fn range(&self) -> std::ops::Range<usize> {
        let at = self.at as usize;
        at..at + if self.is_somebodys() { self.length as usize } else { 0 }
    }
}

impl Known {
    /// For keys of these types; without any there is one key.
    pub(super) fn new(types: &[DataType]) -> Result<Self, TaskError> {
        Ok(Known {
            codec: RowBytes::new(types)?,
            hashing: DefaultHashBuilder::default(),
            numbers: HashTable::new(),
            slots: Vec::new(),
            bytes: Vec::new(),
            dead: 0,
            free: Vec::new(),
        })
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
        self.codec.encode(&columns, rows)?.for_each(|key| numbers.push(self.number_of(key)));
        Ok(numbers)
    }

    fn number(&mut self, key: &[u8]) -> u32 {
        let Known { slots, bytes, numbers, .. } = self;
        let hash = self.hashing.hash_one(key) as u32;
        let is_it = |number: &u32| {
            let slot = &slots[*number as usize];
            slot.hash == hash && &bytes[slot.range()] == key
        };
        let entry = match numbers.entry(widened(hash), is_it, |number| widened(slots[*number as usize].hash)) {
            Entry::Occupied(entry) => return *entry.get(),
            Entry::Vacant(entry) => entry,
        };
        let number = self.free.pop().unwrap_or(slots.len() as u32);
        entry.insert(number);
        let slot = Slot { at: bytes.len() as u64, length: key.len() as u32, hash };
        bytes.extend_from_slice(key);
        match slots.get_mut(number as usize) {
            Some(free) => *free = slot,
            None => slots.push(slot),
        }
        number
    }

    /// Forgets a key.
    pub(super) fn forget(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        if !slot.is_somebodys() {
            return;
        }
        self.dead += slot.length as usize;
        slot.length = NOBODY;
        if let Ok(entry) = self.numbers.find_entry(widened(slot.hash), |other| *other == number) {
            entry.remove();
        }
        self.free.push(number);
        if self.dead > CLUTTER && self.dead > self.bytes.len() / 2 {
            self.clear_up();
        }
    }

    fn clear_up(&mut self) {
        let mut living = Vec::with_capacity(self.bytes.len() - self.dead);
        for slot in self.slots.iter_mut().filter(|slot| slot.is_somebodys()) {
            let at = living.len() as u64;
            living.extend_from_slice(&self.bytes[slot.range()]);
            slot.at = at;
        }
        (self.bytes, self.dead) = (living, 0);
    }

    /// Every number is below this one.
    pub(super) fn end(&self) -> usize {
        self.slots.len()
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Memory, about.
    pub(super) fn bytes(&self) -> usize {
        // A place in the table is a number and a byte of its hash.
        self.bytes.capacity()
            + self.slots.capacity() * size_of::<Slot>()
            + self.numbers.capacity() * 8 / 7 * (size_of::<u32>() + 1)
            + self.free.capacity() * size_of::<u32>()
    }

    /// The bytes of a key, which are ordered as keys are: for an order that depends on keys alone.
    pub(super) fn key(&self, number: u32) -> &[u8] {
        &self.bytes[self.slots[number as usize].range()]
    }

    /// The number of a key by its bytes.
    pub(super) fn number_of(&self, key: &[u8]) -> Option<u32> {
        let hash = self.hashing.hash_one(key) as u32;
        let is_it = |number: &u32| {
            let slot = &self.slots[*number as usize];
            slot.hash == hash && &self.bytes[slot.range()] == key
        };
        self.numbers.find(widened(hash), is_it).copied()
    }

    /// The bytes of a key, to be kept beyond its time.
    pub(super) fn shared(&self, number: u32) -> Option<Arc<[u8]>> {
        let slot = &self.slots[number as usize];
        slot.is_somebodys().then(|| Arc::from(&self.bytes[slot.range()]))
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
