//! What stages with two inputs that remember rows have in common: rows come in, late ones leave in envelopes, the others
//! are kept with their time until it is up, and saved as rows.
//!
//! A side is saved as a table of its name: `_group`, `_number` (a running one), `_time` (event time, or that of the row's batch), `_matched` (whether
//! the row has had a partner), `_fits` (whether it can have one), then the side's own columns. The key is among those.

mod picking;
mod waiting;
mod windowed;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt8Array};
use arrow::compute::{concat_batches, filter_record_batch, not};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema as ArrowSchema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};

use crate::model::Schema;
use crate::model::key_groups::key_groups;
use crate::operators::envelope::enclosed;
use crate::operators::matching::KeyNumbers;
use crate::operators::values::bug;
use crate::plan::Port;
use crate::plan::operator::{Evaluated, NotRunnable, SavedTable, TableChange, TaskError};

pub(super) use picking::{Pick, Picked, pick};
pub(super) use waiting::{Arrivals, NOW, Waiting};
pub(super) use windowed::Windowed;

/// One of two inputs.
#[derive(Debug, Clone)]
pub(super) struct Side {
    /// What envelopes and saved tables call it.
    pub name: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
    /// Positions of its key.
    pub keys: Vec<usize>,
    /// The column of event time.
    pub time: Option<usize>,
    /// 1 where that column holds ends of windows: a row is a microsecond older than it says.
    pub older: i64,
}

/// What becomes of a row because of its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It comes too late.
    Late,
    /// It has nothing to do with what is looked for.
    Outside,
    /// It is kept until the watermark is above `due`.
    Kept {
        /// In microseconds since 1970 UTC.
        due: i64,
        /// It was late for a part of what it belongs to.
        partly: bool,
    },
}

/// How rows are judged when they come.
pub(super) struct Judge<'a> {
    /// By their time.
    pub fate: &'a dyn Fn(i64) -> Fate,
    /// The time of all of them, where batches tell the time and not rows.
    pub at: Option<i64>,
    /// Why some are late.
    pub reason: &'static str,
}

impl Side {
    /// `left` or `right`.
    pub(super) fn new(name: &'static str, schema: &Schema, keys: Vec<usize>, time: Option<(usize, i64)>) -> Self {
        let (time, older) = time.map_or((None, 0), |(time, older)| (Some(time), older));
        Side { name, schema: schema.to_arrow(), keys, time, older }
    }

    /// The columns of the key.
    pub(super) fn key(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.keys.iter().map(|i| rows.column(*i).clone()).collect()
    }

    /// Numbers for its keys.
    pub(super) fn key_numbers(&self) -> Result<KeyNumbers, NotRunnable> {
        let types: Vec<_> = self.keys.iter().map(|i| self.schema.field(*i).data_type().clone()).collect();
        KeyNumbers::new(&types)
    }

    /// A place for its rows to wait in.
    pub(super) fn waiting(&self) -> Result<Waiting, NotRunnable> {
        Ok(Waiting::new(self.schema.clone(), self.keys.clone(), self.key_numbers()?))
    }

    /// Rows of it that leave in envelopes.
    pub(super) fn aside(
        &self,
        port: Port,
        rows: &RecordBatch,
        reasons: &[String],
    ) -> Result<(Port, RecordBatch), TaskError> {
        Ok((port, enclosed(self.name, rows, self.time, reasons)?))
    }

    /// The rows of a batch that are neither late nor outside. A row whose time is null is neither.
    pub(super) fn in_time(
        &self,
        blocks: &[RecordBatch],
        judge: &Judge<'_>,
        out: &mut Evaluated,
    ) -> Result<RecordBatch, TaskError> {
        let rows = concat_batches(&self.schema, blocks).map_err(bug)?;
        let fates = self.fates(&rows, judge)?;
        if fates.iter().all(|fate| matches!(fate, None | Some(Fate::Kept { .. }))) {
            return Ok(rows);
        }
        let of = |wanted: Fate| fates.iter().map(|fate| Some(*fate == Some(wanted))).collect::<BooleanArray>();
        let (late, outside) = (of(Fate::Late), of(Fate::Outside));
        out.filtered += outside.true_count();
        if late.true_count() > 0 {
            let gone = filter_record_batch(&rows, &late).map_err(bug)?;
            out.rows.push(self.aside(Port::Late, &gone, &vec![judge.reason.to_owned(); gone.num_rows()])?);
        }
        let rest = not(&arrow::compute::or(&late, &outside).map_err(bug)?).map_err(bug)?;
        filter_record_batch(&rows, &rest).map_err(bug)
    }

    /// What becomes of each row; none where its time is null.
    fn fates(&self, rows: &RecordBatch, judge: &Judge<'_>) -> Result<Vec<Option<Fate>>, TaskError> {
        if let Some(at) = judge.at {
            return Ok(vec![Some((judge.fate)(at)); rows.num_rows()]);
        }
        Ok(self.times(rows)?.iter().map(|time| time.map(judge.fate)).collect())
    }

