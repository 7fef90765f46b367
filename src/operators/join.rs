//! `left join clicks on ...`: rows of two inputs side by side. Typing is here and in `condition`, `scope` (how
//! partners find each other) and `output` (what comes out). Running starts in `recipe`, what all joins need; `batch`,
//! `bounded`, `window` and `latest` bring the rows together, each in its own way.

mod batch;
mod bounded;
mod condition;
mod latest;
mod meeting;
mod output;
mod pairing;
mod recipe;
mod rows;
mod scope;
mod truth;
mod window;

use std::sync::Arc;

use millstream_dsl::ast::{self, JoinWord};
use millstream_dsl::{Diagnostic, Span};

use crate::model::Schema;
use crate::operators::envelope::envelope;
use crate::operators::join::bounded::{Bounded, Within};
use crate::operators::join::condition::{Condition, Kind, Sides, analyse};
use crate::operators::join::latest::{Latest, Reach};
use crate::operators::join::output::{Inputs, Part};
use crate::operators::join::recipe::Recipe;
use crate::operators::join::rows::Beside;
use crate::operators::join::scope::How;
use crate::operators::join::window::InWindows;
use crate::operators::lifetime::Lifetime;
use crate::operators::sides::{Side, Windowed};
use crate::operators::{input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, OptionKind, StageCall};
use crate::plan::context::Other;
use crate::plan::memory::{Fact, Memory};
use crate::plan::operator::{Distribution, NotRunnable, Task};
use crate::plan::{
    Doc, Edge, Mode, Operator, OptionSpec, Planned, Port, Properties, Scope, StageContext, StageEntry, TypedExpr,
};

/// What `join` is.
pub fn entry() -> StageEntry {
    let usage = "[left | right | full | semi | anti | cross] join NAME [as ALIAS] (using COLUMN, ... | on CONDITION) [per batch | over WINDOW]";
    let doc = Doc::new("join", "puts rows of two inputs side by side", usage)
        .details(include_str!("join/details.md"))
        .example("left join blacklist using user_id")
        .example("anti join blacklist using user_id")
        .example("semi join clicks as c on impressions.ad_id == c.ad_id and c.ts between impressions.ts and impressions.ts + 1h late drop")
        .alias("leftOuterJoin")
        .alias("rightOuterJoin")
        .alias("fullOuterJoin")
        .alias("transformWith")
        .alias("lookup")
        .alias("enrich");
    let clauses = vec![
        ClauseSpec::optional("using", "columns of both sides that must be equal; they come out once"),
        ClauseSpec::optional("on", "what must be true of two partners"),
        ClauseSpec::optional("per batch", "partners are in the same batch"),
        ClauseSpec::optional("over", "partners are in the same window"),
        ClauseSpec::optional("on batch time", "the windows count by the time of batches"),
        ClauseSpec::optional("late", "where rows go that come too late for any partner"),
        ClauseSpec::optional("named", "the name its state is kept under"),
    ];
    let matches =
        &[("all", "every partner"), ("latest", "only the latest partner at or before the row's time: an as-of join")];
    let options =
        vec![OptionSpec::with_default("match", OptionKind::Symbol(matches), "all", "which partners a row gets")];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1, names: Names::Optional },
        clauses,
        options,
        modifiers: true,
        plan: StageEntry::by(plan),
    }
}

/// A join whose inputs and condition are known.
struct Draft<'a> {
    call: &'a StageCall<'a>,
    left: Edge,
    left_name: Option<String>,
    right: Edge,
    right_name: String,
    /// The right side is reference data.
    table: bool,
    /// Keys written as `using`.
    using: Vec<(usize, usize)>,
    condition: Condition,
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let draft = draft(call, ctx)?;
    draft.warn_nullable_keys(ctx);
    let how = draft.how(ctx)?;
    draft.refuse_modifier(&how, ctx)?;
    let inputs = draft.inputs(&how);
    let (mut out, parts) = output::joined(&inputs);
    out.time = output::time(&inputs, &out, &parts, how.wait(inputs.modifier));
    if let How::Window { window, .. } = &how {
        let delay = draft.left.time.as_ref().and_then(|t| t.delay).zip(draft.right.time.as_ref().and_then(|t| t.delay));
        let on_batch_time = matches!(window, Lifetime::BatchWindow(_));
        out = output::windowed(out, delay.map(|(a, b)| a.max(b)));
        out.time = out.time.filter(|_| !on_batch_time);
    }
    refuse_twins(&draft, &out, ctx);
    out.state = draft.state_text(&how);
    let can_be_late = how.can_be_late();
    let late = call.clause(|kind| match kind {
        ast::ClauseKind::Late(fate) => Some(fate),
        _ => None,
    });
    let late = late.map(|(fate, _)| fate).filter(|_| can_be_late);
    let sides = input::side(late, Port::Late, || envelope(&draft.left, &draft.right));
    let span = input::word_span(call);
    let operator = draft.operator(how, parts, out.schema.clone(), ctx.interval());
    Some(Planned { operator: Box::new(operator), out, keeps_qualifiers: true, sides, can_be_late, span })
}

