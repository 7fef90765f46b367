//! What is defined and never used: streams, sources, types, constants, functions, stages, columns; and chains that
//! start alike. Only asked of programs without errors: a misspelt name leaves another one unused.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use millstream_dsl::ast::{ExprKind, Ident, StepKind, TypeKind};
use millstream_dsl::{Diagnostic, Span};

use crate::check::chains::Wiring;
use crate::check::checker::{Checker, Space};
use crate::check::names::{ChainStatement, FlowKind};
use crate::plan::catalog::{Names, find};
use crate::plan::graph::{NodeId, Work};
use crate::plan::{Edge, PlanNode, Port};

/// Which columns of an output somebody needs.
#[derive(Debug, Clone, Default)]
struct Needed {
    all: bool,
    columns: BTreeSet<String>,
}

impl Needed {
    fn has(&self, column: &str) -> bool {
        self.all || self.columns.contains(column)
    }
}

/// Needs by output.
type Needs = BTreeMap<(NodeId, Port), Needed>;

impl Checker<'_> {
    /// A pipeline that writes nothing computes nothing.
    pub(super) fn check_output(&mut self) {
        let has_sink = self.names.chains.iter().any(|c| c.into.is_some());
        if has_sink || self.program.incomplete || self.names.pipelines.is_empty() {
            return;
        }
        let last = self.names.chains.iter().rev().find_map(|c| c.name).map_or("lines", |n| n.name.as_str());
        self.report(
            Diagnostic::error(
                "no-output",
                self.header.at,
                "the pipeline has no sink, so that nothing would be computed",
            )
            .label("writes nothing")
            .help(format!("for a first look:\n  from {last} |> into console")),
        );
    }

    /// Warns of everything that is defined and never used.
    pub(super) fn warn_unused(&mut self, wiring: &Wiring) {
        self.warn_unused_flows();
        self.warn_unused_definitions();
        self.warn_repeated();
        self.warn_unused_columns(wiring);
    }

    fn is_used(&self, space: Space, name: &str) -> bool {
        self.used.contains(&(space, name.to_owned()))
    }

    /// Whether a place is in the pipeline's own file: what an import holds need not all be used.
    fn is_own(&self, at: Span) -> bool {
        self.program.files.first().is_some_and(|f| f.id == at.file)
    }

    fn warn_unused_flows(&mut self) {
        let flows: Vec<_> = self.names.flows.iter().map(|(name, flow)| (name.clone(), *flow)).collect();
        for (name, flow) in flows {
            if self.is_used(Space::Flow, &name) || !self.is_own(flow.at) || self.only_splits(flow.kind) {
                continue;
            }
            let problem = match flow.kind {
                FlowKind::Broken => continue,
                FlowKind::Source(_) | FlowKind::Table(_) => {
                    let kind = if matches!(flow.kind, FlowKind::Table(_)) { "table" } else { "source" };
                    Diagnostic::warning("unused-source", flow.at, format!("{kind} `{name}` is never read"))
                        .label("nobody reads it")
                        .help(format!("read it, or take it out:\n  from {name} |> into console"))
                }
                FlowKind::Stream(_) | FlowKind::Side(_) | FlowKind::BadInput(_) => {
                    Diagnostic::warning("unused-stream", flow.at, format!("stream `{name}` is never read"))
                        .label("reaches no sink and no other stream")
                        .help(format!("write it somewhere, or take it out:\n  from {name} |> into console"))
                }
            };
            self.report(problem);
        }
    }

    /// A stream that ends in a `split` lives in its branches.
    fn only_splits(&self, kind: FlowKind) -> bool {
        let FlowKind::Stream(index) = kind else { return false };
        let last = self.names.chains.get(index).and_then(|c| c.chain.stages.last());
        let entry = last.and_then(|s| find(&self.catalog.stages, &s.name.name));
        entry.is_some_and(|e| e.arity.names == Names::Streams)
    }

    fn warn_unused_definitions(&mut self) {
        let values = self.names.values.iter().map(|(name, v)| (Space::Value, "constant", name, v.span()));
        let functions = self.names.functions.iter().map(|(name, f)| (Space::Function, "function", name, f.at));
        let stages = self.names.stages.iter().map(|(name, s)| (Space::Stage, "stage", name, s.name.at.0));
        let types = self.names.types.iter().map(|(name, t)| (Space::Type, "type", name, t.at));
        let unused = values.chain(functions).chain(stages).chain(types);
        let unused: Vec<_> = unused
            .filter(|(space, _, name, at)| !self.is_used(*space, name) && self.is_own(*at))
            .map(|(_, kind, name, at)| (kind, name.clone(), at))
            .collect();
        for (kind, name, at) in unused {
            let message = format!("{kind} `{name}` is never used");
            self.report(
                Diagnostic::warning("unused-definition", at, message)
                    .label("nothing refers to it")
                    .help("use it, or take it out"),
            );
        }
    }

    /// Two chains that start with the same stages could share them under a name.
    fn warn_repeated(&mut self) {
        let mut first_by_text: BTreeMap<(String, String), ChainStatement<'_>> = BTreeMap::new();
        for chain in self.names.chains.clone() {
            let Some(stage) = chain.chain.stages.first() else { continue };
            let text: String = self.text(stage.at.0).split_whitespace().collect();
            let twin = match first_by_text.entry((chain.chain.from.name.clone(), text)) {
                Entry::Vacant(place) => {
                    place.insert(chain);
                    continue;
                }
                Entry::Occupied(twin) => *twin.get(),
            };
            if twin.chain.alias != chain.chain.alias || twin.chain.stages.first() != Some(stage) {
                continue;
            }
            let pairs = twin.chain.stages.iter().zip(&chain.chain.stages);
            let common = pairs.take_while(|(a, b)| a == b).count();
            let (first, last) = (chain.chain.stages[0].at.0, chain.chain.stages[common - 1].at.0);
            let (twin_first, twin_last) = (twin.chain.stages[0].at.0, twin.chain.stages[common - 1].at.0);
            let from = &chain.chain.from.name;
            let text = self.text(first.to(last));
            let stages = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            self.report(
                Diagnostic::warning("repeated-pipeline", first.to(last), "these stages stand here a second time")
                    .label("the same as above")
                    .also(twin_first.to(twin_last), "the first time")
                    .help(format!("give them a name and start both chains from it:\n  stream {from}_prepared = from {from} |> {stages}")),
            );
        }
    }

    fn warn_unused_columns(&mut self, wiring: &Wiring) {
        let needs = needs(wiring, &self.tested_streams());
        for id in wiring.plan.ordered() {
            let node = wiring.plan.node(id);
            let is_read = wiring.plan.readers(id).iter().any(|(_, link)| link.port == Port::Out);
            let Some(edge) = node.outputs.get(&Port::Out).filter(|_| is_read) else { continue };
            let needed = needs.get(&(id, Port::Out)).cloned().unwrap_or_default();
            for column in edge.schema.columns.iter().filter(|c| !needed.has(&c.name)) {
                if edge.time.as_ref().is_some_and(|t| t.column == column.name) {
                    continue;
                }
                if let Some(at) = self.place_of(id, node, &column.name, wiring)
                    && self.is_own(at)
                {
                    let name = &column.name;
                    let problem = Diagnostic::warning(
                        "unused-column",
                        at,
                        format!("column `{name}` of `{}` is never used", node.stream),
                    );
                    self.report(problem.label("no sink gets it and no expression reads it").help("take it out"));
                }
            }
        }
    }

    /// Streams whose rows a test compares: all their columns are looked at.
    fn tested_streams(&self) -> Vec<String> {
        let steps = self.names.tests.iter().flat_map(|t| t.steps);
        let tested = steps.filter_map(|s| match &s.kind {
            StepKind::Expect { of, .. } => Some(of.name.clone()),
            _ => None,
        });
        tested.collect()
    }

    /// Where a node brings a column in by name; none where it comes from further up or was not asked for.
    fn place_of(&self, id: NodeId, node: &PlanNode, column: &str, wiring: &Wiring) -> Option<Span> {
        match &node.work {
            Work::Source(_) | Work::Table(_) => self.declared_at(&node.stream, column),
            Work::Sink(_) => None,
            Work::Operator(_) => {
                let inputs = wiring.plan.inputs(id);
                let passed = inputs
                    .iter()
                    .any(|(from, port)| wiring.plan.edge(*from, port).is_some_and(|e| e.schema.get(column).is_some()));
                let stage = wiring.stages.get(&id).filter(|_| !passed)?;
                let names = stage.args.iter().flat_map(|a| &a.names);
                names.filter(|n| n.name == column).map(|n: &Ident| n.at.0).next()
            }
        }
    }

    /// Where the schema of a source or table names a column.
    fn declared_at(&self, input: &str, column: &str) -> Option<Span> {
        let statement = self.names.inputs.iter().find(|i| i.input.name.name == input)?;
        let schema = statement.input.from.options.entries.iter().find(|e| e.name.name == "schema")?;
        match &schema.value.kind {
            ExprKind::Struct(record) => record.fields.iter().find(|f| f.name.name == column).map(|f| f.name.at.0),
            ExprKind::Name(name) => {
                let users = self.names.inputs.iter().flat_map(|i| &i.input.from.options.entries);
                let shared = users.filter(|e| matches!(&e.value.kind, ExprKind::Name(n) if n == name)).count() > 1;
                let ty = self.names.types.get(name)?.ty.filter(|_| !shared)?;
                match &ty.kind {
                    TypeKind::Struct { fields, .. } => {
                        fields.iter().find(|f| f.name.name == column).map(|f| f.name.at.0)
                    }
                    TypeKind::Named { .. } => None,
                }
            }
            _ => None,
        }
    }
}

