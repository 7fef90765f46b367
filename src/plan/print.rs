//! A plan as text, one operation a line: what rules are tested by and `plan --verbose` shows after each of them.

use std::collections::BTreeMap;
use std::fmt;

use crate::plan::catalog::{Endpoint, EndpointEntry, OptionKind};
use crate::plan::graph::{NodeId, Running, Work};
use crate::plan::{Edge, Plan, PlanNode, Port};

/// Operations are numbered in the order in which rows flow.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = self.ordered();
        let numbers: BTreeMap<NodeId, usize> = order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        for id in order {
            let node = self.node(id);
            write!(f, "{} {}", numbers[&id], node.explain())?;
            let inputs: Vec<_> = self.inputs(id).into_iter().map(|(from, port)| place(numbers[&from], port)).collect();
            if !inputs.is_empty() {
                write!(f, " <- {}", inputs.join(", "))?;
            }
            let names = self.streams().filter(|(_, named, _)| *named == id);
            let names: Vec<_> = names.map(|(name, _, port)| format!("{name}{}", suffix(port))).collect();
            if !names.is_empty() {
                write!(f, " -> {}", names.join(", "))?;
            }
            let run = node.run.describe(self.edge(id, &Port::Out));
            if !run.is_empty() {
                write!(f, " [{}]", run.join("; "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl PlanNode {
    /// One line: what it does.
    pub fn explain(&self) -> String {
        match &self.work {
            Work::Source(endpoint) => format!("source {} = {}", self.stream, called(endpoint)),
            Work::Table(endpoint) => format!("table {} = {}", self.stream, called(endpoint)),
            Work::Operator(operator) => operator.explain(),
            Work::Sink(endpoint) => format!("into {}", called(endpoint)),
        }
    }

    /// The user's word for it: of a source or sink its kind.
    pub fn word(&self) -> &str {
        match &self.work {
            Work::Source(endpoint) | Work::Table(endpoint) | Work::Sink(endpoint) => &endpoint.word,
            Work::Operator(operator) => operator.word(),
        }
    }
}

/// `files("out/revenue")`: the word and what it is first of all given, where that can be shown to anybody.
fn called(endpoint: &Endpoint) -> String {
    let args = match &endpoint.entry {
        EndpointEntry::Source(entry) => &entry.args,
        EndpointEntry::Sink(entry) => &entry.args,
    };
    let shown =
        args.first().filter(|arg| matches!(arg.kind, OptionKind::Path | OptionKind::Text | OptionKind::Address));
    match shown.and_then(|arg| endpoint.settings.text(arg.name)).filter(|text| !text.contains('@')) {
        Some(text) => format!("{}({text:?})", endpoint.word),
        None => endpoint.word.clone(),
    }
}

impl Running {
    /// What differs from the plain way, in words; `out` names the columns.
    fn describe(&self, out: Option<&Edge>) -> Vec<String> {
        let mut said = Vec::new();
        if self.fused {
            said.push("fused".to_owned());
        }
        if self.halved {
            said.push("halved".to_owned());
        }
        if self.first_half_of.is_some() {
            said.push("with the first half of another".to_owned());
        }
        if !self.in_place.is_empty() {
            said.push(format!("in place: {}", listed(self.in_place.iter().map(|input| input.to_string()))));
        }
        if !self.stands_for.is_empty() {
            said.push(format!("also for {}", listed(self.stands_for.iter().map(|twin| twin.stream.clone()))));
        }
        if !self.unread.is_empty() {
            let name = |i: &usize| out.and_then(|e| e.schema.columns.get(*i)).map_or(i.to_string(), |c| c.name.clone());
            said.push(format!("unread: {}", listed(self.unread.iter().map(name))));
        }
        said
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// `3`, `3.bad`
fn place(number: usize, port: &Port) -> String {
    format!("{number}{}", suffix(port))
}

fn suffix(port: &Port) -> String {
    match port {
        Port::Out => String::new(),
        Port::Late => ".late".into(),
        Port::Bad => ".bad".into(),
        Port::Rejected => ".rejected".into(),
        Port::Branch(n) => format!(".{n}"),
    }
}
