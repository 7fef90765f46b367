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
    /// Places where something else is shown now, each with how many rows were shown there before; none: nobody asks.
    touched: Option<Vec<(Place, usize)>>,
}

impl Shown {
    pub(super) fn new(schema: SchemaRef) -> Result<Self, TaskError> {
        let fields = schema.fields();
        let types: Vec<_> = fields[..fields.len() - 1].iter().map(|f| f.data_type().clone()).collect();
        Ok(Shown { schema, codec: RowBytes::new(&types)?, rows: BTreeMap::new(), touched: None })
    }

    /// The changes that lead from what is shown to these results, which are shown from now on; a result that is the
    /// same is no change.
    pub(super) fn changes(&mut self, places: &[Place], results: &RecordBatch) -> Result<RecordBatch, TaskError> {
        let encoded = self.codec.encode(results.columns(), results.num_rows())?;
        let mut changes: Vec<(Box<[u8]>, &str)> = Vec::new();
        for (i, (end, number)) in places.iter().enumerate() {
            let new = encoded.row(i);
            let rows = self.rows.entry(*end).or_default().entry(*number).or_default();
            if let Some(touched) = &mut self.touched {
                touched.push(((*end, *number), rows.len()));
            }
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
            let rows = self.rows.entry(*end).or_default().entry(*number).or_default();
            if let Some(touched) = &mut self.touched {
                touched.push(((*end, *number), rows.len()));
            }
            rows.push(encoded.row(i).into());
        }
        Ok(())
    }

    /// What is shown in one place is to be taken back in another.
    pub(super) fn move_to(&mut self, (end, from): Place, to: u32) {
        let Some(rows) = self.rows.get_mut(&end) else { return };
        if let Some(moved) = rows.remove(&from) {
            let rows = rows.entry(to).or_default();
            if let Some(touched) = &mut self.touched {
                touched.push(((end, to), rows.len()));
            }
            rows.extend(moved);
        }
    }

    /// What is shown there stays in force for ever, and its cell is forgotten.
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
            let (end, rows) = first.remove_entry();
            note_all(&mut self.touched, end, &rows);
        }
    }

    /// Everything stays in force for ever.
    pub(super) fn settle_all(&mut self) {
        for (end, rows) in std::mem::take(&mut self.rows) {
            note_all(&mut self.touched, end, &rows);
        }
    }

    /// Cells got new numbers.
    pub(super) fn renumber(&mut self, renumbered: &[Option<u32>]) {
        for rows in self.rows.values_mut() {
            let old = std::mem::take(rows);
            rows.extend(old.into_iter().filter_map(|(cell, kept)| Some((renumbered[cell as usize]?, kept))));
        }
        if let Some(touched) = &mut self.touched {
            let old = std::mem::take(touched);
            let new = |((end, cell), rows): (Place, usize)| Some(((end, renumbered[cell as usize]?), rows));
            touched.extend(old.into_iter().filter_map(new));
        }
    }

    /// Begins to note where something else is shown.
    pub(super) fn track(&mut self) {
        self.touched = Some(Vec::new());
    }

    /// Where something else is shown since that was last asked, each with how many rows were shown there before. A
    /// place may be there more than once: the first says how many there were.
    pub(super) fn touched(&mut self) -> Vec<(Place, usize)> {
        self.touched.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The rows that are shown in a place.
    pub(super) fn at(&self, (end, number): Place) -> &[Box<[u8]>] {
        self.rows.get(&end).and_then(|rows| rows.get(&number)).map_or(&[], Vec::as_slice)
    }

    /// Rows as columns.
    pub(super) fn decoded<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, TaskError> {
        self.codec.decode(rows)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let of = |rows: &Rows| rows.iter().map(|row| row.len() + size_of::<Box<[u8]>>()).sum::<usize>();
        self.rows.values().flat_map(HashMap::values).map(|rows| of(rows) + size_of::<(u32, Rows)>()).sum()
    }

    /// Where something is shown.
    pub(super) fn places(&self) -> Vec<Place> {
        let places = self.rows.iter().flat_map(|(end, rows)| rows.keys().map(move |number| (*end, *number)));
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        places
    }

    /// The columns of a result, without `op`.
    pub(super) fn fields(&self) -> Vec<Field> {
        let fields = self.schema.fields();
        fields[..fields.len() - 1].iter().map(|f| f.as_ref().clone()).collect()
    }
}

fn note_all(touched: &mut Option<Vec<(Place, usize)>>, end: i64, rows: &HashMap<u32, Rows>) {
    if let Some(touched) = touched {
        touched.extend(rows.iter().map(|(number, rows)| ((end, *number), rows.len())));
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
