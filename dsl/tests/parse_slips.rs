//! What people write by mistake: the code, the place and the help of each message.

use millstream_dsl::ast::StatementKind;
use millstream_dsl::{Diagnostic, FileId, parse};

fn problems(text: &str) -> Vec<Diagnostic> {
    parse::file(FileId(0), text).problems
}

/// The only problem of `text` has this code, stands at `place` and its help contains `help`.
#[track_caller]
fn one(text: &str, code: &str, place: &str, help: &str) -> Diagnostic {
    let [problem] = <[Diagnostic; 1]>::try_from(problems(text)).unwrap_or_else(|p| panic!("{text}: {p:#?}"));
    assert_eq!(problem.code, code, "{problem:#?}");
    assert_eq!(&text[problem.span().range()], place, "{problem:#?}");
    let said = problem.help.clone().unwrap_or_default();
    assert!(said.contains(help), "{said}");
    problem
}

/// The same in a stage; the edits of the message mend it.
#[track_caller]
fn mended(stage: &str, code: &str, place: &str, help: &str) {
    let text = format!("stream a = from b |> {stage}");
    let problem = one(&text, code, place, help);
    assert!(!problem.edits.is_empty(), "{problem:#?}");
    let mut fixed = text.clone();
    for edit in problem.edits.iter().rev() {
        fixed.replace_range(edit.span.range(), &edit.replacement);
    }
    assert!(self::problems(&fixed).is_empty(), "{fixed}: {:#?}", self::problems(&fixed));
    assert_eq!(tree(&fixed), tree(&text), "the tree is what the mended text means");
}

fn tree(text: &str) -> millstream_dsl::File {
    parse::file(FileId(0), text).tree
}

#[test]
fn a_single_equals_sign_compares_after_all() {
    mended("where (x.y = 5)", "equals-sign", "=", "x.y == 5");
    mended("join c on b.id = c.id", "equals-sign", "=", "b.id == c.id");
}

#[test]
fn signs_of_other_languages_are_named() {
    mended("where a <> b", "unequal-sign", "<>", "!=");
    mended("where a && b", "logical-symbol", "&&", "and");
    mended("where a || b", "logical-symbol", "||", "or");
    mended("where !a", "logical-symbol", "!", "not");
    mended("extend x = map(xs, y => y + 1)", "syntax", "=>", "x -> x * 2");
    mended("where x in (\"a\", \"b\")", "syntax", "(\"a\", \"b\")", "[\"a\", \"b\"]");
    mended("where $a == 1", "syntax", "$", "write the name alone");
}

#[test]
fn words_in_upper_case_are_read() {
    mended("where a AND b", "sql-word", "AND", "and");
    mended("where a OR b", "sql-word", "OR", "or");
    mended("where NOT a", "sql-word", "NOT", "not");
    mended("where a is NULL", "sql-word", "NULL", "null");
    mended("select a AS b", "sql-word", "AS", "as");
    mended("sort by a DESC", "sql-word", "DESC", "desc");
}

#[test]
fn clauses_and_joins_of_sql_are_read() {
    mended("aggregate sum(x) as s group by c per batch", "group-by", "group by", "by");
    mended("top 3 order by c", "group-by", "order by", "by");
    mended("left outer join c using id", "sql-word", "outer", "left join");
    mended("inner join c using id", "sql-word", "inner", "join");
    mended("aggregate count(*) as n per batch", "sql-word", "*", "count()");
    mended("aggregate count() as n by user_id, per batch", "syntax", ",", "one after the other");
    mended("aggregate count() as n, per batch", "syntax", ",", "one after the other");
    one("stream a = from b |> f c by d having n > 3", "sql-word", "having", "|> where n > 3");
    mended("aggregate count() as n running 30d", "syntax", "", "running ttl 30d");
}

#[test]
fn strings_in_other_quotes_are_read() {
    mended("where a == 'x'", "single-quotes", "'x'", "\"x\"");
    mended("where a == 'say \"x\"'", "single-quotes", "'say \"x\"'", "\\\"x\\\"");
    mended("where a == “x”", "single-quotes", "“x”", "\"x\"");
}

