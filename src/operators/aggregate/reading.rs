//! Rows on their way to what is remembered: as the input has them, computed by the first half, or put together there.
//! Those that come too late, or are in no window, are told from the others here, where the watermark is known.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef};
use datafusion_common::ScalarValue;

use crate::model::hollow::hollow;
use crate::operators::aggregate::Aggregate;
use crate::operators::aggregate::lasting::Scope;
use crate::operators::aggregate::pieces::{Piece, Read, read_pieces};
use crate::operators::lateness::{LateRows, TimeColumn};
use crate::operators::spans::{Spans, TimeSpan};
use crate::operators::values::{Values, batch_of, bug, take_rows};
use crate::plan::Port;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};

/// Why a row is late.
const LATE: &str = "all windows of the row have closed";

/// Reads what comes in.
pub(super) struct Reader {
    source: Source,
    late: LateRows,
    input: SchemaRef,
    keys: usize,
}

enum Source {
    /// The input itself.
    Whole(Box<Values>, Option<TimeColumn>),
    /// So many computed columns; the time; the input, where late rows are read.
    Computed { inputs: usize, with_time: bool, with_input: bool },
    /// What the first half put together.
    Pieces,
}

/// Keys and arguments of rows, and their times.
pub(super) struct Rows {
    pub(super) inputs: Vec<ArrayRef>,
    pub(super) times: Vec<i64>,
}

/// What a block came to.
pub(super) struct Sifted {
    pub(super) fine: Fine,
    /// Late and bad rows.
    pub(super) aside: Vec<(Port, RecordBatch)>,
    /// Rows that are in no window.
    pub(super) filtered: usize,
    pub(super) partly_late: usize,
}

/// What goes on.
pub(super) enum Fine {
    Rows(Rows),
    Pieces { keys: Vec<ArrayRef>, pieces: Vec<Piece>, states: Vec<ArrayRef> },
}

impl Reader {
    /// Of the input of an aggregate.
    pub(super) fn whole(of: &Aggregate) -> Result<Self, NotRunnable> {
        let values = Values::new(&of.grouping.inputs(), &of.input)?;
        Ok(Reader::new(of, Source::Whole(Box::new(values), of.time)))
    }

    /// Of the rows that the first half computed.
    pub(super) fn computed(of: &Aggregate) -> Self {
        let inputs = of.grouping.inputs().len();
        Reader::new(of, Source::Computed { inputs, with_time: of.time.is_some(), with_input: of.late_is_read })
    }

    /// Of the pieces that the first half put together.
    pub(super) fn pieces(of: &Aggregate) -> Self {
        Reader::new(of, Source::Pieces)
    }

    fn new(of: &Aggregate, source: Source) -> Self {
        let keys = of.grouping.keys.len();
        Reader { source, late: LateRows::of(&of.input), input: of.input.to_arrow(), keys }
    }

    /// Reads a block. Rows without a time of their own are of `instant`.
    pub(super) fn read(
        &self,
        block: &RecordBatch,
        scope: &Scope,
        mark: Option<i64>,
        instant: i64,
        batch: &BatchTime,
    ) -> Result<Sifted, TaskError> {
        let own_time = matches!(scope, Scope::Windows(..) | Scope::Sessions(..) | Scope::RunningByRows(..));
        let (inputs, times, input, bad) = match &self.source {
            Source::Pieces => return self.read_pieces(block, scope, mark, instant),
            Source::Whole(values, time) => {
                let computed = values.eval(block, batch)?;
                let times = match time.filter(|_| own_time) {
                    Some(time) => time.of_rows(&computed.rows)?,
                    None => vec![instant; computed.rows.num_rows()],
                };
                (computed.columns, times, Some(computed.rows), computed.bad.into_rows())
            }
            Source::Computed { inputs, with_time, with_input } => {
                let columns = block.columns();
                let times = if own_time {
                    let times = columns[*inputs].as_primitive_opt::<Int64Type>();
                    times.ok_or_else(|| bug("computed rows have a time"))?.values().to_vec()
                } else {
                    vec![instant; block.num_rows()]
                };
                let behind = inputs + usize::from(*with_time);
                let input = with_input.then(|| batch_of(&self.input, columns[behind..].to_vec(), block.num_rows()));
                (columns[..*inputs].to_vec(), times, input.transpose()?, None)
            }
        };
        let fates = Fates::of(scope, mark, times.iter().copied());
        let mut aside: Vec<_> = bad.into_iter().collect();
        let late: Vec<(u32, i64)> = fates.late.clone();
        let input = match input {
            Some(input) => input,
            None if late.is_empty() => RecordBatch::new_empty(self.input.clone()),
            None => self.hollow_rows(times.len())?,
        };
        aside.extend(self.late.of_block(&input, &late, LATE)?);
        let rows = match fates.fine {
            None => Rows { inputs, times },
            Some(fine) => {
                Rows { times: fine.iter().map(|row| times[*row as usize]).collect(), inputs: taken(&inputs, fine)? }
            }
        };
        Ok(Sifted { fine: Fine::Rows(rows), aside, filtered: fates.nowhere.len(), partly_late: fates.partly.len() })
    }

