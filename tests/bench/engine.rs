//! How long the engine takes for a batch: `cargo bench --bench engine`. Input is made before the clock starts and read
//! from the page cache; every result is checked against a count made without the engine. Fails where a batch takes
//! longer than was promised. Behind that, what a row costs in single stages: nothing is promised there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use millstream::builtins;
use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::engine::{Opening, Session, Watch};
use millstream::optimize::optimize;
use millstream::plan::Plan;
use millstream_dsl::{Severity, SourceMap, parse};

/// 400,000 lines of ten words.
const WORDS_LIMIT: Duration = Duration::from_millis(200);
/// 400,000 orders as JSON, decoded, windowed and summed.
const ORDERS_LIMIT: Duration = Duration::from_millis(250);
const LINES: usize = 400_000;
const RUNS: usize = 7;

const WORDCOUNT: &str = r#"pipeline wordcount { every: 1s }
source lines = files("words.txt")
stream counts =
  from lines
  |> explode split(lower(line), " ") as word
  |> where word != ""
  |> aggregate count() as n by word per batch
from counts |> into discard
"#;

const ORDERS: &str = r#"pipeline orders { every: 1s }
type Order = { order_id: int64, user: string, category: string, region: string, amount: decimal(12, 2), quantity: int64, ts: timestamp, note: string }
source orders = files("orders.json") { format: json, schema: Order, time: ts, watermark: 10s } bad drop
stream revenue =
  from orders
  |> aggregate sum(amount) as revenue, count() as n by category over sliding(60s, every 10s) late drop
from revenue |> into discard
"#;

/// A stage or two by themselves: a name, the rows it is given, the text behind `from`, the rows that come out.
const KERNELS: [(&str, Given, &str, usize); 8] = [
    ("lines", Given::Lines, "|> where line == \"\"", 0),
    ("lines, split, explode", Given::Lines, "|> explode split(line, \" \") as word |> where word == \"\"", 0),
    (
        "JSON, all columns",
        Given::Orders,
        "|> where note == user or category == region or amount < 0 or order_id < 0",
        0,
    ),
    ("JSON, two columns", Given::Orders, "|> where category == \"\" and quantity > 0", 0),
    ("JSON, count by a number", Given::Orders, "|> aggregate count() as n by order_id % 1000 as key per batch", 1_000),
    ("JSON, count by a text", Given::Orders, "|> aggregate count() as n by category per batch", 200),
    ("JSON, sum by two texts", Given::Orders, "|> aggregate sum(amount) as sum by category, region per batch", 2_400),
    ("JSON, running sum", Given::Orders, "|> aggregate sum(amount) as sum by category running ttl 1d", 200),
];

