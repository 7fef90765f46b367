//! Expressions, options, types, arguments and clauses, as YAML spells them.

use super::node::{Entry, Kind, Node, Scalar};
use super::read::Reader;
use crate::ast::{
    Arg, At, Clause, ClauseKind, Expr, ExprKind, FnParam, Ident, Literal, OptionEntry, Options, StructExpr,
    StructField, TypeExpr, TypeField, TypeKind,
};
use crate::diagnostic::Diagnostic;
use crate::parse::{self, Parsed, Positions};

/// The keys that are clauses wherever clauses can stand.
pub(super) const CLAUSES: &[&str] = &[
    "bad",
    "by",
    "else",
    "emit",
    "init",
    "late",
    "named",
    "on",
    "on expiry",
    "over",
    "per",
    "rejected",
    "running",
    "step",
    "using",
    "with",
    "within",
    "yield",
];

/// A value: double-quoted a string, a list a list, a mapping a struct, and any other scalar the text of an expression.
pub(super) fn value(reader: &mut Reader<'_>, node: &Node) -> Expr {
    let at = reader.at(node);
    let kind = match &node.kind {
        Kind::Scalar(scalar) if scalar.double => string(reader, node, scalar),
        Kind::Scalar(scalar) => return Expr { at, ..reader.text(scalar, parse::expression) },
        Kind::List(items) => ExprKind::List(items.iter().map(|item| value(reader, item)).collect()),
        Kind::Map(_) => ExprKind::Struct(struct_expr(reader, node)),
        Kind::Refused => ExprKind::Broken,
        Kind::Empty => {
            reader.shape(node.start, node.end, "a value is missing here", "write one, such as:\n  null");
            ExprKind::Broken
        }
    };
    Expr { kind, at }
}

/// A double-quoted scalar. `${...}` in it looks like an interpolation, which only an expression's text can be.
fn string(reader: &mut Reader<'_>, node: &Node, scalar: &Scalar) -> ExprKind {
    if scalar.text.contains("${") {
        let span = reader.span(node.start, node.end);
        let problem = Diagnostic::error("yaml-quoted-expression", span, "a double-quoted scalar is a fixed text");
        let raw = crate::print::words::quoted(&scalar.text).replace("\\${", "${").replace('\'', "''");
        reader.report(
            problem
                .label("`${` fills in nothing here")
                .help(format!("write an interpolated string between single quotes, too:\n  '{raw}'")),
        );
    }
    ExprKind::Literal(Literal::String(scalar.text.clone()))
}

/// The fields of a mapping; a key without a value is a field of the same name.
pub(super) fn struct_expr(reader: &mut Reader<'_>, node: &Node) -> StructExpr {
    let mut fields = Vec::new();
    if let Kind::Map(entries) = &node.kind {
        for (index, entry) in entries.iter().enumerate() {
            let (trivia, value) =
                reader.item(entry.key_start, extent(entry), index == 0, |reader| match entry.value.kind {
                    Kind::Empty => None,
                    _ => Some(value(reader, &entry.value)),
                });
            fields.push(StructField { trivia, name: reader.key(entry), value });
        }
    }
    StructExpr { fields, end: reader.end(node) }
}

fn extent(entry: &Entry) -> usize {
    entry.value.end.max(entry.key_end)
}

/// A mapping as options.
pub(super) fn options(reader: &mut Reader<'_>, node: &Node, what: &str) -> Options {
    let entries = reader.entries(node, what, "{ format: json }");
    let entries: Vec<_> = entries.iter().enumerate().map(|(i, entry)| option(reader, entry, i == 0)).collect();
    Options { entries, end: reader.end(node), at: reader.at(node) }
}

/// One option.
pub(super) fn option(reader: &mut Reader<'_>, entry: &Entry, first: bool) -> OptionEntry {
    let (trivia, value) = reader.item(entry.key_start, extent(entry), first, |reader| value(reader, &entry.value));
    OptionEntry { trivia, name: reader.key(entry), value }
}

