//! Text to tokens: just enough to tell strings and comments from the rest, without recursion and in one pass.
//! It never fails; what is no token of the language is a [`Kind::Symbol`].

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, reserved or not.
    Word,
    /// Digits and what hangs on to them.
    Number,
    /// A string of any spelling, or a name in backticks, with its closing quote.
    Quoted,
    /// The same without its closing quote, to the end of its line.
    Unclosed,
    /// `#` to the end of the line.
    Comment,
    /// A comment of another language, `//` or `--`, to the end of the line.
    ForeignComment,
    /// `( [ {`
    Open,
    /// `) ] }`
    Close,
    /// `|>`
    Pipe,
    /// `;`
    Semicolon,
    /// `$` before a word.
    Dollar,
    /// Any other sign, the longest one that means something.
    Symbol,
}

/// A token and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Whether it is the first of its line.
    pub(super) first: bool,
    /// Whether it stands in column 1.
    pub(super) column_one: bool,
    /// How deep brackets and strings nest inside it; only strings nest.
    pub(super) depth: usize,
}

/// The signs of more than one character; longer ones first.
const SIGNS: &[&str] = &["==", "!=", "<>", "<=", ">=", "=>", "->", "??", "::", "&&", "||", "=!"];

/// The tokens of a text.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    line_start: usize,
    fresh_line: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        Lexer { text, at, line_start: at, fresh_line: true }
    }

    fn skip_white_space(&mut self) {
        for c in self.text[self.at..].chars() {
            if !c.is_whitespace() {
                return;
            }
            self.at += c.len_utf8();
            if c == '\n' {
                self.line_start = self.at;
                self.fresh_line = true;
            }
        }
    }

    fn line_end(&self, from: usize) -> usize {
        line_end(self.text, from)
    }

    fn take_while(&self, from: usize, test: impl Fn(char) -> bool) -> usize {
        self.text[from..].find(|c| !test(c)).map_or(self.text.len(), |i| from + i)
    }

    /// Kind, end and depth of the token at `self.at`, which stands on a character.
    fn measure(&self, first: char) -> (Kind, usize, usize) {
        let rest = &self.text[self.at..];
        let next = self.at + first.len_utf8();
        match first {
            '#' => (Kind::Comment, self.line_end(self.at), 0),
            '/' if rest.starts_with("//") => (Kind::ForeignComment, self.line_end(self.at), 0),
            '-' if self.opens_sql_comment(rest) => (Kind::ForeignComment, self.line_end(self.at), 0),
            '"' => string(self.text, self.at),
            'r' if raw_hashes(&rest[1..]).is_some() => self.raw(raw_hashes(&rest[1..]).unwrap_or(0)),
            '\'' => self.quoted_by(next, '\'').unwrap_or((Kind::Symbol, next, 0)),
            '“' | '”' | '„' => self.curly(next),
            '`' => self.quoted_by(next, '`').unwrap_or_else(|| (Kind::Unclosed, self.line_end(self.at), 0)),
            '(' | '[' | '{' => (Kind::Open, next, 0),
            ')' | ']' | '}' => (Kind::Close, next, 0),
            '|' if rest.starts_with("|>") => (Kind::Pipe, next + 1, 0),
            ';' => (Kind::Semicolon, next, 0),
            '$' if rest[1..].starts_with(is_word_start) => (Kind::Dollar, next, 0),
            c if c.is_ascii_digit() => (Kind::Number, self.number(), 0),
            c if is_word_start(c) => (Kind::Word, self.take_while(self.at, is_word_char), 0),
            _ => {
                let end = SIGNS.iter().find(|s| rest.starts_with(**s)).map_or(next, |s| self.at + s.len());
                (Kind::Symbol, end, 0)
            }
        }
    }

    /// `--` is a comment at the start of a line or between blanks; `a--b` subtracts a negative number.
    fn opens_sql_comment(&self, rest: &str) -> bool {
        let blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
        rest.starts_with("--")
            && (self.fresh_line || blank(self.text[..self.at].chars().next_back()) && blank(rest[2..].chars().next()))
    }

    fn number(&self) -> usize {
        let whole = self.take_while(self.at, is_word_char);
        match self.text[whole..].strip_prefix('.') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => self.take_while(whole + 1, is_word_char),
            _ => whole,
        }
    }

    /// A token that ends with `close` on the same line. Looks no further than the line, nor past the first `close`:
    /// a line of nothing but quotes is read in one go.
    fn quoted_by(&self, from: usize, close: char) -> Option<(Kind, usize, usize)> {
        let end = self.text[from..].find([close, '\n']).map(|i| from + i)?;
        self.text[end..].starts_with(close).then_some((Kind::Quoted, end + close.len_utf8(), 0))
    }

    fn curly(&self, from: usize) -> (Kind, usize, usize) {
        let found = self.text[from..].char_indices().find(|(_, c)| matches!(c, '“' | '”' | '"' | '\n'));
        match found {
            Some((i, c)) if c != '\n' => (Kind::Quoted, from + i + c.len_utf8(), 0),
            _ => (Kind::Unclosed, self.line_end(self.at), 0),
        }
    }

    fn raw(&self, hashes: usize) -> (Kind, usize, usize) {
        let close = format!("\"{}", "#".repeat(hashes));
        let (from, line_end) = (self.at + hashes + 2, self.line_end(self.at));
        match self.text[from..line_end.max(from)].find(&close) {
            Some(i) => (Kind::Quoted, from + i + close.len(), 0),
            None => (Kind::Unclosed, line_end, 0),
        }
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_white_space();
        let first = self.text[self.at..].chars().next()?;
        let (kind, end, depth) = self.measure(first);
        let (start, first, column_one) = (self.at, self.fresh_line, self.at == self.line_start);
        self.at = end;
        self.fresh_line = false;
        Some(Token { kind, start, end, first, column_one, depth })
    }
}

