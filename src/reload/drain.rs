//! Two texts that share the time between them: windows that start before a moment end by the old text, later ones go by
//! the new. For so long one plan holds both: the new text's, and beside the stage that changed its old one, with what
//! is upstream of it and was changed too.
//!
//! The moment is the first, behind the newest time that the stage's sources gave, at which a window of both texts
//! starts. So no row of it or behind has come before the switch: windows of the new text are whole, those of the old one
//! have the rows they had, and where windows stand back to back every row is in exactly one. Each stage is given the
//! rows that its windows may hold, and of what comes out the windows of its own side are handed on.

mod sides;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Schema, Slot};
use crate::plan::graph::{NodeId, Work};
use crate::plan::memory::{Taking, Windows};
use crate::plan::{Edge, Mode, Operator, Plan, PlanNode, Port};
use crate::reload::meaning::{Meanings, passes};
use sides::{Both, Half, Side};

/// Behind the identity of the old stage, and the names of all that is there for it.
const OLD: &str = " (old)";
/// Starts that are compared, at most, to find one that both texts have.
const STARTS: usize = 10_000;
/// The column that says to which window a row belongs.
const START: &str = "window_start";

/// A plan in which both texts run.
#[derive(Debug)]
pub struct Beside {
    /// The plan.
    pub plan: Plan,
    /// What it takes over.
    pub taking: Taking,
    /// It is over once the watermark of each of these stages has come so far.
    pub until: Vec<Until>,
}

/// When the windows of an old text have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Until {
    /// The stage, by the identity that it has in both texts.
    pub identity: String,
    /// Windows that start before this go by the old text, in microseconds since 1970 UTC.
    pub boundary: i64,
    /// All of them, and those of the new text that are not whole, have ended then.
    pub over: i64,
}

/// Why the open windows of a stage cannot end by the old text, in a plain sentence; none where they can.
pub(super) fn hindrance(old: &Plan, was: NodeId, new: &Plan, is: NodeId) -> Option<String> {
    let (Some(before), Some(after)) = (windows(old, was), windows(new, is)) else {
        return Some("it has no windows of event time that end by themselves, so nothing would ever be over".into());
    };
    if common_start(&*before, &*after, 0).is_none() {
        return Some("windows of the old text and of the new one never start at the same moment".into());
    }
    let tell = |edge: &Edge| edge.schema.columns.iter().map(|c| format!("{}: {}", c.name, c.slot)).collect::<Vec<_>>();
    for (port, edge) in used(new, is) {
        let Some(twin) = old.edge(was, &port) else { continue };
        if !fits(&twin.schema, &edge.schema) || !alike(twin, edge) {
            let (was, is) = (tell(twin), tell(edge));
            let only = |of: &[String], other: &[String]| {
                of.iter().filter(|c| !other.contains(c)).map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")
            };
            let about = match (only(&was, &is), only(&is, &was)) {
                (gone, new) if gone.is_empty() && new.is_empty() => "they stand or change in another way".into(),
                (gone, new) if gone.is_empty() => format!("{new} is new"),
                (gone, new) if new.is_empty() => format!("{gone} is gone"),
                (gone, new) => format!("{gone} was, {new} is"),
            };
            return Some(format!("other columns come out, which cannot be one stream ({about})"));
        }
        let divides = if port == Port::Out { edge.schema.position(START) } else { time_in(new, is, edge) };
        if divides.is_none() {
            return Some("what comes out does not say to which window it belongs".into());
        }
    }
    let back_to_back = before.back_to_back() && after.back_to_back();
    let updates = old.edge(was, &Port::Out).is_some_and(|edge| matches!(edge.mode, Mode::Changes { .. }));
    if updates && !back_to_back && old_windows_differ(&*before, &*after) {
        return Some("updates of windows that overlap could not be told apart".into());
    }
    let mut copied = BTreeMap::new();
    Upstream::of(old, new).copy(was, &mut copied).err()
}

/// Whether a stage has windows that could end, were it not for something else.
pub(super) fn has_windows(plan: &Plan, id: NodeId) -> bool {
    windows(plan, id).is_some()
}

/// The plan for a switch by which the stages that `taking` names are drained; `newest` is the newest time that a source
/// has given. Stages whose sources gave nothing so far just begin anew.
pub fn beside(old: Plan, new: Plan, taking: &Taking, newest: &dyn Fn(&str) -> Option<i64>) -> Result<Beside, String> {
    let mut until = Vec::new();
    for identity in &taking.drains {
        let (Some(was), Some(is)) = (find(&old, identity), find(&new, identity)) else { continue };
        let heard = sources(&old, was).iter().filter_map(|source| newest(source)).max();
        let (Some(before), Some(after), Some(heard)) = (windows(&old, was), windows(&new, is), heard) else { continue };
        let boundary = common_start(&*before, &*after, heard.saturating_add(1));
        let over = boundary.and_then(|at| Some(before.all_ended(at)?.max(after.all_ended(at)?)));
        let (Some(boundary), Some(over)) = (boundary, over) else {
            return Err(format!("`{identity}` cannot be drained: no window of both texts starts behind what has come"));
        };
        until.push(Until { identity: identity.clone(), boundary, over });
    }
    let mut taking = taking.clone();
    let plan = again(old, new, &until, &mut taking)?;
    Ok(Beside { plan, taking, until })
}

