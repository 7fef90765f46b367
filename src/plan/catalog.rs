//! The vocabulary as data: every word a pipeline may use is an entry that says everything true about it.
//! From entries come checking, defaults, "did you mean", completion, `millstream list` and the reference.
//! A new word is one new file and its line in `builtins`; nothing here names one.

use std::fmt;
use std::sync::Arc;

use datafusion_common::ScalarValue;
use datafusion_expr::{AggregateUDF, HigherOrderUDF, ScalarUDF};
use millstream_dsl::ast;

use crate::model::{Column, Slot, Type};
use crate::plan::conflict::{Conflict, FormatUse, Records};
use crate::plan::context::{Planned, StageContext};
use crate::plan::edge::Mode;
use crate::plan::expr::{Node, TypedExpr};
use crate::plan::operator::NotRunnable;
use crate::plan::sample::{Infer, Inferred, Look};
use crate::plan::seams::{FormatCodec, Sink, Source};
use crate::plan::settings::Settings;

/// What every entry says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Doc {
    /// The word people write.
    pub name: String,
    /// One sentence, without a full stop, that completes "`name`: ...".
    pub summary: String,
    /// How it is written, e.g. `dedupe by COLUMN, ... within DURATION`.
    pub usage: String,
    /// More, in Markdown; may be empty.
    pub details: String,
    /// Code that checks as it stands in its kind's frame (see `tests/it/entries.rs`).
    pub examples: Vec<String>,
    /// Other words for the same, in the words of Spark or SQL.
    pub aliases: Vec<String>,
}

impl Doc {
    /// The part that no entry can do without.
    pub fn new(name: &str, summary: &str, usage: &str) -> Self {
        Doc { name: name.into(), summary: summary.into(), usage: usage.into(), ..Doc::default() }
    }

    /// Adds Markdown.
    #[must_use]
    pub fn details(mut self, text: &str) -> Self {
        self.details = text.into();
        self
    }

    /// Adds an example.
    #[must_use]
    pub fn example(mut self, code: &str) -> Self {
        self.examples.push(code.into());
        self
    }

    /// Adds another word for the same.
    #[must_use]
    pub fn alias(mut self, word: &str) -> Self {
        self.aliases.push(word.into());
        self
    }

    /// The details as paragraphs and list items, each on one line.
    pub fn paragraphs(&self) -> Vec<String> {
        let mut paragraphs: Vec<String> = Vec::new();
        let mut goes_on = false;
        for line in self.details.lines() {
            match paragraphs.last_mut() {
                Some(last) if goes_on && !line.trim().is_empty() && !line.starts_with("- ") => {
                    last.push(' ');
                    last.push_str(line.trim());
                }
                _ if line.trim().is_empty() => {}
                _ => paragraphs.push(line.trim().to_owned()),
            }
            goes_on = !line.trim().is_empty();
        }
        paragraphs
    }
}

/// What an option or argument accepts.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionKind {
    /// `true` or `false`
    Bool,
    /// A whole number in a range.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A number in a range.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// `"text"`
    Text,
    /// Text that is a path or glob relative to the pipeline file.
    Path,
    /// Text `host:port`.
    Address,
    /// One of these words, each with a sentence.
    Symbol(&'static [(&'static str, &'static str)]),
    /// `10s`
    Duration,
    /// `10s`, or months and years of the calendar: `1mo`, `1y` (read as [`OptionValue::Months`](crate::plan::OptionValue)).
    Period,
    /// `64mb`
    Size,
    /// `"2026-01-01T00:00:00Z"` or `timestamp "..."`
    Timestamp,
    /// A struct type or its name.
    Schema,
    /// A column of the rows (of the source's schema, or of what the sink is given).
    Column,
    /// A free name, e.g. of a column that a stage adds (read as text).
    Name,
    /// A format, by its word or call: `json`, `csv`, `regex(r"...")`.
    Format,
    /// `env("X")`, `secret("name")`; plain text is accepted with the warning `secret-in-text`.
    Secret,
    /// An expression over the rows; the type it must have, if one is demanded.
    Expr(Option<Type>),
    /// `[ ... ]` of these; one alone counts as a list of one.
    List(Box<OptionKind>),
    /// `{ key: value }` with free keys.
    Map(Box<OptionKind>),
    /// Any of these, the first that fits.
    AnyOf(Vec<OptionKind>),
}

