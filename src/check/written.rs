//! Types as a user would write them, for what can be pasted.

use millstream_dsl::ast::{self, At, Ident, Trivia};

use crate::model::{Slot, Type};

/// A type as it is written.
pub fn written(slot: &Slot) -> ast::TypeExpr {
    let word = |name: &str, args| ast::TypeKind::Named { name: ident(name), args };
    let kind = match &slot.ty {
        Type::Struct(columns) => {
            let fields = columns.iter().map(|column| ast::TypeField {
                trivia: Trivia::default(),
                name: ident(&column.name),
                ty: written(&column.slot),
            });
            ast::TypeKind::Struct { fields: fields.collect(), end: Vec::new() }
        }
        Type::List(element) => word("list", vec![ast::TypeArg::Type(written(element))]),
        Type::Map(key, value) => {
            let key = written(&Slot::required(key.as_ref().clone()));
            word("map", vec![ast::TypeArg::Type(key), ast::TypeArg::Type(written(value))])
        }
        Type::Decimal { precision, scale } => {
            let number = |value| ast::TypeArg::Number { value, at: At::default() };
            word("decimal", vec![number(u64::from(*precision)), number(u64::from(scale.unsigned_abs()))])
        }
        Type::Timestamp(Some(zone)) => {
            word("timestamp", vec![ast::TypeArg::Text(ast::Text { value: zone.to_string(), at: At::default() })])
        }
        Type::Null | Type::Unknown => word("json", Vec::new()),
        plain => word(&plain.to_string(), Vec::new()),
    };
    ast::TypeExpr { kind, nullable: slot.nullable, at: At::default() }
}

fn ident(name: &str) -> Ident {
    Ident { name: name.into(), at: At::default() }
}