/// Finds the other input and types the condition.
fn draft<'a>(call: &'a StageCall<'a>, ctx: &mut dyn StageContext) -> Option<Draft<'a>> {
    input::refuse_changes(call, ctx);
    let arg = call.stage.args.first()?;
    let ast::ExprKind::Name(name) = &arg.value.kind else {
        let problem =
            Diagnostic::error("wrong-argument", arg.value.at.0, "stage `join` takes the name of a stream or table");
        ctx.report(problem.label("is no name").help("give the stream a name first:\n  stream other = from ..."));
        return None;
    };
    let name = ast::Ident { name: name.clone(), at: arg.value.at };
    let right = ctx.other(&name, Other::StreamOrTable)?;
    let table = ctx.is_table(&name);
    let right_name = arg.names.first().unwrap_or(&name).name.clone();
    let left_name = ctx.input_name().map(str::to_owned);
    if left_name.as_deref() == Some(&right_name) {
        let problem = Diagnostic::error(
            "self-join-alias",
            name.at.0,
            format!("both sides of the join are called `{right_name}`"),
        )
        .label("cannot be told from the left side")
        .help(format!(
            "give the right side a name of its own:\n  join {} as other on {right_name}.id == other.id",
            name.name
        ));
        ctx.report(problem);
        return None;
    }
    if let Mode::Changes { .. } = right.mode {
        let problem = Diagnostic::error("changes-not-accepted", name.at.0, "stage `join` does not take changes")
            .label("updates earlier results")
            .help("give its aggregate a scope whose results are final:\n  over tumbling(1m)");
        ctx.report(problem);
    }
    let left = ctx.input().clone();
    let mut draft =
        Draft { call, left, left_name, right, right_name, table, using: Vec::new(), condition: Condition::default() };
    draft.read_condition(ctx)?;
    Some(draft)
}

/// Reports columns that not even a qualifier tells apart: the same input joined twice, `window_start` of both sides.
fn refuse_twins(draft: &Draft<'_>, out: &Edge, ctx: &mut dyn StageContext) {
    let at = draft.call.stage.name.at.0;
    let names: Vec<_> = out.schema.names().map(|name| (name.to_owned(), at)).collect();
    input::refuse_twins(&names, ctx);
}

