//! The words and the escapes of the language, for the parser and both printers alike.

/// Words that can never be a bare name in an expression; a name that clashes is written in backticks.
pub(crate) const RESERVED: &[&str] = &[
    "and", "as", "between", "case", "cast", "else", "end", "false", "in", "is", "like", "not", "null", "or", "then",
    "true", "when",
];

/// Words that start a clause. As names they are bare wherever no clause can be meant.
pub(crate) const CLAUSES: &[&str] = &[
    "as", "bad", "by", "else", "emit", "init", "late", "named", "on", "over", "per", "rejected", "running", "step",
    "using", "with", "within", "yield",
];

/// Words that start a statement when they stand in column 1.
pub(crate) const STATEMENTS: &[&str] =
    &["pipeline", "import", "param", "let", "fn", "stage", "type", "source", "table", "stream", "from", "test"];

/// Whether `name` is a plain word: a letter or `_`, then letters, digits and `_`.
pub(crate) fn is_word(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_alphabetic()) && chars.all(|c| c == '_' || c.is_alphanumeric())
}

/// Whether a line that starts with `word` goes on with the statement above it, even in column 1.
pub(crate) fn goes_on(word: &str) -> bool {
    const OTHERS: &[&str] = &["AND", "OR", "NOT", "asc", "desc", "nulls"];
    RESERVED.contains(&word) || CLAUSES.contains(&word) || OTHERS.contains(&word)
}
