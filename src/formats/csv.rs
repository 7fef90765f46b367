//! `csv` and `tsv`: values with a character between.

mod records;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::csv::{QuoteStyle, ReaderBuilder, WriterBuilder};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use arrow::error::ArrowError;

use crate::formats::infer;
use crate::formats::{accepts_flat, cells, lines, no_columns};
use crate::model::Schema;
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Piece};
use crate::plan::{Conflict, Doc, FormatEntry, FormatUse, OptionKind, OptionSpec, Records, Settings};

/// What values that hold a delimiter stand in, where nothing else is said.
const QUOTE: u8 = b'"';

/// The entry of `csv`.
pub fn entry() -> FormatEntry {
    let mut options = vec![
        OptionSpec::with_default("delimiter", OptionKind::Text, "\",\"", "the character between two values"),
        OptionSpec::with_default(
            "quote",
            OptionKind::Text,
            "\"\\\"\"",
            "the character around values that hold a delimiter",
        ),
        OptionSpec::optional(
            "escape",
            OptionKind::Text,
            "the character before a quote within quotes, where that is not the quote itself",
        ),
        OptionSpec::optional("comment", OptionKind::Text, "lines that start with this character are left out"),
        OptionSpec::with_default("multiline", OptionKind::Bool, "false", "whether a quoted value may hold line ends"),
    ];
    options.extend(shared_options());
    FormatEntry {
        doc: Doc::new("csv", "lines of values with commas between, under a line of names", "csv")
            .details(
                "With a header, columns are found by name and may stand in any order; without one they stand in the \
                 schema's order. What `null_text` says is null; in a `string` that is not nullable it is a text as any \
                 other. Bytes are hexadecimal, durations are written like `1h30m` or `PT5400S`. With `multiline: true` a \
                 quoted value may go over several lines; where its quote is never closed, only the line it starts in is bad.",
            )
            .example("source users = files(\"data/*.csv\") { format: csv, schema: { user_id: string, country: string? } }"),
        args: Vec::new(),
        options,
        columns: no_columns,
        accepts: accepts_flat,
        directions: Directions::Both,
        records: |_| Records::VALUES,
        conflicts,
        infer: Some(infer::csv::infer),
        open,
    }
}

/// The entry of `tsv`.
pub fn tsv_entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("tsv", "lines of values with tabs between, under a line of names", "tsv").example(
            "source users = files(\"data/*.tsv\") { format: tsv, schema: { user_id: string, country: string? } }",
        ),
        options: shared_options(),
        infer: Some(infer::csv::infer_tabs),
        ..entry()
    }
}

fn shared_options() -> Vec<OptionSpec> {
    vec![
        OptionSpec::with_default("header", OptionKind::Bool, "true", "whether the first line holds the names"),
        OptionSpec::with_default("null_text", OptionKind::Text, "\"\"", "how null is written"),
    ]
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let settings = &call.settings;
    let tabs = call.entry.doc.name == "tsv";
    Ok(Box::new(Csv {
        schema: schema.to_arrow(),
        dialect: Dialect {
            delimiter: character(settings, "delimiter").unwrap_or(if tabs { b'\t' } else { b',' }),
            quote: character(settings, "quote").unwrap_or(QUOTE),
            escape: character(settings, "escape"),
            comment: character(settings, "comment"),
            multiline: settings.flag("multiline"),
        },
        header: settings.get("header").is_none() || settings.flag("header"),
        null_text: settings.text("null_text").unwrap_or_default().to_owned(),
        unread: BTreeSet::new(),
        longest: usize::MAX,
        forgiving: false,
    }))
}

fn character(settings: &Settings, name: &str) -> Option<u8> {
    match settings.text(name)?.as_bytes() {
        [one] => Some(*one),
        _ => None,
    }
}

fn conflicts(used: &FormatUse<'_>) -> Vec<Conflict> {
    let settings = used.settings;
    let longer = |name: &&'static str| settings.text(name).is_some_and(|text| text.len() != 1);
    let longer = ["delimiter", "quote", "escape", "comment"].into_iter().filter(longer).map(|name| {
        let help = format!("for example:\n  {name}: \";\"");
        Conflict::value(name, format!("`{name}` is a single ASCII character"), help)
    });
    let quote = character(settings, "quote").unwrap_or(QUOTE);
    let twice = character(settings, "delimiter").filter(|one| *one == quote).map(|_| {
        let help = "one of the two must be another:\n  delimiter: \";\"";
        Conflict::between("delimiter", "`delimiter` and `quote` are the same character", help)
    });
    longer.chain(twice).collect()
}

