//! What to say where the grammar cannot go on: first the slips that a look at the tokens finds, then a message in
//! the user's words, made from what the grammar had been ready to read.

use super::lex::{Kind, Lexer, Token};
use super::reader::{Failure, Reader, Rule};
use super::slip::short;
use crate::diagnostic::Diagnostic;
use crate::lexis;

/// Where stages begin that lack their `|>`: at words that start a line after something that was complete. None where
/// the grammar failed before the first.
pub(super) fn missing_pipes(reader: &Reader<'_>, failed: &Failure, start: usize, end: usize) -> Vec<usize> {
    let found = stage_lines(reader, start, end);
    if found.first().is_some_and(|first| *first <= failed.at) { found } else { Vec::new() }
}

/// The same for the head of a chain, behind which any word that stands in the way can only be a stage.
pub(super) fn stage_after_head(reader: &Reader<'_>, failed: &Failure, start: usize, end: usize) -> Option<usize> {
    let in_the_way = || {
        let (before, found) = around(reader, failed.at.clamp(start, end), start, end);
        let may_end = |b: Token| complete(reader, b) || &reader.text[b.start..b.end] == "=";
        found.filter(|t| t.kind == Kind::Word && before.is_some_and(may_end))
    };
    let lines = missing_pipes(reader, failed, start, end);
    lines.first().copied().or_else(|| in_the_way().map(|token| token.start))
}

/// Reports that the stage which starts at `at` lacks its `|>`.
pub(super) fn report_missing_pipe(reader: &mut Reader<'_>, at: usize) {
    let line = &reader.text[at..super::lex::line_end(reader.text, at)];
    let word = super::chain::first_word(line);
    let message = format!("`|>` is missing before `{}`", short(word));
    let problem = Diagnostic::error("missing-pipe", reader.span(at, at + word.len()), message)
        .help(format!("every stage starts with `|>`:\n  |> {}", short(line)))
        .edit(reader.span(at, at), "|> ");
    reader.report(problem);
}

fn stage_lines(reader: &Reader<'_>, start: usize, end: usize) -> Vec<usize> {
    let (mut depth, mut before, mut found): (usize, Option<Token>, Vec<usize>) = (0, None, Vec::new());
    for mut token in Lexer::new(&reader.text[start..end]) {
        token.start += start;
        token.end += start;
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 && token.first => {
                let word = &reader.text[token.start..token.end];
                if before.is_some_and(|b| complete(reader, b)) && !belongs_to_clause(word) {
                    found.push(token.start);
                }
            }
            _ => {}
        }
        before = Some(token);
    }
    found
}

/// Whether something can be complete with this token.
fn complete(reader: &Reader<'_>, token: Token) -> bool {
    let text = &reader.text[token.start..token.end];
    match token.kind {
        Kind::Word => !lexis::goes_on(text) && !opens_clause(text) || matches!(text, "end" | "null" | "true" | "false"),
        Kind::Number | Kind::Quoted | Kind::Close => true,
        _ => text == "?",
    }
}

/// Words that want more behind them.
fn opens_clause(word: &str) -> bool {
    matches!(word, "to" | "ttl" | "from" | "every" | "distinct" | "where" | "case") || lexis::STATEMENTS.contains(&word)
}

/// Words that may start a line inside a stage.
fn belongs_to_clause(word: &str) -> bool {
    const WORDS: &[&str] =
        &["to", "ttl", "every", "first", "last", "batch", "time", "group", "order", "partition", "join"];
    lexis::goes_on(word) || WORDS.contains(&word)
}

/// Reports that `start..end` cannot be read past the failure.
pub(super) fn report(reader: &mut Reader<'_>, failed: &Failure, start: usize, end: usize) {
    let problem = inside_string(reader, failed, start, end).unwrap_or_else(|| explain(reader, failed, start, end));
    reader.report(problem);
}

/// What is wrong in an expression inside the string at which the grammar failed.
fn inside_string(reader: &mut Reader<'_>, failed: &Failure, start: usize, end: usize) -> Option<Diagnostic> {
    let (_, found) = around(reader, failed.at.clamp(start, end), start, end);
    let token = found.filter(|t| t.kind == Kind::Quoted && reader.text[t.start..].starts_with('"'))?;
    holes(&reader.text[..token.end], token.start).into_iter().find_map(|(from, to)| {
        let failed = reader.parse(Rule::only_expr, from, to).err()?;
        Some(explain(reader, &failed, from, to))
    })
}

