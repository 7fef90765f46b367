//! Rows by windows that follow from time alone. Rows that are in the same windows wait together, once.

use std::collections::{BTreeMap, BTreeSet};

use crate::operators::held_rows::HeldRow;
use crate::operators::spans::{Spans, TimeSpan};
use crate::operators::values::bug;
use crate::operators::window::task::Closing;
use crate::plan::operator::TaskError;

/// Rows by the start of their pane: the stretch of time whose instants are all in the same windows.
#[derive(Default)]
pub(super) struct Panes {
    panes: BTreeMap<i64, Vec<HeldRow>>,
}

impl Panes {
    /// Takes rows of these instants, each in some window.
    pub(super) fn add(&mut self, spans: &Spans, instants: &[i64], rows: &[HeldRow]) -> Result<(), TaskError> {
        let mut last: Option<TimeSpan> = None;
        for (instant, row) in instants.iter().zip(rows) {
            let pane = match last.filter(|pane| pane.start <= *instant && *instant < pane.end) {
                Some(pane) => pane,
                None => spans.pane(*instant).ok_or_else(|| bug("a row is in no window"))?,
            };
            self.panes.entry(pane.start).or_default().push(*row);
            last = Some(pane);
        }
        Ok(())
    }

    /// Closes the windows that end behind `closed` and not behind `due`, those that end first first; says which rows
    /// nobody waits for any more.
    pub(super) fn close(
        &mut self,
        spans: &Spans,
        closed: Option<i64>,
        due: i64,
        closing: &mut Vec<Closing>,
        done: &mut Vec<HeldRow>,
    ) {
        let mut ending = BTreeSet::new();
        for start in self.panes.keys() {
            // A pane's windows end behind it, so those of later panes are not due either.
            if spans.first_end(*start).is_none_or(|end| end > due) {
                break;
            }
            let windows = spans.containing(*start).into_iter();
            ending.extend(windows.filter(|span| span.end <= due && closed.is_none_or(|closed| span.end > closed)));
        }
        for span in ending {
            let mut rows: Vec<HeldRow> =
                self.panes.range(span.start..span.end).flat_map(|(_, rows)| rows.iter().copied()).collect();
            rows.sort_unstable();
            closing.push(Closing { span: Some(span), rows });
        }
        while let Some(first) = self.panes.first_entry()
            && spans.last_end(*first.key()).is_none_or(|end| end <= due)
        {
            done.extend(first.remove());
        }
    }

    /// Every row, with an instant of its pane.
    pub(super) fn rows(&self) -> Vec<(i64, HeldRow)> {
        self.panes.iter().flat_map(|(start, rows)| rows.iter().map(|row| (*start, *row))).collect()
    }

    /// Rows have moved.
    pub(super) fn moved(&mut self, place: &dyn Fn(HeldRow) -> HeldRow) {
        self.panes.values_mut().flatten().for_each(|row| *row = place(*row));
    }
}
