//! `regex(r"...")`: lines taken apart by a pattern with named groups.

use std::sync::Arc;

use ::regex::Regex;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};

use crate::formats::{accepts_flat, cells, lines, required};
use crate::model::{Column, Schema, Type};
use crate::plan::catalog::{Directions, FormatCall};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Piece};
use crate::plan::{Conflict, Doc, FormatEntry, FormatUse, OptionKind, OptionSpec, Records, Settings};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new(
            "regex",
            "lines taken apart by a pattern; its named groups are the columns",
            "regex(r\"PATTERN\")",
        )
        .details(
            "Columns are strings in the order of the groups, the empty text where a group took no part; a schema gives \
             them other types, and null to nullable ones whose group took no part. A line that does not match is a bad \
             row; empty lines are skipped where the pattern does not match them.",
        )
        .example("source access = files(\"logs/*.log\") { format: regex(r\"^(?<ip>\\S+) (?<status>\\d+)\") }"),
        args: vec![OptionSpec::required("pattern", OptionKind::Text, "a regular expression with named groups")],
        options: Vec::new(),
        columns: group_columns,
        accepts: accepts_flat,
        directions: Directions::In,
        records: |_| Records::VALUES,
        conflicts,
        infer: None,
        open,
    }
}

fn group_columns(settings: &Settings) -> Option<Vec<Column>> {
    let pattern = Regex::new(settings.text("pattern")?).ok()?;
    let columns: Vec<_> = pattern.capture_names().flatten().map(|name| required(name, Type::String)).collect();
    (!columns.is_empty()).then_some(columns)
}

fn pattern(settings: &Settings) -> Result<Regex, Conflict> {
    Regex::new(settings.text("pattern").unwrap_or_default()).map_err(|e| {
        let why = e.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let help = "for example:\n  format: regex(r\"^(?<ip>\\S+) (?<status>\\d+)\")";
        let wrong = Conflict::value("pattern", "the pattern is no regular expression", help);
        Conflict { code: "invalid-regex", label: why, ..wrong }
    })
}

fn group(pattern: &Regex, column: &Column) -> Result<usize, Conflict> {
    let found = pattern.capture_names().position(|name| name == Some(&column.name));
    found.ok_or_else(|| {
        let help = format!("name the group:\n  (?<{}>...)", column.name);
        Conflict::between("pattern", format!("the pattern has no group for column `{}`", column.name), help)
    })
}

fn conflicts(used: &FormatUse<'_>) -> Vec<Conflict> {
    match pattern(used.settings) {
        Err(wrong) => vec![wrong],
        Ok(pattern) => {
            used.columns.unwrap_or_default().iter().filter_map(|column| group(&pattern, column).err()).collect()
        }
    }
}

fn open(call: &FormatCall, schema: &Schema) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let refused = |conflict: Conflict| NotRunnable(conflict.message);
    let pattern = pattern(&call.settings).map_err(refused)?;
    let groups = schema.columns.iter().map(|column| group(&pattern, column));
    let groups = groups.collect::<Result<_, _>>().map_err(refused)?;
    Ok(Box::new(Groups { schema: schema.to_arrow(), pattern, groups, longest: usize::MAX, forgiving: false }))
}

struct Groups {
    schema: SchemaRef,
    pattern: Regex,
    /// The group of each column.
    groups: Vec<usize>,
    longest: usize,
    /// What cannot be read is null.
    forgiving: bool,
}

impl FormatCodec for Groups {
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
        let takes_nothing = self.pattern.is_match("");
        let found = lines::find(piece, self.longest, |line| takes_nothing || !line.is_empty());
        let save = |line: &[u8]| lines::saved(&self.schema, |i| self.value(line, i, takes_nothing));
        let read = |bytes: &[u8], rows: usize| self.read(bytes, rows, takes_nothing);
        Ok(lines::decode_saving(piece, found, &read, self.forgiving.then_some(&save)))
    }

    fn encode(&self, _: &[RecordBatch], _: &mut Vec<u8>) -> Result<(), TaskError> {
        Err(TaskError::Stop("rows cannot be written by a regular expression".into()))
    }
}

