//! Durations and moments as people write them. No clock here: time comes in as an argument.

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
