//! Partners within bounds of each other in time.

use proptest::prelude::*;

use super::*;

/// Right rows up to ten seconds younger than the left one.
fn within(modifier: &str) -> String {
    format!("{modifier} join b on a.id == b.id and b.ts between a.ts and a.ts + 10s late to late_rows")
}

#[test]
fn pairs_come_as_soon_as_both_rows_are_there() {
    let mut bench = join(&within(""), 1);
    assert_eq!(bench.step("x 10 1", "", 5).out, none());
    assert_eq!(bench.step("", "x 15 2, x 21 3, y 15 4", 5).out, ["x 10 1 x 15 2"]);
    let given = bench.step("x 12 5, y 15 6, - 15 7", "x 20 8", 5);
    let expected = ["x 12 5 x 15 2", "x 12 5 x 21 3", "y 15 6 y 15 4", "x 10 1 x 20 8", "x 12 5 x 20 8"];
    assert_eq!(given.out, expected);
    assert_eq!((given.handed, given.taken), (0, 4));
}

#[test]
fn a_row_alone_comes_out_when_the_mark_has_passed_its_bound_and_once() {
    let mut bench = join(&within("left"), 1);
    assert_eq!(bench.step("x 10 1, y 10 2", "x 11 3", 10).out, ["x 10 1 x 11 3"]);
    assert_eq!(bench.step("", "", 20).out, none(), "a row at 20 may still come");
    assert_eq!(bench.step("", "", 21).out, ["y 10 2 - - -"]);
    assert_eq!(bench.step("", "", END).out, none());
    assert_eq!(bench.held().keys, 0);
}

#[test]
fn each_modifier_says_which_rows_come_out_alone() {
    let run = |modifier: &str| {
        let mut bench = join(&within(modifier), 2);
        let first = bench.step("x 10 1, y 10 2, - 10 3", "x 11 4, x 12 5, z 12 6, - 12 7", 10).out;
        (sorted(first), sorted(bench.step("", "", END).out))
    };
    let pairs = ["x 10 1 x 11 4", "x 10 1 x 12 5"];
    assert_eq!(run(""), (pairs.map(String::from).into(), none()));
    let at_once = |rows: &[&str]| sorted([&pairs[..], rows].concat().into_iter().map(String::from).collect());
    let (left, right) = ("y 10 2 - - -".to_owned(), "- - - z 12 6".to_owned());
    assert_eq!(run("left"), (at_once(&["- 10 3 - - -"]), vec![left.clone()]));
    assert_eq!(run("right"), (at_once(&["- - - - 12 7"]), vec![right.clone()]));
    assert_eq!(run("full"), (at_once(&["- 10 3 - - -", "- - - - 12 7"]), vec![right, left]));
    assert_eq!(run("semi"), (vec!["x 10 1".to_owned()], none()));
    assert_eq!(run("anti"), (vec!["- 10 3".to_owned()], vec!["y 10 2".to_owned()]));
}

#[test]
fn semi_gives_a_row_once_and_anti_waits_until_none_can_come() {
    let mut bench = join(&within("semi"), 1);
    assert_eq!(bench.step("x 10 1", "", 5).out, none());
    assert_eq!(bench.step("", "x 11 2, x 12 3", 5).out, ["x 10 1"]);
    assert_eq!(bench.step("", "x 13 2", 5).out, none());
    let mut bench = join(&within("anti"), 1);
    assert_eq!(bench.step("x 10 1, x 30 2", "", 5).out, none());
    assert_eq!(bench.step("", "x 11 2, x 12 3", 5).out, none());
    assert_eq!(bench.step("", "", END).out, ["x 30 2"]);
}

#[test]
fn a_row_that_fails_its_own_sides_condition_comes_at_once() {
    let mut bench =
        join("full join b on a.id == b.id and b.ts between a.ts and a.ts + 10s and v > 0 and w > 0 late drop", 1);
    let given = bench.step("x 10 0, x 10 1", "x 11 0", None);
    assert_eq!(given.out, ["x 10 0 - - -", "- - - x 11 0"], "no watermark is needed for that");
    let mut bench = join("join b on a.id == b.id and b.ts between a.ts and a.ts + 10s and v > 0 late drop", 1);
    bench.step("x 10 0, x 10 1", "", None);
    assert_eq!(bench.held().keys, 1);
}

