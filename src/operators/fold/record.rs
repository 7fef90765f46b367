//! The record of a fold: its fields and types follow from `init` and `step` together, because `0.00` alone does not
//! say how large a sum may grow. Types are widened until a step gives what it was given.

use millstream_dsl::{Diagnostic, Span, ast};

use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::StageCall;
use crate::plan::{Scope, StageContext, TypedExpr};

/// A field as written.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its name.
    pub name: ast::Ident,
    /// Its value; of `{ user_id }` the name itself.
    pub value: ast::Expr,
}

/// What is kept, and how it begins and goes on.
#[derive(Debug)]
pub(super) struct Records {
    /// The fields.
    pub state: Schema,
    /// The first record, by field; over nothing.
    pub init: Vec<TypedExpr>,
    /// The next record, by field; over the row's columns, then the record's fields.
    pub step: Vec<TypedExpr>,
}

/// The table of `init from`.
#[derive(Debug)]
pub(super) struct Seed {
    /// Its name, where it is written.
    pub name: ast::Ident,
    /// Its columns.
    pub columns: Schema,
}

/// How often types are widened; the last widening takes the largest decimals.
const ROUNDS: usize = 4;

/// The fields of `{ ... }`, reported where something else stands.
pub(super) fn fields(record: &ast::Expr, clause: &str, ctx: &mut dyn StageContext) -> Option<Vec<Field>> {
    match &record.kind {
        ast::ExprKind::Struct(record) => Some(record.fields.iter().map(field).collect()),
        ast::ExprKind::Broken => None,
        _ => {
            let problem = Diagnostic::error("fold-shape", record.at.0, format!("`{clause}` wants a record"))
                .label("is none")
                .help(format!("name its fields:\n  {clause} {{ total: ... }}"));
            ctx.report(problem);
            None
        }
    }
}

fn field(field: &ast::StructField) -> Field {
    let own_name = || ast::Expr { kind: ast::ExprKind::Name(field.name.name.clone()), at: field.name.at };
    Field { name: field.name.clone(), value: field.value.clone().unwrap_or_else(own_name) }
}

/// Types `init` and `step` until they agree.
pub(super) fn records(
    call: &StageCall<'_>,
    rows: &Scope,
    keys: &[Column],
    seed: Option<&Seed>,
    ctx: &mut dyn StageContext,
) -> Option<Records> {
    let init = call.clause(|kind| match kind {
        ast::ClauseKind::Init(record) => Some(record),
        _ => None,
    });
    let (step, _) = call.clause(|kind| match kind {
        ast::ClauseKind::Step(record) => Some(record),
        _ => None,
    })?;
    let nothing = Scope { inputs: Vec::new(), state: None, place: "`init`".into() };
    let step_fields = fields(step, "step", ctx);
    let begin = match (init, seed) {
        (Some((init, _)), _) => fields(init, "init", ctx)?,
        (None, Some(seed)) => unsaid(seed, keys),
        (None, None) => {
            ctx.report(without_init(call));
            return None;
        }
    };
    let step_fields = step_fields?;
    let typed = begin.iter().map(|f| Column::new(&f.name.name, ctx.expr(&f.value, &nothing).slot));
    let mut first = Schema::new(typed.collect());
    if let (None, Some(seed)) = (init, seed) {
        for column in &mut first.columns {
            column.slot.ty = seed.columns.get(&column.name).map_or(Type::Unknown, |c| c.slot.ty.clone());
        }
    }
    for column in &mut first.columns {
        let of_table = seed.and_then(|seed| seed.columns.get(&column.name));
        column.slot.nullable |= of_table.is_some_and(|c| c.slot.nullable);
    }
    same_fields("step", "init", step.at.0, &step_fields, &first.columns, ctx)?;
    let state = agreed(first, &begin, &step_fields, step.at.0, rows, ctx)?;
    if let Some(seed) = seed {
        refuse_other_shape(seed, keys, &state, ctx);
    }
    let after_row = Scope { state: Some(state.clone()), ..rows.clone() };
    let init = fitted(&begin, &state, &nothing, ctx)?;
    let step = fitted(&step_fields, &state, &after_row, ctx)?;
    Some(Records { state, init, step })
}

