//! Who is moved to whom where inputs are put together. A table is whole in every place, so that the rows it is looked
//! up for stay where they are; what is decided by the sizes of a batch is decided when the batch is there.

use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::Plan;
use crate::plan::operator::Distribution;

pub(super) const RULE: Rule =
    Rule { name: "choose_join_side", why: "tables go to the rows, not the rows to the tables", apply };

fn apply(plan: &mut Plan, _: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for id in plan.ordered() {
        let inputs = plan.inputs(id);
        let Some(operator) = operator(plan, id).filter(|_| inputs.len() > 1) else { continue };
        let name = |input: usize| inputs.get(input).map_or(String::new(), |(from, _)| plan.node(*from).stream.clone());
        match operator.properties().distribution {
            Distribution::Beside { whole } => {
                let tables: Vec<_> = whole.iter().map(|input| format!("`{}`", name(*input))).collect();
                let text =
                    format!("{}: {} is whole in every place, the other rows stay", place(plan, id), tables.join(", "));
                remarks.push(Remark::fired(text));
            }
            Distribution::ByKey(_) => {
                let text =
                    "both sides are brought together by key; which one is looked up in which is chosen batch by batch";
                remarks.push(Remark::not(format!("{}: {text}", place(plan, id))));
            }
            Distribution::Single => {
                remarks.push(Remark::not(format!("{}: without a key all rows go to one place", place(plan, id))));
            }
            Distribution::Any | Distribution::Partitions { .. } => {}
        }
    }
    remarks
}