/// The same plan anew, for a run that goes on with it.
pub fn resumed(old: Plan, new: Plan, until: &[Until]) -> Result<Plan, String> {
    again(old, new, until, &mut Taking::default())
}

fn again(mut old: Plan, mut plan: Plan, until: &[Until], taking: &mut Taking) -> Result<Plan, String> {
    let mut shared: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    for Until { identity, boundary, .. } in until {
        let lost = || format!("`{identity}` is not what it was");
        let (was, is) = find(&old, identity).zip(find(&plan, identity)).ok_or_else(lost)?;
        let last = windows(&old, was).and_then(|windows| windows.all_ended(*boundary)).ok_or_else(lost)?;
        let copies = Upstream::of(&old, &plan).copy(was, &mut shared)?;
        let mut build = Build { old: &mut old, plan: &mut plan, copied: &mut shared, of: is };
        let copy = build.copies(&copies, was)?;
        build.divide(copy, *boundary, last)?;
        for id in copies.iter().chain([&was]).filter(|id| !passes(&old, **id)) {
            let identity = &old.node(*id).identity;
            taking.states.insert(format!("{identity}{OLD}"), (identity.clone(), None));
        }
    }
    Ok(plan)
}

/// What a plan takes over from the one in which another text ran beside it: everything but that.
pub fn alone(plan: &Plan, until: &[Until]) -> Taking {
    let mut taking = Taking::default();
    for id in plan.ordered() {
        let node = plan.node(id);
        let (stream, identity) = (node.stream.clone(), node.identity.clone());
        match &node.work {
            Work::Source(_) => drop(taking.sources.insert(stream.clone(), stream)),
            Work::Table(_) => drop(taking.tables.insert(stream.clone(), stream)),
            Work::Operator(_) => drop(taking.states.insert(identity.clone(), (identity, None))),
            Work::Sink(_) => drop(taking.sinks.insert(identity.clone(), identity)),
        }
    }
    taking.over = until.iter().map(|until| format!("{}{OLD}", until.identity)).collect();
    taking
}

impl Until {
    /// Whether all windows of the old text have ended, given how far watermarks have come.
    pub fn is_over(&self, mark: &dyn Fn(&str) -> Option<i64>) -> bool {
        let passed = |identity: &str| mark(identity).is_some_and(|mark| mark >= self.over);
        passed(&self.identity) && passed(&format!("{}{OLD}", self.identity))
    }
}

/// The windows of a stage whose watermark moves.
fn windows(plan: &Plan, id: NodeId) -> Option<Box<dyn Windows>> {
    let Work::Operator(operator) = &plan.node(id).work else { return None };
    let [_] = plan.inputs(id).as_slice() else { return None };
    plan.input_edge(id, 0)?.time.as_ref()?.delay?;
    operator.windows()
}

/// The first moment from one on at which a window of either starts.
fn common_start(one: &dyn Windows, other: &dyn Windows, from: i64) -> Option<i64> {
    let mut at = from;
    for _ in 0..STARTS {
        let mine = one.next_start(at)?;
        at = other.next_start(mine)?;
        if at == mine {
            return Some(at);
        }
    }
    None
}

/// Whether windows that start alike end otherwise somewhere.
fn old_windows_differ(one: &dyn Windows, other: &dyn Windows) -> bool {
    let starts = std::iter::successors(one.next_start(0), |at| one.next_start(at.checked_add(1)?));
    starts.take(3).any(|at| {
        let next = at.saturating_add(1);
        other.next_start(at) != Some(at) || one.all_ended(next) != other.all_ended(next)
    })
}

fn find(plan: &Plan, identity: &str) -> Option<NodeId> {
    plan.ordered().into_iter().find(|id| plan.node(*id).identity == identity)
}

/// The sources above a node, by name.
fn sources(plan: &Plan, id: NodeId) -> Vec<String> {
    let above = super::meaning::above(plan, id).into_iter();
    let source = |id: NodeId| match &plan.node(id).work {
        Work::Source(_) => Some(plan.node(id).stream.clone()),
        Work::Table(_) | Work::Operator(_) | Work::Sink(_) => None,
    };
    above.filter_map(source).collect()
}

