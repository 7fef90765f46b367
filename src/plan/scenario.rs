//! Test blocks after checking: what goes in, what moves, what is expected, with every value of its column's type.

use std::path::PathBuf;

use datafusion_common::ScalarValue;
use millstream_dsl::Span;

/// A test block.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What it is called; unique in a file whose problems were heeded.
    pub name: String,
    /// Where its name stands.
    pub span: Span,
    /// In the order of the text.
    pub steps: Vec<ScenarioStep>,
}

/// One line of a test block.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioStep {
    /// What it does.
    pub action: Action,
    /// Where it stands, for messages when it fails.
    pub span: Span,
}

/// What a line does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Queues rows at a source, or makes them a table's.
    Give {
        /// The source or table.
        input: String,
        /// Each row has all columns of the input's schema, in order.
        rows: Vec<Vec<ScalarValue>>,
    },
    /// The same from a file.
    GiveFile {
        /// The source or table.
        input: String,
        /// Relative to the pipeline file.
        path: PathBuf,
    },
    /// Runs so many batches.
    Step(u64),
    /// Moves the clock by so many microseconds and runs the batches that fall due.
    Advance(i64),
    /// Steps what is queued, moves the watermark and runs the empty batch.
    AdvanceWatermark {
        /// One source's; all sources' where none.
        of: Option<String>,
        /// To when, in microseconds since 1970 UTC.
        to: i64,
    },
    /// Saves the state, starts again and loads it.
    Restart,
    /// Compares what a stream gave since it was last asked.
    Expect {
        /// The stream, side output, source or table.
        of: String,
        /// Only what that batch gave.
        batch: Option<u64>,
        /// What it must have given.
        rows: ExpectedRows,
    },
    /// Compares a counter.
    ExpectCount {
        /// Which rows are counted.
        what: Counted,
        /// The stream whose stages count, or the source, or the stream a sink reads.
        of: String,
        /// How many.
        count: u64,
    },
}

/// What a stream must have given. Only the columns that are written are compared.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpectedRows {
    /// These and no others, in any order.
    Exactly(Vec<ExpectedRow>),
    /// These among others.
    Contains(Vec<ExpectedRow>),
    /// These and no others, in this order.
    InOrder(Vec<ExpectedRow>),
    /// No row at all.
    Nothing,
}

/// Positions of columns in the stream's schema, each with the value it must have.
pub type ExpectedRow = Vec<(usize, ScalarValue)>;

/// Which rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Came in.
    In,
    /// Went on.
    Out,
    /// Left out on purpose.
    Filtered,
    /// Came too late.
    Late,
    /// Failed.
    Bad,
    /// Refused by a sink.
    Rejected,
}

impl Counted {
    /// All of them, with their spelling.
    pub const ALL: [(Counted, &'static str); 6] = [
        (Counted::In, "in"),
        (Counted::Out, "out"),
        (Counted::Filtered, "filtered"),
        (Counted::Late, "late"),
        (Counted::Bad, "bad"),
        (Counted::Rejected, "rejected"),
    ];
}