/// Whether a word may start with `c`.
pub(super) fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Whether a word may go on with `c`.
pub(super) fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The end of the line that `from` stands in, without its line break.
pub(super) fn line_end(text: &str, from: usize) -> usize {
    let end = text[from..].find('\n').map_or(text.len(), |i| from + i);
    if end > from && text.as_bytes()[end - 1] == b'\r' { end - 1 } else { end }
}

/// How many `#` stand between `r` and its quote; none where no raw string begins.
fn raw_hashes(after_r: &str) -> Option<usize> {
    let hashes = after_r.bytes().take_while(|b| *b == b'#').count();
    after_r[hashes..].starts_with('"').then_some(hashes)
}

/// What the reader of a string is inside of.
enum Inside {
    String,
    /// `${`, with so many braces open in it.
    Hole(usize),
}

/// Where the raw string or the name in backticks that may start at `at` ends; right there where none does.
fn quoted_in_hole(text: &str, at: usize, first: char) -> usize {
    let (from, close) = match (first, raw_hashes(&text[at + 1..])) {
        ('`', _) => (at + 1, "`".to_owned()),
        (_, Some(hashes)) if !text[..at].ends_with(is_word_char) => {
            (at + hashes + 2, format!("\"{}", "#".repeat(hashes)))
        }
        _ => return at,
    };
    // Without an end it reaches to the end of the line, as the whole string then does.
    let line_end = line_end(text, at);
    text[from..line_end].find(&close).map_or(line_end, |i| from + i + close.len())
}

/// A string with whatever strings are nested in its holes.
fn string(text: &str, start: usize) -> (Kind, usize, usize) {
    let mut inside = vec![Inside::String];
    let (mut deepest, mut brackets) = (0, 0usize);
    let mut rest = text[start + 1..].char_indices().map(|(i, c)| (start + 1 + i, c)).peekable();
    while let Some((at, c)) = rest.next() {
        match (inside.last_mut(), c) {
            (_, '\n') | (None, _) => return (Kind::Unclosed, line_end(text, start), deepest),
            (Some(Inside::String), '\\') => {
                rest.next_if(|(_, c)| *c != '\n');
            }
            (Some(Inside::String), '$') if rest.next_if(|(_, c)| *c == '{').is_some() => inside.push(Inside::Hole(0)),
            (Some(Inside::String), '"') => {
                inside.pop();
                if inside.is_empty() {
                    return (Kind::Quoted, at + 1, deepest);
                }
            }
            (Some(Inside::String), _) => {}
            (Some(Inside::Hole(_)), '"') => inside.push(Inside::String),
            (Some(Inside::Hole(open)), '{') => *open += 1,
            (Some(Inside::Hole(open)), '}') if *open > 0 => *open -= 1,
            (Some(Inside::Hole(_)), '}') => {
                inside.pop();
            }
            (Some(Inside::Hole(_)), 'r' | '`') => {
                let end = quoted_in_hole(text, at, c);
                while rest.next_if(|(at, _)| *at < end).is_some() {}
            }
            (Some(Inside::Hole(_)), '(' | '[') => brackets += 1,
            (Some(Inside::Hole(_)), ')' | ']') => brackets = brackets.saturating_sub(1),
            (Some(Inside::Hole(_)), _) => {}
        }
        deepest = deepest.max(inside.len() / 2 + brackets);
    }
    (Kind::Unclosed, line_end(text, start), deepest)
}
