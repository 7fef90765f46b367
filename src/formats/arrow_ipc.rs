//! `arrow`: Arrow's own file and stream format.

use crate::formats::{accepts_all, no_columns};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec};

const LAYOUT: &[(&str, &str)] = &[("file", "with an index at the end"), ("stream", "batch after batch")];

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("arrow", "Arrow IPC files or streams; columns are found by name", "arrow")
            .example(
                "source orders = files(\"data/*.arrow\") { format: arrow, schema: { id: string, amount: float64 } }",
            )
            .alias("ipc")
            .alias("feather"),
        args: Vec::new(),
        options: vec![OptionSpec::with_default(
            "layout",
            OptionKind::Symbol(LAYOUT),
            "file",
            "which of the two layouts is written; both are read",
        )],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "arrow")),
    }
}
