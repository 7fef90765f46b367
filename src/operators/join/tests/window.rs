//! Partners in the same window.

use proptest::prelude::*;

use super::*;

#[test]
fn a_window_is_joined_when_it_closes() {
    let mut bench = join("join b using id over tumbling(10s) late to late_rows", 1);
    assert_eq!(bench.step("x 1 1, y 2 2, x 11 3", "x 9 4, x 10 5", 5).out, none());
    let given = bench.step("", "x 3 6", 10);
    assert_eq!(given.out, ["0 10 x 1 1 9 4", "0 10 x 1 1 3 6"]);
    assert_eq!((given.handed, given.taken), (0, 1));
    assert_eq!(bench.held().keys, 2);
    assert_eq!(bench.step("", "", END).out, ["10 20 x 11 3 10 5"]);
    assert_eq!(bench.held().keys, 0);
}

#[test]
fn each_modifier_hands_on_its_rows_of_a_window() {
    let run = |modifier: &str, partitions| {
        let condition = if modifier == "cross" { "" } else { "using id" };
        let stage = format!("{modifier} join b {condition} over tumbling(10s) late drop");
        let mut bench = join(&stage, partitions);
        assert_eq!(bench.step("x 1 1, - 2 2, y 3 3, x 14 4", "x 1 10, z 2 20, x 24 40", 5).out, none());
        bench.restart(2);
        sorted(bench.step("", "- 3 30", END).out)
    };
    let pair = "0 10 x 1 1 1 10";
    assert_eq!(run("", 1), [pair]);
    let left = ["0 10 - 2 2 - -", pair, "0 10 y 3 3 - -", "10 20 x 14 4 - -"];
    assert_eq!(run("left", 1), left);
    let right = ["0 10 - - - 3 30", pair, "0 10 z - - 2 20", "20 30 x - - 24 40"];
    assert_eq!(run("right", 1), right);
    let mut full: Vec<_> = left.into_iter().chain(right).map(String::from).collect();
    full.sort();
    full.dedup();
    assert_eq!(run("full", 3), full);
    assert_eq!(run("semi", 2), ["0 10 x 1 1"]);
    assert_eq!(run("anti", 2), ["0 10 - 2 2", "0 10 y 3 3", "10 20 x 14 4"]);
    assert_eq!(run("cross", 1).len(), 9);
}

#[test]
fn a_row_comes_out_with_each_of_its_sliding_windows() {
    let mut bench = join("join b using id over sliding(20s, every 10s) late to late_rows", 1);
    bench.step("x 15 1", "x 25 2, x 12 3", 0);
    assert_eq!(bench.step("", "", 20).out, ["0 20 x 15 1 12 3"]);
    let given = bench.step("x 13 4", "", 20);
    assert_eq!((given.partly_late, given.taken, given.late), (1, 1, none()));
    assert_eq!(
        bench.step("", "", 30).out,
        ["10 30 x 15 1 25 2", "10 30 x 15 1 12 3", "10 30 x 13 4 25 2", "10 30 x 13 4 12 3"]
    );
    let given = bench.step("x 29 5", "x 30 6", 30);
    assert_eq!((given.partly_late, given.late.len()), (1, 0));
    assert_eq!(bench.step("", "", END).out, ["20 40 x 29 5 25 2", "20 40 x 29 5 30 6"]);
}

