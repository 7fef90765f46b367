//! From a checked plan to one that does less work for the same rows. A rule is a file and a line in `RULES`; it asks
//! operators for their properties and never for their word or type. No rule changes a row that reaches a sink, a
//! stream somebody watches, or a named stream of bad or late rows. What may change: how many rows an operator sees
//! (and so how many it filters), since filters move; never how many are bad or late.

mod choose_join_side;
mod fold_constants;
mod fuse_rowwise;
mod pre_aggregate;
mod prune_columns;
mod push_down_filter;
mod remove_shuffles;
mod share_panes;
mod share_subplans;
mod sound;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::model::Schema;
use crate::plan::graph::{NodeId, Work};
use crate::plan::{Operator, Plan, Port};

/// A plan and how it came about.
#[derive(Debug)]
pub struct Optimized {
    /// What is to be run.
    pub plan: Plan,
    /// What each rule did or did not, in their order.
    pub log: Vec<RuleNote>,
}

/// What a rule did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleNote {
    /// Its name: that of its file.
    pub rule: &'static str,
    /// What it is for.
    pub why: &'static str,
    /// Where it fired, and where it nearly did.
    pub remarks: Vec<Remark>,
}

/// A place where a rule fired or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Whether it changed the plan there.
    pub fired: bool,
    /// Where and why: lower-case, without a full stop.
    pub text: String,
}

/// A rule.
struct Rule {
    name: &'static str,
    why: &'static str,
    apply: fn(&mut Plan, &Watched<'_>) -> Vec<Remark>,
}

/// In the order in which one helps the next. First what changes expressions: equal conditions are only seen as equal,
/// and columns only as repeated, once constants are folded. Then what changes the graph: filters move as long as
/// operators have one reader, so before sharing gives them more. Last how the operators that stay are run: rows that
/// are not moved need no half before the shuffle; a shuffle that goes, or that a half thins out, has no columns to
/// leave behind; and a first half can be shared or fused.
const RULES: &[Rule] = &[
    fold_constants::RULE,
    push_down_filter::RULE,
    share_subplans::RULE,
    remove_shuffles::RULE,
    choose_join_side::RULE,
    pre_aggregate::RULE,
    share_panes::RULE,
    prune_columns::RULE,
    fuse_rowwise::RULE,
];

/// Whether somebody looks at a named stream from outside, so that its rows must stay as they are.
pub struct Watched<'a>(&'a dyn Fn(&str) -> bool);

/// Applies every rule to a plan whose sinks are all that anybody sees.
pub fn optimize(plan: Plan) -> Optimized {
    optimize_watched(plan, &|_| false, &mut |_, _| {})
}

/// Applies every rule. `watched`: the named streams whose rows somebody looks at beside the sinks. `each` is told of
/// every rule with the plan as it is then.
pub fn optimize_watched(
    mut plan: Plan,
    watched: &dyn Fn(&str) -> bool,
    each: &mut dyn FnMut(&RuleNote, &Plan),
) -> Optimized {
    let before = sink_inputs(&plan);
    let mut log = Vec::with_capacity(RULES.len());
    for rule in RULES {
        let remarks = (rule.apply)(&mut plan, &Watched(watched));
        assert_eq!(before, sink_inputs(&plan), "rule `{}` changed what a sink is given", rule.name);
        debug_assert_eq!(sound::broken(&plan), None, "rule `{}` left a broken plan:\n{plan}", rule.name);
        let note = RuleNote { rule: rule.name, why: rule.why, remarks };
        each(&note, &plan);
        log.push(note);
    }
    Optimized { plan, log }
}

/// The columns that each sink gets.
fn sink_inputs(plan: &Plan) -> BTreeMap<NodeId, Option<Schema>> {
    let sinks = plan.ordered().into_iter().filter(|id| matches!(plan.node(*id).work, Work::Sink(_)));
    let schema = |id| {
        let (from, port) = plan.inputs(id).into_iter().next()?;
        plan.edge(from, port).map(|edge| edge.schema.clone())
    };
    sinks.map(|id| (id, schema(id))).collect()
}

impl Remark {
    fn fired(text: impl Into<String>) -> Self {
        Remark { fired: true, text: text.into() }
    }

    fn not(text: impl Into<String>) -> Self {
        Remark { fired: false, text: text.into() }
    }
}

impl Watched<'_> {
    /// Whether an output bears a name that somebody looks at.
    fn sees(&self, plan: &Plan, id: NodeId, port: &Port) -> bool {
        plan.streams().any(|(name, node, named)| node == id && named == port && (self.0)(name))
    }

    /// Whether only one input reads an output, and nobody else looks at it.
    fn has_one_reader(&self, plan: &Plan, id: NodeId, port: &Port) -> bool {
        let readers = plan.readers(id).iter().filter(|(_, link)| link.port == *port).count();
        readers == 1 && !self.sees(plan, id, port)
    }
}

/// The operator of a node; none of sources, tables and sinks.
fn operator(plan: &Plan, id: NodeId) -> Option<&dyn Operator> {
    match &plan.node(id).work {
        Work::Operator(operator) => Some(operator.as_ref()),
        Work::Source(_) | Work::Table(_) | Work::Sink(_) => None,
    }
}

/// "`where` of `counts`"
fn place(plan: &Plan, id: NodeId) -> String {
    let node = plan.node(id);
    format!("`{}` of `{}`", node.word(), node.stream)
}
