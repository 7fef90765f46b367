//! `drop a, b`: the rows without some columns.

use millstream_dsl::Diagnostic;

use crate::model::Schema;
use crate::operators::projection::{Projection, repeat, repeated};
use crate::operators::{carry, input};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::operator::{NotRunnable, Task};
use crate::plan::{Doc, Operator, Planned, Properties, StageContext, StageEntry, TypedExpr};

/// What `drop` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("drop", "leaves out columns", "drop COLUMN, ...")
        .details("Drops columns, never rows: rows are left out with `where`.")
        .example("drop internal_id, tags")
        .alias("dropColumns")
        .alias("remove");
    StageEntry {
        doc,
        arity: Arity { min: 1, max: usize::MAX, names: Names::Never },
        clauses: vec![],
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let scope = input::scope(call, ctx);
    let edge = ctx.input().clone();
    let op = carry::op_column(&edge).and_then(|c| c.from);
    let mut dropped = Vec::new();
    for arg in &call.stage.args {
        let Some(index) = ctx.column(&arg.value, &scope) else { continue };
        if Some(index) == op {
            let problem = Diagnostic::error("changes-not-accepted", arg.value.at.0, "column `op` cannot be dropped")
                .label("says which rows are taken back")
                .help("give the aggregate a scope whose results are final:\n  over tumbling(1m)");
            ctx.report(problem);
        } else {
            dropped.push(index);
        }
    }
    let kept: Vec<_> = (0..edge.schema.columns.len()).filter(|i| !dropped.contains(i)).collect();
    if kept.is_empty() {
        let problem = Diagnostic::error("wrong-argument", call.stage.at.0, "stage `drop` leaves no column")
            .help("keep at least one column");
        ctx.report(problem);
        return None;
    }
    let all = carry::all(&edge.schema);
    let out = carry::carry(&edge, kept.iter().map(|i| all[*i].clone()).collect());
    let repeated = repeat(&edge.schema, call.stage.at.0);
    let operator = Drop {
        names: dropped.iter().map(|i| edge.schema.columns[*i].name.clone()).collect(),
        kept: kept.iter().map(|i| repeated[*i].clone()).collect(),
        output: out.schema.clone(),
        input: edge.schema,
    };
    Some(input::passing(call, Box::new(operator), out))
}

#[derive(Debug, Clone)]
struct Drop {
    names: Vec<String>,
    kept: Vec<TypedExpr>,
    output: Schema,
    input: Schema,
}

impl Operator for Drop {
    fn word(&self) -> &'static str {
        "drop"
    }

    fn explain(&self) -> String {
        format!("drop {}", self.names.join(", "))
    }

    fn properties(&self) -> Properties {
        Properties { repeats: Some(repeated(&self.kept)), ..Properties::row_wise(Vec::new()) }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(Drop { kept: self.kept.iter().map(f).collect(), ..self.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Rows(Box::new(Projection::new(&self.kept, &self.output, &self.input)?)))
    }
}
