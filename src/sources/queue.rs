//! `queue`: rows that a program pushes in through the library.

use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra};

/// The entry.
pub fn entry() -> SourceEntry {
    SourceEntry {
        doc: Doc::new(
            "queue",
            "takes the rows that a program pushes in through the library",
            "queue() { schema: TYPE }",
        )
        .details(
            "With `millstream::library`: `running.give(\"orders\", &rows)` between two steps, or a feeder from any thread, \
             which waits while more than `buffer` is waiting. What is given must have the declared columns, by name; \
             rows with null where none may be are refused.",
        )
        .example("source orders = queue() { schema: { id: string, amount: float64 } }")
        .alias("queueStream"),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default(
                "one_at_a_time",
                OptionKind::Bool,
                "true",
                "one pushed piece a batch; all that wait otherwise",
            ),
            OptionSpec::with_default(
                "buffer",
                OptionKind::Size,
                "64mb",
                "how much may wait before pushing waits as well",
            ),
        ],
        rows: RowsFrom::Schema { default: None, extra: nothing_extra },
        rewinds: false,
        table: true,
        mode: appends,
        feature: None,
        conflicts: |_| Vec::new(),
        sample: None,
        open: SourceEntry::by(|_| {
            Err(NotRunnable("source `queue` is filled by a program that uses Millstream as a library".into()))
        }),
    }
}
