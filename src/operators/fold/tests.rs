//! Steps `fold` as it is written.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::operators::stepping::{Bench, SECOND, Stepped, json, row};
use crate::plan::operator::StepTime;

const COUNT: &str =
    "init { n: 0, sum: 0 } step { n: state.n + 1, sum: state.sum + n } yield { k, n: state.n, sum: state.sum }";

fn mark(second: i64) -> Option<i64> {
    Some(second * SECOND)
}

/// The values of each row that came out, joined.
fn came(stepped: &Stepped) -> Vec<String> {
    let short = |line: &String| {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        row.values().map(|v| v.as_str().map_or(v.to_string(), str::to_owned)).collect::<Vec<_>>().join(" ")
    };
    stepped.out.iter().map(short).collect()
}

#[test]
fn each_row_makes_a_new_record_in_the_order_of_the_rows() {
    let mut bench = Bench::untimed(&format!("fold by k running ttl 1h {COUNT}"));
    let first = bench.step(&[row("a", 1, 0), row("b", 10, 0), row("a", 2, 0), row("a", 3, 0), row("b", 20, 0)], None);
    assert_eq!(came(&first), ["a 1 1", "b 1 10", "a 2 3", "a 3 6", "b 2 30"]);
    let next = bench.step(&[row("c", 1, 0), row("a", 4, 0)], None);
    assert_eq!(came(&next), ["c 1 1", "a 4 10"]);
    assert_eq!(bench.keys(), 3);
}

#[test]
fn without_a_key_there_is_one_record_and_without_yield_it_comes_out() {
    let mut bench = Bench::untimed("fold running ttl 1h init { most: 0 } step { most: greatest(state.most, n) }");
    assert_eq!(came(&bench.step(&[row("a", 3, 0), row("b", 1, 0), row("c", 5, 0)], None)), ["3", "3", "5"]);
    bench.restart(3);
    assert_eq!(came(&bench.step(&[row("a", 4, 0)], None)), ["5"]);
}

#[test]
fn a_row_that_fails_leaves_the_record_as_it_was() {
    let step = "fold by k running ttl 1h init { q: 100 } step { q: (state.q / n)::int64? } yield { k, q: state.q, once: (100 / (n - 5))::int64? }";
    let mut bench = Bench::untimed(step);
    let stepped = bench.step(&[row("a", 0, 0), row("a", 2, 0), row("a", 0, 0), row("a", 5, 0), row("b", 0, 0)], None);
    assert_eq!(came(&stepped), ["a 50 -33"]);
    let whys: Vec<_> = stepped.bad.iter().map(|line| line.split("_reason").nth(1).unwrap().to_owned()).collect();
    assert_eq!(whys.len(), 4, "{whys:?}");
    assert_eq!(bench.keys(), 1, "no record begins with a row that failed");
    let next = bench.step(&[row("a", 1, 0)], None);
    assert_eq!(came(&next), ["a 10 -25"], "a row whose yield fails was stepped all the same");
}

#[test]
fn a_record_expires_when_the_mark_has_passed_its_last_row_by_the_ttl() {
    let mut bench =
        Bench::timed(&format!("fold by k running ttl 10s {COUNT} on expiry {{ k, n: -state.n, sum: state.sum }}"));
    bench.step(&[row("b", 1, 101), row("a", 1, 100), row("a", 2, 95)], mark(100));
    assert_eq!(came(&bench.step(&[], mark(109))), Vec::<String>::new());
    assert_eq!(came(&bench.step(&[], mark(111))), ["a -2 3", "b -1 1"]);
    assert_eq!(bench.keys(), 0);
    let next = bench.step(&[row("a", 7, 112)], mark(112));
    assert_eq!(came(&next), ["a 1 7"]);
    assert_eq!(came(&bench.step(&[], Some(StepTime::END))), ["a -1 7"]);
}

