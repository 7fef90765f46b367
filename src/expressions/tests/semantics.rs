//! What nodes mean: failures, three-valued logic, checked arithmetic, lazy branches, parts of values.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Fields, Int64Type};
use datafusion_common::ScalarValue;
use millstream_dsl::Span;
use millstream_dsl::ast::BinaryOp::{Add, Divide, Equal, Greater, Less, Modulo, Multiply, NotEqual, Subtract};

use super::build::*;
use crate::expressions::constant;
use crate::model::{Column, Slot, Type};
use crate::plan::{Node, TypedExpr};

fn ints(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn numbers() -> Table {
    table(vec![
        ("a", Slot::nullable(Type::Int64), ints(vec![Some(10), Some(i64::MAX), None, Some(7)])),
        ("b", Slot::nullable(Type::Int64), ints(vec![Some(2), Some(1), Some(0), Some(0)])),
    ])
}

fn texts(values: &[&str]) -> Table {
    let values: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
    table(vec![("s", Slot::required(Type::String), values)])
}

fn truths() -> Table {
    let three = [Some(true), Some(false), None];
    let a: BooleanArray = three.iter().flat_map(|a| [*a, *a, *a]).collect();
    let b: BooleanArray = three.iter().chain(&three).chain(&three).copied().collect();
    table(vec![("a", Slot::nullable(Type::Bool), Arc::new(a)), ("b", Slot::nullable(Type::Bool), Arc::new(b))])
}

fn lambda(parameter: &str, ty: Type, body: TypedExpr) -> TypedExpr {
    let parameters = vec![Column::new(parameter, Slot::nullable(ty))];
    let slot = body.slot.clone();
    TypedExpr::new(Node::Lambda { parameters, body: Box::new(body) }, slot, Span::default())
}

fn variable(name: &str, ty: Type) -> TypedExpr {
    of(ty, Node::LambdaVariable(name.into()))
}

fn list_type(element: Type) -> Type {
    Type::List(Box::new(Slot::nullable(element)))
}

fn lists() -> Table {
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), Some(2), Some(3)]),
        Some(vec![]),
        None,
        Some(vec![None, Some(0)]),
    ]);
    table(vec![
        ("l", Slot::nullable(list_type(Type::Int64)), Arc::new(lists)),
        ("n", Slot::nullable(Type::Int64), ints(vec![Some(2), Some(0), Some(0), None])),
    ])
}

#[test]
fn a_row_that_overflows_fails_and_its_neighbours_do_not() {
    let t = numbers();
    let (a, b) = (t.column("a"), t.column("b"));
    assert_eq!(t.show(&binary(a.clone(), Add, b.clone())), "12 ! - 7");
    assert_eq!(t.show(&binary(a.clone(), Multiply, b.clone())), format!("20 {} - 0", i64::MAX));
    assert_eq!(t.show(&of(Type::Int64, Node::Negate(Box::new(binary(int(-1), Subtract, a))))), format!("11 ! - 8"));
}

#[test]
fn a_division_by_zero_fails_for_whole_numbers_only() {
    let t = numbers();
    let (a, b) = (t.column("a"), t.column("b"));
    assert_eq!(t.show(&binary(a.clone(), Divide, b.clone())), format!("5 {} - !", i64::MAX));
    assert_eq!(t.show(&binary(a.clone(), Modulo, b.clone())), "0 0 - !");
    let floats = binary(cast(a, Type::Float64), Divide, cast(b, Type::Float64));
    assert_eq!(t.show(&floats), "5.0 9.223372036854776e18 - inf");
}

#[test]
fn the_reason_names_the_expression() {
    let t = numbers();
    let result = t.eval(&binary(t.column("a"), Divide, t.column("b")));
    assert_eq!(result.failures.reason(3), Some("(a / b): divide by zero error"));
    assert_eq!(result.failures.len(), 1);
}

#[test]
fn two_question_marks_catch_null_and_failure() {
    let t = numbers();
    let quotient = binary(t.column("a"), Divide, t.column("b"));
    assert_eq!(t.show(&or_else(quotient.clone(), int(-1))), format!("5 {} -1 -1", i64::MAX));
    assert_eq!(t.show(&or_else(quotient.clone(), t.column("b"))), format!("5 {} 0 0", i64::MAX));
    let other = binary(int(1), Divide, t.column("b"));
    assert_eq!(t.show(&or_else(quotient, other)), format!("5 {} ! !", i64::MAX));
}

