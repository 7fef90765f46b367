//! `avro`: container files, or messages with a schema of their own.

use crate::formats::{accepts_all, no_columns};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec};

const CODEC: &[(&str, &str)] =
    &[("none", "not packed"), ("deflate", "small"), ("snappy", "quick"), ("zstd", "small, quick")];

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("avro", "Avro container files or messages; fields are found by name", "avro").example(
            "source orders = files(\"data/*.avro\") { format: avro, schema: { id: string, amount: decimal(12, 2) } }",
        ),
        args: Vec::new(),
        options: vec![
            OptionSpec::optional(
                "avro_schema",
                OptionKind::Path,
                "the writer's schema for messages that do not carry it",
            ),
            OptionSpec::with_default("codec", OptionKind::Symbol(CODEC), "none", "how blocks are packed when written"),
        ],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "avro")),
    }
}