impl Draft<'_> {
    fn modifier(&self) -> Option<JoinWord> {
        self.call.stage.modifier
    }

    fn word_span(&self) -> Span {
        input::word_span(self.call)
    }

    fn sides(&self) -> Sides {
        let position = |edge: &Edge| edge.time.as_ref().and_then(|t| edge.schema.position(&t.column));
        Sides {
            left_width: self.left.schema.columns.len(),
            left_time: position(&self.left),
            right_time: position(&self.right),
        }
    }

    fn inputs<'b>(&'b self, how: &How) -> Inputs<'b> {
        Inputs {
            left: &self.left,
            left_name: self.left_name.as_deref(),
            right: &self.right,
            right_name: &self.right_name,
            modifier: self.modifier(),
            using: &self.using,
            one_partner: how.latest() || self.right_is_unique(),
        }
    }

    /// Whether the equalities hold for at most one right row.
    fn right_is_unique(&self) -> bool {
        let equal: Vec<_> =
            self.condition.pairs.iter().map(|(_, r)| self.right.schema.columns[*r].name.as_str()).collect();
        self.right.unique.iter().any(|set| !set.is_empty() && set.iter().all(|name| equal.contains(&name.as_str())))
    }

    fn read_condition(&mut self, ctx: &mut dyn StageContext) -> Option<()> {
        let using = self.call.clause(|kind| match kind {
            ast::ClauseKind::Using(names) => Some(names),
            _ => None,
        });
        let on = self.call.clause(|kind| match kind {
            ast::ClauseKind::On(condition) => Some(condition),
            _ => None,
        });
        let cross = self.modifier() == Some(JoinWord::Cross);
        match (using, on) {
            (Some((_, clause)), _) | (None, Some((_, clause))) if cross => {
                let problem = Diagnostic::error("misplaced-clause", clause.at.0, "a `cross join` has no condition")
                    .label("is no condition of every pair")
                    .help("leave out `cross`, or the condition");
                ctx.report(problem);
                None
            }
            (Some((_, first)), Some((_, second))) => {
                let problem = Diagnostic::error("duplicate-clause", second.at.0, "a join has one condition")
                    .label("a second one")
                    .also(first.at.0, "the first")
                    .help("put everything into one:\n  on a.id == b.id and ...");
                ctx.report(problem);
                None
            }
            (Some((names, _)), None) => self.read_using(names, ctx),
            (None, Some((condition, _))) => {
                self.read_on(condition, ctx);
                Some(())
            }
            (None, None) if cross => Some(()),
            (None, None) => {
                let problem = Diagnostic::error("missing-clause", self.word_span(), "a join wants a condition")
                    .label("has neither `using` nor `on`")
                    .help(format!("say what makes two rows partners:\n  join {} using id", self.right_name));
                ctx.report(problem);
                None
            }
        }
    }

    fn read_on(&mut self, condition: &ast::Expr, ctx: &mut dyn StageContext) {
        let inputs =
            vec![(self.left_name.clone(), self.left.clone()), (Some(self.right_name.clone()), self.right.clone())];
        let scope = Scope { inputs, state: None, place: "`join`".into() };
        let typed = ctx.condition(condition, &scope);
        let unknown = typed.is_unknown();
        self.condition = analyse(typed, self.sides());
        if self.condition.pairs.is_empty() && !unknown && self.condition.bounds.both() != Some((0, 0)) {
            let problem =
                Diagnostic::warning("cross-join", condition.at.0, "the join compares every row with every row")
                    .label("no column of one side equals one of the other")
                    .help(format!(
                        "add an equality where there is one:\n  on {}.id == {}.id and ...",
                        self.left_called(),
                        self.right_name
                    ));
            ctx.report(problem);
        }
    }

    fn read_using(&mut self, names: &[ast::Ident], ctx: &mut dyn StageContext) -> Option<()> {
        let mut complete = true;
        for name in names {
            let place = |edge: &Edge| edge.schema.position(&name.name);
            let (left, right) = (place(&self.left), place(&self.right));
            if let (Some(left), Some(right)) = (left, right) {
                complete &= self.add_using(name, left, right, ctx);
            } else {
                let lacking = if left.is_none() { self.left_called() } else { &self.right_name };
                let message = format!("column `{}` does not exist in `{lacking}`", name.name);
                let problem = Diagnostic::error("unknown-column", name.at.0, message)
                    .label("must be a column of both sides")
                    .help(format!(
                        "compare columns of different names with `on`:\n  on {}.{} == {}.id",
                        self.left_called(),
                        name.name,
                        self.right_name
                    ));
                ctx.report(problem);
                complete = false;
            }
        }
        complete.then_some(())
    }

    fn add_using(&mut self, name: &ast::Ident, left: usize, right: usize, ctx: &mut dyn StageContext) -> bool {
        let (l, r) = (&self.left.schema.columns[left].slot.ty, &self.right.schema.columns[right].slot.ty);
        if l != r && !l.is_unknown() && !r.is_unknown() {
            let problem =
                Diagnostic::error("type-mismatch", name.at.0, format!("key `{}` is `{l}` and `{r}`", name.name))
                    .label(format!("`{l}` on the left, `{r}` in `{}`", self.right_name))
                    .help(format!("give the left one the other's type first:\n  |> extend {0} = {0}::{r}", name.name));
            ctx.report(problem);
            return false;
        }
        let sides = self.sides();
        if sides.left_time == Some(left) && sides.right_time == Some(right) {
            self.condition.bounds = condition::Bounds { lower: Some(0), upper: Some(0) };
        }
        self.using.push((left, right));
        self.condition.pairs.push((left, right));
        true
    }

    /// What to call the left side.
    fn left_called(&self) -> &str {
        self.left_name.as_deref().unwrap_or("left")
    }

    /// Null is equal to nothing, so rows with a null key disappear where partners are demanded.
    fn warn_nullable_keys(&self, ctx: &mut dyn StageContext) {
        if !matches!(self.modifier(), None | Some(JoinWord::Semi)) {
            return;
        }
        for (left, right) in &self.condition.pairs {
            let keys = [&self.left.schema.columns[*left], &self.right.schema.columns[*right]];
            let nullable = if self.table { &keys[..1] } else { &keys[..] };
            input::warn_nullable_keys(
                self.word_span(),
                nullable,
                "a row without the key has no partner and is left out",
                ctx,
            );
        }
    }

    fn operator(self, how: How, parts: Vec<Part>, output: Schema, interval: i64) -> Join {
        let sides = self.sides();
        let older = |edge: &Edge| i64::from(edge.time.as_ref().is_some_and(|time| time.ends_window));
        Join {
            modifier: self.modifier(),
            times: (sides.left_time, sides.right_time),
            older: (older(&self.left), older(&self.right)),
            left: self.left.schema,
            right: self.right.schema,
            right_name: self.right_name,
            table: self.table,
            condition: self.condition,
            using: self.using.len(),
            how,
            interval,
            parts,
            output,
            known: Arc::default(),
        }
    }
}

