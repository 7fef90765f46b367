//! A syntax tree as a YAML topology: statements by section, an `order` where the text has another one.

use super::emit::{self, Element, Out, Pair, list, map, tall_list, tall_map};
use super::order;
use super::sections::SECTIONS;
use super::values::CLAUSES;
use super::write_values::{Builder, unique};
use crate::ast::{
    Chain, Endpoint, Expected, File, OptionEntry, Rows, Stage, Statement, StatementKind, Step, StepKind, Trivia,
};
use crate::print;
use crate::walk::Node;

/// Writes a file as YAML. A tree with holes is written without them.
pub fn write(file: &File) -> String {
    let mut builder = Builder::default();
    let mut pairs = Vec::new();
    for (rank, section) in SECTIONS.iter().enumerate() {
        let members = file.statements.iter().filter(|statement| order::kind(&statement.kind).0 == rank);
        let members: Vec<&Statement> = members.collect();
        if !members.is_empty() {
            builder.section(section, &members, &mut pairs);
        }
    }
    pairs.extend(written_order(&file.statements));
    emit::document(&pairs, &file.end)
}

/// The order of the text, where it is not that of the sections.
fn written_order(statements: &[Statement]) -> Option<Pair> {
    if statements.is_sorted_by_key(|statement| order::kind(&statement.kind).0) {
        return None;
    }
    let labels = order::labels(statements).into_iter().map(|label| Element::new(Out::Word(label)));
    Some(Pair::new("order", list(labels.collect(), Vec::new())))
}

/// Takes the empty line above a section's first statement: it goes above the section.
fn take_gap(trivia: &mut Trivia) -> bool {
    match trivia.above.first_mut() {
        Some(comment) => std::mem::take(&mut comment.gap),
        None => std::mem::take(&mut trivia.gap),
    }
}

impl Builder {
    fn section(&mut self, section: &str, members: &[&Statement], out: &mut Vec<Pair>) {
        let mut items: Vec<(Trivia, String, Out)> = Vec::new();
        for statement in members {
            let (trivia, (key, value)) = self.item(&statement.trivia, |builder| builder.statement(&statement.kind));
            items.push((trivia, key, value));
        }
        if section == "pipeline" {
            return out.extend(items.into_iter().map(|(trivia, _, value)| Pair {
                trivia,
                key: section.to_owned(),
                value,
            }));
        }
        let gap = items.first_mut().is_some_and(|(trivia, _, _)| take_gap(trivia));
        let value = if matches!(section, "imports" | "sinks" | "tests") {
            let elements = items.into_iter().map(|(trivia, _, value)| Element { trivia, value });
            if section == "imports" {
                list(elements.collect(), Vec::new())
            } else {
                tall_list(elements.collect(), Vec::new())
            }
        } else {
            tall_map(items.into_iter().map(|(trivia, key, value)| Pair { trivia, key, value }).collect(), Vec::new())
        };
        out.push(Pair { trivia: Trivia { gap, ..Trivia::default() }, key: section.to_owned(), value });
    }

    /// A statement's key, where it has one, and its value.
    fn statement(&mut self, kind: &StatementKind) -> (String, Out) {
        match kind {
            StatementKind::Pipeline { name, options } => {
                let name_pair = Pair::new("name", Out::Word(name.name.clone()));
                let mut pairs = vec![name_pair];
                let apart = clashes(&options.entries, &["name", "options"]);
                let entries = self.entries(&options.entries);
                if apart {
                    pairs.push(Pair::new("options", map(entries, Vec::new())));
                } else {
                    pairs.extend(entries);
                }
                (String::new(), map(pairs, options.end.clone()))
            }
            StatementKind::Import { path } => (String::new(), Out::Quoted(path.value.clone())),
            StatementKind::Param { name, ty, default } => {
                (name.name.clone(), self.typed_default(Some(ty), default.as_ref()))
            }
            StatementKind::Let { name, value } => (name.name.clone(), self.value(value)),
            StatementKind::Fn { name, params, result, body } => {
                let mut pairs = Vec::new();
                if !params.is_empty() {
                    pairs.push(Pair::new("params", self.params(params)));
                }
                if let Some(result) = result {
                    pairs.push(Pair::new("result", self.type_expr(result)));
                }
                pairs.push(Pair::new("body", self.value(body)));
                (name.name.clone(), tall_map(pairs, Vec::new()))
            }
            StatementKind::Stage { name, params, stages } => {
                let mut pairs = Vec::new();
                if !params.is_empty() {
                    pairs.push(Pair::new("params", self.params(params)));
                }
                pairs.push(self.stages(stages));
                (name.name.clone(), tall_map(pairs, Vec::new()))
            }
            StatementKind::Type { name, ty } => (name.name.clone(), self.type_expr(ty)),
            StatementKind::Source(input) | StatementKind::Table(input) => {
                (input.name.name.clone(), self.endpoint(&input.from))
            }
            StatementKind::Stream { name, chain } => {
                let pairs = self.chain(chain);
                (name.name.clone(), tall_map(pairs, Vec::new()))
            }
            StatementKind::Sink { chain, trivia, into } => {
                let mut pairs = self.chain(chain);
                let (trivia, value) = self.item(trivia, |builder| builder.endpoint(into));
                pairs.push(Pair { trivia, key: "into".to_owned(), value });
                (String::new(), tall_map(pairs, Vec::new()))
            }
            StatementKind::Test { name, steps, end } => {
                let mut pairs = vec![Pair::new("name", Out::Quoted(name.value.clone()))];
                if steps.is_empty() {
                    return (String::new(), tall_map(pairs, end.clone()));
                }
                let steps = steps.iter().map(|step| {
                    let (trivia, value) = self.item(&step.trivia, |builder| builder.step(step));
                    Element { trivia, value }
                });
                pairs.push(Pair::new("steps", tall_list(steps.collect(), end.clone())));
                (String::new(), tall_map(pairs, Vec::new()))
            }
            StatementKind::Broken { .. } => (String::new(), Out::Empty),
        }
    }

