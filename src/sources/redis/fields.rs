//! Fields of entries and hashes, which are bytes, as columns of the types that are declared.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use millstream_dsl::Span;

use crate::expressions::Compiled;
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Read};
use crate::plan::{Node, TypedExpr};

/// Fields of one entry, by name.
pub(super) type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// Turns fields into rows.
pub(super) struct Reading {
    schema: Schema,
    rows: SchemaRef,
    /// From the columns as they come, texts or bytes, to those that are declared.
    compiled: Compiled,
}

impl Reading {
    pub(super) fn of(schema: &Schema) -> Result<Self, NotRunnable> {
        let raw = |column: &Column| {
            let ty = if column.slot.ty == Type::Bytes { Type::Bytes } else { Type::String };
            Column::new(column.name.clone(), Slot::nullable(ty))
        };
        let raw = Schema::new(schema.columns.iter().map(raw).collect());
        let cast = |(at, (from, to)): (usize, (&Column, &Column))| {
            let of = TypedExpr::column(at, from, Span::default());
            match &to.slot.ty {
                Type::String | Type::Bytes => of,
                ty if ty.is_nested() => as_type(as_type(of, &Type::Json), ty),
                ty => as_type(of, ty),
            }
        };
        let exprs: Vec<TypedExpr> = raw.columns.iter().zip(&schema.columns).enumerate().map(cast).collect();
        Ok(Reading { compiled: Compiled::new(&exprs, &raw)?, rows: schema.to_arrow(), schema: schema.clone() })
    }

    /// Rows of entries; `named` says which entry is meant where one is bad.
    pub(super) fn rows(&self, entries: &[(String, Fields)], place: &str, read: &mut Read) -> Result<(), TaskError> {
        if entries.is_empty() {
            return Ok(());
        }
        let bug = |e: arrow::error::ArrowError| TaskError::Bug(e.to_string());
        let columns: Vec<ArrayRef> = self.schema.columns.iter().map(|column| raw(column, entries)).collect();
        let raw = Arc::new(arrow::datatypes::Schema::new(
            self.schema
                .columns
                .iter()
                .zip(&columns)
                .map(|(column, array)| arrow::datatypes::Field::new(&column.name, array.data_type().clone(), true))
                .collect::<Vec<_>>(),
        ));
        let block = RecordBatch::try_new(raw, columns).map_err(bug)?;
        let found = self.compiled.eval(&block, &BatchTime::default())?;
        let mut keep = vec![true; entries.len()];
        for (row, (name, fields)) in entries.iter().enumerate() {
            let failed = found.failures.reason(row).map(str::to_owned);
            let why = failed.or_else(|| self.wrong(row, fields, &found.columns));
            let Some(reason) = why else { continue };
            keep[row] = false;
            let place = format!("{place} {name}");
            read.bad.push(BadRow { text: shown(fields), reason, place, line: 0, bytes: None });
        }
        // What failed is null, which a column that is never null may not hold: only whole rows are put together.
        let keep = BooleanArray::from(keep);
        let fields: Vec<_> = self.rows.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let loose = Arc::new(arrow::datatypes::Schema::new(fields));
        let kept = filter_record_batch(&RecordBatch::try_new(loose, found.columns).map_err(bug)?, &keep).map_err(bug)?;
        let kept = RecordBatch::try_new(Arc::clone(&self.rows), kept.columns().to_vec()).map_err(bug)?;
        if kept.num_rows() > 0 {
            read.blocks.push(kept);
        }
        Ok(())
    }

    /// Whether a column that is never null has nothing in it, or a text is none.
    fn wrong(&self, row: usize, fields: &Fields, columns: &[ArrayRef]) -> Option<String> {
        let of = self.schema.columns.iter().zip(columns);
        of.filter_map(|(column, array)| match fields.get(column.name.as_bytes()) {
            None if column.slot.nullable => None,
            None => Some(format!("field `{}` is missing", column.name)),
            Some(value) if column.slot.ty != Type::Bytes && std::str::from_utf8(value).is_err() => {
                Some(format!("field `{}` is not UTF-8", column.name))
            }
            Some(_) if array.is_null(row) && !column.slot.nullable => Some(format!("field `{}` is null", column.name)),
            Some(_) => None,
        })
        .next()
    }
}

fn as_type(of: TypedExpr, ty: &Type) -> TypedExpr {
    let (slot, span) = (Slot { ty: ty.clone(), nullable: of.slot.nullable }, of.span);
    TypedExpr { fails: true, ..TypedExpr::new(Node::Cast(Box::new(of)), slot, span) }
}

/// A column as it comes.
fn raw(column: &Column, entries: &[(String, Fields)]) -> ArrayRef {
    let values = entries.iter().map(|(_, fields)| fields.get(column.name.as_bytes()));
    if column.slot.ty == Type::Bytes {
        return Arc::new(values.map(|value| value.map(Vec::as_slice)).collect::<BinaryArray>());
    }
    let texts = values.map(|value| value.and_then(|bytes| std::str::from_utf8(bytes).ok()));
    Arc::new(texts.collect::<StringArray>())
}

/// Fields as people read them.
fn shown(fields: &Fields) -> String {
    let mut pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    pairs.sort();
    BadRow::shown(pairs.join(" ").as_bytes())
}
