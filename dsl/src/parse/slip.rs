//! What people write by mistake and what they mean: the grammar reads it, this says it, the tree gets the meaning.

use super::literal::meant_unit;
use super::reader::{Node, Reader, Rule};
use crate::ast::{Expr, Ident, JoinWord, Literal};
use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// `text` for a message: one line of bounded length.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 40;
    let line = text.lines().next().unwrap_or("").trim();
    if line.chars().count() <= MOST && line.len() == text.trim().len() {
        return line.to_owned();
    }
    line.chars().take(MOST).chain("...".chars()).collect()
}

/// A problem whose cure is to write `right` in the place of `span`.
fn replace(code: &'static str, span: Span, message: String, right: &str) -> Diagnostic {
    Diagnostic::error(code, span, message).help(format!("write:\n  {right}")).edit(span, right)
}

/// A word of the language: reported where it is in upper case.
pub(super) fn word(reader: &mut Reader<'_>, node: &Node<'_>) {
    let text = node.as_str();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_uppercase()) {
        return;
    }
    let message = format!("word `{text}` is written in lower case");
    reader.report(replace("sql-word", reader.place(node), message, &text.to_ascii_lowercase()));
}

/// `not x`, where `!x` is a slip.
pub(super) fn negation(reader: &mut Reader<'_>, node: &Node<'_>) {
    if node.as_rule() != Rule::bang {
        return word(reader, node);
    }
    let at = reader.place(node);
    let problem = Diagnostic::error("logical-symbol", at, "`!` is no operator");
    reader.report(problem.help("write the word:\n  not").edit(at, "not "));
}

/// Operators of other languages.
pub(super) fn operator(reader: &mut Reader<'_>, node: &Node<'_>) {
    let at = reader.place(node);
    let symbol = node.as_str();
    let (code, right) = match (node.as_rule(), symbol) {
        (Rule::op, "&&") => ("logical-symbol", "and"),
        (Rule::op, "||") => ("logical-symbol", "or"),
        (Rule::op, "<>" | "=!") => ("unequal-sign", "!="),
        (Rule::op, _) => return,
        (Rule::negatable | Rule::is_null, _) => return node.clone().into_inner().for_each(|w| word(reader, &w)),
        _ => return word(reader, node),
    };
    reader.report(replace(code, at, format!("`{symbol}` is no operator"), right));
}

/// `a = b` where `a == b` is meant.
pub(super) fn equals(reader: &mut Reader<'_>, node: &Node<'_>, left: &Expr, right: &Expr) {
    if node.as_str() != "=" {
        return;
    }
    let at = reader.place(node);
    let help = match (reader.slice(left.at.0), reader.slice(right.at.0)) {
        (l, r) if l.len() + r.len() < 80 && !l.contains('\n') && !r.contains('\n') => format!("{l} == {r}"),
        _ => "==".to_owned(),
    };
    let problem = Diagnostic::error("equals-sign", at, "`=` does not compare").label("`==` is meant here");
    reader.report(problem.help(format!("compare with `==`:\n  {help}")).edit(at, "=="));
}

/// `a < b < c`
pub(super) fn chained(reader: &mut Reader<'_>, node: &Node<'_>, left: &Expr) {
    let at = reader.place(node);
    let problem = Diagnostic::error("syntax", at, "comparisons do not chain")
        .also(left.at.0, "this compares already")
        .help("say which two are compared, and join the comparisons:\n  a < b and b < c");
    reader.report(problem);
}

/// `x => x + 1`
pub(super) fn arrow(reader: &mut Reader<'_>, node: &Node<'_>) {
    if node.as_rule() != Rule::arrow || node.as_str() != "=>" {
        return;
    }
    let at = reader.place(node);
    let problem = Diagnostic::error("syntax", at, "`=>` is no sign of the language");
    reader.report(
        problem
            .help("a lambda is written with `->`, \"at least\" is written `>=`:\n  x -> x * 2\n  x >= 2")
            .edit(at, "->"),
    );
}