#[derive(Clone, Copy)]
struct Dialect {
    delimiter: u8,
    quote: u8,
    escape: Option<u8>,
    comment: Option<u8>,
    /// A value in quotes may hold line ends.
    multiline: bool,
}

impl Dialect {
    fn is_record(&self, line: &[u8]) -> bool {
        line.first().is_some_and(|first| self.comment != Some(*first))
    }
}

struct Csv {
    schema: SchemaRef,
    dialect: Dialect,
    header: bool,
    null_text: String,
    unread: BTreeSet<usize>,
    longest: usize,
    /// What cannot be read is null.
    forgiving: bool,
}

impl FormatCodec for Csv {
    fn forgive(&mut self) {
        self.forgiving = true;
    }

    fn is_lines(&self) -> bool {
        true
    }

    fn limit(&mut self, longest: usize) {
        self.longest = longest;
    }

    /// Texts only: every value is one. The others are still seen to fit.
    fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        let is_text = |i: &usize| *self.schema.field(*i).data_type() == DataType::Utf8;
        self.unread = unread.iter().copied().filter(is_text).collect();
    }

    fn header(&self, front: &[u8], last: bool) -> Option<usize> {
        if !self.header {
            return Some(0);
        }
        self.names_at(front, last).map(|(_, end)| end)
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        let names = self.names(piece.header).map_err(TaskError::Stop)?;
        let found = match self.dialect.multiline {
            true => records::find(piece, self.longest, &self.dialect),
            false => lines::find(piece, self.longest, |line| self.dialect.is_record(line)),
        };
        let save = |line: &[u8]| lines::saved(&self.schema, |i| self.value(line, i, &names));
        let read = |bytes: &[u8], rows: usize| self.read(bytes, rows, &names);
        Ok(lines::decode_saving(piece, found, &read, self.forgiving.then_some(&save)))
    }

    fn encode(&self, rows: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let mut builder = WriterBuilder::new()
            .with_header(self.header)
            .with_delimiter(self.dialect.delimiter)
            .with_quote(self.dialect.quote)
            .with_null(self.null_text.clone());
        if let Some(escape) = self.dialect.escape {
            // Outside of quotes nothing escapes.
            builder = builder.with_escape(escape).with_double_quote(false).with_quote_style(QuoteStyle::Always);
        }
        let mut writer = builder.build(out);
        let escaped = |batch: &RecordBatch| match self.dialect.escape {
            Some(escape) => with_escapes(batch, char::from(escape)),
            None => Ok(batch.clone()),
        };
        let written = rows.iter().try_for_each(|batch| writer.write(&escaped(batch)?));
        written.map_err(|e| TaskError::Bug(e.to_string()))
    }
}

impl Csv {
    /// The line of names and where the next line starts; empty lines and comments may stand before it.
    fn names_at(&self, front: &[u8], last: bool) -> Option<(std::ops::Range<usize>, usize)> {
        let mut start = 0;
        loop {
            let end = memchr::memchr(b'\n', &front[start..]).map(|length| start + length);
            let (end, next) = end.map(|end| (end, end + 1)).or(last.then_some((front.len(), front.len())))?;
            let line = front[start..end].strip_suffix(b"\r").unwrap_or(&front[start..end]);
            if self.dialect.is_record(line) || next == front.len() && last {
                return Some((start..end, next));
            }
            start = next;
        }
    }

    /// The names of the file's columns, in its order.
    fn names(&self, header: &[u8]) -> Result<Vec<String>, String> {
        if !self.header {
            return Ok(self.schema.fields().iter().map(|f| f.name().clone()).collect());
        }
        let header = self.names_at(header, true).map_or(header, |(names, _)| &header[names]);
        let text = std::str::from_utf8(header).map_err(|_| "the line of names is not UTF-8".to_owned())?;
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        let count = text.bytes().filter(|b| *b == self.dialect.delimiter).count() + 1;
        let fields: Vec<_> = (0..count).map(|i| Field::new(format!("c{i}"), DataType::Utf8, true)).collect();
        let row = self.parse(text.as_bytes(), 1, Arc::new(arrow::datatypes::Schema::new(fields)), None);
        let batch = row.map_err(|e| format!("the line of names cannot be read: {e}"))?;
        let name = |column: &ArrayRef| column.as_string::<i32>().value(0).trim().to_owned();
        Ok(batch.columns().iter().map(name).collect())
    }

