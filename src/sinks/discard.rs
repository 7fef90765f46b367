//! `discard`: takes rows and forgets them, on purpose.

use crate::plan::operator::NotRunnable;
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
        open: |_| Err(NotRunnable::not_yet("sink", "discard")),
    }
}
