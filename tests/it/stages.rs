//! What stages compute, from text to rows: every chain runs in one piece and block by block, whole and in halves, and
//! must give the same.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::json::{LineDelimitedWriter, ReaderBuilder};
use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::plan::graph::{NodeId, Work};
use millstream::plan::operator::{Evaluated, StepTime, Task};
use millstream::plan::{Operator, Plan, Port};
use millstream_dsl::{Severity, SourceMap};

/// Sources that the chains may start from, without rows of their own.
const FRAME: &str = r#"pipeline frame { every: 10s }
type Order = { id: int64, user: string, category: string, amount: decimal(12, 2), note: string?, tags: list(string), ts: timestamp }
type User = { user: string, tier: string }
source orders = files("orders/*.json") { format: json, schema: Order, time: ts, watermark: 30s } bad drop
source more = files("more/*.json") { format: json, schema: Order, time: ts, watermark: 1m } bad drop
source lines = files("*.txt") { format: text }
table tiers = files("tiers.csv") { format: csv, schema: User } bad drop
"#;

/// Five orders; one has no note, one no tags.
const ORDERS: &str = r#"
{"id":1,"user":"u1","category":"books","amount":10.00,"note":"gift","tags":["a","b"],"ts":"2026-01-01T12:00:00Z"}
{"id":2,"user":"u2","category":"games","amount":25.50,"note":null,"tags":[],"ts":"2026-01-01T12:00:01Z"}
{"id":3,"user":"u1","category":"games","amount":7.25,"note":"9","tags":["b"],"ts":"2026-01-01T12:00:02Z"}
{"id":4,"user":"u3","category":"books","amount":10.00,"note":"12","tags":["c","a","b"],"ts":"2026-01-01T12:00:03Z"}
{"id":5,"user":"u2","category":"books","amount":99.99,"note":null,"tags":["a"],"ts":"2026-01-01T12:00:04Z"}
"#;

/// How a plan is run.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Rows of a source's block.
    block: usize,
    /// Operators are cut in two where they can be.
    halves: bool,
}

const WAYS: [Way; 4] = [
    Way { block: 100, halves: false },
    Way { block: 2, halves: false },
    Way { block: 100, halves: true },
    Way { block: 2, halves: true },
];

/// Checks a program that must be right.
fn planned(text: &str) -> Plan {
    let (plan, problems) = checked(text);
    let errors: Vec<_> = problems.iter().filter(|p| p.severity == Severity::Error && p.code != "no-output").collect();
    assert!(errors.is_empty(), "{text}\n{errors:#?}");
    plan
}

fn checked(text: &str) -> (Plan, Vec<millstream_dsl::Diagnostic>) {
    let mut sources = SourceMap::new();
    let id = sources.add("stages.stream", text);
    let parsed = millstream_dsl::parse::file(id, text);
    assert_eq!(parsed.problems, Vec::new(), "{text}");
    let file = ProgramFile { id, path: "stages.stream".into(), tree: parsed.tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file], incomplete: false, ..Program::default() };
    let checked = check(&program, &millstream::builtins::catalog(), &Overrides::new());
    (checked.plan, checked.problems)
}

fn read(schema: SchemaRef, json: &str) -> RecordBatch {
    let mut reader = ReaderBuilder::new(schema.clone())
        .with_batch_size(1 << 20)
        .build(json.trim().as_bytes())
        .expect("the schema has a JSON form");
    reader.next().map_or_else(|| RecordBatch::new_empty(schema), |rows| rows.expect("the rows are JSON of this schema"))
}

fn written(blocks: &[RecordBatch]) -> String {
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write_batches(&blocks.iter().collect::<Vec<_>>()).expect("rows have a JSON form");
    writer.finish().expect("memory takes everything");
    String::from_utf8(writer.into_inner()).expect("JSON is UTF-8").trim().to_owned()
}

/// Outputs by node and port.
type Rows = BTreeMap<(NodeId, Port), Vec<RecordBatch>>;

