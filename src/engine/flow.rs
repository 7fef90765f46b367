//! Rows on their way between the steps of a batch.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;

use crate::engine::program::Slot;

/// Rows by the partition they came out of; in one part where they were never brought together.
pub(super) type Parts = Vec<Vec<RecordBatch>>;

/// What the steps of a batch have put out so far.
pub(super) struct Flow {
    rows: BTreeMap<Slot, Parts>,
    /// How many steps still want to read each output.
    readers: BTreeMap<Slot, usize>,
    /// Outputs somebody looks at from outside.
    watched: BTreeSet<Slot>,
    seen: BTreeMap<Slot, Vec<RecordBatch>>,
}

impl Flow {
    pub(super) fn new(readers: BTreeMap<Slot, usize>, watched: BTreeSet<Slot>) -> Self {
        Flow { rows: BTreeMap::new(), readers, watched, seen: BTreeMap::new() }
    }

    pub(super) fn is_read(&self, slot: &Slot) -> bool {
        self.readers.contains_key(slot) || self.watched.contains(slot)
    }

    /// Puts rows out in one part.
    pub(super) fn put(&mut self, slot: Slot, rows: impl IntoIterator<Item = RecordBatch>) {
        self.put_parts(slot, vec![rows.into_iter().collect()]);
    }

    /// Puts rows out part by part; what was put out before keeps its part only if there are as many.
    pub(super) fn put_parts(&mut self, slot: Slot, parts: Parts) {
        if self.watched.contains(&slot) {
            self.seen.entry(slot.clone()).or_default().extend(parts.iter().flatten().cloned());
        }
        if !self.readers.contains_key(&slot) {
            return;
        }
        let there = self.rows.entry(slot).or_default();
        if there.is_empty() {
            *there = parts;
        } else if there.len() == parts.len() {
            there.iter_mut().zip(parts).for_each(|(there, more)| there.extend(more));
        } else {
            *there = vec![std::mem::take(there).into_iter().chain(parts).flatten().collect()];
        }
    }

    /// The last reader gets the rows themselves.
    pub(super) fn take(&mut self, slot: &Slot) -> Parts {
        match self.readers.get_mut(slot) {
            Some(left) if *left > 1 => {
                *left -= 1;
                self.rows.get(slot).cloned().unwrap_or_default()
            }
            _ => self.rows.remove(slot).unwrap_or_default(),
        }
    }

    /// What was seen of the watched outputs.
    pub(super) fn into_seen(self) -> BTreeMap<Slot, Vec<RecordBatch>> {
        self.seen
    }
}
