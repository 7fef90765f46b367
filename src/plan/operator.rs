//! The operator ladder: an operator is a value with properties; what runs it is the weakest task that does.
//! Rules ask for properties, never for a type or a name.

use std::fmt;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;

use crate::model::Schema;
use crate::plan::context::Port;
use crate::plan::expr::TypedExpr;
use crate::plan::measure::Measured;
use crate::plan::memory::{Memory, Moved, Windows};

/// A transformation of a checked pipeline, without anything that runs.
pub trait Operator: fmt::Debug + Send + Sync {
    /// The user's word for it.
    fn word(&self) -> &'static str;

    /// One line for `plan`: the word and what it was given.
    fn explain(&self) -> String;

    /// The facts that rules and the engine go by.
    fn properties(&self) -> Properties;

    /// Makes what runs; `Err` says in a plain sentence why it cannot be run (yet).
    fn task(&self) -> Result<Task, NotRunnable>;

    /// The same work cut in two: before the shuffle and behind it. The first half runs block by block and remembers
    /// nothing; the second remembers what there is to remember.
    fn halves(&self) -> Option<(Box<dyn Operator>, Box<dyn Operator>)> {
        None
    }

    /// What it does to a block, in words that are equal for operators that do the same to equal blocks. Asked of first
    /// halves: what two have in common is done once. None where it does not say.
    fn likeness(&self) -> Option<String> {
        None
    }

    /// The same operator with each of its expressions replaced by what `f` makes of it: an equal one over the same
    /// columns. None where it cannot be rebuilt. Two operators that can are the same when their `Debug` texts are,
    /// once the spans are taken out: these must tell everything.
    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        let _ = f;
        None
    }

    /// The condition, where all it does is to hand on unchanged the rows for which one is true.
    fn filter(&self) -> Option<&TypedExpr> {
        None
    }

    /// The same filter with another condition, over rows of these columns: where there is [`Operator::filter`], so
    /// that it can be moved.
    fn filtering(&self, condition: TypedExpr, input: &Schema) -> Option<Box<dyn Operator>> {
        let _ = (condition, input);
        None
    }

    /// Where all it does is to hand on unchanged the rows of its inputs, one input after the other: for each input,
    /// where the output's columns stand in it.
    fn stacked(&self) -> Option<Vec<Vec<usize>>> {
        None
    }

    /// What it remembers, where it does. None of an operator that remembers something: all that its `Debug` text
    /// tells, so that any other text is another state.
    fn memory(&self) -> Option<Memory> {
        None
    }

    /// Where the windows lie that it makes of the time of rows, where all that it remembers belongs to such a window and
    /// what comes out says in the column `window_start` to which.
    fn windows(&self) -> Option<Box<dyn Windows>> {
        None
    }

    /// What an operator saved in whose place this one comes, as this one loads it: parts that it does not have are
    /// gone, new ones start empty.
    fn migrated(&self, moved: &Moved, tables: Vec<SavedTable>) -> Result<Vec<SavedTable>, TaskError> {
        if moved.in_place() {
            return Ok(tables);
        }
        Err(TaskError::Bug(format!("`{}` cannot take over state of other parts", self.word())))
    }
}

/// Why something that checks cannot be run: a plain sentence, lower-case, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRunnable(pub String);

impl NotRunnable {
    /// For words whose running half is not there yet.
    pub fn not_yet(kind: &str, word: &str) -> Self {
        NotRunnable(format!("{kind} `{word}` can be checked, but not run yet"))
    }
}

