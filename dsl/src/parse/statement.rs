//! Statements: which rule reads the head of which, and what becomes of what could not be read.

use super::chain::{self, Links, Piece};
use super::clause;
use super::expr;
use super::failure;
use super::lex::is_word_char;
use super::literal;
use super::reader::{Node, Reader, Rule, find};
use super::scan::Chunk;
use super::{slip, test_block, types};
use crate::ast::{At, Chain, Endpoint, Expr, FnParam, Ident, Input, Statement, StatementKind, Trivia, TypeExpr};
use crate::diagnostic::Diagnostic;
use crate::lexis;
use crate::span::Span;
use crate::suggest;

/// Reads one statement.
pub(super) fn read(reader: &mut Reader<'_>, chunk: &Chunk) -> Statement {
    let end = chunk.start + reader.text[chunk.start..chunk.end].trim_end().len();
    let head_end =
        chunk.pipes.first().map_or(end, |pipe| chunk.start + reader.text[chunk.start..*pipe].trim_end().len());
    let head = Head { start: chunk.start, end: head_end };
    let kind = kind(reader, chunk, head).unwrap_or_else(|| broken(reader, chunk));
    Statement { trivia: Trivia::default(), kind, at: At(reader.span(chunk.start, end)) }
}

/// The text of a statement before its first `|>`.
#[derive(Clone, Copy)]
struct Head {
    start: usize,
    end: usize,
}

fn kind(reader: &mut Reader<'_>, chunk: &Chunk, head: Head) -> Option<StatementKind> {
    let word = &reader.text[chunk.start..chunk.word_end];
    match word {
        "stream" => return stream(reader, chunk, head),
        "from" => return sink(reader, chunk, head),
        "stage" => return stage(reader, chunk, head),
        "test" => return test_block::test(reader, chunk),
        _ => {}
    }
    let rule = match word {
        "pipeline" => Rule::pipeline_head,
        "import" => Rule::import_head,
        "param" => Rule::param_head,
        "let" => Rule::let_head,
        "fn" => Rule::fn_head,
        "type" => Rule::type_head,
        "source" | "table" => Rule::input_head,
        _ => return unknown(reader, chunk, head),
    };
    no_stages(reader, chunk, word);
    let node = parse_head(reader, chunk, rule, head)?;
    match rule {
        Rule::pipeline_head => pipeline(reader, node),
        Rule::import_head => {
            let path = find(node.into_inner(), Rule::string).map(|n| literal::text(reader, n))?;
            Some(StatementKind::Import { path })
        }
        Rule::param_head => param(reader, node),
        Rule::fn_head => function(reader, node),
        Rule::input_head => input(reader, node),
        _ => definition(reader, node),
    }
}

fn parse_head<'t>(reader: &mut Reader<'t>, chunk: &Chunk, rule: Rule, head: Head) -> Option<Node<'t>> {
    if chain::tainted(chunk, head.start, head.end) || chain::too_long(reader, head.start, head.end) {
        return None;
    }
    match reader.parse(rule, head.start, head.end) {
        Ok(node) => Some(node),
        Err(failed) => {
            failure::report(reader, &failed, head.start, head.end);
            None
        }
    }
}

fn no_stages(reader: &mut Reader<'_>, chunk: &Chunk, word: &str) {
    let Some(pipe) = chunk.pipes.first() else { return };
    let at = reader.span(*pipe, *pipe + 2);
    let problem = Diagnostic::error("trailing-text", at, format!("a {word} takes no stages"));
    reader.report(problem.help(
        "give the result of stages a name of its own:\n  stream clean =\n    from orders\n    |> where amount > 0",
    ));
}

// ------------------------------------------------------------------------------------------------ definitions

fn pipeline(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StatementKind> {
    let at = reader.at(&node);
    let (mut name, mut braces) = (None, None);
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::name => name = Some(reader.ident(&part)),
            Rule::string => {
                let text = literal::text(reader, part);
                name = Some(Ident { name: text.value, at: text.at });
            }
            Rule::options => braces = Some(clause::options(reader, part)),
            _ => {}
        }
    }
    let name = named(reader, name, at, "pipeline", "pipeline revenue { every: 10s }")?;
    let options = braces.unwrap_or_else(|| clause::no_options(name.at));
    Some(StatementKind::Pipeline { name, options })
}

