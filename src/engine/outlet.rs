//! A sink as a batch sees it: rows are staged, then delivered, and what it refuses comes back.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;

use crate::engine::clock::Clock;
use crate::engine::patience::Patience;
use crate::engine::stopping::Stopping;
use crate::plan::Settings;
use crate::plan::edge::Edge;
use crate::plan::operator::{BatchTime, TaskError};
use crate::plan::seams::{Artifact, Sink};

/// How long a sink that is new is tried while the old text waits to go on, in microseconds.
const TRIED: i64 = 5_000_000;

/// A sink at work.
pub(super) struct Outlet {
    /// None where nobody wants what it would write.
    sink: Option<Box<dyn Sink>>,
    /// What refused rows look like, where somebody reads them.
    rejected: Option<SchemaRef>,
    patience: Patience,
    /// Nothing was delivered to it yet, and what it takes the place of is still there.
    first: Option<First>,
    /// Another one has delivered the next batch in its place.
    skips: bool,
}

/// The first batch of a sink that came with an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Expected,
    Delivered,
}

impl Outlet {
    pub(super) fn new(settings: &Settings, sink: Option<Box<dyn Sink>>, rejected: Option<&Edge>) -> Self {
        Outlet {
            sink,
            rejected: rejected.map(|edge| edge.schema.to_arrow()),
            patience: Patience::of(settings),
            first: None,
            skips: false,
        }
    }

    /// Asks what the target knows, so that one which cannot be reached is found out before rows are on their way: the
    /// last batch that is visible there.
    pub(super) fn knock(&mut self) -> Result<Option<u64>, TaskError> {
        self.sink.as_mut().map_or(Ok(None), |sink| sink.cursor())
    }

    /// Lets the sink clear up what was staged and never committed.
    pub(super) fn sweep(&mut self) -> Result<(), TaskError> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.sweep())
    }

    /// It came with an edit, which is taken back where its first batch cannot be delivered.
    pub(super) fn expect_first(&mut self) {
        self.first = Some(First::Expected);
    }

    /// Whether that is still to be seen.
    pub(super) fn is_new(&self) -> bool {
        self.first.is_some()
    }

    /// The edit stays. Whether its first batch was delivered.
    pub(super) fn settle(&mut self) -> bool {
        self.first.take() == Some(First::Delivered)
    }

    /// Nobody waits long for what is new.
    fn patience(&self) -> Patience {
        if self.first.is_some() { self.patience.no_longer_than(TRIED) } else { self.patience }
    }

    /// Leaves the next batch to one that has delivered it already.
    pub(super) fn skip(&mut self) {
        self.skips = true;
    }

    /// Goes on with a sink that was opened.
    pub(super) fn put(&mut self, sink: Box<dyn Sink>) {
        self.sink = Some(sink);
    }

    /// Goes on with the sink of another one.
    pub(super) fn take_over(&mut self, old: &mut Outlet) {
        std::mem::swap(&mut self.sink, &mut old.sink);
    }

    /// Whether rows that were refused look as somebody reads them here.
    pub(super) fn rejects(&self, rows: &RecordBatch) -> bool {
        self.rejected.as_ref().is_some_and(|schema| *schema == rows.schema())
    }

    /// Whether a batch without rows is of interest to it.
    pub(super) fn wants_empty(&self) -> bool {
        self.sink.as_ref().is_some_and(|sink| sink.wants_empty())
    }

    /// Prepares a batch; none where nobody wants it.
    pub(super) fn stage(
        &mut self,
        batch: &BatchTime,
        rows: &[RecordBatch],
        retries: &mut u64,
        clock: &dyn Clock,
        stop: &Stopping,
    ) -> Result<Option<Artifact>, TaskError> {
        let patience = self.patience();
        let Some(sink) = &mut self.sink else { return Ok(None) };
        if std::mem::take(&mut self.skips) {
            return Ok(None);
        }
        patience.retrying(clock, stop, retries, || sink.stage(batch, rows)).map(Some)
    }

    /// Delivers a batch; gives what was refused, with the reason as a column.
    pub(super) fn deliver(
        &mut self,
        batch: &BatchTime,
        artifact: &Artifact,
        retries: &mut u64,
        clock: &dyn Clock,
        stop: &Stopping,
    ) -> Result<Vec<RecordBatch>, TaskError> {
        let patience = self.patience();
        let Some(sink) = &mut self.sink else { return Ok(Vec::new()) };
        let delivered = patience.retrying(clock, stop, retries, || {
            if let Some(wait) = sink.asked_to_wait() {
                stop.wait(clock, i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
            }
            sink.deliver(batch, artifact)
        })?;
        self.first = self.first.map(|_| First::Delivered);
        let reasoned = |(rows, reason): (RecordBatch, String)| match &self.rejected {
            Some(schema) => with_reason(&rows, &reason, schema),
            None => Err(TaskError::Stop(format!("{} rows were refused: {reason}", rows.num_rows()))),
        };
        delivered.rejected.into_iter().map(reasoned).collect()
    }

    /// No batch follows.
    pub(super) fn finish(&mut self, clock: &dyn Clock, stop: &Stopping) -> Result<(), TaskError> {
        let Some(sink) = &mut self.sink else { return Ok(()) };
        self.patience.retrying(clock, stop, &mut 0, || sink.finish())
    }
}

fn with_reason(rows: &RecordBatch, reason: &str, schema: &SchemaRef) -> Result<RecordBatch, TaskError> {
    let reasons: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(reason, rows.num_rows())));
    let columns = rows.columns().iter().cloned().chain([reasons]).collect();
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| TaskError::Bug(e.to_string()))
}
