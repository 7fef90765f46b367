//! What a picture of a plan shows, whatever draws it: a box for what is done in one pass, an arrow where rows go.

use std::collections::BTreeMap;

use super::super::plan::stages::{self, Half, Step};
use crate::model::time::show_duration;
use crate::plan::Port;
use crate::plan::graph::{NodeId, Plan, Work};

/// Boxes and arrows.
#[derive(Debug)]
pub(super) struct Picture {
    /// The pipeline's name.
    pub(super) title: String,
    pub(super) boxes: Vec<Node>,
    pub(super) arrows: Vec<Arrow>,
}

/// Operations in one pass.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) sections: Vec<Section>,
}

/// What a box stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Table,
    Operator,
    /// An operator that remembers something from batch to batch.
    Memory,
    Sink,
}

/// One operation, or half of one.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) text: String,
    /// The name of what comes out, what is remembered.
    pub(super) notes: Vec<String>,
}

/// From a box to a box.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Option<String>,
    /// Rows are dealt out anew.
    pub(super) moved: bool,
}

/// The picture of a plan.
pub(super) fn of(plan: &Plan) -> Picture {
    let mut boxes: Vec<Node> = Vec::new();
    let mut passes: BTreeMap<NodeId, usize> = BTreeMap::new();
    // Where the rows of an operation go in and come out: its first half, and its last.
    let (mut ins, mut outs) = (BTreeMap::new(), BTreeMap::new());
    let stages = stages::cut(plan);
    for step in stages.iter().flat_map(|stage| &stage.steps) {
        let known = step.pass.and_then(|pass| passes.get(&pass).copied());
        let at = known.unwrap_or(boxes.len());
        if known.is_none() {
            boxes.push(Node { kind: kind(plan, step.id), sections: Vec::new() });
            step.pass.map(|pass| passes.insert(pass, at));
        }
        if step.half == Half::First {
            boxes[at].kind = Kind::Operator;
        }
        boxes[at].sections.push(section(plan, step));
        if step.half != Half::Second {
            ins.insert(step.id, at);
        }
        if step.half != Half::First {
            outs.insert(step.id, at);
        }
    }
    let steps = stages.iter().flat_map(|stage| &stage.steps);
    let arrows =
        steps.flat_map(|step| arrows(plan, step, &ins, &outs)).filter(|arrow| arrow.from != arrow.to).collect();
    let every = match plan.header.every {
        0 => String::new(),
        every => format!(", every {}", show_duration(every)),
    };
    Picture { title: format!("{}{every}", plan.header.name), boxes, arrows }
}

fn kind(plan: &Plan, id: NodeId) -> Kind {
    match &plan.node(id).work {
        Work::Source(_) => Kind::Source,
        Work::Table(_) => Kind::Table,
        Work::Sink(_) => Kind::Sink,
        Work::Operator(operator) if operator.properties().stateful => Kind::Memory,
        Work::Operator(_) => Kind::Operator,
    }
}

fn section(plan: &Plan, step: &Step) -> Section {
    let mut notes = Vec::new();
    if step.half != Half::First {
        let taken_in = matches!(plan.node(step.id).work, Work::Source(_) | Work::Table(_));
        let named = plan.streams().filter(|(_, id, port)| *id == step.id && **port == Port::Out && !taken_in);
        notes.extend(named.map(|(name, _, _)| format!("stream {name}")));
        let unread = plan.node(step.id).run.unread.iter().filter(|_| taken_in);
        let columns = plan.edge(step.id, &Port::Out).map(|edge| &edge.schema.columns);
        let unread: Vec<_> = unread.filter_map(|i| Some(columns?.get(*i)?.name.as_str())).collect();
        if !unread.is_empty() {
            notes.push(format!("without {}", unread.join(", ")));
        }
        let state = plan.edge(step.id, &Port::Out).map(|edge| edge.state.clone());
        notes.extend(state.filter(|state| !state.is_empty()));
    }
    Section { text: step.text.clone(), notes }
}

fn arrows(plan: &Plan, step: &Step, ins: &BTreeMap<NodeId, usize>, outs: &BTreeMap<NodeId, usize>) -> Vec<Arrow> {
    let halved = step.half == Half::Second;
    if halved {
        let how = stages::moved_by(plan, step.id, 0);
        return vec![Arrow { from: ins[&step.id], to: outs[&step.id], label: how, moved: true }];
    }
    let inputs = plan.inputs(step.id).into_iter().enumerate();
    let arrow = |(i, (from, port)): (usize, (NodeId, &Port))| {
        let moved = step.half == Half::Whole && stages::is_moved(plan, step.id, i);
        let how = if moved { stages::moved_by(plan, step.id, i) } else { None };
        let side = side(plan, from, port);
        let label = side.into_iter().chain(how).collect::<Vec<_>>().join(", ");
        let label = (!label.is_empty()).then_some(label);
        Arrow { from: outs[&from], to: ins[&step.id], label, moved }
    };
    inputs.map(arrow).collect()
}

/// The name of a side output, or what it is for.
fn side(plan: &Plan, id: NodeId, port: &Port) -> Option<String> {
    let word = stages::port_word(port)?;
    let named = plan.streams().find(|(_, node, named)| *node == id && *named == port);
    Some(named.map_or(word, |(name, _, _)| name.to_owned()))
}
