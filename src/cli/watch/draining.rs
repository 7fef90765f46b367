//! Edits after which two texts run for a while: open windows end by the old one, later ones go by the new. When the last
//! of them has ended the run goes on by the new text alone, without being asked.

use std::sync::Arc;

use super::Text;
use crate::cli::kept::Kept;
use crate::engine::{Handover, Session};
use crate::model::time::show_moment;
use crate::optimize::optimize;
use crate::plan::Plan;
use crate::reload::Taking;
use crate::reload::drain::{Until, alone, beside};

/// What is ready to run.
pub(super) enum What {
    /// A plan, as it is.
    Plan(Box<Handover>),
    /// Both texts, which can only be put together once it is known how far rows have come.
    Both(Box<Texts>),
}

/// An old text and a new one.
pub(super) struct Texts {
    /// As they were checked.
    pub(super) old: Plan,
    pub(super) new: Plan,
    pub(super) taking: Taking,
    /// The new text by itself, optimized.
    pub(super) alone: Plan,
    /// The new text, and the one before.
    pub(super) text: Kept,
    pub(super) before: Kept,
}

/// What is being switched to.
pub(super) struct Switching {
    pub(super) text: Arc<Text>,
    /// What is still open of the text before.
    pub(super) draining: Option<Draining>,
    /// Nothing new comes; the text before is over.
    pub(super) ends: bool,
}

/// Two texts run.
pub(in crate::cli) struct Draining {
    until: Vec<Until>,
    /// The new one by itself, and its text for the checkpoint.
    then: Plan,
    text: Vec<u8>,
}

impl What {
    /// Between two batches: what is to be run.
    pub(super) fn at_switch(self, text: Arc<Text>, session: &Session) -> Result<(Handover, Switching), String> {
        let Texts { old, new, taking, alone, text: kept, before } = match self {
            What::Plan(handover) => return Ok((*handover, Switching { text, draining: None, ends: false })),
            What::Both(texts) => *texts,
        };
        let both = beside(old, new, &taking, &|source| session.newest(source))?;
        if both.until.is_empty() {
            let handover = Handover { plan: alone, taking: both.taking, text: kept.encode() };
            return Ok((handover, Switching { text, draining: None, ends: false }));
        }
        let both_texts = kept.clone().beside(before, both.until.clone()).encode();
        let handover = Handover { plan: optimize(both.plan).plan, taking: both.taking, text: both_texts };
        let draining = Some(Draining { until: both.until, then: alone, text: kept.encode() });
        Ok((handover, Switching { text, draining, ends: false }))
    }
}

impl Draining {
    /// Goes on from the last run: the new text by itself, optimized, and as the checkpoint keeps it.
    pub(in crate::cli) fn resumed(until: Vec<Until>, then: Plan, text: Vec<u8>) -> Self {
        Draining { until, then, text }
    }

    /// Whether the last window of the text before has ended.
    pub(super) fn is_over(&self, session: &Session) -> bool {
        self.until.iter().all(|until| until.is_over(&|identity| session.mark(identity)))
    }

    /// The new text goes on alone.
    pub(super) fn end(self, text: Arc<Text>) -> (Handover, Switching) {
        let taking = alone(&text.plan, &self.until);
        (Handover { plan: self.then, taking, text: self.text }, Switching { text, draining: None, ends: true })
    }

    /// What both texts do from now on, a sentence a stage.
    pub(in crate::cli) fn told(&self) -> Vec<String> {
        let one = |until: &Until| {
            let (from, over) = (show_moment(until.boundary), show_moment(until.over));
            let name = &until.identity;
            format!("`{name}`: windows that start before {from} end by the old text, once the watermark is at {over}")
        };
        self.until.iter().map(one).collect()
    }

    /// "`totals/aggregate/1` until 2026-01-01T12:00:00Z"
    pub(in crate::cli) fn until(&self) -> String {
        let one = |until: &Until| format!("`{}` until {}", until.identity, show_moment(until.over));
        self.until.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
