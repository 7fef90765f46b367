//! `param`, `let` and `fn`: typed once where they are defined; used by value, or unfolded.

use millstream_dsl::ast::{Expr, Ident, Literal, TypeExpr, TypedWord};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::{Checker, Space};
use crate::check::expressions::{Env, constant, example_of};
use crate::check::names::{FnDefinition, Value};
use crate::check::{circles, coerce};
use crate::model::{Slot, Type};
use crate::plan::expr::Node;
use crate::plan::{Scope, TypedExpr};

/// The environment variable of a parameter: this and its name in upper case. The command line puts it into the overrides.
pub const PARAM_VARIABLE_PREFIX: &str = "MILLSTREAM_PARAM_";

/// How many definitions may lead through one another.
pub(super) const DEEPEST_DEFINITIONS: usize = 64;

impl<'a> Checker<'a> {
    /// Types every parameter, constant and function where it is defined.
    pub(super) fn check_definitions(&mut self) {
        self.check_overrides();
        let (values, functions) = (self.names.values.clone(), self.names.functions.clone());
        let keys = values.keys().map(|n| (Space::Value, n.as_str()));
        let keys = keys.chain(functions.keys().map(|n| (Space::Function, n.as_str())));
        let found = circles::ordered(keys, |(space, name)| match space {
            Space::Value => values.get(name).map(|v| v.refers()).unwrap_or_default(),
            _ => functions.get(name).and_then(|f| f.definition).map(|d| d.refers()).unwrap_or_default(),
        });
        let at = |(space, name): (Space, &str)| match space {
            Space::Value => values.get(name).map(|v| v.span()).unwrap_or_default(),
            _ => functions.get(name).map(|f| f.at).unwrap_or_default(),
        };
        for circle in &found.circles {
            let places: Vec<Span> = circle.iter().map(|key| at(*key)).collect();
            self.report_definition_circle(circle[0], &places);
            for (key, at) in circle.iter().zip(places) {
                self.poison(*key, at);
            }
        }
        for (key, depth) in found.order {
            if depth > DEEPEST_DEFINITIONS {
                self.report_deep(depth, at(key));
                self.poison(key, at(key));
            }
            match key {
                (Space::Value, name) => drop(self.value_of(name)),
                (_, name) => self.define_function(name),
            }
        }
    }

    fn report_definition_circle(&mut self, (space, name): (Space, &str), places: &[Span]) {
        match space {
            Space::Value => {
                let message = format!("constant `{name}` is defined by itself");
                self.report_circle("cycle", message, "needs its own value", places, None);
            }
            _ => {
                let message = format!("function `{name}` leads back to itself");
                let help = "functions are unfolded where they are called, so that none can call itself";
                self.report_circle("recursive-function", message, "would never end", places, Some(help));
            }
        }
    }

    /// What stands for a definition whose mistake has been reported.
    fn poison(&mut self, (space, name): (Space, &str), at: Span) {
        match space {
            Space::Value => drop(self.params.insert(name.to_owned(), TypedExpr::unknown(at))),
            _ => drop(self.fn_results.insert(name.to_owned(), Slot::unknown())),
        }
    }

