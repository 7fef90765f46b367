//! What a snapshot holds with what changed since, piece by piece: of a state of any size no more is in memory than what
//! changed and the rows that are just looked at.

use std::collections::BTreeMap;
use std::io;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::engine::durable::image::{Owner, Piece, Unread};
use crate::engine::tables::{Merge, merged_all};
use crate::plan::operator::{Changes, SavedTable, TableChange, TaskError};

/// Batches of fewer rows are put together.
const ROWS: usize = 8_192;

/// By owner, with its word: what became of its tables, one change after the other. What says everything comes first.
pub(super) type Since = BTreeMap<Owner, (String, Vec<Changes>)>;

/// Who is handed pieces.
pub(super) type To<'a> = &'a mut dyn FnMut(Piece) -> Result<(), Failed>;

/// Why not all could be handed on.
pub(in crate::engine) enum Failed {
    /// What was cannot be read.
    Unread(Unread),
    /// The rows do not fit together, or are no use to who is handed them.
    Task(TaskError),
    /// They cannot be written.
    Unwritten(io::Error),
}

impl From<Unread> for Failed {
    fn from(why: Unread) -> Self {
        Failed::Unread(why)
    }
}

impl From<TaskError> for Failed {
    fn from(error: TaskError) -> Self {
        Failed::Task(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Failed::Unwritten(error)
    }
}

/// Hands on pieces of what was, changed.
pub(super) struct Merging<'a> {
    to: To<'a>,
    since: Since,
    /// Whether what was said of an owner before counts.
    counts: &'a dyn Fn(&Owner) -> bool,
    now: Now,
    table: Option<Table>,
}

/// Whose tables come by.
enum Now {
    /// Nobody's that count.
    Nobody,
    /// Of somebody; the changes of tables that were not there yet.
    Somebody(BTreeMap<String, Vec<TableChange>>),
}

/// The table that comes by.
struct Table {
    identity: usize,
    changes: Vec<TableChange>,
    /// Made with the first rows.
    merge: Option<Merge>,
    /// Rows that may be few.
    held: Option<RecordBatch>,
    is_handed_on: bool,
}

impl<'a> Merging<'a> {
    pub(super) fn new(since: Since, counts: &'a dyn Fn(&Owner) -> bool, to: To<'a>) -> Self {
        Merging { to, since, counts, now: Now::Nobody, table: None }
    }

    /// A piece of what was.
    pub(super) fn take(&mut self, piece: Piece) -> Result<(), Failed> {
        match piece {
            Piece::Owner(owner, word) => {
                self.end_owner()?;
                let is_said_anew = |changes: &Vec<Changes>| matches!(changes.first(), Some(Changes::All(_)));
                let all_anew = self.since.get(&owner).is_some_and(|(_, changes)| is_said_anew(changes));
                if all_anew || !(self.counts)(&owner) {
                    self.now = Now::Nobody;
                    return Ok(());
                }
                let (word, changes) = self.since.remove(&owner).unwrap_or((word, Vec::new()));
                let mut tables: BTreeMap<String, Vec<TableChange>> = BTreeMap::new();
                for change in changes {
                    if let Changes::Some(changed) = change {
                        changed.into_iter().for_each(|table| tables.entry(table.name.clone()).or_default().push(table));
                    }
                }
                self.now = Now::Somebody(tables);
                (self.to)(Piece::Owner(owner, word))
            }
            Piece::Table(name, identity) => {
                self.end_table()?;
                let Now::Somebody(tables) = &mut self.now else { return Ok(()) };
                let changes = tables.remove(&name).unwrap_or_default();
                if changes.iter().any(|change| change.identity != identity) {
                    let why = format!("the rows of `{name}` are not known by the columns by which they were");
                    return Err(TaskError::Bug(why).into());
                }
                self.table = Some(Table { identity, changes, merge: None, held: None, is_handed_on: false });
                (self.to)(Piece::Table(name, identity))
            }
            Piece::Rows(rows) => {
                let Some(table) = &mut self.table else { return Ok(()) };
                let rows = table.changed(rows)?;
                table.hand_on(rows, self.to)
            }
        }
    }

    /// No piece follows: what was not there before is handed on.
    pub(super) fn end(mut self) -> Result<(), Failed> {
        self.end_owner()?;
        for (owner, (word, changes)) in std::mem::take(&mut self.since) {
            let tables = merged_all(Vec::new(), changes)?;
            if !tables.is_empty() {
                (self.to)(Piece::Owner(owner, word))?;
                tables.into_iter().try_for_each(|table| whole(table, self.to))?;
            }
        }
        Ok(())
    }

    fn end_owner(&mut self) -> Result<(), Failed> {
        self.end_table()?;
        if let Now::Somebody(tables) = std::mem::replace(&mut self.now, Now::Nobody) {
            let new = tables.into_values().flatten().collect();
            merged_all(Vec::new(), [Changes::Some(new)])?.into_iter().try_for_each(|table| whole(table, self.to))?;
        }
        Ok(())
    }

    fn end_table(&mut self) -> Result<(), Failed> {
        let Some(mut table) = self.table.take() else { return Ok(()) };
        let merge = match table.merge.take() {
            Some(merge) => Some(merge),
            None => Merge::of(table.identity, None, &table.changes)?,
        };
        if let Some(rest) = merge.map(Merge::rest).transpose()?.flatten() {
            table.hand_on(rest, self.to)?;
        }
        match table.held.take() {
            // Of a table without rows the columns stay known.
            Some(rows) if rows.num_rows() > 0 || !table.is_handed_on => (self.to)(Piece::Rows(rows)),
            _ => Ok(()),
        }
    }
}

impl Table {
    fn changed(&mut self, rows: RecordBatch) -> Result<RecordBatch, TaskError> {
        if self.changes.is_empty() {
            return Ok(rows);
        }
        if self.merge.is_none() {
            self.merge = Merge::of(self.identity, Some(&rows), &self.changes)?;
        }
        match &mut self.merge {
            Some(merge) => merge.base(rows),
            None => Ok(rows),
        }
    }

    /// Hands rows on in batches that are not too small.
    fn hand_on(&mut self, rows: RecordBatch, to: To<'_>) -> Result<(), Failed> {
        let rows = match self.held.take() {
            Some(held) if held.num_rows() == 0 => rows,
            Some(held) => {
                let both = concat_batches(&held.schema(), [&held, &rows]);
                both.map_err(|e| TaskError::Bug(e.to_string()))?
            }
            None => rows,
        };
        if rows.num_rows() < ROWS {
            self.held = Some(rows);
            return Ok(());
        }
        self.is_handed_on = true;
        to(Piece::Rows(rows))
    }
}

/// A table that is there whole.
fn whole(table: SavedTable, to: To<'_>) -> Result<(), Failed> {
    to(Piece::Table(table.name, table.identity))?;
    table.rows.into_iter().try_for_each(|rows| to(Piece::Rows(rows)))
}
