//! `text`: lines.

use crate::formats::{accepts_flat, required};
use crate::model::Type;
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("text", "lines of UTF-8, in one column `line: string`", "text")
            .details("Written, a row is a line: the column's value, or all values with tabs between where there are several.")
            .example("source lines = files(\"data/*.txt\") { format: text }"),
        args: Vec::new(),
        options: Vec::new(),
        columns: |_| Some(vec![required("line", Type::String)]),
        accepts: accepts_flat,
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "text")),
    }
}