#[test]
fn a_record_whose_time_is_over_begins_anew_also_within_a_batch() {
    let mut bench =
        Bench::timed(&format!("fold by k running ttl 10s {COUNT} on expiry {{ k, n: -state.n, sum: state.sum }}"));
    let stepped = bench
        .step(&[row("a", 1, 100), row("b", 1, 100), row("a", 2, 109), row("a", 3, 119), row("b", 4, 109)], mark(100));
    assert_eq!(came(&stepped), ["a 1 1", "b 1 1", "a 2 3", "a -2 3", "a 1 3", "b 2 5"]);
}

#[test]
fn batches_tell_the_time_where_rows_do_not() {
    let mut bench =
        Bench::untimed(&format!("fold by k running ttl 3s {COUNT} on expiry {{ k, n: -state.n, sum: state.sum }}"));
    bench.step(&[row("a", 1, 0)], None);
    bench.step(&[row("b", 1, 0)], None);
    assert!(bench.step(&[], None).out.is_empty());
    assert_eq!(came(&bench.step(&[row("a", 5, 0), row("b", 2, 0)], None)), ["a -1 1", "a 1 5", "b 2 3"]);
    bench.restart(2);
    bench.step(&[], None);
    bench.step(&[], None);
    assert_eq!(came(&bench.step(&[], None)).len(), 2);
    bench.step(&[row("z", 9, 0)], None);
    assert_eq!(came(&bench.step(&[], Some(StepTime::END))), ["z -1 9"], "no batch follows");
}

#[test]
fn per_batch_forgets_everything() {
    let mut bench = Bench::untimed(&format!("fold by k per batch {COUNT}"));
    assert_eq!(came(&bench.step(&[row("a", 1, 0), row("a", 2, 0)], None)), ["a 1 1", "a 2 3"]);
    assert_eq!(came(&bench.step(&[row("a", 4, 0)], None)), ["a 1 4"]);
    assert_eq!((bench.keys(), bench.saved().len()), (0, 0));
}

