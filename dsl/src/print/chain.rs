//! Chains, their stages and clauses, and the calls of sources and sinks.

use super::page::Page;
use super::{call, expr, items, words};
use crate::ast::{
    Arg, Chain, Clause, ClauseKind, Endpoint, Expr, Fate, Ident, JoinWord, Options, SortItem, Stage, Trivia, Ttl,
};
use crate::layout;

/// Words that a stage's first argument would not be taken for a column with.
const CLAUSE_WORDS: &[&str] = &[
    "bad",
    "by",
    "else",
    "emit",
    "group",
    "init",
    "late",
    "named",
    "on",
    "order",
    "over",
    "partition",
    "per",
    "rejected",
    "running",
    "step",
    "using",
    "with",
    "within",
    "yield",
];

/// How far to the right of its `|>` a stage's further lines start: below its first word.
const HANG: usize = 3;

/// `from orders as o`
pub(super) fn from(page: &mut Page, chain: &Chain) {
    page.text(format!("from {}", words::name(&chain.from.name)));
    if let Some(alias) = &chain.alias {
        page.text(format!(" as {}", words::name(&alias.name)));
    }
}

/// `|> where amount > 0`, each on a line of its own. The comment behind the last one is left to the caller: it
/// breaks no line.
pub(super) fn stages(page: &mut Page, stages: &[Stage]) {
    for (index, value) in stages.iter().enumerate() {
        page.line(" ");
        items::above(page, &value.trivia);
        page.text("|> ");
        stage(page, value);
        if index + 1 < stages.len() {
            items::behind(page, &value.trivia);
        }
    }
}

/// `|> into files("out") { format: json }` on a line of its own, the comment behind it left out.
pub(super) fn into(page: &mut Page, trivia: &Trivia, into: &Endpoint) {
    page.line(" ");
    items::above(page, trivia);
    page.text("|> into ");
    page.indent(HANG, |page| endpoint(page, into));
}

/// A stage without its `|>`: on one line, or one clause a line.
pub(super) fn stage(page: &mut Page, stage: &Stage) {
    page.group(|page| {
        page.text(head(stage));
        page.indent(HANG, |page| {
            arguments(page, stage);
            for (index, value) in stage.clauses.iter().enumerate() {
                // Without arguments the first clause stands beside the word.
                if index == 0 && stage.args.is_empty() {
                    page.text(" ")
                } else {
                    page.line(" ")
                }
                clause(page, value);
            }
        });
    });
}

/// The word of a stage and what stands before it.
pub(super) fn head(stage: &Stage) -> String {
    let name = &stage.name.name;
    match stage.modifier {
        Some(modifier) => format!("{} {}", modifier.word(), words::field(name)),
        None if JoinWord::from_word(name).is_some() || matches!(name.as_str(), "inner" | "into") => words::ticked(name),
        None => words::field(name),
    }
}

fn arguments(page: &mut Page, stage: &Stage) {
    let names_first = layout::names_first(&stage.name.name);
    match stage.args.as_slice() {
        [] => {}
        [one] => {
            page.text(" ");
            argument(page, one, names_first);
        }
        several => page.group(|page| {
            page.indent(2, |page| {
                for (index, arg) in several.iter().enumerate() {
                    if index > 0 {
                        page.text(",");
                    }
                    page.line(" ");
                    argument(page, arg, names_first);
                }
            });
        }),
    }
}

/// An argument of a stage, with its name.
pub(super) fn argument(page: &mut Page, arg: &Arg, names_first: bool) {
    match arg.names.as_slice() {
        [] => expr::expr_after(page, &arg.value, CLAUSE_WORDS),
        [name] if names_first => {
            page.text(format!("{} = ", words::name(&name.name)));
            expr::expr(page, &arg.value);
        }
        names => {
            expr::expr_after(page, &arg.value, CLAUSE_WORDS);
            page.text(format!(" as {}", alias(names)));
        }
    }
}

/// `word`, `(key, value)`
pub(super) fn alias(names: &[Ident]) -> String {
    match names {
        [one] => words::name(&one.name),
        several => {
            let names: Vec<_> = several.iter().map(|name| words::name(&name.name)).collect();
            format!("({})", names.join(", "))
        }
    }
}

