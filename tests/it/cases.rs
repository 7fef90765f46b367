//! Case files: `tests/cases/run/*.case`. A comment that says what the case is about, a pipeline, then sections that
//! move it and sections that say what came of it (`out X`, `counts`), which `BLESS=1` writes anew. Every case is run
//! four ways, and every stream must give the same rows, floats bit for bit: straight in one partition; saved and
//! restored after every batch in two; optimized in three partitions and gone on with in two at every `crash`; the same
//! with state that is followed by its changes, held against what would be saved after every batch, and gone on with
//! after every third one, and that lies on disk between batches every other time.
//!
//! | section | does |
//! | --- | --- |
//! | `pipeline`, `yaml` | the pipeline, first of all |
//! | `feed X` | queues rows of a source, or makes them a table's; an object a line |
//! | `step`, `step N` | runs batches, each an interval later (a second under `every: 0s`) |
//! | `advance 10s` | moves the clock by a whole number of intervals, batch by batch |
//! | `watermark T`, `watermark T of X` | lets the watermark reach a time, with the next batch |
//! | `crash` | goes on from the saved state |
//! | `edit`, `edit X=keep` | switches to another text between two batches, with these answers |
//! | `close` | the batch behind which nothing follows |
//! | `out X`, `out X in order` | what X gave since it was last asked; sorted where order means nothing |
//! | `counts` | what became of the rows of every stage since last asked |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use millstream::builtins;
use millstream::check::{Overrides, Program, ProgramFile, check};
use millstream::engine::{ColdPlace, Opening, OperatorCount, Session, Stepped};
use millstream::journal::RealDisk;
use millstream::model::Schema;
use millstream::optimize::optimize_watched;
use millstream::plan::catalog::{FormatCall, find};
use millstream::plan::seams::{FormatCodec, Piece};
use millstream::plan::{Catalog, Plan, Settings};
use millstream::reload::drain::{self, Beside, Until};
use millstream::reload::{Answers, compare};
use millstream::trial::START;
use millstream::trial::value::Value;
use millstream_dsl::{Diagnostic, SourceMap, parse, yaml};
use tempfile::TempDir;

use crate::files::{below, none, read};
use crate::program::root;

/// Made once: there are many cases.
static CATALOG: LazyLock<Catalog> = LazyLock::new(builtins::catalog);

/// How a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Straight,
    Saved,
    Optimized,
    Followed,
}

impl Way {
    /// A pipeline, made ready for it.
    fn plan(self, text: &Section) -> Result<Plan, String> {
        text.plan().map(|plan| self.made(plan))
    }

    fn made(self, plan: Plan) -> Plan {
        if matches!(self, Way::Optimized | Way::Followed) {
            optimize_watched(plan, &|_| true, &mut |_, _| {}).plan
        } else {
            plan
        }
    }
}

/// A section: what stands between its dashes, and what stands under them.
#[derive(Clone)]
struct Section {
    head: String,
    body: String,
}

struct Case {
    comment: String,
    sections: Vec<Section>,
}

impl Case {
    fn read(text: &str) -> Case {
        let mut case = Case { comment: String::new(), sections: Vec::new() };
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("--- ").and_then(|rest| rest.strip_suffix(" ---")) {
                case.sections.push(Section { head: head.to_owned(), body: String::new() });
                continue;
            }
            let part = case.sections.last_mut().map_or(&mut case.comment, |section| &mut section.body);
            part.push_str(line);
            part.push('\n');
        }
        case
    }

    /// The same text with what came of the run in the sections that ask for it.
    fn written(&self, answers: &[Option<String>]) -> String {
        let mut text = self.comment.clone();
        for (section, answer) in self.sections.iter().zip(answers) {
            let Section { head, body } = section;
            text.push_str(&format!("--- {head} ---\n{}", answer.as_ref().unwrap_or(body)));
        }
        text
    }

    /// What every section that asks for something gets.
    fn run(&self, way: Way) -> Result<Vec<Option<String>>, String> {
        let first = self.sections.first().ok_or("the case has no pipeline")?;
        let mut run = Run::new(first, way)?;
        self.sections.iter().skip(1).try_fold(vec![None], |mut answers, section| {
            answers.push(run.section(section).map_err(|why| format!("{way:?}, `{}`: {why}", section.head))?);
            Ok(answers)
        })
    }
}

