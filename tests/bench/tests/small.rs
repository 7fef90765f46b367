//! The measuring tools with little input and the binary at hand: whether they work, and whether every program finds what
//! must come out. Times mean nothing here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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
    assert!(figures["idle"]["share_of_a_core"].as_f64().unwrap() < 0.5, "{:#}", figures["idle"]);
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

#[test]
fn every_query_of_nexmark_and_every_workload_is_without_mistakes() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for below in ["nexmark", "workloads"] {
        for entry in std::fs::read_dir(home.join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() == "events.stream" {
                continue;
            }
            let out = Command::new(millstream()).arg("check").arg(&path).output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            let out = Command::new(millstream()).args(["fmt", "--check"]).arg(&path).output().unwrap();
            assert!(out.status.success(), "{} is laid out otherwise", path.display());
            checked += 1;
        }
    }
    let workloads = millstream_bench::workload::ALL.len();
    assert_eq!(checked, 23 + 1 + workloads + 1, "q0 to q22, to_arrow, the workloads and idle");
}

/// DuckDB computes the same over all events where `compare/run --nexmark` is run; here queries whose results are plain.
#[test]
fn queries_of_nexmark_give_what_the_events_hold() {
    let data = folder("nexmark");
    let size = millstream_bench::generate::Size { files: 2, lines: 2_000 };
    let input = millstream_bench::generate::ensure(&data, millstream_bench::generate::Kind::Nexmark, size).unwrap();
    let mut events: Vec<Value> = Vec::new();
    for file in ["000.json", "001.json"] {
        let text = std::fs::read_to_string(input.join(file)).unwrap();
        events.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    let bids = || events.iter().filter_map(|event| event.get("bid")).filter_map(|bid| bid["auction"].as_u64());
    let ran = |query: &str| -> Vec<Value> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("nexmark");
        let work = data.join(query);
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir_all(&work).unwrap();
        for file in ["events.stream", &format!("{query}.stream")] {
            std::fs::copy(home.join(file), work.join(file)).unwrap();
        }
        std::os::unix::fs::symlink(&input, work.join("in")).unwrap();
        let mut command = Command::new(millstream());
        let out = command.args(["run", &format!("{query}.stream"), "--once"]).current_dir(&work).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let mut rows = Vec::new();
        for file in std::fs::read_dir(work.join("out")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "json") {
                let text = std::fs::read_to_string(path).unwrap();
                rows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            }
        }
        rows
    };
    assert_eq!(ran("q0").len(), bids().count());
    assert_eq!(ran("q2").len(), bids().filter(|auction| auction % 123 == 0).count());
    let counted: u64 = ran("q11").iter().map(|row| row["bid_count"].as_u64().unwrap()).sum();
    assert_eq!(counted, bids().count() as u64, "every bid is in one session");
    let bidders: std::collections::BTreeSet<u64> =
        events.iter().filter_map(|event| event["bid"]["bidder"].as_u64()).collect();
    assert_eq!(ran("q11").len(), bidders.len(), "all within ten seconds");
}
