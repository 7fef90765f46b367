//! Where rows come from: one file each, one list. A source knows no operator, no sink and no batch.

mod clients;
mod conform;
mod cutter;
pub mod exec;
pub mod files;
pub mod generate;
pub mod http_in;
pub mod kafka;
pub mod listen;
pub mod postgres;
pub mod queue;
mod receiver;
pub mod redis;
pub mod socket;
pub mod stdin;

use crate::model::Column;
use crate::plan::catalog::Endpoint;
use crate::plan::edge::Mode;
use crate::plan::{Conflict, Settings, SourceEntry};

/// Every source, in the order they are listed.
pub fn entries() -> Vec<SourceEntry> {
    vec![
        files::entry(),
        socket::entry(),
        listen::entry(),
        http_in::entry(),
        stdin::entry(),
        exec::entry(),
        generate::entry(),
        queue::entry(),
        kafka::entry(),
        postgres::entry(),
        redis::entry(),
    ]
}

/// A format whose first record is a line of names, where every record comes by itself.
fn sole_records(endpoint: &Endpoint) -> Option<Conflict> {
    let format = endpoint.format.as_ref().filter(|format| format.settings.flag("header"))?;
    let message =
        format!("records that come one by one have no line of names, which `{}` expects", format.entry.doc.name);
    Some(Conflict::between("header", message, "the values then stand in the order of the schema:\n  header: false"))
}

/// For sources that add no columns.
fn nothing_extra(_: &Settings) -> Vec<Column> {
    Vec::new()
}

/// For sources whose rows stay.
fn appends(_: &Settings) -> Mode {
    Mode::Append
}

/// A table whose source cannot tell when it has changed, and that nobody says how often to read.
fn untold(settings: &Settings) -> Option<Conflict> {
    let is_told = settings.duration("refresh").is_some() || settings.text("refresh") != Some("on_change");
    (!is_told).then(|| {
        let help = "say how often it is read anew:\n  refresh: 5min";
        Conflict::between("refresh", "this source cannot tell when its rows have changed", help)
    })
}
