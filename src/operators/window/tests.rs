//! Steps `window` as it is written.

use proptest::prelude::*;

use crate::operators::stepping::{Bench, SECOND, Stepped, json, row};
use crate::plan::operator::StepTime;

fn mark(second: i64) -> Option<i64> {
    Some(second * SECOND)
}

/// Window, key and number of each row that came out: `90-100 a1`.
fn came(stepped: &Stepped) -> Vec<String> {
    let second = |value: &serde_json::Value| {
        let at = chrono::DateTime::parse_from_rfc3339(&format!("{}Z", value.as_str().unwrap().trim_end_matches('Z')));
        at.unwrap().timestamp()
    };
    let short = |line: &String| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let own = format!("{}{}", row["k"].as_str().unwrap(), row["n"]);
        match row.get("window_start") {
            Some(start) => format!("{}-{} {own}", second(start), second(&row["window_end"])),
            None => own,
        }
    };
    stepped.out.iter().map(short).collect()
}

#[test]
fn rows_come_out_when_their_window_closes_as_they_came_in() {
    let mut bench = Bench::timed("window over tumbling(10s)");
    let first = bench.step(&[row("a", 1, 105), row("b", 2, 111), row("a", 3, 101)], mark(109));
    assert!(first.out.is_empty());
    let next = bench.step(&[row("c", 4, 109), row("c", 5, 100)], mark(115));
    assert_eq!(came(&next), ["100-110 a1", "100-110 a3", "100-110 c4", "100-110 c5"]);
    let last = bench.step(&[row("d", 6, 109), row("d", 7, 110)], Some(StepTime::END));
    assert_eq!(came(&last), ["110-120 b2", "110-120 d7"]);
    assert!(
        last.late[0].contains(r#""_reason":"all windows of the row have closed","_late_by":"PT5S""#),
        "{:?}",
        last.late
    );
    assert_eq!(bench.keys(), 0);
}

#[test]
fn a_row_comes_out_once_for_each_window_and_not_for_closed_ones() {
    let mut bench = Bench::timed("window over sliding(20s, every 10s)");
    let first = bench.step(&[row("a", 1, 105)], mark(110));
    assert_eq!(came(&first), ["90-110 a1"]);
    let next = bench.step(&[row("b", 2, 104), row("c", 3, 99)], mark(120));
    assert_eq!(
        (came(&next), next.partly_late, next.late.len()),
        (vec!["100-120 a1".into(), "100-120 b2".into()], 1, 1)
    );
    assert_eq!(bench.keys(), 0);
}

#[test]
fn rows_between_windows_are_filtered() {
    let mut bench = Bench::timed("window over sliding(5s, every 10s)");
    let stepped = bench.step(&[row("a", 1, 104), row("a", 2, 105)], mark(105));
    assert_eq!((came(&stepped), stepped.filtered), (vec!["100-105 a1".into()], 1));
}

#[test]
fn windows_of_batch_time_slide_on_without_rows() {
    let mut bench = Bench::untimed("window over sliding(3s, every 1s) on batch time");
    let batches = [vec![row("a", 1, 0)], vec![row("b", 2, 0)], vec![], vec![], vec![]];
    let out: Vec<_> = batches.iter().map(|rows| came(&bench.step(rows, None)).len()).collect();
    assert_eq!(out, [1, 2, 2, 1, 0]);
    assert_eq!(bench.keys(), 0);
    let mut bench = Bench::untimed("window over tumbling(3s) on batch time");
    assert!(bench.step(&[row("a", 1, 0)], None).out.is_empty());
    bench.restart(1);
    assert!(bench.step(&[row("a", 2, 0)], None).out.is_empty());
    assert_eq!(came(&bench.step(&[row("a", 3, 0)], None)), ["999-1002 a1", "999-1002 a2", "999-1002 a3"]);
    bench.step(&[row("a", 4, 0)], None);
    assert_eq!(came(&bench.step(&[], Some(StepTime::END))), ["1002-1005 a4"]);
}

#[test]
fn sessions_end_the_gap_after_their_last_row() {
    let mut bench = Bench::timed("window over session(gap 10s) by k");
    bench.step(&[row("a", 1, 100), row("b", 2, 103), row("a", 3, 110), row("a", 4, 125)], mark(110));
    bench.restart(3);
    let next = bench.step(&[row("b", 5, 112)], mark(122));
    assert_eq!(came(&next), ["100-120 a1", "100-120 a3", "103-122 b2", "103-122 b5"]);
    let last = bench.step(&[row("a", 6, 112), row("a", 7, 116)], Some(StepTime::END));
    assert_eq!((came(&last), last.late.len()), (vec!["116-135 a4".into(), "116-135 a7".into()], 1));
    assert_eq!(bench.keys(), 0);
}

#[test]
fn a_row_between_two_sessions_joins_them() {
    let mut bench = Bench::timed("window over session(gap 10s) by k");
    bench.step(&[row("a", 1, 100), row("a", 2, 120)], mark(90));
    let stepped = bench.step(&[row("a", 3, 110)], mark(130));
    assert_eq!(came(&stepped), ["100-130 a1", "100-130 a2", "100-130 a3"]);
}

#[test]
fn windows_of_rows_come_out_when_they_are_full() {
    let mut bench = Bench::untimed("window over count(2) by k");
    let first = bench.step(&[row("a", 1, 0), row("b", 2, 0), row("a", 3, 0), row("a", 4, 0)], None);
    assert_eq!(came(&first), ["a1", "a3"]);
    bench.restart(4);
    let mut next = came(&bench.step(&[row("a", 5, 0), row("b", 6, 0)], None));
    next.sort();
    assert_eq!(next, ["a4", "a5", "b2", "b6"]);
    assert_eq!(bench.keys(), 0);
}

#[test]
fn what_is_saved_has_this_layout() {
    let mut bench = Bench::timed("window over session(gap 10s) by k");
    bench.step(&[row("a", 7, 100)], mark(100));
    let saved = bench.saved();
    assert_eq!((saved.len(), saved[0].name.as_str()), (1, "rows"));
    let expected = r#"{"_group":31,"number":0,"instant":100000000,"row.k":"a","row.n":7,"row.m":{},"row.ts":"1970-01-01T00:01:40Z"}"#;
    assert_eq!(json(&saved[0].rows[0]), [expected]);
}

/// Every window's rows, from scratch.
fn expected(rows: &[(u8, i64)], length: i64, every: i64) -> Vec<String> {
    let mut out = Vec::new();
    for (i, (key, at)) in rows.iter().enumerate() {
        let starts = (-(length / every) - 1..400).map(|n| n * every);
        out.extend(starts.filter(|s| *s <= *at && *at < s + length).map(|s| format!("{s}-{} k{key}{i}", s + length)));
    }
    out.sort();
    out
}

/// Every session's rows, from scratch.
fn sessions(rows: &[(u8, i64)], gap: i64) -> Vec<String> {
    let mut out = Vec::new();
    for key in 0..4 {
        let mut mine: Vec<_> = rows.iter().enumerate().filter(|(_, r)| r.0 == key).map(|(i, r)| (r.1, i)).collect();
        mine.sort_unstable();
        let mut start = 0;
        while start < mine.len() {
            let mut end = start + 1;
            while end < mine.len() && mine[end].0 - mine[end - 1].0 <= gap {
                end += 1;
            }
            let span = format!("{}-{}", mine[start].0, mine[end - 1].0 + gap);
            out.extend(mine[start..end].iter().map(|(_, i)| format!("{span} k{key}{i}")));
            start = end;
        }
    }
    out.sort();
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn cuts_restarts_and_partitions_change_no_row(
        steps in prop::collection::vec((0u8..4, 0i64..6, 0..=7_i64), 0..50),
        cuts in prop::collection::vec((1usize..12, prop::option::of(1usize..5)), 1..20),
        (every, times) in (1i64..9, 1i64..4),
        session in any::<bool>(),
    ) {
        let mut newest = 0;
        let mut place = |(key, on, behind): (u8, i64, i64)| {
            newest += on;
            (key, (newest - behind).max(0))
        };
        let rows: Vec<_> = steps.into_iter().map(&mut place).collect();
        let length = every * times;
        let windows = if session { format!("session(gap {length}s)") } else { format!("sliding({length}s, every {every}s)") };
        let mut bench = Bench::timed(&format!("window over {windows} by k"));
        let mut all = Vec::new();
        let (mut at, mut newest, mut cuts) = (0, 0, cuts.iter().cycle());
        while at < rows.len() {
            let (size, restart) = cuts.next().unwrap();
            let end = (at + size).min(rows.len());
            let lines: Vec<_> = (at..end).map(|i| row(&format!("k{}", rows[i].0), i as i64, rows[i].1)).collect();
            newest = rows[at..end].iter().map(|r| r.1).fold(newest, i64::max);
            // One behind what could still come, so that a row that touches a session's very end finds it open.
            all.extend(came(&bench.step(&lines, mark(newest - 8))));
            at = end;
            if let Some(partitions) = restart {
                bench.restart(*partitions);
            }
        }
        all.extend(came(&bench.step(&[], Some(StepTime::END))));
        all.sort();
        prop_assert_eq!(all, if session { sessions(&rows, length) } else { expected(&rows, length, every) });
        prop_assert_eq!(bench.keys(), 0);
    }
}
