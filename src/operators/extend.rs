//! `extend c = a + b`: the rows with further columns.

use crate::model::Schema;
use crate::operators::carry;
use crate::operators::projection::{Projection, computed_of, projected, repeat, repeated};
use crate::operators::{input, show};
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::edge::OP;
use crate::plan::operator::{NotRunnable, Task};
use crate::plan::{Doc, Mode, Operator, Planned, Properties, StageContext, StageEntry, TypedExpr};

/// What `extend` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("extend", "adds columns, or computes present ones anew", "extend NAME = EXPRESSION, ...")
        .details(
            "A new name becomes a column behind the others; a present one gets its value replaced where it stands. \
             Each expression sees the columns as they come in, not those that the same `extend` adds.",
        )
        .example("extend gross = net * 1.19, loud = upper(name)")
        .alias("withColumn")
        .alias("with_column")
        .alias("set")
        .alias("mapValues");
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
    let edge = ctx.input().clone();
    let mut values = repeat(&edge.schema, call.stage.at.0);
    let mut columns = carry::all(&edge.schema);
    let mut names = Vec::new();
    let op = matches!(edge.mode, Mode::Changes { .. }).then(|| values.pop().zip(columns.pop())).flatten();
    for arg in &call.stage.args {
        let value = ctx.expr(&arg.value, &scope);
        let name = ctx.column_name(arg);
        let column = projected(&name, &value);
        names.push((name, arg.names.first().map_or(arg.value.at.0, |n| n.at.0)));
        match columns.iter().position(|c| c.column.name == column.column.name) {
            Some(present) => {
                values[present] = value;
                columns[present] = column;
            }
            None => {
                values.push(value);
                columns.push(column);
            }
        }
    }
    if op.is_some() {
        names.insert(0, (OP.into(), call.stage.at.0));
    }
    input::refuse_twins(&names, ctx);
    if let Some((value, column)) = op {
        values.push(value);
        columns.push(column);
    }
    let out = carry::carry(&edge, columns);
    let operator = Extend { values, output: out.schema.clone(), input: edge.schema };
    Some(input::passing(call, Box::new(operator), out))
}

#[derive(Debug, Clone)]
struct Extend {
    /// One for each column that comes out, those that stay included.
    values: Vec<TypedExpr>,
    output: Schema,
    input: Schema,
}

impl Extend {
    /// The columns that are computed.
    fn added(&self) -> impl Iterator<Item = (&TypedExpr, &str)> {
        let stays = |(value, name): &(&TypedExpr, &str)| {
            let from = projected(name, value).from;
            from.is_none_or(|i| self.input.columns[i].name != *name)
        };
        self.values.iter().zip(self.output.names()).filter(move |pair| stays(pair))
    }
}

impl Operator for Extend {
    fn word(&self) -> &'static str {
        "extend"
    }

    fn explain(&self) -> String {
        let one = |(value, name): (&TypedExpr, &str)| format!("{name} = {}", show::plain(value));
        format!("extend {}", self.added().map(one).collect::<Vec<_>>().join(", "))
    }

    fn properties(&self) -> Properties {
        Properties {
            deterministic: show::deterministic(&self.values),
            repeats: Some(repeated(&self.values)),
            ..Properties::row_wise(computed_of(&self.values))
        }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(Extend { values: self.values.iter().map(f).collect(), ..self.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Rows(Box::new(Projection::new(&self.values, &self.output, &self.input)?)))
    }
}
