//! `distinct`, `distinct by user_id`: equal rows of a batch once.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, SchemaRef};
use millstream_dsl::ast;

use crate::model::Schema;
use crate::operators::gathering::gathering;
use crate::operators::keys::KeyTable;
use crate::operators::values::take_batch;
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::operator::{BatchTime, Distribution, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Operator, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// What `distinct` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("distinct", "keeps the first of equal rows of each batch", "distinct [by COLUMN, ...]")
        .details(
            "With `by` rows are equal when these columns are. Looks at one batch only; across batches rows are told \
             apart with `dedupe`. The others are counted as filtered.",
        )
        .example("distinct")
        .example("distinct by user_id, page")
        .alias("unique");
    let clauses = vec![ClauseSpec::optional("by", "the columns that make rows equal; all where not written")];
    StageEntry {
        doc,
        arity: Arity { min: 0, max: 0, names: Names::Never },
        clauses,
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let scope = input::scope(call, ctx);
    let by = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    });
    let key = match by {
        Some((items, _)) => input::key_columns(items, &scope, ctx),
        None => (0..ctx.input().schema.columns.len()).collect(),
    };
    let edge = ctx.input();
    let mut out = carry::carry(edge, carry::all(&edge.schema));
    let names: Vec<_> = key.iter().map(|i| edge.schema.columns[*i].name.clone()).collect();
    if !names.is_empty() && !out.unique.contains(&names) {
        out.unique.push(names);
    }
    let operator = Distinct { key, all: by.is_none(), input: edge.schema.clone(), blockwise: false };
    Some(input::passing(call, Box::new(operator), out))
}

#[derive(Debug, Clone)]
struct Distinct {
    /// Positions of the columns that make rows equal.
    key: Vec<usize>,
    /// All of them.
    all: bool,
    input: Schema,
    /// Only thins out blocks, before rows are brought together.
    blockwise: bool,
}

impl Operator for Distinct {
    fn word(&self) -> &'static str {
        "distinct"
    }

    fn explain(&self) -> String {
        let names: Vec<_> = self.key.iter().map(|i| self.input.columns[*i].name.clone()).collect();
        let by = if self.all { String::new() } else { show::by(&names) };
        format!("distinct{by}{}", if self.blockwise { " of each block" } else { "" })
    }

    fn properties(&self) -> Properties {
        let distribution = if self.blockwise { Distribution::Any } else { Distribution::ByKey(vec![self.key.clone()]) };
        Properties {
            keeps_order: true,
            order_matters: !self.all,
            mergeable: !self.blockwise,
            reads: Some(self.key.clone()),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::gathering(distribution)
        }
    }

    fn rewritten(&self, _: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(self.clone()))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let schema = self.input.to_arrow();
        let types = self.key.iter().map(|i| schema.field(*i).data_type().clone()).collect();
        let task = DistinctTask { key: self.key.clone(), types, schema: schema.clone() };
        if self.blockwise {
            return Ok(Task::Rows(Box::new(task)));
        }
        Ok(gathering(schema, move |inputs, _| task.first(inputs.into_iter().flatten())))
    }

    fn halves(&self) -> Option<(Box<dyn Operator>, Box<dyn Operator>)> {
        let blockwise = Distinct { blockwise: true, ..self.clone() };
        (!self.blockwise)
            .then(|| (Box::new(blockwise) as Box<dyn Operator>, Box::new(self.clone()) as Box<dyn Operator>))
    }
}

struct DistinctTask {
    key: Vec<usize>,
    types: Vec<DataType>,
    schema: SchemaRef,
}

impl DistinctTask {
    fn first(&self, blocks: impl Iterator<Item = RecordBatch>) -> Result<Evaluated, TaskError> {
        let mut keys = KeyTable::new(&self.types)?;
        let mut out = Evaluated::default();
        for block in blocks {
            let columns: Vec<_> = self.key.iter().map(|i| block.column(*i).clone()).collect();
            let kept = UInt32Array::from(keys.first_of_each(&columns)?);
            out.filtered += block.num_rows() - kept.len();
            if !kept.is_empty() {
                out.rows.push((Port::Out, take_batch(&block, &kept)?));
            }
        }
        Ok(out)
    }
}

impl RowTask for DistinctTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, _: &BatchTime) -> Result<Evaluated, TaskError> {
        self.first(std::iter::once(block.clone()))
    }
}
