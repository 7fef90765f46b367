//! Millstream inside a program of yours: a pipeline is loaded from its text, given rows, stepped batch by batch, and
//! its streams are read. Functions, stages, sources and sinks of your own stand in the same catalog as the built-in
//! ones, so that the checker knows them.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use millstream::library::{Pipeline, own};
//! use millstream::model::{Slot, Type};
//! use arrow::array::{AsArray, Int64Array, RecordBatch};
//! use arrow::datatypes::Int64Type;
//!
//! let mut catalog = millstream::builtins::catalog();
//! catalog.add(own::function("cents", "an amount in cents", &[("euros", Type::Int64)], Type::Int64, |args| {
//!     let euros = args[0].as_primitive::<Int64Type>();
//!     Arc::new(euros.unary::<_, Int64Type>(|n| n * 100))
//! }));
//! let pipeline = Pipeline::from_text(
//!     "pipeline shop { every: 1s }
//!      source orders = queue() { schema: { amount: int64 } }
//!      stream totals = from orders |> aggregate sum(cents(amount)) as cents per batch
//!      from totals |> into discard",
//!     &catalog,
//! )?;
//! let mut running = pipeline.start()?;
//! running.give("orders", &RecordBatch::try_from_iter([("amount", Arc::new(Int64Array::from(vec![3, 4])) as _)])?)?;
//! let batch = running.step()?;
//! assert_eq!(batch.stream("totals")[0].num_rows(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod add;
mod feeder;
mod kept;
mod mistakes;
pub mod own;
mod running;

use std::path::Path;

use millstream_dsl::Diagnostic;

use crate::check::{self, Overrides, Program};
use crate::engine::EngineError;
use crate::load;
use crate::plan::{Catalog, Plan};

pub use add::Listed;
pub use feeder::{Feeder, NotGiven};
use kept::Kept;
pub use mistakes::Mistakes;
pub use running::{Batch, Running, Start};

/// A pipeline without mistakes.
#[derive(Debug)]
pub struct Pipeline {
    plan: Plan,
    warnings: Mistakes,
    kept: Kept,
}

impl Pipeline {
    /// Reads a pipeline's text. Relative paths in it start from the current folder.
    pub fn from_text(text: &str, catalog: &Catalog) -> Result<Self, Mistakes> {
        Self::with_parameters(load::text(text), catalog, &Overrides::new())
    }

    /// Reads a file, `.stream` or `.yaml`, and what it imports.
    pub fn from_file(path: impl AsRef<Path>, catalog: &Catalog) -> Result<Self, Mistakes> {
        Self::with_parameters(load::program(path.as_ref()), catalog, &Overrides::new())
    }

    /// Checks what [`load::text`] or [`load::program`] gave, with values for its `param` statements.
    pub fn with_parameters(
        (program, mut problems): (Program, Vec<Diagnostic>),
        catalog: &Catalog,
        parameters: &Overrides,
    ) -> Result<Self, Mistakes> {
        let unreadable = program.files.is_empty();
        let kept = Kept::of(&program, parameters);
        let checked = check::check(&program, catalog, parameters);
        if !unreadable {
            problems.extend(checked.problems);
        }
        problems.sort_by_key(|problem| (problem.span().file, problem.span().start));
        let found = Mistakes { problems, sources: program.sources };
        if unreadable || found.problems.iter().any(Diagnostic::is_error) {
            return Err(found);
        }
        Ok(Pipeline { plan: checked.plan, warnings: found, kept })
    }

    /// What is suspicious, but no mistake.
    pub fn warnings(&self) -> &Mistakes {
        &self.warnings
    }

    /// The checked plan: printable, and without anything that runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Opens everything, as [`Start::default`] says.
    pub fn start(self) -> Result<Running, EngineError> {
        self.start_with(Start::default())
    }

    /// Opens everything. What cannot be run is said at once, all of it. With a `checkpoint` it goes on where the last
    /// program ended that ran this very text, and every batch is committed there; rows that were given and are in no
    /// batch yet are the program's to give again.
    pub fn start_with(self, start: Start) -> Result<Running, EngineError> {
        Running::open(self.plan, &self.kept, start)
    }
}