/// Outputs that somebody reads or that have a name.
fn used(plan: &Plan, id: NodeId) -> Vec<(Port, &Edge)> {
    let read = |port: &Port| {
        let named = plan.streams().any(|(_, node, of)| node == id && of == port);
        named || plan.readers(id).iter().any(|(_, link)| link.port == *port)
    };
    plan.node(id).outputs.iter().filter(|(port, _)| read(port)).map(|(port, edge)| (port.clone(), edge)).collect()
}

/// Whether rows of some columns can stand in others.
fn fits(rows: &Schema, place: &Schema) -> bool {
    let slot = |a: &Slot, b: &Slot| a.ty == b.ty && (b.nullable || !a.nullable);
    let same = |(a, b): (&crate::model::Column, &crate::model::Column)| a.name == b.name && slot(&a.slot, &b.slot);
    rows.columns.len() == place.columns.len() && rows.columns.iter().zip(&place.columns).all(same)
}

fn alike(was: &Edge, is: &Edge) -> bool {
    let time = |edge: &Edge| edge.time.as_ref().map(|time| (time.column.clone(), time.ends_window));
    was.mode == is.mode && time(was) == time(is)
}

/// Where rows that a stage sets aside have the time that they came in with.
fn time_in(plan: &Plan, stage: NodeId, edge: &Edge) -> Option<usize> {
    edge.schema.position(&plan.input_edge(stage, 0)?.time.as_ref()?.column)
}

/// What of an old plan is there in the new one, and what must be copied.
struct Upstream<'a> {
    old: &'a Plan,
    new: &'a Plan,
    meanings: Meanings<'a>,
    /// What leaves each node of the new plan, the nodes nearest to the sources first.
    there: Vec<(u64, NodeId)>,
}

impl<'a> Upstream<'a> {
    fn of(old: &'a Plan, new: &'a Plan) -> Self {
        let meanings = Meanings::new(new);
        let there = new.ordered().into_iter().map(|id| (meanings.output(id), id)).collect();
        Upstream { old, new, meanings: Meanings::new(old), there }
    }

    /// The node of the new plan out of which the same comes.
    fn twin(&self, id: NodeId, port: &Port) -> Option<NodeId> {
        let was = self.old.node(id);
        let same = |twin: NodeId| {
            let is = self.new.node(twin);
            let columns = |edge: Option<&Edge>| edge.map(|edge| edge.schema.clone());
            let itself = match (&was.work, &is.work) {
                (Work::Source(_), Work::Source(_)) | (Work::Table(_), Work::Table(_)) => was.stream == is.stream,
                (Work::Operator(one), Work::Operator(other)) => {
                    let stateful = one.properties().stateful || other.properties().stateful;
                    !stateful || was.identity == is.identity
                }
                _ => false,
            };
            itself && columns(was.outputs.get(port)) == columns(is.outputs.get(port))
        };
        let meaning = self.meanings.output(id);
        self.there.iter().filter(|(there, _)| *there == meaning).map(|(_, id)| *id).find(|id| same(*id))
    }

    /// The nodes of the old plan that a stage needs and the new one has not, each behind those it reads. Notes the twins
    /// of those that it has.
    fn copy(&self, stage: NodeId, twins: &mut BTreeMap<NodeId, NodeId>) -> Result<Vec<NodeId>, String> {
        let mut copies = Vec::new();
        self.above(stage, twins, &mut copies)?;
        Ok(copies)
    }

    fn above(
        &self,
        reader: NodeId,
        twins: &mut BTreeMap<NodeId, NodeId>,
        copies: &mut Vec<NodeId>,
    ) -> Result<(), String> {
        for (id, port) in self.old.inputs(reader) {
            if twins.contains_key(&id) || copies.contains(&id) {
                continue;
            }
            if let Some(twin) = self.twin(id, port) {
                twins.insert(id, twin);
                continue;
            }
            let node = self.old.node(id);
            let place = format!("`{}` of `{}`", node.word(), node.stream);
            let alone = match &node.work {
                _ if passes(self.old, id) => true,
                Work::Operator(operator) => {
                    let properties = operator.properties();
                    if properties.stateful {
                        return Err(format!("{place}, which it reads, remembers something and changed as well"));
                    }
                    !properties.effects
                }
                Work::Source(_) | Work::Table(_) | Work::Sink(_) => false,
            };
            if !alone {
                return Err(format!("{place}, which it reads, is another one now and cannot run beside its old self"));
            }
            self.above(id, twins, copies)?;
            copies.push(id);
        }
        Ok(())
    }
}

/// A plan to which parts of an old one are added.
struct Build<'a> {
    old: &'a mut Plan,
    plan: &'a mut Plan,
    /// Where nodes of the old plan are in this one.
    copied: &'a mut BTreeMap<NodeId, NodeId>,
    /// The stage of the new text.
    of: NodeId,
}

