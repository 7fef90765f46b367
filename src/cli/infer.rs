//! `millstream infer`: a `type` statement for a sample of data.

mod csv;
mod json;
mod shape;
mod value;

use std::fs::File;
use std::io::Write;
use std::path::Path;

use millstream_dsl::ast::{self, At, Ident, StatementKind, Trivia};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::args::Infer;
use super::terminal::{self, Terminal};
use super::{Exit, Failure, Outcome};
use crate::load::STDIN;
use crate::model::{Schema, Slot, Type};

/// What Parquet files start with.
const PARQUET_MAGIC: &[u8] = b"PAR1";

/// Prints the type in the layout of `fmt`.
pub(crate) fn infer(args: &Infer, terminal: &mut Terminal) -> Outcome {
    let ty = sampled(&args.file, args.rows)?;
    let name = args.name.clone().unwrap_or_else(|| type_name(&args.file));
    let kind = StatementKind::Type { name: Ident { name, at: At::default() }, ty: written(&Slot::required(ty)) };
    let statement = ast::Statement { trivia: Trivia::default(), kind, at: At::default() };
    let text = millstream_dsl::print::file(&ast::File { statements: vec![statement], end: Vec::new() });
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

fn sampled(path: &Path, rows: usize) -> Result<Type, Failure> {
    let bytes = if path == Path::new(STDIN) { terminal::read_stdin() } else { std::fs::read(path) };
    let bytes = bytes.map_err(|refused| Failure::of(path, &refused))?;
    let not_that = |why: String| Failure::new(format!("`{}`: {why}", path.display()));
    if bytes.starts_with(PARQUET_MAGIC) {
        return parquet_type(path).map_err(not_that);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| not_that("neither UTF-8 text nor Parquet".into()))?;
    let first = text.trim_start().chars().next();
    let columns = match first {
        None => return Err(not_that("it is empty".into())),
        Some('{' | '[') => json::columns(text, rows),
        Some(_) => csv::columns(text, rows),
    };
    columns.map(Type::Struct).map_err(not_that)
}

fn parquet_type(path: &Path) -> Result<Type, String> {
    if path == Path::new(STDIN) {
        return Err("Parquet is read from its end, so give it as a file".into());
    }
    let file = File::open(path).map_err(|e| crate::load::plain_words(&e))?;
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| format!("it is no whole Parquet file: {e}"))?;
    let schema =
        Schema::from_arrow(reader.schema().fields()).ok_or("it has a column of a type that is not supported")?;
    Ok(Type::Struct(schema.columns))
}

/// `shop-orders.json` gives `ShopOrders`.
fn type_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let words = stem.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default()
    };
    let name: String = words.map(capital).collect();
    if name.chars().next().is_some_and(char::is_alphabetic) { name } else { "Row".into() }
}

/// A type as it is written.
fn written(slot: &Slot) -> ast::TypeExpr {
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