/// Insists on a name in a statement that starts with `word`.
fn named(reader: &mut Reader<'_>, name: Option<Ident>, at: At, word: &str, example: &str) -> Option<Ident> {
    if name.is_none() {
        let start = at.start as usize;
        let place = Span::new(at.file, start, start + word.len());
        let problem = Diagnostic::error("missing-name", place, format!("this {word} has no name"));
        reader.report(problem.help(format!("write a name after `{word}`:\n  {example}")));
    }
    name
}

/// The parts that heads of definitions are made of.
#[derive(Default)]
struct Parts {
    name: Option<Ident>,
    ty: Option<TypeExpr>,
    value: Option<Expr>,
    params: Vec<FnParam>,
    endpoint: Option<Endpoint>,
}

fn parts(reader: &mut Reader<'_>, node: Node<'_>) -> Parts {
    let mut parts = Parts::default();
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::name => parts.name = Some(reader.ident(&part)),
            Rule::type_expr => parts.ty = Some(types::type_expr(reader, part)),
            Rule::expr => parts.value = Some(expr::expr(reader, part)),
            Rule::params => parts.params = params(reader, part),
            Rule::endpoint => parts.endpoint = clause::endpoint(reader, part),
            Rule::eq => slip::definition_sign(reader, &part),
            Rule::result_arrow => slip::result_arrow(reader, &part),
            _ => {}
        }
    }
    parts
}

fn params(reader: &mut Reader<'_>, node: Node<'_>) -> Vec<FnParam> {
    let mut params = Vec::new();
    for node in node.into_inner() {
        let Parts { name, ty, value, .. } = parts(reader, node);
        params.extend(name.map(|name| FnParam { name, ty, default: value }));
    }
    params
}

