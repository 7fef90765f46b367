//! Expressions to typed expressions: names resolved, casts put in, functions of the user unfolded. One file a
//! family of forms; this one says which. A mistake is reported where it is found, and what comes back instead
//! fits everywhere, so that it is said once.

mod access;
mod aggregates;
mod arithmetic;
mod calls;
mod columns;
mod comparisons;
mod conditions;
mod constants;
mod handling;

use millstream_dsl::ast::{self, ExprKind};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::Checker;
use crate::check::coerce::{self, Misfit};
use crate::model::{Schema, Slot, Type};
use crate::plan::expr::{AggregateCall, Node};
use crate::plan::{Scope, TypedExpr};

pub(super) use columns::suggested;
pub(super) use constants::{constant, value};
pub(super) use handling::{can_fail, sends_bad_rows};

/// How many parts one expression may unfold to: functions that call functions grow fast.
const LARGEST: usize = 200_000;
/// How deep functions may call functions.
const DEEPEST: usize = 48;

/// What an expression may refer to.
pub(super) struct Env<'s> {
    /// Columns, and the record of a fold.
    pub(super) scope: &'s Scope,
    /// Parameters of functions and lambdas, innermost last.
    pub(super) locals: Vec<(String, TypedExpr)>,
    /// Where aggregates may stand: what they are collected into.
    pub(super) aggregates: Option<Aggregates<'s>>,
    /// Whether this is the inside of an aggregate, where no other may stand.
    pub(super) inside_aggregate: bool,
    /// Whether functions of the user are unfolded; not where a function is only defined.
    pub(super) unfolds: bool,
    /// How many functions of the user have been unfolded around this.
    pub(super) depth: usize,
    /// How many parts there are so far.
    pub(super) size: usize,
    /// Whether there are too many, which has been reported.
    pub(super) too_large: bool,
}

/// An aggregation around an expression.
pub(super) struct Aggregates<'s> {
    /// What rows are grouped by.
    pub(super) keys: &'s Schema,
    /// The calls found so far.
    pub(super) calls: &'s mut Vec<AggregateCall>,
}

impl<'s> Env<'s> {
    /// Only the columns of `scope`.
    pub(super) fn new(scope: &'s Scope) -> Self {
        Env {
            scope,
            locals: Vec::new(),
            aggregates: None,
            inside_aggregate: false,
            unfolds: true,
            depth: 0,
            size: 0,
            too_large: false,
        }
    }
}

impl Checker<'_> {
    /// Types an expression.
    pub(super) fn typed(&mut self, expr: &ast::Expr, env: &mut Env<'_>) -> TypedExpr {
        let span = expr.at.0;
        env.size += 1;
        if env.size > LARGEST {
            if !env.too_large {
                env.too_large = true;
                self.report(
                    Diagnostic::error(
                        "nesting-too-deep",
                        span,
                        "the expression is too large once its functions are unfolded",
                    )
                    .label("grows beyond every bound here"),
                );
            }
            return TypedExpr::unknown(span);
        }
        match &expr.kind {
            ExprKind::Broken => TypedExpr::unknown(span),
            ExprKind::Name(name) => self.name(name, span, env),
            ExprKind::Field(of, field) => self.field(of, field, span, env),
            ExprKind::Index(of, index) => self.index(of, index, span, env),
            ExprKind::Literal(literal) => self.literal(literal, span),
            ExprKind::Interpolation(pieces) => self.interpolation(pieces, span, env),
            ExprKind::List(items) => self.list(items, span, env),
            ExprKind::Struct(record) => self.record(record, span, env),
            ExprKind::Call(call) => self.call(call, span, env),
            ExprKind::Lambda(..) => self.misplaced_lambda(span),
            ExprKind::Negate(of) => self.negate(of, span, env),
            ExprKind::Not(of) => self.not(of, span, env),
            ExprKind::Binary(left, ast::BinaryOp::Coalesce, right) => self.coalesce(left, right, span, env),
            ExprKind::Binary(left, op, right) if op.compares() => self.comparison(left, *op, right, span, env),
            ExprKind::Binary(left, op, right) => self.arithmetic(left, *op, right, span, env),
            ExprKind::And(all) => self.junction(all, Node::And, span, env),
            ExprKind::Or(all) => self.junction(all, Node::Or, span, env),
            ExprKind::In(value, negation, list) => self.membership(value, *negation, list, span, env),
            ExprKind::Between(value, negation, low, high) => self.between(value, *negation, low, high, span, env),
            ExprKind::Like(value, negation, pattern) => self.like(value, *negation, pattern, span, env),
            ExprKind::IsNull(value, negation) => self.is_null(value, *negation, span, env),
            ExprKind::Case(case) => self.case(case, span, env),
            ExprKind::Cast(of, ty) => self.cast(of, ty, span, env),
            ExprKind::Try(of) => self.try_(of, span, env),
        }
    }

    /// Types an expression without columns: an option, a parameter's default, a constant.
    pub(super) fn typed_constant(&mut self, expr: &ast::Expr) -> TypedExpr {
        let scope = Scope { place: "a constant".into(), ..Scope::default() };
        self.typed(expr, &mut Env::new(&scope))
    }

    /// Casts to `wanted` where that loses nothing, else reports `type-mismatch`.
    pub(super) fn fitted(&mut self, expr: TypedExpr, wanted: &Slot) -> TypedExpr {
        let span = expr.span;
        let expr = match coerce::fit(expr, &wanted.ty) {
            Ok(expr) => expr,
            Err(unfit) => {
                let problem = match &unfit.why {
                    Misfit::Literal(why) => invalid_literal(&unfit.expr, why, self.text(span)),
                    Misfit::Type => self.type_mismatch(&unfit.expr, wanted),
                };
                self.report(problem);
                return TypedExpr::unknown(span);
            }
        };
        if expr.slot.nullable && !wanted.nullable && !expr.is_unknown() {
            self.report(
                Diagnostic::error("type-mismatch", span, format!("`{}` is wanted, which is never null", wanted.ty))
                    .label("may be null")
                    .help(format!(
                        "say what holds in place of null:\n  {} ?? {}",
                        self.text(span),
                        example_of(&wanted.ty)
                    )),
            );
            return TypedExpr::unknown(span);
        }
        expr
    }

    fn type_mismatch(&self, expr: &TypedExpr, wanted: &Slot) -> Diagnostic {
        let (have, span) = (&expr.slot.ty, expr.span);
        let problem = Diagnostic::error("type-mismatch", span, format!("`{}` is wanted here, not `{have}`", wanted.ty))
            .label(format!("this is `{}`", expr.slot));
        if self.is_yaml_quoted(span) {
            return problem.help("double quotes make a text of it; an expression stands in single quotes or none");
        }
        let text = self.text(span);
        if matches!(expr.node, Node::Literal(_)) {
            return problem.help(format!("for example:\n  {}", example_of(&wanted.ty)));
        }
        match castable(have, &wanted.ty) {
            true if !text.is_empty() && !text.contains('\n') => {
                problem.help(format!("cast it:\n  ({text})::{} ?? {}", wanted.ty, example_of(&wanted.ty)))
            }
            _ => problem,
        }
    }

    /// Types a condition.
    pub(super) fn condition_of(&mut self, expr: &ast::Expr, env: &mut Env<'_>) -> TypedExpr {
        let typed = self.typed(expr, env);
        self.boolean(typed)
    }

    /// Demands a bool.
    pub(super) fn boolean(&mut self, typed: TypedExpr) -> TypedExpr {
        match &typed.slot.ty {
            Type::Bool => typed,
            _ if typed.is_unknown() => typed,
            Type::Null => coerce::cast(typed, &Type::Bool),
            other => {
                let span = typed.span;
                let problem = if self.is_yaml_quoted(span) && *other == Type::String {
                    yaml_quoted(span)
                } else {
                    Diagnostic::error("not-boolean", span, format!("a condition is wanted here, not `{other}`"))
                        .label(format!("this is `{}`", typed.slot))
                        .help(condition_from(other, self.text(span)))
                };
                self.report(problem);
                TypedExpr::unknown(span)
            }
        }
    }
}

