//! `socket`: connects to a server and reads what it sends, line by line.

use crate::connect::net;
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra};

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![OptionSpec::with_default(
        "reconnect",
        OptionKind::Bool,
        "true",
        "whether a closed connection is opened again; `--once` ends with it",
    )];
    options.extend(net::reconnecting());
    options.extend(net::receiving());
    options.extend(net::client_tls());
    SourceEntry {
        doc: Doc::new(
            "socket",
            "connects to a TCP server and reads the lines it sends",
            "socket(\"HOST:PORT\") { OPTIONS }",
        )
        .details(
            "What was received and not yet delivered is lost when the program dies, unless the pipeline has a \
                 checkpoint. Try it with `nc -lk 9999` in another terminal.",
        )
        .example("source lines = socket(\"127.0.0.1:9999\")")
        .alias("socketTextStream"),
        args: vec![OptionSpec::required("address", OptionKind::Address, "the server")],
        options,
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: |_| Err(NotRunnable::not_yet("source", "socket")),
    }
}