#[test]
fn numbers_and_units_are_mended() {
    mended("dedupe by id within 60 s", "unit-space", "60 s", "60s");
    mended("dedupe by id within 5 minutes", "unit-space", "5 minutes", "5m");
    mended("dedupe by id within 10sec", "unknown-unit", "sec", "10s");
    mended("dedupe by id within 5minutes", "unknown-unit", "minutes", "5m");
    mended("where a > .5", "invalid-number", ".5", "0.5");
    mended("where a > 10.", "invalid-number", "10.", "10.0");
    mended("where a > 1_000", "invalid-number", "1_000", "1000");
    one("let a = 10q", "unknown-unit", "q", "kib");
    one("let a = 0x1F", "invalid-number", "0x1F", "42");
}

#[test]
fn colons_and_equals_signs_are_told_apart() {
    mended("extend x: 1", "colon-equals", ":", "x = ...");
    mended("explode a with { outer = true }", "colon-equals", "=", "name: value");
    mended("explode a with { outer == true }", "colon-equals", "==", "name: value");
    mended("window over sliding(60s, every: 10s)", "colon-equals", ":", "every 10s");
    one("let a : 3", "colon-equals", ":", "=");
    one("fn f(x: int64) -> int64 = x", "colon-equals", "->", ": float64 =");
}

#[test]
fn missing_commas_are_put_in() {
    mended("explode a with { outer: true position: pos }", "syntax", "", ",");
    mended("where a in [\"x\" \"y\"]", "syntax", "", ",");
    mended("extend a = { b: 1 c: 2 }", "syntax", "", ",");
    one("test \"x\" {\n  given a [ { x: 1 } { x: 2 } ]\n}", "syntax", "", ",");
}

#[test]
fn a_missing_pipe_is_put_in() {
    let text = "stream a =\n  from b\n  where x > 0\n  |> select a, b\n  distinct by c\n";
    let problems = problems(text);
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["missing-pipe", "missing-pipe"]);
    assert_eq!(problems[0].help.as_deref(), Some("every stage starts with `|>`:\n  |> where x > 0"));
    assert_eq!(&text[problems[1].span().range()], "distinct");
    let StatementKind::Stream { chain, .. } = &tree(text).statements[0].kind.clone() else { panic!() };
    assert_eq!(chain.stages.iter().map(|s| s.name.name.as_str()).collect::<Vec<_>>(), ["where", "select", "distinct"]);
    one("from a where b |> into c", "missing-pipe", "where", "|> where b");
    one("stage s() = where b", "missing-pipe", "where", "|> where b");
}

#[test]
fn stray_signs_and_comments_are_taken_away() {
    one("let a = 1;", "semicolon", ";", "line break");
    one("let a = 1 // one", "comment-style", "//", "# one");
    one("-- one\nlet a = 1", "comment-style", "--", "# one");
    assert!(problems("let a = 3--1").is_empty());
}

#[test]
fn types_in_angle_brackets_are_read() {
    one("type A = { b: list<string> }", "angle-type", "list<string>", "list(string)");
    one(
        "source a = files(\"x\") { schema: map<string, int64> }",
        "angle-type",
        "map<string, int64>",
        "map(string, int64)",
    );
    assert!(problems("let a = list < b").is_empty());
}

#[test]
fn names_that_are_missing_are_asked_for() {
    one("source = files(\"x\")", "missing-name", "source", "source orders = files");
    one("stream = from x", "missing-name", "stream", "stream clean = from orders");
    one("pipeline { every: 1s }", "missing-name", "pipeline", "pipeline revenue");
    one("param a = 3", "syntax", "", "param a: int64");
}

