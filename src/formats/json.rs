//! `json`: an object a line, or an array of objects.

mod array;
mod fractions;

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited};
use arrow::json::{ReaderBuilder, WriterBuilder};
use serde_json::Value;

use crate::formats::infer;
use crate::formats::json::fractions::Fractions;
use crate::formats::{accepts_all, lines, no_columns};
use crate::model::{Column, Schema, Type};
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Decoded, FormatCodec, Piece};
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec, Records, Settings};

const LAYOUT: &[(&str, &str)] = &[("lines", "an object a line"), ("array", "one array of objects")];

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("json", "JSON objects whose fields are the columns", "json")
            .details(
                "A field that is missing or null makes a bad row where the column is not nullable; fields without a column \
                 are ignored. Times are read from RFC 3339 texts, decimals from numbers or texts without rounding, bytes \
                 from hexadecimal texts. A column of type `json` takes any value as it stands. With `layout: array` a \
                 file or message is one array; its elements are read one by one, and `_line` counts them.",
            )
            .example("source orders = files(\"data/*.json\") { format: json, schema: { id: string, amount: decimal(12, 2) } }")
            .example("source orders = files(\"data/*.json\") { format: json, layout: array, schema: { id: string } }")
            .alias("ndjson")
            .alias("jsonl"),
        args: Vec::new(),
        options: vec![OptionSpec::with_default(
            "layout",
            OptionKind::Symbol(LAYOUT),
            "lines",
            "where an object ends and the next begins",
        )],
        columns: no_columns,
        accepts: accepts_all,
        directions: Directions::Both,
        records: |settings| if is_array(settings) { Records::OTHER } else { Records::VALUES },
        conflicts: |_| Vec::new(),
        infer: Some(infer::json::infer),
        open,
    }
}

fn is_array(settings: &Settings) -> bool {
    settings.text("layout") == Some("array")
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    Ok(Box::new(Json { array: is_array(&call.settings), ..Json::of(schema.clone()) }))
}

struct Json {
    schema: Schema,
    arrow: SchemaRef,
    /// What the reader beneath would cut off.
    fractions: Fractions,
    /// The columns that are built, and where they stand; none: all of them.
    built: Option<(SchemaRef, Vec<usize>)>,
    /// All objects stand in one array.
    array: bool,
    longest: usize,
    /// What cannot be read is null.
    forgiving: bool,
}

impl FormatCodec for Json {
    fn forgive(&mut self) {
        self.forgiving = true;
    }

    fn is_lines(&self) -> bool {
        !self.array
    }

    fn limit(&mut self, longest: usize) {
        self.longest = longest;
    }

    fn header(&self, front: &[u8], last: bool) -> Option<usize> {
        if self.array { array::header(front, last) } else { Some(0) }
    }

    /// Only what takes any value, and none: such a column makes no row bad. It costs the most as well, since its values
    /// are written out again. Of the others each value must be seen to fit, which is what building them costs.
    fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        let takes_any = |i: &usize| {
            let slot = &self.schema.columns[*i].slot;
            unread.contains(i) && slot.nullable && slot.ty == Type::Json
        };
        let (out, kept): (Vec<usize>, Vec<usize>) = (0..self.schema.columns.len()).partition(takes_any);
        if !out.is_empty() && !kept.is_empty() {
            let columns = kept.iter().map(|i| self.schema.columns[*i].clone()).collect();
            self.built = Some((Schema::new(columns).to_arrow(), kept));
        }
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        if self.array {
            return self.decode_array(piece);
        }
        Ok(self.decode_lines(piece))
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let builder = WriterBuilder::new().with_explicit_nulls(true);
        let written = if self.array {
            let mut writer = builder.build::<_, JsonArray>(&mut *out);
            let written = rows.iter().try_for_each(|batch| writer.write(batch)).and_then(|()| writer.finish());
            drop(writer);
            out.push(b'\n');
            written
        } else {
            let mut writer = builder.build::<_, LineDelimited>(out);
            rows.iter().try_for_each(|batch| writer.write(batch)).and_then(|()| writer.finish())
        };
        written.map_err(|e| TaskError::Bug(e.to_string()))
    }
}

impl Json {
    fn of(schema: Schema) -> Self {
        let (arrow, fractions) = (schema.to_arrow(), Fractions::of(&schema));
        Json { arrow, fractions, schema, built: None, array: false, longest: usize::MAX, forgiving: false }
    }

