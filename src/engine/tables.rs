//! State as rows, put together from what was saved and what changed since: rows are known by their identity alone, so
//! that no operator is needed for it.

mod following;
mod keys;

#[cfg(test)]
pub(crate) use following::equal;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch, interleave_record_batch};
use arrow::row::Rows;

use crate::engine::tables::keys::{Gone, Keys, bug};
use crate::model::numbers::Numbers;
use crate::plan::operator::{Changes, SavedTable, TableChange, TaskError};

/// So many rows of a base are looked at at a time: their identities are bytes beside them.
const ROWS: usize = 8_192;

/// Puts a table to others: its rows behind those of the one with its name.
pub(crate) fn add(tables: &mut Vec<SavedTable>, more: SavedTable) {
    match tables.iter_mut().find(|table| table.name == more.name) {
        Some(table) => table.rows.extend(more.rows),
        None => tables.push(more),
    }
}

/// What was saved, with what changed since. Rows that stay keep their order, changed ones their place; new ones come
/// behind, and so do those that went and came again.
pub(crate) fn merged(base: Vec<SavedTable>, changes: Changes) -> Result<Vec<SavedTable>, TaskError> {
    merged_all(base, [changes])
}

/// The same for changes that follow one another: the base is gone through once, and of each row only the last change
/// is looked at.
pub(crate) fn merged_all(
    mut base: Vec<SavedTable>,
    changes: impl IntoIterator<Item = Changes>,
) -> Result<Vec<SavedTable>, TaskError> {
    let mut changed: Vec<Vec<TableChange>> = Vec::new();
    for change in changes {
        match change {
            Changes::All(tables) => (base, changed) = (tables, Vec::new()),
            Changes::Some(tables) => {
                for table in tables {
                    match changed.iter_mut().find(|known| known[0].name == table.name) {
                        Some(known) => known.push(table),
                        None => changed.push(vec![table]),
                    }
                }
            }
        }
    }
    for changes in changed {
        let (name, identity) = (&changes[0].name, changes[0].identity);
        let at = base.iter().position(|table| table.name == *name).unwrap_or_else(|| {
            base.push(SavedTable { name: name.clone(), identity, rows: Vec::new() });
            base.len() - 1
        });
        let table = &mut base[at];
        if changes.iter().any(|change| change.identity != table.identity) {
            return Err(bug(format!("the rows of `{name}` are not known by the columns by which they were")));
        }
        table.rows = with_changes(table.identity, std::mem::take(&mut table.rows), &changes)?;
    }
    Ok(base)
}

/// The last of what was written under an identity.
struct Written {
    /// Which of the batches that were written, and which of its rows.
    at: (u32, u32),
    /// It stands in the place of a row of the base.
    in_place: bool,
}

impl Written {
    fn place(&self) -> (usize, usize) {
        (self.at.0 as usize, self.at.1 as usize)
    }
}

fn with_changes(
    identity: usize,
    base: Vec<RecordBatch>,
    changes: &[TableChange],
) -> Result<Vec<RecordBatch>, TaskError> {
    let Some(mut merge) = Merge::of(identity, base.first(), changes)? else { return Ok(base) };
    let mut kept = Vec::with_capacity(base.len() + 1);
    for rows in base {
        kept.push(merge.base(rows)?);
    }
    kept.extend(merge.rest()?);
    packed(kept)
}

/// Changes of a table that follow one another, put on its rows as these come by.
pub(crate) struct Merge {
    keys: Keys,
    gone: Gone,
    /// Of identities that were written, in the order in which they first were.
    numbers: Numbers,
    identities: Rows,
    written: Vec<Written>,
    sources: Vec<RecordBatch>,
}

