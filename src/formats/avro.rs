//! `avro`: container files, or messages with a schema of their own.

mod container;
mod messages;

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::writer::WriterBuilder;
use arrow_avro::writer::format::AvroOcfFormat;

use crate::formats::avro::messages::Messages;
use crate::formats::no_columns;
use crate::model::{Column, Schema, Type};
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Piece};
use crate::plan::{Conflict, Doc, FormatEntry, FormatUse, OptionKind, OptionSpec, Records};

const CODEC: &[(&str, &str)] =
    &[("none", "not packed"), ("deflate", "small"), ("snappy", "quick"), ("zstd", "small, quick")];

/// Rows of a block when writing.
const BLOCK_ROWS: usize = 4_096;

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("avro", "Avro container files or messages; fields are found by name", "avro")
            .details(
                "Container files are read block by block with the schema they carry, packed in any way that can be written \
                 too; values are cast to the schema's types, and a row with one that does not fit is bad, as is a block that \
                 is damaged. With `avro_schema` (a JSON file) records stand one behind the other without a container, each \
                 bare or behind the ten bytes of Avro's single-object encoding. What is written is a container file. \
                 Durations are whole microseconds; Avro has no unsigned numbers of 64 bits.",
            )
            .example(
                "source orders = files(\"data/*.avro\") { format: avro, schema: { id: string, amount: decimal(12, 2) } }",
            ),
        args: Vec::new(),
        options: vec![
            OptionSpec::optional(
                "avro_schema",
                OptionKind::Path,
                "the writer's schema for messages that do not carry it",
            ),
            OptionSpec::with_default("codec", OptionKind::Symbol(CODEC), "none", "how blocks are packed when written"),
        ],
        columns: no_columns,
        accepts,
        directions: Directions::Both,
        records: |_| Records::OTHER,
        conflicts,
        infer: Some(container::inferred),
        open,
    }
}

fn accepts(ty: &Type) -> Result<(), String> {
    match ty {
        Type::Map(key, _) if **key != Type::String => Err(format!("keys of Avro maps are strings, not {key}")),
        Type::Map(_, slot) | Type::List(slot) => accepts(&slot.ty),
        Type::Struct(columns) => columns.iter().try_for_each(|column| accepts(&column.slot.ty)),
        _ => Ok(()),
    }
}

/// What Avro can name: letters, digits and `_`.
fn conflicts(used: &FormatUse<'_>) -> Vec<Conflict> {
    let columns = used.columns.filter(|_| used.way == Directions::Out).unwrap_or_default();
    let wrong = columns.iter().find_map(|column| misnamed(column));
    let conflict = |name: &str| {
        let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let help = format!("rename it before:\n  |> rename `{name}` as {plain}");
        Conflict::between("format", format!("format `avro` cannot hold a name such as `{name}`"), help)
    };
    wrong.map(conflict).into_iter().collect()
}

fn misnamed(column: &Column) -> Option<&str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = column.name.as_str();
    if !name.chars().all(plain) || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Some(name);
    }
    match &column.slot.ty {
        Type::Struct(columns) => columns.iter().find_map(misnamed),
        _ => None,
    }
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let codec = match call.settings.text("codec") {
        Some("deflate") => Some(CompressionCodec::Deflate),
        Some("snappy") => Some(CompressionCodec::Snappy),
        Some("zstd") => Some(CompressionCodec::ZStandard),
        _ => None,
    };
    let path = call.settings.text("avro_schema").map(PathBuf::from);
    let messages = path.map(|path| Messages::open(&path)).transpose().map_err(NotRunnable)?;
    Ok(Box::new(Avro { schema: schema.to_arrow(), codec, messages }))
}

struct Avro {
    schema: SchemaRef,
    codec: Option<CompressionCodec>,
    /// Records come without a container.
    messages: Option<Messages>,
}

impl FormatCodec for Avro {
    fn header(&self, front: &[u8], last: bool) -> Option<usize> {
        if self.messages.is_some() { Some(0) } else { container::header(front, last) }
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        Ok(match &self.messages {
            Some(messages) => messages.decode(piece, &self.schema),
            None => container::decode(piece, &self.schema),
        })
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let start = out.len();
        let sync = self.write(rows, out).map_err(|e| TaskError::Stop(format!("Avro cannot hold the rows: {e}")))?;
        container::settle_marks(&mut out[start..], sync);
        Ok(())
    }
}

impl Avro {
    /// Gives the mark between blocks, which the library takes at random.
    fn write(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<[u8; 16], String> {
        let plain = |e: &dyn std::fmt::Display| e.to_string();
        let builder = WriterBuilder::new(self.schema.as_ref().clone()).with_compression(self.codec);
        let mut writer = builder.build::<_, AvroOcfFormat>(out).map_err(|e| plain(&e))?;
        for batch in rows {
            for start in (0..batch.num_rows()).step_by(BLOCK_ROWS) {
                let block = batch.slice(start, BLOCK_ROWS.min(batch.num_rows() - start));
                writer.write(&block).map_err(|e| plain(&e))?;
            }
        }
        writer.finish().map_err(|e| plain(&e))?;
        writer.sync_marker().copied().ok_or_else(|| "there is no mark between blocks".into())
    }
}

#[cfg(test)]
mod tests;
