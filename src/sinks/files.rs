//! `files`: a folder of files that readers never see half-written.

use crate::connect::columns;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::appends_only;

const COMPRESSION: &[(&str, &str)] =
    &[("none", "as they are"), ("gzip", "with the ending `.gz`"), ("zstd", "with the ending `.zst`")];

/// The entry.
pub fn entry() -> SinkEntry {
    let roll = OptionKind::AnyOf(vec![OptionKind::Size, OptionKind::Duration]);
    SinkEntry {
        doc: Doc::new("files", "writes files into a folder, each whole or not at all", "files(\"FOLDER\") { OPTIONS }")
            .details(
                "A batch that has rows gives one file (one for each value of `partition_by`), written under a temporary \
                 name and renamed. Names sort by batch, and writing a batch again replaces its own files.",
            )
            .example("from orders |> into files(\"out/orders\") { format: parquet }")
            .example("from orders |> into files(\"out/by-user\") { format: json, partition_by: [user_id] }"),
        args: vec![OptionSpec::required("path", OptionKind::Path, "the folder; it is made when it is not there")],
        options: vec![
            OptionSpec::optional("partition_by", columns(), "a folder `column=value` for each value of these columns"),
            OptionSpec::optional("roll", roll, "rows wait until a file is this large or this old"),
            OptionSpec::with_default("prefix", OptionKind::Text, "\"part\"", "what file names start with"),
            OptionSpec::with_default("compression", OptionKind::Symbol(COMPRESSION), "none", "whether files are compressed"),
            OptionSpec::with_default("manifest", OptionKind::Bool, "false", "whether `_manifest` lists every published file"),
            OptionSpec::with_default("latest", OptionKind::Bool, "false", "whether `_latest` names the newest file"),
        ],
        takes_changes: appends_only,
        format: Some("json"),
        guarantee: |_| "exactly once (published by batch)".into(),
        target: |settings| settings.text("path").map(|path| format!("files {path}")),
        feature: None,
        open: |_| Err(NotRunnable::not_yet("sink", "files")),
    }
}
