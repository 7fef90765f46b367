//! A flat stream of layout tokens, and the one pass that sets it on lines.
//!
//! Text is pushed in order; groups say "on one line if it fits, else every [`Page::line`] of mine is a new line".
//! Widths are summed before anything is set, so that the work is linear and needs no recursion. This file knows
//! nothing of the language.

use std::borrow::Cow;

/// The width of a page.
pub(crate) const WIDTH: usize = 100;

/// One step of setting a text.
#[derive(Debug)]
enum Token {
    /// Words; never holds a line feed.
    Text(Cow<'static, str>),
    /// A new line where its group is broken, else this text.
    Line(&'static str),
    /// A new line, always.
    NewLine,
    /// Nothing, but the groups around it are broken.
    Break,
    /// An empty line before the next text, always.
    Gap,
    /// A comment on a line of its own.
    Comment(String),
    /// A comment behind what stands before it; a new line must follow.
    Behind(String),
    /// Text that stands only where its group is broken: the last comma.
    WhenBroken(&'static str),
    /// Starts a group.
    Open,
    /// Ends a group.
    Close,
    /// Lines start this much further right.
    Indent(usize),
    /// Takes back the last [`Token::Indent`].
    Dedent,
}

/// A text that is still to be set on lines.
#[derive(Debug, Default)]
pub(crate) struct Page {
    tokens: Vec<Token>,
}

impl Page {
    /// Adds words.
    pub(crate) fn text(&mut self, text: impl Into<Cow<'static, str>>) {
        self.tokens.push(Token::Text(text.into()));
    }

    /// Adds a new line if the group is broken, else `flat`.
    pub(crate) fn line(&mut self, flat: &'static str) {
        self.tokens.push(Token::Line(flat));
    }

    /// Adds a new line; every group around it is broken.
    pub(crate) fn new_line(&mut self) {
        self.tokens.push(Token::NewLine);
    }

    /// Breaks every group around it.
    pub(crate) fn break_lines(&mut self) {
        self.tokens.push(Token::Break);
    }

    /// Adds an empty line before what follows, where a new line has just been asked for.
    pub(crate) fn gap(&mut self) {
        self.tokens.push(Token::Gap);
    }

    /// Adds a comment that has its line for itself.
    pub(crate) fn comment(&mut self, comment: String) {
        self.tokens.push(Token::Comment(comment));
    }

    /// Adds a comment to the end of the line.
    pub(crate) fn behind(&mut self, comment: String) {
        self.tokens.push(Token::Behind(comment));
    }

    /// Adds text that stands only if the group is broken.
    pub(crate) fn when_broken(&mut self, text: &'static str) {
        self.tokens.push(Token::WhenBroken(text));
    }

    /// What `content` adds stands on one line if it fits.
    pub(crate) fn group(&mut self, content: impl FnOnce(&mut Page)) {
        self.tokens.push(Token::Open);
        content(self);
        self.tokens.push(Token::Close);
    }

    /// Lines that `content` adds start `columns` further right.
    pub(crate) fn indent(&mut self, columns: usize, content: impl FnOnce(&mut Page)) {
        self.tokens.push(Token::Indent(columns));
        content(self);
        self.tokens.push(Token::Dedent);
    }

    /// Everything on one line, comments and empty lines left out.
    pub(crate) fn on_one_line(self) -> String {
        let mut out = String::new();
        for token in self.tokens {
            match token {
                Token::Text(text) => out.push_str(&text),
                Token::Line(flat) => out.push_str(flat),
                _ => {}
            }
        }
        out
    }

    /// Sets the text on lines of [`WIDTH`], the first of which starts at the left edge; no line feed at the end.
    pub(crate) fn set(self) -> String {
        let widths = Widths::of(&self.tokens);
        let mut setter = Setter { out: String::new(), column: 0, pending: 0, indents: vec![0], broken: Vec::new() };
        for (index, token) in self.tokens.into_iter().enumerate() {
            setter.put(token, index, &widths);
        }
        setter.out
    }
}

/// How wide things are when nothing is broken.
struct Widths {
    /// Columns before each token, and one more for the end.
    before: Vec<usize>,
    /// For each [`Token::Open`]: the token where the next line could end after its group.
    reach: Vec<usize>,
    /// For each [`Token::Open`]: whether a new line stands inside.
    forced: Vec<bool>,
}

impl Widths {
    fn of(tokens: &[Token]) -> Self {
        let mut before = Vec::with_capacity(tokens.len() + 1);
        let mut column = 0;
        for token in tokens {
            before.push(column);
            column += match token {
                Token::Text(text) => text.chars().count(),
                Token::Line(flat) => flat.chars().count(),
                _ => 0,
            };
        }
        before.push(column);
        let (reach, forced) = Self::groups(tokens);
        Widths { before, reach, forced }
    }

    /// From the end to the start: where each group may end its last line, and whether it holds a new line.
    fn groups(tokens: &[Token]) -> (Vec<usize>, Vec<bool>) {
        let mut reach = vec![tokens.len(); tokens.len()];
        let mut forced = vec![false; tokens.len()];
        let mut next_end = tokens.len();
        let mut open: Vec<(usize, bool)> = Vec::new();
        for (index, token) in tokens.iter().enumerate().rev() {
            match token {
                Token::Close => open.push((next_end, false)),
                Token::Open => {
                    let (end, broken) = open.pop().unwrap_or((next_end, false));
                    reach[index] = end;
                    forced[index] = broken;
                    if let Some(outer) = open.last_mut() {
                        outer.1 |= broken;
                    }
                }
                Token::Line(_) => next_end = index,
                Token::NewLine | Token::Gap | Token::Comment(_) | Token::Behind(_) | Token::Break => {
                    if !matches!(token, Token::Break) {
                        next_end = index;
                    }
                    if let Some(inner) = open.last_mut() {
                        inner.1 = true;
                    }
                }
                _ => {}
            }
        }
        (reach, forced)
    }
}

/// The text so far.
struct Setter {
    out: String,
    column: usize,
    /// New lines that are due before the next text.
    pending: usize,
    indents: Vec<usize>,
    /// For each open group: whether its lines are new lines.
    broken: Vec<bool>,
}

impl Setter {
    fn put(&mut self, token: Token, index: usize, widths: &Widths) {
        match token {
            Token::Text(text) => self.write(&text),
            Token::Comment(comment) => self.write(&comment),
            Token::Line(flat) if self.is_flat() => self.write(flat),
            Token::Line(_) | Token::NewLine => self.pending = self.pending.max(1),
            Token::Gap => self.pending = 2,
            Token::Behind(comment) => {
                self.write("  ");
                self.write(&comment);
                self.pending = self.pending.max(1);
            }
            Token::WhenBroken(text) => {
                if !self.is_flat() {
                    self.write(text);
                }
            }
            Token::Break => {}
            Token::Open => {
                let width = widths.before[widths.reach[index]] - widths.before[index];
                let fits = !widths.forced[index] && self.next_column() + width <= WIDTH;
                self.broken.push(!fits && !self.is_flat());
            }
            Token::Close => {
                self.broken.pop();
            }
            Token::Indent(columns) => self.indents.push(self.indents.last().copied().unwrap_or(0) + columns),
            Token::Dedent => {
                self.indents.pop();
            }
        }
    }

    /// Whether lines here are no new lines. Outside of every group they are.
    fn is_flat(&self) -> bool {
        self.broken.last().is_some_and(|broken| !broken)
    }

    /// Where the next text will stand.
    fn next_column(&self) -> usize {
        if self.pending > 0 { self.indents.last().copied().unwrap_or(0) } else { self.column }
    }

    fn write(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        if self.pending > 0 {
            if !self.out.is_empty() {
                self.out.extend(std::iter::repeat_n('\n', self.pending));
            }
            self.pending = 0;
            self.column = self.indents.last().copied().unwrap_or(0);
            self.out.extend(std::iter::repeat_n(' ', self.column));
        }
        self.out.push_str(text);
        self.column += text.chars().count();
    }
}
