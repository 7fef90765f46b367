//! What must hold of every plan, whatever a rule did to it.

use crate::plan::graph::{NodeId, Work};
use crate::plan::{Plan, Port};

/// The first thing that is wrong with a plan.
pub(super) fn broken(plan: &Plan) -> Option<String> {
    let order = plan.ordered();
    if order.len() != plan.len() {
        return Some("it runs in a circle".into());
    }
    let streams = plan.streams().find(|(_, id, port)| !order.contains(id) || plan.edge(*id, port).is_none());
    let lost = streams.map(|(name, _, _)| format!("stream `{name}` leads nowhere"));
    lost.or_else(|| order.iter().find_map(|id| broken_node(plan, *id)))
}

fn broken_node(plan: &Plan, id: NodeId) -> Option<String> {
    let node = plan.node(id);
    let inputs = plan.inputs(id);
    let expected = match &node.work {
        Work::Source(_) | Work::Table(_) => 0..=0,
        Work::Operator(_) => 1..=usize::MAX,
        Work::Sink(_) => 1..=1,
    };
    if !expected.contains(&inputs.len()) {
        return Some(format!("`{}` has {} inputs", node.identity, inputs.len()));
    }
    if let Some((from, port)) = inputs.iter().find(|(from, port)| plan.edge(*from, port).is_none()) {
        return Some(format!("`{}` reads {port:?} of `{}`, which has none", node.identity, plan.node(*from).identity));
    }
    let numbers = plan.input_numbers(id);
    if numbers.iter().enumerate().any(|(i, number)| i != *number) {
        return Some(format!("`{}` has the inputs {numbers:?}", node.identity));
    }
    let columns = plan.edge(id, &Port::Out).map_or(0, |edge| edge.schema.columns.len());
    if node.run.unread.iter().any(|column| *column >= columns) {
        return Some(format!("`{}` hollows a column that it does not have", node.identity));
    }
    wrong_properties(plan, id)
}

/// What an operator says of columns must be about columns that are there, and of the same type.
fn wrong_properties(plan: &Plan, id: NodeId) -> Option<String> {
    let Work::Operator(operator) = &plan.node(id).work else { return None };
    let repeats = operator.properties().repeats?;
    let out = &plan.edge(id, &Port::Out)?.schema.columns;
    let inputs = plan.inputs(id);
    if repeats.len() != out.len() {
        return Some(format!(
            "`{}` says where {} of {} columns come from",
            operator.explain(),
            repeats.len(),
            out.len()
        ));
    }
    let wrong = out.iter().zip(&repeats).find(|(column, from)| {
        let Some((input, index)) = from else { return false };
        let edge = inputs.get(*input).and_then(|(from, port)| plan.edge(*from, port));
        edge.and_then(|e| e.schema.columns.get(*index)).is_none_or(|c| c.slot.ty != column.slot.ty)
    });
    wrong.map(|(column, _)| format!("`{}` repeats no column as `{}`", operator.explain(), column.name))
}
