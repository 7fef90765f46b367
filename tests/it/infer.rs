//! `infer` through the real binary.

use std::fs;

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::program::{Ran, command, millstream_in};

fn inferred(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    let ran = millstream_in(folder.path(), &["infer", name], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    // The layout is the printer's business.
    ran.out.replace("{\n ", "{").replace(",\n}", " }").replace("\n ", "")
}

#[test]
fn json_lines_give_a_type_with_null_where_something_was_missing() {
    let text = "{\"id\": 1, \"name\": \"a\", \"price\": 10.00}\n{\"id\": 2, \"name\": null, \"price\": 7.50, \"tag\": \"x\"}\n";
    assert_eq!(
        inferred("orders.json", text),
        "type Orders = { id: int64, name: string?, price: decimal(12, 2), tag: string? }\n"
    );
}

#[test]
fn an_array_is_as_good_as_lines() {
    assert_eq!(inferred("a.json", "[{\"a\": 1}, {\"a\": 2.5}]"), "type A = { a: float64 }\n");
}

#[test]
fn dates_times_and_moments_are_seen_in_strings() {
    let text =
        "{\"d\": \"2026-01-31\", \"t\": \"23:59:59\", \"ts\": \"2026-01-31T23:59:59.5Z\", \"s\": \"2026-13-31\"}";
    assert_eq!(inferred("x.json", text), "type X = { d: date, t: time, ts: timestamp, s: string }\n");
}

#[test]
fn structs_and_lists_are_followed() {
    let text = "{\"a\": {\"b\": [1, null], \"c\": []}, \"d\": [{\"e\": true}]}";
    assert_eq!(inferred("x.json", text), "type X = { a: { b: list(int64?), c: list(json?) }, d: list({ e: bool }) }\n");
}

#[test]
fn what_has_nothing_in_common_is_json() {
    assert_eq!(inferred("x.json", "{\"a\": 1}\n{\"a\": \"one\"}\n"), "type X = { a: json }\n");
}

#[test]
fn the_order_of_rows_changes_no_type() {
    let rows = ["{\"a\": 1, \"b\": 1.25}", "{\"a\": null, \"b\": 2}", "{\"b\": 3.75, \"a\": 18446744073709551615}"];
    let forward = inferred("x.json", &rows.join("\n"));
    let backward = inferred("x.json", &rows.iter().rev().copied().collect::<Vec<_>>().join("\n"));
    let mut sorted = [forward.clone(), backward].map(|text| {
        let mut fields: Vec<String> = text.split([',', '{', '}']).map(|part| part.trim().to_string()).collect();
        fields.sort();
        fields
    });
    sorted.sort();
    assert_eq!(sorted[0], sorted[1]);
    assert_eq!(forward, "type X = { a: uint64?, b: float64 }\n");
}

#[test]
fn csv_gives_types_by_what_stands_in_its_cells() {
    let text = "id;zip;amount;paid;since;note\n1;01234;10.00;true;2026-01-31;\n2;99999;3.50;false;2026-02-01;hi\n";
    let wanted =
        "type People = { id: int64, zip: string, amount: decimal(12, 2), paid: bool, since: date, note: string? }\n";
    assert_eq!(inferred("people.csv", text), wanted);
}

#[test]
fn an_infered_type_is_a_statement_that_reads() {
    let text = inferred("odd-names.json", "{\"from\": 1, \"two words\": 2, \"\\u00e4\": 3}");
    let parsed = millstream_dsl::parse::file(millstream_dsl::FileId(0), &text);
    assert!(parsed.problems.is_empty(), "{text}\n{:?}", parsed.problems);
    assert!(text.starts_with("type OddNames = "), "{text}");
}

#[test]
fn what_is_no_sample_is_said_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.json"), "{\"a\": 1}\n{\"a\": \n").unwrap();
    let ran = millstream_in(folder.path(), &["infer", "x.json"], "");
    assert_eq!(ran.code, 2);
    assert!(ran.err.starts_with("error: `x.json`: "), "{}", ran.err);
    fs::write(folder.path().join("x.json"), "").unwrap();
    assert!(millstream_in(folder.path(), &["infer", "x.json"], "").err.contains("it is empty"));
}

