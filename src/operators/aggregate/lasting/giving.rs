//! What an aggregate with memory gives out: results that are due, changes, and what closes with them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use datafusion_common::HashSet;

use super::{Lasting, Moment, Scope};
use crate::operators::aggregate::Emit;
use crate::operators::aggregate::memory::filled;
use crate::operators::aggregate::shown::Place;
use crate::operators::aggregate::store::Store;
use crate::operators::aggregate::windows::{Raw, Windows};
use crate::operators::known::Timers;
use crate::operators::spans::{Spans, TimeSpan};
use crate::operators::values::{batch_of, bug, take_rows};
use crate::plan::Port;
use crate::plan::operator::{BatchTime, Evaluated, TaskError};

impl Lasting {
    /// The results of cells as rows, without `op`.
    pub(super) fn of_cells(&self, cells: &[u32], batch: &BatchTime) -> Result<Option<RecordBatch>, TaskError> {
        if cells.is_empty() {
            return Ok(None);
        }
        let head = |cell: &u32| self.store.heads[*cell as usize];
        let raw = Raw {
            spans: cells.iter().map(head).map(|head| TimeSpan { start: head.start, end: head.end }).collect(),
            keys: cells.iter().map(|cell| head(cell).key).collect(),
            columns: self.store.results(cells)?,
        };
        self.rows(raw, batch).map(Some)
    }

    /// Results as rows, without `op`.
    fn rows(&self, raw: Raw, batch: &BatchTime) -> Result<RecordBatch, TaskError> {
        let count = raw.keys.len();
        let mut columns = self.store.key_columns(&raw.keys)?;
        columns.extend(raw.columns);
        let columns = self.results.of(columns, count, batch)?;
        self.with_windows(&raw.spans, columns)
    }