/// An option in braces, or a positional argument.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionSpec {
    /// Its name. `kafka.*` accepts every name with that prefix that the entry's `build` knows.
    pub name: &'static str,
    /// What it accepts.
    pub kind: OptionKind,
    /// Whether it must be given.
    pub required: bool,
    /// What holds when it is not given, as it would be written; none: nothing.
    pub default: Option<&'static str>,
    /// One sentence.
    pub doc: &'static str,
}

impl OptionSpec {
    /// An option one may leave out.
    pub const fn optional(name: &'static str, kind: OptionKind, doc: &'static str) -> Self {
        OptionSpec { name, kind, required: false, default: None, doc }
    }

    /// An option one must give.
    pub const fn required(name: &'static str, kind: OptionKind, doc: &'static str) -> Self {
        OptionSpec { name, kind, required: true, default: None, doc }
    }

    /// An option with a default, written as a user would.
    pub const fn with_default(name: &'static str, kind: OptionKind, default: &'static str, doc: &'static str) -> Self {
        OptionSpec { name, kind, required: false, default: Some(default), doc }
    }
}

/// A clause that an entry takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseSpec {
    /// As [`ast::ClauseKind::word`] calls it.
    pub word: &'static str,
    /// Whether the entry is refused without it. Alternatives (a scope) are the entry's own to check.
    pub required: bool,
    /// One sentence.
    pub doc: &'static str,
}

impl ClauseSpec {
    /// A clause one may leave out.
    pub const fn optional(word: &'static str, doc: &'static str) -> Self {
        ClauseSpec { word, required: false, doc }
    }

    /// A clause one must give.
    pub const fn required(word: &'static str, doc: &'static str) -> Self {
        ClauseSpec { word, required: true, doc }
    }
}

/// How many positional arguments a stage takes, and whether they may be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arity {
    /// At least.
    pub min: usize,
    /// At most.
    pub max: usize,
    /// Whether `x = expr` / `expr as x` is allowed, refused or demanded.
    pub names: Names,
}

/// Whether arguments have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// `where amount = 3` is a slip.
    Never,
    /// `select a, b * 2 as c`
    Optional,
    /// `extend c = b * 2`
    Always,
    /// `split small = amount < 10`: demanded, and each name defines a stream.
    Streams,
}

/// A stage: `|> word args clauses`.
pub struct StageEntry {
    /// The word and its texts.
    pub doc: Doc,
    /// Its positional arguments.
    pub arity: Arity,
    /// The clauses it takes.
    pub clauses: Vec<ClauseSpec>,
    /// What `with { ... }` takes.
    pub options: Vec<OptionSpec>,
    /// Whether `left`, `anti` ... may stand before it.
    pub modifiers: bool,
    /// Makes the operator, or reports why it cannot. Called when arity, clauses and modifier are in order.
    pub plan: PlanStage,
}

/// Makes a stage's operator. A closure rather than a function, so that a program can bring operators of its own.
pub type PlanStage = Arc<dyn Fn(&StageCall<'_>, &mut dyn StageContext) -> Option<Planned> + Send + Sync>;

impl StageEntry {
    /// Options that it has because of what it remembers: every stage that takes `named`.
    pub fn state_options(&self) -> &'static [OptionSpec] {
        if self.clauses.iter().any(|clause| clause.word == "named") { STATE_OPTIONS } else { &[] }
    }

    /// For the field `plan`.
    pub fn by(
        plan: impl Fn(&StageCall<'_>, &mut dyn StageContext) -> Option<Planned> + Send + Sync + 'static,
    ) -> PlanStage {
        Arc::new(plan)
    }
}

/// What a stage's `plan` is given: the text, whose shape the checker has already compared with the entry.
pub struct StageCall<'a> {
    /// The stage as written.
    pub stage: &'a ast::Stage,
    /// The entry's own word.
    pub entry: &'a StageEntry,
    /// The checked options of `with { ... }`.
    pub options: Settings,
}

