//! One micro-batch, read top to bottom: take rows in, compute, deliver, acknowledge.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

use crate::engine::accounts::{BatchReport, OperatorCount, SinkCount, SourceCount};
use crate::engine::chain;
use crate::engine::clock::Clock;
use crate::engine::failure::{Failure, at};
use crate::engine::intake::Taken;
use crate::engine::pool::Pool;
use crate::engine::program::{Kind, Node, Program, Slot, Stage, Step};
use crate::plan::operator::{BatchTime, StepTime, TaskError};
use crate::plan::seams::BadRow;
use crate::plan::{Port, RowFate};

/// How many unreadable rows of a source are told of in a batch, where nobody takes them.
const TOLD: usize = 3;

/// What a batch works with beside the program.
pub(super) struct Means<'a> {
    pub(super) pool: &'a Pool,
    pub(super) clock: &'a dyn Clock,
    pub(super) stop: &'a AtomicBool,
    /// At most so many rows a block.
    pub(super) block_rows: usize,
}

/// What the sources gave for a batch, by node.
#[derive(Default)]
pub(super) struct Input {
    taken: BTreeMap<usize, Taken>,
}

impl Input {
    /// Whether any source gave rows or got further.
    pub(super) fn is_empty(&self) -> bool {
        self.taken.values().all(|t| t.moved.is_empty() && t.blocks.is_empty() && t.bad.is_empty())
    }
}

/// What is kept from batch to batch beside the operators' own state.
#[derive(Default)]
pub(super) struct Carry {
    /// Rows that sinks refused, to come in again.
    pub(super) rejected: BTreeMap<usize, Vec<RecordBatch>>,
}

/// Rows on their way between steps.
struct Flow {
    rows: BTreeMap<Slot, Vec<RecordBatch>>,
    readers: BTreeMap<Slot, usize>,
}

impl Flow {
    fn put(&mut self, slot: Slot, rows: impl IntoIterator<Item = RecordBatch>) {
        if self.readers.contains_key(&slot) {
            self.rows.entry(slot).or_default().extend(rows);
        }
    }

    /// The last reader gets the rows themselves.
    fn take(&mut self, slot: &Slot) -> Vec<RecordBatch> {
        match self.readers.get_mut(slot) {
            Some(left) if *left > 1 => {
                *left -= 1;
                self.rows.get(slot).cloned().unwrap_or_default()
            }
            _ => self.rows.remove(slot).unwrap_or_default(),
        }
    }
}

impl Program {
    /// Takes from every source what the batch may have.
    pub(super) fn intake(&mut self, now: i64, drain: bool, means: &Means<'_>) -> Result<Input, Failure> {
        let mut input = Input::default();
        for step in &mut self.steps {
            if let Step::Source(node, intake) = step {
                let taken = intake.take(now, drain, means.clock, means.stop).map_err(at(*node))?;
                input.taken.insert(*node, taken);
            }
        }
        Ok(input)
    }

    /// Whether nothing will ever follow.
    pub(super) fn ended(&self) -> bool {
        self.steps.iter().all(|step| if let Step::Source(_, intake) = step { intake.ended() } else { true })
    }

