//! Streams and sinks to nodes of the plan, in the order in which they need each other. Side outputs are streams
//! too, wherever in the text they are defined, so a chain that waits for another is tried again after it.

use std::collections::{BTreeMap, BTreeSet};

use millstream_dsl::ast::{ClauseKind, Fate, Ident, Stage};
use millstream_dsl::{Diagnostic, Span, suggest};

use crate::check::checker::{Checker, Space, some_of};
use crate::check::draft::Draft;
use crate::check::names::{ChainStatement, FlowKind};
use crate::check::substitute::may_read;
use crate::check::templates::Unfolded;
use crate::plan::catalog::Names;
use crate::plan::graph::NodeId;
use crate::plan::{Edge, Plan, Port};

/// What has been planned so far.
#[derive(Default)]
pub(super) struct Wiring {
    pub(super) plan: Plan,
    /// Every source, table, stream and side output that is done.
    pub(super) outputs: BTreeMap<String, Output>,
    /// What was written, by node: for warnings that point into a stage.
    pub(super) stages: BTreeMap<NodeId, Stage>,
    /// Identities that were given by `named`, and where.
    pub(super) named: BTreeMap<String, Span>,
    /// What sinks write to, and where.
    pub(super) targets: BTreeMap<String, Span>,
    /// How often a label of a chain without a name was used.
    pub(super) labels: BTreeMap<String, usize>,
}

/// A planned source, table, stream or side output.
#[derive(Debug, Clone)]
pub(super) enum Output {
    Ready(Box<Feed>),
    /// Its mistake has been reported.
    Broken,
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    pub(super) node: NodeId,
    pub(super) port: Port,
    pub(super) edge: Edge,
    /// The stage that made changes of rows.
    pub(super) changes_from: Option<Span>,
}

/// What came of planning a chain.
pub(super) enum Outcome {
    Done,
    /// It needs a stream that is not planned yet.
    WaitsFor(String),
}

