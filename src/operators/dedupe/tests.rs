//! Steps `dedupe` as it is written.

use proptest::prelude::*;

use crate::operators::stepping::{Bench, SECOND, Stepped, row};
use crate::plan::operator::StepTime;

fn mark(second: i64) -> Option<i64> {
    Some(second * SECOND)
}

/// Keys and numbers of what came out.
fn passed(stepped: &Stepped) -> Vec<String> {
    let short = |line: &String| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        format!("{}{}", row["k"].as_str().unwrap(), row["n"])
    };
    stepped.out.iter().map(short).collect()
}

#[test]
fn the_first_row_of_a_key_passes_and_the_others_are_filtered() {
    let mut bench = Bench::timed("dedupe by k within 10s");
    let first = bench.step(&[row("a", 1, 100), row("b", 2, 101), row("a", 3, 105), row("a", 4, 95)], mark(95));
    assert_eq!((passed(&first), first.filtered), (vec!["a1".into(), "b2".into()], 2));
    let next = bench.step(&[row("b", 5, 110), row("c", 6, 110)], mark(100));
    assert_eq!((passed(&next), next.filtered), (vec!["c6".into()], 1));
}

#[test]
fn a_key_passes_again_exactly_when_its_time_is_over_also_within_one_batch() {
    let mut bench = Bench::timed("dedupe by k within 10s");
    let rows = [row("a", 1, 100), row("a", 2, 109), row("a", 3, 110), row("a", 4, 119), row("a", 5, 120)];
    assert_eq!(passed(&bench.step(&rows, mark(120))), ["a1", "a3", "a5"]);
}

#[test]
fn rows_older_than_anything_remembered_are_late() {
    let mut bench = Bench::timed("dedupe by k within 10s");
    bench.step(&[row("a", 1, 100)], mark(100));
    let stepped = bench.step(&[row("a", 2, 91), row("z", 3, 91), row("z", 4, 90), row("z", 5, 85)], None);
    assert_eq!((passed(&stepped), stepped.filtered), (vec!["z3".into()], 1));
    assert_eq!(stepped.late.len(), 2);
    assert!(
        stepped.late[1].contains(r#""_reason":"older than any key that is remembered","_late_by":"PT5S""#),
        "{:?}",
        stepped.late
    );
}

#[test]
fn nothing_is_late_before_a_mark_is_known() {
    let mut bench = Bench::timed("dedupe by k within 10s");
    assert_eq!(passed(&bench.step(&[row("a", 1, 1)], None)), ["a1"]);
    assert_eq!(passed(&bench.step(&[row("b", 1, -100)], None)), ["b1"]);
}

#[test]
fn batches_tell_the_time_where_rows_do_not() {
    let mut bench = Bench::untimed("dedupe by k within 3s");
    let mut came = Vec::new();
    for batch in 0..7 {
        came.push(bench.step(&[row("a", batch, 0), row("a", batch, 0)], None).out.len());
    }
    assert_eq!(came, [1, 0, 0, 1, 0, 0, 1]);
    let mut bench = Bench::timed("dedupe by k within 3s on batch time");
    bench.step(&[row("a", 1, 100)], mark(100));
    let old = bench.step(&[row("b", 2, 0)], None);
    assert_eq!((passed(&old), old.late.len()), (vec!["b2".into()], 0));
}

#[test]
fn all_columns_are_compared_without_by() {
    let mut bench = Bench::untimed("dedupe within 3s");
    assert_eq!(bench.step(&[row("a", 1, 0), row("a", 2, 0), row("a", 1, 0)], None).out.len(), 2);
}

#[test]
fn keys_are_forgotten() {
    let mut bench = Bench::timed("dedupe by k within 10s");
    bench.step(&[row("a", 1, 100), row("b", 1, 105)], mark(105));
    bench.step(&[], mark(119));
    assert_eq!(bench.keys(), 2);
    bench.step(&[], mark(120));
    assert_eq!(bench.keys(), 1);
    bench.step(&[], Some(StepTime::END));
    assert_eq!(bench.keys(), 0);
    let mut bench = Bench::untimed("dedupe by k within 2s");
    bench.step(&[row("a", 1, 0)], None);
    bench.step(&[], None);
    assert_eq!(bench.keys(), 1);
    bench.step(&[], None);
    assert_eq!(bench.keys(), 0);
}

#[test]
fn what_is_saved_has_this_layout() {
    let mut bench = Bench::timed("dedupe by k, n within 10s");
    bench.step(&[row("a", 7, 100)], mark(100));
    let saved = bench.saved();
    assert_eq!(saved[0].name, "keys");
    let lines = crate::operators::stepping::json(&saved[0].rows[0]);
    assert_eq!(lines, [r#"{"_group":132,"key.k":"a","key.n":7,"until":110000000}"#]);
}

/// Rows, none of them later than `delay` behind the newest before it.
fn rows(delay: i64) -> impl Strategy<Value = Vec<(u8, i64)>> {
    prop::collection::vec((0u8..4, 0i64..6, 0..=delay), 0..60).prop_map(|steps| {
        let mut newest = 0;
        let row = |(key, on, behind): (u8, i64, i64)| {
            newest += on;
            (key, (newest - behind).max(0))
        };
        steps.into_iter().map(row).collect()
    })
}

/// The law written down: a row passes where no row of its key that passed forbids it.
fn expected(rows: &[(u8, i64)], within: i64) -> Vec<String> {
    let mut until = [i64::MIN; 4];
    let mut passed = Vec::new();
    for (i, (key, at)) in rows.iter().enumerate() {
        if *at >= until[usize::from(*key)] {
            until[usize::from(*key)] = at + within;
            passed.push(format!("k{key}{i}"));
        }
    }
    passed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn cuts_restarts_and_partitions_change_no_row(
        rows in rows(7),
        cuts in prop::collection::vec((1usize..9, prop::option::of(1usize..5)), 1..20),
        within in 1i64..12,
    ) {
        let mut bench = Bench::timed(&format!("dedupe by k within {within}s"));
        let mut came = Vec::new();
        let (mut at, mut newest, mut cuts) = (0, 0, cuts.iter().cycle());
        while at < rows.len() {
            let (size, restart) = cuts.next().unwrap();
            let end = (at + size).min(rows.len());
            let lines: Vec<_> = (at..end).map(|i| row(&format!("k{}", rows[i].0), i as i64, rows[i].1)).collect();
            newest = rows[at..end].iter().map(|r| r.1).fold(newest, i64::max);
            let stepped = bench.step(&lines, mark(newest - 7));
            prop_assert!(stepped.late.is_empty());
            came.extend(passed(&stepped));
            at = end;
            if let Some(partitions) = restart {
                bench.restart(*partitions);
            }
        }
        let number = |s: &String| s[2..].parse::<usize>().unwrap();
        came.sort_by_key(number);
        prop_assert_eq!(came, expected(&rows, within));
    }
}
