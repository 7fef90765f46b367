//! Calls: functions of the user are unfolded, functions of the catalog find their overload, lambdas their parameters.

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{self, ExprKind};
use millstream_dsl::{Diagnostic, Span, suggest};

use super::{DEEPEST, Env, constant};
use crate::check::checker::{Checker, Space};
use crate::check::{coerce, habits};
use crate::model::{Column, Slot};
use crate::plan::catalog::{Argument, Failure, FunctionBody, FunctionEntry, HigherOrderBody, Signature, find};
use crate::plan::expr::Node;
use crate::plan::{Scope, TypedExpr};

/// Words of other languages for what is written otherwise here.
const OTHER_WAYS: [(&str, &str); 9] = [
    ("iff", "if(condition, a, b)"),
    ("ifnull", "x ?? y"),
    ("nvl", "x ?? y"),
    ("isnull", "x is null"),
    ("isnotnull", "x is not null"),
    ("try_cast", "x::int64 ?? 0"),
    ("to_int", "x::int64 ?? 0"),
    ("col", "amount"),
    ("lit", "1"),
];

impl Checker<'_> {
    /// `f(x)`
    pub(super) fn call(&mut self, call: &ast::Call, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let name = call.name.name.as_str();
        if self.names.functions.contains_key(name) {
            return self.unfolded(call, span, env);
        }
        let aggregate = find(&self.catalog.aggregates, name).cloned();
        if let Some(entry) = &aggregate
            && (env.aggregates.is_some() || find(&self.catalog.functions, name).is_none())
        {
            return self.aggregate_call(entry, call, span, env);
        }
        self.plain_call(call);
        if name == "if" {
            return self.if_(call, span, env);
        }
        let Some(entry) = find(&self.catalog.functions, name).cloned() else {
            let problem = self.unknown_function(call);
            self.report(problem);
            // What is meant may be an aggregate, in which every column may stand.
            let looks = env.aggregates.is_none();
            for arg in call.args.iter().filter(|_| looks) {
                if !matches!(arg.value.kind, ExprKind::Lambda(..)) {
                    self.typed(&arg.value, env);
                }
            }
            return TypedExpr::unknown(span);
        };
        let args = match &entry.body {
            FunctionBody::HigherOrder(body) => {
                let body = body.clone();
                self.higher_order_args(&*body, call, env)
            }
            FunctionBody::Scalar(_) | FunctionBody::Shorthand(_) => {
                call.args.iter().map(|a| self.typed(&a.value, env)).collect()
            }
        };
        self.resolved(&entry, args, span)
    }

    /// Refuses what only aggregates may have, and labels.
    fn plain_call(&mut self, call: &ast::Call) {
        let name = &call.name.name;
        let odd =
            [(call.distinct, "distinct"), (!call.order_by.is_empty(), "order by"), (call.filter.is_some(), "filter")];
        for (_, what) in odd.iter().filter(|(is, _)| *is) {
            let message = format!("`{what}` makes sense in aggregates only, and `{name}` is none");
            self.report(Diagnostic::error("misplaced-call", call.name.at.0, message).label("treats one row at a time"));
        }
        for label in call.args.iter().filter_map(|a| a.names.first()) {
            let message = format!("function `{name}` takes its arguments by position, without names");
            self.report(
                Diagnostic::error("wrong-argument", label.at.0, message).label("a name").help("write the value alone"),
            );
        }
    }

    /// Whether anything of that name can be called, be it a window.
    pub(in crate::check) fn is_callable(&self, name: &str) -> bool {
        name == "if"
            || self.names.functions.contains_key(name)
            || find(&self.catalog.functions, name).is_some()
            || find(&self.catalog.aggregates, name).is_some()
            || find(&self.catalog.windows, name).is_some()
    }

    pub(in crate::check) fn unknown_function(&self, call: &ast::Call) -> Diagnostic {
        let (name, at) = (&call.name.name, call.name.at.0);
        let elsewhere = [
            (find(&self.catalog.windows, name).is_some(), "window", "it stands behind `over`:\n  over"),
            (
                find(&self.catalog.stages, name).is_some() || self.names.stages.contains_key(name),
                "stage",
                "it starts a link of the chain:\n  |>",
            ),
            (find(&self.catalog.sources, name).is_some(), "source", "it stands in a source statement:\n  source x ="),
            (find(&self.catalog.sinks, name).is_some(), "sink", "it ends a chain:\n  |> into"),
        ];
        if let Some((_, kind, help)) = elsewhere.iter().find(|(is, _, _)| *is) {
            return Diagnostic::error("misplaced-call", at, format!("`{name}` is a {kind}, not a function"))
                .label("cannot be called here")
                .help(format!("{help} {name}"));
        }
        let problem = Diagnostic::error("unknown-function", at, format!("function `{name}` does not exist"));
        let lower = name.to_lowercase();
        if ["countdistinct", "count_distinct"].contains(&lower.as_str()) {
            let text = call.args.first().map_or("x", |arg| self.text(arg.value.at.0));
            return problem.label("written otherwise here").help(format!("write:\n  count(distinct {text})"));
        }
        if let Some((_, way)) = OTHER_WAYS.iter().find(|(word, _)| *word == lower) {
            return problem.label("written otherwise here").help(format!("write it like this:\n  {way}"));
        }
        if let Some(ty) = habits::type_word(&lower) {
            let text = call.args.first().map_or("x", |arg| self.text(arg.value.at.0));
            let help = format!("a cast says what holds where it fails:\n  {}", habits::cast_of(text, &ty));
            return problem.label("is a type").help(help);
        }
        let own = self.names.functions.keys().map(String::as_str);
        let functions = self.catalog.functions.iter().map(|f| f.doc.name.as_str());
        let aliases = self.catalog.functions.iter().flat_map(|f| f.doc.aliases.iter().map(String::as_str));
        let aggregates = self.catalog.aggregates.iter().map(|f| f.doc.name.as_str());
        match suggest::closest(name, own.chain(functions).chain(aliases).chain(aggregates).chain(["if"])) {
            Some(close) => problem.label("not known").help(format!("did you mean `{close}`?")).edit(at, close),
            None => problem.label("not known").help("`millstream list functions` shows all there are"),
        }
    }

    /// A call of the catalog's function of that name, which the checker itself writes.
    pub(super) fn catalog_call(&mut self, name: &str, args: Vec<TypedExpr>, span: Span) -> TypedExpr {
        match find(&self.catalog.functions, name).cloned() {
            Some(entry) => self.resolved(&entry, args, span),
            None => {
                let message = format!("function `{name}` is not in the catalog");
                self.report(Diagnostic::error("unknown-function", span, message).label("needs it"));
                TypedExpr::unknown(span)
            }
        }
    }

    fn resolved(&mut self, entry: &std::sync::Arc<FunctionEntry>, args: Vec<TypedExpr>, span: Span) -> TypedExpr {
        if args.iter().any(TypedExpr::is_unknown) {
            return TypedExpr::unknown(span);
        }
        let Some((signature, args)) =
            self.overload(&entry.doc, args, span, |arguments| (entry.resolve)(entry, arguments))
        else {
            return TypedExpr::unknown(span);
        };
        let pattern = self.pattern(entry, &args);
        if pattern == Some(false) {
            return TypedExpr::unknown(span);
        }
        let can_fail = entry.failure == Failure::Fallible && pattern.is_none() && !settled(entry, &args);
        let fails = can_fail || args.iter().any(|a| a.fails);
        let nullable = signature.result.nullable || entry.failure == Failure::NullOnFailure;
        let slot = Slot { nullable, ..signature.result };
        let node = match &entry.body {
            FunctionBody::Shorthand(make) => make(&args),
            FunctionBody::Scalar(_) | FunctionBody::HigherOrder(_) => Node::Call { function: entry.clone(), args },
        };
        TypedExpr { node, slot, fails, span }
    }

    /// Whether the pattern of a regex function is well formed; none where it is not known before the run. Only the
    /// pattern can fail, so that a known one cannot.
    fn pattern(&mut self, entry: &FunctionEntry, args: &[TypedExpr]) -> Option<bool> {
        let argument = args.get(1).filter(|_| entry.group == "regex")?;
        let Some(ScalarValue::Utf8(Some(pattern))) = constant(argument) else { return None };
        let Err(error) = regex::Regex::new(&pattern) else { return Some(true) };
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let message = format!("pattern `{pattern}` is no regular expression");
        self.report(Diagnostic::error("invalid-regex", argument.span, message).label(why));
        Some(false)
    }

    /// Finds the overload and casts the arguments to what it takes.
    pub(super) fn overload(
        &mut self,
        doc: &crate::plan::Doc,
        args: Vec<TypedExpr>,
        span: Span,
        resolve: impl Fn(&[Argument<'_>]) -> Result<Signature, String>,
    ) -> Option<(Signature, Vec<TypedExpr>)> {
        let constants: Vec<Option<ScalarValue>> = args.iter().map(constant).collect();
        let arguments: Vec<_> = args
            .iter()
            .zip(&constants)
            .map(|(arg, constant)| Argument {
                slot: lambda_result(arg),
                constant: constant.as_ref(),
                lambda: matches!(arg.node, Node::Lambda { .. }),
            })
            .collect();
        match resolve(&arguments) {
            Ok(signature) => {
                let types = signature.args.clone();
                let args = args.into_iter().enumerate().map(|(i, arg)| match types.get(i) {
                    Some(ty) if !matches!(arg.node, Node::Lambda { .. }) => coerce::to(arg, ty),
                    _ => arg,
                });
                Some((signature, args.collect()))
            }
            Err(why) => {
                let shown: Vec<_> = args.iter().map(|a| lambda_result(a).to_string()).collect();
                let call = format!("{}({})", doc.name, shown.join(", "));
                self.report(
                    Diagnostic::error("wrong-argument", span, format!("function `{}` {why}", doc.name))
                        .label(format!("called as {call}"))
                        .help(format!("it is written like this:\n  {}", doc.usage)),
                );
                None
            }
        }
    }

    fn higher_order_args(&mut self, body: &dyn HigherOrderBody, call: &ast::Call, env: &mut Env<'_>) -> Vec<TypedExpr> {
        let is_lambda = |arg: &ast::Arg| matches!(arg.value.kind, ExprKind::Lambda(..));
        let plain: Vec<Option<TypedExpr>> =
            call.args.iter().map(|arg| if is_lambda(arg) { None } else { Some(self.typed(&arg.value, env)) }).collect();
        if plain.iter().flatten().any(TypedExpr::is_unknown) {
            return vec![TypedExpr::unknown(call.name.at.0)];
        }
        let slots: Vec<Option<Slot>> = plain.iter().map(|p| p.as_ref().map(|p| p.slot.clone())).collect();
        let parameters = match body.parameters(&slots) {
            Ok(parameters) => parameters,
            Err(why) => {
                let message = format!("function `{}` {why}", call.name.name);
                self.report(
                    Diagnostic::error("wrong-argument", call.name.at.0, message).label("called with other arguments"),
                );
                return vec![TypedExpr::unknown(call.name.at.0)];
            }
        };
        let mut parameters = parameters.into_iter();
        let mut typed = Vec::with_capacity(call.args.len());
        for (arg, plain) in call.args.iter().zip(plain) {
            typed.push(match (plain, &arg.value.kind) {
                (Some(plain), _) => plain,
                (None, ExprKind::Lambda(names, body)) => {
                    let slots = parameters.next().unwrap_or_default();
                    self.lambda(names, body, slots, arg.value.at.0, env)
                }
                (None, _) => TypedExpr::unknown(arg.value.at.0),
            });
        }
        typed
    }

    fn lambda(
        &mut self,
        names: &[ast::Ident],
        body: &ast::Expr,
        slots: Vec<Slot>,
        span: Span,
        env: &mut Env<'_>,
    ) -> TypedExpr {
        if names.len() > slots.len() {
            let message = format!("this function gives the lambda {}, not {}", values(slots.len()), names.len());
            self.report(Diagnostic::error("wrong-argument", span, message).label("too many parameters"));
            return TypedExpr::unknown(span);
        }
        let parameters: Vec<Column> =
            names.iter().zip(slots).map(|(name, slot)| Column::new(&name.name, slot)).collect();
        let outer = env.locals.len();
        for (column, name) in parameters.iter().zip(names) {
            let variable = TypedExpr::new(Node::LambdaVariable(column.name.clone()), column.slot.clone(), name.at.0);
            env.locals.push((column.name.clone(), variable));
        }
        let body = self.typed(body, env);
        env.locals.truncate(outer);
        if body.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let (slot, fails) = (body.slot.clone(), body.fails);
        TypedExpr { node: Node::Lambda { parameters, body: Box::new(body) }, slot, fails, span }
    }

    pub(super) fn misplaced_lambda(&mut self, span: Span) -> TypedExpr {
        self.report(
            Diagnostic::error(
                "misplaced-lambda",
                span,
                "a lambda stands only as an argument of a function that takes one",
            )
            .label("nothing to apply it to here"),
        );
        TypedExpr::unknown(span)
    }

    /// A function of the user: its body with the arguments in place of its parameters.
    fn unfolded(&mut self, call: &ast::Call, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let name = &call.name.name;
        self.mark_used(Space::Function, name);
        self.plain_call(call);
        let args: Vec<_> = call.args.iter().map(|a| self.typed(&a.value, env)).collect();
        let Some(function) = self.names.functions.get(name).map(|f| f.definition) else {
            return TypedExpr::unknown(span);
        };
        let Some(function) = function else { return TypedExpr::unknown(span) };
        let Some(locals) = self.bound(function, args, call, span) else { return TypedExpr::unknown(span) };
        let declared = self.fn_result(name);
        if declared.ty.is_unknown() {
            return TypedExpr::unknown(span);
        }
        if !env.unfolds {
            return TypedExpr { fails: true, ..TypedExpr::new(Node::Unknown, declared, span) };
        }
        if env.depth >= DEEPEST {
            let message = format!("functions call functions more than {DEEPEST} deep");
            self.report(Diagnostic::error("nesting-too-deep", span, message).label("too deep to be unfolded"));
            return TypedExpr::unknown(span);
        }
        let scope = Scope { place: format!("function `{name}`"), ..Scope::default() };
        let mut inner =
            Env { locals, depth: env.depth + 1, size: env.size, too_large: env.too_large, ..Env::new(&scope) };
        let body = self.unfolded_body(function.body, &mut inner, &declared);
        env.size = inner.size;
        env.too_large = inner.too_large;
        TypedExpr { span, ..body }
    }

    /// What the definition was warned about is not said again at each call.
    fn unfolded_body(&mut self, body: &ast::Expr, env: &mut Env<'_>, declared: &Slot) -> TypedExpr {
        let mark = self.problems.mark();
        let typed = self.typed(body, env);
        let typed = self.fitted(typed, declared);
        for problem in self.problems.take_since(mark).into_iter().filter(Diagnostic::is_error) {
            self.report(problem);
        }
        typed
    }

    /// Arguments cast to the types of the parameters; defaults where there are no arguments.
    fn bound(
        &mut self,
        function: crate::check::names::FnDefinition<'_>,
        args: Vec<TypedExpr>,
        call: &ast::Call,
        span: Span,
    ) -> Option<Vec<(String, TypedExpr)>> {
        let required = function.params.iter().filter(|p| p.default.is_none()).count();
        if args.len() < required || args.len() > function.params.len() {
            let code = if args.len() < required { "missing-argument" } else { "too-many-arguments" };
            let wanted: Vec<_> = function.params.iter().map(|p| p.name.name.as_str()).collect();
            let message =
                format!("function `{}` takes {}, not {}", call.name.name, values(function.params.len()), args.len());
            self.report(Diagnostic::error(code, span, message).label("called here").help(format!(
                "it is written like this:\n  {}({})",
                call.name.name,
                wanted.join(", ")
            )));
            return None;
        }
        let mut args = args.into_iter();
        let mut locals = Vec::with_capacity(function.params.len());
        for param in function.params {
            let slot = param.ty.as_ref().map_or_else(Slot::unknown, |ty| self.type_of(ty));
            let value = match (args.next(), &param.default) {
                (Some(arg), _) => self.fitted(arg, &slot),
                (None, Some(default)) => {
                    let default = self.typed_constant(default);
                    self.fitted(default, &slot)
                }
                (None, None) => TypedExpr::unknown(span),
            };
            if value.is_unknown() {
                return None;
            }
            let value = if value.slot.ty == slot.ty && matches!(value.node, Node::Literal(_)) {
                coerce::cast(value, &slot.ty)
            } else {
                value
            };
            locals.push((param.name.name.clone(), value));
        }
        Some(locals)
    }
}

/// Whether this call cannot fail, though the function can.
fn settled(entry: &FunctionEntry, args: &[TypedExpr]) -> bool {
    let constants: Vec<Option<ScalarValue>> = args.iter().map(constant).collect();
    let arguments: Vec<_> = args
        .iter()
        .zip(&constants)
        .map(|(arg, constant)| Argument { slot: arg.slot.clone(), constant: constant.as_ref(), lambda: false })
        .collect();
    (entry.settled)(&arguments)
}

fn lambda_result(arg: &TypedExpr) -> Slot {
    arg.slot.clone()
}

fn values(count: usize) -> String {
    match count {
        0 => "no value".into(),
        1 => "one value".into(),
        n => format!("{n} values"),
    }
}
