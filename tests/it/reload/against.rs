//! `plan NEW --against X` where X is what a process runs.

use std::fs;
use std::path::Path;
use std::process;

use tempfile::TempDir;

use super::{Running, totals};
use crate::program::{Ran, millstream_in};

const IMPORTED: &str = "fn half(x: int64) = x / 2\n";

/// Totals in which an imported function has a part.
fn halves(more: &str) -> String {
    let text = totals(" |> where half(value) > -1", more, "");
    text.replacen("source ticks", "import \"lib/half.stream\"\nsource ticks", 1)
}

/// What a text of the same name that lies elsewhere would do to what runs there.
fn compared(new: &Path, old: &Path) -> Ran {
    millstream_in(new, &["plan", "p.stream", "--against", old.to_str().unwrap()], "")
}

#[test]
fn a_plan_is_compared_with_what_a_process_runs_and_not_with_what_lies_on_the_disk() {
    let elsewhere = TempDir::new().unwrap();
    let new = elsewhere.path();
    let running = Running::start(&halves(""), &[("lib/half.stream", IMPORTED)]);
    fs::create_dir(new.join("lib")).unwrap();
    fs::write(new.join("lib/half.stream"), IMPORTED).unwrap();
    fs::write(new.join("p.stream"), halves("")).unwrap();
    // Neither of these runs: one has mistakes, the other waits for the first.
    running.save("pipeline p { every: 1s }\nsource ticks = nothing()\n");
    running.until_said("has mistakes: the old text goes on", 1);
    fs::write(running.folder.path().join("lib/half.stream"), "fn half(x: int64) = x / 3\n").unwrap();
    let same = compared(new, running.folder.path());
    assert_eq!((same.code, same.out.contains("nothing to apply")), (0, true), "{}\n{}", same.out, same.err);
    assert!(
        same.err.contains(&format!("compared with what process {} runs as `p`", running.child.id())),
        "{}",
        same.err
    );
    for old in [running.path(), running.folder.path().join(".millstream")] {
        assert_eq!(compared(new, &old).out, same.out, "{}", old.display());
    }
    fs::write(new.join("lib/half.stream"), "fn half(x: int64) = x / 4\n").unwrap();
    let other = compared(new, running.folder.path());
    assert!(!other.out.contains("nothing to apply"), "{}", other.out);
    // What runs is what was switched to last.
    fs::write(running.folder.path().join("lib/half.stream"), IMPORTED).unwrap();
    running.save(&halves(", sum(value) as s"));
    running.until_applied(1);
    fs::write(new.join("lib/half.stream"), IMPORTED).unwrap();
    let less = compared(new, running.folder.path());
    assert!(less.out.contains("`sum(value)`"), "{}", less.out);
    let folder = running.folder.path().to_owned();
    running.signal("-INT");
    running.until("nothing is left beside the pipeline", || !folder.join(".millstream").exists());
}

#[test]
fn what_a_crash_left_is_told_and_still_compared_with() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("p.stream");
    let text = totals("", "", "");
    fs::write(&file, &text).unwrap();
    let other = TempDir::new().unwrap();
    let ran = compared(folder.path(), other.path());
    assert!(ran.code != 0 && ran.err.contains("no pipeline `p.stream` runs, and none lies there"), "{}", ran.err);
    let mut child = process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    fs::create_dir(folder.path().join(".millstream")).unwrap();
    let kept = serde_json::json!({ "files": [("p.stream", text.replace("count()", "count(value)"))], "set": {} });
    let left = serde_json::json!({ "pid": child.id(), "pipeline": "p", "file": file, "kept": kept });
    fs::write(folder.path().join(".millstream/p.stream.running"), left.to_string()).unwrap();
    let ran = compared(folder.path(), folder.path());
    assert!(ran.err.contains("is gone; compared with what it ran last as `p`"), "{}", ran.err);
    assert!(ran.out.contains("count(value)"), "{}", ran.out);
    // A file is a file where nothing runs by it.
    let ran = compared(folder.path(), Path::new("p.stream"));
    assert!(ran.err.is_empty() && ran.out.contains("nothing to apply"), "{}\n{}", ran.out, ran.err);
}

#[test]
fn a_new_text_is_read_with_the_parameters_of_the_run() {
    let text = totals(" |> where value >= least", "", "").replacen("source", "param least: int64 = 0\nsource", 1);
    let running = Running::start_with(&[("p.stream", &text)], &["--set", "least=-5"]);
    let ran = compared(running.folder.path(), Path::new("."));
    assert!(ran.out.contains("nothing to apply"), "{}\n{}", ran.out, ran.err);
    let other = millstream_in(running.folder.path(), &["plan", "p.stream", "--against", ".", "--set", "least=0"], "");
    assert!(!other.out.contains("nothing to apply"), "{}\n{}", other.out, other.err);
    running.end();
}
