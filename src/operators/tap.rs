//! `tap`, `tap 10`: shows rows in the log on their way, and hands all of them on.

use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;

use crate::model::Schema;
use crate::operators::values::bug;
use crate::operators::{carry, input};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Operator, Planned, Port, Properties, StageContext, StageEntry};

/// How many rows are shown where the text does not say.
const SHOWN: usize = 20;

/// What `tap` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("tap", "shows rows on their way and hands all of them on", "tap [N]")
        .details(
            "The first N rows of each batch (20 where not written) appear in the log. For looking, not for output.",
        )
        .example("tap 10")
        .alias("show")
        .alias("print")
        .alias("pprint")
        .alias("peek");
    StageEntry {
        doc,
        arity: Arity { min: 0, max: 1, names: Names::Never },
        clauses: vec![],
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let shown = match call.stage.args.first() {
        Some(arg) => usize::try_from(ctx.whole_number(&arg.value, 1)?).unwrap_or(usize::MAX),
        None => SHOWN,
    };
    let edge = ctx.input();
    let out = carry::carry(edge, carry::all(&edge.schema));
    Some(input::passing(call, Box::new(Tap { shown, input: edge.schema.clone() }), out))
}

#[derive(Debug)]
struct Tap {
    shown: usize,
    input: Schema,
}

impl Operator for Tap {
    fn word(&self) -> &'static str {
        "tap"
    }

    fn explain(&self) -> String {
        format!("tap {}", self.shown)
    }

    fn properties(&self) -> Properties {
        Properties {
            effects: true,
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::row_wise((0..self.input.columns.len()).collect())
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let schema = self.input.to_arrow();
        Ok(Task::Rows(Box::new(TapTask {
            shown: self.shown,
            schema,
            batch: AtomicU64::new(0),
            spent: AtomicU64::new(0),
        })))
    }
}

/// Shows rows until the batch has shown enough. Which block comes first is up to the threads; nothing depends on it.
struct TapTask {
    shown: usize,
    schema: SchemaRef,
    /// The batch that `spent` is about, counted from 1.
    batch: AtomicU64,
    spent: AtomicU64,
}

impl TapTask {
    /// How many rows of a block to show.
    fn allowance(&self, rows: usize, batch: &BatchTime) -> usize {
        if self.batch.swap(batch.number + 1, Ordering::Relaxed) != batch.number + 1 {
            self.spent.store(0, Ordering::Relaxed);
        }
        let before = self.spent.fetch_add(rows as u64, Ordering::Relaxed);
        let left = (self.shown as u64).saturating_sub(before);
        rows.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

impl RowTask for TapTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let shown = self.allowance(block.num_rows(), batch);
        if shown > 0 {
            let table = pretty_format_batches(&[block.slice(0, shown)]).map_err(bug)?;
            tracing::info!(batch = batch.number, "tap\n{table}");
        }
        Ok(Evaluated { rows: vec![(Port::Out, block.clone())], ..Evaluated::default() })
    }
}
