//! `parquet`: columns, packed; whole files only.

use std::collections::BTreeSet;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::arrow::{ArrowWriter, ProjectionMask};
use ::parquet::basic::Compression;
use ::parquet::file::properties::WriterProperties;
use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, SchemaRef};
use bytes::Bytes;

use crate::connect::COUNT;
use crate::formats::conform::conform;
use crate::formats::{accepts_all, no_columns};
use crate::model::Schema;
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Piece};
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec};

const CODEC: &[(&str, &str)] = &[("snappy", "quick"), ("zstd", "small"), ("none", "not packed")];

/// Rows of a block when reading.
const BLOCK_ROWS: usize = 65_536;

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("parquet", "Parquet files; columns are found by name", "parquet").example(
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
        open,
    }
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let compression = match call.settings.text("codec") {
        Some("none") => Compression::UNCOMPRESSED,
        Some("zstd") => {
            return Err(NotRunnable("format `parquet` with `codec: zstd` can be checked, but not run yet".into()));
        }
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

    /// A file's index stands at its end, so nothing is read before all of it is there.
    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        if !piece.last || piece.bytes.is_empty() {
            return Ok(Decoded::default());
        }
        let mut decoded = Decoded { used: piece.bytes.len(), ..Decoded::default() };
        if let Err(reason) = self.read(piece.bytes, &mut decoded) {
            decoded.bad.push(BadRow { text: String::new(), reason, place: String::new(), line: decoded.lines });
        }
        Ok(decoded)
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_max_row_group_row_count(Some(self.row_group))
            .build();
        self.write(rows, properties, out).map_err(|e| TaskError::Bug(e.to_string()))
    }
}

impl Parquet {
    fn read(&self, bytes: &[u8], out: &mut Decoded) -> Result<(), String> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes))
            .and_then(|builder| {
                let roots = self.roots(builder.schema());
                let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
                builder.with_projection(mask).with_batch_size(BLOCK_ROWS).build()
            })
            .map_err(|e| e.to_string())?;
        for batch in reader {
            let batch = batch.map_err(|e| e.to_string())?;
            let (block, bad) = conform(&batch, &self.schema)?;
            out.bad.extend(bad.into_iter().map(|row| BadRow { line: out.lines + row.line, ..row }));
            out.lines += batch.num_rows() as u64;
            out.blocks.push(block);
        }
        Ok(())
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

    use arrow::array::{Array, Int64Array, StringArray};

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
    fn a_file_that_is_none_is_one_bad_row() {
        let decoded = read(&codec(vec![required("id", Type::Int64)]), b"PAR1 not really");
        assert_eq!((decoded.blocks.len(), decoded.bad.len()), (0, 1));
    }
}
