//! The time of rows, and what becomes of those that come too late.

use std::sync::Arc;

use arrow::array::{Array, AsArray, DurationMicrosecondArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};

use crate::model::Schema;
use crate::operators::carry;
use crate::operators::values::{batch_of, bug, take_rows};
use crate::plan::operator::TaskError;
use crate::plan::{Edge, EventTime, Port};

/// Where the event time of rows stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeColumn {
    index: usize,
    ends_window: bool,
}

impl TimeColumn {
    /// Of an edge that has an event time.
    pub(super) fn of(edge: &Edge) -> Option<Self> {
        let EventTime { column, ends_window, .. } = edge.time.as_ref()?;
        Some(TimeColumn { index: edge.schema.position(column)?, ends_window: *ends_window })
    }

    /// Its position.
    pub(super) fn position(self) -> usize {
        self.index
    }

    /// The time of each row, in microseconds since 1970 UTC: what ends a window stands for the moment before.
    pub(super) fn of_rows(&self, rows: &RecordBatch) -> Result<Vec<i64>, TaskError> {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let column = cast(rows.column(self.index), &micros).map_err(bug)?;
        if column.null_count() > 0 {
            return Err(bug("a row has no time"));
        }
        let back = i64::from(self.ends_window);
        Ok(column.as_primitive::<TimestampMicrosecondType>().values().iter().map(|t| t.saturating_sub(back)).collect())
    }
}

/// Makes the late output of a stage with one input.
pub(super) struct LateRows {
    /// The columns that rows keep.
    kept: Vec<usize>,
    schema: SchemaRef,
}

impl LateRows {
    /// For rows of this input.
    pub(super) fn of(input: &Schema) -> Self {
        let kept = carry::keeps_but(input, &["_reason", "_late_by"]);
        LateRows { kept, schema: carry::late(&Edge::append(input.clone())).schema.to_arrow() }
    }

    /// These rows of a block, each with how late it came; none where there are none.
    pub(super) fn of_block(
        &self,
        block: &RecordBatch,
        late: &[(u32, i64)],
        reason: &str,
    ) -> Result<Option<(Port, RecordBatch)>, TaskError> {
        if late.is_empty() {
            return Ok(None);
        }
        let rows: UInt32Array = late.iter().map(|(row, _)| *row).collect();
        let kept = self.kept.iter().map(|i| take_rows(block.column(*i), &rows));
        let mut columns = kept.collect::<Result<Vec<_>, _>>()?;
        columns.push(Arc::new(StringArray::from_iter_values(late.iter().map(|_| reason))));
        columns.push(Arc::new(late.iter().map(|(_, by)| Some(*by)).collect::<DurationMicrosecondArray>()));
        Ok(Some((Port::Late, batch_of(&self.schema, columns, late.len())?)))
    }
}
