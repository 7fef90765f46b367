//! Finds a part of a JSON text without reading the rest into values: the part is a slice of the text, so that its
//! numbers keep every digit.

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// A field of an object.
    Field(String),
    /// An element of an array, from 0.
    Element(usize),
}

/// The text of the part of `json` that a path leads to; none where there is none, or where the text is no JSON.
pub(crate) fn find<'a>(json: &'a str, path: &[Part]) -> Option<&'a str> {
    let mut scanner = Scanner { text: json, at: 0 };
    for part in path {
        scanner.space();
        match part {
            Part::Field(name) => scanner.enter_field(name)?,
            Part::Element(index) => scanner.enter_element(*index)?,
        }
    }
    scanner.space();
    let from = scanner.at;
    scanner.skip()?;
    json.get(from..scanner.at)
}

/// How many elements an array or fields an object has; none for anything else.
pub(crate) fn length(json: &str) -> Option<usize> {
    let mut scanner = Scanner { text: json, at: 0 };
    scanner.space();
    let end = match scanner.peek()? {
        b'{' => b'}',
        b'[' => b']',
        _ => return None,
    };
    scanner.at += 1;
    let mut count = 0;
    loop {
        scanner.space();
        match scanner.peek()? {
            letter if letter == end => return Some(count),
            b',' => scanner.at += 1,
            _ => {
                if end == b'}' {
                    scanner.string()?;
                    scanner.expect(b':')?;
                }
                scanner.skip()?;
                count += 1;
            }
        }
    }
}

/// A part as a text: a string without its quotes, anything else as it is written; none for `null`.
pub(crate) fn text_of(part: &str) -> Option<String> {
    let part = part.trim();
    match part.as_bytes().first()? {
        b'"' => serde_json::from_str(part).ok(),
        b'n' => None,
        _ => Some(part.to_owned()),
    }
}

/// Reads `$.a.b[0]`, `a.b`, `$["a"]`; none where it is no path.
pub(crate) fn path(text: &str) -> Option<Vec<Part>> {
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (index, behind) = inside.split_once(']')?;
            let quoted = index.trim_matches(['"', '\'']);
            parts.push(match index.parse() {
                Ok(index) => Part::Element(index),
                Err(_) if quoted.len() + 2 == index.len() => Part::Field(quoted.to_owned()),
                Err(_) => return None,
            });
            rest = behind;
        } else {
            let named = rest.strip_prefix('.').unwrap_or(rest);
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let (name, behind) = named.split_at(end);
            if name.is_empty() {
                return None;
            }
            parts.push(Part::Field(name.to_owned()));
            rest = behind;
        }
    }
    Some(parts)
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, letter: u8) -> Option<()> {
        self.space();
        (self.peek()? == letter).then(|| self.at += 1)
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        let from = self.at;
        self.expect(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(from..self.at)
    }

    /// Goes to the value of a field of the object that starts here.
    fn enter_field(&mut self, name: &str) -> Option<()> {
        self.expect(b'{')?;
        loop {
            self.space();
            let key = self.string()?;
            self.expect(b':')?;
            let plain = &key[1..key.len() - 1];
            let same = if plain.contains('\\') { text_of(key).as_deref() == Some(name) } else { plain == name };
            if same {
                return Some(());
            }
            self.skip()?;
            self.expect(b',')?;
        }
    }

    /// Goes to an element of the array that starts here.
    fn enter_element(&mut self, index: usize) -> Option<()> {
        self.expect(b'[')?;
        for _ in 0..index {
            self.skip()?;
            self.expect(b',')?;
        }
        self.space();
        (self.peek()? != b']').then_some(())
    }

    /// Goes behind the value that starts here.
    fn skip(&mut self) -> Option<()> {
        self.space();
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => self.at += 1,
                _ => self.word()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Goes behind a number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let from = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'+' | b'.')) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#" {"id": 7, "who": {"name": "A \"B\"", "tags": ["x", {"y": 10.100}]}, "é": null} "#;

    #[test]
    fn a_path_leads_to_the_text_of_a_part() {
        for (text, part) in [
            ("$.id", Some("7")),
            ("who.name", Some(r#""A \"B\"""#)),
            ("$.who.tags[1].y", Some("10.100")),
            ("$.who.tags[2]", None),
            ("$[\"é\"]", Some("null")),
            ("$.nobody", None),
            ("id.deeper", None),
        ] {
            assert_eq!(find(ORDER, &path(text).expect(text)), part, "{text}");
        }
    }

    #[test]
    fn a_part_as_text_has_no_quotes() {
        assert_eq!(text_of(r#""A \"B\"""#).as_deref(), Some("A \"B\""));
        assert_eq!(text_of("null"), None);
        assert_eq!(text_of("[1, 2]").as_deref(), Some("[1, 2]"));
    }

    #[test]
    fn odd_texts_have_no_parts_and_break_nothing() {
        let field = [Part::Field("a".into())];
        for text in ["", "{", "{\"a", "{\"a\":", "{\"a\"}", "[}", "\\", "{\"\\", "]", "{\"a\":}", "\u{1F600}"] {
            assert_eq!(find(text, &field), None, "{text:?}");
            assert!(length(text).is_none(), "{text:?}");
        }
        assert_eq!(length(" [1, [2, 3], {\"a\": 1}] "), Some(3));
        assert_eq!(length("{\"a\": 1, \"b\": [2]}"), Some(2));
        assert_eq!(length("[]"), Some(0));
    }
}
