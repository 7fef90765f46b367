//! `cogroup clicks using user_id`: for each key the rows of both streams, as two lists. Typing is here, running in
//! `lists` and `run`.

mod lists;
mod run;

use millstream_dsl::{Diagnostic, ast};

use crate::model::{Column, Schema, Slot, Type};
use crate::operators::cogroup::lists::Lists;
use crate::operators::cogroup::run::InWindows;
use crate::operators::input;
use crate::operators::lifetime::{self, Lifetime};
use crate::operators::sides::{Side, Windowed};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::context::Other;
use crate::plan::operator::{Distribution, NotRunnable, Task};
use crate::plan::seams::Window;
use crate::plan::{Doc, Edge, EventTime, Mode, Operator, Planned, Port, Properties, StageContext, StageEntry};

/// What `cogroup` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new(
        "cogroup",
        "gives the rows of two streams for each key as two lists",
        "cogroup STREAM [as ALIAS] using COLUMN, ... [per batch | over WINDOW]",
    )
    .details(
        "Each key that occurs on either side gives one row: the key, a list of the left rows under the left stream's \
         name and one of the right rows under the right stream's, as they came. Rows without a key are together. \
         Without a scope it looks at one batch, as `per batch` says; with a window a row comes when it closes.",
    )
    .example("cogroup clicks using user_id")
    .alias("coGroup")
    .alias("groupWith");
    let clauses = vec![
        ClauseSpec::required("using", "columns of both streams that must be equal"),
        ClauseSpec::optional("per batch", "the rows of one batch"),
        ClauseSpec::optional("over", "the rows of one window"),
        ClauseSpec::optional("on batch time", "the windows count by the time of batches, not of rows"),
        ClauseSpec::optional("late", "where rows go whose windows have closed"),
        ClauseSpec::optional("named", "the name its state is kept under"),
    ];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1, names: Names::Optional },
        clauses,
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let arg = call.stage.args.first()?;
    let ast::ExprKind::Name(name) = &arg.value.kind else {
        let problem = Diagnostic::error("wrong-argument", arg.value.at.0, "stage `cogroup` takes the name of a stream");
        ctx.report(problem.label("is no name"));
        return None;
    };
    let name = ast::Ident { name: name.clone(), at: arg.value.at };
    let right = ctx.other(&name, Other::Stream)?;
    let right_name = arg.names.first().unwrap_or(&name).clone();
    let left_name = ctx.input_name().unwrap_or("left").to_owned();
    if let Mode::Changes { .. } = right.mode {
        let problem = Diagnostic::error("changes-not-accepted", name.at.0, "stage `cogroup` does not take changes");
        ctx.report(problem.label("updates earlier results"));
    }
    if left_name == right_name.name {
        let problem =
            Diagnostic::error("self-join-alias", right_name.at.0, format!("both lists would be called `{left_name}`"))
                .label("cannot be told from the left side")
                .help(format!("give it a name of its own:\n  cogroup {} as other using ...", name.name));
        ctx.report(problem);
        return None;
    }
    let left = ctx.input().clone();
    let keys = keys(call, &left, &right, &right_name.name, ctx)?;
    let lives = scope(call, &right, &right_name, ctx)?;
    let out = grouped((&left, &left_name), (&right, &right_name.name), &keys, &lives);
    let twins: Vec<_> = out.schema.names().map(|name| (name.to_owned(), call.stage.name.at.0)).collect();
    input::refuse_twins(&twins, ctx);
    let can_be_late = matches!(lives, Lifetime::Window(_));
    let late = call.clause(|kind| match kind {
        ast::ClauseKind::Late(fate) => Some(fate),
        _ => None,
    });
    let late = late.map(|(fate, _)| fate).filter(|_| can_be_late);
    let sides = input::side(late, Port::Late, || crate::operators::envelope::envelope(&left, &right));
    let (of_left, of_right) = keys.iter().copied().unzip();
    let lists =
        Lists { sides: (side("left", &left, of_left), side("right", &right, of_right)), schema: out.schema.to_arrow() };
    let interval = ctx.interval();
    let operator = Cogroup { keys, key_names: key_names(call), right_name: right_name.name, lives, lists, interval };
    Some(Planned { keeps_qualifiers: false, sides, can_be_late, ..input::passing(call, Box::new(operator), out) })
}

/// What is known of an input when the stage runs.
fn side(name: &'static str, edge: &Edge, keys: Vec<usize>) -> Side {
    let time = edge.time.as_ref().and_then(|t| Some((edge.schema.position(&t.column)?, i64::from(t.ends_window))));
    Side::new(name, &edge.schema, keys, time)
}

fn using<'a>(call: &StageCall<'a>) -> &'a [ast::Ident] {
    let names = call.clause(|kind| match kind {
        ast::ClauseKind::Using(names) => Some(names),
        _ => None,
    });
    names.map_or(&[], |(names, _)| names)
}

fn key_names(call: &StageCall<'_>) -> Vec<String> {
    using(call).iter().map(|n| n.name.clone()).collect()
}

