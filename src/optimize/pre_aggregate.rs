//! What can be cut in two at its shuffle is: each block is worked down to a partial result where it lies, so that less
//! is moved, and the second half runs over that.

use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::Plan;
use crate::plan::operator::Distribution;

pub(super) const RULE: Rule =
    Rule { name: "pre_aggregate", why: "partial results are made block by block, so that a shuffle moves less", apply };

fn apply(plan: &mut Plan, _: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for id in plan.ordered() {
        let Some(operator) = operator(plan, id) else { continue };
        let properties = operator.properties();
        if properties.row_wise || properties.distribution == Distribution::Any {
            continue;
        }
        let inputs = plan.inputs(id).len();
        let halves = operator.halves().filter(|_| inputs == 1);
        if plan.node(id).run.in_place.contains(&0) && inputs == 1 {
            remarks.push(Remark::not(format!("{}: its rows are not moved", place(plan, id))));
        } else if let Some((first, _)) = halves {
            remarks.push(Remark::fired(format!("{}: `{}` before the shuffle", place(plan, id), first.explain())));
            plan.node_mut(id).run.halved = true;
        } else {
            remarks.push(Remark::not(format!("{}: cannot be cut in two", place(plan, id))));
        }
    }
    remarks
}
