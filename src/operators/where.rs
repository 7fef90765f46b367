//! `where condition`: keeps the rows for which the condition is true.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;

use crate::model::Schema;
use crate::operators::values::{Values, batch_of, bug};
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Node, Operator, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// What `where` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("where", "keeps the rows for which a condition is true", "where CONDITION")
        .details(
            "Rows for which the condition is false or null are left out, and counted as filtered. Behind \
             `where x is not null` the column `x` is never null.",
        )
        .example("where amount > 0 and category != \"test\"")
        .example("where user_id is not null")
        .alias("filter")
        .alias("having");
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1, names: Names::Never },
        clauses: vec![],
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let scope = input::scope(call, ctx);
    let condition = ctx.condition(&call.stage.args.first()?.value, &scope);
    let edge = ctx.input();
    let mut columns = carry::all(&edge.schema);
    for index in never_null(&condition) {
        columns[index].column.slot.nullable = false;
    }
    let out = carry::carry(edge, columns);
    let operator = Where { condition, input: edge.schema.clone(), output: out.schema.clone() };
    Some(input::passing(call, Box::new(operator), out))
}

/// The columns that a row must have to pass: those of `x is not null`.
fn never_null(condition: &TypedExpr) -> Vec<usize> {
    match &condition.node {
        Node::And(all) => all.iter().flat_map(never_null).collect(),
        Node::Not(not) => match &not.node {
            Node::IsNull(of) => match of.node {
                Node::Column { index, .. } => vec![index],
                _ => Vec::new(),
            },
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[derive(Debug, Clone)]
struct Where {
    condition: TypedExpr,
    input: Schema,
    /// The same columns, fewer of which may be null.
    output: Schema,
}

impl Operator for Where {
    fn word(&self) -> &'static str {
        "where"
    }

    fn explain(&self) -> String {
        format!("where {}", show::plain(&self.condition))
    }

    fn properties(&self) -> Properties {
        Properties {
            deterministic: show::deterministic([&self.condition]),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::row_wise(self.condition.columns())
        }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(Where { condition: f(&self.condition), ..self.clone() }))
    }

    fn filter(&self) -> Option<&TypedExpr> {
        Some(&self.condition)
    }

    fn filtering(&self, condition: TypedExpr, input: &Schema) -> Option<Box<dyn Operator>> {
        Some(Box::new(Where { condition, input: input.clone(), output: input.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let condition = Values::new([&self.condition], &self.input)?;
        Ok(Task::Rows(Box::new(WhereTask { condition, schema: self.output.to_arrow() })))
    }
}

struct WhereTask {
    condition: Values,
    schema: SchemaRef,
}

impl RowTask for WhereTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let computed = self.condition.eval(block, batch)?;
        let kept = filter_record_batch(&computed.rows, computed.columns[0].as_boolean()).map_err(bug)?;
        let filtered = computed.rows.num_rows() - kept.num_rows();
        let kept = batch_of(&self.schema, kept.columns().to_vec(), kept.num_rows())?;
        Ok(computed.bad.evaluated(Port::Out, kept, filtered))
    }
}
