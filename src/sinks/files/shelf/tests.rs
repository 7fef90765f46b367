//! `files` against real folders.

use std::fs;
use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use millstream_dsl::Span;

use super::*;
use crate::model::{Column, Slot, Type};
use crate::plan::catalog::{EndpointEntry, FormatCall};
use crate::plan::{FormatEntry, OptionValue, Settings};

fn schema() -> Schema {
    Schema::new(vec![
        Column::new("country", Slot::nullable(Type::String)),
        Column::new("n", Slot::required(Type::Int64)),
    ])
}

fn rows(countries: &[Option<&str>]) -> RecordBatch {
    let numbers = Int64Array::from_iter_values((0..).take(countries.len()));
    let countries = StringArray::from(countries.to_vec());
    RecordBatch::try_new(schema().to_arrow(), vec![Arc::new(countries), Arc::new(numbers)]).unwrap()
}

fn sink(folder: &Path, format: FormatEntry, by: &[&str]) -> Box<dyn Sink> {
    with(folder, format, by, &[]).unwrap()
}

fn with(
    folder: &Path,
    format: FormatEntry,
    by: &[&str],
    options: &[(&str, OptionValue)],
) -> Result<Box<dyn Sink>, NotRunnable> {
    let mut settings = Settings::default();
    settings.set("path", OptionValue::Text("out".into()), Span::default());
    let by = by.iter().map(|c| OptionValue::Column((*c).into())).collect();
    settings.set("partition_by", OptionValue::List(by), Span::default());
    for (name, value) in options {
        settings.set(*name, value.clone(), Span::default());
    }
    open(&Endpoint {
        name: "rows".into(),
        word: "files".into(),
        entry: EndpointEntry::Sink(Arc::new(crate::sinks::files::entry())),
        settings,
        format: Some(FormatCall { entry: Arc::new(format), settings: Settings::default() }),
        schema: schema(),
        changes: false,
        pipeline: "p".into(),
        base: folder.into(),
    })
}

/// What readers see.
fn seen(folder: &Path) -> Vec<(String, String)> {
    files(folder).into_iter().filter(|(name, _)| !name.contains("/.")).collect()
}

fn batch(number: u64) -> BatchTime {
    BatchTime { number, micros: 1_767_225_600_000_000 + i64::try_from(number).unwrap() * 1_000_000 }
}

fn run(sink: &mut dyn Sink, number: u64, rows: &[RecordBatch]) -> Artifact {
    let artifact = sink.stage(&batch(number), rows).unwrap();
    sink.deliver(&batch(number), &artifact).unwrap();
    artifact
}

const CSV: fn() -> FormatEntry = crate::formats::csv::entry;

fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("out")];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.push((name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()));
            }
        }
    }
    found.sort();
    found
}

const BATCH: BatchTime = BatchTime { number: 7, micros: 1_767_225_600_000_000 };

#[test]
fn a_batch_is_one_file_that_appears_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path(), crate::formats::json::entry(), &[]);
    let artifact = sink.stage(&BATCH, &[rows(&[Some("de")]), rows(&[None])]).unwrap();
    assert!(files(folder.path()).iter().all(|(name, _)| name.starts_with("out/.")), "readers see nothing yet");
    sink.deliver(&BATCH, &artifact).unwrap();
    sink.deliver(&BATCH, &artifact).unwrap();
    let text = "{\"country\":\"de\",\"n\":0}\n{\"country\":null,\"n\":0}\n";
    assert_eq!(files(folder.path()), [("out/part-1767225600000-000007.json".into(), text.into())]);
}

#[test]
fn each_value_has_a_folder_and_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path(), crate::formats::csv::entry(), &["country"]);
    let artifact = sink.stage(&BATCH, &[rows(&[Some("de"), Some("a/b"), None, Some("de")])]).unwrap();
    sink.deliver(&BATCH, &artifact).unwrap();
    let name = "part-1767225600000-000007.csv";
    let expected = [
        (format!("out/country=__HIVE_DEFAULT_PARTITION__/{name}"), "n\n2\n".to_owned()),
        (format!("out/country=a%2Fb/{name}"), "n\n1\n".to_owned()),
        (format!("out/country=de/{name}"), "n\n0\n3\n".to_owned()),
    ];
    assert_eq!(files(folder.path()), expected);
}

