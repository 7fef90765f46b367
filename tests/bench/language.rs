//! How long the front half takes: `cargo bench`. Fails where a promise is broken, shows how the rest compares with
//! `tests/bench/baseline.txt`, and writes that file anew with `BLESS=1`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::plan::Catalog;
use millstream_dsl::{SourceMap, parse, print};

/// `check` of an example, the whole process.
const EXAMPLE_LIMIT: Duration = Duration::from_millis(15);
/// 10,000 lines read, checked and laid out.
const LINES_LIMIT: Duration = Duration::from_millis(300);
/// Four times the lines may take this many times as long.
const GROWTH_LIMIT: f64 = 6.0;

fn main() {
    let mut results: Vec<(String, Duration)> = Vec::new();
    let mut broken: Vec<String> = Vec::new();
    for example in examples() {
        let took = best_of(15, || process(&example));
        let name =
            format!("check {}", example.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default());
        if took > EXAMPLE_LIMIT {
            broken.push(format!("{name} took {took:?}, more than {EXAMPLE_LIMIT:?}"));
        }
        results.push((name, took));
    }
    let catalog = millstream::builtins::catalog();
    for lines in [2_500, 10_000] {
        let text = pipeline_of(lines);
        results.push((format!("{lines} lines"), best_of(5, || front_half(&text, &catalog))));
    }
    let [.., (_, few), (_, many)] = &results[..] else { unreachable!("both have just been measured") };
    if *many > LINES_LIMIT {
        broken.push(format!("10000 lines took {many:?}, more than {LINES_LIMIT:?}"));
    }
    let growth = many.as_secs_f64() / few.as_secs_f64();
    if growth > GROWTH_LIMIT {
        broken.push(format!("four times the lines took {growth:.1} times as long"));
    }
    compare(&results);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let entries = std::fs::read_dir(folder).expect("the examples are there");
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "stream"));
    found.sort();
    found
}

fn process(example: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    let ran = command.arg("check").arg(example).stdout(Stdio::null()).status();
    ran.expect("the program starts");
}

/// Reads, checks and lays out a text.
fn front_half(text: &str, catalog: &Catalog) {
    let mut sources = SourceMap::new();
    let id = sources.add("bench", text);
    let parsed = parse::file(id, text);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    assert_eq!(print::file(&parsed.tree), text, "the text is laid out already");
    let file = ProgramFile { id, path: "bench".into(), tree: parsed.tree, imports: Vec::new() };
    let checked = check(
        &Program { sources, files: vec![file], incomplete: false, ..Program::default() },
        catalog,
        &Overrides::new(),
    );
    assert!(checked.problems.is_empty(), "{:?}", checked.problems.first());
}

/// A pipeline of about so many lines, without mistakes.
fn pipeline_of(lines: usize) -> String {
    let mut text = String::from(
        "pipeline bench { every: 10s }\n\ntype Row = { category: string, amount: decimal(12, 2), ts: timestamp }\n\n\
         source rows = socket(\"127.0.0.1:1\") { format: json, schema: Row, time: ts, watermark: 30s } bad drop\n",
    );
    for n in 0..lines / 9 {
        let _ = write!(
            text,
            "\nstream s{n} =\n  from rows\n  |> where amount > {n} and category != \"none\"\n  \
             |> extend gross = amount * 2, label = upper(category)\n  \
             |> aggregate sum(gross) as total, count() as n by label over tumbling(1m) late drop\n  \
             |> where total > 10\n\nfrom s{n} |> into discard\n"
        );
    }
    text
}

/// The least of several measurements: what is measured has no luck, only disturbance.
fn best_of(times: usize, mut work: impl FnMut()) -> Duration {
    let measured = (0..times).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    measured.min().unwrap_or_default()
}

fn compare(results: &[(String, Duration)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/baseline.txt");
    let baseline = std::fs::read_to_string(&path).unwrap_or_default();
    let mut text = String::new();
    let mut shown = String::new();
    for (name, took) in results {
        let millis = took.as_secs_f64() * 1000.0;
        let _ = writeln!(text, "{name}: {millis:.1} ms");
        let before = baseline
            .lines()
            .find_map(|line| line.strip_prefix(name.as_str())?.strip_prefix(": ")?.strip_suffix(" ms")?.parse().ok());
        let ratio = before.map(|before: f64| format!("  {:.2} of the baseline", millis / before)).unwrap_or_default();
        let _ = writeln!(shown, "{name:<28} {millis:>8.1} ms{ratio}");
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).expect("the baseline can be written");
    }
    report(&shown);
}

#[expect(clippy::print_stdout, reason = "a benchmark's report")]
fn report(text: &str) {
    print!("{text}");
}