#[test]
fn a_row_whose_windows_have_all_closed_leaves_in_an_envelope() {
    let mut bench = join("left join b using id over cumulative(20s, every 10s) late to late_rows", 2);
    bench.step("x 5 1", "", 20);
    let given = bench.step("y 19 2, y 20 3", "y 1 4", 20);
    let reason = "came when every window of its time had closed";
    let left = format!(r#"left 19 {reason} {{"id":"y","ts":"1970-01-01T00:00:19Z","v":2}}"#);
    let right = format!(r#"right 1 {reason} {{"id":"y","ts":"1970-01-01T00:00:01Z","w":4}}"#);
    assert_eq!((given.late, given.taken), (vec![left, right], 1));
    assert_eq!(bench.step("", "", END).out, ["20 30 y 20 3 - -", "20 40 y 20 3 - -"]);
}

#[test]
fn a_restart_opens_no_window_again() {
    let mut bench = join("left join b using id over sliding(20s, every 10s) late drop", 1);
    assert_eq!(bench.step("x 15 1", "", 20).out, ["0 20 x 15 1 - -"]);
    bench.restart(3);
    assert_eq!(bench.step("", "", END).out, ["10 30 x 15 1 - -"]);
}

#[test]
fn further_conditions_hold_within_windows_too() {
    let mut bench =
        join("left join b on a.id == b.id and v * w < 5 and v > 0 over tumbling(10s) late drop bad to oops", 1);
    let given = bench.step("x 1 1, x 2 0, x 3 4611686018427387904", "x 4 1, x 5 9", 5);
    assert_eq!((given.bad.len(), given.taken), (1, 4), "{given:?}");
    assert!(given.bad[0].starts_with("right 5"), "{given:?}");
    let out = bench.step("", "", END).out;
    assert_eq!(out, ["0 10 x 1 1 x 4 1", "0 10 x 2 0 - - -", "0 10 x 3 4611686018427387904 - - -"]);
}

#[test]
fn windows_of_batch_time_hold_the_rows_of_batches() {
    let mut bench = join("full join b using id over sliding(2s, every 1s) on batch time", 1);
    // The bench's batches come every second from 0 on.
    assert_eq!(bench.step("x 100 1", "", None).out, ["-2 0 x 100 1 - -"]);
    assert_eq!(bench.step("", "x 5 2", None).out, ["-1 1 x 100 1 5 2"]);
    bench.restart(2);
    assert_eq!(bench.step("", "", None).out, ["0 2 x - - 5 2"]);
    assert_eq!(bench.step("", "", None).out, none());
    assert_eq!(bench.held().keys, 0);
    let mut bench = join("join b using id over tumbling(3s) on batch time", 2);
    assert_eq!(bench.step("x 100 1", "", None).out, none());
    bench.restart(1);
    assert_eq!(bench.step("", "x 5 2", None).out, none());
    assert_eq!(bench.step("", "x 6 3", None).out, ["-1 2 x 100 1 5 2", "-1 2 x 100 1 6 3"]);
    assert_eq!(bench.step("x 1 4", "x 2 5", END).out, ["2 5 x 1 4 2 5"], "nothing follows");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn cuts_and_restarts_change_no_row_of_a_window(
        left in proptest::collection::vec(("[xy]", 0..60_i64, 0..9_i64), 0..30),
        right in proptest::collection::vec(("[xy]", 0..60_i64, 0..9_i64), 0..30),
        cuts in proptest::collection::vec((0..16_usize, 0..16_usize, proptest::option::of(1..4_usize)), 0..8),
    ) {
        let mut bench = join("full join b using id over sliding(9s, every 3s) late to late_rows", 2);
        let (mut left, mut right) = (left, right);
        // The older rows come first, so that windows close along the way.
        left.sort_by_key(|row| row.1);
        right.sort_by_key(|row| row.1);
        let row = |row: &(String, i64, i64)| (Some(row.0.clone()), row.1, row.2);
        let rows = |rows: &[(String, i64, i64)], name| hand::rows_of(&rows.iter().map(row).collect::<Vec<_>>(), name);
        let mut out = Vec::new();
        let (mut rest_left, mut rest_right) = (&left[..], &right[..]);
        for (l, r, restart) in cuts {
            let (now_left, later_left) = rest_left.split_at(l.min(rest_left.len()));
            let (now_right, later_right) = rest_right.split_at(r.min(rest_right.len()));
            (rest_left, rest_right) = (later_left, later_right);
            let mark = rest_left.iter().chain(rest_right).map(|row| row.1).min();
            let mark = mark.filter(|mark| bench.mark_allows(*mark));
            out.extend(bench.step_rows((rows(now_left, "v"), rows(now_right, "w")), mark).out);
            if let Some(partitions) = restart {
                bench.restart(partitions);
            }
        }
        let last = bench.step_rows((rows(rest_left, "v"), rows(rest_right, "w")), END);
        prop_assert_eq!((last.late, last.partly_late), (none(), 0));
        out.extend(last.out);
        let mut expected = Vec::new();
        for start in (-9..60_i64).filter(|start| start % 3 == 0) {
            let inside = |row: &&(String, i64, i64)| (start..start + 9).contains(&row.1);
            let window = format!("{start} {}", start + 9);
            for l in left.iter().filter(inside) {
                let partners: Vec<_> = right.iter().filter(inside).filter(|r| r.0 == l.0).collect();
                let row = |end: String| format!("{window} {} {} {} {end}", l.0, l.1, l.2);
                expected.extend(partners.iter().map(|r| row(format!("{} {}", r.1, r.2))));
                expected.extend(partners.is_empty().then(|| row("- -".into())));
            }
            let alone = right.iter().filter(inside).filter(|r| !left.iter().filter(inside).any(|l| l.0 == r.0));
            expected.extend(alone.map(|r| format!("{window} {} - - {} {}", r.0, r.1, r.2)));
        }
        prop_assert_eq!(sorted(out), sorted(expected));
        prop_assert_eq!(bench.held().keys, 0);
    }
}
