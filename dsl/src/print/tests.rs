//! Test blocks: the steps and the rows they give and expect.

use super::page::Page;
use super::{expr, items, words};
use crate::ast::{Comment, Expected, Rows, Step, StepKind, Text};

/// `test "late rows" { ... }`, one step a line.
pub(super) fn test(page: &mut Page, name: &Text, steps: &[Step], end: &[Comment]) {
    page.text(format!("test {} {{", words::quoted(&name.value)));
    if steps.is_empty() && end.is_empty() {
        return page.text("}");
    }
    page.indent(2, |page| {
        for value in steps {
            page.new_line();
            items::above(page, &value.trivia);
            step(page, value);
            items::behind(page, &value.trivia);
        }
        items::end(page, end);
    });
    page.new_line();
    page.text("}");
}

/// One step, on one line if it fits.
pub(super) fn step(page: &mut Page, step: &Step) {
    match &step.kind {
        StepKind::Given { input, rows: value } => {
            page.text(format!("given {} ", words::name(&input.name)));
            rows(page, value);
        }
        StepKind::GivenFrom { input, path } => {
            page.text(format!("given {} from {}", words::name(&input.name), words::quoted(&path.value)));
        }
        StepKind::Step { count: None } => page.text("step"),
        StepKind::Step { count: Some(count) } => page.text(format!("step {count}")),
        StepKind::Advance(by) => {
            page.text("advance ");
            expr::expr_after(page, by, &["watermark"]);
        }
        StepKind::AdvanceWatermark { of, to } => {
            let of = of.as_ref().map_or(String::new(), |name| format!("of {} ", words::name(&name.name)));
            page.text(format!("advance watermark {of}to "));
            expr::expr(page, to);
        }
        StepKind::Restart => page.text("restart"),
        StepKind::Expect { batch, of, rows } => {
            let batch = batch.map_or(String::new(), |number| format!("batch {number} of "));
            page.text(format!("expect {batch}{} ", words::name(&of.name)));
            expected(page, rows);
        }
        StepKind::ExpectCount { what, of, count } => {
            let what = if what.name == "in" { what.name.clone() } else { words::name(&what.name) };
            let of = words::name(&of.name);
            page.text(format!("expect count of {what} of {of} == {count}"));
        }
        StepKind::Broken => page.text("<unreadable>"),
    }
}

/// What an `expect` demands, from behind the stream's name.
pub(super) fn expected(page: &mut Page, expected: &Expected) {
    match expected {
        Expected::Exactly(value) => rows(page, value),
        Expected::Contains(value) => {
            page.text("contains ");
            rows(page, value);
        }
        Expected::InOrder(value) => {
            page.text("in order ");
            rows(page, value);
        }
        Expected::Nothing => page.text("nothing"),
    }
}

/// One row beside its brackets if it fits; several below each other.
pub(super) fn rows(page: &mut Page, rows: &Rows) {
    if rows.rows.is_empty() && rows.end.is_empty() {
        return page.text("[]");
    }
    page.group(|page| {
        page.text("[");
        page.indent(2, |page| {
            if rows.rows.len() > 1 {
                page.break_lines();
            }
            for (index, row) in rows.rows.iter().enumerate() {
                page.line(" ");
                items::above(page, &row.trivia);
                expr::struct_expr(page, &row.cells);
                if index + 1 < rows.rows.len() {
                    page.text(",")
                } else {
                    page.when_broken(",")
                }
                items::behind(page, &row.trivia);
            }
            items::end(page, &rows.end);
        });
        page.line(" ");
        page.text("]");
    });
}
