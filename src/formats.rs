//! How bytes become rows and rows become bytes: one file each, one list. A format knows no source and no sink.

pub mod arrow_ipc;
pub mod avro;
pub mod binary;
mod cells;
pub(crate) mod conform;
pub mod csv;
mod infer;
pub mod json;
mod lines;
pub mod logfmt;
pub mod parquet;
pub mod protobuf;
pub mod regex;
pub mod syslog;
pub mod text;

use crate::model::{Column, Slot, Type};
use crate::plan::{FormatEntry, Settings};

/// Every format, in the order they are listed.
pub fn entries() -> Vec<FormatEntry> {
    vec![
        text::entry(),
        binary::entry(),
        json::entry(),
        csv::entry(),
        csv::tsv_entry(),
        parquet::entry(),
        avro::entry(),
        arrow_ipc::entry(),
        logfmt::entry(),
        regex::entry(),
        syslog::entry(),
        protobuf::entry(),
    ]
}

/// For formats that need a schema.
fn no_columns(_: &Settings) -> Option<Vec<Column>> {
    None
}

/// For formats that hold whatever there is.
fn accepts_all(_: &Type) -> Result<(), String> {
    Ok(())
}

/// For formats whose values are single texts.
fn accepts_flat(ty: &Type) -> Result<(), String> {
    if ty.is_nested() { Err(format!("a value of type {ty} has no place in a flat text")) } else { Ok(()) }
}

fn required(name: &str, ty: Type) -> Column {
    Column::new(name, Slot::required(ty))
}

fn nullable(name: &str, ty: Type) -> Column {
    Column::new(name, Slot::nullable(ty))
}

#[cfg(test)]
mod tests;