#[test]
fn a_new_key_begins_with_the_table() {
    let fold = "fold by k running ttl 1h init { total: 7 } init from start step { total: state.total + n } yield { k, total: state.total }";
    let mut bench = Bench::untimed(fold);
    bench.start = vec![r#"{"k": "a", "total": 100}"#.into(), r#"{"k": "b", "total": 200}"#.into()];
    assert_eq!(came(&bench.step(&[row("a", 1, 0), row("c", 1, 0), row("a", 1, 0)], None)), ["a 101", "c 8", "a 102"]);
    bench.start = vec![r#"{"k": "a", "total": 500}"#.into(), r#"{"k": "b", "total": 300}"#.into()];
    assert_eq!(came(&bench.step(&[row("a", 1, 0), row("b", 1, 0)], None)), ["a 103", "b 301"]);
    let mut bench = Bench::over("plain", "fold by k running ttl 1h init from start step { total: state.total + n }", 3);
    bench.start = vec![r#"{"k": "a", "total": 100}"#.into()];
    let stepped = bench.step(&[row("a", 1, 0), row("z", 1, 0)], None);
    assert_eq!(stepped.sorted(), [r#"{"k":"a","total":101}"#, r#"{"k":"z"}"#]);
}

#[test]
fn every_key_comes_out_with_every_batch_where_asked() {
    let fold = "fold by k running ttl 3s init from start step { total: state.total + n } with { every_batch: true }";
    let mut bench = Bench::untimed(fold);
    bench.start = vec![r#"{"k": "s", "total": 100}"#.into()];
    let first = bench.step(&[row("b", 1, 0), row("s", 5, 0), row("s", 6, 0)], None);
    assert_eq!(first.out, [r#"{"k":"b"}"#, r#"{"k":"s","total":111}"#]);
    bench.restart(1);
    assert_eq!(bench.step(&[row("b", 1, 0)], None).out.len(), 2);
    bench.step(&[], None);
    assert_eq!(bench.step(&[], None).out, [r#"{"k":"b"}"#], "its time is over, and the table is not asked again");
}

#[test]
fn records_of_the_table_live_from_the_first_mark() {
    let fold = "fold by k running ttl 10s init from start step { total: state.total + n } with { every_batch: true }";
    let mut bench = Bench::timed(fold);
    bench.start = vec![r#"{"k": "s", "total": 100}"#.into(), r#"{"k": "t", "total": 1}"#.into()];
    assert_eq!(bench.step(&[], None).out.len(), 2);
    bench.restart(2);
    assert_eq!(bench.step(&[row("t", 1, 104)], mark(100)).out.len(), 2);
    assert_eq!(bench.step(&[], mark(109)).out.len(), 2);
    assert_eq!(bench.step(&[], mark(110)).out, [r#"{"k":"t","total":2}"#]);
}

#[test]
fn what_is_saved_has_this_layout() {
    let mut bench = Bench::timed(&format!("fold by k running ttl 10s {COUNT}"));
    bench.step(&[row("a", 7, 100)], mark(100));
    let saved = bench.saved();
    assert_eq!((saved.len(), saved[0].name.as_str()), (1, "records"));
    let lines = json(&saved[0].rows[0]);
    assert_eq!(lines, [r#"{"_group":31,"key.k":"a","state.n":1,"state.sum":7,"last":100000000}"#]);
}

#[test]
fn records_of_any_type_survive() {
    let fold = "fold by k running ttl 1h \
        init { d: 0.00, x: 0e0, m: null, l: [0], s: { a: 1, t: \"\" }, ts: null } \
        step { d: state.d + (d ?? 0.00), x: state.x + (x ?? 0.1e0), m: m, l: [n, state.l[0] ?? 0], s: { a: n, t: k }, ts: ts }";
    let mut bench = Bench::untimed(fold);
    let line = r#"{"k": "a", "n": 3, "d": "1.25", "m": {"p": 1, "q": 2}, "ts": 5}"#.to_owned();
    bench.step(std::slice::from_ref(&line), None);
    bench.restart(3);
    let came = bench.step(&[line], None);
    let expected = r#"{"k":"a","d":2.50,"x":0.2,"m":{"p":1,"q":2},"l":[3,3],"s":{"a":3,"t":"a"},"ts":"1970-01-01T00:00:00.000005Z"}"#;
    assert_eq!(came.out, [expected]);
}

/// Rows of four keys, none of them later than `delay` behind the newest before it.
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

/// The law written down, row by row; also what is left of each key.
fn expected(rows: &[(u8, i64)], ttl: i64) -> Vec<String> {
    let mut records: BTreeMap<u8, (i64, i64, i64)> = BTreeMap::new();
    let mut out = Vec::new();
    for (i, (key, at)) in rows.iter().enumerate() {
        if let Some((n, sum, last)) = records.get(key).copied()
            && *at >= last + ttl
        {
            out.push(format!("k{key} {} {sum}", -n));
            records.remove(key);
        }
        let record = records.entry(*key).or_insert((0, 0, *at));
        *record = (record.0 + 1, record.1 + i as i64, record.2.max(*at));
        out.push(format!("k{key} {} {}", record.0, record.1));
    }
    out.extend(records.iter().map(|(key, (n, sum, _))| format!("k{key} {} {sum}", -n)));
    out.sort();
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn cuts_restarts_and_partitions_change_no_row(
        rows in rows(7),
        cuts in prop::collection::vec((1usize..12, prop::option::of(1usize..5)), 1..20),
        ttl in 1i64..20,
    ) {
        let fold = format!("fold by k running ttl {ttl}s {COUNT} on expiry {{ k, n: -state.n, sum: state.sum }}");
        let mut bench = Bench::timed(&fold);
        let mut all = Vec::new();
        let (mut at, mut newest, mut cuts) = (0, 0, cuts.iter().cycle());
        while at < rows.len() {
            let (size, restart) = cuts.next().unwrap();
            let end = (at + size).min(rows.len());
            let lines: Vec<_> = (at..end).map(|i| row(&format!("k{}", rows[i].0), i as i64, rows[i].1)).collect();
            newest = rows[at..end].iter().map(|r| r.1).fold(newest, i64::max);
            all.extend(came(&bench.step(&lines, mark(newest - 7))));
            at = end;
            if let Some(partitions) = restart {
                bench.restart(*partitions);
            }
        }
        all.extend(came(&bench.step(&[], Some(StepTime::END))));
        all.sort();
        prop_assert_eq!(all, expected(&rows, ttl));
    }
}
