//! State that does not fit into memory: what comes out is what would come out if it did, through kills, restarts and
//! edits.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{Ran, command, millstream_in};

/// Totals by a key, rows that come once, and windows; each file is a batch.
const PIPELINE: &str = r#"pipeline cold { every: 10ms, checkpoint: "state", LIMIT }

source rows = files("in/*.csv") {
  format: csv, settle: 0ms, max_files: 1, schema: { id: int64, n: int64, at: timestamp }, time: at, watermark: 2s
} bad drop

from rows |> aggregate sum(n) as sum, count() as c by id running ttl 30d emit all
  |> into files("out/totals") { format: json }
from rows |> dedupe by id within 10s |> into files("out/first") { format: json }
from rows |> aggregate collect_list(n) as all by id over tumbling(5s) |> into files("out/windows") { format: json }
"#;

const FILES: i64 = 8;
const ROWS: i64 = 1_500;

/// A folder with the pipeline and its input: keys come again after some files.
fn folder(limit: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), PIPELINE.replace(", LIMIT", limit)).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    for file in 0..FILES {
        let row = |i: i64| {
            let id = (file * 700 + i * 13) % 4_000;
            format!("{id},{},2026-01-01T00:00:{:02}Z\n", i % 17, file * 2)
        };
        let rows: String = (0..ROWS).map(row).collect();
        fs::write(folder.path().join(format!("in/{file:03}.csv")), format!("id,n,at\n{rows}")).unwrap();
    }
    folder
}

fn once(folder: &Path) -> Ran {
    millstream_in(folder, &["run", "p.stream", "--once"], "")
}

/// What every sink has, by file; rows of a batch in any order.
fn written(folder: &Path) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    for sink in ["totals", "first", "windows"] {
        let mut files: Vec<_> =
            fs::read_dir(folder.join("out").join(sink)).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|file| !file.file_name().unwrap().to_string_lossy().starts_with('.'));
        files.sort();
        for file in files {
            let mut rows: Vec<String> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
            rows.sort();
            // Names tell when a batch was.
            all.push((sink.to_owned(), rows));
        }
    }
    all
}

