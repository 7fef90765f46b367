//! `parquet`: columns, packed. A file is read row group by row group; from a stream only when all of it is there.

mod file;

use std::collections::BTreeSet;
use std::fs::File;

use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use ::parquet::arrow::{ArrowWriter, ProjectionMask};
use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::ChunkReader;
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use bytes::Bytes;

use crate::connect::COUNT;
use crate::formats::conform::guarded;
use crate::formats::parquet::file::{AnotherHandle, ParquetFile};
use crate::formats::{accepts_all, infer, no_columns};
use crate::model::{Column, Schema};
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::sample::Sample;
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Indexed, Limits, Piece};
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec, Records, Settings};

const CODEC: &[(&str, &str)] =
    &[("snappy", "quick"), ("zstd", "small"), ("gzip", "small, for old readers"), ("none", "not packed")];

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("parquet", "Parquet files; columns are found by name", "parquet")
            .details(
                "Pages packed with snappy, zstd or gzip are read, and columns are cast to the schema's types; a row with a \
                 value that does not fit is bad. A file is read row group by row group, so it may be larger than a batch \
                 and than memory; one that is compressed as a whole, or comes through a pipe, must fit into memory.",
            )
            .example(
                "source orders = files(\"data/*.parquet\") { format: parquet, schema: { id: string, amount: decimal(12, 2) } }",
            ),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default("codec", OptionKind::Symbol(CODEC), "snappy", "how pages are packed when written"),
            OptionSpec::with_default("row_group", COUNT, "1000000", "at most so many rows a group when written"),
        ],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        records: |_| Records::OTHER,
        conflicts: |_| Vec::new(),
        infer: Some(inferred),
        open,
    }
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let compression = match call.settings.text("codec") {
        Some("none") => Compression::UNCOMPRESSED,
        Some("zstd") => Compression::ZSTD(ZstdLevel::default()),
        Some("gzip") => Compression::GZIP(GzipLevel::default()),
        _ => Compression::SNAPPY,
    };
    let row_group = call.settings.integer("row_group").and_then(|n| usize::try_from(n).ok()).unwrap_or(1_000_000);
    Ok(Box::new(Parquet { schema: schema.to_arrow(), compression, row_group, unread: BTreeSet::new() }))
}

struct Parquet {
    schema: SchemaRef,
    compression: Compression,
    row_group: usize,
    /// Columns that are not read where the file's are of their type.
    unread: BTreeSet<usize>,
}

impl FormatCodec for Parquet {
    /// Those that may be null: without a cast they make no row bad.
    fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        self.unread = unread.iter().copied().filter(|i| self.schema.field(*i).is_nullable()).collect();
    }

    fn indexed(&self, file: &File) -> Option<Result<Box<dyn Indexed>, String>> {
        let opened = file.try_clone().map_err(|e| e.to_string()).and_then(|file| self.open(file));
        Some(opened.map(|file| Box::new(file) as Box<dyn Indexed>))
    }

    /// A file's index stands at its end, so nothing is read before all of it is there.
    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        if !piece.last || piece.bytes.is_empty() {
            return Ok(Decoded::default());
        }
        let unreadable = |reason| {
            let bad = vec![BadRow { text: String::new(), reason, place: String::new(), line: 0, bytes: None }];
            Decoded { bad, lines: 1, ..Decoded::default() }
        };
        let decoded = self.read(piece.bytes).unwrap_or_else(unreadable);
        Ok(Decoded { used: piece.bytes.len(), ..decoded })
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_max_row_group_row_count(Some(self.row_group))
            .build();
        self.write(rows, properties, out).map_err(|e| TaskError::Bug(e.to_string()))
    }
}

/// The columns that a file's index names.
fn inferred(_: &Settings, samples: &[Sample], _: usize) -> Result<Vec<Column>, String> {
    infer::carried(samples, |sample| {
        let index = match &sample.file {
            Some(file) => guarded(|| ArrowReaderMetadata::load(file, Default::default()).map_err(|e| e.to_string())),
            None if sample.whole => {
                let bytes = Bytes::copy_from_slice(&sample.front);
                guarded(|| ArrowReaderMetadata::load(&bytes, Default::default()).map_err(|e| e.to_string()))
            }
            None => return Err("what is packed as a whole is too large to look into".into()),
        };
        Ok(index.map_err(|why| format!("it is no whole Parquet file: {why}"))?.schema().clone())
    })
}