fn param(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StatementKind> {
    let at = reader.at(&node);
    let parts = parts(reader, node);
    let name = named(reader, parts.name, at, "param", "param threshold: decimal(12, 2) = 100.00")?;
    let Some(ty) = parts.ty else {
        let problem = Diagnostic::error("syntax", name.at.after(), format!("param `{}` has no type", name.name));
        reader.report(problem.help(format!("write one after a colon:\n  param {}: int64 = ...", name.name)));
        return Some(StatementKind::Broken { name: Some(name) });
    };
    Some(StatementKind::Param { name, ty, default: parts.value })
}

fn function(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StatementKind> {
    let at = reader.at(&node);
    let parts = parts(reader, node);
    let name = named(reader, parts.name, at, "fn", "fn gross(net: float64): float64 = net * 1.19")?;
    Some(StatementKind::Fn { name, params: parts.params, result: parts.ty, body: parts.value? })
}

/// `let` and `type`
fn definition(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StatementKind> {
    let at = reader.at(&node);
    let is_let = node.as_rule() == Rule::let_head;
    let parts = parts(reader, node);
    if is_let {
        let name = named(reader, parts.name, at, "let", "let tiers = [\"gold\", \"platinum\"]")?;
        return Some(StatementKind::Let { name, value: parts.value? });
    }
    let name = named(reader, parts.name, at, "type", "type Order = { order_id: string }")?;
    Some(StatementKind::Type { name, ty: parts.ty? })
}

fn input(reader: &mut Reader<'_>, node: Node<'_>) -> Option<StatementKind> {
    let at = reader.at(&node);
    let is_source = node.as_str().starts_with("source");
    let parts = parts(reader, node);
    let (word, example) = match is_source {
        true => ("source", "source orders = files(\"orders/*.json\") { format: json }"),
        false => ("table", "table users = files(\"users.csv\") { format: csv }"),
    };
    let input = Input { name: named(reader, parts.name, at, word, example)?, from: parts.endpoint? };
    Some(if is_source { StatementKind::Source(input) } else { StatementKind::Table(input) })
}

// ----------------------------------------------------------------------------------------------------- chains

/// A head of a chain, and the text behind it that lacks a `|>`.
fn chain_head<'t>(reader: &mut Reader<'t>, chunk: &Chunk, rule: Rule, head: Head) -> Option<(Node<'t>, Option<Piece>)> {
    if chain::tainted(chunk, head.start, head.end) || chain::too_long(reader, head.start, head.end) {
        return None;
    }
    let failed = match reader.parse(rule, head.start, head.end) {
        Ok(node) => return Some((node, None)),
        Err(failed) => failed,
    };
    let at = failure::stage_after_head(reader, &failed, head.start, head.end).filter(|at| *at > head.start);
    if let Some(at) = at {
        let cut = head.start + reader.text[head.start..at].trim_end().len();
        if let Ok(node) = reader.parse(rule, head.start, cut) {
            failure::report_missing_pipe(reader, at);
            return Some((node, Some(Piece { pipe: at, start: at, end: head.end })));
        }
    }
    failure::report(reader, &failed, head.start, head.end);
    None
}

/// What the head of a chain says.
struct Start {
    name: Option<Ident>,
    from: Ident,
    alias: Option<Ident>,
    /// From `from` to the alias.
    at: Span,
}

fn start(reader: &mut Reader<'_>, node: Node<'_>) -> Option<Start> {
    let (mut name, mut from, mut alias, mut at) = (None, None, None, None);
    for part in node.into_inner() {
        match part.as_rule() {
            Rule::name => name = Some(reader.ident(&part)),
            Rule::from_word => at = Some(reader.place(&part)),
            Rule::eq => slip::definition_sign(reader, &part),
            Rule::no_eq => slip::missing_word(reader, &part, "=", "stream clean = from orders"),
            Rule::no_from => slip::missing_word(reader, &part, "from", "stream clean = from orders"),
            Rule::start => {
                at = Some(at.map_or(reader.place(&part), |at| at.to(reader.place(&part))));
                for piece in part.into_inner() {
                    match piece.as_rule() {
                        Rule::name if from.is_none() => from = Some(reader.ident(&piece)),
                        Rule::name => alias = Some(reader.ident(&piece)),
                        _ => slip::word(reader, &piece),
                    }
                }
            }
            _ => {}
        }
    }
    from.zip(at).map(|(from, at)| Start { name, from, alias, at })
}

fn chain_of(start: Start, links: Links) -> Chain {
    let at = At(links.stages.last().map_or(start.at, |stage| start.at.to(stage.at.0)));
    Chain { from: start.from, alias: start.alias, stages: links.stages, at }
}

fn stream(reader: &mut Reader<'_>, chunk: &Chunk, head: Head) -> Option<StatementKind> {
    let (node, rest) = chain_head(reader, chunk, Rule::stream_head, head).or_else(|| read_rest(reader, chunk))?;
    let at = reader.at(&node);
    let mut start = start(reader, node)?;
    let name = named(reader, start.name.take(), at, "stream", "stream clean = from orders");
    let links = chain::links(reader, chunk, rest);
    let name = name?;
    if let Some((_, into)) = &links.into {
        let word = Span { end: into.start + 4, ..into.0 };
        let sink = slip::short(reader.slice(into.0));
        let problem = Diagnostic::error("into-inside-stream", word, format!("stream `{}` contains `into`", name.name))
            .label("a stream has a name, a sink has none")
            .help(format!("write the sink as a statement of its own:\n  from {} |> {sink}", name.name));
        reader.report(problem);
    }
    Some(StatementKind::Stream { name, chain: chain_of(start, links) })
}

/// A head that cannot be read costs the statement, but the stages behind it are looked at all the same.
fn read_rest<T>(reader: &mut Reader<'_>, chunk: &Chunk) -> Option<T> {
    chain::links(reader, chunk, None);
    None
}

fn sink(reader: &mut Reader<'_>, chunk: &Chunk, head: Head) -> Option<StatementKind> {
    let (node, rest) = chain_head(reader, chunk, Rule::from_head, head).or_else(|| read_rest(reader, chunk))?;
    let start = start(reader, node)?;
    let links = chain::links(reader, chunk, rest);
    let from = start.from.name.clone();
    match links.into.clone() {
        Some((Some(into), _)) => {
            let chain = chain_of(start, links);
            Some(StatementKind::Sink { chain, trivia: Trivia::default(), into })
        }
        Some((None, _)) => None,
        None => {
            let word = reader.span(chunk.start, chunk.word_end);
            let problem = Diagnostic::error("syntax", word, "this chain has neither a name nor an `into`");
            reader.report(problem.help(format!(
                "write its rows somewhere, or give it a name:\n  from {from} |> into console\n  stream NAME = from {from}"
            )));
            None
        }
    }
}

fn stage(reader: &mut Reader<'_>, chunk: &Chunk, head: Head) -> Option<StatementKind> {
    let (node, rest) = chain_head(reader, chunk, Rule::stage_head, head).or_else(|| read_rest(reader, chunk))?;
    let at = reader.at(&node);
    let parts = parts(reader, node);
    let name = named(reader, parts.name, at, "stage", "stage cheap(limit: int64) = |> where amount < limit");
    let links = chain::links(reader, chunk, rest);
    let name = name?;
    if let Some((_, into)) = &links.into {
        let problem = Diagnostic::error("into-inside-stream", into.0, format!("stage `{}` contains `into`", name.name));
        reader.report(problem.help("a sink is a statement of its own:\n  from clean |> into console"));
    }
    if links.stages.is_empty() && links.into.is_none() && !reader.full() {
        let problem = Diagnostic::error("syntax", name.at.after(), format!("stage `{}` does nothing", name.name));
        reader.report(problem.help(format!("write at least one stage:\n  stage {} = |> where amount > 0", name.name)));
    }
    Some(StatementKind::Stage { name, params: parts.params, stages: links.stages })
}

// ----------------------------------------------------------------------------------------- what is no statement

/// The name that a broken statement would have defined: a word after its first word.
fn broken(reader: &Reader<'_>, chunk: &Chunk) -> StatementKind {
    let word = &reader.text[chunk.start..chunk.word_end];
    let defines = lexis::STATEMENTS.contains(&word) && !matches!(word, "from" | "import" | "test");
    let rest = &reader.text[chunk.word_end..chunk.end];
    let line = rest.split('\n').next().unwrap_or("");
    let start = chunk.word_end + line.len() - line.trim_start().len();
    let length = reader.text[start..chunk.end].find(|c| !is_word_char(c)).unwrap_or(chunk.end - start);
    let name = &reader.text[start..start + length];
    let sign = reader.text[start + length..chunk.end].trim_start();
    let defines = defines || sign.starts_with('=') && !sign.starts_with("==");
    let found = defines && lexis::is_word(name) && !(word == "stream" && name == "from");
    let ident = || Ident { name: name.to_owned(), at: At(reader.span(start, start + length)) };
    StatementKind::Broken { name: found.then(ident) }
}

fn unknown(reader: &mut Reader<'_>, chunk: &Chunk, head: Head) -> Option<StatementKind> {
    let word = &reader.text[chunk.start..chunk.word_end];
    let rest = reader.text[chunk.word_end..head.end].trim_start();
    if word.is_empty() {
        let first = reader.text[chunk.start..chunk.end].chars().next().map_or(0, char::len_utf8);
        let at = reader.span(chunk.start, chunk.start + first);
        let text = slip::short(&reader.text[chunk.start..chunk.start + first]);
        let problem = Diagnostic::error("syntax", at, format!("no statement starts with `{text}`"));
        reader.report(problem.help(statements()));
        return None;
    }
    let at = reader.span(chunk.start, chunk.word_end);
    let problem =
        Diagnostic::error("unknown-statement", at, format!("statement `{}` does not exist", slip::short(word)));
    if let Some(value) = rest.strip_prefix('=').filter(|r| !r.starts_with('=')) {
        let value = value.trim_start();
        let kind = match chain::first_word(value) {
            "from" => "stream",
            _ if value.contains('(') && value.starts_with(super::lex::is_word_start) => "source",
            _ => "let",
        };
        let line = slip::short(&reader.text[chunk.start..head.end]);
        let help = format!("say what is defined:\n  {kind} {line}");
        reader.report(problem.help(help).edit(reader.span(chunk.start, chunk.start), format!("{kind} ")));
        return assumed(reader, chunk, head, kind);
    }
    let near = suggest::closest(word, lexis::STATEMENTS.iter().copied()).filter(|_| habit(word).is_none());
    let problem = match near {
        Some(near) => problem.help(format!("did you mean:\n  {near}")).edit(at, near),
        None if word.eq_ignore_ascii_case("select") => {
            Diagnostic { code: "sql-word", ..problem }.help(pipe_syntax(&reader.text[chunk.start..chunk.end]))
        }
        None => match habit(word) {
            Some(help) => problem.help(help),
            None => problem.help(format!("a stage starts with `|>`, and {}", statements())),
        },
    };
    reader.report(problem);
    None
}

/// `SELECT a FROM b WHERE c` in the order in which it happens.
fn pipe_syntax(text: &str) -> String {
    let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lower = plain.to_ascii_lowercase();
    let at = |word: &str| lower.find(word).filter(|_| !plain.contains('(') && !plain.contains('\''));
    let part = |from: usize, to: usize| plain.get(from..to).map(str::trim).filter(|t| !t.is_empty());
    let clauses = [" group by ", " having ", " order by ", " limit "].into_iter().filter_map(at);
    let (from, end) = (at(" from "), clauses.min().unwrap_or(plain.len()));
    let condition = at(" where ").filter(|c| from.is_some_and(|f| f < *c));
    let columns = from.and_then(|from| part("select".len(), from)).unwrap_or("order_id, amount");
    let source = from.and_then(|from| part(from + " from ".len(), condition.unwrap_or(end)));
    let condition = condition.and_then(|c| part(c + " where ".len(), end));
    let from = source.unwrap_or("orders");
    let from = from.split(' ').next().unwrap_or("orders");
    let condition = condition.map_or(String::new(), |c| format!("\n    |> where {}", slip::short(c)));
    let select = if columns == "*" { String::new() } else { format!("\n    |> select {}", slip::short(columns)) };
    format!(
        "name the stream first, then say what happens to its rows:\n  stream NAME =\n    from {from}{condition}{select}"
    )
}

/// What is meant by a statement of another language.
fn habit(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "if" | "filter" | "where" => "rows are chosen by a stage of a stream:\n  |> where amount > 100",
        "for" | "while" | "foreach" => {
            "nothing is looped over: a stage works on every row by itself:\n  |> extend total = amount * 2"
        }
        "def" | "function" | "func" => "a function is one expression:\n  fn gross(net: float64): float64 = net * 1.19",
        "var" | "val" | "const" => "a constant is defined with `let`:\n  let limit = 100",
        "include" | "use" | "require" => "other files are brought in with `import`:\n  import \"common.stream\"",
        "schema" | "struct" | "record" | "class" => {
            "a type is defined with `type`:\n  type Order = { order_id: string, amount: decimal(12, 2) }"
        }
        "sink" | "output" | "write" | "print" => {
            "a sink ends a chain that starts with `from`:\n  from orders |> into console"
        }
        "input" | "read" => "rows come from a source:\n  source orders = files(\"orders/*.json\") { format: json }",
        _ => return None,
    })
}

fn statements() -> String {
    format!("a statement starts with one of these words:\n  {}", lexis::STATEMENTS.join(" "))
}

/// `x = from y`, read as if its word were there.
fn assumed(reader: &mut Reader<'_>, chunk: &Chunk, head: Head, kind: &str) -> Option<StatementKind> {
    let name = Ident {
        name: reader.text[chunk.start..chunk.word_end].to_owned(),
        at: At(reader.span(chunk.start, chunk.word_end)),
    };
    let sign = head.start + reader.text[head.start..head.end].find('=')? + 1;
    let from = sign + reader.text[sign..head.end].len() - reader.text[sign..head.end].trim_start().len();
    if kind != "stream" || from >= head.end {
        return Some(StatementKind::Broken { name: Some(name) });
    }
    let head = Head { start: from, ..head };
    let read = chain_head(reader, chunk, Rule::from_head, head).or_else(|| read_rest(reader, chunk));
    let Some((node, rest)) = read else { return Some(StatementKind::Broken { name: Some(name) }) };
    let start = start(reader, node)?;
    let links = chain::links(reader, chunk, rest);
    Some(StatementKind::Stream { name, chain: chain_of(start, links) })
}
