//! `window` at work: rows wait for their windows to close.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef};

use crate::operators::held_rows::{HeldRow, HeldRows};
use crate::operators::known::groups;
use crate::operators::lateness::{LateRows, TimeColumn};
use crate::operators::lifetime::Lifetime;
use crate::operators::spans::{Spans, Ticks, TimeSpan};
use crate::operators::touched::GoneRows;
use crate::operators::values::{batch_of, bug, take_batch};
use crate::operators::window::Window;
use crate::operators::window::by_key::{Counted, Sessions};
use crate::operators::window::by_time::Panes;
use crate::plan::Port;
use crate::plan::operator::{
    Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, TableChange, TaskError,
};
use crate::plan::seams::Window as Shape;

/// Why a row is late.
const LATE: &str = "all windows of the row have closed";

/// The names and the layout of what is saved. Of each row that waits: `_group`, a running number, the instant that says
/// which windows it belongs to, and its columns as `row.NAME`, in the order in which rows came in. Of batch time also what [`Ticks`]
/// saves. Fixed: state of older versions has it.
const ROWS: &str = "rows";
const NUMBER: &str = "number";
const INSTANT: &str = "instant";
const TICKS: &str = "ticks";
/// Group and number.
const IDENTITY: usize = 2;

/// What tells which windows a row belongs to.
enum Clock {
    /// Its own time.
    Rows(TimeColumn),
    /// The batch's.
    Batches(Ticks),
    /// Nothing but its place among the rows of its key.
    None,
}

/// Rows by the windows they wait for.
enum Waiting {
    Time(Spans, Panes),
    Batches(Panes),
    Sessions(Sessions),
    Counts(Counted),
}

/// Rows that wait for their windows.
pub(super) struct WindowTask {
    key: Vec<usize>,
    schema: SchemaRef,
    input: SchemaRef,
    late: LateRows,
    clock: Clock,
    waiting: Waiting,
    held: HeldRows,
    news: Option<News>,
}

/// What happened to rows since it was last asked.
#[derive(Default)]
struct News {
    /// Rows from this number on came since then; those that are still here, with their instants.
    told: i64,
    came: Vec<(i64, HeldRow)>,
    /// The others that went.
    gone: GoneRows,
}

/// Windows that close, each with its rows.
pub(super) struct Closing {
    /// None where windows have no time.
    pub span: Option<TimeSpan>,
    pub rows: Vec<HeldRow>,
}

impl WindowTask {
    pub(super) fn new(of: &Window) -> Result<Self, NotRunnable> {
        let refused = || NotRunnable(format!("stage `window {}` cannot be run", of.lives));
        let input = of.input.to_arrow();
        let types: Vec<_> = of.key.iter().map(|i| input.field(*i).data_type().clone()).collect();
        let broken = |e: TaskError| NotRunnable(format!("stage `window` cannot be run: {e}"));
        let (clock, waiting) = match (&of.lives, of.time) {
            (Lifetime::BatchWindow(shape), _) => {
                (Clock::Batches(Ticks::new(shape, of.interval)), Waiting::Batches(Panes::default()))
            }
            (Lifetime::Window(Shape::Count { rows }), _) => {
                (Clock::None, Waiting::Counts(Counted::new(&types, *rows).map_err(broken)?))
            }
            (Lifetime::Window(Shape::Session { gap }), Some(time)) => {
                (Clock::Rows(time), Waiting::Sessions(Sessions::new(&types, *gap).map_err(broken)?))
            }
            (Lifetime::Window(shape), Some(time)) => {
                let spans = Spans::of(shape).ok_or_else(refused)?;
                (Clock::Rows(time), Waiting::Time(spans, Panes::default()))
            }
            _ => return Err(refused()),
        };
        Ok(WindowTask {
            key: of.key.clone(),
            schema: of.output.to_arrow(),
            late: LateRows::of(&of.input),
            clock,
            waiting,
            held: HeldRows::new(input.clone()),
            input,
            news: None,
        })
    }