/// A null for each field of a table that is no key.
fn unsaid(seed: &Seed, keys: &[Column]) -> Vec<Field> {
    let at = seed.name.at;
    let null = || ast::Expr { kind: ast::ExprKind::Literal(ast::Literal::Null), at };
    let rest = seed.columns.columns.iter().filter(|c| !keys.iter().any(|k| k.name == c.name));
    rest.map(|c| Field { name: ast::Ident { name: c.name.clone(), at }, value: null() }).collect()
}

fn without_init(call: &StageCall<'_>) -> Diagnostic {
    Diagnostic::error("missing-clause", call.stage.name.at.0, "stage `fold` needs the clause `init`")
        .label("what is the record of a key that is new?")
        .help("say how it begins:\n  init { total: 0 }\nor take it from a table:\n  init from seed")
}

/// Types wide enough for every step, found by stepping.
fn agreed(
    first: Schema,
    init: &[Field],
    step: &[Field],
    at: Span,
    rows: &Scope,
    ctx: &mut dyn StageContext,
) -> Option<Schema> {
    let mut state = first;
    for round in 0..ROUNDS {
        let scope = Scope { state: Some(state.clone()), ..rows.clone() };
        let wider = widened(&state, init, step, &scope, round, ctx)?;
        if wider == state {
            return Some(state);
        }
        state = wider;
    }
    ctx.report(growing(at));
    None
}

/// The values of a record's fields in the types of the state.
fn fitted(fields: &[Field], state: &Schema, scope: &Scope, ctx: &mut dyn StageContext) -> Option<Vec<TypedExpr>> {
    let mut value = |column: &Column| {
        let field = fields.iter().find(|f| f.name.name == column.name)?;
        Some(ctx.expr_as(&field.value, scope, &column.slot))
    };
    state.columns.iter().map(&mut value).collect()
}

/// Reports a table that lacks keys or fields, or has them in other types.
fn refuse_other_shape(seed: &Seed, keys: &[Column], state: &Schema, ctx: &mut dyn StageContext) {
    let table = &seed.name.name;
    for wanted in keys.iter().chain(&state.columns) {
        let (name, ty) = (&wanted.name, &wanted.slot.ty);
        let message = match seed.columns.get(name) {
            None => format!("table `{table}` has no column `{name}`"),
            Some(found) if found.slot.ty != *ty && !found.slot.ty.is_unknown() => {
                format!("column `{name}` of `{table}` is `{}`, not `{ty}`", found.slot.ty)
            }
            Some(_) => continue,
        };
        let problem = Diagnostic::error("fold-shape", seed.name.at.0, message)
            .label("must have the key and every field of the record")
            .help("give the table these columns, or the record the table's types in `init`");
        ctx.report(problem);
    }
}

/// The state's types, wide enough for what a step makes of them.
fn widened(
    state: &Schema,
    init: &[Field],
    step: &[Field],
    scope: &Scope,
    round: usize,
    ctx: &mut dyn StageContext,
) -> Option<Schema> {
    let mut columns = Vec::new();
    for column in &state.columns {
        let field = step.iter().find(|f| f.name.name == column.name)?;
        let made = ctx.expr(&field.value, scope);
        let Some(slot) = common(&column.slot, &made.slot, round > 0) else {
            let begins = init.iter().find(|f| f.name.name == column.name).map_or(field.name.at.0, |f| f.value.at.0);
            ctx.report(disagreement(column, &made, begins));
            return None;
        };
        columns.push(Column::new(&column.name, slot));
    }
    Some(Schema::new(columns))
}

fn disagreement(column: &Column, made: &TypedExpr, begins: Span) -> Diagnostic {
    let (name, was, is) = (&column.name, &column.slot.ty, &made.slot.ty);
    Diagnostic::error("fold-shape", made.span, format!("field `{name}` is `{was}` before a step and `{is}` after it"))
        .label(format!("`{is}`"))
        .also(begins, format!("begins as `{was}`"))
        .help(format!("let it begin as `{is}`, or give it another field:\n  init {{ {name}: ..., other: ... }}"))
}

fn growing(at: Span) -> Diagnostic {
    Diagnostic::error("fold-shape", at, "the record's types grow with every step")
        .label("each step gives wider types than it got")
        .help("fix the type of the field that grows, e.g.:\n  step { x: (state.x * rate)::decimal(20, 4)? }")
}

