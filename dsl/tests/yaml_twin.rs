//! The YAML front end: the same tree as its `.stream` twin, exact places, and messages for what is no topology.

use millstream_dsl::ast::{ExprKind, File};
use millstream_dsl::walk::{self, Node};
use millstream_dsl::{FileId, parse, print, yaml};

const STREAM: &str = r#"pipeline wordcount { every: 1s }

source lines = socket("127.0.0.1:9999")  # one column: line

stream counts =
  from lines
  |> explode split(lower(line), " ") as word
  |> where word != ""
  |> aggregate count() as n by word per batch  # reduceByKey

from counts |> into console
"#;

const TWIN: &str = r#"pipeline: { name: wordcount, every: 1s }

sources:
  lines: { socket: "127.0.0.1:9999" }  # one column: line

streams:
  counts:
    from: lines
    stages:
      - explode: split(lower(line), " ")
        as: word
      - where: word != ""
      - aggregate: { n: count() }  # reduceByKey
        by: word
        per: batch

sinks:
  - from: counts
    into: { console: {} }
"#;

#[track_caller]
fn read(text: &str) -> File {
    let parsed = yaml::read(FileId(0), text);
    assert!(parsed.problems.is_empty(), "{text}\n{:#?}", parsed.problems);
    parsed.tree
}

/// The codes of what is wrong, with the text that each points at.
fn problems(text: &str) -> Vec<(&'static str, &str)> {
    let found = yaml::read(FileId(0), text).problems;
    found.iter().map(|problem| (problem.code, &text[problem.span().range()])).collect()
}

#[test]
fn the_twin_of_wordcount_reads_to_the_same_tree() {
    let tree = parse::file(FileId(0), STREAM).tree;
    assert_eq!(print::file(&read(TWIN)), STREAM);
    assert_eq!(read(TWIN), tree);
    assert_eq!(yaml::write(&tree), TWIN);
}

#[test]
fn a_stage_takes_one_scalar_a_list_or_a_mapping() {
    let text = "streams:\n  s:\n    from: a\n    stages:\n      - distinct\n      - select: [x, y + 1 as z]\n      \
                - extend: { n: 1, s: \"text\" }\n      - left join: b\n        as: c\n        using: [id, day]\n      \
                - explode: attrs\n        as: [key, value]\n        with: { outer: true }\n";
    let expected = "stream s =\n  from a\n  |> distinct\n  |> select x, y + 1 as z\n  |> extend n = 1, s = \"text\"\n  \
                    |> left join b as c using id, day\n  |> explode attrs as (key, value) with { outer: true }\n";
    assert_eq!(print::file(&read(text)), expected);
}

#[test]
fn options_that_look_like_clauses_stand_apart() {
    let text = "sources:\n  a: { files: \"x\", options: { by: day }, bad: to y }\n";
    let tree = read(text);
    assert_eq!(print::file(&tree), "source a = files(\"x\") { by: day } bad to y\n");
    assert_eq!(yaml::write(&tree), text);
}

#[test]
fn order_is_written_where_sections_would_change_it() {
    let text = "stream b = from a\nsource a = files(\"x\")\nfrom b |> into console\n";
    let tree = parse::file(FileId(0), text).tree;
    let twin = yaml::write(&tree);
    assert!(twin.ends_with("order: [b, a, sink 1]\n"), "{twin}");
    assert_eq!(read(&twin), tree);
}

/// Every name in an expression of a YAML file points at that name, whatever quotes and lines are between.
#[test]
fn places_are_exact_inside_every_kind_of_scalar() {
    let text = "# größe\r\nlets:\r\n  a: plain + größe and\r\n    folded\r\n  b: 'it ?? \"it''s\" == größe'\r\n  c: >-\r\n    \
                one and\r\n    two\r\n  d: |\r\n    three  # a comment\r\n      and größe\r\n  e: [four, { f: five }]\r\n";
    let mut names = Vec::new();
    let tree = read(text);
    walk::file(&tree, |node| {
        if let Node::Expr(expr) = node
            && let ExprKind::Name(name) = &expr.kind
        {
            assert_eq!(&text[expr.at.range()], name);
            names.push(name.clone());
        }
    });
    assert_eq!(names, ["plain", "größe", "folded", "it", "größe", "one", "two", "three", "größe", "four", "five"]);
}

#[test]
fn a_comment_in_a_block_scalar_moves_above_its_item() {
    let tree = read("lets:\n  d: |\n    three  # why\n      and four\n");
    assert_eq!(print::file(&tree), "# why\nlet d = three and four\n");
}

#[test]
fn what_is_no_yaml_is_said_at_its_place() {
    assert_eq!(problems("lets: { a: 1\n"), [("yaml-syntax", "")]);
    assert_eq!(problems("lets: {}\n---\nlets: {}\n"), [("yaml-syntax", "---")]);
}

#[test]
fn anchors_aliases_and_tags_are_refused() {
    let found = problems("lets:\n  a: &x 1\n  b: *x\n  c: !!str d\n");
    assert!(found.iter().all(|(code, _)| *code == "yaml-syntax"), "{found:?}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn unknown_keys_get_a_suggestion() {
    let found = yaml::read(FileId(0), "stream:\n  s: { from: a }\n").problems;
    assert_eq!(found[0].code, "yaml-unknown-key");
    assert!(found[0].help.as_deref().is_some_and(|help| help.contains("streams")), "{found:?}");
    assert_eq!(
        problems("streams:\n  s:\n    form: a\n    stages:\n      - where: x\n        witin: 10m\n"),
        [
            ("yaml-unknown-key", "form"),
            ("yaml-shape", "form: a\n    stages:\n      - where: x\n        witin: 10m"),
            ("yaml-unknown-key", "witin")
        ],
    );
}

#[test]
fn all_mistakes_are_found_at_once_inside_expressions_too() {
    let text = "lets:\n  a: 1 +\n  b: [1, \"x ${y}\"]\n  c: 'it''s ='\n  a: 2\n";
    let codes: Vec<_> = problems(text).into_iter().map(|(code, _)| code).collect();
    assert!(codes.len() >= 4, "{codes:?}");
    assert!(codes.contains(&"yaml-quoted-expression") && codes.contains(&"yaml-shape"), "{codes:?}");
}

#[test]
fn deep_nesting_is_refused() {
    let text = format!("lets: {{ a: {}1{} }}\n", "[".repeat(200), "]".repeat(200));
    assert!(problems(&text).iter().any(|(code, _)| *code == "nesting-too-deep"));
    let text = format!("lets:{}", "\n  - -".repeat(5_000));
    assert!(!problems(&text).is_empty());
}

#[test]
fn double_quotes_around_an_expression_are_pointed_out() {
    assert_eq!(problems("types: { a: \"string\" }\n"), [("yaml-quoted-expression", "\"string\"")]);
}

#[test]
fn long_lines_and_long_files_cost_no_more_than_their_length() {
    let one_line = format!(
        "lets: {{ {} }}  # end\n",
        (0..4_000).map(|i| format!("a{i}: [{i}, x]")).collect::<Vec<_>>().join(", ")
    );
    let many_lines: String = (0..4_000).map(|i| format!("  a{i}: b + {i}  # {i}\n")).collect();
    for text in [one_line, format!("lets:\n{many_lines}")] {
        let tree = read(&text);
        assert_eq!(tree.statements.len(), 4_000);
        assert_eq!(read(&yaml::write(&tree)), tree);
    }
}
