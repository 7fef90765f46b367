//! `union b, c`: the rows of several streams in one.

use millstream_dsl::{Diagnostic, Span, ast};

use crate::model::{Schema, Slot};
use crate::operators::gathering::gathering;
use crate::operators::input;
use crate::operators::values::batch_of;
use crate::plan::catalog::{Arity, Names, StageCall};
use crate::plan::context::Other;
use crate::plan::operator::{Distribution, Evaluated, NotRunnable, Task};
use crate::plan::{
    Doc, Edge, EventTime, Mode, Operator, Planned, Port, Properties, StageContext, StageEntry, TypedExpr,
};

/// What `union` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("union", "puts the rows of several streams into one", "union STREAM, ...")
        .details(
            "The streams must have the same columns, by name and type; the order of the first one's counts. The rows of \
             the first stream come first. A column may be null where it may be in any of them. The event time stays \
             where all have it in the same column; the watermark is the smallest.",
        )
        .example("union web_orders, shop_orders")
        .alias("unionAll")
        .alias("merge")
        .alias("concat");
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1024, names: Names::Never },
        clauses: vec![],
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let first = ctx.input().clone();
    let mut schema = first.schema.clone();
    let mut time = first.time.clone();
    let mut guarantee = first.guarantee;
    let mut others = Vec::new();
    let mut fits = true;
    for arg in &call.stage.args {
        let at = arg.value.at.0;
        let Some(name) = stream_name(&arg.value) else {
            ctx.report(
                Diagnostic::error("wrong-argument", at, "stage `union` takes names of streams").label("is no name"),
            );
            fits = false;
            continue;
        };
        let Some(edge) = ctx.other(&name, Other::Stream) else {
            fits = false;
            continue;
        };
        refuse_changing(&name, &edge, ctx);
        time = common_time(time, edge.time.as_ref());
        guarantee = guarantee.min(edge.guarantee);
        match aligned(&mut schema, &edge.schema) {
            Ok(positions) => others.push((name.name, positions)),
            Err(why) => {
                ctx.report(mismatch(call, &name, at, &why));
                fits = false;
            }
        }
    }
    if !fits {
        return None;
    }
    let out = Edge { time, guarantee, ..Edge::append(schema.clone()) };
    let operator = Union { others, output: schema };
    Some(Planned { keeps_qualifiers: false, ..input::passing(call, Box::new(operator), out) })
}

fn stream_name(expr: &ast::Expr) -> Option<ast::Ident> {
    match &expr.kind {
        ast::ExprKind::Name(name) => Some(ast::Ident { name: name.clone(), at: expr.at }),
        _ => None,
    }
}

fn refuse_changing(name: &ast::Ident, edge: &Edge, ctx: &mut dyn StageContext) {
    if let Mode::Changes { .. } = edge.mode {
        let message = "stage `union` does not take changes";
        let problem = Diagnostic::error("changes-not-accepted", name.at.0, message).label("updates earlier results");
        ctx.report(problem.help("give its aggregate a scope whose results are final:\n  over tumbling(1m)"));
    }
}

/// What does not fit.
enum Misfit {
    Missing(String),
    Surplus(String),
    Types(String, Slot, Slot),
}

/// Where each column of `schema` stands in `other`; what may be null there may be null in the result.
fn aligned(schema: &mut Schema, other: &Schema) -> Result<Vec<usize>, Misfit> {
    if let Some(surplus) = other.names().find(|name| schema.get(name).is_none()) {
        return Err(Misfit::Surplus(surplus.to_owned()));
    }
    let mut positions = Vec::new();
    for column in &mut schema.columns {
        let position = other.position(&column.name).ok_or_else(|| Misfit::Missing(column.name.clone()))?;
        let theirs = &other.columns[position].slot;
        if theirs.ty != column.slot.ty && !theirs.ty.is_unknown() && !column.slot.ty.is_unknown() {
            return Err(Misfit::Types(column.name.clone(), column.slot.clone(), theirs.clone()));
        }
        column.slot.nullable |= theirs.nullable;
        positions.push(position);
    }
    Ok(positions)
}

fn mismatch(call: &StageCall<'_>, name: &ast::Ident, at: Span, why: &Misfit) -> Diagnostic {
    let stream = &name.name;
    let first = call.stage.name.at.0;
    match why {
        Misfit::Missing(column) => {
            Diagnostic::error("unknown-column", at, format!("column `{column}` does not exist in `{stream}`"))
                .label(format!("has no `{column}`"))
                .also(first, format!("the stream before it has `{column}`"))
                .help(format!("add it to `{stream}`, or leave it out before:\n  |> drop {column}"))
        }
        Misfit::Surplus(column) => Diagnostic::error(
            "unknown-column",
            at,
            format!("column `{column}` of `{stream}` does not exist in the stream before it"),
        )
        .label(format!("also has `{column}`"))
        .also(first, format!("the stream before it has no `{column}`"))
        .help(format!("leave it out of `{stream}`:\n  |> drop {column}")),
        Misfit::Types(column, ours, theirs) => {
            Diagnostic::error("type-mismatch", at, format!("column `{column}` is `{}` and `{}`", ours.ty, theirs.ty))
                .label(format!("`{}` here", theirs.ty))
                .also(first, format!("`{}` in the stream before it", ours.ty))
                .help(format!("make them one type:\n  |> extend {column} = {column}::{}", ours.ty))
        }
    }
}

/// Event time stays where both have it in the same column.
fn common_time(ours: Option<EventTime>, theirs: Option<&EventTime>) -> Option<EventTime> {
    let (ours, theirs) = (ours?, theirs?);
    let same = ours.column == theirs.column && ours.ends_window == theirs.ends_window;
    let delay = ours.delay.zip(theirs.delay).map(|(a, b)| a.max(b));
    same.then_some(EventTime { delay, ..ours })
}

#[derive(Debug, Clone)]
struct Union {
    /// The other streams, each with where the output's columns stand in it.
    others: Vec<(String, Vec<usize>)>,
    output: Schema,
}

impl Operator for Union {
    fn word(&self) -> &'static str {
        "union"
    }

    fn explain(&self) -> String {
        format!("union {}", self.others.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
    }

    fn properties(&self) -> Properties {
        Properties { keeps_order: true, reads: Some(Vec::new()), ..Properties::gathering(Distribution::Any) }
    }

    fn rewritten(&self, _: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(self.clone()))
    }

    fn stacked(&self) -> Option<Vec<Vec<usize>>> {
        let first = (0..self.output.columns.len()).collect();
        Some(std::iter::once(first).chain(self.others.iter().map(|(_, positions)| positions.clone())).collect())
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let schema = self.output.to_arrow();
        let out = schema.clone();
        let layouts: Vec<_> = self.others.iter().map(|(_, positions)| positions.clone()).collect();
        Ok(gathering(schema, move |inputs, _| {
            let mut rows = Vec::new();
            for (input, blocks) in inputs.into_iter().enumerate() {
                for block in blocks {
                    let columns = match input.checked_sub(1).and_then(|other| layouts.get(other)) {
                        Some(positions) => positions.iter().map(|i| block.column(*i).clone()).collect(),
                        None => block.columns().to_vec(),
                    };
                    rows.push((Port::Out, batch_of(&out, columns, block.num_rows())?));
                }
            }
            Ok(Evaluated { rows, ..Evaluated::default() })
        }))
    }
}