/// Facts about an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    /// Each row is treated by itself: can be fused, pushed, run on any block.
    pub row_wise: bool,
    /// How rows must be brought together before it runs.
    pub distribution: Distribution,
    /// It remembers rows or results between batches.
    pub stateful: bool,
    /// Rows come out in the order they came in.
    pub keeps_order: bool,
    /// What comes out depends on the order in which rows came in, not only how it is ordered: the first row of each
    /// key, the first ten, a list. It sees rows in an order that partitions do not change.
    pub order_matters: bool,
    /// It has [`Operator::halves`].
    pub mergeable: bool,
    /// The same input gives the same output, whenever it is run.
    pub deterministic: bool,
    /// It does something beside handing on rows: shows them, measures them, gives them to a program. Such an operator
    /// is left where it is and sees what it would have seen.
    pub effects: bool,
    /// Input columns that it computes something of, numbered through all inputs; none: all of them. Columns that it
    /// only hands on are in `repeats`.
    pub reads: Option<Vec<usize>>,
    /// For each column that leaves through [`Port::Out`] or a branch the input (0 is the left one) and its column that
    /// it repeats unchanged in every row; none: nothing is known, or every output column depends on everything.
    pub repeats: Option<Vec<Option<(usize, usize)>>>,
    /// How far behind its own watermark rows may come out, in microseconds: a join hands on rows that have waited.
    pub mark_lag: i64,
}

impl Properties {
    /// A deterministic row-wise operator that reads these columns.
    pub fn row_wise(reads: Vec<usize>) -> Self {
        Properties {
            row_wise: true,
            distribution: Distribution::Any,
            stateful: false,
            keeps_order: true,
            order_matters: false,
            mergeable: false,
            deterministic: true,
            effects: false,
            reads: Some(reads),
            repeats: None,
            mark_lag: 0,
        }
    }

    /// An operator that needs rows brought together, and remembers nothing.
    pub fn gathering(distribution: Distribution) -> Self {
        Properties {
            row_wise: false,
            distribution,
            stateful: false,
            keeps_order: false,
            order_matters: false,
            mergeable: false,
            deterministic: true,
            effects: false,
            reads: None,
            repeats: None,
            mark_lag: 0,
        }
    }
}

/// How rows are brought together before an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distribution {
    /// As they are.
    Any,
    /// Equal values of these columns in one place, for each input its own list.
    ByKey(Vec<Vec<usize>>),
    /// All in one place.
    Single,
    /// The rows of these inputs whole in every place, the blocks of the others dealt out in runs, so that results
    /// put together place after place are in the order of the rows.
    Beside {
        /// The inputs that are whole everywhere: tables.
        whole: Vec<usize>,
    },
    /// Into so many partitions: equal values of the columns in one place, or just evenly where there are none.
    Partitions {
        /// How many.
        count: usize,
        /// Positions of the columns.
        by: Vec<usize>,
    },
}

/// What runs an operator. The ladder: use the first that does.
pub enum Task {
    /// Block by block, without memory.
    Rows(Box<dyn RowTask>),
    /// All rows of one partition of one batch, with memory between batches.
    Keyed(Box<dyn KeyedTask>),
}

/// A row-wise operator at work. Shared between threads.
pub trait RowTask: Send + Sync {
    /// The rows that come out.
    fn schema(&self) -> SchemaRef;
    /// Computes one block.
    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError>;
}

/// What came out of one block, and what became of the rows that went in: each is exactly one of handed on, filtered,
/// taken, late or bad. Late and bad ones are counted by their ports. Rows of tables are not counted.
#[derive(Debug, Default)]
pub struct Evaluated {
    /// Rows by the port they leave through.
    pub rows: Vec<(Port, RecordBatch)>,
    /// Input rows that were filtered on purpose.
    pub filtered: usize,
    /// Input rows that went into state, or into a result of several rows.
    pub taken: usize,
    /// Input rows that went on; none: one for each row that came out the straight way or through a branch.
    pub handed: Option<usize>,
    /// Input rows that were late for some of their windows only; they are among `taken`.
    pub partly_late: usize,
    /// Keys, rows or windows that were remembered and are not any more, because their time was over.
    pub expired: usize,
    /// Rows among the bad ones that did not come in but were made here: lines of a program that are no rows.
    pub made_bad: usize,
    /// What the user measures of the batch.
    pub measured: Vec<Measured>,
}

impl Evaluated {
    /// Rows that come out the straight way in place of so many that went into them.
    pub fn taken(rows: RecordBatch, taken: usize) -> Self {
        Evaluated { rows: vec![(Port::Out, rows)], taken, handed: Some(0), ..Evaluated::default() }
    }
}

