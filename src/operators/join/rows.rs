//! Puts the rows of two sides side by side, given which rows: a position of either side, or none where it is missing.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_not_null};
use arrow::datatypes::SchemaRef;

use crate::operators::join::output::Part;
use crate::operators::sides::{Pick, Picked};
use crate::operators::values::{batch_of, bug};
use crate::plan::operator::TaskError;

/// What comes out of a join, column by column.
#[derive(Debug, Clone)]
pub(super) struct Beside {
    /// Where each column comes from, behind those of the window.
    pub parts: Vec<Part>,
    /// The rows that come out.
    pub schema: SchemaRef,
}

impl Beside {
    /// Rows by their positions left and right; `window` where the output starts with one.
    pub(super) fn rows(
        &self,
        sides: (&dyn Pick, &dyn Pick),
        left: &[u32],
        right: &[u32],
        window: Option<(i64, i64)>,
    ) -> Result<RecordBatch, TaskError> {
        let count = left.len();
        let (left, right) = (Picked::new(left), Picked::new(right));
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        if let Some((start, end)) = window {
            for (bound, field) in [start, end].into_iter().zip(self.schema.fields()) {
                let moments = TimestampMicrosecondArray::from_value(bound, count);
                columns.push(Arc::new(moments.with_data_type(field.data_type().clone())) as ArrayRef);
            }
        }
        for part in &self.parts {
            columns.push(match part {
                Part::Left(i) => sides.0.column(*i, &left)?,
                Part::Right(i) => sides.1.column(*i, &right)?,
                Part::Key(i, _) if left.positions.null_count() == 0 => sides.0.column(*i, &left)?,
                Part::Key(i, j) => either(&left, &sides.0.column(*i, &left)?, &sides.1.column(*j, &right)?)?,
            });
        }
        batch_of(&self.schema, columns, count)
    }
}

/// The left value, or the right one where there is no left row.
fn either(left: &Picked, a: &ArrayRef, b: &ArrayRef) -> Result<ArrayRef, TaskError> {
    let there = is_not_null(&left.positions).map_err(bug)?;
    let b = if a.data_type() == b.data_type() { b.clone() } else { cast(b, a.data_type()).map_err(bug)? };
    zip(&there, a, &b).map_err(bug)
}
