//! `generate`: rows out of nothing, always the same ones for the same seed.

use crate::connect::COUNT;
use crate::model::{Column, Slot, Type};
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra};

/// The entry.
pub fn entry() -> SourceEntry {
    SourceEntry {
        doc: Doc::new("generate", "makes rows at an even rate, for trying things out and for load", "generate() { OPTIONS }")
            .details(
                "Without a schema the columns are Spark's: `ts`, evenly spaced from `start`, and `value`, counting from 0. \
                 With one, a column named `ts` is evenly spaced, and every other column holds values that depend on `seed` \
                 and the row's number alone.",
            )
            .example("source ticks = generate() { rows_per_second: 1000, time: ts, watermark: 0s }")
            .example("source orders = generate() { rows_per_second: 100, rows: 5000, seed: 7, schema: { user_id: string, amount: float64, ts: timestamp } }")
            .alias("rate"),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default("rows_per_second", COUNT, "1", "how many rows a second"),
            OptionSpec::with_default("ramp", OptionKind::Duration, "0s", "how long the rate takes to reach its height"),
            OptionSpec::optional("rows", COUNT, "how many rows in all; `--once` takes them without waiting"),
            OptionSpec::with_default("seed", OptionKind::Integer { min: 0, max: i64::MAX }, "0", "another seed gives other values"),
            OptionSpec::optional("start", OptionKind::Timestamp, "the first `ts`; the time of the first batch otherwise"),
        ],
        rows: RowsFrom::Schema { default: Some(default_columns()), extra: nothing_extra },
        rewinds: true,
        table: true,
        mode: appends,
        feature: None,
        open: |_| Err(NotRunnable::not_yet("source", "generate")),
    }
}

fn default_columns() -> Vec<Column> {
    let column = |name: &str, ty| Column::new(name, Slot::required(ty));
    vec![column("ts", Type::Timestamp(None)), column("value", Type::Int64)]
}