    /// Takes a block's rows in; those that wait for nothing more are late, or in no window at all.
    fn take(
        &mut self,
        block: &RecordBatch,
        instants: &[i64],
        closed: Option<i64>,
        out: &mut Evaluated,
        full: &mut Vec<Closing>,
    ) -> Result<(), TaskError> {
        let (mut kept, mut late) = (Vec::with_capacity(block.num_rows()), Vec::new());
        for (row, instant) in instants.iter().enumerate() {
            match self.ends(*instant) {
                None => out.filtered += 1,
                Some((_, last)) if closed.is_some_and(|mark| last <= mark) => {
                    late.push((row as u32, closed.unwrap_or(last).saturating_sub(last)));
                }
                Some((first, _)) => {
                    out.partly_late += usize::from(closed.is_some_and(|mark| first <= mark));
                    kept.push(row as u32);
                }
            }
        }
        out.taken += kept.len();
        out.rows.extend(self.late.of_block(block, &late, LATE)?);
        if kept.is_empty() {
            return Ok(());
        }
        let instants: Vec<i64> = kept.iter().map(|row| instants[*row as usize]).collect();
        let rows = match kept.len() == block.num_rows() {
            true => block.clone(),
            false => take_batch(block, &UInt32Array::from(kept))?,
        };
        let place = self.held.hold(rows.clone());
        self.wait(&rows, &instants, place, full)
    }

    /// When the first and the last window of a row end; none where it is in no window.
    fn ends(&self, instant: i64) -> Option<(i64, i64)> {
        match &self.waiting {
            Waiting::Time(spans, _) => Some((spans.first_end(instant)?, spans.last_end(instant)?)),
            Waiting::Batches(_) => match &self.clock {
                Clock::Batches(ticks) => Some((i64::MAX, ticks.spans()?.last_end(instant)?)),
                Clock::Rows(_) | Clock::None => None,
            },
            Waiting::Sessions(sessions) => {
                let end = sessions.end(instant);
                Some((end, end))
            }
            Waiting::Counts(_) => Some((i64::MAX, i64::MAX)),
        }
    }

    /// Has rows wait for their windows; windows that are full close at once.
    fn wait(
        &mut self,
        rows: &RecordBatch,
        instants: &[i64],
        place: impl Fn(u32) -> HeldRow,
        full: &mut Vec<Closing>,
    ) -> Result<(), TaskError> {
        let keys: Vec<_> = self.key.iter().map(|i| rows.column(*i).clone()).collect();
        let places: Vec<_> = (0..instants.len() as u32).map(place).collect();
        self.note(instants, &places)?;
        match (&mut self.waiting, &self.clock) {
            (Waiting::Time(spans, panes), _) => panes.add(spans, instants, &places),
            (Waiting::Batches(panes), Clock::Batches(ticks)) => {
                let spans = ticks.spans().ok_or_else(|| bug("rows before the first batch"))?;
                panes.add(spans, instants, &places)
            }
            (Waiting::Sessions(sessions), _) => sessions.add(&keys, instants, &places),
            (Waiting::Counts(counted), _) => {
                full.extend(counted.add(&keys, &places)?.into_iter().map(|rows| Closing { span: None, rows }));
                Ok(())
            }
            (Waiting::Batches(_), _) => Err(bug("batch windows without batch time")),
        }
    }

    /// A window's rows with the window in front.
    fn windowed(&self, closing: &Closing) -> Result<RecordBatch, TaskError> {
        let rows = self.held.rows(&closing.rows)?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        if let Some(span) = closing.span {
            let times = |at: i64| Arc::new(TimestampMicrosecondArray::from_value(at, rows.num_rows()));
            columns.push(times(span.start));
            columns.push(times(span.end));
        }
        columns.extend(rows.columns().iter().cloned());
        batch_of(&self.schema, columns, rows.num_rows())
    }

    fn compact(&mut self) -> Result<(), TaskError> {
        if !self.held.is_sparse() {
            return Ok(());
        }
        let mut rows: Vec<HeldRow> = self.waiting.rows().into_iter().map(|(_, row)| row).collect();
        rows.sort_unstable();
        let places = self.held.compacted(&rows)?;
        let moved = |old| rows.binary_search(&old).map_or(old, |i| places[i]);
        self.waiting.moved(&moved);
        if let Some(news) = &mut self.news {
            news.came.iter_mut().for_each(|(_, row)| *row = moved(*row));
        }
        Ok(())
    }