pub(super) fn yaml_quoted(span: Span) -> Diagnostic {
    Diagnostic::error("yaml-quoted-expression", span, "double quotes make a text of it, where an expression is wanted")
        .label("a text")
        .help("write it without quotes, or in single ones")
}

fn condition_from(ty: &Type, text: &str) -> String {
    let comparison = match ty {
        Type::String | Type::Json => format!("{text} != \"\""),
        ty if ty.is_number() => format!("{text} != 0"),
        _ => format!("{text} is not null"),
    };
    format!("compare it:\n  {comparison}")
}

pub(super) fn invalid_literal(expr: &TypedExpr, why: &str, text: &str) -> Diagnostic {
    let (why, form) = why.split_once(": ").unwrap_or((why, ""));
    let problem =
        Diagnostic::error("invalid-literal", expr.span, format!("`{text}` {why}")).label("cannot be read as that");
    if form.is_empty() { problem } else { problem.help(form) }
}

/// Whether a written cast leads from one type to the other, be it by way of failures.
pub(super) fn castable(from: &Type, to: &Type) -> bool {
    let plain = |t: &Type| !t.is_nested() && *t != Type::Bytes;
    match (from, to) {
        _ if coerce::widens(from, to) => true,
        (Type::String | Type::Json, to) => {
            plain(to) || *to == Type::Json || (*from == Type::Json) || *to == Type::Bytes
        }
        (_, Type::Json) => true,
        (Type::Bytes, Type::String) => true,
        (from, Type::String) => plain(from),
        (Type::Timestamp(_), Type::Date | Type::Time) => true,
        (Type::Timestamp(_) | Type::Duration, to) if to.is_integer() => *to == Type::Int64,
        (from, Type::Timestamp(_) | Type::Duration) if from.is_integer() => true,
        (Type::Bool, to) => to.is_integer(),
        (from, Type::Bool) => from.is_integer(),
        (Type::List(a), Type::List(b)) => castable(&a.ty, &b.ty),
        (from, to) => from.is_number() && to.is_number(),
    }
}

/// A value of the type, for pasting.
pub(in crate::check) fn example_of(ty: &Type) -> String {
    match ty {
        Type::Bool => "false".into(),
        Type::String => "\"\"".into(),
        Type::Decimal { scale, .. } if *scale > 0 => {
            format!("0.{}", "0".repeat(usize::from(scale.unsigned_abs())))
        }
        Type::Float32 | Type::Float64 => "0e0".into(),
        Type::Date => "date \"2026-01-31\"".into(),
        Type::Time => "time \"00:00:00\"".into(),
        Type::Timestamp(_) => "timestamp \"2026-01-31T00:00:00Z\"".into(),
        Type::Duration => "0s".into(),
        Type::List(_) => "[]".into(),
        ty if ty.is_number() => "0".into(),
        _ => "...".into(),
    }
}