    fn chain(&mut self, chain: &Chain) -> Vec<Pair> {
        let mut pairs = vec![Pair::new("from", Out::Word(chain.from.name.clone()))];
        if let Some(alias) = &chain.alias {
            pairs.push(Pair::new("as", Out::Word(alias.name.clone())));
        }
        if !chain.stages.is_empty() {
            pairs.push(self.stages(&chain.stages));
        }
        pairs
    }

    fn stages(&mut self, stages: &[Stage]) -> Pair {
        let element = |stage: &Stage| {
            let (trivia, value) = self.item(&stage.trivia, |builder| builder.stage(stage));
            Element { trivia, value }
        };
        Pair::new("stages", tall_list(stages.iter().map(element).collect(), Vec::new()))
    }

    fn endpoint(&mut self, endpoint: &Endpoint) -> Out {
        let word = endpoint.name.name.as_str();
        let args = match self.args(&endpoint.args, print::call_argument) {
            Out::Empty => map(Vec::new(), Vec::new()),
            args => args,
        };
        let mut pairs = vec![Pair::new(word, args)];
        let apart =
            clashes(&endpoint.options.entries, CLAUSES) || clashes(&endpoint.options.entries, &["options", word]);
        let entries = self.entries(&endpoint.options.entries);
        if apart {
            pairs.push(Pair::new("options", map(entries, Vec::new())));
        } else {
            pairs.extend(entries);
        }
        pairs.extend(endpoint.clauses.iter().map(|clause| self.clause(clause)));
        map(pairs, endpoint.options.end.clone())
    }

    fn step(&mut self, step: &Step) -> Out {
        let (key, word, rows) = match &step.kind {
            StepKind::Given { rows, .. } => ("given", "rows", rows),
            StepKind::Expect { rows: Expected::Exactly(rows), .. } => ("expect", "rows", rows),
            StepKind::Expect { rows: Expected::Contains(rows), .. } => ("expect", "contains", rows),
            StepKind::Expect { rows: Expected::InOrder(rows), .. } => ("expect", "in order", rows),
            _ => {
                // The comments around the step itself have their place.
                let inner = Step { trivia: Trivia::default(), ..step.clone() };
                self.lose_all(Node::Step(&inner));
                return Out::Text(print::step(step));
            }
        };
        let head = match &step.kind {
            StepKind::Expect { batch: Some(batch), of, .. } => {
                format!("batch {batch} of {}", print::words::name(&of.name))
            }
            StepKind::Expect { of: name, .. } | StepKind::Given { input: name, .. } => print::words::name(&name.name),
            _ => String::new(),
        };
        tall_map(vec![Pair::new(key, Out::Text(head)), Pair::new(word, self.rows(rows))], Vec::new())
    }

    fn rows(&mut self, rows: &Rows) -> Out {
        if rows.rows.is_empty() {
            self.lose(&rows.end);
            return list(Vec::new(), Vec::new());
        }
        let elements = rows.rows.iter().map(|row| {
            let (trivia, value) = self.item(&row.trivia, |builder| builder.struct_expr(&row.cells));
            Element { trivia, value }
        });
        let elements: Vec<_> = elements.collect();
        if elements.len() > 1 { tall_list(elements, rows.end.clone()) } else { list(elements, rows.end.clone()) }
    }
}

/// Whether options cannot stand beside the keys `taken`.
fn clashes(options: &[OptionEntry], taken: &[&str]) -> bool {
    options.iter().any(|option| taken.contains(&option.name.name.as_str()))
        || !unique(options.iter().map(|option| &option.name))
}
