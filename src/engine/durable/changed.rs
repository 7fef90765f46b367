//! What became of everything a program remembers in a batch: what a commit says of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::engine::batch::{Carry, Input};
use crate::engine::clock::Clock;
use crate::engine::durable::image::{Owner, Prepared};
use crate::engine::durable::ingest::Logs;
use crate::engine::durable::{failed, positions, when_there_is_room};
use crate::engine::failure::{Failure, at};
use crate::engine::intake::Intake;
use crate::engine::marks::{Heard, Marks};
use crate::engine::program::{Program, Step};
use crate::engine::rate::Rate;
use crate::engine::snapshot::{Head, refused};
use crate::engine::stopping::Stopping;
use crate::plan::operator::{BatchTime, Changes, TaskError};
use crate::plan::seams::{Position, Positions, Split};

/// What a batch is committed with.
#[derive(Debug, Default)]
pub(in crate::engine) struct Changed {
    pub(in crate::engine) head: Head,
    /// Which batch it is.
    pub(in crate::engine) batch: BatchTime,
    /// What became of tables, by owner, with the owner's word.
    pub(in crate::engine) tables: Vec<(Owner, String, Changes)>,
    /// Operators that remember what they did, where everything else is said anew.
    pub(in crate::engine) as_before: BTreeSet<String>,
    /// What sinks will deliver.
    pub(in crate::engine) prepared: Vec<Prepared>,
}

/// What was last said of sources, so that only what is new is said again.
pub(in crate::engine) type Told = BTreeMap<String, BTreeMap<Split, Heard>>;

impl Changed {
    /// Whether nothing became of anything: such a batch need not be kept.
    pub(in crate::engine) fn is_nothing(&self) -> bool {
        self.tables.is_empty() && self.prepared.is_empty()
    }
}

impl Program {
    /// What is small: as it is behind a batch of that number and time.
    pub(in crate::engine) fn head(&self, number: u64, last: Option<i64>, marks: &[Option<i64>]) -> Head {
        let mut head = Head { number, last, ..Head::default() };
        for (node, mark) in self.nodes.iter().zip(marks) {
            head.marks.extend(mark.map(|mark| (node.identity.clone(), mark)));
        }
        for (name, intake) in self.intakes() {
            let settled = intake.mark.as_ref().and_then(|mark| mark.settled);
            head.settled.extend(settled.map(|mark| (name.to_owned(), mark)));
            let rate = intake.rate.as_ref().and_then(Rate::current);
            head.rates.extend(rate.map(|rate| (name.to_owned(), rate)));
        }
        head
    }

    /// Everything as it is between two batches.
    /// `as_before`: operators that need not be told of.
    pub(in crate::engine) fn everything(
        &self,
        head: Head,
        carry: &Carry,
        told: &mut Told,
        as_before: BTreeSet<String>,
    ) -> Result<Changed, Failure> {
        let batch = BatchTime { number: head.number, micros: head.last.unwrap_or_default() };
        let mut tables = Vec::new();
        told.clear();
        for step in &self.steps {
            match step {
                Step::Source(node, intake) => {
                    let name = &self.nodes[*node].stream;
                    let heard = heard(intake);
                    let all = positions::all(positions(intake).iter())
                        .and_then(|all| Ok(vec![all, positions::all_heard(&heard)?]));
                    let all = all.map_err(|e| bug(*node, &e))?;
                    told.insert(name.clone(), heard);
                    tables.push((Owner::Source(name.clone()), String::new(), Changes::All(all)));
                }
                Step::Compute(_) | Step::Table(..) | Step::Sink(..) => {}
            }
        }
        for (node, keyed) in self.keyed() {
            let of = &self.nodes[node];
            if as_before.contains(&of.identity) {
                continue;
            }
            let saved = keyed.save().map_err(at(node))?;
            if !saved.is_empty() {
                tables.push((Owner::State(of.identity.clone()), of.word.clone(), Changes::All(saved)));
            }
        }
        for (node, rows) in &carry.rejected {
            let all = Changes::All(vec![refused(rows.clone())]);
            tables.push((Owner::Rejected(self.nodes[*node].identity.clone()), String::new(), all));
        }
        Ok(Changed { head, batch, tables, as_before, prepared: Vec::new() })
    }