impl<'a> StageCall<'a> {
    /// The first clause that `pick` recognises.
    pub fn clause<T>(&self, pick: impl Fn(&'a ast::ClauseKind) -> Option<T>) -> Option<(T, &'a ast::Clause)> {
        self.stage.clauses.iter().find_map(|c| Some((pick(&c.kind)?, c)))
    }
}

/// A source, which may serve as a table too.
pub struct SourceEntry {
    /// The word and its texts.
    pub doc: Doc,
    /// Positional arguments, by the names `build` finds them under.
    pub args: Vec<OptionSpec>,
    /// Its own options; those every source has are [`SOURCE_OPTIONS`].
    pub options: Vec<OptionSpec>,
    /// What its rows look like.
    pub rows: RowsFrom,
    /// Whether it can be read again from a position.
    pub rewinds: bool,
    /// Whether `table x = ...` may use it.
    pub table: bool,
    /// Whether its rows take back earlier ones (change capture), given its options.
    pub mode: fn(&Settings) -> Mode,
    /// The cargo feature that brings its client, where it is not in the default set.
    pub feature: Option<Feature>,
    /// What of its settings and format cannot stand as it is written.
    pub conflicts: fn(&Endpoint) -> Vec<Conflict>,
    /// What there is to infer columns from (`schema: infer`), given its settings and where relative paths start; none:
    /// nothing is there before it runs.
    pub sample: Option<Look>,
    /// Opens it; `Err` says in a plain sentence why it cannot be run (yet).
    pub open: Open<dyn Source>,
}

/// Opens a source or a sink. A closure, so that what it opens can share something with the program around it.
pub type Open<T> = Arc<dyn Fn(&Endpoint) -> Result<Box<T>, NotRunnable> + Send + Sync>;

impl SourceEntry {
    /// For the field `open`.
    pub fn by(
        open: impl Fn(&Endpoint) -> Result<Box<dyn Source>, NotRunnable> + Send + Sync + 'static,
    ) -> Open<dyn Source> {
        Arc::new(open)
    }
}

/// A cargo feature that a connector needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Whether this program was built with it.
    pub built: bool,
}

/// Where the columns of a source come from.
#[derive(Debug, Clone)]
pub enum RowsFrom {
    /// Always these.
    Fixed(Vec<Column>),
    /// From `format` and `schema`; the format where none is written.
    Format {
        /// As it would be written.
        default: &'static str,
        /// Columns the source adds to the format's, given its options.
        extra: fn(&Settings) -> Vec<Column>,
    },
    /// From the option `schema`.
    Schema {
        /// The columns where no schema is given; none: it must be given.
        default: Option<Vec<Column>>,
        /// Columns the source adds, given its options.
        extra: fn(&Settings) -> Vec<Column>,
    },
}

/// A sink.
pub struct SinkEntry {
    /// The word and its texts.
    pub doc: Doc,
    /// Positional arguments.
    pub args: Vec<OptionSpec>,
    /// Its options; those every sink has are [`SINK_OPTIONS`].
    pub options: Vec<OptionSpec>,
    /// Whether it can take back rows, given its options.
    pub takes_changes: fn(&Settings) -> Changes,
    /// The format where none is written; none: it takes no format.
    pub format: Option<&'static str>,
    /// What it promises about rows delivered, in the words `check` prints, e.g. `exactly once (published by batch)`.
    pub guarantee: fn(&Settings) -> String,
    /// What makes two sinks the same target (a path, a table); none where sharing is harmless.
    pub target: fn(&Settings) -> Option<String>,
    /// The cargo feature that brings its client, where it is not in the default set.
    pub feature: Option<Feature>,
    /// What of its settings and format cannot stand as it is written.
    pub conflicts: fn(&Endpoint) -> Vec<Conflict>,
    /// Opens it.
    pub open: Open<dyn Sink>,
}

