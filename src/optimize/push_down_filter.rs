//! A filter runs before work that its rows do not need. It moves past an operator where the columns it reads are
//! repeated from an input, and where no row that stays can notice:
//!
//! - past a row-wise operator: each row is treated by itself;
//! - into an input dealt out in runs beside tables: any cut of the rows gives the same, so each is treated by itself;
//! - past one that brings rows together by a key, where it reads nothing but the key: whole groups go or stay.
//!
//! It never moves past what remembers rows, may set rows aside (bad ones would be fewer), shows or measures them, or
//! has further outputs, readers or watchers; nor does it move where later operators rely on what it says of nulls.
//! The rows that operators on the way see, and that it filters, are counted where it stands afterwards.

use std::collections::BTreeMap;

use crate::model::Schema;
use crate::optimize::{Remark, Rule, Watched, operator, place};
use crate::plan::graph::{NodeId, Work};
use crate::plan::operator::{Distribution, Properties};
use crate::plan::{Edge, Node, Plan, Port, TypedExpr};

pub(super) const RULE: Rule =
    Rule { name: "push_down_filter", why: "rows that are left out should not be worked on first", apply };

/// Where each column that the condition reads stands, at some place further up.
type Columns = BTreeMap<usize, usize>;

fn apply(plan: &mut Plan, watched: &Watched<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for id in plan.ordered() {
        let Some(condition) = operator(plan, id).and_then(|operator| operator.filter()).cloned() else { continue };
        let (way, stopped) = way(plan, watched, id, &condition);
        let Some(last) = way.last() else {
            remarks.extend(stopped.map(|why| Remark::not(format!("{}: {why}", place(plan, id)))));
            continue;
        };
        let text = format!("{} goes before {}", place(plan, id), place(plan, last.node));
        if moved(plan, id, &condition, &way).is_some() {
            remarks.push(Remark::fired(text));
        }
    }
    remarks
}

/// An operator that a filter can pass.
struct Passed {
    node: NodeId,
    /// The input of it that the rows come from.
    input: usize,
    columns: Columns,
    /// Whether it is worth it: operators that only choose rows or columns are not.
    works: bool,
}

/// The operators to pass, the nearest first; and why it goes no further, where something more could be gained.
fn way(plan: &Plan, watched: &Watched<'_>, id: NodeId, condition: &TypedExpr) -> (Vec<Passed>, Option<String>) {
    if let Some(why) = stays(plan, id) {
        return (Vec::new(), why);
    }
    let Some(input) = plan.input_edge(id, 0) else { return (Vec::new(), None) };
    let slots: BTreeMap<_, _> = condition.columns().iter().map(|c| (*c, &input.schema.columns[*c].slot)).collect();
    let mut columns: Columns = slots.keys().map(|c| (*c, *c)).collect();
    let mut way: Vec<Passed> = Vec::new();
    let mut reader = (id, 0);
    let stopped = loop {
        let inputs = plan.inputs(reader.0);
        let Some(&(from, port)) = inputs.get(reader.1) else { break None };
        let Some(properties) = operator(plan, from).map(|operator| operator.properties()) else { break None };
        if *port != Port::Out {
            break None;
        }
        if !watched.has_one_reader(plan, from, port) {
            break Some(format!("others see the rows of {}", place(plan, from)));
        }
        match past(plan, from, &properties, &columns) {
            Ok((input, above)) => {
                let edge = plan.input_edge(from, input);
                let same = |(c, at): (&usize, &usize)| edge.is_some_and(|e| e.schema.columns[*at].slot == *slots[c]);
                if !above.iter().all(same) {
                    break Some(format!("{} makes sure of what it reads", place(plan, from)));
                }
                let repeats = properties.repeats.unwrap_or_default();
                let works = !properties.row_wise || repeats.iter().any(Option::is_none);
                columns = above.clone();
                way.push(Passed { node: from, input, columns: above, works });
                reader = (from, input);
            }
            Err(why) => break Some(format!("{} {why}", place(plan, from))),
        }
    };
    let gained = way.iter().rposition(|passed| passed.works).map_or(0, |last| last + 1);
    way.truncate(gained);
    (way, stopped)
}

