//! How names and strings are spelled: bare, in backticks or in quotes.

use std::fmt::Write as _;

use crate::lexis;

/// A name where an expression or another word could stand as well.
pub(crate) fn name(name: &str) -> String {
    if lexis::is_word(name) && !is_reserved(name) { name.to_owned() } else { ticked(name) }
}

/// A name where nothing but a name can stand: behind a dot, behind `named`.
pub(crate) fn field(name: &str) -> String {
    if lexis::is_word(name) { name.to_owned() } else { ticked(name) }
}

/// A name in front of a colon.
pub(crate) fn key(name: &str) -> String {
    if lexis::is_word(name) {
        name.to_owned()
    } else if name.is_empty() || name.contains(['`', '\n']) {
        quoted(name)
    } else {
        ticked(name)
    }
}

/// The name of an option, of which dots are a part.
pub(crate) fn option_key(name: &str) -> String {
    if name.split('.').all(lexis::is_word) { name.to_owned() } else { key(name) }
}

/// Whether a bare `name` could be read as a word of the language, in either case.
pub(crate) fn is_reserved(name: &str) -> bool {
    lexis::RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name))
}

/// The name in backticks.
pub(crate) fn ticked(name: &str) -> String {
    format!("`{name}`")
}

/// A string literal.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    escape(&mut out, text, false);
    out.push('"');
    out
}

/// A raw string literal, with as many `#` as it takes.
pub(crate) fn raw(text: &str) -> String {
    let mut most = None;
    for (at, _) in text.match_indices('"') {
        let hashes = text[at + 1..].bytes().take_while(|b| *b == b'#').count();
        most = most.max(Some(hashes));
    }
    let fence = "#".repeat(most.map_or(0, |hashes| hashes + 1));
    format!("r{fence}\"{text}\"{fence}")
}

/// Writes what stands for `text` between quotes. Where a `${` could come to stand, its `$` is escaped; what comes
/// behind `text` may start with `{` if `before_value`.
pub(crate) fn escape(out: &mut String, text: &str, before_value: bool) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '$' if chars.peek().map_or(before_value, |next| *next == '{') => out.push_str("\\$"),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(out, "\\u{{{:X}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Characters that no reader of a file sees, or that turn the direction of the text around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}