impl SinkEntry {
    /// For the field `open`.
    pub fn by(
        open: impl Fn(&Endpoint) -> Result<Box<dyn Sink>, NotRunnable> + Send + Sync + 'static,
    ) -> Open<dyn Sink> {
        Arc::new(open)
    }
}

/// Whether a sink can take back rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Only rows that stay.
    AppendOnly,
    /// Rows that come and go, as they are (a console, a change log).
    Any,
    /// Updates by these columns; the key must be known to be unique.
    ByKey(Vec<String>),
}

/// What an [`Endpoint`] is opened by.
#[derive(Debug, Clone, PartialEq)]
pub enum EndpointEntry {
    /// A source or a table.
    Source(Arc<SourceEntry>),
    /// A sink.
    Sink(Arc<SinkEntry>),
}

/// A checked source, table or sink, as its `open` gets it.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The name the user gave (a source, a table) or the stream a sink reads.
    pub name: String,
    /// The entry's word.
    pub word: String,
    /// The entry, which opens it.
    pub entry: EndpointEntry,
    /// Arguments and options.
    pub settings: Settings,
    /// The format and its options, where the entry takes one.
    pub format: Option<FormatCall>,
    /// The rows that come out of a source or go into a sink.
    pub schema: crate::model::Schema,
    /// Whether rows take back earlier ones: the last column ([`OP`](crate::plan::edge::OP)) says which come and which go.
    pub changes: bool,
    /// The pipeline it belongs to, by its name.
    pub pipeline: String,
    /// Relative paths start here: the folder of the file that declares it.
    pub base: std::path::PathBuf,
}

/// A format with its options.
#[derive(Debug, Clone, PartialEq)]
pub struct FormatCall {
    /// The entry.
    pub entry: Arc<FormatEntry>,
    /// Its arguments and options.
    pub settings: Settings,
}

/// A format of bytes.
pub struct FormatEntry {
    /// The word and its texts.
    pub doc: Doc,
    /// What stands in parentheses: `regex(r"...")`.
    pub args: Vec<OptionSpec>,
    /// Options it adds to its source's or sink's.
    pub options: Vec<OptionSpec>,
    /// Its columns where no schema is given; none: a schema must be given.
    pub columns: fn(&Settings) -> Option<Vec<Column>>,
    /// Refuses columns it cannot hold: the type's place and the reason.
    pub accepts: fn(&Type) -> Result<(), String>,
    /// Whether sources read it and sinks write it.
    pub directions: Directions,
    /// What its records are like, given its options.
    pub records: fn(&Settings) -> Records,
    /// What of its options cannot stand as it is written.
    pub conflicts: fn(&FormatUse<'_>) -> Vec<Conflict>,
    /// Finds the columns of samples; none where it has columns of its own or nothing can be seen.
    pub infer: Option<Infer>,
    /// Makes the reader and writer.
    pub open: OpenFormat,
}

/// Makes the reader and writer of a format for rows of that schema.
pub type OpenFormat = fn(&FormatCall, &crate::model::Schema) -> Result<Box<dyn FormatCodec>, NotRunnable>;

/// Which ways a format goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directions {
    /// Sources only.
    In,
    /// Sinks only.
    Out,
    /// Both.
    Both,
}

/// What can happen to a row in a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A value for every row.
    Total,
    /// Null where it cannot be computed, so the result is nullable.
    NullOnFailure,
    /// May fail for a row: `??` or `?` must say what happens then.
    Fallible,
}

/// What a result depends on besides the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stability {
    /// Nothing.
    Pure,
    /// The recorded batch time (`now()`): the same when a batch is run again.
    Batch,
    /// Chance: another result each time.
    Volatile,
}

