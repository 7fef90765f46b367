//! `binary`: records of a fixed length, or whole files and messages.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};

use crate::connect::COUNT;
use crate::formats::required;
use crate::model::{Schema, Type};
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Piece};
use crate::plan::{Conflict, Doc, FormatEntry, FormatUse, OptionSpec, Records};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("binary", "records of a fixed length, in one column `value: bytes`", "binary")
            .details(
                "Without `record_length` a whole file or message is one record. What is left at the end of a file and \
                 is shorter than a record is a bad row. Written, the values stand one behind the other; with \
                 `record_length` each must have that length.",
            )
            .example("source readings = files(\"data/*.bin\") { format: binary, record_length: 64 }")
            .alias("binaryRecords"),
        args: Vec::new(),
        options: vec![OptionSpec::optional(
            "record_length",
            COUNT,
            "the bytes of a record; a whole file or message otherwise",
        )],
        columns: |_| Some(vec![required("value", Type::Bytes)]),
        accepts: |ty| match ty {
            Type::Bytes => Ok(()),
            other => Err(format!("only bytes can be written as binary records, not {other}")),
        },
        directions: Directions::Both,
        records: |_| Records::OTHER,
        conflicts,
        infer: None,
        open,
    }
}

/// That columns of other types are not accepted is said of each.
fn conflicts(used: &FormatUse<'_>) -> Vec<Conflict> {
    let several = used.columns.is_some_and(|columns| columns.len() != 1);
    let (option, help) = match used.way {
        Directions::Out => ("format", "select the one to write before:\n  |> select value"),
        _ => ("schema", "for example:\n  schema: { value: bytes }"),
    };
    let conflict = || Conflict::between(option, "format `binary` holds a single column of bytes", help);
    several.then(conflict).into_iter().collect()
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let length = call.settings.integer("record_length").and_then(|n| usize::try_from(n).ok());
    Ok(Box::new(Binary { schema: schema.to_arrow(), length, longest: usize::MAX }))
}

struct Binary {
    schema: SchemaRef,
    /// None: all of it is one record.
    length: Option<usize>,
    longest: usize,
}

impl FormatCodec for Binary {
    fn limit(&mut self, longest: usize) {
        self.longest = longest;
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        let bytes = piece.bytes;
        let length = match self.length {
            Some(length) => length,
            None if piece.last && !bytes.is_empty() => bytes.len(),
            None => return Ok(Decoded::default()),
        };
        let count = (bytes.len() / length).min(piece.records);
        let mut decoded = Decoded { used: count * length, lines: count as u64, ..Decoded::default() };
        let rest = &bytes[decoded.used..];
        if piece.last && !rest.is_empty() && rest.len() < length && count < piece.records {
            let reason = format!("{} bytes are left, but a record has {length}", rest.len());
            decoded.bad.push(BadRow {
                text: BadRow::shown(rest),
                reason,
                place: String::new(),
                line: decoded.lines,
                bytes: None,
            });
            decoded.used = bytes.len();
            decoded.lines += 1;
        }
        if count > 0 {
            let values = BinaryArray::from_iter_values(bytes[..count * length].chunks_exact(length));
            let block = RecordBatch::try_new(self.schema.clone(), vec![Arc::new(values)]);
            decoded.blocks.push(block.map_err(|e| TaskError::Bug(e.to_string()))?);
        }
        Ok(decoded)
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        for batch in rows {
            let column = batch.column(0);
            let values = match column.data_type() {
                DataType::Binary => column.as_binary::<i32>(),
                other => return Err(TaskError::Bug(format!("binary records cannot be made of {other}"))),
            };
            for value in values {
                let value = value.unwrap_or_default();
                if self.length.is_some_and(|length| length != value.len()) {
                    return Err(TaskError::Stop(format!(
                        "a value of {} bytes cannot be written as a record of {}",
                        value.len(),
                        self.length.unwrap_or_default()
                    )));
                }
                out.extend_from_slice(value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codec(length: Option<usize>) -> Binary {
        Binary { schema: Schema::new(vec![required("value", Type::Bytes)]).to_arrow(), length, longest: usize::MAX }
    }

    fn piece(bytes: &[u8], last: bool) -> Piece<'_> {
        Piece { header: &[], bytes, last, records: usize::MAX, threads: 1 }
    }

    #[test]
    fn what_is_left_at_the_end_is_a_bad_row() {
        let decoded = codec(Some(4)).decode(&piece(b"aaaabbbbcc", true)).unwrap();
        assert_eq!((decoded.blocks[0].num_rows(), decoded.bad.len(), decoded.used), (2, 1, 10));
        assert_eq!(decoded.bad[0].reason, "2 bytes are left, but a record has 4");
        let decoded = codec(Some(4)).decode(&piece(b"aaaabbbbcc", false)).unwrap();
        assert_eq!((decoded.bad.len(), decoded.used), (0, 8));
    }

    #[test]
    fn without_a_length_all_of_it_is_one_record() {
        assert_eq!(codec(None).decode(&piece(b"abc", false)).unwrap().used, 0);
        let decoded = codec(None).decode(&piece(b"abc", true)).unwrap();
        assert_eq!(decoded.blocks[0].column(0).as_binary::<i32>().value(0), b"abc");
    }

    #[test]
    fn a_value_of_another_length_is_not_written() {
        let decoded = codec(None).decode(&piece(b"abc", true)).unwrap();
        let wrong = codec(Some(2)).encode(&decoded.blocks, &mut Vec::new());
        assert!(matches!(wrong, Err(TaskError::Stop(_))), "{wrong:?}");
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were_written(length in 1_usize..9, bytes: Vec<u8>, records in 1_usize..5) {
            let bytes = &bytes[..bytes.len() / length * length];
            let codec = codec(Some(length));
            let (mut out, mut at) = (Vec::new(), 0);
            while at < bytes.len() {
                let decoded = codec.decode(&Piece { records, ..piece(&bytes[at..], true) }).unwrap();
                prop_assert!(decoded.lines as usize <= records && decoded.used > 0);
                at += decoded.used;
                codec.encode(&decoded.blocks, &mut out).unwrap();
            }
            prop_assert_eq!(out, bytes);
        }
    }
}
