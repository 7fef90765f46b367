//! Rows that a test gives, as batches of the source's or table's columns: from cells, or from a file in the source's
//! own format.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_empty_array};
use arrow::compute::cast;
use datafusion_common::ScalarValue;

use crate::model::Schema;
use crate::plan::catalog::{Endpoint, FormatCall, find};
use crate::plan::seams::{BadRow, FormatCodec, Piece};
use crate::plan::{FormatEntry, Settings};

/// Cells that have been checked against the schema. `Err` is a sentence.
pub(super) fn from_cells(rows: &[Vec<ScalarValue>], schema: &Schema) -> Result<RecordBatch, String> {
    let column = |(i, column): (usize, &crate::model::Column)| -> Result<ArrayRef, String> {
        let wanted = column.slot.ty.to_arrow();
        if rows.is_empty() {
            return Ok(new_empty_array(&wanted));
        }
        let cells = ScalarValue::iter_to_array(rows.iter().map(|row| row[i].clone())).map_err(|e| e.to_string())?;
        if *cells.data_type() == wanted { Ok(cells) } else { cast(&cells, &wanted).map_err(|e| e.to_string()) }
    };
    let columns = schema.columns.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.to_arrow(), columns).map_err(|e| e.to_string())
}

/// Rows, and those that could not be read.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) rows: Vec<RecordBatch>,
    pub(super) bad: Vec<BadRow>,
}

/// Every row of a file. `Err` is a sentence.
pub(super) fn from_file(
    path: &Path,
    endpoint: &Endpoint,
    schema: &Schema,
    formats: &[Arc<FormatEntry>],
) -> Result<Given, String> {
    let shown = path.display();
    let codec = codec(path, endpoint, schema, formats)?;
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
        _ => format!("`{shown}` cannot be read: {e}"),
    })?;
    let header = codec.header(&bytes, true).unwrap_or(bytes.len());
    let (front, rest) = bytes.split_at(header);
    let piece = Piece { header: front, bytes: rest, last: true, records: usize::MAX, threads: 1 };
    let decoded = codec.decode(&piece).map_err(|e| format!("`{shown}` cannot be read: {e}"))?;
    let place = path.file_name().unwrap_or_default().to_string_lossy();
    let named = |bad: BadRow| BadRow { place: place.to_string(), line: bad.line + 1 + u64::from(header > 0), ..bad };
    Ok(Given { rows: decoded.blocks, bad: decoded.bad.into_iter().map(named).collect() })
}

/// The source's own format; for a source without one the format that the file's ending names.
fn codec(
    path: &Path,
    endpoint: &Endpoint,
    schema: &Schema,
    formats: &[Arc<FormatEntry>],
) -> Result<Box<dyn FormatCodec>, String> {
    let by_ending = || {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let entry = find(formats, ending).ok_or_else(|| {
            format!(
                "source `{}` has no format, and `{}` does not end in the name of one: call it `.json` or `.csv`",
                endpoint.name,
                path.display()
            )
        })?;
        Ok::<_, String>(FormatCall { entry: entry.clone(), settings: Settings::default() })
    };
    let call = endpoint.format.clone().map_or_else(by_ending, Ok)?;
    (call.entry.open)(&call, schema).map_err(|e| e.0)
}
