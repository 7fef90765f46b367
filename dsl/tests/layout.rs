//! What `fmt` does, as pairs of before and after.

use millstream_dsl::ast::StatementKind;
use millstream_dsl::{FileId, parse, print};

/// Formats `before` and expects `after`, of which nothing may change when it is formatted again.
#[track_caller]
fn becomes(before: &str, after: &str) {
    let format = |text: &str| {
        let parsed = parse::file(FileId(0), text);
        assert!(parsed.problems.is_empty(), "{text}\n{:#?}", parsed.problems);
        print::file(&parsed.tree)
    };
    assert_eq!(format(before), after);
    assert_eq!(format(after), after, "formatting twice");
}

#[track_caller]
fn stays(text: &str) {
    becomes(text, text);
}

#[test]
fn a_stream_of_one_stage_stands_on_one_line() {
    becomes(
        "stream clean =\n  from orders\n  |>   where amount>0\n",
        "stream clean = from orders |> where amount > 0\n",
    );
}

#[test]
fn a_stream_of_several_stages_has_a_line_for_each() {
    becomes(
        "stream clean = from orders as o |> where o.amount > 0 |> distinct by user_id",
        "stream clean =\n  from orders as o\n  |> where o.amount > 0\n  |> distinct by user_id\n",
    );
}

#[test]
fn a_stage_that_does_not_fit_breaks_before_each_clause_and_then_inside() {
    becomes(
        "stream revenue = from orders |> aggregate sum(amount) as revenue, count() as orders, max(amount) as largest by \
         category over sliding(60s, every 10s) late to orders_late\n",
        "\
stream revenue =
  from orders
  |> aggregate sum(amount) as revenue, count() as orders, max(amount) as largest
     by category
     over sliding(60s, every 10s)
     late to orders_late
",
    );
    becomes(
        "stream wide = from orders |> extend first_name_of_them = upper(first_name), second_name_of_them = upper(second_name), \
         third_of_them = 22\n",
        "\
stream wide =
  from orders
  |> extend
       first_name_of_them = upper(first_name),
       second_name_of_them = upper(second_name),
       third_of_them = 22
",
    );
}

#[test]
fn conditions_break_before_their_words() {
    becomes(
        "stream attributed = from impressions |> left join clicks on impressions.ad_id == clicks.ad_id and clicks.ts between \
         impressions.ts and impressions.ts + 1h late to late_events",
        "\
stream attributed =
  from impressions
  |> left join clicks
     on impressions.ad_id == clicks.ad_id
        and clicks.ts between impressions.ts and impressions.ts + 1h
     late to late_events
",
    );
}

#[test]
fn options_stand_on_one_line_or_one_on_each() {
    becomes("pipeline p {\n  every: 1s,\n}\n", "pipeline p { every: 1s }\n");
    becomes(
        "source orders = files(\"data/orders/*.json\") { format: json, schema: Order, time: ts, watermark: 30s } bad to \
         orders_bad",
        "\
source orders = files(\"data/orders/*.json\") {
  format: json,
  schema: Order,
  time: ts,
  watermark: 30s,
} bad to orders_bad
",
    );
    stays("pipeline p {\n  every: 1s,  # quick\n}\n");
}