/// Where the expressions of the string at the end of `text` are.
fn holes(text: &str, start: usize) -> Vec<(usize, usize)> {
    let (mut found, mut at) = (Vec::new(), start);
    while let Some(opened) = text[at..].find("${").map(|i| at + i) {
        let from = opened + 2;
        at = from;
        let slashes = text[..opened].bytes().rev().take_while(|b| *b == b'\\').count();
        if slashes % 2 == 1 {
            continue;
        }
        let mut depth = 0;
        let close = Lexer::new(&text[from..]).find(|token| {
            match token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth -= 1,
                _ => {}
            }
            depth < 0
        });
        let Some(close) = close else { break };
        found.push((from, from + close.start));
        at = from + close.end;
    }
    found
}

fn explain(reader: &Reader<'_>, failed: &Failure, start: usize, end: usize) -> Diagnostic {
    if failed.exhausted {
        let at = reader.span(start, char_end(reader.text, start, end));
        return Diagnostic::error("nesting-too-deep", at, "this part is nested too deep to be read")
            .help("give a part of it a name, with `extend` or `let`, and use that name");
    }
    let (before, found) = around(reader, failed.at.clamp(start, end), start, end);
    let said = before.map(|t| short(&reader.text[t.start..t.end]));
    let (span, there) = match found {
        Some(token) => {
            (reader.span(token.start, token.end), format!("`{}`", short(&reader.text[token.start..token.end])))
        }
        None => {
            let at = before.map_or(end, |t| t.end);
            (reader.span(at, at), "the end".to_owned())
        }
    };
    if let Some(problem) = foreign_stage(reader, start, end).or_else(|| habit(reader, before, found)) {
        return problem;
    }
    let after = said.map_or(String::new(), |text| format!(" after `{text}`"));
    let before = before.map_or("", |b| &reader.text[b.start..b.end]);
    let Some(wanted) = wanted(&failed.wanted, before) else {
        let problem = match found {
            Some(_) => Diagnostic::error("syntax", span, format!("unexpected {there}{after}")),
            None => Diagnostic::error("syntax", span, format!("something is missing{after}")),
        };
        let help = match failed.wanted.contains(&Rule::kw_then) {
            true => CASE.to_owned(),
            false => missing_sign(reader, failed.at, start),
        };
        return problem.help(help);
    };
    let problem = Diagnostic::error("syntax", span, format!("expected {}{after}, found {there}", wanted.0));
    let help = match found.filter(|t| wanted.0 == "a name" && t.kind == Kind::Word) {
        Some(token) => {
            let word = &reader.text[token.start..token.end];
            format!("`{word}` is a word of the language; as a name it is written in backticks:\n  `{word}`")
        }
        None => wanted.1.to_owned(),
    };
    problem.help(help)
}

/// `if` as a statement, in the two forms that people know.
const CHOICE: &str = "choose with a call, or with `case`:\n  if(amount > 100, \"big\", \"small\")\n  \
                      case when amount > 100 then \"big\" else \"small\" end";

const CASE: &str = "in `case` each `when` has its `then`:\n  case when amount > 100 then \"big\" else \"small\" end";

