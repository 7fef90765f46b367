//! Durations and moments as people write them. No clock here: time comes in as an argument.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

/// Units of [`show_duration`], largest first.
const UNITS: [(i64, &str); 7] = [
    (604_800_000_000, "w"),
    (86_400_000_000, "d"),
    (3_600_000_000, "h"),
    (60_000_000, "m"),
    (1_000_000, "s"),
    (1_000, "ms"),
    (1, "us"),
];

/// A duration in the largest unit that is exact: `90s`, `2h`. Weeks are said in days, as people do, below four.
pub fn show_duration(micros: i64) -> String {
    if micros == 0 {
        return "0s".into();
    }
    let exact = |(size, unit): &&(i64, &str)| micros % size == 0 && (*unit != "w" || micros / size >= 4);
    let (size, unit) = UNITS.iter().find(exact).copied().unwrap_or((1, "us"));
    format!("{}{unit}", micros / size)
}

/// A moment, in microseconds since 1970 UTC: `2026-01-01T12:00:00Z`, with as many digits of a second as it takes.
pub fn show_moment(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(moment) => moment.to_rfc3339_opts(SecondsFormat::AutoSi, true),
        None => format!("{micros}us since 1970"),
    }
}

/// How long something took, in three digits or so: `812us`, `4.2ms`, `1.52s`, `3m 20s`.
pub fn show_elapsed(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    match seconds {
        s if s < 0.001 => format!("{}us", took.as_micros()),
        s if s < 0.01 => format!("{:.1}ms", s * 1e3),
        s if s < 1.0 => format!("{:.0}ms", s * 1e3),
        s if s < 10.0 => format!("{s:.2}s"),
        s if s < 100.0 => format!("{s:.1}s"),
        s if s < 3600.0 => format!("{}m {}s", took.as_secs() / 60, took.as_secs() % 60),
        _ => format!("{}h {}m", took.as_secs() / 3600, took.as_secs() / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_elapsed_times_are_short() {
        assert_eq!(show_moment(1_767_225_600_500_000), "2026-01-01T00:00:00.500Z");
        let shown: Vec<_> = [812, 4_200, 42_000, 1_520_000, 15_240_000, 200_000_000, 7_260_000_000]
            .map(|micros| show_elapsed(Duration::from_micros(micros)))
            .into();
        assert_eq!(shown, ["812us", "4.2ms", "42ms", "1.52s", "15.2s", "3m 20s", "2h 1m"]);
    }
}