/// A stateful or gathering operator at work, for one partition.
pub trait KeyedTask: Send {
    /// The rows that come out.
    fn schema(&self) -> SchemaRef;
    /// Takes one batch: rows by input, in input order. Watermark and expiry come in the same call.
    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError>;
    /// State as logical rows, by named table. Empty where it has none.
    fn save(&self) -> Result<Vec<SavedTable>, TaskError>;
    /// Takes over what tasks of the same operator saved, perhaps as another number of partitions: rows of its own key
    /// groups and those of no group. Called once, before the first step.
    fn load(&mut self, tables: Vec<SavedTable>) -> Result<(), TaskError>;
    /// From now on it notes what changes, for [`KeyedTask::changes`].
    fn track(&mut self) {}
    /// What changed since this was last asked, or since it began to [`track`](KeyedTask::track). What was saved then,
    /// with these changes, is what it would save now.
    fn changes(&mut self) -> Result<Changes, TaskError> {
        Ok(Changes::All(self.save()?))
    }
    /// How much it remembers.
    fn held(&self) -> Held {
        Held::default()
    }
}

/// What became of a task's state.
#[derive(Debug, Clone)]
pub enum Changes {
    /// All of it as it is now, in the place of what was.
    All(Vec<SavedTable>),
    /// Rows that came, changed or went, by table; the same tables with the same columns as in what it saves.
    Some(Vec<TableChange>),
}

/// What became of the rows of a [`SavedTable`].
#[derive(Debug, Clone)]
pub struct TableChange {
    /// Which table.
    pub name: String,
    /// How many of its first columns identify a row, as in [`SavedTable::identity`].
    pub identity: usize,
    /// Identities of rows that are gone: the first columns of the table. Where these are fewer than identify a row, all
    /// rows that begin with them are gone. They go before `rows` come.
    pub gone: Vec<RecordBatch>,
    /// Rows that are new, or take the place of the row with the same identity.
    pub rows: Vec<RecordBatch>,
}

/// How much a task remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Keys, or rows where it keeps rows.
    pub keys: usize,
    /// Bytes of memory, about.
    pub bytes: usize,
    /// Bytes on disk, of what is not in memory.
    pub on_disk: usize,
}

/// State as logical Arrow rows, independent of the algorithm that keeps it. The first column is called `_group`, a
/// nullable `UInt8`: the key group of the row's key (`model::key_groups`), or null for what every partition must know
/// (each saves the same such rows, one copy is kept).
///
/// The first `identity` columns tell a row from every other row of the table, in whatever number of partitions it was
/// saved, and are the same for as long as the row is remembered, also when it was saved and loaded again: changes are
/// told by them. Nulls are equal to each other there, floats are where their bits are. Rows that have nothing of that
/// kind get a running number of their task: with the key group in front it is unique, because a group is in one
/// partition, whose numbers go on behind the largest one that was loaded.
#[derive(Debug, Clone)]
pub struct SavedTable {
    /// What it holds: `keys`, `panes` ...
    pub name: String,
    /// How many of the first columns identify a row, `_group` included.
    pub identity: usize,
    /// The rows.
    pub rows: Vec<RecordBatch>,
}

/// The recorded time of a batch, in microseconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchTime {
    /// The batch's number, from 0.
    pub number: u64,
    /// What `now()` is.
    pub micros: i64,
}

/// Time as a stateful operator sees it: lateness is tested against `mark_before`, eviction with `mark_after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepTime {
    /// The batch.
    pub batch: BatchTime,
    /// The watermark when the batch started.
    pub mark_before: Option<i64>,
    /// The watermark when it ends.
    pub mark_after: Option<i64>,
}

impl StepTime {
    /// The mark behind the last row of all: every window closes.
    pub const END: i64 = i64::MAX;
}

/// What goes wrong at run time, sorted by what the engine does next.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskError {
    /// Worth another try.
    Retry(String),
    /// The pipeline stops: `bad fail` met a bad row, a limit was reached.
    Stop(String),
    /// An assumption of ours was broken.
    Bug(String),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Retry(why) | TaskError::Stop(why) => f.write_str(why),
            TaskError::Bug(why) => write!(f, "internal error: {why}"),
        }
    }
}

impl std::error::Error for TaskError {}

/// Rows that failed, as a mask over a block; none where none did.
pub type FailureMask = Option<BooleanArray>;