#[test]
fn a_question_mark_is_not_taken_back() {
    let t = numbers();
    let quotient = binary(t.column("a"), Divide, t.column("b"));
    let tried = of(Type::Int64, Node::Try(Box::new(quotient)));
    assert_eq!(t.show(&or_else(tried, int(-1))), format!("5 {} -1 !", i64::MAX));
}

#[test]
fn and_and_or_know_three_values() {
    let t = truths();
    let both = vec![t.column("a"), t.column("b")];
    assert_eq!(t.show(&of(Type::Bool, Node::And(both.clone()))), "true false - false false false - false -");
    assert_eq!(t.show(&of(Type::Bool, Node::Or(both))), "true true true true false - true - -");
    assert_eq!(t.show(&of(Type::Bool, Node::Not(Box::new(t.column("a"))))), "false false false true true true - - -");
}

#[test]
fn and_protects_what_stands_behind_it() {
    let t = numbers();
    let safe = binary(t.column("b"), NotEqual, int(0));
    let risky = binary(binary(t.column("a"), Divide, t.column("b")), Greater, int(4));
    assert_eq!(t.show(&of(Type::Bool, Node::And(vec![safe.clone(), risky.clone()]))), "true true false false");
    assert_eq!(t.show(&of(Type::Bool, Node::And(vec![risky.clone(), safe.clone()]))), "true true false !");
    let unsafe_ = of(Type::Bool, Node::Not(Box::new(safe)));
    assert_eq!(t.show(&of(Type::Bool, Node::Or(vec![unsafe_, risky]))), "true true true true");
}

#[test]
fn a_branch_fails_only_for_rows_that_take_it() {
    let t = numbers();
    let zero = binary(t.column("b"), Equal, int(0));
    let quotient = binary(t.column("a"), Divide, t.column("b"));
    let case = |otherwise| of(Type::Int64, Node::Case { branches: vec![(zero.clone(), int(0))], otherwise });
    assert_eq!(t.show(&case(Some(Box::new(quotient.clone())))), format!("5 {} 0 0", i64::MAX));
    assert_eq!(t.show(&case(None)), "- - 0 0");
    assert_eq!(t.show(&call("if", vec![zero, int(0), quotient.clone()])), format!("5 {} 0 0", i64::MAX));
    let condition = binary(quotient, Greater, int(5));
    let when_failing =
        of(Type::Int64, Node::Case { branches: vec![(condition, int(1))], otherwise: Some(Box::new(int(2))) });
    assert_eq!(t.show(&when_failing), "2 1 2 !");
}

#[test]
fn floats_compare_as_in_sql() {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY]));
    let t = table(vec![("x", Slot::required(Type::Float64), values)]);
    let float = |x| TypedExpr::literal(ScalarValue::Float64(Some(x)), Span::default());
    assert_eq!(t.show(&binary(t.column("x"), Equal, float(0.0))), "true true false false false");
    assert_eq!(t.show(&binary(t.column("x"), Equal, float(f64::NAN))), "false false true true false");
    assert_eq!(t.show(&binary(t.column("x"), Greater, float(f64::INFINITY))), "false false true true false");
    let zeros = of(list_type(Type::Float64), Node::List(vec![float(-0.0), float(f64::NAN)]));
    assert_eq!(
        t.show(&of(Type::Bool, Node::In(Box::new(t.column("x")), Box::new(zeros)))),
        "true true true true false"
    );
}

#[test]
fn a_comparison_with_null_is_null() {
    let t = numbers();
    assert_eq!(t.show(&binary(t.column("a"), Less, int(10))), "false false - true");
    assert_eq!(t.show(&of(Type::Bool, Node::IsNull(Box::new(t.column("a"))))), "false false true false");
}

