//! `top 3 by amount desc per category`: the first rows in an order, of all or of each key.

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;
use millstream_dsl::ast;

use crate::model::Schema;
use crate::operators::gathering::{gather, gathering};
use crate::operators::keys::KeyTable;
use crate::operators::ordering::Ordering;
use crate::operators::values::{Values, take_batch};
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::expr::SortKey;
use crate::plan::operator::{BatchTime, Distribution, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Operator, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// What `top` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new(
        "top",
        "keeps the first rows of each batch in an order",
        "top N by EXPRESSION [asc], ... [per KEY, ...]",
    )
    .details(
        "The largest first, unless `asc` is written; nulls last. Of rows that compare equal the earlier ones are \
             kept. With `per` so many rows of each key, the keys in the order of their first appearance. \
             The other rows are counted as filtered.",
    )
    .example("top 10 by amount")
    .example("top 3 by amount desc, ts asc per category")
    .alias("topN")
    .alias("takeOrdered")
    .alias("rank");
    let clauses = vec![
        ClauseSpec::required("by", "what is compared, the most important first"),
        ClauseSpec::optional("per", "the columns each of whose values gets its own top"),
    ];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1, names: Names::Never },
        clauses,
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let scope = input::scope(call, ctx);
    let count = ctx.whole_number(&call.stage.args.first()?.value, 1);
    let (items, _) = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    })?;
    let keys = ctx.order(&items.iter().map(largest_first).collect::<Vec<_>>(), &scope);
    let per = call.clause(|kind| match kind {
        ast::ClauseKind::Per(keys) => Some(keys),
        _ => None,
    });
    let mut columns = Vec::new();
    for key in per.iter().flat_map(|(keys, _)| keys.iter()).filter_map(|key| ctx.column(key, &scope)) {
        if !columns.contains(&key) {
            columns.push(key);
        }
    }
    let edge = ctx.input();
    let out = carry::carry(edge, carry::all(&edge.schema));
    let count = usize::try_from(count?).unwrap_or(usize::MAX);
    let operator = Top { count, keys, per: columns, input: edge.schema.clone(), blockwise: false };
    Some(input::passing(call, Box::new(operator), out))
}

/// Who says `top 3 by amount` means the largest, and no nulls.
fn largest_first(item: &ast::SortItem) -> ast::SortItem {
    let direction = item.direction.or(Some(ast::Direction::Descending));
    ast::SortItem { direction, nulls: item.nulls.or(Some(ast::Nulls::Last)), ..item.clone() }
}

#[derive(Debug, Clone)]
struct Top {
    count: usize,
    keys: Vec<SortKey>,
    /// Positions of the columns each of whose values gets its own top.
    per: Vec<usize>,
    input: Schema,
    /// Only thins out blocks, before rows are brought together.
    blockwise: bool,
}

impl Operator for Top {
    fn word(&self) -> &'static str {
        "top"
    }

    fn explain(&self) -> String {
        let per: Vec<_> = self.per.iter().map(|i| self.input.columns[*i].name.as_str()).collect();
        let per = if per.is_empty() { String::new() } else { format!(" per {}", per.join(", ")) };
        let blockwise = if self.blockwise { " of each block" } else { "" };
        format!("top {} by {}{per}{blockwise}", self.count, show::order(&self.keys))
    }

    fn properties(&self) -> Properties {
        let distribution = match (self.blockwise, self.per.is_empty()) {
            (true, _) => Distribution::Any,
            (false, true) => Distribution::Single,
            (false, false) => Distribution::ByKey(vec![self.per.clone()]),
        };
        let values = || self.keys.iter().map(|k| &k.value);
        let mut reads = show::columns_read(values());
        reads.extend(&self.per);
        Properties {
            mergeable: !self.blockwise,
            deterministic: show::deterministic(values()),
            order_matters: true,
            reads: Some(reads),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::gathering(distribution)
        }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        let keys = self.keys.iter().map(|key| SortKey { value: f(&key.value), ..key.clone() }).collect();
        Some(Box::new(Top { keys, ..self.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let values = Values::new(self.keys.iter().map(|k| &k.value), &self.input)?;
        let schema = self.input.to_arrow();
        let task = TopTask { of: self.clone(), values, schema: schema.clone() };
        if self.blockwise {
            return Ok(Task::Rows(Box::new(task)));
        }
        Ok(gathering(schema, move |inputs, batch| task.best(&inputs.into_iter().flatten().collect::<Vec<_>>(), batch)))
    }

    fn halves(&self) -> Option<(Box<dyn Operator>, Box<dyn Operator>)> {
        let blockwise = Top { blockwise: true, ..self.clone() };
        (!self.blockwise)
            .then(|| (Box::new(blockwise) as Box<dyn Operator>, Box::new(self.clone()) as Box<dyn Operator>))
    }
}

struct TopTask {
    of: Top,
    values: Values,
    schema: SchemaRef,
}

impl TopTask {
    fn best(&self, blocks: &[RecordBatch], batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let gathered = gather(&self.values, &self.schema, blocks, batch)?;
        let kept = self.chosen(&gathered.rows, &gathered.columns)?;
        let filtered = gathered.rows.num_rows() - kept.len();
        let mut rows = vec![(Port::Out, take_batch(&gathered.rows, &kept)?)];
        rows.extend(gathered.bad);
        Ok(Evaluated { rows, filtered, ..Evaluated::default() })
    }

    /// The rows to keep: key by key, each in the order asked for.
    fn chosen(&self, rows: &RecordBatch, compared: &[ArrayRef]) -> Result<UInt32Array, TaskError> {
        let order = Ordering::new(&self.of.keys)?.sorted(compared)?;
        if self.of.per.is_empty() {
            return Ok(order.slice(0, order.len().min(self.of.count)));
        }
        let columns: Vec<_> = self.of.per.iter().map(|i| rows.column(*i).clone()).collect();
        let types: Vec<_> = columns.iter().map(|c| c.data_type().clone()).collect();
        let mut keys = KeyTable::new(&types)?;
        let numbers = keys.assign(&columns)?;
        let mut best: Vec<Vec<u32>> = vec![Vec::new(); keys.len()];
        for row in order.values() {
            let of_key = &mut best[numbers[*row as usize]];
            if of_key.len() < self.of.count {
                of_key.push(*row);
            }
        }
        Ok(UInt32Array::from(best.concat()))
    }
}

impl RowTask for TopTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        self.best(std::slice::from_ref(block), batch)
    }
}
