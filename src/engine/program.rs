//! A plan made ready to run: everything opened, operators put into the stages that the plan asks for. What cannot be
//! run is found out here, all of it, before anything starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millstream_dsl::Span;

use crate::engine::chain::Link;
use crate::engine::failure::Refusal;
use crate::engine::intake::{Intake, Reference};
use crate::engine::keyed::Keyed;
use crate::engine::later;
use crate::engine::outlet::Outlet;
use crate::engine::queue::Queue;
use crate::engine::room::Room;
use crate::plan::catalog::{Endpoint, EndpointEntry};
use crate::plan::graph::{NodeId, Work};
use crate::plan::operator::{NotRunnable, Task, TaskError};
use crate::plan::seams::{Giver, Limits, Position, Positions, Read, Sink, Source, Split};
use crate::plan::{Operator, Plan, Port, RowFate};

/// An output of a node.
pub(super) type Slot = (usize, Port);

/// A plan made ready.
pub(super) struct Program {
    /// In the order of the plan.
    pub(super) nodes: Vec<Node>,
    /// In an order in which each finds its input.
    pub(super) steps: Vec<Step>,
    /// The batch interval in microseconds.
    pub(super) every: i64,
    /// At most so many bytes are remembered.
    pub(super) state_limit: Option<u64>,
    /// How many steps read each output.
    pub(super) readers: BTreeMap<Slot, usize>,
    /// Where streams meet, the watermark of the fastest holds.
    pub(super) fastest: bool,
    /// Outputs that are looked at from outside, by name.
    pub(super) watched: BTreeMap<String, Slot>,
    /// The ends where rows are handed in, by source or table.
    pub(super) queues: BTreeMap<String, Queue>,
}

/// What a program is to be beside what the plan says.
#[derive(Clone, Default)]
pub(super) struct Setup {
    /// Into how many partitions rows are brought together.
    pub(super) partitions: usize,
    /// Where state is put that is too much for memory; nowhere for none.
    pub(super) room: Option<Arc<Room>>,
    /// Sources and tables are queues instead of what the text says.
    pub(super) queued: bool,
    /// These are, where not all are; a batch takes one block of theirs where their option `one_at_a_time` says so.
    pub(super) handed: BTreeSet<String>,
    /// A batch takes one queued block of a source.
    pub(super) one_at_a_time: bool,
    /// Sinks are left closed: nobody wants what they would write.
    pub(super) without_sinks: bool,
    /// In what batches are numbered, for sinks that note it.
    pub(super) history: String,
    /// Which named outputs are looked at from outside.
    pub(super) watch: Watch,
    /// Sources, tables and sinks that are open already and will be put in: they are not opened.
    pub(super) held: Held,
}

/// What is not to be opened, because it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    /// Sources and tables by name.
    pub(super) inputs: BTreeSet<String>,
    /// Sinks by identity.
    pub(super) sinks: BTreeSet<String>,
}

/// Which named outputs somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Watch {
    /// None.
    #[default]
    Nothing,
    /// Every stream, source and side output that has a name.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Watch {
    /// Whether a name is among them.
    pub fn wants(&self, name: &str) -> bool {
        match self {
            Watch::Nothing => false,
            Watch::All => true,
            Watch::Only(names) => names.contains(name),
        }
    }
}

/// What is known of an operation beside what runs.
pub(super) struct Node {
    /// The stream it belongs to.
    pub(super) stream: String,
    /// The user's word for it.
    pub(super) word: String,
    pub(super) span: Span,
    pub(super) kind: Kind,
    /// What its state is kept under.
    pub(super) identity: String,
    /// Whose watermarks hold its own back.
    pub(super) marked_by: Vec<usize>,
    /// How far behind its mark rows may leave it.
    pub(super) lag: i64,
    /// Columns of what leaves it that nobody reads.
    pub(super) unread: BTreeSet<usize>,
    /// What was said about rows that do not go the straight way.
    pub(super) fates: BTreeMap<Port, RowFate>,
}

