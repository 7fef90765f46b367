//! `aggregate sum(x) as s by k` with a scope: results by key. Typing is here; what runs without memory
//! in `batch`, what runs with memory in `lasting` and `halves`.

mod batch;
mod counted;
mod halves;
mod kept;
mod lasting;
mod memory;
mod pieces;
mod reading;
mod results;
mod saved;
mod sessions;
mod shown;
mod store;
mod telling;
mod tree;
mod windows;

use std::fmt;

use millstream_dsl::{Diagnostic, ast};

use crate::model::time::show_duration;
use crate::model::{Column, Schema, Slot, Type};
use crate::operators::groups::Grouping;
use crate::operators::lateness::TimeColumn;
use crate::operators::lifetime::{self, Lifetime, Remembered, lifetime};
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::context::AggregateColumn;
use crate::plan::edge::EventTime;
use crate::plan::memory::{Memory, Moved, Windows};
use crate::plan::operator::{Distribution, NotRunnable, SavedTable, Task, TaskError};
use crate::plan::seams::Window;
use crate::plan::{Doc, Edge, Mode, Node, Operator, Planned, Properties, Scope, StageContext, StageEntry, TypedExpr};

/// What `aggregate` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new(
        "aggregate",
        "computes results over rows that have the same key",
        "aggregate FUNCTION(...) as NAME, ... [by KEY, ...] (per batch | over WINDOW [on batch time] | running ttl DURATION)",
    )
    .details(include_str!("aggregate/details.md"))
    .example("aggregate count() as n by word per batch")
    .example("aggregate sum(amount) as revenue, count() as orders by category over sliding(60s, every 10s) late drop")
    .example("aggregate sum(amount) as total by user_id running ttl 30d named user_totals")
    .alias("group")
    .alias("groupBy")
    .alias("reduceByKey")
    .alias("countByValue")
    .alias("updateStateByKey")
    .alias("agg")
    .alias("summarize");
    let clauses = vec![
        ClauseSpec::optional("by", "what rows of one result have in common; without it all rows are one group"),
        ClauseSpec::optional("per batch", "one result per key and batch"),
        ClauseSpec::optional("over", "one result per key and window"),
        ClauseSpec::optional("on batch time", "windows (or the ttl) count by the time of batches, not of rows"),
        ClauseSpec::optional(
            "running",
            "one result per key that every batch updates, dropped after the ttl without rows",
        ),
        ClauseSpec::optional("emit", "when results come out: `final`, `changes`, `all`"),
        ClauseSpec::optional("late", "where rows go whose windows have closed"),
        ClauseSpec::optional("named", "the name its state is kept under"),
    ];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: usize::MAX, names: Names::Optional },
        clauses,
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let scope = input::scope(call, ctx);
    let (keys, key_names) = group_keys(call, &scope, ctx);
    let key_columns = key_names.iter().zip(&keys).map(|((name, _), key)| Column::new(name, key.slot.clone()));
    let key_columns: Vec<_> = key_columns.collect();
    let mut calls = Vec::new();
    let mut results = Vec::new();
    let mut names = key_names.clone();
    for arg in &call.stage.args {
        let value = ctx.aggregate(&arg.value, &scope, &Schema::new(key_columns.clone()), &mut calls);
        refuse_failing_result(&value, ctx);
        let name = ctx.column_name(arg);
        names.push((name.clone(), arg.names.first().map_or(arg.value.at.0, |n| n.at.0)));
        results.push(AggregateColumn { name, value });
    }
    let key_names: Vec<_> = key_names.into_iter().map(|(name, _)| name).collect();
    let of = Remembered { what: "total", keys: &key_names, windows: true };
    let lives = lifetime(call, of, ctx);
    let emit = lives.as_ref().map(|lives| emit(call, lives, ctx));
    input::refuse_twins(&with_reserved(names, call, lives.as_ref(), emit), ctx);
    let grouping = Grouping { keys, calls };
    if matches!(&lives, Some(lives) if *lives != Lifetime::Batch) {
        warn_nondeterministic(&grouping, ctx);
    }
    let (lives, emit) = (lives?, emit?);
    let can_be_late = matches!(&lives, Lifetime::Window(w) if !matches!(w, Window::Count { .. }));
    let edge = ctx.input();
    let state = lifetime::state_text(&lives, of, edge.time.as_ref());
    let out = Edge { state, ..result_edge(edge, &lives, emit, key_columns, &results) };
    let sides = if can_be_late { input::late_output(call, edge) } else { Vec::new() };
    let operator = Aggregate {
        grouping,
        key_names,
        results,
        time: TimeColumn::of(edge),
        late_is_read: sides.iter().any(|side| side.name.is_some()),
        interval: ctx.interval(),
        lives,
        emit,
        input: edge.schema.clone(),
        output: out.schema.clone(),
    };
    Some(Planned {
        operator: Box::new(operator),
        out,
        keeps_qualifiers: false,
        sides,
        can_be_late,
        span: call.stage.at.0,
    })
}

