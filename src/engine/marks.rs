//! Watermarks: how far the time of a source has come, and what that means for every operator behind it.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

use crate::plan::Edge;
use crate::plan::operator::StepTime;
use crate::plan::seams::Split;

/// The watermark of one source. It never goes back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SourceMark {
    /// Where the time stands among the columns.
    column: usize,
    /// How late rows may come.
    delay: i64,
    /// After how long without rows a split, or the source, holds nothing back.
    idle: Option<i64>,
    /// Whether each split has a time of its own.
    splits_last: bool,
    /// What is known of each split; all in one where they come to an end.
    heard: BTreeMap<Split, Heard>,
    /// Behind everything that was delivered.
    pub(super) settled: Option<i64>,
    /// Where it was told to be, whatever the rows say.
    told: Option<i64>,
}

/// What is known of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// The newest time of its rows.
    pub(super) newest: Option<i64>,
    /// The batch that last had rows of it, or first saw it.
    pub(super) last: i64,
}

impl SourceMark {
    /// None where the rows have no time, or a time that never moves.
    pub(super) fn of(edge: &Edge, idle: Option<i64>, splits_last: bool) -> Option<Self> {
        let time = edge.time.as_ref()?;
        let column = edge.schema.position(&time.column)?;
        Some(SourceMark {
            column,
            delay: time.delay?,
            idle,
            splits_last,
            heard: BTreeMap::new(),
            settled: None,
            told: None,
        })
    }

    /// Notes what a batch of that time read from a split, be it nothing.
    pub(super) fn hear(&mut self, split: &Split, blocks: &[RecordBatch], now: i64) {
        let newest = blocks.iter().filter_map(|block| {
            let times = block.column(self.column).as_primitive_opt::<TimestampMicrosecondType>()?;
            arrow::compute::max(times)
        });
        let newest = newest.max();
        let split = if self.splits_last { split.clone() } else { Split { id: String::new() } };
        let heard = self.heard.entry(split).or_insert(Heard { newest: None, last: now });
        if newest.is_some() {
            *heard = Heard { newest: newest.max(heard.newest), last: now };
        }
    }

    /// The watermark behind everything heard, as a batch of that time sees it.
    pub(super) fn after(&self, now: i64) -> Option<i64> {
        let mut awake = self.heard.values().filter(|heard| !self.is_idle(heard, now)).peekable();
        let newest = if awake.peek().is_some() {
            awake.map(|heard| heard.newest).min().flatten()
        } else {
            self.heard.values().filter_map(|heard| heard.newest).max()
        };
        newest.map(|newest| newest.saturating_sub(self.delay)).max(self.settled).max(self.told)
    }

    /// The newest time heard, and the split that holds the watermark back, where that is not the only one.
    pub(super) fn standing(&self, now: i64) -> (Option<i64>, Option<&Split>) {
        let newest = self.heard.values().filter_map(|heard| heard.newest).max();
        let awake = self.heard.iter().filter(|(_, heard)| !self.is_idle(heard, now));
        let slowest = awake.min_by_key(|(_, heard)| heard.newest).filter(|(_, heard)| heard.newest < newest);
        (newest, slowest.map(|(split, _)| split))
    }

    /// Lets it reach a time whatever the rows say; for tests.
    pub(super) fn lift(&mut self, micros: i64) {
        self.told = self.told.max(Some(micros));
    }

    /// Whether it had no rows for so long that it holds nothing back.
    pub(super) fn sleeps(&self, now: i64) -> bool {
        !self.heard.is_empty() && self.heard.values().all(|heard| self.is_idle(heard, now))
    }

    fn is_idle(&self, heard: &Heard, now: i64) -> bool {
        self.idle.is_some_and(|idle| now.saturating_sub(heard.last) > idle)
    }

    /// What is known of each split.
    pub(super) fn heard(&self) -> &BTreeMap<Split, Heard> {
        &self.heard
    }

    /// Goes on where another one of the same source was; how late rows may come is its own.
    pub(super) fn go_on_from(&mut self, old: &SourceMark) {
        self.heard.clone_from(&old.heard);
        self.splits_last = old.splits_last;
        (self.settled, self.told) = (old.settled, old.told);
    }

    /// Takes over what a snapshot knew.
    pub(super) fn restore(&mut self, heard: BTreeMap<Split, Heard>, settled: Option<i64>) {
        self.heard = heard;
        self.settled = settled;
    }
}

/// A watermark when a batch starts and when it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) before: Option<i64>,
    pub(super) after: Option<i64>,
}

/// What a node sees of the marks of those it reads from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upstream {
    /// Their mark when the batch ends.
    pub(super) after: Option<i64>,
    /// It comes from sources that have been silent too long to wait for.
    pub(super) sleeps: bool,
}

