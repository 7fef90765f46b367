//! What changed in an aggregate's state since it was last asked, in the tables of `saved`: cells that were touched, rows
//! that came, results that are shown otherwise. What depends on a cell goes with the cell.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use crate::operators::aggregate::lasting::{Lasting, Scope};
use crate::operators::aggregate::saved::{OF_CELL, OF_ROW, table_of};
use crate::operators::aggregate::shown::{Place, Shown};
use crate::operators::touched::whole;
use crate::operators::values::bug;
use crate::plan::operator::{Changes, SavedTable, TableChange, TaskError};

/// What was told, and what is to be.
#[derive(Default)]
pub(super) struct Told {
    /// When results last came.
    pace: Option<i64>,
    /// Keys and ends of windows of which something else is shown, with how many rows were shown before. Keys are their
    /// bytes, because a number may be another key's soon.
    windows: Vec<(Arc<[u8]>, i64, usize)>,
}

impl Lasting {
    pub(super) fn begin_to_tell(&mut self) {
        self.store.track();
        self.shown.iter_mut().for_each(Shown::track);
        if let Scope::BatchWindows(ticks, _) = &mut self.scope {
            ticks.track();
        }
        self.told = Some(Told { pace: self.pace.last(), windows: Vec::new() });
    }

    /// Before keys of windows are forgotten: where something else is shown.
    pub(super) fn note_shown(&mut self) {
        let (Some(told), Some(shown)) = (&mut self.told, &mut self.shown) else { return };
        for ((end, key), before) in shown.touched() {
            told.windows.extend(self.store.known.shared(key).map(|key| (key, end, before)));
        }
    }

    pub(super) fn tell(&mut self) -> Result<Changes, TaskError> {
        let (cells, groups, numbers) = self.store.changes()?;
        let mut gone = Vec::new();
        if !groups.is_empty() {
            gone.push(table_of(groups, vec![("cell".to_owned(), Arc::new(numbers) as ArrayRef)])?);
        }
        let change = |name: String, identity, gone, rows| TableChange { name, identity, gone, rows: vec![rows] };
        let mut changes = vec![change("cells".into(), OF_CELL, gone.clone(), self.saved_cells(&cells)?)];
        let mut pieces = Vec::new();
        for (i, _, kept) in self.store.keeping() {
            pieces.push((i, kept.changes()?));
        }
        for (i, piece) in pieces {
            let living = piece.of_cells(|cell| self.store.heads[cell as usize].alive)?;
            changes.push(change(format!("rows_{i}"), OF_ROW, gone.clone(), self.saved_rows(&living)?));
        }
        if let Some(mut shown) = self.shown.take() {
            let change = self.tell_shown(&mut shown, gone);
            self.shown = Some(shown);
            changes.push(change?);
        }
        let told = self.told.as_mut().ok_or_else(|| bug("nobody noted what changed"))?;
        let pace = self.pace.last();
        if std::mem::replace(&mut told.pace, pace) != pace {
            changes.push(whole(SavedTable { name: "pace".into(), identity: 1, rows: vec![self.saved_pace()?] }));
        }
        if let Scope::BatchWindows(ticks, _) = &mut self.scope {
            changes.extend(ticks.changes("clock")?);
        }
        Ok(Changes::Some(changes))
    }

    /// What is shown otherwise; with cells went what was shown of them.
    fn tell_shown(&mut self, shown: &mut Shown, mut gone: Vec<RecordBatch>) -> Result<TableChange, TaskError> {
        let (went, places) = if self.is_by_window() {
            let windows = self.told.as_mut().map(|told| std::mem::take(&mut told.windows)).unwrap_or_default();
            gone.clear();
            self.shown_of_windows(shown, windows)?
        } else {
            let touched = shown.touched();
            self.shown_of_cells(shown, touched)?
        };
        if went.num_rows() > 0 {
            gone.push(went);
        }
        let rows = vec![self.saved_shown(shown, &places)?];
        Ok(TableChange { name: "shown".into(), identity: self.identity_of_shown(), gone, rows })
    }

    /// Results of windows that are no longer shown, and where some are shown otherwise.
    fn shown_of_windows(
        &self,
        shown: &Shown,
        mut touched: Vec<(Arc<[u8]>, i64, usize)>,
    ) -> Result<(RecordBatch, Vec<Place>), TaskError> {
        touched.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        touched.dedup_by(|later, first| (later.1, &later.0) == (first.1, &first.0));
        let (mut keys, mut ends, mut nth, mut places) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (key, end, before) in &touched {
            let place = self.store.known.number_of(key).map(|number| (*end, number));
            let now = place.map_or(0, |place| shown.at(place).len());
            places.extend(place.filter(|_| now > 0));
            for i in now..*before {
                keys.push(key.as_ref());
                ends.push(*end);
                nth.push(i as i64);
            }
        }
        let keys = self.store.known.decoded(keys.into_iter())?;
        let (groups, mut columns) = self.by_window(keys, ends.into_iter())?;
        columns.push(("nth".to_owned(), Arc::new(Int64Array::from(nth))));
        Ok((table_of(groups, columns)?, places))
    }

    /// The same for cells that stand for themselves.
    fn shown_of_cells(
        &self,
        shown: &Shown,
        mut touched: Vec<(Place, usize)>,
    ) -> Result<(RecordBatch, Vec<Place>), TaskError> {
        touched.sort_by_key(|(place, _)| *place);
        touched.dedup_by_key(|(place, _)| *place);
        touched.retain(|((_, cell), _)| self.store.heads[*cell as usize].alive);
        let (mut cells, mut nth) = (Vec::new(), Vec::new());
        for (place, before) in &touched {
            for i in shown.at(*place).len()..*before {
                cells.push(place.1);
                nth.push(i as i64);
            }
        }
        let numbers = cells.iter().map(|cell| self.store.heads[*cell as usize].number);
        let columns: Vec<(String, ArrayRef)> = vec![
            ("cell".to_owned(), Arc::new(Int64Array::from_iter_values(numbers))),
            ("nth".to_owned(), Arc::new(Int64Array::from(nth))),
        ];
        Ok((table_of(self.store.groups(&cells)?, columns)?, touched.into_iter().map(|(place, _)| place).collect()))
    }
}