/// The same with everything in memory.
static EXPECTED: LazyLock<Vec<(String, Vec<String>)>> = LazyLock::new(|| {
    let folder = folder("");
    let ran = once(folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let written = written(folder.path());
    assert!(written.len() > 2 * FILES as usize);
    written
});

fn same(folder: &Path) {
    let written = written(folder);
    for (i, ((sink, rows), (other, others))) in written.iter().zip(&*EXPECTED).enumerate() {
        assert!(sink == other && rows == others, "{i}: {sink} ({}) is not {other} ({})", rows.len(), others.len());
    }
    assert_eq!(written.len(), EXPECTED.len());
}

#[test]
fn what_does_not_fit_lies_on_disk_and_nothing_else_changes() {
    let folder = folder(", state_limit: 200kb");
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--once", "--progress", "progress"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    same(folder.path());
    let progress = fs::read_to_string(folder.path().join("progress")).unwrap();
    let last: serde_json::Value = serde_json::from_str(progress.lines().last().unwrap()).unwrap();
    let sum = |name: &str| {
        let of = last["stateOperators"].as_array().unwrap().iter().map(|of| of[name].as_u64().unwrap());
        of.sum::<u64>()
    };
    assert!(sum("memoryUsedBytes") <= 200_000, "{last}");
    assert!(sum("diskUsedBytes") > 100_000, "{last}");
    // What lies there is of no use to the next run.
    assert_eq!(fs::read_dir(folder.path().join("state/cold")).unwrap().count(), 0);
}

#[test]
fn a_run_that_is_killed_goes_on_with_what_did_not_fit() {
    let folder = folder(", state_limit: 200kb");
    let mut kills = 0;
    for wait in 0..12_u64 {
        let mut run = command(folder.path(), &["run", "p.stream", "--once"]);
        let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(60 + wait * 40));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let ran = once(folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(kills > 0);
    same(folder.path());
}

#[test]
fn another_limit_is_an_edit_that_changes_no_row() {
    let folder = folder("");
    let text = fs::read_to_string(folder.path().join("p.stream")).unwrap();
    let limits = ["state_limit: 50kb, ", "", "state_limit: 1mb, ", "state_limit: 100kb, "];
    let later = folder.path().join("later");
    fs::rename(folder.path().join("in"), &later).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    for (i, limit) in limits.iter().enumerate() {
        for file in i * 2..i * 2 + 2 {
            let name = format!("{file:03}.csv");
            fs::rename(later.join(&name), folder.path().join("in").join(&name)).unwrap();
        }
        fs::write(folder.path().join("p.stream"), text.replace("every:", &format!("{limit}every:"))).unwrap();
        let ran = once(folder.path());
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    same(folder.path());
}

#[test]
fn without_a_checkpoint_too_much_state_is_a_report() {
    let folder = folder(", state_limit: 100kb");
    let text = fs::read_to_string(folder.path().join("p.stream")).unwrap();
    fs::write(folder.path().join("p.stream"), text.replace("checkpoint: \"state\", ", "")).unwrap();
    let ran = once(folder.path());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("more than `state_limit: 100kb` (`"), "{}", ran.err);
    assert!(ran.err.contains("give it a `checkpoint`"), "{}", ran.err);
}

/// `cargo test --release --test it cold::twenty -- --ignored --nocapture`; `KEYS=2000000` for fewer.
#[test]
#[ignore = "takes minutes: it holds 20 million keys in 512 MB"]
#[expect(clippy::print_stdout, reason = "it is run by hand, to read it")]
fn twenty_million_keys_in_512_mb() {
    let keys: u64 = std::env::var("KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(20_000_000);
    let folder = TempDir::new().unwrap();
    let pipeline = "pipeline big { every: 10ms, checkpoint: \"state\", state_limit: 64mb }\n\
        source rows = files(\"in/*.csv\") { format: csv, settle: 0ms, max_files: 1, schema: { id: int64 } } bad fail\n\
        stream once = from rows |> dedupe by id within 30d on batch time\n\
        from once |> aggregate count() as n per batch |> into files(\"out\") { format: json }\n";
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let files = 100;
    for file in 0..files {
        let rows: String = (file * keys / files..(file + 1) * keys / files).map(|id| format!("{id}\n")).collect();
        fs::write(folder.path().join(format!("in/{file:03}.csv")), format!("id\n{rows}")).unwrap();
    }
    println!("{}", run_within(folder.path(), 512 << 10));
    // The next run begins with all of them, and lets none pass again but the one that is new.
    let rows: String = (0..1_000).map(|i| format!("{}\n", i * (keys / 1_000))).collect();
    fs::write(folder.path().join("in/999.csv"), format!("id\n{rows}{keys}\n")).unwrap();
    println!("{}", run_within(folder.path(), 512 << 10));
    let of_file = |file: fs::DirEntry| -> u64 {
        let rows = fs::read_to_string(file.path()).unwrap_or_default();
        rows.lines().map(|row| row[5..row.len() - 1].parse::<u64>().unwrap()).sum()
    };
    let passed: u64 = fs::read_dir(folder.path().join("out")).unwrap().map(|file| of_file(file.unwrap())).sum();
    assert_eq!(passed, keys + 1);
}

/// Runs it; the time and the memory that it took, which must be less than so many kilobytes.
fn run_within(folder: &Path, most: u64) -> String {
    let start = Instant::now();
    let mut run = command(folder, &["run", "p.stream", "--once"]);
    let mut child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (status, mut peak) = (format!("/proc/{}/status", child.id()), 0);
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(ended.success(), "{ended}");
    assert!(peak > 0 && peak < most, "{peak} kB");
    format!("{:?}, at most {peak} kB in memory", start.elapsed())
}