    fn decode_lines(&self, piece: &Piece<'_>) -> Decoded {
        let found = lines::find(piece, self.longest, |line| !line.iter().all(u8::is_ascii_whitespace));
        let raw = self.built_columns().any(|c| holds_json(&c.slot.ty));
        let read = |bytes: &[u8], rows: usize| {
            if raw { self.read(&self.quote_raw(bytes)?, rows) } else { self.read(bytes, rows) }
        };
        let save = |line: &[u8]| lines::saved(&self.arrow, |i| self.value(line, i));
        lines::decode_saving(piece, found, &read, self.forgiving.then_some(&save))
    }

    /// The value of one column of a line, where it can be read.
    fn value(&self, line: &[u8], column: usize) -> Option<ArrayRef> {
        let alone = Json::of(Schema::new(vec![self.schema.columns[column].clone()]));
        let raw = alone.built_columns().any(|c| holds_json(&c.slot.ty));
        let row = if raw { alone.quote_raw(line).and_then(|line| alone.read(&line, 1)) } else { alone.read(line, 1) };
        Some(row.ok()?.column(0).clone())
    }

    /// The elements of an array are put on a line each and read as lines are.
    fn decode_array(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        if piece.header.is_empty() {
            return Ok(array::no_array(piece));
        }
        let found = array::elements(piece, self.longest);
        let lines = Piece { bytes: &found.lines, last: true, ..*piece };
        let mut decoded = self.decode_lines(&lines);
        // These lines are not those of the file; each is an element.
        for bad in &mut decoded.bad {
            let place = usize::try_from(bad.line).ok().and_then(|line| found.places.get(line));
            bad.bytes = place.map(|place| place.start as u64..place.end as u64);
        }
        (decoded.used, decoded.over) = (found.used, found.over);
        if let Some(reason) = found.wrong {
            let text = BadRow::shown(&piece.bytes[found.at..]);
            let bytes = Some(found.at as u64..piece.bytes.len() as u64);
            decoded.bad.push(BadRow { text, reason, place: String::new(), line: decoded.lines, bytes });
            decoded.lines += 1;
        }
        Ok(decoded)
    }

    fn built_columns(&self) -> impl Iterator<Item = &Column> {
        let is_built = |i: &usize| self.built.as_ref().is_none_or(|(_, kept)| kept.contains(i));
        self.schema.columns.iter().enumerate().filter(move |(i, _)| is_built(i)).map(|(_, column)| column)
    }

    /// Built columns among hollow ones.
    fn widened(&self, batch: RecordBatch) -> Result<RecordBatch, String> {
        let Some((_, kept)) = &self.built else { return Ok(batch) };
        let fields = self.arrow.fields().iter().enumerate();
        let column = |(i, field): (usize, &FieldRef)| match kept.iter().position(|k| *k == i) {
            Some(at) => batch.column(at).clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        RecordBatch::try_new(self.arrow.clone(), fields.map(column).collect()).map_err(|e| plain(&e))
    }

    /// Reads so many lines in one go.
    fn read(&self, bytes: &[u8], rows: usize) -> Result<RecordBatch, String> {
        let schema = self.built.as_ref().map_or(&self.arrow, |(schema, _)| schema).clone();
        let mut decoder = ReaderBuilder::new(schema).with_batch_size(rows).build_decoder().map_err(|e| plain(&e))?;
        let fractions = self.fractions.may_be_in(bytes);
        let mut start = 0;
        let mut read = 0;
        while start < bytes.len() {
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length);
            let line = bytes[start..end].trim_ascii();
            start = end + 1;
            if line.is_empty() {
                continue;
            }
            if fractions && self.fractions.are_in(line, &self.schema) {
                return Err(self.explain(line, &ArrowError::JsonError("a whole number has a fraction".into())));
            }
            let used = decoder.decode(line).map_err(|e| self.explain(line, &e))?;
            read += 1;
            if used < line.len() || decoder.len() != read {
                return Err(self.explain(line, &ArrowError::JsonError("not one JSON object".into())));
            }
        }
        let batch = decoder.flush().map_err(|e| if rows == 1 { self.explain(bytes, &e) } else { plain(&e) })?;
        let batch = batch.filter(|b| b.num_rows() == rows).ok_or("not one JSON object")?;
        self.widened(batch)
    }