    fn read_pieces(
        &self,
        block: &RecordBatch,
        scope: &Scope,
        mark: Option<i64>,
        instant: i64,
    ) -> Result<Sifted, TaskError> {
        let Read { keys, mut pieces, states } = read_pieces(block, self.keys)?;
        match scope {
            Scope::Windows(..) | Scope::RunningByRows(..) => {}
            Scope::BatchWindows(ticks, _) => {
                let pane = ticks.spans().and_then(|spans| spans.pane(instant));
                let pane = pane.unwrap_or(TimeSpan { start: instant, end: instant });
                pieces.iter_mut().for_each(|piece| (piece.start, piece.end) = (pane.start, pane.end));
            }
            _ => pieces.iter_mut().for_each(|piece| (piece.start, piece.end) = (instant, instant)),
        }
        let times: Vec<i64> = match scope {
            Scope::Windows(..) => pieces.iter().map(|piece| piece.start).collect(),
            _ => vec![instant; pieces.len()],
        };
        let fates = Fates::of(scope, mark, times.into_iter());
        let rows = |of: &mut dyn Iterator<Item = u32>| of.map(|i| pieces[i as usize].rows as usize).sum::<usize>();
        let (filtered, partly_late) =
            (rows(&mut fates.nowhere.iter().copied()), rows(&mut fates.partly.iter().copied()));
        // Nobody reads these rows: they are counted only.
        let mut late = Vec::new();
        for (i, by) in &fates.late {
            late.extend((0..pieces[*i as usize].rows).map(|_| (0, *by)));
        }
        let one = self.hollow_rows(usize::from(!late.is_empty()))?;
        let aside = self.late.of_block(&one, &late, LATE)?.into_iter().collect();
        let fine = match fates.fine {
            None => Fine::Pieces { keys: keys.to_vec(), pieces, states: states.to_vec() },
            Some(fine) => Fine::Pieces {
                pieces: fine.iter().map(|i| pieces[*i as usize]).collect(),
                keys: taken(keys, fine.clone())?,
                states: taken(states, fine)?,
            },
        };
        Ok(Sifted { fine, aside, filtered, partly_late })
    }

    /// Rows of the input that nobody reads.
    fn hollow_rows(&self, rows: usize) -> Result<RecordBatch, TaskError> {
        let column = |field: &Arc<Field>| match hollow(field, rows) {
            Some(column) => Ok(column),
            None => {
                let value = ScalarValue::new_default(field.data_type()).map_err(bug)?;
                value.to_array_of_size(rows).map_err(bug)
            }
        };
        let columns = self.input.fields().iter().map(column).collect::<Result<_, _>>()?;
        batch_of(&self.input, columns, rows)
    }
}

fn taken(columns: &[ArrayRef], rows: Vec<u32>) -> Result<Vec<ArrayRef>, TaskError> {
    let rows = UInt32Array::from(rows);
    columns.iter().map(|column| take_rows(column, &rows)).collect()
}

