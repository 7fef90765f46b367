//! `files` against real folders.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use millstream_dsl::Span;

use super::*;
use crate::model::{Column, Slot, Type};
use crate::plan::catalog::{EndpointEntry, FormatCall};
use crate::sources::files;

fn endpoint(
    folder: &Path,
    format: crate::plan::FormatEntry,
    columns: Vec<Column>,
    options: &[(&str, OptionValue)],
) -> Endpoint {
    let mut settings = Settings::default();
    for (name, value) in options {
        settings.set(*name, value.clone(), Span::default());
    }
    let mut schema = Schema::new(columns);
    schema.columns.extend(files::metadata_columns(&settings));
    Endpoint {
        name: "lines".into(),
        word: "files".into(),
        entry: EndpointEntry::Source(Arc::new(files::entry())),
        settings,
        format: Some(FormatCall { entry: Arc::new(format), settings: Settings::default() }),
        schema,
        pipeline: "p".into(),
        base: folder.into(),
    }
}

fn text(folder: &Path, options: &[(&str, OptionValue)]) -> Box<dyn Source> {
    let line = Column::new("line", Slot::required(Type::String));
    open(&endpoint(folder, crate::formats::text::entry(), vec![line], options)).unwrap()
}

fn path(pattern: &str) -> (&'static str, OptionValue) {
    ("path", OptionValue::Text(pattern.into()))
}

fn limits(rows: usize) -> Limits {
    Limits { rows, bytes: u64::MAX, now: 0, drain: true, threads: 2 }
}

/// Everything there is, batch by batch.
fn drain(source: &mut dyn Source, limits: Limits) -> Vec<Vec<String>> {
    let mut known = Positions::new();
    let mut batches = Vec::new();
    loop {
        let splits = source.discover(&known, &limits).unwrap();
        if splits.is_empty() {
            return batches;
        }
        let mut lines = Vec::new();
        for split in splits {
            let from = known.get(&split).cloned().unwrap_or_default();
            let read = source.read(&split, &from, &limits).unwrap();
            for block in &read.blocks {
                lines.extend(block.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
            }
            source.ack(&split, &read.to).unwrap();
            known.insert(split, read.to);
        }
        batches.push(lines);
    }
}

#[test]
fn each_file_is_read_once_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("b.txt"), "3\n4").unwrap();
    fs::write(folder.path().join("a.txt"), "1\n2\n").unwrap();
    let mut source = text(folder.path(), &[path("*.txt"), ("max_files", OptionValue::Integer(1))]);
    assert_eq!(drain(&mut *source, limits(usize::MAX)), [["1", "2"], ["3", "4"]]);
}

#[test]
fn a_file_larger_than_a_batch_is_read_in_ranges() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "1\n2\n3\n4\n5").unwrap();
    let mut source = text(folder.path(), &[path("a.txt")]);
    assert_eq!(drain(&mut *source, limits(2)), [vec!["1", "2"], vec!["3", "4"], vec!["5"]]);
}

#[test]
fn a_range_of_a_csv_file_knows_the_names_at_its_front() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "n,word\n1,a\n2,b\nx,c\n3,d\n").unwrap();
    let columns =
        vec![Column::new("word", Slot::required(Type::String)), Column::new("n", Slot::required(Type::Int64))];
    let mut source = open(&endpoint(folder.path(), crate::formats::csv::entry(), columns, &[path("a.csv")])).unwrap();
    let split = Split { id: "a.csv".into() };
    let first = source.read(&split, &Position::default(), &limits(2)).unwrap();
    let second = source.read(&split, &first.to, &limits(usize::MAX)).unwrap();
    assert_eq!(second.blocks[0].column(0).as_string::<i32>().value(0), "d");
    assert_eq!((second.bad[0].place.as_str(), second.bad[0].line), ("a.csv", 4));
}

#[test]
fn rows_know_their_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), b"1\n\xff\n3\n").unwrap();
    let metadata = OptionValue::List(vec![OptionValue::Symbol("file".into()), OptionValue::Symbol("line".into())]);
    let mut source = text(folder.path(), &[path("a.txt"), ("metadata", metadata)]);
    let read = source.read(&Split { id: "a.txt".into() }, &Position::default(), &limits(usize::MAX)).unwrap();
    let lines: Vec<i64> =
        read.blocks.iter().flat_map(|b| b.column(2).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(lines, [1, 3]);
    assert_eq!(read.blocks[0].column(1).as_string::<i32>().value(0), "a.txt");
}

#[test]
fn a_file_that_was_read_is_deleted_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "1\n").unwrap();
    let after = ("after", OptionValue::Symbol("delete".into()));
    let mut source = text(folder.path(), &[path("*.txt"), after]);
    assert_eq!(drain(&mut *source, limits(usize::MAX)), [["1"]]);
    assert!(!folder.path().join("a.txt").exists());
}

#[test]
fn a_file_that_was_just_written_is_left_to_settle() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.txt"), "1\n").unwrap();
    let mut source = text(folder.path(), &[path("*.txt"), ("settle", OptionValue::Duration(1_000_000))]);
    let now = i64::try_from(std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let at = |now| Limits { now, ..limits(usize::MAX) };
    assert!(source.discover(&Positions::new(), &at(now)).unwrap().is_empty());
    assert_eq!(source.discover(&Positions::new(), &at(now + 60_000_000)).unwrap().len(), 1);
}
