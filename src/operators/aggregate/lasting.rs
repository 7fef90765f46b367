//! An aggregate with memory at work: `over WINDOW`, `running ttl`. Rows are read, put together and taken in; then
//! results are given out, and what nothing can change any more is forgotten.

mod giving;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;

use crate::operators::aggregate::counted;
use crate::operators::aggregate::pieces::{Cut, Piece, Stretch, partial};
use crate::operators::aggregate::reading::{Fine, Reader, Rows};
use crate::operators::aggregate::results::Results;
use crate::operators::aggregate::sessions;
use crate::operators::aggregate::shown::{Pace, Shown};
use crate::operators::aggregate::store::Store;
use crate::operators::aggregate::telling::Told;
use crate::operators::aggregate::windows::Windows;
use crate::operators::aggregate::{Aggregate, Emit};
use crate::operators::known::Timers;
use crate::operators::lifetime::Lifetime;
use crate::operators::spans::{Spans, Tick, Ticks, TimeSpan};
use crate::operators::values::{bug, take_rows};
use crate::plan::operator::{
    BatchTime, Changes, Evaluated, Held, KeyedTask, NotRunnable, SavedTable, StepTime, TaskError,
};
use crate::plan::seams::Window;

/// The task.
pub(super) struct Lasting {
    pub(super) store: Store,
    pub(super) scope: Scope,
    reader: Reader,
    results: Results,
    /// What comes out, without `op`.
    plain: SchemaRef,
    schema: SchemaRef,
    emit: Emit,
    pub(super) pace: Pace,
    pub(super) shown: Option<Shown>,
    /// Cells that changed since their results were given out, in the order in which they did.
    pub(super) changed: Vec<u32>,
    /// Some aggregate came later than others, so that there are results it knows nothing of.
    pub(super) partial: bool,
    /// What was told of its changes, where somebody asks.
    pub(super) told: Option<Told>,
}

/// What the cells are, and when they are forgotten.
pub(super) enum Scope {
    /// Panes of windows of event time.
    Windows(Spans, Windows),
    /// Panes of windows of batch time.
    BatchWindows(Ticks, Windows),
    /// Sessions with this gap.
    Sessions(i64, Timers),
    /// Windows of so many rows; and those that are full, in the order in which they were filled.
    Counted(i64, Vec<u32>),
    /// All of a key, until it had no rows for so long by the time of rows.
    RunningByRows(Option<i64>, Timers),
    /// The same by the time of batches.
    RunningByBatches(Option<i64>, Timers),
}

/// A step's time, as a scope counts it.
#[derive(Debug, Clone, Copy)]
struct Moment {
    /// Results that fell due behind this,
    after: i64,
    /// and not behind this, come out.
    until: i64,
    /// A mark before which rows are late.
    mark: Option<i64>,
    /// The time of all rows of the batch, where they have none themselves.
    instant: i64,
    /// Windows of batch time that fall due with this batch, be they empty.
    tick: Option<Tick>,
    /// No batch follows.
    closing: bool,
    batch: BatchTime,
}

impl Scope {
    fn new(of: &Aggregate) -> Result<Self, NotRunnable> {
        let no_spans = || NotRunnable(format!("`{}` has no windows of time", of.lives));
        Ok(match &of.lives {
            Lifetime::Window(Window::Session { gap }) => Scope::Sessions(*gap, Timers::default()),
            Lifetime::Window(Window::Count { rows }) => {
                Scope::Counted(i64::try_from(*rows).unwrap_or(i64::MAX), Vec::new())
            }
            Lifetime::Window(window) => Scope::Windows(Spans::of(window).ok_or_else(no_spans)?, Windows::default()),
            Lifetime::BatchWindow(window) => {
                Spans::of(window).ok_or_else(no_spans)?;
                Scope::BatchWindows(Ticks::new(window, of.interval), Windows::default())
            }
            Lifetime::Running { ttl, event_time: true } => Scope::RunningByRows(*ttl, Timers::default()),
            Lifetime::Running { ttl, event_time: false } => Scope::RunningByBatches(*ttl, Timers::default()),
            Lifetime::Batch => return Err(NotRunnable("`per batch` remembers nothing".into())),
        })
    }

