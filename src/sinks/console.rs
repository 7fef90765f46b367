//! `console` and `stderr`: shows the first rows of every batch, as Spark's `print` does.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::connect::COUNT;
use crate::plan::catalog::Endpoint;
use crate::plan::edge::OP;
use crate::plan::operator::{BatchTime, TaskError};
use crate::plan::seams::{Artifact, Delivered, Sink};
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::{shared, takes_anything};

const FORMAT: &[(&str, &str)] = &[
    ("table", "aligned columns under their names"),
    ("json", "an object a line"),
    ("csv", "values with commas between"),
];
const COLOR: &[(&str, &str)] =
    &[("auto", "where the output is a terminal"), ("always", "everywhere"), ("never", "nowhere")];

/// The entry of `console`.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new("console", "prints the first rows of every batch", "console { OPTIONS }")
            .details("Batches without rows are not printed. Use `files` for all the rows.")
            .example("from orders |> into console")
            .example("from orders |> into console { rows: 100, format: json }")
            .alias("print"),
        ..common()
    }
}

/// The entry of `stderr`.
pub fn stderr_entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new("stderr", "prints the first rows of every batch to the standard error", "stderr { OPTIONS }")
            .example("from orders |> into stderr { rows: 3 }"),
        open: SinkEntry::by(|endpoint| Ok(open(endpoint, Box::new(io::stderr()), io::stderr().is_terminal()))),
        ..common()
    }
}

fn common() -> SinkEntry {
    SinkEntry {
        doc: Doc::default(),
        args: Vec::new(),
        options: vec![
            OptionSpec::with_default("rows", COUNT, "10", "how many rows of a batch are shown"),
            OptionSpec::with_default("format", OptionKind::Symbol(FORMAT), "table", "how they are shown"),
            OptionSpec::with_default("width", COUNT, "60", "longer values are cut in a table"),
            OptionSpec::with_default(
                "color",
                OptionKind::Symbol(COLOR),
                "auto",
                "whether rows that come are green and rows that go red",
            ),
        ],
        takes_changes: takes_anything,
        format: None,
        guarantee: |_: &Settings| "at least once (a batch may be shown again after a crash)".into(),
        target: shared,
        feature: None,
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(|endpoint| Ok(open(endpoint, Box::new(io::stdout()), io::stdout().is_terminal()))),
    }
}

fn open(endpoint: &Endpoint, to: Box<dyn Write + Send>, terminal: bool) -> Box<dyn Sink> {
    let settings = &endpoint.settings;
    let whole =
        |name: &str, otherwise| settings.integer(name).and_then(|n| usize::try_from(n).ok()).unwrap_or(otherwise);
    let look = match settings.text("format") {
        Some("json") => Look::Json,
        Some("csv") => Look::Csv,
        _ => Look::Table,
    };
    let color = match settings.text("color") {
        Some("always") => true,
        Some("never") => false,
        _ => terminal,
    };
    Box::new(Console { to, rows: whole("rows", 10), width: whole("width", 60), look, color })
}

struct Console {
    to: Box<dyn Write + Send>,
    rows: usize,
    width: usize,
    look: Look,
    color: bool,
}

#[derive(Clone, Copy)]
enum Look {
    Table,
    Json,
    Csv,
}

/// What stands above and below the time of a batch.
const RULE: &str = "-------------------------------------------";

impl Sink for Console {
    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        let mut text = format!("{RULE}\nTime: {} ms\n{RULE}\n", batch.micros / 1000);
        let shown = first(rows, self.rows);
        let written = match self.look {
            Look::Table => self.table(&shown, &mut text),
            Look::Json => json(&shown).map(|lines| self.lines(&lines, 0, &shown, &mut text)),
            Look::Csv => csv(&shown).map(|lines| self.lines(&lines, 1, &shown, &mut text)),
        };
        written.map_err(|e| TaskError::Bug(e.to_string()))?;
        text.push_str(if count > self.rows { "...\n\n" } else { "\n" });
        Ok(Artifact { bytes: text.into_bytes(), rows: count })
    }

    fn deliver(&mut self, _: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let written = self.to.write_all(&artifact.bytes).and_then(|()| self.to.flush());
        written.map_err(|e| TaskError::Stop(format!("cannot print: {e}")))?;
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}