/// A type: a mapping of fields, or the text of a type.
pub(super) fn type_expr(reader: &mut Reader<'_>, node: &Node) -> Option<TypeExpr> {
    match &node.kind {
        Kind::Scalar(scalar) => {
            unquoted(reader, node, scalar, "a type");
            reader.text(scalar, parse::type_expr)
        }
        Kind::Map(entries) => {
            let mut fields = Vec::new();
            for (index, entry) in entries.iter().enumerate() {
                let (trivia, ty) =
                    reader.item(entry.key_start, extent(entry), index == 0, |reader| type_expr(reader, &entry.value));
                let name = reader.key(entry);
                fields.extend(ty.map(|ty| TypeField { trivia, name, ty }));
            }
            let end = reader.end(node);
            Some(TypeExpr { kind: TypeKind::Struct { fields, end }, nullable: false, at: reader.at(node) })
        }
        Kind::Refused => None,
        _ => {
            let help = "write:\n  decimal(12, 2)\nor a mapping of fields and types";
            reader.shape(node.start, node.end, "a type is missing here", help);
            None
        }
    }
}

/// Reports double quotes around what is no string.
fn unquoted(reader: &mut Reader<'_>, node: &Node, scalar: &Scalar, what: &str) {
    if scalar.double {
        let span = reader.span(node.start, node.end);
        let problem = Diagnostic::error("yaml-quoted-expression", span, format!("{what} stands in double quotes"));
        let help = format!("write it without quotes, or between single quotes:\n  {}", scalar.text);
        reader.report(problem.label("double quotes make it a string").help(help));
    }
}

/// The parameters of a function or stage: `{ net: float64, rate: { type: float64, default: 1.0 } }`.
pub(super) fn params(reader: &mut Reader<'_>, node: &Node) -> Vec<FnParam> {
    let entries = reader.entries(node, "params", "params: { net: float64 }");
    entries
        .iter()
        .map(|entry| {
            let (ty, default) = typed_default(reader, &entry.value, "a parameter");
            FnParam { name: reader.key(entry), ty, default }
        })
        .collect()
}

/// `decimal(12, 2)`, or `{ type: decimal(12, 2), default: 1.00 }`, or nothing.
pub(super) fn typed_default(reader: &mut Reader<'_>, node: &Node, what: &str) -> (Option<TypeExpr>, Option<Expr>) {
    match &node.kind {
        Kind::Empty | Kind::Refused => (None, None),
        Kind::Map(entries) => {
            let (mut ty, mut default) = (None, None);
            for entry in entries {
                match entry.key.text.as_str() {
                    "type" => ty = type_expr(reader, &entry.value),
                    "default" => default = Some(value(reader, &entry.value)),
                    _ => reader.unknown_key(entry, what, &["type", "default"]),
                }
            }
            (ty, default)
        }
        _ => (type_expr(reader, node), None),
    }
}

/// How a text of arguments is read: a stage's or a call's.
pub(super) type ReadArgs = fn(&str, &Positions) -> Parsed<Vec<Arg>>;

/// Arguments: one scalar, a list of several, a mapping of named ones.
pub(super) fn args(reader: &mut Reader<'_>, node: &Node, read: ReadArgs) -> Vec<Arg> {
    match &node.kind {
        Kind::Empty | Kind::Refused => Vec::new(),
        Kind::Scalar(_) => arg(reader, node, read),
        Kind::List(items) => items.iter().flat_map(|item| arg(reader, item, read)).collect(),
        Kind::Map(entries) => {
            let named = |entry: &Entry| Arg { names: vec![reader.key(entry)], value: value(reader, &entry.value) };
            entries.iter().map(named).collect()
        }
    }
}

/// `socket: localhost:9999`, which nobody means as an expression; reported.
pub(super) fn unquoted_text(reader: &mut Reader<'_>, node: &Node) -> Option<Arg> {
    let Kind::Scalar(scalar) = &node.kind else { return None };
    let text = scalar.text.as_str();
    let plain = !scalar.double && text.chars().all(|c| c.is_alphanumeric() || "._-/*:?[]".contains(c));
    let port = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
    let is_address = text.rsplit_once(':').is_some_and(|(host, rest)| !host.is_empty() && port(rest));
    if !plain || !(is_address || text.contains('/')) {
        return None;
    }
    let span = reader.span(node.start, node.end);
    let problem = Diagnostic::error("yaml-shape", span, "a text stands in double quotes");
    let right = format!("\"{text}\"");
    reader.report(problem.label("is read as an expression").help(format!("write:\n  {right}")).edit(span, right));
    Some(Arg { names: Vec::new(), value: Expr { kind: ExprKind::Broken, at: reader.at(node) } })
}

