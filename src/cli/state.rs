//! `millstream state DIR`: what a pipeline remembers, read from its checkpoint beside the process that writes it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use serde_json::{Value, json};

use super::args::{ReportFormat, RowFormat, State, StateOf};
use super::rows;
use super::run::grouped;
use super::table::aligned;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::engine::{Checkpoint, Clock, Contents, RealClock, Remembered, SourceAt, Versions};
use crate::journal::{Disk, RealDisk};
use crate::model::size::show_bytes;
use crate::model::time::{show_elapsed, show_moment};
use crate::plan::operator::BatchTime;

/// No more bytes of a position are shown.
const SHOWN: usize = 24;

/// Lists, or looks at what is asked for.
pub(crate) fn state(args: &State, terminal: &mut Terminal) -> Outcome {
    let dir = &args.dir;
    match &args.what {
        None => {
            let contents = contents(dir, None)?;
            let text = match args.format {
                ReportFormat::Text => listed(&contents),
                ReportFormat::Json => format!("{}\n", object(&contents)),
            };
            terminal.out().write_all(text.as_bytes())?;
            Ok(Exit::Clean)
        }
        Some(StateOf::Get { operator, key, behind, format }) => {
            let contents = contents(dir, *behind)?;
            get(found(&contents, operator)?, key, *format, terminal)
        }
        Some(StateOf::Dump { operator, format, table, to, behind }) => {
            let contents = contents(dir, *behind)?;
            let found = found(&contents, operator)?;
            dump(found, *format, table.as_deref(), to.as_deref(), terminal)
        }
        Some(StateOf::Diff { from, to, format }) => diff(dir, (*from, *to), *format, terminal),
    }
}

/// The machine's disk.
pub(super) fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// What a folder holds; it is said where it is no checkpoint.
pub(super) fn contents(dir: &Path, behind: Option<u64>) -> Result<Contents, Failure> {
    is_checkpoint(dir)?;
    Checkpoint::contents(&disk(), dir, behind).map_err(Failure::new)
}

/// `Err` where a folder is no checkpoint.
pub(super) fn is_checkpoint(dir: &Path) -> Result<(), Failure> {
    if Checkpoint::is_at(dir) {
        return Ok(());
    }
    let what = if dir.is_dir() { "is no checkpoint" } else { "is not there" };
    Err(Failure::new(format!("`{}` {what}: give the folder that `checkpoint` names in the pipeline", dir.display())))
}

/// The operator that is meant: by its name, or by as much of it as no other has.
fn found<'a>(contents: &'a Contents, name: &str) -> Result<&'a Remembered, Failure> {
    let all = &contents.remembered;
    if let Some(found) = all.iter().find(|remembered| remembered.name == name) {
        return Ok(found);
    }
    let like = |with: &dyn Fn(&str) -> bool| all.iter().filter(|of| with(&of.name)).collect::<Vec<_>>();
    let stream = like(&|other| other.split('/').next() == Some(name));
    let like = if stream.is_empty() { like(&|other| other.contains(name)) } else { stream };
    let names = |all: &[&Remembered]| all.iter().map(|of| format!("`{}`", of.name)).collect::<Vec<_>>().join(", ");
    match &like[..] {
        [one] => Ok(one),
        [] if all.is_empty() => Err(Failure::new("nothing is remembered by any operator")),
        [] => Err(Failure::new(format!(
            "no operator is called `{name}`; there are {}",
            names(&all.iter().collect::<Vec<_>>())
        ))),
        several => Err(Failure::new(format!("`{name}` may be any of {}; write more of the name", names(several)))),
    }
}

fn listed(contents: &Contents) -> String {
    let Contents { pipeline, next, last, .. } = contents;
    let mut text = match (next.checked_sub(1), last, contents.rewound) {
        (_, _, Some(behind)) => {
            format!("{pipeline}: back to the state behind batch {behind}; the next one is {next}\n")
        }
        (Some(batch), Some(last), None) => {
            format!("{pipeline}: behind batch {batch} of {} ({})\n", show_moment(*last), ago(*last))
        }
        _ => format!("{pipeline}: no batch was committed yet\n"),
    };
    if !contents.sources.is_empty() {
        let rows: Vec<_> = contents.sources.iter().flat_map(of_source).collect();
        text.push_str(&format!("\nsources\n{}", aligned(&rows, "  ")));
    }
    if !contents.remembered.is_empty() {
        let names = ["operator", "table", "rows", "bytes", "changed by"].map(str::to_owned).to_vec();
        let rows: Vec<_> = std::iter::once(names).chain(contents.remembered.iter().flat_map(of_operator)).collect();
        text.push_str(&format!("\n{}", aligned(&rows, "  ")));
    }
    if !contents.marks.is_empty() {
        let rows: Vec<_> = contents.marks.iter().map(|(name, mark)| vec![name.clone(), moment(*mark)]).collect();
        text.push_str(&format!("\nwatermarks\n{}", aligned(&rows, "  ")));
    }
    text + &undelivered(contents)
}

