//! `split small = amount < 10, big = amount >= 100 else to rest`: rows into named streams, the first that fits.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use millstream_dsl::{Diagnostic, ast};

use crate::model::Schema;
use crate::operators::values::{Values, bug};
use crate::operators::{carry, input, show};
use crate::plan::catalog::{Arity, ClauseSpec, Names, StageCall};
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Operator, Planned, Port, Properties, SideOutput, StageContext, StageEntry, TypedExpr};

/// What `split` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("split", "sends each row to the first named stream that fits", "split NAME = CONDITION, ... [else to NAME]")
        .details(
            "Each name becomes a stream like any other. A row for which no condition is true goes to the stream of \
             `else`, or is counted as filtered (`else drop` says that this is meant). The stage hands nothing on itself: \
             go on from one of its streams.",
        )
        .example("split small = amount < 10, big = amount >= 100 else to rest")
        .alias("route")
        .alias("branch")
        .alias("switch");
    let clauses = vec![ClauseSpec::optional("else", "where rows go for which no condition is true")];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1024, names: Names::Streams },
        clauses,
        options: vec![],
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let scope = input::scope(call, ctx);
    let edge = ctx.input().clone();
    let out = carry::carry(&edge, carry::all(&edge.schema));
    let mut branches = Vec::new();
    let mut sides = Vec::new();
    for arg in &call.stage.args {
        let condition = ctx.condition(&arg.value, &scope);
        let Some(name) = arg.names.first() else { continue };
        sides.push(SideOutput { port: Port::Branch(branches.len()), edge: out.clone(), name: Some(name.clone()) });
        branches.push((name.name.clone(), condition));
    }
    let otherwise = call.clause(|kind| match kind {
        ast::ClauseKind::Else(fate) => Some(fate),
        _ => None,
    });
    match otherwise {
        None => ctx.report(unhandled(call)),
        Some((ast::Fate::Word(word), _)) if word.name != "drop" => {
            let problem = Diagnostic::error("unknown-symbol", word.at.0, format!("`else {}` means nothing", word.name))
                .help("write one of:\n  else to rest\n  else drop");
            ctx.report(problem);
        }
        Some((fate, _)) => sides.extend(input::side(Some(fate), Port::Branch(branches.len()), || out.clone())),
    }
    let rest = sides.len() > branches.len() && sides.last().is_some_and(|s| s.name.is_some());
    let operator = Split { branches, rest, input: edge.schema };
    Some(Planned { sides, ..input::passing(call, Box::new(operator), out) })
}

fn unhandled(call: &StageCall<'_>) -> Diagnostic {
    Diagnostic::warning("unhandled-else", input::word_span(call), "rows that fit no condition are dropped")
        .label("has no `else`")
        .help("say where they go:\n  else to rest\nor that they are not wanted:\n  else drop")
        .edit(call.stage.at.0.after(), " else drop")
}

#[derive(Debug, Clone)]
struct Split {
    branches: Vec<(String, TypedExpr)>,
    /// Whether rows that fit no condition go somewhere.
    rest: bool,
    input: Schema,
}

impl Operator for Split {
    fn word(&self) -> &'static str {
        "split"
    }

    fn explain(&self) -> String {
        let one = |(name, condition): &(String, TypedExpr)| format!("{name} = {}", show::plain(condition));
        let branches: Vec<_> = self.branches.iter().map(one).collect();
        format!("split {}{}", branches.join(", "), if self.rest { " else" } else { "" })
    }

    fn properties(&self) -> Properties {
        let conditions = || self.branches.iter().map(|(_, condition)| condition);
        let deterministic = show::deterministic(conditions());
        let repeats = Some(carry::repeats_all(&self.input));
        Properties { deterministic, repeats, ..Properties::row_wise(show::columns_read(conditions())) }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        let branches = self.branches.iter().map(|(name, condition)| (name.clone(), f(condition))).collect();
        Some(Box::new(Split { branches, ..self.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        let conditions = Values::new(self.branches.iter().map(|(_, condition)| condition), &self.input)?;
        Ok(Task::Rows(Box::new(SplitTask { conditions, rest: self.rest, schema: self.input.to_arrow() })))
    }
}

struct SplitTask {
    conditions: Values,
    rest: bool,
    schema: SchemaRef,
}

impl RowTask for SplitTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let computed = self.conditions.eval(block, batch)?;
        let mut evaluated = Evaluated::default();
        let mut taken = vec![false; computed.rows.num_rows()];
        for (branch, condition) in computed.columns.iter().enumerate() {
            let mask = claim(&mut taken, condition.as_boolean());
            push(&mut evaluated, Port::Branch(branch), &computed.rows, &mask)?;
        }
        let rest: BooleanArray = taken.iter().map(|taken| Some(!taken)).collect();
        if self.rest {
            push(&mut evaluated, Port::Branch(computed.columns.len()), &computed.rows, &rest)?;
        } else {
            evaluated.filtered = rest.true_count();
        }
        evaluated.rows.extend(computed.bad.into_rows());
        Ok(evaluated)
    }
}

/// The rows for which the condition is true and that nobody took before; now they are taken.
fn claim(taken: &mut [bool], condition: &BooleanArray) -> BooleanArray {
    let one = |(row, taken): (usize, &mut bool)| {
        let mine = !*taken && condition.is_valid(row) && condition.value(row);
        *taken |= mine;
        Some(mine)
    };
    taken.iter_mut().enumerate().map(one).collect()
}

fn push(to: &mut Evaluated, port: Port, rows: &RecordBatch, mask: &BooleanArray) -> Result<(), TaskError> {
    let rows = filter_record_batch(rows, mask).map_err(bug)?;
    if rows.num_rows() > 0 {
        to.rows.push((port, rows));
    }
    Ok(())
}
