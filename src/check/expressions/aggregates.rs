//! Calls of aggregates: where they may stand, and what they are over.

use std::sync::Arc;

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{self, Direction, Nulls};
use millstream_dsl::{Diagnostic, Span};

use super::{Aggregates, Env};
use crate::check::checker::Checker;
use crate::model::{Column, Type};
use crate::plan::TypedExpr;
use crate::plan::catalog::AggregateEntry;
use crate::plan::expr::{AggregateCall, SortKey};

impl Checker<'_> {
    /// `sum(amount)`, `count(distinct user_id) filter (where amount > 0)`
    pub(super) fn aggregate_call(
        &mut self,
        entry: &Arc<AggregateEntry>,
        call: &ast::Call,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        let Some(Aggregates { keys, calls }) = env.aggregates.take() else {
            return self.misplaced_aggregate(call, span, env);
        };
        env.inside_aggregate = true;
        let typed = self.over_rows(entry, call, span, env);
        env.inside_aggregate = false;
        let result = match typed {
            None => TypedExpr::unknown(span),
            Some(typed) => {
                let position = calls.iter().position(|c| *c == typed).unwrap_or_else(|| {
                    calls.push(typed.clone());
                    calls.len() - 1
                });
                let column = Column::new(self.text(span), typed.slot);
                TypedExpr::column(keys.columns.len() + position, &column, span)
            }
        };
        env.aggregates = Some(Aggregates { keys, calls });
        result
    }

    /// Everything within the parentheses is over the rows, not over the results.
    fn over_rows(
        &mut self,
        entry: &Arc<AggregateEntry>,
        call: &ast::Call,
        span: Span,
        env: &mut Env<'_>,
    ) -> Option<AggregateCall> {
        for label in call.args.iter().filter_map(|a| a.names.first()) {
            let message = format!("aggregate `{}` takes its arguments by position, without names", call.name.name);
            self.report(Diagnostic::error("wrong-argument", label.at.0, message).label("a name"));
        }
        let mut args: Vec<_> = call.args.iter().map(|a| self.typed(&a.value, env)).map(Some).collect();
        let mut args: Vec<TypedExpr> = args.iter_mut().filter_map(Option::take).map(|a| self.handled(a)).collect();
        let filter = call.filter.as_ref().map(|f| {
            let condition = self.condition_of(f, env);
            self.handled(condition)
        });
        let order_by = self.sort_keys(&call.order_by, env);
        if args.iter().chain(&filter).any(TypedExpr::is_unknown) || order_by.iter().any(|k| k.value.is_unknown()) {
            return None;
        }
        if args.is_empty() && call.name.name == "count" {
            args.push(TypedExpr::literal(ScalarValue::Int64(Some(1)), span));
        }
        let (signature, args) = self.overload(&entry.doc, args, span, |arguments| (entry.resolve)(entry, arguments))?;
        let mut slot = signature.result;
        // No row of a group may pass the filter; most aggregates have no value then.
        let of_nothing = || entry.udf.default_value(&slot.ty.to_arrow()).ok();
        slot.nullable |= filter.is_some() && of_nothing().is_none_or(|value| value.is_null());
        Some(AggregateCall { function: entry.clone(), args, distinct: call.distinct, filter, order_by, slot })
    }

    fn misplaced_aggregate(&mut self, call: &ast::Call, span: Span, env: &Env<'_>) -> TypedExpr {
        let name = &call.name.name;
        let problem = if env.inside_aggregate {
            Diagnostic::error(
                "misplaced-aggregate",
                span,
                format!("aggregate `{name}` stands within another aggregate"),
            )
            .label("is over results, not over rows")
            .help("aggregate twice, one stage after the other")
        } else {
            let text = self.text(span);
            Diagnostic::error(
                "misplaced-aggregate",
                span,
                format!("aggregate `{name}` is over many rows, and here is one"),
            )
            .label(format!(
                "not allowed in {}",
                if env.scope.place.is_empty() { "this place" } else { &env.scope.place }
            ))
            .help(format!("compute it in a stage of its own:\n  |> aggregate {text} as {name}_value per batch"))
        };
        self.report(problem);
        TypedExpr::unknown(span)
    }

    /// `by amount desc nulls last`
    pub(in crate::check) fn sort_keys(&mut self, items: &[ast::SortItem], env: &mut Env<'_>) -> Vec<SortKey> {
        let mut keys = Vec::with_capacity(items.len());
        for item in items {
            let value = self.typed(&item.value, env);
            let value = self.handled(value);
            if value.slot.ty.is_nested() || value.slot.ty == Type::Json {
                let message = format!("`{}` has no order", value.slot.ty);
                self.report(Diagnostic::error("wrong-operand", value.span, message).label("cannot be sorted by"));
            }
            let descending = item.direction == Some(Direction::Descending);
            let nulls_first = match item.nulls {
                Some(nulls) => nulls == Nulls::First,
                None => descending,
            };
            keys.push(SortKey { value, descending, nulls_first });
        }
        keys
    }
}
