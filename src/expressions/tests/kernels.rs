//! The reviewed facts of functions, held against their kernels with odd values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use datafusion_common::ScalarValue;
use millstream_dsl::Span;

use super::build::{Table, table};
use crate::functions::scalars;
use crate::model::{Slot, Type};
use crate::plan::catalog::{Argument, Failure, FunctionBody, FunctionEntry};
use crate::plan::{Node, TypedExpr};

/// At most so many rows for one overload.
const ROWS: usize = 100;

/// At most so many overloads of one function.
const MOST_OVERLOADS: usize = 12;

/// Functions that take nothing without a constant; tested by themselves.
const NEED_CONSTANTS: [&str; 2] = ["date_part", "named_struct"];

#[test]
fn a_total_function_never_fails_and_what_is_never_null_is_not() {
    let mut wrong = Vec::new();
    for entry in scalars() {
        let overloads = overloads(&entry);
        if NEED_CONSTANTS.contains(&entry.doc.name.as_str()) {
            continue;
        }
        if overloads.is_empty() && matches!(entry.body, FunctionBody::Scalar(_)) {
            wrong.push(format!("{}: no arguments fit", entry.doc.name));
        }
        let mut fallen = false;
        for types in overloads {
            for nullable in [false, true] {
                match run(&entry, &types, nullable) {
                    Ok(failed) => fallen |= failed,
                    Err(why) => wrong.push(format!("{}({types:?}): {why}", entry.doc.name)),
                }
            }
        }
        if entry.failure == Failure::Fallible && !fallen {
            wrong.push(format!("{}: is said to be fallible, but nothing fails", entry.doc.name));
        }
    }
    wrong.dedup_by(|a, b| a.split('(').next() == b.split('(').next());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The argument types that a function takes, among the sampled ones.
fn overloads(entry: &FunctionEntry) -> Vec<Vec<Type>> {
    if !matches!(entry.body, FunctionBody::Scalar(_)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut level: Vec<Vec<Type>> = vec![Vec::new()];
    for _ in 0..=4 {
        for types in &level {
            let args: Vec<_> = types.iter().map(|ty| argument(ty, false)).collect();
            match (entry.resolve)(entry, &args) {
                Ok(_) => found.push(types.clone()),
                Err(why) if why.contains(", got ") && why.starts_with("takes ") => break,
                Err(_) => {}
            }
        }
        level = level.iter().flat_map(|types| longer(types)).collect();
    }
    let step = found.len() / MOST_OVERLOADS + 1;
    found.into_iter().step_by(step).collect()
}

/// One more argument: anything in the first place, then a common type, a moment or the first one again.
fn longer(types: &[Type]) -> Vec<Vec<Type>> {
    let mut pool = if types.is_empty() { all_types() } else { common_types() };
    if types.len() == 1 {
        pool.extend([Type::Float64, Type::Timestamp(None), Type::Date, Type::Duration]);
    }
    if let Some(first) = types.first().filter(|first| !pool.contains(first)) {
        pool.push(first.clone());
    }
    pool.into_iter().map(|ty| [types, &[ty]].concat()).collect()
}

fn argument(ty: &Type, nullable: bool) -> Argument<'static> {
    Argument { slot: Slot { ty: ty.clone(), nullable }, constant: None, lambda: false }
}

/// Whether a row failed that may; `Err` what is not as the entry says.
fn run(entry: &Arc<FunctionEntry>, types: &[Type], nullable: bool) -> Result<bool, String> {
    let args: Vec<_> = types.iter().map(|ty| argument(ty, nullable)).collect();
    let signature = (entry.resolve)(entry, &args)?;
    let table = odd_rows(types, nullable);
    let names: Vec<_> = table.schema.names().map(str::to_owned).collect();
    let columns = names.iter().zip(&signature.args).map(|(name, ty)| {
        let column = table.column(name);
        let same = column.slot.ty == *ty;
        if same { column } else { super::build::cast(column, ty.clone()) }
    });
    let node = Node::Call { function: Arc::clone(entry), args: columns.collect() };
    let result = table.eval(&TypedExpr::new(node, signature.result.clone(), Span::default()));
    let surprising = |why: &str| entry.failure != Failure::Fallible || why.ends_with(crate::expressions::call::BROKEN);
    if let Some((row, why)) = result.failures.iter().find(|(_, why)| surprising(why)) {
        return Err(format!("fails for row {row} {}: {why}", row_text(&table, row)));
    }
    if signature.result.nullable {
        return Ok(!result.failures.is_empty());
    }
    let null =
        (0..table.rows.num_rows()).find(|&row| result.failures.reason(row).is_none() && result.columns[0].is_null(row));
    match null {
        Some(row) => Err(format!("is null for row {}", row_text(&table, row))),
        None => Ok(!result.failures.is_empty()),
    }
}

fn row_text(table: &Table, row: usize) -> String {
    let cell = |column: &ArrayRef| ScalarValue::try_from_array(column, row).map_or("?".into(), |v| v.to_string());
    table.rows.columns().iter().map(cell).collect::<Vec<_>>().join(", ")
}

/// Rows of every combination of odd values, as far as there is room.
fn odd_rows(types: &[Type], nullable: bool) -> Table {
    let odd: Vec<_> = types.iter().map(|ty| odd_values(ty, nullable)).collect();
    let all: usize = odd.iter().map(|o| o.len()).product();
    let step = (all / ROWS).max(1) | 1;
    let picked: Vec<usize> = (0..all).step_by(step).collect();
    let mut columns = Vec::new();
    let mut stride = 1;
    for (at, (values, ty)) in odd.iter().zip(types).enumerate() {
        let rows = picked.iter().map(|p| u32::try_from(p / stride % values.len()).unwrap());
        let column = take(values, &UInt32Array::from_iter_values(rows), None).unwrap();
        columns.push((["a", "b", "c", "d"][at], Slot { ty: ty.clone(), nullable }, column));
        stride *= values.len();
    }
    table(columns)
}

fn common_types() -> Vec<Type> {
    vec![Type::String, Type::Int64, list(Type::Int64)]
}

fn all_types() -> Vec<Type> {
    vec![
        Type::String,
        Type::Int64,
        Type::Float64,
        Type::Int8,
        Type::UInt64,
        Type::Float32,
        Type::Decimal { precision: 38, scale: 4 },
        Type::Decimal { precision: 5, scale: 0 },
        Type::Bool,
        Type::Bytes,
        Type::Date,
        Type::Time,
        Type::Timestamp(None),
        Type::Timestamp(Some("Europe/Berlin".into())),
        Type::Duration,
        Type::Json,
        list(Type::Int64),
        list(Type::String),
        list(Type::Float64),
        list(list(Type::Int64)),
        Type::Map(Box::new(Type::String), Box::new(Slot::nullable(Type::Int64))),
    ]
}

fn list(ty: Type) -> Type {
    Type::List(Box::new(Slot::nullable(ty)))
}

fn odd_values(ty: &Type, nullable: bool) -> ArrayRef {
    let values = odd_scalars(ty);
    let null = nullable.then(|| ScalarValue::try_from(&ty.to_arrow()).unwrap());
    let array = ScalarValue::iter_to_array(values.into_iter().chain(null)).unwrap();
    crate::expressions::attempt::conformed(&array, &ty.to_arrow()).unwrap()
}

fn odd_scalars(ty: &Type) -> Vec<ScalarValue> {
    const STRINGS: [&str; 12] = [
        "",
        "a",
        "É\u{1F600}e\u{301}",
        "2026-02-30",
        "2026-01-01T00:00:00Z",
        "-1",
        "[",
        "%",
        "{\"a\":1}",
        "day",
        "sha256",
        " \0\n",
    ];
    const INTS: [i64; 8] = [0, 1, -1, 2, 25, i64::MIN, i64::MAX, 1_700_000_000];
    const FLOATS: [f64; 9] = [0.0, -0.0, 1.5, -1.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 1e-300];
    match ty {
        Type::String => STRINGS.iter().map(|s| ScalarValue::Utf8(Some((*s).into()))).collect(),
        Type::Json => {
            ["{}", "[1,\"x\"]", "null", "\"s\""].iter().map(|s| ScalarValue::Utf8(Some((*s).into()))).collect()
        }
        Type::Bytes => STRINGS
            .iter()
            .map(|s| ScalarValue::Binary(Some(s.as_bytes().into())))
            .chain([ScalarValue::Binary(Some(vec![0xff, 0]))])
            .collect(),
        Type::Int64 => INTS.iter().map(|n| ScalarValue::Int64(Some(*n))).collect(),
        Type::Int8 => [0, 1, -1, i8::MIN, i8::MAX].iter().map(|n| ScalarValue::Int8(Some(*n))).collect(),
        Type::UInt64 => [0, 1, 3, u64::MAX].iter().map(|n| ScalarValue::UInt64(Some(*n))).collect(),
        Type::Float64 => FLOATS.iter().map(|n| ScalarValue::Float64(Some(*n))).collect(),
        Type::Float32 => [0.0, -0.0, 2.5, f32::NAN, f32::MAX].iter().map(|n| ScalarValue::Float32(Some(*n))).collect(),
        Type::Decimal { precision, scale } => {
            let largest = 10_i128.pow(u32::from(*precision)) - 1;
            [0, 1, -15, largest, -largest]
                .iter()
                .map(|n| ScalarValue::Decimal128(Some(*n), *precision, *scale))
                .collect()
        }
        Type::Bool => [true, false].iter().map(|b| ScalarValue::Boolean(Some(*b))).collect(),
        Type::Date => [0, -719_528, 20_454, 2_932_896].iter().map(|d| ScalarValue::Date32(Some(*d))).collect(),
        Type::Time => [0, 1, 86_399_999_999].iter().map(|t| ScalarValue::Time64Microsecond(Some(*t))).collect(),
        Type::Timestamp(_) => {
            let zone = match ty.to_arrow() {
                arrow::datatypes::DataType::Timestamp(_, zone) => zone,
                _ => None,
            };
            let micros = [0, -1, super::build::NEW_YEAR, 253_402_300_799_999_999, -62_135_596_800_000_000];
            micros.iter().map(|m| ScalarValue::TimestampMicrosecond(Some(*m), zone.clone())).collect()
        }
        Type::Duration => {
            [0, 1, -1, 3_600_000_000, i64::MAX].iter().map(|d| ScalarValue::DurationMicrosecond(Some(*d))).collect()
        }
        Type::List(element) => lists(&element.ty),
        Type::Map(..) => maps(ty),
        other => panic!("no odd values of {other}"),
    }
}

fn lists(element: &Type) -> Vec<ScalarValue> {
    let arrow = element.to_arrow();
    let odd = odd_scalars(element);
    let null = ScalarValue::try_from(&arrow).unwrap();
    let few: Vec<_> = odd.iter().take(3).cloned().collect();
    let doubled = [few.clone(), few.clone()].concat();
    let cases = [Vec::new(), vec![null.clone()], few, odd, doubled, vec![null.clone(), null]];
    cases.iter().map(|items| ScalarValue::List(ScalarValue::new_list_nullable(items, &arrow))).collect()
}

fn maps(ty: &Type) -> Vec<ScalarValue> {
    use arrow::array::{Int64Builder, MapBuilder, StringBuilder};
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.append(true).unwrap();
    map.keys().append_value("a");
    map.values().append_value(1);
    map.keys().append_value("");
    map.values().append_null();
    map.append(true).unwrap();
    let array: ArrayRef = Arc::new(map.finish());
    let array = crate::expressions::attempt::conformed(&array, &ty.to_arrow()).unwrap();
    (0..array.len()).map(|row| ScalarValue::try_from_array(&array, row).unwrap()).collect()
}
