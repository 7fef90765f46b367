//! The examples of every entry check as they stand, each in the frame of its kind.

use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::plan::vocabulary::{Kind, Word, all_words};
use millstream::plan::{Catalog, catalog};
use millstream_dsl::{Diagnostic, SourceMap};

/// What examples of stages, windows, sinks, functions and aggregates may use.
const FRAME: &str = r#"pipeline frame { every: 1s }
type Row = {
  order_id: string, user_id: string, category: string, product: string, page: string, url: string, country: string?,
  word: string, line: string, text: string, name: string, first: string, last: string, sensor: string, status: int64,
  internal_id: int64, quantity: int64, n: int64, value: float64, x: float64, y: float64, weight: float64,
  amount: decimal(12, 2), net: decimal(12, 2), ok: bool, tags: list(string), attributes: map(string, string),
  body: json, payload: json, ts: timestamp, day: date, took: duration,
}
type Click = { click_id: string, user_id: string, ad_id: string, page: string, clicked: timestamp }
source orders = files("orders/*.json") { format: json, schema: Row, time: ts, watermark: 30s } bad drop
source impressions = files("i/*.json") { format: json, schema: { ad_id: string, user_id: string, ts: timestamp }, time: ts, watermark: 1m } bad drop
source clicks = files("clicks/*.json") { format: json, schema: Click, time: clicked, watermark: 1m } bad drop
source web_orders = files("web/*.json") { format: json, schema: Row, time: ts, watermark: 30s } bad drop
source shop_orders = files("shop/*.json") { format: json, schema: Row, time: ts, watermark: 30s } bad drop
source quotes = files("quotes/*.json") { format: json, schema: { sym: string, bid: float64, ts: timestamp }, time: ts, watermark: 1m } bad drop
source trades = files("trades/*.json") { format: json, schema: { sym: string, size: int64, ts: timestamp }, time: ts, watermark: 1m } bad drop
table users = files("users.csv") { format: csv, schema: { user_id: string, name: string, country: string, tier: string } } bad drop
table blacklist = files("blacklist.csv") { format: csv, schema: { user_id: string, reason: string } } bad drop
"#;

/// The program an example stands for.
fn framed(word: &Word<'_>, catalog: &Catalog, example: &str) -> String {
    let fallible = || catalog::find(&catalog.functions, &word.doc.name).is_some_and(|f| f.failure == catalog::Failure::Fallible);
    match word.kind {
        Kind::Source | Kind::Format if example.starts_with("from ") => format!("{FRAME}{example}\n"),
        Kind::Source | Kind::Format => format!("pipeline frame {{ every: 1s }}\n{example}\n"),
        Kind::Sink => format!("{FRAME}{example}\n"),
        Kind::Stage => format!("{FRAME}stream framed = from {} |> {example}\nfrom framed |> into console\n", start(example)),
        Kind::Window if example.starts_with("aggregate ") => {
            format!("{FRAME}stream framed = from orders |> {example} late drop\nfrom framed |> into console\n")
        }
        Kind::Window => format!("{FRAME}stream framed = from orders |> aggregate count() as rows over {example} late drop\n"),
        Kind::Function if fallible() && !example.contains("?") => {
            format!("{FRAME}stream framed = from orders |> select ({example})? as result bad drop\n")
        }
        Kind::Function => format!("{FRAME}stream framed = from orders |> select {example} as result bad drop\n"),
        Kind::Aggregate => format!("{FRAME}stream framed = from orders |> aggregate {example} as result per batch\n"),
    }
}

/// The stream a stage's example starts from: the one whose columns it names.
fn start(example: &str) -> &'static str {
    let names = ["impressions", "clicks", "trades"];
    names.into_iter().find(|name| example.contains(&format!("{name}."))).unwrap_or("orders")
}

fn mistakes(catalog: &Catalog, text: &str) -> Vec<Diagnostic> {
    let mut sources = SourceMap::new();
    let id = sources.add("example", text);
    let parsed = millstream_dsl::parse::file(id, text);
    let mut problems = parsed.problems;
    let file = ProgramFile { id, path: "example".into(), tree: parsed.tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file] };
    problems.extend(check(&program, catalog, &Overrides::new()).problems);
    // Examples show one thing and leave out where the rows go.
    problems.retain(|problem| problem.is_error() && problem.code != "no-output");
    problems
}

#[test]
fn every_example_of_every_entry_checks() {
    let catalog = millstream::builtins::catalog();
    let mut complaints = Vec::new();
    for word in all_words(&catalog) {
        for example in &word.doc.examples {
            let text = framed(&word, &catalog, example);
            for problem in mistakes(&catalog, &text) {
                let help = problem.help.unwrap_or_default();
                let place = text.get(problem.labels[0].span.range()).unwrap_or_default();
                complaints.push(format!("{} {}: {example}\n  {}: {} at `{place}`; {help}", word.kind.one(), word.doc.name, problem.code, problem.message));
            }
        }
    }
    crate::files::none(complaints);
}

#[test]
fn every_stage_source_sink_format_and_window_has_an_example_and_a_sentence() {
    let catalog = millstream::builtins::catalog();
    for word in all_words(&catalog) {
        let doc = word.doc;
        assert!(!doc.summary.is_empty() && !doc.summary.ends_with('.'), "{}: {:?}", doc.name, doc.summary);
        assert!(!doc.usage.is_empty(), "{} has no usage", doc.name);
        let needs_one = !matches!(word.kind, Kind::Function | Kind::Aggregate);
        assert!(!needs_one || !doc.examples.is_empty(), "{} {} has no example", word.kind.one(), doc.name);
    }
}

#[test]
fn no_word_is_listed_twice_in_its_kind() {
    let catalog = millstream::builtins::catalog();
    let mut seen: Vec<(Kind, &str)> = Vec::new();
    let words = all_words(&catalog);
    for word in &words {
        for name in std::iter::once(&word.doc.name).chain(&word.doc.aliases) {
            assert!(!seen.contains(&(word.kind, name)), "{} {name} is there twice", word.kind.one());
            seen.push((word.kind, name));
        }
    }
}

#[test]
fn the_frame_itself_has_no_mistakes() {
    let catalog = millstream::builtins::catalog();
    assert_eq!(mistakes(&catalog, FRAME), Vec::new());
}
