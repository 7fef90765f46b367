//! Bare and qualified names: lambda and function parameters, columns, the record of a fold, parameters, constants.

use millstream_dsl::ast::{self, ExprKind, Ident};
use millstream_dsl::{Diagnostic, Span, suggest};

use super::{Aggregates, Env};
use crate::check::checker::{Checker, Space, some_of};
use crate::model::{Column, Type};
use crate::plan::expr::Node;
use crate::plan::{Scope, TypedExpr};

/// What a bare name can be among the columns.
enum Found {
    Column(usize, Column),
    /// Several inputs have it: how each is written.
    Several(Vec<String>),
    Nothing,
}

impl Checker<'_> {
    /// `amount`
    pub(super) fn name(&mut self, name: &str, span: Span, env: &mut Env<'_>) -> TypedExpr {
        if let Some((_, local)) = env.locals.iter().rev().find(|(n, _)| n == name) {
            env.size += size_of(local);
            return TypedExpr { span, ..local.clone() };
        }
        if let Some(found) = env.aggregates.as_ref().and_then(|a| key(a, name, span)) {
            return found;
        }
        match find(env.scope, name) {
            Found::Column(index, column) if env.aggregates.is_none() => {
                self.warn_shadowed(name, span);
                TypedExpr::column(index, &column, span)
            }
            Found::Column(..) if self.names.values.contains_key(name) => self.value(name, span, env),
            Found::Column(..) => self.ungrouped(name, span, env),
            Found::Several(ways) => self.ambiguous(name, &ways, span),
            Found::Nothing if self.names.values.contains_key(name) => self.value(name, span, env),
            Found::Nothing => self.unknown_column(name, span, env),
        }
    }

    /// `users.country`, `state.best`, or the field of a struct.
    pub(super) fn field(&mut self, of: &ast::Expr, field: &Ident, span: Span, env: &mut Env<'_>) -> TypedExpr {
        if let ExprKind::Name(qualifier) = &of.kind
            && !env.locals.iter().any(|(n, _)| n == qualifier)
        {
            if qualifier == "state" && env.scope.inputs.iter().all(|(_, e)| e.schema.get("state").is_none()) {
                return self.state_field(of.at.0, field, span, env);
            }
            if let Some(found) = self.qualified(qualifier, field, span, env) {
                return found;
            }
        }
        if let Some(problem) = self.unknown_qualifier(of, field, env) {
            self.report(problem);
            return TypedExpr::unknown(span);
        }
        let of = self.typed(of, env);
        self.field_of(of, &field.name, field.at.0, span)
    }

    /// `order.amount`, where the rows are called `orders` and have a column `amount`.
    fn unknown_qualifier(&self, of: &ast::Expr, field: &Ident, env: &Env<'_>) -> Option<Diagnostic> {
        let ExprKind::Name(name) = &of.kind else { return None };
        let known = env.locals.iter().any(|(n, _)| n == name) || self.names.values.contains_key(name);
        let has_field = |(_, edge): &&(Option<String>, crate::plan::Edge)| edge.schema.get(&field.name).is_some();
        let input = env.scope.inputs.iter().find(has_field)?;
        if known || !matches!(find(env.scope, name), Found::Nothing) {
            return None;
        }
        let problem =
            Diagnostic::error("unknown-column", of.at.0, format!("`{name}` is neither a column nor a stream here"));
        let qualifiers = env.scope.inputs.iter().filter_map(|(q, _)| q.as_deref());
        let right = match (suggest::closest(name, qualifiers), &input.0) {
            (Some(close), _) => format!("{close}.{}", field.name),
            (None, Some(own)) if env.scope.inputs.len() > 1 => format!("{own}.{}", field.name),
            _ => field.name.clone(),
        };
        Some(problem.label("not known here").help(format!("write:\n  {right}")).edit(of.at.0.to(field.at.0), right))
    }

    fn state_field(&mut self, state: Span, field: &Ident, span: Span, env: &Env<'_>) -> TypedExpr {
        let Some(record) = &env.scope.state else {
            self.report(
                Diagnostic::error(
                    "misplaced-state",
                    span,
                    "`state` stands for the record of a `fold`, and this is none",
                )
                .label("no state here")
                .help("only `step`, `yield` and `on expiry` of a fold see it"),
            );
            return TypedExpr::unknown(span);
        };
        let width: usize = env.scope.inputs.iter().map(|(_, edge)| edge.schema.columns.len()).sum();
        match record.position(&field.name) {
            Some(position) => {
                let column = &record.columns[position];
                let node = Node::Column { index: width + position, name: format!("state.{}", column.name) };
                TypedExpr::new(node, column.slot.clone(), span)
            }
            None => {
                let problem =
                    Diagnostic::error("unknown-field", field.at.0, format!("state has no field `{}`", field.name))
                        .label("not in `init`")
                        .also(state, format!("has {}", some_of(record.names())));
                self.report(suggested(problem, &field.name, field.at.0, record.names()));
                TypedExpr::unknown(span)
            }
        }
    }

    /// A column by its qualifier; none where there is no such qualifier.
    fn qualified(&mut self, qualifier: &str, field: &Ident, span: Span, env: &Env<'_>) -> Option<TypedExpr> {
        let mut offset = 0;
        let mut known: Vec<&str> = Vec::new();
        for (name, edge) in &env.scope.inputs {
            let own = name.as_deref() == Some(qualifier);
            let mut of_qualifier = edge.qualified.iter().filter(|q| q.qualifier == qualifier).peekable();
            let through = of_qualifier.peek().is_some();
            known.extend(of_qualifier.map(|q| q.name.as_str()));
            let index =
                edge.qualified.iter().find(|q| q.qualifier == qualifier && q.name == field.name).map(|q| q.index);
            let index = index.or_else(|| if own { edge.schema.position(&field.name) } else { None });
            if let Some(index) = index
                && let Some(column) = edge.schema.columns.get(index)
            {
                if env.aggregates.is_some() {
                    return Some(self.qualified_key(column, span, env));
                }
                return Some(TypedExpr::column(offset + index, column, span));
            }
            if own && !through {
                known.extend(edge.schema.names());
            }
            offset += edge.schema.columns.len();
        }
        if known.is_empty() {
            return self.ended_qualifier(qualifier, field, span, env);
        }
        let message = format!("column `{}` does not exist in `{qualifier}`", field.name);
        let problem = Diagnostic::error("unknown-column", field.at.0, message).label("no such column");
        self.report(suggested(problem, &field.name, field.at.0, known.into_iter()));
        Some(TypedExpr::unknown(span))
    }

    fn qualified_key(&mut self, column: &Column, span: Span, env: &Env<'_>) -> TypedExpr {
        let found = env.aggregates.as_ref().and_then(|a| key(a, &column.name, span));
        found.unwrap_or_else(|| self.ungrouped(&column.name, span, env))
    }

    /// A stream's name used as a qualifier where it is none (any more); none where it is no stream at all.
    fn ended_qualifier(&mut self, qualifier: &str, field: &Ident, span: Span, env: &Env<'_>) -> Option<TypedExpr> {
        if matches!(find(env.scope, qualifier), Found::Column(..)) || !self.names.flows.contains_key(qualifier) {
            return None;
        }
        self.report(
            Diagnostic::error("unknown-column", span, format!("`{qualifier}` is no qualifier here"))
                .label("the rows here do not come from it, or an earlier stage made new ones of them")
                .help(format!("qualifiers end at select, aggregate and fold; write the bare name:\n  {}", field.name))
                .edit(span, &field.name),
        );
        Some(TypedExpr::unknown(span))
    }

    /// A parameter or constant.
    fn value(&mut self, name: &str, span: Span, env: &mut Env<'_>) -> TypedExpr {
        self.mark_used(Space::Value, name);
        let value = self.value_of(name);
        env.size += size_of(&value);
        TypedExpr { span, ..value }
    }

    fn warn_shadowed(&mut self, name: &str, span: Span) {
        if let Some(value) = self.names.values.get(name) {
            let at = value.span();
            self.report(
                Diagnostic::warning("shadowed-name", span, format!("`{name}` means the column here, not the constant"))
                    .label("the column")
                    .also(at, "the constant of the same name")
                    .help("rename one of them"),
            );
        }
    }

    fn ungrouped(&mut self, name: &str, span: Span, env: &Env<'_>) -> TypedExpr {
        let keys = env.aggregates.as_ref().map(|a| some_of(a.keys.names())).unwrap_or_default();
        let label =
            if keys.is_empty() { "many values, one result".into() } else { format!("not one of the keys {keys}") };
        self.report(
            Diagnostic::error(
                "misplaced-aggregate",
                span,
                format!("column `{name}` is neither grouped by nor aggregated"),
            )
            .label(label)
            .help(format!("aggregate it, or add it to the keys:\n  max({name})\n  by {name}")),
        );
        TypedExpr::unknown(span)
    }

    fn ambiguous(&mut self, name: &str, ways: &[String], span: Span) -> TypedExpr {
        self.report(
            Diagnostic::error("ambiguous-column", span, format!("column `{name}` exists more than once"))
                .label("which one?")
                .help(format!("write one of:\n  {}", ways.join("\n  "))),
        );
        TypedExpr::unknown(span)
    }

    fn unknown_column(&mut self, name: &str, span: Span, env: &Env<'_>) -> TypedExpr {
        if env.scope.inputs.iter().any(|(_, edge)| edge.schema.columns.iter().any(|c| c.name.is_empty())) {
            return TypedExpr::unknown(span);
        }
        if name == "state" {
            self.report(
                Diagnostic::error("misplaced-state", span, "`state` stands for a record; name one of its fields")
                    .label("not a value by itself")
                    .help("inside a fold:\n  state.total"),
            );
            return TypedExpr::unknown(span);
        }
        let columns: Vec<&str> = env.scope.inputs.iter().flat_map(|(_, edge)| edge.schema.names()).collect();
        let locals = env.locals.iter().map(|(n, _)| n.as_str());
        let values = self.names.values.keys().map(String::as_str);
        let legal: Vec<&str> = columns.iter().copied().chain(locals).chain(values).collect();
        let kind = if env.scope.inputs.is_empty() { "name" } else { "column" };
        let problem = Diagnostic::error("unknown-column", span, format!("{kind} `{name}` does not exist"))
            .label("not known here");
        let problem = suggested(problem, name, span, legal.into_iter());
        let problem = match problem.help {
            None if !columns.is_empty() => {
                problem.help(format!("the columns here are {}", some_of(columns.into_iter())))
            }
            None if kind == "name" => problem.help(format!("a text stands in double quotes:\n  \"{name}\"")),
            _ => problem,
        };
        self.report(problem);
        TypedExpr::unknown(span)
    }
}