    /// Reports a circle once, at its first place.
    pub(super) fn report_circle(
        &mut self,
        code: &'static str,
        message: String,
        label: &str,
        places: &[Span],
        help: Option<&str>,
    ) {
        let [first, others @ ..] = places else { return };
        let mut problem = Diagnostic::error(code, *first, message).label(label);
        for other in others {
            problem = problem.also(*other, "by way of this");
        }
        self.report(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }

    /// Definitions may lead through others, but not without bounds. What leads through even more is silent.
    pub(super) fn report_deep(&mut self, depth: usize, at: Span) {
        if depth == DEEPEST_DEFINITIONS + 1 {
            let message = format!("definitions lead through more than {DEEPEST_DEFINITIONS} others");
            self.report(Diagnostic::error("nesting-too-deep", at, message).label("too far down"));
        }
    }

    /// Settings from outside must mean a parameter.
    fn check_overrides(&mut self) {
        let Some(file) = self.program.files.first() else { return };
        let start = Span::new(file.id, 0, 0);
        for name in self.overrides.keys() {
            if !matches!(self.names.values.get(name), Some(Value::Param { .. })) {
                let params =
                    self.names.values.iter().filter(|(_, v)| matches!(v, Value::Param { .. })).map(|(n, _)| n.as_str());
                let problem = Diagnostic::error("unknown-param", start, format!("`--set {name}` names no parameter"))
                    .label("there is no such `param` in the file");
                let problem = match millstream_dsl::suggest::closest(name, params) {
                    Some(close) => problem.help(format!("did you mean `{close}`?")),
                    None => problem.help(format!("declare it:\n  param {name}: string = \"\"")),
                };
                self.report(problem);
            }
        }
    }

    /// The value of a parameter or constant.
    pub(super) fn value_of(&mut self, name: &str) -> TypedExpr {
        if let Some(value) = self.params.get(name) {
            return value.clone();
        }
        let Some(definition) = self.names.values.get(name).copied() else { return TypedExpr::unknown(Span::default()) };
        let value = match definition {
            Value::Broken(span) => TypedExpr::unknown(span),
            Value::Let { value, .. } => self.let_value(value),
            Value::Param { name, ty, default } => self.param_value(name, ty, default),
        };
        self.params.insert(name.to_owned(), value.clone());
        value
    }

    fn let_value(&mut self, value: &Expr) -> TypedExpr {
        let typed = self.typed_constant(value);
        self.handled(typed)
    }

    /// What is set from outside holds before the default.
    fn param_value(&mut self, name: &'a Ident, ty: &'a TypeExpr, default: Option<&'a Expr>) -> TypedExpr {
        let slot = self.type_of(ty);
        let typed = match (self.overrides.get(&name.name), default) {
            (Some(text), _) => self.override_value(text, &slot, name),
            (None, Some(default)) => self.typed_constant(default),
            (None, None) => {
                let variable = format!("{PARAM_VARIABLE_PREFIX}{}", name.name.to_uppercase());
                self.report(
                    Diagnostic::error("missing-param", name.at.0, format!("parameter `{}` has no value", name.name))
                        .label("has no default and was not set")
                        .help(format!(
                            "set it, or give it a default:\n  --set {0}=...\n  {variable}=...\n  param {0}: {1} = {2}",
                            name.name,
                            self.text(ty.at.0),
                            example_of(&slot.ty)
                        )),
                );
                TypedExpr::unknown(name.at.0)
            }
        };
        let typed = self.fitted(typed, &slot);
        if typed.is_unknown() {
            return TypedExpr::new(Node::Unknown, slot, name.at.0);
        }
        // The cast keeps a declared type from adapting as a bare literal would.
        if matches!(typed.node, Node::Literal(_)) { coerce::cast(typed, &slot.ty) } else { typed }
    }

    /// The text of a setting, read as the declared type.
    fn override_value(&mut self, text: &str, slot: &Slot, name: &Ident) -> TypedExpr {
        let span = name.at.0;
        let literal = match &slot.ty {
            Type::String => Literal::String(text.to_owned()),
            Type::Bool if text == "true" || text == "false" => Literal::Bool(text == "true"),
            Type::Json => Literal::Typed { word: TypedWord::Json, text: text.to_owned() },
            Type::Bytes => Literal::Typed { word: TypedWord::Bytes, text: text.to_owned() },
            ty if ty.is_number() => return self.override_number(text, slot, span),
            _ => Literal::String(text.to_owned()),
        };
        let typed = self.literal(&literal, span);
        match coerce::fit(typed, &slot.ty) {
            Ok(typed) => typed,
            Err(_) => self.wrong_override(text, slot, span),
        }
    }

    fn override_number(&mut self, text: &str, slot: &Slot, span: Span) -> TypedExpr {
        let digits = text.trim_start_matches('-');
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let literal = if plain {
            Literal::Integer(digits.into())
        } else if slot.ty.is_float() {
            Literal::Float(digits.into())
        } else {
            Literal::Decimal(digits.into())
        };
        let mark = self.problems.mark();
        let typed = self.literal(&literal, span);
        self.problems.take_since(mark);
        let value =
            constant(&typed).and_then(|v| if text.starts_with('-') { v.arithmetic_negate().ok() } else { Some(v) });
        match value.and_then(|v| coerce::adapt(&v, &slot.ty)) {
            Some(Ok(value)) => TypedExpr::new(Node::Literal(value), Slot::required(slot.ty.clone()), span),
            _ => self.wrong_override(text, slot, span),
        }
    }

    fn wrong_override(&mut self, text: &str, slot: &Slot, span: Span) -> TypedExpr {
        let message = format!("the setting `{text}` is no `{}`", slot.ty);
        self.report(Diagnostic::error("invalid-literal", span, message).label(format!("is `{}`", slot.ty)));
        TypedExpr::unknown(span)
    }

    /// What a function gives; unknown where its definition has a mistake, which is reported once.
    pub(super) fn fn_result(&self, name: &str) -> Slot {
        self.fn_results.get(name).cloned().unwrap_or_else(Slot::unknown)
    }

    fn define_function(&mut self, name: &str) {
        let definition = self.names.functions.get(name).and_then(|f| f.definition);
        if let Some(definition) = definition.filter(|_| !self.fn_results.contains_key(name)) {
            let slot = self.fn_defined(definition, name);
            self.fn_results.insert(name.to_owned(), slot);
        }
    }

    fn fn_defined(&mut self, function: FnDefinition<'_>, name: &str) -> Slot {
        let mark = self.problems.mark();
        let mut locals: Vec<(String, TypedExpr)> = Vec::with_capacity(function.params.len());
        for param in function.params {
            let slot = match &param.ty {
                Some(ty) => self.type_of(ty),
                None => self.untyped_parameter(&param.name),
            };
            if let Some((_, first)) = locals.iter().find(|(n, _)| *n == param.name.name) {
                let first = first.span;
                let message = format!("parameter `{}` stands here twice", param.name.name);
                self.report(
                    Diagnostic::error("duplicate-name", param.name.at.0, message)
                        .label("again")
                        .also(first, "first here"),
                );
            }
            if let Some(default) = &param.default {
                let default = self.typed_constant(default);
                self.fitted(default, &slot);
            }
            let variable = TypedExpr::new(Node::LambdaVariable(param.name.name.clone()), slot, param.name.at.0);
            locals.push((param.name.name.clone(), variable));
        }
        let scope = Scope { place: format!("function `{name}`"), ..Scope::default() };
        let body = self.typed(function.body, &mut Env { locals, unfolds: false, ..Env::new(&scope) });
        let slot = match function.result {
            Some(ty) => {
                let declared = self.type_of(ty);
                self.fitted(body, &declared);
                declared
            }
            None => body.slot,
        };
        if self.problems.errors_since(mark) { Slot::unknown() } else { slot }
    }

    fn untyped_parameter(&mut self, name: &Ident) -> Slot {
        self.report(
            Diagnostic::error(
                "misplaced-types",
                name.at.0,
                format!("parameter `{}` of a function needs a type", name.name),
            )
            .label("of which type?")
            .help(format!("write it behind the name:\n  {}: string", name.name)),
        );
        Slot::unknown()
    }
}