/// The `by` clause: typed expressions and their names.
fn group_keys(
    call: &StageCall<'_>,
    scope: &Scope,
    ctx: &mut dyn StageContext,
) -> (Vec<TypedExpr>, Vec<(String, millstream_dsl::Span)>) {
    let by = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    });
    let mut keys = Vec::new();
    let mut names = Vec::new();
    for item in by.map_or(&[][..], |(items, _)| items) {
        input::refuse_order(item, ctx);
        let arg = ast::Arg { names: item.name.iter().cloned().collect(), value: item.value.clone() };
        keys.push(ctx.expr(&item.value, scope));
        names.push((ctx.column_name(&arg), item.name.as_ref().map_or(item.value.at.0, |n| n.at.0)));
    }
    (keys, names)
}

/// A result belongs to no row, so there is no row that could go to the bad output.
fn refuse_failing_result(value: &TypedExpr, ctx: &mut dyn StageContext) {
    let mut tries = Vec::new();
    value.visit(&mut |e| {
        if matches!(e.node, Node::Try(_)) {
            tries.push(e.span);
        }
    });
    for at in tries {
        let problem = Diagnostic::error("unhandled-failure", at, "a result has no row that could go to the bad output")
            .label("is computed of results, not of a row")
            .help("say what it is when it fails:\n  (sum(a) / count()) ?? 0");
        ctx.report(problem);
    }
}

/// The names that come out, those that the scope adds included.
fn with_reserved(
    mut names: Vec<(String, millstream_dsl::Span)>,
    call: &StageCall<'_>,
    lives: Option<&Lifetime>,
    emit: Option<Emit>,
) -> Vec<(String, millstream_dsl::Span)> {
    let at = call.stage.name.at.0;
    if lives.is_some_and(has_window_columns) {
        names.splice(0..0, ["window_start", "window_end"].map(|n| (n.to_owned(), at)));
    }
    if let Some(Emit::Changes { .. }) = emit {
        names.insert(0, (crate::plan::edge::OP.into(), at));
    }
    names
}

fn has_window_columns(lives: &Lifetime) -> bool {
    match lives {
        Lifetime::Window(window) | Lifetime::BatchWindow(window) => !matches!(window, Window::Count { .. }),
        Lifetime::Batch | Lifetime::Running { .. } => false,
    }
}

/// Reports chance in what outlives the batch: a batch that is run again would not give the same state.
fn warn_nondeterministic(grouping: &Grouping, ctx: &mut dyn StageContext) {
    let inputs = grouping.inputs();
    let Some((function, at)) = inputs.iter().find_map(show::volatile_call) else { return };
    let problem =
        Diagnostic::warning("nondeterministic-state", at, format!("function `{function}` puts chance into the state"))
            .label("gives another result when a batch is run again")
            .help("use what is recorded with the batch, e.g. `now()`, or a column");
    ctx.report(problem);
}

/// When results come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emit {
    /// Once, when nothing can change them.
    Final,
    /// Whenever a batch changes them.
    Changes {
        /// No more often than this, in microseconds.
        every: Option<i64>,
    },
    /// All of them with every batch.
    All {
        /// No more often than this, in microseconds.
        every: Option<i64>,
    },
}

impl fmt::Display for Emit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, every) = match self {
            Emit::Final => ("final", None),
            Emit::Changes { every } => ("changes", *every),
            Emit::All { every } => ("all", *every),
        };
        match every {
            Some(every) => write!(f, "emit {word} every {}", show_duration(every)),
            None => write!(f, "emit {word}"),
        }
    }
}