/// A group key by name.
fn key(aggregates: &Aggregates<'_>, name: &str, span: Span) -> Option<TypedExpr> {
    let index = aggregates.keys.position(name)?;
    Some(TypedExpr::column(index, &aggregates.keys.columns[index], span))
}

fn find(scope: &Scope, name: &str) -> Found {
    let mut found = Vec::new();
    let mut ways = Vec::new();
    let mut offset = 0;
    for (input, edge) in &scope.inputs {
        if let Some(index) = edge.schema.position(name) {
            found.push((offset + index, edge.schema.columns[index].clone()));
            ways.push(input.as_ref().map_or_else(|| name.to_owned(), |q| format!("{q}.{name}")));
        }
        let colliding = edge.schema.columns.iter().filter(|c| c.name.rsplit_once('.').is_some_and(|(_, n)| n == name));
        for column in colliding {
            ways.push(column.name.clone());
        }
        offset += edge.schema.columns.len();
    }
    match found.pop() {
        Some((index, column)) if ways.len() == 1 => Found::Column(index, column),
        None if ways.is_empty() => Found::Nothing,
        _ => Found::Several(ways),
    }
}

/// Adds "did you mean" where something is near.
pub(in crate::check) fn suggested<'n>(
    problem: Diagnostic,
    name: &str,
    span: Span,
    legal: impl Iterator<Item = &'n str>,
) -> Diagnostic {
    match suggest::closest(name, legal) {
        Some(close) => problem.help(format!("did you mean `{close}`?")).edit(span, close),
        None => problem,
    }
}

/// How many parts an expression has.
fn size_of(expr: &TypedExpr) -> usize {
    let mut size = 0;
    expr.visit(&mut |_| size += 1);
    size
}

/// Whether the type has something to be reached by a name or an index.
pub(super) fn has_parts(ty: &Type) -> bool {
    ty.is_nested() || *ty == Type::Json
}
