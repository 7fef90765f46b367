//! A pipeline with a checkpoint is killed, at random and at every call to the system, and started again until it is
//! done: what it wrote is what it writes when nobody disturbs it, row by row and in the same order.
//!
//! Short by themselves; `KILLS=10000 KILL_SEED=1 cargo test --release --test it faults::at_random -- --nocapture` is the
//! long form. Seeds of several runs add up.

mod mishaps;
mod places;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::command;

/// Batches of a run: one for each file.
const FILES: u64 = 20;
const ROWS: u64 = 40;

/// Rows that pass, running totals with what they take back, and windows of event time; each sink works in another way.
const PIPELINE: &str = r#"pipeline faults { every: 10ms, checkpoint: "state" }

source orders = files("in/*.csv") {
  format: csv, settle: 0ms, max_files: 1, after: delete,
  schema: { id: int64, key: string, amount: decimal(12, 2), at: timestamp },
  time: at, watermark: 2s
} bad fail

stream large = from orders |> where amount > 1

stream totals =
  from orders
  |> aggregate sum(amount) as sum, count() as n, max(id) as newest by key running ttl 30d emit all

stream windows =
  from orders
  |> aggregate count() as n, sum(amount) as sum by key over tumbling(5s) late drop

from large |> into files("out/large") { format: csv, manifest: true }
from totals |> into files("out/totals") { format: json }
from windows |> into files("out/windows") { format: json, roll: 2kb }
from large |> select key, id |> into text_files("out/texts/large", "txt") { format: json }
"#;

/// A random sequence that a seed names.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A folder with the pipeline and its input.
fn folder(seed: u64) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), PIPELINE).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    let mut draw = Draw(seed);
    for file in 0..FILES {
        let mut text = String::from("id,key,amount,at\n");
        for row in 0..ROWS {
            let id = file * ROWS + row;
            let second = file + draw.next(3);
            let (key, amount) = (draw.next(7), draw.next(1000));
            text.push_str(&format!("{id},k{key},{}.{:02},2026-01-01T00:00:{second:02}Z\n", amount / 100, amount % 100));
        }
        fs::write(folder.path().join(format!("in/{file:03}.csv")), text).unwrap();
    }
    folder
}

/// The rows that a folder holds, in the order of the names of files.
fn rows(folder: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for sink in ["large", "totals", "windows", "texts"] {
        let mut files = Vec::new();
        find(&folder.join("out").join(sink), &mut files);
        files.sort();
        let text: String =
            files.iter().map(|path| fs::read_to_string(path).unwrap().replace("id,key,amount,at\n", "")).collect();
        all.insert(sink.to_owned(), text);
    }
    all
}

/// What readers see: no hidden files, and none that tell of the others.
fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if entry.path().is_dir() { find(&entry.path(), files) } else { files.push(entry.path()) }
    }
}

/// The manifest names every file, once.
fn manifest_fits(folder: &Path) {
    let text = fs::read_to_string(folder.join("out/large/_manifest")).unwrap();
    let mut named: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["file"].as_str().unwrap().to_owned())
        .collect();
    named.sort();
    let mut files = Vec::new();
    find(&folder.join("out/large"), &mut files);
    let mut there: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    there.sort();
    assert_eq!(named, there);
}

/// Nothing that was staged and not delivered is left, and no file that was read.
fn nothing_is_left(folder: &Path) {
    assert_eq!(fs::read_dir(folder.join("in")).unwrap().count(), 0);
    for sink in ["large", "totals", "windows", "texts"] {
        let hidden = fs::read_dir(folder.join("out").join(sink)).unwrap().flatten();
        let hidden = hidden.filter(|entry| entry.file_name().to_string_lossy().starts_with(".staged"));
        assert_eq!(hidden.map(|entry| entry.path()).collect::<Vec<_>>(), Vec::<PathBuf>::new());
    }
}