const ROWS: &str = "{\"id\": 1, \"name\": \"a\", \"at\": \"2026-01-01T00:00:00Z\", \"amount\": 10.00}\n\
    {\"id\": 2, \"name\": null, \"at\": \"2026-01-01T00:00:01Z\", \"amount\": 7.50}\n";

const SCHEMA: &str = "{ id: int64, name: string?, at: timestamp, amount: decimal(12, 2) }";

/// `check` or `run --once` of files into `out`, whose columns are inferred.
fn with_infer(folder: &Path, verb: &[&str], files: &str, options: &str) -> Ran {
    let text = format!(
        "pipeline p {{ every: 1s }}\nsource rows = files(\"{files}\") {{ schema: infer, {options} }} bad fail\n\
         from rows |> into files(\"out\") {{ format: json }}\n"
    );
    fs::write(folder.join("p.stream"), text).unwrap();
    millstream_in(folder, &[verb, &["p.stream"]].concat(), "")
}

#[test]
fn a_source_of_any_format_finds_its_columns_once_and_tells_them() {
    let formats = [
        "json",
        "json, layout: array",
        "csv",
        "tsv",
        "parquet",
        "avro",
        "avro, codec: zstd",
        "arrow",
        "arrow, layout: stream",
    ];
    for format in formats {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("rows.json"), ROWS).unwrap();
        let text = format!(
            "pipeline w {{ every: 1s }}\nsource rows = files(\"rows.json\") {{ format: json, schema: {SCHEMA} }} bad fail\n\
             from rows |> into files(\"data\") {{ format: {format} }}\n"
        );
        fs::write(folder.join("w.stream"), text).unwrap();
        assert_eq!(millstream_in(folder, &["run", "--once", "w.stream"], "").code, 0, "{format}");
        let format = format.split(", codec").next().unwrap();
        let ran = with_infer(folder, &["run", "--once"], "data/*", &format!("format: {format}, time: at"));
        assert_eq!(ran.code, 0, "{format}: {}", ran.err);
        assert_eq!(ran.err.matches("note[inferred-schema]: the columns of `rows` are inferred from a file").count(), 1);
        assert!(ran.err.contains(&format!("schema: {SCHEMA}")), "{format}: {}", ran.err);
        let hidden = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with('.');
        let mut out = fs::read_dir(folder.join("out")).unwrap().map(|file| file.unwrap().path());
        let out = out.find(|path| !hidden(path)).unwrap();
        assert_eq!(fs::read_to_string(out).unwrap().lines().count(), 2, "{format}");
    }
}

#[test]
fn several_files_packed_ones_and_folders_are_looked_into_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (day, text) in [("a", "id,n\n1,2\n"), ("b", "id;n\n"), ("c", "id,more\n7,x\n")] {
        fs::create_dir_all(folder.join(format!("data/day={day}"))).unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gz, text.replace(';', ",").as_bytes()).unwrap();
        fs::write(folder.join(format!("data/day={day}/x.csv.gz")), gz.finish().unwrap()).unwrap();
    }
    let ran = with_infer(folder, &["check"], "data/*/*.gz", "format: csv, hive: true");
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("inferred from 3 files"), "{}", ran.out);
    assert!(ran.out.contains("schema: { id: int64, n: int64?, more: string?, day: string }"), "{}", ran.out);
    assert!(ran.out.contains("0 errors, 0 warnings"), "{}", ran.out);
}

