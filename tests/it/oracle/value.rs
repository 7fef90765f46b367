//! Plain values and rows, and their way from and to Arrow: all that the oracle knows of data.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};

/// A value of a row.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Digits, and how many of them stand behind the point.
    Dec(i128, i8),
    /// Microseconds since 1970.
    Time(i64),
    List(Vec<Value>),
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Bool,
    Int,
    Float,
    Text,
    /// Precision and scale.
    Dec(u8, i8),
    Time,
    Ints,
    Texts,
}

/// One row.
pub(crate) type Row = Vec<Value>;

impl Value {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub(crate) fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// Equal as keys are: null to null, NaN to NaN, both zeros to each other.
    pub(crate) fn same(&self, other: &Value) -> bool {
        self.order(other) == Ordering::Equal
    }

    /// An order of all values, nulls first, NaN last; numbers of both zeros are equal.
    pub(crate) fn order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Less,
            (_, Value::Null) => Ordering::Greater,
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Time(a), Value::Time(b)) => a.cmp(b),
            (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Value::Dec(a, s), Value::Dec(b, t)) => {
                let scale = (*s).max(*t);
                rescaled(*a, *s, scale).cmp(&rescaled(*b, *t, scale))
            }
            (Value::Float(a), Value::Float(b)) => plain(*a).total_cmp(&plain(*b)),
            (Value::List(a), Value::List(b)) => {
                let pairs = a.iter().zip(b).map(|(x, y)| x.order(y));
                pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
            }
            (a, b) => panic!("{a:?} and {b:?} are not of one type"),
        }
    }

    /// The same, but -0.0 comes before 0.0.
    pub(crate) fn exact_order(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) if !a.is_nan() || !b.is_nan() => a.total_cmp(b),
            _ => self.order(other),
        }
    }

    /// Equal as results are: floats up to rounding.
    pub(crate) fn close(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => {
                let far = (a - b).abs() > 1e-9 * a.abs().max(b.abs()).max(1.0);
                (a.is_nan() && b.is_nan()) || a == b || (a.is_finite() && b.is_finite() && !far)
            }
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.close(y)),
            (Value::Dec(..), Value::Dec(..)) | (Value::Null, _) | (_, Value::Null) => self.same(other),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && a.same(b),
        }
    }
}

/// One zero, one NaN.
fn plain(float: f64) -> f64 {
    if float.is_nan() { f64::NAN } else { float + 0.0 }
}

/// The same number with more digits behind the point.
pub(crate) fn rescaled(digits: i128, from: i8, to: i8) -> i128 {
    digits * 10_i128.pow(u32::try_from(to - from).expect("more digits"))
}

/// Whether two rows are equal as keys are.
pub(crate) fn same_rows(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.same(y))
}

/// The order in which the engine puts rows whose order is not said: by their columns, with -0.0 before 0.0.
pub(crate) fn engine_order(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).fold(Ordering::Equal, |so_far, (x, y)| so_far.then_with(|| x.exact_order(y)))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Float(x) => write!(f, "{x:?}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Dec(digits, scale) => write!(f, "{digits}e-{scale}"),
            Value::Time(micros) => write!(f, "@{micros}"),
            Value::List(values) => {
                f.write_str("[")?;
                values.iter().try_for_each(|value| write!(f, "{value} "))?;
                f.write_str("]")
            }
        }
    }
}

/// Rows as a text, one a line.
pub(crate) fn show(rows: &[Row]) -> String {
    let line = |row: &Row| format!("    {}\n", row.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | "));
    rows.iter().map(line).collect()
}

/// Rows as a batch of this schema.
pub(crate) fn to_batch(schema: &SchemaRef, rows: &[Row]) -> RecordBatch {
    let column = |(i, field): (usize, &Arc<arrow::datatypes::Field>)| {
        let values: Vec<&Value> = rows.iter().map(|row| &row[i]).collect();
        to_array(field.data_type(), &values)
    };
    let columns = schema.fields().iter().enumerate().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap()
}

fn to_array(ty: &DataType, values: &[&Value]) -> ArrayRef {
    macro_rules! column {
        ($array:ident, $variant:ident) => {
            values
                .iter()
                .map(|v| match v {
                    Value::$variant(x) => Some(x.clone()),
                    _ => None,
                })
                .collect::<$array>()
        };
    }
    match ty {
        DataType::Boolean => Arc::new(column!(BooleanArray, Bool)),
        DataType::Int64 => Arc::new(column!(Int64Array, Int)),
        DataType::Float64 => Arc::new(column!(Float64Array, Float)),
        DataType::Utf8 => Arc::new(column!(StringArray, Text)),
        DataType::Timestamp(_, zone) => {
            Arc::new(column!(TimestampMicrosecondArray, Time).with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(..) => {
            let digits = values.iter().map(|v| if let Value::Dec(digits, _) = v { Some(*digits) } else { None });
            Arc::new(digits.collect::<Decimal128Array>().with_data_type(ty.clone()))
        }
        DataType::List(element) => {
            let lists = values.iter().map(|v| match v {
                Value::List(items) => Some(items.iter().map(|i| if let Value::Int(n) = i { Some(*n) } else { None })),
                _ => None,
            });
            let list = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
            let (_, offsets, items, nulls) = list.into_parts();
            Arc::new(ListArray::new(Arc::clone(element), offsets, items, nulls))
        }
        other => panic!("the oracle has no {other}"),
    }
}

/// The rows of batches.
pub(crate) fn from_batches(batches: &[RecordBatch]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<Vec<Value>> = batch.columns().iter().map(from_array).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect::<Row>()));
    }
    rows
}

fn from_array(array: &ArrayRef) -> Vec<Value> {
    fn all<T>(values: impl Iterator<Item = Option<T>>, make: impl Fn(T) -> Value) -> Vec<Value> {
        values.map(|v| v.map_or(Value::Null, &make)).collect()
    }
    match array.data_type() {
        DataType::Null => vec![Value::Null; array.len()],
        DataType::Boolean => all(array.as_boolean().iter(), Value::Bool),
        DataType::Float64 => all(array.as_primitive::<Float64Type>().iter(), Value::Float),
        DataType::Utf8 => all(array.as_string::<i32>().iter(), Value::text),
        DataType::Decimal128(_, scale) => {
            all(array.as_primitive::<Decimal128Type>().iter(), |digits| Value::Dec(digits, *scale))
        }
        DataType::Timestamp(_, _) => {
            let micros = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
            all(micros.as_primitive::<TimestampMicrosecondType>().iter(), Value::Time)
        }
        DataType::Duration(_) => {
            let micros = cast(array, &DataType::Int64).unwrap();
            all(micros.as_primitive::<Int64Type>().iter(), Value::Int)
        }
        DataType::List(_) => all(array.as_list::<i32>().iter(), |items| Value::List(from_array(&items))),
        ty if ty.is_integer() => {
            let numbers = cast(array, &DataType::Int64).unwrap();
            all(numbers.as_primitive::<Int64Type>().iter(), Value::Int)
        }
        other => panic!("the oracle has no {other}"),
    }
}
