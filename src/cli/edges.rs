//! The table `check` prints of a pipeline that has no mistakes: what is known of the rows between its stages.

use super::table::aligned;
use crate::model::time::show_duration;
use crate::plan::catalog::find;
use crate::plan::graph::{NodeId, Plan, PlanNode, Work};
use crate::plan::{Catalog, Edge, Port};

/// One line an edge, in the order in which rows flow.
pub(crate) fn table(plan: &Plan, catalog: &Catalog) -> String {
    let header = ["edge", "rows", "mode", "watermark", "guarantee"].map(String::from).to_vec();
    let mut rows = vec![header];
    for to in plan.ordered() {
        for (from, port) in plan.inputs(to) {
            let Some(edge) = plan.edge(from, port) else { continue };
            rows.push(line(plan, catalog, (from, port), to, edge));
        }
    }
    aligned(&rows, "")
}

fn line(plan: &Plan, catalog: &Catalog, (from, port): (NodeId, &Port), to: NodeId, edge: &Edge) -> Vec<String> {
    let reader = plan.node(to);
    let name = format!("{} -> {}", output_name(plan, from, port), input_name(plan, to));
    vec![name, rows(edge), edge.mode.to_string(), watermark(edge), guarantee(plan, catalog, reader, edge)]
}

/// What an output is called: the stream it ends, else the stage it leaves.
fn output_name(plan: &Plan, id: NodeId, port: &Port) -> String {
    let named = plan.streams().find(|(_, node, named)| *node == id && *named == port);
    named.map_or_else(|| word(plan.node(id)).to_string(), |(name, _, _)| name.to_string())
}

/// What an input is called: the stage's word, with what else it reads.
fn input_name(plan: &Plan, id: NodeId) -> String {
    let others = plan.inputs(id).into_iter().skip(1).map(|(node, port)| output_name(plan, node, port));
    let names: Vec<String> = std::iter::once(word(plan.node(id)).to_string()).chain(others).collect();
    names.join(" ")
}

fn word(node: &PlanNode) -> &str {
    match &node.work {
        Work::Source(_) | Work::Table(_) => &node.stream,
        Work::Operator(operator) => operator.word(),
        Work::Sink(endpoint) => &endpoint.word,
    }
}

fn rows(edge: &Edge) -> String {
    let unique = edge.unique.first().map(|columns| format!(", unique {}", columns.join(" + ")));
    edge.describe_rows() + &unique.unwrap_or_default()
}

fn watermark(edge: &Edge) -> String {
    let Some(time) = &edge.time else { return "-".into() };
    match time.delay {
        Some(0) | None => time.column.clone(),
        Some(delay) => format!("{} - {}", time.column, show_duration(delay)),
    }
}

/// What a crash can do to the rows; at a sink what it promises; behind a stage with memory what it keeps.
fn guarantee(plan: &Plan, catalog: &Catalog, reader: &PlanNode, edge: &Edge) -> String {
    if let Work::Sink(endpoint) = &reader.work
        && let Some(entry) = find(&catalog.sinks, &endpoint.word)
    {
        let promise = (entry.guarantee)(&endpoint.settings);
        return if plan.header.checkpoint.is_some() { promise } else { format!("{promise}, while it runs") };
    }
    if edge.state.is_empty() { edge.guarantee.to_string() } else { edge.state.clone() }
}