/// Two inputs side by side.
#[derive(Debug, Clone)]
struct Join {
    modifier: Option<JoinWord>,
    left: Schema,
    right: Schema,
    /// The columns of event time.
    times: (Option<usize>, Option<usize>),
    /// 1 where they hold ends of windows: a row is a microsecond older than they say.
    older: (i64, i64),
    right_name: String,
    /// The right input is reference data, whole in every task.
    table: bool,
    condition: Condition,
    /// How many of the equalities were written as `using`.
    using: usize,
    how: How,
    /// How often a batch comes, in microseconds.
    interval: i64,
    /// Where the columns that come out come from, behind those of the window.
    parts: Vec<Part>,
    output: Schema,
    /// The table, hashed once for all tasks.
    known: Arc<batch::Known>,
}

impl Operator for Join {
    fn word(&self) -> &'static str {
        "join"
    }

    fn explain(&self) -> String {
        let modifier = self.modifier.map(|m| format!("{} ", m.word())).unwrap_or_default();
        let condition = if self.using > 0 {
            let names: Vec<_> =
                self.condition.pairs.iter().map(|(left, _)| self.left.columns[*left].name.clone()).collect();
            format!(" using {}", names.join(", "))
        } else {
            let parts: Vec<_> = self.condition.all.iter().map(show::plain).collect();
            if parts.is_empty() { String::new() } else { format!(" on {}", parts.join(" and ")) }
        };
        format!("{modifier}join {}{condition}{}", self.right_name, self.how)
    }

    fn properties(&self) -> Properties {
        let (left, right): (Vec<_>, Vec<_>) = self.condition.pairs.iter().copied().unzip();
        let distribution = match (self.table, left.is_empty()) {
            (true, _) => Distribution::Beside { whole: vec![1] },
            (false, true) => Distribution::Single,
            (false, false) => Distribution::ByKey(vec![left, right]),
        };
        Properties {
            stateful: self.how.stateful(),
            keeps_order: self.table,
            order_matters: self.how.latest(),
            deterministic: show::deterministic(&self.condition.all),
            repeats: Some(self.repeats()),
            mark_lag: self.how.lag(self.modifier, self.older),
            ..Properties::gathering(distribution)
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(match &self.how {
            How::Table => return batch::of_table(self.recipe(beside_a_table)?, Arc::clone(&self.known)),
            How::LatestOfTable { lower, upper } => {
                let reach = Reach { lower: *lower, upper: *upper };
                let recipe = self.recipe(beside_a_table_by_time)?;
                return latest::of_table(recipe, reach, Arc::clone(&self.known));
            }
            How::Batch => return batch::of_streams(self.recipe(by_key)?),
            How::Window { window } => {
                Box::new(InWindows::new(self.recipe(by_key)?, Windowed::new(window, self.interval)?)?)
            }
            How::Bounded { lower, upper, latest: false } => {
                Box::new(Bounded::new(self.recipe(within_bounds)?, Within { lower: *lower, upper: *upper })?)
            }
            How::Bounded { lower, upper, latest: true } => {
                let reach = Reach { lower: Some(*lower), upper: *upper };
                Box::new(Latest::new(self.recipe(within_bounds)?, reach)?)
            }
            How::Latest { upper } => {
                let reach = Reach { lower: None, upper: *upper };
                Box::new(Latest::new(self.recipe(within_bounds)?, reach)?)
            }
        }))
    }

    fn memory(&self) -> Option<Memory> {
        if !self.how.stateful() {
            return None;
        }
        let condition: Vec<_> = self.condition.all.iter().map(show::plain).collect();
        let time = |side: &Schema, column: Option<usize>| column.map(|i| side.columns[i].name.clone());
        let times = [time(&self.left, self.times.0), time(&self.right, self.times.1)].map(Option::unwrap_or_default);
        let facts = vec![
            Fact::layout("the condition", format!("{}{}", condition.join(" and "), self.how)),
            Fact::layout("the kind of join", self.modifier.map_or("join", |modifier| modifier.word())),
            Fact::columns("the columns on the left", &self.left.columns),
            Fact::columns("the columns on the right", &self.right.columns),
            Fact::meaning("the time of rows", times.join(", ")),
        ];
        Some(Memory { facts, ..Memory::default() })
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        let mut same = self.clone();
        same.condition.all = self.condition.all.iter().map(f).collect();
        same.known = Arc::default();
        Some(Box::new(same))
    }
}

