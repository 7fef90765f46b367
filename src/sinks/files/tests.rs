//! `files` against real folders.

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
    let mut settings = Settings::default();
    settings.set("path", OptionValue::Text("out".into()), Span::default());
    let by = by.iter().map(|c| OptionValue::Column((*c).into())).collect();
    settings.set("partition_by", OptionValue::List(by), Span::default());
    open(&Endpoint {
        name: "rows".into(),
        word: "files".into(),
        entry: EndpointEntry::Sink(Arc::new(entry())),
        settings,
        format: Some(FormatCall { entry: Arc::new(format), settings: Settings::default() }),
        schema: schema(),
        pipeline: "p".into(),
        base: folder.into(),
    })
    .unwrap()
}

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
