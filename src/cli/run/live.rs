//! The line that shows a run as it goes, where somebody looks: on a terminal. With `--once` it is a bar.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::engine::{BatchReport, Report};
use crate::metrics::resident_bytes;
use crate::model::time::{show_elapsed, show_moment};

/// How much of the past an average looks at.
const WINDOW: Duration = Duration::from_secs(5);

/// The line.
pub(super) struct Live {
    bar: ProgressBar,
    once: bool,
    /// Rows in, rows out and time of the last batches: the newest last.
    recent: Vec<(i64, u64, u64, Duration)>,
    bytes: u64,
}

impl Live {
    /// On standard error.
    pub(super) fn new(once: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        Live { bar, once, recent: Vec::new(), bytes: 0 }
    }

    /// Writes above the line.
    pub(super) fn above(&self) -> Above {
        Above(self.bar.clone())
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Rows a second that came in and went out.
    fn rates(&self) -> (u64, u64) {
        let (Some(first), Some(last)) = (self.recent.first(), self.recent.last()) else { return (0, 0) };
        let worked: Duration = self.recent.iter().map(|(.., took)| *took).sum();
        let passed = Duration::from_micros((last.0 - first.0).max(0).unsigned_abs());
        // With `--once` the time of batches is not that of the clock.
        let passed = if self.once { Duration::ZERO } else { passed };
        let seconds = passed.max(worked).as_secs_f64().max(1e-6);
        let rows_in: u64 = self.recent.iter().map(|(_, n, ..)| n).sum();
        let rows_out: u64 = self.recent.iter().map(|(_, _, n, _)| n).sum();
        ((rows_in as f64 / seconds) as u64, (rows_out as f64 / seconds) as u64)
    }
}

impl Report for Live {
    fn before(&mut self) {
        // What the pipeline prints must not stand behind the line.
        self.bar.suspend(|| {});
    }

    fn batch(&mut self, batch: &BatchReport) {
        let (rows_in, rows_out) = (batch.rows_in(), batch.rows_out());
        self.bytes += batch.sources.iter().map(|source| source.bytes).sum::<u64>();
        self.recent.push((batch.time, rows_in, rows_out, batch.took));
        let oldest = batch.time.saturating_sub(i64::try_from(WINDOW.as_micros()).unwrap_or(i64::MAX));
        let kept = self.recent.len().saturating_sub(1);
        self.recent.retain({
            let mut at = 0;
            move |(time, ..)| {
                at += 1;
                *time > oldest || at > kept
            }
        });
        let text = line(batch, self.rates());
        let behind: Option<u64> = batch.sources.iter().map(|source| source.backlog.bytes).sum();
        let bar = match behind.filter(|_| self.once) {
            Some(behind) => format!("{} ", drawn(self.bytes, self.bytes + behind)),
            None => String::new(),
        };
        self.bar.set_message(format!("{bar}{text}"));
        self.bar.tick();
    }

