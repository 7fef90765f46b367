//! Columns computed from columns: what `select`, `extend`, `drop` and `rename` come down to.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::model::{Column, Schema};
use crate::operators::carry::Carried;
use crate::operators::show;
use crate::operators::values::{Values, batch_of};
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, RowTask, TaskError};
use crate::plan::{Node, Port, TypedExpr};

/// What is known of a computed column: a bare column repeats its input.
pub(super) fn projected(name: &str, value: &TypedExpr) -> Carried {
    let from = match value.node {
        Node::Column { index, .. } => Some(index),
        _ => None,
    };
    Carried { column: Column::new(name, value.slot.clone()), from }
}

/// For `Properties::repeats`: which values only repeat a column.
pub(super) fn repeated(values: &[TypedExpr]) -> Vec<Option<(usize, usize)>> {
    let column = |value: &TypedExpr| match value.node {
        Node::Column { index, .. } => Some((0, index)),
        _ => None,
    };
    values.iter().map(column).collect()
}

/// For `Properties::reads`: the columns that values are computed of, those that are only repeated left out.
pub(super) fn computed_of(values: &[TypedExpr]) -> Vec<usize> {
    show::columns_read(values.iter().filter(|value| !matches!(value.node, Node::Column { .. })))
}

/// The expression that repeats each column of a schema.
pub(super) fn repeat(input: &Schema, at: millstream_dsl::Span) -> Vec<TypedExpr> {
    input.columns.iter().enumerate().map(|(i, column)| TypedExpr::column(i, column, at)).collect()
}

/// One value per output column.
pub(super) struct Projection {
    values: Values,
    schema: SchemaRef,
}

impl Projection {
    pub(super) fn new(values: &[TypedExpr], output: &Schema, input: &Schema) -> Result<Self, NotRunnable> {
        Ok(Projection { values: Values::new(values, input)?, schema: output.to_arrow() })
    }
}

impl RowTask for Projection {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let computed = self.values.eval(block, batch)?;
        let rows = computed.rows.num_rows();
        let out = batch_of(&self.schema, computed.columns, rows)?;
        Ok(computed.bad.evaluated(Port::Out, out, 0))
    }
}
