//! `millstream test`: the test blocks of the repository's pipelines, and what a user sees of tests that fail
//! (`tests/cases/trials/NAME.stream` next to `NAME.out`).

use std::fs;

use crate::files::{below, differs, none};
use crate::program::{Ran, millstream, millstream_in, root, timeless};

const FOLDER: &str = "tests/cases/trials";

fn tested(args: &[&str]) -> Ran {
    millstream_in(&root().join(FOLDER), &[&["test"], args].concat(), "")
}

#[test]
fn every_test_block_of_the_pipelines_passes() {
    let ran = millstream(&["test", "pipelines"]);
    let failed: Vec<_> = ran.out.lines().filter(|line| line.ends_with("FAILED")).collect();
    assert!(failed.is_empty(), "{}\n{}", ran.out, ran.err);
}

#[test]
fn a_test_in_yaml_is_the_same_test() {
    let twins = below("pipelines", &["yaml"]);
    let outcomes = |ending: &str| {
        let paths: Vec<_> = twins.iter().map(|path| path.with_extension(ending).display().to_string()).collect();
        let args: Vec<&str> = std::iter::once("test").chain(paths.iter().map(String::as_str)).collect();
        let out = millstream(&args).out;
        out.lines().filter(|line| line.starts_with("test ")).map(timeless).collect::<Vec<_>>()
    };
    assert_eq!(outcomes("yaml"), outcomes("stream"));
}

#[test]
fn what_a_user_sees_of_tests_lies_next_to_them() {
    let complaints = below(FOLDER, &["stream"]).into_iter().filter_map(|case| {
        let ran = tested(&[case.file_name().unwrap().to_str().unwrap()]);
        differs(case.with_extension("out"), &timeless(&ran.out))
    });
    none(complaints.collect());
}

#[test]
fn the_exit_code_says_whether_all_passed() {
    assert_eq!(tested(&["passes.stream"]).code, 0);
    assert_eq!(tested(&["passes.stream", "rows.stream"]).code, 1);
    assert_eq!(tested(&["passes.stream", "nowhere.stream"]).code, 2);
    let mistakes = tested(&["../messages/29-column-case.stream", "passes.stream"]);
    assert_eq!(mistakes.code, 1);
    assert!(
        mistakes.out.contains("error[unknown-column]") && mistakes.out.contains("1 file not run"),
        "{}",
        mistakes.out
    );
    assert!(mistakes.out.contains("7 passed"), "a file with mistakes keeps no other from being tested");
}

#[test]
fn a_filter_leaves_tests_out() {
    let ran = tested(&["rows.stream", "counts.stream", "--filter", "order"]);
    let lines: Vec<_> = ran.out.lines().filter(|line| line.starts_with("test ")).collect();
    assert_eq!(lines[..2], ["test another order ... FAILED", "test rows in order differ ... FAILED"]);
    assert!(lines[2].starts_with("test result: FAILED. 0 passed; 2 failed; 13 filtered out; "), "{}", lines[2]);
    assert_eq!(tested(&["rows.stream", "--filter", "no test is called this"]).code, 0);
}

#[test]
fn parameters_can_be_set() {
    let folder = tempfile::tempdir().unwrap();
    let text = "pipeline p { every: 1s }\nparam least: int64 = 1\nsource xs = queue() { schema: { n: int64 } }\n\
                stream ys = from xs |> where n >= least\nfrom ys |> into discard\n\
                test \"t\" {\n  given xs [ { n: 1 } ]\n  expect ys [ { n: 1 } ]\n}\n";
    fs::write(folder.path().join("p.stream"), text).unwrap();
    assert_eq!(millstream_in(folder.path(), &["test", "p.stream"], "").code, 0);
    assert_eq!(millstream_in(folder.path(), &["test", "p.stream", "--set", "least=2"], "").code, 1);
    assert_eq!(millstream_in(folder.path(), &["test", "-"], text).code, 0);
    assert_eq!(millstream_in(folder.path(), &["test", "."], text).code, 0, "a folder stands for its files");
}

#[test]
fn json_has_everything_that_the_text_has() {
    let ran = tested(&["rows.stream", "--format", "json"]);
    assert_eq!(ran.code, 1);
    let objects: Vec<serde_json::Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((objects[0]["type"].as_str(), objects[0]["tests"].as_u64()), (Some("file"), Some(7)));
    let first = &objects[1];
    assert_eq!((first["outcome"].as_str(), first["line"].as_u64()), (Some("failed"), Some(12)));
    assert_eq!(first["problem"]["labels"][0]["start"]["line"], 20);
    let rows: Vec<_> = first["rows"].as_array().unwrap().iter().map(|row| row["is"].as_str().unwrap()).collect();
    assert_eq!(rows, ["expected", "changed", "changed", "missing", "unexpected"]);
    assert_eq!(first["rows"][1]["expected"]["amount"], "25.00");
    let result = objects.last().unwrap();
    assert_eq!((result["passed"].as_u64(), result["failed"].as_u64()), (Some(0), Some(7)));
}

#[test]
fn junit_counts_what_failed_and_what_could_not_be_run() {
    let ran = tested(&["passes.stream", "counts.stream", "../messages/29-column-case.stream", "--format", "junit"]);
    assert_eq!(ran.code, 1);
    let heads: Vec<_> = ran.out.lines().filter(|line| line.contains("<testsuite")).map(timeless).collect();
    assert_eq!(
        heads,
        [
            r#"<testsuites name="millstream" tests="16" failures="8" errors="1" time="0.00">"#,
            r#"  <testsuite name="passes.stream" tests="7" failures="0" errors="0" time="0.00">"#,
            r#"  <testsuite name="counts.stream" tests="8" failures="8" errors="0" time="0.00">"#,
            r#"  <testsuite name="../messages/29-column-case.stream" tests="1" failures="0" errors="1" time="0.00">"#,
        ]
    );
    assert_eq!(ran.out.matches("<failure ").count(), 8);
    assert!(ran.out.contains("[counts.stream:35:3]"), "a failure has its place:\n{}", ran.out);
}

#[test]
fn colours_are_there_where_they_are_wanted() {
    let colored = millstream_in(&root().join(FOLDER), &["test", "--color", "always", "rows.stream"], "").out;
    assert!(colored.contains("\x1b[31mFAILED\x1b[0m") && colored.contains("\x1b[31m  - \"4\""), "{colored}");
    assert!(!tested(&["rows.stream"]).out.contains('\x1b'));
}
