//! How many instructions a row costs, counted by valgrind: what must not regress, and does not depend on how busy the
//! machine is. `BLESS=1` writes `instructions.txt` anew for the build at hand (debug or release, whichever this test is of).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use millstream_bench::generate::{self, Size};
use millstream_bench::workload::{self, Workload};

const TOOL: &str = env!("CARGO_BIN_EXE_millstream-bench");
/// So much more than noted is a regression; so much less wants to be noted.
const MARGIN: f64 = 0.3;
/// Rows over which instructions are counted, and those of a run in which next to nothing is but starting.
const ROWS: usize = 2_000;
const NEXT_TO_NONE: usize = 50;
/// What is counted, a half beside the other; the first of each half is what starting is counted with. Not orders-join: the
/// table of users that it reads costs more than its rows.
const COUNTED: [[&str; 2]; 2] = [["wordcount", "running-wordcount"], ["orders-window", "orders-filter"]];

#[test]
fn a_row_costs_no_more_instructions_than_it_did() {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        skipped("valgrind is not installed: no instruction was counted, and a regression would not be seen");
        return;
    }
    let millstream = std::env::var_os("MILLSTREAM").map_or(Path::new(TOOL).with_file_name("millstream"), PathBuf::from);
    assert!(millstream.is_file(), "no {}: cargo build --bin millstream, or set MILLSTREAM", millstream.display());
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions");
    let stripped = stripped(&millstream, &folder);
    let of = |half: [&str; 2]| -> [u64; 2] {
        let run = |name: &str, rows: usize| {
            let workload = workload::named(name).expect("a workload of that name");
            instructions(workload, rows, &stripped, &folder)
        };
        let start = run(half[0], NEXT_TO_NONE);
        half.map(|name| run(name, ROWS).saturating_sub(start) / (ROWS - NEXT_TO_NONE) as u64)
    };
    let counts = std::thread::scope(|scope| {
        let there = scope.spawn(|| of(COUNTED[1]));
        [of(COUNTED[0]), there.join().expect("counting does not panic")].concat()
    });
    held(build, &counts);
}

/// Holds counts against the noted ones.
fn held(build: &str, counts: &[u64]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let noted = fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("BLESS").is_some() {
        let others = noted.lines().filter(|line| !line.starts_with(build));
        let mut lines: Vec<String> = others.map(str::to_owned).collect();
        lines.extend(COUNTED.iter().flatten().zip(counts).map(|(name, count)| format!("{build} {name}: {count}")));
        lines.sort();
        fs::write(&path, format!("{}\n", lines.join("\n"))).unwrap();
        return;
    }
    let mut wrong = String::new();
    for (name, count) in COUNTED.iter().flatten().zip(counts) {
        let before = noted.lines().find_map(|line| {
            line.strip_prefix(build)?.trim_start().strip_prefix(name)?.strip_prefix(": ")?.parse::<f64>().ok()
        });
        let Some(before) = before else {
            writeln!(wrong, "{name}: nothing is noted for a {build} build; BLESS=1 notes {count}").unwrap();
            continue;
        };
        let ratio = *count as f64 / before;
        if ratio > 1.0 + MARGIN {
            writeln!(wrong, "{name}: {count} instructions a row, {ratio:.2} times as many as noted").unwrap();
        } else if ratio < 1.0 - MARGIN {
            skipped(&format!(
                "{name}: {count} instructions a row, {ratio:.2} times as many as noted; note it with BLESS=1"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The binary without what valgrind would read for longer than it counts; as it is where nobody can take that out.
fn stripped(millstream: &Path, folder: &Path) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let to = folder.join("millstream");
    let done = Command::new("strip").arg("-s").arg("-o").arg(&to).arg(millstream).status();
    if done.is_ok_and(|status| status.success()) { to } else { millstream.to_owned() }
}

/// Instructions of a run over one file of so many rows.
fn instructions(workload: &Workload, rows: usize, millstream: &Path, folder: &Path) -> u64 {
    let input = generate::ensure(&folder.join("data"), workload.input, Size { files: 1, lines: rows }).unwrap();
    let work = folder.join(format!("{}-{rows}", workload.name));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).unwrap();
    symlink(&input, work.join("in")).unwrap();
    symlink(generate::tables_beside(&input), work.join("tables")).unwrap();
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads").join(format!("{}.stream", workload.name));
    fs::copy(text, work.join("run.stream")).unwrap();
    let mut command = Command::new("valgrind");
    command.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]).arg(millstream);
    let out = command.args(["run", "run.stream", "--once", "--threads", "1"]).current_dir(&work).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let counted = said.lines().find_map(|line| line.split_once("refs:"));
    let counted = counted.map(|(_, count)| count.chars().filter(char::is_ascii_digit).collect::<String>());
    counted.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("valgrind counts nothing: {said}"))
}

#[expect(clippy::print_stderr, reason = "who reads the log of a test run is to see it")]
fn skipped(why: &str) {
    eprintln!("\n!!! {why}\n");
}
