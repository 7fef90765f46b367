//! Messages as rows: values by the format, and beside them where they come from.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, MapBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::model::Schema;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{BadRow, FormatCodec, Read};
use crate::sources::cutter;
use crate::sources::kafka::metadata_columns;
use crate::sources::receiver::whole;

/// A message that was read.
pub(super) struct Got {
    offset: i64,
    /// Milliseconds since 1970.
    timestamp: i64,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    value: Option<Vec<u8>>,
}

impl Got {
    pub(super) fn bytes(&self) -> u64 {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len) as u64;
        length(&self.key) + length(&self.value)
    }
}

/// What becomes of a message without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tombstones {
    Skip,
    Null,
    Bad,
}

/// How messages become rows.
pub(super) struct Decoding {
    codec: Arc<dyn FormatCodec>,
    /// The format's columns.
    own: Schema,
    rows: SchemaRef,
    metadata: Vec<String>,
    tombstones: Tombstones,
}

impl Decoding {
    pub(super) fn of(endpoint: &Endpoint) -> Result<Self, NotRunnable> {
        let settings = &endpoint.settings;
        let extra = metadata_columns(settings).len();
        let columns = endpoint.schema.columns.len() - extra;
        let own = Schema::new(endpoint.schema.columns[..columns].to_vec());
        Ok(Decoding {
            codec: cutter::codec(endpoint, &own)?,
            own,
            rows: endpoint.schema.to_arrow(),
            metadata: settings.texts("metadata").into_iter().map(str::to_owned).collect(),
            tombstones: match settings.text("tombstones") {
                Some("null") => Tombstones::Null,
                Some("bad") => Tombstones::Bad,
                _ => Tombstones::Skip,
            },
        })
    }

    /// What is needed of a message.
    pub(super) fn got(&self, message: &BorrowedMessage<'_>) -> Got {
        let wants = |word: &str| self.metadata.iter().any(|name| name == word);
        let headers = message.headers().filter(|_| wants("headers")).map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Got {
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or_default(),
            key: message.key().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            value: message.payload().map(<[u8]>::to_vec),
        }
    }

    /// Rows of messages of a partition.
    pub(super) fn rows(&self, got: &[Got], place: &str, read: &mut Read) -> Result<(), TaskError> {
        let bug = |e: ArrowError| TaskError::Bug(e.to_string());
        let bad = |message: &Got, text: &[u8], reason: String| BadRow {
            text: BadRow::shown(text),
            reason,
            place: place.to_owned(),
            line: message.offset.unsigned_abs(),
            bytes: None,
        };
        let mut run: Vec<&Got> = Vec::new();
        for message in got {
            match &message.value {
                // A value that is one line is read together with others.
                Some(value) if self.codec.is_lines() && !value.is_empty() && memchr::memchr(b'\n', value).is_none() => {
                    run.push(message);
                    continue;
                }
                _ => self.lines(&std::mem::take(&mut run), place, read)?,
            }
            match (&message.value, self.tombstones) {
                (Some(value), _) => {
                    let decoded = whole(self.codec.as_ref(), value)?;
                    for block in decoded.blocks {
                        let of = vec![message; block.num_rows()];
                        read.blocks.push(self.placed(&block, &of, place).map_err(bug)?);
                    }
                    read.bad.extend(decoded.bad.into_iter().map(|b| BadRow {
                        place: place.to_owned(),
                        line: message.offset.unsigned_abs(),
                        bytes: None,
                        ..b
                    }));
                }
                (None, Tombstones::Skip) => {}
                (None, Tombstones::Null) if self.own.columns.iter().all(|column| column.slot.nullable) => {
                    let nulls = self.own.columns.iter().map(|c| new_null_array(&c.slot.ty.to_arrow(), 1)).collect();
                    let block = RecordBatch::try_new(self.own.to_arrow(), nulls).map_err(bug)?;
                    read.blocks.push(self.placed(&block, &[message], place).map_err(bug)?);
                }
                (None, _) => read.bad.push(bad(message, &[], "the message has no value".into())),
            }
        }
        self.lines(&run, place, read)
    }

    /// Rows of values that are a line each.
    fn lines(&self, run: &[&Got], place: &str, read: &mut Read) -> Result<(), TaskError> {
        if run.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        for message in run {
            bytes.extend(message.value.as_deref().unwrap_or_default());
            bytes.push(b'\n');
        }
        let decoded = whole(self.codec.as_ref(), &bytes)?;
        let mut of: Vec<bool> = vec![true; run.len()];
        let lines = decoded.bad.iter().map(|bad| bad.line).chain(decoded.blank.iter().copied());
        for line in lines {
            if let Some(is_row) = usize::try_from(line).ok().and_then(|line| of.get_mut(line)) {
                *is_row = false;
            }
        }
        let mut of = run.iter().zip(of).filter_map(|(message, is_row)| is_row.then_some(*message));
        for block in decoded.blocks {
            let of: Vec<&Got> = of.by_ref().take(block.num_rows()).collect();
            read.blocks.push(self.placed(&block, &of, place).map_err(|e| TaskError::Bug(e.to_string()))?);
        }
        for bad in decoded.bad {
            let message = usize::try_from(bad.line).ok().and_then(|line| run.get(line));
            let line = message.map_or(bad.line, |message| message.offset.unsigned_abs());
            read.bad.push(BadRow { place: place.to_owned(), line, bytes: None, ..bad });
        }
        Ok(())
    }

    /// A block with columns that say where each row comes from.
    fn placed(&self, block: &RecordBatch, of: &[&Got], place: &str) -> Result<RecordBatch, ArrowError> {
        let (topic, partition) = place.rsplit_once('/').unwrap_or((place, "0"));
        let partition = partition.parse().unwrap_or_default();
        let mut columns = block.columns().to_vec();
        for (at, word) in self.metadata.iter().enumerate() {
            let field = self.rows.field(self.own.columns.len() + at);
            let array: ArrayRef = match word.as_str() {
                "key" => Arc::new(of.iter().map(|m| m.key.as_deref()).collect::<BinaryArray>()),
                "headers" => headers(of)?,
                "topic" => Arc::new(StringArray::from_iter_values(of.iter().map(|_| topic))),
                "partition" => Arc::new(Int32Array::from_iter_values(of.iter().map(|_| partition))),
                "offset" => Arc::new(Int64Array::from_iter_values(of.iter().map(|m| m.offset))),
                _ => {
                    let micros = of.iter().map(|m| m.timestamp.saturating_mul(1000));
                    Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
                }
            };
            columns.push(cast(&array, field.data_type())?);
        }
        RecordBatch::try_new(Arc::clone(&self.rows), columns)
    }
}

/// Headers by name; of several of one name the last.
fn headers(of: &[&Got]) -> Result<ArrayRef, ArrowError> {
    let mut built = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
    for message in of {
        let mut seen: Vec<(&String, &Option<Vec<u8>>)> = Vec::new();
        for (name, value) in &message.headers {
            seen.retain(|(known, _)| *known != name);
            seen.push((name, value));
        }
        for (name, value) in seen {
            built.keys().append_value(name);
            built.values().append_option(value.as_deref());
        }
        built.append(true)?;
    }
    Ok(Arc::new(built.finish()))
}