impl Groups {
    /// The value of one column of a line, where it can be read.
    fn value(&self, line: &[u8], column: usize, takes_nothing: bool) -> Option<ArrayRef> {
        let schema = Arc::new(ArrowSchema::new(vec![self.schema.field(column).clone()]));
        let alone = Groups { schema, pattern: self.pattern.clone(), groups: vec![self.groups[column]], ..*self };
        Some(alone.read(line, 1, takes_nothing).ok()?.column(0).clone())
    }

    fn read(&self, bytes: &[u8], rows: usize, takes_nothing: bool) -> Result<RecordBatch, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
        let mut columns: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(rows); self.groups.len()];
        let mut places = self.pattern.capture_locations();
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        for line in lines.filter(|line| takes_nothing || !line.is_empty()) {
            if self.pattern.captures_read(&mut places, line).is_none() {
                return Err("the pattern does not match".into());
            }
            for (column, group) in columns.iter_mut().zip(&self.groups) {
                column.push(places.get(*group).and_then(|(start, end)| line.get(start..end)));
            }
        }
        cells::rows(columns.into_iter().map(StringArray::from).collect(), &self.schema)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Int32Type;
    use millstream_dsl::Span;

    use super::*;
    use crate::formats::nullable;
    use crate::plan::OptionValue;

    fn settings(pattern: &str) -> Settings {
        let mut settings = Settings::default();
        settings.set("pattern", OptionValue::Text(pattern.into()), Span::default());
        settings
    }

    fn codec(pattern: &str, columns: Vec<Column>) -> Result<Box<dyn FormatCodec>, NotRunnable> {
        open(&FormatCall { entry: Arc::new(entry()), settings: settings(pattern) }, &Schema::new(columns))
    }

    #[test]
    fn named_groups_are_columns_in_the_order_of_the_pattern() {
        let settings = settings(r"(?<ip>\S+) (\d+) (?<status>\d+)");
        let names: Vec<_> = group_columns(&settings).unwrap().into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["ip", "status"]);
    }

    #[test]
    fn groups_get_the_schemas_types_and_a_line_that_does_not_match_is_bad() {
        let columns =
            vec![required("status", Type::Int32), required("ip", Type::String), nullable("user", Type::String)];
        let codec = codec(r"^(?<ip>\S+) (?<status>\w+)(?: (?<user>\w+))?$", columns).unwrap();
        let bytes = b"1.2.3.4 200 ann\r\n\nrubbish\n::1 404\n::1 none\n\xff 200\n";
        let piece = Piece { header: &[], bytes, last: true, records: usize::MAX, threads: 1 };
        let decoded = codec.decode(&piece).unwrap();
        let bad: Vec<_> = decoded.bad.iter().map(|row| (row.line, row.reason.as_str())).collect();
        let misfit = "`status` is `none`, which does not fit its type";
        assert_eq!(bad, [(2, "the pattern does not match"), (4, misfit), (5, "not UTF-8")]);
        let all = arrow::compute::concat_batches(&decoded.blocks[0].schema(), &decoded.blocks).unwrap();
        assert_eq!(all.column(0).as_primitive::<Int32Type>().values(), &[200, 404]);
        assert!(all.column(2).is_valid(0) && all.column(2).is_null(1));
    }

    #[test]
    fn a_column_without_a_group_is_refused() {
        let refused = codec(r"(?<a>.)", vec![required("b", Type::String)]).err().unwrap();
        assert!(refused.0.contains("no group for column `b`"), "{refused:?}");
    }

    #[test]
    fn a_monstrous_line_takes_no_monstrous_time() {
        let codec = codec(r"^(?<a>(x+x+)+)y$", vec![required("a", Type::String)]).unwrap();
        let bytes = "x".repeat(1_000_000);
        let piece = Piece { header: &[], bytes: bytes.as_bytes(), last: true, records: usize::MAX, threads: 1 };
        let decoded = codec.decode(&piece).unwrap();
        assert_eq!((decoded.bad.len(), decoded.bad[0].text.len()), (1, 2003));
    }
}
