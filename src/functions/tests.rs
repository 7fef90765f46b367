//! The list of functions as a whole.

use std::collections::BTreeSet;

use datafusion_common::ScalarValue;

use super::*;
use crate::model::{Column, Slot, Type};
use crate::plan::catalog::{Argument, Doc, FunctionBody, Signature, find};

fn arg(ty: Type) -> Argument<'static> {
    Argument { slot: Slot::required(ty), constant: None, lambda: false }
}

fn maybe(ty: Type) -> Argument<'static> {
    Argument { slot: Slot::nullable(ty), constant: None, lambda: false }
}

fn decimal(precision: u8, scale: i8) -> Type {
    Type::Decimal { precision, scale }
}

fn list(ty: Type) -> Type {
    Type::List(Box::new(Slot::required(ty)))
}

fn resolve(name: &str, args: &[Argument<'_>]) -> Result<Signature, String> {
    let all = scalars();
    let entry = find(&all, name).unwrap_or_else(|| panic!("no function {name}"));
    (entry.resolve)(entry, args)
}

fn result(name: &str, args: &[Argument<'_>]) -> String {
    resolve(name, args).map_or_else(|why| why, |s| s.result.to_string())
}

fn total(name: &str, args: &[Argument<'_>]) -> String {
    let all = aggregates();
    let entry = find(&all, name).unwrap_or_else(|| panic!("no aggregate {name}"));
    (entry.resolve)(entry, args).map_or_else(|why| why, |s| s.result.to_string())
}

fn docs() -> Vec<Doc> {
    scalars().iter().map(|e| e.doc.clone()).chain(aggregates().iter().map(|e| e.doc.clone())).collect()
}

#[test]
fn every_function_of_datafusion_is_listed_or_left_out_with_a_reason() {
    let mut theirs: Vec<_> =
        datafusion_functions::all_default_functions().iter().map(|u| u.name().to_owned()).collect();
    theirs.extend(datafusion_functions_nested::all_default_nested_functions().iter().map(|u| u.name().to_owned()));
    theirs
        .extend(datafusion_functions_nested::all_default_higher_order_functions().iter().map(|u| u.name().to_owned()));
    let listed: BTreeSet<_> = scalars().iter().map(|e| e.doc.name.clone()).collect();
    let left_out: BTreeSet<_> = facts::LEFT_OUT.iter().map(|(name, _)| (*name).to_owned()).collect();
    let missing: Vec<_> = theirs.iter().filter(|n| !listed.contains(*n) && !left_out.contains(*n)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let reviewed = facts::FAMILIES.iter().flat_map(|f| f.facts).map(|f| f.name);
    let gone: Vec<_> = reviewed.filter(|n| !theirs.iter().any(|t| t == n)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn every_aggregate_of_datafusion_is_listed_or_left_out_with_a_reason() {
    let listed: BTreeSet<_> = aggregates().iter().map(|e| e.doc.name.clone()).collect();
    let left_out = |name: &str| aggregates::LEFT_OUT.iter().any(|(n, _)| *n == name);
    let theirs = datafusion_functions_aggregate::all_default_aggregate_functions();
    let missing: Vec<_> = theirs.iter().map(|u| u.name()).filter(|n| !listed.contains(*n) && !left_out(n)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_entry_says_in_a_sentence_what_it_is_and_how_it_is_written() {
    for doc in docs() {
        assert!(doc.summary.len() > 8 && !doc.summary.ends_with('.'), "{}: {:?}", doc.name, doc.summary);
        assert!(doc.summary.len() < 160, "{}: {:?}", doc.name, doc.summary);
        assert!(
            doc.usage.starts_with(&format!("{}(", doc.name)) && doc.usage.ends_with(')'),
            "{}: {:?}",
            doc.name,
            doc.usage
        );
    }
}

#[test]
fn no_word_means_two_functions() {
    let mut seen = BTreeSet::new();
    for doc in scalars().iter().map(|e| e.doc.clone()) {
        for word in std::iter::once(&doc.name).chain(&doc.aliases) {
            assert!(seen.insert(word.clone()), "{word} twice");
        }
    }
    for doc in aggregates().iter().map(|e| e.doc.clone()) {
        for word in std::iter::once(&doc.name).chain(&doc.aliases) {
            assert!(seen.insert(word.clone()), "{word} twice");
        }
    }
}

#[test]
fn the_words_of_spark_are_known() {
    let words = [
        "size",
        "date_format",
        "substring",
        "instr",
        "locate",
        "array_contains",
        "sort_array",
        "element_at",
        "to_date",
        "datediff",
        "date_add",
        "date_sub",
        "add_months",
        "months_between",
        "ifnull",
        "nvl",
        "rlike",
        "concat_ws",
        "ucase",
        "lcase",
        "from_unixtime",
        "unix_timestamp",
        "transform",
        "filter",
        "exists",
        "split",
        "sequence",
        "hex",
        "if",
        "get_json_object",
        "to_json",
        "greatest",
        "least",
        "slice",
        "year",
        "month",
        "dayofmonth",
        "hour",
        "last_day",
    ];
    let all = scalars();
    let missing: Vec<_> = words.iter().filter(|w| find(&all, w).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let words = [
        "collect_list",
        "collect_set",
        "approx_count_distinct",
        "percentile_approx",
        "first",
        "last",
        "every",
        "bool_and",
        "stddev",
        "mean",
        "count_if",
        "variance",
        "max_by",
        "min_by",
    ];
    let all = aggregates();
    let missing: Vec<_> = words.iter().filter(|w| find(&all, w).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn overloads_give_types_and_nullability() {
    let date = arg(Type::Date);
    for (name, args, expected) in [
        ("lower", vec![arg(Type::String)], "string"),
        ("lower", vec![maybe(Type::String)], "string?"),
        ("length", vec![arg(Type::Json)], "int32"),
        ("sqrt", vec![arg(Type::Int64)], "float64"),
        ("sqrt", vec![arg(Type::Unknown)], "?"),
        ("concat", vec![maybe(Type::String), arg(Type::Int64)], "string"),
        ("nullif", vec![arg(Type::Int64), arg(Type::Int64)], "int64?"),
        ("coalesce", vec![maybe(Type::Int64), arg(Type::Int64)], "int64"),
        ("coalesce", vec![maybe(Type::Int64), maybe(Type::Int64)], "int64?"),
        ("greatest", vec![maybe(Type::Int64), arg(Type::Int64)], "int64"),
        ("if", vec![arg(Type::Bool), arg(Type::Int32), arg(Type::Int64)], "int64"),
        ("now", vec![], "timestamp"),
        ("current_date", vec![], "date"),
        ("date_trunc", vec![arg(Type::String), arg(Type::Timestamp(None))], "timestamp"),
        ("to_date", vec![arg(Type::String)], "date"),
        ("split", vec![arg(Type::String), arg(Type::String)], "list(string?)"),
        ("size", vec![arg(list(Type::Int64))], "uint64"),
        ("array_max", vec![arg(list(Type::Int64))], "int64?"),
        ("year", vec![date], "int32"),
        ("abs", vec![arg(decimal(12, 2))], "decimal(12, 2)"),
    ] {
        assert_eq!(result(name, &args), expected, "{name}");
    }
}

#[test]
fn what_does_not_fit_is_said_in_the_words_of_the_user() {
    for (name, args, expected) in [
        ("lower", vec![arg(Type::String), arg(Type::String)], "takes 1 argument, got 2"),
        ("lower", vec![arg(Type::Int64)], "wants a string as its first argument, got `int64`"),
        (
            "starts_with",
            vec![arg(Type::String), arg(Type::Int64)],
            "wants a string as its second argument, got `int64`",
        ),
        (
            "if",
            vec![arg(Type::Int64), arg(Type::Int64), arg(Type::Int64)],
            "wants a bool as its first argument, got `int64`",
        ),
        ("now", vec![arg(Type::Int64)], "takes no arguments, got 1"),
        ("size", vec![arg(Type::Int64)], "wants a list or a map as its first argument, got `int64`"),
    ] {
        assert_eq!(result(name, &args), expected, "{name}");
    }
    let lambda = Argument { lambda: true, ..arg(Type::Bool) };
    assert_eq!(result("lower", &[lambda]), "takes no lambda as its first argument");
}

#[test]
fn literals_adapt_to_what_a_function_takes() {
    let day = ScalarValue::Utf8(Some("2026-01-01".into()));
    let constant = Argument { slot: Slot::required(Type::String), constant: Some(&day), lambda: false };
    assert_eq!(result("datediff", &[arg(Type::Date), constant]), "int64");
    let one = ScalarValue::Int64(Some(1));
    let one = Argument { slot: Slot::required(Type::Int64), constant: Some(&one), lambda: false };
    assert_eq!(result("if", &[arg(Type::Bool), one, arg(decimal(12, 2))]), "decimal(12, 2)");
}

#[test]
fn lambdas_are_told_the_elements_of_their_list() {
    let all = scalars();
    let entry = find(&all, "filter").unwrap();
    let FunctionBody::HigherOrder(body) = &entry.body else { panic!("no lambda") };
    let slot = Slot::required(list(Type::Int64));
    assert_eq!(body.parameters(&[Some(slot.clone()), None]), Ok(vec![vec![Slot::required(Type::Int64)]]));
    let why = body.parameters(&[Some(Slot::required(Type::Int64)), None]).unwrap_err();
    assert_eq!(why, "wants a list as its first argument, got `int64`");
    let condition = Argument { slot: Slot::required(Type::Bool), constant: None, lambda: true };
    let filtered = (entry.resolve)(entry, &[arg(slot.ty.clone()), condition.clone()]).unwrap();
    assert_eq!(filtered.result.to_string(), "list(int64)");
    let wrong = Argument { slot: Slot::required(Type::Int64), ..condition };
    let why = (entry.resolve)(entry, &[arg(slot.ty), wrong]).unwrap_err();
    assert_eq!(why, "wants a lambda that gives a bool, got `int64`");
}

#[test]
fn a_reduction_gives_what_its_start_says_wide_enough() {
    let all = scalars();
    let entry = find(&all, "reduce").unwrap();
    let FunctionBody::HigherOrder(body) = &entry.body else { panic!("no lambda") };
    let parameters = |element: Type, start: Type| {
        let parameters = body.parameters(&[Some(Slot::required(list(element))), Some(Slot::required(start)), None]);
        parameters.map(|all| all[0].iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(parameters(Type::Int32, Type::Int64).unwrap(), ["int64", "int32"]);
    assert_eq!(parameters(decimal(12, 2), decimal(3, 2)).unwrap(), ["decimal(38, 2)", "decimal(12, 2)"]);
    assert_eq!(parameters(Type::String, Type::Bool).unwrap(), ["bool", "string"]);
    let lambda = |slot: Slot| Argument { slot, constant: None, lambda: true };
    let resolved = |given| (entry.resolve)(entry, &[arg(list(Type::Int32)), arg(Type::Int64), lambda(given)]);
    assert_eq!(resolved(Slot::required(Type::Int64)).unwrap().result.to_string(), "int64");
    let why = resolved(Slot::nullable(Type::Int64)).unwrap_err();
    assert_eq!(why, "wants a lambda that gives `int64`, as the start says, got `int64?`");
}

#[test]
fn aggregates_keep_what_is_exact_exact() {
    for (name, args, expected) in [
        ("count", vec![], "int64"),
        ("count", vec![maybe(Type::String)], "int64"),
        ("sum", vec![arg(Type::Int64)], "int64"),
        ("sum", vec![arg(Type::Int32)], "int64"),
        ("sum", vec![arg(decimal(12, 2))], "decimal(22, 2)"),
        ("sum", vec![arg(decimal(38, 2))], "decimal(38, 2)"),
        ("avg", vec![arg(Type::Int64)], "float64"),
        ("avg", vec![arg(decimal(12, 2))], "decimal(16, 6)"),
        ("max", vec![arg(Type::Timestamp(None))], "timestamp"),
        ("min", vec![maybe(Type::String)], "string?"),
        ("collect_list", vec![arg(Type::String)], "list(string)"),
        ("collect_set", vec![maybe(Type::String)], "list(string)"),
        ("stddev", vec![arg(Type::Int64)], "float64?"),
        ("approx_count_distinct", vec![arg(Type::String)], "uint64"),
        ("max_by", vec![arg(Type::String), arg(Type::Int64)], "string"),
        (
            "sum",
            vec![arg(Type::String)],
            "wants a whole number or a number or a duration as its first argument, got `string`",
        ),
        ("sum", vec![], "takes 1 argument, got 0"),
    ] {
        assert_eq!(total(name, &args), expected, "{name}");
    }
}

#[test]
fn structs_keep_their_fields_through_aggregates() {
    let record = Type::Struct(vec![Column::new("a", Slot::nullable(Type::Int64))]);
    assert_eq!(total("collect_list", &[arg(record.clone())]), "list({ a: int64? })");
    assert_eq!(total("first", &[maybe(record)]), "{ a: int64? }?");
}

#[test]
fn every_aggregate_can_be_called() {
    let pools = [Type::Float64, Type::String, Type::Int64, Type::Bool, decimal(12, 2)];
    let none: Vec<Vec<Type>> = vec![Vec::new()];
    let one: Vec<_> = pools.iter().map(|a| vec![a.clone()]).collect();
    let two: Vec<_> = one.iter().flat_map(|a| pools.iter().map(move |b| vec![a[0].clone(), b.clone()])).collect();
    let three = vec![vec![Type::Float64; 3]];
    let calls: Vec<_> = none.into_iter().chain(one).chain(two).chain(three).collect();
    for entry in aggregates() {
        let fits = |types: &Vec<Type>| {
            let args: Vec<_> = types.iter().map(|ty| arg(ty.clone())).collect();
            (entry.resolve)(&entry, &args).is_ok()
        };
        assert!(calls.iter().any(fits), "{} takes nothing", entry.doc.name);
    }
}
