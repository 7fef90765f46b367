//! From one program to the next, between two batches: everything of the new one that may fail is done first, while the
//! old one is whole; then the things that go on change hands, which cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use millstream_dsl::Span;

use crate::engine::aside::What;
use crate::engine::failure::{EngineError, Failure, Refusal, at};
use crate::engine::first_batch::FirstBatch;
use crate::engine::keyed::Keyed;
use crate::engine::program::{Held, Kind, Program, Step, open_sink};
use crate::engine::session::Session;
use crate::plan::catalog::{Endpoint, EndpointEntry};
use crate::plan::graph::Work;
use crate::plan::memory::Taking;
use crate::plan::operator::NotRunnable;
use crate::plan::{Operator, Plan};

/// Where tasks are that go on.
enum Old {
    /// In the program that runs, at a node.
    Running(usize),
    /// Put aside, under an identity.
    Aside(String),
}

/// What of the state is as it was.
#[derive(Default)]
struct Carried {
    /// Tasks that go on themselves: by node, where they belong and where they are.
    tasks: Vec<(usize, Old)>,
    /// Operators that remember the same under the same name.
    as_before: BTreeSet<String>,
}

/// What came of a switch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Switched {
    /// What a person should know, in sentences.
    pub notes: Vec<String>,
    /// State that nobody took over and that is still there: by identity.
    pub aside: Vec<String>,
}

impl Session {
    /// Goes on by another plan, which takes over what it is told to; everything else begins anew. Where that fails the
    /// session goes on as it was.
    pub fn switch(&mut self, plan: &Plan, taking: &Taking) -> Result<Switched, EngineError> {
        let taking = &self.with_all_columns(plan, taking);
        let inputs = taking.sources.keys().chain(taking.tables.keys()).cloned();
        // Sinks come last: one that is opened anew at the same place must find what the old one held back.
        let sinks = sinks(plan);
        let held =
            Held { inputs: inputs.collect(), sinks: sinks.keys().map(|&identity| identity.to_owned()).collect() };
        let mut next = self.prepared(plan, held)?;
        let batch = self.batches();
        let failed = |(place, failure): (String, Failure)| EngineError::Failed {
            batch,
            place,
            span: <_>::default(),
            error: failure.error,
        };
        self.stays();
        let has_new_sinks = sinks.keys().any(|identity| !taking.sinks.contains_key(*identity));
        let tried = self.opens_sinks() && has_new_sinks && !self.closes_doors(&next, taking);
        let Carried { tasks, as_before } = self.carry_state(plan, taking, &mut next, tried).map_err(failed)?;
        if self.opens_sinks() {
            self.finish_but(taking).map_err(failed)?;
            open_sinks(&mut next, &sinks, taking, &self.opening.history)?;
            knock(&mut next).map_err(failed)?;
        }
        for (new, old) in tasks {
            let old = match &old {
                Old::Running(node) => keyed_at(&mut self.program, *node),
                Old::Aside(identity) => self.aside.get_mut(identity).and_then(|aside| match &mut aside.what {
                    What::Tasks(tasks) => Some(tasks),
                    What::Tables(_) => None,
                }),
            };
            if let (Some(new), Some(old)) = (keyed_at(&mut next, new), old) {
                new.take_over(old);
            }
        }
        self.told.retain(|identity| as_before.contains(identity));
        let (carry, last) = (self.carry.clone(), self.last);
        take_inputs(&mut self.program, &mut next, taking, tried);
        take_sinks(&mut self.program, &mut next, taking);
        let mut switched = Switched::default();
        self.carry_rest(&next, taking, &mut switched);
        self.keep_time(next.every);
        let old = std::mem::replace(&mut self.program, next);
        if tried {
            let (text, told) = (self.text.clone(), self.told.clone());
            self.try_first(FirstBatch::new(old, (carry, last), taking.clone(), text, told));
        } else {
            let text = std::mem::take(&mut self.text);
            self.put_aside(old, &text, taking);
            self.text = text;
        }
        switched.aside = self.aside.keys().cloned().collect();
        Ok(switched)
    }

