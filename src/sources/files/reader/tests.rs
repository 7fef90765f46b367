//! `files` against real folders.

mod finding;
mod growing;
mod many;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use millstream_dsl::Span;

use super::*;
use crate::model::{Column, Schema, Slot, Type};
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
        changes: false,
        pipeline: "p".into(),
        base: folder.into(),
    }
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn symbol(word: &str) -> OptionValue {
    OptionValue::Symbol(word.into())
}

/// One batch: the rows, the bad rows, and what is known afterwards.
fn batch(source: &mut dyn Source, known: &mut Positions, limits: Limits) -> (Vec<String>, Vec<BadRow>) {
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    let mut rows = limits.rows;
    for split in source.discover(known, &limits).unwrap() {
        let from = known.get(&split).cloned().unwrap_or_default();
        let read = source.read(&split, &from, &Limits { rows, ..limits }).unwrap();
        for block in &read.blocks {
            lines.extend(block.column(0).as_string::<i32>().iter().flatten().map(str::to_owned));
        }
        rows = rows.saturating_sub(cutter::count(&read.blocks) + read.bad.len());
        bad.extend(read.bad);
        if read.to != from {
            source.ack(&split, &read.to).unwrap();
            known.insert(split, read.to);
        }
        if rows == 0 {
            break;
        }
    }
    (lines, bad)
}

fn reasons(source: &mut dyn Source) -> Vec<String> {
    source.left_out().into_iter().map(|out| format!("{}: {}", out.place, out.reason)).collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
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
    let now = now();
    fs::write(folder.path().join("empty.txt"), "").unwrap();
    let at = |now| Limits { now, drain: false, ..limits(usize::MAX) };
    assert!(source.discover(&Positions::new(), &at(now)).unwrap().is_empty());
    assert_eq!(source.discover(&Positions::new(), &at(now + 60_000_000)).unwrap().len(), 1);
    let all = Limits { drain: true, ..at(now) };
    assert_eq!(source.discover(&Positions::new(), &all).unwrap().len(), 2, "who takes what there is does not wait");
}

#[test]
fn packed_files_are_read_in_ranges_and_gone_on_with_by_another_reader() {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = (0..1_000).map(|n| format!("line {n}")).collect();
    let (front, back) = lines.split_at(300);
    let bytes = |lines: &[String]| (lines.join("\n") + "\n").into_bytes();
    // Two members, as `cat a.gz b.gz` makes them.
    fs::write(folder.path().join("a.gz"), [gzip(&bytes(front)), gzip(&bytes(back))].concat()).unwrap();
    let frames = [zstd::encode_all(&bytes(front)[..], 1).unwrap(), zstd::encode_all(&bytes(back)[..], 1).unwrap()];
    fs::write(folder.path().join("b.zst"), frames.concat()).unwrap();
    fs::write(folder.path().join("c.gz"), "").unwrap();
    let mut known = Positions::new();
    let mut found = Vec::new();
    let mut source = text(folder.path(), &[path("*")]);
    for round in 0.. {
        if round % 3 == 0 {
            source = text(folder.path(), &[path("*")]);
        }
        let (lines, bad) = batch(&mut *source, &mut known, limits(170));
        assert!(bad.is_empty() && lines.len() <= 170, "{bad:?}");
        if lines.is_empty() {
            break;
        }
        found.extend(lines);
    }
    assert_eq!(found, [lines.clone(), lines].concat());
}

#[test]
fn a_packed_file_that_is_damaged_gives_its_whole_lines_and_one_bad_row() {
    let folder = tempfile::tempdir().unwrap();
    let text_of = |n: usize| (0..n).map(|n| format!("line {}\n", n * 7_919)).collect::<String>();
    let whole = gzip(text_of(100_000).as_bytes());
    fs::write(folder.path().join("a.gz"), &whole[..whole.len() / 2]).unwrap();
    fs::write(folder.path().join("b.gz"), "no gzip at all").unwrap();
    fs::write(folder.path().join("c.txt"), "sound\n").unwrap();
    let mut source = text(folder.path(), &[path("*")]);
    let mut known = Positions::new();
    let (lines, bad) = batch(&mut *source, &mut known, limits(usize::MAX));
    assert!(lines.len() > 1_000 && lines.last().unwrap() == "sound");
    assert!(lines[..lines.len() - 1].iter().enumerate().all(|(n, line)| *line == format!("line {}", n * 7_919)));
    let places: Vec<_> = bad.iter().map(|row| row.place.as_str()).collect();
    assert_eq!(places, ["a.gz", "b.gz"], "{bad:?}");
    assert_eq!(bad[0].line, lines.len() as u64);
    assert_eq!(batch(&mut *source, &mut known, limits(9)), (vec![], vec![]));
}

