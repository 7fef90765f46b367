//! Which rows of two inputs lie in which open windows, of event time or of batch time. Windows without rows are not
//! kept; which ones have closed is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};

use crate::operators::lifetime::Lifetime;
use crate::operators::matching::NONE;
use crate::operators::sides::{Fate, Waiting};
use crate::operators::spans::{Spans, Ticks, TimeSpan};
use crate::operators::touched::whole;
use crate::operators::values::bug;
use crate::plan::operator::{NotRunnable, SavedTable, StepTime, TableChange, TaskError};

/// Open windows with the rows in them.
pub(in crate::operators) struct Windowed {
    clock: Clock,
    /// Windows that end at or before this have closed.
    closed: Option<i64>,
    /// Rows of the left and of the right input, in the order they came.
    open: BTreeMap<TimeSpan, [Vec<u32>; 2]>,
    /// What was last told of `closed`.
    told: Option<i64>,
}

enum Clock {
    Rows(Spans),
    Batches(Box<Ticks>),
}

/// What a batch means for windows.
#[derive(Debug, Clone, Copy)]
pub(in crate::operators) struct Closing {
    /// The time of the batch's rows, where batches tell the time.
    pub at: Option<i64>,
    /// Windows that end at or before this close behind it.
    pub until: Option<i64>,
}

impl Windowed {
    /// For windows that follow from time alone.
    pub(in crate::operators) fn new(lives: &Lifetime, interval: i64) -> Result<Self, NotRunnable> {
        let clock = match lives {
            Lifetime::Window(window) => Spans::of(window).map(Clock::Rows),
            Lifetime::BatchWindow(window) => Some(Clock::Batches(Box::new(Ticks::new(window, interval)))),
            Lifetime::Batch | Lifetime::Running { .. } => None,
        };
        let clock = clock.ok_or_else(|| NotRunnable(format!("`{lives}` has no windows that two inputs share")))?;
        Ok(Windowed { clock, closed: None, open: BTreeMap::new(), told: None })
    }

    /// Goes on to the next batch.
    pub(in crate::operators) fn begin(&mut self, time: &StepTime) -> Result<Closing, TaskError> {
        match &mut self.clock {
            Clock::Rows(_) => {
                self.closed = self.closed.max(time.mark_before);
                Ok(Closing { at: None, until: time.mark_after })
            }
            Clock::Batches(ticks) => {
                let tick = ticks.tick(time)?;
                let until = if tick.closing { StepTime::END } else { tick.until };
                Ok(Closing { at: Some(tick.instant), until: Some(until) })
            }
        }
    }

    /// What becomes of a row of this instant.
    pub(in crate::operators) fn fate(&self, instant: i64) -> Fate {
        let has_closed = |end: i64| self.closed.is_some_and(|closed| end <= closed);
        match self.spans().and_then(|spans| spans.last_end(instant)) {
            None => Fate::Outside,
            Some(end) if has_closed(end) => Fate::Late,
            Some(end) => {
                let first = self.spans().and_then(|spans| spans.first_end(instant));
                Fate::Kept { due: end.saturating_sub(1), partly: first.is_some_and(has_closed) }
            }
        }
    }

    /// By how much rows of either side are older than they say: not at all where batches tell the time.
    pub(in crate::operators) fn older(&self, sides: (i64, i64)) -> (i64, i64) {
        match &self.clock {
            Clock::Rows(_) => sides,
            Clock::Batches(_) => (0, 0),
        }
    }

    /// Until when a row of this instant is kept.
    pub(in crate::operators) fn due(&self, instant: i64) -> i64 {
        let end = self.spans().and_then(|spans| spans.last_end(instant));
        end.map_or(i64::MIN + 1, |end| end.saturating_sub(1))
    }

    fn spans(&self) -> Option<&Spans> {
        match &self.clock {
            Clock::Rows(spans) => Some(spans),
            Clock::Batches(ticks) => ticks.spans(),
        }
    }

