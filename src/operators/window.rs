//! `window over sliding(60s, every 10s)`: the rows themselves, once for each window they belong to. Typing is here;
//! what runs in `task`, with the rows by windows of time (`by_time`) or of a key (`by_key`).

mod by_key;
mod by_time;
mod task;

use millstream_dsl::{Diagnostic, ast};

use crate::model::{Schema, Slot, Type};
use crate::operators::carry::{self, Carried};
use crate::operators::lateness::TimeColumn;
use crate::operators::lifetime::{self, Lifetime, Remembered};
use crate::operators::window::task::WindowTask;
use crate::operators::{input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::memory::{Fact, Memory, Windows};
use crate::plan::operator::{Distribution, NotRunnable, Task};
use crate::plan::seams::Window as Shape;
use crate::plan::{Doc, Edge, EventTime, Operator, Planned, Properties, StageContext, StageEntry};

/// What `window` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new(
        "window",
        "hands on the rows of each window when it closes",
        "window over WINDOW [by COLUMN, ...] [on batch time]",
    )
    .details(
        "A row comes out once for each window it belongs to, with `window_start` and `window_end` before its own \
             columns. Sessions and windows of so many rows want `by`. From then on a row's time is its window's end. Windows \
             come in the order of their ends, the rows of one as they came in. A row whose windows have all closed is \
             late; one that is late for some of them comes out with the others.",
    )
    .example("window over sliding(60s, every 10s) on batch time")
    .example("window over session(gap 30m) by user_id")
    .alias("reduceByWindow")
    .alias("groupByKeyAndWindow");
    let clauses = vec![
        ClauseSpec::required("over", "the windows"),
        ClauseSpec::optional("by", "the columns each of whose values has its own windows"),
        ClauseSpec::optional("on batch time", "the windows count by the time of batches, not of rows"),
        ClauseSpec::optional("late", "where rows go whose windows have closed"),
        ClauseSpec::optional("named", "the name its state is kept under"),
    ];
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
    let (window, clause) = call.clause(|kind| match kind {
        ast::ClauseKind::Over(window) => Some(window),
        _ => None,
    })?;
    let by = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    });
    let key = by.map(|(items, _)| input::key_columns(items, &scope, ctx)).unwrap_or_default();
    let lives = lifetime::over(call, window, lifetime::batch_time(call), ctx)?;
    if let (true, Lifetime::Window(Shape::Session { .. } | Shape::Count { .. })) = (by.is_none(), &lives) {
        let problem = Diagnostic::error("missing-clause", clause.at.0, "these windows follow from the rows of a key")
            .label("of which key?")
            .help("say what the rows of one window have in common:\n  window over session(gap 30m) by user_id");
        ctx.report(problem);
        return None;
    }
    let edge = ctx.input().clone();
    let mut out = windowed(&edge, &lives);
    let twins: Vec<_> = out.schema.names().map(|name| (name.to_owned(), input::word_span(call))).collect();
    input::refuse_twins(&twins, ctx);
    let of = Remembered { what: "row", keys: &[], windows: true };
    out.state = lifetime::state_text(&lives, of, edge.time.as_ref());
    let can_be_late = matches!(&lives, Lifetime::Window(shape) if !matches!(shape, Shape::Count { .. }));
    let sides = if can_be_late { input::late_output(call, &edge) } else { Vec::new() };
    let time = TimeColumn::of(&edge);
    let operator =
        Window { key, lives, time, interval: ctx.interval(), input: edge.schema, output: out.schema.clone() };
    Some(Planned { sides, can_be_late, span: call.stage.at.0, ..input::passing(call, Box::new(operator), out) })
}

/// The rows with their window in front; unique within it, and as old as its end.
fn windowed(input: &Edge, lives: &Lifetime) -> Edge {
    let timed = !matches!(lives, Lifetime::Window(Shape::Count { .. }));
    let mut columns = Vec::new();
    if timed {
        columns.extend(
            ["window_start", "window_end"].map(|name| Carried::new(name, Slot::required(Type::Timestamp(None)))),
        );
    }
    columns.extend(carry::all(&input.schema));
    let mut out = carry::carry(input, columns);
    if timed {
        out.unique.iter_mut().for_each(|set| set.insert(0, "window_end".into()));
    }
    out.time = match lives {
        Lifetime::Window(_) if timed => {
            let delay = input.time.as_ref().and_then(|t| t.delay);
            Some(EventTime { column: "window_end".into(), delay, ends_window: true })
        }
        _ => None,
    };
    out
}

#[derive(Debug)]
struct Window {
    /// Positions of the columns each of whose values has its own windows.
    key: Vec<usize>,
    lives: Lifetime,
    /// Where the rows' event time stands.
    time: Option<TimeColumn>,
    /// Of batches, in microseconds.
    interval: i64,
    input: Schema,
    output: Schema,
}

impl Operator for Window {
    fn word(&self) -> &'static str {
        "window"
    }

    fn explain(&self) -> String {
        let names: Vec<_> = self.key.iter().map(|i| self.input.columns[*i].name.clone()).collect();
        format!("window {}{}", self.lives, show::by(&names))
    }

    fn memory(&self) -> Option<Memory> {
        let key = Fact::columns("the key", self.key.iter().map(|i| &self.input.columns[*i]));
        let time = self.time.map_or("batches", |time| &self.input.columns[time.position()].name);
        let facts = vec![
            key,
            Fact::layout("the window", self.lives.to_string()),
            Fact::meaning("the time of rows", time),
            Fact::columns("the columns of the rows that wait", &self.input.columns),
        ];
        Some(Memory { facts, ..Memory::default() })
    }

    fn windows(&self) -> Option<Box<dyn Windows>> {
        lifetime::windows(&self.lives)
    }

    fn properties(&self) -> Properties {
        let distribution =
            if self.key.is_empty() { Distribution::Single } else { Distribution::ByKey(vec![self.key.clone()]) };
        let width = self.input.columns.len();
        let own = self.output.columns.len() - width;
        let repeats = std::iter::repeat_n(None, own).chain((0..width).map(|i| Some((0, i))));
        Properties {
            stateful: true,
            order_matters: matches!(self.lives, Lifetime::Window(Shape::Count { .. })),
            reads: Some(self.key.iter().copied().chain(self.time.map(TimeColumn::position)).collect()),
            repeats: Some(repeats.collect()),
            ..Properties::gathering(distribution)
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(WindowTask::new(self)?)))
    }
}

#[cfg(test)]
mod tests;
