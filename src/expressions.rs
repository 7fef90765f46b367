//! Evaluates typed expressions over Arrow rows: DataFusion's function kernels and Arrow's, with the language's own
//! treatment of rows that fail. A failing row never fails its batch: it is found, noted and handed to `??` or to
//! the operator. Knows no operator and no text.

mod access;
mod arithmetic;
mod attempt;
mod call;
mod cast;
mod choose;
mod compare;
mod compile;
mod constant;
mod construct;
mod duration;
mod failures;
mod json;
mod lambda;
mod logic;
mod membership;
mod step;

use arrow::array::{ArrayRef, RecordBatch};

pub(crate) use compare::plain_floats;
pub use constant::constant;
pub use failures::Failures;

use crate::model::Schema;
use crate::plan::TypedExpr;
use crate::plan::operator::{BatchTime, FailureMask, NotRunnable, TaskError};
use compile::Compiler;
use step::{Rows, Step};

/// Expressions over the rows of one schema, ready to run. Shared between threads.
pub struct Compiled {
    steps: Vec<Step>,
    types: Vec<arrow::datatypes::DataType>,
}

/// What came of a block of rows.
#[derive(Debug)]
pub struct Evaluation {
    /// One column per expression, in the canonical Arrow form of its type. Failed rows hold anything.
    pub columns: Vec<ArrayRef>,
    /// Rows for which some expression failed; none where none did.
    pub failed: FailureMask,
    /// Why they did.
    pub failures: Failures,
}

impl Compiled {
    /// Makes expressions ready to run. `Err` says what cannot be run.
    pub fn new(exprs: &[TypedExpr], input: &Schema) -> Result<Self, NotRunnable> {
        let compiler = Compiler::over(input);
        let steps = exprs.iter().map(|e| compiler.step(e)).collect::<Result<_, _>>()?;
        Ok(Compiled { steps, types: exprs.iter().map(|e| e.slot.ty.to_arrow()).collect() })
    }

    /// Evaluates all of them for a block.
    pub fn eval(&self, block: &RecordBatch, time: &BatchTime) -> Result<Evaluation, TaskError> {
        let rows = Rows::of(block, time);
        let mut failures = Failures::default();
        let mut columns = Vec::with_capacity(self.steps.len());
        for (step, ty) in self.steps.iter().zip(&self.types) {
            let value = step.eval(&rows)?;
            columns.push(attempt::column(&value.data, ty, rows.count)?);
            failures.add(value.failures);
        }
        Ok(Evaluation { columns, failed: failures.mask(rows.count), failures })
    }
}

#[cfg(test)]
mod tests;
