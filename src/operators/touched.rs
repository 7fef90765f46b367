//! What happened to the slots of a task since somebody asked: which ones to look at again, and what was in those that
//! are free now. Until it is started it costs a look at a flag.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};

use crate::operators::known::{Known, groups};
use crate::operators::values::batch_of;
use crate::plan::operator::{SavedTable, TableChange, TaskError};

/// Slots by number, each noted once.
#[derive(Default)]
pub(super) struct Touched {
    on: bool,
    /// A bit for each slot.
    noted: Vec<u64>,
    slots: Vec<u32>,
}

impl Touched {
    /// Begins to note.
    pub(super) fn start(&mut self) {
        self.take();
        self.on = true;
    }

    /// Whether it notes anything.
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// Something happened to a slot.
    pub(super) fn note(&mut self, slot: u32) {
        if !self.on {
            return;
        }
        let (word, bit) = (slot as usize / 64, 1 << (slot % 64));
        if self.noted.len() <= word {
            self.noted.resize(word + 1, 0);
        }
        if self.noted[word] & bit == 0 {
            self.noted[word] |= bit;
            self.slots.push(slot);
        }
    }

    /// The noted slots, the lowest first; they are noted no more.
    pub(super) fn take(&mut self) -> Vec<u32> {
        let mut slots = std::mem::take(&mut self.slots);
        slots.iter().for_each(|slot| self.noted[*slot as usize / 64] = 0);
        slots.sort_unstable();
        slots
    }

    /// Slots got other numbers; those without one are gone.
    pub(super) fn renumber(&mut self, new: impl Fn(u32) -> Option<u32>) {
        for slot in self.take() {
            if let Some(slot) = new(slot) {
                self.note(slot);
            }
        }
    }
}

/// Keys that were forgotten, as bytes of [`Known`]: their numbers may be another key's by now.
#[derive(Default)]
pub(super) struct Forgotten(Vec<Arc<[u8]>>);

impl Forgotten {
    /// Notes a key that is about to be forgotten.
    pub(super) fn note(&mut self, known: &Known, number: u32) {
        self.0.extend(known.shared(number));
    }

    /// The identities of all of them: group and key, under these names. They are noted no more.
    pub(super) fn take(
        &mut self,
        known: &Known,
        fields: impl Iterator<Item = Field>,
    ) -> Result<Vec<RecordBatch>, TaskError> {
        let keys = std::mem::take(&mut self.0);
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let columns = known.decoded(keys.iter().map(AsRef::as_ref))?;
        let groups = groups(&columns, keys.len())?;
        Ok(vec![identities(groups, fields.zip(columns))?])
    }
}

/// Rows that went which are known by group and number.
#[derive(Default)]
pub(super) struct GoneRows {
    pub(super) groups: Vec<u8>,
    pub(super) numbers: Vec<i64>,
}

impl GoneRows {
    /// Their identities, with numbers under this name. They are noted no more.
    pub(super) fn take(&mut self, name: &str) -> Result<Vec<RecordBatch>, TaskError> {
        let GoneRows { groups, numbers } = std::mem::take(self);
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let number = (Field::new(name, DataType::Int64, false), Arc::new(Int64Array::from(numbers)) as ArrayRef);
        Ok(vec![identities(UInt8Array::from(groups), std::iter::once(number))?])
    }
}

/// All rows of a table, in the place of what was: for tables whose rows do not go.
pub(super) fn whole(table: SavedTable) -> TableChange {
    TableChange { name: table.name, identity: table.identity, gone: Vec::new(), rows: table.rows }
}

/// What identifies rows that are gone: their groups, and columns of these fields.
fn identities(groups: UInt8Array, others: impl Iterator<Item = (Field, ArrayRef)>) -> Result<RecordBatch, TaskError> {
    let (count, first) = (groups.len(), (Field::new("_group", DataType::UInt8, true), Arc::new(groups) as ArrayRef));
    let (fields, columns): (Vec<_>, Vec<_>) = std::iter::once(first).chain(others).unzip();
    batch_of(&Arc::new(ArrowSchema::new(fields)), columns, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_noted_once_and_taken_in_order() {
        let mut touched = Touched::default();
        touched.note(3);
        assert!(touched.take().is_empty(), "nobody asked");
        touched.start();
        [200, 3, 64, 3, 63].into_iter().for_each(|slot| touched.note(slot));
        touched.renumber(|slot| (slot != 64).then_some(slot + 1));
        assert_eq!(touched.take(), [4, 64, 201]);
        touched.note(4);
        assert_eq!(touched.take(), [4]);
    }
}
