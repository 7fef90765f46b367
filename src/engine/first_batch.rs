//! The first batch after a switch to a text with sinks that were not there before. Until it is delivered the old program
//! is kept, whole: state was copied and not moved, so that the batch can be computed again by the old text when a new
//! sink, or a stage, turns out not to work. New sinks deliver first; nothing went anywhere else before.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::batch::{Carry, Input};
use crate::engine::failure::{EngineError, Failure};
use crate::engine::program::{Program, Step};
use crate::engine::session::Session;
use crate::engine::switch::{Switched, take_inputs, take_sinks};
use crate::plan::memory::Taking;

/// What is gone back to.
pub(super) struct FirstBatch {
    old: Program,
    carry: Carry,
    last: Option<i64>,
    /// What the new program took over.
    taking: Taking,
    /// The text of the old one.
    text: Vec<u8>,
    /// Operators that remembered what they did before the switch, as the checkpoint knows.
    told: BTreeSet<String>,
}

impl FirstBatch {
    /// The old program without its sources, tables and those of its sinks that the new one has.
    pub(super) fn new(
        old: Program,
        (carry, last): (Carry, Option<i64>),
        taking: Taking,
        text: Vec<u8>,
        told: BTreeSet<String>,
    ) -> Self {
        FirstBatch { old, carry, last, taking, text, told }
    }

    /// The old program, its text, and what was taken over from it.
    pub(super) fn before(&self) -> (&Program, &[u8], &Taking) {
        (&self.old, &self.text, &self.taking)
    }
}

impl Session {
    /// Whether the text that was switched to last must still deliver a batch before it stays.
    pub fn is_tried(&self) -> bool {
        self.first.is_some()
    }

    /// What came of the text that was switched to last, once that was to be seen; told once.
    pub fn came_of_it(&mut self) -> Option<Result<Switched, EngineError>> {
        self.outcome.take()
    }

    pub(super) fn try_first(&mut self, first: FirstBatch) {
        for step in &mut self.program.steps {
            if let Step::Sink(node, outlet, _) = step
                && !first.taking.sinks.contains_key(&self.program.nodes[*node].identity)
            {
                outlet.expect_first();
            }
        }
        self.first = Some(Box::new(first));
    }

    /// A copy of what a batch reads, where it may have to be computed a second time.
    pub(super) fn tries(&self, input: &Input) -> Option<Input> {
        self.first.as_ref().map(|_| input.clone())
    }

    /// The first batch is delivered: nothing is taken back any more.
    pub(super) fn stays(&mut self) {
        let Some(first) = self.first.take() else { return };
        let FirstBatch { old, taking, text, .. } = *first;
        for step in &mut self.program.steps {
            if let Step::Sink(_, outlet, _) = step {
                outlet.settle();
            }
        }
        self.put_aside(old, &text, &taking);
        let aside = self.aside.keys().cloned().collect();
        self.outcome = Some(Ok(Switched { notes: Vec::new(), aside }));
        self.forget_logs();
    }

    /// The first batch failed: the old program goes on, over what that batch has read. A failure of something that the
    /// old program has as well, behind which rows went out, is none of the new text.
    pub(super) fn takes_back(&mut self, failure: Failure, input: Input) -> Result<Input, Failure> {
        let Program { steps, .. } = &self.program;
        let kept =
            |step: &Step| matches!(step, Step::Sink(node, outlet, _) if *node == failure.node && !outlet.is_new());
        if steps.iter().any(kept) || failure.node >= self.program.nodes.len() {
            return Err(failure);
        }
        let Some(first) = self.first.take() else { return Err(failure) };
        self.outcome = Some(Err(self.failed(failure)));
        let FirstBatch { old, carry, last, taking, text, told } = *first;
        let mut next = std::mem::replace(&mut self.program, old);
        (self.carry, self.last) = (carry, last);
        // The old program still knows where its sources were before that batch: the checkpoint goes on from there.
        self.told = told;
        self.runs_by(&text)?;
        let back = backwards(&taking);
        take_inputs(&mut next, &mut self.program, &back, true);
        take_sinks(&mut next, &mut self.program, &back);
        for step in &mut next.steps {
            // What has gone out in the place of an old sink must not go out again.
            if let Step::Sink(node, outlet, _) = step
                && outlet.settle()
            {
                let identity = &next.nodes[*node].identity;
                let same = self.program.steps.iter_mut().find_map(|step| match step {
                    Step::Sink(node, outlet, _) if self.program.nodes[*node].identity == *identity => Some(outlet),
                    _ => None,
                });
                same.into_iter().for_each(|outlet| outlet.skip());
            }
        }
        let nodes = &self.program.nodes;
        Ok(input.renumbered(|node| {
            let name = taking.sources.get(&next.nodes[node].stream)?;
            self.program.steps.iter().find_map(|step| match step {
                Step::Source(node, _) if nodes[*node].stream == *name => Some(*node),
                _ => None,
            })
        }))
    }
}

/// What goes back, to those who had it.
fn backwards(taking: &Taking) -> Taking {
    let turned = |map: &BTreeMap<String, String>| map.iter().map(|(new, old)| (old.clone(), new.clone())).collect();
    Taking {
        sources: turned(&taking.sources),
        tables: turned(&taking.tables),
        sinks: turned(&taking.sinks),
        ..Taking::default()
    }
}
