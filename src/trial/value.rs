//! A cell taken out of Arrow, so that it can be compared with what a test expects and shown as a test would write it.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta};
use chrono_tz::Tz;
use datafusion_common::ScalarValue;
use millstream_dsl::print;
use serde_json::json;

use crate::model::time::show_duration;
use crate::model::{Schema, Type};

/// How far apart two floats may be, as a part of the larger one, before they are two values: results may be added up
/// in another order than the one a person calculated in.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// The same for `float32`, which has seven digits.
const FLOAT32_TOLERANCE: f64 = 1e-6;

/// What counts as zero beside zero.
const ZERO_TOLERANCE: f64 = 1e-12;

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true`
    Bool(bool),
    /// Every whole number type.
    Whole(i128),
    /// `float64`
    Float(f64),
    /// `float32`
    Float32(f32),
    /// All digits, and how many of them stand behind the point.
    Decimal(i128, i8),
    /// `string`
    Text(String),
    /// `json`, read; what cannot be read is a [`Value::Text`].
    Json(serde_json::Value),
    /// `bytes`
    Bytes(Vec<u8>),
    /// Days since 1970.
    Date(i32),
    /// Microseconds of the day.
    Time(i64),
    /// Microseconds since 1970 UTC, and the zone it is shown in.
    Timestamp(i64, Option<Tz>),
    /// Microseconds.
    Duration(i64),
    /// `list(T)`
    List(Vec<Value>),
    /// `map(K, V)`, in the order of the rows; the order means nothing.
    Map(Vec<(Value, Value)>),
    /// `{ a: T, b: U }`
    Record(Vec<(String, Value)>),
}

impl Value {
    /// A single value of that type.
    pub fn of_scalar(ty: &Type, scalar: &ScalarValue) -> Result<Value, ArrowError> {
        let array = scalar.to_array_of_size(1).map_err(|e| ArrowError::CastError(e.to_string()))?;
        let mut values = Value::of_column(ty, &array)?;
        Ok(values.pop().unwrap_or(Value::Null))
    }

    /// Every value of a column.
    pub fn of_column(ty: &Type, column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
        let wanted = ty.to_arrow();
        let column = if *column.data_type() == wanted { column.clone() } else { cast(column, &wanted)? };
        Ok((0..column.len()).map(|row| Value::at(ty, &column, row)).collect())
    }

    /// Every row of a block.
    pub fn of_rows(schema: &Schema, block: &RecordBatch) -> Result<Vec<Vec<Value>>, ArrowError> {
        let width = schema.columns.len();
        let mut rows: Vec<Vec<Value>> = (0..block.num_rows()).map(|_| Vec::with_capacity(width)).collect();
        for (column, array) in schema.columns.iter().zip(block.columns()) {
            let values = Value::of_column(&column.slot.ty, array)?;
            rows.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
        Ok(rows)
    }

    /// A value of a column that has the type's own layout.
    fn at(ty: &Type, column: &ArrayRef, row: usize) -> Value {
        if column.is_null(row) {
            return Value::Null;
        }
        match ty {
            Type::Unknown | Type::Null => Value::Null,
            Type::Bool => Value::Bool(column.as_boolean().value(row)),
            Type::Int8 => Value::Whole(column.as_primitive::<Int8Type>().value(row).into()),
            Type::Int16 => Value::Whole(column.as_primitive::<Int16Type>().value(row).into()),
            Type::Int32 => Value::Whole(column.as_primitive::<Int32Type>().value(row).into()),
            Type::Int64 => Value::Whole(column.as_primitive::<Int64Type>().value(row).into()),
            Type::UInt8 => Value::Whole(column.as_primitive::<UInt8Type>().value(row).into()),
            Type::UInt16 => Value::Whole(column.as_primitive::<UInt16Type>().value(row).into()),
            Type::UInt32 => Value::Whole(column.as_primitive::<UInt32Type>().value(row).into()),
            Type::UInt64 => Value::Whole(column.as_primitive::<UInt64Type>().value(row).into()),
            Type::Float32 => Value::Float32(column.as_primitive::<Float32Type>().value(row)),
            Type::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
            Type::Decimal { scale, .. } => Value::Decimal(column.as_primitive::<Decimal128Type>().value(row), *scale),
            Type::String => Value::Text(column.as_string::<i32>().value(row).to_owned()),
            Type::Json => json_value(column.as_string::<i32>().value(row)),
            Type::Bytes => Value::Bytes(column.as_binary::<i32>().value(row).to_vec()),
            Type::Date => Value::Date(column.as_primitive::<Date32Type>().value(row)),
            Type::Time => Value::Time(column.as_primitive::<Time64MicrosecondType>().value(row)),
            Type::Timestamp(zone) => Value::Timestamp(
                column.as_primitive::<TimestampMicrosecondType>().value(row),
                zone.as_ref().and_then(|zone| zone.parse().ok()),
            ),
            Type::Duration => Value::Duration(column.as_primitive::<DurationMicrosecondType>().value(row)),
            Type::List(element) => {
                let elements = column.as_list::<i32>().value(row);
                Value::List((0..elements.len()).map(|i| Value::at(&element.ty, &elements, i)).collect())
            }
            Type::Map(key, value) => {
                let entries = column.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                let entry = |i| (Value::at(key, keys, i), Value::at(&value.ty, values, i));
                Value::Map((0..entries.len()).map(entry).collect())
            }
            Type::Struct(columns) => {
                let fields = column.as_struct();
                let field = |(i, c): (usize, &crate::model::Column)| {
                    (c.name.clone(), Value::at(&c.slot.ty, fields.column(i), row))
                };
                Value::Record(columns.iter().enumerate().map(field).collect())
            }
        }
    }

    /// Whether a test takes one for the other: floats that are close are, and a NaN is a NaN.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => close(*a, *b, FLOAT_TOLERANCE),
            (Value::Float32(a), Value::Float32(b)) => close(f64::from(*a), f64::from(*b), FLOAT32_TOLERANCE),
            (Value::Timestamp(a, _), Value::Timestamp(b, _)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                let held = |(key, value): &(Value, Value)| b.iter().any(|(k, v)| k.same(key) && v.same(value));
                a.len() == b.len() && a.iter().all(held)
            }
            (Value::Record(a), Value::Record(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((n, a), (m, b))| n == m && a.same(b))
            }
            (a, b) => a == b,
        }
    }

    /// For reports that programs read. Numbers that JSON has no exact form for are texts.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Whole(n) => match (i64::try_from(*n), u64::try_from(*n)) {
                (Ok(n), _) => n.into(),
                (_, Ok(n)) => n.into(),
                _ => n.to_string().into(),
            },
            Value::Float(x) if x.is_finite() => json!(x),
            Value::Float32(x) if x.is_finite() => json!(x),
            Value::Text(text) => text.as_str().into(),
            Value::Json(value) => value.clone(),
            Value::List(values) => values.iter().map(Value::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.plain(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Record(fields) => fields
                .iter()
                .map(|(name, value)| (name.clone(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::Bytes(bytes) => hexadecimal(bytes).into(),
            other => other.plain().into(),
        }
    }

    /// Without the quotes around what is text.
    fn plain(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Float(x) => format!("{x:?}"),
            Value::Float32(x) => format!("{x:?}"),
            Value::Decimal(digits, scale) => decimal(*digits, *scale),
            Value::Date(days) => date(*days),
            Value::Time(micros) => time(*micros),
            Value::Timestamp(micros, zone) => timestamp(*micros, *zone),
            other => other.to_string(),
        }
    }
}

/// As a cell of a test is written.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Whole(n) => write!(f, "{n}"),
            Value::Float(x) if x.is_finite() => write!(f, "{x:?}"),
            Value::Float32(x) if x.is_finite() => write!(f, "{x:?}"),
            Value::Float(_) | Value::Float32(_) => write!(f, "\"{}\"", self.plain()),
            Value::Duration(micros) => f.write_str(&show_duration(*micros)),
            Value::Json(value) => write!(f, "{value}"),
            Value::Decimal(..) => f.write_str(&self.plain()),
            Value::Bytes(bytes) => write!(f, "bytes \"{}\"", hexadecimal(bytes)),
            Value::Text(_) | Value::Date(_) | Value::Time(_) | Value::Timestamp(..) => {
                f.write_str(&print::string(&self.plain()))
            }
            Value::List(values) => listed(f, "[", values.iter().map(Value::to_string), "]"),
            Value::Map(entries) => listed(f, "{ ", entries.iter().map(|(k, v)| format!("{k}: {v}")), " }"),
            Value::Record(fields) => listed(f, "{ ", fields.iter().map(|(n, v)| format!("{n}: {v}")), " }"),
        }
    }
}

fn listed(f: &mut fmt::Formatter<'_>, open: &str, items: impl Iterator<Item = String>, close: &str) -> fmt::Result {
    write!(f, "{open}{}{close}", items.collect::<Vec<_>>().join(", "))
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= (tolerance * a.abs().max(b.abs())).max(ZERO_TOLERANCE) && a.is_finite() && b.is_finite()
}

fn json_value(text: &str) -> Value {
    serde_json::from_str(text).map_or_else(|_| Value::Text(text.to_owned()), Value::Json)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn decimal(digits: i128, scale: i8) -> String {
    let behind = usize::from(scale.unsigned_abs());
    let text = digits.unsigned_abs().to_string();
    let sign = if digits < 0 { "-" } else { "" };
    if scale <= 0 {
        return format!("{sign}{text}{}", "0".repeat(if digits == 0 { 0 } else { behind }));
    }
    let text = format!("{text:0>width$}", width = behind + 1);
    let (whole, fraction) = text.split_at(text.len() - behind);
    format!("{sign}{whole}.{fraction}")
}

fn date(days: i32) -> String {
    let date = NaiveDate::default().checked_add_signed(TimeDelta::days(days.into()));
    date.map_or_else(|| format!("day {days}"), |date| date.to_string())
}

fn time(micros: i64) -> String {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).unwrap_or(u32::MAX);
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos);
    time.map_or_else(|| format!("{micros}us"), |time| time.to_string())
}

fn timestamp(micros: i64, zone: Option<Tz>) -> String {
    let Some(moment) = DateTime::from_timestamp_micros(micros) else { return format!("{micros}us") };
    match zone {
        Some(zone) => moment.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => moment.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, ListArray, StringViewArray};

    use super::*;
    use crate::model::{Column, Slot};

    #[test]
    fn values_are_shown_as_a_test_writes_them() {
        let shown = |ty: Type, scalar: ScalarValue| Value::of_scalar(&ty, &scalar).unwrap().to_string();
        let money = Type::Decimal { precision: 12, scale: 2 };
        assert_eq!(shown(money.clone(), ScalarValue::Decimal128(Some(-5), 12, 2)), "-0.05");
        assert_eq!(shown(money, ScalarValue::Decimal128(Some(1_050), 12, 2)), "10.50");
        assert_eq!(shown(Type::String, "say \"hi\"\n".into()), r#""say \"hi\"\n""#);
        assert_eq!(shown(Type::Float64, 90.0.into()), "90.0");
        assert_eq!(shown(Type::Float64, f64::NAN.into()), "\"NaN\"");
        assert_eq!(shown(Type::Date, ScalarValue::Date32(Some(-1))), "\"1969-12-31\"");
        assert_eq!(shown(Type::Time, ScalarValue::Time64Microsecond(Some(61_500_000))), "\"00:01:01.500\"");
        assert_eq!(shown(Type::Duration, ScalarValue::DurationMicrosecond(Some(90_000_000))), "90s");
        assert_eq!(shown(Type::Bytes, ScalarValue::Binary(Some(vec![0, 255]))), "bytes \"00ff\"");
        assert_eq!(shown(Type::Int64, ScalarValue::Int64(None)), "null");
    }

    #[test]
    fn a_moment_is_shown_in_the_zone_of_its_column() {
        let moment = |ty: Type| {
            let scalar = ScalarValue::TimestampMicrosecond(Some(1_767_268_800_000_000), Some("UTC".into()));
            Value::of_scalar(&ty, &scalar).unwrap()
        };
        let (plain, berlin) = (moment(Type::Timestamp(None)), moment(Type::Timestamp(Some("Europe/Berlin".into()))));
        assert_eq!(plain.to_string(), "\"2026-01-01T12:00:00Z\"");
        assert_eq!(berlin.to_string(), "\"2026-01-01T13:00:00+01:00\"");
        assert!(plain.same(&berlin));
    }

    #[test]
    fn close_floats_are_the_same_and_a_nan_is_a_nan() {
        let same = |a: f64, b: f64| Value::Float(a).same(&Value::Float(b));
        assert!(same(0.1 + 0.2, 0.3) && same(1e300, 1e300 * (1.0 + 1e-12)) && same(f64::NAN, -f64::NAN));
        assert!(same(0.0, -0.0) && same(f64::INFINITY, f64::INFINITY) && same(0.1 + 0.2 - 0.3, 0.0));
        assert!(!same(1.0, 1.000_001) && !same(f64::NAN, 1.0) && !same(f64::INFINITY, 1e308) && !same(1e-6, 0.0));
        assert!(Value::Float32(0.1 + 0.2).same(&Value::Float32(0.3)));
    }

    #[test]
    fn nested_values_are_compared_inside() {
        let floats: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(0.1 + 0.2), None])]));
        let ty = Type::List(Box::new(Slot::nullable(Type::Float64)));
        let value = Value::of_column(&ty, &floats).unwrap().remove(0);
        assert_eq!(value.to_string(), "[0.30000000000000004, null]");
        assert!(value.same(&Value::List(vec![Value::Float(0.3), Value::Null])));
        let map = |pairs: [(&str, i128); 2]| {
            Value::Map(pairs.into_iter().map(|(k, v)| (Value::Text(k.into()), Value::Whole(v))).collect())
        };
        assert!(map([("a", 1), ("b", 2)]).same(&map([("b", 2), ("a", 1)])));
        assert!(!map([("a", 1), ("b", 2)]).same(&map([("a", 2), ("b", 1)])));
        assert!(json_value(r#"{"a":1,"b":2}"#).same(&json_value(r#"{ "b": 2, "a": 1 }"#)));
    }

    #[test]
    fn another_layout_of_the_same_type_is_the_same() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
        assert_eq!(Value::of_column(&Type::String, &views).unwrap(), [Value::Text("a".into()), Value::Null]);
    }

    #[test]
    fn records_and_what_json_cannot_hold_have_a_json_form() {
        let ty = Type::Struct(vec![Column::new("x", Slot::required(Type::Float64))]);
        let record: ArrayRef = Arc::new(arrow::array::StructArray::from(vec![(
            Arc::new(arrow::datatypes::Field::new("x", Type::Float64.to_arrow(), false)),
            Arc::new(Float64Array::from(vec![f64::NAN])) as ArrayRef,
        )]));
        let value = Value::of_column(&ty, &record).unwrap().remove(0);
        assert_eq!((value.to_string().as_str(), value.to_json()), ("{ x: \"NaN\" }", json!({ "x": "NaN" })));
        assert_eq!(Value::Decimal(1050, 2).to_json(), json!("10.50"));
        assert_eq!(Value::Whole(i128::from(u64::MAX)).to_json(), json!(u64::MAX));
    }
}