/// Where several inputs meet: the slowest that is awake holds the mark back, or the fastest leads where that was asked
/// for. A mark that was reached stays.
pub(super) fn meet(before: Option<i64>, inputs: &[Upstream], fastest: bool) -> Option<i64> {
    let awake: Vec<_> = inputs.iter().filter(|i| !i.sleeps).collect();
    let counted: Vec<_> = if awake.is_empty() { inputs.iter().collect() } else { awake };
    let marks = counted.iter().map(|i| i.after);
    let after = if fastest { marks.max() } else { marks.min() };
    after.flatten().max(before)
}

/// How far the rows that may still leave an operator are behind its mark.
pub(super) fn behind(mark: Option<i64>, lag: i64) -> Option<i64> {
    mark.map(|mark| if mark == StepTime::END { mark } else { mark.saturating_sub(lag) })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::TimestampMicrosecondArray;

    use super::*;
    use crate::model::{Column, Schema, Slot, Type};
    use crate::plan::EventTime;

    const SECOND: i64 = 1_000_000;

    fn mark(idle: Option<i64>, splits_last: bool) -> SourceMark {
        let schema = Schema::new(vec![Column::new("ts", Slot::required(Type::Timestamp(None)))]);
        let time = EventTime { column: "ts".into(), delay: Some(10 * SECOND), ends_window: false };
        let edge = Edge { time: Some(time), ..Edge::append(schema) };
        SourceMark::of(&edge, idle.map(|s| s * SECOND), splits_last).unwrap()
    }

    fn hear(mark: &mut SourceMark, split: &str, seconds: &[i64], now: i64) {
        let schema = Schema::new(vec![Column::new("ts", Slot::required(Type::Timestamp(None)))]).to_arrow();
        let times = seconds.iter().map(|s| s * SECOND).collect::<Vec<_>>();
        let zone = match schema.field(0).data_type() {
            arrow::datatypes::DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let times = TimestampMicrosecondArray::from(times).with_timezone_opt(zone);
        let block = RecordBatch::try_new(schema, vec![Arc::new(times)]).unwrap();
        mark.hear(&Split { id: split.into() }, &[block], now * SECOND);
    }

    fn seconds(mark: &SourceMark, now: i64) -> Option<i64> {
        mark.after(now * SECOND).map(|micros| micros / SECOND)
    }

    #[test]
    fn files_share_the_newest_time() {
        let mut mark = mark(None, false);
        assert_eq!(seconds(&mark, 0), None);
        hear(&mut mark, "a", &[100, 50], 1);
        hear(&mut mark, "b", &[30], 1);
        assert_eq!(seconds(&mark, 1), Some(90));
    }

    #[test]
    fn the_slowest_partition_holds_the_mark_back_until_it_is_idle() {
        let mut mark = mark(Some(60), true);
        hear(&mut mark, "0", &[100], 1);
        hear(&mut mark, "1", &[30], 1);
        assert_eq!(seconds(&mark, 1), Some(20));
        hear(&mut mark, "0", &[200], 50);
        assert_eq!(seconds(&mark, 61), Some(20));
        assert_eq!(seconds(&mark, 62), Some(190));
        assert!(!mark.sleeps(62 * SECOND));
        assert!(mark.sleeps(111 * SECOND));
        assert_eq!(seconds(&mark, 111), Some(190));
    }

    #[test]
    fn a_partition_that_comes_back_does_not_turn_the_mark_back() {
        let mut mark = mark(Some(60), true);
        hear(&mut mark, "0", &[200], 50);
        mark.settled = mark.after(50 * SECOND);
        hear(&mut mark, "1", &[10], 51);
        assert_eq!(seconds(&mark, 51), Some(190));
    }

    #[test]
    fn streams_meet_at_the_slowest_that_is_awake() {
        let of = |after, sleeps| Upstream { after, sleeps };
        assert_eq!(meet(None, &[of(Some(5), false), of(Some(9), false)], false), Some(5));
        assert_eq!(meet(None, &[of(Some(5), true), of(Some(9), false)], false), Some(9));
        assert_eq!(meet(None, &[of(Some(5), true), of(Some(9), true)], false), Some(5));
        assert_eq!(meet(None, &[of(None, false), of(Some(9), false)], false), None);
        assert_eq!(meet(None, &[of(Some(5), false), of(Some(9), false)], true), Some(9));
        assert_eq!(meet(Some(7), &[of(Some(5), false)], false), Some(7));
    }

    #[test]
    fn rows_that_wait_come_behind_the_mark_but_not_behind_the_end() {
        assert_eq!(behind(Some(100), 30), Some(70));
        assert_eq!(behind(Some(StepTime::END), 30), Some(StepTime::END));
        assert_eq!(behind(None, 30), None);
    }
}