/// A scalar function.
pub struct FunctionEntry {
    /// The word and its texts.
    pub doc: Doc,
    /// The group it is listed in: `string`, `math`, `date` ...
    pub group: &'static str,
    /// What can happen to a row.
    pub failure: Failure,
    /// For fallible ones: whether the types and constants of a call rule a failure out (`round` of a float).
    pub settled: fn(&[Argument<'_>]) -> bool,
    /// What it depends on.
    pub stability: Stability,
    /// What computes it.
    pub body: FunctionBody,
    /// Finds the overload: what the arguments must be cast to and what comes out.
    /// `Err` is what is wrong with the arguments, as the end of "function `f` ...".
    pub resolve: fn(&FunctionEntry, &[Argument<'_>]) -> Result<Signature, String>,
}

/// What computes a function.
#[derive(Debug, Clone)]
pub enum FunctionBody {
    /// A kernel over columns.
    Scalar(Arc<ScalarUDF>),
    /// One that takes lambdas.
    HigherOrder(Arc<dyn HigherOrderBody>),
    /// A shorter way to write a node, given the arguments of the types they were resolved to. Such a call is
    /// lazy where its node is: `if` evaluates the branch that is taken.
    Shorthand(fn(&[TypedExpr]) -> Node),
}

/// A function that takes lambdas; what DataFusion's own trait leaves to its planner.
pub trait HigherOrderBody: fmt::Debug + Send + Sync {
    /// The types of each lambda's parameters, given the types of the plain arguments (`None` where a lambda stands).
    fn parameters(&self, args: &[Option<Slot>]) -> Result<Vec<Vec<Slot>>, String>;
    /// The DataFusion function that evaluates it.
    fn udf(&self) -> Arc<HigherOrderUDF>;
}

/// An argument as overloads see it.
#[derive(Debug, Clone)]
pub struct Argument<'a> {
    /// Its type; a lambda's is that of its result.
    pub slot: Slot,
    /// Its value, where it is a constant.
    pub constant: Option<&'a ScalarValue>,
    /// Whether it is a lambda.
    pub lambda: bool,
}

/// For functions whose calls are never safer than the function.
pub fn unsettled(_: &[Argument<'_>]) -> bool {
    false
}

/// The overload that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// What each argument is cast to; these casts never fail.
    pub args: Vec<Type>,
    /// What comes out.
    pub result: Slot,
}

/// An aggregate function.
pub struct AggregateEntry {
    /// The word and its texts.
    pub doc: Doc,
    /// The group it is listed in.
    pub group: &'static str,
    /// The accumulator.
    pub udf: Arc<AggregateUDF>,
    /// Partial results can be merged: pre-aggregation before a shuffle, windows from panes.
    pub mergeable: bool,
    /// A leaving value can be subtracted without rounding.
    pub invertible: bool,
    /// The result depends on the order of rows.
    pub ordered: bool,
    /// Finds the overload.
    pub resolve: fn(&AggregateEntry, &[Argument<'_>]) -> Result<Signature, String>,
}

/// A window: `over word(...)`.
pub struct WindowEntry {
    /// The word and its texts.
    pub doc: Doc,
    /// Positional arguments, then labelled ones (`every`, `gap`, `start`, `zone`), which have `required` set by need.
    pub args: Vec<OptionSpec>,
    /// Labelled arguments.
    pub labels: Vec<OptionSpec>,
    /// Makes the window, or says what is wrong with it.
    pub plan: fn(&Settings) -> Result<crate::plan::seams::Window, String>,
}

/// Options of every source, whatever it is; an entry's own option of the same name takes its place, and `format`
/// is one only where [`RowsFrom::Format`] says so.
pub const SOURCE_OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional("format", OptionKind::Format, "how bytes become rows"),
    OptionSpec::optional("schema", OptionKind::Schema, "the columns and their types; `infer` finds them in files"),
    OptionSpec::optional("time", OptionKind::Column, "the column of event time"),
    OptionSpec::optional("watermark", OptionKind::Duration, "how late rows may come behind the newest event time"),
    OptionSpec::optional(
        "idle",
        OptionKind::Duration,
        "after how long without rows the source no longer holds back the watermark",
    ),
    OptionSpec::optional("max_rows", OptionKind::Integer { min: 1, max: i64::MAX }, "at most so many rows a batch"),
    OptionSpec::optional("max_bytes", OptionKind::Size, "at most so many bytes a batch"),
    OptionSpec::optional(
        "on_change",
        OptionKind::Symbol(SOURCE_ON_CHANGE),
        "what a saved edit does that makes another source of it; before what the pipeline says",
    ),
];

/// What a saved edit does with state that it gives another meaning.
pub const ON_CHANGE: &[(&str, &str)] = &[
    ("keep", "it goes on with what it has, where the layout is the same"),
    ("reset", "it is put aside and begins anew"),
    ("drain", "windows that are open end by the old text, later ones go by the new; where that cannot be, it waits"),
];

/// Options of every stage that remembers something.
pub const STATE_OPTIONS: &[OptionSpec] = &[OptionSpec::optional(
    "on_change",
    OptionKind::Symbol(ON_CHANGE),
    "what a saved edit does with its state when that would mean something else; before what the pipeline says",
)];

const SOURCE_ON_CHANGE: &[(&str, &str)] =
    &[("keep", "it is read on from its old positions"), ("reset", "it starts as the text says")];

/// Options of every table, beside those of a source.
pub fn table_options() -> Vec<OptionSpec> {
    const WHEN: &[(&str, &str)] =
        &[("on_change", "when what it is read from has changed"), ("never", "only at the start")];
    let kind = OptionKind::AnyOf(vec![OptionKind::Symbol(WHEN), OptionKind::Duration]);
    vec![OptionSpec::with_default(
        "refresh",
        kind,
        "on_change",
        "when it is read anew; takes effect between two batches",
    )]
}

/// Options of every sink, whatever it is; `format` only where [`SinkEntry::format`] says so.
pub const SINK_OPTIONS: &[OptionSpec] = &[
    OptionSpec::optional("format", OptionKind::Format, "how rows become bytes"),
    OptionSpec::with_default(
        "retries",
        OptionKind::Integer { min: 0, max: 1_000_000 },
        "10",
        "how often a delivery is tried again",
    ),
    OptionSpec::with_default(
        "deadline",
        OptionKind::Duration,
        "5m",
        "after how long a delivery that keeps failing stops the pipeline",
    ),
];

/// Every word a pipeline may use.
#[derive(Default, Clone)]
pub struct Catalog {
    /// In the order they are listed.
    pub stages: Vec<Arc<StageEntry>>,
    /// In the order they are listed.
    pub sources: Vec<Arc<SourceEntry>>,
    /// In the order they are listed.
    pub sinks: Vec<Arc<SinkEntry>>,
    /// In the order they are listed.
    pub formats: Vec<Arc<FormatEntry>>,
    /// In the order they are listed.
    pub windows: Vec<Arc<WindowEntry>>,
    /// By name.
    pub functions: Vec<Arc<FunctionEntry>>,
    /// By name.
    pub aggregates: Vec<Arc<AggregateEntry>>,
    /// What was inferred of sources; the same in every clone.
    pub inferred: Inferred,
}

/// An entry that can be looked up and listed.
pub trait Entry {
    /// Its word and texts.
    fn doc(&self) -> &Doc;
}

macro_rules! entries {
    ($($entry:ty),* $(,)?) => {$(
        impl Entry for $entry {
            fn doc(&self) -> &Doc {
                &self.doc
            }
        }
        impl fmt::Debug for $entry {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.doc.name)
            }
        }
        impl PartialEq for $entry {
            fn eq(&self, other: &Self) -> bool {
                self.doc.name == other.doc.name
            }
        }
    )*};
}
entries!(StageEntry, SourceEntry, SinkEntry, FormatEntry, WindowEntry, FunctionEntry, AggregateEntry);

/// The entry of that word or alias.
pub fn find<'a, E: Entry>(entries: &'a [Arc<E>], word: &str) -> Option<&'a Arc<E>> {
    let by_name = entries.iter().find(|e| e.doc().name == word);
    by_name.or_else(|| entries.iter().find(|e| e.doc().aliases.iter().any(|a| a == word)))
}
