//! Arguments and options of sources, sinks, formats, windows and stages, compared with what their entries say.

mod values;

use std::collections::BTreeMap;

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{Arg, Expr, ExprKind, Ident, Literal, OptionEntry};
use millstream_dsl::{Diagnostic, Span, parse};

use crate::check::checker::{Checker, some_of};
use crate::check::expressions::{Env, constant, suggested, yaml_quoted};
use crate::check::{habits, literals};
use crate::model::{Schema, Slot, Type};
use crate::plan::catalog::find;
use crate::plan::expr::Node;
use crate::plan::settings::SecretRef;
use crate::plan::{Edge, OptionKind, OptionSpec, OptionValue, Scope, Settings};

pub(super) use values::calendar;
use values::{convert, default_value, example, wanted};

/// What options may refer to.
#[derive(Debug, Clone, Default)]
pub(super) struct Around<'r> {
    /// What is being configured, for messages: "source `files`".
    pub(super) what: String,
    /// The rows whose columns an option may name; none where they are not known yet.
    pub(super) rows: Option<&'r Edge>,
}

/// A value that does not fit, in words.
struct Misfit {
    code: &'static str,
    message: String,
    label: String,
    help: Option<String>,
    edit: Option<String>,
}

impl Misfit {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Misfit { code, message: message.into(), label: String::new(), help: None, edit: None }
    }

    /// For a value whose mistake has been reported where it was made.
    fn reported() -> Self {
        Misfit::new("", "")
    }

    fn is_reported(&self) -> bool {
        self.code.is_empty()
    }
}