    /// What is wrong with a line, in the words of the schema where that is possible.
    fn explain(&self, line: &[u8], error: &ArrowError) -> String {
        match serde_json::from_slice(line) {
            Ok(Value::Object(fields)) => {
                let missing = |name: &str| fields.get(name).is_none_or(Value::is_null);
                let columns = &self.schema.columns;
                if let Some(absent) = columns.iter().find(|c| !c.slot.nullable && missing(&c.name)) {
                    return format!("field `{}` is missing or null", absent.name);
                }
                let misfit = columns
                    .iter()
                    .find(|c| columns.len() > 1 && Json::of(Schema::new(vec![(*c).clone()])).read(line, 1).is_err());
                misfit.map_or_else(|| plain(error), |c| format!("field `{}` is no {}", c.name, c.slot.ty))
            }
            Ok(_) => "not a JSON object".into(),
            Err(e) => format!("not JSON: {e}"),
        }
    }

    /// The same lines with every value that is kept as JSON turned into a text that holds it.
    fn quote_raw(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(bytes.len() * 2);
        let record = Type::Struct(self.built_columns().cloned().collect());
        for line in bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let mut value = serde_json::from_slice(line).map_err(|e| format!("not JSON: {e}"))?;
            quote(&mut value, &record);
            serde_json::to_writer(&mut out, &value).map_err(|e| e.to_string())?;
            out.push(b'\n');
        }
        Ok(out)
    }
}

fn holds_json(ty: &Type) -> bool {
    match ty {
        Type::Json => true,
        Type::List(element) => holds_json(&element.ty),
        Type::Map(_, value) => holds_json(&value.ty),
        Type::Struct(columns) => columns.iter().any(|c| holds_json(&c.slot.ty)),
        _ => false,
    }
}

fn quote(value: &mut Value, ty: &Type) {
    match (ty, value) {
        (Type::Json, value) if !value.is_null() => *value = Value::String(value.to_string()),
        (Type::List(element), Value::Array(values)) => values.iter_mut().for_each(|v| quote(v, &element.ty)),
        (Type::Map(_, slot), Value::Object(fields)) => fields.values_mut().for_each(|v| quote(v, &slot.ty)),
        (Type::Struct(columns), Value::Object(fields)) => {
            for column in columns {
                if let Some(v) = fields.get_mut(&column.name) {
                    quote(v, &column.slot.ty);
                }
            }
        }
        _ => {}
    }
}