    /// Notes rows that came, each with the instant that it is saved with.
    fn note(&mut self, instants: &[i64], rows: &[HeldRow]) -> Result<(), TaskError> {
        let Some(news) = &mut self.news else { return Ok(()) };
        let spans = match (&self.waiting, &self.clock) {
            (Waiting::Time(spans, _), _) => Some(spans),
            (_, Clock::Batches(ticks)) => ticks.spans(),
            _ => None,
        };
        for (instant, row) in instants.iter().zip(rows) {
            let saved = match (&self.waiting, spans) {
                (Waiting::Counts(_), _) => 0,
                (_, Some(spans)) => spans.pane(*instant).ok_or_else(|| bug("a row is in no window"))?.start,
                (_, None) => *instant,
            };
            news.came.push((saved, *row));
        }
        Ok(())
    }

    /// Notes rows that nobody waits for any more.
    fn note_gone(&mut self, rows: &[HeldRow]) -> Result<(), TaskError> {
        let Some(news) = &mut self.news else { return Ok(()) };
        let numbers = rows.iter().map(|row| self.held.number(*row)).collect::<Result<Vec<_>, _>>()?;
        let (mut old, mut young) = (Vec::new(), Vec::new());
        for (row, number) in rows.iter().zip(numbers) {
            if number < news.told {
                old.push(*row);
                news.gone.numbers.push(number);
            } else {
                young.push(*row);
            }
        }
        if !young.is_empty() {
            young.sort_unstable();
            news.came.retain(|(_, row)| young.binary_search(row).is_err());
        }
        if !old.is_empty() {
            let keys = self.held.columns(&old, &self.key)?;
            news.gone.groups.extend(groups(&keys, old.len())?.values());
        }
        Ok(())
    }

    /// Rows that wait, each with its instant, as rows to save.
    fn saved(&self, waiting: &[(i64, HeldRow)]) -> Result<RecordBatch, TaskError> {
        let places: Vec<_> = waiting.iter().map(|(_, row)| *row).collect();
        let rows = self.held.rows(&places)?;
        let keys: Vec<_> = self.key.iter().map(|i| rows.column(*i).clone()).collect();
        let numbers = places.iter().map(|row| self.held.number(*row)).collect::<Result<Vec<_>, _>>()?;
        let instants = waiting.iter().map(|(instant, _)| *instant);
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(groups(&keys, rows.num_rows())?),
            Arc::new(Int64Array::from(numbers)),
            Arc::new(Int64Array::from_iter_values(instants)),
        ];
        columns.extend(rows.columns().iter().cloned());
        batch_of(&self.saved_schema(), columns, rows.num_rows())
    }

    fn saved_schema(&self) -> SchemaRef {
        let number = |name| Field::new(name, DataType::Int64, false);
        let mut fields = vec![Field::new("_group", DataType::UInt8, true), number(NUMBER), number(INSTANT)];
        fields.extend(self.input.fields().iter().map(|f| f.as_ref().clone().with_name(format!("row.{}", f.name()))));
        Arc::new(ArrowSchema::new(fields))
    }

    fn load_rows(&mut self, saved: &RecordBatch) -> Result<(), TaskError> {
        let column =
            |name: &str| saved.column_by_name(name).cloned().ok_or_else(|| bug(format!("saved rows lack `{name}`")));
        let columns = self.input.fields().iter().map(|field| column(&format!("row.{}", field.name())));
        let rows = batch_of(&self.input, columns.collect::<Result<_, _>>()?, saved.num_rows())?;
        let (instants, numbers) = (column(INSTANT)?, column(NUMBER)?);
        let instants = instants.as_primitive_opt::<Int64Type>().ok_or_else(|| bug("saved times are no times"))?;
        let numbers = numbers.as_primitive_opt::<Int64Type>().ok_or_else(|| bug("saved rows have no numbers"))?;
        let mut full = Vec::new();
        let place = self.held.hold_again(rows.clone(), numbers.values().to_vec());
        self.wait(&rows, instants.values(), place, &mut full)?;
        if full.is_empty() { Ok(()) } else { Err(bug("a window was full when it was saved")) }
    }
}

