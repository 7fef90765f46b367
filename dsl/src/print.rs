//! Syntax tree to text: the one layout that `millstream fmt` knows.
//!
//! Two spaces, a hundred columns. What fits on a line stands on one: options, calls, stages, a stream of one stage.
//! What does not is broken from the outside in: a stream before each `|>`, a stage before each clause, then inside
//! the brackets. Comments and single empty lines stay where the author put them. Printing what was read from a
//! printed text gives that text again. A tree with holes prints with holes: who formats, reads without errors first.

pub(crate) mod page;
pub(crate) mod words;

mod call;
mod chain;
mod expr;
mod items;
mod statement;
mod tests;
mod types;

use crate::ast;
use page::Page;

/// A whole file; ends with a line feed unless it is empty.
pub fn file(file: &ast::File) -> String {
    let mut page = Page::default();
    for (index, value) in file.statements.iter().enumerate() {
        if index > 0 {
            page.new_line();
        }
        items::above(&mut page, &value.trivia);
        statement::statement(&mut page, &value.kind);
        items::behind(&mut page, &value.trivia);
    }
    items::end(&mut page, &file.end);
    let mut text = page.set();
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// An expression on one line, without comments.
pub fn expr(value: &ast::Expr) -> String {
    on_one_line(|page| expr::expr(page, value))
}

/// A string literal that stands for `text`.
pub fn string(text: &str) -> String {
    words::quoted(text)
}

/// A type on one line, without comments.
pub fn type_expr(value: &ast::TypeExpr) -> String {
    on_one_line(|page| types::type_expr(page, value))
}

/// A stage on one line, without its `|>` and without comments.
pub fn stage(value: &ast::Stage) -> String {
    on_one_line(|page| chain::stage(page, value))
}

/// A clause on one line, without comments.
pub fn clause(value: &ast::Clause) -> String {
    on_one_line(|page| chain::clause(page, value))
}

/// A step of a test on one line, without comments.
pub(crate) fn step(value: &ast::Step) -> String {
    on_one_line(|page| tests::step(page, value))
}

/// The word of a stage with what stands before it: `left join`.
pub(crate) fn stage_head(value: &ast::Stage) -> String {
    chain::head(value)
}

/// An argument of a stage, its name behind it.
pub(crate) fn stage_argument(value: &ast::Arg) -> String {
    on_one_line(|page| chain::argument(page, value, false))
}

/// An argument of a call, with its label.
pub(crate) fn call_argument(value: &ast::Arg) -> String {
    on_one_line(|page| call::argument(page, value))
}

fn on_one_line(content: impl FnOnce(&mut Page)) -> String {
    let mut page = Page::default();
    content(&mut page);
    page.on_one_line()
}