    /// Whether a result is put together of several cells.
    pub(super) fn in_pieces(lives: &Lifetime) -> bool {
        match lives {
            Lifetime::Window(Window::Session { .. }) => true,
            Lifetime::Window(window) | Lifetime::BatchWindow(window) => {
                Spans::of(window).is_some_and(|spans| !spans.back_to_back())
            }
            Lifetime::Batch | Lifetime::Running { .. } => false,
        }
    }

    fn moment(&mut self, time: &StepTime) -> Result<Moment, TaskError> {
        let closing = time.mark_after == Some(StepTime::END);
        let mut moment = Moment {
            after: time.mark_before.unwrap_or(i64::MIN),
            until: time.mark_after.unwrap_or(i64::MIN),
            mark: time.mark_before,
            instant: time.batch.micros,
            tick: None,
            closing,
            batch: time.batch,
        };
        match self {
            Scope::BatchWindows(ticks, _) => {
                let tick = ticks.tick(time)?;
                moment.after = tick.after;
                moment.until = if closing { i64::MAX } else { tick.until };
                (moment.mark, moment.instant, moment.tick) = (None, tick.instant, Some(tick));
            }
            Scope::RunningByBatches(..) => (moment.mark, moment.until) = (None, time.batch.micros),
            Scope::Counted(..) | Scope::RunningByRows(..) => moment.mark = None,
            Scope::Windows(..) | Scope::Sessions(..) => {}
        }
        Ok(moment)
    }

    /// The windows that follow from time.
    fn windows(&mut self) -> Option<(&Spans, &mut Windows)> {
        match self {
            Scope::Windows(spans, windows) => Some((spans, windows)),
            Scope::BatchWindows(ticks, windows) => ticks.spans().map(|spans| (spans, windows)),
            _ => None,
        }
    }
}

impl Lasting {
    /// For one partition of an aggregate, which reads its input, or what its first half made of it.
    pub(super) fn new(of: &Aggregate, reader: Reader) -> Result<Self, NotRunnable> {
        let refuse = |error: TaskError| NotRunnable(error.to_string());
        let grouping = Arc::new(of.grouping.compile()?);
        let store = Store::new(grouping, Scope::in_pieces(&of.lives)).map_err(refuse)?;
        let schema = of.output.to_arrow();
        let (shown, every) = match of.emit {
            Emit::Final => (None, None),
            Emit::All { every } => (None, every),
            Emit::Changes { every } => (Some(Shown::new(schema.clone()).map_err(refuse)?), every),
        };
        let plain = match &shown {
            Some(shown) => Arc::new(arrow::datatypes::Schema::new(shown.fields())),
            None => schema.clone(),
        };
        let (scope, results) = (Scope::new(of)?, Results::new(of)?);
        let pace = Pace::new(every);
        let (changed, partial, told) = (Vec::new(), false, None);
        Ok(Lasting { store, scope, reader, results, plain, schema, emit: of.emit, pace, shown, changed, partial, told })
    }

    /// Takes a block in.
    fn take(&mut self, block: &RecordBatch, moment: &Moment, out: &mut Evaluated) -> Result<(), TaskError> {
        let sifted = self.reader.read(block, &self.scope, moment.mark, moment.instant, &moment.batch)?;
        out.rows.extend(sifted.aside);
        out.filtered += sifted.filtered;
        out.partly_late += sifted.partly_late;
        match sifted.fine {
            Fine::Pieces { keys, mut pieces, states } => {
                out.taken += pieces.iter().map(|piece| piece.rows as usize).sum::<usize>();
                if pieces.is_empty() {
                    return Ok(());
                }
                let numbers = self.store.known.assign(&keys, pieces.len())?;
                pieces.iter_mut().zip(numbers).for_each(|(piece, number)| piece.key = number);
                self.place(&pieces, &states, &moment.batch).map(drop)
            }
            Fine::Rows(rows) => {
                out.taken += rows.times.len();
                if rows.times.is_empty() { Ok(()) } else { self.take_rows(&rows, &moment.batch) }
            }
        }
    }

    fn take_rows(&mut self, rows: &Rows, batch: &BatchTime) -> Result<(), TaskError> {
        let keys = self.store.grouping.key_types().len();
        let keys = self.store.known.assign(&rows.inputs[..keys], rows.times.len())?;
        let (cut, full) = match &self.scope {
            Scope::Counted(size, _) => counted::cut(&self.store, *size, &keys),
            scope => (stretch(scope)?.cut(&keys, &rows.times), Vec::new()),
        };
        let states = partial(self.store.merging(), &rows.inputs, &cut)?;
        let cells = self.place(&cut.pieces, &states, batch)?;
        if let Scope::Counted(_, all) = &mut self.scope {
            all.extend(full.into_iter().map(|piece| cells[piece]));
        }
        self.keep(rows, &cut, &cells)
    }

