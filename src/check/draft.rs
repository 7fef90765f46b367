//! A chain while it is being planned: its nodes join the plan only when all of it is done.

use std::collections::BTreeMap;

use millstream_dsl::ast::{ClauseKind, Fate, Ident, Stage};
use millstream_dsl::{Diagnostic, Span};

use crate::check::chains::{Feed, Output, Wiring};
use crate::check::checker::Checker;
use crate::check::expressions::Env;
use crate::check::names::ChainStatement;
use crate::check::seat::Seat;
use crate::check::templates::{Placed, TypedArgument};
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::StageCall;
use crate::plan::graph::{NodeId, Running, Work};
use crate::plan::{Edge, Mode, PlanNode, Planned, Port, RowFate, Scope};

/// The nodes of a chain that is not in the plan yet.
pub(super) struct Draft {
    /// The stream they belong to.
    stream: String,
    nodes: Vec<DraftNode>,
    /// Where the chain stands: rows that come out of what is there so far; none after a mistake.
    pub(super) at: Option<Place>,
    /// What the rows are qualified by.
    qualifier: Option<String>,
    /// Ordinals by call path and kind.
    ordinals: BTreeMap<String, usize>,
    /// The columns that came into each stage so far, and where its word stands.
    passed: Vec<(Vec<String>, Span)>,
    /// Side outputs by name.
    sides: Vec<(Ident, usize, Port, Option<Span>)>,
}

/// An output that is read next.
#[derive(Clone)]
pub(super) struct Place {
    from: From,
    pub(super) edge: Edge,
    pub(super) changes_from: Option<Span>,
}

/// An output, in the plan or in the draft.
#[derive(Clone)]
enum From {
    Plan(NodeId, Port),
    Draft(usize, Port),
}

struct DraftNode {
    node: PlanNode,
    inputs: Vec<From>,
    stage: Option<Stage>,
    /// The name given by `named`, and where.
    named: Option<(String, Span)>,
}

impl Draft {
    pub(super) fn new(stream: String, chain: &ChainStatement<'_>, start: Option<Feed>) -> Self {
        let at = start.map(|feed| Place {
            from: From::Plan(feed.node, feed.port),
            edge: feed.edge,
            changes_from: feed.changes_from,
        });
        let qualifier = chain.chain.alias.as_ref().unwrap_or(&chain.chain.from).name.clone();
        Draft {
            stream,
            nodes: Vec::new(),
            at,
            qualifier: Some(qualifier),
            ordinals: BTreeMap::new(),
            passed: Vec::new(),
            sides: Vec::new(),
        }
    }

    /// The stream / call path / kind / ordinal of a new node.
    fn identity(&mut self, path: &[String], kind: &str) -> String {
        let mut prefix = vec![self.stream.as_str()];
        prefix.extend(path.iter().map(String::as_str));
        prefix.push(kind);
        let prefix = prefix.join("/");
        let ordinal = self.ordinals.entry(prefix.clone()).or_insert(0);
        *ordinal += 1;
        format!("{prefix}/{ordinal}")
    }

    /// Puts the end of the chain in; nothing stands behind it.
    pub(super) fn push_sink(
        &mut self,
        work: Work,
        outputs: BTreeMap<Port, Edge>,
        fates: BTreeMap<Port, RowFate>,
        span: Span,
        word: &str,
    ) {
        let Some(place) = self.at.take() else { return };
        let identity = self.identity(&[], word);
        let node = PlanNode {
            stream: self.stream.clone(),
            identity,
            work,
            outputs,
            fates,
            on_change: None,
            run: Running::default(),
            span,
        };
        self.nodes.push(DraftNode { node, inputs: vec![place.from], stage: None, named: None });
    }

    /// Names an output of the node that was put in last.
    pub(super) fn name_side(&mut self, name: &Ident, port: Port) {
        if let Some(last) = self.nodes.len().checked_sub(1) {
            self.sides.push((name.clone(), last, port, None));
        }
    }

