//! One micro-batch, read top to bottom: take rows in, compute, stage, commit, deliver, acknowledge.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;

use crate::engine::accounts::{BatchReport, MeterCount, OperatorCount, SinkCount, SourceCount};
use crate::engine::blocks::{blocks_of, bytes_of, settled};
use crate::engine::chain;
use crate::engine::clock::Clock;
use crate::engine::durable::image::Prepared;
use crate::engine::durable::{Durable, Undelivered};
use crate::engine::failure::{Failure, at};
use crate::engine::flow::{Flow, Parts};
use crate::engine::intake::Taken;
use crate::engine::keyed::{self, Keyed, KeyedOut};
use crate::engine::marks::{Marks, Upstream, behind, meet};
use crate::engine::pool::Pool;
use crate::engine::program::{Kind, Node, Program, Slot, Stage, Step};
use crate::engine::rate::Done;
use crate::engine::stopping::Stopping;
use crate::model::size::show_bytes;
use crate::plan::operator::{BatchTime, Held, StepTime, TaskError};
use crate::plan::seams::{Artifact, BadRow, Bell, LeftOut, Split};
use crate::plan::{Port, RowFate};

/// How many unreadable rows of a source are told of in a batch, where nobody takes them.
const TOLD: usize = 3;

/// What a batch works with beside the program.
pub(super) struct Means<'a> {
    pub(super) pool: &'a Pool,
    pub(super) clock: &'a dyn Clock,
    pub(super) stop: &'a Stopping,
    /// At most so many rows a block.
    pub(super) block_rows: usize,
    /// A row that is not accounted for fails the batch.
    pub(super) strict: bool,
}

/// What the sources gave for a batch, by node.
#[derive(Default, Clone)]
pub(super) struct Input {
    taken: BTreeMap<usize, Taken>,
}

impl Input {
    /// The same for a program that has these sources at other nodes, or not at all.
    pub(super) fn renumbered(self, place: impl Fn(usize) -> Option<usize>) -> Self {
        Input { taken: self.taken.into_iter().filter_map(|(node, taken)| Some((place(node)?, taken))).collect() }
    }

    /// The splits of a source that were read further.
    pub(super) fn moved(&self, node: usize) -> impl Iterator<Item = &Split> {
        self.taken.get(&node).into_iter().flat_map(|taken| taken.moved.iter().map(|(split, _, _)| split))
    }

    /// Whether any source gave rows or got further.
    pub(super) fn is_empty(&self) -> bool {
        self.taken.values().all(|t| t.moved.is_empty() && t.blocks.is_empty() && t.bad.is_empty())
    }
}

/// What is kept from batch to batch beside the operators' own state.
#[derive(Default, Clone)]
pub(super) struct Carry {
    /// Rows that sinks refused, to come in again.
    pub(super) rejected: BTreeMap<usize, Vec<RecordBatch>>,
    /// How far the watermark of each node had come.
    pub(super) marks: Vec<Option<i64>>,
}

/// What a sink prepared of a batch.
struct Staged {
    /// The sink's step.
    step: usize,
    /// None where there was nothing to prepare.
    prepared: Option<Artifact>,
    count: SinkCount,
}

/// What a batch ended in.
pub(super) struct Ended {
    pub(super) report: BatchReport,
    /// What the watched outputs gave, by name.
    pub(super) streams: BTreeMap<String, Vec<RecordBatch>>,
}

impl Program {
    /// Takes from every source what the batch may have. `received`: only from those that cannot be read again.
    pub(super) fn intake(
        &mut self,
        now: i64,
        drain: bool,
        received: bool,
        means: &Means<'_>,
    ) -> Result<Input, Failure> {
        let mut input = Input::default();
        for step in &mut self.steps {
            if let Step::Source(node, intake) = step
                && (!received || !intake.rewinds())
            {
                let started = means.clock.ticks();
                let mut taken = intake.take(now, drain, means).map_err(at(*node))?;
                taken.took = means.clock.ticks().saturating_sub(started);
                input.taken.insert(*node, taken);
            }
        }
        Ok(input)
    }

