//! Stages at work in an engine that holds every row to account: what they give, and that partitions, restarts and
//! what stands before them change no row.

use proptest::prelude::*;

use crate::operators::stepping::{Line, row};

fn line(k: &str, m: &str) -> String {
    format!(r#"{{"k": "{k}", "n": 1, "m": {m}, "ts": 0}}"#)
}

fn untimed(stages: &str) -> Line {
    Line::of("plain", stages, 2)
}

#[test]
fn lists_and_maps_are_laid_open_with_their_positions() {
    let rows = [line("b a", r#"{"p": 1, "q": 2}"#), line("", "{}")];
    let mut words = untimed("explode split(k, \" \") as word with { position: at } |> select word, at");
    assert_eq!(words.out(&rows), [r#"{"word":"b","at":0}"#, r#"{"word":"a","at":1}"#]);
    let mut entries = untimed("explode m as (key, value) with { position: at } |> select k, key, value, at");
    let expected = [r#"{"k":"b a","key":"p","value":1,"at":0}"#, r#"{"k":"b a","key":"q","value":2,"at":1}"#];
    assert_eq!(entries.out(&rows), expected);
    let stepped = entries.step(&rows).unwrap();
    let explode = stepped.report.operators.iter().find(|o| o.word == "explode").unwrap();
    assert_eq!((explode.rows_in, explode.handed, explode.filtered, explode.rows_out), (2, 1, 1, 2));
    let mut outer = untimed("explode m with { outer: true, position: at } |> select k, key, value, at");
    assert_eq!(outer.out(&rows[1..]), [r#"{"k":""}"#]);
    let mut replaced = untimed("extend l = [n, 5] |> explode l |> select l");
    assert_eq!(
        replaced.out(&[row("a", 7, 0), row("b", 8, 0)]),
        [r#"{"l":7}"#, r#"{"l":5}"#, r#"{"l":8}"#, r#"{"l":5}"#]
    );
}

#[test]
fn the_first_and_the_best_rows_are_kept_and_ties_go_to_the_earlier() {
    let rows: Vec<_> = [("a", 3), ("b", 5), ("a", 5), ("c", 1), ("b", 9)].map(|(k, n)| row(k, n, 0)).to_vec();
    let of = |stages: &str| untimed(&format!("{stages} |> select k, n")).out(&rows).join(" ");
    assert_eq!(of("top 2 by n"), r#"{"k":"b","n":9} {"k":"b","n":5}"#);
    assert_eq!(of("top 1 by n asc per k |> sort by k"), r#"{"k":"a","n":3} {"k":"b","n":5} {"k":"c","n":1}"#);
    assert_eq!(of("limit 2"), r#"{"k":"a","n":3} {"k":"b","n":5}"#);
    assert_eq!(of("limit 0"), "");
    assert_eq!(of("distinct by k |> sort by k"), r#"{"k":"a","n":3} {"k":"b","n":5} {"k":"c","n":1}"#);
    assert_eq!(of("sort by n desc, k |> limit 3"), r#"{"k":"b","n":9} {"k":"a","n":5} {"k":"b","n":5}"#);
}

#[test]
fn a_sample_is_the_same_whenever_a_batch_is_run_again() {
    let rows: Vec<_> = (0..400).map(|n| row("a", n, 0)).collect();
    let sampled = |seed: i64, partitions| {
        let stages = format!("sample 0.25 with {{ seed: {seed} }}");
        Line::of("plain", &stages, partitions).out(&rows)
    };
    let first = sampled(1, 1);
    assert!((60..140).contains(&first.len()), "{}", first.len());
    assert_eq!(first, sampled(1, 4));
    assert_ne!(first, sampled(2, 1));
}

#[test]
fn rows_go_to_the_first_branch_that_fits() {
    let read: String = ["small", "big", "rest"].map(|name| format!("\nfrom {name} |> into discard()")).concat();
    let mut line = untimed(&format!(
        "select k, n\nstream parts = from plain |> split small = n < 5, big = n > 3 else to rest{read}"
    ));
    let rows = [row("a", 4, 0), row("b", 9, 0), row("c", 5, 0)];
    assert_eq!(
        (line.stream("small", &rows).len(), line.stream("big", &rows).len(), line.stream("rest", &rows).len()),
        (1, 2, 0)
    );
}

#[test]
fn meters_are_reported_with_the_batch_and_survive() {
    let mut line = untimed("meter seen = count(), biggest = max(n) |> where n > 1");
    line.step(&[row("a", 1, 0), row("b", 7, 0)]).unwrap();
    line.restart();
    let report = line.step(&[row("a", 3, 0)]).unwrap().report;
    let shown = |i: usize| {
        let meter = &report.meters[i];
        let value = |m: Option<crate::plan::measure::Measure>| m.map(|m| m.to_string()).unwrap_or_default();
        (meter.stream.clone(), meter.measured.name.clone(), value(meter.measured.batch), value(meter.measured.so_far))
    };
    assert_eq!(shown(0), ("out".into(), "seen".into(), "1".into(), "3".into()));
    assert_eq!(shown(1), ("out".into(), "biggest".into(), "3".into(), "3".into()));
}

/// Lines whose rows must be the same in every number of partitions.
const LINES: &[&str] = &[
    "dedupe by k within 6s late drop",
    "dedupe by n within 6s late drop |> fold by k running ttl 5s init { all: [0] } step { all: [n, state.all[0] ?? 0] } yield { k, first: state.all[0], next: state.all[1] }",
    "fold by k running ttl 4s init { s: 0 } step { s: state.s + n } yield { k, s: state.s } on expiry { k, s: -state.s }",
    "fold by k running ttl 4s init { s: 0 } step { s: state.s * 2 + n } |> limit 3",
    "fold by k per batch init { s: 0 } step { s: state.s + n } with { every_batch: true } |> limit 2",
    "window over sliding(6s, every 2s) by k late drop |> top 2 by n per k",
    "window over session(gap 2s) by k late drop |> distinct by n |> limit 2",
    "window over count(3) by k |> fold by k per batch init { s: 0 } step { s: state.s * 2 + n }",
    "distinct by n |> sort by k |> limit 4",
    "explode [n, n + 1] as v |> distinct by v |> dedupe by v within 5s late drop |> limit 2",
    "aggregate count() as c by n per batch |> sort by c desc |> limit 2",
    "repartition 3 by n |> distinct by k |> fold by k per batch init { s: 0 } step { s: state.s * 3 + n }",
    "sample 0.6 |> top 2 by n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn partitions_and_restarts_change_no_row(
        which in 0..LINES.len(),
        batches in prop::collection::vec((prop::collection::vec((0u8..5, 0i64..6, 0i64..4), 0..12), any::<bool>()), 1..8),
        partitions in 2usize..6,
    ) {
        let run = |partitions: usize| {
            let mut line = Line::of("rows", LINES[which], partitions);
            let mut newest = 0;
            let mut all = Vec::new();
            for (rows, restart) in &batches {
                let rows: Vec<_> = rows.iter().map(|(k, n, on)| {
                    newest += on;
                    row(&format!("k{k}"), *n, newest)
                }).collect();
                let mut out = line.out(&rows);
                out.sort();
                all.push(out);
                if *restart {
                    line.restart();
                }
            }
            all
        };
        prop_assert_eq!(run(1), run(partitions), "{}", LINES[which]);
    }
}
