//! The sections of a YAML topology and the statements in them.

use super::node::{Entry, Kind, Node};
use super::read::{MOST_PROBLEMS, Reader};
use super::{steps, values};
use crate::ast::{At, Chain, Endpoint, File, Ident, Input, JoinWord, Options, Stage, Statement, StatementKind, Trivia};
use crate::diagnostic::Diagnostic;
use crate::lexis;
use crate::parse;

/// The sections, in the order that needs no `order`.
pub(super) const SECTIONS: &[&str] = &[
    "pipeline",
    "imports",
    "params",
    "lets",
    "functions",
    "stages",
    "types",
    "sources",
    "tables",
    "streams",
    "sinks",
    "tests",
];

const TOP: &[&str] = &[
    "pipeline",
    "imports",
    "params",
    "lets",
    "functions",
    "stages",
    "types",
    "sources",
    "tables",
    "streams",
    "sinks",
    "tests",
    "order",
];

/// Reads a document into statements, in the order they are meant to have.
pub(super) fn file(reader: &mut Reader<'_>, root: Option<&Node>) -> File {
    let mut statements = Vec::new();
    let mut order = None;
    let entries = match root {
        Some(root) => reader.entries(root, "a topology", "pipeline: { name: wordcount, every: 1s }"),
        None => &[],
    };
    for entry in entries {
        if reader.problems.len() >= MOST_PROBLEMS {
            break;
        }
        let first = statements.len();
        section(reader, entry, &mut statements, &mut order);
        if let Some(statement) = statements.get_mut(first).filter(|_| entry.key.text != "pipeline") {
            take_over_gap(&mut statement.trivia, reader.gap_above(entry.key_start), entry.key_start);
        }
    }
    let mut statements = super::order::sorted(reader, statements, order);
    let end = reader.rest();
    if let Some(first) = statements.first_mut() {
        match first.trivia.above.first_mut() {
            Some(comment) => comment.gap = false,
            None => first.trivia.gap = false,
        }
    }
    File { statements, end }
}

/// An empty line above a section stands above its first statement.
fn take_over_gap(trivia: &mut Trivia, gap: bool, section: usize) {
    match trivia.above.first_mut() {
        Some(comment) if comment.at.start as usize > section => comment.gap |= gap,
        _ => trivia.gap |= gap,
    }
}

fn section<'n>(reader: &mut Reader<'_>, entry: &'n Entry, out: &mut Vec<Statement>, order: &mut Option<&'n Node>) {
    let node = &entry.value;
    let key = entry.key.text.as_str();
    match key {
        "pipeline" => out.push(statement(reader, entry.key_start, entry, |reader| Some(pipeline(reader, entry)))),
        "order" => *order = Some(node),
        "imports" => {
            for item in reader.items(node, "`imports`", "imports: [\"common.stream\"]") {
                out.extend(listed(reader, item, |reader, item| {
                    Some(StatementKind::Import { path: reader.fixed(item, "an import")? })
                }));
            }
        }
        "sinks" => {
            for item in reader.items(node, "`sinks`", "- from: clean\n    into: { console: {} }") {
                out.extend(listed(reader, item, sink));
            }
        }
        "tests" => {
            for item in reader.items(node, "`tests`", "- name: \"late rows\"\n    steps: []") {
                out.extend(listed(reader, item, steps::test));
            }
        }
        _ if SECTIONS.contains(&key) => {
            let entries = reader.entries(node, &format!("`{key}`"), &format!("{key}:\n    name: ..."));
            for entry in entries {
                out.push(statement(reader, entry.key_start, entry, |reader| named(reader, key, entry)));
            }
        }
        _ => reader.unknown_key(entry, "a topology", TOP),
    }
}

