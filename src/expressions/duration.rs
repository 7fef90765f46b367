//! Reads durations in texts: `90s`, `1h30m`, `-5min`, `1.5h`.

/// In microseconds; none where the text is no duration.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(number_end);
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        total = total.checked_add(scaled(number, micros_of(unit.trim())?)?)?;
        rest = behind.trim_start();
    }
    if negative { total.checked_neg() } else { Some(total) }
}

fn micros_of(unit: &str) -> Option<i64> {
    Some(match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" | "min" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        "w" => 604_800_000_000,
        _ => return None,
    })
}

/// `1.5` times a unit, exactly; fractions of a microsecond are no duration.
fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let size = 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole: i64 = whole.parse().ok()?;
    let part: i64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = i128::from(part) * i128::from(unit);
    if part % i128::from(size) != 0 {
        return None;
    }
    whole.checked_mul(unit)?.checked_add(i64::try_from(part / i128::from(size)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, micros) in [
            ("90s", Some(90_000_000)),
            ("1h30m", Some(5_400_000_000)),
            ("1h 30min", Some(5_400_000_000)),
            ("1.5h", Some(5_400_000_000)),
            ("-250ms", Some(-250_000)),
            ("0.5us", None),
            ("", None),
            ("5", None),
            ("5 parsecs", None),
            ("99999999999w", None),
        ] {
            assert_eq!(parse(text), micros, "{text:?}");
        }
    }
}
