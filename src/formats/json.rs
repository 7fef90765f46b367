//! `json`: an object a line, or an array of objects.

use crate::formats::{accepts_all, no_columns};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec};

const LAYOUT: &[(&str, &str)] = &[("lines", "an object a line"), ("array", "one array of objects")];

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("json", "JSON objects whose fields are the columns", "json")
            .details(
                "A field that is missing or null makes a bad row where the column is not nullable; fields without a column \
                 are ignored. Times are read from RFC 3339 texts, decimals from numbers or texts without rounding, bytes \
                 from hexadecimal texts. A column of type `json` takes any value as it stands.",
            )
            .example("source orders = files(\"data/*.json\") { format: json, schema: { id: string, amount: decimal(12, 2) } }")
            .alias("ndjson")
            .alias("jsonl"),
        args: Vec::new(),
        options: vec![OptionSpec::with_default("layout", OptionKind::Symbol(LAYOUT), "lines", "where an object ends and the next begins")],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "json")),
    }
}
