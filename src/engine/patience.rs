//! What fails for now is tried again, with longer and longer waits.

use crate::engine::clock::Clock;
use crate::engine::stopping::Stopping;
use crate::plan::Settings;
use crate::plan::operator::TaskError;

/// How long and how often something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    tries: u64,
    /// Microseconds from the first failure on.
    deadline: i64,
    /// Microseconds before the second try, and at most between two.
    waits: (i64, i64),
}

/// For sources, which have no settings for it: about a quarter of a minute.
pub(super) const OF_SOURCES: Patience = Patience { tries: 8, deadline: i64::MAX, waits: (50_000, 10_000_000) };

impl Patience {
    /// What a sink's settings say.
    pub(super) fn of(settings: &Settings) -> Self {
        let wait = |name, otherwise| settings.duration(name).unwrap_or(otherwise).max(1_000);
        Patience {
            tries: settings.integer("retries").and_then(|n| u64::try_from(n).ok()).unwrap_or(10),
            deadline: settings.duration("deadline").unwrap_or(300_000_000),
            waits: (wait("backoff", 100_000), wait("max_backoff", 30_000_000)),
        }
    }

    /// The same, for a shorter time.
    pub(super) fn no_longer_than(self, deadline: i64) -> Self {
        Patience { deadline: self.deadline.min(deadline), ..self }
    }

    /// Does the work until it succeeds, fails for good, or patience ends: its own, or that with a run that is to end.
    pub(super) fn retrying<R>(
        &self,
        clock: &dyn Clock,
        stop: &Stopping,
        retries: &mut u64,
        mut work: impl FnMut() -> Result<R, TaskError>,
    ) -> Result<R, TaskError> {
        let started = clock.now();
        let mut wait = self.waits.0;
        let mut tries = 0;
        loop {
            let why = match work() {
                Err(TaskError::Retry(why)) => why,
                other => return other,
            };
            let over = clock.now().saturating_sub(started) >= self.deadline;
            if tries >= self.tries || over || stop.is_over(clock) {
                let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
                let tried = if tries == 0 { String::new() } else { format!(" (tried again {times})") };
                return Err(TaskError::Stop(format!("{why}{tried}")));
            }
            tracing::warn!(%why, wait_ms = wait / 1000, "trying again");
            stop.wait(clock, wait);
            wait = wait.saturating_mul(2).min(self.waits.1);
            tries += 1;
            *retries += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::clock::ManualClock;

    const PATIENCE: Patience = Patience { tries: 5, deadline: 1_000_000, waits: (100_000, 300_000) };

    fn going_on() -> Stopping {
        Stopping::new(Arc::default(), 0)
    }

    fn failing(times: u64, patience: Patience) -> (Result<u64, TaskError>, u64, i64) {
        let clock = ManualClock::default();
        let (mut calls, mut retries) = (0, 0);
        let result = patience.retrying(&clock, &going_on(), &mut retries, || {
            calls += 1;
            if calls > times { Ok(calls) } else { Err(TaskError::Retry("not now".into())) }
        });
        (result, retries, clock.now())
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let (result, retries, waited) = failing(4, PATIENCE);
        assert_eq!((result.unwrap(), retries, waited), (5, 4, 100_000 + 200_000 + 300_000 + 300_000));
    }

    #[test]
    fn it_ends_with_the_tries_or_the_deadline() {
        let said = |(result, _, _): (Result<u64, TaskError>, u64, i64)| result.unwrap_err().to_string();
        assert_eq!(said(failing(9, Patience { tries: 1, ..PATIENCE })), "not now (tried again once)");
        assert_eq!(said(failing(9, Patience { tries: 0, ..PATIENCE })), "not now");
        assert_eq!(said(failing(99, Patience { tries: 99, ..PATIENCE })), "not now (tried again 5 times)");
    }

    #[test]
    fn what_fails_for_good_is_not_tried_again() {
        let mut calls = 0;
        let failed: Result<(), _> = PATIENCE.retrying(&ManualClock::default(), &going_on(), &mut 0, || {
            calls += 1;
            Err(TaskError::Stop("never".into()))
        });
        assert_eq!((failed.unwrap_err().to_string(), calls), ("never".into(), 1));
    }
}