#[test]
fn a_file_of_another_run_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = sink(folder.path(), CSV(), &[]);
    run(&mut *sink, 7, &[rows(&[Some("de")])]);
    // The same rows again are the same file.
    run(&mut *sink, 7, &[rows(&[Some("de")])]);
    let other = sink.stage(&batch(7), &[rows(&[Some("fr")])]).unwrap();
    assert!(matches!(sink.deliver(&batch(7), &other), Err(TaskError::Stop(_))));
    assert_eq!(seen(folder.path())[0].1, "country,n\nde,0\n");
}

#[test]
fn every_format_and_packing_comes_back() {
    use crate::formats as f;
    let formats: [fn() -> FormatEntry; 8] = [
        f::json::entry,
        f::csv::entry,
        f::csv::tsv_entry,
        f::logfmt::entry,
        f::parquet::entry,
        f::avro::entry,
        f::arrow_ipc::entry,
        f::text::entry,
    ];
    for format in formats {
        let name = format().doc.name;
        for packing in ["none", "gzip", "zstd"] {
            let folder = tempfile::tempdir().unwrap();
            let option = ("compression", OptionValue::Symbol(packing.into()));
            let mut sink = match with(folder.path(), format(), &[], &[option]) {
                Ok(sink) => sink,
                Err(refused) => {
                    assert!(PACK_THEMSELVES.contains(&name.as_str()) && packing != "none", "{refused:?}");
                    continue;
                }
            };
            run(&mut *sink, 1, &[rows(&[Some("de"), Some("fr")])]);
            let [(path, _)] = &seen(folder.path())[..] else { panic!("one file") };
            let bytes = fs::read(folder.path().join(path)).unwrap();
            let bytes = match packing {
                "gzip" => {
                    let mut out = Vec::new();
                    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut out).unwrap();
                    out
                }
                "zstd" => zstd::decode_all(&bytes[..]).unwrap(),
                _ => bytes,
            };
            let end = match packing {
                "gzip" => ".gz",
                "zstd" => ".zst",
                _ => "",
            };
            assert!(path.ends_with(&format!("-000001.{}{end}", ending(&name))), "{path}");
            if name == "text" {
                assert_eq!(bytes, b"de\t0\nfr\t1\n");
                continue;
            }
            let call = FormatCall { entry: Arc::new(format()), settings: Settings::default() };
            let codec = (call.entry.open)(&call, &schema()).unwrap();
            let (header, rest) = bytes.split_at(codec.header(&bytes, true).unwrap());
            let piece = crate::plan::seams::Piece { header, bytes: rest, last: true, records: usize::MAX, threads: 1 };
            assert_eq!(codec.decode(&piece).unwrap().blocks, [rows(&[Some("de"), Some("fr")])], "{name} {packing}");
        }
    }
}

#[test]
fn the_manifest_lists_every_file_once_and_latest_names_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    let options = [("manifest", OptionValue::Bool(true)), ("latest", OptionValue::Bool(true))];
    let mut sink = with(folder.path(), CSV(), &["country"], &options).unwrap();
    let first = run(&mut *sink, 1, &[rows(&[Some("de"), Some("fr"), Some("de")])]);
    sink.deliver(&batch(1), &first).unwrap();
    // Half a line that a crash left.
    let manifest = folder.path().join("out/_manifest");
    let half = [fs::read(&manifest).unwrap(), b"{\"file\":".to_vec()].concat();
    fs::write(&manifest, half).unwrap();
    run(&mut *sink, 2, &[rows(&[Some("de")])]);
    let text = fs::read_to_string(&manifest).unwrap();
    let listed: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let about: Vec<_> = listed.iter().map(|l| (l["file"].as_str().unwrap(), l["rows"].as_u64().unwrap())).collect();
    let newest = "country=de/part-1767225602000-000002.csv";
    let expected =
        [("country=de/part-1767225601000-000001.csv", 2), ("country=fr/part-1767225601000-000001.csv", 1), (newest, 1)];
    assert_eq!(about, expected);
    assert_eq!(listed[2]["bytes"].as_u64(), Some(4));
    assert_eq!(fs::read_to_string(folder.path().join("out/_latest")).unwrap(), format!("{newest}\n"));
}