    /// Reads so many lines in one go.
    fn read(&self, bytes: &[u8], rows: usize, names: &[String]) -> Result<RecordBatch, String> {
        let wanted =
            |name: &String| self.schema.field_with_name(name).map_or(DataType::Utf8, |f| f.data_type().clone());
        let text = |ty: DataType| if is_plain(&ty) { ty } else { DataType::Utf8 };
        let fields: Vec<_> = names.iter().map(|name| Field::new(name, text(wanted(name)), true)).collect();
        let is_built = |name: &String| {
            let at = self.schema.column_with_name(name).map(|(i, _)| i);
            at.is_some_and(|i| !self.unread.contains(&i))
        };
        let built = (0..names.len()).filter(|i| is_built(&names[*i])).collect();
        let batch = self.parse(bytes, rows, Arc::new(arrow::datatypes::Schema::new(fields)), Some(built))?;
        let column = |(i, field): (usize, &FieldRef)| {
            let hollow = self.unread.contains(&i) && names.contains(field.name());
            if hollow { Ok(empty_texts(rows)) } else { self.column(&batch, field) }
        };
        let columns = self.schema.fields().iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| e.to_string())
    }

    /// The value of one column of a line, where it can be read.
    fn value(&self, line: &[u8], column: usize, names: &[String]) -> Option<ArrayRef> {
        let schema = Arc::new(arrow::datatypes::Schema::new(vec![self.schema.field(column).clone()]));
        let alone = Csv { schema, null_text: self.null_text.clone(), unread: BTreeSet::new(), ..*self };
        Some(alone.read(line, 1, names).ok()?.column(0).clone())
    }

    /// `built`: the columns wanted of those in the file; none: all of them.
    fn parse(
        &self,
        bytes: &[u8],
        rows: usize,
        schema: SchemaRef,
        built: Option<Vec<usize>>,
    ) -> Result<RecordBatch, String> {
        let mut builder = ReaderBuilder::new(schema)
            .with_batch_size(rows)
            .with_delimiter(self.dialect.delimiter)
            .with_quote(self.dialect.quote);
        if let Some(escape) = self.dialect.escape {
            builder = builder.with_escape(escape);
        }
        if let Some(comment) = self.dialect.comment {
            builder = builder.with_comment(comment);
        }
        if let Some(built) = built {
            builder = builder.with_projection(built);
        }
        if !self.null_text.is_empty() {
            let exactly = ::regex::Regex::new(&format!("^{}$", ::regex::escape(&self.null_text)));
            builder = builder.with_null_regex(exactly.map_err(|e| e.to_string())?);
        }
        let mut decoder = builder.build_decoder();
        let mut left = bytes;
        while !left.is_empty() {
            let used = decoder.decode(left).map_err(|e| plain(&e))?;
            if used == 0 {
                return Err("more values than names, or a quote that is not closed".into());
            }
            left = &left[used..];
        }
        decoder.decode(&[]).map_err(|e| plain(&e))?;
        let batch = decoder.flush().map_err(|e| plain(&e))?;
        batch.filter(|b| b.num_rows() == rows).ok_or_else(|| "a quote that is not closed".into())
    }

    fn column(&self, batch: &RecordBatch, field: &Field) -> Result<ArrayRef, String> {
        let Some(found) = batch.column_by_name(field.name()) else {
            let missing = || format!("the file has no column `{}`", field.name());
            return field
                .is_nullable()
                .then(|| new_null_array(field.data_type(), batch.num_rows()))
                .ok_or_else(missing);
        };
        let found = if found.data_type() == field.data_type() {
            found.clone()
        } else {
            cells::typed(cells::texts(found).ok_or("no text")?.clone(), field)?
        };
        if field.is_nullable() || found.null_count() == 0 {
            return Ok(found);
        }
        match found.as_string_opt::<i32>() {
            Some(texts) => {
                let filled = texts.iter().map(|text| text.unwrap_or(&self.null_text));
                Ok(Arc::new(StringArray::from_iter_values(filled)))
            }
            None => Err(format!("`{}` is empty", field.name())),
        }
    }
}

