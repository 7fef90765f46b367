//! Types of the language as those of PostgreSQL. Rows are staged in a table with columns that hold every value there is,
//! and cast from there to what the target's columns are, so that these may be anything a value can become.

use crate::model::Type;

/// A column of a table that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    /// Its type as SQL writes it, without length: a cast to a type with one would cut texts in silence.
    pub(crate) ty: String,
    /// The name of the type, or of what its domain is made of.
    pub(crate) base: String,
    /// PostgreSQL's letter for its kind: `N` numbers, `S` texts, `A` arrays ...
    pub(crate) category: String,
    /// A row must have a value for it, and nothing else gives one.
    pub(crate) needed: bool,
    /// Only the server computes it.
    pub(crate) generated: bool,
}

/// What a column is staged as.
pub(crate) fn staged(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".into(),
        Type::UInt64 => "numeric".into(),
        ty if ty.is_integer() => "int8".into(),
        Type::Float32 => "float4".into(),
        Type::Float64 => "float8".into(),
        Type::Decimal { .. } => "numeric".into(),
        Type::Bytes => "bytea".into(),
        Type::Date => "date".into(),
        Type::Time => "time".into(),
        Type::Timestamp(_) => "timestamptz".into(),
        Type::Duration => "interval".into(),
        Type::List(item) if is_plain(&item.ty) => format!("{}[]", staged(&item.ty)),
        // JSON goes as text: what the server finds wrong with it, it finds where rows can be told apart.
        _ => "text".into(),
    }
}

/// What the column is in a table that is made for the rows.
pub(crate) fn made(ty: &Type) -> String {
    match ty {
        Type::Int8 | Type::Int16 | Type::UInt8 => "smallint".into(),
        Type::Int32 | Type::UInt16 => "integer".into(),
        Type::Int64 | Type::UInt32 => "bigint".into(),
        Type::UInt64 => "numeric(20)".into(),
        Type::Float32 => "real".into(),
        Type::Float64 => "double precision".into(),
        Type::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        Type::Bool => "boolean".into(),
        Type::List(item) if is_plain(&item.ty) => format!("{}[]", made(&item.ty)),
        Type::Json | Type::List(_) | Type::Map(..) | Type::Struct(_) => "jsonb".into(),
        ty => staged(ty),
    }
}

/// Whether lists of it are arrays.
pub(crate) fn is_plain(ty: &Type) -> bool {
    !ty.is_nested() && !matches!(ty, Type::Json | Type::Unknown | Type::Null)
}

/// What makes a staged column one of the target: an expression over `column`. None: its values cannot be there.
pub(crate) fn fits(ty: &Type, target: &Target, column: &str) -> Option<String> {
    let base = target.base.as_str();
    let is_json = matches!(base, "json" | "jsonb");
    let as_json = || format!("to_json({column})::{}", target.ty);
    let plain = || format!("{column}::{}", target.ty);
    let one_of = |names: &[&str]| names.contains(&base).then(plain);
    match ty {
        Type::Json | Type::Map(..) | Type::Struct(_) => one_of(&["json", "jsonb", "text", "varchar"]),
        Type::List(item) if !is_plain(&item.ty) => one_of(&["json", "jsonb", "text", "varchar"]),
        Type::List(_) if is_json => Some(as_json()),
        Type::List(_) => (target.category == "A").then(plain),
        Type::Bool => one_of(&["bool"]).or_else(|| is_json.then(as_json)),
        ty if ty.is_integer() => {
            one_of(&["int2", "int4", "int8", "numeric", "float4", "float8"]).or_else(|| is_json.then(as_json))
        }
        Type::Float32 | Type::Float64 => one_of(&["float4", "float8", "numeric"]),
        Type::Decimal { .. } => one_of(&["numeric", "float4", "float8"]),
        Type::Bytes => one_of(&["bytea"]),
        Type::Date => one_of(&["date", "timestamp", "timestamptz"]),
        Type::Time => one_of(&["time"]),
        Type::Timestamp(_) => one_of(&["timestamptz", "timestamp"]),
        Type::Duration => one_of(&["interval"]),
        // Texts become what is written as text: uuid, inet, an enum.
        Type::String => {
            (!is_json && base != "bytea" && matches!(target.category.as_str(), "S" | "E" | "U" | "I")).then(plain)
        }
        _ => None,
    }
}
