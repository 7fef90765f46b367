//! Bad text: several problems of one file at once, holes where something could not be read, and no panic on anything.

use millstream_dsl::ast::{StatementKind, StepKind};
use millstream_dsl::parse::{self, Positions};
use millstream_dsl::{FileId, Span};
use proptest::prelude::*;

const SAMPLE: &str = include_str!("samples/everything.stream");

#[test]
fn every_bad_part_of_a_file_is_reported_and_the_rest_is_read() {
    let text = "\
source a = files(\"x\") { format json }
stream b =
  from a
  |> where x ==
  |> select y
  |> aggregate sum(z as w
  |> limit 3
wrong here
let c = 1
test \"t\" {
  given a [ { x: } ]
  step 2
  expect b what
}
from b |> into console
";
    let parsed = parse::file(FileId(0), text);
    let codes: Vec<_> = parsed.problems.iter().map(|p| (p.code, &text[p.span().range()])).collect();
    assert_eq!(
        codes[1..],
        [
            ("syntax", ""),
            ("unclosed-bracket", "("),
            ("unknown-statement", "wrong"),
            ("syntax", "}"),
            ("syntax", "what"),
        ]
    );
    let kinds = &parsed.tree.statements;
    assert_eq!(kinds.len(), 6);
    assert!(matches!(&kinds[0].kind, StatementKind::Broken { name: Some(name) } if name.name == "a"));
    let StatementKind::Stream { chain, .. } = &kinds[1].kind else { panic!("{:#?}", kinds[1]) };
    let stages: Vec<_> = chain.stages.iter().map(|s| (s.name.name.as_str(), s.broken)).collect();
    assert_eq!(stages, [("where", true), ("select", false), ("aggregate", true), ("limit", false)]);
    assert!(matches!(&kinds[2].kind, StatementKind::Broken { name: None }));
    let StatementKind::Test { steps, .. } = &kinds[4].kind else { panic!("{:#?}", kinds[4]) };
    assert!(matches!(steps[0].kind, StepKind::Broken));
    assert!(matches!(steps[1].kind, StepKind::Step { count: Some(2) }));
    assert!(matches!(steps[2].kind, StepKind::Broken));
    assert!(matches!(kinds[5].kind, StatementKind::Sink { .. }));
}

#[test]
fn a_file_full_of_problems_gets_a_bounded_answer() {
    let parsed = parse::file(FileId(0), &"wrong\n".repeat(10_000));
    assert_eq!(parsed.problems.len(), 101);
    assert!(parsed.problems[100].message.contains("too much is wrong"));
}

#[test]
fn a_file_that_is_too_long_is_refused() {
    let parsed = parse::file(FileId(0), &" ".repeat((16 << 20) + 1));
    assert_eq!(parsed.problems[0].code, "too-long");
    let parsed = parse::file(FileId(0), &format!("let a = [{}1]", "1,".repeat(1 << 19)));
    assert_eq!(parsed.problems[0].code, "too-long");
}

#[test]
fn what_nests_too_deep_is_refused_and_what_does_not_is_read() {
    let nest = |open: &str, close: &str, n: usize| format!("let a = {}1{}", open.repeat(n), close.repeat(n));
    for (open, close) in [("(", ")"), ("[", "]"), ("{ a: ", "}"), ("f(", ")"), ("a[", "]"), ("\"${", "}\"")] {
        let at_most = parse::file(FileId(0), &nest(open, close, 60));
        assert!(at_most.problems.is_empty(), "{open}: {:#?}", at_most.problems);
        let beyond = parse::file(FileId(0), &nest(open, close, 1_000));
        assert_eq!(beyond.problems[0].code, "nesting-too-deep", "{open}");
    }
    for (open, close) in
        [("- ", ""), ("not ", ""), ("x -> ", ""), ("1 + ", ""), ("2 ?? ", ""), ("case when 1 then ", " end")]
    {
        assert!(parse::file(FileId(0), &nest(open, close, 30)).problems.is_empty(), "{open}");
        let beyond = parse::file(FileId(0), &nest(open, close, 5_000));
        assert_eq!(beyond.problems[0].code, "nesting-too-deep", "{open}");
    }
    for chain in ["a and ", "a or ", "1, "] {
        let wide = parse::file(FileId(0), &format!("let a = [{}1]", chain.repeat(10_000)));
        assert!(wide.problems.is_empty(), "{chain}: {:#?}", wide.problems);
    }
}

