//! Columns that nobody reads are not built: from the sinks backwards every operator says what it computes something of
//! and what it hands on. Hollow columns keep their place, so that no operator has to be made anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::graph::{NodeId, Work};
use crate::plan::operator::{Distribution, Properties};
use crate::plan::{Edge, Mode, Operator, Plan, Port, edge::OP};

pub(super) const RULE: Rule =
    Rule { name: "prune_columns", why: "columns that nobody reads are neither decoded nor moved", apply };

/// Columns of an output that somebody reads, by position.
type Needs = BTreeMap<(NodeId, Port), BTreeSet<usize>>;

fn apply(plan: &mut Plan, watched: &Watched<'_>) -> Vec<Remark> {
    let needs = needs(plan, watched);
    let mut remarks = Vec::new();
    for id in plan.ordered() {
        let Some(edge) = plan.edge(id, &Port::Out).filter(|_| is_read(plan, id, &Port::Out)) else { continue };
        let taken_in = matches!(plan.node(id).work, Work::Source(_) | Work::Table(_));
        if !taken_in && !is_shuffled(plan, id) {
            continue;
        }
        let needed = needs.get(&(id, Port::Out)).cloned().unwrap_or_default();
        let time = edge.time_column().and_then(|c| edge.schema.position(&c.name)).filter(|_| taken_in);
        let all = 0..edge.schema.columns.len();
        let unread: BTreeSet<_> = all.filter(|i| !needed.contains(i) && Some(*i) != time).collect();
        let names: Vec<_> = unread.iter().map(|i| edge.schema.columns[*i].name.as_str()).collect();
        let what = if taken_in { "need not be read" } else { "need not be moved" };
        remarks.push(match names.is_empty() {
            true => Remark::not(format!("{}: every column is needed", place(plan, id))),
            false => Remark::fired(format!("{}: `{}` {what}", place(plan, id), names.join("`, `"))),
        });
        plan.node_mut(id).run.unread = unread;
    }
    remarks
}

fn is_read(plan: &Plan, id: NodeId, port: &Port) -> bool {
    plan.readers(id).iter().any(|(_, link)| link.port == *port)
}

/// Whether rows of an output are brought together as they are: a first half makes others of them before.
fn is_shuffled(plan: &Plan, id: NodeId) -> bool {
    plan.readers(id).iter().any(|(reader, link)| {
        let run = &plan.node(*reader).run;
        let gathers = operator(plan, *reader).is_some_and(|operator| {
            let distribution = operator.properties().distribution;
            matches!(distribution, Distribution::ByKey(_) | Distribution::Partitions { .. })
        });
        link.port == Port::Out && gathers && !run.halved && !run.in_place.contains(&link.input)
    })
}

/// What is read of every output, from the sinks backwards.
fn needs(plan: &Plan, watched: &Watched<'_>) -> Needs {
    let mut needs = Needs::new();
    for (_, id, port) in plan.streams() {
        if watched.sees(plan, id, port) {
            needs.insert((id, port.clone()), all_of(plan.edge(id, port)));
        }
    }
    for id in plan.ordered().into_iter().rev() {
        let inputs: Vec<_> = plan.inputs(id).into_iter().map(|(from, port)| (from, port.clone())).collect();
        let edges: Vec<_> = inputs.iter().map(|(from, port)| plan.edge(*from, port)).collect();
        let wanted = match operator(plan, id) {
            Some(operator) => of_inputs(plan, id, operator, &edges, &needs),
            None => edges.iter().map(|edge| all_of(*edge)).collect(),
        };
        for (input, wanted) in inputs.into_iter().zip(wanted) {
            needs.entry(input).or_default().extend(wanted);
        }
    }
    needs
}

fn all_of(edge: Option<&Edge>) -> BTreeSet<usize> {
    (0..edge.map_or(0, |edge| edge.schema.columns.len())).collect()
}

/// What an operator needs of each of its inputs.
fn of_inputs(
    plan: &Plan,
    id: NodeId,
    operator: &dyn Operator,
    inputs: &[Option<&Edge>],
    needs: &Needs,
) -> Vec<BTreeSet<usize>> {
    let properties = operator.properties();
    let everything = || inputs.iter().map(|edge| all_of(*edge)).collect();
    // Rows that are set aside are handed on whole.
    let aside = |port: &Port| {
        matches!(port, Port::Late | Port::Bad) && needs.get(&(id, port.clone())).is_some_and(|n| !n.is_empty())
    };
    // The engine gives rows an order by all their columns there.
    let ordered = properties.order_matters && plan.inputs(id).iter().any(|(from, _)| plan.is_loose(*from));
    let stacked = operator.stacked();
    let Some(reads) = properties.reads.as_ref().filter(|_| !ordered && !plan.node(id).outputs.keys().any(aside)) else {
        return everything();
    };
    if properties.repeats.is_none() && stacked.is_none() {
        return everything();
    }
    let mut wanted: Vec<_> = inputs.iter().enumerate().map(|(i, edge)| by_the_engine(&properties, i, *edge)).collect();
    let mut offset = 0;
    for (wanted, edge) in wanted.iter_mut().zip(inputs) {
        let end = offset + all_of(*edge).len();
        wanted.extend(reads.iter().filter(|c| (offset..end).contains(c)).map(|c| c - offset));
        offset = end;
    }
    let handed_on = needs.iter().filter(|((node, port), _)| *node == id && matches!(port, Port::Out | Port::Branch(_)));
    let handed_on: BTreeSet<_> = handed_on.flat_map(|(_, columns)| columns.iter().copied()).collect();
    // What stores rows keeps them whole: when the text changes, later stages may read what they did not before.
    let stored = properties.stateful.then(|| properties.repeats.iter().flatten().flatten()).into_iter().flatten();
    let stored: BTreeSet<_> = stored.filter(|(i, c)| !wanted.get(*i).is_some_and(|w| w.contains(c))).collect();
    for (input, _) in stored {
        wanted[*input] = all_of(inputs[*input]);
    }
    for column in handed_on {
        let positions = stacked.iter().flatten().enumerate().filter_map(|(i, at)| Some((i, *at.get(column)?)));
        let repeated = properties.repeats.iter().filter_map(|repeats| repeats.get(column).copied().flatten());
        for (input, at) in positions.chain(repeated) {
            wanted[input].insert(at);
        }
    }
    wanted
}

/// What the engine itself looks at before rows reach an operator that gathers them: keys, time, what is taken back.
fn by_the_engine(of: &Properties, input: usize, edge: Option<&Edge>) -> BTreeSet<usize> {
    let (Some(edge), false) = (edge, of.row_wise) else { return BTreeSet::new() };
    let mut columns: BTreeSet<usize> = match &of.distribution {
        Distribution::ByKey(keys) => keys.get(input).into_iter().flatten().copied().collect(),
        Distribution::Partitions { by, .. } => by.iter().copied().collect(),
        Distribution::Any | Distribution::Single | Distribution::Beside { .. } => BTreeSet::new(),
    };
    columns.extend(edge.time.as_ref().and_then(|time| edge.schema.position(&time.column)));
    if let Mode::Changes { key } = &edge.mode {
        columns.extend(key.iter().map(String::as_str).chain([OP]).filter_map(|name| edge.schema.position(name)));
    }
    columns
}