#[test]
fn a_front_that_is_cut_within_a_row_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let row = |n: usize| format!("{{\"n\": {n}, \"text\": \"{}\"}}", "zo\u{eb} ".repeat(200));
    let rows: Vec<String> = (0..3_000).map(row).collect();
    fs::write(folder.join("lines.json"), rows.join("\n")).unwrap();
    fs::write(folder.join("array.json"), format!("[{}]", rows.join(","))).unwrap();
    fs::write(folder.join("rows.csv"), format!("n,text\n{}", "1,\"two\nlines\"\n".repeat(100_000))).unwrap();
    for (file, options) in [
        ("lines.json", "format: json"),
        ("array.json", "format: json, layout: array"),
        ("rows.csv", "format: csv, multiline: true"),
    ] {
        let ran = with_infer(folder, &["check"], file, options);
        assert!(ran.out.contains("schema: { n: int64, text: string }"), "{file}: {}", ran.out);
    }
    let ran = with_infer(folder, &["check"], "array.json", "format: json");
    assert!(ran.out.contains("it is one array of objects; write `layout: array`"), "{}", ran.out);
}

#[test]
fn what_is_told_of_yaml_can_be_pasted_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.json"), ROWS).unwrap();
    let text = "pipeline: { name: q, every: 1s }\nsources:\n  \
        rows: { files: \"a.json\", format: json, schema: infer, bad: drop }\nsinks:\n  - from: rows\n    into: discard\n";
    fs::write(folder.join("q.yaml"), text).unwrap();
    let ran = millstream_in(folder, &["check", "q.yaml"], "");
    let schema = "{ id: int64, name: 'string?', at: timestamp, amount: 'decimal(12, 2)' }";
    assert!(ran.out.contains(&format!("schema: {schema}\n")), "{}", ran.out);
    fs::write(folder.join("q.yaml"), text.replace("infer", schema)).unwrap();
    let ran = millstream_in(folder, &["check", "q.yaml"], "");
    assert!(ran.out.starts_with("q.yaml: 0 errors, 0 warnings"), "{}", ran.out);
}

/// Ends with its value.
struct Runs(Child);

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn columns_stay_what_they_are_while_it_runs_and_count_in_a_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = |stages: &str| {
        format!(
            "pipeline p {{ every: 50ms }}\nsource rows = files(\"data/*.json\") {{ format: json, schema: infer, settle: 0s }} bad drop\n\
             from rows{stages} |> into files(\"out\")\n"
        )
    };
    fs::create_dir(folder.join("data")).unwrap();
    fs::write(folder.join("data/a.json"), "{\"n\": 1}\n").unwrap();
    fs::write(folder.join("p.stream"), text("")).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let _runs = Runs(command(folder, &["run", "p.stream"]).stderr(log).spawn().unwrap());
    let said = || fs::read_to_string(folder.join("log")).unwrap();
    let until = |what: &str, so: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !so() {
            assert!(started.elapsed() < Duration::from_secs(20), "{what} did not come to be: {}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // What is hidden is not published.
    let seen = |file: &std::io::Result<fs::DirEntry>| {
        file.as_ref().is_ok_and(|file| !file.file_name().to_string_lossy().starts_with('.'))
    };
    let files = || fs::read_dir(folder.join("out")).map_or(0, |files| files.filter(seen).count());
    until("a first file", &|| files() == 1);
    // From now on a process that starts would see another column.
    fs::write(folder.join("data/b.json"), "{\"n\": 2, \"more\": true}\n").unwrap();
    until("a second file", &|| files() == 2);
    fs::write(folder.join("p.stream"), text(" |> where n > 1")).unwrap();
    until("a switch", &|| said().contains("the new text runs from batch"));
    assert!(!said().contains("more: bool"), "{}", said());
    let ran = millstream_in(folder, &["plan", "p.stream", "--against", "."], "");
    assert!(ran.out.contains("schema"), "{}\n{}", ran.out, ran.err);
    let pinned = text(" |> where n > 1").replace("infer", "{ n: int64 }");
    fs::create_dir(folder.join("new")).unwrap();
    fs::write(folder.join("new/p.stream"), pinned).unwrap();
    let ran = millstream_in(folder, &["plan", "new/p.stream", "--against", "."], "");
    assert!(ran.out.contains("nothing to apply"), "{}\n{}", ran.out, ran.err);
}