#[test]
fn line_ends_marks_and_blanks_of_other_editors_are_no_problem() {
    let windows = format!("\u{FEFF}{}", SAMPLE.replace('\n', "\r\n").replace("  ", "\t"));
    let parsed = parse::file(FileId(0), &windows);
    assert!(parsed.problems.is_empty(), "{:#?}", parsed.problems);
    assert_eq!(parsed.tree, parse::file(FileId(0), &SAMPLE.replace("  ", "\t")).tree);
    for text in ["", "\u{FEFF}", "\r", "\n\n", "#", "# x", "\0", "\u{FEFF}\0", "a\0b", "\u{2028}let x = 1"] {
        parse::file(FileId(0), text);
    }
}

/// Every place that is reported lies in the text, on characters.
fn places_are_sound(text: &str) -> Result<(), TestCaseError> {
    for problem in parse::file(FileId(0), text).problems {
        let spans = problem.labels.iter().map(|l| l.span).chain(problem.edits.iter().map(|e| e.span));
        for span in spans {
            prop_assert!(text.get(span.range()).is_some(), "{problem:?}");
        }
    }
    Ok(())
}

/// Every fragment reader comes back from `text`.
fn fragments_come_back(text: &str) -> Result<(), TestCaseError> {
    let positions = Positions::whole(FileId(0), 7, text.len());
    let mut problems = parse::expression(text, &positions).problems;
    problems.extend(parse::type_expr(text, &positions).problems);
    problems.extend(parse::arguments(text, &positions).problems);
    problems.extend(parse::call_arguments(text, &positions).problems);
    problems.extend(parse::clause(text, &positions).problems);
    problems.extend(parse::rows(text, &positions).problems);
    problems.extend(parse::expected(text, &positions).problems);
    problems.extend(parse::step(text, &positions).problems);
    let all = Span::new(FileId(0), 7, 7 + text.len());
    for problem in problems {
        prop_assert!(problem.labels.iter().all(|l| l.span.start >= all.start && l.span.end <= all.end), "{problem:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        places_are_sound(&text)?;
        fragments_come_back(&text)?;
    }

    #[test]
    fn no_heap_of_tokens_makes_it_panic(words in prop::collection::vec(prop::sample::select(&[
        "stream", "from", "a", "=", "|>", "where", "(", ")", "[", "]", "{", "}", ",", ":", "\"", "${", "'", "`", "#", "\n",
        "\n  ", "by", "over", "and", "not", "between", "case", "when", "end", "1", "10s", ".", "?", "??", "->", "-", "test",
        "given", "expect", "into", "as", "é", "日本", "\r\n", "\\", "r\"", "type", "::", "<", ">", "source", "join", "left",
    ][..]), 0..60)) {
        let text = words.join(" ");
        places_are_sound(&text)?;
        places_are_sound(&words.concat())?;
        fragments_come_back(&text)?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_change_to_a_good_file_makes_it_panic(at in 0..SAMPLE.len(), length in 0..40usize, put in "\\PC{0,3}") {
        let floor = |mut i: usize| { while !SAMPLE.is_char_boundary(i) { i -= 1 } i };
        let (start, end) = (floor(at), floor((at + length).min(SAMPLE.len())));
        let text = format!("{}{put}{}", &SAMPLE[..start], &SAMPLE[end.max(start)..]);
        places_are_sound(&text)?;
    }
}
