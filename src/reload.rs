//! What a saved edit means: the plan that runs beside the plan of the new text, and for every stage that remembers,
//! every source and every sink an answer. Pure: nothing here runs, reads or waits. The rules are a table in
//! `src/ARCHITECTURE.md`, "How a saved edit takes effect".

mod answers;
pub mod drain;
mod ends;
mod meaning;
mod state;

use std::collections::BTreeSet;
use std::fmt;

use crate::model::time::show_duration;
use crate::plan::Plan;
use crate::plan::graph::Work;

pub use crate::plan::memory::Taking;
pub use answers::{Answer, Answers, Hand, Pending};

/// What an edit does to a running pipeline.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// The pipeline's own settings, then sources and tables, state, sinks, each in the order of the plan.
    pub entries: Vec<Entry>,
    /// The texts mean the same: only their layout differs.
    pub same: bool,
}

/// What becomes of one thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// What people know it by, and answer for it by: a source's name, a state's identity.
    pub name: String,
    /// What becomes of it where nobody has to be asked, or once somebody was.
    pub verdict: Verdict,
    /// Why, and what it means, in plain sentences.
    pub says: Vec<String>,
    /// What can be answered; empty where nothing is asked.
    pub answers: Vec<Answer>,
    /// Why open windows cannot end by the old text, where that is not among the answers.
    pub hindrance: Option<String>,
    /// What the new text answers for it alone.
    pub written: Option<Answer>,
    /// How the engine takes it over.
    pub hand: Hand,
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The `pipeline` statement.
    Pipeline,
    /// Where rows come in.
    Source,
    /// Reference data.
    Table,
    /// What a stage remembers.
    State,
    /// Where rows go out.
    Sink,
}

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as it is.
    Kept,
    /// It goes on in another layout.
    Migrated,
    /// It goes on, and some of it goes.
    Trimmed,
    /// It was not there.
    New,
    /// It is put aside.
    Archived,
    /// Somebody has to say.
    Decision,
}

/// State that was put aside and can be taken back: its identity, and a plan in which its stage stands.
pub type Aside<'a> = [(&'a str, &'a Plan)];

/// Compares the plan that runs with that of a new text; both as they were checked, not optimized.
pub fn compare(old: &Plan, new: &Plan) -> Changes {
    compare_with(old, new, &[])
}

/// The same, where some state was put aside before.
pub fn compare_with(old: &Plan, new: &Plan, aside: &Aside<'_>) -> Changes {
    let mut entries = Vec::new();
    entries.extend(header(old, new));
    entries.extend(ends::inputs(old, new));
    entries.extend(state::states(old, new, aside));
    entries.extend(ends::sinks(old, new));
    entries.iter_mut().for_each(|entry| entry.written = written(new, entry));
    let same = old.header.name == new.header.name
        && entries.iter().all(|e| e.verdict == Verdict::Kept && e.says.is_empty() && e.answers.is_empty())
        && meaning::whole(old) == meaning::whole(new);
    Changes { entries, same }
}

/// What a text says beside a stage or source for edits that need a decision.
fn written(plan: &Plan, entry: &Entry) -> Option<Answer> {
    let text = |id| {
        let node = plan.node(id);
        match (&node.work, entry.kind) {
            (Work::Source(endpoint), Kind::Source) if node.stream == entry.name => endpoint.settings.text("on_change"),
            (Work::Operator(_), Kind::State) if node.identity == entry.name => node.on_change.as_deref(),
            _ => None,
        }
    };
    plan.ordered().into_iter().find_map(text)?.parse().ok()
}

impl Changes {
    /// Whether somebody has to say something first.
    pub fn waits(&self) -> bool {
        self.entries.iter().any(|entry| !entry.answers.is_empty())
    }

