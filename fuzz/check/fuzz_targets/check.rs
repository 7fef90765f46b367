//! The checker answers any tree, holes and all, with problems whose places lie in the text.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::plan::Catalog;
use millstream_dsl::{SourceMap, ast, parse, yaml};

static CATALOG: LazyLock<Catalog> = LazyLock::new(millstream::builtins::catalog);

fuzz_target!(|text: &str| {
    let mut sources = SourceMap::new();
    let id = sources.add("fuzzed", text);
    // YAML topologies start with a key, pipelines with a statement word and no colon behind it.
    let first = text.split_whitespace().next().unwrap_or_default();
    let parsed = if first.ends_with(':') { yaml::read(id, text) } else { parse::file(id, text) };
    let imports = parsed.tree.statements.iter().filter(|s| matches!(s.kind, ast::StatementKind::Import { .. }));
    let imports = imports.map(|_| None).collect();
    let file = ProgramFile { id, path: PathBuf::from("fuzzed"), tree: parsed.tree, imports };
    let program = Program { sources, files: vec![file], ..Program::default() };
    for problem in check(&program, &CATALOG, &Overrides::new()).problems {
        for label in &problem.labels {
            assert!(text.get(label.span.range()).is_some(), "{}: {:?} is no place of this text", problem.code, label.span);
        }
    }
});