/// A label before a value in a call; `every: 10s` is read too.
pub(super) fn label(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Ident> {
    let mut parts = node.into_inner().filter(|n| matches!(n.as_rule(), Rule::name | Rule::label_colon));
    let name = parts.next().map(|n| reader.ident(&n))?;
    if let Some(colon) = parts.next() {
        let at = reader.place(&colon);
        let problem = Diagnostic::error("colon-equals", at, "a label in a call has no colon");
        let rest = &reader.text[reader.range(&colon).1..];
        let value = short(rest.split([',', ')']).next().unwrap_or("..."));
        let help = format!(
            "write the label alone; options stand in braces behind the call:\n  {0} {value}\n  {{ {0}: {value} }}",
            name.name
        );
        reader.report(problem.help(help).edit(at, ""));
    }
    Some(name)
}

/// `x in ("a", "b")`
pub(super) fn tuple(reader: &mut Reader<'_>, at: Span) {
    let text = reader.slice(at);
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).unwrap_or("...").trim();
    let right = format!("[{inner}]");
    let problem = Diagnostic::error("syntax", at, "a list stands in square brackets");
    let help = if right.len() < 80 && !right.contains('\n') { &right } else { "[a, b, c]" };
    reader.report(problem.help(format!("write:\n  {help}")).edit(at, right.clone()));
}

/// Two items side by side.
pub(super) fn missing_comma(reader: &mut Reader<'_>, node: &Node<'_>) {
    let at = reader.place(node);
    let start = reader.range(node).0;
    let end = reader.text[..start].trim_end().len();
    let place = reader.span(end, end);
    let problem = Diagnostic::error("syntax", if end == start { at } else { place }, "a comma is missing here");
    reader.report(problem.help("items are separated by commas:\n  ,").edit(place, ","));
}

/// `:` between a name and its value in braces, where `=`, `==` and nothing are slips.
pub(super) fn assign(reader: &mut Reader<'_>, node: &Node<'_>) {
    let sign = node.as_str();
    if sign == ":" {
        return;
    }
    let (start, end) = reader.range(node);
    let before = reader.text[..start].trim_end().len();
    let message = match sign {
        "" => "a colon is missing here".to_owned(),
        _ => format!("in braces a name and its value are joined by `:`, not by `{sign}`"),
    };
    let place = reader.span(before, end);
    let problem =
        Diagnostic::error("colon-equals", reader.span(if sign.is_empty() { before } else { start }, end), message);
    reader.report(problem.help("write:\n  name: value").edit(place, if sign.is_empty() { ": " } else { ":" }));
}

/// `extend a: 1`, where `:` stands for `=`.
pub(super) fn named_sign(reader: &mut Reader<'_>, node: &Node<'_>, name: &str) {
    if node.as_str() != ":" {
        return;
    }
    let (start, end) = reader.range(node);
    let before = reader.text[..start].trim_end().len();
    let problem =
        Diagnostic::error("colon-equals", reader.span(start, end), "outside braces a name gets its value by `=`");
    let help = format!("write:\n  {} = ...", short(name));
    reader.report(problem.help(help).edit(reader.span(before, end), " ="));
}

/// `60 s` and `.5`
pub(super) fn number(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Literal> {
    let (at, text) = (reader.place(node), node.as_str());
    if node.as_rule() == Rule::point_number {
        let right = format!("0{text}");
        let message = format!("number `{}` has no digit before its point", short(text));
        reader.report(replace("invalid-number", at, message, &right));
        return right.bytes().all(|b| b.is_ascii_digit() || b == b'.').then_some(Literal::Decimal(right));
    }
    let (number, unit) = text.split_once(char::is_whitespace)?;
    let unit = meant_unit(unit.trim())?;
    let right = format!("{number}{}", unit.word());
    reader.report(replace("unit-space", at, "a number and its unit are one word".to_owned(), &right));
    Some(Literal::Quantity { number: number.to_owned(), unit })
}

/// `'x'` and `“x”`: what is between the quotes.
pub(super) fn quotes(reader: &mut Reader<'_>, node: &Node<'_>) -> String {
    let (at, text) = (reader.place(node), node.as_str());
    let inner: &str = text.strip_prefix(['\'', '“', '”', '„']).unwrap_or(text);
    let inner = inner.strip_suffix(['\'', '“', '”', '"']).unwrap_or(inner);
    let right = format!("\"{}\"", inner.replace('"', "\\\"").replace('$', "\\$"));
    let message = match node.as_rule() {
        Rule::single => "a string stands in double quotes",
        _ => "a string stands in straight quotes",
    };
    reader.report(replace("single-quotes", at, message.to_owned(), &right));
    inner.to_owned()
}

/// `list<string>`
pub(super) fn angle(reader: &mut Reader<'_>, node: &Node<'_>) {
    let (at, text) = (reader.place(node), node.as_str().trim_end());
    let word = text.split('<').next().unwrap_or("").trim();
    let inner = text.get(text.find('<').map_or(0, |i| i + 1)..text.len().saturating_sub(1)).unwrap_or("");
    let right = format!("{}({})", angle_word(word), inner.trim());
    reader.report(replace("angle-type", at, "the arguments of a type stand in parentheses".to_owned(), &right));
}

/// The type that is meant by a word before `<`.
pub(super) fn angle_word(word: &str) -> &'static str {
    if word.eq_ignore_ascii_case("map") { "map" } else { "list" }
}

