//! `logfmt`: `key=value` pairs, a record a line.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::formats::{accepts_flat, cells, lines, no_columns};
use crate::model::Schema;
use crate::plan::catalog::Directions;
use crate::plan::operator::TaskError;
use crate::plan::seams::{Decoded, FormatCodec, Piece};
use crate::plan::{Doc, FormatEntry, Records};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("logfmt", "lines of `key=value` pairs whose keys are the columns", "logfmt")
            .details(
                "A value with spaces stands in double quotes, in which a backslash escapes. A key without a value is \
                 `true`; of a key that stands twice the last counts; keys without a column are ignored. A key that is \
                 missing is null, and a bad row where its column is not nullable. Empty lines are skipped.",
            )
            .example("source logs = files(\"logs/*.log\") { format: logfmt, schema: { level: string, msg: string?, took: float64? } }"),
        args: Vec::new(),
        options: Vec::new(),
        columns: no_columns,
        accepts: accepts_flat,
        directions: Directions::Both,
        records: |_| Records::VALUES,
        conflicts: |_| Vec::new(),
        infer: None,
        open: |_, schema| Ok(Box::new(Logfmt::of(schema))),
    }
}

struct Logfmt {
    schema: SchemaRef,
    longest: usize,
    /// What cannot be read is null.
    forgiving: bool,
}

impl Logfmt {
    fn of(schema: &Schema) -> Self {
        Logfmt { schema: schema.to_arrow(), longest: usize::MAX, forgiving: false }
    }

    fn read(&self, bytes: &[u8]) -> Result<RecordBatch, String> {
        let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); self.schema.fields().len()];
        for line in bytes.split(|b| *b == b'\n').filter(|line| !is_blank(line)) {
            let text = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
            columns.iter_mut().for_each(|column| column.push(None));
            for (key, value) in pairs(text)? {
                if let Some((at, _)) = self.schema.column_with_name(key)
                    && let Some(last) = columns[at].last_mut()
                {
                    *last = Some(value);
                }
            }
            let absent = self.schema.fields().iter().zip(&columns);
            let mut absent = absent.filter(|(field, column)| !field.is_nullable() && column.last() == Some(&None));
            if let Some((field, _)) = absent.next() {
                return Err(format!("key `{}` is missing", field.name()));
            }
        }
        cells::rows(columns.into_iter().map(StringArray::from).collect(), &self.schema)
    }
}

impl Logfmt {
    /// The value of one column of a line, where it can be read.
    fn value(&self, line: &[u8], column: usize) -> Option<ArrayRef> {
        let schema = Arc::new(ArrowSchema::new(vec![self.schema.field(column).clone()]));
        Some(Logfmt { schema, ..*self }.read(line).ok()?.column(0).clone())
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

impl FormatCodec for Logfmt {
    fn forgive(&mut self) {
        self.forgiving = true;
    }

    fn is_lines(&self) -> bool {
        true
    }

    fn limit(&mut self, longest: usize) {
        self.longest = longest;
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        let found = lines::find(piece, self.longest, |line| !is_blank(line));
        let save = |line: &[u8]| lines::saved(&self.schema, |i| self.value(line, i));
        Ok(lines::decode_saving(piece, found, &|bytes, _| self.read(bytes), self.forgiving.then_some(&save)))
    }

    /// Null is left out. A row without any value would be an empty line, which is none: it gets its first key.
    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        rows.iter().try_for_each(|batch| write(batch, out)).map_err(|e| TaskError::Bug(e.to_string()))
    }
}

fn write(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), arrow::error::ArrowError> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let cells = batch.columns().iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let mut first = true;
        for (i, cell) in cells.iter().enumerate() {
            if batch.column(i).is_null(row) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b' ');
            }
            out.extend_from_slice(schema.field(i).name().as_bytes());
            out.push(b'=');
            write_value(&cell.value(row).to_string(), out);
        }
        if first {
            out.extend_from_slice(b"_=");
        }
        out.push(b'\n');
    }
    Ok(())
}