    /// Whether some source has a watermark that windows may wait for.
    pub(super) fn has_marks(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Source(_, intake) if intake.has_mark()))
    }

    /// Runs a batch over what was taken in. `close`: no rows will follow, so every window closes.
    pub(super) fn run(
        &mut self,
        batch: BatchTime,
        input: Input,
        close: bool,
        carry: &mut Carry,
        means: &Means<'_>,
    ) -> Result<BatchReport, Failure> {
        let marks = self.marks(&input, close);
        let mut work = Work {
            batch,
            marks,
            means,
            flow: Flow { rows: BTreeMap::new(), readers: self.readers.clone() },
            report: BatchReport { number: batch.number, time: batch.micros, ..BatchReport::default() },
            counts: self.nodes.iter().map(operator_count).collect(),
        };
        for (node, rows) in std::mem::take(&mut carry.rejected) {
            work.flow.put((node, Port::Rejected), rows);
        }
        let mut input = input;
        let outputs = self.compute(&mut work, &mut input)?;
        work.check_fates(&self.nodes)?;
        for (i, rows) in outputs {
            if let Step::Sink(node, outlet, _) = &mut self.steps[i] {
                let refused = work.deliver(&self.nodes[*node], *node, outlet, &rows)?;
                if !refused.is_empty() {
                    carry.rejected.insert(*node, refused);
                }
            }
        }
        let mut report = work.report;
        let operators = self.nodes.iter().zip(work.counts).filter(|(node, _)| node.kind == Kind::Operator);
        report.operators = operators.map(|(_, count)| count).collect();
        self.settle(&input)?;
        Ok(report)
    }

    /// Runs everything but the sinks; gives back the rows of each sink, by its step. Nothing is delivered before all
    /// of the batch is computed.
    fn compute(&mut self, work: &mut Work<'_>, input: &mut Input) -> Result<Vec<(usize, Vec<RecordBatch>)>, Failure> {
        let Means { clock, stop, .. } = *work.means;
        let mut outputs = Vec::new();
        for (i, step) in self.steps.iter_mut().enumerate() {
            match step {
                Step::Source(node, _) => {
                    let taken = input.taken.entry(*node).or_default();
                    work.source(&self.nodes[*node], *node, taken).map_err(at(*node))?;
                }
                Step::Table(node, reference) => {
                    let all = reference.rows(work.batch.micros, clock, stop).map_err(at(*node))?;
                    work.bad(&self.nodes[*node], *node, &all.bad).map_err(at(*node))?;
                    work.flow.put((*node, Port::Out), all.blocks.iter().cloned());
                }
                Step::Compute(stage) => work.stage(stage)?,
                Step::Sink(_, _, slot) => outputs.push((i, work.flow.take(slot))),
            }
        }
        Ok(outputs)
    }

    /// The watermarks of every node.
    fn marks(&self, input: &Input, close: bool) -> Vec<Marks> {
        let mut marks = vec![Marks::default(); self.nodes.len()];
        for step in &self.steps {
            if let Step::Source(node, intake) = step
                && intake.has_mark()
            {
                let after = input.taken.get(node).map_or(intake.mark, |taken| taken.mark);
                marks[*node] = Marks { before: intake.mark, after: if close { Some(StepTime::END) } else { after } };
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            if node.kind != Kind::Source {
                let sources = || node.marked_by.iter().map(|from| marks[*from]);
                let before = sources().map(|m| m.before).min().flatten();
                marks[i] = Marks { before, after: sources().map(|m| m.after).min().flatten() };
            }
        }
        marks
    }

    /// The batch is delivered: watermarks move, and sources may forget.
    fn settle(&mut self, input: &Input) -> Result<(), Failure> {
        for step in &mut self.steps {
            if let Step::Source(node, intake) = step
                && let Some(taken) = input.taken.get(node)
            {
                intake.mark = intake.mark.max(taken.mark);
                intake.ack(&taken.moved).map_err(at(*node))?;
            }
        }
        Ok(())
    }
}

fn operator_count(node: &Node) -> OperatorCount {
    OperatorCount { stream: node.stream.clone(), word: node.word.clone(), ..OperatorCount::default() }
}

