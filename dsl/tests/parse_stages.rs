//! Stages and their clauses: what is a clause and what is a name, and that two spellings of one thing are one tree.

use millstream_dsl::ast::{ClauseKind, ExprKind, Fate, JoinWord, Stage, StatementKind, Ttl};
use millstream_dsl::parse::{self, Positions};
use millstream_dsl::{FileId, Span};

#[track_caller]
fn stage(text: &str) -> Stage {
    let parsed = parse::file(FileId(0), &format!("stream a = from b |> {text}"));
    assert!(parsed.problems.is_empty(), "{text}: {:#?}", parsed.problems);
    match parsed.tree.statements.into_iter().next().map(|s| s.kind) {
        Some(StatementKind::Stream { mut chain, .. }) if chain.stages.len() == 1 => chain.stages.remove(0),
        other => panic!("{text}: {other:#?}"),
    }
}

fn words(text: &str) -> Vec<&'static str> {
    stage(text).clauses.iter().map(|c| c.kind.word()).collect()
}

fn names(text: &str) -> Vec<String> {
    let name = |e: &ExprKind| if let ExprKind::Name(n) = e { n.clone() } else { "?".to_owned() };
    stage(text).args.iter().map(|a| name(&a.value.kind)).collect()
}

#[test]
fn every_clause_is_read() {
    let text = "x a by b using c, d on e on batch time on expiry { f } over g(1m) per batch per h running ttl 1d \
                within 5m named i late to j bad null rejected fail else drop emit changes every 5s init { k: 1 } \
                init from l step { m: 2 } yield { n } with { o: p }";
    assert_eq!(
        words(text),
        [
            "by",
            "using",
            "on",
            "on batch time",
            "on expiry",
            "over",
            "per batch",
            "per",
            "running",
            "within",
            "named",
            "late",
            "bad",
            "rejected",
            "else",
            "emit",
            "init",
            "init from",
            "step",
            "yield",
            "with",
        ]
    );
}

#[test]
fn a_clause_word_is_a_name_where_no_clause_can_be_meant() {
    for word in ["by", "on", "per", "late", "bad", "step", "yield", "with", "over", "emit", "init", "named", "using"] {
        assert_eq!(names(&format!("select {word}, x")), [word, "x"], "{word}");
        assert_eq!(names(&format!("select {word}")), [word], "{word}");
        assert_eq!(names(&format!("select {word} as y")), [word], "{word}");
        assert_eq!(stage(&format!("where {word} > 3")).args.len(), 1, "{word}");
        assert_eq!(stage(&format!("extend {word} = 3")).args[0].names[0].name, word);
        assert_eq!(stage(&format!("sort x by {word}")).args.len(), 1, "{word}");
    }
    assert_eq!(words("distinct by by"), ["by"]);
    assert_eq!(words("sort by -amount"), ["by"]);
    assert_eq!(words("select a, by, late late drop"), ["late"]);
    assert_eq!(words("sort (by)"), [""; 0]);
}

#[test]
fn two_spellings_of_one_thing_are_one_tree() {
    for (one, other) in [
        ("extend x = a + 1", "extend a + 1 as x"),
        ("f(a, b)", "f a, b"),
        ("f()", "f"),
        ("where (a > 1)", "where a > 1"),
        ("f(a, b) late to c", "f a, b late to c"),
        ("select a, b,", "select a, b"),
        ("sort by a asc, b,", "sort by a asc, b"),
        ("join c using (d, e)", "join c using d, e"),
    ] {
        assert_eq!(stage(one), stage(other), "{one}");
    }
    assert_eq!(stage("explode m as (k, v)").args[0].names.len(), 2);
    assert!(matches!(stage("where (a) > 1").args[0].value.kind, ExprKind::Binary(..)));
}

#[test]
fn words_before_a_join_are_modifiers() {
    for (word, text) in JoinWord::ALL {
        assert_eq!(stage(&format!("{text} join c using d")).modifier, Some(word));
    }
    assert_eq!(stage("left").modifier, None);
    assert_eq!(stage("left where").modifier, Some(JoinWord::Left));
}

#[test]
fn what_happens_to_rows_and_state_is_kept() {
    let kind = |text: &str| stage(text).clauses.remove(0).kind;
    assert!(matches!(kind("x a late to b"), ClauseKind::Late(Fate::To(b)) if b.name == "b"));
    assert!(matches!(kind("x a bad null"), ClauseKind::Bad(Fate::Word(b)) if b.name == "null"));
    assert!(matches!(kind("x a running"), ClauseKind::Running(Ttl::Missing)));
    assert!(matches!(kind("x a running ttl forever"), ClauseKind::Running(Ttl::Forever)));
    assert!(matches!(kind("x a running ttl 30d"), ClauseKind::Running(Ttl::For(_))));
}

#[test]
fn fragments_are_read_like_the_text_they_stand_for() {
    let whole = |text: &str| Positions::whole(FileId(1), 0, text.len());
    for (fragment, text) in [
        ("sum(a) as b, n = count()", "x sum(a) as b, n = count()"),
        ("by, late", "x by, late"),
        ("", "x"),
        ("  a > 1  # why", "x a > 1"),
    ] {
        let parsed = parse::arguments(fragment, &whole(fragment));
        assert!(parsed.problems.is_empty(), "{:#?}", parsed.problems);
        assert_eq!(parsed.tree, stage(text).args);
    }
    let clause = "by a, b desc";
    assert_eq!(parse::clause(clause, &whole(clause)).tree.as_ref(), Some(&stage("x 1 by a, b desc").clauses[0].kind));
    let arguments = parse::call_arguments("60s, every 10s", &whole("60s, every 10s")).tree;
    assert_eq!(arguments[1].names[0].name, "every");
    assert!(parse::step("restart", &whole("restart")).problems.is_empty());
    assert!(parse::expected("nothing", &whole("nothing")).tree.is_some());
    assert_eq!(parse::rows("[ { a: 1 }, ]", &whole("[ { a: 1 }, ]")).tree.map(|r| r.rows.len()), Some(1));
    let comments = parse::fragment::comments("a # b\n and c", &whole("a # b\n and c"));
    assert_eq!(comments[0].text, " b");
    assert_eq!(comments[0].at.0, Span::new(FileId(1), 2, 5));
}

#[test]
fn every_node_knows_its_place() {
    let text = "stream a =\n  from b as c\n  |> left join d on c.e == d.e   \n     late to f\n  |> limit 3\n\n";
    let parsed = parse::file(FileId(0), text);
    let place = |span: Span| &text[span.range()];
    let StatementKind::Stream { chain, name } = &parsed.tree.statements[0].kind else { panic!() };
    assert_eq!(place(parsed.tree.statements[0].at.0), text.trim_end());
    assert_eq!(place(name.at.0), "a");
    assert!(place(chain.at.0).starts_with("from b as c") && place(chain.at.0).ends_with("limit 3"));
    assert_eq!(place(chain.stages[0].at.0), "left join d on c.e == d.e   \n     late to f");
    assert_eq!(place(chain.stages[0].name.at.0), "join");
    assert_eq!(place(chain.stages[0].clauses[0].at.0), "on c.e == d.e");
    assert_eq!(place(chain.stages[0].clauses[1].at.0), "late to f");
    assert_eq!(place(chain.stages[1].args[0].value.at.0), "3");
}
