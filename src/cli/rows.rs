//! Rows that a pipeline remembers, as people and programs read them. The group of a row is how it is spread over
//! partitions: it is left out.

use std::io::Write;

use arrow::array::{Array, RecordBatch};
use arrow::csv::WriterBuilder;
use arrow::error::ArrowError;
use arrow::json::writer::{LineDelimited, WriterBuilder as JsonBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use serde_json::Value;

use crate::plan::operator::SavedTable;

/// The column that says to which group a row belongs.
const GROUP: &str = "_group";

/// How many rows a table has.
pub(super) fn count(table: &SavedTable) -> usize {
    table.rows.iter().map(RecordBatch::num_rows).sum()
}

/// How many bytes its values take.
pub(super) fn bytes(table: &SavedTable) -> u64 {
    let size = |column: &arrow::array::ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default() as u64;
    table.rows.iter().flat_map(RecordBatch::columns).map(size).sum()
}

/// Without groups.
pub(super) fn logical(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let kept: Vec<usize> = (0..rows.num_columns()).filter(|i| schema.field(*i).name() != GROUP).collect();
    rows.project(&kept)
}

/// Every cell as text, row by row.
pub(super) fn cells(rows: &RecordBatch) -> Result<Vec<Vec<String>>, ArrowError> {
    let options = FormatOptions::default().with_null("null");
    let columns = rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let row = |row: usize| columns.iter().map(|cell| cell.value(row).try_to_string()).collect();
    (0..rows.num_rows()).map(row).collect()
}

/// Which columns of logical rows are the key: `key.NAME`, `k0`, `k1` ..., or those that tell rows apart.
pub(super) fn key(rows: &RecordBatch, identity: usize) -> Vec<usize> {
    let schema = rows.schema();
    let numbered = |name: &str| name.strip_prefix('k').is_some_and(|n| !n.is_empty() && n.parse::<u32>().is_ok());
    let named = |name: &str| name.starts_with("key.") || numbered(name);
    let named: Vec<usize> = (0..rows.num_columns()).filter(|i| named(schema.field(*i).name())).collect();
    if named.is_empty() { (0..identity.saturating_sub(1).min(rows.num_columns())).collect() } else { named }
}

/// Objects by the names of columns, nulls among them.
pub(super) fn objects(rows: &RecordBatch) -> Result<Vec<Value>, ArrowError> {
    let mut writer = JsonBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let lines = serde_json::Deserializer::from_slice(&writer.into_inner()).into_iter().collect::<Result<_, _>>();
    lines.map_err(|e| ArrowError::JsonError(e.to_string()))
}

/// With a line of names.
pub(super) fn csv(rows: &[RecordBatch], to: &mut dyn Write) -> Result<(), ArrowError> {
    let mut writer = WriterBuilder::new().with_header(true).build(to);
    rows.iter().try_for_each(|rows| writer.write(rows))
}

/// A Parquet file.
pub(super) fn packed(rows: &[RecordBatch], to: &mut (dyn Write + Send)) -> Result<(), ParquetError> {
    let Some(first) = rows.first() else { return Ok(()) };
    let mut writer = ArrowWriter::try_new(to, first.schema(), None)?;
    rows.iter().try_for_each(|rows| writer.write(rows))?;
    writer.close().map(drop)
}
