//! Columns of CSV with a header: every value is text, so text decides.

use ::csv::{ReaderBuilder, StringRecord};

use super::shape::{Fields, Shape};
use super::{columns_of, text, value};
use crate::model::{Column, Slot, Type};
use crate::plan::Settings;
use crate::plan::sample::Sample;

/// What may stand between values, likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The columns of samples. A delimiter that is not given is seen from the header.
pub(in crate::formats) fn infer(settings: &Settings, samples: &[Sample], rows: usize) -> Result<Vec<Column>, String> {
    if settings.get("header").is_some() && !settings.flag("header") {
        return Err("without a line of names nothing says what the columns are called".into());
    }
    columns_of(samples, rows, |sample, rows| fields(text(sample, true)?, settings, sample.whole, rows), plain)
}

/// The same for `tsv`.
pub(in crate::formats) fn infer_tabs(
    settings: &Settings,
    samples: &[Sample],
    rows: usize,
) -> Result<Vec<Column>, String> {
    let mut tabs = settings.clone();
    tabs.set("delimiter", crate::plan::OptionValue::Text("\t".into()), millstream_dsl::Span::default());
    infer(&tabs, samples, rows)
}

/// The fields of the first `limit` rows. Nothing, or what `null_text` says, is null.
fn fields(text: &str, settings: &Settings, whole: bool, limit: usize) -> Result<Fields, String> {
    let character = |name| settings.text(name).and_then(|text: &str| text.bytes().next());
    let header = text.lines().next().unwrap_or_default();
    let count = |delimiter: &u8| header.bytes().filter(|b| b == delimiter).count();
    // The last of equals would win: the likeliest comes last.
    let likeliest = || DELIMITERS.iter().rev().copied().max_by_key(count).unwrap_or(b',');
    let mut builder = ReaderBuilder::new();
    builder.delimiter(character("delimiter").unwrap_or_else(likeliest)).quote(character("quote").unwrap_or(b'"'));
    builder.escape(character("escape")).comment(character("comment"));
    let mut reader = builder.from_reader(text.as_bytes());
    let names: Vec<String> = reader.headers().map_err(|e| e.to_string())?.iter().map(str::to_owned).collect();
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(format!("column `{}` comes twice in the header", twice.1));
    }
    let null = settings.text("null_text").unwrap_or_default();
    let record = |row: &StringRecord| {
        Fields::record(names.iter().zip(row).map(|(name, cell)| (name.clone(), shape(cell, null))))
    };
    let mut fields = Fields::named(&names);
    let mut rows = reader.records().take(limit).peekable();
    while let Some(row) = rows.next() {
        match row {
            Ok(row) => fields = fields.with(record(&row)),
            // Cut within a value of several lines.
            Err(_) if !whole && rows.peek().is_none() => {}
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(fields)
}

fn shape(cell: &str, null: &str) -> Option<Shape> {
    match cell {
        "" => None,
        cell if cell == null => None,
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
