//! Rows from a program into a pipeline: fitted to the declared columns, from any thread.

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::engine::Inlet;
use crate::formats::conform::together;

/// Gives rows to one input, from any thread.
#[derive(Debug, Clone)]
pub struct Feeder {
    pub(super) name: String,
    pub(super) given: Given,
    pub(super) inlet: Inlet,
}

/// What is known of an input that a program fills.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// As rows must be.
    pub(super) columns: SchemaRef,
    /// How many bytes may wait, where the text says so.
    pub(super) buffer: Option<usize>,
}

impl Feeder {
    /// Gives rows, like [`Running::give`](super::Running::give); waits while more than the option `buffer` allows
    /// wait for a batch.
    pub fn give(&self, rows: &RecordBatch) -> Result<(), NotGiven> {
        let rows = self.fitting(rows)?;
        if !self.inlet.wait_for_room(self.given.buffer.unwrap_or(usize::MAX)) {
            return Err(self.not("the pipeline is no more".into()));
        }
        self.inlet.give(vec![rows]);
        Ok(())
    }

    /// Says that no more rows will come. A pipeline whose inputs have all come to their end ends.
    pub fn end(&self) {
        self.inlet.end();
    }

    /// The declared columns, found by name and cast.
    pub(super) fn fitting(&self, rows: &RecordBatch) -> Result<RecordBatch, NotGiven> {
        let (fitting, bad) = together(rows, &self.given.columns).map_err(|why| self.not(why))?;
        match bad.first() {
            Some(first) => Err(self.not(format!("row {} has {}", first.line + 1, first.reason))),
            None => Ok(fitting),
        }
    }

    fn not(&self, why: String) -> NotGiven {
        NotGiven { name: self.name.clone(), why }
    }
}

/// Rows that an input did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotGiven {
    /// The input.
    pub name: String,
    /// Why, in a sentence.
    pub why: String,
}

impl fmt::Display for NotGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` was given no rows: {}", self.name, self.why)
    }
}

impl std::error::Error for NotGiven {}
