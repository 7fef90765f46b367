//! `console` and `stderr`: shows the first rows of every batch, as Spark's `print` does.

use crate::connect::COUNT;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::{shared, takes_anything};

const FORMAT: &[(&str, &str)] = &[
    ("table", "aligned columns under their names"),
    ("json", "an object a line"),
    ("csv", "values with commas between"),
];
const COLOR: &[(&str, &str)] =
    &[("auto", "where the output is a terminal"), ("always", "everywhere"), ("never", "nowhere")];

/// The entry of `console`.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new("console", "prints the first rows of every batch", "console { OPTIONS }")
            .details("Batches without rows are not printed. Use `files` for all the rows.")
            .example("from orders |> into console")
            .example("from orders |> into console { rows: 100, format: json }")
            .alias("print"),
        open: |_| Err(NotRunnable::not_yet("sink", "console")),
        ..common()
    }
}

/// The entry of `stderr`.
pub fn stderr_entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new("stderr", "prints the first rows of every batch to the standard error", "stderr { OPTIONS }")
            .example("from orders |> into stderr { rows: 3 }"),
        open: |_| Err(NotRunnable::not_yet("sink", "stderr")),
        ..common()
    }
}

fn common() -> SinkEntry {
    SinkEntry {
        doc: Doc::default(),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default("rows", COUNT, "10", "how many rows of a batch are shown"),
            OptionSpec::with_default("format", OptionKind::Symbol(FORMAT), "table", "how they are shown"),
            OptionSpec::with_default("width", COUNT, "60", "longer values are cut in a table"),
            OptionSpec::with_default(
                "color",
                OptionKind::Symbol(COLOR),
                "auto",
                "whether rows that come are green and rows that go red",
            ),
        ],
        takes_changes: takes_anything,
        format: None,
        guarantee: |_: &Settings| "at least once (a batch may be shown again after a crash)".into(),
        target: shared,
        feature: None,
        open: |_| Err(NotRunnable::not_yet("sink", "console")),
    }
}