/// The scope's own way.
fn default_emit(lives: &Lifetime) -> Emit {
    match lives {
        Lifetime::Running { .. } => Emit::Changes { every: None },
        Lifetime::Batch | Lifetime::Window(_) | Lifetime::BatchWindow(_) => Emit::Final,
    }
}

/// What the `emit` clause says, or the scope's own way.
fn emit(call: &StageCall<'_>, lives: &Lifetime, ctx: &mut dyn StageContext) -> Emit {
    let default = default_emit(lives);
    let written = call.clause(|kind| match kind {
        ast::ClauseKind::Emit { mode, every } => Some((mode, every)),
        _ => None,
    });
    let Some(((mode, every), _)) = written else { return default };
    let pause = every.as_ref().and_then(|every| ctx.duration(every));
    let chosen = match mode.name.as_str() {
        "final" => Emit::Final,
        "changes" => Emit::Changes { every: pause },
        "all" => Emit::All { every: pause },
        other => {
            let problem = Diagnostic::error("emit-mode", mode.at.0, format!("emit mode `{other}` does not exist"))
                .help(
                    "write one of:\n  emit final     results once, when they are final\n  \
                 emit changes   whenever a result changes\n  emit all       every result with every batch",
                );
            ctx.report(problem);
            return default;
        }
    };
    let refusal = match (lives, chosen) {
        (Lifetime::Running { .. }, Emit::Final) => Some(("a running result is never final", "emit changes")),
        (Lifetime::Batch | Lifetime::BatchWindow(_), Emit::Changes { .. } | Emit::All { .. }) => {
            Some(("results in batch time are final when they come", "emit final"))
        }
        _ => None,
    };
    if let Some((why, instead)) = refusal {
        let problem =
            Diagnostic::error("emit-mode", mode.at.0, format!("emit mode `{}` does not fit `{lives}`", mode.name))
                .label(why)
                .help(format!("leave out `emit`, or write:\n  {instead}"));
        ctx.report(problem);
        return default;
    }
    if let (Emit::Final, Some(every)) = (chosen, every) {
        let problem = Diagnostic::error("emit-mode", every.at.0, "final results come once")
            .label("cannot come again and again")
            .help("leave it out, or write:\n  emit changes every 5s");
        ctx.report(problem);
    }
    chosen
}

/// What comes out: window, keys, results; then `op` for changes.
fn result_edge(input: &Edge, lives: &Lifetime, emit: Emit, keys: Vec<Column>, results: &[AggregateColumn]) -> Edge {
    let mut columns = Vec::new();
    let mut identity: Vec<String> = Vec::new();
    if has_window_columns(lives) {
        let time = || Slot::required(Type::Timestamp(None));
        columns.push(Column::new("window_start", time()));
        columns.push(Column::new("window_end", time()));
        identity.push("window_end".into());
    }
    identity.extend(keys.iter().map(|k| k.name.clone()));
    columns.extend(keys);
    columns.extend(results.iter().map(|r| Column::new(&r.name, r.value.slot.clone())));
    let mut unique = if identity.is_empty() { vec![] } else { vec![identity.clone()] };
    if matches!(lives, Lifetime::Window(Window::Tumbling { .. } | Window::Sliding { .. } | Window::Session { .. })) {
        let mut by_start = identity.clone();
        "window_start".clone_into(&mut by_start[0]);
        unique.push(by_start);
    }
    if matches!(lives, Lifetime::Window(Window::Count { .. })) {
        unique.clear();
    }
    let mode = match emit {
        Emit::Changes { .. } => Mode::Changes { key: identity },
        Emit::Final | Emit::All { .. } => Mode::Append,
    };
    if let Mode::Changes { .. } = mode {
        columns = carry::with_op(columns);
    }
    let time = match (lives, &input.time) {
        (Lifetime::Window(_), Some(time)) if has_window_columns(lives) => {
            Some(EventTime { column: "window_end".into(), delay: time.delay, ends_window: true })
        }
        _ => None,
    };
    Edge { time, mode, unique, guarantee: input.guarantee, ..Edge::append(Schema::new(columns)) }
}

/// Results by key and scope.
#[derive(Debug, Clone)]
struct Aggregate {
    grouping: Grouping,
    key_names: Vec<String>,
    results: Vec<AggregateColumn>,
    lives: Lifetime,
    emit: Emit,
    /// The event time of rows, where they have one.
    time: Option<TimeColumn>,
    /// Late rows have a name, so that somebody may read them.
    late_is_read: bool,
    /// The batch interval in microseconds.
    interval: i64,
    input: Schema,
    output: Schema,
}

