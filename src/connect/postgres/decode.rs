//! Rows that the server gives as bytes, as columns that are near to what it sends; what is declared is cast from these.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, DurationMicrosecondBuilder, Float64Builder, Int64Builder,
    RecordBatch, StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use crate::model::{Column, Schema, Slot, Type};

const DAYS: i32 = 10_957;
const MICROS: i64 = 946_684_800_000_000;

/// Takes rows in.
pub(crate) struct Decoder {
    schema: Schema,
    builders: Vec<Builder>,
    rows: usize,
}

enum Builder {
    Bool(BooleanBuilder),
    Whole(Int64Builder),
    Double(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Duration(DurationMicrosecondBuilder),
}

impl Decoder {
    /// What a column of that type comes as: a type near to it, and the expression that the server is asked for.
    pub(crate) fn asked(ty: &Type, column: &str) -> (Type, String) {
        match ty {
            Type::Bool => (Type::Bool, format!("{column}::bool")),
            Type::UInt64 | Type::Decimal { .. } => (Type::String, format!("{column}::numeric::text")),
            ty if ty.is_integer() => (Type::Int64, format!("{column}::int8")),
            ty if ty.is_float() => (Type::Float64, format!("{column}::float8")),
            Type::Bytes => (Type::Bytes, format!("{column}::bytea")),
            Type::Date => (Type::Date, format!("{column}::date")),
            Type::Time => (Type::Time, format!("{column}::time")),
            Type::Timestamp(_) => (Type::Timestamp(None), format!("{column}::timestamptz")),
            Type::Duration => (Type::Duration, format!("(extract(epoch from {column}) * 1000000)::int8")),
            Type::Json | Type::List(_) | Type::Map(..) | Type::Struct(_) => {
                (Type::Json, format!("to_jsonb({column})::text"))
            }
            _ => (Type::String, format!("{column}::text")),
        }
    }

    /// For columns of types that [`Decoder::asked`] gave.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        let schema = Schema::new(columns);
        let builder = |column: &Column| match column.slot.ty {
            Type::Bool => Builder::Bool(BooleanBuilder::new()),
            Type::Int64 => Builder::Whole(Int64Builder::new()),
            Type::Float64 => Builder::Double(Float64Builder::new()),
            Type::Bytes => Builder::Bytes(BinaryBuilder::new()),
            Type::Date => Builder::Date(Date32Builder::new()),
            Type::Time => Builder::Time(Time64MicrosecondBuilder::new()),
            Type::Timestamp(_) => Builder::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Type::Duration => Builder::Duration(DurationMicrosecondBuilder::new()),
            _ => Builder::Text(StringBuilder::new()),
        };
        let builders = schema.columns.iter().map(builder).collect();
        Decoder { schema, builders, rows: 0 }
    }

    /// Takes a row; the error says what of it is not as it was asked for.
    pub(crate) fn add(&mut self, values: &[Option<&[u8]>]) -> Result<(), String> {
        for ((builder, column), value) in self.builders.iter_mut().zip(&self.schema.columns).zip(values) {
            builder.add(*value).ok_or_else(|| format!("column `{}` comes in another form", column.name))?;
        }
        self.rows += 1;
        Ok(())
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows; every column may be null.
    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        let arrays = self.builders.into_iter().map(Builder::finish).collect();
        let loose = |c: &Column| Column::new(c.name.clone(), Slot::nullable(c.slot.ty.clone()));
        let schema = Schema::new(self.schema.columns.iter().map(loose).collect());
        RecordBatch::try_new(schema.to_arrow(), arrays)
    }
}

impl Builder {
    fn add(&mut self, value: Option<&[u8]>) -> Option<()> {
        let eight = |bytes: &[u8]| Some(i64::from_be_bytes(bytes.try_into().ok()?));
        match self {
            Builder::Bool(to) => to.append_option(value.map(|bytes| bytes == [1])),
            Builder::Whole(to) => to.append_option(value.map_or(Some(None), |b| eight(b).map(Some))?),
            Builder::Double(to) => {
                let double = |bytes: &[u8]| Some(f64::from_be_bytes(bytes.try_into().ok()?));
                to.append_option(value.map_or(Some(None), |b| double(b).map(Some))?);
            }
            Builder::Text(to) => to.append_option(value.map_or(Some(None), |b| std::str::from_utf8(b).ok().map(Some))?),
            Builder::Bytes(to) => to.append_option(value),
            Builder::Date(to) => {
                let days = |bytes: &[u8]| Some(i32::from_be_bytes(bytes.try_into().ok()?));
                // `infinity` is no day: null.
                let days = value
                    .map_or(Some(None), |b| days(b).map(|days| days.checked_add(DAYS).filter(|_| days != i32::MIN)))?;
                to.append_option(days);
            }
            Builder::Time(to) => to.append_option(value.map_or(Some(None), |b| eight(b).map(Some))?),
            Builder::Timestamp(to) => {
                let micros = value.map_or(Some(None), |b| eight(b).map(|micros| micros.checked_add(MICROS)))?;
                to.append_option(micros.filter(|micros| *micros != i64::MIN + MICROS));
            }
            Builder::Duration(to) => to.append_option(value.map_or(Some(None), |b| eight(b).map(Some))?),
        }
        Some(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Builder::Bool(mut to) => Arc::new(to.finish()),
            Builder::Whole(mut to) => Arc::new(to.finish()),
            Builder::Double(mut to) => Arc::new(to.finish()),
            Builder::Text(mut to) => Arc::new(to.finish()),
            Builder::Bytes(mut to) => Arc::new(to.finish()),
            Builder::Date(mut to) => Arc::new(to.finish()),
            Builder::Time(mut to) => Arc::new(to.finish()),
            Builder::Timestamp(mut to) => Arc::new(to.finish()),
            Builder::Duration(mut to) => Arc::new(to.finish()),
        }
    }
}
