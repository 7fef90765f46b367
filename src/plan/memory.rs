//! What an operator remembers, as data: by this a changed text is compared with what runs, and state is carried over
//! into an operator that remembers a little more or less. Knows nothing of how anything is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::model::Column;
use crate::plan::Operator;

/// What an operator remembers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// What the state is made by: keys, windows, conditions. Another fact is another state.
    pub facts: Vec<Fact>,
    /// Results that are remembered side by side and can come and go one by one: the calls of an aggregate.
    pub parts: Vec<Part>,
    /// How long something is kept. Longer costs nothing that is there; shorter drops some.
    pub spans: Vec<Lasts>,
    /// What is made of it when it comes out, in any words: it changes the rows behind, not what is remembered.
    pub output: String,
    /// Columns of results that were given out and may have to be taken back.
    pub shown: Vec<Column>,
    /// Only told to people, so that it may begin anew without being asked for.
    pub minor: bool,
}

/// Something that state depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// "the group keys"
    pub name: &'static str,
    /// As it is told; types included, where they belong to the layout.
    pub text: String,
    /// State made by another fact of that name has the same layout, so that it can be kept where somebody says so.
    pub fits: bool,
}

/// A result that is remembered beside others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `sum(amount)`
    pub name: String,
    /// What makes it the same: the name, and the types.
    pub text: String,
    /// How many columns of state it has; none where it keeps rows.
    pub columns: usize,
}

/// How long something is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lasts {
    /// `ttl`
    pub name: &'static str,
    /// In microseconds; none: for ever.
    pub micros: Option<i64>,
}

/// State on its way from an operator to the one that takes its place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moved {
    /// What the old one remembered.
    pub from: Memory,
    /// For each part of the new one where it stands in the old one; none: it starts empty.
    pub parts: Vec<Option<usize>>,
}

/// What the engine takes over from the old program: by the new name or identity what it was called before. What is not
/// here begins anew.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Taking {
    /// Sources that go on as they are.
    pub sources: BTreeMap<String, String>,
    /// Sources that are opened anew, at the positions where the old ones were.
    pub positions: BTreeMap<String, String>,
    /// Tables that go on as they are.
    pub tables: BTreeMap<String, String>,
    /// State, with the way it is carried over where its parts are others.
    pub states: BTreeMap<String, (String, Option<Moved>)>,
    /// Sinks that go on as they are.
    pub sinks: BTreeMap<String, String>,
    /// State that has given all it had: it is not even put aside.
    pub over: BTreeSet<String>,
    /// Stages whose open windows end by the old text: for these both texts run in one plan (`reload::drain`).
    pub drains: BTreeSet<String>,
}

/// Where windows of event time lie: all that two texts must know of each other to share time between them.
pub trait Windows: fmt::Debug + Send + Sync {
    /// The first start of a window at or behind an instant.
    fn next_start(&self, instant: i64) -> Option<i64>;

    /// When all windows that start before an instant have ended.
    fn all_ended(&self, before: i64) -> Option<i64>;

    /// Whether every instant is in exactly one window.
    fn back_to_back(&self) -> bool;
}

impl Taking {
    /// The same where nothing goes on as it is, because the old program is only remembered: all is opened anew, sources
    /// at their positions.
    pub fn anew(mut self) -> Self {
        self.positions.append(&mut self.sources);
        self.tables.clear();
        self.sinks.clear();
        self
    }
}

impl Fact {
    /// One that decides on the layout.
    pub fn layout(name: &'static str, text: impl Into<String>) -> Self {
        Fact { name, text: text.into(), fits: false }
    }

    /// One that decides on the meaning alone.
    pub fn meaning(name: &'static str, text: impl Into<String>) -> Self {
        Fact { name, text: text.into(), fits: true }
    }

    /// Columns with their types.
    pub fn columns<'a>(name: &'static str, columns: impl IntoIterator<Item = &'a Column>) -> Self {
        let column = |column: &Column| format!("{}: {}", column.name, column.slot);
        Fact::layout(name, columns.into_iter().map(column).collect::<Vec<_>>().join(", "))
    }
}

impl Moved {
    /// Whether every part stays where it is.
    pub fn in_place(&self) -> bool {
        let same = self.parts.iter().enumerate().all(|(new, old)| *old == Some(new));
        same && self.parts.len() == self.from.parts.len()
    }
}

/// An operator's `Debug` text without the places where it is written: equal where the operators are.
pub fn placeless(operator: &dyn Operator) -> String {
    const OPEN: &str = "Span { file: FileId(";
    let text = format!("{operator:?}");
    let mut blank = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once(OPEN) {
        blank.push_str(before);
        rest = behind.split_once('}').map_or("", |(_, rest)| rest);
    }
    blank + rest
}