    /// Tells sources of everything that is committed.
    pub(super) fn ack_known(&mut self) -> Result<(), Failure> {
        for step in &mut self.steps {
            if let Step::Source(node, intake) = step {
                intake.ack_known().map_err(at(*node))?;
            }
        }
        Ok(())
    }

    /// Sources take in nothing more from outside.
    pub(super) fn hang_up(&mut self) {
        for step in &mut self.steps {
            if let Step::Source(_, intake) = step {
                intake.hang_up();
            }
        }
    }

    /// Sources are to ring when there is something to read.
    pub(super) fn ring(&mut self, bell: &Bell) {
        for step in &mut self.steps {
            if let Step::Source(_, intake) = step {
                intake.ring(bell);
            }
        }
    }

    /// Sources learn from a batch how fast they may go.
    pub(super) fn learn(&mut self, report: &BatchReport, done: Done) {
        for step in &mut self.steps {
            if let Step::Source(node, intake) = step
                && let Some(rate) = &mut intake.rate
                && let Some(count) = report.sources.iter().find(|count| count.name == self.nodes[*node].stream)
            {
                rate.learn(count.rows, done);
            }
        }
    }

    /// No batch follows: sinks make visible what they hold back.
    pub(super) fn finish(&mut self, means: &Means<'_>) -> Result<(), Failure> {
        for step in &mut self.steps {
            if let Step::Sink(node, outlet, _) = step {
                outlet.finish(means.clock, means.stop).map_err(at(*node))?;
            }
        }
        Ok(())
    }

    /// Whether nothing will ever follow.
    pub(super) fn ended(&self) -> bool {
        self.steps.iter().all(|step| if let Step::Source(_, intake) = step { intake.ended() } else { true })
    }

