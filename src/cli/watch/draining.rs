//! Edits after which two texts run for a while: open windows end by the old one, later ones go by the new. When the last
//! of them has ended the run goes on by the new text alone, without being asked.

use std::cell::RefCell;
use std::collections::BTreeMap;
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
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(super) enum What {
    /// A plan, as it is.
    Plan(Handover),
    /// Both texts, which can only be put together once it is known how far rows have come.
    Both {
        /// As they were checked.
        old: Plan,
        new: Plan,
        taking: Taking,
        /// The new text by itself, optimized.
        alone: Plan,
        /// Both texts, for the checkpoint.
        kept: (Kept, Kept),
    },
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
    /// The new one by itself.
    then: Plan,
    /// Its text, for the checkpoint.
    kept: Kept,
}

impl What {
    /// Between two batches: what is to be run.
    pub(super) fn at_switch(self, text: Arc<Text>, session: &Session) -> Result<(Handover, Switching), String> {
        let (old, new, taking, alone, (was, is)) = match self {
            What::Plan(handover) => return Ok((handover, Switching { text, draining: None, ends: false })),
            What::Both { old, new, taking, alone, kept } => (old, new, taking, alone, kept),
        };
        let asked = RefCell::new(BTreeMap::new());
        let newest = |source: &str| {
            let newest = session.newest(source);
            asked.borrow_mut().insert(source.to_owned(), newest);
            newest
        };
        let drains = taking.drains.clone();
        let both = beside(old, new, &taking, &newest)?;
        if both.until.is_empty() {
            let handover = Handover { plan: alone, taking: both.taking, text: is.encode() };
            return Ok((handover, Switching { text, draining: None, ends: false }));
        }
        let draining = Some(Draining { until: both.until, then: alone, kept: is.clone() });
        let kept = is.beside(was, drains, asked.into_inner()).encode();
        let handover = Handover { plan: optimize(both.plan).plan, taking: both.taking, text: kept };
        Ok((handover, Switching { text, draining, ends: false }))
    }
}

impl Draining {
    /// As they ran when the last process ended.
    pub(in crate::cli) fn again(until: Vec<Until>, then: Plan, kept: Kept) -> Self {
        Draining { until, then, kept }
    }

    /// Whether the last window of the text before has ended.
    pub(super) fn is_over(&self, session: &Session) -> bool {
        self.until.iter().all(|until| until.is_over(&|identity| session.mark(identity)))
    }

    /// The new text goes on alone.
    pub(super) fn end(self, text: Arc<Text>) -> (Handover, Switching) {
        let taking = alone(&text.plan, &self.until);
        (Handover { plan: self.then, taking, text: self.kept.encode() }, Switching { text, draining: None, ends: true })
    }

    /// What both texts do from now on, a sentence a stage.
    pub(super) fn told(&self) -> Vec<String> {
        let one = |until: &Until| {
            let (from, over) = (show_moment(until.boundary), show_moment(until.over));
            let name = &until.identity;
            format!("`{name}`: windows that start before {from} end by the old text, once the watermark is at {over}")
        };
        self.until.iter().map(one).collect()
    }

    /// "`totals/aggregate/1` until 2026-01-01T12:00:00Z"
    pub(super) fn until(&self) -> String {
        let one = |until: &Until| format!("`{}` until {}", until.identity, show_moment(until.over));
        self.until.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