/// Habits from elsewhere that leave a token where none can stand.
fn habit(reader: &Reader<'_>, before: Option<Token>, found: Option<Token>) -> Option<Diagnostic> {
    let token = found?;
    let text = &reader.text[token.start..token.end];
    let span = reader.span(token.start, token.end);
    let before = before.map_or("", |b| &reader.text[b.start..b.end]);
    let syntax = |message: &str| Diagnostic::error("syntax", span, message);
    match (token.kind, before, text) {
        (Kind::Symbol, "/", "*") => {
            let problem = Diagnostic::error("comment-style", span, "a comment starts with `#`, not with `/*`");
            Some(problem.help("write it at the end of a line, or on its own:\n  # only large orders"))
        }
        (Kind::Symbol, "select" | "SELECT", "*") => {
            let problem = Diagnostic::error("sql-word", span, "`*` stands for nothing here");
            Some(problem.help("rows keep all their columns without a stage; columns are added by `extend`:\n  |> extend total = amount * 2"))
        }
        (Kind::Symbol, ":", "=") if reader.text[..token.start].ends_with(':') => {
            Some(syntax("`:=` is no sign of the language").help("a name gets its value by `=`:\n  total = amount * 2"))
        }
        (Kind::Symbol, _, "|") => {
            Some(syntax("a stage starts with `|>`, not with `|`").help("write:\n  |>").edit(span, "|>"))
        }
        (Kind::Word, _, "asc" | "desc" | "ASC" | "DESC") if lexis::is_word(before) => {
            let help = format!("what rows are ordered by stands behind `by`:\n  by {before} {}", text.to_lowercase());
            Some(syntax(&format!("unexpected `{text}` after `{before}`")).help(help))
        }
        (Kind::Word, "import", _) => {
            let problem = Diagnostic::error("syntax", span, "the path of an import is a string");
            Some(problem.help(format!("write:\n  import \"{}.stream\"", short(text))))
        }
        (Kind::Word, number, _) if number.bytes().all(|b| b.is_ascii_digit()) && !number.is_empty() => {
            let help = format!("a word may be missing between them:\n  {number} by {}", short(text));
            Some(syntax(&format!("unexpected `{}` after `{number}`", short(text))).help(help))
        }
        (Kind::Quoted, ..) if text.starts_with('"') && text.contains("${") => Some(
            syntax("this string holds an expression that cannot be read")
                .help("between `${` and `}` stands one expression; for the signs themselves write:\n  \\${"),
        ),
        (Kind::Word | Kind::Number | Kind::Quoted, "?", _) => Some(syntax("`?` does not choose").help(CHOICE)),
        (Kind::Word, _, "having" | "HAVING") => {
            let problem = Diagnostic::error("sql-word", span, format!("word `{text}` has no meaning here"));
            Some(problem.help("results are filtered by a stage of their own:\n  |> where n > 3").edit(span, "|> where"))
        }
        (Kind::Word, "all" | "ALL", _) => {
            let start = reader.text[..token.start].rfind(before)?;
            let all = reader.span(start, start + before.len());
            let problem = Diagnostic::error("sql-word", all, format!("word `{before}` is not written"));
            let help = format!("duplicates are kept without it:\n  union {}", short(text));
            Some(problem.help(help).edit(reader.span(start, token.start), ""))
        }
        (Kind::Symbol, _, ".") => {
            Some(syntax("nothing is called with `.` here").help(
                "what happens to rows is a chain of stages:\n  from lines\n  |> explode split(line, \" \") as word",
            ))
        }
        (Kind::Word, "if", _) => Some(syntax("`if` is a function").help(CHOICE)),
        (_, "is", _) => Some(
            syntax("`is` asks for `null` only").help("write one of these:\n  x is null\n  x is not null\n  x == 3"),
        ),
        (Kind::Word, _, "then" | "THEN") => Some(syntax("`then` stands in `case` only").help(CHOICE)),
        (Kind::Word, _, "WHERE" | "SELECT" | "FROM" | "ORDER" | "GROUP" | "LIMIT" | "JOIN") => {
            let help =
                format!("words are in lower case, and every stage starts with `|>`:\n  |> {} ...", text.to_lowercase());
            Some(Diagnostic::error("sql-word", span, format!("word `{text}` has no meaning here")).help(help))
        }
        _ => None,
    }
}

/// `watermark ts 30s`: a stage of other tools that is no stage here.
fn foreign_stage(reader: &Reader<'_>, start: usize, end: usize) -> Option<Diagnostic> {
    let word = super::chain::first_word(&reader.text[start..end]);
    if !["watermark", "withwatermark", "with_watermark"].contains(&word.to_lowercase().as_str()) {
        return None;
    }
    let rest = reader.text[start + word.len()..end].trim().trim_matches(['(', ')']);
    let mut parts = rest.split([',', ' ']).map(str::trim).filter(|p| !p.is_empty());
    let time = parts.next().filter(|t| lexis::is_word(t)).unwrap_or("ts");
    let bound = parts.next().filter(|b| b.starts_with(|c: char| c.is_ascii_digit())).unwrap_or("30s");
    let problem =
        Diagnostic::error("unknown-stage", reader.span(start, start + word.len()), format!("`{word}` is no stage"));
    let help = format!(
        "the watermark is an option of the source, beside the column that holds the time:\n  time: {time}, watermark: {bound}"
    );
    Some(problem.label("belongs to the source").help(help))
}

