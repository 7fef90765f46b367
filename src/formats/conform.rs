//! Brings the columns of a file that describes itself into the shape of a schema.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, and, cast_with_options, filter_record_batch, is_not_null};
use arrow::datatypes::{Field, SchemaRef};

use crate::plan::seams::BadRow;

/// Finds the schema's columns by name and casts them. Rows that have null where the schema allows none are bad.
/// `Err` says why no row of it fits.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<(RecordBatch, Vec<BadRow>), String> {
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
        Some(found) => {
            let exact = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(found, field.data_type(), &exact)
                .map_err(|e| format!("column `{}` does not fit its type: {e}", field.name()))
        }
        None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
        None => Err(format!("column `{}` is missing", field.name())),
    }
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
        .map(|row| BadRow { text: String::new(), reason: missing(row), place: String::new(), line: row as u64 })
        .collect()
}
