//! Sinks of a program's own: a closure that gets every batch (Spark's foreachBatch).

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::plan::catalog::{Changes, find};
use crate::plan::operator::{BatchTime, TaskError};
use crate::plan::seams::{Artifact, Delivered, Sink};
use crate::plan::{Catalog, Doc, SinkEntry};
use crate::sinks::packed::{packed, unpacked};

/// What is done with the rows of a batch. `Err` says in a sentence why it could not be done.
type Body = Arc<dyn Fn(&BatchTime, &[RecordBatch]) -> Result<(), String> + Send + Sync>;

/// A sink under a word of its own: `into NAME`. It is called once for every batch that has rows; what fails is
/// tried again, and the number of the batch tells a second try from a new batch.
pub fn sink(
    name: &str,
    summary: &str,
    body: impl Fn(&BatchTime, &[RecordBatch]) -> Result<(), String> + Send + Sync + 'static,
) -> SinkEntry {
    let body: Body = Arc::new(body);
    SinkEntry {
        doc: Doc::new(name, summary, name),
        args: Vec::new(),
        options: Vec::new(),
        takes_changes: |_| Changes::Any,
        format: None,
        guarantee: |_| "at least once (the batch's number is handed on)".into(),
        target: |_| None,
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(move |_| Ok(Box::new(Own { body: Arc::clone(&body) }))),
    }
}

/// What `into foreach("NAME")` calls, like [`sink`], in pipelines that have the word from elsewhere. Can be said for
/// several names.
pub fn foreach(
    catalog: &mut Catalog,
    name: &str,
    body: impl Fn(&BatchTime, &[RecordBatch]) -> Result<(), String> + Send + Sync + 'static,
) {
    let before = find(&catalog.sinks, "foreach").map(Arc::clone);
    let (name, body): (_, Body) = (name.to_owned(), Arc::new(body));
    let open = SinkEntry::by(move |endpoint| match (&before, endpoint.settings.text("name")) {
        (Some(before), wanted) if wanted != Some(&name) => (before.open)(endpoint),
        _ => Ok(Box::new(Own { body: Arc::clone(&body) })),
    });
    catalog.add(SinkEntry { open, ..crate::sinks::foreach::entry() });
}

struct Own {
    body: Body,
}

impl Sink for Own {
    fn stage(&mut self, _: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        Ok(Artifact { bytes: packed(rows).map_err(bug)?, rows: count })
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let rows = unpacked(&artifact.bytes).map_err(bug)?;
        (self.body)(batch, &rows).map_err(TaskError::Retry)?;
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}

fn bug(error: ArrowError) -> TaskError {
    TaskError::Bug(error.to_string())
}