/// A statement of a mapping; a hole with its name where it could not be read.
fn statement(
    reader: &mut Reader<'_>,
    start: usize,
    entry: &Entry,
    build: impl FnOnce(&mut Reader<'_>) -> Option<StatementKind>,
) -> Statement {
    let end = entry.value.end.max(entry.key_end);
    let (trivia, kind) = reader.item(start, end, false, build);
    let kind = kind.unwrap_or_else(|| StatementKind::Broken { name: Some(reader.key(entry)) });
    Statement { trivia, kind, at: At(reader.span(start, end)) }
}

/// A statement of a list; none where it could not be read.
fn listed(
    reader: &mut Reader<'_>,
    item: &Node,
    build: impl FnOnce(&mut Reader<'_>, &Node) -> Option<StatementKind>,
) -> Option<Statement> {
    let (trivia, kind) = reader.item(reader.dash(item), item.end, false, |reader| build(reader, item));
    let kind = kind.unwrap_or(StatementKind::Broken { name: None });
    Some(Statement { trivia, kind, at: reader.at(item) })
}

fn pipeline(reader: &mut Reader<'_>, section: &Entry) -> StatementKind {
    let node = &section.value;
    if let Kind::Scalar(_) = node.kind {
        let at = reader.at(node);
        let name = Ident { name: scalar_text(node), at };
        return StatementKind::Pipeline { name, options: no_options(at) };
    }
    let mut options = no_options(reader.at(node));
    let mut name = None;
    for entry in reader.entries(node, "`pipeline`", "pipeline: { name: wordcount, every: 1s }") {
        match entry.key.text.as_str() {
            "name" => name = reader.name(&entry.value, "the name of a pipeline"),
            "options" => options.entries.extend(values::options(reader, &entry.value, "`options`").entries),
            _ => options.entries.push(values::option(reader, entry, options.entries.is_empty())),
        }
    }
    options.end = reader.end(node);
    let name = name.unwrap_or_else(|| {
        let span = reader.span(section.key_start, section.key_end);
        let problem = Diagnostic::error("missing-name", span, "this pipeline has no name");
        reader.report(problem.help("write:\n  pipeline: { name: wordcount, every: 1s }"));
        Ident { name: String::new(), at: At(span) }
    });
    StatementKind::Pipeline { name, options }
}

fn scalar_text(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) => scalar.text.clone(),
        _ => String::new(),
    }
}

fn no_options(at: At) -> Options {
    Options { entries: Vec::new(), end: Vec::new(), at }
}

/// A statement whose key is its name.
fn named(reader: &mut Reader<'_>, section: &str, entry: &Entry) -> Option<StatementKind> {
    let name = reader.key(entry);
    let node = &entry.value;
    Some(match section {
        "params" => {
            let (ty, default) = values::typed_default(reader, node, "a param");
            let Some(ty) = ty else {
                let help = format!("write:\n  {}: {{ type: int64, default: 0 }}", name.name);
                reader.shape(entry.key_start, entry.key_end, format!("param `{}` has no type", name.name), help);
                return None;
            };
            StatementKind::Param { name, ty, default }
        }
        "lets" => StatementKind::Let { name, value: values::value(reader, node) },
        "types" => StatementKind::Type { name, ty: values::type_expr(reader, node)? },
        "functions" => function(reader, name, node)?,
        "stages" => stage_definition(reader, name, node),
        "sources" => StatementKind::Source(Input { name, from: endpoint(reader, node)? }),
        "tables" => StatementKind::Table(Input { name, from: endpoint(reader, node)? }),
        _ => StatementKind::Stream { name, chain: chain(reader, node, "a stream", &["from", "as", "stages"])?.0 },
    })
}

fn function(reader: &mut Reader<'_>, name: Ident, node: &Node) -> Option<StatementKind> {
    let (mut params, mut result, mut body) = (Vec::new(), None, None);
    for entry in reader.entries(node, "a function", "{ params: { net: float64 }, body: net * 1.19 }") {
        match entry.key.text.as_str() {
            "params" => params = values::params(reader, &entry.value),
            "result" => result = values::type_expr(reader, &entry.value),
            "body" => body = Some(values::value(reader, &entry.value)),
            _ => reader.unknown_key(entry, "a function", &["params", "result", "body"]),
        }
    }
    if body.is_none() {
        reader.shape(
            node.start,
            node.end,
            format!("function `{}` has no body", name.name),
            "write:\n  body: net * 1.19",
        );
    }
    Some(StatementKind::Fn { name, params, result, body: body? })
}

fn stage_definition(reader: &mut Reader<'_>, name: Ident, node: &Node) -> StatementKind {
    let (mut params, mut links) = (Vec::new(), Vec::new());
    for entry in reader.entries(node, "a stage", "{ stages: [{ where: amount > 0 }] }") {
        match entry.key.text.as_str() {
            "params" => params = values::params(reader, &entry.value),
            "stages" => links = stages(reader, &entry.value),
            _ => reader.unknown_key(entry, "a stage", &["params", "stages"]),
        }
    }
    if links.is_empty() {
        let help = "write:\n  stages:\n    - where: amount > 0";
        reader.shape(node.start, node.end, format!("stage `{}` does nothing", name.name), help);
    }
    StatementKind::Stage { name, params, stages: links }
}