    /// Keeps the rows of aggregates that have to see them.
    fn keep(&mut self, rows: &Rows, cut: &Cut, cells: &[u32]) -> Result<(), TaskError> {
        let of_row: Vec<u32> = cut.of_row.iter().map(|piece| cells[*piece]).collect();
        let grouping = self.store.grouping.clone();
        for (i, _, kept) in self.store.keeping() {
            let call = &grouping.calls()[i];
            let columns = rows.inputs[call.args.clone()].iter().chain(&rows.inputs[call.order.clone()]);
            let Some(filter) = call.filter else {
                kept.push(of_row.clone(), columns.cloned().collect())?;
                continue;
            };
            let condition = arrow::array::AsArray::as_boolean(&rows.inputs[filter]);
            let chosen = UInt32Array::from(crate::operators::groups::accepted(condition));
            let cells = chosen.values().iter().map(|row| of_row[*row as usize]).collect();
            kept.push(cells, columns.map(|c| take_rows(c, &chosen)).collect::<Result<_, _>>()?)?;
        }
        Ok(())
    }

    /// Adds pieces to their cells, whose numbers it gives back.
    fn place(&mut self, pieces: &[Piece], states: &[ArrayRef], batch: &BatchTime) -> Result<Vec<u32>, TaskError> {
        let cells = match &mut self.scope {
            Scope::Windows(spans, windows) => of_panes(spans, windows, &mut self.store, pieces),
            Scope::BatchWindows(ticks, windows) => match ticks.spans() {
                Some(spans) => of_panes(spans, windows, &mut self.store, pieces),
                None => return Err(bug("rows before the first batch")),
            },
            Scope::Sessions(_, timers) => sessions::joined(&mut self.store, self.shown.as_mut(), timers, pieces)?,
            Scope::Counted(..) => {
                let store = &mut self.store;
                let cell = |p: &Piece| store.cell(p.key, p.start).unwrap_or_else(|| store.add(p.key, p.start, p.end));
                pieces.iter().map(cell).collect()
            }
            Scope::RunningByRows(ttl, timers) => of_keys(&mut self.store, self.shown.as_mut(), *ttl, timers, pieces),
            // What is too old was forgotten before the batch.
            Scope::RunningByBatches(ttl, timers) => of_keys(&mut self.store, None, *ttl, timers, pieces),
        };
        self.note_before(&cells, batch)?;
        cells.iter().for_each(|cell| self.store.touched.note(*cell));
        self.store.merge(states, &cells.iter().map(|cell| *cell as usize).collect::<Vec<_>>())?;
        for (cell, piece) in cells.iter().zip(pieces) {
            let head = &mut self.store.heads[*cell as usize];
            head.rows += piece.rows;
            if self.emit != Emit::Final && !std::mem::replace(&mut head.changed, true) {
                self.changed.push(*cell);
            }
        }
        Ok(cells)
    }