/// What the grammar had been ready to read, in the user's words, and what that looks like.
fn wanted(rules: &[Rule], before: &str) -> Option<(&'static str, &'static str)> {
    let any = |these: &[Rule]| rules.iter().any(|r| these.contains(r));
    if any(&[Rule::expr, Rule::operand, Rule::named, Rule::stage_arg, Rule::call_arg, Rule::sort_item, Rule::number])
        && !any(&[Rule::op, Rule::kw_and, Rule::access])
    {
        return Some((
            "an expression",
            "an expression is a column, a literal, a call, or several with operators:\n  amount * 2",
        ));
    }
    if any(&[Rule::type_expr, Rule::named_type, Rule::struct_type]) {
        return Some(("a type", "types are written like these:\n  string\n  decimal(12, 2)\n  list(string)"));
    }
    if any(&[Rule::from_word]) {
        return Some(("`from` and a name", "a stream starts from another, or from a source or table:\n  from orders"));
    }
    if any(&[Rule::endpoint]) || before == "into" || before == "=" && any(&[Rule::name]) {
        return Some((
            "a source or sink",
            "write its name and its arguments:\n  files(\"data/*.json\") { format: json }",
        ));
    }
    if any(&[Rule::test_step, Rule::given, Rule::expect]) {
        return Some((
            "a step of the test",
            "the steps are:\n  given X [ ... ]\n  step\n  advance 10s\n  restart\n  expect X [ ... ]",
        ));
    }
    if any(&[Rule::rows, Rule::expected, Rule::contains, Rule::in_order, Rule::nothing]) {
        return Some(("rows", "rows stand in square brackets:\n  [ { user_id: \"u1\", amount: 10.00 } ]"));
    }
    if any(&[Rule::assign]) {
        return Some(("`:` and a value", "write:\n  name: value"));
    }
    if any(&[Rule::fate, Rule::fate_word, Rule::w_to]) {
        return Some((
            "where the rows go",
            "send them to a stream of that name, or drop them:\n  late to late_rows\n  late drop",
        ));
    }
    if any(&[Rule::name, Rule::counted, Rule::field_name, Rule::stage_word]) {
        return Some(("a name", "a name is a letter, then letters, digits and `_`"));
    }
    if any(&[Rule::string]) {
        return Some(("a string", "a string stands in double quotes:\n  \"text\""));
    }
    None
}

/// The token that ends at or before `at`, and the one that stands there.
fn around(reader: &Reader<'_>, at: usize, start: usize, end: usize) -> (Option<Token>, Option<Token>) {
    let mut before = None;
    for mut token in Lexer::new(&reader.text[start..end]) {
        token.start += start;
        token.end += start;
        if token.end > at {
            return (before, Some(token));
        }
        before = Some(token);
    }
    (before, None)
}

/// What may be missing, by the bracket that is open at `at`.
fn missing_sign(reader: &Reader<'_>, at: usize, start: usize) -> String {
    let mut open = Vec::new();
    for token in Lexer::new(&reader.text[start..at]) {
        match token.kind {
            Kind::Open => open.push(reader.text.as_bytes()[start + token.start]),
            Kind::Close => {
                open.pop();
            }
            _ => {}
        }
    }
    match open.last() {
        Some(b'(') => "in parentheses, items are separated by `,` and end with `)`".to_owned(),
        Some(b'[') => "in a list, items are separated by `,` and end with `]`".to_owned(),
        Some(_) => "in braces, `name: value` is followed by `,` or `}`".to_owned(),
        None => "a comma, an operator, a clause or `|>` may be missing before it".to_owned(),
    }
}

fn char_end(text: &str, start: usize, end: usize) -> usize {
    text[start..end].chars().next().map_or(start, |c| start + c.len_utf8())
}
