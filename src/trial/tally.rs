//! What became of rows since the test began, by stream: the counters that `expect count of` asks for.

use std::collections::BTreeMap;

use crate::engine::BatchReport;
use crate::plan::scenario::Counted;

/// Counts by stream or source.
#[derive(Debug, Default)]
pub(super) struct Tally {
    of: BTreeMap<String, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Rows that came into its first stage; none where it has no stage.
    rows_in: Option<u64>,
    /// Rows that it gave.
    out: u64,
    filtered: u64,
    late: u64,
    bad: u64,
    rejected: u64,
}

impl Tally {
    /// Counts a batch.
    pub(super) fn add(&mut self, report: &BatchReport) {
        for source in &report.sources {
            let counts = self.of.entry(source.name.clone()).or_default();
            *counts.rows_in.get_or_insert(0) += source.rows + source.bad;
            counts.bad += source.bad;
        }
        let mut before = "";
        for operator in &report.operators {
            let counts = self.of.entry(operator.stream.clone()).or_default();
            if before != operator.stream {
                *counts.rows_in.get_or_insert(0) += operator.rows_in;
            }
            before = &operator.stream;
            counts.filtered += operator.filtered;
            counts.late += operator.late;
            counts.bad += operator.bad;
        }
        for sink in &report.sinks {
            self.of.entry(sink.stream.clone()).or_default().rejected += sink.rejected;
        }
    }

    /// Counts rows that a stream gave.
    pub(super) fn gave(&mut self, stream: &str, rows: u64) {
        self.of.entry(stream.to_owned()).or_default().out += rows;
    }

    /// How many rows were counted.
    pub(super) fn count(&self, what: Counted, of: &str) -> u64 {
        let Some(counts) = self.of.get(of) else { return 0 };
        match what {
            Counted::In => counts.rows_in.unwrap_or(counts.out),
            Counted::Out => counts.out,
            Counted::Filtered => counts.filtered,
            Counted::Late => counts.late,
            Counted::Bad => counts.bad,
            Counted::Rejected => counts.rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{OperatorCount, SourceCount};

    fn stage(stream: &str, rows_in: u64, filtered: u64, late: u64) -> OperatorCount {
        OperatorCount { stream: stream.into(), rows_in, filtered, late, ..OperatorCount::default() }
    }

    #[test]
    fn a_stream_takes_in_what_its_first_stage_does_and_loses_what_all_of_them_do() {
        let mut tally = Tally::default();
        let source = SourceCount { name: "orders".into(), rows: 9, bad: 1, ..SourceCount::default() };
        let operators = vec![stage("paid", 9, 4, 0), stage("paid", 5, 1, 2), stage("all", 2, 0, 0)];
        tally.add(&BatchReport { sources: vec![source], operators, ..BatchReport::default() });
        tally.gave("paid", 2);
        tally.gave("orders", 9);
        tally.gave("paid_late", 2);
        let all = |of| Counted::ALL.map(|(what, _)| tally.count(what, of));
        assert_eq!(all("orders"), [10, 9, 0, 0, 1, 0]);
        assert_eq!(all("paid"), [9, 2, 5, 2, 0, 0]);
        assert_eq!(all("paid_late"), [2, 2, 0, 0, 0, 0], "a stream without stages gives what it takes");
        assert_eq!(all("unheard"), [0; 6]);
    }
}