impl Build<'_> {
    /// Copies what a stage needs, and the stage; gives back where that is.
    fn copies(&mut self, needed: &[NodeId], stage: NodeId) -> Result<NodeId, String> {
        for id in needed {
            self.copied(*id)?;
        }
        self.copied(stage)
    }

    fn copied(&mut self, id: NodeId) -> Result<NodeId, String> {
        // Taps and meters would show the rows of the old text a second time.
        if passes(self.old, id)
            && let [(from, Port::Out)] = self.old.inputs(id).as_slice()
            && let Some(from) = self.copied.get(from)
        {
            let from = *from;
            self.copied.insert(id, from);
            return Ok(from);
        }
        let inputs: Vec<_> = self.old.inputs(id).into_iter().map(|(from, port)| (from, port.clone())).collect();
        let span = self.plan.node(self.of).span;
        let node = self.old.node_mut(id);
        let schema = Schema::default();
        let node = PlanNode {
            stream: format!("{}{OLD}", node.stream),
            identity: format!("{}{OLD}", node.identity),
            work: std::mem::replace(&mut node.work, Work::Operator(Arc::new(Both { schema }))),
            outputs: node.outputs.clone(),
            fates: node.fates.clone(),
            on_change: None,
            run: <_>::default(),
            span,
        };
        let copy = self.plan.add(node);
        for (input, (from, port)) in inputs.into_iter().enumerate() {
            let from = self.copied.get(&from).ok_or("a stage of the old text has lost what it reads")?;
            self.plan.connect(*from, port, copy, input);
        }
        self.copied.insert(id, copy);
        Ok(copy)
    }

    /// Gives both stages the rows of their windows, and hands on of either what is its own.
    fn divide(&mut self, copy: NodeId, boundary: i64, last: i64) -> Result<(), String> {
        let lost = || "a stage has lost what it reads".to_owned();
        let of = self.of;
        for (stage, half) in [(copy, Half::Before(last)), (of, Half::From(boundary))] {
            let edge = self.plan.input_edge(stage, 0).cloned().ok_or_else(lost)?;
            let time = edge.time.clone().ok_or_else(lost)?;
            let column = edge.schema.position(&time.column).ok_or_else(lost)?;
            let side = Side { column, ends_window: time.ends_window, half, schema: edge.schema.clone() };
            let (from, port) =
                self.plan.inputs(stage).first().map(|(id, port)| (*id, (*port).clone())).ok_or_else(lost)?;
            let side = self.add(Box::new(side), edge, "rows", stage == copy);
            self.plan.connect(from, port, side, 0);
            self.plan.rewire((side, &Port::Out), stage, 0);
        }
        let used: Vec<_> = used(self.plan, of).into_iter().map(|(port, edge)| (port, edge.clone())).collect();
        for (port, edge) in used {
            let (column, ends_window) = match port {
                Port::Out => (edge.schema.position(START), false),
                _ => {
                    let ends = self.plan.input_edge(of, 0).and_then(|edge| edge.time.as_ref());
                    (time_in(self.plan, of, &edge), ends.is_some_and(|time| time.ends_window))
                }
            };
            let column = column.ok_or_else(lost)?;
            let Some(old) = self.plan.edge(copy, &port).cloned() else { continue };
            // Windows of other lengths may end together, so nothing is known to be there once.
            let edge = Edge { unique: Vec::new(), ..edge };
            let both = self.add(Box::new(Both { schema: edge.schema.clone() }), edge.clone(), "both", false);
            self.plan.redirect((of, &port), (both, &Port::Out));
            for (input, (stage, half, edge)) in
                [(copy, Half::Before(boundary), old), (of, Half::From(boundary), edge)].into_iter().enumerate()
            {
                let side = Side { column, ends_window, half, schema: edge.schema.clone() };
                let side = self.add(Box::new(side), edge, "results", stage == copy);
                self.plan.connect(stage, port.clone(), side, 0);
                self.plan.connect(side, Port::Out, both, input);
            }
        }
        Ok(())
    }

    fn add(&mut self, operator: Box<dyn Operator>, edge: Edge, what: &str, old: bool) -> NodeId {
        let of = self.plan.node(self.of);
        let (stream, identity, span) = (of.stream.clone(), of.identity.clone(), of.span);
        let behind = if old { OLD } else { "" };
        let number = self.plan.len();
        self.plan.add(PlanNode {
            stream: format!("{stream}{behind}"),
            identity: format!("{identity}/drain {what}/{number}{behind}"),
            work: Work::Operator(operator.into()),
            outputs: [(Port::Out, edge)].into(),
            fates: <_>::default(),
            on_change: None,
            run: <_>::default(),
            span,
        })
    }
}
