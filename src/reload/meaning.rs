//! What rows mean: a text for every node that is the same as long as the same rows leave it. Where something is
//! written, what it is called and how fast it goes is no part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::LazyLock;

use regex::Regex;

use crate::model::time::show_duration;
use crate::plan::catalog::{Endpoint, FormatCall};
use crate::plan::graph::{NodeId, Work};
use crate::plan::memory::placeless;
use crate::plan::settings::{OptionValue, SecretRef};
use crate::plan::{Operator, Plan, Port, RowFate};

/// Options of sources that say how much and how fast, or how late rows may be; the engine's own, which sources never
/// see. None changes what a row is.
pub(super) const PACE: &[&str] = &["watermark", "idle", "max_rows", "max_bytes"];

/// Options of sources that say how they go about it, not which rows come.
pub(super) const MANNER: &[&str] = &[
    "after",
    "backoff",
    "block_interval",
    "buffer",
    "deadline",
    "max_backoff",
    "max_clients",
    "max_files",
    "move_to",
    "poll",
    "reconnect",
    "restart",
    "retries",
    "settle",
    "timeout",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_client_ca",
    "tls_key",
    "token",
];

static INTERVAL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\binterval: \d+").ok());

/// An operator's text without what another interval of batches changes.
fn timeless(operator: &dyn Operator) -> String {
    let text = placeless(operator);
    INTERVAL.as_ref().map_or_else(|| text.clone(), |interval| interval.replace_all(&text, "").into_owned())
}

/// What an operator does with its rows.
pub(super) fn of_operator(operator: &dyn Operator) -> String {
    match operator.memory() {
        Some(memory) => {
            let facts: Vec<_> = memory.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.text)).collect();
            let parts: Vec<_> = memory.parts.iter().map(|part| part.text.as_str()).collect();
            format!("{} {} {} {}", operator.word(), facts.join("; "), parts.join("; "), memory.output)
        }
        None => format!("{} {}", operator.word(), timeless(operator)),
    }
}

/// Whether an operator hands on all rows as they are and is there for what it does beside that.
pub(super) fn passes(plan: &Plan, id: NodeId) -> bool {
    let Work::Operator(operator) = &plan.node(id).work else { return false };
    let properties = operator.properties();
    let width = plan.input_edge(id, 0).map_or(0, |edge| edge.schema.columns.len());
    let all: Vec<_> = (0..width).map(|i| Some((0, i))).collect();
    properties.effects && properties.repeats == Some(all)
}

/// What leaves a node: its own text over what it reads, all the way up.
pub(super) struct Meanings<'a> {
    plan: &'a Plan,
    known: BTreeMap<NodeId, u64>,
}

impl<'a> Meanings<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let mut meanings = Meanings { plan, known: BTreeMap::new() };
        for id in plan.ordered() {
            let meaning = meanings.of(id);
            meanings.known.insert(id, meaning);
        }
        meanings
    }

    /// What comes into a node.
    pub(super) fn input(&self, id: NodeId) -> String {
        let input = |(from, port): (NodeId, &Port)| format!("{:x} {port:?}", self.known[&from]);
        self.plan.inputs(id).into_iter().map(input).collect::<Vec<_>>().join(", ")
    }

    /// What leaves a node.
    pub(super) fn output(&self, id: NodeId) -> u64 {
        self.known[&id]
    }

    fn of(&self, id: NodeId) -> u64 {
        if passes(self.plan, id)
            && let [(from, Port::Out)] = self.plan.inputs(id).as_slice()
        {
            return self.known[from];
        }
        let text = format!("{} <- {}", own(self.plan, id), self.input(id));
        twox_hash::XxHash3_64::oneshot(text.as_bytes())
    }
}

/// What a node does by itself, whatever comes in.
pub(super) fn own(plan: &Plan, id: NodeId) -> String {
    let node = plan.node(id);
    let fate = node.fates.get(&Port::Bad).filter(|fate| **fate == RowFate::Null);
    match &node.work {
        Work::Source(endpoint) | Work::Table(endpoint) => {
            let parts = definition(endpoint);
            let rows = parts.iter().filter(|(name, _)| !is_pace(name) && !MANNER.contains(&name.as_str()));
            format!("{rows:?} {fate:?}", rows = rows.collect::<Vec<_>>())
        }
        Work::Operator(operator) => format!("{} {fate:?}", of_operator(operator.as_ref())),
        Work::Sink(endpoint) => format!("into {:?}", definition(endpoint)),
    }
}