/// What is still to be delivered, with a line in front; nothing where there is nothing.
pub(super) fn undelivered(contents: &Contents) -> String {
    let due = |due: &crate::engine::Due| {
        let BatchTime { number, micros } = due.batch;
        let sinks = due.sinks.iter();
        let sinks = sinks.map(move |(sink, rows)| {
            vec![
                format!("batch {number}"),
                show_moment(micros),
                sink.clone(),
                format!("{} rows", grouped(*rows as u64)),
            ]
        });
        sinks.collect::<Vec<_>>()
    };
    let rows: Vec<_> = contents.undelivered.iter().flat_map(due).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\ncommitted and not delivered yet; the next run begins with it\n{}", aligned(&rows, "  "))
}

fn of_source(source: &SourceAt) -> Vec<Vec<String>> {
    let SourceAt { name, positions, newest, mark } = source;
    let splits = if positions.len() == 1 { "1 split".into() } else { format!("{} splits", positions.len()) };
    let newest = newest.map(|newest| format!("newest row {}", moment(newest)));
    let mark = mark.map(|mark| format!("watermark {}", moment(mark)));
    let facts = std::iter::once(splits).chain(newest).chain(mark).collect::<Vec<_>>().join(", ");
    let mut rows = vec![vec![name.clone(), facts]];
    // Files are many: the last ones tell how far it is.
    let hidden = positions.len().saturating_sub(5);
    if hidden > 0 {
        rows.push(vec![format!("  {hidden} more")]);
    }
    rows.extend(positions.iter().skip(hidden).map(|(split, at)| vec![format!("  {split}"), position(at)]));
    rows
}

/// Bytes that the source alone understands: as text where they are some.
fn position(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| !c.is_control()) => text.to_owned(),
        _ => {
            let hex: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
            let more = if bytes.len() > SHOWN { "..." } else { "" };
            format!("{} bytes {hex}{more}", bytes.len())
        }
    }
}

fn of_operator(of: &Remembered) -> Vec<Vec<String>> {
    let changed =
        of.changed.map_or_else(|| "-".to_owned(), |batch| format!("batch {}, {}", batch.number, ago(batch.micros)));
    let row = |(i, table): (usize, &crate::plan::operator::SavedTable)| {
        let first = i == 0;
        let name = if first { of.name.clone() } else { String::new() };
        let changed = if first { changed.clone() } else { String::new() };
        let (count, bytes) = (grouped(rows::count(table) as u64), show_bytes(rows::bytes(table)));
        vec![name, table.name.clone(), count, bytes, changed]
    };
    of.tables.iter().enumerate().map(row).collect()
}

/// A time, or one of the two ends of it.
fn moment(micros: i64) -> String {
    match micros {
        i64::MAX => "the end".into(),
        i64::MIN => "the beginning".into(),
        micros => show_moment(micros),
    }
}

/// How long ago that was.
pub(super) fn ago(micros: i64) -> String {
    let age = RealClock.now().saturating_sub(micros);
    match u64::try_from(age) {
        Ok(age) => format!("{} ago", show_elapsed(Duration::from_micros(age))),
        Err(_) => "in the future".into(),
    }
}