    /// What became of everything in a batch that is computed.
    pub(in crate::engine) fn changed(
        &mut self,
        batch: BatchTime,
        input: &Input,
        marks: &[Marks],
        told: &mut Told,
    ) -> Result<Changed, Failure> {
        let after: Vec<_> = marks.iter().map(|marks| marks.after).collect();
        let mut head = self.head(batch.number + 1, Some(batch.micros), &after);
        let mut tables = Vec::new();
        for step in &self.steps {
            let Step::Source(node, intake) = step else { continue };
            let name = &self.nodes[*node].stream;
            if let Some(mark) = intake.mark.as_ref().and_then(|mark| mark.after(batch.micros)) {
                head.settled.insert(name.clone(), mark);
            }
            let before = told.entry(name.clone()).or_default();
            let changes = source(intake, input, *node, before).map_err(|e| bug(*node, &e))?;
            tables.extend(changes.map(|changes| (Owner::Source(name.clone()), String::new(), changes)));
        }
        let Program { steps, nodes, .. } = self;
        for step in steps {
            let Step::Compute(stage) = step else { continue };
            for (node, keyed) in stage.then.iter_mut().chain(&mut stage.also) {
                let changes = keyed.changes().map_err(at(*node))?;
                if !is_nothing(&changes) {
                    let of = &nodes[*node];
                    tables.push((Owner::State(of.identity.clone()), of.word.clone(), changes));
                }
            }
        }
        Ok(Changed { head, batch, tables, ..Changed::default() })
    }

    /// Sources that things are pushed at keep them from now on. Whether one has a new log.
    pub(in crate::engine) fn keep_received(
        &mut self,
        logs: &mut Logs,
        clock: &dyn Clock,
        stop: &Stopping,
    ) -> Result<bool, Failure> {
        let mut any_new = false;
        for step in &mut self.steps {
            let Step::Source(node, intake) = step else { continue };
            if intake.wants_log() {
                let known = intake.positions();
                let opened = when_there_is_room(clock, stop, "the log of a source", || {
                    logs.open(known).map_err(|trouble| failed(&trouble))
                });
                let (log, is_new) = opened.map_err(at(*node))?;
                intake.keep(Box::new(log));
                any_new |= is_new;
            }
        }
        Ok(any_new)
    }

    /// Takes away the logs that none of its sources has. It may wait for the next start: nothing reads them.
    pub(in crate::engine) fn forget_logs(&self, logs: &mut Logs) {
        if let Err(trouble) = logs.keep_only(self.intakes().flat_map(|(_, intake)| intake.positions().keys())) {
            tracing::warn!(%trouble, "the log of a source that is gone stays for now");
        }
    }

    fn intakes(&self) -> impl Iterator<Item = (&str, &Intake)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Source(node, intake) => Some((self.nodes[*node].stream.as_str(), intake)),
            _ => None,
        })
    }
}

/// What became of a source's positions, and of what is known of its time.
fn source(
    intake: &Intake,
    input: &Input,
    node: usize,
    before: &mut BTreeMap<Split, Heard>,
) -> Result<Option<Changes>, arrow::error::ArrowError> {
    let heard = heard(intake);
    let positions = positions(intake);
    let moved: BTreeSet<&Split> = input.moved(node).filter(|split| positions.contains_key(split)).collect();
    if moved.is_empty() && heard == *before {
        return Ok(None);
    }
    let to = moved.into_iter().filter_map(|split| Some((split, positions.get(split)?)));
    let to: Vec<(&Split, &Position)> = to.collect();
    let tables = vec![positions::moved(to.into_iter())?, positions::heard_anew(&heard, before)?];
    *before = heard;
    Ok(Some(Changes::Some(tables)))
}

/// What is known of the time of its splits.
fn heard(intake: &Intake) -> BTreeMap<Split, Heard> {
    intake.mark.as_ref().map(|mark| mark.heard().clone()).unwrap_or_default()
}

/// How far it was read; what cannot be read again has no place to go on from.
fn positions(intake: &Intake) -> Cow<'_, Positions> {
    if intake.goes_on() { Cow::Borrowed(intake.positions()) } else { Cow::Owned(Positions::new()) }
}

/// Whether nothing changed.
pub(in crate::engine) fn is_nothing(changes: &Changes) -> bool {
    match changes {
        Changes::All(_) => false,
        Changes::Some(tables) => {
            tables.iter().all(|table| table.gone.iter().chain(&table.rows).all(|rows| rows.num_rows() == 0))
        }
    }
}

fn bug(node: usize, error: &arrow::error::ArrowError) -> Failure {
    at(node)(TaskError::Bug(error.to_string()))
}
