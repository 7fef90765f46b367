//! Rows that are all there: the same batch, or a batch and a table.

use super::*;

const LEFT: &str = "x 1 1, - 2 2, y 3 3, x 4 4";
const RIGHT: &str = "x 1 10, z 2 20, - 3 30, x 4 40";

fn batch(modifier: &str, partitions: usize) -> Given {
    join(&format!("{modifier} join b using id per batch"), partitions).step(LEFT, RIGHT, None)
}

#[test]
fn each_modifier_hands_on_its_rows_of_a_batch() {
    let pairs = ["x 1 1 1 10", "x 1 1 4 40", "x 4 4 1 10", "x 4 4 4 40"];
    let given = batch("", 1);
    assert_eq!(given.out, pairs);
    assert_eq!((given.handed, given.filtered, given.taken), (2, 2, 4));
    let left = ["x 1 1 1 10", "x 1 1 4 40", "- 2 2 - -", "y 3 3 - -", "x 4 4 1 10", "x 4 4 4 40"];
    assert_eq!(batch("left", 1).out, left);
    let alone = ["z - - 2 20", "- - - 3 30"];
    assert_eq!(batch("right", 1).out, [&pairs[..], &alone].concat());
    assert_eq!(batch("full", 1).out, [&left[..], &alone].concat());
    assert_eq!(batch("semi", 1).out, ["x 1 1", "x 4 4"]);
    assert_eq!(batch("anti", 1).out, ["- 2 2", "y 3 3"]);
    for modifier in ["", "left", "right", "full", "semi", "anti"] {
        assert_eq!(sorted(batch(modifier, 3).out), sorted(batch(modifier, 1).out), "{modifier}");
    }
}

#[test]
fn the_smaller_side_is_hashed_and_the_order_is_the_same() {
    let few = "x 4 40, x 1 10";
    let mut bench = join("left join b using id per batch", 1);
    let small_right = bench.step(LEFT, few, None).out;
    let more = format!("{few}, p 0 0, q 0 0, r 0 0, s 0 0");
    assert_eq!(bench.step(LEFT, &more, None).out, small_right);
}

#[test]
fn a_cross_join_pairs_everything_and_an_empty_side_gives_nothing() {
    let mut bench = join("cross join b per batch", 3);
    assert_eq!(bench.step("x 1 1, - 2 2", "y 1 5, z 2 6", None).out.len(), 4);
    assert_eq!(bench.step("x 1 1", "", None).out, none());
    assert_eq!(bench.step("", "x 1 1", None).out, none());
    let mut full = join("full join b using id per batch", 1);
    assert_eq!(full.step("x 1 1", "", None).out, ["x 1 1 - -"]);
    assert_eq!(full.step("", "x 1 1", None).out, ["x - - 1 1"]);
    assert_eq!(full.step("", "", None).out, none());
}

#[test]
fn further_conditions_decide_about_pairs_and_not_about_rows() {
    let rows = ("x 1 1, x 2 5, y 3 3", "x 1 3, x 2 4, y 3 1");
    let mut bench = join("left join b on a.id == b.id and v < w and v != 5 per batch", 1);
    assert_eq!(bench.step(rows.0, rows.1, None).out, ["x 1 1 x 1 3", "x 1 1 x 2 4", "x 2 5 - - -", "y 3 3 - - -"]);
    let mut bench = join("full join b on a.id == b.id and w > 3 per batch", 1);
    let given = bench.step(rows.0, rows.1, None);
    assert_eq!(given.out, ["x 1 1 x 2 4", "x 2 5 x 2 4", "y 3 3 - - -", "- - - x 1 3", "- - - y 3 1"]);
    let mut bench = join("semi join b on v < w per batch", 2);
    assert_eq!(bench.step(rows.0, rows.1, None).out, ["x 1 1", "y 3 3"]);
}