impl Parquet {
    fn open<F: ChunkReader + AnotherHandle + 'static>(&self, file: F) -> Result<ParquetFile<F>, String> {
        let index = guarded(|| ArrowReaderMetadata::load(&file, Default::default()).map_err(|e| e.to_string()))?;
        let roots = self.roots(index.schema());
        let mask = ProjectionMask::roots(index.parquet_schema(), roots);
        Ok(ParquetFile::new(file, index, mask, self.schema.clone()))
    }

    fn read(&self, bytes: &[u8]) -> Result<Decoded, String> {
        let mut file = self.open(Bytes::copy_from_slice(bytes))?;
        let all = Limits { rows: usize::MAX, bytes: u64::MAX, now: 0, drain: true, threads: 1 };
        let mut decoded = Decoded::default();
        while decoded.lines < file.records() {
            let part = file.read(decoded.lines, &all)?;
            let line = decoded.lines;
            decoded.blocks.extend(part.blocks);
            decoded.bad.extend(part.bad.into_iter().map(|row| BadRow { line: line + row.line, ..row }));
            decoded.lines += part.lines;
        }
        Ok(decoded)
    }

    /// The columns of a file that are read.
    fn roots(&self, file: &SchemaRef) -> Vec<usize> {
        let left_out = |field: &FieldRef| {
            let wanted = self.unread.iter().map(|i| self.schema.field(*i)).find(|f| f.name() == field.name());
            wanted.is_some_and(|wanted| wanted.data_type() == field.data_type())
        };
        let fields = file.fields().iter().enumerate();
        fields.filter(|(_, field)| !left_out(field)).map(|(i, _)| i).collect()
    }

    fn write(
        &self,
        rows: &[RecordBatch],
        properties: WriterProperties,
        out: &mut Vec<u8>,
    ) -> Result<(), ::parquet::errors::ParquetError> {
        let mut writer = ArrowWriter::try_new(out, self.schema.clone(), Some(properties))?;
        rows.iter().try_for_each(|batch| writer.write(batch))?;
        writer.close().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use std::io::Write as _;

    use arrow::array::{Array, AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::formats::{nullable, required};
    use crate::model::{Column, Type};

    fn codec(columns: Vec<Column>) -> Parquet {
        Parquet {
            schema: Schema::new(columns).to_arrow(),
            compression: Compression::SNAPPY,
            row_group: 10,
            unread: BTreeSet::new(),
        }
    }

    fn read(codec: &Parquet, bytes: &[u8]) -> Decoded {
        codec.decode(&Piece { header: &[], bytes, last: true, records: usize::MAX, threads: 1 }).unwrap()
    }

    #[test]
    fn columns_are_found_by_name_and_null_is_bad_where_it_is_not_allowed() {
        let written = codec(vec![nullable("name", Type::String), required("id", Type::Int64)]);
        let names = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
        let batch =
            RecordBatch::try_new(written.schema.clone(), vec![names, Arc::new(Int64Array::from(vec![1, 2, 3]))]);
        let mut bytes = Vec::new();
        written.encode(&[batch.unwrap()], &mut bytes).unwrap();

        let wanted =
            codec(vec![required("id", Type::Int64), required("name", Type::String), nullable("x", Type::Bool)]);
        let decoded = read(&wanted, &bytes);
        assert_eq!(decoded.blocks[0].num_rows(), 2);
        assert_eq!((decoded.bad[0].line, decoded.bad[0].reason.as_str()), (1, "null in `name`"));
    }

    #[test]
    fn columns_that_nobody_reads_are_hollow() {
        let mut codec =
            codec(vec![nullable("name", Type::String), required("id", Type::Int64), nullable("n", Type::Int64)]);
        let names = Arc::new(StringArray::from(vec!["a", "b"]));
        let numbers = || Arc::new(Int64Array::from(vec![1, 2]));
        let batch = RecordBatch::try_new(codec.schema.clone(), vec![names, numbers(), numbers()]).unwrap();
        let mut bytes = Vec::new();
        codec.encode(std::slice::from_ref(&batch), &mut bytes).unwrap();
        codec.leave_out(&BTreeSet::from([0, 1]));
        let read = read(&codec, &bytes).blocks.remove(0);
        assert_eq!((read.schema(), read.column(1), read.column(2)), (batch.schema(), batch.column(1), batch.column(2)));
        assert_eq!(read.column(0).null_count(), 2);
    }

    #[test]
    fn a_file_is_read_in_ranges_from_any_row_on() {
        let mut codec = codec(vec![required("id", Type::Int64)]);
        for compression in [Compression::GZIP(GzipLevel::default()), Compression::ZSTD(ZstdLevel::default())] {
            codec.compression = compression;
            let column = Arc::new(Int64Array::from_iter_values(0..95));
            let batch = RecordBatch::try_new(codec.schema.clone(), vec![column]).unwrap();
            let mut bytes = Vec::new();
            codec.encode(&[batch], &mut bytes).unwrap();
            let mut disk = tempfile::tempfile().unwrap();
            disk.write_all(&bytes).unwrap();
            let mut file = codec.indexed(&disk).unwrap().unwrap();
            assert_eq!(file.records(), 95);
            for start in [0_u64, 9, 42] {
                let mut at = start;
                let mut ids = Vec::new();
                while at < 95 {
                    let limits = Limits { rows: 7, bytes: u64::MAX, now: 0, drain: true, threads: 1 };
                    let read = file.read(at, &limits).unwrap();
                    assert!(read.lines <= 7 && read.lines > 0);
                    at += read.lines;
                    let values = |b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().values().to_vec();
                    ids.extend(read.blocks.iter().flat_map(values));
                }
                assert_eq!(ids, (i64::try_from(start).unwrap()..95).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_damaged_group_costs_the_others_nothing() {
        let codec = codec(vec![required("id", Type::Int64)]);
        let column = Arc::new(Int64Array::from_iter_values((0..95).map(|n| n * 7_919 % 1_000)));
        let batch = RecordBatch::try_new(codec.schema.clone(), vec![column]).unwrap();
        let mut bytes = Vec::new();
        codec.encode(&[batch], &mut bytes).unwrap();
        // The first pages of the first group stand behind the magic.
        bytes[4..24].fill(0xff);
        let decoded = read(&codec, &bytes);
        let rows: usize = decoded.blocks.iter().map(RecordBatch::num_rows).sum();
        assert_eq!((rows, decoded.bad.len(), decoded.lines), (85, 1, 95), "{:?}", decoded.bad);
    }

    #[test]
    fn a_file_that_is_none_is_one_bad_row() {
        let decoded = read(&codec(vec![required("id", Type::Int64)]), b"PAR1 not really");
        assert_eq!((decoded.blocks.len(), decoded.bad.len()), (0, 1));
    }
}