impl Program {
    /// Everything that gathers rows or remembers some, with its node.
    pub(super) fn keyed(&self) -> impl Iterator<Item = (usize, &Keyed)> {
        let keyed = self.steps.iter().filter_map(|step| match step {
            Step::Compute(stage) => Some(stage.then.iter().chain(&stage.also)),
            _ => None,
        });
        keyed.flatten().map(|(node, keyed)| (*node, keyed))
    }

    /// What gathers rows or remembers some under an identity.
    pub(super) fn keyed_named(&mut self, identity: &str) -> Option<&mut Keyed> {
        let Program { steps, nodes, .. } = self;
        steps
            .iter_mut()
            .flat_map(Step::keyed_mut)
            .find(|(node, _)| nodes[*node].identity == identity)
            .map(|(_, keyed)| keyed)
    }

    /// Everything that remembers something notes what changes from now on.
    pub(super) fn track(&mut self) {
        self.steps.iter_mut().flat_map(Step::keyed_mut).for_each(|(_, keyed)| keyed.track());
    }
}

impl Node {
    /// "`where` of `counts`"
    pub(super) fn place(&self) -> String {
        format!("`{}` of `{}`", self.word, self.stream)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Table,
    Operator,
    Sink,
}

/// What runs.
pub(super) enum Step {
    /// Rows come in.
    Source(usize, Intake),
    /// Rows that are there in every batch.
    Table(usize, Reference),
    /// Rows are changed.
    Compute(Stage),
    /// Rows go out.
    Sink(usize, Outlet, Slot),
}

impl Step {
    /// What gathers rows or remembers some in it, with its node.
    pub(super) fn keyed_mut(&mut self) -> impl Iterator<Item = &mut (usize, Keyed)> {
        let stage = if let Step::Compute(stage) = self { Some(stage) } else { None };
        stage.into_iter().flat_map(|stage| stage.then.iter_mut().chain(&mut stage.also))
    }

    /// The same, when nothing else of it is needed any more.
    pub(super) fn into_keyed(self) -> impl Iterator<Item = (usize, Keyed)> {
        let stage = if let Step::Compute(stage) = self { Some(stage) } else { None };
        stage.into_iter().flat_map(|stage| stage.then.into_iter().chain(stage.also))
    }
}

/// Operators that run without waiting for each other, up to one that gathers.
pub(super) struct Stage {
    /// Where its rows come from; several only where there is no chain.
    pub(super) inputs: Vec<Slot>,
    /// Which of them are tables.
    pub(super) whole: Vec<bool>,
    /// Inputs whose rows are where they belong already.
    pub(super) in_place: BTreeSet<usize>,
    /// Inputs whose rows come in an order that depends on partitions, where the order matters.
    pub(super) settle: BTreeSet<usize>,
    /// Runs block by block.
    pub(super) chain: Vec<Link>,
    /// Runs partition by partition, behind the chain.
    pub(super) then: Option<(usize, Keyed)>,
    /// These do so too, with the same partial results of a first half.
    pub(super) also: Vec<(usize, Keyed)>,
}

/// Everything in the plan that cannot be run, in plain sentences; nothing is started.
pub fn runnable(plan: &Plan) -> Vec<Refusal> {
    prepare(plan, &Setup { partitions: 1, ..Setup::default() }).err().unwrap_or_default()
}

/// Opens everything.
pub(super) fn prepare(plan: &Plan, setup: &Setup) -> Result<Program, Vec<Refusal>> {
    let order = plan.ordered();
    let mut draft = Draft {
        plan,
        setup,
        numbers: BTreeMap::new(),
        stages: Vec::new(),
        ends: BTreeMap::new(),
        halved: BTreeMap::new(),
        queues: BTreeMap::new(),
    };
    let mut refused = if setup.queued { Vec::new() } else { later::of_plan(plan) };
    let mut nodes = Vec::new();
    let mut places = Vec::new();
    for (number, id) in order.into_iter().enumerate() {
        draft.numbers.insert(id, number);
        nodes.push(draft.node(id));
        match draft.place(id, number) {
            Ok(place) => places.extend(place),
            Err(NotRunnable(message)) => refused.push(Refusal { span: plan.node(id).span, message }),
        }
    }
    if !refused.is_empty() {
        return Err(refused);
    }
    let named = plan.streams().filter(|(name, _, _)| setup.watch.wants(name));
    let watched = named.map(|(name, id, port)| (name.to_owned(), (draft.numbers[&id], port.clone()))).collect();
    let queues = std::mem::take(&mut draft.queues);
    draft.settle_orders();
    let steps = draft.steps(places);
    let readers = readers(&steps);
    let state_limit = plan.header.settings.size("state_limit");
    let fastest = plan.header.settings.text("watermarks") == Some("fastest");
    Ok(Program { nodes, steps, every: plan.header.every, state_limit, readers, fastest, watched, queues })
}

fn readers(steps: &[Step]) -> BTreeMap<Slot, usize> {
    let mut readers = BTreeMap::new();
    for step in steps {
        let inputs = match step {
            Step::Compute(stage) => stage.inputs.as_slice(),
            Step::Sink(_, _, input) => std::slice::from_ref(input),
            Step::Source(..) | Step::Table(..) => &[],
        };
        for slot in inputs {
            *readers.entry(slot.clone()).or_insert(0) += 1;
        }
    }
    readers
}

/// Where a step is kept while the program is drafted.
enum Placed {
    Done(Box<Step>),
    Stage(usize),
}

struct Draft<'a> {
    plan: &'a Plan,
    setup: &'a Setup,
    queues: BTreeMap<String, Queue>,
    numbers: BTreeMap<NodeId, usize>,
    stages: Vec<Option<Stage>>,
    /// Chains that can be made longer, by the node at their end.
    ends: BTreeMap<usize, usize>,
    /// Stages that end in the second half of a node, by the node.
    halved: BTreeMap<usize, usize>,
}