/// The keys are a promise to those who parse them; times are in the form of RFC 3339.
fn object(contents: &Contents) -> Value {
    let source = |source: &SourceAt| {
        let split =
            |(split, at): &(String, Vec<u8>)| json!({ "split": split, "position": position(at), "bytes": at.len() });
        json!({
            "name": source.name,
            "splits": source.positions.iter().map(split).collect::<Vec<_>>(),
            "newest": source.newest.map(show_moment),
            "watermark": source.mark.map(show_moment),
        })
    };
    let operator = |of: &Remembered| {
        let table = |table: &crate::plan::operator::SavedTable| json!({ "name": table.name, "rows": rows::count(table), "bytes": rows::bytes(table) });
        json!({
            "name": of.name,
            "operator": of.word,
            "tables": of.tables.iter().map(table).collect::<Vec<_>>(),
            "changed": of.changed.map(batch),
        })
    };
    json!({
        "pipeline": contents.pipeline,
        "batch": contents.next.checked_sub(1),
        "rewound_to": contents.rewound,
        "time": contents.last.map(show_moment),
        "sources": contents.sources.iter().map(source).collect::<Vec<_>>(),
        "operators": contents.remembered.iter().map(operator).collect::<Vec<_>>(),
        "watermarks": contents.marks.iter().map(|(name, mark)| (name.clone(), json!(moment(*mark)))).collect::<serde_json::Map<_, _>>(),
        "undelivered": due(contents),
    })
}

/// A batch as an object.
pub(super) fn batch(batch: BatchTime) -> Value {
    json!({ "batch": batch.number, "time": show_moment(batch.micros) })
}

/// What is still to be delivered, as objects.
pub(super) fn due(contents: &Contents) -> Value {
    let sink = |(sink, rows): &(String, usize)| json!({ "name": sink, "rows": rows });
    let due = |due: &crate::engine::Due| {
        let mut object = batch(due.batch);
        object["sinks"] = due.sinks.iter().map(sink).collect();
        object
    };
    contents.undelivered.iter().map(due).collect()
}

/// The logical rows of a table.
fn logical(table: &crate::plan::operator::SavedTable) -> Result<Vec<RecordBatch>, Failure> {
    table.rows.iter().map(rows::logical).collect::<Result<_, _>>().map_err(|e| Failure::new(e.to_string()))
}

fn get(of: &Remembered, key: &str, format: ReportFormat, terminal: &mut Terminal) -> Outcome {
    let said = |e: arrow::error::ArrowError| Failure::new(e.to_string());
    let mut any = false;
    for table in &of.tables {
        let mut shown: Vec<Vec<String>> = Vec::new();
        for batch in logical(table)? {
            let columns = rows::key(&batch, table.identity);
            let cells = rows::cells(&batch).map_err(said)?;
            let is_it =
                |row: &Vec<String>| columns.iter().map(|i| row[*i].as_str()).collect::<Vec<_>>().join(",") == key;
            let mask: Vec<bool> = cells.iter().map(is_it).collect();
            if !mask.contains(&true) {
                continue;
            }
            if format == ReportFormat::Json {
                let mask = arrow::array::BooleanArray::from(mask);
                let found = arrow::compute::filter_record_batch(&batch, &mask).map_err(said)?;
                written(&table.name, &found, terminal)?;
                any = true;
                continue;
            }
            if shown.is_empty() {
                shown.push(batch.schema().fields().iter().map(|field| field.name().clone()).collect());
            }
            shown.extend(cells.into_iter().zip(mask).filter(|(_, is_it)| *is_it).map(|(row, _)| row));
        }
        if !shown.is_empty() {
            any = true;
            write!(terminal.out(), "{}, {}\n{}", of.name, table.name, aligned(&shown, "  "))?;
        }
    }
    if any {
        return Ok(Exit::Clean);
    }
    let keys = of.tables.iter().find_map(|table| {
        let rows = rows::logical(table.rows.first()?).ok()?;
        let names = rows::key(&rows, table.identity).into_iter().map(|i| rows.schema().field(i).name().clone());
        Some(names.collect::<Vec<_>>().join(","))
    });
    let keys = keys.map(|keys| format!("; a key is `{keys}`")).unwrap_or_default();
    terminal.complain(&format!("`{}` has no row with key `{key}`{keys}", of.name));
    Ok(Exit::Mistakes)
}

/// A line for each row, with its table in front.
fn written(table: &str, rows: &RecordBatch, terminal: &mut Terminal) -> Result<(), Failure> {
    let objects = rows::objects(rows).map_err(|e| Failure::new(format!("{e}; write `--format parquet`")))?;
    for row in objects {
        writeln!(terminal.out(), "{}", json!({ "table": table, "row": row }))?;
    }
    Ok(())
}

