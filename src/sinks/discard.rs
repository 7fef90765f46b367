//! `discard`: takes rows and forgets them, on purpose.

use arrow::array::RecordBatch;

use crate::plan::operator::{BatchTime, TaskError};
use crate::plan::seams::{Artifact, Delivered, Sink};
use crate::plan::{Doc, SinkEntry};
use crate::sinks::{shared, takes_anything};

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new("discard", "forgets the rows, which are computed and counted all the same", "discard")
            .example("from orders |> into discard")
            .alias("noop"),
        args: Vec::new(),
        options: Vec::new(),
        takes_changes: takes_anything,
        format: None,
        guarantee: |_| "nothing is kept".into(),
        target: shared,
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(|_| Ok(Box::new(Discard))),
    }
}

struct Discard;

impl Sink for Discard {
    fn stage(&mut self, _: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        Ok(Artifact { bytes: Vec::new(), rows: rows.iter().map(RecordBatch::num_rows).sum() })
    }

    fn deliver(&mut self, _: &BatchTime, _: &Artifact) -> Result<Delivered, TaskError> {
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}