#[test]
fn a_sink_stands_on_one_line_if_it_fits() {
    becomes("from a\n  |> where x\n  |> into console()\n", "from a |> where x |> into console\n");
    becomes(
        "from enriched |> into postgres(\"orders_enriched\") { url: secret(\"pg/url\"), write: upsert, key: [\"order_id\"] } \
         rejected to refused",
        "\
from enriched
  |> into postgres(\"orders_enriched\") {
       url: secret(\"pg/url\"),
       write: upsert,
       key: [\"order_id\"],
     } rejected to refused
",
    );
}

#[test]
fn named_arguments_of_defining_stages_have_their_name_first() {
    becomes(
        "stream a = from b |> extend x + 1 as y |> aggregate n = count() per batch |> select z = x",
        "stream a =\n  from b\n  |> extend y = x + 1\n  |> aggregate count() as n per batch\n  |> select x as z\n",
    );
}

#[test]
fn parentheses_stand_where_they_are_needed_and_where_they_help() {
    for (before, after) in [
        ("(a + b) + (c * d)", "a + b + c * d"),
        ("a - (b - c)", "a - (b - c)"),
        ("a and b or c", "(a and b) or c"),
        ("a or (b or c)", "a or b or c"),
        ("a + b ?? c", "(a + b) ?? c"),
        ("a ?? b ?? c", "a ?? b ?? c"),
        ("a ?? b > 5", "(a ?? b) > 5"),
        ("not (a == b)", "not a == b"),
        ("-(-a)", "-(-a)"),
        ("(-a)::int64", "(-a)::int64"),
        ("cast(a as int64)?", "a::int64?"),
        ("cast(a as int64?)", "cast(a as int64?)"),
        ("(a?)?", "(a?)?"),
        ("(x -> x * 2)", "x -> x * 2"),
        ("(5).abs", "(5).abs"),
        ("f(every 10s, (1 + 2) as start)", "f(every 10s, 1 + 2 as start)"),
    ] {
        becomes(&format!("let x = {before}\n"), &format!("let x = {after}\n"));
    }
}

#[test]
fn names_stand_in_backticks_only_where_they_must() {
    becomes(
        "stream a = from b |> select `late`, `amount`, x.`end`, `end`, `odd name`",
        "stream a = from b |> select `late`, amount, x.end, `end`, `odd name`\n",
    );
    stays("let x = { end: 1, `odd name`: 2, late }\n");
}

#[test]
fn strings_keep_their_value_in_the_shortest_spelling() {
    becomes(r#"let x = "\u{41}\u{7}\$a\${b}${c}é""#, "let x = \"A\\u{7}$a\\${b}${c}é\"\n");
    stays("let x = r#\"a \"b\" \\d\"#\n");
}

#[test]
fn comments_and_single_empty_lines_stay() {
    becomes(
        "\n\n# about p\npipeline p # behind\n\n\n\n# about s\n\nstream s = from a\n  # above\n\n  |> where x   # why\n# end\n",
        "\
# about p
pipeline p  # behind

# about s

stream s =
  from a
  # above

  |> where x  # why
# end
",
    );
}

#[test]
fn a_comment_inside_an_expression_moves_above_its_item() {
    becomes(
        "stream s = from a\n  |> where x # one\n    and y\n  |> distinct\n",
        "stream s =\n  from a\n  # one\n  |> where x and y\n  |> distinct\n",
    );
}

#[test]
fn rows_of_a_test_stand_below_each_other() {
    becomes(
        "test \"t\" { given a [{x: 1}, {x: 2}]\n step\n expect b [{n: 2}] }",
        "\
test \"t\" {
  given a [
    { x: 1 },
    { x: 2 },
  ]
  step
  expect b [ { n: 2 } ]
}
",
    );
}

#[test]
fn a_chain_of_ten_thousand_conditions_is_printed_in_a_blink() {
    let conditions: Vec<String> = (0..10_000).map(|i| format!("a{i} == {i}")).collect();
    let text = format!("let x = {}\n", conditions.join(" and "));
    let tree = parse::file(FileId(0), &text).tree;
    assert!(print::file(&tree).lines().count() >= 10_000);
}

#[test]
fn single_nodes_are_printed_on_one_line_without_comments() {
    let text = "stream s = from a |> fold by user_id running ttl 7d init { # one\n n: 0 } step { n: state.n + 1 }\n";
    let tree = parse::file(FileId(0), text).tree;
    let StatementKind::Stream { chain, .. } = &tree.statements[0].kind else { panic!("a stream") };
    let stage = &chain.stages[0];
    assert_eq!(print::stage(stage), "fold by user_id running ttl 7d init { n: 0 } step { n: state.n + 1 }");
    assert_eq!(print::clause(&stage.clauses[1]), "running ttl 7d");
}
