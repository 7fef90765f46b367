//! What becomes of rows of a side when they come to a join that waits: late ones and bad ones leave, the others are
//! kept with their time. And how what is kept is saved: as rows, whose columns are `_group`, `_matched` (whether the
//! row has had a partner) and then the side's own. Key and time are among those.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt8Array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, TimestampMicrosecondType};

use crate::model::key_groups::key_groups;
use crate::operators::join::recipe::Side;
use crate::operators::join::truth::is_true;
use crate::operators::join::waiting::{Arrivals, NOW, Waiting};
use crate::operators::matching::NONE;
use crate::operators::values::bug;
use crate::plan::Port;
use crate::plan::operator::{Evaluated, SavedTable, StepTime, TaskError};

/// Where a side stands in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    /// 1 where its time column holds ends of windows: a row is a microsecond older than it says.
    pub older: i64,
    /// What is added to a row's time column to know when it is given up: once the watermark is above.
    pub kept: i64,
}

impl Side {
    /// Takes in rows of a batch: late ones and bad ones leave through `out`, those that can have no partner stay only
    /// where they come out `alone`.
    pub(super) fn arrive(
        &self,
        blocks: &[RecordBatch],
        stand: Stand,
        time: &StepTime,
        alone: bool,
        out: &mut Evaluated,
    ) -> Result<Arrivals, TaskError> {
        let all = concat_batches(&self.schema, blocks).map_err(bug)?;
        let in_time = self.set_late_aside(all, stand, time, out)?;
        let sifted = self.sift(in_time, &time.batch)?;
        out.taken += sifted.rows.num_rows();
        let mut numbers = self.can_match(&sifted.rows)?;
        sifted.unnumber(&mut numbers);
        out.rows.extend(sifted.bad);
        let fit: BooleanArray = numbers.iter().map(|n| Some(*n != NONE)).collect();
        if alone {
            return self.stands(sifted.rows, fit, None, stand);
        }
        let rows = filter_record_batch(&sifted.rows, &fit).map_err(bug)?;
        let fit = BooleanArray::from(vec![true; rows.num_rows()]);
        self.stands(rows, fit, None, stand)
    }

    /// Rows that come behind the watermark: partners of theirs may be gone.
    fn set_late_aside(
        &self,
        rows: RecordBatch,
        stand: Stand,
        time: &StepTime,
        out: &mut Evaluated,
    ) -> Result<RecordBatch, TaskError> {
        let Some(mark) = time.mark_before else { return Ok(rows) };
        let times = self.times(&rows)?;
        let late = |row| times.is_valid(row) && times.value(row).saturating_sub(stand.older) < mark;
        let late: BooleanArray = (0..rows.num_rows()).map(|row| Some(late(row))).collect();
        if late.true_count() == 0 {
            return Ok(rows);
        }
        let gone = filter_record_batch(&rows, &late).map_err(bug)?;
        let reasons = vec!["came behind the watermark, when partners had been given up".to_owned(); gone.num_rows()];
        out.rows.push(self.aside(Port::Late, &gone, &reasons)?);
        filter_record_batch(&rows, &arrow::compute::not(&late).map_err(bug)?).map_err(bug)
    }

    /// [`NONE`] for rows that can have no partner because a part of their key, or their time, is null.
    fn can_match(&self, rows: &RecordBatch) -> Result<Vec<u32>, TaskError> {
        let mut fit = vec![0; rows.num_rows()];
        let columns = self.key(rows).into_iter().chain(self.time.map(|i| rows.column(i).clone()));
        for nulls in columns.filter_map(|column| column.logical_nulls()) {
            fit.iter_mut().enumerate().filter(|(row, _)| nulls.is_null(*row)).for_each(|(_, n)| *n = NONE);
        }
        Ok(fit)
    }

    /// The column of event time.
    fn times(&self, rows: &RecordBatch) -> Result<arrow::array::TimestampMicrosecondArray, TaskError> {
        let column = self.time.ok_or_else(|| bug(format!("the {} side has no time", self.name)))?;
        let times = rows.column(column).as_primitive_opt::<TimestampMicrosecondType>();
        times.cloned().ok_or_else(|| bug(format!("the time of the {} side is no timestamp", self.name)))
    }

    fn stands(
        &self,
        rows: RecordBatch,
        fit: BooleanArray,
        matched: Option<&BooleanArray>,
        stand: Stand,
    ) -> Result<Arrivals, TaskError> {
        let times = self.times(&rows)?;
        let due = |row: usize| if fit.value(row) { times.value(row).saturating_add(stand.kept) } else { NOW };
        Ok(Arrivals {
            due: (0..rows.num_rows()).map(due).collect(),
            times: times.values().to_vec(),
            matched: (0..rows.num_rows()).map(|row| matched.is_some_and(|m| is_true(m, row))).collect(),
            fit: fit.iter().map(|fit| fit == Some(true)).collect(),
            rows,
        })
    }

    /// What waits, as rows.
    pub(super) fn save(&self, waiting: &Waiting) -> Result<SavedTable, TaskError> {
        let rows = waiting.rows()?;
        let count = rows.num_rows();
        let groups = if self.keys.is_empty() { vec![0; count] } else { key_groups(&self.key(&rows)).map_err(bug)? };
        let matched: BooleanArray = waiting.live().map(|slot| Some(waiting.is_matched(slot))).collect();
        let mut fields = vec![
            Arc::new(Field::new("_group", DataType::UInt8, true)),
            Arc::new(Field::new("_matched", DataType::Boolean, false)),
        ];
        fields.extend(self.schema.fields().iter().cloned());
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt8Array::from(groups)), Arc::new(matched)];
        columns.extend(rows.columns().iter().cloned());
        let rows = RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(bug)?;
        Ok(SavedTable { name: self.name.to_owned(), rows: vec![rows] })
    }

    /// Takes back what was saved.
    pub(super) fn load(&self, saved: &[SavedTable], stand: Stand, waiting: &mut Waiting) -> Result<(), TaskError> {
        for rows in saved.iter().filter(|table| table.name == self.name).flat_map(|table| &table.rows) {
            let (Some(matched), true) = (rows.columns().get(1), rows.num_columns() == self.schema.fields().len() + 2)
            else {
                return Err(bug(format!("the saved {} side has other columns", self.name)));
            };
            let matched = matched.as_boolean_opt().ok_or_else(|| bug("`_matched` is no truth value"))?;
            let own = RecordBatch::try_new(self.schema.clone(), rows.columns()[2..].to_vec()).map_err(bug)?;
            let fit = BooleanArray::from(vec![true; own.num_rows()]);
            waiting.keep(self.stands(own, fit, Some(matched), stand)?)?;
        }
        Ok(())
    }
}
