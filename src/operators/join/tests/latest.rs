//! As-of joins.

use proptest::prelude::*;

use super::*;

const WITHIN: &str = "on a.id == b.id and b.ts between a.ts - 10s and a.ts late to late_rows with { match: latest }";
const EVER: &str = "on a.id == b.id and b.ts <= a.ts late to late_rows with { match: latest }";

#[test]
fn a_row_is_answered_when_no_earlier_one_can_come() {
    for condition in [WITHIN, EVER] {
        let mut bench = join(&format!("left join b {condition}"), 2);
        assert_eq!(bench.step("x 10 1", "x 5 2", 5).out, none());
        assert_eq!(bench.step("x 9 3, y 10 4", "x 10 5, x 11 6", 10).out, ["x 9 3 x 5 2"]);
        assert_eq!(bench.step("", "x 10 7", 11).out, ["x 10 1 x 10 7", "y 10 4 - - -"], "of equal times the last");
        bench.restart(3);
        assert_eq!(bench.step("x 14 8, - 14 9", "", END).out, ["- 14 9 - - -", "x 14 8 x 11 6"]);
    }
}

#[test]
fn a_plain_one_drops_rows_without_an_answer() {
    let mut bench = join(&format!("join b {WITHIN}"), 1);
    let given = bench.step("x 10 1, y 10 2, x 40 3, - 10 4", "x 10 5, x 29 6", 5);
    assert_eq!((given.out, given.taken), (none(), 6));
    assert_eq!(bench.step("", "", END).out, ["x 10 1 x 10 5"]);
    assert_eq!(bench.held().keys, 0);
}

#[test]
fn only_the_latest_row_of_a_key_is_kept_where_it_may_be_as_old_as_it_likes() {
    let mut bench = join(&format!("left join b {EVER}"), 1);
    bench.step("", "x 1 1, x 2 2, y 3 3, x 5 4, x 20 5", 0);
    assert_eq!(bench.held().keys, 5);
    bench.step("", "", 10);
    assert_eq!(bench.held().keys, 3);
    bench.restart(2);
    let given = bench.step("x 15 6, y 15 7", "x 12 8, x 12 9", 19);
    assert_eq!(sorted(given.out), ["x 15 6 x 12 9", "y 15 7 y 3 3"]);
    assert_eq!(bench.held().keys, 3);
}

#[test]
fn rows_of_a_bounded_one_are_kept_as_long_as_they_may_be_chosen() {
    let mut bench = join(&format!("left join b {WITHIN}"), 1);
    bench.step("", "x 10 1", 10);
    bench.step("", "", 20);
    assert_eq!(bench.held().keys, 1);
    bench.step("", "", 21);
    assert_eq!(bench.held().keys, 0);
}

#[test]
fn late_rows_of_either_side_leave_in_envelopes() {
    let mut bench = join(&format!("left join b {EVER}"), 1);
    bench.step("", "", 10);
    let given = bench.step("x 9 1, x 10 2", "x 8 3", 11);
    assert_eq!((given.late.len(), given.out), (2, vec!["x 10 2 - - -".to_owned()]));
}

#[test]
fn the_latest_row_must_meet_the_whole_condition() {
    let stage = "left join b on a.id == b.id and b.ts <= a.ts and v < w late drop with { match: latest }";
    let mut bench = join(stage, 1);
    bench.step("x 10 5, x 11 9", "x 1 7, x 2 6, x 3 5", 5);
    bench.restart(2);
    assert_eq!(bench.step("", "", END).out, ["x 10 5 x 2 6", "x 11 9 - - -"]);
}

#[test]
fn what_is_chosen_of_the_right_side_cannot_be_chosen_before() {
    let repeats = |stage: &str| join(stage, 1).properties().repeats.unwrap();
    let left = [Some((0, 0)), Some((0, 1)), Some((0, 2))];
    let none = [None; 3];
    let right = [Some((1, 0)), Some((1, 1)), Some((1, 2))];
    assert_eq!(repeats(&format!("join b {EVER}")), [left, none].concat());
    assert_eq!(repeats("join b on a.id == b.id per batch"), [left, right].concat());
    assert_eq!(repeats("left join b on a.id == b.id per batch"), [left, none].concat());
    assert_eq!(repeats("full join b on a.id == b.id per batch"), [none, none].concat());
}

