//! Stages of a program's own: a closure over the rows of a batch (Spark's transform) or of a partition of one
//! (mapPartitions, glom).

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_dsl::Diagnostic;

use crate::model::Schema;
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::operator::{
    BatchTime, Changes, Distribution, Evaluated, KeyedTask, NotRunnable, SavedTable, StepTime, Task, TaskError,
};
use crate::plan::{Doc, Edge, Mode, Operator, Planned, Port, Properties, StageContext, StageEntry};

/// What is made of rows. `Err` says in a sentence why it cannot be done, and stops the pipeline.
type Body = Arc<dyn Fn(&[RecordBatch], &BatchTime) -> Result<Vec<RecordBatch>, String> + Send + Sync>;

/// The columns that come out, given those that come in. `Err` says what is wrong with these, as the end of
/// "stage `x` ...".
type Columns = Arc<dyn Fn(&Schema) -> Result<Schema, String> + Send + Sync>;

/// A stage that makes rows of all rows of a batch, in their order; also called for an empty batch. `columns` gives
/// the columns that come out for those that come in, or says what is wrong with these, as the end of "stage `x` ...".
/// What `body` cannot do it says in a sentence, which stops the pipeline.
pub fn batch_stage(
    name: &'static str,
    summary: &str,
    columns: impl Fn(&Schema) -> Result<Schema, String> + Send + Sync + 'static,
    body: impl Fn(&[RecordBatch], &BatchTime) -> Result<Vec<RecordBatch>, String> + Send + Sync + 'static,
) -> StageEntry {
    entry(name, summary, Distribution::Single, Arc::new(columns), Arc::new(body))
}

/// A stage that makes rows of the rows of each partition of a batch, on all cores, else like [`batch_stage`]. A
/// partition is a run of the batch's rows, and may be empty; results should not depend on where a run ends.
pub fn partition_stage(
    name: &'static str,
    summary: &str,
    columns: impl Fn(&Schema) -> Result<Schema, String> + Send + Sync + 'static,
    body: impl Fn(&[RecordBatch], &BatchTime) -> Result<Vec<RecordBatch>, String> + Send + Sync + 'static,
) -> StageEntry {
    entry(name, summary, Distribution::Beside { whole: Vec::new() }, Arc::new(columns), Arc::new(body))
}

fn entry(name: &'static str, summary: &str, distribution: Distribution, columns: Columns, body: Body) -> StageEntry {
    let plan = move |call: &StageCall<'_>, ctx: &mut dyn StageContext| {
        let schema = columns_out(call, ctx, name, &columns)?;
        let input = ctx.input();
        let time = input.time.clone().filter(|time| schema.get(&time.column) == input.schema.get(&time.column));
        let out = Edge { time, guarantee: input.guarantee, ..Edge::append(schema.clone()) };
        let operator = Own { name, distribution: distribution.clone(), schema, body: Arc::clone(&body) };
        Some(Planned {
            operator: Box::new(operator),
            out,
            keeps_qualifiers: false,
            sides: Vec::new(),
            can_be_late: false,
            span: call.stage.name.at.0,
        })
    };
    StageEntry {
        doc: Doc::new(name, summary, name),
        arity: Arity { min: 0, max: 0, names: Names::Never },
        clauses: Vec::new(),
        options: Vec::new(),
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

/// The columns that come out, unless the stage cannot take what comes in (reported).
fn columns_out(call: &StageCall<'_>, ctx: &mut dyn StageContext, name: &str, columns: &Columns) -> Option<Schema> {
    let at = call.stage.name.at.0;
    if let Mode::Changes { .. } = ctx.input().mode {
        let problem = Diagnostic::error("changes-not-accepted", at, format!("stage `{name}` does not take changes"))
            .label("works on rows that stay")
            .help("give the aggregate a scope whose results are final:\n  over tumbling(1m)\n  per batch");
        ctx.report(problem);
        return None;
    }
    match columns(&ctx.input().schema) {
        Ok(schema) => Some(schema),
        Err(why) => {
            ctx.report(Diagnostic::error("wrong-argument", at, format!("stage `{name}` {why}")));
            None
        }
    }
}

struct Own {
    name: &'static str,
    distribution: Distribution,
    schema: Schema,
    body: Body,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own({}, {:?})", self.name, self.distribution)
    }
}

impl Operator for Own {
    fn word(&self) -> &'static str {
        self.name
    }

    fn explain(&self) -> String {
        self.name.to_owned()
    }

    /// Nothing is known of the closure: it may do more than compute.
    fn properties(&self) -> Properties {
        let gathering = Properties::gathering(self.distribution.clone());
        Properties { deterministic: false, effects: true, keeps_order: true, ..gathering }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let body = Arc::clone(&self.body);
        Ok(Task::Keyed(Box::new(OwnTask { name: self.name, schema: self.schema.to_arrow(), body })))
    }
}

struct OwnTask {
    name: &'static str,
    schema: SchemaRef,
    body: Body,
}

impl KeyedTask for OwnTask {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn step(&mut self, inputs: Vec<Vec<RecordBatch>>, time: &StepTime) -> Result<Evaluated, TaskError> {
        let rows: Vec<_> = inputs.into_iter().flatten().collect();
        let taken = rows.iter().map(RecordBatch::num_rows).sum();
        let made = (self.body)(&rows, &time.batch).map_err(TaskError::Stop)?;
        let made = made.into_iter().map(|rows| Ok((Port::Out, self.declared(&rows)?)));
        let rows = made.collect::<Result<Vec<_>, TaskError>>()?;
        Ok(Evaluated { rows, taken, handed: Some(0), ..Evaluated::default() })
    }

    fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(Vec::new())
    }

    fn changes(&mut self) -> Result<Changes, TaskError> {
        Ok(Changes::Some(Vec::new()))
    }

    fn load(&mut self, _: Vec<SavedTable>) -> Result<(), TaskError> {
        Ok(())
    }
}

impl OwnTask {
    /// The rows under the declared schema, by position: a closure need not repeat which columns may be null.
    fn declared(&self, rows: &RecordBatch) -> Result<RecordBatch, TaskError> {
        RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec())
            .map_err(|e| TaskError::Stop(format!("stage `{}` gave other columns than it declares: {e}", self.name)))
    }
}
