//! `rename old as new`: the rows with other names for some columns.

use millstream_dsl::Diagnostic;

use crate::model::Schema;
use crate::operators::projection::{Projection, repeat};
use crate::operators::{carry, input};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::operator::{NotRunnable, Task};
use crate::plan::{Doc, Operator, Planned, Properties, StageContext, StageEntry, TypedExpr};

/// What `rename` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("rename", "gives columns other names", "rename COLUMN as NAME, ...")
        .details("Columns stay where they stand. Also takes the second of two columns that collide in a join.")
        .example("rename name as user_name, ts as ordered_at")
        .alias("withColumnRenamed")
        .alias("with_column_renamed");
    StageEntry {
        doc,
        arity: Arity { min: 1, max: usize::MAX, names: Names::Always },
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
    let mut columns = carry::all(&edge.schema);
    let mut spans = vec![call.stage.at.0; columns.len()];
    let mut pairs = Vec::new();
    for arg in &call.stage.args {
        let (Some(index), Some(name)) = (ctx.column(&arg.value, &scope), arg.names.first()) else { continue };
        if Some(index) == op {
            let problem = Diagnostic::error("changes-not-accepted", arg.value.at.0, "column `op` cannot be renamed")
                .label("says which rows are taken back");
            ctx.report(problem);
            continue;
        }
        pairs.push((edge.schema.columns[index].name.clone(), name.name.clone()));
        columns[index].column.name.clone_from(&name.name);
        spans[index] = name.at.0;
    }
    let mut names: Vec<_> = columns.iter().map(|c| c.column.name.clone()).zip(spans).collect();
    // What was renamed is to blame, not what always had the name.
    names.sort_by_key(|(_, at)| *at != call.stage.at.0);
    input::refuse_twins(&names, ctx);
    let out = carry::carry(&edge, columns);
    let operator = Rename { pairs, output: out.schema.clone(), input: edge.schema };
    Some(input::passing(call, Box::new(operator), out))
}

#[derive(Debug, Clone)]
struct Rename {
    /// Old and new names.
    pairs: Vec<(String, String)>,
    output: Schema,
    input: Schema,
}

impl Operator for Rename {
    fn word(&self) -> &'static str {
        "rename"
    }

    fn explain(&self) -> String {
        let pairs: Vec<_> = self.pairs.iter().map(|(old, new)| format!("{old} as {new}")).collect();
        format!("rename {}", pairs.join(", "))
    }

    fn properties(&self) -> Properties {
        Properties { repeats: Some(carry::repeats_all(&self.input)), ..Properties::row_wise(Vec::new()) }
    }

    fn rewritten(&self, _: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(self.clone()))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let repeated = repeat(&self.input, millstream_dsl::Span::default());
        Ok(Task::Rows(Box::new(Projection::new(&repeated, &self.output, &self.input)?)))
    }
}
