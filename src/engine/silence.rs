//! When nothing comes out for a while: why.

use crate::engine::accounts::BatchReport;
use crate::model::time::{show_duration, show_moment};

/// Microseconds without a row in any sink before something is said; where batches are rare, so many of them.
const LONG: i64 = 10_000_000;
const BATCHES: i64 = 3;

/// What was seen since a row last came out.
#[derive(Debug, Default)]
pub(super) struct Silence {
    /// After how long something is said.
    long: i64,
    /// The time of the batch that last gave rows, or of the first.
    since: Option<i64>,
    rows_in: u64,
    filtered: u64,
    late: u64,
    bad: u64,
    /// It was said, and holds until a row comes out.
    told: bool,
}

impl Silence {
    /// For batches that come every so many microseconds.
    pub(super) fn new(every: i64) -> Self {
        Silence { long: LONG.max(every.saturating_mul(BATCHES)), ..Silence::default() }
    }

    /// Hears of a batch; why there has been nothing for so long, once.
    pub(super) fn hear(&mut self, batch: &BatchReport) -> Option<String> {
        let gave = batch.sinks.is_empty() || batch.sinks.iter().any(|sink| sink.rows > 0);
        if gave {
            *self = Silence { long: self.long, since: Some(batch.time), ..Silence::default() };
            return None;
        }
        self.rows_in += batch.rows_in();
        self.filtered += batch.operators.iter().map(|operator| operator.filtered).sum::<u64>();
        self.late += batch.late_rows();
        self.bad += batch.bad_rows();
        let since = *self.since.get_or_insert(batch.time);
        let silent = batch.time.saturating_sub(since);
        if self.told || silent < self.long {
            return None;
        }
        self.told = true;
        Some(format!("nothing came out for {}: {}", show_duration(silent), self.reasons(batch).join("; ")))
    }

    fn reasons(&self, batch: &BatchReport) -> Vec<String> {
        if self.rows_in == 0 && self.bad == 0 {
            let names: Vec<_> = batch.sources.iter().map(|source| format!("`{}`", source.name)).collect();
            let has = if names.len() == 1 { "has" } else { "have" };
            return vec![format!("{} {has} no new rows", names.join(" and "))];
        }
        let mut reasons = vec![format!("{} rows came in", self.rows_in)];
        let astray = [(self.filtered, "were filtered"), (self.late, "were late"), (self.bad, "were bad")];
        reasons.extend(astray.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
        for operator in batch.operators.iter().filter(|operator| operator.held.keys > 0) {
            let of = format!("`{}` of `{}`", operator.word, operator.stream);
            reasons.push(format!("{of} holds {} keys or rows for results to come", operator.held.keys));
        }
        for source in &batch.sources {
            let Some(mark) = &source.mark else { continue };
            let at =
                mark.mark.map_or_else(|| "has not begun".to_owned(), |at| format!("stands at {}", show_moment(at)));
            let by = mark.held_by.as_ref().map_or_else(String::new, |split| format!(", held back by `{split}`"));
            reasons.push(format!("the watermark of `{}` {at}{by}", source.name));
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::accounts::{MarkCount, OperatorCount, SinkCount, SourceCount};
    use crate::plan::operator::Held;

    fn batch(second: i64, rows_in: u64, rows_out: u64) -> BatchReport {
        BatchReport {
            time: second * 1_000_000,
            sources: vec![SourceCount {
                name: "orders".into(),
                rows: rows_in,
                mark: Some(MarkCount { mark: Some(1_767_225_600_000_000), ..MarkCount::default() }),
                ..SourceCount::default()
            }],
            operators: vec![OperatorCount {
                stream: "revenue".into(),
                word: "aggregate".into(),
                filtered: rows_in / 2,
                held: Held { keys: 3, bytes: 100, on_disk: 0 },
                ..OperatorCount::default()
            }],
            sinks: vec![SinkCount { rows: rows_out, ..SinkCount::default() }],
            ..BatchReport::default()
        }
    }

    fn said(batches: impl IntoIterator<Item = BatchReport>) -> Vec<String> {
        let mut silence = Silence::new(1_000_000);
        batches.into_iter().filter_map(|batch| silence.hear(&batch)).collect()
    }

    #[test]
    fn a_source_without_rows_is_named_once() {
        let said = said((0..40).map(|second| batch(second, 0, 0)));
        assert_eq!(said, ["nothing came out for 10s: `orders` has no new rows"]);
    }

    #[test]
    fn rows_that_wait_for_a_watermark_are_told_of() {
        let said = said((0..12).map(|second| batch(second, 2, 0)));
        assert_eq!(
            said,
            [
                "nothing came out for 10s: 22 rows came in; 11 were filtered; `aggregate` of `revenue` holds 3 keys or rows \
              for results to come; the watermark of `orders` stands at 2026-01-01T00:00:00Z"
            ]
        );
    }

    #[test]
    fn whoever_gives_rows_is_not_silent() {
        assert_eq!(said((0..40).map(|second| batch(second, 1, u64::from(second % 9 == 0)))), Vec::<String>::new());
    }
}