impl Checker<'_> {
    /// Plans every chain.
    pub(super) fn plan_chains(&mut self, wiring: &mut Wiring) {
        let chains = self.names.chains.clone();
        let unfolded: Vec<Unfolded> = chains.iter().map(|c| self.unfold(&c.chain.stages)).collect();
        for (index, (chain, unfolded)) in chains.iter().zip(&unfolded).enumerate() {
            for name in self.side_names(chain, unfolded) {
                self.define_flow(&name, FlowKind::Side(index));
            }
        }
        let reads: Vec<Vec<usize>> = chains.iter().zip(&unfolded).map(|(c, u)| self.chains_read(c, u)).collect();
        let outputs = self.outputs_by_chain(chains.len());
        let mut left: BTreeSet<usize> = (0..chains.len()).collect();
        let mut waits: BTreeMap<usize, String> = BTreeMap::new();
        loop {
            let before = left.len();
            for index in in_order(&reads) {
                if !left.contains(&index) {
                    continue;
                }
                match self.plan_chain(&chains[index], &unfolded[index], wiring) {
                    Outcome::Done => {
                        left.remove(&index);
                        waits.remove(&index);
                        break_missing(&outputs[index], wiring);
                    }
                    Outcome::WaitsFor(name) => {
                        waits.insert(index, name);
                    }
                }
            }
            if left.is_empty() {
                break;
            }
            if left.len() == before {
                let circle = self.report_cycle(&chains, &left, &waits);
                for index in circle {
                    left.remove(&index);
                    break_missing(&outputs[index], wiring);
                }
            }
        }
    }

    /// The names of the streams that leave a chain by the side.
    fn side_names(&self, chain: &ChainStatement<'_>, unfolded: &Unfolded) -> Vec<Ident> {
        let mut found = Vec::new();
        let fates = |kind: &ClauseKind| match kind {
            ClauseKind::Late(Fate::To(name)) | ClauseKind::Bad(Fate::To(name)) => Some(name.clone()),
            ClauseKind::Rejected(Fate::To(name)) | ClauseKind::Else(Fate::To(name)) => Some(name.clone()),
            // `late late_rows`, whose `to` is missing: the mistake is reported, the name is known.
            ClauseKind::Late(Fate::Word(word)) | ClauseKind::Bad(Fate::Word(word)) if !is_fate(word) => {
                Some(word.clone())
            }
            _ => None,
        };
        for placed in &unfolded.stages {
            let entry = self.catalog.stages.iter().find(|e| e.doc.name == placed.stage.name.name);
            if entry.is_some_and(|e| e.arity.names == Names::Streams) {
                found.extend(placed.stage.args.iter().filter_map(|a| a.names.first().cloned()));
            }
            found.extend(placed.stage.clauses.iter().filter_map(|c| fates(&c.kind)));
        }
        let into = chain.into.iter().flat_map(|into| &into.clauses);
        found.extend(into.filter_map(|c| fates(&c.kind)));
        found
    }

    /// The chains whose outputs this one may read.
    fn chains_read(&self, chain: &ChainStatement<'_>, unfolded: &Unfolded) -> Vec<usize> {
        let names = may_read(chain.chain, unfolded.stages.iter().map(|p| &p.stage));
        let found = names.iter().filter_map(|name| match self.names.flows.get(name)?.kind {
            FlowKind::Stream(index) | FlowKind::Side(index) => Some(index),
            _ => None,
        });
        found.collect()
    }

    /// The names of what comes out of each chain.
    fn outputs_by_chain(&self, count: usize) -> Vec<Vec<String>> {
        let mut outputs = vec![Vec::new(); count];
        for (name, flow) in &self.names.flows {
            if let FlowKind::Stream(index) | FlowKind::Side(index) = flow.kind {
                outputs[index].push(name.clone());
            }
        }
        outputs
    }

    /// Nothing can go on: reports a circle and says which chains are in it.
    fn report_cycle(
        &mut self,
        chains: &[ChainStatement<'_>],
        left: &BTreeSet<usize>,
        waits: &BTreeMap<usize, String>,
    ) -> Vec<usize> {
        let Some(&first) = left.first() else { return Vec::new() };
        let next = |index: usize| match self.names.flows.get(waits.get(&index)?)?.kind {
            FlowKind::Stream(index) | FlowKind::Side(index) => Some(index),
            _ => None,
        };
        let mut path = vec![first];
        let mut at = first;
        while let Some(index) = next(at) {
            if let Some(start) = path.iter().position(|i| *i == index) {
                path.drain(..start);
                break;
            }
            path.push(index);
            at = index;
        }
        let start = path.iter().copied().min().unwrap_or(first);
        let place = |index: usize| chains[index].name.map_or(chains[index].chain.from.at.0, |name| name.at.0);
        let named = |index: usize| chains[index].name.map_or_else(|| "a sink".to_owned(), |n| format!("`{}`", n.name));
        let message = match path.len() {
            1 => format!("stream {} reads itself", named(start)),
            _ => format!("stream {} leads back to itself", named(start)),
        };
        let mut problem = Diagnostic::error("cycle", place(start), message)
            .label(format!("reads `{}`", waits.get(&start).map_or("", String::as_str)))
            .help("text order is dataflow order: a stream reads what stands before it; rows that are to come again go through a sink and a source");
        for index in path.iter().copied().filter(|i| *i != start) {
            problem = problem.also(place(index), format!("reads `{}`", waits.get(&index).map_or("", String::as_str)));
        }
        self.report(problem);
        path
    }

    /// Plans one chain, or says what it waits for. What it reported while waiting is forgotten.
    fn plan_chain(&mut self, chain: &ChainStatement<'_>, unfolded: &Unfolded, wiring: &mut Wiring) -> Outcome {
        let mark = self.problems.mark();
        let from = &chain.chain.from;
        let start = match wiring.outputs.get(&from.name) {
            Some(Output::Ready(feed)) => Some((**feed).clone()),
            Some(Output::Broken) => None,
            None if self.is_broken(&from.name) => None,
            None if self.names.flows.contains_key(&from.name) => return Outcome::WaitsFor(from.name.clone()),
            None => {
                self.unknown_stream(from);
                None
            }
        };
        self.mark_used(Space::Flow, &from.name);
        let start = start.filter(|_| self.is_stream(from));
        let mut draft = Draft::new(self.chain_label(chain, wiring), chain, start);
        for (position, placed) in unfolded.stages.iter().enumerate() {
            let before = position.checked_sub(1).and_then(|before| unfolded.stages.get(before));
            let next = unfolded.stages.get(position + 1);
            if self.follows_group(before, placed) || self.group_by(placed, next) {
                draft.at = None;
                continue;
            }
            let arguments: Vec<_> = unfolded.arguments.iter().filter(|a| a.before == position).collect();
            if let Some(waits_for) = self.add_stage(placed, &arguments, &mut draft, wiring) {
                self.problems.take_since(mark);
                return Outcome::WaitsFor(waits_for);
            }
        }
        if let Some(into) = chain.into {
            self.add_sink(into, chain, &mut draft, wiring);
        }
        draft.commit(chain, wiring);
        Outcome::Done
    }

    /// Whether a statement that could not be read defines the name.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.names.flows.get(name).is_some_and(|flow| flow.kind == FlowKind::Broken)
    }

    /// A table cannot start a chain: it has no batches of its own.
    fn is_stream(&mut self, from: &Ident) -> bool {
        let Some(flow) = self.names.flows.get(&from.name).copied() else { return false };
        if !matches!(flow.kind, FlowKind::Table(_)) {
            return true;
        }
        self.report(
            Diagnostic::error(
                "table-as-stream",
                from.at.0,
                format!("`{}` is a table, which has no batches of its own", from.name),
            )
            .label("a stream is wanted here")
            .also(flow.at, "defined as a table")
            .help(format!(
                "read it as a source, or join a stream with it:\n  source {0} = ...\n  |> join {0} using ...",
                from.name
            )),
        );
        false
    }

    /// What the nodes of a chain belong to: its stream, or where it ends.
    fn chain_label(&self, chain: &ChainStatement<'_>, wiring: &Wiring) -> String {
        match (chain.name, chain.into) {
            (Some(name), _) => name.name.clone(),
            (None, into) => {
                let label = format!("{} into {}", chain.chain.from.name, into.map_or("", |i| i.name.name.as_str()));
                match wiring.labels.get(&label) {
                    Some(count) => format!("{label} {}", count + 1),
                    None => label,
                }
            }
        }
    }

    /// Reports a name that is no stream, source or table.
    pub(super) fn unknown_stream(&mut self, name: &Ident) {
        let flows = || self.names.flows.keys().map(String::as_str);
        let problem = Diagnostic::error("unknown-stream", name.at.0, format!("stream `{}` does not exist", name.name))
            .label("not known");
        // Among very many names a suggestion takes its time, and after very many mistakes nobody reads it.
        let patience = self.problems.mark() < 100 || self.names.flows.len() < 100;
        let problem = match suggest::closest(&name.name, flows().filter(|_| patience)) {
            Some(close) => problem.help(format!("did you mean `{close}`?")).edit(name.at.0, close),
            None if self.names.flows.is_empty() => {
                problem.help(format!("define it:\n  source {} = files(\"data/*.json\")", name.name))
            }
            None => {
                let all = some_of(flows());
                problem.help(format!("the streams, sources and tables are {all}"))
            }
        };
        self.report(problem);
    }
}