/// A watermark when a batch starts and when it ends.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    before: Option<i64>,
    after: Option<i64>,
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
    fn source(&mut self, of: &Node, node: usize, taken: &mut Taken) -> Result<(), TaskError> {
        self.report.sources.push(SourceCount {
            name: of.stream.clone(),
            rows: taken.rows() as u64,
            bad: taken.bad.len() as u64,
            bytes: taken.bytes,
        });
        self.bad(of, node, &taken.bad)?;
        let blocks = std::mem::take(&mut taken.blocks);
        self.flow.put((node, Port::Out), blocks.into_iter().flat_map(|b| cut(b, self.means.block_rows)));
        Ok(())
    }

    /// Rows that cannot be read go where they are wanted; else the first of them are told of.
    fn bad(&mut self, of: &Node, node: usize, rows: &[BadRow]) -> Result<(), TaskError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let about = |row: &BadRow| format!("{}:{} cannot be read: {}", row.place, row.line, row.reason);
        let slot = (node, Port::Bad);
        match of.fates.get(&Port::Bad) {
            Some(RowFate::Fail) => return Err(TaskError::Stop(about(first))),
            Some(RowFate::Drop | RowFate::Null) => {}
            None if self.flow.readers.contains_key(&slot) => self.flow.put(slot, [bad_rows(rows)?]),
            None => self.report.notes.extend(rows.iter().take(TOLD).map(about)),
        }
        Ok(())
    }

    fn stage(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        let mut inputs: Vec<_> = stage.inputs.iter().map(|slot| self.flow.take(slot)).collect();
        if !stage.chain.is_empty() {
            let blocks = inputs.into_iter().flatten().collect();
            let out = chain::run(&stage.chain, blocks, &self.batch, self.means.pool)?;
            for (i, link) in stage.chain.iter().enumerate() {
                let count = &mut self.counts[link.node];
                count.rows_in += out.rows_in[i];
                count.filtered += out.filtered[i];
                let last_half = stage.then.as_ref().is_some_and(|(node, _)| *node == link.node);
                count.rows_out += if last_half { 0 } else { out.rows_out[i] };
            }
            for (node, port, rows) in out.sides {
                self.hand_on(node, port, rows);
            }
            for count in stage.chain.iter().map(|link| &self.counts[link.node]) {
                debug_assert!(
                    count.filtered + count.bad <= count.rows_in,
                    "more rows fell out of a stage than came in"
                );
            }
            inputs = vec![out.rows];
        }
        let last = stage.chain.last().map(|link| link.node);
        let Some((node, keyed)) = &mut stage.then else {
            self.flow.put((last.unwrap_or_default(), Port::Out), inputs.into_iter().flatten());
            return Ok(());
        };
        if last != Some(*node) {
            self.counts[*node].rows_in += inputs.iter().flatten().map(|b| b.num_rows() as u64).sum::<u64>();
        }
        let Marks { before, after } = self.marks[*node];
        let time = StepTime { batch: self.batch, mark_before: before, mark_after: after };
        let out = keyed.step(inputs, &time, self.means.pool).map_err(at(*node))?;
        self.counts[*node].filtered += out.filtered;
        for (port, rows) in out.rows {
            self.hand_on(*node, port, rows);
        }
        Ok(())
    }

    fn hand_on(&mut self, node: usize, port: Port, rows: RecordBatch) {
        let count = &mut self.counts[node];
        let sum = match port {
            Port::Out | Port::Branch(_) => &mut count.rows_out,
            Port::Late => &mut count.late,
            Port::Bad => &mut count.bad,
            Port::Rejected => return,
        };
        *sum += rows.num_rows() as u64;
        self.flow.put((node, port), [rows]);
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

    fn deliver(
        &mut self,
        of: &Node,
        node: usize,
        outlet: &mut crate::engine::outlet::Outlet,
        rows: &[RecordBatch],
    ) -> Result<Vec<RecordBatch>, Failure> {
        let count = rows.iter().map(|r| r.num_rows() as u64).sum();
        let mut refused = Vec::new();
        if count > 0 {
            let delivered = outlet.deliver(&self.batch, rows, self.means.clock, self.means.stop);
            refused = delivered.map_err(at(node))?;
        }
        let rejected = refused.iter().map(|r| r.num_rows() as u64).sum();
        self.report.sinks.push(SinkCount { word: of.word.clone(), stream: of.stream.clone(), rows: count, rejected });
        Ok(refused)
    }
}

/// A block in pieces of at most so many rows.
fn cut(block: RecordBatch, rows: usize) -> Vec<RecordBatch> {
    if block.num_rows() <= rows {
        return vec![block];
    }
    let starts = (0..block.num_rows()).step_by(rows);
    starts.map(|start| block.slice(start, rows.min(block.num_rows() - start))).collect()
}

fn bad_rows(rows: &[BadRow]) -> Result<RecordBatch, TaskError> {
    let texts =
        |pick: fn(&BadRow) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(pick))) };
    let lines = rows.iter().map(|row| i64::try_from(row.line).unwrap_or(i64::MAX));
    let columns = vec![
        texts(|row| &row.text),
        texts(|row| &row.place),
        Arc::new(Int64Array::from_iter_values(lines)) as ArrayRef,
        texts(|row| &row.reason),
    ];
    RecordBatch::try_new(BadRow::schema().to_arrow(), columns).map_err(|e| TaskError::Bug(e.to_string()))
}
