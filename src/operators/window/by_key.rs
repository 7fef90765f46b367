//! Rows by windows that follow from the rows of a key: sessions, and windows of so many rows.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::operators::held_rows::HeldRow;
use crate::operators::known::{Known, Timers};
use crate::operators::spans::TimeSpan;
use crate::operators::window::task::Closing;
use crate::plan::operator::TaskError;

/// Rows of a key that are no more than a gap apart.
pub(super) struct Sessions {
    gap: i64,
    known: Known,
    /// By number of the key: its open sessions, in the order of time.
    open: Vec<Vec<Session>>,
    timers: Timers,
}

#[derive(Debug)]
struct Session {
    /// The gap after its last row.
    end: i64,
    start: i64,
    rows: Vec<(i64, HeldRow)>,
}

impl Sessions {
    pub(super) fn new(types: &[DataType], gap: i64) -> Result<Self, TaskError> {
        Ok(Sessions { gap, known: Known::new(types)?, open: Vec::new(), timers: Timers::default() })
    }

    /// When a session ends that has a row of this instant only.
    pub(super) fn end(&self, instant: i64) -> i64 {
        instant.saturating_add(self.gap)
    }

    /// Takes rows of these keys and instants.
    pub(super) fn add(&mut self, keys: &[ArrayRef], instants: &[i64], rows: &[HeldRow]) -> Result<(), TaskError> {
        let numbers = self.known.assign(keys, rows.len())?;
        self.open.resize_with(self.known.end(), Vec::new);
        for ((number, instant), row) in numbers.into_iter().zip(instants).zip(rows) {
            let end = self.end(*instant);
            let open = &mut self.open[number as usize];
            // A row at the very end of a session still belongs to it.
            let first = open.partition_point(|session| session.end < *instant);
            let behind = first + open[first..].partition_point(|session| session.start <= end);
            let mut joined = Session { end, start: *instant, rows: vec![(*instant, *row)] };
            if first == behind {
                self.timers.set(end, number);
            }
            for session in open.drain(first..behind) {
                joined.start = joined.start.min(session.start);
                joined.end = joined.end.max(session.end);
                let (mut rows, more) = (session.rows, joined.rows);
                rows.extend(more);
                joined.rows = rows;
            }
            open.insert(first, joined);
        }
        Ok(())
    }

    /// Closes the sessions that end by then, those that end first first.
    pub(super) fn close(&mut self, due: i64, closing: &mut Vec<Closing>) {
        let mut closed = Vec::new();
        let mut numbers = self.timers.take(due);
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let open = &mut self.open[number as usize];
            let over = open.partition_point(|session| session.end <= due);
            closed.extend(open.drain(..over).map(|session| (session, number)));
            if let Some(next) = open.first() {
                self.timers.set(next.end, number);
            }
        }
        closed
            .sort_by(|(a, x), (b, y)| (a.end, a.start, self.known.key(*x)).cmp(&(b.end, b.start, self.known.key(*y))));
        for (session, number) in closed {
            let mut rows: Vec<HeldRow> = session.rows.into_iter().map(|(_, row)| row).collect();
            rows.sort_unstable();
            closing.push(Closing { span: Some(TimeSpan { start: session.start, end: session.end }), rows });
            if self.open[number as usize].is_empty() {
                self.known.forget(number);
            }
        }
    }

    /// Every row, with its instant.
    pub(super) fn rows(&self) -> Vec<(i64, HeldRow)> {
        self.open.iter().flatten().flat_map(|session| session.rows.iter().copied()).collect()
    }

    /// Rows have moved.
    pub(super) fn moved(&mut self, place: &dyn Fn(HeldRow) -> HeldRow) {
        let sessions = self.open.iter_mut().flatten();
        sessions.flat_map(|session| &mut session.rows).for_each(|(_, row)| *row = place(*row));
    }
}

/// So many rows of a key.
pub(super) struct Counted {
    full: usize,
    known: Known,
    /// By number of the key: the rows of the window that is being filled.
    open: Vec<Vec<HeldRow>>,
}

impl Counted {
    pub(super) fn new(types: &[DataType], full: u64) -> Result<Self, TaskError> {
        let full = usize::try_from(full).unwrap_or(usize::MAX).max(1);
        Ok(Counted { full, known: Known::new(types)?, open: Vec::new() })
    }

    /// Takes rows of these keys; gives the windows that are full, in the order in which they were filled.
    pub(super) fn add(&mut self, keys: &[ArrayRef], rows: &[HeldRow]) -> Result<Vec<Vec<HeldRow>>, TaskError> {
        let numbers = self.known.assign(keys, rows.len())?;
        self.open.resize_with(self.known.end(), Vec::new);
        let mut full = Vec::new();
        for (number, row) in numbers.iter().zip(rows) {
            let open = &mut self.open[*number as usize];
            open.push(*row);
            if open.len() == self.full {
                full.push(std::mem::take(open));
            }
        }
        for number in numbers {
            if self.open[number as usize].is_empty() {
                self.known.forget(number);
            }
        }
        Ok(full)
    }

    /// Every row.
    pub(super) fn rows(&self) -> Vec<HeldRow> {
        self.open.iter().flatten().copied().collect()
    }

    /// Rows have moved.
    pub(super) fn moved(&mut self, place: &dyn Fn(HeldRow) -> HeldRow) {
        self.open.iter_mut().flatten().for_each(|row| *row = place(*row));
    }
}