impl Operator for Aggregate {
    fn word(&self) -> &'static str {
        "aggregate"
    }

    fn explain(&self) -> String {
        let results: Vec<_> = self.results.iter().map(|r| show::named(&r.value, &r.name)).collect();
        let calls: Vec<_> = self.grouping.calls.iter().map(show::call).collect();
        let same =
            results.len() == calls.len() && self.results.iter().all(|r| matches!(r.value.node, Node::Column { .. }));
        let shown: Vec<_> = if same {
            calls.iter().zip(&self.results).map(|(call, r)| format!("{call} as {}", r.name)).collect()
        } else {
            results
        };
        let own_way = self.emit == default_emit(&self.lives);
        let emit = if own_way { String::new() } else { format!(" {}", self.emit) };
        format!("aggregate {}{} {}{emit}", shown.join(", "), show::by(&self.key_names), self.lives)
    }

    fn properties(&self) -> Properties {
        let inputs = self.grouping.inputs();
        Properties {
            stateful: self.lives != Lifetime::Batch,
            mergeable: self.halves().is_some(),
            order_matters: self.order_matters(),
            deterministic: show::deterministic(&inputs),
            reads: self.reads(&inputs),
            repeats: Some(self.repeats()),
            ..Properties::gathering(self.distribution())
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        match self.lives {
            Lifetime::Batch => batch::whole(self),
            _ => halves::whole(self),
        }
    }

    fn halves(&self) -> Option<(Box<dyn Operator>, Box<dyn Operator>)> {
        match self.lives {
            Lifetime::Batch => Some(batch::halves(self)),
            _ => halves::halves(self),
        }
    }

    fn memory(&self) -> Option<Memory> {
        self.remembered()
    }

    fn windows(&self) -> Option<Box<dyn Windows>> {
        lifetime::windows(&self.lives)
    }

    fn migrated(&self, moved: &Moved, tables: Vec<SavedTable>) -> Result<Vec<SavedTable>, TaskError> {
        self.carried_over(moved, tables)
    }
}

impl Aggregate {
    /// Keys that are columns come out as they are.
    fn repeats(&self) -> Vec<Option<(usize, usize)>> {
        let column = |key: &TypedExpr| match key.node {
            Node::Column { index, .. } => Some((0, index)),
            _ => None,
        };
        let before = if has_window_columns(&self.lives) { 2 } else { 0 };
        let mut repeats = vec![None; self.output.columns.len()];
        for (repeat, key) in repeats.iter_mut().skip(before).zip(&self.grouping.keys) {
            *repeat = column(key);
        }
        repeats
    }

    /// Whether the first row, the order of a list, the cut between two windows or the moment at which a total begins
    /// anew depends on the order of rows.
    fn order_matters(&self) -> bool {
        let counted = matches!(self.lives, Lifetime::Window(Window::Count { .. }));
        let expires = matches!(self.lives, Lifetime::Running { ttl: Some(_), event_time: true });
        counted || expires || self.grouping.calls.iter().any(|call| call.function.ordered || !call.order_by.is_empty())
    }

    /// Keys, arguments and the time; every column where late rows are handed on.
    fn reads(&self, inputs: &[TypedExpr]) -> Option<Vec<usize>> {
        if self.late_is_read {
            return None;
        }
        let mut columns = show::columns_read(inputs);
        let timed = matches!(self.lives, Lifetime::Window(_) | Lifetime::Running { event_time: true, .. });
        columns.extend(self.time.filter(|_| timed).map(|time| time.position()));
        columns.sort_unstable();
        columns.dedup();
        Some(columns)
    }

    /// By the key where it is made of columns; computed keys are brought together by [`Operator::halves`].
    fn distribution(&self) -> Distribution {
        let column = |key: &TypedExpr| match key.node {
            Node::Column { index, .. } => Some(index),
            _ => None,
        };
        match self.grouping.keys.iter().map(column).collect::<Option<Vec<_>>>() {
            Some(columns) if !columns.is_empty() => Distribution::ByKey(vec![columns]),
            _ => Distribution::Single,
        }
    }
}

#[cfg(test)]
mod tests;