/// The writer puts an escape before quotes, but not before the escape itself.
fn with_escapes(batch: &RecordBatch, escape: char) -> Result<RecordBatch, ArrowError> {
    let doubled = format!("{escape}{escape}");
    let column = |column: &ArrayRef| -> ArrayRef {
        let Some(texts) = cells::texts(column) else { return column.clone() };
        Arc::new(texts.iter().map(|text| text.map(|text| text.replace(escape, &doubled))).collect::<StringArray>())
    };
    RecordBatch::try_new(batch.schema(), batch.columns().iter().map(column).collect())
}

/// Texts that nobody reads.
fn empty_texts(rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n("", rows)))
}

/// Types that the CSV reader makes itself; the others are cast from text.
fn is_plain(ty: &DataType) -> bool {
    ty.is_primitive() && !matches!(ty, DataType::Duration(_)) || matches!(ty, DataType::Boolean | DataType::Utf8)
}

fn plain(error: &ArrowError) -> String {
    let text = error.to_string();
    let text =
        ["Parser error: ", "Csv error: ", "Cast error: "].iter().find_map(|p| text.strip_prefix(p)).unwrap_or(&text);
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::formats::{nullable, required};
    use crate::model::Type;

    fn codec() -> Csv {
        let schema = Schema::new(vec![
            required("id", Type::Int64),
            required("name", Type::String),
            nullable("amount", Type::Decimal { precision: 12, scale: 2 }),
        ]);
        let dialect = Dialect { delimiter: b',', quote: b'"', escape: None, comment: None, multiline: false };
        Csv {
            schema: schema.to_arrow(),
            dialect,
            header: true,
            null_text: String::new(),
            unread: BTreeSet::new(),
            longest: usize::MAX,
            forgiving: false,
        }
    }

    fn read(text: &str) -> Decoded {
        let codec = codec();
        let header = codec.header(text.as_bytes(), true).unwrap();
        let (header, bytes) = text.as_bytes().split_at(header);
        codec.decode(&Piece { header, bytes, last: true, records: usize::MAX, threads: 1 }).unwrap()
    }

    #[test]
    fn texts_that_nobody_reads_are_not_built_and_rows_are_as_bad_as_before() {
        let columns = || vec![required("id", Type::Int64), nullable("note", Type::String), nullable("n", Type::Int64)];
        let mut lazy = Csv { schema: Schema::new(columns()).to_arrow(), ..codec() };
        let all = Csv { schema: Schema::new(columns()).to_arrow(), ..codec() };
        lazy.leave_out(&BTreeSet::from([1, 2]));
        let piece = Piece {
            header: b"note,id,more,n\n",
            bytes: b"a,1,x,1\nb,2,x,no\nc,,x,3\nd,4,x,\n",
            last: true,
            records: 99,
            threads: 1,
        };
        let (all, lazy) = (all.decode(&piece).unwrap(), lazy.decode(&piece).unwrap());
        assert_eq!((&lazy.bad, lazy.bad.len()), (&all.bad, 2));
        for (found, wanted) in lazy.blocks.iter().zip(&all.blocks) {
            assert_eq!(
                (found.schema(), found.column(0), found.column(2)),
                (wanted.schema(), wanted.column(0), wanted.column(2))
            );
            assert!(found.column(1).as_string::<i32>().iter().all(|text| text == Some("")));
        }
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let decoded = read("name,other,id,amount\n\"a, b\",x,1,1.50\n,y,2,\n");
        assert_eq!(decoded.bad, []);
        let batch = &decoded.blocks[0];
        assert_eq!(batch.column(0).as_primitive::<Int64Type>().values(), &[1, 2]);
        assert_eq!(batch.column(1).as_string::<i32>(), &StringArray::from(vec!["a, b", ""]));
        assert!(batch.column(2).is_null(1));
    }

    #[test]
    fn bad_lines_cost_their_neighbours_nothing() {
        let decoded = read("id,name,amount\n1,a,1\nx,b,2\n3,c,3,4\n\n,d,4\n5,\"e,5\n6,f,6");
        let rows: usize = decoded.blocks.iter().map(RecordBatch::num_rows).sum();
        let bad: Vec<_> = decoded.bad.iter().map(|b| b.line).collect();
        assert_eq!((rows, bad), (2, vec![1, 2, 4, 5]), "{:?}", decoded.bad);
        assert_eq!(decoded.bad[2].reason, "`id` is empty");
    }

    fn dialect(options: &[(&str, &str)]) -> Box<dyn FormatCodec> {
        let mut settings = Settings::default();
        for (name, value) in options {
            let value = if *value == "true" || *value == "false" {
                crate::plan::OptionValue::Bool(*value == "true")
            } else {
                crate::plan::OptionValue::Text((*value).into())
            };
            settings.set(*name, value, <_>::default());
        }
        let columns = vec![
            required("id", Type::Int64),
            nullable("name", Type::String),
            nullable("raw", Type::Bytes),
            nullable("took", Type::Duration),
            nullable("at", Type::Timestamp(None)),
        ];
        open(&FormatCall { entry: Arc::new(entry()), settings }, &Schema::new(columns)).unwrap()
    }

    #[test]
    fn every_dialect_reads_what_it_writes() {
        let text = "id,name,raw,took,at\n1,\"a;b'c\\d\ne\",00ff,PT1.5S,2026-01-02T03:04:05Z\n2,NULL,,,\n-3,#x,,,\n";
        let plain = dialect(&[("multiline", "true"), ("null_text", "NULL")]);
        let at = plain.header(text.as_bytes(), true).unwrap();
        let (header, bytes) = text.as_bytes().split_at(at);
        // Null is said by `NULL` only, so the empty cells of the other columns do not fit.
        let bad = plain.decode(&Piece { header, bytes, last: true, records: 99, threads: 1 }).unwrap();
        assert_eq!(bad.bad.len(), 2, "{:?}", bad.bad);
        let text = text.replace(",,", ",NULL,NULL").replace("NULL,\n", "NULL,NULL\n");
        let bytes = &text.as_bytes()[at..];
        let decoded = plain.decode(&Piece { header, bytes, last: true, records: 99, threads: 1 }).unwrap();
        assert_eq!((decoded.bad.len(), decoded.blocks[0].num_rows()), (0, 3), "{:?}", decoded.bad);
        let dialects: [&[(&str, &str)]; 5] = [
            &[("delimiter", ";"), ("multiline", "true"), ("null_text", "-")],
            &[("quote", "'"), ("multiline", "true"), ("null_text", "NULL")],
            &[("escape", "\\"), ("multiline", "true"), ("null_text", "NULL")],
            &[("header", "false"), ("multiline", "true"), ("null_text", "NULL")],
            &[("delimiter", "|"), ("multiline", "true"), ("null_text", "\\N")],
        ];
        for options in dialects {
            let codec = dialect(options);
            let mut out = Vec::new();
            codec.encode(&decoded.blocks, &mut out).unwrap();
            let at = codec.header(&out, true).unwrap();
            let (header, bytes) = out.split_at(at);
            let again = codec.decode(&Piece { header, bytes, last: true, records: 99, threads: 1 }).unwrap();
            assert_eq!(again.bad, [], "{options:?}");
            assert_eq!(again.blocks, decoded.blocks, "{options:?}");
        }
    }

    #[test]
    fn comments_may_stand_before_the_names() {
        let codec = dialect(&[("comment", "#")]);
        let text = b"# made today\n\nname,id\n# more\nx,1\n";
        assert_eq!(codec.header(&text[..20], false), None);
        let at = codec.header(text, false).unwrap();
        let piece = Piece { header: &text[..at], bytes: &text[at..], last: true, records: 9, threads: 1 };
        let decoded = codec.decode(&piece).unwrap();
        assert_eq!((decoded.blocks[0].num_rows(), decoded.bad.len(), decoded.blank.len()), (1, 0, 1));
    }

    #[test]
    fn rows_come_back_as_they_were_written() {
        let decoded = read("id,name,amount\n1,\"say \"\"hi\"\"\",1.25\n2,b,\n");
        let mut out = Vec::new();
        codec().encode(&decoded.blocks, &mut out).unwrap();
        assert_eq!(read(std::str::from_utf8(&out).unwrap()).blocks, decoded.blocks);
    }
}
