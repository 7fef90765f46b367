//! `+ - * / %` and the minus sign: numbers exactly, moments with durations.

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{self, BinaryOp};
use millstream_dsl::{Diagnostic, Span};

use super::{Env, constant};
use crate::check::checker::Checker;
use crate::check::coerce;
use crate::model::{Slot, Type};
use crate::plan::TypedExpr;
use crate::plan::expr::Node;

impl Checker<'_> {
    /// `a + b`
    pub(super) fn arithmetic(
        &mut self,
        left: &ast::Expr,
        op: BinaryOp,
        right: &ast::Expr,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let mark = self.problems.mark();
        let first = left.at.0;
        let left = self.typed(left, env);
        let found = self.problems.take_since(mark);
        for problem in found {
            let joins = problem.code == "wrong-operand" && problem.span() == first && op == BinaryOp::Add;
            self.report(if joins { self.longer_text(problem, right, span) } else { problem });
        }
        let right = self.typed(right, env);
        if left.is_unknown() || right.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let (left, right) = adapted(left, right);
        if left.slot.ty.is_number() && right.slot.ty.is_number() {
            return self.numbers(left, op, right, span);
        }
        match moments(&left.slot.ty, op, &right.slot.ty) {
            Some((left_ty, right_ty, result)) => {
                let fails = op == BinaryOp::Divide && !is_nonzero(&right);
                let (left, right) = (coerce::to(left, &left_ty), coerce::to(right, &right_ty));
                binary(left, op, right, result, fails, span)
            }
            None => {
                self.report(self.wrong_operands(&left, op, &right, span));
                TypedExpr::unknown(span)
            }
        }
    }

    /// `a + b + c`: the message about `a + b` grows by `c`.
    fn longer_text(&self, mut problem: Diagnostic, right: &ast::Expr, span: Span) -> Diagnostic {
        let longer = problem.help.as_deref().filter(|help| help.starts_with(JOINED)).and_then(|h| h.strip_suffix('"'));
        if let Some(help) = longer.map(|help| format!("{help}{}\"", piece(self.text(right.at.0)))) {
            if let Some(label) = problem.labels.first_mut() {
                label.span = span;
            }
            problem.help = Some(help);
        }
        problem
    }

    fn numbers(&mut self, left: TypedExpr, op: BinaryOp, right: TypedExpr, span: Span) -> TypedExpr {
        let decimal = |e: &TypedExpr| matches!(e.slot.ty, Type::Decimal { .. });
        if decimal(&left) && right.slot.ty.is_float() || decimal(&right) && left.slot.ty.is_float() {
            self.report(self.mixed(&left, &right, span));
            return TypedExpr::unknown(span);
        }
        if decimal(&left) || decimal(&right) {
            return self.decimals(left, op, right, span);
        }
        let Some(ty) = coerce::common(&left.slot.ty, &right.slot.ty) else {
            self.report(self.wrong_operands(&left, op, &right, span));
            return TypedExpr::unknown(span);
        };
        if matches!(ty, Type::Decimal { .. }) {
            return self.decimals(left, op, right, span);
        }
        let divides = matches!(op, BinaryOp::Divide | BinaryOp::Modulo);
        let fails = divides && ty.is_integer() && !is_nonzero(&right);
        let (left, right) = (coerce::to(left, &ty), coerce::to(right, &ty));
        binary(left, op, right, ty, fails, span)
    }

    /// Decimals keep their own scales, so that the result is exact; whole numbers become decimals first.
    fn decimals(&mut self, left: TypedExpr, op: BinaryOp, right: TypedExpr, span: Span) -> TypedExpr {
        let as_decimal = |e: TypedExpr| match coerce::integer_decimal(&e.slot.ty) {
            Some(ty) => coerce::to(e, &ty),
            None => e,
        };
        let (left, right) = (as_decimal(left), as_decimal(right));
        let Some(result) = decimal_result(&left.slot.ty, op, &right.slot.ty) else {
            let message =
                format!("`{}` and `{}` have more digits together than a decimal holds", left.slot.ty, right.slot.ty);
            self.report(
                Diagnostic::error("wrong-operand", span, message)
                    .label("38 digits at most")
                    .help("make one of them smaller:\n  (x)::decimal(18, 2)?"),
            );
            return TypedExpr::unknown(span);
        };
        let fails = matches!(op, BinaryOp::Divide | BinaryOp::Modulo) && !is_nonzero(&right);
        binary(left, op, right, result, fails, span)
    }

    pub(super) fn mixed(&self, left: &TypedExpr, right: &TypedExpr, span: Span) -> Diagnostic {
        let decimal = if left.slot.ty.is_float() { right } else { left };
        Diagnostic::error("mixed-decimal", span, "a decimal and a float do not mix: one is exact, the other is not")
            .label("say which of the two it is to be")
            .also(left.span, format!("`{}`", left.slot.ty))
            .also(right.span, format!("`{}`", right.slot.ty))
            .help(format!("cast one of them:\n  ({})::float64", self.text(decimal.span)))
    }

    fn wrong_operands(&self, left: &TypedExpr, op: BinaryOp, right: &TypedExpr, span: Span) -> Diagnostic {
        let (a, b) = (&left.slot.ty, &right.slot.ty);
        let problem =
            Diagnostic::error("wrong-operand", span, format!("`{}` does not go with `{a}` and `{b}`", op.word()))
                .label("cannot be calculated")
                .also(left.span, format!("`{}`", left.slot))
                .also(right.span, format!("`{}`", right.slot));
        let (left, right) = (self.text(left.span), self.text(right.span));
        match (a, b) {
            (Type::String, _) | (_, Type::String) if op == BinaryOp::Add => {
                problem.help(format!("{JOINED}\n  \"{}{}\"", piece(left), piece(right)))
            }
            (Type::String, other) if other.is_number() => {
                problem.help(format!("read the text as a number:\n  ({left}::{other})?"))
            }
            (other, Type::String) if other.is_number() => {
                problem.help(format!("read the text as a number:\n  ({right}::{other})?"))
            }
            (Type::Timestamp(_) | Type::Date, other) if other.is_integer() => {
                problem.help(format!("say how long:\n  {left} {} 1d", op.word()))
            }
            (Type::Json, other) => problem.help(format!("say which type it has:\n  ({left}::{other})?")),
            (other, Type::Json) => problem.help(format!("say which type it has:\n  ({right}::{other})?")),
            _ => problem,
        }
    }

    /// `-x`
    pub(super) fn negate(&mut self, of: &ast::Expr, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let of = self.typed(of, env);
        if of.is_unknown() {
            return TypedExpr::unknown(span);
        }
        if let Node::Literal(value) = &of.node
            && let Some(negative) = negative(value)
        {
            return TypedExpr { span, ..TypedExpr::literal(negative, span) };
        }
        let signed = |ty: &Type| ty.integer_bits().is_none_or(|(_, signed)| signed);
        match &of.slot.ty {
            ty if ty.is_number() && signed(ty) || *ty == Type::Duration => {
                let (slot, fails) = (of.slot.clone(), of.fails);
                TypedExpr { node: Node::Negate(Box::new(of)), slot, fails, span }
            }
            ty => {
                let message = format!("`{ty}` has no negative");
                self.report(Diagnostic::error("wrong-operand", span, message).label(format!("this is `{}`", of.slot)));
                TypedExpr::unknown(span)
            }
        }
    }
}

