//! The measuring tools with little input and the binary at hand: whether they work, and whether every program finds what
//! must come out. Times mean nothing here.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const TOOL: &str = env!("CARGO_BIN_EXE_millstream-bench");

/// The binary that was built in the same folder.
fn millstream() -> PathBuf {
    let binary = std::env::var_os("MILLSTREAM").map_or(Path::new(TOOL).with_file_name("millstream"), PathBuf::from);
    assert!(binary.is_file(), "no {}: cargo build --bin millstream, or set MILLSTREAM", binary.display());
    binary
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn compared(results: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(TOOL);
    command.args(["compare", "--small", "--cores", "2", "--millstream"]).arg(millstream());
    command.arg("--data").arg(folder("data")).arg("--results").arg(results).args(more);
    command.output().unwrap()
}

#[test]
fn millstream_and_the_hand_written_programs_find_what_must_come_out() {
    let results = folder("all");
    let out = compared(&results, &["--program", "limit", "--program", "millstream", "--program", "millstream-durable"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    let text = std::fs::read_to_string(results.join("figures.json")).unwrap();
    let figures: Value = serde_json::from_str(&text).unwrap();
    let workloads = figures["workloads"].as_array().unwrap();
    assert_eq!(workloads.len(), millstream_bench::workload::ALL.len());
    for workload in workloads {
        assert_eq!(workload["skipped"], serde_json::json!([]), "{workload:#}");
        for figure in workload["figures"].as_array().unwrap() {
            let name = (&workload["workload"], &figure["program"]);
            assert!(figure["batch_ms"].as_f64().unwrap() > 0.0, "{name:?}");
            assert!(figure["peak_bytes"].as_u64().unwrap() > 1_000_000, "{name:?}");
        }
    }
    let chart = std::fs::read_to_string(results.join("chart.svg")).unwrap();
    assert_eq!(chart.matches("<rect").count(), 1 + 3 * workloads.len(), "a bar for each program, and the paper");
}

#[test]
fn peers_that_are_not_there_are_named() {
    let more = ["--program", "limit", "--program", "spark", "--workload", "orders-filter"];
    let out = compared(&folder("peers"), &more);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("without spark: no peers were installed"), "{said}");
    assert!(out.status.success());
}

#[test]
fn a_wrong_result_is_no_figure() {
    let folder = folder("wrong");
    let size = millstream_bench::generate::Size::SMALL;
    let input = millstream_bench::generate::ensure(&folder, millstream_bench::generate::Kind::Words, size).unwrap();
    // What must come out is not what the input holds any more.
    std::fs::write(input.join(".expected-wordcount"), "1 1").unwrap();
    let mut command = Command::new(TOOL);
    command.args(["compare", "--small", "--workload", "wordcount", "--program", "limit", "--millstream"]);
    command.arg(millstream()).arg("--data").arg(&folder).arg("--results").arg(folder.join("results"));
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(said.contains("without limit: its result is wrong"), "{said}");
    assert_eq!(out.status.code(), Some(1));
}
