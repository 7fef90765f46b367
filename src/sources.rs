//! Where rows come from: one file each, one list. A source knows no operator, no sink and no batch.

mod clients;
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
use crate::plan::edge::Mode;
use crate::plan::{Settings, SourceEntry};

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

/// For sources that add no columns.
fn nothing_extra(_: &Settings) -> Vec<Column> {
    Vec::new()
}

/// For sources whose rows stay.
fn appends(_: &Settings) -> Mode {
    Mode::Append
}
