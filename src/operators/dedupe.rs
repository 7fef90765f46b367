//! `dedupe by order_id within 10m`: rows whose key was not seen for some time. Typing is here; what runs in `task`.

mod task;

use millstream_dsl::{Diagnostic, ast};

use crate::model::Schema;
use crate::model::time::show_duration;
use crate::operators::dedupe::task::DedupeTask;
use crate::operators::lateness::TimeColumn;
use crate::operators::{carry, input, lifetime, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::memory::{Fact, Lasts, Memory, Moved};
use crate::plan::operator::{Distribution, NotRunnable, SavedTable, Task, TaskError};
use crate::plan::{Doc, Operator, Planned, Properties, StageContext, StageEntry};

/// What `dedupe` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("dedupe", "keeps the first row of each key within some time", "dedupe [by COLUMN, ...] within DURATION")
        .details(
            "A key is remembered for so long after its first row: by event time where the rows have it, else (or with \
             `on batch time`) by batch time. A row whose key is remembered is a duplicate and counted as filtered, also \
             when its own time is before the first row's; a row exactly `within` later passes again. A row that is \
             `within` or more behind the watermark is late: it is older than anything that is still remembered, and \
             nobody knows any more whether it is a duplicate. So that rows which come out of order are told apart \
             however they are cut into batches, keys stay in memory until the watermark is twice `within` past their \
             first row. Without `by` all columns are compared.",
        )
        .example("dedupe by order_id within 10m")
        .alias("dropDuplicates")
        .alias("dropDuplicatesWithinWatermark")
        .alias("deduplicate");
    let clauses = vec![
        ClauseSpec::optional("by", "the columns that make rows equal; all where not written"),
        ClauseSpec::optional("within", "how long a key is remembered"),
        ClauseSpec::optional("on batch time", "counts by the time of batches, not of rows"),
        ClauseSpec::optional("late", "where rows go that are older than anything remembered"),
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
    let by = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    });
    let key = match by {
        Some((items, _)) => input::key_columns(items, &scope, ctx),
        None => (0..ctx.input().schema.columns.len()).collect(),
    };
    let edge = ctx.input().clone();
    let names: Vec<_> = key.iter().map(|i| edge.schema.columns[*i].name.clone()).collect();
    let within = call.clause(|kind| match kind {
        ast::ClauseKind::Within(duration) => Some(duration),
        _ => None,
    });
    let Some((within, _)) = within else {
        ctx.report(unbounded(call, &names));
        return None;
    };
    let within = ctx.duration(within)?;
    let event_time = edge.time.is_some() && lifetime::batch_time(call).is_none();
    if event_time {
        input::event_time(call, input::word_span(call), ctx);
    }
    let mut out = carry::carry(&edge, carry::all(&edge.schema));
    // In event time a key may pass twice within a batch, when its rows are far enough apart.
    if !event_time && !names.is_empty() && !out.unique.contains(&names) {
        out.unique.push(names.clone());
    }
    out.state = format!(
        "state <= {} of {}",
        lifetime::until(within, event_time.then_some(within)),
        if names.is_empty() { "rows".into() } else { names.join(", ") }
    );
    let sides = if event_time { input::late_output(call, &edge) } else { Vec::new() };
    let time = event_time.then(|| TimeColumn::of(&edge)).flatten();
    let operator = Dedupe { key, within, time, input: edge.schema };
    Some(Planned { sides, can_be_late: event_time, ..input::passing(call, Box::new(operator), out) })
}

fn unbounded(call: &StageCall<'_>, names: &[String]) -> Diagnostic {
    let names = if names.is_empty() { "row".into() } else { names.join(", ") };
    Diagnostic::error("unbounded-state", input::word_span(call), "unbounded state")
        .label(format!("keeps every `{names}` for ever"))
        .help("say how long a key is remembered:\n  within 10m\nor look at one batch only:\n  |> distinct by ...")
}

#[derive(Debug)]
struct Dedupe {
    /// Positions of the columns that make rows equal.
    key: Vec<usize>,
    /// In microseconds.
    within: i64,
    /// None: batches tell the time, not rows.
    time: Option<TimeColumn>,
    input: Schema,
}

impl Operator for Dedupe {
    fn word(&self) -> &'static str {
        "dedupe"
    }

    fn explain(&self) -> String {
        let names: Vec<_> = self.key.iter().map(|i| self.input.columns[*i].name.clone()).collect();
        let time = if self.time.is_some() { "" } else { " on batch time" };
        format!("dedupe{} within {}{time}", show::by(&names), show_duration(self.within))
    }

    fn memory(&self) -> Option<Memory> {
        let key = Fact::columns("the columns that make rows equal", self.key.iter().map(|i| &self.input.columns[*i]));
        let time = match self.time {
            Some(time) => self.input.columns[time.position()].name.clone(),
            None => "batches".into(),
        };
        let facts = vec![key, Fact::meaning("the time of rows", time)];
        let spans = vec![Lasts { name: "within", micros: Some(self.within) }];
        Some(Memory { facts, spans, ..Memory::default() })
    }

    fn migrated(&self, moved: &Moved, tables: Vec<SavedTable>) -> Result<Vec<SavedTable>, TaskError> {
        let before = moved.from.spans.iter().find_map(|span| span.micros.filter(|_| span.name == "within"));
        task::shifted(tables, self.within.saturating_sub(before.unwrap_or(self.within)))
    }

    fn properties(&self) -> Properties {
        let distribution = Distribution::ByKey(vec![self.key.clone()]);
        let time = self.time.map(TimeColumn::position);
        Properties {
            stateful: true,
            keeps_order: true,
            order_matters: true,
            reads: Some(self.key.iter().copied().chain(time).collect()),
            repeats: Some(carry::repeats_all(&self.input)),
            ..Properties::gathering(distribution)
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(DedupeTask::new(self)?)))
    }
}

#[cfg(test)]
mod tests;