impl Draft<'_> {
    fn node(&self, id: NodeId) -> Node {
        let node = self.plan.node(id);
        let (word, kind) = match &node.work {
            Work::Source(endpoint) => (endpoint.word.clone(), Kind::Source),
            Work::Table(endpoint) => (endpoint.word.clone(), Kind::Table),
            Work::Operator(operator) => (operator.word().to_owned(), Kind::Operator),
            Work::Sink(endpoint) => (endpoint.word.clone(), Kind::Sink),
        };
        let inputs = self.plan.inputs(id).into_iter();
        let timed = inputs.filter(|(from, port)| self.plan.edge(*from, port).is_some_and(|e| e.time.is_some()));
        let lag = if let Work::Operator(operator) = &node.work { operator.properties().mark_lag } else { 0 };
        Node {
            stream: node.stream.clone(),
            identity: node.identity.clone(),
            lag,
            unread: node.run.unread.clone(),
            word,
            span: node.span,
            kind,
            marked_by: timed.filter(|(from, _)| !self.is_table(*from)).map(|(from, _)| self.numbers[&from]).collect(),
            fates: node.fates.clone(),
        }
    }

    fn is_table(&self, id: NodeId) -> bool {
        matches!(self.plan.node(id).work, Work::Table(_))
    }

    fn place(&mut self, id: NodeId, number: usize) -> Result<Option<Placed>, NotRunnable> {
        let step = match &self.plan.node(id).work {
            Work::Source(endpoint) => Step::Source(number, self.intake(id, endpoint)?),
            Work::Table(endpoint) => Step::Table(number, Reference::new(endpoint, self.intake(id, endpoint)?)),
            Work::Operator(operator) => return self.place_operator(id, number, operator),
            Work::Sink(endpoint) => {
                let rejected = self.plan.edge(id, &Port::Rejected).filter(|_| self.is_read(id, &Port::Rejected));
                let held = self.setup.held.sinks.contains(&self.plan.node(id).identity);
                let sink = if self.setup.without_sinks || held { None } else { Some(self.open_sink(id, endpoint)?) };
                let outlet = Outlet::new(&endpoint.settings, sink, rejected);
                let input = self.inputs(id).into_iter().next();
                let input = input.ok_or_else(|| NotRunnable(format!("sink `{}` has no input", endpoint.word)))?;
                Step::Sink(number, outlet, input)
            }
        };
        Ok(Some(Placed::Done(Box::new(step))))
    }

    fn open_sink(&self, id: NodeId, endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
        open_sink(endpoint, &self.plan.node(id).identity, &self.setup.history)
    }

    fn intake(&mut self, id: NodeId, endpoint: &Endpoint) -> Result<Intake, NotRunnable> {
        let header = &self.plan.header;
        let edge = self.plan.edge(id, &Port::Out);
        let handed = self.setup.handed.contains(&self.plan.node(id).stream);
        if self.setup.held.inputs.contains(&self.plan.node(id).stream) {
            return Ok(Intake::new(endpoint, header, Box::new(Elsewhere), edge));
        }
        if self.setup.queued || handed {
            let is_table = self.is_table(id);
            let one_at_a_time = self.setup.one_at_a_time || handed && endpoint.settings.flag("one_at_a_time");
            let queue = self.queues.entry(self.plan.node(id).stream.clone()).or_default();
            let source = if is_table { queue.table() } else { queue.source(one_at_a_time) };
            return Ok(Intake::new(endpoint, header, Box::new(source), edge));
        }
        let mut intake = Intake::new(endpoint, header, open_source(endpoint)?, edge);
        intake.leave_out(&self.plan.node(id).run.unread);
        Ok(intake)
    }

    fn inputs(&self, id: NodeId) -> Vec<Slot> {
        self.plan.inputs(id).into_iter().map(|(from, port)| (self.numbers[&from], port.clone())).collect()
    }

    fn is_read(&self, id: NodeId, port: &Port) -> bool {
        self.plan.readers(id).iter().any(|(_, link)| link.port == *port)
    }

    /// Lengthens the chain it follows, or starts a stage.
    fn place_operator(
        &mut self,
        id: NodeId,
        number: usize,
        operator: &Arc<dyn Operator>,
    ) -> Result<Option<Placed>, NotRunnable> {
        let run = &self.plan.node(id).run;
        if let Some((first, second)) = operator.halves().filter(|_| run.halved) {
            let Task::Rows(task) = first.task()? else {
                return Err(NotRunnable(format!("the first half of `{}` is not made for blocks", operator.word())));
            };
            let then = self.keyed(&Arc::from(second))?;
            if let Some(stage) = run.first_half_of.and_then(|lead| self.halved.get(&self.numbers[&lead]))
                && let Some(stage) = &mut self.stages[*stage]
            {
                stage.also.push((number, then));
                return Ok(None);
            }
            let (stage, placed) = self.chained(id, Link { node: number, task });
            if let Some(stage) = &mut self.stages[stage] {
                stage.then = Some((number, then));
            }
            self.halved.insert(number, stage);
            return Ok(placed);
        }
        match operator.task()? {
            Task::Rows(task) => {
                let (stage, placed) = self.chained(id, Link { node: number, task });
                self.ends.insert(number, stage);
                Ok(placed)
            }
            Task::Keyed(_) => {
                let then = Some((number, self.keyed(operator)?));
                let stage = Stage { in_place: run.in_place.clone(), then, ..self.stage(id) };
                self.stages.push(Some(stage));
                Ok(Some(Placed::Stage(self.stages.len() - 1)))
            }
        }
    }

    fn keyed(&self, operator: &Arc<dyn Operator>) -> Result<Keyed, NotRunnable> {
        Keyed::new(operator, self.setup.partitions, self.setup.room.as_ref())
    }

    /// A stage that reads what the node reads, and does nothing yet.
    fn stage(&self, id: NodeId) -> Stage {
        let whole = self.plan.inputs(id).into_iter().map(|(from, _)| self.is_table(from)).collect();
        Stage {
            inputs: self.inputs(id),
            whole,
            in_place: BTreeSet::new(),
            settle: BTreeSet::new(),
            chain: Vec::new(),
            then: None,
            also: Vec::new(),
        }
    }

    /// Puts a link behind the chain it reads, where the plan says so; else at the front of a stage of its own.
    fn chained(&mut self, id: NodeId, link: Link) -> (usize, Option<Placed>) {
        let inputs = self.inputs(id);
        if let [(from, Port::Out)] = inputs.as_slice()
            && self.plan.node(id).run.fused
            && let Some(stage) = self.ends.get(from).copied()
            && self.sole_reader(id)
            && !self.is_unsettled(id)
            && !self.setup_watches(*from)
            && let Some(open) = &mut self.stages[stage]
        {
            open.chain.push(link);
            self.ends.remove(from);
            return (stage, None);
        }
        let stage = Stage { chain: vec![link], ..self.stage(id) };
        self.stages.push(Some(stage));
        let stage = self.stages.len() - 1;
        (stage, Some(Placed::Stage(stage)))
    }

    /// Whether somebody outside wants to see what leaves a node, so that it cannot vanish within a chain.
    fn setup_watches(&self, node: usize) -> bool {
        let mut named = self.plan.streams().filter(|(name, _, _)| self.setup.watch.wants(name));
        named.any(|(_, id, port)| self.numbers.get(&id) == Some(&node) && *port == Port::Out)
    }

    /// Finds the stages that begin where the order of rows matters, but depends on partitions.
    fn settle_orders(&mut self) {
        let ids: BTreeMap<usize, NodeId> = self.numbers.iter().map(|(id, number)| (*number, *id)).collect();
        let settle = |stage: &Stage| -> BTreeSet<usize> {
            let first = stage.chain.first().map(|link| link.node).or(stage.then.as_ref().map(|(node, _)| *node));
            if !first.is_some_and(|first| self.is_unsettled(ids[&first])) {
                return BTreeSet::new();
            }
            let inputs = stage.inputs.iter().enumerate().filter(|(i, _)| !stage.in_place.contains(i));
            inputs.filter(|(_, (from, _))| self.plan.is_loose(ids[from])).map(|(i, _)| i).collect()
        };
        let settled: Vec<_> = self.stages.iter().map(|stage| stage.as_ref().map(settle).unwrap_or_default()).collect();
        for (stage, settle) in self.stages.iter_mut().zip(settled) {
            if let Some(stage) = stage {
                stage.settle = settle;
            }
        }
    }

    /// Whether the order in which rows come to an operator matters there, but depends on partitions. Such an operator
    /// begins a stage, so that the rows are put in order by the columns it sees, fused or not.
    fn is_unsettled(&self, id: NodeId) -> bool {
        let Work::Operator(operator) = &self.plan.node(id).work else { return false };
        operator.properties().order_matters
            && self.plan.inputs(id).into_iter().any(|(from, _)| self.plan.is_loose(from))
    }

    fn sole_reader(&self, id: NodeId) -> bool {
        let Some((from, port)) = self.plan.inputs(id).into_iter().next() else { return false };
        self.plan.readers(from).iter().filter(|(_, link)| link.port == *port).count() == 1
    }

    fn steps(mut self, places: Vec<Placed>) -> Vec<Step> {
        let step = |place| match place {
            Placed::Done(step) => Some(*step),
            Placed::Stage(stage) => self.stages[stage].take().map(Step::Compute),
        };
        places.into_iter().filter_map(step).collect()
    }
}

