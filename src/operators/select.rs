//! `select a, b * 2 as c`: these columns and no others.

use millstream_dsl::ast;

use crate::model::Schema;
use crate::operators::carry;
use crate::operators::projection::{Projection, computed_of, projected, repeated};
use crate::operators::{input, show};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::operator::{NotRunnable, Task};
use crate::plan::{Doc, Operator, Planned, Properties, StageContext, StageEntry, TypedExpr};

/// What `select` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("select", "hands on these columns and no others", "select EXPRESSION [as NAME], ...")
        .details(
            "A column keeps its name; another expression wants one. The names of the streams (`orders.amount`) can no \
             longer be used afterwards. Rows that update earlier ones keep their column `op`.",
        )
        .example("select user_id, amount * 2 as doubled, ts")
        .alias("map")
        .alias("project");
    StageEntry {
        doc,
        arity: Arity { min: 1, max: usize::MAX, names: Names::Optional },
        clauses: vec![],
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let scope = input::scope(call, ctx);
    let op = carry::op_column(ctx.input());
    let mut values = Vec::new();
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for arg in &call.stage.args {
        let value = ctx.expr(&arg.value, &scope);
        let name = ctx.column_name(arg);
        let column = projected(&name, &value);
        // Who names `op` gets it where it always stands: last.
        if op.as_ref() != Some(&column) {
            names.push((name, name_span(arg)));
            values.push(value);
            columns.push(column);
        }
    }
    if let Some(op) = op {
        names.insert(0, (op.column.name.clone(), input::word_span(call)));
        values.push(TypedExpr::column(op.from?, &op.column, call.stage.at.0));
        columns.push(op);
    }
    input::refuse_twins(&names, ctx);
    let edge = ctx.input();
    let mut out = carry::carry(edge, columns);
    out.qualified.clear();
    let operator = Select { values, output: out.schema.clone(), input: edge.schema.clone() };
    Some(Planned { keeps_qualifiers: false, ..input::passing(call, Box::new(operator), out) })
}

fn name_span(arg: &ast::Arg) -> millstream_dsl::Span {
    arg.names.first().map_or(arg.value.at.0, |n| n.at.0)
}

#[derive(Debug, Clone)]
struct Select {
    values: Vec<TypedExpr>,
    output: Schema,
    input: Schema,
}

impl Operator for Select {
    fn word(&self) -> &'static str {
        "select"
    }

    fn explain(&self) -> String {
        let one = |(value, name): (&TypedExpr, &str)| show::named(value, name);
        format!("select {}", self.values.iter().zip(self.output.names()).map(one).collect::<Vec<_>>().join(", "))
    }

    fn properties(&self) -> Properties {
        Properties {
            deterministic: show::deterministic(&self.values),
            repeats: Some(repeated(&self.values)),
            ..Properties::row_wise(computed_of(&self.values))
        }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(Select { values: self.values.iter().map(f).collect(), ..self.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Rows(Box::new(Projection::new(&self.values, &self.output, &self.input)?)))
    }
}
