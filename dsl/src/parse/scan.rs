//! The first look at a file: cuts it into statements and chains into stages, finds what no grammar could explain
//! well (strings and brackets that never close, comments of other languages), and blanks the comments out.
//!
//! One pass over the tokens, no recursion; everything after works on pieces of bounded size.

use super::lex::{Kind, Lexer, Token, line_end};
use super::slip::short;
use crate::diagnostic::Diagnostic;
use crate::lexis;
use crate::span::{FileId, Span};

/// How deep brackets may nest.
const DEEPEST: usize = 64;

/// So many slips of one file are enough.
const MOST_PROBLEMS: usize = super::reader::MOST_PROBLEMS;

/// A file, cut.
pub(super) struct Scan {
    /// The text with comments and stray signs replaced by blanks: every byte stands where it stood.
    pub(super) clean: String,
    /// Where the comments are, `#` included, trailing white space cut.
    pub(super) comments: Vec<(usize, usize)>,
    /// The statements, or what stands where statements should.
    pub(super) chunks: Vec<Chunk>,
    /// What was found on the way.
    pub(super) problems: Vec<Diagnostic>,
}

/// One statement.
pub(super) struct Chunk {
    /// Where its first word starts.
    pub(super) start: usize,
    /// Where its first word ends.
    pub(super) word_end: usize,
    /// Where the next statement starts, or the text ends.
    pub(super) end: usize,
    /// Where its `|>` are.
    pub(super) pipes: Vec<usize>,
    /// Where strings or brackets are broken; what holds one of these places cannot be parsed and is reported already. Sorted.
    pub(super) faults: Vec<usize>,
}

/// Cuts a file.
pub(super) fn scan(file: FileId, text: &str) -> Scan {
    look(file, text, true)
}

/// Looks at a fragment, which is one piece whatever words stand in its column 1.
pub(super) fn fragment(file: FileId, text: &str) -> Scan {
    look(file, text, false)
}

fn look(file: FileId, text: &str, cuts: bool) -> Scan {
    let mut scanner = Scanner {
        file,
        text,
        cuts,
        clean: text.as_bytes().to_vec(),
        comments: Vec::new(),
        chunks: Vec::new(),
        problems: Vec::new(),
        open: Vec::new(),
        lost: false,
        unknown: 0,
        last: None,
    };
    if text.starts_with('\u{FEFF}') {
        scanner.blank(0, '\u{FEFF}'.len_utf8());
    }
    for token in Lexer::new(text) {
        scanner.token(token);
    }
    scanner.end_chunk(text.len());
    let Scanner { clean, comments, chunks, problems, .. } = scanner;
    let clean = String::from_utf8(clean).unwrap_or_default();
    Scan { clean, comments, chunks, problems }
}

struct Scanner<'t> {
    file: FileId,
    text: &'t str,
    /// Whether words in column 1 start statements.
    cuts: bool,
    clean: Vec<u8>,
    comments: Vec<(usize, usize)>,
    chunks: Vec<Chunk>,
    problems: Vec<Diagnostic>,
    /// The brackets that are open.
    open: Vec<(u8, usize)>,
    /// Whether brackets are not followed any more, up to the next stage or statement.
    lost: bool,
    /// How many words in column 1 start no statement; beyond MOST_PROBLEMS of them nothing is read.
    unknown: usize,
    /// The token before, comments not counted.
    last: Option<Token>,
}

