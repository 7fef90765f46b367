//! Random syntax trees, of the kind that the parser makes and no others.
//!
//! A tree is built from a string of random bytes, each of which decides one thing; when they run out, the simplest
//! choice is taken. So a shorter string makes a smaller tree, and proptest's shrinking makes small counterexamples.
//!
//! The normal form of a parsed tree, which the generator keeps to:
//! - `And` and `Or` have two operands or more, none of the same kind; numbers have no sign, no leading zeros and a
//!   small `e`; an interpolation holds at least one value, and its texts are not empty and not neighbours;
//! - the first of a list's items has no empty line above it, or above its first comment; neither has the first comment
//!   of an empty block; a comment behind an item has none;
//! - where a statement ends with a stage or an `into`, a comment behind it belongs to that;
//! - nothing in an interpolation has comments or empty lines, a string being one line;
//! - a stage with a modifier is a plain word; `distinct` stands before at least one argument.

mod expr;
mod stage;
mod statement;

use std::collections::BTreeSet;

use millstream_dsl::ast::{At, Comment, Ident, Text, Trivia};

pub(crate) use statement::file;

/// Where comments and empty lines may stand inside expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comments {
    /// Around every field of every struct.
    Everywhere,
    /// Where YAML can hold them: only in a struct that is a value of its own.
    InValues,
}

/// The random bytes and what has been decided about what is around.
pub(crate) struct Dice<'b> {
    bytes: std::slice::Iter<'b, u8>,
    comments: Comments,
    /// Inside how many things that hold no comments.
    quiet: usize,
}

impl<'b> Dice<'b> {
    pub(crate) fn new(bytes: &'b [u8], comments: Comments) -> Self {
        Dice { bytes: bytes.iter(), comments, quiet: 0 }
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.bytes.next().map_or(0, |byte| usize::from(*byte) % limit)
    }

    /// True once in `times`.
    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Up to `most` things, few more often than many, at least `least`.
    fn several<T>(&mut self, least: usize, most: usize, mut thing: impl FnMut(&mut Self, usize) -> T) -> Vec<T> {
        let count = least + self.below(most - least + 1);
        (0..count).map(|index| thing(self, index)).collect()
    }

    fn maybe<T>(&mut self, thing: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(3).then(|| thing(self))
    }

    /// Inside an expression that YAML writes as text.
    fn in_text<T>(&mut self, thing: impl FnOnce(&mut Self) -> T) -> T {
        let quiet = usize::from(self.comments == Comments::InValues);
        self.quiet += quiet;
        let made = thing(self);
        self.quiet -= quiet;
        made
    }

    /// Inside a string.
    fn in_string<T>(&mut self, thing: impl FnOnce(&mut Self) -> T) -> T {
        self.quiet += 1;
        let made = thing(self);
        self.quiet -= 1;
        made
    }

    fn ident(&mut self) -> Ident {
        ident(self.pick(NAMES))
    }

    /// A name that is not among `taken` yet.
    fn fresh(&mut self, taken: &mut BTreeSet<String>) -> Ident {
        let mut name = self.pick(NAMES).to_owned();
        while !taken.insert(name.clone()) {
            name.push_str("_x");
        }
        ident(&name)
    }

    /// A key: any text.
    fn key(&mut self, taken: &mut BTreeSet<String>) -> Ident {
        let mut key = self.fresh(taken);
        if self.one_in(20) {
            key.name.push_str("\n`\"");
            taken.insert(key.name.clone());
        }
        key
    }

    fn string(&mut self) -> String {
        let count = 1 + self.below(2);
        (0..count).map(|_| self.pick(TEXTS)).collect()
    }

    fn text(&mut self) -> Text {
        Text { value: self.string(), at: At::default() }
    }

    fn comment(&mut self) -> Comment {
        Comment { text: self.pick(COMMENTS).to_owned(), gap: self.one_in(4), at: At::default() }
    }

    /// What stands around an item, the first of its list or not.
    fn trivia(&mut self, first: bool) -> Trivia {
        if self.quiet > 0 || !self.one_in(3) {
            return Trivia::default();
        }
        let mut above = self.several(0, 2, |dice, _| dice.comment());
        let mut gap = self.one_in(3);
        match above.first_mut() {
            Some(comment) => comment.gap &= !first,
            None => gap &= !first,
        }
        let behind = self.maybe(|dice| Comment { gap: false, ..dice.comment() });
        Trivia { gap, above, behind }
    }

    /// Comments at the end of a block of so many items.
    fn end(&mut self, items: usize) -> Vec<Comment> {
        if self.quiet > 0 || !self.one_in(8) || (items == 0 && self.comments == Comments::InValues) {
            return Vec::new();
        }
        let mut comments = self.several(1, 2, |dice, _| dice.comment());
        comments[0].gap &= items > 0;
        comments
    }
}

fn ident(name: &str) -> Ident {
    Ident { name: name.to_owned(), at: At::default() }
}

const NAMES: &[&str] = &[
    "a",
    "amount",
    "user_id",
    "x",
    "orders",
    "größe",
    "日本",
    "_",
    "n2",
    "by",
    "late",
    "step",
    "on",
    "over",
    "using",
    "init",
    "emit",
    "bad",
    "per",
    "yield",
    "with",
    "within",
    "running",
    "named",
    "rejected",
    "every",
    "from",
    "to",
    "batch",
    "time",
    "expiry",
    "forever",
    "ttl",
    "distinct",
    "order",
    "group",
    "partition",
    "desc",
    "asc",
    "nulls",
    "first",
    "last",
    "list",
    "map",
    "array",
    "r",
    "date",
    "timestamp",
    "json",
    "filter",
    "where",
    "stream",
    "given",
    "expect",
    "count",
    "watermark",
    "nothing",
    "contains",
    "options",
    "name",
    "type",
    "into",
    "and",
    "or",
    "not",
    "in",
    "is",
    "null",
    "as",
    "case",
    "when",
    "end",
    "else",
    "true",
    "cast",
    "AND",
    "NULL",
    "End",
    "left",
    "anti",
    "inner",
    "outer",
    "odd name",
    "1st",
    "a.b",
    "#",
    "it's",
    "pipeline",
    "sink 1",
    "on expiry",
];

const TEXTS: &[&str] = &[
    "",
    "text",
    "two words",
    "größe 日本 🎉",
    "\n",
    "\t\r\0",
    "\"",
    "\\",
    "'",
    "${x}",
    "$",
    "{",
    "}",
    "# no comment",
    ": ",
    "- a",
    "\u{7}",
    "\u{FEFF}",
    "\u{2028}",
    " ",
    "|> where",
    "null",
    "[a, b]",
    "%",
    "@",
    "!x",
];

const COMMENTS: &[&str] = &["", " one", " größe: 日本", "  two", "# three", " 'a' \"b\" {", " - x", "!"];
