//! `meter seen = count()`: the user's own counters and gauges; rows pass untouched. Typing is here; what runs in `task`.

mod task;

use millstream_dsl::Diagnostic;

use crate::model::{Schema, Type};
use crate::operators::groups::Grouping;
use crate::operators::meter::task::MeterTask;
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::memory::{Fact, Memory};
use crate::plan::operator::{Distribution, NotRunnable, Task};
use crate::plan::{Doc, Operator, Planned, Properties, StageContext, StageEntry, TypedExpr};

/// What `meter` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("meter", "measures the rows that pass, for the metrics", "meter NAME = AGGREGATE, ...")
        .details(
            "Each name becomes a metric of the pipeline with one value per batch, computed over the batch's rows. \
             A `count`, `count_if` or `sum` adds up from batch to batch (a counter), of anything else the last value \
             counts (a gauge); both go on after a restart. Without rows a counter adds nothing and a gauge stays. The \
             rows pass untouched; `run` shows the metrics at its end.",
        )
        .example("meter seen = count(), biggest = max(amount)")
        .alias("accumulator")
        .alias("observe")
        .alias("count");
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1024, names: Names::Always },
        clauses: vec![],
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let scope = input::scope(call, ctx);
    let mut calls = Vec::new();
    let mut meters = Vec::new();
    let mut names = Vec::new();
    for arg in &call.stage.args {
        let value = ctx.aggregate(&arg.value, &scope, &Schema::default(), &mut calls);
        let Some(name) = arg.names.first() else { continue };
        let ty = &value.slot.ty;
        if !ty.is_number() && !matches!(ty, Type::Unknown | Type::Bool | Type::Duration) {
            let problem =
                Diagnostic::error("wrong-operand", arg.value.at.0, format!("a metric is a number, not `{ty}`"))
                    .label(format!("is `{ty}`"))
                    .help("measure something that can be counted, e.g.:\n  meter seen = count()");
            ctx.report(problem);
        }
        names.push((name.name.clone(), name.at.0));
        meters.push((name.name.clone(), value));
    }
    input::refuse_twins(&names, ctx);
    let edge = ctx.input();
    let out = carry::carry(edge, carry::all(&edge.schema));
    let operator = Meter { grouping: Grouping { keys: Vec::new(), calls }, meters, input: edge.schema.clone() };
    Some(input::passing(call, Box::new(operator), out))
}

#[derive(Debug)]
struct Meter {
    /// What is computed of the rows of a batch, as one group.
    grouping: Grouping,
    /// Over the results.
    meters: Vec<(String, TypedExpr)>,
    input: Schema,
}

impl Operator for Meter {
    fn word(&self) -> &'static str {
        "meter"
    }

    fn explain(&self) -> String {
        let one = |(name, value): &(String, TypedExpr)| format!("{name} = {}", show::plain(value));
        format!("meter {}", self.meters.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    fn properties(&self) -> Properties {
        let inputs = self.grouping.inputs();
        Properties {
            stateful: true,
            keeps_order: true,
            order_matters: self.grouping.ordered(),
            effects: true,
            reads: Some(show::columns_read(&inputs)),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::gathering(Distribution::Any)
        }
    }

    fn memory(&self) -> Option<Memory> {
        Some(Memory { facts: vec![Fact::layout("what is measured", self.explain())], minor: true, ..Memory::default() })
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(MeterTask::new(self)?)))
    }
}

#[cfg(test)]
mod tests;