/// A chain, and what stands under `into` if that is one of the `known` keys.
fn chain(
    reader: &mut Reader<'_>,
    node: &Node,
    what: &str,
    known: &[&'static str],
) -> Option<(Chain, Option<(Trivia, Endpoint)>)> {
    let (mut from, mut alias, mut links, mut into) = (None, None, Vec::new(), None);
    let mut outside = Vec::new();
    for entry in reader.entries(node, what, "{ from: orders, stages: [{ where: amount > 0 }] }") {
        match entry.key.text.as_str() {
            "from" => from = reader.name(&entry.value, "`from`"),
            "as" => alias = reader.name(&entry.value, "`as`"),
            "stages" => links = stages(reader, &entry.value),
            "into" if known.contains(&"into") => {
                let end = entry.value.end.max(entry.key_end);
                let (trivia, call) =
                    reader.item(entry.key_start, end, links.is_empty(), |reader| endpoint(reader, &entry.value));
                into = call.map(|call| (trivia, call));
            }
            word if values::CLAUSES.contains(&word) => outside.push(entry),
            _ => reader.unknown_key(entry, what, known),
        }
    }
    outside_of_stage(reader, &outside, &mut links);
    if from.is_none() {
        reader.shape(node.start, node.end, format!("{what} has no `from`"), "write:\n  from: orders");
    }
    Some((Chain { from: from?, alias, stages: links, at: reader.at(node) }, into))
}

/// Clauses that stand beside `stages`: they are meant for the last stage.
fn outside_of_stage(reader: &mut Reader<'_>, entries: &[&Entry], links: &mut [Stage]) {
    let Some((first, more)) = entries.split_first() else { return };
    let key = &first.key.text;
    let span = reader.span(first.key_start, first.key_end);
    let mut problem =
        Diagnostic::error("yaml-unknown-key", span, format!("clause `{key}` stands outside of its stage"));
    for entry in more {
        problem = problem.also(reader.span(entry.key_start, entry.key_end), "this as well");
    }
    let help = match links.last() {
        Some(stage) => {
            format!("indent it as far as the word of its stage:\n  - {}: ...\n    {key}: ...", stage.name.name)
        }
        None => "it belongs to a stage:\n  stages:\n    - WORD: ...".to_owned(),
    };
    reader.report(problem.help(help));
    let clauses: Vec<_> = entries.iter().filter_map(|entry| values::clause(reader, entry)).collect();
    if let Some(stage) = links.last_mut() {
        stage.clauses.extend(clauses);
    }
}

fn sink(reader: &mut Reader<'_>, node: &Node) -> Option<StatementKind> {
    let (chain, into) = chain(reader, node, "a sink", &["from", "as", "stages", "into"])?;
    if into.is_none() {
        reader.shape(node.start, node.end, "a sink has no `into`", "write:\n  into: { console: {} }");
    }
    let (trivia, into) = into?;
    Some(StatementKind::Sink { chain, trivia, into })
}

/// `{ files: "data/*.json", format: json, bad: to x }`
fn endpoint(reader: &mut Reader<'_>, node: &Node) -> Option<Endpoint> {
    if let Kind::Scalar(_) = node.kind {
        let at = reader.at(node);
        let name = Ident { name: scalar_text(node), at };
        return Some(Endpoint { name, args: Vec::new(), options: no_options(at), clauses: Vec::new(), at });
    }
    let what = "a source or sink";
    let entries = reader.entries(node, what, "{ files: \"data/*.json\", format: json }");
    let Some((call, rest)) = entries.split_first() else {
        reader.shape(node.start, node.end, "a source or sink is missing here", "write:\n  { console: {} }");
        return None;
    };
    if let (true, Kind::Scalar(word)) =
        (["type", "kind", "connector"].contains(&call.key.text.as_str()), &call.value.kind)
    {
        let message = format!("the first key is the source or sink itself, not `{}`", call.key.text);
        let help = format!("write its word, then its argument:\n  {{ {}: ... }}", word.text);
        reader.shape(call.key_start, call.key_end, message, help);
        return None;
    }
    let args = match values::unquoted_text(reader, &call.value) {
        Some(arg) => vec![arg],
        None => values::args(reader, &call.value, parse::call_arguments),
    };
    let mut options = no_options(At(reader.span(call.value.end, call.value.end)));
    let mut clauses = Vec::new();
    let mut inner_end = Vec::new();
    for entry in rest {
        match entry.key.text.as_str() {
            "options" => {
                let more = values::options(reader, &entry.value, "`options`");
                options.entries.extend(more.entries);
                inner_end.extend(more.end);
            }
            word if values::CLAUSES.contains(&word) => clauses.extend(values::clause(reader, entry)),
            _ => options.entries.push(values::option(reader, entry, options.entries.is_empty())),
        }
    }
    options.end = inner_end;
    options.end.extend(reader.end(node));
    if let (true, Some(comment)) = (options.entries.is_empty(), options.end.first_mut()) {
        comment.gap = false;
    }
    Some(Endpoint { name: reader.key(call), args, options, clauses, at: reader.at(node) })
}

/// The links of a chain.
fn stages(reader: &mut Reader<'_>, node: &Node) -> Vec<Stage> {
    let items = reader.items(node, "`stages`", "- where: amount > 0");
    let mut stages = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let (trivia, link) = reader.item(reader.dash(item), item.end, index == 0, |reader| stage(reader, item));
        stages.push(Stage { trivia, ..link });
    }
    stages
}