pub(super) fn is_pace(name: &str) -> bool {
    PACE.contains(&name) || name == "refresh"
}

/// Nodes that a node's rows depend on, in the order of the plan, without those that only pass rows on.
pub(super) fn above(plan: &Plan, id: NodeId) -> Vec<NodeId> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<NodeId> = plan.inputs(id).into_iter().map(|(from, _)| from).collect();
    while let Some(next) = open.pop() {
        if seen.insert(next) {
            open.extend(plan.inputs(next).into_iter().map(|(from, _)| from));
        }
    }
    plan.ordered().into_iter().filter(|node| seen.contains(node) && !passes(plan, *node)).collect()
}

/// Everything a plan does, in an order that the order of statements does not change.
pub(super) fn whole(plan: &Plan) -> BTreeSet<String> {
    let meanings = Meanings::new(plan);
    let mut all: BTreeSet<String> = BTreeSet::new();
    for id in plan.ordered() {
        let node = plan.node(id);
        let spans = match &node.work {
            Work::Operator(operator) => format!("{:?}", operator.memory().map(|memory| memory.spans)),
            Work::Source(endpoint) | Work::Table(endpoint) => format!("{:?}", definition(endpoint)),
            Work::Sink(_) => String::new(),
        };
        let text = format!("{} {} {} {:?} {spans}", node.stream, own(plan, id), meanings.input(id), node.fates);
        let mut numbered = text.clone();
        let mut again = 1;
        while !all.insert(numbered) {
            again += 1;
            numbered = format!("{text} #{again}");
        }
    }
    all
}

/// A source, table or sink as named texts: what it is, every setting, its format and columns.
pub(super) fn definition(endpoint: &Endpoint) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::from([("kind".to_owned(), endpoint.word.clone())]);
    // What edits do is no part of what it is.
    for (name, setting) in endpoint.settings.iter().filter(|(name, _)| *name != "on_change") {
        parts.insert(name.to_owned(), value(setting));
    }
    if let Some(FormatCall { entry, settings }) = &endpoint.format {
        parts.insert("format".into(), entry.doc.name.clone());
        for (name, setting) in settings.iter() {
            parts.insert(name.to_owned(), value(setting));
        }
    }
    let columns: Vec<_> = endpoint.schema.columns.iter().map(|c| format!("{}: {}", c.name, c.slot)).collect();
    parts.insert("schema".into(), format!("{{ {} }}", columns.join(", ")));
    if !endpoint.base.as_os_str().is_empty() {
        parts.insert("folder".into(), endpoint.base.display().to_string());
    }
    parts
}

/// A setting as it would be written, about; nothing secret.
pub(super) fn value(setting: &OptionValue) -> String {
    match setting {
        OptionValue::Bool(yes) => yes.to_string(),
        OptionValue::Integer(n) => n.to_string(),
        OptionValue::Number(n) => n.to_string(),
        OptionValue::Text(text) => format!("{text:?}"),
        OptionValue::Symbol(word) | OptionValue::Column(word) => word.clone(),
        OptionValue::Duration(micros) => show_duration(*micros),
        OptionValue::Months(months) => format!("{months}mo"),
        OptionValue::Size(bytes) => format!("{bytes} bytes"),
        OptionValue::Timestamp(micros) => format!("timestamp {micros}"),
        OptionValue::Schema(schema) => {
            let columns: Vec<_> = schema.columns.iter().map(|c| format!("{}: {}", c.name, c.slot)).collect();
            format!("{{ {} }}", columns.join(", "))
        }
        OptionValue::Secret(SecretRef::Env(name)) => format!("env({name:?})"),
        OptionValue::Secret(SecretRef::Named(name)) => format!("secret({name:?})"),
        OptionValue::Expr(expr) => expr.to_string(),
        OptionValue::List(values) => format!("[{}]", values.iter().map(value).collect::<Vec<_>>().join(", ")),
        OptionValue::Map(values) => {
            let mut text = String::from("{ ");
            for (i, (name, item)) in values.iter().enumerate() {
                let _ = write!(text, "{}{name}: {}", if i > 0 { ", " } else { "" }, value(item));
            }
            text + " }"
        }
    }
}