    /// Moves the nodes into the plan and gives the outputs their names.
    pub(super) fn commit(self, chain: &ChainStatement<'_>, wiring: &mut Wiring) {
        let mut ids: Vec<NodeId> = Vec::with_capacity(self.nodes.len());
        for DraftNode { node, inputs, stage, named } in self.nodes {
            let id = wiring.plan.add(node);
            ids.push(id);
            for (input, from) in inputs.into_iter().enumerate() {
                let (source, port) = in_plan(from, &ids);
                wiring.plan.connect(source, port, id, input);
            }
            if let Some(stage) = stage {
                wiring.stages.insert(id, stage);
            }
            if let Some((name, at)) = named {
                wiring.named.insert(name, at);
            }
        }
        for (name, index, port, changes_from) in self.sides {
            output(&name.name, ids[index], port, changes_from, wiring);
        }
        if chain.name.is_none() {
            let label = self.stream.clone();
            let base = label.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end().to_owned();
            *wiring.labels.entry(base).or_insert(0) += 1;
        }
        let Some(name) = chain.name else { return };
        match self.at {
            Some(place) => {
                let (node, port) = in_plan(place.from, &ids);
                wiring.plan.name(&name.name, node, port.clone());
                let feed = Feed { node, port, edge: place.edge, changes_from: place.changes_from };
                wiring.outputs.entry(name.name.clone()).or_insert(Output::Ready(Box::new(feed)));
            }
            None => {
                wiring.outputs.entry(name.name.clone()).or_insert(Output::Broken);
            }
        }
    }
}

fn in_plan(from: From, ids: &[NodeId]) -> (NodeId, Port) {
    match from {
        From::Plan(node, port) => (node, port),
        From::Draft(index, port) => (ids[index], port),
    }
}

/// Gives an output of the plan a name that chains can read.
pub(super) fn output(name: &str, node: NodeId, port: Port, changes_from: Option<Span>, wiring: &mut Wiring) {
    let Some(edge) = wiring.plan.edge(node, &port).cloned() else { return };
    wiring.plan.name(name, node, port.clone());
    wiring.outputs.entry(name.to_owned()).or_insert(Output::Ready(Box::new(Feed { node, port, edge, changes_from })));
}

