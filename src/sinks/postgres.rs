//! `postgres`: writes into a table, with the batch's number in the same transaction.

use crate::connect::{COUNT, columns, postgres};
use crate::plan::catalog::Changes;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::columns_of;

const WRITE: &[(&str, &str)] = &[
    ("append", "rows are inserted"),
    ("upsert", "a row with a known `key` replaces the row that is there"),
    ("changes", "rows that come replace by `key`, rows that go are deleted"),
    ("replace", "the table holds the rows of the newest batch"),
];
const CREATE: &[(&str, &str)] =
    &[("never", "it must be there"), ("if_missing", "it is made, with the columns of the rows")];
const METHOD: &[(&str, &str)] = &[
    ("auto", "by the size of the batch"),
    ("copy", "COPY into a staging table and one merge"),
    ("insert", "one INSERT of many rows"),
];

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "postgres",
            "writes into a table of a PostgreSQL database",
            "postgres(\"TABLE\") { url: SECRET, write: HOW, OPTIONS }",
        )
        .details(
            "The rows and the batch's number are written in one transaction: a batch that comes again changes nothing.",
        )
        .example("from orders |> into postgres(\"orders\") { url: secret(\"pg/url\"), write: upsert, key: [id] }")
        .alias("jdbc"),
        args: vec![OptionSpec::required(
            "table",
            OptionKind::Text,
            "the table, with its schema where that is not `public`",
        )],
        options: options(),
        takes_changes,
        format: None,
        guarantee: |settings| match settings.text("write") {
            Some("upsert") => "exactly once (upsert + batch id)".into(),
            _ => "exactly once (transaction with batch id)".into(),
        },
        target: |settings| match settings.text("write") {
            Some("replace") => settings.text("table").map(|table| format!("postgres {table}")),
            _ => None,
        },
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(|_| Err(NotRunnable::not_yet("sink", "postgres"))),
    }
}

fn options() -> Vec<OptionSpec> {
    let mut options = vec![
        OptionSpec::with_default("write", OptionKind::Symbol(WRITE), "append", "what becomes of rows that are there"),
        OptionSpec::optional("key", columns(), "the columns that identify a row"),
        OptionSpec::with_default(
            "create",
            OptionKind::Symbol(CREATE),
            "never",
            "what happens when the table is not there",
        ),
        OptionSpec::with_default("method", OptionKind::Symbol(METHOD), "auto", "how rows get into the table"),
        OptionSpec::with_default("pool", COUNT, "2", "at most so many connections"),
    ];
    options.extend(postgres::connection());
    options
}

fn takes_changes(settings: &Settings) -> Changes {
    match settings.text("write") {
        Some("upsert" | "changes") => Changes::ByKey(columns_of(settings, "key")),
        _ => Changes::AppendOnly,
    }
}