#[test]
fn membership_is_unsure_where_null_is_in_the_list() {
    let t = numbers();
    let null = TypedExpr::literal(ScalarValue::Int64(None), Span::default());
    let within = |items| {
        let list = of(list_type(Type::Int64), Node::List(items));
        of(Type::Bool, Node::In(Box::new(t.column("a")), Box::new(list)))
    };
    assert_eq!(t.show(&within(vec![int(7), int(10)])), "true false - true");
    assert_eq!(t.show(&within(vec![int(7), null])), "- - - true");
    assert_eq!(t.show(&within(vec![int(7), t.column("a")])), "true true - true");
    assert_eq!(t.show(&within(vec![])), "false false false false");
    let l = lists();
    assert_eq!(l.show(&of(Type::Bool, Node::In(Box::new(l.column("n")), Box::new(l.column("l"))))), "true false - -");
}

#[test]
fn a_cast_fails_for_the_rows_that_do_not_fit() {
    let t = texts(&["7", " ", "x", "2026-01-01", "-1", "1e3"]);
    assert_eq!(t.show(&cast(t.column("s"), Type::Int64)), "7 ! ! ! -1 !");
    assert_eq!(t.show(&or_else(cast(t.column("s"), Type::UInt8), cast(int(0), Type::UInt8))), "7 0 0 0 0 0");
    assert_eq!(t.show(&cast(t.column("s"), Type::Date)), "! ! ! 2026-01-01 ! !");
    let reasons = t.eval(&cast(t.column("s"), Type::Int64));
    assert_eq!(reasons.failures.reason(2), Some("`x` is no int64"));
    let narrow = cast(int(300), Type::UInt8);
    assert_eq!(t.show(&narrow), "! ! ! ! ! !");
}

#[test]
fn decimals_are_exact_and_checked() {
    let ty = Type::Decimal { precision: 38, scale: 2 };
    let largest = 10_i128.pow(38) - 1;
    let values: ArrayRef = Arc::new(
        Decimal128Array::from(vec![Some(10), Some(largest), None]).with_precision_and_scale(38, 2).expect("a decimal"),
    );
    let t = table(vec![("d", Slot::nullable(ty.clone()), values)]);
    let cent = TypedExpr::literal(ScalarValue::Decimal128(Some(1), 38, 2), Span::default());
    assert_eq!(t.show(&binary(t.column("d"), Add, cent)), "0.11 ! -");
    let zero = TypedExpr::literal(ScalarValue::Decimal128(Some(0), 38, 2), Span::default());
    assert_eq!(t.show(&binary(t.column("d"), Divide, zero)), "! ! -");
    let small = Type::Decimal { precision: 5, scale: 2 };
    assert_eq!(t.show(&cast(t.column("d"), small)), "0.10 ! -");
}

#[test]
fn moments_and_durations_are_calculated_and_checked() {
    let values: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![NEW_YEAR, i64::MAX]).with_timezone("UTC"));
    let t = table(vec![("ts", Slot::required(Type::Timestamp(None)), values)]);
    let hour = TypedExpr::literal(ScalarValue::DurationMicrosecond(Some(3_600_000_000)), Span::default());
    assert_eq!(t.show(&binary(t.column("ts"), Add, hour.clone())), "2026-01-01T01:00:00Z !");
    let since = of(Type::Duration, Node::Binary(Box::new(t.column("ts")), Subtract, Box::new(call("now", vec![]))));
    assert_eq!(
        t.show(&cast(or_else(since, hour.clone()), Type::String)),
        "0s 9221604811253175807us"
            .replace("9221604811253175807us", &{ crate::model::time::show_duration(i64::MAX - NEW_YEAR) })
    );
    let twice = of(Type::Duration, Node::Binary(Box::new(hour), Multiply, Box::new(int(2))));
    assert_eq!(t.show(&cast(twice, Type::String)), "2h 2h");
}

#[test]
fn lists_count_from_zero_and_have_null_behind_their_ends() {
    let t = lists();
    let at = |index| of(Type::Int64, Node::Index(Box::new(t.column("l")), Box::new(index)));
    assert_eq!(t.show(&at(int(0))), "1 - - -");
    assert_eq!(t.show(&at(int(-1))), "- - - -");
    assert_eq!(t.show(&at(t.column("n"))), "3 - - -");
    assert_eq!(t.show(&call("size", vec![t.column("l")])), "3 0 - 2");
}