fn quietly(folder: &Path) -> Command {
    let mut command = command(folder, &["run", "p.stream", "--once"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What the pipeline writes when nobody disturbs it, and how long that takes.
fn undisturbed(seed: u64) -> (BTreeMap<String, String>, Duration) {
    let folder = folder(seed);
    let started = Instant::now();
    let ended = quietly(folder.path()).output().unwrap();
    let took = started.elapsed();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let rows = rows(folder.path());
    let counted: Vec<_> = rows.iter().map(|(sink, rows)| (sink, rows.lines().count())).collect();
    let passed = rows["large"].lines().count();
    assert!(
        passed > 500 && rows["windows"].lines().count() > 10 && rows["texts"].lines().count() == passed,
        "{counted:?}"
    );
    manifest_fits(folder.path());
    nothing_is_left(folder.path());
    (rows, took)
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Runs it to its end.
fn to_its_end(folder: &Path, what: &str) {
    let ended = quietly(folder).output().unwrap();
    assert!(ended.status.success(), "{what}: {}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn killed_at_random_it_writes_what_it_writes_undisturbed() {
    let (kills, first) = (number("KILLS", 30), number("KILL_SEED", 1));
    let (mut seed, mut killed) = (first, 0);
    while killed < kills {
        let (expected, took) = undisturbed(seed);
        let folder = folder(seed);
        let mut draw = Draw(seed);
        let most = u64::try_from(took.as_micros()).unwrap();
        loop {
            let mut child = quietly(folder.path()).stderr(Stdio::null()).spawn().unwrap();
            // The process is the subject: it is killed wherever it is by then.
            std::thread::sleep(Duration::from_micros(draw.next(most)));
            child.kill().unwrap();
            if child.wait().unwrap().success() {
                break;
            }
            killed += 1;
        }
        to_its_end(folder.path(), &format!("KILL_SEED={seed}"));
        assert!(rows(folder.path()) == expected, "KILL_SEED={seed}: other rows than undisturbed");
        manifest_fits(folder.path());
        nothing_is_left(folder.path());
        seed += 1;
    }
    report(&format!("{killed} kills, seeds {first} to {}", seed - 1));
}

/// Calls to the system after which another process could see something.
const CALLS: &str = "write,pwrite64,writev,fdatasync,fsync,openat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,\
                     mkdir,mkdirat,rmdir,ftruncate,flock";

/// Runs it until the call of that number of some thread; whether it got so far.
fn killed_at(folder: &Path, call: u64) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}")]);
    strace.args(["-e", &format!("inject={CALLS}:signal=KILL:when={call}")]);
    strace.arg(env!("CARGO_BIN_EXE_millstream")).args(["run", "p.stream", "--once"]);
    let ended = strace.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    !ended.unwrap().success()
}

#[test]
fn killed_at_a_call_to_the_system_and_at_one_of_the_recovery_it_writes_what_it_writes_undisturbed() {
    if Command::new("strace").arg("-V").output().is_err() {
        report("SKIPPED: there is no strace, so nothing was killed at calls to the system");
        return;
    }
    let (expected, _) = undisturbed(7);
    let (step, from) = (number("KILL_STEP", 61), number("KILL_FROM", 5));
    let mut draw = Draw(from);
    let (mut call, mut killed) = (from, 0);
    loop {
        let folder = folder(7);
        if !killed_at(folder.path(), call) {
            break;
        }
        // The recovery is killed too, at one of its first calls, and so is the one behind it.
        let recoveries: Vec<u64> = (0..draw.next(3)).map(|_| 1 + draw.next(150)).collect();
        killed += 1 + recoveries.iter().filter(|at| killed_at(folder.path(), **at)).count();
        to_its_end(folder.path(), &format!("killed at {call}, then {recoveries:?}"));
        assert!(rows(folder.path()) == expected, "killed at {call}, then {recoveries:?}: other rows than undisturbed");
        manifest_fits(folder.path());
        nothing_is_left(folder.path());
        call += step;
    }
    report(&format!("{killed} kills at calls to the system, every {step} from {from} to {call}"));
}

/// For whoever runs it by hand.
fn report(text: &str) {
    use std::io::Write as _;
    // Past the harness, which shows what a test prints only where it fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