impl Waiting {
    /// Every row that waits, each once, with its instant.
    fn rows(&self) -> Vec<(i64, HeldRow)> {
        match self {
            Waiting::Time(_, panes) | Waiting::Batches(panes) => panes.rows(),
            Waiting::Sessions(sessions) => sessions.rows(),
            Waiting::Counts(counted) => counted.rows().into_iter().map(|row| (0, row)).collect(),
        }
    }

    fn moved(&mut self, place: &dyn Fn(HeldRow) -> HeldRow) {
        match self {
            Waiting::Time(_, panes) | Waiting::Batches(panes) => panes.moved(place),
            Waiting::Sessions(sessions) => sessions.moved(place),
            Waiting::Counts(counted) => counted.moved(place),
        }
    }
}

impl KeyedTask for WindowTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let mut out = Evaluated { handed: Some(0), ..Evaluated::default() };
        let mut closing = Vec::new();
        let (mut batch_instant, mut closed, mut due) = (0, time.mark_before, time.mark_after);
        if let Clock::Batches(ticks) = &mut self.clock {
            let tick = ticks.tick(time)?;
            batch_instant = tick.instant;
            closed = Some(tick.after);
            due = Some(if tick.closing { StepTime::END } else { tick.until });
        }
        let late = if matches!(self.clock, Clock::Rows(_)) { closed } else { None };
        for block in inputs.into_iter().flatten().filter(|block| block.num_rows() > 0) {
            let instants = match &self.clock {
                Clock::Rows(column) => column.of_rows(&block)?,
                Clock::Batches(_) | Clock::None => vec![batch_instant; block.num_rows()],
            };
            self.take(&block, &instants, late, &mut out, &mut closing)?;
        }
        let mut done = Vec::new();
        if let Some(due) = due {
            match (&mut self.waiting, &self.clock) {
                (Waiting::Time(spans, panes), _) => panes.close(spans, closed, due, &mut closing, &mut done),
                (Waiting::Batches(panes), Clock::Batches(ticks)) => {
                    let spans = ticks.spans().ok_or_else(|| bug("no batch has begun"))?;
                    panes.close(spans, closed, due, &mut closing, &mut done);
                }
                (Waiting::Sessions(sessions), _) => sessions.close(due, &mut closing),
                (Waiting::Counts(_) | Waiting::Batches(_), _) => {}
            }
        }
        for window in &closing {
            out.rows.push((Port::Out, self.windowed(window)?));
        }
        if let Waiting::Sessions(_) | Waiting::Counts(_) = self.waiting {
            done.extend(closing.into_iter().flat_map(|window| window.rows));
        }
        out.expired = done.len();
        self.note_gone(&done)?;
        self.held.release(&done);
        self.compact()?;
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        let mut waiting = self.waiting.rows();
        waiting.sort_unstable_by_key(|(_, row)| *row);
        let rows = vec![self.saved(&waiting)?];
        let mut tables = vec![SavedTable { name: ROWS.into(), identity: IDENTITY, rows }];
        if let Clock::Batches(ticks) = &self.clock {
            tables.push(ticks.save(TICKS)?);
        }
        Ok(tables)
    }

    fn track(&mut self) {
        self.news = Some(News { told: self.held.next_number(), ..News::default() });
        if let Clock::Batches(ticks) = &mut self.clock {
            ticks.track();
        }
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        let next = News { told: self.held.next_number(), ..News::default() };
        let mut news = self.news.replace(next).ok_or_else(|| bug("nobody noted what changed"))?;
        let gone = news.gone.take(NUMBER)?;
        let rows = vec![self.saved(&news.came)?];
        let mut changes = vec![TableChange { name: ROWS.into(), identity: IDENTITY, gone, rows }];
        if let Clock::Batches(ticks) = &mut self.clock {
            changes.extend(ticks.changes(TICKS)?);
        }
        Ok(Changes::Some(changes))
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        if let Clock::Batches(ticks) = &mut self.clock {
            tables.iter().filter(|table| table.name == TICKS).try_for_each(|table| ticks.load(table))?;
        }
        let rows = tables.iter().filter(|table| table.name == ROWS).flat_map(|table| &table.rows);
        rows.filter(|rows| rows.num_rows() > 0).try_for_each(|rows| self.load_rows(rows))
    }

    fn held(&self) -> Held {
        Held { keys: self.held.len(), bytes: self.held.bytes(), on_disk: 0 }
    }
}