impl Console {
    /// Columns under their names, numbers to the right.
    fn table(&self, rows: &[RecordBatch], text: &mut String) -> Result<(), ArrowError> {
        let Some(front) = rows.first() else { return Ok(()) };
        let schema = front.schema();
        let mut table = vec![schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>()];
        let mut signs = vec![None];
        for batch in rows {
            let cells = batch.columns().iter().map(|column| self.cells(column)).collect::<Result<Vec<_>, _>>()?;
            table.extend((0..batch.num_rows()).map(|row| cells.iter().map(|column| column[row].clone()).collect()));
            signs.extend(self.signs(batch));
        }
        let widths: Vec<_> = (0..schema.fields().len()).map(|i| widest(&table, i)).collect();
        let right: Vec<_> = schema.fields().iter().map(|f| f.data_type().is_numeric()).collect();
        for (line, sign) in table.iter().zip(signs) {
            let start = text.len();
            for (i, cell) in line.iter().enumerate() {
                let gap = if i == 0 { "" } else { "  " };
                let space = " ".repeat(widths[i].saturating_sub(cell.width()));
                let _ = match right[i] {
                    true => write!(text, "{gap}{space}{cell}"),
                    false => write!(text, "{gap}{cell}{space}"),
                };
            }
            text.truncate(text.trim_end().len().max(start));
            paint(text, start, sign);
            text.push('\n');
        }
        Ok(())
    }

    /// Rows that are lines already, behind so many lines of names. A text of several lines keeps its row from being told
    /// from others: then nothing is coloured.
    fn lines(&self, lines: &str, names: usize, rows: &[RecordBatch], text: &mut String) {
        let signs: Vec<_> = rows.iter().flat_map(|batch| self.signs(batch)).collect();
        let all: Vec<&str> = lines.lines().collect();
        let told = all.len() == signs.len() + names;
        for (i, line) in all.into_iter().enumerate() {
            let start = text.len();
            text.push_str(line);
            let sign = i.checked_sub(names).filter(|_| told).and_then(|row| signs[row]);
            paint(text, start, sign);
            text.push('\n');
        }
    }

    fn cells(&self, column: &ArrayRef) -> Result<Vec<String>, ArrowError> {
        let options = FormatOptions::default().with_null("null");
        let formatter = ArrayFormatter::try_new(column, &options)?;
        Ok((0..column.len()).map(|row| cut(&formatter.value(row).to_string(), self.width)).collect())
    }

    /// Whether each row comes or goes; nothing where that does not show.
    fn signs(&self, batch: &RecordBatch) -> Vec<Option<bool>> {
        let schema = batch.schema();
        let changes = schema.fields().last().is_some_and(|f| f.name() == OP);
        match batch.columns().last().and_then(|c| c.as_string_opt::<i32>()) {
            Some(ops) if changes && self.color => ops.iter().map(|op| Some(op == Some("+"))).collect(),
            _ => vec![None; batch.num_rows()],
        }
    }
}

fn paint(text: &mut String, start: usize, sign: Option<bool>) {
    if let Some(comes) = sign {
        text.insert_str(start, if comes { "\x1b[32m" } else { "\x1b[31m" });
        text.push_str("\x1b[0m");
    }
}

fn widest(table: &[Vec<String>], column: usize) -> usize {
    table.iter().map(|line| line[column].width()).max().unwrap_or(0)
}

fn cut(cell: &str, width: usize) -> String {
    let plain: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.width() <= width {
        return plain;
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken <= width.saturating_sub(3)
    };
    plain.chars().take_while(fits).chain("...".chars()).collect()
}