/// Stands where a source will be put that is open already.
struct Elsewhere;

impl Source for Elsewhere {
    fn discover(&mut self, _: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        Err(TaskError::Bug("a source that goes on was not put in".into()))
    }

    fn read(&mut self, _: &Split, _: &Position, _: &Limits) -> Result<Read, TaskError> {
        Err(TaskError::Bug("a source that goes on was not put in".into()))
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }
}

fn open_source(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    match &endpoint.entry {
        EndpointEntry::Source(entry) => (entry.open)(endpoint),
        EndpointEntry::Sink(_) => Err(NotRunnable(format!("`{}` is a sink, not a source", endpoint.word))),
    }
}

/// Opens a sink, which learns whose batches it is given.
pub(super) fn open_sink(endpoint: &Endpoint, identity: &str, history: &str) -> Result<Box<dyn Sink>, NotRunnable> {
    match &endpoint.entry {
        EndpointEntry::Sink(entry) => {
            let mut sink = (entry.open)(endpoint)?;
            sink.given_by(&Giver { name: format!("{}/{identity}", endpoint.pipeline), history: history.to_owned() });
            Ok(sink)
        }
        EndpointEntry::Source(_) => Err(NotRunnable(format!("`{}` is a source, not a sink", endpoint.word))),
    }
}
