//! A sink as a batch sees it: rows are staged, then delivered, and what it refuses comes back.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;

use crate::engine::clock::Clock;
use crate::engine::intake::retrying;
use crate::plan::edge::Edge;
use crate::plan::operator::{BatchTime, TaskError};
use crate::plan::seams::Sink;

/// A sink at work.
pub(super) struct Outlet {
    /// None where nobody wants what it would write.
    sink: Option<Box<dyn Sink>>,
    /// What refused rows look like, where somebody reads them.
    rejected: Option<SchemaRef>,
}

impl Outlet {
    pub(super) fn new(sink: Option<Box<dyn Sink>>, rejected: Option<&Edge>) -> Self {
        Outlet { sink, rejected: rejected.map(|edge| edge.schema.to_arrow()) }
    }

    /// Goes on with the sink of another one.
    pub(super) fn take_over(&mut self, old: &mut Outlet) {
        std::mem::swap(&mut self.sink, &mut old.sink);
    }

    /// Whether rows that were refused look as somebody reads them here.
    pub(super) fn rejects(&self, rows: &RecordBatch) -> bool {
        self.rejected.as_ref().is_some_and(|schema| *schema == rows.schema())
    }

    /// Delivers a batch; gives back what was refused.
    pub(super) fn deliver(
        &mut self,
        batch: &BatchTime,
        rows: &[RecordBatch],
        clock: &dyn Clock,
        stop: &AtomicBool,
    ) -> Result<Vec<RecordBatch>, TaskError> {
        let Some(sink) = &mut self.sink else { return Ok(Vec::new()) };
        let artifact = retrying(clock, stop, || sink.stage(batch, rows))?;
        let delivered = retrying(clock, stop, || sink.deliver(batch, &artifact))?;
        let reasoned = |(rows, reason): (RecordBatch, String)| match &self.rejected {
            Some(schema) => with_reason(&rows, &reason, schema),
            None => Err(TaskError::Stop(format!("{} rows were refused: {reason}", rows.num_rows()))),
        };
        delivered.rejected.into_iter().map(reasoned).collect()
    }
}

fn with_reason(rows: &RecordBatch, reason: &str, schema: &SchemaRef) -> Result<RecordBatch, TaskError> {
    let reasons: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(reason, rows.num_rows())));
    let columns = rows.columns().iter().cloned().chain([reasons]).collect();
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| TaskError::Bug(e.to_string()))
}
