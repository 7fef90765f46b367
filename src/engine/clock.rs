//! The only place that reads a clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::plan::seams::Bell;

/// What time it is, and how to wait.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970 UTC.
    fn now(&self) -> i64;
    /// Returns when it is that time, or earlier when `stop` becomes true.
    fn wait_until(&self, micros: i64, stop: &AtomicBool);
    /// Returns when the bell is rung, when it is that time, or when `stop` becomes true.
    fn wait_for(&self, bell: &Bell, micros: i64, stop: &AtomicBool) {
        if !bell.wait(Duration::ZERO) {
            self.wait_until(micros, stop);
        }
    }
    /// Time that goes by whatever is done to the clock, for measuring how long something takes.
    fn ticks(&self) -> Duration {
        Duration::from_micros(self.now().max(0).unsigned_abs())
    }
}

/// The clock on the wall.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealClock;

/// The longest sleep before `stop` is looked at again.
const NAP: Duration = Duration::from_millis(20);

impl Clock for RealClock {
    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn wait_until(&self, micros: i64, stop: &AtomicBool) {
        loop {
            let left = micros.saturating_sub(self.now());
            if left <= 0 || stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(Duration::from_micros(left.unsigned_abs()).min(NAP));
        }
    }

    fn wait_for(&self, bell: &Bell, micros: i64, stop: &AtomicBool) {
        loop {
            let left = micros.saturating_sub(self.now());
            if left <= 0 || stop.load(Ordering::Relaxed) {
                return;
            }
            if bell.wait(Duration::from_micros(left.unsigned_abs()).min(NAP)) {
                return;
            }
        }
    }

    fn ticks(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// A clock that moves only when somebody waits for it, or moves it.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Mutex<i64>,
}

impl ManualClock {
    /// It is that time.
    pub fn at(micros: i64) -> Self {
        ManualClock { now: Mutex::new(micros) }
    }

    /// Time goes by.
    pub fn advance(&self, micros: i64) {
        *self.hand() += micros;
    }

    fn hand(&self) -> std::sync::MutexGuard<'_, i64> {
        self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        *self.hand()
    }

    fn wait_until(&self, micros: i64, _: &AtomicBool) {
        let mut now = self.hand();
        *now = micros.max(*now);
    }
}
