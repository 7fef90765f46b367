//! `arrow`: Arrow's own file and stream format.

mod file;
mod stream;

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

use crate::formats::{accepts_all, no_columns};
use crate::model::Schema;
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Indexed, Piece};
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec, Records};

const LAYOUT: &[(&str, &str)] = &[("file", "with an index at the end"), ("stream", "batch after batch")];
const CODEC: &[(&str, &str)] = &[("none", "not packed"), ("lz4", "quick"), ("zstd", "small")];

/// What a file starts with; a stream does not.
const MAGIC: &[u8] = b"ARROW1";

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("arrow", "Arrow IPC files or streams; columns are found by name", "arrow")
            .details(
                "Columns are cast to the schema's types; a row with a value that does not fit is bad. Files and streams are \
                 read batch by batch, so they may be larger than memory. Dictionaries must stand before the first batch.",
            )
            .example(
                "source orders = files(\"data/*.arrow\") { format: arrow, schema: { id: string, amount: float64 } }",
            )
            .alias("ipc")
            .alias("feather"),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default(
                "layout",
                OptionKind::Symbol(LAYOUT),
                "file",
                "which of the two layouts is written; both are read",
            ),
            OptionSpec::with_default("codec", OptionKind::Symbol(CODEC), "none", "how columns are packed when written"),
        ],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        records: |_| Records::OTHER,
        conflicts: |_| Vec::new(),
        infer: Some(stream::inferred),
        open,
    }
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let packed = match call.settings.text("codec") {
        Some("lz4") => Some(CompressionType::LZ4_FRAME),
        Some("zstd") => Some(CompressionType::ZSTD),
        _ => None,
    };
    let stream = call.settings.text("layout") == Some("stream");
    Ok(Box::new(ArrowIpc { schema: schema.to_arrow(), stream, packed }))
}

struct ArrowIpc {
    schema: SchemaRef,
    /// Streams are written.
    stream: bool,
    packed: Option<CompressionType>,
}

impl FormatCodec for ArrowIpc {
    fn header(&self, front: &[u8], last: bool) -> Option<usize> {
        stream::header(front, last)
    }

    fn indexed(&self, file: &File) -> Option<Result<Box<dyn Indexed>, String>> {
        let mut start = [0; 6];
        let mut handle = file;
        let read = handle.seek(SeekFrom::Start(0)).and_then(|_| handle.read_exact(&mut start));
        if read.is_err() || start != MAGIC {
            return None;
        }
        let opened = file.try_clone().map_err(|e| e.to_string());
        let opened = opened.and_then(|file| file::ArrowFile::open(file, self.schema.clone()));
        Some(opened.map(|file| Box::new(file) as Box<dyn Indexed>))
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        Ok(stream::decode(piece, &self.schema))
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        self.write(rows, out).map_err(|e| TaskError::Bug(e.to_string()))
    }
}

impl ArrowIpc {
    fn write(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let options = IpcWriteOptions::default().try_with_compression(self.packed)?;
        if self.stream {
            let mut writer = StreamWriter::try_new_with_options(out, &self.schema, options)?;
            rows.iter().try_for_each(|batch| writer.write(batch)).and_then(|()| writer.finish())
        } else {
            let mut writer = FileWriter::try_new_with_options(out, &self.schema, options)?;
            rows.iter().try_for_each(|batch| writer.write(batch)).and_then(|()| writer.finish())
        }
    }
}

#[cfg(test)]
mod tests;