    /// Whether sources that things are pushed at end here, and others begin: they may stand at the same door, so the old
    /// ones cannot be kept to go on with. What they hold and no batch had is given up anyway.
    fn closes_doors(&self, next: &Program, taking: &Taking) -> bool {
        let pushed = |step: &Step| match step {
            Step::Source(node, intake) if intake.is_pushed_at() => Some(*node),
            _ => None,
        };
        let ends = self.program.steps.iter().filter_map(pushed).any(|node| {
            let name = &self.program.nodes[node].stream;
            !taking.sources.values().any(|old| old == name)
        });
        let begins = |node: usize| !taking.sources.contains_key(&next.nodes[node].stream);
        ends && next.steps.iter().filter_map(pushed).any(begins)
    }

    /// The newest time that a source has given.
    pub fn newest(&self, source: &str) -> Option<i64> {
        self.program.steps.iter().find_map(|step| match step {
            Step::Source(node, intake) if self.program.nodes[*node].stream == source => {
                intake.mark.as_ref()?.heard().values().filter_map(|heard| heard.newest).max()
            }
            _ => None,
        })
    }

    /// How far the watermark of an operator has come, by its identity.
    pub fn mark(&self, identity: &str) -> Option<i64> {
        let node = self.program.nodes.iter().position(|node| node.identity == identity)?;
        self.carry.marks.get(node).copied().flatten()
    }

    /// Lets sinks that do not go on show what they hold back. That may be done again, so it harms nothing where they go
    /// on after all because the new ones cannot be opened.
    fn finish_but(&mut self, taking: &Taking) -> Result<(), (String, Failure)> {
        let goes_on = |identity: &String| taking.sinks.values().any(|old| old == identity);
        let (program, means) = self.split();
        let Program { steps, nodes, .. } = program;
        for step in steps {
            if let Step::Sink(node, outlet, _) = step
                && !goes_on(&nodes[*node].identity)
            {
                let done = outlet.finish(means.clock, means.stop).map_err(at(*node));
                done.map_err(|failure| (nodes[*node].place(), failure))?;
            }
        }
        Ok(())
    }

    /// A source that was told to leave out columns which somebody reads now is opened anew, where it can be read from a
    /// position, and a table is read anew.
    fn with_all_columns(&self, plan: &Plan, taking: &Taking) -> Taking {
        let mut taking = taking.clone();
        for id in plan.ordered() {
            let node = plan.node(id);
            let (Work::Source(endpoint) | Work::Table(endpoint)) = &node.work else { continue };
            let rewinds = matches!(&endpoint.entry, EndpointEntry::Source(entry) if entry.rewinds);
            let lacks = |old: &String| {
                self.program.steps.iter().any(|step| match step {
                    Step::Source(at, intake) if self.program.nodes[*at].stream == *old => {
                        !intake.left_out.is_subset(&node.run.unread)
                    }
                    Step::Table(at, reference) if self.program.nodes[*at].stream == *old => {
                        !reference.left_out().is_subset(&node.run.unread)
                    }
                    _ => false,
                })
            };
            if taking.tables.get(&node.stream).is_some_and(lacks) {
                taking.tables.remove(&node.stream);
            }
            if rewinds && taking.sources.get(&node.stream).is_some_and(lacks) {
                let moved = taking.sources.remove_entry(&node.stream);
                taking.positions.extend(moved);
            }
        }
        taking
    }

