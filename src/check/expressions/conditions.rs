//! `and`, `or`, `not`, `case` and `if`.

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{self, BinaryOp};
use millstream_dsl::{Diagnostic, Span};

use super::{Env, constant};
use crate::check::checker::Checker;
use crate::model::{Slot, Type};
use crate::plan::TypedExpr;
use crate::plan::expr::Node;

impl Checker<'_> {
    /// `a and b and c`, `a or b`
    pub(super) fn junction(
        &mut self,
        all: &[ast::Expr],
        make: fn(Vec<TypedExpr>) -> Node,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let typed: Vec<_> = all.iter().map(|e| self.condition_of(e, env)).collect();
        if typed.iter().any(TypedExpr::is_unknown) {
            return TypedExpr::unknown(span);
        }
        let slot = Slot { ty: Type::Bool, nullable: typed.iter().any(|e| e.slot.nullable) };
        let fails = typed.iter().any(|e| e.fails);
        TypedExpr { node: make(typed), slot, fails, span }
    }

    /// `not x`
    pub(super) fn not(&mut self, of: &ast::Expr, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let of = self.condition_of(of, env);
        if of.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let (slot, fails) = (of.slot.clone(), of.fails);
        TypedExpr { node: Node::Not(Box::new(of)), slot, fails, span }
    }

    /// `case when a then b else c end`, `case x when 1 then "one" end`
    pub(super) fn case(&mut self, case: &ast::Case, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let operand = case.operand.as_ref().map(|o| self.typed(o, env));
        let mut conditions = Vec::with_capacity(case.branches.len());
        let mut values = Vec::with_capacity(case.branches.len() + 1);
        for (when, then) in &case.branches {
            conditions.push(match &operand {
                None => self.condition_of(when, env),
                Some(operand) => {
                    let value = self.typed(when, env);
                    let at = value.span;
                    self.compared(operand.clone(), BinaryOp::Equal, value, at)
                }
            });
            values.push(self.typed(then, env));
        }
        let otherwise = case.otherwise.as_ref().map(|e| self.typed(e, env));
        self.chosen(conditions, values, otherwise, span)
    }

    /// `if(condition, a, b)`
    pub(super) fn if_(&mut self, call: &ast::Call, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let ([_, _] | [_, _, _]) = &call.args[..] else {
            let code = if call.args.len() < 2 { "missing-argument" } else { "too-many-arguments" };
            self.report(
                Diagnostic::error(
                    code,
                    span,
                    format!("`if` takes a condition and two values, not {}", call.args.len()),
                )
                .label("not as it is written")
                .help("write it like this:\n  if(amount > 100, \"large\", \"small\")"),
            );
            return TypedExpr::unknown(span);
        };
        let condition = self.condition_of(&call.args[0].value, env);
        let then = self.typed(&call.args[1].value, env);
        let otherwise = call.args.get(2).map(|arg| self.typed(&arg.value, env));
        self.chosen(vec![condition], vec![then], otherwise, span)
    }

    fn chosen(
        &mut self,
        conditions: Vec<TypedExpr>,
        values: Vec<TypedExpr>,
        otherwise: Option<TypedExpr>,
        span: Span,
    ) -> TypedExpr {
        let all = conditions.iter().chain(&values).chain(&otherwise);
        if all.clone().any(TypedExpr::is_unknown) {
            return TypedExpr::unknown(span);
        }
        let fails = all.clone().any(|e| e.fails);
        let has_otherwise = otherwise.is_some();
        let values = values.into_iter().chain(otherwise).collect();
        let Some((mut values, ty)) = self.unified(values, "the branches") else { return TypedExpr::unknown(span) };
        let nullable = !has_otherwise || values.iter().any(|v| v.slot.nullable);
        let otherwise = if has_otherwise { values.pop().map(Box::new) } else { None };
        let branches = conditions.into_iter().zip(values).collect();
        TypedExpr { node: Node::Case { branches, otherwise }, slot: Slot { ty, nullable }, fails, span }
    }

    /// Warns of a condition that is the same for every row.
    pub(in crate::check) fn warn_constant_condition(&mut self, condition: &TypedExpr) {
        if let Some(ScalarValue::Boolean(Some(value))) = constant(condition)
            && matches!(condition.node, Node::Literal(_))
        {
            let what = if value { "every row" } else { "no row" };
            self.report(
                Diagnostic::warning("constant-condition", condition.span, format!("this is always {value}"))
                    .label(format!("{what} fulfils it")),
            );
        }
    }
}
