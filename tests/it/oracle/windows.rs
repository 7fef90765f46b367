//! Which windows an instant belongs to, by looking at every window there could be.

use super::program::{SECOND, Window};

/// Windows that follow from time alone, in microseconds.
#[derive(Clone, Debug)]
pub(crate) enum Grid {
    /// One starts every `every`, counted from `start`.
    Even { length: i64, every: i64, start: i64 },
    /// Within each `length` one ends every `every`.
    Growing { length: i64, every: i64, start: i64 },
}

impl Grid {
    /// Of event time.
    pub(crate) fn of(window: &Window) -> Grid {
        Grid::from(window, 0)
    }

    /// Counted from an instant; of windows that slide in, the first ends there.
    pub(crate) fn of_batches(window: &Window, zero: i64) -> Grid {
        match Grid::from(window, zero) {
            Grid::Even { length, every, start } => Grid::Even { length, every, start: start - length },
            growing @ Grid::Growing { .. } => growing,
        }
    }

    fn from(window: &Window, zero: i64) -> Grid {
        match window {
            Window::Tumbling { length, start } => {
                Grid::Even { length: length * SECOND, every: length * SECOND, start: zero + start * SECOND }
            }
            Window::Sliding { length, every, start } => {
                Grid::Even { length: length * SECOND, every: every * SECOND, start: zero + start * SECOND }
            }
            Window::Cumulative { length, every } => {
                Grid::Growing { length: length * SECOND, every: every * SECOND, start: zero }
            }
            Window::Session { .. } | Window::Count(_) => panic!("follows from rows, not from time"),
        }
    }

    /// The windows `[start, end)` that an instant is in.
    pub(crate) fn containing(&self, instant: i64) -> Vec<(i64, i64)> {
        match *self {
            Grid::Even { length, every, start } => {
                let first = (instant - length - start).div_euclid(every);
                let last = (instant - start).div_euclid(every);
                let spans = (first..=last).map(|n| start + n * every).map(|from| (from, from + length));
                spans.filter(|(from, end)| *from <= instant && instant < *end).collect()
            }
            Grid::Growing { length, every, start } => {
                let from = start + (instant - start).div_euclid(length) * length;
                let ends = (1..=length / every).map(|n| from + n * every);
                ends.filter(|end| instant < *end).map(|end| (from, end)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
        spans.into_iter().map(|(a, b)| (a / SECOND, b / SECOND)).collect()
    }

    #[test]
    fn instants_are_in_the_windows_one_would_count_by_hand() {
        let sliding = Grid::of(&Window::Sliding { length: 10, every: 5, start: 0 });
        assert_eq!(seconds(sliding.containing(12 * SECOND)), [(5, 15), (10, 20)]);
        assert_eq!(seconds(sliding.containing(10 * SECOND)), [(5, 15), (10, 20)]);
        assert_eq!(seconds(sliding.containing(10 * SECOND - 1)), [(0, 10), (5, 15)]);
        let gaps = Grid::of(&Window::Sliding { length: 2, every: 5, start: 1 });
        assert_eq!(seconds(gaps.containing(3 * SECOND)), []);
        assert_eq!(seconds(gaps.containing(-3 * SECOND)), [(-4, -2)]);
        let growing = Grid::of(&Window::Cumulative { length: 6, every: 2 });
        assert_eq!(seconds(growing.containing(9 * SECOND)), [(6, 10), (6, 12)]);
        let batches = Grid::of_batches(&Window::Sliding { length: 3, every: 2, start: 0 }, 100 * SECOND);
        assert_eq!(seconds(batches.containing(101 * SECOND - 1)), [(99, 102)]);
    }
}