#[test]
fn rows_behind_the_watermark_leave_in_envelopes() {
    let mut bench = join(&within("left"), 2);
    bench.step("x 100 1", "", 120);
    let given = bench.step("y 119 1, y 120 2", "y 119 3, y 121 4", 120);
    assert_eq!(given.out, ["y 120 2 y 121 4"]);
    let reason = "came behind the watermark, when partners had been given up";
    let left = format!(r#"left 119 {reason} {{"id":"y","ts":"1970-01-01T00:01:59Z","v":1}}"#);
    let right = format!(r#"right 119 {reason} {{"id":"y","ts":"1970-01-01T00:01:59Z","w":3}}"#);
    assert_eq!(given.late, [left, right]);
    assert_eq!(given.taken, 2);
}

#[test]
fn nothing_is_late_before_there_is_a_watermark() {
    let mut bench = join(&within("left"), 1);
    let given = bench.step("x 0 1", "x 5 1", 1000);
    assert_eq!((given.out, given.late), (vec!["x 0 1 x 5 1".to_owned()], none()));
    assert_eq!(bench.held().keys, 0);
}

#[test]
fn rows_are_kept_for_exactly_as_long_as_partners_can_come() {
    let mut bench = join(&within(""), 1);
    bench.step("x 10 1", "x 10 1", 10);
    assert_eq!(bench.held().keys, 2);
    bench.step("", "", 11);
    assert_eq!(bench.held().keys, 1, "a left row at 10 would be late now");
    bench.step("", "", 20);
    assert_eq!(bench.held().keys, 1);
    bench.step("", "", 21);
    assert_eq!(bench.held().keys, 0);
}

#[test]
fn partners_may_have_to_be_older() {
    let stage = "left join b on a.id == b.id and b.ts between a.ts - 20s and a.ts - 10s late drop";
    let mut bench = join(stage, 1);
    assert_eq!(bench.properties().mark_lag, 0);
    assert_eq!(
        bench.step("x 40 1, y 40 2", "x 20 3, x 30 4, x 31 5, x 19 6", 31).out,
        ["x 40 1 x 20 3", "x 40 1 x 30 4", "y 40 2 - - -"]
    );
}

#[test]
fn the_mark_of_what_comes_out_lags_behind_by_the_wait() {
    assert_eq!(join(&within("left"), 1).properties().mark_lag, 10_000_000);
    assert_eq!(join(&within("right"), 1).properties().mark_lag, 0);
    let right = "right join b on a.id == b.id and b.ts between a.ts - 5s and a.ts + 10s late drop";
    assert_eq!(join(right, 1).properties().mark_lag, 5_000_000);
}

#[test]
fn of_two_rows_whose_condition_fails_the_last_one_is_bad() {
    let stage = "left join b on a.id == b.id and b.ts between a.ts and a.ts + 10s and v * w < 5 late drop bad to oops";
    let mut bench = join(stage, 1);
    bench.step("x 10 4611686018427387904", "", None);
    let given = bench.step("x 10 1", "x 11 4, x 12 0", None);
    assert_eq!(given.out, ["x 10 4611686018427387904 x 12 0", "x 10 1 x 12 0"]);
    assert_eq!((given.bad.len(), given.taken), (1, 2));
    assert!(given.bad[0].starts_with("right 11 "), "{given:?}");
    let given = bench.step("", "x 13 1", None);
    assert_eq!(given.out, ["x 10 1 x 13 1"], "{given:?}");
}

#[test]
fn what_waits_is_saved_as_rows_and_goes_on_in_other_partitions() {
    let mut bench = join(&within("full"), 1);
    bench.step("x 10 1, y 10 2, z 10 3", "x 11 4, w 12 5", 5);
    let saved = bench.saved();
    let names: Vec<_> = saved[0].1.fields().iter().map(|f| (f.name().as_str(), f.data_type().to_string())).collect();
    let moment = "Timestamp(µs, \"UTC\")";
    let own =
        [("_group", "UInt8"), ("_number", "Int64"), ("_time", moment), ("_matched", "Boolean"), ("_fits", "Boolean")];
    assert_eq!(names[..5], own.map(|(name, ty)| (name, ty.to_owned())));
    assert_eq!(names[5..], [("id", "Utf8"), ("ts", moment), ("v", "Int64")].map(|(name, ty)| (name, ty.to_owned())));
    assert_eq!((saved[0].0.as_str(), saved[1].0.as_str()), ("left", "right"));
    let rows = |i: usize| saved[i].2.iter().map(|row| row.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>();
    assert_eq!(rows(0), ["0 10 true true x 10 1", "1 10 false true y 10 2", "2 10 false true z 10 3"]);
    assert_eq!(rows(1), ["0 11 true true x 11 4", "1 12 false true w 12 5"]);
    bench.restart(3);
    assert_eq!(bench.step("", "y 12 6", 5).out, ["y 10 2 y 12 6"]);
    bench.restart(1);
    let given = bench.step("x 5 7", "", END);
    assert_eq!(sorted(given.out), ["- - - w 12 5", "x 5 7 x 11 4", "z 10 3 - - -"]);
}

#[test]
fn an_empty_join_can_be_saved_and_goes_on() {
    let mut bench = join(&within("left"), 2);
    bench.restart(3);
    assert_eq!(bench.step("x 10 1", "x 10 2", END).out, ["x 10 1 x 10 2"]);
    bench.restart(1);
    assert_eq!(bench.step("", "", END).out, none());
}

/// A row: which id, when, and its number.
type Row = (Option<String>, i64, i64);

/// What a join over everything must give: nested loops, pairs then rows alone.
fn naive(modifier: &str, left: &[Row], right: &[Row]) -> Vec<String> {
    let text = |row: &Row| format!("{} {} {}", row.0.as_deref().unwrap_or("-"), row.1, row.2);
    let partners =
        |l: &Row, r: &Row| l.0.is_some() && l.0 == r.0 && (l.1 - 3..=l.1 + 7).contains(&r.1) && (l.2 + r.2) % 3 != 0;
    let mut out = Vec::new();
    for l in left {
        let found: Vec<_> = right.iter().filter(|r| partners(l, r)).collect();
        match modifier {
            "semi" if !found.is_empty() => out.push(text(l)),
            "anti" if found.is_empty() => out.push(text(l)),
            "semi" | "anti" => {}
            _ => out.extend(found.iter().map(|r| format!("{} {}", text(l), text(r)))),
        }
        if found.is_empty() && matches!(modifier, "left" | "full") {
            out.push(format!("{} - - -", text(l)));
        }
    }
    let alone = right.iter().filter(|r| !left.iter().any(|l| partners(l, r)));
    if matches!(modifier, "right" | "full") {
        out.extend(alone.map(|r| format!("- - - {}", text(r))));
    }
    sorted(out)
}

fn side() -> impl Strategy<Value = Vec<Row>> {
    let id = prop_oneof![1 => Just(None), 6 => "[xyz]".prop_map(Some)];
    proptest::collection::vec((id, 0..40_i64, 0..9_i64), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn cuts_partitions_and_restarts_change_no_row(
        (left, right) in (side(), side()),
        modifier in prop_oneof![Just(""), Just("left"), Just("right"), Just("full"), Just("semi"), Just("anti")],
        cuts in proptest::collection::vec((0..24_usize, 0..24_usize, 0..6_i64, proptest::option::of(1..4_usize)), 0..6),
        partitions in 1..4_usize,
    ) {
        let stage = format!(
            "{modifier} join b on a.id == b.id and b.ts between a.ts - 3s and a.ts + 7s and (v + w) % 3 != 0 late to late_rows"
        );
        let mut bench = join(&stage, partitions);
        let mut out = Vec::new();
        let (mut rest_left, mut rest_right) = (&left[..], &right[..]);
        for (l, r, back, restart) in cuts {
            let (now_left, later_left) = rest_left.split_at(l.min(rest_left.len()));
            let (now_right, later_right) = rest_right.split_at(r.min(rest_right.len()));
            (rest_left, rest_right) = (later_left, later_right);
            // The mark moves as far as it can so that nothing is late.
            let oldest = rest_left.iter().chain(rest_right).map(|row| row.1).min();
            let mark = oldest.map(|oldest| oldest - back);
            let rows = (hand::rows_of(now_left, "v"), hand::rows_of(now_right, "w"));
            out.extend(bench.step_rows(rows, mark.filter(|mark| bench.mark_allows(*mark))).out);
            if let Some(partitions) = restart {
                bench.restart(partitions);
            }
        }
        let last = bench.step_rows((hand::rows_of(rest_left, "v"), hand::rows_of(rest_right, "w")), END);
        prop_assert_eq!(last.late, none());
        out.extend(last.out);
        prop_assert_eq!(sorted(out), naive(modifier, &left, &right));
        prop_assert_eq!(bench.held().keys, 0);
    }
}
