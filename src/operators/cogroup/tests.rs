//! Cogroups at work.

use crate::operators::join::tests::hand::{Bench, END};

fn cogroup(stage: &str, partitions: usize) -> Bench {
    Bench::new("cogroup", stage, partitions)
}

/// Rows of a list as they are written out.
fn row(seconds: i64, name: &str, number: i64) -> String {
    format!("{{ts: 1970-01-01T00:00:{seconds:02}Z, {name}: {number}}}")
}

#[test]
fn each_key_of_a_batch_has_two_lists() {
    let mut bench = cogroup("cogroup b using id", 1);
    let given = bench.step("x 1 1, - 2 2, x 3 3", "y 1 4, x 2 5, - 3 6", None);
    let expected = [
        format!("x [{}, {}] [{}]", row(1, "v", 1), row(3, "v", 3), row(2, "w", 5)),
        format!("- [{}] [{}]", row(2, "v", 2), row(3, "w", 6)),
        format!("y [] [{}]", row(1, "w", 4)),
    ];
    assert_eq!(given.out, expected);
    assert_eq!((given.handed, given.taken), (0, 6));
    assert!(bench.step("", "", None).out.is_empty());
    assert!(bench.saved().is_empty());
}

#[test]
fn partitions_change_no_row_of_it() {
    let rows = ("x 1 1, - 2 2, x 3 3, z 4 4", "y 1 4, x 2 5, - 3 6");
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    let one = cogroup("cogroup b using id", 1).step(rows.0, rows.1, None);
    assert_eq!(sorted(cogroup("cogroup b using id", 3).step(rows.0, rows.1, None).out), sorted(one.out));
}

#[test]
fn a_window_is_grouped_when_it_closes() {
    let mut bench = cogroup("cogroup b using id over tumbling(10s) late to late_rows", 2);
    assert!(bench.step("x 1 1, x 12 2", "x 5 3", 5).out.is_empty());
    bench.restart(3);
    assert_eq!(
        bench.step("", "x 9 4", 10).out,
        [format!("0 10 x [{}] [{}, {}]", row(1, "v", 1), row(5, "w", 3), row(9, "w", 4))]
    );
    let given = bench.step("x 9 5", "", 10);
    assert_eq!((given.late.len(), given.taken), (1, 0));
    bench.restart(1);
    assert_eq!(
        bench.step("", "- 15 6", END).out,
        [format!("10 20 x [{}] []", row(12, "v", 2)), format!("10 20 - [] [{}]", row(15, "w", 6)),]
    );
    assert_eq!(bench.held().keys, 0);
}
