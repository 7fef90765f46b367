//! A run that is asked to end: how long it may still take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use crate::engine::clock::Clock;

/// Whether a run is to end, and since when.
#[derive(Debug)]
pub(super) struct Stopping {
    asked: Arc<AtomicBool>,
    /// When that was first seen, in microseconds since 1970; `UNSEEN` before.
    since: AtomicI64,
    /// How long what is under way may take from then on.
    grace: i64,
}

const UNSEEN: i64 = i64::MIN;

/// The longest wait before it is looked again.
const NAP: i64 = 100_000;

impl Stopping {
    /// `asked` becomes true when the run is to end; then it may take `grace` microseconds more.
    pub(super) fn new(asked: Arc<AtomicBool>, grace: i64) -> Self {
        Stopping { asked, since: AtomicI64::new(UNSEEN), grace }
    }

    /// Whether it was asked to end.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether the time that was left is over.
    pub(super) fn is_over(&self, clock: &dyn Clock) -> bool {
        if !self.is_asked() {
            return false;
        }
        let now = clock.now();
        match self.since.compare_exchange(UNSEEN, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                tracing::info!("ending: what is under way and what was received is worked off first");
                self.grace <= 0
            }
            Err(since) => now.saturating_sub(since) >= self.grace,
        }
    }

    /// Waits so long, or until the time that was left is over.
    pub(super) fn wait(&self, clock: &dyn Clock, micros: i64) {
        let until = clock.now().saturating_add(micros);
        while clock.now() < until && !self.is_over(clock) {
            clock.wait_until(until.min(clock.now().saturating_add(NAP)), &AtomicBool::new(false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::ManualClock;

    #[test]
    fn waits_end_when_the_time_that_was_left_is_over() {
        let clock = ManualClock::default();
        let asked = Arc::new(AtomicBool::new(false));
        let stopping = Stopping::new(Arc::clone(&asked), 1_000_000);
        stopping.wait(&clock, 5_000_000);
        assert_eq!((clock.now(), stopping.is_over(&clock)), (5_000_000, false));
        asked.store(true, Ordering::Relaxed);
        stopping.wait(&clock, 5_000_000);
        assert_eq!((clock.now(), stopping.is_over(&clock)), (6_000_000, true));
    }
}
