//! `text`: lines.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::formats::{accepts_flat, lines, required};
use crate::model::{Schema, Type};
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Piece};
use crate::plan::{Conflict, Doc, FormatEntry, FormatUse, Records};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("text", "lines of UTF-8, in one column `line: string`", "text")
            .details("Written, a row is a line: the column's value, or all values with tabs between where there are several.")
            .example("source lines = files(\"data/*.txt\") { format: text }"),
        args: Vec::new(),
        options: Vec::new(),
        columns: |_| Some(vec![required("line", Type::String)]),
        accepts: accepts_flat,
        directions: Directions::Both,
        records: |_| Records::LINES,
        conflicts,
        infer: None,
        open: |_: &FormatCall, schema: &Schema| -> Result<Box<dyn FormatCodec>, NotRunnable> {
            Ok(Box::new(Text { schema: schema.to_arrow(), longest: usize::MAX }))
        },
    }
}

/// Written, there may be any columns.
fn conflicts(used: &FormatUse<'_>) -> Vec<Conflict> {
    let fits = match used.columns.unwrap_or_default() {
        _ if used.way == Directions::Out => true,
        [] => true,
        [column] => matches!(column.slot.ty, Type::String | Type::Unknown),
        _ => false,
    };
    let conflict = || {
        let help = "leave `schema` out, or name the column:\n  schema: { line: string }";
        Conflict::between("schema", "format `text` is read into a single column of type `string`", help)
    };
    (!fits).then(conflict).into_iter().collect()
}

struct Text {
    schema: SchemaRef,
    longest: usize,
}

impl FormatCodec for Text {
    fn is_lines(&self) -> bool {
        true
    }

    fn limit(&mut self, longest: usize) {
        self.longest = longest;
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        let [field] = &self.schema.fields()[..] else {
            return Err(TaskError::Stop("text is read into one column of type string".into()));
        };
        if *field.data_type() != DataType::Utf8 {
            return Err(TaskError::Stop(format!("text is read into a string, but `{}` is none", field.name())));
        }
        let found = lines::find(piece, self.longest, |_| true);
        match join(piece.bytes, &found.records) {
            Ok(column) => {
                let block = self.block(column).map_err(TaskError::Bug)?;
                let blocks = if block.num_rows() == 0 { Vec::new() } else { vec![block] };
                Ok(Decoded { blocks, bad: found.bad, used: found.used, lines: found.count, ..Decoded::default() })
            }
            Err(_) => Ok(lines::decode(piece, found, &|bytes, _| self.several(bytes))),
        }
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        rows.iter().try_for_each(|batch| write(batch, out)).map_err(|e| TaskError::Bug(e.to_string()))
    }
}

impl Text {
    fn block(&self, column: StringArray) -> Result<RecordBatch, String> {
        RecordBatch::try_new(self.schema.clone(), vec![Arc::new(column)]).map_err(|e| e.to_string())
    }

    /// The slower way, where some line is no UTF-8.
    fn several(&self, bytes: &[u8]) -> Result<RecordBatch, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        let lines: Vec<_> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        self.block(StringArray::from_iter_values(lines))
    }
}

/// All lines as one column: their bytes copied once and checked once.
fn join(bytes: &[u8], records: &[lines::Line]) -> Result<StringArray, String> {
    let total = records.iter().map(|line| line.bytes(bytes).len()).sum();
    let mut values: Vec<u8> = Vec::with_capacity(total);
    let mut offsets: Vec<i32> = Vec::with_capacity(records.len() + 1);
    offsets.push(0);
    for line in records {
        values.extend_from_slice(line.bytes(bytes));
        offsets.push(i32::try_from(values.len()).map_err(|_| "more than 2 GB of text in one piece")?);
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::try_new(offsets, Buffer::from_vec(values), None).map_err(|e| e.to_string())
}

fn write(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), arrow::error::ArrowError> {
    if let [column] = batch.columns()
        && let Some(texts) = column.as_string_opt::<i32>()
    {
        for text in texts {
            out.extend_from_slice(text.unwrap_or_default().as_bytes());
            out.push(b'\n');
        }
        return Ok(());
    }
    let options = FormatOptions::default();
    let cells = |column: &'_ ArrayRef| column.clone();
    let columns: Vec<ArrayRef> = batch.columns().iter().map(cells).collect();
    let formatters = columns.iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        for (i, formatter) in formatters.iter().enumerate() {
            if i > 0 {
                out.push(b'\t');
            }
            if !columns[i].is_null(row) {
                out.extend_from_slice(formatter.value(row).to_string().as_bytes());
            }
        }
        out.push(b'\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec() -> Text {
        Text { schema: Schema::new(vec![required("line", Type::String)]).to_arrow(), longest: usize::MAX }
    }

    fn piece(bytes: &[u8]) -> Piece<'_> {
        Piece { header: &[], bytes, last: true, records: usize::MAX, threads: 1 }
    }

    #[test]
    fn lines_come_back_as_they_were_written() {
        let decoded = codec().decode(&piece("to be\r\n\nor nöt".as_bytes())).unwrap();
        assert_eq!(decoded.blocks[0].column(0).as_string::<i32>(), &StringArray::from(vec!["to be", "", "or nöt"]));
        let mut out = Vec::new();
        codec().encode(&decoded.blocks, &mut out).unwrap();
        assert_eq!(out, "to be\n\nor nöt\n".as_bytes());
    }

    #[test]
    fn a_line_that_is_no_utf_8_costs_its_neighbours_nothing() {
        let decoded = codec().decode(&piece(b"one\n\xff\xfe\nthree\r\nfour")).unwrap();
        let rows: usize = decoded.blocks.iter().map(RecordBatch::num_rows).sum();
        assert_eq!((rows, decoded.bad.len(), decoded.bad[0].line), (3, 1, 1));
        assert_eq!(decoded.bad[0].reason, "not UTF-8");
    }
}
