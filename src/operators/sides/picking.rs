//! Rows picked by position, wherever they lie.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;

use crate::operators::matching::NONE;
use crate::operators::values::{batch_of, take_rows};
use crate::plan::operator::TaskError;

/// Rows that can be picked by position, column by column. A null position gives a null.
pub(in crate::operators) trait Pick {
    /// These rows of a column.
    fn column(&self, index: usize, rows: &Picked) -> Result<ArrayRef, TaskError>;
}

/// Positions of rows.
pub(in crate::operators) struct Picked {
    /// Null where there is no row.
    pub positions: UInt32Array,
    /// Where they follow one another without a gap.
    pub run: Option<Range<usize>>,
}

impl Picked {
    /// [`NONE`] stands for no row.
    pub(in crate::operators) fn new(rows: &[u32]) -> Self {
        let start = rows.first().copied().unwrap_or(0);
        let is_run = rows.iter().enumerate().all(|(i, row)| *row != NONE && *row as usize == start as usize + i);
        let run = is_run.then(|| start as usize..start as usize + rows.len());
        let positions = if rows.contains(&NONE) {
            rows.iter().map(|row| (*row != NONE).then_some(*row)).collect()
        } else {
            UInt32Array::from(rows.to_vec())
        };
        Picked { positions, run }
    }
}

impl Pick for RecordBatch {
    fn column(&self, index: usize, rows: &Picked) -> Result<ArrayRef, TaskError> {
        let column = RecordBatch::column(self, index);
        match &rows.run {
            Some(run) => Ok(column.slice(run.start, run.len())),
            None => take_rows(column, &rows.positions),
        }
    }
}

/// Whole rows by their positions.
pub(in crate::operators) fn pick(from: &dyn Pick, schema: &SchemaRef, rows: &[u32]) -> Result<RecordBatch, TaskError> {
    let picked = Picked::new(rows);
    let columns = (0..schema.fields().len()).map(|i| from.column(i, &picked)).collect::<Result<_, _>>()?;
    batch_of(schema, columns, rows.len())
}
