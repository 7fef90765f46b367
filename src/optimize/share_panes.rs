//! Aggregates over the same rows and keys whose partial results are the same, because their windows are made of the
//! same panes or because they have none, get them from one first half. State is not shared: each second half merges
//! what it is given into a state of its own.

use std::collections::BTreeMap;

use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::graph::NodeId;
use crate::plan::{Plan, Port};

pub(super) const RULE: Rule =
    Rule { name: "share_panes", why: "partial results that several windows are made of are computed once", apply };

fn apply(plan: &mut Plan, _: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut known: BTreeMap<(NodeId, Port, String), NodeId> = BTreeMap::new();
    for id in plan.ordered() {
        let Some(likeness) = likeness(plan, id) else { continue };
        match known.get(&likeness).copied() {
            None => {
                known.insert(likeness, id);
            }
            Some(first) => {
                remarks.push(Remark::fired(format!("{} uses the panes of {}", place(plan, id), place(plan, first))));
                plan.node_mut(id).run.first_half_of = Some(first);
            }
        }
    }
    remarks
}

/// What is read, and what the first half makes of it. None where there is no such half, or where rows may leave it on
/// the side: each stream has bad rows of its own.
fn likeness(plan: &Plan, id: NodeId) -> Option<(NodeId, Port, String)> {
    let node = plan.node(id);
    if !node.run.halved || node.outputs.contains_key(&Port::Bad) {
        return None;
    }
    let of = operator(plan, id)?;
    if !of.properties().deterministic {
        return None;
    }
    let (first, _) = of.halves()?;
    let [(from, port)] = plan.inputs(id)[..] else { return None };
    Some((from, port.clone(), first.likeness()?))
}
