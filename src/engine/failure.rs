//! What a run can end with, in plain sentences.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use millstream_dsl::Span;

use crate::plan::operator::TaskError;

/// A part of a plan that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where it is written.
    pub span: Span,
    /// Why, lower-case, without a full stop.
    pub message: String,
}

/// Why a run ended before its end.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineError {
    /// It was not started: everything that cannot be run.
    Refused(Vec<Refusal>),
    /// A batch failed.
    Failed {
        /// Which batch.
        batch: u64,
        /// What failed: "`where` of `counts`".
        place: String,
        /// Where that is written.
        span: Span,
        /// Why.
        error: TaskError,
    },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::Refused(all) => {
                f.write_str("the pipeline cannot be run")?;
                all.iter().try_for_each(|refusal| write!(f, "\n  {}", refusal.message))
            }
            EngineError::Failed { batch, place, error, .. } => write!(f, "batch {batch} failed at {place}: {error}"),
        }
    }
}

impl std::error::Error for EngineError {}

/// An error and the node it came from.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) node: usize,
    pub(super) error: TaskError,
}

/// Says which node an error came from.
pub(super) fn at(node: usize) -> impl Fn(TaskError) -> Failure {
    move |error| Failure { node, error }
}

/// A broken assumption with the rows it was met with, so that it can be found again.
pub(super) fn sampled(error: TaskError, rows: &RecordBatch) -> TaskError {
    const SHOWN: usize = 3;
    let TaskError::Bug(why) = error else { return error };
    let sample = rows.slice(0, rows.num_rows().min(SHOWN));
    match pretty_format_batches(&[sample]) {
        Ok(table) if rows.num_rows() > 0 => {
            TaskError::Bug(format!("{why}; the first of {} rows at hand:\n{table}", rows.num_rows()))
        }
        _ => TaskError::Bug(why),
    }
}
