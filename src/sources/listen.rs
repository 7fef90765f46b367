//! `listen`: a server that many clients send rows to.

use crate::connect::{COUNT, net};
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra};

const PROTOCOL: &[(&str, &str)] = &[
    ("tcp", "connections"),
    ("udp", "datagrams, each one record"),
    ("unix", "connections to a socket in the file system; the address is its path"),
];
const FRAMING: &[(&str, &str)] = &[
    ("lines", "a record ends with its line"),
    ("syslog", "RFC 6587: a length before each record, or lines"),
    ("length", "four bytes of length, big end first, before each record"),
    ("forward", "Fluentd's forward protocol"),
];

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::with_default("protocol", OptionKind::Symbol(PROTOCOL), "tcp", "what it listens for"),
        OptionSpec::with_default(
            "framing",
            OptionKind::Symbol(FRAMING),
            "lines",
            "where one record ends and the next begins",
        ),
        OptionSpec::with_default("max_clients", COUNT, "1000", "further clients are turned away"),
        OptionSpec::with_default("max_record", OptionKind::Size, "1mb", "a longer record is a bad row"),
    ];
    options.extend(net::receiving());
    options.extend(net::server_tls());
    SourceEntry {
        doc: Doc::new(
            "listen",
            "takes in what clients send over TCP, UDP or a unix socket",
            "listen(\"HOST:PORT\") { OPTIONS }",
        )
        .example("source lines = listen(\"0.0.0.0:9999\")")
        .example("source logs = listen(\"0.0.0.0:514\") { protocol: udp, format: syslog }"),
        args: vec![OptionSpec::required(
            "address",
            OptionKind::Text,
            "where it listens: `host:port`, or a path for `unix`",
        )],
        options,
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: SourceEntry::by(|_| Err(NotRunnable::not_yet("source", "listen"))),
    }
}