impl Section {
    /// The pipeline that it holds, checked.
    fn plan(&self) -> Result<Plan, String> {
        let mut sources = SourceMap::new();
        let id = sources.add("case", self.body.as_str());
        let parsed = match self.head.split(' ').next() {
            Some("pipeline" | "edit") => parse::file(id, &self.body),
            Some("yaml") => yaml::read(id, &self.body),
            _ => return Err(format!("`{}` is no pipeline", self.head)),
        };
        let files = vec![ProgramFile { id, path: PathBuf::from("case"), tree: parsed.tree, imports: Vec::new() }];
        let incomplete = parsed.problems.iter().any(Diagnostic::is_error);
        let program = Program { sources, files, incomplete, ..Program::default() };
        let checked = check(&program, &CATALOG, &Overrides::new());
        let errors: Vec<_> = parsed
            .problems
            .iter()
            .chain(&checked.problems)
            .filter(|p| p.is_error())
            .map(|p| p.message.clone())
            .collect();
        if errors.is_empty() { Ok(checked.plan) } else { Err(errors.join("\n")) }
    }
}

/// A case under way.
struct Run {
    /// Where the pipeline is written that runs.
    text: Section,
    plan: Plan,
    way: Way,
    session: Session,
    /// Where state lies while it is not needed.
    cold: Option<TempDir>,
    partitions: usize,
    clock: i64,
    tables: BTreeMap<String, Vec<RecordBatch>>,
    gave: BTreeMap<String, Vec<RecordBatch>>,
    counts: Vec<OperatorCount>,
    /// When windows of the text before have ended.
    until: Vec<Until>,
    /// What was saved, put together from changes, and after how many batches.
    followed: (Vec<u8>, usize),
}

impl Run {
    fn new(text: &Section, way: Way) -> Result<Run, String> {
        let plan = way.plan(text)?;
        let partitions = match way {
            Way::Straight => 1,
            Way::Saved => 2,
            Way::Optimized | Way::Followed => 3,
        };
        let cold = (way == Way::Followed).then(|| TempDir::new().map_err(said)).transpose()?;
        let mut session = open(&plan, partitions, cold.as_ref())?;
        let followed = if way == Way::Followed { session.follow().map_err(said)? } else { Vec::new() };
        let followed = (followed, 0);
        let every = session.interval().max(1);
        let clock = (START + every - 1) / every * every;
        let (tables, gave, counts) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let until = Vec::new();
        Ok(Run {
            text: text.clone(),
            plan,
            way,
            session,
            cold,
            partitions,
            clock,
            tables,
            gave,
            counts,
            followed,
            until,
        })
    }

    fn section(&mut self, section: &Section) -> Result<Option<String>, String> {
        let words: Vec<&str> = section.head.split(' ').collect();
        match words[..] {
            ["feed", input] => self.feed(input, &section.body)?,
            ["step"] => self.step()?,
            ["step", count] => (0..number(count)?).try_for_each(|_| self.step())?,
            ["advance", time] => {
                let every = self.interval();
                let micros = micros(time)?;
                if micros % every != 0 {
                    return Err("the clock moves by whole intervals here".into());
                }
                (0..micros / every).try_for_each(|_| self.step())?;
            }
            ["watermark", time] => self.mark(None, time)?,
            ["watermark", time, "of", source] => self.mark(Some(source), time)?,
            ["crash"] => {
                self.restore()?;
            }
            ["edit", ref answers @ ..] => self.edit(section, answers)?,
            ["close"] => {
                self.clock += self.interval();
                let done = self.session.close(self.clock).map_err(said)?;
                self.took(done);
                self.follow()?;
            }
            ["out", stream] => return self.out(stream, false).map(Some),
            ["out", stream, "in", "order"] => return self.out(stream, true).map(Some),
            ["counts"] => return Ok(Some(self.counts())),
            _ => return Err("there is no such section".into()),
        }
        Ok(None)
    }

    fn edit(&mut self, text: &Section, answers: &[&str]) -> Result<(), String> {
        let mut given = Answers::default();
        for answer in answers {
            let (name, answer) = Answers::read(answer)?;
            given.give(name, answer);
        }
        let changes = compare(&self.text.plan()?, &text.plan()?);
        let taking = changes.settled(&given).map_err(|pending| format!("{pending:?}"))?;
        if !self.until.is_empty() {
            return Err("windows of the text before are still open".into());
        }
        let newest = |source: &str| self.session.newest(source);
        let Beside { plan, taking, until } = drain::beside(self.text.plan()?, text.plan()?, &taking, &newest)?;
        let plan = self.way.made(plan);
        self.session.switch(&plan, &taking).map_err(said)?;
        (self.text, self.plan, self.until) = (text.clone(), plan, until);
        self.follow_anew()
    }

