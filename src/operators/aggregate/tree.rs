//! Partial results of panes, put together two by two, so that a window of many panes is made of few parts and a window
//! that slides costs no more for being long. Nothing is ever subtracted, and what a part holds follows from its panes
//! alone: with floats too a window has the same bits whatever was asked before.

use std::sync::Arc;

use datafusion_common::HashMap;

use crate::operators::aggregate::store::Part;
use crate::plan::operator::TaskError;

/// Parts of 2, 4, 8 ... panes that were needed before and have not changed since.
#[derive(Default)]
pub(super) struct Tree {
    /// By level and number; the panes of a part have its number in common when shifted by its level.
    parts: HashMap<(u32, i64), Arc<Part>>,
    levels: u32,
}

/// Where parts come from.
pub(super) trait Panes {
    /// Whether there is a pane with a number in `[from, to)`.
    fn any(&self, from: i64, to: i64) -> bool;
    /// The partial results of a pane.
    fn pane(&self, number: i64) -> Result<Option<Arc<Part>>, TaskError>;
    /// Two parts, the earlier first, as one.
    fn merged(&self, parts: &[Arc<Part>]) -> Result<Part, TaskError>;
}

impl Tree {
    /// A pane has changed, or is gone.
    pub(super) fn changed(&mut self, pane: i64) {
        for level in 1..=self.levels {
            self.parts.remove(&(level, pane >> level));
        }
    }

    /// Few parts that together hold the panes `[from, to)`, in their order.
    pub(super) fn parts(&mut self, from: i64, to: i64, panes: &impl Panes) -> Result<Vec<Arc<Part>>, TaskError> {
        let mut parts = Vec::new();
        let mut next = from;
        while next < to {
            let fits = 63 - (to - next).leading_zeros();
            let level = next.trailing_zeros().min(fits);
            parts.extend(self.part(level, next >> level, panes)?);
            next += 1 << level;
        }
        Ok(parts)
    }

    fn part(&mut self, level: u32, number: i64, panes: &impl Panes) -> Result<Option<Arc<Part>>, TaskError> {
        if level == 0 {
            return panes.pane(number);
        }
        if let Some(known) = self.parts.get(&(level, number)) {
            return Ok(Some(known.clone()));
        }
        if !panes.any(number << level, (number + 1) << level) {
            return Ok(None);
        }
        let halves = [self.part(level - 1, number * 2, panes)?, self.part(level - 1, number * 2 + 1, panes)?];
        let whole = match halves {
            [Some(one), Some(two)] => Some(Arc::new(panes.merged(&[one, two])?)),
            [one, two] => one.or(two),
        };
        if let Some(whole) = &whole {
            self.levels = self.levels.max(level);
            self.parts.insert((level, number), whole.clone());
        }
        Ok(whole)
    }
}
