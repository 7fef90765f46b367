//! `repartition 8`, `repartition 8 by user_id`: how the rows are spread over tasks.

use millstream_dsl::{Diagnostic, ast};

use crate::model::Schema;
use crate::operators::gathering::gathering;
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::operator::{Distribution, Evaluated, NotRunnable, Task};
use crate::plan::{Doc, Operator, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// So many partitions cost more than they bring.
const MOST: i64 = 10_000;

/// What `repartition` is.
pub fn entry() -> StageEntry {
    let doc =
        Doc::new("repartition", "spreads the rows of each batch over so many tasks", "repartition N [by COLUMN, ...]")
            .details(
                "Rows are spread evenly, or with `by` so that equal values are together. Results never depend on it; \
             `repartition 1` brings all rows together, e.g. before a sink that should write one file.",
            )
            .example("repartition 8 by user_id")
            .alias("coalesce")
            .alias("partitionBy")
            .alias("shuffle");
    let clauses = vec![ClauseSpec::optional("by", "columns whose equal values are to be together")];
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
    let scope = input::scope(call, ctx);
    let count = ctx.whole_number(&call.stage.args.first()?.value, 1);
    if count.is_some_and(|count| count > MOST) {
        let at = call.stage.args[0].value.at.0;
        let problem = Diagnostic::error("wrong-argument", at, "that many partitions help nobody")
            .label(format!("more than {MOST}"))
            .help("take a few for each core:\n  repartition 64");
        ctx.report(problem);
        return None;
    }
    let by = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    });
    let by = by.map(|(items, _)| input::key_columns(items, &scope, ctx)).unwrap_or_default();
    let edge = ctx.input();
    let out = carry::carry(edge, carry::all(&edge.schema));
    let count = usize::try_from(count?).unwrap_or(usize::MAX);
    Some(input::passing(call, Box::new(Repartition { count, by, input: edge.schema.clone() }), out))
}

#[derive(Debug, Clone)]
struct Repartition {
    count: usize,
    by: Vec<usize>,
    input: Schema,
}

impl Operator for Repartition {
    fn word(&self) -> &'static str {
        "repartition"
    }

    fn explain(&self) -> String {
        let names: Vec<_> = self.by.iter().map(|i| self.input.columns[*i].name.clone()).collect();
        format!("repartition {}{}", self.count, show::by(&names))
    }

    fn properties(&self) -> Properties {
        let distribution = Distribution::Partitions { count: self.count, by: self.by.clone() };
        Properties {
            reads: Some(self.by.clone()),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::gathering(distribution)
        }
    }

    fn rewritten(&self, _: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(self.clone()))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        // The work is done by who brings the rows together.
        Ok(gathering(self.input.to_arrow(), |inputs, _| {
            let rows = inputs.into_iter().flatten().map(|block| (Port::Out, block)).collect();
            Ok(Evaluated { rows, ..Evaluated::default() })
        }))
    }
}
