//! `stdin`: what is piped into the program.

use crate::connect::net;
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, SourceEntry};
use crate::sources::{appends, nothing_extra};

/// The entry.
pub fn entry() -> SourceEntry {
    SourceEntry {
        doc: Doc::new("stdin", "reads what is piped into the program", "stdin { OPTIONS }")
            .example("source lines = stdin()")
            .example("source events = stdin() { format: json, schema: { user_id: string, ts: timestamp }, time: ts }"),
        args: Vec::new(),
        options: net::receiving(),
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: |_| Err(NotRunnable::not_yet("source", "stdin")),
    }
}