fn arg(reader: &mut Reader<'_>, node: &Node, read: ReadArgs) -> Vec<Arg> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.double => reader.text(scalar, read),
        _ => vec![Arg { names: Vec::new(), value: value(reader, node) }],
    }
}

/// `as: word`, `as: [key, value]`
pub(super) fn alias(reader: &mut Reader<'_>, node: &Node) -> Vec<Ident> {
    match &node.kind {
        Kind::List(items) => items.iter().filter_map(|item| reader.name(item, "a name")).collect(),
        _ => reader.name(node, "`as`").into_iter().collect(),
    }
}

/// A clause: its word is the key, the rest of it the value.
pub(super) fn clause(reader: &mut Reader<'_>, entry: &Entry) -> Option<Clause> {
    let node = &entry.value;
    let at = At(reader.span(entry.key_start, extent(entry)));
    let kind = match &node.kind {
        Kind::Map(_) => mapped(reader, entry)?,
        Kind::List(items) => listed(reader, entry, items)?,
        Kind::Scalar(scalar) => {
            unquoted(reader, node, scalar, &format!("clause `{}`", entry.key.text));
            clause_text(reader, entry, &[scalar])?
        }
        Kind::Empty => clause_text(reader, entry, &[])?,
        Kind::Refused => return None,
    };
    Some(Clause { kind, at })
}

/// A clause whose value is a struct or options.
fn mapped(reader: &mut Reader<'_>, entry: &Entry) -> Option<ClauseKind> {
    let node = &entry.value;
    let word = entry.key.text.as_str();
    let make: fn(Expr) -> ClauseKind = match word {
        "with" => return Some(ClauseKind::With(options(reader, node, "`with`"))),
        "init" => ClauseKind::Init,
        "step" => ClauseKind::Step,
        "yield" => ClauseKind::Yield,
        "on expiry" => ClauseKind::OnExpiry,
        _ => {
            let help = format!("write the rest of the clause as text:\n  {word}: ...");
            reader.shape(node.start, node.end, format!("clause `{word}` takes no mapping"), help);
            return None;
        }
    };
    Some(make(value(reader, node)))
}

/// A clause whose value is a list of texts, with commas between.
fn listed(reader: &mut Reader<'_>, entry: &Entry, items: &[Node]) -> Option<ClauseKind> {
    let mut scalars = Vec::new();
    for item in items {
        match &item.kind {
            Kind::Scalar(scalar) => {
                unquoted(reader, item, scalar, "a part of a clause");
                scalars.push(scalar);
            }
            _ => reader.shape(item.start, item.end, "a part of a clause must be text", "write it as in a .stream file"),
        }
    }
    clause_text(reader, entry, &scalars)
}

fn clause_text(reader: &mut Reader<'_>, entry: &Entry, parts: &[&Scalar]) -> Option<ClauseKind> {
    let (text, offsets) = joined(&entry.key, parts);
    reader.fragment(&text, offsets, parse::clause)
}

/// A key and the texts behind it as one text: `by category, region`.
pub(super) fn joined(key: &Scalar, parts: &[&Scalar]) -> (String, Vec<u32>) {
    let mut text = key.text.clone();
    let mut offsets = key.offsets.clone();
    for (index, part) in parts.iter().enumerate() {
        let glue = if index == 0 { " " } else { ", " };
        text.push_str(glue);
        text.push_str(&part.text);
        // The end of the text so far, and then where the part starts.
        let start = part.offsets.first().copied().unwrap_or_default();
        offsets.extend(std::iter::repeat_n(start, glue.len() - 1));
        offsets.extend(&part.offsets);
    }
    (text, offsets)
}
