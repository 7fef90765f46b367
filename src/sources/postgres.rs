//! `postgres`: a table of a PostgreSQL database: whole, by an increasing column, or its changes.

use crate::connect::{columns, postgres, texts};
use crate::plan::catalog::RowsFrom;
use crate::plan::edge::Mode;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SourceEntry};
use crate::sources::nothing_extra;

const READ: &[(&str, &str)] = &[
    ("rows", "rows whose `column` is greater than the greatest seen"),
    ("changes", "inserts, updates and deletes, by logical replication"),
    ("all", "all rows, once; what a table does"),
];

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::with_default("read", OptionKind::Symbol(READ), "all", "which rows it reads"),
        OptionSpec::optional("column", OptionKind::Column, "the increasing column for `read: rows`"),
        OptionSpec::optional("key", columns(), "the columns that identify a row for `read: changes`"),
        OptionSpec::optional(
            "slot",
            OptionKind::Text,
            "the replication slot for `read: changes`; named after the pipeline otherwise",
        ),
        OptionSpec::optional("publication", texts(), "the publications for `read: changes`"),
        OptionSpec::with_default(
            "max_slot_lag",
            OptionKind::Size,
            "10gb",
            "how far the slot may fall behind before the pipeline stops",
        ),
        OptionSpec::optional("filter", OptionKind::Text, "an SQL condition that the server tests"),
    ];
    options.extend(postgres::connection());
    SourceEntry {
        doc: Doc::new("postgres", "reads a table of a PostgreSQL database, or its changes", "postgres(\"TABLE\") { url: SECRET, schema: TYPE, OPTIONS }")
            .details("`read: changes` needs `wal_level = logical` on the server and gives rows that take back earlier ones.")
            .example("source users = postgres(\"users\") { url: secret(\"pg/url\"), read: changes, key: user_id, schema: { user_id: string, country: string } }")
            .alias("jdbc"),
        args: vec![OptionSpec::required("table", OptionKind::Text, "the table, with its schema where that is not `public`")],
        options,
        rows: RowsFrom::Schema { default: None, extra: nothing_extra },
        rewinds: true,
        table: true,
        mode,
        feature: None,
        conflicts: |_| Vec::new(),
        sample: None,
        open: SourceEntry::by(|_| Err(NotRunnable::not_yet("source", "postgres"))),
    }
}

fn mode(settings: &Settings) -> Mode {
    match settings.text("read") {
        Some("changes") => Mode::Changes { key: settings.texts("key").into_iter().map(str::to_owned).collect() },
        _ => Mode::Append,
    }
}
