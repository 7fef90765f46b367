//! Small builders for typed expressions, as the checker would make them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion_common::ScalarValue;
use millstream_dsl::Span;
use millstream_dsl::ast::BinaryOp;

use crate::expressions::{Compiled, Evaluation};
use crate::functions::scalars;
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{Argument, FunctionEntry, find};
use crate::plan::operator::BatchTime;
use crate::plan::{Node, TypedExpr};

/// 2026-01-01T00:00:00Z
pub(super) const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// Named columns of rows.
pub(super) struct Table {
    pub schema: Schema,
    pub rows: RecordBatch,
}

pub(super) fn table(columns: Vec<(&str, Slot, ArrayRef)>) -> Table {
    let count = columns.first().map_or(1, |c| c.2.len());
    let schema = Schema::new(columns.iter().map(|(name, slot, _)| Column::new(*name, slot.clone())).collect());
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let arrays = columns.into_iter().map(|c| c.2).collect();
    let rows =
        RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options).expect("columns fit their schema");
    Table { schema, rows }
}

impl Table {
    pub(super) fn column(&self, name: &str) -> TypedExpr {
        let index = self.schema.position(name).expect(name);
        TypedExpr::column(index, &self.schema.columns[index], Span::default())
    }

    pub(super) fn eval(&self, expr: &TypedExpr) -> Evaluation {
        let compiled = Compiled::new(std::slice::from_ref(expr), &self.schema).expect("it compiles");
        compiled.eval(&self.rows, &BatchTime { number: 3, micros: NEW_YEAR }).expect("it runs")
    }

    /// Values as text: `-` for null, `!` for a failed row.
    pub(super) fn show(&self, expr: &TypedExpr) -> String {
        let result = self.eval(expr);
        let column = &result.columns[0];
        assert_eq!(column.data_type(), &expr.slot.ty.to_arrow());
        let shown = ArrayFormatter::try_new(column, &FormatOptions::new()).expect("it can be shown");
        let cell = |row| match result.failures.reason(row) {
            Some(_) => "!".to_owned(),
            None if column.is_null(row) || column.data_type().is_null() => "-".to_owned(),
            None => shown.value(row).to_string(),
        };
        (0..column.len()).map(cell).collect::<Vec<_>>().join(" ")
    }
}

/// One row without columns.
pub(super) fn nothing() -> Table {
    table(Vec::new())
}

pub(super) fn of(ty: Type, node: Node) -> TypedExpr {
    TypedExpr::new(node, Slot::nullable(ty), Span::default())
}

pub(super) fn int(value: i64) -> TypedExpr {
    TypedExpr::literal(ScalarValue::Int64(Some(value)), Span::default())
}

pub(super) fn text(value: &str) -> TypedExpr {
    TypedExpr::literal(ScalarValue::Utf8(Some(value.to_owned())), Span::default())
}

pub(super) fn binary(a: TypedExpr, op: BinaryOp, b: TypedExpr) -> TypedExpr {
    let ty = if op.compares() { Type::Bool } else { a.slot.ty.clone() };
    of(ty, Node::Binary(Box::new(a), op, Box::new(b)))
}

pub(super) fn cast(a: TypedExpr, ty: Type) -> TypedExpr {
    of(ty, Node::Cast(Box::new(a)))
}

pub(super) fn or_else(a: TypedExpr, b: TypedExpr) -> TypedExpr {
    of(a.slot.ty.clone(), Node::Coalesce(Box::new(a), Box::new(b)))
}

pub(super) fn function(name: &str) -> Arc<FunctionEntry> {
    find(&scalars(), name).unwrap_or_else(|| panic!("function {name}")).clone()
}

/// A call with its arguments cast as its overload says.
pub(super) fn call(name: &str, args: Vec<TypedExpr>) -> TypedExpr {
    let function = function(name);
    let constants: Vec<_> = args.iter().map(crate::expressions::constant).collect();
    let arguments: Vec<_> = args
        .iter()
        .zip(&constants)
        .map(|(a, c)| Argument {
            slot: a.slot.clone(),
            constant: c.as_ref(),
            lambda: matches!(a.node, Node::Lambda { .. }),
        })
        .collect();
    let signature = (function.resolve)(&function, &arguments).unwrap_or_else(|why| panic!("function {name} {why}"));
    let lambda = |a: &TypedExpr| matches!(a.node, Node::Lambda { .. });
    let fit = |(a, ty): (TypedExpr, Type)| if a.slot.ty == ty || lambda(&a) { a } else { cast(a, ty) };
    let args = args.into_iter().zip(signature.args).map(fit).collect();
    TypedExpr::new(Node::Call { function, args }, signature.result, Span::default())
}
