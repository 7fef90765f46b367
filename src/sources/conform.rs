//! Rows that come in columns near to those that are declared, from servers: cast, and those that do not fit taken out.

use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_dsl::Span;

use crate::expressions::Compiled;
use crate::model::{Schema, Slot, Type};
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Read};
use crate::plan::{Node, TypedExpr};

/// Turns columns as they come into those that are declared.
pub(super) struct Conforming {
    schema: Schema,
    rows: SchemaRef,
    compiled: Compiled,
}

impl Conforming {
    /// From columns of the same names, in the same order.
    pub(super) fn new(from: &Schema, to: &Schema) -> Result<Self, NotRunnable> {
        let pairs = from.columns.iter().zip(&to.columns).enumerate();
        let cast = |(at, (from, to)): (usize, (&crate::model::Column, &crate::model::Column))| {
            let of = TypedExpr::column(at, from, Span::default());
            match (&from.slot.ty, &to.slot.ty) {
                (from, to) if from == to => of,
                (Type::String, to) if to.is_nested() => as_type(as_type(of, &Type::Json), to),
                (_, to) => as_type(of, to),
            }
        };
        let exprs: Vec<TypedExpr> = pairs.map(cast).collect();
        Ok(Conforming { compiled: Compiled::new(&exprs, from)?, rows: to.to_arrow(), schema: to.clone() })
    }

    /// Adds the rows that fit, and the others as bad ones: `wrong` knows of some, `place` says where each comes from.
    pub(super) fn add(
        &self,
        block: &RecordBatch,
        wrong: impl Fn(usize) -> Option<String>,
        place: impl Fn(usize) -> (String, u64),
        read: &mut Read,
    ) -> Result<(), TaskError> {
        let bug = |e: ArrowError| TaskError::Bug(e.to_string());
        let found = self.compiled.eval(block, &BatchTime::default())?;
        let empty = |row: usize| {
            let of = self.schema.columns.iter().zip(&found.columns);
            let mut missing = of.filter(|(column, array)| !column.slot.nullable && array.is_null(row));
            missing.next().map(|(column, _)| format!("field `{}` is null", column.name))
        };
        let mut keep = vec![true; block.num_rows()];
        for (row, keep) in keep.iter_mut().enumerate() {
            let failed = found.failures.reason(row).map(str::to_owned);
            let Some(reason) = failed.or_else(|| wrong(row)).or_else(|| empty(row)) else { continue };
            *keep = false;
            let (place, line) = place(row);
            read.bad.push(BadRow { text: shown(block, row).map_err(bug)?, reason, place, line, bytes: None });
        }
        // What failed is null, which a column that is never null may not hold: only whole rows are put together.
        let fields: Vec<_> = self.rows.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let loose = Arc::new(arrow::datatypes::Schema::new(fields));
        let all = RecordBatch::try_new(loose, found.columns).map_err(bug)?;
        let kept = filter_record_batch(&all, &BooleanArray::from(keep)).map_err(bug)?;
        if kept.num_rows() > 0 {
            let kept = RecordBatch::try_new(Arc::clone(&self.rows), kept.columns().to_vec()).map_err(bug)?;
            read.blocks.push(kept);
        }
        Ok(())
    }
}

fn as_type(of: TypedExpr, ty: &Type) -> TypedExpr {
    let (slot, span) = (Slot { ty: ty.clone(), nullable: of.slot.nullable }, of.span);
    TypedExpr { fails: true, ..TypedExpr::new(Node::Cast(Box::new(of)), slot, span) }
}

/// A row as people read it.
fn shown(block: &RecordBatch, row: usize) -> Result<String, ArrowError> {
    let mut parts = Vec::new();
    for (field, array) in block.schema().fields().iter().zip(block.columns()) {
        if array.is_valid(row) {
            let value = ArrayFormatter::try_new(array, &FormatOptions::new())?.value(row).to_string();
            parts.push(format!("{}={value}", field.name()));
        }
    }
    Ok(BadRow::shown(parts.join(" ").as_bytes()))
}
