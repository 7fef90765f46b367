//! The oracle against examples computed by hand, and seeds that once failed.

use std::collections::BTreeMap;

use super::evaluate::{Batches, expected};
use super::expr::Expr;
use super::generate::START;
use super::program::{
    Call, Column, Emit, Func, Join, Kind, Meeting, Program, SECOND, Scope, Source, Stage, Step, Stream, Window,
};
use super::run::{Trouble, try_case};
use super::value::{Row, Ty, Value, same_rows};
use super::{attempt, generate};

/// Seeds whose cases once showed a mistake of the engine.
const ONCE_FAILED: &[u64] = &[43, 68, 1618];

#[test]
fn what_once_failed_fails_no_more() {
    for seed in ONCE_FAILED {
        if let Err(Trouble::Wrong(why)) = attempt(&generate::case(*seed)) {
            panic!("seed {seed}: {why}");
        }
    }
}

/// Columns `NAMEts`, `NAMEk`, `NAMEn`.
fn source(name: &str, delay: i64) -> Source {
    let columns = vec![
        Column::new(&format!("{name}ts"), Ty::Time, false),
        Column::new(&format!("{name}k"), Ty::Text, true),
        Column::new(&format!("{name}n"), Ty::Int, true),
    ];
    Source { name: name.into(), columns, delay: Some(delay), table: false }
}

fn row(second: i64, k: &str, n: i64) -> Row {
    vec![at(second), Value::text(k), Value::Int(n)]
}

fn at(second: i64) -> Value {
    Value::Time(START + second * SECOND)
}

fn program(sources: Vec<Source>, stage: Stage) -> Program {
    let steps = vec![Step { stage, late: None, bad: None }];
    Program { sources, streams: vec![Stream { name: "s".into(), from: "a".into(), steps }] }
}

fn sum_by_k(scope: Scope, emit: Emit) -> Stage {
    let arg = Some(Expr::Column(2, "an".into()));
    let call = Call { name: "total".into(), func: Func::Sum, arg, ty: Ty::Int, distinct: false, filter: None };
    Stage::Aggregate { calls: vec![call], by: vec![("k".into(), Expr::Column(1, "ak".into()), Ty::Text)], scope, emit }
}

/// Two batches and the closing one.
fn batches(rows: &[(&str, [Vec<Row>; 2])]) -> Batches {
    let all = |rows: &[Vec<Row>; 2]| vec![Some(rows[0].clone()), Some(rows[1].clone()), Some(vec![])];
    let rows: BTreeMap<_, _> = rows.iter().map(|(name, rows)| ((*name).to_owned(), all(rows))).collect();
    Batches { times: (1..4).map(|n| START + n * SECOND).collect(), closing: true, rows }
}

fn check(program: &Program, batches: &Batches, wanted: [Vec<Row>; 3], late: [usize; 3]) {
    let expected = expected(program, batches);
    for (batch, wanted) in wanted.iter().enumerate() {
        let given = &expected.streams["s"][batch];
        assert!(given.len() == wanted.len() && given.iter().zip(wanted).all(|(a, b)| same_rows(a, b)), "{given:?}");
    }
    assert_eq!(expected.late, late);
}

#[test]
fn a_window_comes_out_when_the_mark_passes_its_end_and_a_row_behind_it_is_late() {
    let window = Window::Tumbling { length: 10, start: 0 };
    let program = program(vec![source("a", 0)], sum_by_k(Scope::Over { window, batch_time: false }, Emit::Unsaid));
    let rows = [vec![row(1, "x", 1), row(12, "x", 2), row(2, "y", 8)], vec![row(5, "x", 16), row(15, "x", 4)]];
    let result = |from: i64, k: &str, total: i64| vec![at(from), at(from + 10), Value::text(k), Value::Int(total)];
    let wanted = [vec![result(0, "x", 1), result(0, "y", 8)], vec![], vec![result(10, "x", 6)]];
    check(&program, &batches(&[("a", rows)]), wanted, [0, 1, 0]);
}

#[test]
fn a_session_grows_until_its_gap_has_passed() {
    let window = Window::Session { gap: 3 };
    let program = program(vec![source("a", 0)], sum_by_k(Scope::Over { window, batch_time: false }, Emit::Unsaid));
    let rows = [vec![row(1, "x", 1), row(4, "x", 2)], vec![row(7, "x", 4), row(11, "x", 8)]];
    let result = |from: i64, end: i64, total: i64| vec![at(from), at(end), Value::text("x"), Value::Int(total)];
    check(&program, &batches(&[("a", rows)]), [vec![], vec![result(1, 10, 7)], vec![result(11, 14, 8)]], [0, 0, 0]);
}

#[test]
fn a_running_total_takes_the_old_one_back() {
    let scope = Scope::Running { ttl: None, batch_time: false };
    let program = program(vec![source("a", 0)], sum_by_k(scope, Emit::Unsaid));
    let rows = [vec![row(1, "x", 1), row(2, "x", 2)], vec![row(3, "x", 4), row(3, "y", 0)]];
    let change = |k: &str, total: i64, op: &str| vec![Value::text(k), Value::Int(total), Value::text(op)];
    let second = vec![change("x", 3, "-"), change("x", 7, "+"), change("y", 0, "+")];
    check(&program, &batches(&[("a", rows)]), [vec![change("x", 3, "+")], second, vec![]], [0, 0, 0]);
}

#[test]
fn a_left_row_waits_for_partners_as_long_as_they_can_come() {
    let meeting = Meeting::Bound { low: 0, high: 2 };
    let join = Join { kind: Kind::Left, other: "b".into(), keys: vec![(1, 1)], meeting, also: None };
    let program = program(vec![source("a", 0), source("b", 0)], Stage::Join(join));
    let left = [vec![row(1, "x", 1), row(2, "y", 2)], vec![row(6, "x", 4)]];
    let right = [vec![row(1, "y", 8)], vec![row(3, "x", 16), row(6, "z", 32)]];
    let pair = |l: Row, r: Option<Row>| -> Row { l.into_iter().chain(r.unwrap_or(vec![Value::Null; 3])).collect() };
    // The mark is the smaller one: 1 behind the first batch, 6 behind the second.
    let second = vec![pair(row(1, "x", 1), Some(row(3, "x", 16))), pair(row(2, "y", 2), None)];
    let wanted = [vec![], second, vec![pair(row(6, "x", 4), None)]];
    check(&program, &batches(&[("a", left), ("b", right)]), wanted, [0, 0, 0]);
}

#[test]
fn a_seed_always_gives_the_same_case() {
    assert_eq!(generate::case(7).program.text(), generate::case(7).program.text());
    assert!(try_case(&generate::case(7)).is_ok() || matches!(try_case(&generate::case(7)), Err(Trouble::Refused(_))));
}
