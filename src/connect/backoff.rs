//! How long to wait before a lost peer is tried again: twice as long each time, and never all at the same moment.

use std::time::Duration;

use crate::plan::Settings;

/// Waits that grow.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    least: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// As `backoff` and `max_backoff` say.
    pub(crate) fn of(settings: &Settings) -> Self {
        let wait = |name, otherwise| time(settings, name).unwrap_or(otherwise);
        let least = wait("backoff", Duration::from_secs(1)).max(Duration::from_millis(1));
        Backoff { least, most: wait("max_backoff", Duration::from_secs(30)).max(least), next: least }
    }

    /// How long to wait now: between a half and the whole of what it has grown to, so that many who lost the same peer
    /// do not come back together.
    pub(crate) fn wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.most);
        whole.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// It went well: the next wait is a short one again.
    pub(crate) fn reset(&mut self) {
        self.next = self.least;
    }
}

/// A duration option.
pub(crate) fn time(settings: &Settings, name: &str) -> Option<Duration> {
    settings.duration(name).map(|micros| Duration::from_micros(micros.max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::plan::OptionValue;

    #[test]
    fn waits_double_up_to_a_bound_and_differ() {
        let mut settings = Settings::default();
        settings.set("backoff", OptionValue::Duration(1_000_000), Span::default());
        settings.set("max_backoff", OptionValue::Duration(5_000_000), Span::default());
        let mut backoff = Backoff::of(&settings);
        let mut within = |whole: u64| {
            let wait = backoff.wait().as_millis();
            assert!((u128::from(whole) / 2..=u128::from(whole)).contains(&wait), "{wait} of {whole}");
        };
        [1000, 2000, 4000, 5000, 5000].into_iter().for_each(&mut within);
        backoff.reset();
        assert!(backoff.wait() <= Duration::from_secs(1));
    }
}
