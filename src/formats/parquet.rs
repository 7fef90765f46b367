//! `parquet`: columns, packed; whole files only.

use crate::connect::COUNT;
use crate::formats::{accepts_all, no_columns};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec};

const CODEC: &[(&str, &str)] = &[("snappy", "quick"), ("zstd", "small"), ("none", "not packed")];

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("parquet", "Parquet files; columns are found by name", "parquet")
            .example("source orders = files(\"data/*.parquet\") { format: parquet, schema: { id: string, amount: decimal(12, 2) } }"),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default("codec", OptionKind::Symbol(CODEC), "snappy", "how pages are packed when written"),
            OptionSpec::with_default("row_group", COUNT, "1000000", "at most so many rows a group when written"),
        ],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "parquet")),
    }
}
