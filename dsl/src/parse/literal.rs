//! Literals: numbers with their units, strings with their escapes and holes, and the words that are values.

use super::expr::{self, Grown};
use super::reader::{Node, Reader, Rule, unticked};
use super::slip;
use crate::ast::{At, ExprKind, Ident, Literal, Piece, Text, TypedWord, Unit};
use crate::diagnostic::Diagnostic;
use crate::suggest;

/// Any literal but a string in double quotes; none where it was reported and means nothing.
pub(super) fn literal(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Literal> {
    match node.as_rule() {
        Rule::number => number(reader, node),
        Rule::spaced_quantity | Rule::point_number => slip::number(reader, node),
        Rule::raw => Some(Literal::Raw(raw_text(node.as_str()).to_owned())),
        Rule::single | Rule::curly => Some(Literal::String(slip::quotes(reader, node))),
        Rule::constant => {
            slip::word(reader, node);
            Some(match node.as_str().to_ascii_lowercase().as_str() {
                "true" => Literal::Bool(true),
                "false" => Literal::Bool(false),
                _ => Literal::Null,
            })
        }
        Rule::typed => typed(reader, node.clone()),
        _ => None,
    }
}

/// `42`, `10.00`, `1e1`, `10s`; reports what is no number.
fn number(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Literal> {
    let text = node.as_str();
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let exponent = exponent(&text[digits..]);
    let (value, suffix) = text.split_at(digits + exponent);
    if value.ends_with('.') || text.starts_with("0x") || suffix.starts_with('_') {
        return invalid(reader, node);
    }
    let plain = trimmed(&text[..digits]);
    if suffix.is_empty() {
        return Some(match exponent {
            0 if plain.contains('.') => Literal::Decimal(plain),
            0 => Literal::Integer(plain),
            _ => Literal::Float(format!("{plain}{}", text[digits..].to_ascii_lowercase().replace('+', ""))),
        });
    }
    if exponent > 0 {
        return invalid(reader, node);
    }
    match Unit::from_word(suffix) {
        Some(unit) => Some(Literal::Quantity { number: plain, unit }),
        None => unknown_unit(reader, node, plain, suffix),
    }
}

/// The length of an exponent at the start of `text`.
fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else { return 0 };
    let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 { 0 } else { text.len() - unsigned.len() + digits }
}

/// Without leading zeros.
fn trimmed(digits: &str) -> String {
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() || significant.starts_with('.') {
        format!("0{significant}")
    } else {
        significant.to_owned()
    }
}

fn invalid(reader: &mut Reader<'_>, node: &Node<'_>) -> Option<Literal> {
    let (at, text) = (reader.place(node), node.as_str());
    let problem = Diagnostic::error("invalid-number", at, format!("`{}` is no number", slip::short(text)));
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let fixed = if text.ends_with('.') { format!("{text}0") } else { plain };
    let is_number = fixed.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let problem = if is_number {
        problem.help(format!("write:\n  {}", slip::short(&fixed))).edit(at, fixed.clone())
    } else {
        problem.help("numbers are written like these:\n  42\n  10.00\n  1e9\n  10s\n  64mb")
    };
    reader.report(problem);
    is_number.then(|| {
        if fixed.contains('.') { Literal::Decimal(trimmed(&fixed)) } else { Literal::Integer(trimmed(&fixed)) }
    })
}

fn unknown_unit(reader: &mut Reader<'_>, node: &Node<'_>, number: String, suffix: &str) -> Option<Literal> {
    let (start, end) = reader.range(node);
    let at = reader.span(end - suffix.len(), end);
    let meant = meant_unit(suffix);
    let problem = Diagnostic::error("unknown-unit", at, format!("unit `{}` does not exist", slip::short(suffix)));
    reader.report(match meant {
        Some(unit) => {
            let fixed = format!("{number}{}", unit.word());
            problem.help(format!("write:\n  {fixed}")).edit(reader.span(start, end), fixed)
        }
        None => problem.help("units of time are `us ms s m h d w mo y`, units of size `b kb mb gb kib mib gib`"),
    });
    Some(match meant {
        Some(unit) => Literal::Quantity { number, unit },
        None => Literal::Integer(number.split('.').next().unwrap_or("0").to_owned()),
    })
}

/// The unit that people mean by a longer or misspelt word.
pub(super) fn meant_unit(word: &str) -> Option<Unit> {
    const WORDS: &[(&str, Unit)] = &[
        ("microseconds", Unit::Micros),
        ("milliseconds", Unit::Millis),
        ("millis", Unit::Millis),
        ("msec", Unit::Millis),
        ("sec", Unit::Seconds),
        ("secs", Unit::Seconds),
        ("second", Unit::Seconds),
        ("seconds", Unit::Seconds),
        ("mins", Unit::Minutes),
        ("minute", Unit::Minutes),
        ("minutes", Unit::Minutes),
        ("hr", Unit::Hours),
        ("hrs", Unit::Hours),
        ("hour", Unit::Hours),
        ("hours", Unit::Hours),
        ("day", Unit::Days),
        ("days", Unit::Days),
        ("week", Unit::Weeks),
        ("weeks", Unit::Weeks),
        ("month", Unit::Months),
        ("months", Unit::Months),
        ("year", Unit::Years),
        ("years", Unit::Years),
        ("k", Unit::Kilobytes),
        ("bytes", Unit::Bytes),
    ];
    let lower = word.to_ascii_lowercase();
    let spelled = || WORDS.iter().find(|(w, _)| *w == lower).map(|(_, u)| *u);
    let near = || suggest::closest(&lower, WORDS.iter().map(|(w, _)| *w).filter(|w| w.len() > 3));
    Unit::from_word(&lower)
        .or_else(spelled)
        .or_else(|| near().and_then(|w| WORDS.iter().find(|(word, _)| *word == w).map(|(_, u)| *u)))
}

/// The text of a raw string, between its quotes.
fn raw_text(token: &str) -> &str {
    let hashes = token.bytes().skip(1).take_while(|b| *b == b'#').count();
    token.get(hashes + 2..token.len() - hashes - 1).unwrap_or("")
}

fn typed(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Literal> {
    let mut parts = node.into_inner();
    let word = TypedWord::from_word(parts.next()?.as_str())?;
    let text = parts.next()?;
    let text = match text.as_rule() {
        Rule::raw => raw_text(text.as_str()).to_owned(),
        Rule::string => self::text(reader, text).value,
        _ => slip::quotes(reader, &text),
    };
    Some(Literal::Typed { word, text })
}

/// A string in double quotes, as an expression: an interpolation where it has holes.
pub(super) fn string(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> Grown {
    let at = reader.at(&node);
    let (pieces, depth) = pieces(reader, node, level);
    let kind = match pieces.as_slice() {
        [] => ExprKind::Literal(Literal::String(String::new())),
        [Piece::Text(text)] => ExprKind::Literal(Literal::String(text.clone())),
        _ => ExprKind::Interpolation(pieces),
    };
    Grown::of(kind, at, depth + 1)
}

/// A string in double quotes where only text can stand; holes are reported.
pub(super) fn text(reader: &mut Reader<'_>, node: Node<'_>) -> Text {
    let at = reader.at(&node);
    let holes: Vec<_> = node.clone().into_inner().filter(|n| n.as_rule() == Rule::hole).collect();
    for hole in holes {
        let place = reader.place(&hole);
        let problem = Diagnostic::error("syntax", place, "an expression cannot stand in this text");
        reader.report(problem.help("this text is fixed; for a dollar sign before a brace write:\n  \\${"));
    }
    let value =
        pieces(reader, node, 0).0.into_iter().map(|p| if let Piece::Text(text) = p { text } else { String::new() });
    Text { value: value.collect(), at }
}

fn pieces(reader: &mut Reader<'_>, node: Node<'_>, level: usize) -> (Vec<Piece>, usize) {
    let (mut pieces, mut depth) = (Vec::new(), 0);
    for part in node.into_inner() {
        if part.as_rule() == Rule::run {
            let start = reader.range(&part).0;
            pieces.push(Piece::Text(unescaped(reader, part.as_str(), start)));
        } else if let Some(inner) = part.into_inner().next() {
            let value = expr::grown(reader, inner, level);
            depth = depth.max(value.depth);
            pieces.push(Piece::Value(value.expr));
        }
    }
    (pieces, depth)
}

/// `text`, which starts at `start`, with its escapes resolved; unknown ones are reported and kept.
fn unescaped(reader: &mut Reader<'_>, text: &str, start: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(i) = rest.find('\\') {
        out.push_str(&rest[..i]);
        let escape = &rest[i + 1..];
        let at = start + text.len() - rest.len() + i;
        let (c, length) = match escape.chars().next() {
            Some('n') => (Some('\n'), 1),
            Some('t') => (Some('\t'), 1),
            Some('r') => (Some('\r'), 1),
            Some('0') => (Some('\0'), 1),
            Some(c @ ('\\' | '"' | '$')) => (Some(c), 1),
            Some('u') => unicode(escape),
            other => (None, other.map_or(0, char::len_utf8)),
        };
        match c {
            Some(c) => out.push(c),
            None => {
                out.push_str(&rest[i..i + 1 + length]);
                invalid_escape(reader, at, &rest[i..i + 1 + length]);
            }
        }
        rest = &rest[i + 1 + length..];
    }
    out.push_str(rest);
    out
}

/// What `u{1F600}` stands for, and its length.
fn unicode(escape: &str) -> (Option<char>, usize) {
    let digits = escape.strip_prefix("u{").and_then(|r| r.split_once('}')).map(|(digits, _)| digits);
    match digits {
        Some(digits) if digits.len() <= 8 => {
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
            (code.and_then(char::from_u32), digits.len() + 3)
        }
        _ => (None, 1),
    }
}

fn invalid_escape(reader: &mut Reader<'_>, at: usize, escape: &str) {
    let span = reader.span(at, at + escape.len());
    let problem = Diagnostic::error("invalid-escape", span, format!("escape `{escape}` does not exist"));
    reader.report(problem.label("not an escape").help(
        "the escapes are \\n \\t \\r \\0 \\\\ \\\" \\$ and \\u{1F600}; for a regex or a path write a raw string:\n  r\"\\d+\"",
    ));
}

/// A `key` or `option_key`: a word, a name in backticks or a string.
pub(super) fn key(reader: &mut Reader<'_>, node: Node<'_>) -> Ident {
    let at = reader.at(&node);
    match node.into_inner().next() {
        Some(part) if part.as_rule() == Rule::string => Ident { name: text(reader, part).value, at },
        Some(part) => Ident { name: unticked(part.as_str()).to_owned(), at },
        None => Ident { name: String::new(), at: At(at.0) },
    }
}
