//! `files`: a folder of files that readers never see half-written.

mod index;
mod partition;
mod shelf;
mod spool;

use crate::connect::columns;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::appends_only;

const COMPRESSION: &[(&str, &str)] =
    &[("none", "as they are"), ("gzip", "with the ending `.gz`"), ("zstd", "with the ending `.zst`")];

/// The entry.
pub fn entry() -> SinkEntry {
    let roll = OptionKind::AnyOf(vec![OptionKind::Size, OptionKind::Duration]);
    SinkEntry {
        doc: Doc::new("files", "writes files into a folder, each whole or not at all", "files(\"FOLDER\") { OPTIONS }")
            .details(
                "A batch that has rows gives one file (one for each value of `partition_by`): written under a hidden name, \
                 brought to the disk, and only then given its name, which readers see whole. Names sort by batch: \
                 `PREFIX-MILLISECONDS-BATCH.ENDING`. Delivering a batch again changes nothing; where a file of that name holds \
                 something else, the pipeline stops.\n\nWith `roll` rows wait in the hidden folder `.spool` until they are so \
                 large (before they are packed) or so old, and at the end of the run what waits is published. After a crash \
                 they go on waiting in the next run. With a duration a file is also full at 256 MB.\n\n`partition_by` names \
                 columns that become folders, `country=de/`, and are not written into the files; `hive: true` of the source \
                 `files` reads them back. `_manifest` holds a JSON object a line for every published file: `file`, `rows`, \
                 `bytes`, `batch`, `time`. `_latest` holds the path of the newest file.",
            )
            .example("from orders |> into files(\"out/orders\") { format: parquet }")
            .example("from orders |> into files(\"out/by-user\") { format: json, partition_by: [user_id] }")
            .example("from orders |> into files(\"out/rolled\") { format: csv, roll: 10min, compression: gzip, manifest: true }"),
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
        guarantee,
        target: |settings| settings.text("path").map(|path| format!("files {path}")),
        feature: None,
        conflicts: shelf::conflicts,
        open: SinkEntry::by(shelf::open),
    }
}

fn guarantee(settings: &Settings) -> String {
    let when = if settings.get("roll").is_some() { "published when full or old" } else { "published by batch" };
    format!("exactly once ({when})")
}
