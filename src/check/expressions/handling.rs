//! What can fail and who says what happens then: casts, `??`, `?`.

use millstream_dsl::ast::{self, BinaryOp};
use millstream_dsl::{Diagnostic, Span};

use super::{Env, castable, constant};
use crate::check::checker::Checker;
use crate::check::{coerce, habits};
use crate::model::{Slot, Type};
use crate::plan::TypedExpr;
use crate::plan::catalog::Failure;
use crate::plan::expr::Node;

impl Checker<'_> {
    /// `x::int64`
    pub(super) fn cast(&mut self, of: &ast::Expr, ty: &ast::TypeExpr, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let expr_at = of.at.0;
        let of = self.typed(of, env);
        let mark = self.problems.mark();
        let to = self.type_of(ty);
        if to.ty.is_unknown() && self.problems.errors_since(mark) {
            let text = self.text(expr_at);
            for problem in self.problems.take_since(mark) {
                self.report(habits::whole_cast(problem, text));
            }
        }
        if of.is_unknown() || to.ty.is_unknown() {
            return TypedExpr::unknown(span);
        }
        if !castable(&of.slot.ty, &to.ty) {
            let message = format!("`{}` cannot be cast to `{}`", of.slot.ty, to.ty);
            let problem = Diagnostic::error("invalid-cast", span, message).label("no way from one to the other");
            self.report(problem.also(of.span, format!("this is `{}`", of.slot)));
            return TypedExpr::unknown(span);
        }
        if let Node::Literal(value) = &of.node
            && let Some(adapted) = coerce::adapt(value, &to.ty)
        {
            return self.cast_literal(&of, adapted, &to, span);
        }
        let fails = of.fails || !surely(&of.slot.ty, &to.ty);
        let slot = Slot { ty: to.ty, nullable: of.slot.nullable || to.nullable };
        TypedExpr { node: Node::Cast(Box::new(of)), slot, fails, span }
    }

    /// A literal's cast is tried at once. It stays a cast, so that it does not adapt any more.
    fn cast_literal(
        &mut self,
        of: &TypedExpr,
        adapted: Result<datafusion_common::ScalarValue, String>,
        to: &Slot,
        span: Span,
    ) -> TypedExpr {
        match adapted {
            Ok(value) => {
                let slot = Slot { ty: to.ty.clone(), nullable: value.is_null() || to.nullable };
                let inner = TypedExpr::new(Node::Literal(value), slot.clone(), span);
                TypedExpr::new(Node::Cast(Box::new(inner)), slot, span)
            }
            Err(why) => {
                self.report(super::invalid_literal(of, &why, self.text(of.span)));
                TypedExpr::unknown(span)
            }
        }
    }

    /// `a ?? b`
    pub(super) fn coalesce(&mut self, left: &ast::Expr, right: &ast::Expr, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let left_typed = self.typed(left, env);
        let right_typed = self.typed(right, env);
        if left_typed.is_unknown() || right_typed.is_unknown() {
            return TypedExpr::unknown(span);
        }
        if !left_typed.slot.nullable && !can_fail(&left_typed) {
            let gap = Span { start: left.at.end, end: span.end, ..span };
            let problem = Diagnostic::warning(
                "needless-handling",
                gap,
                "`??` has nothing to do: its left side is never null and cannot fail",
            );
            let text = self.text(span);
            let problem = problem.label("never used").also(left.at.0, format!("always a `{}`", left_typed.slot));
            let behind = usize::try_from(left.at.end.saturating_sub(span.start)).unwrap_or_default();
            self.report(if text.get(..behind).is_some_and(balanced) { problem.edit(gap, "") } else { problem });
        }
        let Some((mut both, ty)) = self.unified(vec![left_typed, right_typed], "the two sides of `??`") else {
            return TypedExpr::unknown(span);
        };
        let (Some(right), Some(left)) = (both.pop(), both.pop()) else { return TypedExpr::unknown(span) };
        let slot = Slot { ty, nullable: right.slot.nullable };
        let fails = right.fails;
        TypedExpr { node: Node::Coalesce(Box::new(left), Box::new(right)), slot, fails, span }
    }

    /// `x?`
    pub(super) fn try_(&mut self, of: &ast::Expr, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let typed = self.typed(of, env);
        if typed.is_unknown() {
            return TypedExpr::unknown(span);
        }
        if !can_fail(&typed) {
            let mark = of.at.0.after().to(span.after());
            let problem = Diagnostic::warning("needless-handling", mark, "`?` has nothing to do: this cannot fail")
                .label("never used")
                .also(of.at.0, if typed.slot.nullable { "may be null, which is no failure" } else { "cannot fail" });
            let text = self.text(of.at.0);
            self.report(match typed.slot.nullable {
                true => problem.help(format!(
                    "say what holds in place of null:\n  {text} ?? {}",
                    super::example_of(&typed.slot.ty)
                )),
                false => problem.edit(mark, ""),
            });
        }
        let slot = typed.slot.clone();
        TypedExpr { node: Node::Try(Box::new(typed)), slot, fails: false, span }
    }

    /// Reports a failure that nobody handles.
    pub(in crate::check) fn handled(&mut self, expr: TypedExpr) -> TypedExpr {
        if !expr.fails || expr.is_unknown() {
            return expr;
        }
        let culprit = culprit(&expr);
        let text = self.text(culprit.span);
        let text = if needs_parentheses(culprit) { format!("({text})") } else { text.to_owned() };
        let default = super::example_of(&culprit.slot.ty);
        self.report(
            Diagnostic::error("unhandled-failure", culprit.span, format!("{} can fail", what(culprit)))
                .label("nothing says what happens then")
                .help(format!(
                    "give a default, or send the row to the bad output of the stage:\n  {text} ?? {default}\n  {text}?"
                )),
        );
        TypedExpr { fails: false, ..expr }
    }
}