    /// Rows for a table: what, which, what becomes of it, why.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for entry in &self.entries {
            let mut says = entry.says.iter();
            let first = says.next().cloned().unwrap_or_default();
            rows.push(vec![entry.kind.to_string(), entry.name.clone(), entry.verdict.to_string(), first]);
            rows.extend(says.map(|more| vec![String::new(), String::new(), String::new(), more.clone()]));
            if !entry.answers.is_empty() {
                let answers = match entry.written.filter(|answer| entry.answers.contains(answer)) {
                    Some(answer) => format!("the text answers `{answer}`"),
                    None => format!("answer {}={}", entry.name, listed(&entry.answers, "|")),
                };
                rows.push(vec![String::new(), String::new(), String::new(), answers]);
            }
        }
        rows
    }

    /// What is asked, in the order of the entries.
    pub fn asked(&self) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| !entry.answers.is_empty()).collect()
    }

    /// The last line of the table: when it takes effect.
    pub fn when(&self) -> String {
        let answered = |entry: &&&Entry| entry.written.is_none_or(|answer| !entry.answers.contains(&answer));
        let asked = self.asked().iter().filter(answered).count();
        if self.same {
            return "the same pipeline: nothing to apply".into();
        }
        match asked {
            0 => "applied between two batches".into(),
            1 => "waits for a decision; until then the old text goes on".into(),
            n => format!("waits for {n} decisions; until then the old text goes on"),
        }
    }
}

/// What the `pipeline` statement says otherwise.
fn header(old: &Plan, new: &Plan) -> Option<Entry> {
    let mut says = Vec::new();
    if old.header.name != new.header.name {
        says.push(format!("is called `{}` from now on, not `{}`", new.header.name, old.header.name));
    }
    let (before, after) = (&old.header.settings, &new.header.settings);
    let names: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(name, _)| name).collect();
    for name in names {
        let text = |settings: &crate::plan::Settings| settings.get(name).map(meaning::value);
        let (was, is) = (text(before), text(after));
        if was == is || name == "on_change" {
            continue;
        }
        let change = changed(name, was.as_deref(), is.as_deref());
        says.push(match name {
            "checkpoint" => format!("{change}: the new place gets a copy first"),
            "partitions" => format!("{change}: state is dealt out anew"),
            "every" => format!("{change}: from the next batch on"),
            _ => change,
        });
    }
    if says.is_empty() {
        return None;
    }
    Some(Entry::plain(Kind::Pipeline, &new.header.name, Verdict::Kept, says))
}

/// "`within` changed from 5m to 10m"
fn changed(name: &str, was: Option<&str>, is: Option<&str>) -> String {
    match (was, is) {
        (Some(was), Some(is)) => format!("`{name}` changed from {was} to {is}"),
        (None, Some(is)) => format!("`{name}` is {is} now"),
        (Some(was), None) => format!("`{name}` was {was} and is not written any more"),
        (None, None) => format!("`{name}` changed"),
    }
}

/// A duration that may be none.
fn duration(micros: Option<i64>) -> String {
    micros.map_or_else(|| "forever".into(), show_duration)
}

fn listed<T: fmt::Display>(items: &[T], between: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(between)
}

/// What the state of a plan is kept under.
pub fn identities(plan: &Plan) -> Vec<String> {
    let stateful = plan.ordered().into_iter().filter(|id| remembers(plan, *id));
    stateful.map(|id| plan.node(id).identity.clone()).collect()
}

/// Whether a node remembers anything between batches.
fn remembers(plan: &Plan, id: crate::plan::graph::NodeId) -> bool {
    matches!(&plan.node(id).work, Work::Operator(operator) if operator.properties().stateful)
}

impl Entry {
    fn plain(kind: Kind, name: &str, verdict: Verdict, says: Vec<String>) -> Self {
        Entry {
            kind,
            name: name.to_owned(),
            verdict,
            says,
            answers: Vec::new(),
            hindrance: None,
            written: None,
            hand: Hand::default(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Pipeline => "pipeline",
            Kind::Source => "source",
            Kind::Table => "table",
            Kind::State => "state",
            Kind::Sink => "sink",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Kept => "kept",
            Verdict::Migrated => "migrated",
            Verdict::Trimmed => "trimmed",
            Verdict::New => "new",
            Verdict::Archived => "archived",
            Verdict::Decision => "needs a decision",
        })
    }
}