#[test]
fn a_table_answers_at_once() {
    for (condition, old) in [("b.ts <= a.ts", "x 30 2 x 9 4"), ("b.ts between a.ts - 10s and a.ts", "x 30 2 - - -")] {
        let condition = condition.replace("b.", "t.");
        let mut bench = join(&format!("left join t on a.id == t.id and {condition} with {{ match: latest }}"), 2);
        assert!(!bench.properties().stateful && bench.properties().mark_lag == 0);
        let given = bench.step("x 10 1, x 30 2, y 10 3, x 1 5", "x 9 3, x 20 6, x 5 1, x 9 4, x 11 5", None);
        let mut expected =
            vec!["x 10 1 x 9 4".to_owned(), "x 30 2 x 20 6".to_owned(), "y 10 3 - - -".into(), "x 1 5 - - -".into()];
        assert_eq!(given.out, expected);
        let given = bench.step("x 10 1, x 30 2, y 10 3, x 1 5", "x 9 3, x 5 1, x 9 4, x 31 5", None);
        expected[1] = old.to_owned();
        assert_eq!((given.out, given.handed), (expected, 4));
    }
    let stage = "join t on a.id == t.id and t.ts <= a.ts and v * w < 5 bad drop with { match: latest }";
    let given = join(stage, 1).step("x 10 4611686018427387904, x 10 2, y 1 1, x 10 1", "x 5 9, x 4 1", None);
    assert_eq!((given.out, given.bad.len()), (vec!["x 10 2 x 4 1".to_owned(), "x 10 1 x 4 1".into()], 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_gives_what_looking_through_everything_gives(
        left in proptest::collection::vec(("[xy]", 0..40_i64, 0..9_i64), 0..16),
        right in proptest::collection::vec(("[xy]", 0..40_i64, 0..9_i64), 0..24),
        cuts in proptest::collection::vec((0..16_usize, 0..24_usize, proptest::option::of(1..4_usize)), 0..6),
        (bounded, further) in (any::<bool>(), any::<bool>()),
    ) {
        let (lower, further) = (if bounded { " and b.ts >= a.ts - 8s" } else { "" }, if further { " and (v + w) % 3 != 0" } else { "" });
        let stage = format!("left join b on a.id == b.id and b.ts <= a.ts + 2s{lower}{further} late to late_rows with {{ match: latest }}");
        let mut bench = join(&stage, 2);
        let mut out = Vec::new();
        let row = |row: &(String, i64, i64)| (Some(row.0.clone()), row.1, row.2);
        let rows = |rows: &[(String, i64, i64)], name| hand::rows_of(&rows.iter().map(row).collect::<Vec<_>>(), name);
        let (mut rest_left, mut rest_right) = (&left[..], &right[..]);
        for (l, r, restart) in cuts {
            let (now_left, later_left) = rest_left.split_at(l.min(rest_left.len()));
            let (now_right, later_right) = rest_right.split_at(r.min(rest_right.len()));
            (rest_left, rest_right) = (later_left, later_right);
            let mark = rest_left.iter().chain(rest_right).map(|row| row.1).min();
            out.extend(bench.step_rows((rows(now_left, "v"), rows(now_right, "w")), mark.filter(|mark| bench.mark_allows(*mark))).out);
            if let Some(partitions) = restart {
                bench.restart(partitions);
            }
        }
        let last = bench.step_rows((rows(rest_left, "v"), rows(rest_right, "w")), END);
        prop_assert_eq!(last.late, none());
        out.extend(last.out);
        let answer = |l: &(String, i64, i64)| {
            let fits = |r: &&(String, i64, i64)| {
                l.0 == r.0 && r.1 <= l.1 + 2 && (!bounded || r.1 >= l.1 - 8) && (further.is_empty() || (l.2 + r.2) % 3 != 0)
            };
            let latest = right.iter().filter(fits).max_by_key(|r| r.1);
            let found = latest.map_or("- - -".to_owned(), |r| format!("{} {} {}", r.0, r.1, r.2));
            format!("{} {} {} {found}", l.0, l.1, l.2)
        };
        prop_assert_eq!(sorted(out), sorted(left.iter().map(answer).collect()));
        prop_assert_eq!(bench.held().keys, 0);
    }
}
