//! Rows of a block put together by key and stretch of time, before they meet what is remembered. Every block is put
//! together by itself, here or before the shuffle, so that it is the same to the last bit whether it was done before
//! the shuffle or behind it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef};
use datafusion_common::HashMap;

use crate::operators::groups::{CompiledCall, CompiledGrouping};
use crate::operators::known::Known;
use crate::operators::spans::Spans;
use crate::operators::values::{batch_of, bug};
use crate::plan::operator::TaskError;

/// A piece of a block: the rows of one key that are in the same stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// The number of its key.
    pub(super) key: u32,
    /// Where the stretch starts, or the time of the first row.
    pub(super) start: i64,
    /// Where the stretch ends, or the time of the last row.
    pub(super) end: i64,
    /// How many rows.
    pub(super) rows: i64,
}

/// The pieces of a block, and the piece of each row.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) pieces: Vec<Piece>,
    pub(super) of_row: Vec<usize>,
}

/// What a row's stretch is.
#[derive(Debug, Clone)]
pub(super) enum Stretch {
    /// The pane of its time.
    Pane(Spans),
    /// All rows of a key that are closer than this to the last one before them.
    Run(i64),
    /// Rows of a key that are no more than this apart.
    Session(i64),
    /// The whole block.
    Whole,
}

impl Stretch {
    /// Cuts a block by the numbers of its keys and the times of its rows. Every row's time is in a window.
    pub(super) fn cut(&self, keys: &[u32], times: &[i64]) -> Cut {
        match self {
            Stretch::Pane(spans) => by_pane(spans, keys, times),
            Stretch::Run(pause) => by_run(*pause, keys, times),
            Stretch::Session(gap) => by_session(*gap, keys, times),
            Stretch::Whole => by_run(i64::MAX, keys, &vec![0; keys.len()]),
        }
    }
}

impl Cut {
    fn put(&mut self, piece: usize) {
        self.pieces[piece].rows += 1;
        self.of_row.push(piece);
    }

    fn begin(&mut self, key: u32, start: i64, end: i64) -> usize {
        self.pieces.push(Piece { key, start, end, rows: 0 });
        self.pieces.len() - 1
    }
}

const NONE: u32 = u32::MAX;

fn by_pane(spans: &Spans, keys: &[u32], times: &[i64]) -> Cut {
    let mut cut = Cut { of_row: Vec::with_capacity(keys.len()), ..Cut::default() };
    // By pane, then by key: the piece.
    let mut numbers: HashMap<i64, usize> = HashMap::default();
    let mut panes: Vec<Vec<u32>> = Vec::new();
    let (mut start, mut end, mut pane) = (0, 0, 0);
    for (key, time) in keys.iter().zip(times) {
        if *time < start || *time >= end {
            let Some(span) = spans.pane(*time) else {
                // No window: the caller has left such rows out.
                continue;
            };
            (start, end) = (span.start, span.end);
            pane = *numbers.entry(start).or_insert_with(|| {
                panes.push(Vec::new());
                panes.len() - 1
            });
        }
        let pieces = &mut panes[pane];
        if pieces.len() <= *key as usize {
            pieces.resize(*key as usize + 1, NONE);
        }
        if pieces[*key as usize] == NONE {
            pieces[*key as usize] = cut.begin(*key, start, end) as u32;
        }
        cut.put(pieces[*key as usize] as usize);
    }
    cut
}

/// A new run begins where a row is `pause` or more behind the newest one of its key.
fn by_run(pause: i64, keys: &[u32], times: &[i64]) -> Cut {
    let mut cut = Cut { of_row: Vec::with_capacity(keys.len()), ..Cut::default() };
    let mut current: HashMap<u32, usize> = HashMap::default();
    for (key, time) in keys.iter().zip(times) {
        let goes_on = |piece: &usize| time.saturating_sub(cut.pieces[*piece].end) < pause;
        let piece = match current.get(key).copied().filter(goes_on) {
            Some(piece) => piece,
            None => {
                let piece = cut.begin(*key, *time, *time);
                current.insert(*key, piece);
                piece
            }
        };
        cut.pieces[piece].end = cut.pieces[piece].end.max(*time);
        cut.put(piece);
    }
    cut
}