    /// Puts rows of an input (0 is the left one) into their open windows. `older`: by how much they are older than they
    /// say.
    pub(in crate::operators) fn enter(
        &mut self,
        input: usize,
        slots: impl Iterator<Item = u32>,
        waiting: &Waiting,
        older: i64,
    ) {
        for slot in slots.filter(|slot| waiting.is_live(*slot)) {
            let instant = waiting.time(slot).saturating_sub(older);
            for span in self.spans().map(|spans| spans.containing(instant)).unwrap_or_default() {
                if self.closed.is_none_or(|closed| span.end > closed) {
                    self.open.entry(span).or_default()[input].push(slot);
                }
            }
        }
    }

    /// Whether two instants share a window.
    pub(in crate::operators) fn shared(&self, a: i64, b: i64) -> bool {
        let (first, second) = (a.min(b), a.max(b));
        let spans = self.spans().map(|spans| spans.containing(first)).unwrap_or_default();
        spans.iter().any(|span| second < span.end)
    }

    /// The windows that close, by their ends, with the rows in them.
    pub(in crate::operators) fn close(&mut self, closing: Closing) -> Vec<(TimeSpan, [Vec<u32>; 2])> {
        let Some(until) = closing.until else { return Vec::new() };
        self.closed = self.closed.max(Some(until));
        let mut due = Vec::new();
        while let Some(window) = self.open.first_entry().filter(|window| window.key().end <= until) {
            due.push(window.remove_entry());
        }
        due
    }

    /// Rows of an input got other slots.
    pub(in crate::operators) fn renumber(&mut self, input: usize, moved: &[u32]) {
        for rows in self.open.values_mut() {
            rows[input].retain_mut(|slot| {
                *slot = moved[*slot as usize];
                *slot != NONE
            });
        }
    }

    /// Bytes of memory, about.
    pub(in crate::operators) fn memory(&self) -> usize {
        let rows: usize = self.open.values().flatten().map(|rows| rows.capacity() * 4).sum();
        rows + self.open.len() * size_of::<(TimeSpan, [Vec<u32>; 2])>()
    }

    /// What every partition must know: `closed` says up to where windows have closed, `ticks` when batches began.
    pub(in crate::operators) fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let mut saved = vec![self.saved_mark()?];
        if let Clock::Batches(ticks) = &self.clock {
            saved.push(ticks.save("ticks")?);
        }
        Ok(saved)
    }

    /// Begins to note what changes.
    pub(in crate::operators) fn track(&mut self) {
        self.told = self.closed;
        if let Clock::Batches(ticks) = &mut self.clock {
            ticks.track();
        }
    }

    /// What changed in that since it was last asked.
    pub(in crate::operators) fn changes(&mut self) -> Result<Vec<TableChange>, TaskError> {
        let mut changes = Vec::new();
        if self.told != self.closed {
            self.told = self.closed;
            changes.push(whole(self.saved_mark()?));
        }
        if let Clock::Batches(ticks) = &mut self.clock {
            changes.extend(ticks.changes("ticks")?);
        }
        Ok(changes)
    }

    fn saved_mark(&self) -> Result<SavedTable, TaskError> {
        let marks: Vec<i64> = self.closed.into_iter().collect();
        let groups: ArrayRef = Arc::new(UInt8Array::from(vec![None::<u8>; marks.len()]));
        let fields = vec![Field::new("_group", DataType::UInt8, true), Field::new("mark", DataType::Int64, false)];
        let columns = vec![groups, Arc::new(Int64Array::from(marks)) as ArrayRef];
        let rows = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bug)?;
        Ok(SavedTable { name: "closed".into(), identity: 1, rows: vec![rows] })
    }

    /// Takes that back. The rows are to be entered behind it.
    pub(in crate::operators) fn load(&mut self, saved: &[SavedTable]) -> Result<(), TaskError> {
        for table in saved {
            if let ("ticks", Clock::Batches(ticks)) = (table.name.as_str(), &mut self.clock) {
                ticks.load(table)?;
            }
            if table.name == "closed" {
                for rows in table.rows.iter().filter(|rows| rows.num_rows() > 0) {
                    let mark = rows.column_by_name("mark").and_then(|c| c.as_primitive_opt::<Int64Type>());
                    let mark = mark.ok_or_else(|| bug("the saved time up to which windows have closed is missing"))?;
                    self.closed = self.closed.max(Some(mark.value(0)));
                }
            }
        }
        Ok(())
    }
}