/// The first rows of all.
fn first(rows: &[RecordBatch], count: usize) -> Vec<RecordBatch> {
    let mut left = count;
    let mut shown = Vec::new();
    for batch in rows {
        let take = batch.num_rows().min(left);
        if take > 0 {
            shown.push(batch.slice(0, take));
        }
        left -= take;
    }
    shown
}

fn json(rows: &[RecordBatch]) -> Result<String, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = arrow::json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, arrow::json::writer::LineDelimited>(&mut bytes);
    rows.iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn csv(rows: &[RecordBatch]) -> Result<String, ArrowError> {
    let mut bytes = Vec::new();
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut bytes);
    rows.iter().try_for_each(|batch| writer.write(batch))?;
    drop(writer);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn printed(look: Look, rows: usize) -> String {
        let schema =
            Schema::new(vec![Field::new("word", DataType::Utf8, true), Field::new("n", DataType::Int64, false)]);
        let words = StringArray::from(vec![Some("be"), None, Some("question")]);
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(words), Arc::new(Int64Array::from(vec![2, 10, 1]))]);
        let mut console = Console { to: Box::new(io::sink()), rows, width: 60, look, color: true };
        let artifact =
            console.stage(&BatchTime { number: 0, micros: 1_357_008_430_000_000 }, &[batch.unwrap()]).unwrap();
        String::from_utf8(artifact.bytes).unwrap()
    }

    const HEAD: &str = "-------------------------------------------\nTime: 1357008430000 ms\n-------------------------------------------\n";

    #[test]
    fn a_batch_looks_as_spark_prints_it() {
        assert_eq!(printed(Look::Table, 2), format!("{HEAD}word   n\nbe     2\nnull  10\n...\n\n"));
        assert_eq!(
            printed(Look::Table, 3),
            format!("{HEAD}word       n\nbe         2\nnull      10\nquestion   1\n\n")
        );
    }

    fn changes(look: Look, color: bool) -> String {
        let schema = Schema::new(vec![Field::new("word", DataType::Utf8, true), Field::new(OP, DataType::Utf8, false)]);
        let words = StringArray::from(vec!["日本", "be"]);
        let batch =
            RecordBatch::try_new(Arc::new(schema), vec![Arc::new(words), Arc::new(StringArray::from(vec!["-", "+"]))]);
        let mut console = Console { to: Box::new(io::sink()), rows: 10, width: 60, look, color };
        let artifact = console.stage(&BatchTime { number: 0, micros: 1_357_008_430_000_000 }, &[batch.unwrap()]);
        String::from_utf8(artifact.unwrap().bytes).unwrap().strip_prefix(HEAD).unwrap().to_owned()
    }

    #[test]
    fn rows_that_come_are_green_and_rows_that_go_red_in_every_form() {
        let (red, green, plain) = ("\x1b[31m", "\x1b[32m", "\x1b[0m");
        assert_eq!(
            changes(Look::Table, true),
            format!("word  op\n{red}日本  -{plain}\n{green}be    +{plain}\n\n"),
            "wide letters take two places"
        );
        assert_eq!(changes(Look::Csv, true), format!("word,op\n{red}日本,-{plain}\n{green}be,+{plain}\n\n"));
        assert_eq!(changes(Look::Json, true).matches(red).count(), 1);
        assert_eq!(changes(Look::Csv, false), "word,op\n日本,-\nbe,+\n\n");
    }

    #[test]
    fn rows_can_be_shown_as_json_or_csv() {
        assert_eq!(printed(Look::Json, 1), format!("{HEAD}{{\"word\":\"be\",\"n\":2}}\n...\n\n"));
        assert_eq!(printed(Look::Csv, 2), format!("{HEAD}word,n\nbe,2\n,10\n...\n\n"));
    }
}