#[test]
fn a_monstrous_line_is_one_bad_row_and_its_neighbours_are_unharmed() {
    let folder = tempfile::tempdir().unwrap();
    let monster = "x".repeat(30_000_000);
    let bytes = format!("one\n{monster}\nthree\n{}\nfive", "y".repeat(50));
    fs::write(folder.path().join("a.txt"), &bytes).unwrap();
    fs::write(folder.path().join("b.gz"), gzip(bytes.as_bytes())).unwrap();
    for rows in [1, usize::MAX] {
        let mut source = text(folder.path(), &[path("*"), ("max_line", OptionValue::Size(40))]);
        let (mut known, mut lines, mut bad) = (Positions::new(), Vec::new(), Vec::new());
        for _ in 0..20 {
            let (more, worse) = batch(&mut *source, &mut known, limits(rows));
            lines.extend(more);
            bad.extend(worse);
        }
        assert_eq!(lines, ["one", "three", "five", "one", "three", "five"]);
        let places: Vec<_> = bad.iter().map(|row| (row.place.as_str(), row.line)).collect();
        assert_eq!(places, [("a.txt", 2), ("a.txt", 4), ("b.gz", 2), ("b.gz", 4)]);
        assert!(bad.iter().all(|row| row.text.len() <= 2_003 && row.reason.starts_with("longer than 40 bytes")));
    }
}

#[test]
fn folders_named_key_and_value_are_columns() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("day=2026-01-02/country=a%2Fb/1.csv", "n\n1\n2\n"),
        ("day=2026-01-03/country=__HIVE_DEFAULT_PARTITION__/1.csv", "n\n3\n"),
        ("day=soon/country=x/1.csv", "n\n4\n"),
        ("1.csv", "country,n,day\nin,5,2026-01-04\n"),
    ];
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let columns = vec![
        Column::new("country", Slot::nullable(Type::String)),
        Column::new("n", Slot::required(Type::Int64)),
        Column::new("day", Slot::required(Type::Date)),
    ];
    let metadata = OptionValue::List(vec![symbol("line")]);
    let options = [path("**/*.csv"), ("hive", OptionValue::Bool(true)), ("metadata", metadata)];
    let mut source = open(&endpoint(folder.path(), crate::formats::csv::entry(), columns, &options)).unwrap();
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for split in source.discover(&Positions::new(), &limits(usize::MAX)).unwrap() {
        let read = source.read(&split, &Position::default(), &limits(usize::MAX)).unwrap();
        bad.extend(read.bad);
        for block in read.blocks {
            let format = arrow::util::display::FormatOptions::default().with_null("-");
            let cells: Vec<_> = block
                .columns()
                .iter()
                .map(|c| arrow::util::display::ArrayFormatter::try_new(c, &format).unwrap())
                .collect();
            rows.extend(
                (0..block.num_rows())
                    .map(|row| cells.iter().map(|cell| cell.value(row).to_string()).collect::<Vec<_>>().join(" ")),
            );
        }
    }
    assert_eq!(rows, ["in 5 2026-01-04 2", "a/b 1 2026-01-02 2", "a/b 2 2026-01-02 3", "- 3 2026-01-03 2"]);
    assert_eq!((bad.len(), bad[0].place.as_str()), (1, "day=soon/country=x/1.csv"));
    assert_eq!(bad[0].reason, "the folder's `day` is `soon`, which does not fit its type");
}

#[test]
fn files_that_were_read_are_moved_as_they_stood_and_overwrite_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    for (path, text) in [("in/x/a.txt", "1\n"), ("in/y/a.txt", "2\n"), ("done/x/a.txt", "old\n")] {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
    }
    let options = [path("in/**/*.txt"), ("after", symbol("move")), ("move_to", OptionValue::Text("done".into()))];
    let mut source = text(folder.path(), &options);
    let mut known = Positions::new();
    assert_eq!(batch(&mut *source, &mut known, limits(usize::MAX)).0, ["1", "2"]);
    let of = |path: &str| fs::read_to_string(at(path)).unwrap();
    assert_eq!(
        (of("done/x/a.txt"), of("done/x/a.txt.1"), of("done/y/a.txt")),
        ("old\n".into(), "1\n".into(), "2\n".into())
    );
    assert!(!at("in/x/a.txt").exists());
    // A name that is free again is another file's; one that was not cleared away before a crash is not read again.
    fs::write(at("in/x/a.txt"), "new\n").unwrap();
    assert_eq!(batch(&mut *source, &mut known, limits(usize::MAX)).0, ["new"]);
    fs::write(at("in/x/b.txt"), "3\n").unwrap();
    let split = Split { id: "in/x/b.txt".into() };
    let read = source.read(&split, &Position::default(), &limits(usize::MAX)).unwrap();
    known.insert(split, read.to);
    let mut restarted = text(folder.path(), &options);
    assert_eq!(batch(&mut *restarted, &mut known, limits(usize::MAX)).0, Vec::<String>::new());
    assert!(!at("in/x/b.txt").exists() && at("done/x/b.txt").exists());
}

