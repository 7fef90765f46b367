//! Which windows an instant belongs to, for windows that follow from time alone: tumbling (by the calendar too),
//! sliding, cumulative. Knows instants, not rows. Sessions and windows of so many rows follow from the rows of a key
//! and are not here.
//!
//! Event time has windows `[start, end)`. Batch time has `(start, end]`: batch T holds what came in `(T - interval, T]`.
//! To count both alike a batch's instant is the microsecond before its time ([`Ticks`]).

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use chrono::{DateTime, Datelike, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::operators::touched::whole;
use crate::operators::values::bug;
use crate::plan::memory::Windows;
use crate::plan::operator::{SavedTable, StepTime, TableChange, TaskError};
use crate::plan::seams::{Length, Window};

const DAY: i64 = 86_400_000_000;

/// The start and end of a window, in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TimeSpan {
    /// Ordered by it first: what closes first comes first.
    pub end: i64,
    /// The instant it starts with.
    pub start: i64,
}

/// Where the windows of one kind lie.
#[derive(Debug, Clone)]
pub(super) struct Spans {
    grid: Grid,
}

#[derive(Debug, Clone)]
enum Grid {
    /// A window of `length` starts every `every`, counted from `start`.
    Even { length: i64, every: i64, start: i64 },
    /// Within each `length`, counted from `start`, a window ends every `every`.
    Growing { length: i64, every: i64, start: i64 },
    /// Back to back by the calendar.
    Calendar(Calendar),
}

impl Spans {
    /// Windows of event time; none for sessions and counts, which do not follow from time alone.
    pub(super) fn of(window: &Window) -> Option<Spans> {
        let grid = match window {
            Window::Tumbling { length: Length::Fixed(length), start, .. } => {
                Grid::Even { length: *length, every: *length, start: *start }
            }
            Window::Tumbling { length, start, zone } => Grid::Calendar(Calendar::new(*length, *start, zone.as_deref())),
            Window::Sliding { length, every, start } => Grid::Even { length: *length, every: *every, start: *start },
            Window::Cumulative { length, every } => Grid::Growing { length: *length, every: *every, start: 0 },
            Window::Session { .. } | Window::Count { .. } => return None,
        };
        Some(Spans { grid })
    }

    /// Windows of batch time: counted from `zero`, where the first of them begins to slide in, so that their ends are
    /// whole steps from there.
    fn of_batches(window: &Window, zero: i64) -> Option<Spans> {
        let grid = match Spans::of(window)?.grid {
            Grid::Even { length, every, start } => {
                Grid::Even { length, every, start: zero.saturating_add(start).saturating_sub(length) }
            }
            Grid::Growing { length, every, .. } => Grid::Growing { length, every, start: zero },
            Grid::Calendar(_) => return None,
        };
        Some(Spans { grid })
    }

    /// The windows an instant belongs to, by their ends; none where it lies in a gap between two.
    pub(super) fn containing(&self, instant: i64) -> Vec<TimeSpan> {
        match &self.grid {
            Grid::Even { length, every, start } => {
                let last = floor(instant, *every, *start);
                let back = |n: i64| last.checked_sub(n.checked_mul(*every)?);
                let from = (0..).map_while(back).take_while(|from| instant.saturating_sub(*from) < *length);
                let mut spans: Vec<_> =
                    from.map(|start| TimeSpan { start, end: start.saturating_add(*length) }).collect();
                spans.reverse();
                spans
            }
            Grid::Growing { length, every, start } => {
                let from = floor(instant, *length, *start);
                let first = floor(instant, *every, from).saturating_add(*every);
                let last = from.saturating_add(*length);
                let ends = (0..).map_while(|n: i64| first.checked_add(n.checked_mul(*every)?));
                ends.take_while(|end| *end <= last).map(|end| TimeSpan { start: from, end }).collect()
            }
            Grid::Calendar(calendar) => calendar.containing(instant).into_iter().collect(),
        }
    }

    /// When the last of its windows ends: from then on a row of this instant is late. None in a gap between two.
    pub(super) fn last_end(&self, instant: i64) -> Option<i64> {
        match &self.grid {
            Grid::Even { length, every, start } => {
                let from = floor(instant, *every, *start);
                (instant.saturating_sub(from) < *length).then(|| from.saturating_add(*length))
            }
            Grid::Growing { length, start, .. } => Some(floor(instant, *length, *start).saturating_add(*length)),
            Grid::Calendar(calendar) => calendar.containing(instant).map(|span| span.end),
        }
    }