impl Scanner<'_> {
    fn token(&mut self, token: Token) {
        match token.kind {
            Kind::Comment => return self.comment(token),
            Kind::ForeignComment => return self.foreign_comment(token),
            Kind::Semicolon => {
                return self.stray(token, "semicolon", "`;` ends nothing here", "a line break is enough");
            }
            Kind::Dollar => {
                return self.stray(
                    token,
                    "syntax",
                    "names carry no `$`",
                    "write the name alone; `${...}` is for strings",
                );
            }
            _ => {}
        }
        if self.starts_statement(token) {
            self.end_chunk(token.start);
            let word_end = if token.kind == Kind::Word { token.end } else { token.start };
            let (pipes, faults) = (Vec::new(), Vec::new());
            self.chunks.push(Chunk { start: token.start, word_end, end: self.text.len(), pipes, faults });
        }
        match token.kind {
            Kind::Unclosed => self.unclosed(token),
            Kind::Open => self.opened(token),
            Kind::Close => self.closed(token),
            Kind::Pipe => {
                self.leave_brackets();
                if let Some(chunk) = self.chunks.last_mut() {
                    chunk.pipes.push(token.start);
                }
            }
            Kind::Quoted if token.depth + self.open.len() > DEEPEST => self.too_deep(token),
            _ => {}
        }
        self.last = Some(token);
    }

    /// A statement starts with a word in column 1. Inside brackets only a statement's own word can start one: then
    /// the brackets were never closed.
    fn starts_statement(&mut self, token: Token) -> bool {
        if self.chunks.is_empty() {
            return true;
        }
        if !self.cuts || token.kind != Kind::Word || !token.first {
            return false;
        }
        let word = &self.text[token.start..token.end];
        let known = lexis::STATEMENTS.contains(&word);
        if !token.column_one {
            return known && self.open.is_empty() && self.indented_statement(token, word);
        }
        if self.open.is_empty() {
            self.unknown += usize::from(!known && !lexis::goes_on(word));
            return known || !lexis::goes_on(word) && self.unknown <= MOST_PROBLEMS;
        }
        known && self.next_sign(token).is_some_and(|c| super::lex::is_word_start(c) || c == '"' || c == '`')
    }

    /// `  stream x = ...`: nothing else reads like that, so it is a statement that is not in column 1.
    fn indented_statement(&mut self, token: Token, word: &str) -> bool {
        let line = self.text[token.end..line_end(self.text, token.end)].trim_start();
        let rest = line.trim_start_matches(super::lex::is_word_char);
        let name = &line[..line.len() - rest.len()];
        let named = !name.is_empty() && !lexis::RESERVED.contains(&name);
        let starts = match word {
            "from" => named && self.chunks.last().is_some_and(|c| !c.pipes.is_empty()) && !self.last_is_init(),
            "import" | "test" => line.starts_with('"'),
            _ => named && rest.trim_start().starts_with(['=', ':', '{', '(']),
        };
        let starts = starts && self.last.is_none_or(|t| !matches!(t.kind, Kind::Symbol | Kind::Pipe));
        if starts {
            let line_start = self.text[..token.start].rfind('\n').map_or(0, |i| i + 1);
            let message = format!("statement `{word}` does not start in column 1");
            let problem = Diagnostic::error("syntax", self.span(token.start, token.end), message)
                .help("take away the white space before it: what is indented belongs to the statement above")
                .edit(self.span(line_start, token.start), "");
            self.report(problem);
        }
        starts
    }

    /// `init` at the end of the line above: `from` goes on with it.
    fn last_is_init(&self) -> bool {
        self.last.is_some_and(|t| &self.text[t.start..t.end] == "init")
    }

    fn next_sign(&self, token: Token) -> Option<char> {
        self.text[token.end..].chars().find(|c| !matches!(c, ' ' | '\t'))
    }

    fn comment(&mut self, token: Token) {
        let text = self.text[token.start..token.end].trim_end();
        self.comments.push((token.start, token.start + text.len()));
        self.blank(token.start, token.end);
    }

    fn foreign_comment(&mut self, token: Token) {
        if self.full() {
            return self.blank(token.start, token.end);
        }
        let sign = &self.text[token.start..token.start + 2];
        let span = self.span(token.start, token.start + 2);
        let text = self.text[token.start + 2..token.end].trim();
        let problem = Diagnostic::error("comment-style", span, format!("a comment starts with `#`, not with `{sign}`"))
            .help(format!("write:\n  # {}", short(text)))
            .edit(span, "#");
        self.report(problem);
        self.blank(token.start, token.end);
    }

    fn stray(&mut self, token: Token, code: &'static str, message: &str, help: &str) {
        if !self.full() {
            let span = self.span(token.start, token.end);
            self.report(Diagnostic::error(code, span, message).help(help).edit(span, ""));
        }
        self.blank(token.start, token.end);
    }

    fn unclosed(&mut self, token: Token) {
        if self.full() {
            return;
        }
        let quote = self.text[token.start..].chars().find(|c| !matches!(c, 'r' | '#')).unwrap_or('"');
        let span = self.span(token.start, token.end);
        let problem = if quote == '`' {
            Diagnostic::error("unclosed-string", span, "this name in backticks is not closed on its line")
                .help("close it with a second backtick")
        } else {
            Diagnostic::error("unclosed-string", span, "this string is not closed on its line")
                .help("close it with `\"` before the line ends; a line break inside a string is written \\n")
        };
        self.fault(token.start, problem);
    }

    fn opened(&mut self, token: Token) {
        if self.lost {
            return;
        }
        if self.open.len() == DEEPEST {
            return self.too_deep(token);
        }
        self.open.push((self.text.as_bytes()[token.start], token.start));
    }

    fn too_deep(&mut self, token: Token) {
        let span = self.span(token.start, token.start + 1);
        let message = format!("brackets nest more than {DEEPEST} deep");
        let problem = Diagnostic::error("nesting-too-deep", span, message);
        self.fault(token.start, problem.help("give a part of it a name, with `extend` or `let`, and use that name"));
        self.open.clear();
        self.lost = true;
    }

    fn closed(&mut self, token: Token) {
        if self.lost {
            return;
        }
        let close = self.text.as_bytes()[token.start];
        let opener = |open: u8| matches!((open, close), (b'(', b')') | (b'[', b']') | (b'{', b'}'));
        match self.open.iter().rposition(|(open, _)| opener(*open)) {
            Some(i) => {
                if let Some((_, inner)) = self.open.get(i + 1).copied() {
                    self.never_closed(inner);
                }
                self.open.truncate(i);
            }
            None if self.full() => {}
            None => {
                let close = char::from(close);
                let problem = Diagnostic::error(
                    "unclosed-bracket",
                    self.span(token.start, token.end),
                    format!("`{close}` closes nothing"),
                );
                self.fault(token.start, problem.help(format!("take this `{close}` away, or open it before")));
            }
        }
    }

    /// A new stage or statement starts: whatever is still open was forgotten.
    fn leave_brackets(&mut self) {
        let forgotten = if self.in_test() { self.open.get(1).or(self.open.first()) } else { self.open.first() };
        if let Some((_, at)) = forgotten.copied() {
            self.never_closed(at);
        }
        self.open.clear();
        self.lost = false;
    }

    /// Whether the current statement is a test, whose first bracket is its block's.
    fn in_test(&self) -> bool {
        self.chunks.last().is_some_and(|c| &self.text[c.start..c.word_end] == "test")
    }

    fn never_closed(&mut self, at: usize) {
        let open = char::from(self.text.as_bytes()[at]);
        let close = match open {
            '(' => ')',
            '[' => ']',
            _ => '}',
        };
        let problem = Diagnostic::error("unclosed-bracket", self.span(at, at + 1), format!("`{open}` is never closed"));
        self.fault(at, problem.help(format!("close it with `{close}`")));
    }

    fn fault(&mut self, at: usize, problem: Diagnostic) {
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.faults.push(at);
        }
        self.report(problem);
    }

    fn report(&mut self, problem: Diagnostic) {
        if !self.full() {
            self.problems.push(problem);
        }
    }

    /// Whether so much is wrong that statements from here on are not read anyway.
    fn full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }

    fn end_chunk(&mut self, at: usize) {
        self.leave_brackets();
        self.last = None;
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.end = at;
            chunk.faults.sort_unstable();
        }
    }

    fn blank(&mut self, start: usize, end: usize) {
        self.clean[start..end].fill(b' ');
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.file, start, end)
    }
}