/// What a kernel reads.
#[derive(Clone, Copy, PartialEq)]
enum Given {
    Lines,
    Orders,
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder for the input");
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let words = words(&mut chance, folder.path());
    let orders = orders(&mut chance, folder.path());
    let mut broken = Vec::new();
    for threads in [1, 2] {
        let took = measure(WORDCOUNT, folder.path(), threads, &["counts"], |streams| check_words(streams, &words));
        report("wordcount, 4M words", threads, took, WORDS_LIMIT, &mut broken);
        let took = measure(ORDERS, folder.path(), threads, &["revenue"], |streams| check_orders(streams, orders));
        report("orders-window, 400k JSON", threads, took, ORDERS_LIMIT, &mut broken);
    }
    kernels(folder.path());
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// What a row costs on one thread, stage by stage.
fn kernels(base: &Path) {
    for (name, given, stages, rows) in KERNELS {
        let (source, from) = match given {
            Given::Lines => ("source lines = files(\"words.txt\")\n", "lines"),
            Given::Orders => {
                let after = ORDERS.split_once('\n').map_or("", |(_, rest)| rest);
                (after.split("stream ").next().unwrap_or_default(), "orders")
            }
        };
        let text = format!(
            "pipeline kernel {{ every: 1s }}\n{source}stream found =\n  from {from}\n  {stages}\nfrom found |> into discard\n"
        );
        let took = measure(&text, base, 1, &["found"], |streams| {
            let found: usize = streams["found"].iter().map(RecordBatch::num_rows).sum();
            assert_eq!(found, rows, "{name}");
        });
        let best = took.into_iter().min().unwrap_or_default();
        show(&format!("{name}: {:.0} ns a line", best.as_secs_f64() * 1e9 / LINES as f64));
    }
}

fn report(name: &str, threads: usize, mut took: Vec<Duration>, limit: Duration, broken: &mut Vec<String>) {
    took.sort_unstable();
    let (best, median) = (took[0], took[took.len() / 2]);
    let mut line = String::new();
    write!(line, "{name}, {threads} threads: median {median:.0?}, best {best:.0?}").expect("writes to a string");
    show(&line);
    if threads == 2 && best > limit {
        broken.push(format!("{name} took {best:?}, more than {limit:?}"));
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
fn show(line: &str) {
    println!("{line}");
}

/// Reads, computes and collects the input as one batch, several times.
fn measure(
    text: &str,
    base: &Path,
    threads: usize,
    streams: &[&str],
    verify: impl Fn(&BTreeMap<String, Vec<RecordBatch>>),
) -> Vec<Duration> {
    let plan = optimize(plan_of(text, base)).plan;
    let once = || {
        let watch = Watch::Only(streams.iter().map(|s| (*s).to_owned()).collect());
        let opening = Opening { threads: Some(threads), queued: false, watch, strict: false, ..Opening::default() };
        let mut session = Session::open(&plan, opening).expect("the plan runs");
        let started = Instant::now();
        let mut streams = session.step(1_800_000_000_000_000).expect("the batch runs").streams;
        for (name, rows) in session.close(1_800_000_001_000_000).expect("the windows close").streams {
            streams.entry(name).or_default().extend(rows);
        }
        let took = started.elapsed();
        verify(&streams);
        took
    };
    (0..RUNS).map(|_| once()).collect()
}

fn plan_of(text: &str, base: &Path) -> Plan {
    let mut sources = SourceMap::new();
    let id = sources.add("bench", text);
    let parsed = parse::file(id, text);
    let path = base.join("bench.stream");
    let file = ProgramFile { id, path, tree: parsed.tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file], incomplete: false, ..Program::default() };
    let checked = check(&program, &builtins::catalog(), &Overrides::new());
    let mistakes: Vec<_> = checked.problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    checked.plan
}

/// Numbers that look random and are the same every time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Lines of words, few of them often (Zipf 1.2 over 100,000); gives back how often each occurs.
fn words(chance: &mut Chance, folder: &Path) -> BTreeMap<String, i64> {
    const WORDS: usize = 100_000;
    let mut sums = Vec::with_capacity(WORDS);
    let mut sum = 0.0;
    for rank in 1..=WORDS {
        sum += (rank as f64).powf(-1.2);
        sums.push(sum);
    }
    let mut text = String::new();
    let mut counts = vec![0; WORDS];
    for _ in 0..LINES {
        for i in 0..10 {
            let at = chance.fraction() * sum;
            let word = sums.partition_point(|s| *s < at).min(WORDS - 1);
            counts[word] += 1;
            text.push_str(if i > 0 { " " } else { "" });
            write!(text, "w{word}").expect("writes to a string");
        }
        text.push('\n');
    }
    fs::write(folder.join("words.txt"), text).expect("the input is written");
    let named = counts.into_iter().enumerate().filter(|(_, n)| *n > 0);
    named.map(|(word, n)| (format!("w{word}"), n)).collect()
}

/// Orders whose times are up to two seconds out of order; gives back the sum of amounts in cents and of rows.
fn orders(chance: &mut Chance, folder: &Path) -> (i128, i64) {
    let mut text = String::new();
    let mut cents = 0;
    for n in 0..LINES {
        let amount = i128::from(chance.below(50_000));
        cents += amount;
        let millis = n as u64 * 5 + chance.below(2_000);
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        writeln!(
            text,
            "{{\"order_id\":{n},\"user\":\"u{}\",\"category\":\"c{}\",\"region\":\"r{}\",\"amount\":{}.{:02},\
             \"quantity\":{},\"ts\":\"2026-01-01T{:02}:{:02}:{seconds:02}.{millis:03}Z\",\"note\":\"as agreed, number {}\"}}",
            chance.below(50_000),
            chance.below(200),
            chance.below(12),
            amount / 100,
            amount % 100,
            1 + chance.below(9),
            minutes / 60,
            minutes % 60,
            chance.below(1_000_000),
        )
        .expect("writes to a string");
    }
    fs::write(folder.join("orders.json"), text).expect("the input is written");
    (cents, LINES as i64)
}

fn check_words(streams: &BTreeMap<String, Vec<RecordBatch>>, expected: &BTreeMap<String, i64>) {
    let mut found = BTreeMap::new();
    for block in &streams["counts"] {
        let (words, counts) = (block.column(0).as_string::<i32>(), block.column(1).as_primitive::<Int64Type>());
        found.extend(words.iter().flatten().map(str::to_owned).zip(counts.values().iter().copied()));
    }
    assert!(found == *expected, "wordcount counts otherwise");
}

/// Every order is in six windows.
fn check_orders(streams: &BTreeMap<String, Vec<RecordBatch>>, (cents, rows): (i128, i64)) {
    let (mut sum, mut count) = (0, 0);
    for block in &streams["revenue"] {
        let revenue = block.column_by_name("revenue").expect("there is revenue").as_primitive::<Decimal128Type>();
        let n = block.column_by_name("n").expect("there are counts").as_primitive::<Int64Type>();
        sum += revenue.values().iter().sum::<i128>();
        count += n.values().iter().sum::<i64>();
    }
    assert_eq!((sum, count), (cents * 6, rows * 6), "orders-window sums otherwise");
}