    /// When the first of its windows ends; none in a gap between two.
    pub(super) fn first_end(&self, instant: i64) -> Option<i64> {
        match &self.grid {
            Grid::Even { length, every, start } => {
                let last = floor(instant, *every, *start);
                let age = instant.saturating_sub(last);
                // The oldest start that is less than a length ago.
                let back = length.saturating_sub(age).saturating_sub(1).div_euclid(*every);
                (age < *length).then(|| last.saturating_sub(back.saturating_mul(*every)).saturating_add(*length))
            }
            Grid::Growing { length, every, start } => {
                let from = floor(instant, *length, *start);
                Some(floor(instant, *every, from).saturating_add(*every))
            }
            Grid::Calendar(calendar) => calendar.containing(instant).map(|span| span.end),
        }
    }

    /// The stretch around an instant that lies wholly in or outside of every window: rows of one may be put together.
    /// None in a gap between two windows.
    pub(super) fn pane(&self, instant: i64) -> Option<TimeSpan> {
        match &self.grid {
            Grid::Even { length, every, start } => {
                self.last_end(instant)?;
                let size = gcd(*length, *every);
                let from = floor(instant, size, *start);
                Some(TimeSpan { start: from, end: from.saturating_add(size) })
            }
            Grid::Growing { length, every, start } => {
                let from = floor(instant, *every, floor(instant, *length, *start));
                Some(TimeSpan { start: from, end: from.saturating_add(*every) })
            }
            Grid::Calendar(calendar) => calendar.containing(instant),
        }
    }

    /// Whether no two windows overlap and none is apart from the next, so that a pane is a window.
    pub(super) fn back_to_back(&self) -> bool {
        match &self.grid {
            Grid::Even { length, every, .. } | Grid::Growing { length, every, .. } => length == every,
            Grid::Calendar(_) => true,
        }
    }

    /// Where its panes lie, in words that are equal for equal panes. None where some instants are in no window, so that
    /// their rows are left out.
    pub(super) fn panes(&self) -> Option<String> {
        let even = |size: i64, start: i64| format!("every {size} from {}", start.rem_euclid(size.max(1)));
        match &self.grid {
            _ if !self.without_gaps() => None,
            Grid::Even { length, every, start } => Some(even(gcd(*length, *every), *start)),
            Grid::Growing { length, every, start } if length % every == 0 => Some(even(*every, *start)),
            other => Some(format!("{other:?}")),
        }
    }

    /// Whether every instant is in a window.
    pub(super) fn without_gaps(&self) -> bool {
        !matches!(&self.grid, Grid::Even { length, every, .. } if length < every)
    }

    /// The number of the pane that starts there; panes of one window have numbers in a row.
    pub(super) fn pane_number(&self, from: i64) -> i64 {
        let (size, origin) = match &self.grid {
            Grid::Even { length, every, start } => (gcd(*length, *every), *start),
            Grid::Growing { every, start, .. } => (*every, *start),
            Grid::Calendar(_) => return from,
        };
        let number = (i128::from(from) - i128::from(origin)).div_euclid(i128::from(size.max(1)));
        i64::try_from(number).unwrap_or(i64::MIN)
    }

    /// The windows that end in `(after, until]`, by their ends. For windows by the calendar it starts no earlier than
    /// the year 1900. Mind that a mark may leap far: ask for ends near rows only.
    pub(super) fn ending(&self, after: i64, until: i64) -> impl Iterator<Item = TimeSpan> + '_ {
        let mut next = self.ending_behind(after);
        std::iter::from_fn(move || {
            let span = next.filter(|span| span.end <= until)?;
            next = self.ending_behind(span.end).filter(|next| next.end > span.end);
            Some(span)
        })
    }

    /// The first window that ends behind an instant.
    pub(super) fn ending_behind(&self, after: i64) -> Option<TimeSpan> {
        match &self.grid {
            Grid::Even { length, every, start } => {
                let first_end = start.saturating_add(*length);
                let end = floor(after, *every, first_end).checked_add(*every)?;
                Some(TimeSpan { start: end.checked_sub(*length)?, end })
            }
            Grid::Growing { length, every, start } => {
                let end = floor(after, *every, *start).checked_add(*every)?;
                Some(TimeSpan { start: floor(end.checked_sub(1)?, *length, *start), end })
            }
            Grid::Calendar(calendar) => calendar.containing(after),
        }
    }
}

