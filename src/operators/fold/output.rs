//! What comes out of a fold: for rows, and for records by themselves.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow::compute::concat_batches;

use crate::expressions::Compiled;
use crate::model::Schema;
use crate::operators::fold::rounds::{After, Rounds, joined, relaxed};
use crate::operators::fold::task::FoldTask;
use crate::operators::values::{batch_of, bug, take_batch, take_rows};
use crate::plan::Port;
use crate::plan::operator::{BatchTime, Evaluated, TaskError};

impl FoldTask {
    /// What comes out for the rows of a batch.
    pub(super) fn hand_on(
        &self,
        rows: &RecordBatch,
        rounds: &Rounds,
        after: &After,
        batch: &BatchTime,
        out: &mut Evaluated,
    ) -> Result<(), TaskError> {
        let order = rounds.order();
        let mut bad: Vec<(u32, String)> =
            after.failures.iter().map(|(place, why)| (order[*place as usize], why.clone())).collect();
        bad.sort_by_key(|(row, _)| *row);
        let is_bad = |row: &u32| bad.binary_search_by_key(row, |(row, _)| *row).is_ok();
        let good: Vec<u32> = (0..rows.num_rows() as u32).filter(|row| bad.is_empty() || !is_bad(row)).collect();
        let revealed = self.revealed(rows, &order, after, batch)?;
        if self.every_batch {
            out.taken += good.len();
            out.rows.extend(revealed.map(|(rows, _)| (Port::Out, rows)));
            out.rows.extend(self.set_aside(rows, &bad)?);
            return Ok(());
        }
        let places: UInt32Array = good.iter().map(|row| rounds.places[*row as usize]).collect();
        let mut columns = take_batch(rows, &UInt32Array::from(good.clone()))?.columns().to_vec();
        for field in &after.rows {
            columns.push(take_rows(field, &places)?);
        }
        let both = Schema::from_arrow(self.input.fields()).ok_or_else(|| bug("columns without a type"))?;
        let both = Schema::new(both.columns.iter().chain(&self.state.columns).cloned().collect());
        let computed = self.yields.eval(&batch_of(&relaxed(&both), columns, good.len())?, batch)?;
        let fine: UInt32Array = match &computed.failed {
            None => (0..good.len() as u32).collect(),
            Some(failed) => (0..good.len() as u32).filter(|i| !failed.value(*i as usize)).collect(),
        };
        let columns = computed.columns.iter().map(|column| take_rows(column, &fine)).collect::<Result<_, _>>()?;
        let yielded = batch_of(&self.schema, columns, fine.len())?;
        out.handed = Some(out.handed.unwrap_or(0) + fine.len());
        bad.extend(computed.failures.iter().map(|(i, why)| (good[i], why.to_owned())));
        bad.sort_by_key(|(row, _)| *row);
        let fine: Vec<u32> = fine.values().iter().map(|i| good[*i as usize]).collect();
        let yielded = match revealed {
            Some((expired, at)) => merged(&yielded, &fine, &expired, &at)?,
            None => yielded,
        };
        out.rows.push((Port::Out, yielded));
        out.rows.extend(self.set_aside(rows, &bad)?);
        Ok(())
    }

    /// What comes out for records that were over when a row came, and the rows they come out before.
    fn revealed(
        &self,
        rows: &RecordBatch,
        order: &[u32],
        after: &After,
        batch: &BatchTime,
    ) -> Result<Option<(RecordBatch, Vec<u32>)>, TaskError> {
        if self.expiry.is_none() || after.expired.is_empty() {
            return Ok(None);
        }
        let mut expired: Vec<_> = after.expired.iter().map(|e| (order[e.place as usize], &e.fields)).collect();
        expired.sort_by_key(|(row, _)| *row);
        let at: Vec<u32> = expired.iter().map(|(row, _)| *row).collect();
        let fields = joined(&expired.iter().map(|(_, fields)| (*fields).clone()).collect::<Vec<_>>())?;
        let picked = UInt32Array::from(at.clone());
        let keys = self.key.iter().map(|i| take_rows(rows.column(*i), &picked)).collect::<Result<Vec<_>, _>>()?;
        let out = self.of_records(self.expiry.as_ref(), keys, fields, at.len(), batch)?;
        Ok(Some((out, at)))
    }

    /// What comes out for records by themselves.
    pub(super) fn of_records(
        &self,
        values: Option<&Compiled>,
        keys: Vec<ArrayRef>,
        fields: Vec<ArrayRef>,
        count: usize,
        batch: &BatchTime,
    ) -> Result<RecordBatch, TaskError> {
        let values = values.ok_or_else(|| bug("nothing comes out for a record"))?;
        let both = Schema::new(self.keys.columns.iter().chain(&self.state.columns).cloned().collect());
        let columns = keys.into_iter().chain(fields).collect();
        let computed = values.eval(&batch_of(&relaxed(&both), columns, count)?, batch)?;
        match computed.failures.iter().next() {
            Some((_, why)) => Err(TaskError::Stop(format!("what `fold` gives for a record cannot be computed: {why}"))),
            None => batch_of(&self.schema, computed.columns, count),
        }
    }

    fn set_aside(&self, rows: &RecordBatch, bad: &[(u32, String)]) -> Result<Option<(Port, RecordBatch)>, TaskError> {
        if bad.is_empty() {
            return Ok(None);
        }
        let picked: UInt32Array = bad.iter().map(|(row, _)| *row).collect();
        let kept = self.kept.iter().map(|i| take_rows(rows.column(*i), &picked));
        let mut columns = kept.collect::<Result<Vec<_>, _>>()?;
        columns.push(Arc::new(StringArray::from_iter_values(bad.iter().map(|(_, why)| why))));
        Ok(Some((Port::Bad, batch_of(&self.aside, columns, bad.len())?)))
    }
}

/// Rows with others before some of them: those of `first` before the row of `rows` that has the same number.
fn merged(rows: &RecordBatch, numbers: &[u32], first: &RecordBatch, at: &[u32]) -> Result<RecordBatch, TaskError> {
    let both = concat_batches(rows.schema_ref(), [rows, first]).map_err(bug)?;
    let mut order = Vec::with_capacity(both.num_rows());
    let mut next = 0;
    for (i, number) in numbers.iter().enumerate() {
        while next < at.len() && at[next] <= *number {
            order.push((rows.num_rows() + next) as u32);
            next += 1;
        }
        order.push(i as u32);
    }
    order.extend((next..at.len()).map(|i| (rows.num_rows() + i) as u32));
    take_batch(&both, &UInt32Array::from(order))
}
