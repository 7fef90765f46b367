//! `param`, `let` and `fn`: typed once where they are defined; used by value, or unfolded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use millstream_dsl::ast::{Expr, Ident, Literal, TypeExpr, TypedWord};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::Checker;
use crate::check::expressions::{Env, constant};
use crate::check::names::{FnDefinition, Value};
use crate::check::{coerce, walk};
use crate::model::{Slot, Type};
use crate::plan::expr::Node;
use crate::plan::{Scope, TypedExpr};

/// The environment variable of a parameter: this and its name in upper case. The command line puts it into the overrides.
pub const PARAM_VARIABLE_PREFIX: &str = "MILLSTREAM_PARAM_";

/// How many definitions may lead through one another.
const DEEPEST_DEFINITIONS: usize = 64;

impl<'a> Checker<'a> {
    /// Types every parameter, constant and function where it is defined.
    pub(super) fn check_definitions(&mut self) {
        self.check_overrides();
        let values: Vec<String> = self.names.values.keys().cloned().collect();
        for name in values {
            self.value_of(&name);
        }
        let functions: Vec<String> = self.names.functions.keys().cloned().collect();
        for name in functions {
            self.fn_result(&name);
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
        // Whoever asks again while it is being typed gets this.
        self.params.insert(name.to_owned(), TypedExpr::unknown(definition.span()));
        if !self.descend(definition.span()) {
            return TypedExpr::unknown(definition.span());
        }
        let value = match definition {
            Value::Broken(span) => TypedExpr::unknown(span),
            Value::Let { value, name } => self.let_value(value, name),
            Value::Param { name, ty, default } => self.param_value(name, ty, default),
        };
        self.depth -= 1;
        self.params.insert(name.to_owned(), value.clone());
        value
    }

    fn let_value(&mut self, value: &Expr, name: &Ident) -> TypedExpr {
        let circle = self.circle(&name.name, |checker, name| match checker.names.values.get(name) {
            Some(Value::Let { value, .. }) => walk::names(value),
            _ => Vec::new(),
        });
        if let Some(circle) = circle {
            let message = format!("constant `{}` is defined by itself", name.name);
            let mut problem = Diagnostic::error("cycle", name.at.0, message).label("needs its own value");
            for other in circle.iter().skip(1) {
                let at = self.names.values.get(other).map(|v| v.span()).unwrap_or_default();
                problem = problem.also(at, "by way of this");
                self.params.insert(other.clone(), TypedExpr::unknown(at));
            }
            self.report(problem);
            return TypedExpr::unknown(name.at.0);
        }
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
                        .help(format!("set it, or give it a default:\n  --set {}=...\n  {variable}=...", name.name)),
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
    pub(super) fn fn_result(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.fn_results.get(name) {
            return slot.clone();
        }
        let Some(function) = self.names.functions.get(name).copied() else { return Slot::unknown() };
        let Some(definition) = function.definition else { return Slot::unknown() };
        self.fn_results.insert(name.to_owned(), Slot::unknown());
        if !self.descend(function.at) {
            return Slot::unknown();
        }
        let callees = |checker: &Checker<'a>, name: &str| {
            let definition = checker.names.functions.get(name).and_then(|f| f.definition);
            definition.map(|d| walk::calls(d.body)).unwrap_or_default()
        };
        let slot = match self.circle(name, callees) {
            Some(circle) => self.recursive_function(name, function.at, &circle),
            None => self.fn_defined(definition, name),
        };
        self.depth -= 1;
        self.fn_results.insert(name.to_owned(), slot.clone());
        slot
    }

    /// Reports a circle of functions, once for all of them.
    fn recursive_function(&mut self, name: &str, at: Span, circle: &[String]) -> Slot {
        let mut problem =
            Diagnostic::error("recursive-function", at, format!("function `{name}` leads back to itself"))
                .label("would never end")
                .help("functions are unfolded where they are called, so that none can call itself");
        for other in circle.iter().skip(1) {
            let at = self.names.functions.get(other).map(|f| f.at).unwrap_or_default();
            problem = problem.also(at, "by way of this");
            self.fn_results.insert(other.clone(), Slot::unknown());
        }
        self.report(problem);
        Slot::unknown()
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

    /// The circle of definitions by which `name` leads back to itself, starting with it; none where it does not.
    fn circle(&self, name: &str, refers: impl Fn(&Checker<'a>, &str) -> Vec<&'a str>) -> Option<Vec<String>> {
        let mut came_from: BTreeMap<&str, String> = BTreeMap::new();
        let mut open = vec![name.to_owned()];
        while let Some(next) = open.pop() {
            for referred in refers(self, &next) {
                if referred == name {
                    let mut path = vec![next.clone()];
                    while let Some(before) = came_from.get(path.last().map_or("", String::as_str)) {
                        path.push(before.clone());
                    }
                    path.reverse();
                    return Some(path);
                }
                if let Entry::Vacant(place) = came_from.entry(referred) {
                    place.insert(next.clone());
                    open.push(referred.to_owned());
                }
            }
        }
        None
    }

    /// Definitions may lead through others, but not without bounds.
    fn descend(&mut self, at: Span) -> bool {
        if self.depth >= DEEPEST_DEFINITIONS {
            let message = format!("definitions lead through more than {DEEPEST_DEFINITIONS} others");
            self.report(Diagnostic::error("nesting-too-deep", at, message).label("too far down"));
            return false;
        }
        self.depth += 1;
        true
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
