//! `limit 10`: the first rows of each batch.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::model::Schema;
use crate::operators::gathering::gathering;
use crate::operators::{carry, input};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::operator::{BatchTime, Distribution, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Operator, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// What `limit` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("limit", "keeps the first rows of each batch", "limit N")
        .details(
            "In the order the rows came in, or were sorted by the stage before. The others are counted as filtered.",
        )
        .example("limit 10")
        .alias("take")
        .alias("head");
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
    input::refuse_changes(call, ctx);
    let count = ctx.whole_number(&call.stage.args.first()?.value, 0)?;
    let edge = ctx.input();
    let out = carry::carry(edge, carry::all(&edge.schema));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let operator = Limit { count, input: edge.schema.clone(), blockwise: false };
    Some(input::passing(call, Box::new(operator), out))
}

#[derive(Debug, Clone)]
struct Limit {
    count: usize,
    input: Schema,
    /// Only cuts blocks, before rows are brought together.
    blockwise: bool,
}

impl Operator for Limit {
    fn word(&self) -> &'static str {
        "limit"
    }

    fn explain(&self) -> String {
        format!("limit {}{}", self.count, if self.blockwise { " of each block" } else { "" })
    }

    fn properties(&self) -> Properties {
        let distribution = if self.blockwise { Distribution::Any } else { Distribution::Single };
        Properties {
            keeps_order: true,
            order_matters: true,
            mergeable: !self.blockwise,
            reads: Some(Vec::new()),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::gathering(distribution)
        }
    }

    fn rewritten(&self, _: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(self.clone()))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let schema = self.input.to_arrow();
        let task = LimitTask { count: self.count, schema: schema.clone() };
        if self.blockwise {
            return Ok(Task::Rows(Box::new(task)));
        }
        Ok(gathering(schema, move |inputs, _| Ok(task.first(inputs.into_iter().flatten()))))
    }

    fn halves(&self) -> Option<(Box<dyn Operator>, Box<dyn Operator>)> {
        let blockwise = Limit { blockwise: true, ..self.clone() };
        (!self.blockwise)
            .then(|| (Box::new(blockwise) as Box<dyn Operator>, Box::new(self.clone()) as Box<dyn Operator>))
    }
}

struct LimitTask {
    count: usize,
    schema: SchemaRef,
}

impl LimitTask {
    fn first(&self, blocks: impl Iterator<Item = RecordBatch>) -> Evaluated {
        let mut left = self.count;
        let mut out = Evaluated::default();
        for block in blocks {
            let kept = block.num_rows().min(left);
            left -= kept;
            out.filtered += block.num_rows() - kept;
            if kept > 0 {
                out.rows.push((Port::Out, block.slice(0, kept)));
            }
        }
        out
    }
}

impl RowTask for LimitTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, _: &BatchTime) -> Result<Evaluated, TaskError> {
        Ok(self.first(std::iter::once(block.clone())))
    }
}