#[test]
fn rows_wait_until_a_file_is_old_or_the_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let roll = ("roll", OptionValue::Duration(10_000_000));
    let mut sink = with(folder.path(), CSV(), &[], &[roll]).unwrap();
    assert!(!sink.wants_empty());
    run(&mut *sink, 1, &[rows(&[Some("a")])]);
    run(&mut *sink, 5, &[rows(&[Some("b")])]);
    assert_eq!(seen(folder.path()), []);
    assert!(sink.wants_empty(), "time alone makes the file full");
    run(&mut *sink, 10, &[]);
    assert_eq!(seen(folder.path()), []);
    run(&mut *sink, 11, &[]);
    let first = ("out/part-1767225601000-000001.csv".to_owned(), "country,n\na,0\nb,0\n".to_owned());
    assert_eq!(seen(folder.path()), std::slice::from_ref(&first));
    assert!(!sink.wants_empty());
    run(&mut *sink, 12, &[rows(&[Some("c")])]);
    sink.finish().unwrap();
    let second = ("out/part-1767225612000-000012.csv".to_owned(), "country,n\nc,0\n".to_owned());
    assert_eq!(seen(folder.path()), [first, second]);
}

#[test]
fn rows_wait_until_a_file_is_full_each_folder_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let roll = ("roll", OptionValue::Size(3_000));
    let mut sink = with(folder.path(), CSV(), &["country"], &[roll]).unwrap();
    let many: Vec<Option<&str>> = vec![Some("de"); 200];
    run(&mut *sink, 1, &[rows(&many), rows(&[Some("fr")])]);
    assert_eq!(seen(folder.path()), []);
    run(&mut *sink, 2, &[rows(&many)]);
    let names: Vec<_> = seen(folder.path()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["out/country=de/part-1767225601000-000001.csv"]);
}

#[test]
fn what_waits_outlives_a_crash_and_is_published_once() {
    let folder = tempfile::tempdir().unwrap();
    let open = || with(folder.path(), CSV(), &[], &[("roll", OptionValue::Duration(10_000_000))]).unwrap();
    let mut sink = open();
    run(&mut *sink, 1, &[rows(&[Some("a")])]);
    let second = sink.stage(&batch(2), &[rows(&[Some("b")])]).unwrap();
    // A crash; what was staged and what was delivered is delivered again.
    let mut sink = open();
    let first = Artifact { bytes: b"1\t\n".to_vec(), rows: 1 };
    sink.deliver(&batch(1), &first).unwrap();
    sink.deliver(&batch(2), &second).unwrap();
    let segments = || {
        let hidden = files(folder.path()).into_iter().filter(|(name, _)| name.ends_with(".rows"));
        hidden.map(|(name, _)| (fs::read(folder.path().join(&name)).unwrap(), name)).collect::<Vec<_>>()
    };
    let waiting = segments();
    assert_eq!(waiting.len(), 2);
    sink.finish().unwrap();
    let all = [("out/part-1767225601000-000001.csv".to_owned(), "country,n\na,0\nb,0\n".to_owned())];
    assert_eq!(seen(folder.path()), all);
    assert_eq!(segments(), []);
    // A crash behind the file's name and before what waited was cleared away.
    for (bytes, name) in waiting {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let mut sink = open();
    sink.deliver(&batch(2), &second).unwrap();
    sink.finish().unwrap();
    assert_eq!(seen(folder.path()), all);
    run(&mut *sink, 3, &[rows(&[Some("c")])]);
    sink.finish().unwrap();
    assert_eq!(seen(folder.path()).len(), 2);
}