/// Runs one batch, naively.
fn run(plan: &Plan, inputs: &[(&str, &str)], way: Way) -> Rows {
    let mut rows = Rows::new();
    for id in plan.ordered() {
        let node = plan.node(id);
        match &node.work {
            Work::Source(endpoint) | Work::Table(endpoint) => {
                let json = inputs.iter().find(|(name, _)| *name == endpoint.name).map_or("", |(_, json)| json);
                let all = read(plan.edge(id, &Port::Out).expect("a source has an output").schema.to_arrow(), json);
                let blocks = (0..all.num_rows()).step_by(way.block);
                let blocks = blocks.map(|start| all.slice(start, way.block.min(all.num_rows() - start))).collect();
                rows.insert((id, Port::Out), blocks);
            }
            Work::Operator(operator) => {
                let read = plan.inputs(id).into_iter();
                let blocks =
                    read.map(|(from, port)| rows.get(&(from, port.clone())).cloned().unwrap_or_default()).collect();
                for (port, out) in compute(operator.as_ref(), blocks, way) {
                    rows.entry((id, port)).or_default().push(out);
                }
            }
            Work::Sink(_) => {}
        }
    }
    for ((id, port), blocks) in &rows {
        let declared =
            plan.edge(*id, port).unwrap_or_else(|| panic!("{port:?} of {:?} has no edge", plan.node(*id).work));
        let schema = declared.schema.to_arrow();
        assert!(
            blocks.iter().all(|b| b.schema() == schema),
            "{:?}: {:#?} is not {schema:#?}",
            plan.node(*id).work,
            blocks[0].schema()
        );
    }
    rows
}

fn compute(operator: &dyn Operator, blocks: Vec<Vec<RecordBatch>>, way: Way) -> Vec<(Port, RecordBatch)> {
    let Some((first, second)) = operator.halves().filter(|_| way.halves) else { return whole(operator, blocks) };
    let (straight, mut aside): (Vec<_>, Vec<_>) =
        whole(first.as_ref(), blocks).into_iter().partition(|(port, _)| *port == Port::Out);
    let straight = straight.into_iter().map(|(_, rows)| rows).collect();
    aside.extend(whole(second.as_ref(), vec![straight]));
    aside
}

fn whole(operator: &dyn Operator, blocks: Vec<Vec<RecordBatch>>) -> Vec<(Port, RecordBatch)> {
    let time = StepTime::default();
    let count: usize = blocks.iter().flatten().map(RecordBatch::num_rows).sum();
    let evaluated = match operator.task().unwrap_or_else(|why| panic!("{}: {why:?}", operator.explain())) {
        Task::Rows(task) => {
            let mut all = Evaluated::default();
            for block in blocks.iter().flatten() {
                let one = task.eval(block, &time.batch).expect("the block is computed");
                all.rows.extend(one.rows);
                all.filtered += one.filtered;
            }
            all
        }
        Task::Keyed(mut task) => task.step(blocks, &time).expect("the batch is computed"),
    };
    let out: usize = evaluated.rows.iter().map(|(_, rows)| rows.num_rows()).sum();
    let accounted = !["aggregate", "explode"].contains(&operator.word());
    assert!(
        !accounted || out + evaluated.filtered == count,
        "{}: {out} out, {} filtered of {count}",
        operator.explain(),
        evaluated.filtered
    );
    evaluated.rows
}

/// The rows of a stream, whichever way the plan is run.
fn rows_of(stream: &str, text: &str, inputs: &[(&str, &str)]) -> String {
    let plan = planned(&format!("{FRAME}{text}\n"));
    let (id, port) = plan.stream(stream).unwrap_or_else(|| panic!("no stream {stream}"));
    let all = WAYS.map(|way| {
        let rows = run(&plan, inputs, way);
        let blocks = rows.get(&(id, port.clone())).cloned().unwrap_or_default();
        let schema = plan.edge(id, port).expect("a stream has an edge").schema.to_arrow();
        written(&[concat_batches(&schema, &blocks).expect("blocks have one schema")])
    });
    for (other, way) in all.iter().zip(WAYS).skip(1) {
        assert_eq!(&all[0], other, "{way:?}");
    }
    all[0].clone()
}

/// The rows of `out` over the five orders.
#[track_caller]
fn gives(chain: &str, expected: &str) {
    let rows = rows_of("out", &format!("stream out = from orders {chain}"), &[("orders", ORDERS)]);
    assert_eq!(rows, expected.trim(), "{chain}");
}

#[test]
fn rows_pass_where_the_condition_is_true_and_not_null() {
    gives("|> where amount > 9.99 and user != \"u3\" |> select id", "{\"id\":1}\n{\"id\":2}\n{\"id\":5}");
    gives("|> where note like \"1%\" |> select id, note", "{\"id\":4,\"note\":\"12\"}");
}