#[test]
fn files_that_change_under_the_reader_are_said_and_never_read_twice() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let mut known = Positions::new();
    let mut source = text(folder.path(), &[path("*.txt")]);
    for name in ["cut.txt", "gone.txt", "read.txt", "replaced.txt"] {
        fs::write(at(name), "1\n2\n3\n4\n").unwrap();
    }
    for split in source.discover(&known, &limits(2)).unwrap() {
        let rows = if split.id == "read.txt" { 9 } else { 2 };
        let read = source.read(&split, &Position::default(), &limits(rows)).unwrap();
        known.insert(split, read.to);
    }
    fs::write(at("cut.txt"), "5\n").unwrap();
    fs::remove_file(at("gone.txt")).unwrap();
    for name in ["read.txt", "replaced.txt"] {
        fs::write(at("other"), "6\n7\n8\n9\n").unwrap();
        fs::rename(at("other"), at(name)).unwrap();
    }
    let mut source = text(folder.path(), &[path("*.txt")]);
    assert_eq!(batch(&mut *source, &mut known, limits(9)), (vec![], vec![]));
    let changed = "it is not what it was when its first part was read; the rest is left out";
    let mut told = reasons(&mut *source);
    told.sort();
    let expected = [
        format!("cut.txt: {changed}"),
        "gone.txt: it went away before it was read to its end".into(),
        "read.txt: another file of this name was read before".into(),
        format!("replaced.txt: {changed}"),
    ];
    assert_eq!(told, expected);
    assert_eq!(batch(&mut *source, &mut known, limits(9)), (vec![], vec![]));
}

#[test]
fn a_columnar_file_larger_than_a_batch_is_read_in_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let columns = || vec![Column::new("n", Slot::required(Type::Int64)), Column::new("m", Slot::required(Type::Int64))];
    let schema = Schema::new(columns());
    let numbers = |from: i64| Arc::new(arrow::array::Int64Array::from_iter_values(from..from + 5_000));
    let rows = |from| arrow::array::RecordBatch::try_new(schema.to_arrow(), vec![numbers(from), numbers(0)]).unwrap();
    let formats = [crate::formats::parquet::entry(), crate::formats::avro::entry(), crate::formats::arrow_ipc::entry()];
    for format in formats {
        let name = format.doc.name.clone();
        let call = FormatCall { entry: Arc::new(format), settings: Settings::default() };
        let codec = (call.entry.open)(&call, &schema).unwrap();
        let mut bytes = Vec::new();
        codec.encode(&[rows(0), rows(5_000)], &mut bytes).unwrap();
        fs::write(folder.path().join("a.bin"), &bytes).unwrap();
        fs::write(folder.path().join("b.bin.gz"), gzip(&bytes)).unwrap();
        for reopened in [false, true] {
            let entry = || match name.as_str() {
                "parquet" => crate::formats::parquet::entry(),
                "avro" => crate::formats::avro::entry(),
                _ => crate::formats::arrow_ipc::entry(),
            };
            let open = || open(&endpoint(folder.path(), entry(), columns(), &[path("*")])).unwrap();
            let mut source = open();
            let (mut known, mut found, mut largest) = (Positions::new(), Vec::new(), 0);
            for _ in 0..60 {
                if reopened {
                    source = open();
                }
                for split in source.discover(&known, &limits(777)).unwrap().into_iter().take(1) {
                    let from = known.get(&split).cloned().unwrap_or_default();
                    let read = source.read(&split, &from, &limits(777)).unwrap();
                    assert_eq!(read.bad, [], "{name}");
                    largest = largest.max(cutter::count(&read.blocks));
                    for block in &read.blocks {
                        found.extend(block.column(0).as_primitive::<Int64Type>().values().to_vec());
                    }
                    known.insert(split, read.to);
                }
            }
            // From a stream Parquet is read whole: its index stands at the end.
            assert_eq!(found, (0..10_000).chain(0..10_000).collect::<Vec<_>>(), "{name} {reopened}");
            assert!(largest <= 777, "{name}: {largest}");
        }
    }
}
