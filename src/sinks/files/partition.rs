//! Rows by the folder that their values name: `country=de/day=2026-01-01`.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// What stands for null, as in Hive.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The rows of each folder, in order; without columns all of them in the folder itself.
pub(super) fn split(batch: &RecordBatch, by: &[usize]) -> Result<BTreeMap<String, RecordBatch>, ArrowError> {
    if by.is_empty() {
        return Ok(BTreeMap::from([(String::new(), batch.clone())]));
    }
    let schema = batch.schema();
    let options = FormatOptions::default();
    let columns =
        by.iter().map(|i| ArrayFormatter::try_new(batch.column(*i), &options)).collect::<Result<Vec<_>, _>>()?;
    let mut rows: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let part = |(i, column): (&usize, &ArrayFormatter<'_>)| {
            let null = batch.column(*i).is_null(row);
            let value = if null { NULL.to_owned() } else { escaped(&column.value(row).to_string()) };
            format!("{}={value}", schema.field(*i).name())
        };
        let parts: Vec<_> = by.iter().zip(&columns).map(part).collect();
        let number = u32::try_from(row).map_err(|e| ArrowError::ComputeError(e.to_string()))?;
        rows.entry(parts.join("/")).or_default().push(number);
    }
    let take = |(folder, rows)| Ok((folder, take_record_batch(batch, &UInt32Array::from(rows))?));
    rows.into_iter().map(take).collect()
}

/// What cannot stand in a name is written as `%` and two digits.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        if c.is_control() || matches!(c, '/' | '\\' | '=' | '%' | ':' | '"' | '*' | '?' | '<' | '>' | '|') {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    if matches!(out.as_str(), "" | "." | "..") { format!("%{out}") } else { out }
}
