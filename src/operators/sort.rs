//! `sort amount desc, ts`: the rows of a batch in an order.

use millstream_dsl::{Diagnostic, ast};

use crate::model::Schema;
use crate::operators::gathering::{gather, gathering};
use crate::operators::ordering::Ordering;
use crate::operators::values::{Values, take_batch};
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::expr::SortKey;
use crate::plan::operator::{Distribution, Evaluated, NotRunnable, Task};
use crate::plan::{Doc, Operator, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// What `sort` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("sort", "orders the rows of each batch", "sort by EXPRESSION [desc] [nulls first], ...")
        .details(
            "Rows that compare equal stay as they came. Nulls come last, or first under `desc`, unless said otherwise. \
             The order reaches the next stage and a sink that writes rows as they come; stages that bring rows together \
             by a key make their own.",
        )
        .example("sort by amount desc, ts")
        .alias("order")
        .alias("orderBy")
        .alias("sortBy");
    let clauses = vec![ClauseSpec::required("by", "what to sort by, the most important first")];
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
    let (items, _) = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    })?;
    for item in items.iter().filter(|item| item.name.is_some()) {
        let problem =
            Diagnostic::error("wrong-argument", item.value.at.0, "a sort key has no name").label("is only compared");
        ctx.report(problem.help("add a column first:\n  |> extend ..."));
    }
    let keys = ctx.order(items, &scope);
    let edge = ctx.input();
    let out = carry::carry(edge, carry::all(&edge.schema));
    let operator = Sort { keys, input: edge.schema.clone() };
    Some(input::passing(call, Box::new(operator), out))
}

#[derive(Debug, Clone)]
struct Sort {
    keys: Vec<SortKey>,
    input: Schema,
}

impl Operator for Sort {
    fn word(&self) -> &'static str {
        "sort"
    }

    fn explain(&self) -> String {
        format!("sort by {}", show::order(&self.keys))
    }

    fn properties(&self) -> Properties {
        let values = || self.keys.iter().map(|k| &k.value);
        Properties {
            deterministic: show::deterministic(values()),
            order_matters: true,
            reads: Some(show::columns_read(values())),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::gathering(Distribution::Single)
        }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        let keys = self.keys.iter().map(|key| SortKey { value: f(&key.value), ..key.clone() }).collect();
        Some(Box::new(Sort { keys, ..self.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let values = Values::new(self.keys.iter().map(|k| &k.value), &self.input)?;
        let keys = self.keys.clone();
        let schema = self.input.to_arrow();
        Ok(gathering(schema.clone(), move |inputs, batch| {
            let blocks: Vec<_> = inputs.into_iter().flatten().collect();
            let gathered = gather(&values, &schema, &blocks, batch)?;
            let order = Ordering::new(&keys)?.sorted(&gathered.columns)?;
            let mut rows = vec![(Port::Out, take_batch(&gathered.rows, &order)?)];
            rows.extend(gathered.bad);
            Ok(Evaluated { rows, ..Evaluated::default() })
        }))
    }
}
