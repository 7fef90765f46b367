//! Tests. A step is its own text, as in a `.stream` file, unless it has rows: those may be written as YAML.

use super::node::{Entry, Kind, Node};
use super::read::Reader;
use super::values;
use crate::ast::{Expected, Row, Rows, StatementKind, Step, StepKind, StructExpr, Text};
use crate::parse;

/// `{ name: "late rows", steps: [ ... ] }`
pub(super) fn test(reader: &mut Reader<'_>, node: &Node) -> Option<StatementKind> {
    let (mut name, mut list, mut end) = (None, Vec::new(), Vec::new());
    for entry in reader.entries(node, "a test", "{ name: \"late rows\", steps: [] }") {
        match entry.key.text.as_str() {
            "name" => name = reader.fixed(&entry.value, "the name of a test"),
            "steps" => {
                list = steps(reader, &entry.value);
                end = reader.end(&entry.value);
            }
            _ => reader.unknown_key(entry, "a test", &["name", "steps"]),
        }
    }
    end.extend(reader.end(node));
    if let (true, Some(comment)) = (list.is_empty(), end.first_mut()) {
        comment.gap = false;
    }
    let name = name.unwrap_or_else(|| {
        reader.shape(node.start, node.start, "a test has no name", "write:\n  - name: \"late rows\"");
        Text { value: String::new(), at: reader.at(node) }
    });
    Some(StatementKind::Test { name, steps: list, end })
}

fn steps(reader: &mut Reader<'_>, node: &Node) -> Vec<Step> {
    let items = reader.items(node, "`steps`", "- advance 10s");
    let mut steps = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let (trivia, kind) = reader.item(reader.dash(item), item.end, index == 0, |reader| step(reader, item));
        steps.push(Step { trivia, kind, at: reader.at(item) });
    }
    steps
}

fn step(reader: &mut Reader<'_>, node: &Node) -> StepKind {
    match &node.kind {
        Kind::Scalar(scalar) => reader.text(scalar, parse::step),
        Kind::Map(entries) => match entries.split_first() {
            Some((first, rest)) => filled(reader, first, rest),
            None => missing(reader, node),
        },
        _ => missing(reader, node),
    }
}

fn missing(reader: &mut Reader<'_>, node: &Node) -> StepKind {
    reader.shape(node.start, node.end, "a step is missing here", "write:\n  - advance 10s");
    StepKind::Broken
}

/// `{ given: orders, rows: [ ... ] }`, `{ expect: batch 3 of revenue, contains: [ ... ] }`, or a step's text after its
/// first word.
fn filled(reader: &mut Reader<'_>, first: &Entry, rest: &[Entry]) -> StepKind {
    let parts: Vec<_> = match &first.value.kind {
        Kind::Scalar(scalar) => vec![scalar],
        Kind::Empty => Vec::new(),
        _ => {
            let value = &first.value;
            reader.shape(value.start, value.end, "a step must be text", "write:\n  - given: orders\n    rows: []");
            return StepKind::Broken;
        }
    };
    let (mut text, mut offsets) = values::joined(&first.key, &parts);
    if rest.is_empty() {
        return reader.fragment(&text, offsets, parse::step);
    }
    // The rows stand apart: the head is read with others in their place.
    let stand_in = if first.key.text == "given" { " []" } else { " nothing" };
    let end = offsets.last().copied().unwrap_or_default();
    text.push_str(stand_in);
    offsets.extend(std::iter::repeat_n(end, stand_in.len()));
    let mut step = reader.fragment(&text, offsets, parse::step);
    for entry in rest {
        let word = entry.key.text.as_str();
        match (&mut step, word) {
            (StepKind::Given { rows: into, .. }, "rows") => *into = rows(reader, &entry.value),
            (StepKind::Expect { rows: into, .. }, "rows") => *into = Expected::Exactly(rows(reader, &entry.value)),
            (StepKind::Expect { rows: into, .. }, "contains") => *into = Expected::Contains(rows(reader, &entry.value)),
            (StepKind::Expect { rows: into, .. }, "in order") => *into = Expected::InOrder(rows(reader, &entry.value)),
            _ => reader.unknown_key(entry, "a step", &["rows", "contains", "in order"]),
        }
    }
    step
}

fn rows(reader: &mut Reader<'_>, node: &Node) -> Rows {
    let at = reader.at(node);
    if let Kind::Scalar(scalar) = &node.kind {
        let none = Rows { rows: Vec::new(), end: Vec::new(), at };
        return reader.text(scalar, parse::rows).unwrap_or(none);
    }
    let items = reader.items(node, "rows", "rows: [{ order_id: \"1\" }]");
    let mut rows = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let (trivia, cells) = reader.item(reader.dash(item), item.end, index == 0, |reader| cells(reader, item));
        rows.push(Row { trivia, cells, at: reader.at(item) });
    }
    Rows { rows, end: reader.end(node), at }
}

fn cells(reader: &mut Reader<'_>, node: &Node) -> StructExpr {
    if !matches!(node.kind, Kind::Map(_)) {
        reader.shape(node.start, node.end, "a row must be a mapping", "write:\n  - { order_id: \"1\" }");
    }
    values::struct_expr(reader, node)
}