    fn note(&mut self, text: &str) {
        // Who does not listen on standard error misses it.
        let _ = self.above().write_all(format!("{text}\n").as_bytes());
    }
}

/// `[=====>    ] 42 %`
fn drawn(done: u64, all: u64) -> String {
    const WIDTH: u64 = 20;
    let part = |of: u64| (u128::from(done) * u128::from(of)).checked_div(u128::from(all)).unwrap_or(u128::from(of));
    let full = usize::try_from(part(WIDTH)).unwrap_or_default();
    let head = if full < WIDTH as usize { ">" } else { "" };
    format!("[{:<20}] {:>3} %", format!("{}{head}", "=".repeat(full)), part(100))
}

/// `batch 12  12:00:05Z  in 10,000/s  out 12/s  took 42ms`, and what else is worth a word.
fn line(batch: &BatchReport, (rows_in, rows_out): (u64, u64)) -> String {
    let moment = show_moment(batch.time - batch.time.rem_euclid(1000));
    let clock = moment.split_once('T').map_or(moment.as_str(), |(_, clock)| clock);
    let mut parts = vec![
        format!("batch {}", batch.number),
        clock.to_owned(),
        format!("in {}/s", grouped(rows_in)),
        format!("out {}/s", grouped(rows_out)),
        format!("took {}", show_elapsed(batch.took)),
    ];
    if batch.delay > Duration::from_millis(20) {
        parts.push(format!("late by {}", show_elapsed(batch.delay)));
    }
    let sum = |of: fn(&crate::engine::SourceCount) -> Option<u64>| batch.sources.iter().filter_map(of).sum::<u64>();
    let lag = [
        (sum(|s| s.backlog.pieces), "files", grouped as fn(u64) -> String),
        (sum(|s| s.backlog.rows), "rows", grouped),
        (sum(|s| s.backlog.bytes), "", bytes),
    ];
    if let Some((behind, what, show)) = lag.into_iter().find(|(behind, ..)| *behind > 0) {
        parts.push(format!("behind {} {what}", show(behind)).trim_end().to_owned());
    }
    let keys: usize = batch.operators.iter().map(|operator| operator.held.keys).sum();
    let held: usize = batch.operators.iter().map(|operator| operator.held.bytes).sum();
    if keys > 0 {
        parts.push(format!("state {} keys, {}", grouped(keys as u64), bytes(held as u64)));
    }
    if let Some(resident) = resident_bytes() {
        parts.push(format!("memory {}", bytes(resident)));
    }
    parts.join("  ")
}

/// `12,345,678`
pub(in crate::cli) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.2 mb`, in powers of ten.
pub(super) fn bytes(number: u64) -> String {
    let units = [(1_000_000_000, "gb"), (1_000_000, "mb"), (1_000, "kb")];
    match units.iter().find(|(size, _)| number >= *size) {
        Some((size, unit)) if number >= size * 100 => format!("{} {unit}", number / size),
        Some((size, unit)) => format!("{:.1} {unit}", number as f64 / *size as f64),
        None => format!("{number} b"),
    }
}

/// Writes above the line, so that neither spoils the other.
#[derive(Clone)]
pub(super) struct Above(ProgressBar);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{OperatorCount, SourceCount};
    use crate::plan::operator::Held;
    use crate::plan::seams::Backlog;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([999, 1_500, 250_000_000, 3_000_000_000].map(bytes), ["999 b", "1.5 kb", "250 mb", "3.0 gb"]);
        assert_eq!(drawn(0, 10), "[>                   ]   0 %");
        assert_eq!(drawn(5, 10), "[==========>         ]  50 %");
        assert_eq!(drawn(10, 10), "[====================] 100 %");
        assert_eq!(drawn(0, 0), "[====================] 100 %");
    }

    #[test]
    fn the_line_says_what_is_worth_a_word() {
        let batch = BatchReport {
            number: 12,
            time: 1_767_225_605_000_000,
            took: Duration::from_millis(42),
            delay: Duration::from_millis(300),
            sources: vec![SourceCount {
                backlog: Backlog { pieces: Some(3), bytes: Some(9), ..Backlog::default() },
                ..SourceCount::default()
            }],
            operators: vec![OperatorCount {
                held: Held { keys: 1200, bytes: 48_000, on_disk: 0 },
                ..OperatorCount::default()
            }],
            ..BatchReport::default()
        };
        let text = line(&batch, (10_000, 12));
        let start = "batch 12  00:00:05Z  in 10,000/s  out 12/s  took 42ms  late by 300ms  behind 3 files  state 1,200 keys, 48.0 kb";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn rates_look_at_the_last_seconds() {
        let mut live = Live::new(false);
        live.bar.set_draw_target(ProgressDrawTarget::hidden());
        for second in 0..60 {
            let sources = vec![SourceCount { rows: if second < 30 { 0 } else { 1000 }, ..SourceCount::default() }];
            live.batch(&BatchReport { time: second * 1_000_000, sources, ..BatchReport::default() });
        }
        let (rows_in, _) = live.rates();
        assert!((1000..=1300).contains(&rows_in), "{rows_in}");
        assert!(live.recent.len() < 10);
    }
}
