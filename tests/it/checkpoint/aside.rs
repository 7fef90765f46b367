//! State whose stage was deleted, in a checkpoint: the stage comes again behind restarts and finds it.

use std::fs;

use serde_json::Value;

use super::{PIPELINE, more, object, ran, verb, well};

/// How many rows of a key the totals have counted.
fn counted(folder: &std::path::Path, operator: &str) -> i64 {
    let get = verb(folder, &format!("state state get {operator} k0 --format json"));
    serde_json::from_str::<Value>(well(&get)).unwrap()["row"]["s1"].as_i64().unwrap()
}

fn without_totals() -> String {
    let lines = PIPELINE.lines().filter(|line| !line.contains("totals"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn answered(text: &str, answer: &str) -> String {
    text.replace("checkpoint: \"state\"", &format!("checkpoint: \"state\", on_change: {answer}"))
}

#[test]
fn a_stage_that_was_deleted_finds_its_totals_behind_restarts() {
    let folder = ran(0..3);
    let path = folder.path();
    // Two rows of each file are of this key.
    assert_eq!(counted(path, "totals"), 6);
    fs::write(path.join("p.stream"), answered(&without_totals(), "reset")).unwrap();
    more(path, 3..5);
    let listed = well(&verb(path, "state state")).to_owned();
    assert!(listed.contains("totals/aggregate/1 (put aside)"), "{listed}");
    // Once more, and by a snapshot.
    more(path, 5..6);
    well(&verb(path, "checkpoint compact state"));
    well(&verb(path, "checkpoint verify state"));
    more(path, 6..7);
    fs::write(path.join("again.stream"), answered(PIPELINE, "keep")).unwrap();
    let plan = verb(path, "plan again.stream --against state");
    assert!(well(&plan).contains("was put aside: `keep` takes it back"), "{}", plan.out);
    fs::write(path.join("p.stream"), answered(PIPELINE, "keep")).unwrap();
    more(path, 7..9);
    assert_eq!(counted(path, "totals"), 10, "of the first three files and the last two");
    let operators = object(&verb(path, "state state --format json"))["operators"].clone();
    let names: Vec<_> = operators.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
    assert!(!names.iter().any(|name| name.as_str().is_some_and(|name| name.contains("put aside"))), "{names:?}");
}

#[test]
fn a_copy_and_a_rewind_have_what_is_put_aside() {
    let folder = ran(0..3);
    let path = folder.path();
    fs::write(path.join("p.stream"), answered(&without_totals(), "reset")).unwrap();
    more(path, 3..5);
    let behind = object(&verb(path, "checkpoint info state --format json"))["last"]["batch"].as_u64().unwrap();
    more(path, 5..6);
    well(&verb(path, &format!("rewind state --to {behind} --yes")));
    well(&verb(path, "checkpoint export state copy"));
    well(&verb(path, "checkpoint import copy state2"));
    let text = answered(PIPELINE, "keep").replace("\"state\"", "\"state2\"");
    fs::write(path.join("p.stream"), text).unwrap();
    well(&verb(path, "run p.stream --once"));
    fs::rename(path.join("state"), path.join("state1")).unwrap();
    fs::rename(path.join("state2"), path.join("state")).unwrap();
    // The sixth file is read again, now that the totals are back.
    assert_eq!(counted(path, "totals"), 8);
}