    /// What is saved by changes begins with everything, where another plan runs.
    fn follow_anew(&mut self) -> Result<(), String> {
        if self.way == Way::Followed {
            self.followed.0 = self.session.follow().map_err(said)?;
        }
        Ok(())
    }

    /// Goes on by the new text alone once the windows of the old one have ended.
    fn drained(&mut self) -> Result<(), String> {
        if self.until.is_empty()
            || !self.until.iter().all(|until| until.is_over(&|identity| self.session.mark(identity)))
        {
            return Ok(());
        }
        let plan = self.text.plan()?;
        let taking = drain::alone(&plan, &std::mem::take(&mut self.until));
        let plan = self.way.made(plan);
        let switched = self.session.switch(&plan, &taking).map_err(said)?;
        if !switched.aside.is_empty() {
            return Err(format!("{:?} are left over", switched.aside));
        }
        self.plan = plan;
        self.follow_anew()?;
        Ok(())
    }

    fn interval(&self) -> i64 {
        match self.session.interval() {
            0 => 1_000_000,
            every => every,
        }
    }

    fn schema(&self, name: &str) -> Result<Schema, String> {
        let found = self.plan.stream(name).and_then(|(node, port)| self.plan.edge(node, port));
        found.map(|edge| edge.schema.clone()).ok_or_else(|| format!("there is no `{name}`"))
    }

    fn feed(&mut self, input: &str, body: &str) -> Result<(), String> {
        let entry = find(&CATALOG.formats, "json").unwrap().clone();
        let codec: Box<dyn FormatCodec> =
            (entry.open)(&FormatCall { entry: entry.clone(), settings: Settings::default() }, &self.schema(input)?)
                .map_err(|e| e.0)?;
        let piece = Piece { header: &[], bytes: body.as_bytes(), last: true, records: usize::MAX, threads: 1 };
        let decoded = codec.decode(&piece).map_err(|e| e.to_string())?;
        if let Some(bad) = decoded.bad.first() {
            return Err(format!("line {}: {}", bad.line + 1, bad.reason));
        }
        let table = matches!(
            self.plan.stream(input).map(|(node, _)| &self.plan.node(node).work),
            Some(millstream::plan::graph::Work::Table(_))
        );
        if table {
            self.tables.insert(input.to_owned(), decoded.blocks.clone());
        }
        if self.session.give(input, decoded.blocks) { Ok(()) } else { Err(format!("`{input}` takes no rows")) }
    }

    fn step(&mut self) -> Result<(), String> {
        self.clock += self.interval();
        let done = self.session.step(self.clock).map_err(said)?;
        self.took(done);
        self.follow()?;
        self.drained()?;
        match self.way {
            Way::Saved => self.restore(),
            Way::Followed if self.followed.1.is_multiple_of(3) => self.restore(),
            _ => Ok(()),
        }
    }

    fn follow(&mut self) -> Result<(), String> {
        if self.way == Way::Followed {
            self.followed.0 = self.session.followed(&self.followed.0).map_err(said)?;
            self.followed.1 += 1;
        }
        Ok(())
    }

    fn took(&mut self, done: Stepped) {
        for (stream, rows) in done.streams {
            self.gave.entry(stream).or_default().extend(rows);
        }
        if self.counts.is_empty() {
            self.counts.clone_from(&done.report.operators);
            return;
        }
        for (sum, more) in self.counts.iter_mut().zip(&done.report.operators) {
            sum.rows_in += more.rows_in;
            sum.rows_out += more.rows_out;
            sum.filtered += more.filtered;
            sum.taken += more.taken;
            sum.late += more.late;
            sum.partly_late += more.partly_late;
            sum.bad += more.bad;
            sum.expired += more.expired;
        }
    }

    fn mark(&mut self, of: Option<&str>, time: &str) -> Result<(), String> {
        let time = chrono::DateTime::parse_from_rfc3339(time).map_err(|e| format!("{time}: {e}"))?;
        if self.session.advance_mark(of, time.timestamp_micros()) { Ok(()) } else { Err("no watermark moves".into()) }
    }

