//! The catalog seen as one list of words, each with its facts as text: what `list`, the reference and the YAML
//! form's schema are made of. Knows no entry by name.

use std::fmt;

use crate::plan::catalog::{
    Catalog, ClauseSpec, Directions, Doc, Failure, Feature, OptionKind, OptionSpec, SINK_OPTIONS, SOURCE_OPTIONS,
    Stability,
};
use crate::plan::settings::Settings;

/// The kinds of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Where rows come from.
    Source,
    /// What is done with them.
    Stage,
    /// Where they go.
    Sink,
    /// How bytes become rows and back.
    Format,
    /// How rows are brought together by time.
    Window,
    /// What computes a value from a row.
    Function,
    /// What computes a value from many rows.
    Aggregate,
}

impl Kind {
    /// All of them, in the order they are listed, with the word for many and for one.
    pub const ALL: [(Kind, &'static str, &'static str); 7] = [
        (Kind::Source, "sources", "source"),
        (Kind::Stage, "stages", "stage"),
        (Kind::Sink, "sinks", "sink"),
        (Kind::Format, "formats", "format"),
        (Kind::Window, "windows", "window"),
        (Kind::Function, "functions", "function"),
        (Kind::Aggregate, "aggregates", "aggregate"),
    ];

    /// What many of them are called.
    pub fn many(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, many, _)| many)
    }

    /// What one of them is called.
    pub fn one(self) -> &'static str {
        Self::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, _, one)| one)
    }

    /// The kind that `word` names, be it for one or many.
    pub fn from_word(word: &str) -> Option<Kind> {
        Self::ALL.iter().find(|(_, many, one)| *many == word || *one == word).map(|(kind, ..)| *kind)
    }
}

/// A word of the catalog.
pub struct Word<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its texts.
    pub doc: &'a Doc,
    /// The group it is listed in; empty where its kind has none.
    pub group: &'a str,
    /// What stands in parentheses, positions first.
    pub args: Vec<&'a OptionSpec>,
    /// Its own options.
    pub options: Vec<&'a OptionSpec>,
    /// The options all of its kind have.
    pub shared: &'static [OptionSpec],
    /// The clauses it takes.
    pub clauses: &'a [ClauseSpec],
    /// Whether `left`, `anti` ... may stand before it.
    pub modifiers: bool,
    /// What else is true of it, each a sentence without a full stop.
    pub facts: Vec<String>,
}

impl<'a> Word<'a> {
    fn new(kind: Kind, doc: &'a Doc) -> Self {
        Word {
            kind,
            doc,
            group: "",
            args: Vec::new(),
            options: Vec::new(),
            shared: &[],
            clauses: &[],
            modifiers: false,
            facts: Vec::new(),
        }
    }
}

/// Every word of a kind, in the order they are listed.
pub fn words(catalog: &Catalog, kind: Kind) -> Vec<Word<'_>> {
    match kind {
        Kind::Source => sources(catalog),
        Kind::Stage => stages(catalog),
        Kind::Sink => sinks(catalog),
        Kind::Format => formats(catalog),
        Kind::Window => windows(catalog),
        Kind::Function => functions(catalog),
        Kind::Aggregate => aggregates(catalog),
    }
}

/// Every word of every kind.
pub fn all_words(catalog: &Catalog) -> Vec<Word<'_>> {
    Kind::ALL.iter().flat_map(|(kind, ..)| words(catalog, *kind)).collect()
}

fn sources(catalog: &Catalog) -> Vec<Word<'_>> {
    let words = catalog.sources.iter().map(|entry| {
        let rewinds = if entry.rewinds {
            "read again from its position after a crash"
        } else {
            "cannot be read again: what was taken in and not finished is lost with a crash, with a `checkpoint` only what had not reached its log"
        };
        let table = entry.table.then(|| "can be a `table` too".to_string());
        let facts = [Some(rewinds.to_string()), table, entry.feature.and_then(needs)];
        Word {
            args: entry.args.iter().collect(),
            options: entry.options.iter().collect(),
            shared: SOURCE_OPTIONS,
            facts: facts.into_iter().flatten().collect(),
            ..Word::new(Kind::Source, &entry.doc)
        }
    });
    words.collect()
}

fn stages(catalog: &Catalog) -> Vec<Word<'_>> {
    let words = catalog.stages.iter().map(|entry| Word {
        options: entry.options.iter().collect(),
        shared: entry.state_options(),
        clauses: &entry.clauses,
        modifiers: entry.modifiers,
        ..Word::new(Kind::Stage, &entry.doc)
    });
    words.collect()
}