    /// Loads the state that is carried over into the tasks of the new program. What is left are tasks that go on as
    /// they are. `copied`: none does, the old ones stay whole.
    fn carry_state(
        &self,
        plan: &Plan,
        taking: &Taking,
        next: &mut Program,
        copied: bool,
    ) -> Result<Carried, (String, Failure)> {
        let operators = operators(plan);
        let mut carried = Carried::default();
        let Program { steps, nodes, .. } = next;
        for (node, keyed) in steps.iter_mut().flat_map(Step::keyed_mut) {
            let of = &nodes[*node];
            let stateful = operators.get(of.identity.as_str()).is_some_and(|op| op.properties().stateful);
            let (from, moved) = match taking.states.get(&of.identity) {
                Some((from, moved)) => (from, moved.as_ref()),
                // It remembers nothing that counts, but may hold a program that runs or a table that was hashed.
                None if !stateful => (&of.identity, None),
                None => continue,
            };
            let mut before = self.program.keyed();
            let running = before.find(|(old, _)| self.program.nodes[*old].identity == *from);
            let running = running.map(|(old, tasks)| (Old::Running(old), tasks));
            let aside = self.aside.get(from).filter(|_| running.is_none());
            let tasks = running.or_else(|| match &aside?.what {
                What::Tasks(tasks) => Some((Old::Aside(from.clone()), tasks)),
                What::Tables(_) => None,
            });
            if let Some((Old::Running(_), tasks)) = &tasks
                && moved.is_none()
                && *from == of.identity
                && keyed.remembers_like(tasks)
            {
                carried.as_before.insert(of.identity.clone());
            }
            let tasks = match tasks {
                Some((old, tasks)) if moved.is_none() && keyed.is_like(tasks) && !copied => {
                    carried.tasks.push((*node, old));
                    continue;
                }
                tasks => tasks.map(|(_, tasks)| tasks),
            };
            if !stateful {
                continue;
            }
            let failed = |failure| (of.place(), failure);
            let op = operators.get(of.identity.as_str());
            let mut hand = |tables| {
                let tables = match (moved, op) {
                    (Some(moved), Some(op)) => op.migrated(moved, tables)?,
                    _ => tables,
                };
                let mut tables = tables.into_iter();
                tables.try_for_each(|table| keyed.arrive(table))
            };
            let mut handed = match (tasks, aside) {
                (Some(tasks), _) => tasks.each_saved(&mut hand),
                (None, Some(aside)) => aside.tables().and_then(hand),
                // It was put aside for too long, or never remembered anything.
                (None, None) => continue,
            };
            if handed.is_ok() {
                handed = keyed.arrived(&self.pool);
            }
            handed.map_err(at(*node)).map_err(failed)?;
        }
        Ok(carried)
    }

    /// With another interval ticks are counted from here on: those that it would have had before were never due.
    fn keep_time(&mut self, every: i64) {
        if every > 0 && every != self.program.every {
            let tick = self.now().div_euclid(every) * every;
            self.last = self.last.map(|last| last.max(tick));
        }
    }

    /// Watermarks and rows that are to come in again.
    fn carry_rest(&mut self, next: &Program, taking: &Taking, switched: &mut Switched) {
        let before = &self.program.nodes;
        let old_of = |identity: &String| {
            let from = taking.states.get(identity).map_or(identity, |(from, _)| from);
            before.iter().position(|node| node.identity == *from)
        };
        let mark = |node: &crate::engine::program::Node| {
            if node.kind != Kind::Operator {
                return None;
            }
            old_of(&node.identity).and_then(|old| self.carry.marks.get(old).copied().flatten())
        };
        self.carry.marks = next.nodes.iter().map(mark).collect();
        let mut rejected = BTreeMap::new();
        for (old, rows) in std::mem::take(&mut self.carry.rejected) {
            let identity = &self.program.nodes[old].identity;
            let taken = |new: &String| taking.sinks.get(new).unwrap_or(new) == identity;
            let place = next.steps.iter().find_map(|step| match step {
                Step::Sink(node, outlet, _) if taken(&next.nodes[*node].identity) => Some((*node, outlet)),
                _ => None,
            });
            match place.filter(|(_, outlet)| rows.iter().all(|rows| outlet.rejects(rows))) {
                Some((node, _)) => {
                    rejected.insert(node, rows);
                }
                None => {
                    let count: usize = rows.iter().map(arrow::array::RecordBatch::num_rows).sum();
                    let sink = self.program.nodes[old].place();
                    switched.notes.push(format!("{count} rows that {sink} refused have nowhere to go any more"));
                }
            }
        }
        self.carry.rejected = rejected;
    }
}

/// The sinks of a plan, by identity.
fn sinks(plan: &Plan) -> BTreeMap<&str, (&Endpoint, Span)> {
    let sink = |id| match &plan.node(id).work {
        Work::Sink(endpoint) => Some((plan.node(id).identity.as_str(), (endpoint, plan.node(id).span))),
        Work::Source(_) | Work::Table(_) | Work::Operator(_) => None,
    };
    plan.ordered().into_iter().filter_map(sink).collect()
}

