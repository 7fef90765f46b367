//! Aggregates with memory, stepped without an engine.

use proptest::prelude::*;

use crate::operators::stepping::{Bench, Line, SECOND, row};
use crate::plan::operator::StepTime;

fn mark(second: i64) -> Option<i64> {
    Some(second * SECOND)
}

const END: Option<i64> = Some(StepTime::END);

/// `100-160 a 3` for a window, its keys and results; times in seconds.
fn short(rows: &[String]) -> Vec<String> {
    let second = |value: &serde_json::Value| {
        let text = value.as_str().unwrap();
        let time = chrono::DateTime::parse_from_rfc3339(&format!("{}Z", text.trim_end_matches('Z'))).unwrap();
        time.timestamp_micros() as f64 / SECOND as f64
    };
    let one = |text: &String| {
        let row: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut parts = Vec::new();
        if let (Some(start), Some(end)) = (row.get("window_start"), row.get("window_end")) {
            parts.push(format!("{}-{}", second(start), second(end)));
        }
        for (name, value) in row.as_object().unwrap() {
            match value {
                _ if name.starts_with("window_") => {}
                serde_json::Value::String(text) => parts.push(text.clone()),
                other => parts.push(other.to_string()),
            }
        }
        parts.join(" ")
    };
    rows.iter().map(one).collect()
}

