//! `syslog`: what programs and network gear log.

use crate::formats::{accepts_flat, nullable, required};
use crate::model::Type;
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("syslog", "log messages by RFC 5424 or RFC 3164", "syslog")
            .details("What a message leaves out is null. RFC 3164 says neither year nor zone: the year of arrival and UTC are taken.")
            .example("source logs = listen(\"0.0.0.0:514\") { protocol: udp, format: syslog }"),
        args: Vec::new(),
        options: Vec::new(),
        columns: |_| {
            Some(vec![
                required("facility", Type::String),
                required("severity", Type::String),
                nullable("time", Type::Timestamp(None)),
                nullable("host", Type::String),
                nullable("app", Type::String),
                nullable("pid", Type::String),
                nullable("message_id", Type::String),
                nullable("data", Type::Json),
                required("message", Type::String),
            ])
        },
        accepts: accepts_flat,
        directions: Directions::In,
        open: |_, _| Err(NotRunnable::not_yet("format", "syslog")),
    }
}