    /// Running results are not remembered as they were given out: those that are about to change are computed before.
    fn note_before(&mut self, cells: &[u32], batch: &BatchTime) -> Result<(), TaskError> {
        let running = matches!(self.scope, Scope::RunningByRows(..) | Scope::RunningByBatches(..));
        if !running || self.shown.is_none() {
            return Ok(());
        }
        let unchanged = |cell: &u32| {
            let head = &self.store.heads[*cell as usize];
            head.rows > 0 && !head.changed && head.alive
        };
        let mut before: Vec<u32> = cells.iter().copied().filter(unchanged).collect();
        before.sort_unstable();
        before.dedup();
        if let (false, Some(rows)) = (before.is_empty(), self.of_cells(&before, batch)?)
            && let Some(shown) = &mut self.shown
        {
            shown.note(&before.iter().map(|cell| (0, *cell)).collect::<Vec<_>>(), &rows)?;
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), TaskError> {
        let Some(renumbered) = self.store.compact()? else { return Ok(()) };
        let changed = std::mem::take(&mut self.changed);
        self.changed = changed.into_iter().filter_map(|cell| renumbered[cell as usize]).collect();
        if let (Some(shown), false) = (&mut self.shown, self.scope.windows().is_some()) {
            shown.renumber(&renumbered);
        }
        self.rebuild();
        Ok(())
    }

    /// Finds again what follows from the cells.
    pub(super) fn rebuild(&mut self) {
        let store = &self.store;
        let again = |timers: &mut Timers, pause: i64| {
            *timers = Timers::default();
            for cell in store.living() {
                timers.set(store.heads[cell as usize].end.saturating_add(pause), cell);
            }
        };
        match &mut self.scope {
            Scope::Windows(spans, windows) => windows.rebuild(spans, store),
            Scope::BatchWindows(ticks, windows) => {
                if let Some(spans) = ticks.spans() {
                    windows.rebuild(spans, store);
                }
            }
            Scope::Sessions(_, timers) => again(timers, 0),
            Scope::Counted(..) | Scope::RunningByRows(None, _) | Scope::RunningByBatches(None, _) => {}
            Scope::RunningByRows(Some(ttl), timers) | Scope::RunningByBatches(Some(ttl), timers) => {
                again(timers, *ttl);
            }
        }
    }
}

/// How rows of a block are cut.
pub(super) fn stretch(scope: &Scope) -> Result<Stretch, TaskError> {
    Ok(match scope {
        Scope::Windows(spans, _) => Stretch::Pane(spans.clone()),
        Scope::BatchWindows(ticks, _) => {
            Stretch::Pane(ticks.spans().ok_or_else(|| bug("rows before the first batch"))?.clone())
        }
        Scope::Sessions(gap, _) => Stretch::Session(*gap),
        Scope::RunningByRows(Some(ttl), _) => Stretch::Run(*ttl),
        Scope::RunningByRows(None, _) | Scope::RunningByBatches(..) | Scope::Counted(..) => Stretch::Run(i64::MAX),
    })
}

fn of_panes(spans: &Spans, windows: &mut Windows, store: &mut Store, pieces: &[Piece]) -> Vec<u32> {
    let cell = |piece: &Piece| windows.cell(spans, store, piece.key, TimeSpan { start: piece.start, end: piece.end });
    pieces.iter().map(cell).collect()
}

/// One cell a key. Where a piece comes `ttl` or more behind the last row of its key, the key begins anew.
fn of_keys(
    store: &mut Store,
    mut shown: Option<&mut Shown>,
    ttl: Option<i64>,
    timers: &mut Timers,
    pieces: &[Piece],
) -> Vec<u32> {
    let mut cells = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let known = store.cells_of(piece.key).last().copied();
        let head = known.map(|cell| store.heads[cell as usize]);
        let goes_on = head.is_some_and(|head| ttl.is_none_or(|ttl| piece.start.saturating_sub(head.end) < ttl));
        let cell = known.filter(|_| goes_on).unwrap_or_else(|| {
            let cell = store.add(piece.key, piece.start, piece.end);
            if let Some(ttl) = ttl {
                timers.set(piece.end.saturating_add(ttl), cell);
            }
            cell
        });
        let head = &mut store.heads[cell as usize];
        head.end = head.end.max(piece.end);
        if let Some(over) = known.filter(|_| !goes_on) {
            store.expire(over);
            if let Some(shown) = &mut shown {
                shown.settle((0, over));
            }
        }
        cells.push(cell);
    }
    cells
}

impl KeyedTask for Lasting {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let moment = self.scope.moment(time)?;
        let mut out = Evaluated { handed: Some(0), ..Evaluated::default() };
        if let Scope::RunningByBatches(..) = self.scope {
            self.expire_first(&moment, &mut out)?;
        }
        for block in inputs.iter().flatten().filter(|block| block.num_rows() > 0) {
            self.take(block, &moment, &mut out)?;
        }
        match &self.scope {
            Scope::Windows(..) | Scope::BatchWindows(..) => self.give_windows(&moment, &mut out)?,
            _ => self.give_cells(&moment, &mut out)?,
        }
        out.expired = self.store.expired();
        self.compact()?;
        Ok(out)
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        self.saved()
    }

    fn track(&mut self) {
        self.begin_to_tell();
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        self.tell()
    }

    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError> {
        self.loaded(&tables)
    }

    fn held(&self) -> Held {
        let held = self.store.held();
        Held { bytes: held.bytes + self.shown.as_ref().map_or(0, Shown::bytes), ..held }
    }
}