/// Outputs that a planned chain should have had and has not: a mistake in it was reported.
fn break_missing(names: &[String], wiring: &mut Wiring) {
    for name in names {
        wiring.outputs.entry(name.clone()).or_insert(Output::Broken);
    }
}

/// Whether a word behind `late` or `bad` can be what becomes of rows.
fn is_fate(word: &Ident) -> bool {
    ["drop", "fail", "null", "ignore", "keep"].contains(&word.name.as_str())
}

/// The chains, each after those it may read, as far as that goes; ties in the order of the text.
fn in_order(reads: &[Vec<usize>]) -> Vec<usize> {
    let mut ordered = Vec::with_capacity(reads.len());
    let mut state = vec![0_u8; reads.len()];
    for start in 0..reads.len() {
        let mut stack = vec![(start, 0)];
        while let Some((index, child)) = stack.pop() {
            if child == 0 {
                if state[index] != 0 {
                    continue;
                }
                state[index] = 1;
            }
            match reads[index].get(child) {
                Some(next) => {
                    stack.push((index, child + 1));
                    if state[*next] == 0 {
                        stack.push((*next, 0));
                    }
                }
                None => {
                    state[index] = 2;
                    ordered.push(index);
                }
            }
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_come_after_those_they_read_and_circles_do_not_hang() {
        assert_eq!(in_order(&[vec![2], vec![], vec![1]]), [1, 2, 0]);
        assert_eq!(in_order(&[vec![1], vec![0]]).len(), 2);
        assert_eq!(in_order(&[vec![0]]), [0]);
    }
}
