//! Numbers of bytes as people write them: powers of ten, as in `128mb`.

/// A size in three digits or so: `812b`, `4.2kb`, `128mb`.
pub fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["b", "kb", "mb", "gb", "tb"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 || (value - value.round()).abs() < 0.005 { 0 } else { 1 };
    format!("{value:.digits$}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::show_bytes;

    #[test]
    fn sizes_are_shown_as_they_are_written() {
        let shown = [0, 999, 1_000, 4_200, 99_940, 128_000_000, 2_000_000_000].map(show_bytes);
        assert_eq!(shown, ["0b", "999b", "1kb", "4.2kb", "99.9kb", "128mb", "2gb"]);
    }
}
