//! Results that readers hold for true, so that they can be taken back: what changes are made of.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Field, SchemaRef};
use datafusion_common::HashMap;
use std::collections::BTreeMap;

use crate::operators::known::RowBytes;
use crate::operators::values::batch_of;
use crate::plan::operator::TaskError;

/// What a result is known by: the end of its window and the number of its key, or no window and the number of its cell.
pub(super) type Place = (i64, u32);

type Rows = Vec<Box<[u8]>>;

/// Rows that were given out and not taken back.
pub(super) struct Shown {
    /// The layout that comes out, `op` included.
    schema: SchemaRef,
    codec: RowBytes,
    /// By window, then key or cell. More than one row where several results have become one.
    rows: BTreeMap<i64, HashMap<u32, Rows>>,
}

impl Shown {
    pub(super) fn new(schema: SchemaRef) -> Result<Self, TaskError> {
        let fields = schema.fields();
        let types: Vec<_> = fields[..fields.len() - 1].iter().map(|f| f.data_type().clone()).collect();
        Ok(Shown { schema, codec: RowBytes::new(&types)?, rows: BTreeMap::new() })
    }

    /// The changes that lead from what is shown to these results, which are shown from now on; a result that is the
    /// same is no change.
    pub(super) fn changes(&mut self, places: &[Place], results: &RecordBatch) -> Result<RecordBatch, TaskError> {
        let encoded = self.codec.encode(results.columns(), results.num_rows())?;
        let mut changes: Vec<(Box<[u8]>, &str)> = Vec::new();
        for (i, (end, number)) in places.iter().enumerate() {
            let new = encoded.row(i);
            let rows = self.rows.entry(*end).or_default().entry(*number).or_default();
            let mut same = false;
            for old in rows.drain(..) {
                if *old == *new && !same {
                    same = true;
                } else {
                    changes.push((old, "-"));
                }
            }
            if !same {
                changes.push((new.into(), "+"));
            }
            rows.push(new.into());
        }
        let mut columns = self.codec.decode(changes.iter().map(|(row, _)| row.as_ref()))?;
        columns.push(Arc::new(StringArray::from_iter_values(changes.iter().map(|(_, op)| *op))));
        batch_of(&self.schema, columns, changes.len())
    }

    /// Notes results that are shown already.
    pub(super) fn note(&mut self, places: &[Place], results: &RecordBatch) -> Result<(), TaskError> {
        let encoded = self.codec.encode(results.columns(), results.num_rows())?;
        for (i, (end, number)) in places.iter().enumerate() {
            self.rows.entry(*end).or_default().entry(*number).or_default().push(encoded.row(i).into());
        }
        Ok(())
    }

    /// What is shown in one place is to be taken back in another.
    pub(super) fn move_to(&mut self, (end, from): Place, to: u32) {
        let Some(rows) = self.rows.get_mut(&end) else { return };
        if let Some(moved) = rows.remove(&from) {
            rows.entry(to).or_default().extend(moved);
        }
    }

    /// What is shown there stays in force for ever.
    pub(super) fn settle(&mut self, (end, number): Place) {
        if let Some(rows) = self.rows.get_mut(&end) {
            rows.remove(&number);
        }
    }

    /// What is shown of windows that end by then stays in force for ever.
    pub(super) fn settle_until(&mut self, end: i64) {
        while let Some(first) = self.rows.first_entry()
            && *first.key() <= end
        {
            first.remove();
        }
    }

    /// Everything stays in force for ever.
    pub(super) fn settle_all(&mut self) {
        self.rows.clear();
    }

    /// Cells got new numbers.
    pub(super) fn renumber(&mut self, renumbered: &[Option<u32>]) {
        for rows in self.rows.values_mut() {
            let old = std::mem::take(rows);
            rows.extend(old.into_iter().filter_map(|(cell, kept)| Some((renumbered[cell as usize]?, kept))));
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let of = |rows: &Rows| rows.iter().map(|row| row.len() + size_of::<Box<[u8]>>()).sum::<usize>();
        self.rows.values().flat_map(HashMap::values).map(|rows| of(rows) + size_of::<(u32, Rows)>()).sum()
    }

    /// Everything as columns, by place: for each row its place, and its values.
    pub(super) fn to_save(&self) -> Result<(Vec<Place>, Vec<ArrayRef>), TaskError> {
        let mut rows: Vec<(Place, &[u8])> = Vec::new();
        for (end, by_number) in &self.rows {
            let mut numbers: Vec<_> = by_number.keys().copied().collect();
            numbers.sort_unstable();
            for number in numbers {
                let shown = by_number.get(&number).into_iter().flatten();
                rows.extend(shown.map(|row| ((*end, number), row.as_ref())));
            }
        }
        let columns = self.codec.decode(rows.iter().map(|(_, row)| *row))?;
        Ok((rows.iter().map(|(place, _)| *place).collect(), columns))
    }

    /// The columns of a result, without `op`.
    pub(super) fn fields(&self) -> Vec<Field> {
        let fields = self.schema.fields();
        fields[..fields.len() - 1].iter().map(|f| f.as_ref().clone()).collect()
    }
}

/// How often results come: the time of the last ones.
pub(super) struct Pace {
    every: Option<i64>,
    last: Option<i64>,
}

impl Pace {
    pub(super) fn new(every: Option<i64>) -> Self {
        Pace { every, last: None }
    }

    /// Whether it is time, which is noted.
    pub(super) fn due(&mut self, now: i64, closing: bool) -> bool {
        let Some(every) = self.every else { return true };
        let due = closing || self.last.is_none_or(|last| now.saturating_sub(last) >= every);
        if due {
            self.last = Some(now);
        }
        due
    }

    /// When results last came.
    pub(super) fn last(&self) -> Option<i64> {
        self.last
    }

    /// Takes over what was saved.
    pub(super) fn load(&mut self, last: Option<i64>) {
        self.last = last;
    }
}
