//! Columns that hold what stands in samples: what the formats of text share. Formats that carry a schema say it themselves.

pub(super) mod csv;
pub(super) mod json;
mod shape;
mod value;

use shape::Fields;

use crate::model::{Column, Schema, Slot};
use crate::plan::sample::Sample;

/// The text of a sample as far as it is whole lines; `lines: false`: as far as it is characters.
pub(super) fn text(sample: &Sample, lines: bool) -> Result<&str, String> {
    let bytes = sample.front.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&sample.front);
    let end =
        if sample.whole || !lines { bytes.len() } else { bytes.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1) };
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => Ok(text),
        // Cut within a character.
        Err(e) if !sample.whole && e.error_len().is_none() => {
            Ok(std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default())
        }
        Err(_) => Err(said(sample, "it is no UTF-8 text")),
    }
}

/// The columns that hold the rows of all samples.
pub(super) fn columns_of(
    samples: &[Sample],
    rows: usize,
    read: impl Fn(&Sample, usize) -> Result<Fields, String>,
    plain: impl Fn(Slot) -> Slot,
) -> Result<Vec<Column>, String> {
    let mut all = Fields::default();
    for sample in samples {
        let left = rows.saturating_sub(all.records());
        if left > 0 {
            all = all.with(read(sample, left).map_err(|why| said(sample, &why))?);
        }
    }
    match all.columns_as(plain) {
        columns if columns.is_empty() => Err(format!("{} no row", where_of(samples))),
        columns => Ok(columns),
    }
}

/// The columns of the first sample that carries a schema.
pub(super) fn carried(
    samples: &[Sample],
    read: impl Fn(&Sample) -> Result<arrow::datatypes::SchemaRef, String>,
) -> Result<Vec<Column>, String> {
    let Some(sample) = samples.first() else { return Err("there is no file".into()) };
    let schema = read(sample).map_err(|why| said(sample, &why))?;
    let schema = Schema::from_arrow(schema.fields());
    schema.map(|schema| schema.columns).ok_or_else(|| said(sample, "it has a column of a type that is not supported"))
}

fn said(sample: &Sample, why: &str) -> String {
    format!("`{}`: {why}", sample.place)
}

fn where_of(samples: &[Sample]) -> String {
    match samples {
        [one] => format!("`{}` holds", one.place),
        _ => "the files hold".into(),
    }
}
