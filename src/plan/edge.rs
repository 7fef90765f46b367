//! What is known of the rows between two stages: the table that `check` prints, one line an edge.

use std::fmt;

use crate::model::{Column, Schema};

/// What flows from one output to its readers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Edge {
    /// The columns. A right column of a join whose name collides is called `users.name` here.
    pub schema: Schema,
    /// Under which qualifiers which columns can be reached as well.
    pub qualified: Vec<Qualified>,
    /// The event time, where the rows have one.
    pub time: Option<EventTime>,
    /// Whether later rows take back earlier ones.
    pub mode: Mode,
    /// Column sets whose values occur at most once (in a batch, for `append`; among the rows in force, for `changes`).
    pub unique: Vec<Vec<String>>,
    /// What a crash can do to the rows.
    pub guarantee: Guarantee,
    /// What is kept to compute it, in words; empty for stateless stages.
    pub state: String,
}

/// `users.country` is the column at `index`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qualified {
    /// `users`
    pub qualifier: String,
    /// `country`
    pub name: String,
    /// Position in the schema.
    pub index: usize,
}

/// The column of event time and how far it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// Its name.
    pub column: String,
    /// Microseconds that rows may come late; none where no watermark was declared, so that it never moves.
    pub delay: Option<i64>,
    /// The column holds the end of a window, which the window does not contain: a row's time is the microsecond
    /// before it, so that windows of windows nest.
    pub ends_window: bool,
}

/// The column of a changes edge that says whether a row comes (`"+"`) or goes (`"-"`). It is the last one of the
/// schema and a `string`; stages that pass changes on keep it without being told.
pub const OP: &str = "op";

/// Whether rows are final.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Mode {
    /// Each row is new and stays.
    #[default]
    Append,
    /// The column [`OP`] says whether a row comes or goes; netted per key and batch.
    Changes {
        /// What identifies a row that is updated.
        key: Vec<String>,
    },
}

/// What a crash can do, from the source to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Guarantee {
    /// The source cannot be read again: what was not yet logged is lost.
    AtMostOnce,
    /// The source is read again from its recorded position.
    #[default]
    Replayable,
}

impl Edge {
    /// An edge of final rows of this schema, nothing else known.
    pub fn append(schema: Schema) -> Self {
        Edge { schema, ..Edge::default() }
    }

    /// The column of event time.
    pub fn time_column(&self) -> Option<&Column> {
        self.time.as_ref().and_then(|t| self.schema.get(&t.column))
    }

    /// Keeps of time, uniqueness and qualifiers what still holds for `schema`, for stages that pass rows on.
    #[must_use]
    pub fn with_schema(&self, schema: Schema) -> Self {
        let time = self.time.clone().filter(|t| schema.get(&t.column).is_some());
        let unique = self.unique.iter().filter(|set| set.iter().all(|c| schema.get(c).is_some())).cloned().collect();
        Edge { schema, qualified: Vec::new(), time, unique, ..self.clone() }
    }

    /// The columns as people read them: all when few, else how many.
    pub fn describe_rows(&self) -> String {
        let count = self.schema.columns.len();
        if count <= 4 { self.schema.names().collect::<Vec<_>>().join(", ") } else { format!("{count} columns") }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Append => f.write_str("append"),
            Mode::Changes { key } if key.is_empty() => f.write_str("changes"),
            Mode::Changes { key } => write!(f, "changes by {}", key.join(", ")),
        }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guarantee::AtMostOnce => "at most once",
            Guarantee::Replayable => "replayable",
        })
    }
}
