//! What several runs of a program come to.

use serde_json::{Value, json};

use crate::measure::Needed;
use crate::programs::{Program, Told};

/// One run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Run {
    /// What the process needed.
    pub needed: Needed,
    /// What it told of its batches.
    pub told: Told,
}

impl Run {
    /// Milliseconds of a batch once the program has warmed up: the median, the first one left out.
    pub fn steady(&self) -> f64 {
        let batches = &self.told.batches;
        median(if batches.len() > 1 { &batches[1..] } else { batches })
    }

    /// Milliseconds from the start of the process to the end of the first batch.
    fn first(&self) -> Option<f64> {
        Some((self.told.first? - self.needed.started) as f64 / 1000.0)
    }
}

/// What the runs of a program at a workload come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Whose.
    pub program: Program,
    /// On how many cores.
    pub cores: usize,
    /// Milliseconds of a batch: the median of the runs.
    pub millis: f64,
    /// The least and the most of the runs.
    pub spread: (f64, f64),
    /// Milliseconds of the whole process, the median.
    pub whole: f64,
    /// Milliseconds to the end of the first batch, where it is known.
    pub first: Option<f64>,
    /// Rows and bytes a second.
    pub rows_a_second: f64,
    /// Bytes a second.
    pub bytes_a_second: f64,
    /// Seconds of processors for a run, the median.
    pub cpu_seconds: f64,
    /// The most memory of any run.
    pub peak_bytes: u64,
    /// How many runs there were.
    pub runs: usize,
}

impl Figure {
    /// Of runs over batches with so many rows and bytes.
    pub fn of(program: Program, cores: usize, runs: &[Run], (rows, bytes): (f64, f64)) -> Self {
        let steady: Vec<f64> = runs.iter().map(Run::steady).collect();
        let all = |of: fn(&Run) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
        let firsts: Vec<f64> = runs.iter().filter_map(Run::first).collect();
        let millis = median(&steady);
        let least = steady.iter().copied().fold(f64::INFINITY, f64::min);
        let most = steady.iter().copied().fold(0.0, f64::max);
        Figure {
            program,
            cores,
            millis,
            spread: (least, most),
            whole: all(|run| run.needed.millis),
            first: (!firsts.is_empty()).then(|| median(&firsts)),
            rows_a_second: rows / millis * 1000.0,
            bytes_a_second: bytes / millis * 1000.0,
            cpu_seconds: all(|run| run.needed.cpu_seconds),
            peak_bytes: runs.iter().map(|run| run.needed.peak_bytes).max().unwrap_or_default(),
            runs: runs.len(),
        }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({
            "program": self.program.name(),
            "cores": self.cores,
            "durable": self.program.durable(),
            "batch_ms": self.millis,
            "batch_ms_least": self.spread.0,
            "batch_ms_most": self.spread.1,
            "whole_ms": self.whole,
            "first_batch_ms": self.first,
            "rows_per_second": self.rows_a_second,
            "bytes_per_second": self.bytes_a_second,
            "cpu_seconds": self.cpu_seconds,
            "peak_bytes": self.peak_bytes,
            "runs": self.runs,
        })
    }
}

/// The middle one; the mean of the middle two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// `12.3 GB/s` and the like: a number with the unit that suits it.
pub fn shown(value: f64, unit: &str) -> String {
    let (factor, prefix) = match value {
        v if v >= 1e9 => (1e9, "G"),
        v if v >= 1e6 => (1e6, "M"),
        v if v >= 1e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    format!("{:.*} {prefix}{unit}", if value / factor < 10.0 { 2 } else { 0 }, value / factor)
}

/// A line of a table for each figure, how much slower than the limit of as many cores among it.
pub fn table(figures: &[Figure]) -> String {
    let mut text = format!(
        "{:<20} {:>5} {:>10} {:>17} {:>9} {:>10} {:>10} {:>8} {:>8} {:>9} {:>9}\n",
        "", "cores", "ms a batch", "least - most", "of limit", "rows", "bytes", "CPU s", "peak", "whole ms", "first ms"
    );
    for figure in figures {
        let limit = figures.iter().find(|other| other.program == Program::Limit && other.cores == figure.cores);
        let of_limit = limit.map(|limit| format!("{:.0} %", limit.millis / figure.millis * 100.0)).unwrap_or_default();
        text.push_str(&format!(
            "{:<20} {:>5} {:>10.2} {:>17} {of_limit:>9} {:>10} {:>10} {:>8.2} {:>8} {:>9.0} {:>9}\n",
            figure.program.name(),
            figure.cores,
            figure.millis,
            format!("{:.2} - {:.2}", figure.spread.0, figure.spread.1),
            shown(figure.rows_a_second, "/s"),
            shown(figure.bytes_a_second, "B/s"),
            figure.cpu_seconds,
            shown(figure.peak_bytes as f64, "B"),
            figure.whole,
            figure.first.map(|first| format!("{first:.0}")).unwrap_or_default(),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_first_batch_is_no_steady_one() {
        let told = Told { batches: vec![100.0, 4.0, 6.0, 5.0], first: Some(2_500) };
        let run = Run { needed: Needed { started: 1_000, ..Needed::default() }, told };
        assert_eq!((run.steady(), run.first()), (5.0, Some(1.5)));
    }
}
