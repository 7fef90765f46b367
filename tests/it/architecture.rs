//! What `src/ARCHITECTURE.md` says of dependencies, held against the sources.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files::{below, read};

/// Crates with one home: nothing else names them.
const HOMES: [(&str, &[&str]); 4] = [
    ("petgraph", &["src/plan/graph.rs"]),
    ("rayon", &["src/engine/pool.rs"]),
    ("clap", &["src/cli/args.rs"]),
    ("miette", &["src/cli/report.rs"]),
];

/// The table under `## Arrows`: what a folder may use.
fn arrows() -> BTreeMap<String, Vec<String>> {
    let page = read("src/ARCHITECTURE.md");
    let (_, section) = page.split_once("\n## Arrows\n").expect("the page has a section Arrows");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| ")).skip(2);
    let cells = rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let folder = cells.next().unwrap().to_string();
        let may = cells.next().unwrap_or_default().split(", ").filter(|name| !name.is_empty());
        (folder, may.map(str::to_string).collect())
    });
    cells.collect()
}

/// The folder of `src/` a file belongs to: `src/plan.rs` and `src/plan/graph.rs` to `plan`.
fn folder(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_string()
}

/// The folders a text names as `crate::folder`, also in `use crate::{a, b}`. Comments and tests do not count.
fn used(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(top_level(list).iter().map(|item| word(item.trim()))),
            None => used.push(word(rest)),
        }
    }
    used
}

/// The items of `{a, b::{c, d}}` up to its end, not those of inner braces.
fn top_level(list: &str) -> Vec<String> {
    let (mut items, mut depth) = (vec![String::new()], 0);
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => items.push(String::new()),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                items.last_mut().unwrap().push(c);
            }
        }
    }
    items
}

fn word(text: &str) -> String {
    text.trim_start_matches("r#").chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect()
}

#[test]
fn folders_use_only_what_the_architecture_page_allows() {
    let arrows = arrows();
    let mut wrong = Vec::new();
    for path in below("src", &["rs"]) {
        let from = folder(&path);
        if from == "main" || from == "lib" || path.ends_with("tests.rs") || path.iter().any(|part| part == "tests") {
            continue;
        }
        let Some(may) = arrows.get(&from) else {
            wrong.push(format!("{}: `{from}` is not in the table of arrows", path.display()));
            continue;
        };
        for to in used(&read(&path)) {
            if to != from && !to.is_empty() && !may.contains(&to) {
                wrong.push(format!("{}: `{from}` may not use `{to}`", path.display()));
            }
        }
    }
    wrong.dedup();
    crate::files::none(wrong);
}

#[test]
fn outside_crates_are_named_in_their_home_only() {
    for path in below("src", &["rs"]) {
        let text = read(&path);
        for (name, homes) in HOMES {
            let home = homes.iter().any(|home| path == Path::new(home));
            let named =
                text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(&format!("{name}::")));
            assert!(home || !named, "{} names {name}", path.display());
        }
    }
}

#[test]
fn the_language_crate_depends_on_syntax_crates_only() {
    let manifest = read("dsl/Cargo.toml");
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    for forbidden in ["arrow", "datafusion", "tokio", "rayon", "clap", "chrono"] {
        assert!(!dependencies.contains(forbidden), "dsl depends on {forbidden}");
    }
}

#[test]
fn every_source_file_says_first_what_it_is_for() {
    for path in below("src", &["rs"]).into_iter().chain(below("dsl/src", &["rs"])) {
        let text = read(&path);
        assert!(text.starts_with("//! "), "{} does not", path.display());
        let lines = text.lines().count();
        // The tree is one contract and reads best as one file.
        let limit = if path.ends_with("dsl/src/ast.rs") { 1000 } else { 700 };
        assert!(lines <= limit, "{} has {lines} lines", path.display());
    }
}