    /// Whether the end of some source is still waited for.
    pub(super) fn waits(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Source(_, intake) if intake.waits()))
    }

    /// Whether some source has a watermark that windows may wait for.
    pub(super) fn has_marks(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Source(_, intake) if intake.mark.is_some()))
    }

    /// Runs a batch over what was taken in. `close`: no rows will follow, so every window closes.
    pub(super) fn run(
        &mut self,
        batch: BatchTime,
        input: Input,
        close: bool,
        carry: &mut Carry,
        mut durable: Option<&mut Durable>,
        means: &Means<'_>,
    ) -> Result<Ended, Failure> {
        let started = means.clock.ticks();
        let marks = self.marks(&carry.marks, batch.micros, close);
        let watched = self.watched.values().cloned().collect();
        let mut work = Work {
            batch,
            marks,
            means,
            flow: Flow::new(self.readers.clone(), watched),
            report: BatchReport { number: batch.number, time: batch.micros, ..BatchReport::default() },
            counts: self.nodes.iter().map(operator_count).collect(),
        };
        for (node, rows) in std::mem::take(&mut carry.rejected) {
            work.flow.put((node, Port::Rejected), rows);
        }
        let mut input = input;
        let mut outputs = self.compute(&mut work, &mut input)?;
        // What may turn out not to work comes first, while nothing is delivered anywhere else.
        outputs.sort_by_key(|(i, _)| !matches!(&self.steps[*i], Step::Sink(_, outlet, _) if outlet.is_new()));
        work.check_fates(&self.nodes)?;
        if means.strict {
            work.check_accounts(&self.nodes)?;
        }
        let mut stays = Vec::new();
        for (node, keyed) in self.keyed() {
            work.counts[node].held = keyed.held();
            if !keyed.may_be_cold() {
                stays.push(node);
            }
        }
        work.check_limit(&self.nodes, &stays, self.state_limit)?;
        let computed = means.clock.ticks();
        let mut staged = self.stage(&mut work, outputs)?;
        let mut committed = means.clock.ticks();
        if let Some(durable) = &mut durable {
            self.commit(&work, &input, &mut staged, durable)?;
            work.report.phases.commit = means.clock.ticks().saturating_sub(committed);
            committed = means.clock.ticks();
        }
        self.deliver(&mut work, staged, carry, durable)?;
        carry.marks = work.marks.iter().map(|marks| marks.after).collect();
        let mut report = work.report;
        let operators = self.nodes.iter().zip(work.counts).filter(|(node, _)| node.kind == Kind::Operator);
        report.operators = operators.map(|(_, count)| count).collect();
        let delivered = means.clock.ticks();
        self.settle(&input, batch.micros)?;
        report.phases.compute = computed.saturating_sub(started);
        report.phases.stage = committed.saturating_sub(computed).saturating_sub(report.phases.commit);
        report.phases.deliver = delivered.saturating_sub(committed);
        report.phases.settle = means.clock.ticks().saturating_sub(delivered);
        let mut seen = work.flow.into_seen();
        let of = |slot: &Slot| seen.get(slot).cloned().unwrap_or_default();
        let streams = self.watched.iter().map(|(name, slot)| (name.clone(), of(slot))).collect();
        seen.clear();
        Ok(Ended { report, streams })
    }

    /// Runs everything but the sinks; gives back the rows of each sink, by its step. Nothing is delivered before all
    /// of the batch is computed.
    fn compute(&mut self, work: &mut Work<'_>, input: &mut Input) -> Result<Vec<(usize, Vec<RecordBatch>)>, Failure> {
        let mut outputs = Vec::new();
        for (i, step) in self.steps.iter_mut().enumerate() {
            match step {
                Step::Source(node, intake) => {
                    let taken = input.taken.entry(*node).or_default();
                    let count = intake.count(&self.nodes[*node].stream, taken, work.batch.micros);
                    work.source(&self.nodes[*node], *node, taken, count).map_err(at(*node))?;
                }
                Step::Table(node, reference) => {
                    let all = reference.rows(work.batch.micros, work.means).map_err(at(*node))?;
                    work.bad(&self.nodes[*node], *node, &all.bad).map_err(at(*node))?;
                    work.flow.put((*node, Port::Out), all.blocks.iter().cloned());
                }
                Step::Compute(stage) => work.stage(&self.nodes, stage)?,
                Step::Sink(_, _, slot) => outputs.push((i, work.flow.take(slot).into_iter().flatten().collect())),
            }
        }
        Ok(outputs)
    }

    /// Sinks prepare their rows, so that nothing of ours can keep them from being delivered.
    fn stage(&mut self, work: &mut Work<'_>, outputs: Vec<(usize, Vec<RecordBatch>)>) -> Result<Vec<Staged>, Failure> {
        let mut staged = Vec::new();
        for (step, rows) in outputs {
            let Step::Sink(node, outlet, (from, _)) = &mut self.steps[step] else { continue };
            let mut count = SinkCount {
                word: self.nodes[*node].word.clone(),
                stream: self.nodes[*from].stream.clone(),
                rows: rows.iter().map(|r| r.num_rows() as u64).sum(),
                ..SinkCount::default()
            };
            let mut prepared = None;
            if count.rows > 0 || outlet.wants_empty() {
                let started = work.means.clock.ticks();
                let Means { clock, stop, .. } = *work.means;
                prepared = outlet.stage(&work.batch, &rows, &mut count.retries, clock, stop).map_err(at(*node))?;
                count.took = work.means.clock.ticks().saturating_sub(started);
            }
            staged.push(Staged { step, prepared, count });
        }
        Ok(staged)
    }

    /// From here on the batch counts, whatever happens. Waits while the disk is full.
    fn commit(
        &mut self,
        work: &Work<'_>,
        input: &Input,
        staged: &mut [Staged],
        durable: &mut Durable,
    ) -> Result<(), Failure> {
        let mut changed = self.changed(work.batch, input, &work.marks, durable.told())?;
        for Staged { step, prepared, .. } in staged.iter_mut() {
            let something = prepared.as_ref().filter(|artifact| is_something(artifact));
            if let (Step::Sink(node, ..), Some(artifact)) = (&self.steps[*step], something) {
                let (sink, rows) = (self.nodes[*node].identity.clone(), artifact.rows);
                changed.prepared.push(Prepared { sink, rows, bytes: artifact.bytes.clone() });
            }
        }
        let Means { clock, stop, .. } = *work.means;
        durable.commit(changed, clock, stop).map_err(at(usize::MAX))
    }

    /// Sinks make it visible; what they refuse comes in again.
    fn deliver(
        &mut self,
        work: &mut Work<'_>,
        staged: Vec<Staged>,
        carry: &mut Carry,
        durable: Option<&mut Durable>,
    ) -> Result<(), Failure> {
        let (mut sinks, mut rejected) = (Vec::new(), Vec::new());
        for Staged { step, prepared, mut count } in staged {
            let Step::Sink(node, outlet, _) = &mut self.steps[step] else { continue };
            if let Some(artifact) = prepared {
                let started = work.means.clock.ticks();
                let Means { clock, stop, .. } = *work.means;
                let refused = outlet.deliver(&work.batch, &artifact, &mut count.retries, clock, stop);
                let refused = refused.map_err(at(*node))?;
                count.took += work.means.clock.ticks().saturating_sub(started);
                count.rejected = refused.iter().map(|r| r.num_rows() as u64).sum();
                let identity = self.nodes[*node].identity.clone();
                if !refused.is_empty() {
                    rejected.push((identity.clone(), refused.clone()));
                    carry.rejected.insert(*node, refused);
                }
                // What was not committed, because there is nothing in it, need not be told of.
                if is_something(&artifact) {
                    sinks.push(identity);
                }
            }
            work.report.sinks.push(count);
        }
        if let Some(durable) = durable.filter(|_| !sinks.is_empty()) {
            durable.done(work.batch, sinks, &rejected).map_err(at(usize::MAX))?;
        }
        Ok(())
    }

    /// Delivers batches that were committed before the process ended and may not have been delivered; each sink knows
    /// what it has of them. A sink that has more than was committed belongs to another past.
    pub(super) fn catch_up(
        &mut self,
        committed: u64,
        undelivered: Vec<Undelivered>,
        carry: &mut Carry,
        durable: &mut Durable,
        notes: &mut Vec<String>,
        means: &Means<'_>,
    ) -> Result<(), Failure> {
        for step in &mut self.steps {
            let Step::Sink(node, outlet, _) = step else { continue };
            if let Some(ahead) = outlet.knock().map_err(at(*node))?.filter(|batch| *batch >= committed) {
                let why = format!(
                    "the sink has batch {ahead} already, but the checkpoint ends before it: its end was lost; restore \
                     the checkpoint, or clear the sink and begin with a new one"
                );
                return Err(at(*node)(TaskError::Stop(why)));
            }
        }
        for Undelivered { batch, prepared } in undelivered {
            let (mut sinks, mut rejected, mut rows) = (Vec::new(), Vec::new(), 0);
            for Prepared { sink, rows: count, bytes } in prepared {
                let place = self.steps.iter_mut().find_map(|step| match step {
                    Step::Sink(node, outlet, _) if self.nodes[*node].identity == sink => Some((*node, outlet)),
                    _ => None,
                });
                let Some((node, outlet)) = place else {
                    let why = format!("batch {} was committed for the sink `{sink}`, which is not there", batch.number);
                    return Err(at(usize::MAX)(TaskError::Stop(why)));
                };
                let artifact = Artifact { bytes, rows: count };
                let refused = outlet.deliver(&batch, &artifact, &mut 0, means.clock, means.stop).map_err(at(node))?;
                if !refused.is_empty() {
                    rejected.push((sink.clone(), refused.clone()));
                    carry.rejected.insert(node, refused);
                }
                sinks.push(sink);
                rows += count;
            }
            durable.done(batch, sinks, &rejected).map_err(at(usize::MAX))?;
            let number = batch.number;
            notes
                .push(format!("batch {number} was committed before the last run ended: its {rows} rows are delivered"));
        }
        for step in &mut self.steps {
            if let Step::Sink(node, outlet, _) = step {
                outlet.sweep().map_err(at(*node))?;
            }
        }
        Ok(())
    }

    /// The watermarks of every node, from what was before and what the sources have heard.
    pub(super) fn marks(&self, before: &[Option<i64>], now: i64, close: bool) -> Vec<Marks> {
        let mut marks = vec![Marks::default(); self.nodes.len()];
        let mut sleeps = vec![false; self.nodes.len()];
        for step in &self.steps {
            if let Step::Source(node, intake) = step
                && let Some(mark) = &intake.mark
            {
                let after = if close { Some(StepTime::END) } else { mark.after(now) };
                marks[*node] = Marks { before: mark.settled, after };
                sleeps[*node] = mark.sleeps(now) && !close;
            }
        }
        for (i, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.kind != Kind::Source) {
            let upstream = |from: &usize| Upstream {
                after: behind(marks[*from].after, self.nodes[*from].lag),
                sleeps: sleeps[*from],
            };
            let inputs: Vec<_> = node.marked_by.iter().map(upstream).collect();
            let before = before.get(i).copied().flatten();
            // Behind the last row of all everything closes, also what counts by batches.
            let after = if close { Some(StepTime::END) } else { meet(before, &inputs, self.fastest) };
            marks[i] = Marks { before, after };
            sleeps[i] = !inputs.is_empty() && inputs.iter().all(|input| input.sleeps);
        }
        marks
    }

    /// The batch is delivered: watermarks move, and sources may forget.
    fn settle(&mut self, input: &Input, now: i64) -> Result<(), Failure> {
        for step in &mut self.steps {
            if let Step::Source(node, intake) = step {
                if let Some(mark) = &mut intake.mark {
                    mark.settled = mark.after(now);
                }
                if let Some(taken) = input.taken.get(node) {
                    intake.ack(&taken.moved).map_err(at(*node))?;
                }
            }
        }
        Ok(())
    }
}

