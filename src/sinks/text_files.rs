//! `text_files`: a folder for every batch, as Spark's `saveAsTextFiles` does, but without empty files.

use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::appends_only;

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "text_files",
            "writes every batch into a folder of its own, `PREFIX-MILLISECONDS[.SUFFIX]`",
            "text_files(\"PREFIX\", \"SUFFIX\")",
        )
        .details("For programs that expect Spark's layout. A batch without rows gives no folder.")
        .example("from orders |> into text_files(\"out/orders\", \"txt\")")
        .alias("saveAsTextFiles"),
        args: vec![
            OptionSpec::required("prefix", OptionKind::Path, "the path that every folder's name starts with"),
            OptionSpec::optional("suffix", OptionKind::Text, "what every folder's name ends with"),
        ],
        options: Vec::new(),
        takes_changes: appends_only,
        format: Some("text"),
        guarantee: |_| "exactly once (published by batch)".into(),
        target: |settings| settings.text("prefix").map(|prefix| format!("text_files {prefix}")),
        feature: None,
        open: |_| Err(NotRunnable::not_yet("sink", "text_files")),
    }
}