/// Positions of the keys left and right.
fn keys(
    call: &StageCall<'_>,
    left: &Edge,
    right: &Edge,
    right_name: &str,
    ctx: &mut dyn StageContext,
) -> Option<Vec<(usize, usize)>> {
    let mut keys = Some(Vec::new());
    for name in using(call) {
        let message = match (left.schema.position(&name.name), right.schema.position(&name.name)) {
            (Some(l), Some(r)) => {
                let (a, b) = (&left.schema.columns[l].slot.ty, &right.schema.columns[r].slot.ty);
                if a == b || a.is_unknown() || b.is_unknown() {
                    keys = keys.map(|mut keys| {
                        keys.push((l, r));
                        keys
                    });
                    continue;
                }
                let problem =
                    Diagnostic::error("type-mismatch", name.at.0, format!("key `{}` is `{a}` and `{b}`", name.name))
                        .label(format!("`{a}` on the left, `{b}` in `{right_name}`"));
                ctx.report(
                    problem.help(format!(
                        "give the left one the other's type first:\n  |> extend {0} = {0}::{b}",
                        name.name
                    )),
                );
                keys = None;
                continue;
            }
            (None, _) => format!("column `{}` does not exist on the left", name.name),
            (_, None) => format!("column `{}` does not exist in `{right_name}`", name.name),
        };
        ctx.report(Diagnostic::error("unknown-column", name.at.0, message).label("must be a column of both streams"));
        keys = None;
    }
    keys
}

fn scope(call: &StageCall<'_>, right: &Edge, right_name: &ast::Ident, ctx: &mut dyn StageContext) -> Option<Lifetime> {
    let over = call.clause(|kind| match kind {
        ast::ClauseKind::Over(window) => Some(window),
        _ => None,
    });
    let Some((window, _)) = over else { return Some(Lifetime::Batch) };
    let batch_time = lifetime::batch_time(call);
    let lives = lifetime::over(call, window, batch_time, ctx)?;
    if let Lifetime::Window(Window::Count { .. } | Window::Session { .. }) = lives {
        let problem = Diagnostic::error("invalid-window", window.at.0, "window does not fit a cogroup")
            .label("follows from the rows of one side")
            .help("take windows of a fixed length:\n  over tumbling(1m)");
        ctx.report(problem);
        return None;
    }
    if batch_time.is_none() && right.time.is_none() {
        let message = format!("stream `{}` has no time column", right_name.name);
        let problem = Diagnostic::error("no-time-column", window.at.0, message)
            .label("needs the event time of both sides")
            .help("name the column at the source, and keep it up to here:\n  { time: ts, watermark: 30s }");
        ctx.report(problem);
        return None;
    }
    Some(lives)
}

/// The window, where there is one, the key, and the two lists.
fn grouped(left: (&Edge, &str), right: (&Edge, &str), keys: &[(usize, usize)], lives: &Lifetime) -> Edge {
    let mut columns = Vec::new();
    let mut unique = Vec::new();
    if *lives != Lifetime::Batch {
        let time = || Slot::required(Type::Timestamp(None));
        columns.push(Column::new("window_start", time()));
        columns.push(Column::new("window_end", time()));
        unique.push("window_end".to_owned());
    }
    for (l, r) in keys {
        let (l, r) = (&left.0.schema.columns[*l], &right.0.schema.columns[*r]);
        unique.push(l.name.clone());
        columns.push(Column::new(&l.name, Slot { nullable: l.slot.nullable || r.slot.nullable, ..l.slot.clone() }));
    }
    let list = |edge: &Edge, is_key: &dyn Fn(usize) -> bool| {
        let rest = edge.schema.columns.iter().enumerate().filter(|(i, _)| !is_key(*i)).map(|(_, c)| c.clone());
        Slot::required(Type::List(Box::new(Slot::required(Type::Struct(rest.collect())))))
    };
    columns.push(Column::new(left.1, list(left.0, &|i| keys.iter().any(|(l, _)| *l == i))));
    columns.push(Column::new(right.1, list(right.0, &|i| keys.iter().any(|(_, r)| *r == i))));
    let time = match lives {
        Lifetime::Window(_) => {
            let delay = |edge: &Edge| edge.time.as_ref().and_then(|t| t.delay);
            let delay = delay(left.0).zip(delay(right.0)).map(|(a, b)| a.max(b));
            Some(EventTime { column: "window_end".into(), delay, ends_window: true })
        }
        _ => None,
    };
    let of = lifetime::Remembered { what: "row", keys: &[], windows: true };
    let state = lifetime::state_text(lives, of, left.0.time.as_ref());
    let guarantee = left.0.guarantee.min(right.0.guarantee);
    Edge { time, unique: vec![unique], guarantee, state, ..Edge::append(Schema::new(columns)) }
}

#[derive(Debug)]
struct Cogroup {
    keys: Vec<(usize, usize)>,
    key_names: Vec<String>,
    right_name: String,
    lives: Lifetime,
    lists: Lists,
    /// How often a batch comes, in microseconds.
    interval: i64,
}

impl Operator for Cogroup {
    fn word(&self) -> &'static str {
        "cogroup"
    }

    fn explain(&self) -> String {
        format!("cogroup {} using {} {}", self.right_name, self.key_names.join(", "), self.lives)
    }

    fn properties(&self) -> Properties {
        let (left, right) = self.keys.iter().copied().unzip();
        let stateful = self.lives != Lifetime::Batch;
        Properties { stateful, order_matters: true, ..Properties::gathering(Distribution::ByKey(vec![left, right])) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        if self.lives == Lifetime::Batch {
            return Ok(run::of_batch(self.lists.clone()));
        }
        let windows = Windowed::new(&self.lives, self.interval)?;
        Ok(Task::Keyed(Box::new(InWindows::new(self.lists.clone(), windows)?)))
    }
}

#[cfg(test)]
mod tests;