fn balanced(text: &str) -> bool {
    text.matches('(').count() == text.matches(')').count()
}

fn needs_parentheses(expr: &TypedExpr) -> bool {
    matches!(expr.node, Node::Binary(..) | Node::Negate(_))
}

/// The innermost part that brings the failure in.
fn culprit(expr: &TypedExpr) -> &TypedExpr {
    let mut at = expr;
    while let Some(child) = at.children().into_iter().find(|c| c.fails && c.span.file == at.span.file) {
        at = child;
    }
    at
}

fn what(expr: &TypedExpr) -> String {
    match &expr.node {
        Node::Cast(of) => format!("the cast from `{}` to `{}`", of.slot.ty, expr.slot.ty),
        Node::Binary(_, BinaryOp::Divide | BinaryOp::Modulo, _) => "this division (by zero)".into(),
        Node::Call { function, .. } => format!("function `{}`", function.doc.name),
        _ => "this".into(),
    }
}

/// Whether a cast gives a value for every value.
fn surely(from: &Type, to: &Type) -> bool {
    let plain_to_text = *to == Type::String && *from != Type::Bytes;
    coerce::widens(from, to)
        || plain_to_text
        || *to == Type::Json && *from != Type::String
        || matches!((from, to), (Type::Timestamp(_), Type::Date | Type::Time))
        || matches!((from, to), (Type::Timestamp(_) | Type::Duration, Type::Int64))
        || matches!((from, to), (Type::Bool, _) | (_, Type::Bool)) && *from != Type::String && *from != Type::Json
        || from.is_number() && to.is_float()
        || matches!((from, to), (Type::List(a), Type::List(b)) if surely(&a.ty, &b.ty) && (b.nullable || !a.nullable))
}

/// Whether anything in it can fail, be it handled by the row's going to the bad output (checked arithmetic).
pub(in crate::check) fn can_fail(expr: &TypedExpr) -> bool {
    if expr.fails {
        return true;
    }
    match &expr.node {
        Node::Coalesce(_, right) => can_fail(right),
        Node::Try(_) => true,
        Node::Binary(_, op, _) if !op.compares() && expr.slot.ty != Type::Float64 && expr.slot.ty != Type::Float32 => {
            true
        }
        Node::Negate(of) => of.slot.ty.is_integer() && constant(of).is_none() || can_fail(of),
        Node::Call { function, .. } if function.failure == Failure::Fallible => true,
        _ => expr.children().into_iter().any(can_fail),
    }
}

/// Whether rows are sent to the bad output on purpose.
pub(in crate::check) fn sends_bad_rows(expr: &TypedExpr) -> bool {
    matches!(expr.node, Node::Try(_)) || expr.children().into_iter().any(sends_bad_rows)
}
