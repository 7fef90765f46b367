//! Whole programs: every one of `samples/` is read without a problem.

use millstream_dsl::{FileId, parse};

fn read(name: &str, text: &str) -> millstream_dsl::File {
    let parsed = parse::file(FileId(0), text);
    let said: Vec<_> = parsed
        .problems
        .iter()
        .map(|p| format!("{}: {} at {:?}: {:?}", p.code, p.message, p.span(), text.get(p.span().range())))
        .collect();
    assert!(said.is_empty(), "{name}: {said:#?}");
    parsed.tree
}

#[test]
fn the_samples_of_the_language_page_have_no_problem() {
    for (name, text) in [
        ("wordcount", include_str!("samples/wordcount.stream")),
        ("revenue", include_str!("samples/revenue.stream")),
        ("state", include_str!("samples/state.stream")),
        ("reference", include_str!("samples/reference.stream")),
        ("enriched", include_str!("samples/enriched.stream")),
        ("attributed", include_str!("samples/attributed.stream")),
    ] {
        read(name, text);
    }
}

#[test]
fn every_form_of_the_language_has_no_problem() {
    let tree = read("everything", include_str!("samples/everything.stream"));
    assert_eq!(tree.statements.len(), 22);
}
