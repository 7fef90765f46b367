//! Columns of JSON: a record a line, or one array of records. Numbers are seen as they are written, because
//! `10.00` says more than its value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::shape::{Fields, Shape};
use super::{columns_of, text, value};
use crate::model::Column;
use crate::plan::Settings;
use crate::plan::sample::Sample;

/// The columns of samples. An option that is not given is seen from the text.
pub(in crate::formats) fn infer(settings: &Settings, samples: &[Sample], rows: usize) -> Result<Vec<Column>, String> {
    let read = |sample: &Sample, rows| {
        let is_array = text(sample, false)?.trim_start().starts_with('[');
        match (settings.text("layout"), is_array) {
            (Some("lines"), true) => return Err("it is one array of objects; write `layout: array`".into()),
            (Some("array"), false) => return Err("it is no array; write `layout: lines`".into()),
            _ => {}
        }
        fields(text(sample, !is_array)?, is_array, sample.whole, rows)
    };
    columns_of(samples, rows, read, |slot| slot)
}

/// The fields of the first `limit` records.
fn fields(text: &str, is_array: bool, whole: bool, limit: usize) -> Result<Fields, String> {
    let records = if is_array { array(text, whole, limit)? } else { lines(text, limit)? };
    let mut fields = Fields::default();
    for (line, record) in records {
        let Some(Shape::Fields(record)) = shape(record).map_err(|e| format!("line {line}: {e}"))? else {
            return Err(format!("line {line}: a row must be an object, `{{ ... }}`"));
        };
        fields = fields.with(record);
    }
    Ok(fields)
}

/// Records behind each other, each with the number of its line.
fn lines(text: &str, limit: usize) -> Result<Vec<(usize, &RawValue)>, String> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut records = Vec::new();
    while records.len() < limit {
        let Some(record) = stream.next() else { break };
        let end = stream.byte_offset();
        let record = record.map_err(|e| e.to_string())?;
        records.push((end.saturating_sub(record.get().len()), record));
    }
    Ok(numbered(text, records))
}

/// The elements of an array, as far as it is there.
fn array(text: &str, whole: bool, limit: usize) -> Result<Vec<(usize, &RawValue)>, String> {
    let mut records: Vec<&RawValue> = Vec::new();
    let read = serde_json::Deserializer::from_str(text).deserialize_seq(Elements { records: &mut records, limit });
    match read {
        // Enough of them, or cut within one.
        Err(e) if e.is_eof() && !whole || records.len() == limit => {}
        Err(e) => return Err(e.to_string()),
        Ok(()) => {}
    }
    let start = text.as_ptr() as usize;
    let offset = |record: &RawValue| record.get().as_ptr() as usize - start;
    Ok(numbered(text, records.into_iter().map(|record| (offset(record), record)).collect()))
}

/// Takes elements until there are enough.
struct Elements<'r, 'de> {
    records: &'r mut Vec<&'de RawValue>,
    limit: usize,
}

impl<'de> Visitor<'de> for Elements<'_, 'de> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while self.records.len() < self.limit {
            match seq.next_element()? {
                Some(record) => self.records.push(record),
                None => break,
            }
        }
        Ok(())
    }
}

/// Offsets, which rise, as line numbers.
fn numbered<'a>(text: &str, records: Vec<(usize, &'a RawValue)>) -> Vec<(usize, &'a RawValue)> {
    let (mut line, mut counted) = (1, 0);
    let number = records.into_iter().map(|(offset, record)| {
        line += text.as_bytes()[counted..offset].iter().filter(|b| **b == b'\n').count();
        counted = offset;
        (line, record)
    });
    number.collect()
}

/// The shape of a value; none for null.
fn shape(value: &RawValue) -> Result<Option<Shape>, serde_json::Error> {
    let text = value.get();
    Ok(Some(match text.as_bytes().first() {
        Some(b'n') => return Ok(None),
        Some(b't' | b'f') => Shape::Bool,
        Some(b'"') => value::text(&serde_json::from_str::<String>(text)?),
        Some(b'[') => {
            let mut seen = super::shape::Seen::default();
            for element in serde_json::from_str::<Vec<&RawValue>>(text)? {
                seen.add(shape(element)?);
            }
            Shape::List(Box::new(seen))
        }
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            let values = members.into_iter().map(|(name, value)| Ok((name, shape(value)?)));
            Shape::Fields(Fields::record(values.collect::<Result<Vec<_>, serde_json::Error>>()?))
        }
        _ => value::number(text).unwrap_or(Shape::Float),
    }))
}

/// An object's members in the order of the text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