fn sinks(catalog: &Catalog) -> Vec<Word<'_>> {
    let words = catalog.sinks.iter().map(|entry| {
        let mut facts = vec![format!("guarantee: {}", (entry.guarantee)(&Settings::default()))];
        facts.extend(entry.feature.and_then(needs));
        let (args, options) = (entry.args.iter().collect(), entry.options.iter().collect());
        Word { args, options, shared: SINK_OPTIONS, facts, ..Word::new(Kind::Sink, &entry.doc) }
    });
    words.collect()
}

fn formats(catalog: &Catalog) -> Vec<Word<'_>> {
    let words = catalog.formats.iter().map(|entry| {
        let direction = match entry.directions {
            Directions::In => "read only",
            Directions::Out => "written only",
            Directions::Both => "read and written",
        };
        let (args, options) = (entry.args.iter().collect(), entry.options.iter().collect());
        Word { args, options, facts: vec![direction.into()], ..Word::new(Kind::Format, &entry.doc) }
    });
    words.collect()
}

fn windows(catalog: &Catalog) -> Vec<Word<'_>> {
    let words = catalog.windows.iter().map(|entry| {
        let (args, options) = (entry.args.iter().collect(), entry.labels.iter().collect());
        Word { args, options, ..Word::new(Kind::Window, &entry.doc) }
    });
    words.collect()
}

fn functions(catalog: &Catalog) -> Vec<Word<'_>> {
    let words = catalog.functions.iter().map(|entry| {
        let failure = match entry.failure {
            Failure::Total => None,
            Failure::NullOnFailure => Some("null where it cannot be computed"),
            Failure::Fallible => Some("can fail for a row: write `?? default` or `?` behind it"),
        };
        let stability = match entry.stability {
            Stability::Pure => None,
            Stability::Batch => Some("the same for all rows of a batch, and when the batch is run again"),
            Stability::Volatile => Some("another result each time"),
        };
        let facts = [failure, stability].into_iter().flatten().map(String::from).collect();
        Word { group: entry.group, facts, ..Word::new(Kind::Function, &entry.doc) }
    });
    words.collect()
}

fn aggregates(catalog: &Catalog) -> Vec<Word<'_>> {
    let words = catalog.aggregates.iter().map(|entry| {
        let facts = entry.ordered.then(|| "depends on the order of rows".to_string());
        Word { group: entry.group, facts: facts.into_iter().collect(), ..Word::new(Kind::Aggregate, &entry.doc) }
    });
    words.collect()
}

/// What is to be said of a feature that this program was built without.
fn needs(feature: Feature) -> Option<String> {
    (!feature.built).then(|| format!("needs a build with the feature `{}`", feature.name))
}

/// What may be written, in a few words: `duration`, `json or csv`, `list of columns`.
impl fmt::Display for OptionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionKind::Bool => f.write_str("true or false"),
            OptionKind::Integer { min, max } => range(f, "whole number", *min, (*max < i64::MAX).then_some(*max)),
            OptionKind::Number { min, max } => range(f, "number", *min, max.is_finite().then_some(*max)),
            OptionKind::Text => f.write_str("text"),
            OptionKind::Path => f.write_str("path"),
            OptionKind::Address => f.write_str("\"host:port\""),
            OptionKind::Symbol(words) => {
                let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
                f.write_str(&alternatives(&names))
            }
            OptionKind::Duration => f.write_str("duration"),
            OptionKind::Period => f.write_str("duration or months"),
            OptionKind::Size => f.write_str("size"),
            OptionKind::Timestamp => f.write_str("timestamp"),
            OptionKind::Schema => f.write_str("struct type"),
            OptionKind::Column => f.write_str("column"),
            OptionKind::Name => f.write_str("name"),
            OptionKind::Format => f.write_str("format"),
            OptionKind::Secret => f.write_str("secret"),
            OptionKind::Expr(None) => f.write_str("expression"),
            OptionKind::Expr(Some(ty)) => write!(f, "{ty} expression"),
            OptionKind::List(element) => write!(f, "list of {element}"),
            OptionKind::Map(value) => write!(f, "names with {value}"),
            OptionKind::AnyOf(kinds) => {
                let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
                f.write_str(&alternatives(&kinds.iter().map(String::as_str).collect::<Vec<_>>()))
            }
        }
    }
}

fn range<T: fmt::Display>(f: &mut fmt::Formatter<'_>, what: &str, min: T, max: Option<T>) -> fmt::Result {
    match max {
        Some(max) => write!(f, "{what} from {min} to {max}"),
        None => write!(f, "{what} from {min}"),
    }
}

fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_string(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
