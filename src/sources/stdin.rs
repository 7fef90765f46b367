//! `stdin`: what is piped into the program.

use std::io::Read as _;

use crate::connect::net;
use crate::plan::catalog::RowsFrom;
use crate::plan::{Doc, SourceEntry};
use crate::sources::receiver::{Feed, Receiver};
use crate::sources::{appends, nothing_extra};

/// The entry.
pub fn entry() -> SourceEntry {
    SourceEntry {
        doc: Doc::new("stdin", "reads what is piped into the program", "stdin() { OPTIONS }")
            .example("source lines = stdin()")
            .example("source events = stdin() { format: json, schema: { user_id: string, ts: timestamp }, time: ts }"),
        args: Vec::new(),
        options: net::receiving(),
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: SourceEntry::by(|endpoint| Receiver::open(endpoint, |feed| forward(&feed))),
    }
}

fn forward(feed: &Feed) {
    let mut buffer = vec![0; 64 * 1024];
    let mut input = std::io::stdin().lock();
    loop {
        match input.read(&mut buffer) {
            Ok(0) => {
                feed.end_of_stream();
                return;
            }
            Ok(count) if feed.give(&buffer[..count]) => {}
            Ok(_) => return,
            Err(e) => return feed.fail(format!("cannot read the standard input: {e}")),
        }
    }
}
