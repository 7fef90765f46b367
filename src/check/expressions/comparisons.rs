//! What compares two values: `==`, `<`, `between`, `in`, `like`, `is null`.

use millstream_dsl::ast::{self, BinaryOp, ExprKind, Negation};
use millstream_dsl::{Diagnostic, Span};

use super::arithmetic::binary;
use super::{Env, castable, invalid_literal};
use crate::check::checker::Checker;
use crate::check::coerce::{self, Misfit};
use crate::model::{Slot, Type};
use crate::plan::TypedExpr;
use crate::plan::expr::Node;

impl Checker<'_> {
    /// `a == b`
    pub(super) fn comparison(
        &mut self,
        left: &ast::Expr,
        op: BinaryOp,
        right: &ast::Expr,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let null = |e: &ast::Expr| matches!(e.kind, ExprKind::Literal(ast::Literal::Null));
        if null(left) || null(right) {
            return self.compared_with_null(left, op, right, span);
        }
        let left = self.typed(left, env);
        let mark = self.problems.mark();
        let right_typed = self.typed(right, env);
        for problem in self.problems.take_since(mark) {
            let is_word = matches!(right.kind, ExprKind::Name(_)) && problem.edits.is_empty();
            self.report(if is_word { self.or_text(problem) } else { problem });
        }
        self.compared(left, op, right_typed, span)
    }

    /// `line == error`: the name that is no column may be meant as a text.
    fn or_text(&self, problem: Diagnostic) -> Diagnostic {
        match &problem.help {
            Some(help) if problem.code == "unknown-column" && !help.contains('\n') => {
                let help = format!("{help}; a text stands in double quotes:\n  \"{}\"", self.text(problem.span()));
                problem.help(help)
            }
            _ => problem,
        }
    }

    fn compared_with_null(&mut self, left: &ast::Expr, op: BinaryOp, right: &ast::Expr, span: Span) -> TypedExpr {
        let value = if matches!(left.kind, ExprKind::Literal(ast::Literal::Null)) { right } else { left };
        let text = format!("{} is {}null", self.text(value.at.0), if op == BinaryOp::NotEqual { "not " } else { "" });
        self.report(
            Diagnostic::error("not-comparable", span, "a comparison with null is never true")
                .label("always null")
                .help(format!("ask like this:\n  {text}"))
                .edit(span, text),
        );
        TypedExpr::unknown(span)
    }

    pub(super) fn compared(&mut self, left: TypedExpr, op: BinaryOp, right: TypedExpr, span: Span) -> TypedExpr {
        match self.comparable(left, right, span) {
            Some((left, right)) => {
                let ordered = !matches!(op, BinaryOp::Equal | BinaryOp::NotEqual);
                if ordered && (left.slot.ty.is_nested() || left.slot.ty == Type::Json) {
                    let message = format!("`{}` has no order", left.slot.ty);
                    self.report(
                        Diagnostic::error("not-comparable", span, message).label("only `==` and `!=` make sense"),
                    );
                    return TypedExpr::unknown(span);
                }
                binary(left, op, right, Type::Bool, false, span)
            }
            None => TypedExpr::unknown(span),
        }
    }

    /// Brings two values to one type; reports where they have none.
    fn comparable(&mut self, left: TypedExpr, right: TypedExpr, span: Span) -> Option<(TypedExpr, TypedExpr)> {
        if left.is_unknown() || right.is_unknown() {
            return None;
        }
        let literal = |e: &TypedExpr| matches!(e.node, Node::Literal(_));
        if literal(&right) && !literal(&left) {
            let ty = left.slot.ty.clone();
            let right = self.literal_beside(right, &ty, &left)?;
            return self.of_one_type(left, right, span);
        }
        if literal(&left) && !literal(&right) {
            let ty = right.slot.ty.clone();
            let left = self.literal_beside(left, &ty, &right)?;
            return self.of_one_type(left, right, span);
        }
        self.of_one_type(left, right, span)
    }

    /// A literal read as the type it is compared with; unchanged where the kinds have nothing in common.
    fn literal_beside(&mut self, literal: TypedExpr, ty: &Type, other: &TypedExpr) -> Option<TypedExpr> {
        match coerce::fit(literal, ty) {
            Ok(literal) => Some(literal),
            Err(unfit) => match &unfit.why {
                Misfit::Literal(why) if unfit.expr.slot.ty == Type::String => {
                    let problem = invalid_literal(&unfit.expr, why, self.text(unfit.expr.span));
                    self.report(problem.also(other.span, format!("this is `{}`", other.slot)));
                    None
                }
                _ => Some(unfit.expr),
            },
        }
    }

    fn of_one_type(&mut self, left: TypedExpr, right: TypedExpr, span: Span) -> Option<(TypedExpr, TypedExpr)> {
        let decimal = |e: &TypedExpr| matches!(e.slot.ty, Type::Decimal { .. });
        if decimal(&left) && right.slot.ty.is_float() || decimal(&right) && left.slot.ty.is_float() {
            self.report(self.mixed(&left, &right, span));
            return None;
        }
        match coerce::common(&left.slot.ty, &right.slot.ty) {
            Some(ty) => Some((coerce::to(left, &ty), coerce::to(right, &ty))),
            None => {
                self.report(self.not_comparable(&left, &right, span));
                None
            }
        }
    }

    fn not_comparable(&self, left: &TypedExpr, right: &TypedExpr, span: Span) -> Diagnostic {
        let (a, b) = (&left.slot.ty, &right.slot.ty);
        let problem = Diagnostic::error("not-comparable", span, format!("`{a}` and `{b}` cannot be compared"))
            .label("no value of one is a value of the other")
            .also(left.span, format!("`{}`", left.slot))
            .also(right.span, format!("`{}`", right.slot));
        if matches!(right.node, Node::Literal(_)) && *b == Type::String && a.is_number() {
            let text = self.text(right.span).trim_matches('"');
            if text.parse::<f64>().is_ok() {
                return problem.help(format!("write a number without quotes:\n  {text}")).edit(right.span, text);
            }
        }
        let (text, from, to) = if *a == Type::String || *a == Type::Json { (left, a, b) } else { (right, b, a) };
        if castable(from, to) {
            let text = self.text(text.span);
            problem.help(format!(
                "read one as the other; where that fails, the row goes to the bad output:\n  ({text}::{to})?"
            ))
        } else {
            problem
        }
    }

    /// `x between a and b`
    pub(super) fn between(
        &mut self,
        value: &ast::Expr,
        negation: Negation,
        low: &ast::Expr,
        high: &ast::Expr,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let value = self.typed(value, env);
        let (low, high) = (self.typed(low, env), self.typed(high, env));
        let above = self.compared(value.clone(), BinaryOp::GreaterOrEqual, low, span);
        let below = self.compared(value, BinaryOp::LessOrEqual, high, span);
        if above.is_unknown() || below.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let slot = Slot { ty: Type::Bool, nullable: above.slot.nullable || below.slot.nullable };
        let fails = above.fails || below.fails;
        negated(TypedExpr { node: Node::And(vec![above, below]), slot, fails, span }, negation)
    }

    /// `x in ["a", "b"]`
    pub(super) fn membership(
        &mut self,
        value: &ast::Expr,
        negation: Negation,
        list: &ast::Expr,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let value = self.typed(value, env);
        let list = match &list.kind {
            ExprKind::List(items) => return self.in_items(value, negation, items, list.at.0, span, env),
            _ => self.typed(list, env),
        };
        if value.is_unknown() || list.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let Type::List(element) = list.slot.ty.clone() else {
            let text = self.text(list.span);
            let problem =
                Diagnostic::error("wrong-operand", list.span, format!("`in` wants a list, not `{}`", list.slot.ty))
                    .label("no list")
                    .help(format!("put it in brackets:\n  [{text}]"))
                    .edit(list.span, format!("[{text}]"));
            self.report(problem);
            return TypedExpr::unknown(span);
        };
        let Some(ty) = coerce::common(&value.slot.ty, &element.ty) else {
            self.report(self.not_comparable(&value, &list, span));
            return TypedExpr::unknown(span);
        };
        let list_ty = Type::List(Box::new(Slot { ty: ty.clone(), nullable: element.nullable }));
        negated(contained(coerce::to(value, &ty), coerce::to(list, &list_ty), element.nullable, span), negation)
    }

    fn in_items(
        &mut self,
        value: TypedExpr,
        negation: Negation,
        items: &[ast::Expr],
        at: Span,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let mut fitted = Vec::with_capacity(items.len());
        let mut value = value;
        for item in items {
            let item = self.typed(item, env);
            let item_span = item.span;
            let Some((left, right)) = self.comparable(value.clone(), item, item_span) else {
                return TypedExpr::unknown(span);
            };
            value = left;
            fitted.push(right);
        }
        let ty = value.slot.ty.clone();
        let fitted: Vec<_> = fitted.into_iter().map(|e| coerce::to(e, &ty)).collect();
        let nullable = fitted.iter().any(|i| i.slot.nullable);
        let fails = fitted.iter().any(|i| i.fails);
        let slot = Slot::required(Type::List(Box::new(Slot { ty, nullable })));
        let list = TypedExpr { node: Node::List(fitted), slot, fails, span: at };
        negated(contained(value, list, nullable, span), negation)
    }

    /// `x like "a%"`
    pub(super) fn like(
        &mut self,
        value: &ast::Expr,
        negation: Negation,
        pattern: &ast::Expr,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let value = self.text_operand(value, env);
        let pattern = self.text_operand(pattern, env);
        if value.is_unknown() || pattern.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let slot = Slot { ty: Type::Bool, nullable: value.slot.nullable || pattern.slot.nullable };
        let fails = value.fails || pattern.fails;
        negated(TypedExpr { node: Node::Like(Box::new(value), Box::new(pattern)), slot, fails, span }, negation)
    }

    fn text_operand(&mut self, expr: &ast::Expr, env: &mut Env<'_>) -> TypedExpr {
        let typed = self.typed(expr, env);
        if typed.is_unknown() || typed.slot.ty == Type::String {
            return typed;
        }
        let span = typed.span;
        self.report(
            Diagnostic::error("wrong-operand", span, format!("`like` compares texts, not `{}`", typed.slot.ty))
                .label(format!("this is `{}`", typed.slot))
                .help(format!("make a text of it:\n  {}::string", self.text(span))),
        );
        TypedExpr::unknown(span)
    }

    /// `x is null`
    pub(super) fn is_null(
        &mut self,
        value: &ast::Expr,
        negation: Negation,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let value = self.typed(value, env);
        if value.is_unknown() {
            return TypedExpr::unknown(span);
        }
        if !value.slot.nullable {
            let answer = if negation == Negation::Not { "true" } else { "false" };
            self.report(
                Diagnostic::warning(
                    "constant-condition",
                    span,
                    format!("this is always {answer}: the value is never null"),
                )
                .label(format!("always {answer}"))
                .also(value.span, format!("`{}`", value.slot)),
            );
        }
        let fails = value.fails;
        let node = Node::IsNull(Box::new(value));
        negated(TypedExpr { node, slot: Slot::required(Type::Bool), fails, span }, negation)
    }
}

fn contained(value: TypedExpr, list: TypedExpr, nullable_items: bool, span: Span) -> TypedExpr {
    let slot = Slot { ty: Type::Bool, nullable: value.slot.nullable || list.slot.nullable || nullable_items };
    let fails = value.fails || list.fails;
    TypedExpr { node: Node::In(Box::new(value), Box::new(list)), slot, fails, span }
}

fn negated(expr: TypedExpr, negation: Negation) -> TypedExpr {
    match negation {
        Negation::Plain => expr,
        Negation::Not => {
            let (slot, fails, span) = (expr.slot.clone(), expr.fails, expr.span);
            TypedExpr { node: Node::Not(Box::new(expr)), slot, fails, span }
        }
    }
}