/// Pieces in the order of their first rows as they came; a row exactly `gap` behind another still belongs to it.
fn by_session(gap: i64, keys: &[u32], times: &[i64]) -> Cut {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_by_key(|row| (keys[*row as usize], times[*row as usize]));
    // The session of each row, by its first row in time; then numbered as rows come.
    let mut session = vec![0_u32; keys.len()];
    let mut ends: HashMap<u32, (i64, i64)> = HashMap::default();
    let mut before: Option<u32> = None;
    for row in order {
        let (key, time) = (keys[row as usize], times[row as usize]);
        let same = |other: &u32| keys[*other as usize] == key && time.saturating_sub(times[*other as usize]) <= gap;
        session[row as usize] = before.filter(same).map_or(row, |other| session[other as usize]);
        let (_, end) = ends.entry(session[row as usize]).or_insert((time, time));
        *end = time;
        before = Some(row);
    }
    let mut cut = Cut { of_row: Vec::with_capacity(keys.len()), ..Cut::default() };
    let mut numbers: HashMap<u32, usize> = HashMap::default();
    for (row, first) in session.iter().enumerate() {
        let piece = match numbers.get(first) {
            Some(piece) => *piece,
            None => {
                let (start, last) = ends.get(first).copied().unwrap_or_default();
                let piece = cut.begin(keys[row], start, last.saturating_add(gap));
                numbers.insert(*first, piece);
                piece
            }
        };
        cut.put(piece);
    }
    cut
}

/// The partial results of pieces, for some of the aggregates.
pub(super) fn partial<'a>(
    calls: impl Iterator<Item = &'a CompiledCall>,
    inputs: &[ArrayRef],
    cut: &Cut,
) -> Result<Vec<ArrayRef>, TaskError> {
    let mut states = Vec::new();
    for call in calls {
        let mut cells = call.recipe.transient()?;
        let filter = call.filter.map(|f| inputs[f].as_boolean());
        cells.update(&inputs[call.args.clone()], &cut.of_row, filter, cut.pieces.len())?;
        states.extend(cells.states(None)?);
    }
    Ok(states)
}

/// The layout of pieces as rows: keys, stretch, number of rows, partial results of every aggregate.
pub(super) fn piece_schema(grouping: &CompiledGrouping) -> Result<SchemaRef, TaskError> {
    let keys = grouping.key_types();
    let mut fields: Vec<_> =
        keys.into_iter().enumerate().map(|(i, ty)| Field::new(format!("c{i}"), ty, true)).collect();
    fields.extend(["_start", "_end", "_rows"].map(|name| Field::new(name, DataType::Int64, false)));
    for call in grouping.calls() {
        for ty in call.recipe.state_types()? {
            fields.push(Field::new(format!("s{}", fields.len()), ty, true));
        }
    }
    Ok(Arc::new(ArrowSchema::new(fields)))
}

/// The pieces of a block as rows.
pub(super) fn piece_rows(
    grouping: &CompiledGrouping,
    schema: &SchemaRef,
    stretch: &Stretch,
    inputs: &[ArrayRef],
    times: &[i64],
) -> Result<RecordBatch, TaskError> {
    let types = grouping.key_types();
    let mut known = Known::new(&types)?;
    let keys = known.assign(&inputs[..types.len()], times.len())?;
    let cut = stretch.cut(&keys, times);
    let numbers: Vec<u32> = cut.pieces.iter().map(|piece| piece.key).collect();
    let mut columns = known.columns(&numbers)?;
    let number = |of: fn(&Piece) -> i64| -> ArrayRef {
        Arc::new(cut.pieces.iter().map(of).collect::<Vec<_>>().into_iter().collect::<Int64Array>())
    };
    columns.extend([number(|p| p.start), number(|p| p.end), number(|p| p.rows)]);
    columns.extend(partial(grouping.calls().iter(), inputs, &cut)?);
    batch_of(schema, columns, numbers.len())
}

/// Pieces of other blocks, read back.
pub(super) struct Read<'a> {
    pub(super) keys: &'a [ArrayRef],
    /// Their keys are not numbered yet.
    pub(super) pieces: Vec<Piece>,
    pub(super) states: &'a [ArrayRef],
}

/// Reads what [`piece_rows`] made of keys of so many columns.
pub(super) fn read_pieces(rows: &RecordBatch, keys: usize) -> Result<Read<'_>, TaskError> {
    let columns = rows.columns();
    let number =
        |i: usize| columns[keys + i].as_primitive_opt::<Int64Type>().ok_or_else(|| bug("pieces have three numbers"));
    let (start, end, count) = (number(0)?, number(1)?, number(2)?);
    let piece = |i: usize| Piece { key: 0, start: start.value(i), end: end.value(i), rows: count.value(i) };
    Ok(Read { keys: &columns[..keys], pieces: (0..rows.num_rows()).map(piece).collect(), states: &columns[keys + 3..] })
}
