//! A plan cut into stages: what happens to rows between two places where they are moved.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::graph::{NodeId, Plan, Work};
use crate::plan::operator::Distribution;
use crate::plan::{Operator, Port};

/// What happens without rows being moved.
#[derive(Debug)]
pub(crate) struct Stage {
    /// How its rows lie.
    pub(crate) start: String,
    /// Each behind the one it reads, where that is of the same stage.
    pub(crate) steps: Vec<Step>,
}

/// An operation, or half of one.
#[derive(Debug)]
pub(crate) struct Step {
    /// Which.
    pub(crate) id: NodeId,
    /// Whether it is all of it.
    pub(crate) half: Half,
    /// What it does.
    pub(crate) text: String,
    /// The first operation of the pass it belongs to; none where it is by itself.
    pub(crate) pass: Option<NodeId>,
    /// Its rows were moved to come here.
    pub(crate) moved_here: bool,
    /// Where its rows are moved to, and how.
    pub(crate) moves: Vec<String>,
    /// The step of this stage it reads.
    parent: Option<usize>,
}

/// How much of an operation a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// All.
    Whole,
    /// What is done before rows are moved.
    First,
    /// What is done behind.
    Second,
}

/// Cuts a plan.
pub(crate) fn cut(plan: &Plan) -> Vec<Stage> {
    let mut cut = Cut { plan, stages: Vec::new(), places: BTreeMap::new(), passes: BTreeMap::new() };
    for id in plan.ordered() {
        match &plan.node(id).work {
            Work::Source(_) => cut.starts(id, "rows come in", Half::Whole, None, false),
            Work::Table(_) => cut.starts(id, "a table, read anew when it changes", Half::Whole, None, false),
            Work::Sink(_) => cut.follows(id),
            Work::Operator(operator) => cut.operator(id, operator.as_ref()),
        }
    }
    cut.finished()
}

struct Cut<'a> {
    plan: &'a Plan,
    stages: Vec<Stage>,
    /// Stage and step of each operation; of its second half, where it has two.
    places: BTreeMap<NodeId, (usize, usize)>,
    /// The first operation of each one's pass.
    passes: BTreeMap<NodeId, NodeId>,
}

impl Cut<'_> {
    fn operator(&mut self, id: NodeId, operator: &dyn Operator) {
        let properties = operator.properties();
        let run = &self.plan.node(id).run;
        let inputs = self.plan.inputs(id);
        if properties.row_wise {
            let pass = inputs.first().filter(|_| run.fused).and_then(|(from, _)| self.passes.get(from)).copied();
            self.passes.insert(id, pass.unwrap_or(id));
            return self.follows(id);
        }
        let whole = match &properties.distribution {
            Distribution::Beside { whole } => whole.clone(),
            _ => Vec::new(),
        };
        let moved: Vec<_> = (0..inputs.len()).filter(|i| !run.in_place.contains(i) && !whole.contains(i)).collect();
        let stays = matches!(properties.distribution, Distribution::Any | Distribution::Beside { .. });
        let others = moved.iter().map(|i| self.places.get(&inputs[*i].0).map(|(stage, _)| *stage));
        let one_stage = others.collect::<BTreeSet<_>>().len() <= 1;
        let next = self.stages.len() + 1;
        if moved.is_empty() || stays && one_stage {
            let here =
                inputs.iter().enumerate().find(|(i, _)| !whole.contains(i)).map(|(_, (from, _))| self.places[from].0);
            let here = here.map_or(next, |stage| stage + 1);
            whole
                .iter()
                .for_each(|input| self.leaves(inputs[*input].0, format!("whole to every part of stage {here}")));
            return self.follows(id);
        }
        let halves = operator.halves().filter(|_| run.halved);
        let (start, how) =
            moves(self.plan, id, &properties.distribution, halves.as_ref().map(|(_, second)| second.as_ref()));
        match halves {
            Some((first, second)) => {
                let from = inputs[0].0;
                let pass = run.fused.then(|| self.passes.get(&from)).flatten().copied();
                let (stage, parent) = self.places[&from];
                self.stages[stage].steps.push(Step {
                    id,
                    half: Half::First,
                    text: match run.first_half_of {
                        Some(lead) => format!("the partial results of `{}`, used again", self.plan.node(lead).stream),
                        None => first.explain(),
                    },
                    pass: Some(pass.unwrap_or(id)),
                    moved_here: false,
                    moves: vec![format!("{how} to stage {next}")],
                    parent: Some(parent),
                });
                self.starts(id, &start, Half::Second, Some(second.explain()), true);
            }
            None => {
                for input in moved {
                    let how =
                        if inputs.len() > 1 { by_input(self.plan, id, &properties.distribution, input) } else { None };
                    let text = format!("{} to stage {next}", how.as_deref().unwrap_or(&start));
                    self.leaves(inputs[input].0, text);
                }
                whole
                    .iter()
                    .for_each(|input| self.leaves(inputs[*input].0, format!("whole to every part of stage {next}")));
                self.starts(id, &start, Half::Whole, None, true);
            }
        }
    }

    fn leaves(&mut self, from: NodeId, how: String) {
        let (stage, step) = self.places[&from];
        self.stages[stage].steps[step].moves.push(how);
    }

    fn starts(&mut self, id: NodeId, start: &str, half: Half, text: Option<String>, moved_here: bool) {
        let text = text.unwrap_or_else(|| self.plan.node(id).explain());
        let step = Step { id, half, text, pass: None, moved_here, moves: Vec::new(), parent: None };
        self.places.insert(id, (self.stages.len(), 0));
        self.stages.push(Stage { start: start.to_owned(), steps: vec![step] });
    }

    /// Puts an operation into the stage of what it reads.
    fn follows(&mut self, id: NodeId) {
        let inputs = self.plan.inputs(id);
        let table = |from: &NodeId| matches!(self.plan.node(*from).work, Work::Table(_));
        let main = inputs.iter().find(|(from, _)| !table(from)).or(inputs.first());
        let Some((stage, parent)) = main.and_then(|(from, _)| self.places.get(from)).copied() else { return };
        let step = Step {
            id,
            half: Half::Whole,
            text: self.plan.node(id).explain(),
            pass: self.passes.get(&id).copied(),
            moved_here: false,
            moves: Vec::new(),
            parent: Some(parent),
        };
        self.places.insert(id, (stage, self.stages[stage].steps.len()));
        self.stages[stage].steps.push(step);
    }

    /// Every step behind the one it reads; passes of one operation are none.
    fn finished(self) -> Vec<Stage> {
        let mut sizes: BTreeMap<NodeId, usize> = BTreeMap::new();
        for pass in self.stages.iter().flat_map(|stage| &stage.steps).filter_map(|step| step.pass) {
            *sizes.entry(pass).or_insert(0) += 1;
        }
        let ordered = |stage: Stage| {
            let parents: Vec<_> = stage.steps.iter().map(|step| step.parent).collect();
            let mut steps: Vec<Option<Step>> = stage.steps.into_iter().map(Some).collect();
            let mut order = Vec::new();
            let mut open = vec![0];
            while let Some(at) = open.pop() {
                order.extend(steps[at].take());
                // The one that reads the straight output comes first; what is put on last is taken first.
                open.extend((0..parents.len()).rev().filter(|child| parents[*child] == Some(at)));
            }
            order.iter_mut().for_each(|step| step.pass = step.pass.filter(|pass| sizes[pass] > 1));
            Stage { start: stage.start, steps: order }
        };
        self.stages.into_iter().map(ordered).collect()
    }
}

