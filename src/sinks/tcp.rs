//! `tcp`: sends rows to a server.

use crate::connect::net;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::{shared, takes_anything};

/// The entry.
pub fn entry() -> SinkEntry {
    let mut options = vec![OptionSpec::with_default(
        "timeout",
        OptionKind::Duration,
        "10s",
        "how long connecting or sending may take",
    )];
    options.extend(net::reconnecting());
    options.extend(net::client_tls());
    SinkEntry {
        doc: Doc::new("tcp", "sends every row to a TCP server", "tcp(\"HOST:PORT\") { OPTIONS }")
            .example("from orders |> into tcp(\"127.0.0.1:7000\") { format: json }"),
        args: vec![OptionSpec::required("address", OptionKind::Address, "the server")],
        options,
        takes_changes: takes_anything,
        format: Some("json"),
        guarantee: |_| "at least once (the peer acknowledges nothing)".into(),
        target: shared,
        feature: None,
        open: SinkEntry::by(|_| Err(NotRunnable::not_yet("sink", "tcp"))),
    }
}
