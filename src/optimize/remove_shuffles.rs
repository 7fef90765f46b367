//! Rows that lie where they belong are not moved again. State is saved by the hash of the whole key in its order, so
//! what remembers, and what brings several inputs together, takes rows as they lie only where they were dealt out by
//! just that key; what only gathers rows of one input is content with a part of it, since equal keys lie together then
//! as well.

use std::collections::BTreeMap;

use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::graph::NodeId;
use crate::plan::operator::Distribution;
use crate::plan::{Operator, Plan, Port};

pub(super) const RULE: Rule =
    Rule { name: "remove_shuffles", why: "rows that lie where they belong are not moved again", apply };

/// How the rows of an output lie.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Lie {
    /// Nothing is known.
    Anyhow,
    /// All in one place.
    Together,
    /// By the hash of these columns; into so many partitions, or as many as the engine has.
    Keyed { columns: Vec<usize>, count: Option<usize> },
}

fn apply(plan: &mut Plan, _: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut lies: BTreeMap<NodeId, Lie> = BTreeMap::new();
    for id in plan.ordered() {
        let Some(operator) = operator(plan, id) else { continue };
        let inputs: Vec<_> = plan.inputs(id).into_iter().map(|(from, port)| (from, port.clone())).collect();
        let lying: Vec<_> = inputs.iter().map(|(from, port)| lie_of(&lies, *from, port)).collect();
        let wanted: Vec<_> = (0..inputs.len()).map(|i| wanted(operator, i)).collect();
        let mut in_place = std::collections::BTreeSet::new();
        let mut said = Vec::new();
        for (i, wanted) in wanted.iter().enumerate() {
            let Some(wanted) = wanted else { continue };
            // Rows that are moved get an order that partitions do not change, and must get it here too.
            let from = place(plan, inputs[i].0);
            let ordered = operator.properties().order_matters && plan.is_loose(inputs[i].0);
            if !ordered && serves(operator, inputs.len(), &lying[i], wanted) {
                in_place.insert(i);
                said.push(Remark::fired(format!("{} takes the rows of {from} as they lie", place(plan, id))));
            } else if let Lie::Keyed { .. } = lying[i] {
                let why = if ordered {
                    "its rows come in an order that partitions must not change".to_owned()
                } else {
                    format!("{from} deals rows out by another key")
                };
                said.push(Remark::not(format!("{}: {why}", place(plan, id))));
            }
        }
        lies.insert(id, lie_behind(operator, &lying, &wanted, &in_place));
        remarks.extend(said);
        plan.node_mut(id).run.in_place = in_place;
    }
    remarks
}

fn lie_of(lies: &BTreeMap<NodeId, Lie>, from: NodeId, port: &Port) -> Lie {
    let straight = matches!(port, Port::Out | Port::Branch(_));
    lies.get(&from).filter(|_| straight).cloned().unwrap_or(Lie::Anyhow)
}

/// How the rows of an input are to lie; none where it does not matter.
fn wanted(operator: &dyn Operator, input: usize) -> Option<Lie> {
    let properties = operator.properties();
    match properties.distribution {
        _ if properties.row_wise => None,
        Distribution::Any | Distribution::Beside { .. } => None,
        Distribution::Single => Some(Lie::Together),
        Distribution::ByKey(keys) => Some(Lie::Keyed { columns: keys.get(input)?.clone(), count: None }),
        Distribution::Partitions { by, .. } if by.is_empty() => None,
        Distribution::Partitions { count, by } => Some(Lie::Keyed { columns: by, count: Some(count) }),
    }
}

fn serves(operator: &dyn Operator, inputs: usize, lying: &Lie, wanted: &Lie) -> bool {
    if lying == wanted {
        return true;
    }
    let (Lie::Keyed { columns: have, count: None }, Lie::Keyed { columns: want, count: None }) = (lying, wanted) else {
        return false;
    };
    let part = !have.is_empty() && have.iter().all(|column| want.contains(column));
    part && inputs == 1 && !operator.properties().stateful
}

/// How rows lie behind an operator: as it wanted them, or as it found them, by the columns that repeat those.
fn lie_behind(
    operator: &dyn Operator,
    lying: &[Lie],
    wanted: &[Option<Lie>],
    in_place: &std::collections::BTreeSet<usize>,
) -> Lie {
    let properties = operator.properties();
    let as_found = |i: usize| if properties.row_wise || in_place.contains(&i) { lying.get(i) } else { None };
    let known = |i: usize| as_found(i).or_else(|| wanted.get(i).and_then(Option::as_ref)).unwrap_or(&Lie::Anyhow);
    let repeats = properties.repeats.unwrap_or_default();
    let mut behind = (0..lying.len()).map(|i| match known(i) {
        Lie::Keyed { columns, count } => {
            let out = |column: &usize| repeats.iter().position(|from| *from == Some((i, *column)));
            let columns = columns.iter().map(out).collect::<Option<Vec<_>>>();
            columns.map_or(Lie::Anyhow, |columns| Lie::Keyed { columns, count: *count })
        }
        other => other.clone(),
    });
    behind.find(|lie| *lie != Lie::Anyhow).unwrap_or(Lie::Anyhow)
}