    /// Rows that are kept, `fit` saying which of them can have partners. The others are kept as long, or leave `at_once`.
    pub(super) fn arrivals(
        &self,
        rows: RecordBatch,
        fit: &dyn Fn(usize) -> bool,
        at_once: bool,
        judge: &Judge<'_>,
        out: &mut Evaluated,
    ) -> Result<Arrivals, TaskError> {
        let fates = self.fates(&rows, judge)?;
        let times = match judge.at {
            Some(at) => vec![at; rows.num_rows()],
            None => self.times(&rows)?.values().to_vec(),
        };
        let fit: Vec<bool> = (0..rows.num_rows()).map(|row| fates[row].is_some() && fit(row)).collect();
        let due = |(fate, fit): (&Option<Fate>, &bool)| match fate {
            Some(Fate::Kept { due, .. }) if *fit || !at_once => *due,
            _ => NOW,
        };
        let due = fates.iter().zip(&fit).map(due).collect();
        out.partly_late += fates.iter().filter(|fate| matches!(fate, Some(Fate::Kept { partly: true, .. }))).count();
        Ok(Arrivals { due, times, matched: vec![false; rows.num_rows()], fit, rows, numbers: None })
    }

    /// The column of event time.
    fn times(&self, rows: &RecordBatch) -> Result<TimestampMicrosecondArray, TaskError> {
        let column = self.time.ok_or_else(|| bug(format!("the {} side has no time", self.name)))?;
        let times = rows.column(column).as_primitive_opt::<TimestampMicrosecondType>();
        times.cloned().ok_or_else(|| bug(format!("the time of the {} side is no timestamp", self.name)))
    }

    /// What waits, as rows.
    pub(super) fn save(&self, waiting: &Waiting) -> Result<SavedTable, TaskError> {
        let rows = waiting.rows()?;
        let groups =
            if self.keys.is_empty() { vec![0; rows.num_rows()] } else { key_groups(&self.key(&rows)).map_err(bug)? };
        let live: Vec<u32> = waiting.live().collect();
        let rows = vec![self.saved(waiting, &live, &rows, groups)?];
        Ok(SavedTable { name: self.name.to_owned(), identity: IDENTITY, rows })
    }

    /// What came of the rows that wait, since that was last asked.
    pub(super) fn changes(&self, waiting: &mut Waiting) -> Result<TableChange, TaskError> {
        let (touched, mut gone) = waiting.changes()?;
        let gone = gone.take(NUMBER)?;
        let rows = pick(waiting, &self.schema, &touched)?;
        let rows = vec![self.saved(waiting, &touched, &rows, waiting.groups(&touched)?)?];
        Ok(TableChange { name: self.name.to_owned(), identity: IDENTITY, gone, rows })
    }

    /// Rows that wait, with what is known of them.
    fn saved(
        &self,
        waiting: &Waiting,
        slots: &[u32],
        rows: &RecordBatch,
        groups: Vec<u8>,
    ) -> Result<RecordBatch, TaskError> {
        let truth = |of: &dyn Fn(u32) -> bool| -> ArrayRef {
            Arc::new(slots.iter().map(|slot| Some(of(*slot))).collect::<BooleanArray>())
        };
        let times = TimestampMicrosecondArray::from_iter_values(slots.iter().map(|slot| waiting.time(*slot)));
        let numbers = Int64Array::from_iter_values(slots.iter().map(|slot| waiting.number_of(*slot)));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt8Array::from(groups)),
            Arc::new(numbers),
            Arc::new(times.with_timezone("UTC")),
            truth(&|slot| waiting.is_matched(slot)),
            truth(&|slot| waiting.fits(slot)),
        ];
        columns.extend(rows.columns().iter().cloned());
        let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut fields = vec![
            Arc::new(Field::new("_group", DataType::UInt8, true)),
            Arc::new(Field::new(NUMBER, DataType::Int64, false)),
            Arc::new(Field::new("_time", moment, false)),
            Arc::new(Field::new("_matched", DataType::Boolean, false)),
            Arc::new(Field::new("_fits", DataType::Boolean, false)),
        ];
        let own = fields.len();
        fields.extend(self.schema.fields().iter().cloned());
        debug_assert_eq!(own, OWN);
        RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bug)
    }

    /// Takes back what was saved; `due` says until when a row of a time is kept.
    pub(super) fn load(
        &self,
        saved: &[SavedTable],
        waiting: &mut Waiting,
        due: &dyn Fn(i64) -> i64,
    ) -> Result<(), TaskError> {
        let wrong = || bug(format!("the saved {} side has other columns", self.name));
        for rows in saved.iter().filter(|table| table.name == self.name).flat_map(|table| &table.rows) {
            if rows.num_columns() != OWN + self.schema.fields().len() {
                return Err(wrong());
            }
            let numbers = rows.column(1).as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            let times = rows.column(2).as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(wrong)?;
            let truth = |i: usize| {
                let column = rows.column(i).as_boolean_opt().ok_or_else(wrong)?;
                Ok::<_, TaskError>(column.iter().map(|value| value == Some(true)).collect::<Vec<_>>())
            };
            let own = RecordBatch::try_new(self.schema.clone(), rows.columns()[OWN..].to_vec()).map_err(bug)?;
            waiting.keep(Arrivals {
                rows: own,
                times: times.values().to_vec(),
                due: times.values().iter().map(|time| due(*time)).collect(),
                matched: truth(3)?,
                fit: truth(4)?,
                numbers: Some(numbers.values().to_vec()),
            })?;
        }
        Ok(())
    }
}

/// Where a side's own columns start in a saved table.
const OWN: usize = 5;
/// Group and number.
const IDENTITY: usize = 2;
const NUMBER: &str = "_number";
