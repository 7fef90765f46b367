//! Row-wise operators in a row run in one pass over each block: rows stay in the cache, and nothing is put together
//! and dealt out again between them.

use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::graph::NodeId;
use crate::plan::{Plan, Port};

pub(super) const RULE: Rule =
    Rule { name: "fuse_rowwise", why: "row-wise operators in a row run in one pass over each block", apply };

fn apply(plan: &mut Plan, watched: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for id in plan.ordered() {
        match fusible(plan, watched, id) {
            Some(Ok(from)) => {
                remarks.push(Remark::fired(format!("{} runs with {}", place(plan, id), place(plan, from))));
                plan.node_mut(id).run.fused = true;
            }
            Some(Err(why)) => remarks.push(Remark::not(format!("{}: {why}", place(plan, id)))),
            None => {}
        }
    }
    remarks
}

/// The operator that a block-by-block one can run with, or why there is none. Nothing of others.
fn fusible(plan: &Plan, watched: &Watched<'_>, id: NodeId) -> Option<Result<NodeId, String>> {
    let blockwise = plan.node(id).run.halved || operator(plan, id)?.properties().row_wise;
    let inputs = plan.inputs(id);
    let &[(from, port)] = inputs.as_slice() else { return None };
    let behind = operator(plan, from).filter(|_| blockwise)?;
    Some(if !behind.properties().row_wise {
        Err(format!("{} gathers rows first", place(plan, from)))
    } else if *port != Port::Out {
        Err(format!("reads a side stream of {}", place(plan, from)))
    } else if !watched.has_one_reader(plan, from, port) {
        Err(format!("others read {} as well", place(plan, from)))
    } else {
        Ok(from)
    })
}