/// Reports fields that one record has and the other has not.
pub(super) fn same_fields(
    clause: &str,
    of: &str,
    at: Span,
    fields: &[Field],
    wanted: &[Column],
    ctx: &mut dyn StageContext,
) -> Option<()> {
    let mut same = true;
    for field in fields.iter().filter(|f| !wanted.iter().any(|c| c.name == f.name.name)) {
        let name = &field.name.name;
        let known: Vec<_> = wanted.iter().map(|c| c.name.as_str()).collect();
        let problem =
            Diagnostic::error("fold-shape", field.name.at.0, format!("field `{name}` of `{clause}` is not in `{of}`"))
                .label(format!("not in `{of}`"))
                .help(format!("`{of}` has {}; add it there, or leave it out here", known.join(", ")));
        ctx.report(problem);
        same = false;
    }
    for column in wanted.iter().filter(|c| !fields.iter().any(|f| f.name.name == c.name)) {
        let name = &column.name;
        let keep = if clause == "step" { format!("state.{name}") } else { "...".into() };
        let problem = Diagnostic::error("fold-shape", at, format!("`{clause}` has no field `{name}`"))
            .label(format!("lacks `{name}`, which `{of}` has"))
            .help(format!("say what becomes of it:\n  {name}: {keep}"));
        ctx.report(problem);
        same = false;
    }
    same.then_some(())
}

/// The type that holds both; of decimals that keep growing the largest.
fn common(a: &Slot, b: &Slot, growing: bool) -> Option<Slot> {
    let nullable = a.nullable || b.nullable;
    let ty = match (&a.ty, &b.ty) {
        (x, y) if x == y => x.clone(),
        (Type::Unknown, other) | (other, Type::Unknown) | (Type::Null, other) | (other, Type::Null) => other.clone(),
        (x, y) if x.is_integer() && y.is_integer() => common_integer(x, y),
        (x, y) if x.is_float() && (y.is_float() || y.is_integer()) || x.is_integer() && y.is_float() => Type::Float64,
        (Type::Decimal { precision: p, scale: s }, Type::Decimal { precision: q, scale: t }) => {
            let scale = *s.max(t);
            let whole = (*p as i16 - i16::from(*s)).max(*q as i16 - i16::from(*t));
            decimal(whole, scale, growing)
        }
        (Type::Decimal { precision, scale }, other) | (other, Type::Decimal { precision, scale })
            if other.is_integer() =>
        {
            decimal((*precision as i16 - i16::from(*scale)).max(19), *scale, growing)
        }
        _ => return None,
    };
    Some(Slot { ty, nullable })
}

fn decimal(whole: i16, scale: i8, growing: bool) -> Type {
    let precision = if growing { 38 } else { (whole + i16::from(scale)).clamp(1, 38) };
    Type::Decimal { precision: precision as u8, scale }
}

fn common_integer(a: &Type, b: &Type) -> Type {
    match (a.integer_bits(), b.integer_bits()) {
        (Some((x, true)), Some((y, true))) | (Some((x, false)), Some((y, false))) => {
            (if x >= y { a } else { b }).clone()
        }
        _ => Type::Int64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(precision: u8, scale: i8) -> Slot {
        Slot::required(Type::Decimal { precision, scale })
    }

    #[test]
    fn a_literal_takes_the_width_of_what_it_is_compared_with() {
        assert_eq!(common(&decimal(3, 2), &decimal(12, 2), false), Some(decimal(12, 2)));
        assert_eq!(common(&decimal(3, 2), &decimal(12, 4), false), Some(decimal(12, 4)));
        assert_eq!(common(&Slot::required(Type::Int64), &decimal(12, 2), false), Some(decimal(21, 2)));
    }

    #[test]
    fn a_sum_that_keeps_growing_gets_the_largest_decimal() {
        assert_eq!(common(&decimal(13, 2), &decimal(14, 2), true), Some(decimal(38, 2)));
        assert_eq!(common(&decimal(38, 2), &decimal(38, 2), true), Some(decimal(38, 2)));
    }

    #[test]
    fn null_begins_as_anything_and_text_is_no_number() {
        let null = Slot::nullable(Type::Null);
        assert_eq!(common(&null, &Slot::required(Type::String), false), Some(Slot::nullable(Type::String)));
        assert_eq!(common(&Slot::required(Type::Int64), &Slot::required(Type::String), false), None);
    }
}