/// Whether there is anything to deliver but that time goes by.
fn is_something(artifact: &Artifact) -> bool {
    artifact.rows > 0 || !artifact.bytes.is_empty()
}

fn operator_count(node: &Node) -> OperatorCount {
    OperatorCount { stream: node.stream.clone(), word: node.word.clone(), ..OperatorCount::default() }
}

/// A batch in the making.
struct Work<'a> {
    batch: BatchTime,
    marks: Vec<Marks>,
    means: &'a Means<'a>,
    flow: Flow,
    report: BatchReport,
    counts: Vec<OperatorCount>,
}

impl Work<'_> {
    fn source(&mut self, of: &Node, node: usize, taken: &mut Taken, count: SourceCount) -> Result<(), TaskError> {
        self.report.sources.push(count);
        let left_out = |out: &LeftOut| format!("`{}` leaves out {}: {}", of.stream, out.place, out.reason);
        self.report.notes.extend(taken.left_out.iter().take(TOLD).map(left_out));
        self.bad(of, node, &taken.bad)?;
        let blocks = blocks_of(std::mem::take(&mut taken.blocks), self.means.block_rows)?;
        self.flow.put((node, Port::Out), blocks);
        Ok(())
    }

    /// Rows that cannot be read go where they are wanted; else the first of them are told of.
    fn bad(&mut self, of: &Node, node: usize, rows: &[BadRow]) -> Result<(), TaskError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let about = |row: &BadRow| format!("{}:{} cannot be read: {}", row.place, row.line, row.reason);
        let slot = (node, Port::Bad);
        match of.fates.get(&Port::Bad) {
            Some(RowFate::Fail) => return Err(TaskError::Stop(about(first))),
            Some(RowFate::Drop) => {}
            Some(RowFate::Null) => self.report.notes.extend(rows.iter().take(TOLD).map(about)),
            None if self.flow.is_read(&slot) => {
                self.flow.put(slot, [BadRow::batch(rows).map_err(|e| TaskError::Bug(e.to_string()))?])
            }
            None => self.report.notes.extend(rows.iter().take(TOLD).map(about)),
        }
        Ok(())
    }

    fn stage(&mut self, nodes: &[Node], stage: &mut Stage) -> Result<(), Failure> {
        let mut inputs: Vec<Parts> = stage.inputs.iter().map(|slot| self.flow.take(slot)).collect();
        for input in &stage.settle {
            let node = stage.chain.first().map(|link| link.node).or(stage.then.as_ref().map(|(node, _)| *node));
            let rows = std::mem::take(&mut inputs[*input]);
            inputs[*input] = settled(rows).map_err(at(node.unwrap_or_default()))?;
        }
        let Some(last) = stage.chain.last().map(|link| link.node) else {
            return self.gather(nodes, stage, inputs);
        };
        let parts = inputs.into_iter().next().unwrap_or_default();
        let out = chain::run(&stage.chain, parts, &self.batch, self.means.pool, self.means.clock)?;
        for (link, counted) in stage.chain.iter().zip(&out.counts) {
            let first_half = stage.then.as_ref().is_some_and(|(node, _)| *node == link.node);
            for (node, _) in stage.also.iter().filter(|_| first_half) {
                self.counts[*node].rows_in += counted.rows_in;
                self.counts[*node].filtered += counted.filtered;
            }
            self.counts[link.node].took += counted.took;
            let count = &mut self.counts[link.node];
            count.rows_in += counted.rows_in;
            count.filtered += counted.filtered;
            if !first_half {
                count.rows_out += counted.rows_out;
                count.bytes_out += counted.bytes_out;
                count.handed += counted.handed;
                count.taken += counted.taken;
            }
        }
        for (node, port, rows) in out.sides {
            self.hand_on(node, port, vec![vec![rows]]);
        }
        let Some((node, keyed)) = &mut stage.then else {
            self.flow.put_parts((last, Port::Out), out.rows);
            return Ok(());
        };
        for (node, keyed) in &mut stage.also {
            self.merge(*node, keyed, out.rows.clone())?;
        }
        self.merge(*node, keyed, out.rows)
    }

    /// The second half of an operator, over what the first one made.
    fn merge(&mut self, node: usize, keyed: &mut Keyed, parts: Parts) -> Result<(), Failure> {
        let input = keyed::Input { parts, in_place: false, unread: BTreeSet::new() };
        let out = self.step(node, keyed, vec![input])?;
        let handed = out.handed;
        self.counts[node].filtered += out.filtered;
        self.put(node, out);
        // Rows that the first half put together are in the result, unless they went elsewhere.
        let count = &mut self.counts[node];
        count.handed += handed;
        let elsewhere = count.handed + count.filtered + count.late + count.bad;
        count.taken = count.rows_in.saturating_sub(elsewhere);
        Ok(())
    }

    /// An operator that gathers rows or remembers some, with no chain before it.
    fn gather(&mut self, nodes: &[Node], stage: &mut Stage, inputs: Vec<Parts>) -> Result<(), Failure> {
        let Some((node, keyed)) = &mut stage.then else { return Ok(()) };
        let rows = |parts: &Parts| parts.iter().flatten().map(|b| b.num_rows() as u64).sum::<u64>();
        let counted = inputs.iter().zip(&stage.whole).filter(|(_, whole)| !**whole);
        self.counts[*node].rows_in += counted.map(|(parts, _)| rows(parts)).sum::<u64>();
        let inputs = inputs.into_iter().enumerate().map(|(i, parts)| keyed::Input {
            parts,
            in_place: stage.in_place.contains(&i),
            unread: match &stage.inputs[i] {
                (from, Port::Out) => nodes[*from].unread.clone(),
                _ => BTreeSet::new(),
            },
        });
        let out = self.step(*node, keyed, inputs.collect())?;
        let count = &mut self.counts[*node];
        // What a program wrote that is no row came in from there, as what a source cannot read does.
        count.rows_in += out.made_bad;
        count.handed += out.handed;
        count.filtered += out.filtered;
        count.taken += out.taken;
        self.put(*node, out);
        Ok(())
    }

    fn step(&mut self, node: usize, keyed: &mut Keyed, inputs: Vec<keyed::Input>) -> Result<KeyedOut, Failure> {
        let Marks { before, after } = self.marks[node];
        let time = StepTime { batch: self.batch, mark_before: before, mark_after: after };
        let started = self.means.clock.ticks();
        let out = keyed.step(inputs, &time, self.means.pool).map_err(at(node));
        self.counts[node].took += self.means.clock.ticks().saturating_sub(started);
        out
    }

    fn put(&mut self, node: usize, out: KeyedOut) {
        self.counts[node].partly_late += out.partly_late;
        self.counts[node].expired += out.expired;
        let stream = &self.counts[node].stream;
        let meter = |measured| MeterCount { stream: stream.clone(), measured };
        self.report.meters.extend(out.measured.into_iter().map(meter));
        for (port, rows) in out.sides {
            self.hand_on(node, port, vec![vec![rows]]);
        }
        self.hand_on(node, Port::Out, out.rows);
    }

    fn hand_on(&mut self, node: usize, port: Port, rows: Parts) {
        let count = &mut self.counts[node];
        if matches!(port, Port::Out | Port::Branch(_)) {
            count.bytes_out += rows.iter().flatten().map(bytes_of).sum::<u64>();
        }
        let sum = match port {
            Port::Out | Port::Branch(_) => &mut count.rows_out,
            Port::Late => &mut count.late,
            Port::Bad => &mut count.bad,
            Port::Rejected => return,
        };
        *sum += rows.iter().flatten().map(|rows| rows.num_rows() as u64).sum::<u64>();
        self.flow.put_parts((node, port), rows);
    }

    /// Every row that went into an operator must be accounted for, once.
    fn check_accounts(&self, nodes: &[Node]) -> Result<(), Failure> {
        let wrong = nodes.iter().zip(&self.counts).position(|(n, c)| n.kind == Kind::Operator && !c.adds_up());
        let Some(i) = wrong else { return Ok(()) };
        let OperatorCount { rows_in, handed, filtered, taken, late, bad, .. } = &self.counts[i];
        Err(at(i)(TaskError::Bug(format!(
            "{rows_in} rows came in, but {handed} went on, {filtered} were filtered, {taken} taken, {late} late and \
             {bad} bad"
        ))))
    }

    /// A pipeline that would have more in memory than it may, and no place to put it, stops instead of being stopped by
    /// the system. Nothing of the batch counts, so it goes on there once there is room. `stays`: what must be in memory.
    fn check_limit(&self, nodes: &[Node], stays: &[usize], limit: Option<u64>) -> Result<(), Failure> {
        let Some(limit) = limit else { return Ok(()) };
        let mut most: Vec<_> = stays.iter().map(|node| (*node, self.counts[*node].held)).collect();
        most.retain(|(_, held)| held.bytes > 0);
        let sum: u64 = most.iter().map(|(_, held)| held.bytes as u64).sum();
        if sum <= limit {
            return Ok(());
        }
        most.sort_by_key(|(_, held)| std::cmp::Reverse(held.bytes));
        let told = most.iter().take(3).map(|(node, Held { keys, bytes, .. })| {
            format!("`{}` {} in {keys} keys or rows", nodes[*node].identity, show_bytes(*bytes as u64))
        });
        let (told, sum, limit) = (told.collect::<Vec<_>>().join(", "), show_bytes(sum), show_bytes(limit));
        let why = format!(
            "{sum} would be remembered, more than `state_limit: {limit}` ({told}); make `ttl`, `within` or windows shorter, \
             have fewer keys, raise the limit, or give it a `checkpoint`: there what is known by key lies on disk when it \
             does not fit"
        );
        Err(at(most.first().map_or(usize::MAX, |(node, _)| *node))(TaskError::Stop(why)))
    }

    /// `bad fail` and `late fail` stop the pipeline.
    fn check_fates(&self, nodes: &[Node]) -> Result<(), Failure> {
        for (i, (node, count)) in nodes.iter().zip(&self.counts).enumerate() {
            let fails = |port, rows| rows > 0 && node.fates.get(&port) == Some(&RowFate::Fail);
            if fails(Port::Bad, count.bad) || fails(Port::Late, count.late) {
                let error = TaskError::Stop(format!("{} bad and {} late rows", count.bad, count.late));
                return Err(at(i)(error));
            }
        }
        Ok(())
    }
}
