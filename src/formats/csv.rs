//! `csv` and `tsv`: values with a character between.

use crate::formats::{accepts_flat, no_columns};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec};

/// The entry of `csv`.
pub fn entry() -> FormatEntry {
    let mut options = vec![
        OptionSpec::with_default("delimiter", OptionKind::Text, "\",\"", "the character between two values"),
        OptionSpec::with_default(
            "quote",
            OptionKind::Text,
            "\"\\\"\"",
            "the character around values that hold a delimiter",
        ),
        OptionSpec::optional(
            "escape",
            OptionKind::Text,
            "the character before a quote within quotes, where that is not the quote itself",
        ),
        OptionSpec::optional("comment", OptionKind::Text, "lines that start with this character are left out"),
        OptionSpec::with_default("multiline", OptionKind::Bool, "false", "whether a quoted value may hold line ends"),
    ];
    options.extend(shared_options());
    FormatEntry {
        doc: Doc::new("csv", "lines of values with commas between, under a line of names", "csv")
            .details(
                "With a header, columns are found by name and may stand in any order; without one they stand in the \
                 schema's order. What `null_text` says is null; in a `string` that is not nullable, nothing is the empty text.",
            )
            .example("source users = files(\"data/*.csv\") { format: csv, schema: { user_id: string, country: string? } }"),
        args: Vec::new(),
        options,
        columns: no_columns,
        accepts: accepts_flat,
        directions: Directions::Both,
        open: |_, _| Err(NotRunnable::not_yet("format", "csv")),
    }
}

/// The entry of `tsv`.
pub fn tsv_entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("tsv", "lines of values with tabs between, under a line of names", "tsv").example(
            "source users = files(\"data/*.tsv\") { format: tsv, schema: { user_id: string, country: string? } }",
        ),
        options: shared_options(),
        open: |_, _| Err(NotRunnable::not_yet("format", "tsv")),
        ..entry()
    }
}

fn shared_options() -> Vec<OptionSpec> {
    vec![
        OptionSpec::with_default("header", OptionKind::Bool, "true", "whether the first line holds the names"),
        OptionSpec::with_default("null_text", OptionKind::Text, "\"\"", "how null is written"),
    ]
}
