//! Every code's page: its wrong example has exactly that mistake, its right one none.

use std::path::PathBuf;

use millstream::builtins;
use millstream::check::codes::{self, Example};
use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream_dsl::{Diagnostic, SourceMap, parse, yaml};

/// The problems of a page's example, those of its text included.
fn problems(example: Example) -> Vec<Diagnostic> {
    let mut sources = SourceMap::new();
    let name = format!("example.{}", example.language);
    let id = sources.add(name.clone(), example.text);
    let parsed = match example.language {
        "yaml" => yaml::read(id, example.text),
        _ => parse::file(id, example.text),
    };
    let files = vec![ProgramFile { id, path: PathBuf::from(name), tree: parsed.tree, imports: Vec::new() }];
    let mut problems = parsed.problems;
    let incomplete = problems.iter().any(Diagnostic::is_error);
    let program = Program { sources, files, incomplete, ..Program::default() };
    problems.extend(check(&program, &builtins::catalog(), &Overrides::new()).problems);
    problems
}

fn shown(problems: &[Diagnostic]) -> String {
    let one = |p: &Diagnostic| format!("    {} at {}: {}", p.code, p.span().start, p.message);
    problems.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_wrong_example_of_a_page_has_its_mistake_and_no_other() {
    let mut failures = Vec::new();
    for code in codes::all() {
        let Some(examples) = code.examples().filter(|e| e.wrong.checkable) else { continue };
        let found = problems(examples.wrong);
        let severity_differs = found.iter().any(|p| p.severity != code.severity);
        if found.is_empty() || found.iter().any(|p| p.code != code.name) || severity_differs {
            failures.push(format!("{}:\n{}", code.name, shown(&found)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_right_example_of_a_page_has_no_mistake() {
    let mut failures = Vec::new();
    for code in codes::all() {
        let Some(examples) = code.examples().filter(|e| e.right.checkable) else { continue };
        let found = problems(examples.right);
        if !found.is_empty() {
            failures.push(format!("{}:\n{}", code.name, shown(&found)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_code_that_is_raised_has_a_page() {
    let mut missing = Vec::new();
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    folders.push(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dsl/src"));
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                missing.extend(raised(&std::fs::read_to_string(path).unwrap()).filter(|c| codes::find(c).is_none()));
            }
        }
    }
    missing.sort_unstable();
    missing.dedup();
    assert!(missing.is_empty(), "raised without a page: {}", missing.join(", "));
}

/// The codes that stand as the first argument of a diagnostic; what a test block met while it ran has none.
fn raised(text: &str) -> impl Iterator<Item = String> {
    let calls = ["Diagnostic::error(", "Diagnostic::warning("];
    let places = calls.iter().flat_map(|call| text.split(call).skip(1));
    places
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"').map(|(code, _)| code.to_owned()))
        .filter(|code| !code.is_empty())
        .collect::<Vec<_>>()
        .into_iter()
}