fn stage(reader: &mut Reader<'_>, node: &Node) -> Stage {
    let at = reader.at(node);
    let nameless = Ident { name: String::new(), at };
    let empty = Stage {
        trivia: Trivia::default(),
        modifier: None,
        name: nameless,
        args: Vec::new(),
        clauses: Vec::new(),
        broken: false,
        at,
    };
    match &node.kind {
        Kind::Scalar(scalar) => match head(&scalar.text) {
            Some((modifier, name)) => Stage { modifier, name: Ident { name, at }, ..empty },
            None => {
                let (word, rest) = scalar.text.split_once(' ').unwrap_or(("where", "amount > 0"));
                let help = format!("write a stage as a key with its argument:\n  - {word}: {}", rest.trim());
                reader.shape(node.start, node.end, "a stage must be a word or a mapping", help);
                Stage { broken: true, ..empty }
            }
        },
        Kind::Map(entries) => match entries.split_first() {
            Some((first, rest)) => filled(reader, first, rest, empty),
            None => Stage { broken: true, ..missing_stage(reader, node, empty) },
        },
        _ => Stage { broken: true, ..missing_stage(reader, node, empty) },
    }
}

fn missing_stage(reader: &mut Reader<'_>, node: &Node, empty: Stage) -> Stage {
    reader.shape(node.start, node.end, "a stage is missing here", "write:\n  - where: amount > 0");
    empty
}

/// A stage from its first key, which is its word, and the other keys, which are clauses.
fn filled(reader: &mut Reader<'_>, first: &Entry, rest: &[Entry], empty: Stage) -> Stage {
    let at = At(reader.span(first.key_start, first.key_end));
    let Some((modifier, name)) = head(&first.key.text) else {
        let message = format!("`{}` is no word of a stage", first.key.text);
        reader.shape(first.key_start, first.key_end, message, "write:\n  - where: amount > 0");
        return Stage { broken: true, ..empty };
    };
    let mut stage = Stage { modifier, name: Ident { name, at }, ..empty };
    stage.args = values::args(reader, &first.value, parse::arguments);
    for entry in rest {
        match entry.key.text.as_str() {
            "as" => {
                let names = values::alias(reader, &entry.value);
                match stage.args.as_mut_slice() {
                    [arg] if arg.names.is_empty() => arg.names = names,
                    _ => {
                        let help = "name several arguments in a mapping:\n  - aggregate: { n: count() }";
                        reader.shape(entry.key_start, entry.key_end, "`as` names a single argument", help);
                    }
                }
            }
            word if values::CLAUSES.contains(&word) => stage.clauses.extend(values::clause(reader, entry)),
            _ => {
                let known: Vec<_> = ["as"].iter().chain(values::CLAUSES).copied().collect();
                if crate::suggest::closest(&entry.key.text, known.iter().copied()).is_some() {
                    reader.unknown_key(entry, "a stage", &known);
                } else {
                    missing_dash(reader, entry);
                }
            }
        }
    }
    stage
}

/// A key of a stage that is no clause: likely the word of a stage of its own.
fn missing_dash(reader: &mut Reader<'_>, entry: &Entry) {
    let key = &entry.key.text;
    let span = reader.span(entry.key_start, entry.key_end);
    let problem = Diagnostic::error("yaml-unknown-key", span, format!("`{key}` is no clause of the stage above"));
    let help = format!("a stage of its own starts with a dash:\n  - {key}: ...");
    reader.report(problem.label("a `-` may be missing before it").help(help));
}

/// `where`, `left join`, `` `odd name` ``
fn head(text: &str) -> Option<(Option<JoinWord>, String)> {
    if let Some(name) = text.strip_prefix('`') {
        return name.strip_suffix('`').map(|name| (None, name.to_owned()));
    }
    let (modifier, name) = match text.split_once(' ') {
        Some((modifier, name)) => (Some(JoinWord::from_word(modifier)?), name.trim()),
        None => (None, text),
    };
    lexis::is_word(name).then(|| (modifier, name.to_owned()))
}