impl Checker<'_> {
    /// Puts a stage behind the chain; the name of a stream that it has to wait for, if any.
    pub(super) fn add_stage(
        &mut self,
        placed: &Placed,
        arguments: &[&TypedArgument],
        draft: &mut Draft,
        wiring: &Wiring,
    ) -> Option<String> {
        if placed.stage.broken {
            draft.at = None;
            return None;
        }
        let mark = self.problems.mark();
        let shaped = self.shaped(&placed.stage);
        let (Some((entry, options)), Some(place)) = (shaped, draft.at.take()) else {
            draft.at = None;
            self.say_where_used(mark, placed);
            return None;
        };
        let columns = place.edge.schema.names().map(str::to_owned).collect();
        draft.passed.push((columns, placed.stage.name.at.0));
        self.check_typed_arguments(arguments, &place.edge, draft.qualifier.as_deref());
        let call = StageCall { stage: &placed.stage, entry: &entry, options };
        let mut seat = Seat {
            checker: self,
            wiring,
            input: place.edge.clone(),
            input_name: draft.qualifier.clone(),
            changes_from: place.changes_from,
            others: Vec::new(),
            waits_for: None,
            poisoned: false,
            sends_bad: None,
            can_fail: false,
        };
        let planned = (entry.plan)(&call, &mut seat);
        let Seat { others, waits_for, poisoned, sends_bad, can_fail, .. } = seat;
        if waits_for.is_some() {
            return waits_for;
        }
        self.say_where_dropped(mark, draft);
        if let Some(planned) = planned.filter(|_| !poisoned) {
            let failing = Failing { sends_bad, can_fail };
            self.place_stage(placed, planned, place, others, failing, draft, wiring);
            if let Some(last) = draft.nodes.last_mut() {
                last.node.on_change = call.options.text("on_change").map(str::to_owned);
            }
        }
        self.say_where_used(mark, placed);
        None
    }

    fn check_typed_arguments(&mut self, arguments: &[&TypedArgument], edge: &Edge, qualifier: Option<&str>) {
        let scope = Scope { inputs: vec![(qualifier.map(str::to_owned), edge.clone())], ..Scope::default() };
        for argument in arguments {
            let slot = self.type_of(&argument.ty);
            let typed = self.typed(&argument.value, &mut Env::new(&scope));
            self.fitted(typed, &slot);
        }
    }

    /// A column that is gone shows the stage that did not keep it.
    fn say_where_dropped(&mut self, mark: usize, draft: &Draft) {
        for problem in self.problems.take_since(mark) {
            let name = self.text(problem.span());
            let had = |(columns, _): &&(Vec<String>, Span)| columns.iter().any(|c| c == name);
            let dropper = draft.passed.iter().rev().find(had).filter(|_| problem.code == "unknown-column");
            self.report(match dropper {
                Some((_, stage)) => {
                    let word = self.text(*stage);
                    problem.also(*stage, format!("`{word}` does not keep `{name}`"))
                }
                None => problem,
            });
        }
    }

    /// A mistake within a defined stage shows the call as well.
    fn say_where_used(&mut self, mark: usize, placed: &Placed) {
        let Some(call) = placed.call else { return };
        for problem in self.problems.take_since(mark) {
            let outside = problem.labels.iter().all(|l| l.span != call);
            self.report(if outside { problem.also(call, "used here") } else { problem });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that is known of the stage at this point")]
    fn place_stage(
        &mut self,
        placed: &Placed,
        planned: Planned,
        place: Place,
        others: Vec<Feed>,
        failing: Failing,
        draft: &mut Draft,
        wiring: &Wiring,
    ) {
        let stage = &placed.stage;
        let index = draft.nodes.len();
        let several_inputs = !others.is_empty();
        let turns = matches!(planned.out.mode, Mode::Changes { .. }) && place.edge.mode == Mode::Append;
        let changes_from = match planned.out.mode {
            Mode::Append => None,
            Mode::Changes { .. } if turns => Some(others.iter().find_map(|o| o.changes_from).unwrap_or(stage.at.0)),
            Mode::Changes { .. } => place.changes_from,
        };
        let mut outputs = BTreeMap::from([(Port::Out, planned.out.clone())]);
        let mut fates = BTreeMap::new();
        let mut failing = failing;
        for side in planned.sides {
            match side.name {
                // Its own bad rows, which are not the rows that came in.
                None if side.port == Port::Bad => failing.can_fail = true,
                Some(name) => draft.sides.push((name, index, side.port.clone(), changes_from)),
                None => {
                    fates.insert(side.port.clone(), RowFate::Drop);
                }
            }
            outputs.insert(side.port, side.edge);
        }
        self.check_late(stage, planned.can_be_late, &outputs);
        if failing.can_fail || failing.sends_bad.is_some() {
            outputs.entry(Port::Bad).or_insert_with(|| bad_edge(&place.edge, several_inputs));
        }
        self.check_bad(stage, &failing, index, draft, &mut fates);
        let named = stage.clauses.iter().find_map(|c| match &c.kind {
            ClauseKind::Named(name) => Some((name.name.clone(), name.at.0)),
            _ => None,
        });
        let identity = match &named {
            Some((name, at)) => {
                self.check_state_name(name, *at, draft, wiring);
                name.clone()
            }
            None => draft.identity(&placed.path, planned.operator.word()),
        };
        let node = PlanNode {
            stream: draft.stream.clone(),
            identity,
            work: Work::Operator(planned.operator.into()),
            outputs,
            fates,
            on_change: None,
            run: Running::default(),
            span: planned.span,
        };
        let mut inputs = vec![place.from];
        inputs.extend(others.into_iter().map(|feed| From::Plan(feed.node, feed.port)));
        draft.nodes.push(DraftNode { node, inputs, stage: Some(stage.clone()), named });
        draft.at = Some(Place { from: From::Draft(index, Port::Out), edge: planned.out, changes_from });
        if !planned.keeps_qualifiers {
            draft.qualifier = None;
        }
    }

    fn check_state_name(&mut self, name: &str, at: Span, draft: &Draft, wiring: &Wiring) {
        let in_draft = draft.nodes.iter().filter_map(|n| n.named.as_ref()).find(|(n, _)| n == name).map(|(_, at)| *at);
        if let Some(first) = in_draft.or_else(|| wiring.named.get(name).copied()) {
            self.report(
                Diagnostic::error("duplicate-state-name", at, format!("two stages keep their state as `{name}`"))
                    .label("again")
                    .also(first, "first here")
                    .help(format!("give each its own name:\n  named {name}_2")),
            );
        }
    }

    fn check_late(&mut self, stage: &Stage, can_be_late: bool, outputs: &BTreeMap<Port, Edge>) {
        let clause = stage.clauses.iter().find(|c| matches!(c.kind, ClauseKind::Late(_)));
        match clause {
            Some(clause) if !can_be_late && !outputs.contains_key(&Port::Late) => self.report(
                Diagnostic::error("side-output-misuse", clause.at.0, "no row can be late here")
                    .label("never gets a row")
                    .help("rows are late for windows and bounds in event time only; leave it out"),
            ),
            None if can_be_late => {
                let name = &stage.name.name;
                self.report(
                    Diagnostic::warning(
                        "unhandled-late",
                        stage.name.at.0,
                        format!("`{name}` drops rows that come too late"),
                    )
                    .label("nothing says where they go")
                    .help("give them a name, or say that they are dropped:\n  late to late_rows\n  late drop"),
                );
            }
            _ => {}
        }
    }

    fn check_bad(
        &mut self,
        stage: &Stage,
        failing: &Failing,
        index: usize,
        draft: &mut Draft,
        fates: &mut BTreeMap<Port, RowFate>,
    ) {
        let clause = stage.clauses.iter().find_map(|c| match &c.kind {
            ClauseKind::Bad(fate) => Some((fate, c.at.0)),
            _ => None,
        });
        match clause {
            Some((_, at)) if !failing.can_fail && failing.sends_bad.is_none() => self.report(
                Diagnostic::error("side-output-misuse", at, "no row can be bad here: nothing in this stage can fail")
                    .label("never gets a row")
                    .help("leave it out"),
            ),
            Some((Fate::To(name), _)) => draft.sides.push((name.clone(), index, Port::Bad, None)),
            Some((Fate::Word(word), _)) => {
                fates.insert(Port::Bad, if word.name == "fail" { RowFate::Fail } else { RowFate::Drop });
            }
            None => {
                if let Some(at) = failing.sends_bad {
                    self.report(
                        Diagnostic::warning("unhandled-bad", at, "rows that fail here are dropped")
                            .label("`?` sends them to the bad output, which has no name")
                            .help("add a clause to the stage:\n  bad to bad_rows\n  bad drop"),
                    );
                }
            }
        }
    }
}

/// What of a stage can fail.
struct Failing {
    /// Where rows are sent to the bad output on purpose.
    sends_bad: Option<Span>,
    can_fail: bool,
}

/// What rows look like for which a stage's expression failed: the input's columns and why, or an envelope where
/// there are several inputs.
fn bad_edge(input: &Edge, several_inputs: bool) -> Edge {
    let text = || Slot::required(Type::String);
    let columns = if several_inputs {
        vec![
            Column::new("side", text()),
            Column::new("time", Slot::nullable(Type::Timestamp(None))),
            Column::new("reason", text()),
            Column::new("row", Slot::required(Type::Json)),
        ]
    } else {
        let mut columns = input.schema.columns.clone();
        columns.retain(|c| c.name != "_reason");
        columns.push(Column::new("_reason", text()));
        columns
    };
    let time = input.time.clone().filter(|_| !several_inputs);
    Edge { guarantee: input.guarantee, time, ..Edge::append(Schema::new(columns)) }
}
