//! The order of statements: grouped by section, unless `order` says otherwise.
//!
//! A statement is called by its name, or by its kind and its number (`sink 1`), or by both kind and name where the
//! name alone would not do.

use std::collections::{BTreeMap, BTreeSet};

use super::node::{Kind, Node};
use super::read::Reader;
use crate::ast::{Statement, StatementKind};
use crate::diagnostic::Diagnostic;
use crate::suggest;

/// The rank of a statement's section, and the word its kind is called by.
pub(super) fn kind(kind: &StatementKind) -> (usize, &'static str) {
    match kind {
        StatementKind::Pipeline { .. } => (0, "pipeline"),
        StatementKind::Import { .. } => (1, "import"),
        StatementKind::Param { .. } => (2, "param"),
        StatementKind::Let { .. } => (3, "let"),
        StatementKind::Fn { .. } => (4, "fn"),
        StatementKind::Stage { .. } => (5, "stage"),
        StatementKind::Type { .. } => (6, "type"),
        StatementKind::Source(_) => (7, "source"),
        StatementKind::Table(_) => (8, "table"),
        StatementKind::Stream { .. } => (9, "stream"),
        StatementKind::Sink { .. } => (10, "sink"),
        StatementKind::Test { .. } => (11, "test"),
        StatementKind::Broken { .. } => (12, "statement"),
    }
}

/// The name a statement defines.
fn name(kind: &StatementKind) -> Option<&str> {
    match kind {
        StatementKind::Param { name, .. }
        | StatementKind::Let { name, .. }
        | StatementKind::Fn { name, .. }
        | StatementKind::Stage { name, .. }
        | StatementKind::Type { name, .. }
        | StatementKind::Stream { name, .. } => Some(&name.name),
        StatementKind::Source(input) | StatementKind::Table(input) => Some(&input.name.name),
        StatementKind::Broken { name: Some(name) } => Some(&name.name),
        _ => None,
    }
}

/// What each statement is called in `order`.
pub(super) fn labels(statements: &[Statement]) -> Vec<String> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for statement in statements {
        if let Some(name) = name(&statement.kind) {
            *uses.entry(name).or_default() += 1;
        }
    }
    let label = |statement: &Statement| {
        let (_, word) = kind(&statement.kind);
        match name(&statement.kind) {
            Some(name) if uses.get(name) == Some(&1) && name != "pipeline" && !name.contains(' ') => name.to_owned(),
            Some(name) => format!("{word} {name}"),
            None if word == "pipeline" => word.to_owned(),
            None => {
                let number = numbers.entry(word).or_default();
                *number += 1;
                format!("{word} {number}")
            }
        }
    };
    statements.iter().map(label).collect()
}

/// The statements in the order that `order` gives; those it does not name come last.
pub(super) fn sorted(reader: &mut Reader<'_>, mut statements: Vec<Statement>, order: Option<&Node>) -> Vec<Statement> {
    statements.sort_by_key(|statement| kind(&statement.kind).0);
    let Some(order) = order else { return statements };
    let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
    let labels = labels(&statements);
    let known: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
    for (rank, item) in reader.items(order, "`order`", "order: [pipeline, orders, sink 1]").iter().enumerate() {
        let Kind::Scalar(scalar) = &item.kind else {
            reader.shape(item.start, item.end, "`order` lists names", "write:\n  order: [pipeline, orders, sink 1]");
            continue;
        };
        if !known.contains(scalar.text.as_str()) {
            let span = reader.span(item.start, item.end);
            let message = format!("`order` names `{}`, which does not exist", scalar.text);
            let problem = Diagnostic::error("yaml-unknown-key", span, message);
            let near = suggest::closest(&scalar.text, labels.iter().map(String::as_str));
            reader.report(match near {
                Some(near) => problem.help(format!("did you mean `{near}`?")).edit(span, near),
                None => problem.help("take it away"),
            });
        }
        ranks.insert(scalar.text.clone(), rank);
    }
    let mut ranked: Vec<_> = labels
        .into_iter()
        .zip(statements)
        .map(|(label, statement)| (ranks.get(&label).copied().unwrap_or(usize::MAX), statement))
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, statement)| statement).collect()
}
