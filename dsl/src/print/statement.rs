//! Statements: one line each where they fit.

use super::page::Page;
use super::{chain, expr, items, tests, types, words};
use crate::ast::{Chain, Endpoint, FnParam, Input, Stage, StatementKind, Trivia};

/// A statement without the comments around it.
pub(super) fn statement(page: &mut Page, kind: &StatementKind) {
    match kind {
        StatementKind::Pipeline { name, options } => {
            page.text(format!("pipeline {}", words::name(&name.name)));
            if !options.entries.is_empty() || !options.end.is_empty() {
                page.text(" ");
                chain::options(page, options);
            }
        }
        StatementKind::Import { path } => page.text(format!("import {}", words::quoted(&path.value))),
        StatementKind::Param { name, ty, default } => {
            page.text(format!("param {}: ", words::name(&name.name)));
            types::type_expr(page, ty);
            if let Some(default) = default {
                page.text(" = ");
                expr::expr(page, default);
            }
        }
        StatementKind::Let { name, value } => {
            page.text(format!("let {} = ", words::name(&name.name)));
            expr::expr(page, value);
        }
        StatementKind::Fn { name, params: list, result, body } => {
            page.text(format!("fn {}", words::name(&name.name)));
            params(page, list);
            if let Some(result) = result {
                page.text(": ");
                types::type_expr(page, result);
            }
            page.text(" = ");
            expr::expr(page, body);
        }
        StatementKind::Stage { name, params: list, stages } => {
            let name = words::name(&name.name);
            stage_definition(page, &name, list, stages);
        }
        StatementKind::Type { name, ty } => {
            page.text(format!("type {} = ", words::name(&name.name)));
            types::type_expr(page, ty);
        }
        StatementKind::Source(value) => input(page, "source", value),
        StatementKind::Table(value) => input(page, "table", value),
        StatementKind::Stream { name, chain } => stream(page, &words::name(&name.name), chain),
        StatementKind::Sink { chain, trivia, into } => sink(page, chain, trivia, into),
        StatementKind::Test { name, steps, end } => tests::test(page, name, steps, end),
        StatementKind::Broken { .. } => page.text("<unreadable>"),
    }
}

fn input(page: &mut Page, word: &str, input: &Input) {
    page.text(format!("{word} {} = ", words::name(&input.name.name)));
    chain::endpoint(page, &input.from);
}

/// On one line with at most one stage, else one line for each.
fn stream(page: &mut Page, name: &str, chain: &Chain) {
    page.group(|page| {
        page.text(format!("stream {name} ="));
        page.indent(2, |page| {
            if chain.stages.len() > 1 {
                page.break_lines();
            }
            page.line(" ");
            chain::from(page, chain);
            chain::stages(page, &chain.stages);
        });
    });
    behind_last(page, &chain.stages);
}

fn stage_definition(page: &mut Page, name: &str, list: &[FnParam], stages: &[Stage]) {
    page.text(format!("stage {name}"));
    if !list.is_empty() {
        params(page, list);
    }
    page.text(" =");
    page.group(|page| {
        page.indent(2, |page| {
            if stages.len() > 1 {
                page.break_lines();
            }
            chain::stages(page, stages);
        });
    });
    behind_last(page, stages);
}

fn sink(page: &mut Page, chain: &Chain, trivia: &Trivia, into: &Endpoint) {
    page.group(|page| {
        chain::from(page, chain);
        page.indent(2, |page| {
            chain::stages(page, &chain.stages);
            if let Some(last) = chain.stages.last() {
                items::behind(page, &last.trivia);
            }
            chain::into(page, trivia, into);
        });
    });
    items::behind(page, trivia);
}

/// A comment behind the last stage stands outside of the group, which may then stay on one line.
fn behind_last(page: &mut Page, stages: &[Stage]) {
    if let Some(last) = stages.last() {
        items::behind(page, &last.trivia);
    }
}

fn params(page: &mut Page, params: &[FnParam]) {
    page.group(|page| {
        page.text("(");
        items::commas(page, params, "", |page, param| {
            page.text(words::name(&param.name.name));
            if let Some(ty) = &param.ty {
                page.text(": ");
                types::type_expr(page, ty);
            }
            if let Some(default) = &param.default {
                page.text(" = ");
                expr::expr(page, default);
            }
        });
        page.text(")");
    });
}
