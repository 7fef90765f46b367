//! Conditions at work: of one side's rows, or of pairs. Only the columns they read are brought together.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, NullArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};

use crate::expressions::{Compiled, Evaluation, Failures};
use crate::model::{Column, Schema, Slot, Type};
use crate::operators::show;
use crate::operators::sides::{Pick, Picked};
use crate::operators::values::bug;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::{Node, TypedExpr};

/// A condition over the left columns and the right ones behind them.
pub(super) struct Test {
    compiled: Compiled,
    /// The columns it reads.
    reads: Vec<usize>,
    /// Where the given columns start.
    offset: usize,
    /// How many columns both sides have.
    width: usize,
}

/// The columns conditions speak of: left ones, then right ones. Their names say nothing.
pub(super) fn joint(left: &Schema, right: &Schema) -> Schema {
    let all = left.columns.iter().chain(&right.columns).enumerate();
    Schema::new(all.map(|(i, c)| Column::new(format!("c{i}"), c.slot.clone())).collect())
}

/// Whether a condition is true of a row: neither false nor null.
pub(super) fn is_true(truth: &BooleanArray, row: usize) -> bool {
    truth.is_valid(row) && truth.value(row)
}

impl Test {
    /// That all parts are true; none where there are none.
    pub(super) fn new(parts: Vec<TypedExpr>, joint: &Schema, offset: usize) -> Result<Option<Self>, NotRunnable> {
        let reads = show::columns_read(&parts);
        let Some(condition) = together(parts) else { return Ok(None) };
        let compiled = Compiled::new(&[condition], joint)?;
        Ok(Some(Test { compiled, reads, offset, width: joint.columns.len() }))
    }

    /// Whether it is true of each row, and the rows for which it failed. Columns that it does not read may be missing.
    pub(super) fn eval(
        &self,
        columns: Vec<Option<ArrayRef>>,
        rows: usize,
        batch: &BatchTime,
    ) -> Result<(BooleanArray, Failures), TaskError> {
        let mut all: Vec<ArrayRef> = Vec::with_capacity(self.width);
        let missing = || Arc::new(NullArray::new(rows)) as ArrayRef;
        all.extend((0..self.offset).map(|_| missing()));
        all.extend(columns.into_iter().map(|column| column.unwrap_or_else(missing)));
        all.extend((all.len()..self.width).map(|_| missing()));
        let field = |(i, c): (usize, &ArrayRef)| Field::new(format!("c{i}"), c.data_type().clone(), true);
        let fields: Vec<_> = all.iter().enumerate().map(field).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let block = RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), all, &options);
        let Evaluation { columns, failures, .. } = self.compiled.eval(&block.map_err(bug)?, batch)?;
        let truth = columns.first().ok_or_else(|| bug("a condition has no value"))?;
        let truth = match truth.data_type() {
            DataType::Boolean => truth.as_boolean().clone(),
            _ => BooleanArray::new_null(rows),
        };
        Ok((truth, failures))
    }
}

/// One condition of several; none of none.
fn together(mut parts: Vec<TypedExpr>) -> Option<TypedExpr> {
    let first = parts.first()?.span;
    match parts.len() {
        1 => parts.pop(),
        _ => Some(TypedExpr::new(Node::And(parts), Slot::nullable(Type::Bool), first)),
    }
}

/// What must be true of a pair.
pub(super) struct PairTest {
    test: Test,
    left_width: usize,
}

impl PairTest {
    /// That all parts are true; none where there are none.
    pub(super) fn new(parts: Vec<TypedExpr>, joint: &Schema, left_width: usize) -> Result<Option<Self>, NotRunnable> {
        Ok(Test::new(parts, joint, 0)?.map(|test| PairTest { test, left_width }))
    }

    /// Whether it is true of each pair, and the pairs for which it failed.
    pub(super) fn eval(
        &self,
        sides: (&dyn Pick, &dyn Pick),
        (left, right): (&[u32], &[u32]),
        batch: &BatchTime,
    ) -> Result<(BooleanArray, Failures), TaskError> {
        let mut columns = vec![None; self.test.width];
        let (picked_left, picked_right) = (Picked::new(left), Picked::new(right));
        for i in &self.test.reads {
            columns[*i] = Some(match i.checked_sub(self.left_width) {
                None => sides.0.column(*i, &picked_left)?,
                Some(i) => sides.1.column(i, &picked_right)?,
            });
        }
        self.test.eval(columns, left.len(), batch)
    }
}
