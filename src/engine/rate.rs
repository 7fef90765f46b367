//! How fast a source may go: the estimator of Spark Streaming's backpressure, with its formula and its parameters. It
//! learns from every batch how many rows a second could be worked on, and looks at how late batches start.

use crate::plan::Settings;

/// The rate of one source.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rate {
    gains: Gains,
    /// The batch interval in seconds.
    interval: f64,
    /// Rows a second, as far as known.
    current: Option<f64>,
    /// What the last batch left behind.
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Gains {
    proportional: f64,
    integral: f64,
    derived: f64,
    least: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Last {
    /// When the batch was done, in microseconds.
    ended: i64,
    rate: f64,
    error: f64,
}

/// A batch that is done, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) ended: i64,
    /// From its start to its end.
    pub(super) processing: i64,
    /// From when it was due to its start.
    pub(super) scheduling: i64,
}

impl Rate {
    /// None where the pipeline does not want it, or batches have no interval to keep to.
    pub(super) fn of(settings: &Settings, every: i64) -> Option<Self> {
        if !settings.flag("backpressure") || every <= 0 {
            return None;
        }
        let number = |name: &str, otherwise| settings.number(name).unwrap_or(otherwise);
        let gains = Gains {
            proportional: number("pid_proportional", 1.0),
            integral: number("pid_integral", 0.2),
            derived: number("pid_derived", 0.0),
            least: number("min_rate", 100.0),
        };
        Some(Rate { gains, interval: every as f64 / 1e6, current: settings.number("initial_rate"), last: None })
    }

    /// Goes on with what another one of the same source has learnt.
    pub(super) fn go_on_from(&mut self, old: &Rate) {
        (self.current, self.last) = (old.current, old.last);
    }

    /// Goes on with a rate that was learnt before a restart.
    pub(super) fn restore(&mut self, current: f64) {
        self.current = Some(current);
    }

    /// Rows that the next batch may take; none while nothing is known.
    pub(super) fn rows(&self) -> Option<usize> {
        self.current.map(|rate| (rate * self.interval).ceil().max(1.0) as usize)
    }

    /// Rows a second.
    pub(super) fn current(&self) -> Option<f64> {
        self.current
    }

    /// Learns from a batch that took so many rows of the source.
    pub(super) fn learn(&mut self, rows: u64, done: Done) {
        let since = self.last.map_or(1, |last| done.ended - last.ended);
        if rows == 0 || done.processing <= 0 || since <= 0 {
            return;
        }
        let processed = rows as f64 / (done.processing as f64 / 1e6);
        let Some(last) = self.last else {
            self.last = Some(Last { ended: done.ended, rate: processed, error: 0.0 });
            return;
        };
        let error = last.rate - processed;
        let history = done.scheduling.max(0) as f64 / 1e6 * processed / self.interval;
        let change = (error - last.error) / (since as f64 / 1e6);
        let Gains { proportional, integral, derived, least } = self.gains;
        let rate = (last.rate - proportional * error - integral * history - derived * change).max(least);
        self.last = Some(Last { ended: done.ended, rate, error });
        self.current = Some(rate);
    }
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::plan::OptionValue;

    const SECOND: i64 = 1_000_000;

    fn rate(initial: Option<f64>) -> Rate {
        let mut settings = Settings::default();
        settings.set("backpressure", OptionValue::Bool(true), Span::default());
        if let Some(initial) = initial {
            settings.set("initial_rate", OptionValue::Number(initial), Span::default());
        }
        Rate::of(&settings, 2 * SECOND).unwrap()
    }

    fn done(ended: i64, processing: i64, scheduling: i64) -> Done {
        Done { ended: ended * SECOND, processing: processing * SECOND, scheduling: scheduling * SECOND }
    }

    #[test]
    fn the_first_batch_says_nothing_yet_and_the_second_what_was_processed() {
        let mut rate = rate(None);
        rate.learn(1000, done(1, 1, 0));
        assert_eq!(rate.rows(), None);
        // error = 1000 - 500, nothing waited: 1000 - 1.0 * 500 = 500 rows a second, for two seconds.
        rate.learn(1000, done(3, 2, 0));
        assert_eq!((rate.current(), rate.rows()), (Some(500.0), Some(1000)));
    }

    #[test]
    fn batches_that_start_late_slow_the_source_down() {
        let mut rate = rate(None);
        rate.learn(1000, done(1, 1, 0));
        // error 0; four seconds late at 1000 rows a second and two seconds of interval: 0.2 * 4 * 1000 / 2 less.
        rate.learn(1000, done(3, 1, 4));
        assert_eq!(rate.current(), Some(600.0));
    }

    #[test]
    fn it_never_falls_below_the_least_and_empty_batches_teach_nothing() {
        let mut rate = rate(Some(5000.0));
        assert_eq!(rate.rows(), Some(10_000), "the first batch is limited too");
        rate.learn(0, done(1, 1, 0));
        rate.learn(1000, done(2, 1, 0));
        rate.learn(1, done(4, 2, 100));
        assert_eq!(rate.current(), Some(100.0));
        let before = rate.clone();
        rate.learn(1000, done(4, 2, 0));
        assert_eq!(rate, before, "no time has passed");
    }

    #[test]
    fn nothing_is_limited_where_it_was_not_asked_for_or_there_is_no_interval() {
        assert_eq!(Rate::of(&Settings::default(), SECOND), None);
        let mut settings = Settings::default();
        settings.set("backpressure", OptionValue::Bool(true), Span::default());
        assert_eq!(Rate::of(&settings, 0), None);
    }
}
