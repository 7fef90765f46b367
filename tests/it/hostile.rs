//! Programs that are small to write and huge to unfold: answered with one mistake, soon, without a crash.

use std::path::PathBuf;

use millstream::builtins;
use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream_dsl::{SourceMap, parse};

const HEAD: &str = "pipeline p { every: 1s }\nsource l = socket(\"h:1\")\n";

/// The codes of the mistakes in a program behind [`HEAD`].
fn codes(rest: &str) -> Vec<&'static str> {
    let text = format!("{HEAD}{rest}");
    let mut sources = SourceMap::new();
    let id = sources.add("hostile.stream", &text);
    let parsed = parse::file(id, &text);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    let files = vec![ProgramFile { id, path: PathBuf::from("hostile.stream"), tree: parsed.tree, imports: Vec::new() }];
    let program = Program { sources, files, incomplete: false, ..Program::default() };
    check(&program, &builtins::catalog(), &Overrides::new()).problems.iter().map(|p| p.code).collect()
}

/// One line for each number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn constants_that_double_are_refused() {
    let doubling = lines(60, |i| format!("let a{} = a{i} + a{i}\n", i + 1));
    let found = codes(&format!("let a0 = 1\n{doubling}from l |> extend x = a60 |> into console\n"));
    assert!(found.contains(&"nesting-too-deep"), "{found:?}");
}

#[test]
fn functions_that_double_are_refused() {
    let doubling = lines(40, |i| format!("fn f{}(x: int64): int64 = f{i}(x) + f{i}(x)\n", i + 1));
    let rest = format!("fn f0(x: int64): int64 = x + 1\n{doubling}from l |> extend x = f40(1) |> into console\n");
    assert_eq!(codes(&rest), ["nesting-too-deep"]);
}

#[test]
fn arguments_that_double_are_refused() {
    let call = format!("{}line{}", "f(".repeat(60), ")".repeat(60));
    let found =
        codes(&format!("fn f(x: string): string = concat(x, x)\nfrom l |> extend x = {call} |> into console\n"));
    assert_eq!(found, ["nesting-too-deep"]);
}

#[test]
fn stages_that_double_are_refused() {
    let doubling = lines(40, |i| format!("stage s{i}() = |> s{0}() |> s{0}()\n", i + 1));
    let rest = format!("{doubling}stage s40() = |> where true\nfrom l |> s0() |> into console\n");
    assert!(codes(&rest).contains(&"nesting-too-deep"));
}

#[test]
fn types_within_types_have_a_bound() {
    let deep = lines(2_000, |i| format!("type T{i} = {{ a: T{} }}\n", i + 1));
    assert_eq!(codes(&format!("{deep}type T2000 = string\nfrom l |> into console\n")), ["nesting-too-deep"]);
}

#[test]
fn a_long_chain_of_streams_in_any_order_is_fine() {
    let backwards = lines(1_000, |i| format!("stream s{i} = from s{} |> where line != \"{i}\"\n", i + 1));
    let rest = format!("{backwards}stream s1000 = from l |> where line != \"\"\nfrom s0 |> into console\n");
    assert_eq!(codes(&rest), Vec::<&str>::new());
}