    fn with_windows(&self, spans: &[TimeSpan], columns: Vec<ArrayRef>) -> Result<RecordBatch, TaskError> {
        let times = |of: fn(&TimeSpan) -> i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(spans.iter().map(of).collect::<Vec<_>>()))
        };
        let mut all = Vec::new();
        if self.plain.fields().len() > columns.len() {
            all.extend([times(|span| span.start), times(|span| span.end)]);
        }
        all.extend(columns);
        if self.partial {
            all = filled(&self.plain, all)?;
        }
        batch_of(&self.plain, all, spans.len())
    }

    /// Gives out what is due of windows of time, and forgets what has closed.
    pub(super) fn give_windows(&mut self, moment: &Moment, out: &mut Evaluated) -> Result<(), TaskError> {
        let due = self.pace.due(moment.batch.micros, moment.closing);
        let emit = self.emit;
        let Some((spans, windows)) = self.scope.windows() else { return Err(bug("no windows of time")) };
        let spans = spans.clone();
        let raw = match emit {
            Emit::Changes { .. } => {
                let until = if due { i64::MAX } else { moment.until };
                let wanted = Windows::touched(&spans, &self.store, &self.changed, moment.after, until);
                Windows::some_results(&self.store, &wanted)?
            }
            Emit::Final | Emit::All { .. } => {
                let all = due && matches!(emit, Emit::All { .. });
                let until = if all { i64::MAX } else { moment.until };
                let ending = windows.ending(&spans, moment.after, until);
                windows.results(&spans, &self.store, &ending)?
            }
        };
        if self.shown.is_some() {
            let places: Vec<Place> = raw.spans.iter().zip(&raw.keys).map(|(span, key)| (span.end, *key)).collect();
            if !places.is_empty() {
                let rows = self.rows(raw, &moment.batch)?;
                self.give_changes(&places, &rows, out)?;
            }
        } else {
            let empty = self.empty_windows(moment, &spans, &raw)?;
            let rows = if raw.keys.is_empty() { None } else { Some(self.rows(raw, &moment.batch)?) };
            out.rows.extend(by_end(rows, empty)?.map(|rows| (Port::Out, rows)));
        }
        if due {
            self.settle_changed();
        }
        if let Some(shown) = &mut self.shown {
            shown.settle_until(moment.until);
        }
        self.note_shown();
        if let Some((spans, windows)) = self.scope.windows() {
            windows.evict(spans, &mut self.store, moment.until);
        }
        Ok(())
    }

    /// Windows of batch time go on without rows: where all rows are one group there is a result of none.
    fn empty_windows(&self, moment: &Moment, spans: &Spans, raw: &Raw) -> Result<Option<RecordBatch>, TaskError> {
        let without_keys = self.store.grouping.key_types().is_empty();
        let Some(tick) = moment.tick.filter(|_| without_keys) else { return Ok(None) };
        let empty: Vec<_> = spans.ending(tick.after, tick.until).filter(|span| !raw.spans.contains(span)).collect();
        if empty.is_empty() {
            return Ok(None);
        }
        let nothing = self.results.of(self.store.grouping.of_nothing()?, 1, &moment.batch)?;
        let widths = self.plain.fields().len() - nothing.len();
        let mut fields = self.plain.fields()[widths..].iter().zip(&nothing);
        if fields.any(|(field, column)| !field.is_nullable() && column.null_count() > 0) {
            return Ok(None);
        }
        let every = UInt32Array::from(vec![0; empty.len()]);
        let columns = nothing.iter().map(|column| take_rows(column, &every)).collect::<Result<_, _>>()?;
        self.with_windows(&empty, columns).map(Some)
    }

    /// Gives out what is due of cells that stand for themselves, and forgets what has closed.
    pub(super) fn give_cells(&mut self, moment: &Moment, out: &mut Evaluated) -> Result<(), TaskError> {
        let due = self.pace.due(moment.batch.micros, moment.closing);
        let closing = self.closing(moment);
        let given = match self.emit {
            Emit::Final => closing.clone(),
            Emit::All { .. } if due => self.store.living(),
            // A running result is not given out for the last time.
            Emit::All { .. } if matches!(self.scope, Scope::RunningByRows(..) | Scope::RunningByBatches(..)) => {
                Vec::new()
            }
            Emit::All { .. } => closing.clone(),
            Emit::Changes { .. } => {
                let over: HashSet<u32> = closing.iter().copied().collect();
                let living = |cell: &u32| {
                    let head = &self.store.heads[*cell as usize];
                    head.alive && head.changed && (due || over.contains(cell))
                };
                self.changed.iter().copied().filter(living).collect()
            }
        };
        if let Some(rows) = self.of_cells(&given, &moment.batch)? {
            if self.shown.is_some() {
                let places: Vec<Place> = given.iter().map(|cell| (0, *cell)).collect();
                self.give_changes(&places, &rows, out)?;
            } else {
                out.rows.push((Port::Out, rows));
            }
        }
        if due {
            self.settle_changed();
            if let (Some(shown), Scope::RunningByRows(..) | Scope::RunningByBatches(..)) =
                (&mut self.shown, &self.scope)
            {
                shown.settle_all();
            }
        }
        self.drop_cells(&closing);
        Ok(())
    }

    fn give_changes(&mut self, places: &[Place], rows: &RecordBatch, out: &mut Evaluated) -> Result<(), TaskError> {
        if let Some(shown) = &mut self.shown {
            let changes = shown.changes(places, rows)?;
            if changes.num_rows() > 0 {
                out.rows.push((Port::Out, changes));
            }
        }
        Ok(())
    }

    fn settle_changed(&mut self) {
        for cell in self.changed.drain(..) {
            self.store.heads[cell as usize].changed = false;
            self.store.touched.note(cell);
        }
    }

    fn drop_cells(&mut self, cells: &[u32]) {
        for cell in cells {
            self.store.expire(*cell);
            if let Some(shown) = &mut self.shown {
                shown.settle((0, *cell));
            }
        }
    }

    /// Cells whose time is over, in the order in which their results come out.
    fn closing(&mut self, moment: &Moment) -> Vec<u32> {
        let store = &self.store;
        let mut over: Vec<u32> = match &mut self.scope {
            Scope::Windows(..) | Scope::BatchWindows(..) => Vec::new(),
            Scope::Counted(_, full) => {
                let mut over = std::mem::take(full);
                if moment.closing {
                    let known: HashSet<u32> = over.iter().copied().collect();
                    over.extend(store.living().into_iter().filter(|cell| !known.contains(cell)));
                }
                return over;
            }
            Scope::Sessions(_, timers) => timed_out(store, timers, 0, moment.until),
            Scope::RunningByRows(ttl, timers) | Scope::RunningByBatches(ttl, timers) => match ttl {
                Some(ttl) => timed_out(store, timers, *ttl, moment.until),
                None => Vec::new(),
            },
        };
        over.sort_by_key(|cell| (store.heads[*cell as usize].end, *cell));
        over.dedup();
        over
    }

    /// By the time of batches a key is forgotten before the rows of the batch: they begin anew.
    pub(super) fn expire_first(&mut self, moment: &Moment, out: &mut Evaluated) -> Result<(), TaskError> {
        let over = self.closing(moment);
        let pending: Vec<u32> = over.iter().copied().filter(|cell| self.store.heads[*cell as usize].changed).collect();
        if let (true, Some(rows)) = (self.shown.is_some(), self.of_cells(&pending, &moment.batch)?) {
            let places: Vec<Place> = pending.iter().map(|cell| (0, *cell)).collect();
            self.give_changes(&places, &rows, out)?;
        }
        self.drop_cells(&over);
        Ok(())
    }
}

/// The living cells whose end is `pause` ago. A cell has one timer, which may be early.
fn timed_out(store: &Store, timers: &mut Timers, pause: i64, now: i64) -> Vec<u32> {
    let mut over = Vec::new();
    for cell in timers.take(now) {
        let head = &store.heads[cell as usize];
        let at = head.end.saturating_add(pause);
        match head.alive {
            true if at <= now => over.push(cell),
            true => timers.set(at, cell),
            false => {}
        }
    }
    over
}

/// Rows of windows in the order of their ends; each of the two is in that order.
fn by_end(one: Option<RecordBatch>, two: Option<RecordBatch>) -> Result<Option<RecordBatch>, TaskError> {
    let (Some(one), Some(two)) = (&one, &two) else { return Ok(one.or(two)) };
    let all = arrow::compute::concat_batches(&one.schema(), [one, two]).map_err(bug)?;
    let order = arrow::compute::sort_to_indices(all.column(1), None, None).map_err(bug)?;
    crate::operators::values::take_batch(&all, &order).map(Some)
}