/// A source or sink with its arguments, options and clauses.
pub(super) fn endpoint(page: &mut Page, endpoint: &Endpoint) {
    page.text(words::name(&endpoint.name.name));
    call::arguments(page, &endpoint.args);
    if !endpoint.options.entries.is_empty() || !endpoint.options.end.is_empty() {
        page.text(" ");
        options(page, &endpoint.options);
    }
    for value in &endpoint.clauses {
        page.text(" ");
        clause(page, value);
    }
}

/// `{ format: json, schema: Order }`
pub(super) fn options(page: &mut Page, options: &Options) {
    items::braces(page, &options.entries, &options.end, |page, entry| {
        page.text(words::option_key(&entry.name.name));
        page.text(": ");
        expr::expr(page, &entry.value);
    });
}

/// A clause, on one line if it fits.
pub(super) fn clause(page: &mut Page, clause: &Clause) {
    match &clause.kind {
        ClauseKind::OnBatchTime | ClauseKind::PerBatch => {}
        ClauseKind::Running(Ttl::Missing) => {}
        kind => {
            page.text(kind.word());
            page.text(" ");
        }
    }
    match &clause.kind {
        ClauseKind::By(items) => sorted(page, items),
        ClauseKind::Using(names) => {
            let names: Vec<_> = names.iter().map(clause_name).collect();
            page.text(names.join(", "));
        }
        ClauseKind::On(value) => expr::of_clause(page, value, &["expiry", "batch"]),
        ClauseKind::Per(values) => per(page, values),
        ClauseKind::Init(value) => expr::of_clause(page, value, &["from"]),
        ClauseKind::Running(Ttl::For(value)) => {
            page.text("ttl ");
            expr::expr_after(page, value, &["forever"]);
        }
        ClauseKind::Running(Ttl::Forever) => page.text("ttl forever"),
        ClauseKind::OnExpiry(value) => expr::expr(page, value),
        ClauseKind::Over(value) => expr::expr_after(page, value, CLAUSE_WORDS),
        ClauseKind::Within(value) | ClauseKind::Step(value) | ClauseKind::Yield(value) => {
            expr::of_clause(page, value, &[]);
        }
        ClauseKind::Named(name) => page.text(clause_name(name)),
        ClauseKind::InitFrom(name) => page.text(words::name(&name.name)),
        ClauseKind::Late(fate) | ClauseKind::Bad(fate) | ClauseKind::Rejected(fate) | ClauseKind::Else(fate) => {
            page.text(self::fate(fate));
        }
        ClauseKind::Emit { mode, every } => emit(page, mode, every.as_ref()),
        ClauseKind::With(value) => options(page, value),
        ClauseKind::OnBatchTime | ClauseKind::PerBatch | ClauseKind::Running(Ttl::Missing) => {
            page.text(clause.kind.word());
        }
    }
}

/// A name behind a clause's word, which a clause's word behind it would make a column.
fn clause_name(name: &Ident) -> String {
    if CLAUSE_WORDS.contains(&name.name.as_str()) { words::ticked(&name.name) } else { words::name(&name.name) }
}

/// The items below each other where they do not fit.
fn sorted(page: &mut Page, items: &[SortItem]) {
    page.group(|page| page.indent(HANG, |page| call::sort_items(page, items, CLAUSE_WORDS)));
}

fn per(page: &mut Page, values: &[Expr]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            page.text(", ");
        }
        expr::of_clause(page, value, if index > 0 { CLAUSE_WORDS } else { &["batch"] });
    }
}

fn fate(fate: &Fate) -> String {
    match fate {
        Fate::To(name) => format!("to {}", words::name(&name.name)),
        Fate::Word(word) => word.name.clone(),
    }
}

fn emit(page: &mut Page, mode: &Ident, every: Option<&Expr>) {
    page.text(clause_name(mode));
    if let Some(every) = every {
        page.text(" every ");
        expr::expr(page, every);
    }
}