fn write_value(value: &str, out: &mut Vec<u8>) {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if !value.is_empty() && value.chars().all(plain) {
        return out.extend_from_slice(value.as_bytes());
    }
    out.push(b'"');
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend([b'\\', c as u8]),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if c.is_control() => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

/// The pairs of a line.
fn pairs(line: &str) -> Result<Vec<(&str, String)>, String> {
    let mut found = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(rest.len());
        let (key, behind) = rest.split_at(end);
        if key.is_empty() || key.contains('"') {
            return Err(format!("`{}` is no key", rest.chars().take(20).collect::<String>()));
        }
        let Some(value) = behind.strip_prefix('=') else {
            found.push((key, "true".into()));
            rest = behind.trim_start();
            continue;
        };
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => unquoted(quoted).ok_or_else(|| format!("the quotes of `{key}` are not closed"))?,
            None => {
                let (value, behind) = value.split_at(value.find(char::is_whitespace).unwrap_or(value.len()));
                (value.to_owned(), behind)
            }
        };
        if behind.starts_with(|c: char| !c.is_whitespace()) {
            return Err(format!("there is no space behind the quotes of `{key}`"));
        }
        found.push((key, value));
        rest = behind.trim_start();
    }
    Ok(found)
}

/// The text up to the closing quote, and what stands behind it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'u' => {
                    let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                    value.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)?);
                }
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{Float64Type, Int64Type};
    use proptest::prelude::*;

    use super::*;
    use crate::formats::{nullable, required};
    use crate::model::Type;

    fn codec() -> Logfmt {
        let took = nullable("took", Type::Float64);
        Logfmt::of(&Schema::new(vec![required("n", Type::Int64), nullable("msg", Type::String), took]))
    }

    fn read(bytes: &[u8]) -> Decoded {
        codec().decode(&Piece { header: &[], bytes, last: true, records: usize::MAX, threads: 1 }).unwrap()
    }

    #[test]
    fn keys_are_found_in_any_order_and_quotes_hold_spaces() {
        let decoded = read(b"took=1.5 other=x n=1 msg=\"say \\\"hi\\\"\\n\"\nn=2 msg=\"\"\nflag n=3 n=4\n");
        assert_eq!(decoded.bad, []);
        let block = &decoded.blocks[0];
        assert_eq!(block.column(0).as_primitive::<Int64Type>().values(), &[1, 2, 4]);
        assert_eq!(block.column(1).as_string::<i32>(), &StringArray::from(vec![Some("say \"hi\"\n"), Some(""), None]));
        assert_eq!(block.column(2).as_primitive::<Float64Type>().value(0), 1.5);
    }

    #[test]
    fn bad_lines_cost_their_neighbours_nothing() {
        let decoded = read(b"n=1\nmsg=x\nn=y\n\nn=2 msg=\"open\nn=3\n\xff\nn=4 =x\nn=5 msg=\"a\"b\nn=6");
        let rows: usize = decoded.blocks.iter().map(RecordBatch::num_rows).sum();
        let bad: Vec<_> = decoded.bad.iter().map(|row| (row.line, row.reason.as_str())).collect();
        assert_eq!(rows, 3, "{bad:?}");
        let reasons = [
            (1, "key `n` is missing"),
            (2, "`n` is `y`, which does not fit its type"),
            (4, "the quotes of `msg` are not closed"),
            (6, "not UTF-8"),
            (7, "`=x` is no key"),
            (8, "there is no space behind the quotes of `msg`"),
        ];
        assert_eq!(bad, reasons);
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were_written(
            rows in proptest::collection::vec((any::<i64>(), proptest::option::of(any::<String>())), 1..9)
        ) {
            let numbers = Int64Array::from_iter_values(rows.iter().map(|(n, _)| *n));
            let texts: StringArray = rows.iter().map(|(_, text)| text.clone()).collect();
            let nothing = arrow::array::new_null_array(&arrow::datatypes::DataType::Float64, rows.len());
            let columns = vec![Arc::new(numbers) as _, Arc::new(texts) as _, nothing];
            let batch = RecordBatch::try_new(codec().schema, columns).unwrap();
            let mut out = Vec::new();
            codec().encode(std::slice::from_ref(&batch), &mut out).unwrap();
            let decoded = read(&out);
            prop_assert_eq!(&decoded.bad, &[]);
            prop_assert_eq!(&decoded.blocks[0], &batch);
        }
    }
}