impl Join {
    /// What all ways of running it need.
    fn recipe(&self, mine: fn(Kind) -> Kind) -> Result<Recipe, NotRunnable> {
        let (left_keys, right_keys) = self.condition.pairs.iter().copied().unzip();
        let time = |column: Option<usize>, older| column.map(|column| (column, older));
        let left = Side::new("left", &self.left, left_keys, time(self.times.0, self.older.0));
        let right = Side::new("right", &self.right, right_keys, time(self.times.1, self.older.1));
        let out = Beside { parts: self.parts.clone(), schema: self.output.to_arrow() };
        Recipe::new(self.modifier, ((left, &self.left), (right, &self.right)), &self.condition, mine, out)
    }

    /// Which input's column each column that comes out repeats in every row, so that it does not matter whether rows
    /// are chosen by it before or after. Of an as-of join's right side it does: another row would be the latest.
    fn repeats(&self) -> Vec<Option<(usize, usize)>> {
        let left_misses = matches!(self.modifier, Some(JoinWord::Right | JoinWord::Full));
        let right_misses = self.how.latest() || matches!(self.modifier, Some(JoinWord::Left | JoinWord::Full));
        let window = self.output.columns.len() - self.parts.len();
        let of_sides = self.parts.iter().map(|part| match part {
            Part::Left(i) | Part::Key(i, _) if !left_misses => Some((0, *i)),
            Part::Right(i) | Part::Key(_, i) if !right_misses => Some((1, *i)),
            _ => None,
        });
        std::iter::repeat_n(None, window).chain(of_sides).collect()
    }
}

/// Equalities bring rows together, everything else is asked of them.
fn by_key(kind: Kind) -> Kind {
    if kind == Kind::Bound { Kind::Both } else { kind }
}

/// Of a table's rows everything is asked together with the row that looks them up.
fn beside_a_table(kind: Kind) -> Kind {
    if matches!(kind, Kind::Bound | Kind::Right) { Kind::Both } else { kind }
}

/// The same, where bounds are looked after.
fn beside_a_table_by_time(kind: Kind) -> Kind {
    if kind == Kind::Right { Kind::Both } else { kind }
}

/// Equalities and bounds bring rows together.
fn within_bounds(kind: Kind) -> Kind {
    kind
}

#[cfg(test)]
pub(super) mod tests;