/// `group by x` where the clause is `by x`.
pub(super) fn group_by(reader: &mut Reader<'_>, group: &Node<'_>, by: &Node<'_>) {
    let at = reader.place(group).to(reader.place(by));
    let message = format!("the clause is `by`, not `{} by`", group.as_str());
    reader.report(replace("group-by", at, message, "by"));
}

/// `running 30d` where `ttl` is missing.
pub(super) fn no_ttl(reader: &mut Reader<'_>, node: &Node<'_>) {
    let at = reader.place(node);
    let problem = Diagnostic::error("syntax", at, "`ttl` is missing between `running` and its time");
    reader.report(problem.help("write:\n  running ttl 30d").edit(at, "ttl "));
}

/// `left outer join`, `inner join`
pub(super) fn join_word(reader: &mut Reader<'_>, node: &Node<'_>, modifier: Option<JoinWord>) {
    let at = reader.place(node);
    let text = node.as_str();
    let end = reader.range(node).1;
    let rest = &reader.text[end..];
    let blank = end + rest.len() - rest.trim_start().len();
    let problem = Diagnostic::error("sql-word", at, format!("word `{text}` is not written"));
    let help = match modifier {
        Some(modifier) => format!("write:\n  {} join", modifier.word()),
        None => "a join without a word before it is an inner join:\n  join".to_owned(),
    };
    reader.report(problem.help(help).edit(reader.span(reader.range(node).0, blank), ""));
}

/// `source x: files()` or `let x == 1`.
pub(super) fn definition_sign(reader: &mut Reader<'_>, node: &Node<'_>) {
    if node.as_str() != "=" {
        let at = reader.place(node);
        let sign = node.as_str();
        reader.report(replace("colon-equals", at, format!("a name is defined with `=`, not with `{sign}`"), "="));
    }
}

/// A word or sign that must stand where the empty `node` is.
pub(super) fn missing_word(reader: &mut Reader<'_>, node: &Node<'_>, word: &str, example: &str) {
    let (start, end) = reader.range(node);
    let line = reader.text[..start].rfind('\n').map_or(0, |i| i + 1);
    let rest = reader.text[start..].lines().next().unwrap_or("");
    let whole = format!("{}{word} {}", &reader.text[line..start], rest.trim_start());
    let right = if whole.len() <= 100 && !rest.trim().is_empty() { whole.trim() } else { example };
    let problem = Diagnostic::error("syntax", reader.span(start, end), format!("`{word}` is missing here"));
    reader.report(problem.help(format!("write:\n  {right}")).edit(reader.span(start, end), format!("{word} ")));
}

/// `fn f(x: int64) -> int64 = ...`
pub(super) fn result_arrow(reader: &mut Reader<'_>, node: &Node<'_>) {
    let (start, end) = reader.range(node);
    let before = reader.text[..start].trim_end().len();
    let problem = Diagnostic::error("colon-equals", reader.span(start, end), "the type of the result stands after `:`");
    let help = "write:\n  fn gross(net: float64): float64 = net * 1.19";
    reader.report(problem.help(help).edit(reader.span(before, end), ":"));
}

/// `by a, per batch`: the commas that stand between clauses, and where the clauses end.
pub(super) fn clause_commas(reader: &mut Reader<'_>, commas: &[usize], end: usize) {
    let Some(first) = commas.first() else { return };
    let mut right = String::new();
    for (i, comma) in commas.iter().enumerate() {
        let next = commas.get(i + 1).copied().unwrap_or(end);
        right.push_str(reader.text.get(comma + 1..next).unwrap_or(""));
    }
    let mut problem = Diagnostic::error("syntax", reader.span(*first, first + 1), "no comma stands between clauses");
    for comma in &commas[1..] {
        problem = problem.also(reader.span(*comma, comma + 1), "nor here");
    }
    for comma in commas {
        problem = problem.edit(reader.span(*comma, comma + 1), "");
    }
    let right = right.split_whitespace().collect::<Vec<_>>().join(" ");
    reader.report(problem.help(format!("write the clauses one after the other:\n  {right}")));
}

/// `count(*)`
pub(super) fn star(reader: &mut Reader<'_>, node: &Node<'_>, function: &str) {
    let at = reader.place(node);
    let problem = Diagnostic::error("sql-word", at, "`*` stands for nothing here");
    reader.report(problem.help(format!("rows are counted without it:\n  {}()", short(function))).edit(at, ""));
}
