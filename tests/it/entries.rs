//! The examples of every entry check as they stand, each in the frame of its kind.

use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::plan::vocabulary::{Kind, Word, all_words};
use millstream::plan::{Catalog, catalog};
use millstream_dsl::{Diagnostic, SourceMap};

/// What the examples of stages, windows, functions and aggregates may use.
const FRAME: &str = r#"
source clicks = files("clicks/*.json") { format: json, schema: Click, time: ts, watermark: 1m } bad drop
source impressions = files("i/*.json") { format: json, schema: Impression, time: ts, watermark: 1m } bad drop
source web_orders = files("web/*.json") { format: json, schema: Row, time: ts, watermark: 30s } bad drop
source shop_orders = files("shop/*.json") { format: json, schema: Row, time: ts, watermark: 30s } bad drop
source quotes = files("quotes/*.json") { format: json, schema: Quote, time: ts, watermark: 1m } bad drop
source trades = files("trades/*.json") { format: json, schema: Trade, time: ts, watermark: 1m } bad drop
table users = files("users.csv") { format: csv, schema: User } bad drop
table blacklist = files("blacklist.csv") { format: csv, schema: Listed } bad drop

type Click = { click_id: string, user_id: string, ad_id: string, page: string, clicked: timestamp, ts: timestamp }
type Impression = { ad_id: string, user_id: string, ts: timestamp }
type Quote = { sym: string, bid: float64, ts: timestamp }
type Trade = { sym: string, size: int64, ts: timestamp }
type User = { user_id: string, name: string, country: string, tier: string }
type Listed = { user_id: string, reason: string }
"#;

/// The columns of `orders`; one that an example itself defines is left out.
const COLUMNS: &str = "order_id: string, user_id: string, category: string, product: string, page: string, url: string, \
    country: string?, word: string, line: string, text: string, name: string, first: string, last: string, \
    sensor: string, status: int64, internal_id: int64, quantity: int64, n: int64, value: float64, x: float64, \
    y: float64, weight: float64, amount: decimal(12, 2), net: decimal(12, 2), ok: bool, tags: list(string), \
    attributes: map(string, string), body: json, payload: json, ts: timestamp, day: date, took: duration";

/// What the examples of sinks may use: columns that every format holds.
const FLAT: &str = "id: string, order_id: string, user_id: string, text: string, amount: decimal(12, 2), ts: timestamp";

/// The program an example stands for.
fn framed(word: &Word<'_>, catalog: &Catalog, example: &str) -> String {
    let fallible =
        || catalog::find(&catalog.functions, &word.doc.name).is_some_and(|f| f.failure == catalog::Failure::Fallible);
    let (columns, body) = match word.kind {
        Kind::Source | Kind::Format => (None, example.to_string()),
        Kind::Sink => (Some(FLAT.to_string()), example.to_string()),
        Kind::Stage => (Some(columns_beside(example)), format!("stream framed = from {} |> {example}", start(example))),
        Kind::Window => (Some(columns_beside(example)), format!("stream framed = from orders |> {example}")),
        Kind::Function if fallible() && !example.contains('?') => {
            (Some(columns_beside(example)), format!("stream framed = from orders |> select ({example})? as result"))
        }
        Kind::Function => {
            (Some(columns_beside(example)), format!("stream framed = from orders |> select {example} as result"))
        }
        Kind::Aggregate => (
            Some(columns_beside(example)),
            format!("stream framed = from orders |> aggregate {example} as result per batch"),
        ),
    };
    let orders = columns.map(|columns| {
        format!("type Row = {{ {columns} }}\nsource orders = files(\"o/*.json\") {{ format: json, schema: Row, time: ts, watermark: 30s }} bad drop\n{FRAME}")
    });
    format!("pipeline frame {{ every: 1s }}\n{}{body}\n", orders.unwrap_or_default())
}

/// The columns of `orders` without those that an example gives as names.
fn columns_beside(example: &str) -> String {
    let defines = |name: &str| {
        let pair = example.contains(&format!("({name}, ")) && example.contains(" as (")
            || example.contains(&format!(", {name})")) && example.contains(" as (");
        pair || example.contains(&format!(" as {name}")) || example.contains(&format!("{name} = "))
    };
    let columns = COLUMNS.replace(", 2)", ",2)").replace("(string, string)", "(string,string)");
    let kept = columns.split(", ").filter(|column| !defines(column.split(':').next().unwrap().trim()));
    kept.collect::<Vec<_>>().join(", ")
}

/// What a stage's example starts from: the stream whose columns it names, joined where it takes a joined table's.
fn start(example: &str) -> &'static str {
    if example.contains("users.") && !example.contains("join") {
        return "orders |> join users using user_id";
    }
    let names = ["impressions", "trades"];
    names.into_iter().find(|name| example.contains(&format!("{name}."))).unwrap_or("orders")
}

fn mistakes(catalog: &Catalog, text: &str) -> Vec<Diagnostic> {
    let mut sources = SourceMap::new();
    let id = sources.add("example", text);
    let parsed = millstream_dsl::parse::file(id, text);
    let mut problems = parsed.problems;
    let file = ProgramFile { id, path: "example".into(), tree: parsed.tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file], incomplete: false, ..Program::default() };
    problems.extend(check(&program, catalog, &Overrides::new()).problems);
    // Examples show one thing and leave out where the rows go; a feature may not be part of this build.
    problems.retain(|problem| problem.is_error() && !["no-output", "missing-feature"].contains(&problem.code));
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
                complaints.push(format!(
                    "{} {}: {example}\n  {}: {} at `{place}`; {help}",
                    word.kind.one(),
                    word.doc.name,
                    problem.code,
                    problem.message
                ));
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
