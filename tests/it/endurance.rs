//! A day of ticks in virtual time: memory must not grow. Run in a process of its own, so that nothing else is measured.
//! `ENDURANCE_HOURS=24 cargo test --release --test it endurance -- --nocapture` runs a whole day.

use std::process::Command;
use std::sync::Arc;

use millstream::builtins;
use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::engine::{BatchReport, ManualClock, Report, RunSettings, run};
use millstream::metrics::resident_bytes;
use millstream::optimize::optimize;
use millstream_dsl::{Severity, SourceMap, parse};

use crate::oracle::asked;

/// Rows with keys that come and go, windows, totals that expire, a join, duplicates; and a folder that stays empty.
const PIPELINE: &str = r#"pipeline day { every: 1s }
source ticks = generate() { rows_per_second: 20, time: ts, watermark: 2s }
source more = files("nothing/*.txt")
stream keyed = from ticks |> extend k = value % 1000, minute = value / 1200
stream windows = from keyed |> aggregate count() as n, avg(value) as mean by k over sliding(60s, every 10s) late drop
stream totals = from keyed |> aggregate sum(value) as total by minute, k running ttl 2m
stream fresh = from keyed |> dedupe by k within 30s
stream pairs = from keyed |> join fresh on keyed.k == fresh.k and fresh.ts between keyed.ts - 5s and keyed.ts
  |> select keyed.k as k
from windows |> into discard
from totals |> into discard
from pairs |> into discard
from more |> into discard
"#;

/// Set in the process that runs the pipeline.
const INSIDE: &str = "ENDURANCE_INSIDE";

/// Bytes by which memory may differ between the first eighth, when everything has reached its size, and the end.
const SLACK: u64 = 6_000_000;

#[test]
fn memory_does_not_grow_over_hours_of_ticks() {
    if std::env::var_os(INSIDE).is_none() {
        let own = std::env::current_exe().unwrap();
        let name = "endurance::memory_does_not_grow_over_hours_of_ticks";
        let ran = Command::new(own).args([name, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
        assert!(
            ran.status.success(),
            "{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
        return say(&String::from_utf8_lossy(&ran.stderr));
    }
    let batches = asked("ENDURANCE_HOURS", 1).max(1) * 3600;
    let mut seen = Seen { early: batches / 8, ..Seen::default() };
    let clock = Arc::new(ManualClock::at(1_767_225_600_000_000));
    let settings = RunSettings { batches: Some(batches), threads: Some(1), clock, ..RunSettings::default() };
    run(&plan(), settings, &mut seen).unwrap();
    let end = resident_bytes().unwrap();
    say(&format!(
        "{batches} batches, {} rows: {} kb at {}, {} kb at the end, {} keys held",
        seen.rows,
        seen.resident / 1000,
        seen.early,
        end / 1000,
        seen.keys
    ));
    assert!(end <= seen.resident + SLACK, "memory grew from {} to {end} bytes", seen.resident);
}

#[derive(Default)]
struct Seen {
    early: u64,
    /// Memory after so many batches.
    resident: u64,
    rows: u64,
    keys: usize,
}

impl Report for Seen {
    fn batch(&mut self, batch: &BatchReport) {
        self.rows += batch.sources.iter().map(|source| source.rows).sum::<u64>();
        self.keys = batch.operators.iter().map(|operator| operator.held.keys).sum();
        if batch.number == self.early {
            self.resident = resident_bytes().unwrap();
        }
    }

    fn note(&mut self, _: &str) {}
}

fn plan() -> millstream::plan::Plan {
    let mut sources = SourceMap::new();
    let id = sources.add("day.stream", PIPELINE);
    let file = ProgramFile { id, path: "day.stream".into(), tree: parse::file(id, PIPELINE).tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file], incomplete: false, ..Program::default() };
    let checked = check(&program, &builtins::catalog(), &Overrides::new());
    let mistakes: Vec<_> = checked.problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    optimize(checked.plan).plan
}

#[expect(clippy::print_stderr, reason = "a long run says what it did")]
fn say(text: &str) {
    eprintln!("{}", text.trim_end());
}
