//! The types of the language and how they are laid out in Arrow. The user's words live here and nowhere else:
//! what a message prints is what a `type` statement accepts.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, SchemaRef, TimeUnit};

/// A type of the language.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// What an expression has whose mistake has been reported already: fits everywhere, so that one mistake
    /// gives one message. Never part of a plan that runs.
    Unknown,
    /// The type of `null` alone; fits every nullable type.
    Null,
    /// `bool`
    Bool,
    /// `int8`
    Int8,
    /// `int16`
    Int16,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint8`
    UInt8,
    /// `uint16`
    UInt16,
    /// `uint32`
    UInt32,
    /// `uint64`
    UInt64,
    /// `float32`
    Float32,
    /// `float64`
    Float64,
    /// `decimal(precision, scale)`: exact, at most 38 digits.
    Decimal {
        /// All digits, 1 to 38.
        precision: u8,
        /// Digits behind the point, at most `precision`.
        scale: i8,
    },
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `date`
    Date,
    /// `time`: of a day, in microseconds.
    Time,
    /// `timestamp`: microseconds since 1970 UTC. A zone is for reading, printing and calendar windows only.
    Timestamp(Option<Arc<str>>),
    /// `duration`: microseconds.
    Duration,
    /// `json`: text without a schema, read by path.
    Json,
    /// `list(T)`
    List(Box<Slot>),
    /// `map(K, V)`; keys are never null.
    Map(Box<Type>, Box<Slot>),
    /// `{ a: T, b: U }`
    Struct(Vec<Column>),
}

/// A type and whether null may stand in its place: what a column, a list's elements or an expression have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The type.
    pub ty: Type,
    /// Whether `?` is written behind it.
    pub nullable: bool,
}

/// A named slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Column {
    /// The name.
    pub name: String,
    /// What stands in it.
    pub slot: Slot,
}

/// The columns of rows, in order. Names are unique.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    /// In order.
    pub columns: Vec<Column>,
}

impl Slot {
    /// A slot that is never null.
    pub fn required(ty: Type) -> Self {
        Slot { ty, nullable: false }
    }

    /// A slot that may be null.
    pub fn nullable(ty: Type) -> Self {
        Slot { ty, nullable: true }
    }

    /// The slot of something whose mistake has been reported.
    pub fn unknown() -> Self {
        Slot { ty: Type::Unknown, nullable: false }
    }
}

impl Column {
    /// A column.
    pub fn new(name: impl Into<String>, slot: Slot) -> Self {
        Column { name: name.into(), slot }
    }

    /// Its Arrow field.
    pub fn to_field(&self) -> Field {
        Field::new(&self.name, self.slot.ty.to_arrow(), self.slot.nullable)
    }
}

impl Schema {
    /// A schema of these columns.
    pub fn new(columns: Vec<Column>) -> Self {
        Schema { columns }
    }

    /// Where a column stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// A column by name.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// Its Arrow form.
    pub fn to_arrow(&self) -> SchemaRef {
        Arc::new(arrow::datatypes::Schema::new(self.columns.iter().map(Column::to_field).collect::<Vec<_>>()))
    }

    /// The schema of Arrow rows; none where a type has no counterpart.
    pub fn from_arrow(fields: &Fields) -> Option<Self> {
        let columns = fields
            .iter()
            .map(|f| {
                Some(Column::new(f.name(), Slot { ty: Type::from_arrow(f.data_type())?, nullable: f.is_nullable() }))
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Schema { columns })
    }
}

/// The plain words, with their types.
const WORDS: [(&str, Type); 19] = [
    ("bool", Type::Bool),
    ("int8", Type::Int8),
    ("int16", Type::Int16),
    ("int32", Type::Int32),
    ("int64", Type::Int64),
    ("uint8", Type::UInt8),
    ("uint16", Type::UInt16),
    ("uint32", Type::UInt32),
    ("uint64", Type::UInt64),
    ("float32", Type::Float32),
    ("float64", Type::Float64),
    ("string", Type::String),
    ("bytes", Type::Bytes),
    ("date", Type::Date),
    ("time", Type::Time),
    ("timestamp", Type::Timestamp(None)),
    ("duration", Type::Duration),
    ("json", Type::Json),
    ("null", Type::Null),
];

/// The words that take arguments: `decimal(12, 2)`, `list(string)`, `map(string, int64)`, `timestamp("zone")`.
pub const PARAMETRIC_WORDS: [&str; 4] = ["decimal", "list", "map", "timestamp"];

impl Type {
    /// The type of a plain word.
    pub fn from_word(word: &str) -> Option<Type> {
        WORDS.iter().find(|(w, t)| *w == word && *t != Type::Null).map(|(_, t)| t.clone())
    }

    /// Every word that may start a type, for suggestions.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().map(|(w, _)| *w).filter(|w| *w != "null").chain(PARAMETRIC_WORDS)
    }

    /// A whole number type.
    pub fn is_integer(&self) -> bool {
        self.integer_bits().is_some()
    }

    /// Bits of a whole number type, and whether it is signed.
    pub fn integer_bits(&self) -> Option<(u8, bool)> {
        Some(match self {
            Type::Int8 => (8, true),
            Type::Int16 => (16, true),
            Type::Int32 => (32, true),
            Type::Int64 => (64, true),
            Type::UInt8 => (8, false),
            Type::UInt16 => (16, false),
            Type::UInt32 => (32, false),
            Type::UInt64 => (64, false),
            _ => return None,
        })
    }

    /// A binary floating point type.
    pub fn is_float(&self) -> bool {
        matches!(self, Type::Float32 | Type::Float64)
    }

    /// Anything one can calculate with.
    pub fn is_number(&self) -> bool {
        self.is_integer() || self.is_float() || matches!(self, Type::Decimal { .. })
    }

    /// Whether it has fields, elements or entries.
    pub fn is_nested(&self) -> bool {
        matches!(self, Type::List(_) | Type::Map(..) | Type::Struct(_))
    }

    /// Whether a mistake in it has been reported already, at any depth.
    pub fn is_unknown(&self) -> bool {
        match self {
            Type::Unknown => true,
            Type::List(e) => e.ty.is_unknown(),
            Type::Map(k, v) => k.is_unknown() || v.ty.is_unknown(),
            Type::Struct(columns) => columns.iter().any(|c| c.slot.ty.is_unknown()),
            _ => false,
        }
    }

    /// The canonical Arrow type.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Type::Unknown | Type::Null => DataType::Null,
            Type::Bool => DataType::Boolean,
            Type::Int8 => DataType::Int8,
            Type::Int16 => DataType::Int16,
            Type::Int32 => DataType::Int32,
            Type::Int64 => DataType::Int64,
            Type::UInt8 => DataType::UInt8,
            Type::UInt16 => DataType::UInt16,
            Type::UInt32 => DataType::UInt32,
            Type::UInt64 => DataType::UInt64,
            Type::Float32 => DataType::Float32,
            Type::Float64 => DataType::Float64,
            Type::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Type::String | Type::Json => DataType::Utf8,
            Type::Bytes => DataType::Binary,
            Type::Date => DataType::Date32,
            Type::Time => DataType::Time64(TimeUnit::Microsecond),
            Type::Timestamp(zone) => {
                let zone = zone.clone().unwrap_or_else(|| Arc::from("UTC"));
                DataType::Timestamp(TimeUnit::Microsecond, Some(zone))
            }
            Type::Duration => DataType::Duration(TimeUnit::Microsecond),
            Type::List(element) => DataType::List(slot_field("item", element)),
            Type::Map(key, value) => DataType::Map(map_entries(key, value), false),
            Type::Struct(columns) => DataType::Struct(columns.iter().map(Column::to_field).collect()),
        }
    }

    /// The type an Arrow type stands for; the many layouts of one meaning are one type.
    pub fn from_arrow(data_type: &DataType) -> Option<Type> {
        Some(match data_type {
            DataType::Null => Type::Null,
            DataType::Boolean => Type::Bool,
            DataType::Int8 => Type::Int8,
            DataType::Int16 => Type::Int16,
            DataType::Int32 => Type::Int32,
            DataType::Int64 => Type::Int64,
            DataType::UInt8 => Type::UInt8,
            DataType::UInt16 => Type::UInt16,
            DataType::UInt32 => Type::UInt32,
            DataType::UInt64 => Type::UInt64,
            DataType::Float16 | DataType::Float32 => Type::Float32,
            DataType::Float64 => Type::Float64,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                Type::Decimal { precision: *p, scale: *s }
            }
            DataType::Decimal256(p, s) => Type::Decimal { precision: (*p).min(38), scale: *s },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Type::String,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                Type::Bytes
            }
            DataType::Date32 | DataType::Date64 => Type::Date,
            DataType::Time32(_) | DataType::Time64(_) => Type::Time,
            DataType::Timestamp(_, None) => Type::Timestamp(None),
            DataType::Timestamp(_, Some(zone)) if &**zone == "UTC" || &**zone == "+00:00" => Type::Timestamp(None),
            DataType::Timestamp(_, Some(zone)) => Type::Timestamp(Some(zone.clone())),
            DataType::Duration(_) | DataType::Interval(IntervalUnit::DayTime | IntervalUnit::MonthDayNano) => {
                Type::Duration
            }
            DataType::List(f) | DataType::LargeList(f) | DataType::ListView(f) | DataType::FixedSizeList(f, _) => {
                Type::List(Box::new(field_slot(f)?))
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(pair) = entries.data_type() else { return None };
                let [key, value] = &pair[..] else { return None };
                Type::Map(Box::new(Type::from_arrow(key.data_type())?), Box::new(field_slot(value)?))
            }
            DataType::Struct(fields) => Type::Struct(Schema::from_arrow(fields)?.columns),
            DataType::Dictionary(_, values) => Type::from_arrow(values)?,
            _ => return None,
        })
    }
}

fn slot_field(name: &str, slot: &Slot) -> FieldRef {
    Arc::new(Field::new(name, slot.ty.to_arrow(), slot.nullable))
}

fn field_slot(field: &FieldRef) -> Option<Slot> {
    Some(Slot { ty: Type::from_arrow(field.data_type())?, nullable: field.is_nullable() })
}

fn map_entries(key: &Type, value: &Slot) -> FieldRef {
    let pair = vec![Arc::new(Field::new("keys", key.to_arrow(), false)), slot_field("values", value)];
    Arc::new(Field::new("entries", DataType::Struct(pair.into()), false))
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Unknown => f.write_str("?"),
            Type::Decimal { precision, scale } => write!(f, "decimal({precision}, {scale})"),
            Type::Timestamp(Some(zone)) => write!(f, "timestamp(\"{zone}\")"),
            Type::List(element) => write!(f, "list({element})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Struct(columns) => {
                f.write_str("{ ")?;
                for (i, column) in columns.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}: {}", column.name, column.slot)?;
                }
                f.write_str(" }")
            }
            plain => f.write_str(WORDS.iter().find(|(_, t)| t == plain).map_or("?", |(w, _)| w)),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.ty, if self.nullable { "?" } else { "" })
    }
}
