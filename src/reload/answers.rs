//! What people answer where an edit needs a decision, and what the engine is to take over once all is answered.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::plan::memory::{Moved, Taking};
use crate::reload::{Changes, Entry, Kind, listed};

/// What can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// What is there goes on, although it came about otherwise.
    Keep,
    /// What is there is put aside; it begins anew.
    Reset,
    /// Windows that are open end by the old text, new ones go by the new.
    Drain,
}

/// Answers by the name they are for; `all` holds for whatever has none of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers {
    given: BTreeMap<String, Answer>,
    /// What the text itself says for whatever is not answered: `on_change`.
    pub otherwise: Option<Answer>,
}

/// How something comes from the old program into the new one.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Hand {
    /// Nothing comes over.
    #[default]
    Nothing,
    /// The very thing of that name or identity goes on.
    Same(String),
    /// It is opened anew and goes on where the one of that name was.
    Position(String),
    /// The state of that identity is carried over.
    State(String, Option<Moved>),
}

/// What is still to be answered, by name, and what was answered that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pending {
    /// Names that have no answer.
    pub open: Vec<String>,
    /// Answers that do not fit, as sentences.
    pub wrong: Vec<String>,
}

impl Answers {
    /// What the text says for everything that has no answer of its own.
    pub fn of_text(otherwise: Option<Answer>) -> Self {
        Answers { otherwise, ..Answers::default() }
    }

    /// One more.
    pub fn give(&mut self, name: impl Into<String>, answer: Answer) {
        self.given.insert(name.into(), answer);
    }

    /// Whether nobody has said anything.
    pub fn is_empty(&self) -> bool {
        self.given.is_empty() && self.otherwise.is_none()
    }

    /// Those of another one too, which come first.
    pub fn add(&mut self, more: Answers) {
        self.given.extend(more.given);
        self.otherwise = more.otherwise.or(self.otherwise);
    }

    /// Reads `STATE=keep`.
    pub fn read(text: &str) -> Result<(String, Answer), String> {
        let (name, answer) = text.split_once('=').ok_or_else(|| format!("`{text}` is no answer: write NAME=keep"))?;
        Ok((name.trim().to_owned(), answer.trim().parse()?))
    }

    fn of(&self, entry: &Entry) -> Option<(Answer, bool)> {
        let own = self.given.get(&entry.name).copied().or(entry.written).map(|answer| (answer, true));
        let other = || self.given.get("all").copied().or(self.otherwise).map(|answer| (answer, false));
        own.or_else(other)
    }
}

impl Changes {
    /// What the engine is to do once everything is answered.
    pub fn settled(&self, answers: &Answers) -> Result<Taking, Pending> {
        let mut pending = Pending::default();
        let mut taking = Taking::default();
        for entry in &self.entries {
            let hand = match entry.answers.as_slice() {
                [] => entry.hand.clone(),
                allowed => match answers.of(entry) {
                    None => {
                        pending.open.push(entry.name.clone());
                        continue;
                    }
                    Some((Answer::Reset, _)) if allowed.contains(&Answer::Reset) => Hand::Nothing,
                    Some((Answer::Drain, _)) if allowed.contains(&Answer::Drain) => {
                        taking.drains.insert(entry.name.clone());
                        Hand::Nothing
                    }
                    Some((Answer::Keep, _)) if allowed.contains(&Answer::Keep) => entry.hand.clone(),
                    Some((answer, own)) => {
                        if own || !allowed.contains(&answer) {
                            pending.wrong.push(entry.refuse(answer));
                        }
                        pending.open.push(entry.name.clone());
                        continue;
                    }
                },
            };
            take(&mut taking, entry, hand);
        }
        let asked = |name: &String| self.asked().iter().any(|entry| entry.name == *name);
        let unknown = answers.given.keys().filter(|name| *name != "all" && !asked(name));
        pending.wrong.extend(unknown.map(|name| format!("`{name}` is not asked for")));
        if pending == Pending::default() { Ok(taking) } else { Err(pending) }
    }
}

impl Entry {
    fn refuse(&self, answer: Answer) -> String {
        let instead = listed(&self.answers, "` or `");
        match answer {
            Answer::Drain => {
                let why = self.hindrance.as_deref().unwrap_or("it has no open windows that could end by the old text");
                format!("`{}` cannot be answered with `drain`: {why}; answer `{instead}`", self.name)
            }
            Answer::Keep => {
                format!("`{}` cannot be kept: its layout is another one now; answer `{instead}`", self.name)
            }
            Answer::Reset => format!("`{}` cannot be answered with `reset`; answer `{instead}`", self.name),
        }
    }
}

/// Notes how an entry is taken over.
fn take(taking: &mut Taking, entry: &Entry, hand: Hand) {
    let name = entry.name.clone();
    match (entry.kind, hand) {
        (Kind::Source, Hand::Same(old)) => drop(taking.sources.insert(name, old)),
        (Kind::Source, Hand::Position(old)) => drop(taking.positions.insert(name, old)),
        (Kind::Table, Hand::Same(old)) => drop(taking.tables.insert(name, old)),
        (Kind::State, Hand::State(old, moved)) => drop(taking.states.insert(name, (old, moved))),
        (Kind::Sink, Hand::Same(old)) => drop(taking.sinks.insert(name, old)),
        (Kind::Pipeline | Kind::Source | Kind::Table | Kind::State | Kind::Sink, _) => {}
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Keep => "keep",
            Answer::Reset => "reset",
            Answer::Drain => "drain",
        })
    }
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Answer::Keep),
            "reset" => Ok(Answer::Reset),
            "drain" => Ok(Answer::Drain),
            "backfill" => Err("`backfill` cannot be done yet: answer `keep` or `reset`".into()),
            other => Err(format!("`{other}` is no answer: it is `keep`, `reset` or `drain`")),
        }
    }
}