fn dump(
    of: &Remembered,
    format: RowFormat,
    table: Option<&str>,
    to: Option<&Path>,
    terminal: &mut Terminal,
) -> Outcome {
    let names = || of.tables.iter().map(|table| format!("`{}`", table.name)).collect::<Vec<_>>().join(", ");
    let tables: Vec<_> = of.tables.iter().filter(|other| table.is_none_or(|table| other.name == table)).collect();
    if tables.is_empty() {
        return Err(Failure::new(format!("`{}` has no such table; it has {}", of.name, names())));
    }
    if tables.len() > 1 && format != RowFormat::Json {
        let name = &of.name;
        return Err(Failure::new(format!("`{name}` has the tables {}: name one with `--table`", names())));
    }
    if format == RowFormat::Parquet && to.is_none() {
        return Err(Failure::new("Parquet is written to a file: name a new one with `--to`"));
    }
    let file = to.map(|to| File::options().write(true).create_new(true).open(to).map_err(|e| Failure::of(to, &e)));
    let mut out: Box<dyn Write + Send> = match file.transpose()? {
        Some(file) => Box::new(BufWriter::new(file)),
        None => Box::new(std::io::stdout()),
    };
    for table in tables {
        let batches = logical(table)?;
        match format {
            RowFormat::Json => {
                for rows in &batches {
                    let objects = rows::objects(rows);
                    let objects = objects.map_err(|e| Failure::new(format!("{e}; write `--format parquet`")))?;
                    for row in objects {
                        writeln!(out, "{}", json!({ "table": table.name, "row": row }))?;
                    }
                }
            }
            RowFormat::Csv => {
                let written = rows::csv(&batches, &mut out);
                written.map_err(|e| Failure::new(format!("{e}; write `--format json`")))?;
            }
            RowFormat::Parquet => {
                let written = rows::packed(&batches, &mut out);
                written.map_err(|e| Failure::new(format!("{e}; write `--format json`")))?;
            }
        }
    }
    out.flush()?;
    terminal.finish()?;
    Ok(Exit::Clean)
}

fn diff(dir: &Path, batches: (u64, u64), format: ReportFormat, terminal: &mut Terminal) -> Outcome {
    is_checkpoint(dir)?;
    let all = Checkpoint::differs(&disk(), dir, batches).map_err(Failure::new)?;
    if format == ReportFormat::Json {
        for table in &all {
            let object = |cells: &[String]| -> Value {
                table
                    .columns
                    .iter()
                    .zip(cells)
                    .map(|(name, cell)| (name.clone(), json!(cell)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            for row in &table.rows {
                let (what, was, is) = match row {
                    Versions::Came(row) => ("came", Value::Null, object(row)),
                    Versions::Changed(was, is) => ("changed", object(was), object(is)),
                    Versions::Went(was) => ("went", object(was), Value::Null),
                };
                let (operator, name) = (&table.operator, &table.table);
                writeln!(
                    terminal.out(),
                    "{}",
                    json!({ "operator": operator, "table": name, "what": what, "was": was, "is": is })
                )?;
            }
        }
        return Ok(Exit::Clean);
    }
    if all.is_empty() {
        let (from, to) = batches;
        writeln!(terminal.out(), "nothing that operators remember differs between batch {from} and batch {to}")?;
    }
    for table in &all {
        let of = |is: fn(&Versions) -> bool| grouped(table.rows.iter().filter(|row| is(row)).count() as u64);
        let came = of(|row| matches!(row, Versions::Came(_)));
        let changed = of(|row| matches!(row, Versions::Changed(..)));
        let went = of(|row| matches!(row, Versions::Went(_)));
        let head = std::iter::once(String::new()).chain(table.columns.iter().cloned()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(table.rows.iter().map(line)).collect();
        let (operator, name) = (&table.operator, &table.table);
        write!(
            terminal.out(),
            "{operator}, {name}: {came} came, {changed} changed, {went} went\n{}",
            aligned(&lines, "  ")
        )?;
    }
    Ok(Exit::Clean)
}

fn line(row: &Versions) -> Vec<String> {
    let with = |sign: &str, cells: Vec<String>| std::iter::once(sign.to_owned()).chain(cells).collect();
    match row {
        Versions::Came(row) => with("+", row.clone()),
        Versions::Went(row) => with("-", row.clone()),
        Versions::Changed(was, is) => {
            let both = |(was, is): (&String, &String)| if was == is { is.clone() } else { format!("{was} -> {is}") };
            with("~", was.iter().zip(is).map(both).collect())
        }
    }
}