impl Merge {
    /// None where nothing is known of the rows: nobody gave one. `like`: rows of the table.
    pub(crate) fn of(
        identity: usize,
        like: Option<&RecordBatch>,
        changes: &[TableChange],
    ) -> Result<Option<Self>, TaskError> {
        let sources: Vec<RecordBatch> = changes.iter().flat_map(|change| &change.rows).cloned().collect();
        let Some(like) = like.or(sources.first()) else { return Ok(None) };
        let keys = Keys::new(like, identity)?;
        let gone = Gone::of(&keys, changes)?;
        let (mut numbers, mut identities, mut written) = (Numbers::default(), keys.none(), Vec::<Written>::new());
        let mut batch = 0;
        for (step, change) in changes.iter().enumerate() {
            for rows in &change.rows {
                let last_gone = gone.last(&keys, rows)?;
                let encoded = keys.of(rows)?;
                for (row, key) in encoded.iter().enumerate() {
                    if last_gone.as_ref().is_some_and(|last| last[row].is_some_and(|gone| gone > step)) {
                        continue;
                    }
                    let (at, next) = ((batch, row as u32), written.len());
                    let number = numbers.of(key.data(), next, |number| identities.row(number).data() == key.data());
                    match written.get_mut(number) {
                        Some(known) => known.at = at,
                        None => {
                            identities.push(key);
                            written.push(Written { at, in_place: false });
                        }
                    }
                }
                batch += 1;
            }
        }
        Ok(Some(Merge { keys, gone, numbers, identities, written, sources }))
    }

    /// Of rows of the base those that are still there, with what was written in the place of some.
    pub(crate) fn base(&mut self, rows: RecordBatch) -> Result<RecordBatch, TaskError> {
        let Merge { numbers, identities, written, .. } = self;
        let mut places = Vec::with_capacity(rows.num_rows());
        let (mut left_out, mut replaced) = (Vec::new(), false);
        for start in (0..rows.num_rows()).step_by(ROWS) {
            let piece = rows.slice(start, ROWS.min(rows.num_rows() - start));
            let last_gone = self.gone.last(&self.keys, &piece)?;
            let encoded = self.keys.of(&piece)?;
            for (row, key) in encoded.iter().enumerate() {
                if last_gone.as_ref().is_some_and(|last| last[row].is_some()) {
                    left_out.push(start + row);
                } else if let Some(number) =
                    numbers.find(key.data(), |number| identities.row(number).data() == key.data())
                {
                    let written = &mut written[number];
                    (written.in_place, replaced) = (true, true);
                    let (batch, row) = written.place();
                    places.push((batch + 1, row));
                } else {
                    places.push((0, start + row));
                }
            }
        }
        if replaced {
            let mut all = vec![&rows];
            all.extend(&self.sources);
            return interleave_record_batch(&all, &places).map_err(bug);
        }
        if left_out.is_empty() {
            return Ok(rows);
        }
        let mut stays = vec![true; rows.num_rows()];
        left_out.into_iter().for_each(|row| stays[row] = false);
        filter_record_batch(&rows, &BooleanArray::from(stays)).map_err(bug)
    }

    /// The rows that are new, once all of the base came by.
    pub(crate) fn rest(self) -> Result<Option<RecordBatch>, TaskError> {
        let new = self.written.iter().filter(|written| !written.in_place);
        let places: Vec<_> = new.map(Written::place).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let sources: Vec<&RecordBatch> = self.sources.iter().collect();
        interleave_record_batch(&sources, &places).map(Some).map_err(bug)
    }
}

/// The same rows in few batches: each at least twice as large as the next one.
fn packed(batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, TaskError> {
    let mut packed: Vec<RecordBatch> = Vec::new();
    for batch in batches {
        // Of a table without rows the columns stay known.
        if packed.last().is_some_and(|last| last.num_rows() == 0) {
            packed.pop();
        }
        if batch.num_rows() > 0 || packed.is_empty() {
            packed.push(batch);
        }
        while let [.., a, b] = &packed[..]
            && a.num_rows() < 2 * b.num_rows()
        {
            let both = concat_batches(&a.schema(), [a, b]).map_err(bug)?;
            packed.truncate(packed.len() - 2);
            packed.push(both);
        }
    }
    Ok(packed)
}

#[cfg(test)]
mod tests;