impl Windows for Spans {
    fn next_start(&self, instant: i64) -> Option<i64> {
        let before = instant.checked_sub(1)?;
        match &self.grid {
            Grid::Even { every, start, .. } => floor(before, *every, *start).checked_add(*every),
            Grid::Growing { length, start, .. } => floor(before, *length, *start).checked_add(*length),
            Grid::Calendar(calendar) => calendar.containing(before).map(|span| span.end),
        }
    }

    fn all_ended(&self, before: i64) -> Option<i64> {
        let last = before.checked_sub(1)?;
        match &self.grid {
            Grid::Even { length, every, start } => floor(last, *every, *start).checked_add(*length),
            Grid::Growing { length, start, .. } => floor(last, *length, *start).checked_add(*length),
            Grid::Calendar(calendar) => calendar.containing(last).map(|span| span.end),
        }
    }

    fn back_to_back(&self) -> bool {
        Spans::back_to_back(self)
    }
}

/// The last instant at or before this one that is a multiple of `step` away from `origin`.
fn floor(instant: i64, step: i64, origin: i64) -> i64 {
    let (instant, step, origin) = (i128::from(instant), i128::from(step.max(1)), i128::from(origin));
    let floored = instant - (instant - origin).rem_euclid(step);
    i64::try_from(floored).unwrap_or(i64::MIN)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Days or months of a zone, back to back: days are counted from 1970, weeks from a Monday, months from January 1970.
#[derive(Debug, Clone)]
struct Calendar {
    length: Length,
    /// How long after midnight one starts.
    start: TimeDelta,
    zone: Tz,
}

impl Calendar {
    fn new(length: Length, start: i64, zone: Option<&str>) -> Self {
        let zone = zone.and_then(|name| Tz::from_str(name).ok()).unwrap_or(Tz::UTC);
        let start = match length {
            Length::Days(days) => start.rem_euclid(i64::from(days.max(1)) * DAY),
            Length::Fixed(_) | Length::Months(_) => start,
        };
        Calendar { length, start: TimeDelta::microseconds(start), zone }
    }

    /// None outside of what a calendar can say (some 262,000 years from now).
    fn containing(&self, instant: i64) -> Option<TimeSpan> {
        let local = DateTime::from_timestamp_micros(instant)?.with_timezone(&self.zone).naive_local();
        let mut number = self.number(local.checked_sub_signed(self.start)?);
        // Where clocks are put back or forward around the boundary, local time is off by a window.
        while self.boundary(number)? > instant {
            number -= 1;
        }
        loop {
            let end = self.boundary(number + 1)?;
            if end > instant {
                return Some(TimeSpan { start: self.boundary(number)?, end });
            }
            number += 1;
        }
    }

    /// The number of the window that a local time would be in, if clocks were never changed.
    fn number(&self, local: NaiveDateTime) -> i64 {
        match self.length {
            Length::Months(months) => {
                let month = i64::from(local.year()) * 12 + i64::from(local.month0()) - 1970 * 12;
                month.div_euclid(i64::from(months.max(1)))
            }
            Length::Days(days) => {
                let day = i64::from(local.date().num_days_from_ce()) - UNIX_DAY;
                (day - first_day(days)).div_euclid(i64::from(days.max(1)))
            }
            Length::Fixed(length) => local.and_utc().timestamp_micros().div_euclid(length.max(1)),
        }
    }

    /// Where the window of this number starts.
    fn boundary(&self, number: i64) -> Option<i64> {
        let date = match self.length {
            Length::Months(months) => {
                let month = number.checked_mul(i64::from(months.max(1)))?.checked_add(1970 * 12)?;
                let year = i32::try_from(month.div_euclid(12)).ok()?;
                NaiveDate::from_ymd_opt(year, u32::try_from(month.rem_euclid(12)).ok()? + 1, 1)?
            }
            Length::Days(days) => {
                let day = number.checked_mul(i64::from(days.max(1)))?.checked_add(first_day(days) + UNIX_DAY)?;
                NaiveDate::from_num_days_from_ce_opt(i32::try_from(day).ok()?)?
            }
            Length::Fixed(length) => {
                return number.checked_mul(length)?.checked_add(self.start.num_microseconds()?);
            }
        };
        let local = date.and_hms_opt(0, 0, 0)?.checked_add_signed(self.start)?;
        self.instant(local)
    }

    /// The first instant at which clocks show this time or a later one.
    fn instant(&self, local: NaiveDateTime) -> Option<i64> {
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.timestamp_micros()),
            LocalResult::None => {
                // Clocks skipped it: what they showed the day before goes on up to the gap.
                let before = self.zone.offset_from_local_datetime(&(local - TimeDelta::days(1))).earliest()?.fix();
                Some((local - before).and_utc().timestamp_micros())
            }
        }
    }
}