impl Checker<'_> {
    /// Checks the options in braces; defaults are put in. `call` is where to point when one is missing.
    pub(super) fn options(
        &mut self,
        entries: &[OptionEntry],
        specs: &[OptionSpec],
        around: &Around<'_>,
        call: Span,
        settings: &mut Settings,
    ) {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for entry in entries {
            let name = entry.name.name.as_str();
            if let Some(first) = seen.insert(name, entry.name.at.0) {
                let message = format!("option `{name}` is set twice");
                self.report(
                    Diagnostic::error("duplicate-option", entry.name.at.0, message)
                        .label("again")
                        .also(first, "first here"),
                );
                continue;
            }
            match spec_of(specs, name).filter(|_| !self.is_foreign_option(name, specs)) {
                Some(spec) => {
                    if let Some(value) = self.option(&entry.value, spec, around) {
                        settings.set(name, value, entry.value.at.0);
                    }
                }
                None => match self.foreign_option(entry, specs, around) {
                    Some(meant) => drop(seen.entry(meant).or_insert(entry.name.at.0)),
                    None => self.unknown_option(&entry.name, specs, around),
                },
            }
        }
        for spec in specs.iter().filter(|s| !seen.contains_key(s.name)) {
            self.missing_option(spec, around, call, settings);
        }
    }

    fn missing_option(&mut self, spec: &OptionSpec, around: &Around<'_>, call: Span, settings: &mut Settings) {
        if spec.required {
            self.report(
                Diagnostic::error("missing-option", call, format!("{} needs the option `{}`", around.what, spec.name))
                    .label(format!("`{}` is missing: {}", spec.name, spec.doc))
                    .help(format!("add it:\n  {{ {}: {} }}", spec.name, example(&spec.kind))),
            );
        } else if let Some(value) = spec.default.and_then(|text| default_value(text, &spec.kind)) {
            settings.set_default(spec.name, value, call);
        }
    }

    fn unknown_option(&mut self, name: &Ident, specs: &[OptionSpec], around: &Around<'_>) {
        let message = format!("{} has no option `{}`", around.what, name.name);
        let problem = Diagnostic::error("unknown-option", name.at.0, message).label("not known");
        let problem = suggested(problem, &name.name, name.at.0, specs.iter().map(|s| s.name));
        let problem = match problem.help {
            None if specs.is_empty() => problem.help("it has no options"),
            None => problem.help(format!("its options are {}", some_of(specs.iter().map(|s| s.name)))),
            Some(_) => problem,
        };
        self.report(problem);
    }

    /// Checks positional and labelled arguments.
    pub(super) fn arguments(
        &mut self,
        args: &[Arg],
        positional: &[OptionSpec],
        labels: &[OptionSpec],
        around: &Around<'_>,
        call: Span,
        settings: &mut Settings,
    ) {
        let mut next = positional.iter();
        let mut given: Vec<&str> = Vec::new();
        for arg in args {
            let spec = match arg.names.first() {
                Some(label) => match labels.iter().chain(positional).find(|s| s.name == label.name) {
                    Some(spec) => spec,
                    None => {
                        let message = format!("{} has no argument `{}`", around.what, label.name);
                        let problem = Diagnostic::error("wrong-argument", label.at.0, message).label("not known");
                        self.report(suggested(problem, &label.name, label.at.0, labels.iter().map(|s| s.name)));
                        continue;
                    }
                },
                None => match next.next() {
                    Some(spec) => spec,
                    None => match self.unlabelled(arg, labels, &given) {
                        Some(spec) => spec,
                        None => {
                            self.surplus(arg, positional, labels, around);
                            continue;
                        }
                    },
                },
            };
            if given.contains(&spec.name) {
                let message = format!("argument `{}` is given twice", spec.name);
                self.report(Diagnostic::error("duplicate-option", arg.value.at.0, message).label("again"));
                continue;
            }
            given.push(spec.name);
            if let Some(value) = self.option(&arg.value, spec, around) {
                settings.set(spec.name, value, arg.value.at.0);
            }
        }
        for spec in positional.iter().chain(labels).filter(|s| !given.contains(&s.name)) {
            if spec.required {
                let label =
                    if labels.iter().any(|l| l.name == spec.name) { format!("{} ", spec.name) } else { String::new() };
                self.report(
                    Diagnostic::error(
                        "missing-argument",
                        call,
                        format!("{} needs an argument: {}", around.what, spec.doc),
                    )
                    .label(format!("`{}` is not given", spec.name))
                    .help(format!("put it in parentheses:\n  ({label}{})", example(&spec.kind))),
                );
            } else if let Some(value) = spec.default.and_then(|text| default_value(text, &spec.kind)) {
                settings.set_default(spec.name, value, call);
            }
        }
    }

    fn surplus(&mut self, arg: &Arg, positional: &[OptionSpec], labels: &[OptionSpec], around: &Around<'_>) {
        let takes = match positional.len() {
            0 => "no arguments".into(),
            1 => format!("one argument, {}", positional[0].doc),
            n => format!("{n} arguments"),
        };
        let message = format!("{} takes {takes}", around.what);
        let problem = Diagnostic::error("too-many-arguments", arg.value.at.0, message).label("one too many");
        self.report(match labels.first() {
            Some(label) => problem.help(format!(
                "this one is written with its name:\n  {} {}",
                label.name,
                self.text(arg.value.at.0)
            )),
            None => problem,
        });
    }

    /// One option's value; none where it does not fit, which is reported.
    pub(super) fn option(&mut self, value: &Expr, spec: &OptionSpec, around: &Around<'_>) -> Option<OptionValue> {
        if matches!(value.kind, ExprKind::Broken) {
            return None;
        }
        let mark = self.problems.mark();
        match self.read(value, &spec.kind, around) {
            Ok(found) => Some(found),
            Err(misfit) if misfit.is_reported() || self.problems.errors_since(mark) => None,
            Err(misfit) => {
                let message = format!("`{}` {}", spec.name, misfit.message);
                let mut problem = Diagnostic::error(misfit.code, value.at.0, message)
                    .label(if misfit.label.is_empty() { "does not fit".into() } else { misfit.label });
                if let Some(edit) = misfit.edit {
                    problem = problem.edit(value.at.0, edit);
                }
                let help =
                    misfit.help.unwrap_or_else(|| format!("for example:\n  {}: {}", spec.name, example(&spec.kind)));
                self.report(problem.help(help));
                None
            }
        }
    }

    fn read(&mut self, value: &Expr, kind: &OptionKind, around: &Around<'_>) -> Result<OptionValue, Misfit> {
        match kind {
            OptionKind::Symbol(words) => self.symbol(value, words),
            OptionKind::Schema => self.schema(value),
            OptionKind::Column => self.column_option(value, around),
            OptionKind::Name => free_name(value),
            OptionKind::Format => self.named_format(value),
            OptionKind::Secret => self.secret(value),
            OptionKind::Expr(ty) => self.expression(value, ty.as_ref(), around),
            OptionKind::List(item) => self.list_option(value, item, around),
            OptionKind::Map(item) => self.map_option(value, item, around),
            OptionKind::AnyOf(kinds) => self.any_of(value, kinds, around),
            OptionKind::Period => match calendar(value) {
                Some(months) => Ok(OptionValue::Months(months)),
                None => self.plain(value, &OptionKind::Duration),
            },
            plain => self.plain(value, plain),
        }
    }

    /// A stage's format: its word alone, kept as a symbol. Sources and sinks read theirs with its arguments and options.
    fn named_format(&self, value: &Expr) -> Result<OptionValue, Misfit> {
        match &value.kind {
            ExprKind::Name(word) if find(&self.catalog.formats, word).is_some() => {
                Ok(OptionValue::Symbol(word.clone()))
            }
            _ => Err(Misfit::new("wrong-argument", "is the name of a format")),
        }
    }

    /// The first kind that fits. A name is not looked up as a constant while a later kind may take it.
    fn any_of(&mut self, value: &Expr, kinds: &[OptionKind], around: &Around<'_>) -> Result<OptionValue, Misfit> {
        let mut first = None;
        for kind in kinds {
            let mark = self.problems.mark();
            match self.read(value, kind, around) {
                Ok(found) if !self.problems.errors_since(mark) => return Ok(found),
                Ok(_) => {
                    self.problems.take_since(mark);
                }
                Err(misfit) => {
                    let unsaid = misfit.is_reported() && !self.problems.errors_since(mark);
                    self.problems.take_since(mark);
                    if unsaid {
                        return Err(misfit);
                    }
                    first.get_or_insert(misfit);
                }
            }
        }
        let wanted: Vec<_> = kinds.iter().map(wanted).collect();
        let misfit = Misfit::new("wrong-argument", format!("is {}", wanted.join(" or ")));
        Err(Misfit { label: first.map(|m| m.label).unwrap_or_default(), ..misfit })
    }

    /// Kinds that are constants: their value is computed from literals, parameters and constants.
    fn plain(&mut self, value: &Expr, kind: &OptionKind) -> Result<OptionValue, Misfit> {
        if let (OptionKind::Size, ExprKind::Literal(Literal::Quantity { number, unit })) = (kind, &value.kind)
            && unit.bytes().is_some()
        {
            return literals::size(number, *unit).map(OptionValue::Size).ok_or_else(|| misfit(kind));
        }
        if let Some(misfit) = self.unquoted(value, kind) {
            return Err(misfit);
        }
        let typed = self.typed_constant(value);
        if typed.is_unknown() {
            return Err(Misfit::reported());
        }
        if let (OptionKind::Duration | OptionKind::Period, Some(ScalarValue::Utf8(Some(text)))) =
            (kind, constant(&typed))
            && let Some(right) = habits::duration_of(&text)
        {
            let help = Some(format!("write it without quotes:\n  {right}"));
            return Err(Misfit { label: "is a text".to_owned(), help, edit: Some(right), ..misfit(kind) });
        }
        let found = constant(&typed).and_then(|v| convert(&v, kind, self.header.zone.as_deref()));
        found.ok_or_else(|| Misfit { label: format!("this is `{}`", typed.slot), ..misfit(kind) })
    }

    /// `yes` for `true`, and a path without its quotes.
    fn unquoted(&self, value: &Expr, kind: &OptionKind) -> Option<Misfit> {
        match (kind, &value.kind) {
            (OptionKind::Bool, ExprKind::Name(name)) => {
                let right = habits::bool_word(name)?;
                let label = format!("`{name}` is no word of the language");
                let help = Some(format!("write:\n  {right}"));
                Some(Misfit { label, help, edit: Some(right.to_owned()), ..misfit(kind) })
            }
            (OptionKind::Path | OptionKind::Address, ExprKind::Binary(..)) => {
                let text = self.text(value.at.0);
                let right = format!("\"{text}\"");
                let help = Some(format!("a text stands in double quotes:\n  {right}"));
                let label = "is read as an expression".to_owned();
                let is_path = text.contains('/') && !text.contains(['"', ' ']);
                is_path.then(|| Misfit { label, help, edit: Some(right), ..misfit(kind) })
            }
            _ => None,
        }
    }

    fn symbol(&mut self, value: &Expr, words: &'static [(&'static str, &'static str)]) -> Result<OptionValue, Misfit> {
        let listed: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let written = match &value.kind {
            ExprKind::Name(name) => name.clone(),
            ExprKind::Literal(Literal::String(text)) => text.clone(),
            ExprKind::Literal(Literal::Bool(value)) => value.to_string(),
            _ => return Err(Misfit::new("wrong-argument", format!("is one of {}", listed.join(", ")))),
        };
        if let Some((word, _)) = words.iter().find(|(word, _)| *word == written) {
            return match &value.kind {
                ExprKind::Literal(Literal::String(_)) if !self.is_yaml_quoted(value.at.0) => Err(Misfit {
                    help: Some(format!("write it without quotes: `{word}`")),
                    edit: Some((*word).to_owned()),
                    ..Misfit::new("wrong-argument", format!("is a word, not a text: one of {}", listed.join(", ")))
                }),
                _ => Ok(OptionValue::Symbol((*word).to_owned())),
            };
        }
        let close = millstream_dsl::suggest::closest(&written, listed.iter().copied());
        Err(Misfit {
            label: format!("`{written}` is none of them"),
            help: close.map(|close| format!("did you mean `{close}`?")),
            edit: close.map(str::to_owned),
            ..Misfit::new("unknown-symbol", format!("is one of {}", listed.join(", ")))
        })
    }

    fn schema(&mut self, value: &Expr) -> Result<OptionValue, Misfit> {
        let help = || {
            Some(
                "write the columns, or the name of a type:\n  schema: { id: string, amount: decimal(12, 2) }"
                    .to_owned(),
            )
        };
        let wrong = || Misfit { help: help(), ..Misfit::new("wrong-argument", "is a type with columns") };
        if let ExprKind::Literal(Literal::String(text)) = &value.kind {
            return Err(habits::schema_of(text).map_or_else(wrong, |right| Misfit {
                label: "is a text".to_owned(),
                help: Some(format!("write it in braces:\n  schema: {right}")),
                edit: Some(right),
                ..wrong()
            }));
        }
        let ty = match parse::type_from_expr(value) {
            Ok(ty) => ty,
            Err(problem) => {
                let quoted = problem.span();
                self.report(if self.is_yaml_quoted(quoted) { yaml_quoted(quoted) } else { problem });
                return Err(wrong());
            }
        };
        let slot = self.type_of(&ty);
        match slot.ty {
            Type::Struct(columns) => Ok(OptionValue::Schema(Schema::new(columns))),
            Type::Unknown => Err(Misfit::reported()),
            other => Err(Misfit { label: format!("`{other}` has no columns"), ..wrong() }),
        }
    }

    fn column_option(&mut self, value: &Expr, around: &Around<'_>) -> Result<OptionValue, Misfit> {
        let name = match &value.kind {
            ExprKind::Name(name) | ExprKind::Literal(Literal::String(name)) => name,
            _ => return Err(Misfit::new("wrong-argument", "is the name of a column")),
        };
        if let Some(rows) = around.rows
            && rows.schema.get(name).is_none()
        {
            let quote =
                |c: &str| if matches!(value.kind, ExprKind::Name(_)) { c.to_owned() } else { format!("\"{c}\"") };
            let message = format!("column `{name}` does not exist");
            let problem = Diagnostic::error("unknown-column", value.at.0, message).label("not among the columns");
            let problem = match millstream_dsl::suggest::closest(name, rows.schema.names()) {
                Some(close) => problem.help(format!("did you mean `{close}`?")).edit(value.at.0, quote(close)),
                None => problem.help(format!("the columns are {}", some_of(rows.schema.names()))),
            };
            self.report(problem);
            return Err(Misfit::new("unknown-column", ""));
        }
        Ok(OptionValue::Column(name.clone()))
    }

    /// `env("X")`, `secret("name")`; a plain text is taken, with a warning.
    fn secret(&mut self, value: &Expr) -> Result<OptionValue, Misfit> {
        if let ExprKind::Call(call) = &value.kind
            && let [Arg { value: Expr { kind: ExprKind::Literal(Literal::String(name)), .. }, names }] = &call.args[..]
            && names.is_empty()
        {
            match call.name.name.as_str() {
                "env" => return Ok(OptionValue::Secret(SecretRef::Env(name.clone()))),
                "secret" if SecretRef::misnamed(name).is_some() => {
                    let why = SecretRef::misnamed(name).unwrap_or_default();
                    let help = Some("write a name such as\n  secret(\"orders/token\")".into());
                    return Err(Misfit { help, ..Misfit::new("wrong-argument", why) });
                }
                "secret" => return Ok(OptionValue::Secret(SecretRef::Named(name.clone()))),
                _ => {}
            }
        }
        let wrong = || Misfit {
            help: Some("for example:\n  env(\"PASSWORD\")\n  secret(\"name\")".into()),
            ..Misfit::new("wrong-argument", "is a secret")
        };
        if !matches!(value.kind, ExprKind::Literal(Literal::String(_)) | ExprKind::Name(_)) {
            return Err(wrong());
        }
        let found = self.plain(value, &OptionKind::Text).map_err(|_| wrong())?;
        self.report(
            Diagnostic::warning("secret-in-text", value.at.0, "a secret stands in plain text")
                .label("whoever reads the file reads this")
                .help("keep it outside:\n  env(\"PASSWORD\")\n  secret(\"name\")"),
        );
        Ok(found)
    }

    fn expression(&mut self, value: &Expr, ty: Option<&Type>, around: &Around<'_>) -> Result<OptionValue, Misfit> {
        let inputs = around.rows.map(|rows| (None, rows.clone())).into_iter().collect();
        let scope = Scope { inputs, state: None, place: around.what.clone() };
        let typed = self.typed(value, &mut Env::new(&scope));
        let typed = self.handled(typed);
        let typed = match ty {
            Some(ty) => self.fitted(typed, &Slot::nullable(ty.clone())),
            None => typed,
        };
        Ok(OptionValue::Expr(Box::new(typed)))
    }

    fn list_option(&mut self, value: &Expr, item: &OptionKind, around: &Around<'_>) -> Result<OptionValue, Misfit> {
        let items = match &value.kind {
            ExprKind::List(items) => items.iter().map(|v| self.read(v, item, around)).collect::<Result<Vec<_>, _>>()?,
            ExprKind::Name(name) if self.names.values.contains_key(name) => {
                let typed = self.typed_constant(value);
                let Node::List(parts) = &typed.node else {
                    return Ok(OptionValue::List(vec![self.read(value, item, around)?]));
                };
                let zone = self.header.zone.clone();
                let read = parts.iter().map(|p| constant(p).and_then(|v| convert(&v, item, zone.as_deref())));
                read.collect::<Option<Vec<_>>>().ok_or_else(|| misfit(item))?
            }
            _ => vec![self.read(value, item, around)?],
        };
        Ok(OptionValue::List(items))
    }

    fn map_option(&mut self, value: &Expr, item: &OptionKind, around: &Around<'_>) -> Result<OptionValue, Misfit> {
        let ExprKind::Struct(record) = &value.kind else {
            return Err(Misfit::new("wrong-argument", "is a list of names and values in braces"));
        };
        let mut values = BTreeMap::new();
        for field in &record.fields {
            let Some(value) = &field.value else {
                return Err(Misfit::new("wrong-argument", format!("lacks the value of `{}`", field.name.name)));
            };
            values.insert(field.name.name.clone(), self.read(value, item, around)?);
        }
        Ok(OptionValue::Map(values))
    }
}

/// The option of that name, or the one whose prefix it has (`kafka.*`).
pub(super) fn spec_of<'s>(specs: &'s [OptionSpec], name: &str) -> Option<&'s OptionSpec> {
    let exact = specs.iter().find(|s| s.name == name);
    exact.or_else(|| {
        specs.iter().find(|s| s.name.strip_suffix('*').is_some_and(|p| name.len() > p.len() && name.starts_with(p)))
    })
}

fn free_name(value: &Expr) -> Result<OptionValue, Misfit> {
    match &value.kind {
        ExprKind::Name(name) | ExprKind::Literal(Literal::String(name)) => Ok(OptionValue::Text(name.clone())),
        _ => Err(Misfit::new("wrong-argument", "is a name")),
    }
}

fn misfit(kind: &OptionKind) -> Misfit {
    Misfit::new("wrong-argument", format!("is {}", wanted(kind)))
}