#[test]
fn a_field_of_nothing_is_null() {
    let fields: Fields = vec![Field::new("x", Type::Int64.to_arrow(), false)].into();
    let values: ArrayRef =
        Arc::new(StructArray::new(fields, vec![ints(vec![Some(1), Some(2)])], Some(vec![true, false].into())));
    let ty = Type::Struct(vec![Column::new("x", Slot::required(Type::Int64))]);
    let t = table(vec![("r", Slot::nullable(ty), values)]);
    assert_eq!(t.show(&of(Type::Int64, Node::Field(Box::new(t.column("r")), "x".into()))), "1 -");
}

#[test]
fn structs_and_lists_are_made_of_rows_that_did_not_fail() {
    let t = numbers();
    let quotient = TypedExpr { slot: Slot::required(Type::Int64), ..binary(int(10), Divide, t.column("b")) };
    let ty = Type::Struct(vec![Column::new("q", Slot::required(Type::Int64))]);
    let record = of(ty, Node::Struct(vec![("q".into(), quotient.clone())]));
    assert_eq!(t.show(&record), "{q: 5} {q: 10} ! !");
    let pair = of(Type::List(Box::new(Slot::required(Type::Int64))), Node::List(vec![quotient, int(1)]));
    assert_eq!(t.show(&pair), "[5, 1] [10, 1] ! !");
}

#[test]
fn lambdas_see_their_element_and_the_row() {
    let t = lists();
    let x = || variable("x", Type::Int64);
    let sum = lambda("x", Type::Int64, binary(x(), Add, t.column("n")));
    assert_eq!(t.show(&call("transform", vec![t.column("l"), sum])), "[3, 4, 5] [] - [, ]");
    let large = lambda("x", Type::Int64, binary(x(), Greater, int(1)));
    assert_eq!(t.show(&call("filter", vec![t.column("l"), large])), "[2, 3] [] - []");
}

#[test]
fn a_lambda_that_fails_for_an_element_fails_the_row() {
    let t = lists();
    let inverse = lambda("x", Type::Int64, binary(int(6), Divide, variable("x", Type::Int64)));
    assert_eq!(t.show(&call("transform", vec![t.column("l"), inverse])), "[6, 3, 2] [] - !");
}

#[test]
fn json_is_read_by_path_and_keeps_every_digit() {
    let t = texts(&[
        r#"{"user": {"name": "Ada", "tags": ["x", "y"]}, "n": 12345678901234567890.10}"#,
        r#"{"user": null}"#,
        "not json",
    ]);
    let doc = TypedExpr { slot: Slot::required(Type::Json), ..t.column("s") };
    let at = |of_: &TypedExpr, key: TypedExpr| of(Type::Json, Node::Index(Box::new(of_.clone()), Box::new(key)));
    let tags = at(&at(&doc, text("user")), text("tags"));
    assert_eq!(t.show(&at(&tags, int(1))), "\"y\" - -");
    assert_eq!(t.show(&cast(at(&tags, int(1)), Type::String)), "y - -");
    let exact = Type::Decimal { precision: 38, scale: 2 };
    assert_eq!(t.show(&cast(at(&doc, text("n")), exact)), "12345678901234567890.10 - -");
    let strings = Type::List(Box::new(Slot::required(Type::String)));
    assert_eq!(t.show(&cast(tags, strings)), "[x, y] - -");
    assert_eq!(t.show(&cast(t.column("s"), Type::Json)).split(' ').next_back(), Some("!"));
}

#[test]
fn durations_are_read_and_written_as_the_language_writes_them() {
    let t = texts(&["90s", "1h30m", "soon"]);
    let parsed = cast(t.column("s"), Type::Duration);
    assert_eq!(
        t.show(&cast(
            or_else(parsed, TypedExpr::literal(ScalarValue::DurationMicrosecond(Some(0)), Span::default())),
            Type::String
        )),
        "90s 90m 0s"
    );
}

#[test]
fn now_is_the_time_of_the_batch() {
    let t = nothing();
    assert_eq!(t.show(&call("now", vec![])), "2026-01-01T00:00:00Z");
    assert_eq!(t.show(&call("current_date", vec![])), "2026-01-01");
}

#[test]
fn fallible_functions_fail_row_by_row() {
    let t = texts(&["2026-01-01", "tomorrow", ""]);
    assert_eq!(t.show(&call("to_date", vec![t.column("s")])), "2026-01-01 ! !");
    assert_eq!(t.show(&call("upper", vec![t.column("s")])), "2026-01-01 TOMORROW ");
}

