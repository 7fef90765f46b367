//! Fields of entries and hashes, which are bytes, as columns of the types that are declared.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};

use crate::model::{Column, Schema, Slot, Type};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::Read;
use crate::sources::conform::Conforming;

/// Fields of one entry, by name.
pub(super) type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// Turns fields into rows.
pub(super) struct Reading {
    /// As they come: texts or bytes.
    raw: Schema,
    schema: Schema,
    conforming: Conforming,
}

impl Reading {
    pub(super) fn of(schema: &Schema) -> Result<Self, NotRunnable> {
        let raw = |column: &Column| {
            let ty = if column.slot.ty == Type::Bytes { Type::Bytes } else { Type::String };
            Column::new(column.name.clone(), Slot::nullable(ty))
        };
        let raw = Schema::new(schema.columns.iter().map(raw).collect());
        Ok(Reading { conforming: Conforming::new(&raw, schema)?, raw, schema: schema.clone() })
    }

    /// Rows of entries, each with its name.
    pub(super) fn rows(&self, entries: &[(String, Fields)], place: &str, read: &mut Read) -> Result<(), TaskError> {
        if entries.is_empty() {
            return Ok(());
        }
        let columns = self.raw.columns.iter().map(|column| raw(column, entries)).collect();
        let block = RecordBatch::try_new(self.raw.to_arrow(), columns).map_err(|e| TaskError::Bug(e.to_string()))?;
        let wrong = |row: usize| self.wrong(&entries[row].1);
        self.conforming.add(&block, wrong, |row| (format!("{place} {}", entries[row].0), 0), read)
    }

    /// Whether a column that is never null has nothing in it, or a text is none.
    fn wrong(&self, fields: &Fields) -> Option<String> {
        self.schema.columns.iter().find_map(|column| match fields.get(column.name.as_bytes()) {
            None if column.slot.nullable => None,
            None => Some(format!("field `{}` is missing", column.name)),
            Some(value) if column.slot.ty != Type::Bytes && std::str::from_utf8(value).is_err() => {
                Some(format!("field `{}` is not UTF-8", column.name))
            }
            Some(_) => None,
        })
    }
}

/// A column as it comes.
fn raw(column: &Column, entries: &[(String, Fields)]) -> ArrayRef {
    let values = entries.iter().map(|(_, fields)| fields.get(column.name.as_bytes()));
    if column.slot.ty == Type::Bytes {
        return Arc::new(values.map(|value| value.map(Vec::as_slice)).collect::<BinaryArray>());
    }
    let texts = values.map(|value| value.and_then(|bytes| std::str::from_utf8(bytes).ok()));
    Arc::new(texts.collect::<StringArray>())
}