/// Whether a filter stays whatever is above it; the reason where it is worth telling.
fn stays(plan: &Plan, id: NodeId) -> Option<Option<String>> {
    let node = plan.node(id);
    let properties = operator(plan, id)?.properties();
    let (input, out) = (plan.input_edge(id, 0)?, node.outputs.get(&Port::Out)?);
    if !properties.deterministic {
        return Some(Some("depends on chance".into()));
    }
    if node.outputs.len() > 1 {
        return Some(Some("its condition may fail, and its bad rows would look different".into()));
    }
    (input.schema != out.schema).then(|| Some("what follows relies on the columns it makes sure of".into()))
}

/// The input that a filter over these columns can be moved to, and the columns there; or why it cannot.
fn past(plan: &Plan, id: NodeId, of: &Properties, columns: &Columns) -> Result<(usize, Columns), &'static str> {
    if of.stateful {
        return Err("remembers rows");
    }
    if of.effects {
        return Err("does something with every row");
    }
    if !of.deterministic {
        return Err("depends on chance");
    }
    if plan.node(id).outputs.len() > 1 {
        return Err("sends rows elsewhere as well");
    }
    let repeats = of.repeats.as_ref().ok_or("may make anew what it reads")?;
    let from: Vec<_> = columns
        .iter()
        .map(|(c, at)| repeats.get(*at).copied().flatten().map(|from| (*c, from)))
        .collect::<Option<_>>()
        .ok_or("makes what it reads")?;
    let input = from.first().map_or(0, |(_, (input, _))| *input);
    if from.iter().any(|(_, (other, _))| *other != input) {
        return Err("puts together what it reads");
    }
    let above: Columns = from.into_iter().map(|(c, (_, at))| (c, at)).collect();
    match &of.distribution {
        _ if of.row_wise => Ok((input, above)),
        Distribution::Beside { whole } if whole.contains(&input) => Err("needs the table whole"),
        Distribution::Beside { whole } if plan.inputs(id).len() == whole.len() + 1 => Ok((input, above)),
        Distribution::ByKey(keys) => {
            let key = keys.get(input).map_or(&[][..], Vec::as_slice);
            let only_key = !above.is_empty() && above.values().all(|at| key.contains(at));
            if only_key { Ok((input, above)) } else { Err("sees rows of a key together") }
        }
        _ => Err("sees rows together"),
    }
}

/// Takes the filter out and puts it before the last of `way`.
fn moved(plan: &mut Plan, id: NodeId, condition: &TypedExpr, way: &[Passed]) -> Option<()> {
    let (nearest, farthest) = (way.first()?, way.last()?);
    let (source, port) = plan.inputs(farthest.node).get(farthest.input).map(|(from, port)| (*from, (*port).clone()))?;
    let edge = plan.edge(source, &port)?.clone();
    let condition = condition.rebuilt(&mut |expr| at(expr, &farthest.columns, &edge.schema));
    let filter = operator(plan, id)?.filtering(condition, &edge.schema)?;
    for passed in way {
        plan.forget_names(passed.node, &Port::Out);
    }
    plan.redirect((id, &Port::Out), (nearest.node, &Port::Out));
    plan.rewire((source, &port), id, 0);
    plan.rewire((id, &Port::Out), farthest.node, farthest.input);
    let node = plan.node_mut(id);
    node.work = Work::Operator(filter.into());
    node.outputs.insert(Port::Out, Edge { state: String::new(), ..edge });
    Some(())
}

fn at(expr: TypedExpr, columns: &Columns, schema: &Schema) -> TypedExpr {
    match expr.node {
        Node::Column { index, .. } => {
            let index = columns[&index];
            TypedExpr { node: Node::Column { index, name: schema.columns[index].name.clone() }, ..expr }
        }
        _ => expr,
    }
}
