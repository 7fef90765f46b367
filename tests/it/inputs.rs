//! Files in and out of the real program: every format there and back, archives, logs that grow.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::files::below;
use crate::program::{command, millstream_in};

const ORDERS: &str = "{\"id\": 1, \"name\": \"ann, \\\"b\\\"\", \"amount\": 10.05, \"at\": \"2026-01-01T12:00:00.5Z\"}\n\
    {\"id\": 2, \"name\": null, \"amount\": null, \"at\": null}\n\
    {\"id\": -3, \"name\": \"zoë = \\\\ 1\", \"amount\": 0.5, \"at\": \"1969-12-31T23:59:59Z\"}\n";

const SCHEMA: &str = "{ id: int64, name: string?, amount: decimal(12, 2)?, at: timestamp? }";

fn run(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), format!("pipeline p {{ every: 1s }}\n{text}")).unwrap();
    let ran = millstream_in(folder, &["run", name, "--once"], "");
    assert_eq!(ran.code, 0, "{text}\n{}\n{}", ran.out, ran.err);
}

/// All files of a folder that readers see, one behind the other.
fn content(folder: &Path) -> String {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && !path.file_name().unwrap().to_string_lossy().starts_with(['.', '_']));
    files.sort();
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_format_that_is_written_is_read_back() {
    let formats = [
        "json",
        "json, layout: array",
        "csv",
        "csv, delimiter: \";\", quote: \"'\", null_text: \"NULL\"",
        "csv, header: false, multiline: true",
        "tsv",
        "parquet",
        "parquet, codec: gzip, row_group: 1",
        "parquet, codec: zstd",
        "avro",
        "avro, codec: deflate",
        "avro, codec: snappy",
        "arrow",
        "arrow, layout: stream",
        "arrow, codec: lz4",
        "logfmt",
    ];
    for format in formats {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("orders.json"), ORDERS).unwrap();
        let read = |path: &str, format: &str| {
            let options: Vec<&str> = format
                .split(", ")
                .filter(|option| !option.starts_with("codec") && !option.starts_with("row_group"))
                .collect();
            format!(
                "source orders = files(\"{path}\") {{ format: {}, schema: {SCHEMA} }} bad fail\n",
                options.join(", ")
            )
        };
        let write =
            |path: &str, format: &str| format!("from orders |> into files(\"{path}\") {{ format: {format} }}\n");
        run(folder, "plain.stream", &(read("orders.json", "json") + &write("plain", "json")));
        run(folder, "there.stream", &(read("orders.json", "json") + &write("there", format)));
        run(folder, "back.stream", &(read("there", format) + &write("back", "json")));
        assert_eq!(content(&folder.join("back")), content(&folder.join("plain")), "{format}");
    }
}

/// What other programs write: quotes where nothing says so.
#[test]
fn quotes_of_csv_hold_delimiters_and_quotes_without_an_option() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "id,name\n1,\"a,b\"\n2,\"say \"\"x\"\"\"\n").unwrap();
    let text = "source a = files(\"a.csv\") { format: csv, schema: { id: int64, name: string } } bad fail\n\
        from a |> into files(\"out\")\n";
    run(folder.path(), "p.stream", text);
    let rows = "{\"id\":1,\"name\":\"a,b\"}\n{\"id\":2,\"name\":\"say \\\"x\\\"\"}\n";
    assert_eq!(content(&folder.path().join("out")), rows);
}

#[test]
fn an_archive_of_packed_files_and_folders_is_written_by_region() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for path in below("pipelines/data/sales", &["gz", "csv"]) {
        let to = folder.join(path.strip_prefix("pipelines").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(crate::program::root().join(path), to).unwrap();
    }
    fs::copy(crate::program::root().join("pipelines/archive.stream"), folder.join("archive.stream")).unwrap();
    let ran = millstream_in(folder, &["run", "archive.stream", "--once"], "");
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let manifest = fs::read_to_string(folder.join("out/archive/_manifest")).unwrap();
    assert_eq!(manifest.lines().count(), 2, "{manifest}");
    run(
        folder,
        "back.stream",
        "source sales = files(\"out/archive/**/*.parquet\") {\n  format: parquet,\n  hive: true,\n  \
         schema: { region: string, id: int64, day: date },\n} bad fail\n\
         from sales |> into files(\"back\") { format: csv }\n",
    );
    let rows = "region,id,day\nnorth,1,2026-01-01\nnorth,3,2026-01-02\nsouth,2,2026-01-01\n";
    assert_eq!(content(&folder.join("back")), rows);
}

#[test]
fn a_running_program_follows_a_log_through_a_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = "pipeline follow { every: 0s }\n\
        source requests = files(\"app.log\") { format: logfmt, schema: { n: int64 }, tail: true, poll: 100ms } bad fail\n\
        from requests |> into files(\"out\") { format: csv, header: false }\n";
    fs::write(folder.join("follow.stream"), text).unwrap();
    fs::write(folder.join("app.log"), "n=1\nn=2\nn=").unwrap();
    let mut child = command(folder, &["run", "follow.stream"]).spawn().unwrap();
    let append = |name: &str, text: &str| {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(folder.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let until = |wanted: &[i64]| {
        let started = Instant::now();
        loop {
            let out = folder.join("out");
            let text = if out.exists() { content(&out) } else { String::new() };
            let mut found: Vec<i64> = text.lines().map(|line| line.parse().unwrap()).collect();
            found.sort_unstable();
            if found == wanted {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{found:?} instead of {wanted:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(&[1, 2]);
    append("app.log", "3\nn=4\n");
    until(&[1, 2, 3, 4]);
    append("app.log", "n=5\n");
    fs::rename(folder.join("app.log"), folder.join("app.log.1")).unwrap();
    append("app.log", "n=6\n");
    append("app.log.1", "n=7\n");
    until(&[1, 2, 3, 4, 5, 6, 7]);
    fs::write(folder.join("app.log"), "n=8\n").unwrap();
    until(&[1, 2, 3, 4, 5, 6, 7, 8]);
    child.kill().unwrap();
    child.wait().unwrap();
}
