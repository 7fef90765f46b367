//! The workloads: what goes in, what is done, which columns come out.

use crate::generate::Kind;

/// What a column holds, for results to be compared whoever wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text as it stands.
    Text,
    /// A whole number.
    Whole,
    /// A number with two digits behind the point.
    Cents,
    /// A moment.
    Moment,
}

/// A column of a result.
pub type Column = (&'static str, Holds);

/// Work that programs are measured at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// Its name, and that of its `.stream` file.
    pub name: &'static str,
    /// What it does, in a few words.
    pub does: &'static str,
    /// What goes in.
    pub input: Kind,
    /// What comes out.
    pub columns: &'static [Column],
    /// Whether some of the result comes only when the input is over.
    pub closes: bool,
}

const WORDS: &[Column] = &[("word", Holds::Text), ("n", Holds::Whole)];
const BY_REGION: &[Column] =
    &[("window_start", Holds::Moment), ("region", Holds::Text), ("revenue", Holds::Cents), ("n", Holds::Whole)];

/// All of them, in the order of `BENCHMARKS.md`.
pub const ALL: &[Workload] = &[
    Workload {
        name: "wordcount",
        does: "words of each file counted",
        input: Kind::Words,
        columns: WORDS,
        closes: false,
    },
    Workload {
        name: "running-wordcount",
        does: "running totals by word, those that changed",
        input: Kind::Words,
        columns: WORDS,
        closes: false,
    },
    Workload {
        name: "orders-window",
        does: "revenue by category, 60 s every 10 s",
        input: Kind::Orders,
        columns: &[
            ("window_start", Holds::Moment),
            ("category", Holds::Text),
            ("revenue", Holds::Cents),
            ("n", Holds::Whole),
        ],
        closes: true,
    },
    Workload {
        name: "orders-filter",
        does: "some orders with three columns more",
        input: Kind::Orders,
        columns: &[
            ("order_id", Holds::Whole),
            ("user", Holds::Text),
            ("category", Holds::Text),
            ("region", Holds::Text),
            ("amount", Holds::Cents),
            ("total", Holds::Cents),
            ("place", Holds::Text),
            ("big", Holds::Text),
        ],
        closes: false,
    },
    Workload {
        name: "orders-join",
        does: "revenue by what a table says of the user",
        input: Kind::Orders,
        columns: &[("country", Holds::Text), ("tier", Holds::Text), ("revenue", Holds::Cents), ("n", Holds::Whole)],
        closes: false,
    },
    Workload {
        name: "tiny-batches",
        does: "60 files of one line, running totals",
        input: Kind::Tiny,
        columns: WORDS,
        closes: false,
    },
    Workload {
        name: "pane-cost",
        does: "revenue by region, 600 s every 1 s",
        input: Kind::Orders,
        columns: BY_REGION,
        closes: true,
    },
    Workload {
        name: "pane-cost-tumbling",
        does: "the same in windows of 1 s",
        input: Kind::Orders,
        columns: BY_REGION,
        closes: true,
    },
    Workload {
        name: "few-keys",
        does: "orders of each file counted by 100 keys",
        input: Kind::Orders,
        columns: KEYS,
        closes: false,
    },
    Workload { name: "many-keys", does: "the same by 100,000 keys", input: Kind::Orders, columns: KEYS, closes: false },
];

const KEYS: &[Column] = &[("keys", Holds::Whole), ("most", Holds::Whole)];

/// The workload of a name.
pub fn named(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}
