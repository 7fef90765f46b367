//! `exec`: hands every batch to a program in any language.

use crate::connect::texts;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::{shared, takes_anything};

const PROCESS: &[(&str, &str)] = &[
    ("per_batch", "started for every batch that has rows; its end with code 0 is success"),
    ("kept", "started once; it answers every batch with a line `ok`"),
];

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new("exec", "gives every batch to a program on its standard input", "exec(\"PROGRAM\") { OPTIONS }")
            .details(
                "Spark's `foreachRDD`, in any language. The variables `MILLSTREAM_BATCH` and `MILLSTREAM_TIME` say which \
                 batch it is, so that the program can tell a repeated one.",
            )
            .example("from orders |> into exec(\"./load.py\") { format: json }"),
        args: vec![OptionSpec::required("program", OptionKind::Path, "the program; a bare name is looked up on the PATH")],
        options: vec![
            OptionSpec::optional("args", texts(), "its arguments, each passed on as it is"),
            OptionSpec::optional("env", OptionKind::Map(Box::new(OptionKind::Secret)), "variables of its environment"),
            OptionSpec::optional("folder", OptionKind::Path, "where it runs; the pipeline's own folder otherwise"),
            OptionSpec::with_default("process", OptionKind::Symbol(PROCESS), "per_batch", "how long a process lives"),
            OptionSpec::with_default("timeout", OptionKind::Duration, "1m", "how long a batch may take"),
        ],
        takes_changes: takes_anything,
        format: Some("json"),
        guarantee: |_| "at least once (the batch's number is handed on)".into(),
        target: shared,
        feature: None,
        open: SinkEntry::by(|_| Err(NotRunnable::not_yet("sink", "exec"))),
    }
}