#[test]
fn statements_without_their_word_are_understood() {
    one("x = from y |> where a", "unknown-statement", "x", "stream x = from y");
    one("x = files(\"y\")", "unknown-statement", "x", "source x = files(\"y\")");
    one("strem x = from y", "unknown-statement", "strem", "stream");
    one("SELECT a", "sql-word", "SELECT", "|> select");
    one("stream x = orders", "syntax", "", "from orders");
    one("stream x from orders", "syntax", "", "=");
    one("let a = 1\n  let b = 2", "syntax", "let", "white space");
    let StatementKind::Stream { name, .. } = tree("x = from y").statements[0].kind.clone() else { panic!() };
    assert_eq!(name.name, "x");
}

#[test]
fn sinks_and_streams_are_told_apart() {
    one("stream a = from b |> into console", "into-inside-stream", "into", "from a |> into console");
    one("from a |> where x", "syntax", "from", "into console");
    one("from a |> into b |> where x", "trailing-text", "where x", "before `into`");
    one("source a = b() |> where x", "trailing-text", "|>", "stream clean");
}

#[test]
fn empty_stages_are_found() {
    one("stream a = from b |> |> where x", "syntax", "|>", "|> where");
    one("stream a = from b |> where x |>", "syntax", "|>", "|> where");
}

#[test]
fn choices_of_other_languages_show_ours() {
    one("let x = if a then b else c", "syntax", "a", "if(amount > 100");
    one("let x = if (a) then b", "syntax", "then", "case when");
    one("let x = a ? b : c", "syntax", "b", "case when");
    one("let x = a is 3", "syntax", "3", "is not null");
}

#[test]
fn brackets_and_strings_that_never_close_are_found_where_they_open() {
    one("stream a = from b |> where (x |> select y", "unclosed-bracket", "(", "`)`");
    one("stream a = from b |> where x) |> select y", "unclosed-bracket", ")", "take");
    one("pipeline x {\n  every: 1s\nstream a = from b", "unclosed-bracket", "{", "`}`");
    one("let a = f([1, 2)", "unclosed-bracket", "[", "`]`");
    one("let a = \"abc\nlet b = 1", "unclosed-string", "\"abc", "\\n");
    one("let a = `abc\nlet b = 1", "unclosed-string", "`abc", "backtick");
    one("let a = r\"abc\nlet b = 1", "unclosed-string", "r\"abc", "\"");
    one("let a = \"x ${f(\"y\")\nlet b = 1", "unclosed-string", "\"x ${f(\"y\")", "\"");
}

#[test]
fn escapes_that_do_not_exist_are_found() {
    one(r#"let a = "\q""#, "invalid-escape", "\\q", "r\"");
    one(r#"let a = "\u{110000}""#, "invalid-escape", "\\u{110000}", "u{1F600}");
    assert!(problems(r#"let a = "\n\t\r\\\"\0\$\u{1F600}""#).is_empty());
}

#[test]
fn everything_else_is_said_in_the_users_words() {
    for (text, message) in [
        ("let a = ", "expected an expression after `=`, found the end"),
        ("let a = 1 +", "expected an expression after `+`, found the end"),
        ("let a = f(1,, 2)", "expected an expression after `,`, found `,`"),
        ("param a: = 3", "expected a type after `:`, found `=`"),
        ("import x", "the path of an import is a string"),
        ("source a = b() { c }", "expected `:` and a value after `c`, found `}`"),
        ("source a = b() bad", "expected where the rows go after `bad`, found the end"),
        ("from a |> into", "expected a source or sink after `into`, found the end"),
        ("stream a =", "expected `from` and a name after `=`, found the end"),
        ("test \"x\" {\n  expect a\n}", "expected rows after `a`, found the end"),
        ("test \"x\" {\n  expct a []\n}", "test step `expct` does not exist"),
        ("let a = 1 < 2 < 3", "comparisons do not chain"),
        ("let a = 1 between 2", "`between` has no upper bound"),
        ("let a = b c", "unexpected `c` after `b`"),
    ] {
        let problems = problems(text);
        assert_eq!(problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>(), [message], "{text}");
        assert!(problems[0].help.is_some(), "{text}");
    }
}
