//! Things in a row: with commas, in braces, with the comments and empty lines around them.

use super::page::Page;
use crate::ast::{Comment, OptionEntry, Row, Stage, Statement, Step, StructField, Trivia, TypeField};

/// What comments and empty lines can stand around.
pub(super) trait Item {
    /// What stands around it.
    fn trivia(&self) -> &Trivia;
}

macro_rules! items { ($($item:ty),*) => { $(impl Item for $item { fn trivia(&self) -> &Trivia { &self.trivia } })* } }
items!(OptionEntry, Row, Stage, Statement, Step, StructField, TypeField);

/// The comments above an item and its empty line.
pub(super) fn above(page: &mut Page, trivia: &Trivia) {
    for comment in &trivia.above {
        own_line(page, comment);
        page.new_line();
    }
    if trivia.gap {
        page.gap();
    }
}

/// The comment behind an item.
pub(super) fn behind(page: &mut Page, trivia: &Trivia) {
    if let Some(comment) = &trivia.behind {
        page.behind(format!("#{}", comment.text));
    }
}

/// Comments before a closing brace or the end of the file.
pub(super) fn end(page: &mut Page, comments: &[Comment]) {
    for comment in comments {
        page.new_line();
        own_line(page, comment);
    }
}

fn own_line(page: &mut Page, comment: &Comment) {
    if comment.gap {
        page.gap();
    }
    page.comment(format!("#{}", comment.text));
}

/// `{ item, item }`, or one item a line where that does not fit or comments or empty lines stand between.
pub(super) fn braces<T: Item>(page: &mut Page, items: &[T], ends: &[Comment], item: impl Fn(&mut Page, &T)) {
    if items.is_empty() && ends.is_empty() {
        page.text("{}");
        return;
    }
    page.group(|page| {
        page.text("{");
        page.indent(2, |page| {
            for (index, value) in items.iter().enumerate() {
                page.line(" ");
                above(page, value.trivia());
                item(page, value);
                if index + 1 < items.len() {
                    page.text(",")
                } else {
                    page.when_broken(",")
                }
                behind(page, value.trivia());
            }
            end(page, ends);
        });
        page.line(" ");
        page.text("}");
    });
}

/// Items with commas between, on lines of their own where they do not fit; `edge` is what stands at both ends
/// where they do.
pub(super) fn commas<T>(page: &mut Page, items: &[T], edge: &'static str, mut item: impl FnMut(&mut Page, &T)) {
    if items.is_empty() {
        return;
    }
    page.indent(2, |page| {
        for (index, value) in items.iter().enumerate() {
            if index > 0 {
                page.text(",");
            }
            page.line(if index > 0 { " " } else { edge });
            item(page, value);
        }
    });
    page.when_broken(",");
    page.line(edge);
}
