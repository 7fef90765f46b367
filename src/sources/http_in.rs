//! `http_in`: an HTTP server whose clients post rows.

use crate::connect::net;
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra};

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::optional("token", OptionKind::Secret, "clients must send it as `Authorization: Bearer TOKEN`"),
        OptionSpec::with_default("max_body", OptionKind::Size, "16mb", "a larger body is refused with 413"),
    ];
    options.extend(net::receiving());
    options.extend(net::server_tls());
    SourceEntry {
        doc: Doc::new(
            "http_in",
            "takes in the bodies of POST requests",
            "http_in(\"HOST:PORT\", \"/PATH\") { OPTIONS }",
        )
        .details("Answers 204 when the rows are taken in, 400 with the reasons when none could be read, 429 when full.")
        .example(
            "source orders = http_in(\"127.0.0.1:8080\", \"/orders\") { schema: { id: string, amount: float64 } }",
        ),
        args: vec![
            OptionSpec::required("address", OptionKind::Address, "where it listens"),
            OptionSpec::with_default("path", OptionKind::Text, "\"/\"", "the path that clients post to"),
        ],
        options,
        rows: RowsFrom::Format { default: "json", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: SourceEntry::by(|_| Err(NotRunnable::not_yet("source", "http_in"))),
    }
}