/// What stands above a text that is put together.
const JOINED: &str = "put texts together like this:";

/// An operand of `+` as a piece of a string.
fn piece(text: &str) -> String {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).map_or_else(|| format!("${{{text}}}"), str::to_owned)
}

fn negative(value: &ScalarValue) -> Option<ScalarValue> {
    match value {
        ScalarValue::UInt64(Some(n)) if *n == 1 << 63 => Some(ScalarValue::Int64(Some(i64::MIN))),
        ScalarValue::Int64(Some(n)) => n.checked_neg().map(|n| ScalarValue::Int64(Some(n))),
        ScalarValue::Float64(Some(n)) => Some(ScalarValue::Float64(Some(-n))),
        ScalarValue::Decimal128(Some(n), p, s) => Some(ScalarValue::Decimal128(Some(-n), *p, *s)),
        ScalarValue::DurationMicrosecond(Some(n)) => Some(ScalarValue::DurationMicrosecond(Some(-n))),
        _ => None,
    }
}

/// A literal takes the type of the other operand where it fits. A decimal literal stays itself beside a decimal.
pub(super) fn adapted(left: TypedExpr, right: TypedExpr) -> (TypedExpr, TypedExpr) {
    let literal = |e: &TypedExpr| matches!(e.node, Node::Literal(_));
    let keeps = |e: &TypedExpr, other: &TypedExpr| {
        matches!(other.slot.ty, Type::Decimal { .. }) && matches!(e.slot.ty, Type::Decimal { .. })
    };
    if literal(&left) && !literal(&right) && !keeps(&left, &right) {
        let ty = right.slot.ty.clone();
        return (exact_integer(left, &ty), right);
    }
    if literal(&right) && !literal(&left) && !keeps(&right, &left) {
        let ty = left.slot.ty.clone();
        return (left, exact_integer(right, &ty));
    }
    (left, right)
}

