//! What two streams compute alike is computed once. Stateful operators are never shared: each keeps its state under
//! its own name, and one of them may be changed while the pipeline runs.

use std::collections::BTreeMap;

use millstream_dsl::Span;

use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::graph::{NodeId, Twin};
use crate::plan::{Plan, Port, TypedExpr};

pub(super) const RULE: Rule =
    Rule { name: "share_subplans", why: "what two streams compute alike is computed once", apply };

fn apply(plan: &mut Plan, _: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut known: BTreeMap<Likeness, NodeId> = BTreeMap::new();
    for id in plan.ordered() {
        let Some(likeness) = likeness(plan, id) else { continue };
        let Some(first) = known.get(&likeness).copied() else {
            known.insert(likeness, id);
            continue;
        };
        let used = used_outputs(plan, id);
        let lacks = used.iter().any(|port| plan.edge(first, port).is_none());
        if lacks || plan.node(first).fates != plan.node(id).fates {
            remarks.push(Remark::not(format!(
                "{} differs from {} in its outputs",
                place(plan, id),
                place(plan, first)
            )));
            continue;
        }
        remarks.push(Remark::fired(format!("{} is done by {}", place(plan, id), place(plan, first))));
        for port in used {
            plan.redirect((id, &port), (first, &port));
        }
        if let Some(gone) = plan.remove(id) {
            let stands_for = &mut plan.node_mut(first).run.stands_for;
            stands_for.extend(gone.run.stands_for);
            stands_for.push(Twin { stream: gone.stream, identity: gone.identity });
        }
    }
    remarks
}

/// What makes operators equal: what they read and what they do, without the place where that is written.
type Likeness = (Vec<(NodeId, Port)>, String);

/// None where an operator must not be shared, or does not say everything about itself.
fn likeness(plan: &Plan, id: NodeId) -> Option<Likeness> {
    let operator = operator(plan, id)?;
    let properties = operator.properties();
    if properties.stateful || properties.effects || !properties.deterministic {
        return None;
    }
    let placeless = operator.rewritten(&mut |expr| expr.rebuilt(&mut |e| TypedExpr { span: Span::default(), ..e }))?;
    let inputs = plan.inputs(id).into_iter().map(|(from, port)| (from, port.clone())).collect();
    Some((inputs, format!("{} {placeless:?}", operator.word())))
}

/// The outputs that somebody reads, or that have a name.
fn used_outputs(plan: &Plan, id: NodeId) -> Vec<Port> {
    let named = |port: &Port| plan.streams().any(|(_, node, of)| node == id && of == port);
    let read = |port: &Port| plan.readers(id).iter().any(|(_, link)| link.port == *port);
    plan.node(id).outputs.keys().filter(|port| named(port) || read(port)).cloned().collect()
}