    fn restore(&mut self) -> Result<(), String> {
        let saved = match self.way {
            Way::Followed => self.followed.0.clone(),
            _ => self.session.save().map_err(said)?,
        };
        if matches!(self.way, Way::Optimized | Way::Followed) {
            self.partitions = 5 - self.partitions;
        }
        // Every other time all of it is in memory.
        let cold = self.cold.as_ref().filter(|_| self.partitions == 3);
        self.session = open(&self.plan, self.partitions, cold)?;
        self.session.restore(&saved).map_err(said)?;
        if self.way == Way::Followed {
            // Changes go on from what was put together, not from what is saved again.
            self.session.follow().map_err(said)?;
        }
        for (table, rows) in &self.tables {
            self.session.give(table, rows.clone());
        }
        Ok(())
    }

    fn out(&mut self, stream: &str, in_order: bool) -> Result<String, String> {
        let schema = self.schema(stream)?;
        let mut lines = Vec::new();
        for block in self.gave.remove(stream).unwrap_or_default() {
            for row in Value::of_rows(&schema, &block).map_err(said)? {
                let cells = schema.columns.iter().zip(&row).map(|(c, value)| (c.name.clone(), value.to_json()));
                lines.push(serde_json::Value::Object(cells.collect()).to_string() + "\n");
            }
        }
        if !in_order {
            lines.sort();
        }
        Ok(lines.concat())
    }

    /// A line a stage. Stages that saw no row are left out.
    fn counts(&mut self) -> String {
        let mut text = String::new();
        for c in std::mem::take(&mut self.counts).iter().filter(|c| c.rows_in + c.rows_out + c.expired > 0) {
            let numbers = [
                (c.rows_in, "in"),
                (c.rows_out, "out"),
                (c.filtered, "filtered"),
                (c.taken, "taken"),
                (c.late, "late"),
                (c.partly_late, "partly late"),
                (c.bad, "bad"),
                (c.expired, "expired"),
            ];
            let shown: Vec<_> = numbers.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
            text.push_str(&format!("{} {}: {}\n", c.stream, c.word, shown.join(", ")));
        }
        text
    }
}

fn open(plan: &Plan, partitions: usize, cold: Option<&TempDir>) -> Result<Session, String> {
    let cold = cold.map(|folder| ColdPlace::new(Arc::new(RealDisk), folder.path().join("cold")).beyond(0));
    Session::open(plan, Opening { partitions: Some(partitions), cold, ..Opening::default() }).map_err(said)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn micros(text: &str) -> Result<i64, String> {
    const UNITS: [(&str, i64); 5] =
        [("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];
    let unit = UNITS.iter().find_map(|(unit, size)| Some(text.strip_suffix(unit)?.parse::<i64>().ok()? * size));
    unit.ok_or_else(|| format!("`{text}` is no duration"))
}

/// What is wrong with a case, after it has been blessed where that was asked for.
fn complaint(path: &Path) -> Option<String> {
    let name = path.display();
    let text = read(path);
    let case = Case::read(&text);
    if !case.comment.starts_with("# ") {
        return Some(format!("{name} does not say what it is about"));
    }
    let straight = match case.run(Way::Straight) {
        Ok(answers) => answers,
        Err(why) => return Some(format!("{name}: {why}")),
    };
    for way in [Way::Saved, Way::Optimized, Way::Followed] {
        match case.run(way) {
            Ok(answers) => {
                let is_out = |i: &usize| case.sections[*i].head.starts_with("out ");
                if let Some(i) = (0..answers.len()).filter(is_out).find(|i| answers[*i] != straight[*i]) {
                    let text = |answers: &[Option<String>]| answers[i].clone().unwrap_or_default();
                    let head = &case.sections[i].head;
                    let (is, should) = (text(&answers), text(&straight));
                    return Some(format!("{name}, `{head}`, {way:?} gives\n{is}straight gives\n{should}"));
                }
            }
            Err(why) => return Some(format!("{name}: {why}")),
        }
    }
    crate::files::differs(path, &case.written(&straight))
}

#[test]
fn every_case_gives_its_rows_whichever_way_it_is_run() {
    let only = std::env::var("CASE").unwrap_or_default();
    let cases = below("tests/cases/run", &["case"]);
    let wanted = cases.iter().filter(|path| path.to_string_lossy().contains(&only));
    none(wanted.filter_map(|path| complaint(path)).collect());
}

#[test]
fn every_case_asks_for_something() {
    for path in below("tests/cases/run", &["case"]) {
        let case = Case::read(&read(&path));
        assert!(case.sections.iter().any(|s| s.head.starts_with("out ")), "{}", root().join(path).display());
    }
}
