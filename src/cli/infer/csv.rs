//! Columns of CSV with a header: every value is text, so text decides.

use super::shape::{Seen, Shape};
use super::value;
use crate::model::{Column, Slot, Type};

/// What may stand between values, likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The columns that hold all of the first `limit` rows. Nothing is null.
pub(super) fn columns(text: &str, limit: usize) -> Result<Vec<Column>, String> {
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|b| b == delimiter).count();
    // The last of equals would win: the likeliest comes last.
    let delimiter = DELIMITERS.iter().rev().copied().max_by_key(count).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().map_err(|e| e.to_string())?.iter().map(str::to_owned).collect();
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(format!("column `{}` comes twice in the header", twice.1));
    }
    let mut columns = vec![Seen::default(); names.len()];
    for row in reader.records().take(limit) {
        let row = row.map_err(|e| e.to_string())?;
        for (seen, cell) in columns.iter_mut().zip(&row) {
            seen.add(shape(cell));
        }
    }
    Ok(names.into_iter().zip(&columns).map(|(name, seen)| Column::new(name, plain(seen.slot()))).collect())
}

fn shape(cell: &str) -> Option<Shape> {
    match cell {
        "" => None,
        "true" | "false" => Some(Shape::Bool),
        cell => Some(value::number(cell).unwrap_or_else(|| value::text(cell))),
    }
}

/// A column without values, or of values without anything in common, is text: CSV has nothing else.
fn plain(slot: Slot) -> Slot {
    match slot.ty {
        Type::Json => Slot { ty: Type::String, ..slot },
        _ => slot,
    }
}