/// From the sinks back to the sources: what each output's readers need of it.
fn needs(wiring: &Wiring, tested: &[String]) -> Needs {
    let plan = &wiring.plan;
    let mut needs = Needs::new();
    for (name, id, port) in plan.streams() {
        if tested.iter().any(|t| t == name) {
            needs.entry((id, port.clone())).or_default().all = true;
        }
    }
    for id in plan.ordered().into_iter().rev() {
        let node = plan.node(id);
        let inputs: Vec<_> = plan.inputs(id).into_iter().map(|(from, port)| (from, port.clone())).collect();
        let edges: Vec<&Edge> = inputs.iter().filter_map(|(from, port)| plan.edge(*from, port)).collect();
        let wanted = wanted_of_inputs(node, &edges, |port| needs.get(&(id, port.clone())).cloned().unwrap_or_default());
        for (input, wanted) in inputs.into_iter().zip(wanted) {
            let entry = needs.entry(input).or_default();
            entry.all |= wanted.all;
            entry.columns.extend(wanted.columns);
        }
    }
    needs
}

fn wanted_of_inputs(node: &PlanNode, inputs: &[&Edge], needed: impl Fn(&Port) -> Needed) -> Vec<Needed> {
    let everything = || vec![Needed { all: true, columns: BTreeSet::new() }; inputs.len()];
    let Work::Operator(operator) = &node.work else { return everything() };
    let properties = operator.properties();
    let Some(reads) = properties.reads else { return everything() };
    let mut wanted = vec![Needed::default(); inputs.len()];
    for index in reads {
        let mut offset = 0;
        for (input, edge) in inputs.iter().enumerate() {
            if let Some(column) = index.checked_sub(offset).and_then(|i| edge.schema.columns.get(i)) {
                wanted[input].columns.insert(column.name.clone());
                break;
            }
            offset += edge.schema.columns.len();
        }
    }
    for (port, out) in &node.outputs {
        let needed = needed(port);
        if port != &Port::Out && inputs.len() > 1 && (needed.all || !needed.columns.is_empty()) {
            return everything();
        }
        let repeats = properties.repeats.as_ref().filter(|_| matches!(port, Port::Out | Port::Branch(_)));
        for (position, column) in out.schema.columns.iter().enumerate().filter(|(_, c)| needed.has(&c.name)) {
            if let Some(from) = repeats.and_then(|repeats| repeats.get(position)) {
                if let Some((input, column)) = from
                    && let Some(column) = inputs.get(*input).and_then(|edge| edge.schema.columns.get(*column))
                {
                    wanted[*input].columns.insert(column.name.clone());
                }
                continue;
            }
            for (input, edge) in inputs.iter().enumerate() {
                let same_place =
                    edge.schema.columns.get(position).filter(|_| edge.schema.columns.len() == out.schema.columns.len());
                if let Some(from) = edge.schema.get(&column.name).or(same_place) {
                    wanted[input].columns.insert(from.name.clone());
                }
            }
        }
    }
    wanted
}
