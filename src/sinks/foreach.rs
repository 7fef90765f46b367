//! `foreach`: hands every batch to a function of the program that uses Millstream as a library.

use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::takes_anything;

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "foreach",
            "calls a function of the program that runs the pipeline as a library",
            "foreach(\"NAME\")",
        )
        .details(
            "With `millstream::library`: `own::foreach(&mut catalog, \"store\", |batch, rows| ...)`. It is called for every \
             batch that has rows; when it fails it is called again, with the same number.",
        )
        .example("from orders |> into foreach(\"store\")")
        .alias("foreachRDD")
        .alias("foreachBatch"),
        args: vec![OptionSpec::required("name", OptionKind::Text, "the name the function was registered under")],
        options: Vec::new(),
        takes_changes: takes_anything,
        format: None,
        guarantee: |_| "at least once (the batch's number is handed on)".into(),
        target: |settings| settings.text("name").map(|name| format!("foreach {name}")),
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(|_| {
            Err(NotRunnable("sink `foreach` calls a function of a program that uses Millstream as a library".into()))
        }),
    }
}