/// How rows lie behind a move, and how they are moved.
fn moves(plan: &Plan, id: NodeId, distribution: &Distribution, second: Option<&dyn Operator>) -> (String, String) {
    let named = by_input(plan, id, distribution, 0);
    let start = match (distribution, second.map(|second| second.properties().distribution)) {
        (Distribution::Partitions { count, by }, _) if by.is_empty() => format!("evenly in {count} partitions"),
        (Distribution::Partitions { count, .. }, _) => format!("{} in {count} partitions", named.unwrap_or_default()),
        (_, Some(Distribution::ByKey(_))) | (Distribution::ByKey(_), None) => {
            named.unwrap_or("by a computed key".into())
        }
        (Distribution::Any, _) => "several streams".to_owned(),
        _ => "all in one place".to_owned(),
    };
    (start.clone(), start)
}

/// The columns by which an input is brought together.
fn by_input(plan: &Plan, id: NodeId, distribution: &Distribution, input: usize) -> Option<String> {
    let columns = match distribution {
        Distribution::ByKey(keys) => keys.get(input)?,
        Distribution::Partitions { by, .. } => by,
        Distribution::Any | Distribution::Single | Distribution::Beside { .. } => return None,
    };
    let schema = &plan.input_edge(id, input)?.schema;
    let names: Vec<_> = columns.iter().filter_map(|i| Some(schema.columns.get(*i)?.name.as_str())).collect();
    (!names.is_empty()).then(|| format!("by {}", names.join(", ")))
}

/// How rows on their way into an input are dealt out.
pub(crate) fn moved_by(plan: &Plan, id: NodeId, input: usize) -> Option<String> {
    let Work::Operator(operator) = &plan.node(id).work else { return None };
    let distribution = operator.properties().distribution;
    let halves = operator.halves().filter(|_| plan.node(id).run.halved);
    let whole = || moves(plan, id, &distribution, halves.as_ref().map(|(_, second)| second.as_ref())).0;
    Some(by_input(plan, id, &distribution, input).unwrap_or_else(whole))
}

/// Whether rows on their way into an input are moved: for pictures.
pub(crate) fn is_moved(plan: &Plan, id: NodeId, input: usize) -> bool {
    let Work::Operator(operator) = &plan.node(id).work else { return false };
    let properties = operator.properties();
    let stays = matches!(properties.distribution, Distribution::Any | Distribution::Beside { .. });
    !properties.row_wise && !stays && !plan.node(id).run.in_place.contains(&input)
}

/// The port as a word; none for the straight way.
pub(crate) fn port_word(port: &Port) -> Option<String> {
    match port {
        Port::Out => None,
        Port::Late => Some("late".into()),
        Port::Bad => Some("bad".into()),
        Port::Rejected => Some("rejected".into()),
        Port::Branch(_) => Some("branch".into()),
    }
}
