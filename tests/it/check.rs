//! `check` through the real binary: exit codes, the JSON form, imports, several files.

use std::fs;

use serde_json::Value;

use crate::program::{Ran, millstream, millstream_in};

const CLEAN: &str = "pipeline p { every: 1s }\nsource s = socket(\"127.0.0.1:1\")\nfrom s |> into console\n";
const WRONG: &str =
    "pipeline p { every: 1s }\nsource s = socket(\"127.0.0.1:1\")\nfrom s |> where nope == \"ä\" |> into console\n";

fn in_folder(files: &[(&str, &str)], args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    millstream_in(folder.path(), args, "")
}

#[test]
fn a_clean_file_exits_with_0_and_shows_its_edges() {
    let ran = in_folder(&[("a.stream", CLEAN)], &["check", "a.stream"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.out);
    assert!(ran.out.starts_with("a.stream: 0 errors, 0 warnings\nedge "), "{}", ran.out);
    assert!(ran.out.contains("s -> console"), "{}", ran.out);
}

#[test]
fn a_mistake_exits_with_1_and_an_unreadable_file_with_2() {
    let ran = in_folder(&[("a.stream", WRONG)], &["check", "a.stream"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.starts_with("error[unknown-column]: "), "{}", ran.out);
    let ran = in_folder(&[("a.stream", WRONG)], &["check", "a.stream", "b.stream"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.out.contains("error[unreadable-file]: file `b.stream` cannot be read: no such file or folder"),
        "{}",
        ran.out
    );
}

#[test]
fn warnings_are_mistakes_when_denied() {
    let unused = format!("{CLEAN}source t = socket(\"127.0.0.1:2\")\n");
    let files = [("a.stream", unused.as_str())];
    assert_eq!(in_folder(&files, &["check", "a.stream"]).code, 0);
    assert_eq!(in_folder(&files, &["check", "--deny", "warnings", "a.stream"]).code, 1);
}

#[test]
fn json_has_an_object_a_line_with_bytes_lines_and_columns() {
    let ran = in_folder(&[("a.stream", WRONG)], &["check", "--format", "json", "a.stream"]);
    assert_eq!(ran.code, 1);
    let objects: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [object] = &objects[..] else { panic!("{}", ran.out) };
    let mut keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["code", "edits", "help", "labels", "message", "severity"]);
    assert_eq!((object["code"].as_str(), object["severity"].as_str()), (Some("unknown-column"), Some("error")));
    let label = &object["labels"][0];
    let start = WRONG.find("nope").unwrap();
    assert_eq!(label["file"], "a.stream");
    assert_eq!(label["bytes"], serde_json::json!({ "start": start, "end": start + 4 }));
    assert_eq!(label["start"], serde_json::json!({ "line": 3, "column": 17 }));
    assert_eq!(label["end"], serde_json::json!({ "line": 3, "column": 21 }));
}

#[test]
fn a_clean_file_has_no_json_objects() {
    let ran = in_folder(&[("a.stream", CLEAN)], &["check", "--format", "json", "a.stream"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
}

#[test]
fn standard_input_can_be_checked() {
    let ran = millstream_in(&crate::program::root(), &["check", "-"], CLEAN);
    assert_eq!(ran.code, 0, "{}", ran.out);
}

#[test]
fn a_mistake_in_an_imported_file_points_into_that_file() {
    let types = "type T = { a: nosuchtype }\n";
    let main = format!("import \"types.stream\"\n{CLEAN}");
    let ran = in_folder(&[("types.stream", types), ("a.stream", &main)], &["check", "a.stream"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("[types.stream:1:15]"), "{}", ran.out);
}

#[test]
fn a_missing_import_points_at_the_import() {
    let ran = in_folder(&[("a.stream", &format!("import \"gone.stream\"\n{CLEAN}"))], &["check", "a.stream"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.starts_with("error[import-missing]: "), "{}", ran.out);
    assert!(ran.out.contains("[a.stream:1:8]"), "{}", ran.out);
}

#[test]
fn imports_in_a_circle_are_refused_with_every_step() {
    let ran = in_folder(
        &[
            ("a.stream", &format!("import \"b.stream\"\n{CLEAN}")),
            ("b.stream", "import \"c.stream\"\n"),
            ("c.stream", "import \"b.stream\"\n"),
        ],
        &["check", "a.stream"],
    );
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("error[import-cycle]: "), "{}", ran.out);
    assert!(ran.out.contains("[c.stream:1:8]") && ran.out.contains("[b.stream:1:8]"), "{}", ran.out);
}

#[test]
fn a_file_imported_on_two_ways_is_read_once() {
    let ran = in_folder(
        &[
            ("a.stream", &format!("import \"b.stream\"\nimport \"types.stream\"\n{CLEAN}")),
            ("b.stream", "import \"./types.stream\"\n"),
            ("types.stream", "type T = { a: nosuchtype }\n"),
        ],
        &["check", "a.stream"],
    );
    assert_eq!(ran.out.matches("error[").count(), 1, "{}", ran.out);
}

#[test]
fn what_is_no_utf8_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.stream"), b"pipeline p { every: 1s }\n# caf\xe9\n").unwrap();
    let ran = millstream_in(folder.path(), &["check", "a.stream"], "");
    assert_eq!(ran.code, 2);
    assert!(ran.out.starts_with("error[invalid-utf8]: "), "{}", ran.out);
    assert!(ran.out.contains("[a.stream:2:6]"), "{}", ran.out);
}

#[test]
fn a_byte_order_mark_is_no_mistake_and_no_column() {
    let ran = in_folder(&[("a.stream", &format!("\u{feff}{CLEAN}"))], &["check", "a.stream"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
}

#[test]
fn a_pattern_without_files_is_a_warning() {
    let text = CLEAN.replace("socket(\"127.0.0.1:1\")", "files(\"none/*.txt\")");
    let ran = in_folder(&[("a.stream", &text)], &["check", "a.stream"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.starts_with("warning[no-matching-files]: "), "{}", ran.out);
}

#[test]
fn an_unknown_parameter_is_refused() {
    let ran = in_folder(&[("a.stream", CLEAN)], &["check", "a.stream", "--set", "nope=1"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.starts_with("error[unknown-param]: "), "{}", ran.out);
}

#[test]
fn a_parameter_comes_from_the_command_line_or_else_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = "pipeline p { every: 1s }\nparam least: int64\nsource s = stdin()\n\
                    from s |> where length(line) > least |> into console\n";
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    let check = |variable: &str, more: &[&str]| {
        let args = [&["check", "p.stream"], more].concat();
        let ran =
            crate::program::command(folder.path(), &args).env("MILLSTREAM_PARAM_LEAST", variable).output().unwrap();
        (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
    };
    assert_eq!(check("3", &[]).0, Some(0));
    assert!(check("three", &[]).1.contains("error[invalid-literal]"), "{}", check("three", &[]).1);
    assert_eq!(check("three", &["--set", "least=4"]).0, Some(0));
    assert!(millstream_in(folder.path(), &["check", "p.stream"], "").out.contains("error[missing-param]"));
}

#[test]
fn ten_megabytes_of_garbage_are_answered_within_seconds() {
    let garbage: String = "stream x = from ((((( |> \"\u{1b}[31m ä ".repeat(300_000);
    let started = std::time::Instant::now();
    let ran = in_folder(&[("a.stream", &garbage)], &["check", "a.stream"]);
    assert_eq!(ran.code, 1);
    assert!(!ran.out.contains('\u{1b}'), "control characters come through");
    assert!(ran.out.lines().all(|line| line.chars().count() < 400), "a line was not cut");
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
    let files = [("a.stream", WRONG)];
    assert!(!in_folder(&files, &["check", "a.stream"]).out.contains('\u{1b}'));
    assert!(in_folder(&files, &["--color", "always", "check", "a.stream"]).out.contains('\u{1b}'));
    assert!(!in_folder(&files, &["check", "a.stream", "--color", "never"]).out.contains('\u{1b}'));
}

#[test]
fn a_reader_that_goes_away_is_no_mistake() {
    let mut child = crate::program::command(&crate::program::root(), &["list", "functions"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(millstream(&["list"]).code, 0);
}
