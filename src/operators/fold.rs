//! `fold by user_id running ttl 7d init {..} step {..} yield {..}`: state of one's own. Typing is here and in
//! `record` (what the state looks like); what runs in `task`,
//! `rounds`, `output` and `saved`.

mod output;
mod record;
mod rounds;
mod saved;
mod task;

use millstream_dsl::{Diagnostic, Span, ast};

use crate::model::{Column, Schema, Slot};
use crate::operators::carry;
use crate::operators::fold::record::{Field, Records, Seed, fields};
use crate::operators::fold::task::FoldTask;
use crate::operators::lateness::TimeColumn;
use crate::operators::lifetime::{self, Lifetime, Remembered, lifetime};
use crate::operators::projection::projected;
use crate::operators::{input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, OptionKind, StageCall};
use crate::plan::memory::{Fact, Lasts, Memory};
use crate::plan::operator::{Distribution, NotRunnable, Task};
use crate::plan::{
    Doc, Edge, Guarantee, Operator, OptionSpec, Planned, Port, Properties, Scope, SideOutput, StageContext, StageEntry,
    TypedExpr,
};

/// What `fold` is.
pub fn entry() -> StageEntry {
    let usage = "fold [by COLUMN, ...] (running ttl DURATION | per batch) (init { ... } | init from TABLE) step { ... } [yield { ... }] [on expiry { ... }]";
    let doc = Doc::new("fold", "keeps a record of your own for each key, and steps it with every row", usage)
        .details(include_str!("fold/details.md"))
        .example("fold by user_id running ttl 7d init { best: 0.00 } step { best: greatest(state.best, amount) } yield { user_id, best: state.best }")
        .alias("mapWithState")
        .alias("flatMapGroupsWithState")
        .alias("mapGroupsWithState")
        .alias("transformWithState")
        .alias("scan")
        .alias("reduce");
    let clauses = vec![
        ClauseSpec::optional("by", "the columns each of whose values has its own record"),
        ClauseSpec::optional("running", "how long a record lives without rows"),
        ClauseSpec::optional("per batch", "records are forgotten after each batch"),
        ClauseSpec::optional("on batch time", "the ttl counts by the time of batches, not of rows"),
        ClauseSpec::optional("init", "the record of a key that is new"),
        ClauseSpec::optional("init from", "a table with records to start from"),
        ClauseSpec::required("step", "the record after a row; `state.` is the one before it"),
        ClauseSpec::optional("yield", "what comes out for a row; `state.` is the record after it"),
        ClauseSpec::optional("on expiry", "what comes out when a record's time is over"),
        ClauseSpec::optional("named", "the name its state is kept under"),
    ];
    let options = vec![OptionSpec::with_default(
        "every_batch",
        OptionKind::Bool,
        "false",
        "a row comes out for every key with every batch instead of for every row",
    )];
    StageEntry {
        doc,
        arity: Arity { min: 0, max: 0, names: Names::Never },
        clauses,
        options,
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let rows = input::scope(call, ctx);
    let by = call.clause(|kind| match kind {
        ast::ClauseKind::By(items) => Some(items),
        _ => None,
    });
    let key = by.map(|(items, _)| input::key_columns(items, &rows, ctx)).unwrap_or_default();
    let edge = ctx.input().clone();
    let key_columns: Vec<_> = key.iter().map(|i| edge.schema.columns[*i].clone()).collect();
    let key_names: Vec<_> = key_columns.iter().map(|c| c.name.clone()).collect();
    let of = Remembered { what: "record", keys: &key_names, windows: false };
    let lives = lifetime(call, of, ctx);
    let seed = seed(call, ctx);
    let records = record::records(call, &rows, &key_columns, seed.as_ref(), ctx);
    let (lives, records) = (lives?, records?);
    warn_nondeterministic(&records, &lives, ctx);
    let every_batch = call.options.flag("every_batch");
    let keys_only = Scope {
        inputs: vec![(None, Edge::append(Schema::new(key_columns.clone())))],
        state: Some(records.state.clone()),
        place: rows.place.clone(),
    };
    let after = if every_batch { keys_only.clone() } else { Scope { state: Some(records.state.clone()), ..rows } };
    let yields = yields(call, &key_columns, &records.state, &after, ctx)?;
    let expiry = expiry(call, &yields, &keys_only, &lives, ctx);
    let mut out = result_edge(&edge, &yields, expiry.as_deref(), every_batch);
    out.state = lifetime::state_text(&lives, of, edge.time.as_ref());
    let seed = match seed {
        Some(seed) => Some(seed_columns(seed, &key_names, &records.state)?),
        None => None,
    };
    let time = TimeColumn::of(&edge);
    let (input, output) = (edge.schema, out.schema.clone());
    let operator = Fold { key, key_names, lives, records, seed, yields, expiry, every_batch, time, input, output };
    let sides = if operator.seed.is_some() { vec![bad_rows(&operator.input, out.guarantee)] } else { Vec::new() };
    let passing = input::passing(call, Box::new(operator), out);
    Some(Planned { keeps_qualifiers: false, sides, span: call.stage.at.0, ..passing })
}

/// The table of `init from`.
fn seed(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Seed> {
    let (name, _) = call.clause(|kind| match kind {
        ast::ClauseKind::InitFrom(name) => Some(name),
        _ => None,
    })?;
    let table = ctx.other(name, crate::plan::context::Other::Table)?;
    Some(Seed { name: name.clone(), columns: table.schema })
}

/// Bad rows are rows that came in, also where a table is the second input: its rows are never bad.
fn bad_rows(input: &Schema, guarantee: Guarantee) -> SideOutput {
    let columns = carry::aside(&Edge::append(input.clone()));
    SideOutput { port: Port::Bad, edge: Edge { guarantee, ..Edge::append(Schema::new(columns)) }, name: None }
}

/// Where key and record stand in the table; none where something is missing, which was reported.
fn seed_columns(seed: Seed, keys: &[String], state: &Schema) -> Option<SeedTable> {
    let key = keys.iter().map(|name| seed.columns.position(name)).collect::<Option<_>>()?;
    let fields = state.names().map(|name| seed.columns.position(name)).collect::<Option<_>>()?;
    Some(SeedTable { name: seed.name.name, key, fields })
}

fn warn_nondeterministic(records: &Records, lives: &Lifetime, ctx: &mut dyn StageContext) {
    if *lives == Lifetime::Batch {
        return;
    }
    let Some((function, at)) = records.init.iter().chain(&records.step).find_map(show::volatile_call) else { return };
    let problem =
        Diagnostic::warning("nondeterministic-state", at, format!("function `{function}` puts chance into the state"))
            .label("gives another result when a batch is run again")
            .help("use what is recorded with the batch, e.g. `now()`, or a column");
    ctx.report(problem);
}

/// What comes out for a row: as written, or key and record.
fn yields(
    call: &StageCall<'_>,
    keys: &[Column],
    state: &Schema,
    scope: &Scope,
    ctx: &mut dyn StageContext,
) -> Option<Vec<(String, TypedExpr)>> {
    let written = call.clause(|kind| match kind {
        ast::ClauseKind::Yield(record) => Some(record),
        _ => None,
    });
    let Some((record, _)) = written else { return Some(key_and_state(call.stage.at.0, keys, state, scope)) };
    let fields = fields(record, "yield", ctx)?;
    let spans: Vec<_> = fields.iter().map(|f| (f.name.name.clone(), f.name.at.0)).collect();
    input::refuse_twins(&spans, ctx);
    Some(fields.iter().map(|field| (field.name.name.clone(), ctx.expr(&field.value, scope))).collect())
}

fn key_and_state(at: Span, keys: &[Column], state: &Schema, scope: &Scope) -> Vec<(String, TypedExpr)> {
    let input = &scope.inputs[0].1.schema;
    let width = input.columns.len();
    let key = |c: &Column| Some((c.name.clone(), TypedExpr::column(input.position(&c.name)?, c, at)));
    let field = |(i, c): (usize, &Column)| (c.name.clone(), TypedExpr::column(width + i, c, at));
    keys.iter().filter_map(key).chain(state.columns.iter().enumerate().map(field)).collect()
}

/// What comes out when a record's time is over: the same columns.
fn expiry(
    call: &StageCall<'_>,
    yields: &[(String, TypedExpr)],
    scope: &Scope,
    lives: &Lifetime,
    ctx: &mut dyn StageContext,
) -> Option<Vec<TypedExpr>> {
    let (record, clause) = call.clause(|kind| match kind {
        ast::ClauseKind::OnExpiry(record) => Some(record),
        _ => None,
    })?;
    if !matches!(lives, Lifetime::Running { ttl: Some(_), .. }) {
        let problem = Diagnostic::error("misplaced-clause", clause.at.0, "clause `on expiry` does not belong here")
            .label(format!("nothing expires with `{lives}`"))
            .help("leave it out, or say how long a record lives:\n  running ttl 7d");
        ctx.report(problem);
    }
    let fields = fields(record, "on expiry", ctx)?;
    let columns = yields.iter().map(|(name, value)| Column::new(name, Slot { nullable: true, ..value.slot.clone() }));
    let columns: Vec<_> = columns.collect();
    record::same_fields("on expiry", "yield", record.at.0, &fields, &columns, ctx)?;
    let value = |column: &Column| {
        let field: &Field = fields.iter().find(|f| f.name.name == column.name)?;
        Some(ctx.expr_as(&field.value, scope, &column.slot))
    };
    columns.iter().map(value).collect()
}

fn result_edge(input: &Edge, yields: &[(String, TypedExpr)], expiry: Option<&[TypedExpr]>, every_batch: bool) -> Edge {
    let mut columns: Vec<_> = yields.iter().map(|(name, value)| projected(name, value)).collect();
    let width = input.schema.columns.len();
    for (i, column) in columns.iter_mut().enumerate() {
        column.column.slot.nullable |= expiry.is_some_and(|all| all[i].slot.nullable);
        let repeats_row = expiry.is_none() && !every_batch;
        column.from = column.from.filter(|from| repeats_row && *from < width);
    }
    let mut out = carry::carry(input, columns);
    out.qualified.clear();
    out
}

/// A record for each key.
#[derive(Debug)]
struct Fold {
    /// Positions of the key columns.
    key: Vec<usize>,
    key_names: Vec<String>,
    lives: Lifetime,
    records: Records,
    /// The table that records start from.
    seed: Option<SeedTable>,
    /// What comes out for a row, over its columns and then the record.
    yields: Vec<(String, TypedExpr)>,
    /// What comes out for an expired record, over the key and then the record.
    expiry: Option<Vec<TypedExpr>>,
    /// Comes out for every key with every batch, over the key and then the record.
    every_batch: bool,
    /// Where the rows' event time stands.
    time: Option<TimeColumn>,
    input: Schema,
    output: Schema,
}

/// A table of records.
#[derive(Debug)]
struct SeedTable {
    name: String,
    /// Positions of the key columns, in the order of the stage's.
    key: Vec<usize>,
    /// Positions of the record's fields, in their order.
    fields: Vec<usize>,
}

impl Operator for Fold {
    fn word(&self) -> &'static str {
        "fold"
    }

    fn explain(&self) -> String {
        let step = self.records.state.names().zip(&self.records.step);
        let step: Vec<_> = step.map(|(name, value)| format!("{name}: {}", show::plain(value))).collect();
        let yields: Vec<_> = self.yields.iter().map(|(name, value)| show::named(value, name)).collect();
        let seed = self.seed.as_ref().map(|table| format!(" from {}", table.name)).unwrap_or_default();
        let expiry = if self.expiry.is_some() { " and on expiry" } else { "" };
        let every = if self.every_batch { " every batch" } else { "" };
        let by = show::by(&self.key_names);
        format!("fold{by} {}{seed} step {} yield {}{every}{expiry}", self.lives, step.join(", "), yields.join(", "))
    }

    fn memory(&self) -> Option<Memory> {
        let values = |values: &[TypedExpr]| values.iter().map(show::plain).collect::<Vec<_>>().join(", ");
        let (scope, ttl) = match &self.lives {
            Lifetime::Batch => return None,
            Lifetime::Running { ttl, event_time: true } => ("running".to_owned(), Some(*ttl)),
            Lifetime::Running { ttl, event_time: false } => ("running on batch time".to_owned(), Some(*ttl)),
            lives => (lives.to_string(), None),
        };
        let seed = self.seed.as_ref().map_or("", |table| &table.name);
        let facts = vec![
            Fact::columns("the key", self.key.iter().map(|i| &self.input.columns[*i])),
            Fact::layout("the scope", scope),
            Fact::columns("the record", &self.records.state.columns),
            Fact::meaning("the first record", format!("{}{seed}", values(&self.records.init))),
            Fact::meaning("the step", values(&self.records.step)),
            Fact::meaning("the time of rows", self.time.map_or("", |t| &self.input.columns[t.position()].name)),
        ];
        let yields: Vec<_> = self.yields.iter().map(|(name, value)| show::named(value, name)).collect();
        let expiry = self.expiry.as_ref().map(|all| values(all)).unwrap_or_default();
        let output = format!("{} {} {expiry}", yields.join(", "), self.every_batch);
        let spans = ttl.map(|micros| Lasts { name: "ttl", micros }).into_iter().collect();
        Some(Memory { facts, spans, output, ..Memory::default() })
    }

    fn properties(&self) -> Properties {
        let inputs = std::iter::once(self.key.clone()).chain(self.seed.as_ref().map(|table| table.key.clone()));
        let distribution =
            if self.key.is_empty() { Distribution::Single } else { Distribution::ByKey(inputs.collect()) };
        let values =
            || self.records.init.iter().chain(&self.records.step).chain(self.yields.iter().map(|(_, value)| value));
        let deterministic = show::deterministic(values());
        Properties {
            stateful: self.lives != Lifetime::Batch,
            keeps_order: !self.every_batch,
            order_matters: true,
            deterministic,
            ..Properties::gathering(distribution)
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(FoldTask::new(self)?)))
    }
}

#[cfg(test)]
mod tests;
