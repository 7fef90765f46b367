//! Steps `meter` as it is written.

use crate::operators::stepping::{Bench, row};

const METERS: &str = "meter seen = count(), total = sum(d), large = count_if(n > 5), biggest = max(n), \
    keys = count(distinct k), mean = avg(n), wide = (max(n) - min(n))";

fn line(k: &str, n: i64, d: &str) -> String {
    format!(r#"{{"k": "{k}", "n": {n}, "d": "{d}", "m": {{}}, "ts": 0}}"#)
}

#[test]
fn counters_add_up_and_gauges_keep_the_last_value() {
    let mut bench = Bench::untimed(METERS);
    let first = bench.step(&[line("a", 1, "1.50"), line("b", 9, "2.25"), line("a", 4, "0.25")], None);
    assert_eq!(first.out.len(), 3, "rows pass");
    assert_eq!(
        first.measured,
        ["seen 3", "total 4.00", "large 1", "biggest 9", "keys 2", "mean 4.666666666666667", "wide 8"]
    );
    let empty = bench.step(&[], None);
    assert_eq!(empty.measured, first.measured);
    bench.restart(1);
    let next = bench.step(&[line("c", 6, "1.00")], None);
    assert_eq!(next.measured, ["seen 4", "total 5.00", "large 2", "biggest 6", "keys 1", "mean 6", "wide 0"]);
}

#[test]
fn rows_that_cannot_be_measured_are_bad() {
    let mut bench = Bench::untimed("meter share = sum((100 / n)::int64?)");
    let stepped = bench.step(&[row("a", 0, 0), row("b", 5, 0)], None);
    assert_eq!((stepped.out.len(), stepped.bad.len()), (1, 1));
    assert_eq!(stepped.measured, ["share 20"]);
}