/// Beside a decimal a whole number becomes the decimal of its own digits.
fn exact_integer(literal: TypedExpr, ty: &Type) -> TypedExpr {
    let digits = match (&literal.node, ty) {
        (Node::Literal(ScalarValue::Int64(Some(n))), Type::Decimal { .. }) => {
            u8::try_from(n.unsigned_abs().to_string().len()).unwrap_or(19)
        }
        _ => return coerce::fit_or_keep(literal, ty),
    };
    let own = Type::Decimal { precision: digits, scale: 0 };
    coerce::fit_or_keep(literal, &own)
}

pub(super) fn binary(left: TypedExpr, op: BinaryOp, right: TypedExpr, ty: Type, fails: bool, span: Span) -> TypedExpr {
    let slot = Slot { ty, nullable: left.slot.nullable || right.slot.nullable };
    let fails = fails || left.fails || right.fails;
    TypedExpr { node: Node::Binary(Box::new(left), op, Box::new(right)), slot, fails, span }
}

fn is_nonzero(expr: &TypedExpr) -> bool {
    constant(expr).is_some_and(|value| match value {
        ScalarValue::Decimal128(Some(n), _, _) => n != 0,
        other => other
            .cast_to(&arrow::datatypes::DataType::Float64)
            .is_ok_and(|v| !matches!(v, ScalarValue::Float64(Some(0.0) | None))),
    })
}

/// SQL's rules (those of Arrow's kernels): sums keep all digits, products add scales, quotients get four more.
fn decimal_result(left: &Type, op: BinaryOp, right: &Type) -> Option<Type> {
    let (Type::Decimal { precision: p, scale: s }, Type::Decimal { precision: q, scale: t }) = (left, right) else {
        return None;
    };
    let (p, s, q, t) = (i16::from(*p), i16::from(*s), i16::from(*q), i16::from(*t));
    let (precision, scale) = match op {
        BinaryOp::Multiply => (p + q + 1, s + t),
        BinaryOp::Divide => (p + t + 4, (s + 4).min(38)),
        BinaryOp::Modulo => ((p - s).min(q - t) + s.max(t), s.max(t)),
        _ => ((p - s).max(q - t) + s.max(t) + 1, s.max(t)),
    };
    if scale > 38 {
        return None;
    }
    Some(Type::Decimal { precision: u8::try_from(precision.clamp(1, 38)).ok()?, scale: i8::try_from(scale).ok()? })
}

/// What comes of moments and durations: the types both sides are cast to, and the result's.
fn moments(left: &Type, op: BinaryOp, right: &Type) -> Option<(Type, Type, Type)> {
    use BinaryOp::{Add, Divide, Multiply, Subtract};
    let moment = |ty: &Type| match ty {
        Type::Timestamp(_) => Some(ty.clone()),
        Type::Date => Some(Type::Timestamp(None)),
        _ => None,
    };
    match (left, op, right) {
        (Type::Duration, Add | Subtract, Type::Duration) => Some((Type::Duration, Type::Duration, Type::Duration)),
        (Type::Duration, Multiply | Divide, n) if n.is_integer() => Some((Type::Duration, Type::Int64, Type::Duration)),
        (n, Multiply, Type::Duration) if n.is_integer() => Some((Type::Int64, Type::Duration, Type::Duration)),
        (_, Add | Subtract, Type::Duration) => moment(left).map(|ty| (ty.clone(), Type::Duration, ty)),
        (Type::Duration, Add, _) => moment(right).map(|ty| (Type::Duration, ty.clone(), ty)),
        (_, Subtract, _) => {
            let utc = Type::Timestamp(None);
            (moment(left).is_some() && moment(right).is_some()).then(|| (utc.clone(), utc, Type::Duration))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(precision: u8, scale: i8) -> Type {
        Type::Decimal { precision, scale }
    }

    #[test]
    fn decimals_follow_the_rules_of_sql() {
        assert_eq!(decimal_result(&decimal(12, 2), BinaryOp::Add, &decimal(5, 3)), Some(decimal(14, 3)));
        assert_eq!(decimal_result(&decimal(12, 2), BinaryOp::Multiply, &decimal(5, 3)), Some(decimal(18, 5)));
        assert_eq!(decimal_result(&decimal(12, 2), BinaryOp::Divide, &decimal(5, 3)), Some(decimal(19, 6)));
        assert_eq!(decimal_result(&decimal(38, 30), BinaryOp::Multiply, &decimal(38, 30)), None);
    }

    #[test]
    fn moments_and_durations_mix_as_people_expect() {
        let utc = Type::Timestamp(None);
        assert_eq!(moments(&utc, BinaryOp::Add, &Type::Duration).map(|m| m.2), Some(utc.clone()));
        assert_eq!(moments(&utc, BinaryOp::Subtract, &utc).map(|m| m.2), Some(Type::Duration));
        assert_eq!(moments(&utc, BinaryOp::Add, &utc), None);
    }
}