#[test]
fn constants_are_known_before_anything_runs() {
    assert_eq!(constant(&binary(int(2), Multiply, int(3))), Some(ScalarValue::Int64(Some(6))));
    assert_eq!(constant(&binary(int(2), Divide, int(0))), None);
    assert_eq!(constant(&call("upper", vec![text("a")])), Some(ScalarValue::Utf8(Some("A".into()))));
    assert_eq!(constant(&call("now", vec![])), None);
    assert_eq!(constant(&call("random", vec![])), None);
    assert_eq!(constant(&numbers().column("a")), None);
}

#[test]
fn an_empty_block_has_empty_columns() {
    let t = table(vec![("a", Slot::required(Type::Int64), ints(vec![]))]);
    for expr in [binary(t.column("a"), Divide, int(0)), call("upper", vec![cast(t.column("a"), Type::String)]), int(1)]
    {
        assert_eq!(t.eval(&expr).columns[0].len(), 0);
    }
}

#[test]
fn the_calendar_is_known() {
    let t = texts(&["2026-01-31", "2024-02-29"]);
    let date = || or_else(cast(t.column("s"), Type::Date), call("current_date", vec![]));
    for (expr, expected) in [
        (call("year", vec![date()]), "2026 2024"),
        (call("dayofweek", vec![date()]), "7 5"),
        (call("date_part", vec![text("doy"), date()]), "31 60"),
        (call("date_add", vec![date(), int(1)]), "2026-02-01 2024-03-01"),
        (call("date_sub", vec![date(), int(i64::MIN)]), "! !"),
        (call("add_months", vec![date(), int(1)]), "2026-02-28 2024-03-29"),
        (call("datediff", vec![date(), text("2024-02-28")]), "703 1"),
        (call("months_between", vec![date(), text("2023-12-31")]), "25.0 2.0"),
        (call("last_day", vec![date()]), "2026-01-31 2024-02-29"),
    ] {
        assert_eq!(t.show(&expr), expected, "{expr}");
    }
}

#[test]
fn maps_give_their_entries() {
    let pair = |a, b| of(list_type(a), Node::List(b));
    let keys = pair(Type::String, vec![text("a"), text("b")]);
    let map = call("map", vec![keys, pair(Type::Int64, vec![int(1), int(2)])]);
    let t = nothing();
    let entries = call("map_entries", vec![map.clone()]);
    assert_eq!(t.show(&entries), "[{key: a, value: 1}, {key: b, value: 2}]");
    assert_eq!(t.show(&of(Type::Int64, Node::Index(Box::new(map.clone()), Box::new(text("b"))))), "2");
    assert_eq!(t.show(&of(Type::Int64, Node::Index(Box::new(map), Box::new(text("z"))))), "-");
    assert_eq!(t.show(&call("locate", vec![text("b"), text("abc")])), "2");
    assert_eq!(t.show(&call("named_struct", vec![text("x"), int(1)])), "{x: 1}");
}

#[test]
fn too_much_of_something_is_a_failing_row() {
    let t = table(vec![("n", Slot::required(Type::Int64), ints(vec![Some(2), Some(i64::MAX), Some(-1)]))]);
    assert_eq!(t.show(&call("repeat", vec![text("x"), t.column("n")])), "xx ! ");
    assert_eq!(t.show(&call("lpad", vec![text("x"), t.column("n"), text("-")])), "-x ! !");
    assert_eq!(t.show(&call("range", vec![t.column("n")])), "[0, 1] ! []");
}

#[test]
fn a_date_outside_of_the_calendar_fails_its_row() {
    let values: ArrayRef = Arc::new(arrow::array::Date32Array::from(vec![0, i32::MAX]));
    let t = table(vec![("d", Slot::required(Type::Date), values)]);
    assert_eq!(t.eval(&call("year", vec![t.column("d")])).failures.len(), 1);
    assert_eq!(t.eval(&call("last_day", vec![t.column("d")])).failures.len(), 1);
    assert_eq!(t.eval(&cast(t.column("d"), Type::String)).failures.len(), 1);
}