#[test]
fn what_is_not_null_is_known_not_to_be() {
    let plan = planned(&format!("{FRAME}stream out = from orders |> where note is not null and id > 0"));
    let (id, port) = plan.stream("out").unwrap();
    let schema = &plan.edge(id, port).unwrap().schema;
    assert!(!schema.get("note").unwrap().slot.nullable);
    gives("|> where note is not null |> select note", "{\"note\":\"gift\"}\n{\"note\":\"9\"}\n{\"note\":\"12\"}");
}

#[test]
fn a_row_whose_expression_fails_goes_to_the_bad_output_with_the_reason() {
    let text = "stream out = from orders |> where note is not null |> extend n = note::int64? bad to broken |> select id, n\n\
                stream why = from broken |> select id, note";
    assert_eq!(rows_of("out", text, &[("orders", ORDERS)]), "{\"id\":3,\"n\":9}\n{\"id\":4,\"n\":12}");
    assert_eq!(rows_of("why", text, &[("orders", ORDERS)]), "{\"id\":1,\"note\":\"gift\"}");
}

#[test]
fn extend_adds_behind_and_replaces_in_place() {
    let chain = "|> select id, user |> extend user = upper(user), next = id + 1, same = user |> where id == 1";
    gives(chain, r#"{"id":1,"user":"U1","next":2,"same":"u1"}"#);
}

#[test]
fn drop_and_rename_keep_the_order_of_columns() {
    gives(
        "|> drop category, amount, tags, ts, note |> rename id as order_id |> limit 1",
        r#"{"order_id":1,"user":"u1"}"#,
    );
}

#[test]
fn explode_repeats_the_row_for_each_element() {
    let expected = r#"
{"id":1,"tags":"a","pos":0}
{"id":1,"tags":"b","pos":1}
{"id":3,"tags":"b","pos":0}
{"id":4,"tags":"c","pos":0}
{"id":4,"tags":"a","pos":1}
{"id":4,"tags":"b","pos":2}
{"id":5,"tags":"a","pos":0}"#;
    gives("|> explode tags with { position: pos } |> select id, tags, pos", expected);
}

#[test]
fn explode_outer_keeps_rows_without_elements() {
    gives("|> explode tags as tag with { outer: true } |> where id == 2 |> select id, tag", r#"{"id":2}"#);
}

#[test]
fn words_of_lines_are_counted_in_the_order_of_their_appearance() {
    let text = "stream out = from lines |> explode split(lower(line), \" \") as word |> where word != \"\"\n\
                |> aggregate count() as n by word per batch"
        .replace("\n|>", " |>");
    let lines = "{\"line\":\"The cat the dog\"}\n{\"line\":\"\"}\n{\"line\":\"a  cat\"}";
    let expected =
        "{\"word\":\"the\",\"n\":2}\n{\"word\":\"cat\",\"n\":2}\n{\"word\":\"dog\",\"n\":1}\n{\"word\":\"a\",\"n\":1}";
    assert_eq!(rows_of("out", &text, &[("lines", lines)]), expected);
}

#[test]
fn aggregates_of_a_batch_by_an_expression() {
    let chain = "|> aggregate sum(amount) as total, count() as n, max(id) as last, avg(id) as mean by upper(category) as kind per batch";
    let expected = r#"
{"kind":"BOOKS","total":119.99,"n":3,"last":5,"mean":3.3333333333333335}
{"kind":"GAMES","total":32.75,"n":2,"last":3,"mean":2.5}"#;
    gives(chain, expected);
}

#[test]
fn distinct_filtered_and_ordered_aggregates() {
    let chain = "|> aggregate count(distinct user) as users, count(note) as notes, sum(amount) filter (where user == \"u1\") as of_u1, \
                 collect_list(id order by amount desc, id) as ids by category per batch";
    let expected = r#"
{"category":"books","users":3,"notes":2,"of_u1":10.00,"ids":[5,1,4]}
{"category":"games","users":2,"notes":1,"of_u1":7.25,"ids":[2,3]}"#;
    gives(chain, expected);
}

#[test]
fn results_may_be_computed_of_results() {
    gives("|> aggregate (max(id) - min(id)) * 10 as spread, count() as n per batch", r#"{"spread":40,"n":5}"#);
}

#[test]
fn an_empty_batch_has_a_count_of_zero_and_no_sum() {
    let count = rows_of("out", "stream out = from orders |> aggregate count() as n per batch", &[]);
    assert_eq!(count, r#"{"n":0}"#);
    let sum = rows_of("out", "stream out = from orders |> aggregate sum(id) as s, count() as n per batch", &[]);
    assert_eq!(sum, "");
    let filtered = "|> aggregate sum(distinct id) filter (where id > 9) as s by user per batch |> select user, s ?? -1 as s |> limit 1";
    gives(filtered, r#"{"user":"u1","s":-1}"#);
    let keyed = rows_of("out", "stream out = from orders |> aggregate count() as n by user per batch", &[]);
    assert_eq!(keyed, "");
}

#[test]
fn a_row_whose_key_or_argument_fails_is_in_no_result() {
    let text = "stream out = from orders |> where note is not null |> aggregate sum(note::int64?) as s per batch bad to broken\n\
                stream why = from broken |> select id";
    assert_eq!(rows_of("out", text, &[("orders", ORDERS)]), r#"{"s":21}"#);
    assert_eq!(rows_of("why", text, &[("orders", ORDERS)]), r#"{"id":1}"#);
}

#[test]
fn distinct_keeps_the_first() {
    gives(
        "|> distinct by user |> select id, user",
        "{\"id\":1,\"user\":\"u1\"}\n{\"id\":2,\"user\":\"u2\"}\n{\"id\":4,\"user\":\"u3\"}",
    );
    gives("|> select category |> distinct", "{\"category\":\"books\"}\n{\"category\":\"games\"}");
}

#[test]
fn sort_is_stable_and_puts_nulls_last() {
    gives("|> sort by amount, id desc |> select id", "{\"id\":3}\n{\"id\":4}\n{\"id\":1}\n{\"id\":2}\n{\"id\":5}");
    gives("|> sort by note |> select id", "{\"id\":4}\n{\"id\":3}\n{\"id\":1}\n{\"id\":2}\n{\"id\":5}");
}

#[test]
fn top_keeps_the_largest_of_all_and_of_each_key() {
    gives("|> top 2 by amount |> select id", "{\"id\":5}\n{\"id\":2}");
    gives(
        "|> top 1 by amount per category |> select category, id",
        "{\"category\":\"books\",\"id\":5}\n{\"category\":\"games\",\"id\":2}",
    );
    gives("|> top 2 by amount asc |> select id", "{\"id\":3}\n{\"id\":1}");
}

#[test]
fn limit_counts_over_all_blocks() {
    gives("|> limit 3 |> select id", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}");
    gives("|> limit 0", "");
}

#[test]
fn a_union_has_the_rows_of_the_first_stream_first() {
    let text = "stream small = from orders |> select user, id |> where id < 2\n\
                stream out = from orders |> where id > 3 |> select id, user |> union small";
    assert_eq!(
        rows_of("out", text, &[("orders", ORDERS)]),
        "{\"id\":4,\"user\":\"u3\"}\n{\"id\":5,\"user\":\"u2\"}\n{\"id\":1,\"user\":\"u1\"}"
    );
}

#[test]
fn split_sends_a_row_to_the_first_that_fits() {
    let text = "stream all = from orders |> split cheap = amount < 10, books = category == \"books\" else to rest\n\
                stream a = from cheap |> select id\nstream b = from books |> select id\nstream c = from rest |> select id";
    let of = |stream| rows_of(stream, text, &[("orders", ORDERS)]);
    assert_eq!(
        (of("a"), of("b"), of("c")),
        ("{\"id\":3}".into(), "{\"id\":1}\n{\"id\":4}\n{\"id\":5}".into(), "{\"id\":2}".into())
    );
}

#[test]
fn a_sample_is_the_same_however_it_is_cut() {
    gives("|> sample 1.0 |> aggregate count() as n per batch", r#"{"n":5}"#);
    gives("|> sample 0.0 |> select id", "");
    let many: Vec<String> = (0..2000).map(|i| format!("{{\"line\":\"line {i}\"}}")).collect();
    let kept =
        rows_of("out", "stream out = from lines |> sample 0.25 with { seed: 7 }", &[("lines", &many.join("\n"))]);
    let kept = kept.lines().count();
    assert!((400..600).contains(&kept), "{kept} of 2000");
}

#[test]
fn tap_and_repartition_hand_everything_on() {
    gives("|> tap 2 |> repartition 3 by user |> aggregate count() as n per batch", r#"{"n":5}"#);
}

/// What `check` says of a chain over the orders.
fn codes(text: &str) -> Vec<&'static str> {
    let (_, problems) = checked(&format!("{FRAME}{text}\n"));
    let quiet = [
        "no-output",
        "unused-stream",
        "unused-source",
        "unused-column",
        "unhandled-late",
        "unused-definition",
        "unhandled-bad",
    ];
    problems.iter().map(|p| p.code).filter(|code| !quiet.contains(code)).collect()
}

#[test]
fn mistakes_of_stages_are_found_where_they_are_made() {
    let cases: &[(&str, &[&str])] = &[
        ("from orders |> aggregate sum(amount) as s by user", &["unbounded-state"]),
        ("from orders |> aggregate sum(amount) as s by user running", &["unbounded-state"]),
        ("from orders |> aggregate sum(amount) as s by user running ttl forever", &["running-forever"]),
        ("from orders |> aggregate count() as n per batch over tumbling(1m)", &["duplicate-clause"]),
        ("from lines |> aggregate count() as n over tumbling(1m)", &["no-time-column"]),
        ("from orders |> aggregate count() as n over tumbling(15s) on batch time", &["window-not-multiple"]),
        ("from orders |> aggregate count() as n over session(gap 30s) on batch time", &["invalid-window"]),
        ("from orders |> aggregate count() as n over sliding(10s, every 30s)", &["slide-gap"]),
        ("from orders |> aggregate count() as n, max(id) as n per batch", &["duplicate-column"]),
        ("from orders |> aggregate count() as window_end over tumbling(1m)", &["duplicate-column"]),
        ("from orders |> aggregate count() as n by user running ttl 1d emit final", &["emit-mode"]),
        ("from orders |> aggregate count() as n by user per batch emit changes", &["emit-mode"]),
        ("from orders |> aggregate count() as n over tumbling(1m) emit often", &["emit-mode"]),
        ("from orders |> aggregate count() as n over tumbling(1m) emit final every 5s", &["emit-mode"]),
        ("from orders |> aggregate sum(random()) as n by user running ttl 1d", &["nondeterministic-state"]),
        ("from orders |> aggregate count() as n by user running ttl 1d |> sort by n", &["changes-not-accepted"]),
        ("from orders |> aggregate count() as n by user running ttl 1d |> drop op", &["changes-not-accepted"]),
        ("from orders |> dedupe by id", &["unbounded-state"]),
        ("from orders |> explode amount as x", &["not-iterable"]),
        ("from orders |> explode tags as (a, b)", &["wrong-argument"]),
        ("from orders |> select id, user as id", &["duplicate-column"]),
        ("from orders |> rename id as user", &["duplicate-column"]),
        ("from orders |> drop id, user, category, amount, note, tags, ts", &["wrong-argument"]),
        ("from orders |> sample 10", &["wrong-argument"]),
        ("from orders |> repartition 1000000", &["wrong-argument"]),
        ("from orders |> aggregate count() as n by user running ttl 1d |> select n as op", &["duplicate-column"]),
        ("from orders |> split cheap = amount < 10", &["unhandled-else"]),
        ("from orders |> union lines", &["unknown-column"]),
        ("from orders |> join more using user", &["unbounded-join"]),
        ("from orders |> join more on orders.id == more.id and more.ts >= orders.ts", &["unbounded-join"]),
        ("from orders |> join orders using id", &["self-join-alias"]),
        ("from orders |> join more on more.ts between orders.ts and orders.ts + 1m", &["cross-join"]),
        ("from orders |> cross join more per batch", &["cross-join"]),
        ("from orders |> join more using id, note per batch", &["nullable-key"]),
        ("from orders |> join more per batch", &["missing-clause"]),
        ("from orders |> semi join more using id with { match: latest }", &["missing-argument"]),
        ("from orders |> window over session(gap 10s)", &["missing-clause"]),
        (
            "from orders |> fold by user running ttl 1d init { n: 0 } step { m: state.n + 1 }",
            &["fold-shape", "fold-shape"],
        ),
        ("from orders |> fold by user running ttl 1d init { n: 0 } step { n: user }", &["fold-shape"]),
        ("from orders |> fold by user running ttl 1d init { n: 1.0 } step { n: state.n * 2.5 }", &["fold-shape"]),
        ("from orders |> fold by user running ttl 1d step { n: 1 }", &["missing-clause"]),
        ("from orders |> fold by user running ttl 1d init from tiers step { tier: 1 }", &["fold-shape"]),
        ("from orders |> fold by user running ttl 1d init { n: 0 } init from tiers step { n: 1 }", &["fold-shape"]),
        ("from orders |> fold by user running ttl 1d init from tiers step { tier: state.tier ?? note }", &[]),
        ("from orders |> fold by user init { n: 0 } step { n: state.n + 1 }", &["unbounded-state"]),
        ("from orders |> through \"./x\" with { schema: { a: string } }", &["wrong-argument"]),
        ("from orders |> meter what = max(user)", &["wrong-operand"]),
    ];
    for (chain, expected) in cases {
        assert_eq!(codes(&format!("stream out = {chain}")), *expected, "{chain}");
    }
}

/// What is known behind a chain over the orders.
fn edge(chain: &str) -> millstream::plan::Edge {
    let plan = planned(&format!("{FRAME}stream out = from orders {chain}"));
    let (id, port) = plan.stream("out").expect("the chain is called `out`");
    plan.edge(id, port).expect("a stream has an edge").clone()
}

#[test]
fn results_of_windows_have_the_windows_end_as_their_time() {
    let edge = edge("|> aggregate sum(amount) as s by user over sliding(60s, every 10s) late drop");
    assert_eq!(edge.schema.names().collect::<Vec<_>>(), ["window_start", "window_end", "user", "s"]);
    let time = edge.time.unwrap();
    assert!(time.column == "window_end" && time.ends_window && time.delay == Some(30_000_000), "{time:?}");
    assert_eq!(edge.unique[0], ["window_end", "user"]);
    assert_eq!(edge.state, "state <= 1m + 30s of totals by user");
}

#[test]
fn running_results_are_changes_by_their_key() {
    let edge = edge("|> aggregate count() as n by user running ttl 1d |> where n > 1 |> select n, user as who");
    assert_eq!(edge.schema.names().collect::<Vec<_>>(), ["n", "who", "op"]);
    assert_eq!(edge.mode.to_string(), "changes by who");
    let asked = self::edge("|> aggregate count() as n by user running ttl 1d |> select op, n");
    assert_eq!(asked.schema.names().collect::<Vec<_>>(), ["n", "op"]);
}

#[test]
fn a_folds_record_is_wide_enough_for_its_steps() {
    let fold = "|> fold by user running ttl 1d init { best: 0.00, sum: 0.00, seen: 0, last: null } \
                step { best: greatest(state.best, amount), sum: state.sum + amount, seen: state.seen + 1, last: note }";
    let columns: Vec<_> = edge(fold).schema.columns.iter().map(|c| format!("{} {}", c.name, c.slot)).collect();
    assert_eq!(columns, ["user string", "best decimal(12, 2)", "sum decimal(38, 2)", "seen int64", "last string?"]);
}

#[test]
fn a_bounded_join_waits_as_long_as_its_bound() {
    let edge =
        edge("|> left join more as m on orders.id == m.id and m.ts between orders.ts and orders.ts + 5m late drop");
    assert_eq!(edge.time.unwrap().delay, Some(330_000_000));
    assert_eq!(edge.state, "state <= 5m + 1m of both sides");
    let names: Vec<_> = edge.schema.names().skip(7).collect();
    assert_eq!(names, ["m.id", "m.user", "m.category", "m.amount", "m.note", "m.tags", "m.ts"]);
    assert!(edge.schema.columns[7..].iter().all(|c| c.slot.nullable));
}

#[test]
fn a_windowed_join_has_its_keys_once() {
    let edge = edge(
        "|> select id, user, ts |> join more using user over tumbling(1m) late drop |> drop more.ts, more.id, category, note, tags",
    );
    assert_eq!(edge.schema.names().collect::<Vec<_>>(), ["window_start", "window_end", "id", "user", "ts", "amount"]);
    assert!(edge.time.unwrap().ends_window);
}

#[test]
fn every_operator_says_what_it_does() {
    let text = "stream out = from orders |> where amount > 1 and (id == 1 or id == 2) |> extend a = id * 2\n\
                |> aggregate sum(a) as s, count(distinct user) as u by category per batch |> top 3 by s"
        .replace("\n|>", " |>");
    let plan = planned(&format!("{FRAME}{text}"));
    let explained: Vec<_> = plan
        .ordered()
        .into_iter()
        .filter_map(|id| match &plan.node(id).work {
            Work::Operator(operator) => Some(operator.explain()),
            _ => None,
        })
        .collect();
    let expected = [
        "where (amount > 1.00) and ((id == 1) or (id == 2))",
        "extend a = id * 2",
        "aggregate sum(a) as s, count(distinct user) as u by category per batch",
        "top 3 by s desc nulls last",
    ];
    assert_eq!(explained, expected);
}