#[test]
fn a_tumbling_window_comes_out_when_the_watermark_reaches_its_end() {
    let mut bench = Bench::timed("aggregate sum(n) as s, count() as c by k over tumbling(10s)");
    let first = bench.step(&[row("a", 1, 101), row("b", 2, 109), row("a", 4, 110)], mark(109));
    assert!(first.out.is_empty());
    let second = bench.step(&[row("a", 8, 105)], mark(110));
    assert_eq!(short(&second.out), ["100-110 a 9 2", "100-110 b 2 1"]);
    let third = bench.step(&[row("b", 16, 109), row("b", 32, 110)], END);
    assert_eq!(short(&third.out), ["110-120 a 4 1", "110-120 b 32 1"]);
    assert_eq!(third.late.len(), 1);
    assert!(third.late[0].contains(r#""n":16"#) && third.late[0].contains(r#""_late_by":"P0D""#), "{:?}", third.late);
    assert_eq!(bench.keys(), 0);
}

#[test]
fn a_row_that_is_late_for_some_windows_counts_for_the_others() {
    let mut bench = Bench::timed("aggregate sum(n) as s by k over sliding(30s, every 10s)");
    bench.step(&[row("a", 1, 105)], mark(110));
    let next = bench.step(&[row("a", 2, 106), row("a", 4, 79)], mark(120));
    assert_eq!(short(&next.out), ["90-120 a 3"]);
    assert_eq!((next.partly_late, next.late.len()), (1, 1));
    let rest = bench.step(&[], END);
    assert_eq!(short(&rest.out), ["100-130 a 3"]);
}

#[test]
fn a_sliding_window_sees_what_it_covers_and_nothing_else() {
    let mut bench = Bench::timed("aggregate sum(n) as s, max(n) as m, avg(n) as a by k over sliding(50s, every 10s)");
    let rows: Vec<_> = (0..12).map(|i| row("a", i, 100 + i * 10)).collect();
    bench.step(&rows, None);
    let out = bench.step(&[], END);
    let naive: Vec<_> = (0..16_i64)
        .map(|last| {
            let covered: Vec<i64> = (0..12).filter(|i| *i <= last && *i > last - 5).collect();
            let (sum, count) = (covered.iter().sum::<i64>(), covered.len() as f64);
            let (start, end) = (100 + last * 10 - 40, 100 + last * 10 + 10);
            format!("{start}-{end} a {sum} {} {:?}", covered.iter().max().unwrap(), sum as f64 / count)
        })
        .collect();
    assert_eq!(short(&out.out), naive);
}

#[test]
fn rows_between_two_windows_are_filtered() {
    let mut bench = Bench::timed("aggregate count() as c over sliding(10s, every 30s)");
    let step = bench.step(&[row("a", 1, 95), row("a", 1, 101), row("a", 1, 120)], END);
    assert_eq!(short(&step.out), ["90-100 1", "120-130 1"]);
    assert_eq!(step.filtered, 1);
}

#[test]
fn cumulative_windows_grow() {
    let mut bench = Bench::timed("aggregate sum(n) as s by k over cumulative(30s, every 10s)");
    bench.step(&[row("a", 1, 91), row("a", 2, 101), row("b", 4, 111), row("a", 8, 120)], mark(115));
    let step = bench.step(&[], END);
    assert_eq!(short(&step.out), ["90-120 a 3", "90-120 b 4", "120-130 a 8", "120-140 a 8", "120-150 a 8"]);
}

#[test]
fn aggregates_that_cannot_be_merged_see_the_rows_of_every_pane_in_the_order_they_came() {
    let stage = "aggregate array_agg(n) as l, count(distinct n) as d, first_value(n) as f, \
                 array_agg(n order by n desc) as o, median(n) as m, sum(n) filter (where n > 1) as g \
                 by k over sliding(20s, every 10s)";
    let mut bench = Bench::timed(stage);
    bench.step(&[row("a", 3, 112), row("a", 1, 105), row("a", 3, 101)], None);
    bench.restart(1);
    bench.step(&[row("a", 2, 111)], None);
    let step = bench.step(&[], END);
    assert_eq!(
        short(&step.out),
        [
            "90-110 a [1,3] 2 1 [3,1] 2.0 3",
            "100-120 a [3,1,3,2] 3 3 [3,3,2,1] 2.5 8",
            "110-130 a [3,2] 2 3 [3,2] 2.5 5"
        ]
    );
}

#[test]
fn sessions_merge_across_batches_and_a_row_at_the_very_end_still_belongs() {
    let mut bench = Bench::timed("aggregate count() as c, sum(n) as s, array_agg(n) as l by k over session(gap 10s)");
    bench.step(&[row("a", 1, 100), row("a", 2, 125), row("b", 64, 100), row("a", 4, 110)], mark(100));
    bench.restart(1);
    let bridge = bench.step(&[row("a", 8, 119)], mark(120));
    assert_eq!(short(&bridge.out), ["100-110 b 1 64 [64]"]);
    let last = bench.step(&[row("a", 16, 150), row("a", 32, 110)], mark(160));
    assert_eq!(short(&last.out), ["100-135 a 4 15 [1,2,4,8]", "150-160 a 1 16 [16]"]);
    assert!(last.late[0].contains(r#""n":32"#));
    assert_eq!(bench.keys(), 0);
}

#[test]
fn a_window_of_rows_comes_out_when_it_is_full() {
    let mut bench = Bench::timed("aggregate sum(n) as s, array_agg(n) as l by k over count(2)");
    let first = bench.step(&[row("a", 1, 1), row("b", 2, 1), row("a", 4, 1), row("a", 8, 1)], None);
    assert_eq!(short(&first.out), ["a 5 [1,4]"]);
    bench.restart(1);
    let second = bench.step(&[row("b", 16, 1), row("a", 32, 1), row("a", 64, 1), row("a", 128, 1)], None);
    assert_eq!(short(&second.out), ["b 18 [2,16]", "a 40 [8,32]", "a 192 [64,128]"]);
    bench.step(&[row("c", 1, 1)], None);
    let rest = bench.step(&[], END);
    assert_eq!(short(&rest.out), ["c 1 [1]"]);
}

#[test]
fn running_results_are_changes_netted_by_key() {
    let mut bench = Bench::timed("aggregate sum(n) as s, count() as c by k running ttl 1h");
    let first = bench.step(&[row("a", 1, 100), row("b", 2, 100), row("a", 4, 100)], mark(100));
    assert_eq!(short(&first.out), ["a 5 2 +", "b 2 1 +"]);
    let second = bench.step(&[row("a", 0, 100)], mark(100));
    assert_eq!(short(&second.out), ["a 5 2 -", "a 5 3 +"]);
    bench.restart(1);
    let third = bench.step(&[row("b", 1, 100)], mark(100));
    assert_eq!(short(&third.out), ["b 2 1 -", "b 3 2 +"]);
    assert!(bench.step(&[], mark(101)).out.is_empty());
}

#[test]
fn a_result_that_stays_the_same_is_no_change() {
    let mut bench = Bench::timed("aggregate max(n) as m by k running ttl 1h");
    bench.step(&[row("a", 5, 100)], None);
    assert!(bench.step(&[row("a", 4, 100)], None).out.is_empty());
}

#[test]
fn a_key_is_forgotten_exactly_when_its_time_is_over() {
    let mut bench = Bench::timed("aggregate sum(n) as s by k running ttl 10s");
    bench.step(&[row("a", 1, 100), row("b", 1, 100)], mark(100));
    bench.step(&[row("a", 1, 105)], mark(109));
    assert_eq!(bench.keys(), 2);
    assert!(bench.step(&[], mark(110)).out.is_empty());
    assert_eq!(bench.keys(), 1);
    let next = bench.step(&[row("b", 8, 111), row("a", 8, 114)], mark(114));
    assert_eq!(short(&next.out), ["b 8 +", "a 2 -", "a 10 +"]);
    // 124 is ten seconds behind 114: the key begins anew, be the watermark there or not.
    let anew = bench.step(&[row("a", 100, 124)], mark(114));
    assert_eq!(short(&anew.out), ["a 100 +"]);
}

#[test]
fn batch_time_counts_by_the_clock_of_batches() {
    // Batches are a second apart.
    let mut bench = Bench::untimed("aggregate sum(n) as s by k running ttl 2s");
    bench.step(&[row("a", 1, 1)], None);
    bench.step(&[], None);
    assert_eq!(bench.keys(), 1);
    let third = bench.step(&[row("a", 2, 1)], None);
    assert_eq!(short(&third.out), ["a 2 +"]);
}

#[test]
fn windows_of_batch_time_slide_over_empty_batches() {
    let mut bench = Bench::untimed("aggregate sum(n) as s by k over sliding(3s, every 1s) on batch time");
    let outs = [&[row("a", 1, 1)][..], &[row("a", 2, 1), row("b", 4, 1)], &[], &[], &[]];
    let mut all = Vec::new();
    for (i, rows) in outs.into_iter().enumerate() {
        if i == 2 {
            bench.restart(3);
        }
        all.push(short(&bench.step(rows, None).out));
    }
    assert_eq!(all[0], ["997-1000 a 1"]);
    assert_eq!(all[1], ["998-1001 a 3", "998-1001 b 4"]);
    assert_eq!(all[2], ["999-1002 a 3", "999-1002 b 4"]);
    assert_eq!(all[3], ["1000-1003 a 2", "1000-1003 b 4"]);
    assert!(all[4].is_empty());
    assert_eq!(bench.keys(), 0);
}

#[test]
fn without_a_key_empty_windows_of_batch_time_count_nothing() {
    let mut bench = Bench::untimed("aggregate count() as c over tumbling(2s) on batch time");
    let mut all = Vec::new();
    for rows in [&[][..], &[], &[], &[row("a", 1, 1)], &[], &[], &[row("a", 1, 1)]] {
        all.extend(short(&bench.step(rows, None).out));
        bench.restart(1);
    }
    assert_eq!(all, ["999-1001 0", "1001-1003 1", "1003-1005 0"]);
    assert_eq!(short(&bench.step(&[], END).out), ["1005-1007 1"]);
}

#[test]
fn early_results_of_windows_are_changes_and_windows_close_silently() {
    let mut bench = Bench::timed("aggregate sum(n) as s by k over sliding(20s, every 10s) emit changes");
    let first = bench.step(&[row("a", 1, 105)], mark(105));
    assert_eq!(short(&first.out), ["90-110 a 1 +", "100-120 a 1 +"]);
    bench.restart(2);
    let second = bench.step(&[row("a", 2, 112)], mark(111));
    assert_eq!(short(&second.out), ["100-120 a 1 -", "100-120 a 3 +", "110-130 a 2 +"]);
    let third = bench.step(&[row("a", 4, 105)], mark(125));
    assert_eq!(short(&third.out), ["100-120 a 3 -", "100-120 a 7 +"]);
    assert!(bench.step(&[], END).out.is_empty());
    assert_eq!(bench.keys(), 0);
}

#[test]
fn early_results_come_no_more_often_than_asked_but_before_a_window_closes() {
    let mut bench = Bench::timed("aggregate sum(n) as s by k over tumbling(10s) emit changes every 3s");
    assert_eq!(short(&bench.step(&[row("a", 1, 101)], mark(101)).out), ["100-110 a 1 +"]);
    assert!(bench.step(&[row("a", 2, 102)], mark(102)).out.is_empty());
    bench.restart(1);
    assert!(bench.step(&[], mark(103)).out.is_empty());
    assert_eq!(short(&bench.step(&[], mark(104)).out), ["100-110 a 1 -", "100-110 a 3 +"]);
    let closing = bench.step(&[row("a", 4, 105), row("a", 8, 115)], mark(110));
    assert_eq!(short(&closing.out), ["100-110 a 3 -", "100-110 a 7 +"]);
    bench.step(&[], mark(110));
    assert_eq!(short(&bench.step(&[], mark(110)).out), ["110-120 a 8 +"]);
}

#[test]
fn sessions_that_become_one_take_back_what_they_were() {
    let mut bench = Bench::timed("aggregate count() as c by k over session(gap 10s) emit changes");
    let first = bench.step(&[row("a", 1, 100), row("a", 1, 118)], mark(100));
    assert_eq!(short(&first.out), ["100-110 a 1 +", "118-128 a 1 +"]);
    bench.restart(1);
    let bridge = bench.step(&[row("a", 1, 109)], mark(100));
    assert_eq!(short(&bridge.out), ["100-110 a 1 -", "118-128 a 1 -", "100-128 a 3 +"]);
    assert!(bench.step(&[], END).out.is_empty());
}

#[test]
fn rows_of_two_groups_with_one_number_move_to_other_sessions_together() {
    let mut bench = Bench::over("rows", "aggregate array_agg(n) as l by k over session(gap 4s)", 3);
    bench.step(&["k0", "k1", "k2"].map(|k| [row(k, 1, 100), row(k, 2, 106)]).concat(), mark(100));
    bench.restart(1);
    let bridges = ["k0", "k1", "k2"].map(|k| row(k, 3, 103));
    bench.step(&bridges, mark(100));
    bench.restart(2);
    let expected = ["k0", "k1", "k2"].map(|k| format!("100-110 {k} [1,2,3]"));
    assert_eq!(short(&bench.step(&[], END).sorted()), expected);
}

#[test]
fn emit_all_gives_every_open_result() {
    let mut running = Bench::timed("aggregate sum(n) as s by k running ttl 1h emit all");
    running.step(&[row("a", 1, 100), row("b", 2, 100)], None);
    assert_eq!(short(&running.step(&[row("b", 2, 100)], None).out), ["a 1", "b 4"]);
    assert_eq!(short(&running.step(&[], None).out), ["a 1", "b 4"]);
    let mut windows = Bench::timed("aggregate sum(n) as s by k over tumbling(10s) emit all");
    windows.step(&[row("a", 1, 105), row("a", 2, 115)], None);
    assert_eq!(short(&windows.step(&[], mark(110)).out), ["100-110 a 1", "110-120 a 2"]);
    assert_eq!(short(&windows.step(&[], mark(110)).out), ["110-120 a 2"]);
}

#[test]
fn state_goes_on_in_another_number_of_partitions() {
    let stage = "aggregate sum(n) as s, count(distinct n) as d, stddev(x) as v by k over sliding(20s, every 10s)";
    let rows =
        |from: i64| -> Vec<String> { (from..from + 40).map(|i| row(&format!("k{}", i % 7), i % 5, 100 + i)).collect() };
    let mut straight = Bench::timed(stage);
    let mut split = Bench::timed(stage);
    for (i, from) in [0, 20, 40].into_iter().enumerate() {
        let mark = mark(90 + from);
        let (one, two) = (straight.step(&rows(from), mark), split.step(&rows(from), mark));
        assert_eq!(one.sorted(), two.sorted());
        split.restart([3, 1, 2][i]);
    }
    let last = straight.step(&[], END).sorted();
    assert!(last.len() > 20);
    assert_eq!(last, split.step(&[], END).sorted());
}

#[test]
fn a_sum_that_does_not_fit_its_type_stops_the_pipeline_and_names_the_key() {
    for scope in ["per batch", "running ttl forever", "over tumbling(10s)"] {
        let mut line = Line::of("rows", &format!("aggregate sum(n) as s by k {scope}"), 2);
        let large = |k: &str| row(k, i64::MAX, 100);
        let step = line.step(&[large("fine"), large("much"), large("much"), row("x", 0, 200)]);
        let failed = step.and_then(|_| line.step(&[row("x", 0, 300)])).unwrap_err().to_string();
        let said = "`sum(n)` for `much` is too large for its type; cast its argument to decimal(38, 0) or float64";
        assert!(failed.contains(said), "{scope}: {failed}");
    }
}

#[test]
fn both_halves_are_the_whole_whatever_the_partitions() {
    let scopes = [
        "over sliding(20s, every 5s)",
        "over session(gap 3s)",
        "over count(3)",
        "running ttl 10s",
        "over sliding(3s, every 1s) on batch time",
        "over tumbling(10s) emit changes",
    ];
    for scope in scopes {
        let stage = |key: &str| {
            format!("aggregate sum(n) as s, avg(d) as a, max(k) as m, count(distinct n) as c by {key} {scope}")
        };
        let (mut whole, mut parts) =
            (Line::of("rows", &stage("k"), 1), Line::of("rows", &stage("upper(lower(k)) as k"), 3));
        for batch in 0..12 {
            let rows: Vec<_> =
                (0..9).map(|i| row(&format!("K{}", (batch + i) % 4), i % 5, 100 + batch * 4 + i % 7)).collect();
            let sorted = |mut rows: Vec<String>| {
                rows.sort();
                rows
            };
            assert_eq!(sorted(whole.out(&rows)), sorted(parts.out(&rows)), "{scope}");
            if batch == 5 {
                parts.restart();
            }
        }
    }
}

const SCOPES: [&str; 12] = [
    "over tumbling(10s)",
    "over sliding(20s, every 5s)",
    "over sliding(20s, every 5s) emit changes every 2s",
    "over sliding(4s, every 2s) on batch time",
    "over cumulative(20s, every 5s) emit changes",
    "over session(gap 4s)",
    "over session(gap 4s) emit changes",
    "over session(gap 4s) emit changes every 3s",
    "over count(3)",
    "running ttl 6s emit changes every 2s",
    "running ttl 3s on batch time emit changes",
    "running ttl forever emit all",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    /// Benches restart from what changes make of the state, and hold it against what would be saved with every step.
    #[test]
    fn state_that_is_made_of_changes_goes_on_like_state_that_stayed(
        scope in prop::sample::select(SCOPES.to_vec()),
        batches in prop::collection::vec(
            (prop::collection::vec((0u8..3, 0i64..4, 0i64..14), 0..6), 0i64..6, prop::option::weighted(0.6, 1usize..4)),
            1..10,
        ),
    ) {
        let stage = format!(
            "aggregate array_agg(n) as l, count(distinct n) as d, sum(n) as s, stddev(x) as v, first_value(n) as f by k {scope}"
        );
        let (mut straight, mut restarted) = (Bench::timed(&stage), Bench::timed(&stage));
        let mut second = 100;
        for (i, (rows, on, restart)) in batches.iter().enumerate() {
            let rows: Vec<_> = rows.iter().map(|(k, n, at)| row(&format!("k{k}"), *n, second + at)).collect();
            second += on;
            let mark = if i + 1 == batches.len() { END } else { mark(second) };
            let (one, other) = (straight.step(&rows, mark), restarted.step(&rows, mark));
            prop_assert_eq!(one.sorted(), other.sorted());
            if let Some(partitions) = restart {
                restarted.restart(*partitions);
            }
        }
    }
}