#[test]
fn a_left_row_whose_condition_fails_with_a_partner_is_bad() {
    let mut bench = join("left join b on a.id == b.id and v * 9223372036854775807 < w per batch bad to oops", 1);
    let given = bench.step("x 1 0, x 2 2, y 3 2", "x 1 3, x 2 4", None);
    assert_eq!(given.out, ["x 1 0 x 1 3", "x 1 0 x 2 4", "y 3 2 - - -"]);
    assert_eq!(given.bad.len(), 1, "{given:?}");
    let mut bench = join("left join b on a.id == b.id and v * w < 5 per batch bad to oops", 1);
    let given = bench.step("x 1 4611686018427387904, y 2 9", "x 1 1, x 2 2, x 3 0, x 4 2", None);
    assert_eq!(given.out, ["y 2 9 - - -"]);
    let [bad] = &given.bad[..] else { panic!("{given:?}") };
    assert!(bad.starts_with("left 1 "), "{bad}");
    assert!(bad.ends_with(r#"{"id":"x","ts":"1970-01-01T00:00:01Z","v":4611686018427387904}"#), "{bad}");
}

#[test]
fn a_row_that_fails_its_own_sides_condition_is_bad_with_or_without_a_partner() {
    let stage = "full join b on a.id == b.id and v * 9223372036854775807 < 9 and w * 9223372036854775807 < 9 per batch bad to oops";
    let given = join(stage, 1).step("x 1 0, x 2 2, y 3 2", "x 1 0, z 2 4", None);
    assert_eq!(given.out, ["x 1 0 x 1 0"]);
    let sides: Vec<_> = given.bad.iter().map(|row| row.split_once(' ').unwrap().0).collect();
    assert_eq!((sides, given.taken, given.handed), (vec!["left", "left", "right"], 1, 1));
}

#[test]
fn a_table_is_looked_up_whole_and_the_left_order_stays() {
    let table = "y 9 90, x 1 10, - 3 30, x 4 40";
    let mut bench = join("left join t using id", 3);
    let given = bench.step(LEFT, table, None);
    assert_eq!(given.out, ["x 1 1 1 10", "x 1 1 4 40", "- 2 2 - -", "y 3 3 9 90", "x 4 4 1 10", "x 4 4 4 40"]);
    assert_eq!((given.handed, given.filtered, given.taken), (4, 0, 0));
    let given = join("join t using id", 2).step(LEFT, table, None);
    assert_eq!(given.out, ["x 1 1 1 10", "x 1 1 4 40", "y 3 3 9 90", "x 4 4 1 10", "x 4 4 4 40"]);
    assert_eq!((given.handed, given.filtered), (3, 1));
    assert_eq!(join("semi join t using id", 2).step(LEFT, table, None).out, ["x 1 1", "y 3 3", "x 4 4"]);
    assert_eq!(join("anti join t using id", 2).step(LEFT, table, None).out, ["- 2 2"]);
    assert_eq!(join("cross join t", 2).step(LEFT, table, None).out.len(), 16);
    assert_eq!(join("left join t using id", 2).step(LEFT, "", None).out.len(), 4);
    assert_eq!(join("anti join t on a.id == t.id and w > 80", 2).step(LEFT, table, None).out.len(), 3);
}

#[test]
fn a_table_that_changes_is_seen_from_then_on() {
    let mut bench = join("join t using id", 2);
    assert_eq!(bench.step("x 1 1", "x 1 10", None).out, ["x 1 1 1 10"]);
    assert_eq!(bench.step("x 1 1", "x 1 11", None).out, ["x 1 1 1 11"]);
    assert_eq!(bench.step("x 1 1", "y 1 11", None).out, none());
    assert_eq!(bench.step("", "y 1 11", None).out, none());
}

#[test]
fn joins_of_what_is_there_remember_nothing() {
    for stage in ["join b using id per batch", "join t using id"] {
        let bench = join(stage, 2);
        assert_eq!((bench.saved(), bench.held()), (Vec::new(), Default::default()));
        assert!(!bench.properties().stateful && bench.properties().mark_lag == 0);
    }
}

#[test]
fn many_pairs_come_in_several_blocks_and_in_order() {
    let left: Vec<_> = (0..300).map(|i| (Some("k".to_owned()), i, i)).collect();
    let right: Vec<_> = (0..300).map(|i| (Some("k".to_owned()), i, i)).collect();
    let mut bench = join("join b using id per batch", 1);
    let given = bench.step_rows((hand::rows_of(&left, "v"), hand::rows_of(&right, "w")), None);
    let expected: Vec<_> = (0..300).flat_map(|l| (0..300).map(move |r| format!("k {l} {l} {r} {r}"))).collect();
    assert_eq!(given.out, expected);
}
