//! `run` through the real binary.

use std::fs;
use std::time::Duration;

use crate::program::{command, millstream, millstream_in};

const COUNTS: &str = "pipeline p { every: 0s }\n\
    source lines = files(\"*.txt\")\n\
    stream counts = from lines |> explode split(line, \" \") as word |> aggregate count() as n by word per batch\n\
    from counts |> into console { format: csv }\n";

#[test]
fn the_readmes_example_runs() {
    let ran = millstream(&["run", "pipelines/wordcount.stream", "--once"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("word"), "{}", ran.out);
    assert!(ran.err.starts_with("1 batch, "), "{}", ran.err);
}

#[test]
fn words_of_a_file_are_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.stream"), COUNTS).unwrap();
    fs::write(folder.path().join("a.txt"), "to be or not to be\n").unwrap();
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--once"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    for row in ["to,2", "be,2", "or,1", "not,1"] {
        assert_eq!(ran.out.lines().filter(|line| *line == row).count(), 1, "{row}\n{}", ran.out);
    }
}

#[test]
fn a_pipeline_with_mistakes_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.stream"), COUNTS.replace("by word", "by wrod")).unwrap();
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--once"], "");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("error[unknown-column]: "), "{}", ran.err);
}

#[test]
fn ctrl_c_ends_a_run_after_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.stream"), COUNTS.replace("0s", "50ms")).unwrap();
    let child = command(folder.path(), &["run", "p.stream"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(" rows in, "), "{said}");
}