fn plain(error: &ArrowError) -> String {
    let text = error.to_string();
    text.strip_prefix("Json error: ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::formats::{nullable, required};

    fn codec(columns: Vec<crate::model::Column>) -> Json {
        Json::of(Schema::new(columns))
    }

    fn orders() -> Json {
        let amount = Type::Decimal { precision: 12, scale: 2 };
        codec(vec![
            required("id", Type::Int64),
            nullable("note", Type::String),
            nullable("amount", amount),
            nullable("ts", Type::Timestamp(None)),
        ])
    }

    fn read(codec: &Json, text: &str) -> Decoded {
        codec
            .decode(&Piece { header: &[], bytes: text.as_bytes(), last: true, records: usize::MAX, threads: 1 })
            .unwrap()
    }

    #[test]
    fn bad_lines_cost_their_neighbours_nothing() {
        let text = "{\"id\": 1}\n{\"note\": \"x\"}\n\n{\"id\": 2, \"more\": [1]}\nrubbish\n{\"id\": 3} {\"id\": 4}\n{\"id\":\n5}\n{\"id\": 6}";
        let decoded = read(&orders(), text);
        let ids: Vec<i64> =
            decoded.blocks.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(ids, [1, 2, 6]);
        let bad: Vec<_> = decoded.bad.iter().map(|b| (b.line, b.reason.as_str())).collect();
        assert_eq!(bad[0], (1, "field `id` is missing or null"));
        assert!(bad[1].1.starts_with("not JSON"), "{bad:?}");
        assert_eq!(bad[2], (5, "not JSON: trailing characters at line 1 column 11"));
        assert_eq!(bad.len(), 5, "an object on two lines is two bad lines: {bad:?}");
        assert_eq!(decoded.blank, [2]);
    }

    #[test]
    fn a_value_that_does_not_fit_is_named() {
        let decoded = read(&orders(), r#"{"id": 1, "amount": "a gift"}"#);
        assert_eq!(decoded.bad[0].reason, "field `amount` is no decimal(12, 2)");
    }

    #[test]
    fn a_fraction_is_not_cut_off_a_whole_number() {
        let list = Type::List(Box::new(crate::model::Slot::required(Type::Int32)));
        let columns =
            || vec![required("id", Type::Int64), nullable("many", list.clone()), nullable("x", Type::Float64)];
        let text = "{\"id\": 2.5}\n{\"id\": 2.0, \"x\": 1.5}\n{\"x\": 0.5, \"id\": 1e2}\n{\"id\" : 15e-1}\n\
                    {\"id\": 3, \"many\": [1, 2.0]}\n{\"id\": 4, \"many\": [1, 2.5]}\n{\"id\": 5, \"a\": {\"id\": 2.5}}";
        let decoded = read(&codec(columns()), text);
        let ids: Vec<i64> =
            decoded.blocks.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        assert_eq!(ids, [2, 100, 3, 5]);
        let bad: Vec<_> = decoded.bad.iter().map(|b| (b.line, b.reason.as_str())).collect();
        let many = "field `many` is no list(int32)";
        assert_eq!(bad, [(0, "field `id` is no int64"), (3, "field `id` is no int64"), (5, many)]);
        let alone = read(&codec(vec![required("id", Type::Int64)]), "{\"id\": 2.5}");
        assert_eq!(alone.bad[0].reason, "a whole number has a fraction");
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let decoded = read(&orders(), r#"{"id": 1, "amount": 10.05, "ts": "2026-01-01T12:00:05.25Z", "note": null}"#);
        assert_eq!(decoded.bad, []);
        let mut out = Vec::new();
        orders().encode(&decoded.blocks, &mut out).unwrap();
        let again = read(&orders(), std::str::from_utf8(&out).unwrap());
        assert_eq!(again.blocks, decoded.blocks);
    }

    #[test]
    fn a_column_that_nobody_reads_is_left_out_where_that_changes_no_bad_row() {
        let columns = || {
            let note = nullable("note", Type::String);
            vec![required("id", Type::Int64), note, nullable("any", Type::Json), required("some", Type::Json)]
        };
        let text = "{\"id\": 1, \"note\": \"a\", \"any\": {\"b\": 1}, \"some\": 2}\n\
                    {\"id\": 2, \"note\": 3, \"some\": 1}\n{\"id\": 3, \"any\": 1}\n{\"id\": 4, \"any\": }\n";
        let all = read(&codec(columns()), text);
        let mut lazy = codec(columns());
        lazy.leave_out(&BTreeSet::from([1, 2, 3]));
        let found = read(&lazy, text);
        assert_eq!((&found.bad, found.bad.len()), (&all.bad, 3));
        assert_eq!(found.blocks[0].schema(), all.blocks[0].schema());
        assert_eq!((all.blocks[0].column(2).null_count(), found.blocks[0].column(2).null_count()), (0, 1));
        assert_eq!(all.blocks[0].column(3), found.blocks[0].column(3));
    }

    fn read_array(text: &str, step: usize, records: usize) -> (Vec<i64>, Vec<(u64, String)>) {
        let mut codec = orders();
        codec.array = true;
        codec.limit(100);
        let bytes = text.as_bytes();
        let at = codec.header(bytes, true).unwrap();
        let (header, mut rest) = bytes.split_at(at);
        let (mut ids, mut bad, mut lines, mut given) = (Vec::new(), Vec::new(), 0, 0);
        loop {
            given = rest.len().min(given.max(1) + step);
            let last = given == rest.len();
            let piece = Piece { header, bytes: &rest[..given], last, records, threads: 1 };
            let decoded = codec.decode(&piece).unwrap();
            for block in &decoded.blocks {
                ids.extend(block.column(0).as_primitive::<Int64Type>().values().to_vec());
            }
            bad.extend(decoded.bad.into_iter().map(|row| (row.line + lines, row.reason)));
            lines += decoded.lines;
            rest = &rest[decoded.used..];
            given = given.saturating_sub(decoded.used);
            if decoded.over || last && (decoded.used == 0 || rest.is_empty()) {
                return (ids, bad);
            }
        }
    }

    #[test]
    fn the_elements_of_an_array_are_rows_however_they_are_laid_out_and_cut() {
        let text = " [ {\"id\": 1,\n \"note\": \"a ] , \\\" b\"}, {\"id\": 2},\n\n{\"note\": \"x\"}, rubbish, {\"id\": 3, \"more\": [[1], {}]}\n] \n";
        for step in [1, 2, 7, 1000] {
            for records in [1, 2, 100] {
                let (ids, bad) = read_array(text, step, records);
                assert_eq!(ids, [1, 2, 3], "{step} {records}");
                let lines: Vec<_> = bad.iter().map(|(line, _)| *line).collect();
                assert_eq!(lines, [2, 3], "{bad:?}");
            }
        }
        assert_eq!(read_array("[]", 9, 9), (vec![], vec![]));
        assert_eq!(read_array("", 9, 9), (vec![], vec![]));
    }

    #[test]
    fn what_is_no_array_or_not_closed_is_said_and_costs_what_stands_before_nothing() {
        let reasons = |text: &str| {
            let (ids, bad) = read_array(text, 50, 100);
            (ids, bad.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>())
        };
        assert_eq!(
            reasons("{\"id\": 1}"),
            (vec![], vec!["not a JSON array; objects on lines are `layout: lines`".into()])
        );
        assert_eq!(reasons("[{\"id\": 1}, {\"id\": 2"), (vec![1], vec!["the array is not closed".into()]));
        assert_eq!(reasons("[{\"id\": 1}] x"), (vec![1], vec!["something stands behind the array".into()]));
        let monstrous = format!("[{{\"id\": 1}}, {{\"id\": \"{}\"}}, {{\"id\": 2}}]", "9".repeat(500));
        let (ids, bad) = reasons(&monstrous);
        assert_eq!((ids, bad.len()), (vec![1], 1));
        assert!(bad[0].starts_with("longer than 100 bytes"), "{bad:?}");
    }

    #[test]
    fn a_bad_element_of_an_array_says_where_its_bytes_are() {
        let mut codec = orders();
        codec.array = true;
        let text = " [ {\"id\": 1},\n  {\"id\":\n \"x\"}  , 7 , {\"id\": 3}";
        let at = codec.header(text.as_bytes(), true).unwrap();
        let (header, bytes) = text.as_bytes().split_at(at);
        let piece = Piece { header, bytes, last: true, records: 99, threads: 1 };
        let bad = codec.decode(&piece).unwrap().bad;
        let range = |bad: &BadRow| bad.bytes.clone().map(|r| r.start as usize..r.end as usize).unwrap();
        let texts: Vec<&str> = bad.iter().map(|bad| &text[at..][range(bad)]).collect();
        assert_eq!(texts, ["{\"id\":\n \"x\"}", "7", "{\"id\": 3}"]);
    }

    #[test]
    fn an_array_comes_back_as_it_was_written() {
        let decoded = read(&orders(), "{\"id\": 1, \"note\": \"a\\nb\"}\n{\"id\": 2, \"amount\": 1.25}");
        let mut out = Vec::new();
        Json { array: true, ..orders() }.encode(&decoded.blocks, &mut out).unwrap();
        assert_eq!(read_array(std::str::from_utf8(&out).unwrap(), 999, 99), (vec![1, 2], vec![]));
        assert!(out.starts_with(b"[{") && out.ends_with(b"}]\n"));
    }

    #[test]
    fn a_line_that_is_too_long_is_bad_and_its_neighbours_are_not() {
        let mut codec = orders();
        codec.limit(40);
        let text = format!("{{\"id\": 1}}\n{{\"id\": 2, \"note\": \"{}\"}}\n{{\"id\": 3}}\n", "x".repeat(50));
        let decoded = read(&codec, &text);
        let rows: usize = decoded.blocks.iter().map(RecordBatch::num_rows).sum();
        assert_eq!((rows, decoded.bad.len(), decoded.bad[0].line), (2, 1, 1));
    }

    #[test]
    fn a_json_column_takes_any_value_as_it_stands() {
        let codec = codec(vec![required("id", Type::Int64), nullable("payload", Type::Json)]);
        let decoded = read(&codec, "{\"id\": 1, \"payload\": {\"a\": [1, null]}}\n{\"id\": 2, \"payload\": \"x\"}\n");
        assert_eq!(decoded.bad, []);
        let payload = decoded.blocks[0].column(1).as_string::<i32>();
        assert_eq!((payload.value(0), payload.value(1)), (r#"{"a":[1,null]}"#, r#""x""#));
    }
}
