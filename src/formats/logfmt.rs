//! `logfmt`: `key=value` pairs, a record a line.

use crate::formats::{accepts_flat, no_columns};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("logfmt", "lines of `key=value` pairs whose keys are the columns", "logfmt")
            .example("source logs = files(\"logs/*.log\") { format: logfmt, schema: { level: string, msg: string?, took: float64? } }"),
        args: Vec::new(),
        options: Vec::new(),
        columns: no_columns,
        accepts: accepts_flat,
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "logfmt")),
    }
}