/// What becomes of each row, or piece, by its time.
#[derive(Default)]
struct Fates {
    /// Those that go on; none: all.
    fine: Option<Vec<u32>>,
    /// Each with how late it came.
    late: Vec<(u32, i64)>,
    partly: Vec<u32>,
    nowhere: Vec<u32>,
}

impl Fates {
    fn of(scope: &Scope, mark: Option<i64>, times: impl Iterator<Item = i64>) -> Self {
        match scope {
            Scope::Windows(spans, _) => Fates::in_windows(spans, mark, times),
            Scope::BatchWindows(ticks, _) => match ticks.spans() {
                Some(spans) => Fates::in_windows(spans, None, times),
                None => Fates::default(),
            },
            Scope::Sessions(gap, _) => {
                let mut fates = Fates::default();
                let Some(mark) = mark else { return fates };
                fates.sort(times, |time| Fate::by(mark, time.saturating_add(*gap), time.saturating_add(*gap)));
                fates
            }
            Scope::Counted(..) | Scope::RunningByRows(..) | Scope::RunningByBatches(..) => Fates::default(),
        }
    }

    fn in_windows(spans: &Spans, mark: Option<i64>, times: impl Iterator<Item = i64>) -> Self {
        let mut fates = Fates::default();
        // Rows near each other are mostly of one pane.
        let mut known: Option<(TimeSpan, Fate)> = None;
        fates.sort(times, |time| match known {
            Some((pane, fate)) if pane.start <= time && time < pane.end => fate,
            _ => {
                let (Some(pane), Some(first), Some(last)) =
                    (spans.pane(time), spans.first_end(time), spans.last_end(time))
                else {
                    return Fate::Nowhere;
                };
                let fate = mark.map_or(Fate::Fine, |mark| Fate::by(mark, first, last));
                known = Some((pane, fate));
                fate
            }
        });
        fates
    }

    fn sort(&mut self, times: impl Iterator<Item = i64>, mut fate: impl FnMut(i64) -> Fate) {
        let mut fine = Vec::new();
        let mut all = true;
        for (row, time) in times.enumerate() {
            let row = row as u32;
            match fate(time) {
                Fate::Fine => fine.push(row),
                Fate::Partly => {
                    fine.push(row);
                    self.partly.push(row);
                }
                Fate::Late(by) => {
                    all = false;
                    self.late.push((row, by));
                }
                Fate::Nowhere => {
                    all = false;
                    self.nowhere.push(row);
                }
            }
        }
        self.fine = (!all).then_some(fine);
    }
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Fine,
    Partly,
    Late(i64),
    Nowhere,
}

impl Fate {
    /// By the ends of the first and the last of its windows.
    fn by(mark: i64, first: i64, last: i64) -> Self {
        match () {
            () if last <= mark => Fate::Late(mark.saturating_sub(last)),
            () if first <= mark => Fate::Partly,
            () => Fate::Fine,
        }
    }
}

/// The rows that the first half computes.
pub(super) fn computed_schema(of: &Aggregate) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = of.grouping.input_schema().fields().iter().cloned().collect();
    if of.time.is_some() {
        fields.push(Arc::new(Field::new("_time", DataType::Int64, false)));
    }
    if of.late_is_read {
        let named = |(i, field): (usize, &Arc<Field>)| Arc::new(field.as_ref().clone().with_name(format!("i{i}")));
        fields.extend(of.input.to_arrow().fields().iter().enumerate().map(named));
    }
    Arc::new(ArrowSchema::new(fields))
}

/// A block as the first half computes it.
pub(super) fn computed_rows(
    of: &Aggregate,
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    input: &RecordBatch,
) -> Result<RecordBatch, TaskError> {
    let mut all = columns;
    if let Some(time) = &of.time {
        all.push(Arc::new(Int64Array::from(time.of_rows(input)?)));
    }
    if of.late_is_read {
        all.extend(input.columns().iter().cloned());
    }
    batch_of(schema, all, input.num_rows())
}
