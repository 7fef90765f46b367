//! Comments and empty lines: where each goes, and that none is lost.

use millstream_dsl::ast::{Comment, StatementKind, Trivia};
use millstream_dsl::{FileId, parse};

const SAMPLES: [&str; 4] = [
    include_str!("samples/everything.stream"),
    include_str!("samples/wordcount.stream"),
    include_str!("samples/state.stream"),
    include_str!("samples/reference.stream"),
];

fn kinds(text: &str) -> Vec<(Trivia, StatementKind)> {
    let parsed = parse::file(FileId(0), text);
    assert!(parsed.problems.is_empty(), "{:#?}", parsed.problems);
    parsed.tree.statements.into_iter().map(|s| (s.trivia, s.kind)).collect()
}

fn texts(comments: &[Comment]) -> Vec<&str> {
    comments.iter().map(|c| c.text.trim()).collect()
}

fn behind(trivia: &Trivia) -> Option<&str> {
    trivia.behind.as_ref().map(|c| c.text.trim())
}

#[test]
fn a_comment_belongs_to_what_stands_below_or_before_it() {
    let text = "\
# top

# above
let a = 1 # behind

# next
let b = 2
# end
";
    let kinds = kinds(text);
    assert_eq!(texts(&kinds[0].0.above), ["top", "above"]);
    assert_eq!(kinds[0].0.above.iter().map(|c| c.gap).collect::<Vec<_>>(), [false, true]);
    assert!(!kinds[0].0.gap);
    assert_eq!(behind(&kinds[0].0), Some("behind"));
    assert_eq!(texts(&kinds[1].0.above), ["next"]);
    assert!(kinds[1].0.above[0].gap && !kinds[1].0.gap);
    assert_eq!(texts(&parse::file(FileId(0), text).tree.end), ["end"]);
}

#[test]
fn empty_lines_are_seen_between_items_and_not_before_the_first() {
    let kinds = kinds("\n\nlet a = 1\n\n\n\nlet b = 2\nlet c = {\n\n  d: 1,\n\n  e: 2\n}\n");
    assert_eq!(kinds.iter().map(|(t, _)| t.gap).collect::<Vec<_>>(), [false, true, false]);
    let StatementKind::Let { value, .. } = &kinds[2].1 else { panic!() };
    let millstream_dsl::ast::ExprKind::Struct(fields) = &value.kind else { panic!() };
    assert_eq!(fields.fields.iter().map(|f| f.trivia.gap).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn stages_keep_their_comments_and_a_heads_comment_goes_above_the_statement() {
    let text = "\
stream a =     # what it is
  from b
  # first
  |> where x   # one
  |> aggregate sum(y) as s   # inside
     by z                    # last

  # then
  |> limit 3
";
    let kinds = kinds(text);
    assert_eq!(texts(&kinds[0].0.above), ["what it is"]);
    let StatementKind::Stream { chain, .. } = &kinds[0].1 else { panic!() };
    let [first, second, third] = &chain.stages[..] else { panic!() };
    assert_eq!((texts(&first.trivia.above), behind(&first.trivia)), (vec!["first"], Some("one")));
    assert_eq!((texts(&second.trivia.above), behind(&second.trivia)), (vec!["inside"], Some("last")));
    assert_eq!(texts(&third.trivia.above), ["then"]);
    assert!(third.trivia.above[0].gap && !third.trivia.gap);
}

#[test]
fn options_fields_rows_and_steps_keep_theirs() {
    let text = "\
source a = files(\"x\") {
  # how
  format: json, # j
  schema: { b: string, # s
    c: int64 }, time: d # t
  # no more
}
test \"t\" {
  # give
  given a [
    { b: 1 }, # one
    # two
    { b: 2 }
    # that is all
  ] # given
  step # go
  # done
}
from a
  # out
  |> into console # here
";
    let kinds = kinds(text);
    let StatementKind::Source(input) = &kinds[0].1 else { panic!() };
    let entries = &input.from.options.entries;
    assert_eq!(texts(&entries[0].trivia.above), ["how"]);
    assert_eq!(behind(&entries[0].trivia), Some("j"));
    let millstream_dsl::ast::ExprKind::Struct(schema) = &entries[1].value.kind else { panic!() };
    assert_eq!(behind(&schema.fields[0].trivia), Some("s"));
    assert_eq!(behind(&entries[2].trivia), Some("t"));
    assert_eq!(texts(&input.from.options.end), ["no more"]);
    let StatementKind::Test { steps, end, .. } = &kinds[1].1 else { panic!() };
    assert_eq!((texts(&steps[0].trivia.above), behind(&steps[0].trivia)), (vec!["give"], Some("given")));
    let millstream_dsl::ast::StepKind::Given { rows, .. } = &steps[0].kind else { panic!() };
    assert_eq!(behind(&rows.rows[0].trivia), Some("one"));
    assert_eq!(texts(&rows.rows[1].trivia.above), ["two"]);
    assert_eq!(texts(&rows.end), ["that is all"]);
    assert_eq!(behind(&steps[1].trivia), Some("go"));
    assert_eq!(texts(end), ["done"]);
    let StatementKind::Sink { trivia, .. } = &kinds[2].1 else { panic!() };
    assert_eq!((texts(&trivia.above), behind(trivia)), (vec!["out"], Some("here")));
}

#[test]
fn a_sign_in_a_string_is_no_comment() {
    assert_eq!(parse::comments("let a = \"# no\" # yes\nlet b = r\"#\" + '#' #z"), ["# yes", "#z"]);
}

#[test]
fn no_comment_is_lost_wherever_it_stands() {
    for sample in SAMPLES {
        for nth in 0..3 {
            let marked = |(i, line): (usize, &str)| match i % 3 == nth && parse::comments(line).is_empty() {
                true => format!("{line} # MARK\n"),
                false => format!("{line}\n"),
            };
            let text: String = sample.lines().enumerate().map(marked).collect();
            let parsed = parse::file(FileId(0), &text);
            assert!(parsed.problems.is_empty(), "{text}: {:#?}", parsed.problems);
            let tree = format!("{:?}", parsed.tree);
            assert_eq!(tree.matches("Comment {").count(), parse::comments(&text).len(), "{text}");
            assert!(tree.contains("MARK"));
        }
    }
}