/// Opens the sinks that do not come from the old program.
fn open_sinks(
    next: &mut Program,
    sinks: &BTreeMap<&str, (&Endpoint, Span)>,
    taking: &Taking,
    history: &str,
) -> Result<(), EngineError> {
    let mut refused = Vec::new();
    let Program { steps, nodes, .. } = next;
    for step in steps {
        let Step::Sink(node, outlet, _) = step else { continue };
        let identity = nodes[*node].identity.as_str();
        let Some((endpoint, span)) = sinks.get(identity).filter(|_| !taking.sinks.contains_key(identity)) else {
            continue;
        };
        match open_sink(endpoint, identity, history) {
            Ok(sink) => outlet.put(sink),
            Err(NotRunnable(message)) => refused.push(Refusal { span: *span, message }),
        }
    }
    if refused.is_empty() { Ok(()) } else { Err(EngineError::Refused(refused)) }
}

/// Sinks that are new must be there.
fn knock(next: &mut Program) -> Result<(), (String, Failure)> {
    let Program { steps, nodes, .. } = next;
    for step in steps {
        if let Step::Sink(node, outlet, _) = step {
            outlet.knock().map(drop).map_err(at(*node)).map_err(|failure| (nodes[*node].place(), failure))?;
        }
    }
    Ok(())
}

fn operators(plan: &Plan) -> BTreeMap<&str, &dyn Operator> {
    let operator = |id| match &plan.node(id).work {
        Work::Operator(operator) => Some((plan.node(id).identity.as_str(), operator.as_ref())),
        Work::Source(_) | Work::Table(_) | Work::Sink(_) => None,
    };
    plan.ordered().into_iter().filter_map(operator).collect()
}

fn keyed_at(program: &mut Program, node: usize) -> Option<&mut Keyed> {
    program.steps.iter_mut().flat_map(Step::keyed_mut).find(|(at, _)| *at == node).map(|(_, keyed)| keyed)
}

/// Hands sources and tables over. `back`: it must be possible to give them back, so what the old program reads is read.
pub(super) fn take_inputs(old: &mut Program, next: &mut Program, taking: &Taking, back: bool) {
    let Program { steps, nodes, queues, .. } = next;
    for step in steps {
        match step {
            Step::Source(node, intake) => {
                let of = &nodes[*node];
                let itself = taking.sources.get(&of.stream);
                let Some(from) = itself.or(taking.positions.get(&of.stream)) else { continue };
                let mut before = old.steps.iter_mut().filter_map(|step| match step {
                    Step::Source(node, intake) if old.nodes[*node].stream == *from => Some(intake),
                    _ => None,
                });
                if let Some(before) = before.next() {
                    let both = || of.unread.intersection(&before.left_out).copied().collect();
                    let unread = if back { both() } else { of.unread.clone() };
                    intake.take_over(before, itself.is_some(), &unread);
                }
                if let Some(queue) = itself.and_then(|_| old.queues.remove(from)) {
                    queues.insert(of.stream.clone(), queue);
                }
            }
            Step::Table(node, reference) => {
                let of = &nodes[*node];
                let Some(from) = taking.tables.get(&of.stream) else { continue };
                let mut before = old.steps.iter_mut().filter_map(|step| match step {
                    Step::Table(node, reference) if old.nodes[*node].stream == *from => Some(reference),
                    _ => None,
                });
                if let Some(before) = before.next() {
                    reference.take_over(before, &of.unread);
                }
                if let Some(queue) = old.queues.remove(from) {
                    queues.insert(of.stream.clone(), queue);
                }
            }
            Step::Compute(_) | Step::Sink(..) => {}
        }
    }
}

pub(super) fn take_sinks(old: &mut Program, next: &mut Program, taking: &Taking) {
    let Program { steps, nodes, .. } = next;
    for step in steps {
        let Step::Sink(node, outlet, _) = step else { continue };
        let Some(from) = taking.sinks.get(&nodes[*node].identity) else { continue };
        let mut before = old.steps.iter_mut().filter_map(|step| match step {
            Step::Sink(node, outlet, _) if old.nodes[*node].identity == *from => Some(outlet),
            _ => None,
        });
        if let Some(before) = before.next() {
            outlet.take_over(before);
        }
    }
}
