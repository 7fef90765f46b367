//! Texts of literals to values: dates, times, decimals, durations, sizes, bytes. Pure; knows no checker.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use millstream_dsl::ast::Unit;

/// Microseconds since 1970 UTC of `2026-01-01T12:00:05Z`, `2026-01-01 12:00:05.5+01:00`, `2026-01-01`.
/// Where no offset is written, the zone holds; UTC where there is none.
pub(super) fn timestamp(text: &str, zone: Option<&str>) -> Option<i64> {
    let text = text.trim();
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_micros());
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%:z", "%Y-%m-%d %H:%M:%S%.f %:z", "%Y-%m-%dT%H:%M:%S%.f%z"] {
        if let Ok(moment) = DateTime::parse_from_str(text, format) {
            return Some(moment.timestamp_micros());
        }
    }
    let plain = text.strip_suffix('Z');
    let naive = naive_timestamp(plain.unwrap_or(text))?;
    match zone.filter(|_| plain.is_none()) {
        None => Some(Utc.from_utc_datetime(&naive).timestamp_micros()),
        Some(zone) => {
            let zone: Tz = zone.parse().ok()?;
            Some(zone.from_local_datetime(&naive).earliest()?.timestamp_micros())
        }
    }
}

fn naive_timestamp(text: &str) -> Option<NaiveDateTime> {
    const FORMATS: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let found = FORMATS.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    found.or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))
}

/// Days since 1970 of `2026-01-31`.
pub(super) fn date(text: &str) -> Option<i32> {
    let day = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()?;
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

/// Microseconds of the day of `23:59:59.5`.
pub(super) fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    let time =
        NaiveTime::parse_from_str(text, "%H:%M:%S%.f").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M")).ok()?;
    Some(i64::from(time.num_seconds_from_midnight()) * 1_000_000 + i64::from(time.nanosecond() / 1_000))
}

/// A decimal's digits as one number, how many digits it has and how many stand behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digits {
    /// All digits without the point.
    pub(super) value: i128,
    /// How many digits; at least one, at most 38.
    pub(super) precision: u8,
    /// How many of them behind the point.
    pub(super) scale: i8,
}

/// `-12.50`
pub(super) fn decimal(text: &str) -> Option<Digits> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let precision = (whole.len() + fraction.len()).max(1);
    if precision > 38 {
        return None;
    }
    let value: i128 = format!("0{whole}{fraction}").parse().ok()?;
    Some(Digits {
        value: value * sign,
        precision: u8::try_from(precision).ok()?,
        scale: i8::try_from(fraction.len()).ok()?,
    })
}

impl Digits {
    /// The same number with another scale, if it is exact and fits.
    pub(super) fn rescaled(self, precision: u8, scale: i8) -> Option<i128> {
        let factor = 10_i128.checked_pow(u32::from(scale.abs_diff(self.scale)))?;
        let value = if scale >= self.scale {
            self.value.checked_mul(factor)?
        } else if self.value % factor == 0 {
            self.value / factor
        } else {
            return None;
        };
        let limit = 10_i128.checked_pow(u32::from(precision))?;
        (value.abs() < limit).then_some(value)
    }
}

/// Microseconds of a number with a unit; none where it is no time of fixed length, too long or finer than that.
pub(super) fn duration(number: &str, unit: Unit) -> Option<i64> {
    scaled(number, i128::from(unit.micros()?)).and_then(|n| i64::try_from(n).ok())
}

/// Bytes of a number with a unit; none where it is no size.
pub(super) fn size(number: &str, unit: Unit) -> Option<u64> {
    scaled(number, i128::from(unit.bytes()?)).and_then(|n| u64::try_from(n).ok())
}

fn scaled(number: &str, factor: i128) -> Option<i128> {
    let digits = decimal(number)?;
    let divisor = 10_i128.checked_pow(u32::try_from(digits.scale).ok()?)?;
    let product = digits.value.checked_mul(factor)?;
    (product % divisor == 0).then_some(product / divisor)
}

/// `10s`, `1h30m`, `-5m` as text, e.g. in a test's cell.
pub(crate) fn duration_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let mut total = 0_i64;
    let mut any = false;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_end = rest[number_end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |i| i + number_end);
        let unit = Unit::from_word(rest[number_end..unit_end].trim())?;
        total = total.checked_add(duration(&rest[..number_end], unit)?)?;
        rest = &rest[unit_end..];
        any = true;
    }
    any.then_some(total * sign)
}

/// `00ff`
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok()).collect()
}

/// Whether the zone is one that is known.
pub(super) fn is_zone(name: &str) -> bool {
    name.parse::<Tz>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_the_forms_people_write() {
        let noon = 1_767_268_805_000_000;
        assert_eq!(timestamp("2026-01-01T12:00:05Z", None), Some(noon));
        assert_eq!(timestamp("2026-01-01 12:00:05", None), Some(noon));
        assert_eq!(timestamp("2026-01-01T13:00:05+01:00", None), Some(noon));
        assert_eq!(timestamp("2026-01-01 13:00:05", Some("Europe/Berlin")), Some(noon));
        assert_eq!(timestamp("2026-01-01T12:00:05Z", Some("Europe/Berlin")), Some(noon));
        assert_eq!(timestamp("2026-13-01", None), None);
    }

    #[test]
    fn decimals_keep_every_digit_that_is_written() {
        assert_eq!(decimal("10.00"), Some(Digits { value: 1000, precision: 4, scale: 2 }));
        assert_eq!(decimal("-0.05"), Some(Digits { value: -5, precision: 2, scale: 2 }));
        assert_eq!(decimal("1.2.3"), None);
        assert_eq!(decimal("10.5").and_then(|d| d.rescaled(12, 2)), Some(1050));
        assert_eq!(decimal("10.555").and_then(|d| d.rescaled(12, 2)), None);
    }

    #[test]
    fn durations_and_sizes_are_exact_or_nothing() {
        assert_eq!(duration("1.5", Unit::Hours), Some(5_400_000_000));
        assert_eq!(duration("1", Unit::Months), None);
        assert_eq!(size("64", Unit::Megabytes), Some(64_000_000));
        assert_eq!(duration_text("1h30m"), Some(5_400_000_000));
        assert_eq!(bytes("00ff"), Some(vec![0, 255]));
    }
}