/// The day of the first window: 1970-01-01, or the Monday before it where whole weeks are counted.
fn first_day(days: u32) -> i64 {
    if days.is_multiple_of(7) { -3 } else { 0 }
}

/// 1970-01-01, counted from the year 1.
const UNIX_DAY: i64 = 719_163;

/// Windows of batch time: they are counted from one interval before the first batch, and go on without rows.
#[derive(Debug, Clone)]
pub(super) struct Ticks {
    window: Window,
    interval: i64,
    /// The zero time and the windows counted from it, from the first batch on.
    zero: Option<(i64, Spans)>,
    /// The time of the batch before.
    last: i64,
    /// What was last told of it.
    told: Option<(i64, i64)>,
}

/// What a batch means for windows of batch time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick {
    /// The instant of the batch's rows, for [`Spans`].
    pub instant: i64,
    /// Windows fell due that end behind this,
    pub after: i64,
    /// and not behind this.
    pub until: i64,
    /// No batch follows: windows that hold rows come out, be they due or not.
    pub closing: bool,
}

impl Ticks {
    /// For a pipeline with a batch every `interval`.
    pub(super) fn new(window: &Window, interval: i64) -> Self {
        Ticks { window: window.clone(), interval, zero: None, last: 0, told: None }
    }

    /// Goes on to the next batch; the first one sets the zero time.
    pub(super) fn tick(&mut self, time: &StepTime) -> Result<Tick, TaskError> {
        let now = time.batch.micros;
        if self.zero.is_none() {
            self.start(now.saturating_sub(self.interval))?;
        }
        let after = self.last;
        self.last = now.max(after);
        let closing = time.mark_after == Some(StepTime::END);
        Ok(Tick { instant: now.saturating_sub(1), after, until: self.last, closing })
    }

    /// The windows; none before the first batch.
    pub(super) fn spans(&self) -> Option<&Spans> {
        self.zero.as_ref().map(|(_, spans)| spans)
    }

    fn start(&mut self, zero: i64) -> Result<(), TaskError> {
        let spans =
            Spans::of_batches(&self.window, zero).ok_or_else(|| bug("batch time has windows of whole batches only"))?;
        self.zero = Some((zero, spans));
        self.last = zero;
        Ok(())
    }

    /// The rows to save, of no group: every partition must know them. Empty before the first batch.
    pub(super) fn save(&self, name: &str) -> Result<SavedTable, TaskError> {
        let times: Vec<(i64, i64)> = self.times().into_iter().collect();
        let group = UInt8Array::from(vec![None::<u8>; times.len()]);
        let zero: Int64Array = times.iter().map(|(zero, _)| *zero).collect::<Vec<_>>().into();
        let last: Int64Array = times.iter().map(|(_, last)| *last).collect::<Vec<_>>().into();
        let fields = vec![
            Field::new("_group", DataType::UInt8, true),
            Field::new("zero", DataType::Int64, false),
            Field::new("last", DataType::Int64, false),
        ];
        let columns: Vec<Arc<dyn Array>> = vec![Arc::new(group), Arc::new(zero), Arc::new(last)];
        let rows = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bug)?;
        Ok(SavedTable { name: name.to_owned(), identity: 1, rows: vec![rows] })
    }

    /// Begins to note what changes.
    pub(super) fn track(&mut self) {
        self.told = self.times();
    }

    /// What changed since it was last asked.
    pub(super) fn changes(&mut self, name: &str) -> Result<Option<TableChange>, TaskError> {
        let times = self.times();
        if std::mem::replace(&mut self.told, times) == times {
            return Ok(None);
        }
        self.save(name).map(whole).map(Some)
    }

    fn times(&self) -> Option<(i64, i64)> {
        self.zero.as_ref().map(|(zero, _)| (*zero, self.last))
    }

    /// Takes over what [`Ticks::save`] gave.
    pub(super) fn load(&mut self, table: &SavedTable) -> Result<(), TaskError> {
        for rows in table.rows.iter().filter(|rows| rows.num_rows() > 0) {
            let time = |name: &str| {
                let column = rows.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>());
                column.map(|c| c.value(0)).ok_or_else(|| bug(format!("saved times lack `{name}`")))
            };
            self.start(time("zero")?)?;
            self.last = time("last")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
