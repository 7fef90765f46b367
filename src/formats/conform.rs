//! Brings the columns of a file that describes itself into the shape of a schema.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, and, cast_with_options, filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, SchemaRef};

use crate::plan::seams::BadRow;

/// Finds the schema's columns by name and casts them. Rows that have null where the schema allows none, or a value that
/// does not fit its type, are bad. `Err` says why no row of it fits.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<(Vec<RecordBatch>, Vec<BadRow>), String> {
    let missing = schema.fields().iter().find(|f| !f.is_nullable() && batch.column_by_name(f.name()).is_none());
    if let Some(field) = missing {
        return Err(format!("column `{}` is missing", field.name()));
    }
    let (mut blocks, mut bad) = (Vec::new(), Vec::new());
    bisect(batch, 0, schema, &mut blocks, &mut bad);
    Ok((blocks, bad))
}

/// What a library makes of damaged bytes, also where it does not expect them.
pub(crate) fn guarded<R>(work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    // Whatever it was in the middle of is thrown away with it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("the bytes are damaged".into()))
}

/// All rows at once; where that fails, each half by itself, down to the row that is bad.
fn bisect(batch: &RecordBatch, before: u64, schema: &SchemaRef, blocks: &mut Vec<RecordBatch>, bad: &mut Vec<BadRow>) {
    match together(batch, schema) {
        Ok((block, found)) => {
            blocks.push(block);
            bad.extend(found.into_iter().map(|row| BadRow { line: row.line + before, ..row }));
        }
        Err(reason) if batch.num_rows() <= 1 => {
            bad.push(BadRow { text: String::new(), reason, place: String::new(), line: before, bytes: None });
        }
        Err(_) => {
            let half = batch.num_rows() / 2;
            bisect(&batch.slice(0, half), before, schema, blocks, bad);
            bisect(&batch.slice(half, batch.num_rows() - half), before + half as u64, schema, blocks, bad);
        }
    }
}

/// The same for all rows together: a value that does not fit its type is an error.
pub(crate) fn together(batch: &RecordBatch, schema: &SchemaRef) -> Result<(RecordBatch, Vec<BadRow>), String> {
    let columns = schema.fields().iter().map(|f| column(batch, f)).collect::<Result<Vec<_>, _>>()?;
    let mut fits: Option<BooleanArray> = None;
    for (field, column) in schema.fields().iter().zip(&columns) {
        if !field.is_nullable() && column.null_count() > 0 {
            let present = is_not_null(column).map_err(|e| e.to_string())?;
            fits = Some(match fits {
                Some(others) => and(&others, &present).map_err(|e| e.to_string())?,
                None => present,
            });
        }
    }
    let loose: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let all =
        RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(loose)), columns).map_err(|e| e.to_string())?;
    let Some(fits) = fits else { return Ok((strict(&all, schema)?, Vec::new())) };
    let kept = filter_record_batch(&all, &fits).map_err(|e| e.to_string())?;
    Ok((strict(&kept, schema)?, bad_rows(&all, &fits, schema)))
}

fn column(batch: &RecordBatch, field: &Field) -> Result<ArrayRef, String> {
    match batch.column_by_name(field.name()) {
        Some(found) if found.data_type() == field.data_type() => Ok(found.clone()),
        Some(found) => {
            if let (DataType::FixedSizeBinary(16), DataType::Utf8) = (found.data_type(), field.data_type()) {
                return Ok(uuids(found));
            }
            let exact = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(found, field.data_type(), &exact)
                .map_err(|e| format!("column `{}` does not fit its type: {e}", field.name()))
        }
        None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
        None => Err(format!("column `{}` is missing", field.name())),
    }
}

/// As they are written everywhere: `8-4-4-4-12`.
fn uuids(found: &ArrayRef) -> ArrayRef {
    let text = |bytes: &[u8]| {
        let mut text = String::with_capacity(36);
        for (i, byte) in bytes.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        text
    };
    Arc::new(found.as_fixed_size_binary().iter().map(|bytes| bytes.map(text)).collect::<StringArray>())
}

fn strict(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(|e| e.to_string())
}

fn bad_rows(all: &RecordBatch, fits: &BooleanArray, schema: &SchemaRef) -> Vec<BadRow> {
    let missing = |row: usize| {
        let fields = schema.fields().iter().zip(all.columns());
        let absent = fields.filter(|(f, c)| !f.is_nullable() && c.is_null(row)).map(|(f, _)| format!("`{}`", f.name()));
        format!("null in {}", absent.collect::<Vec<_>>().join(", "))
    };
    (0..all.num_rows())
        .filter(|row| !fits.value(*row))
        .map(|row| BadRow {
            text: String::new(),
            reason: missing(row),
            place: String::new(),
            line: row as u64,
            bytes: None,
        })
        .collect()
}
