//! Moments as text: microseconds since 1970 UTC and back, without a library.

use std::fmt::Write as _;

const DAY: i64 = 86_400_000_000;

/// `2026-01-01T00:00:00.123Z`, cut to milliseconds.
pub fn write_moment(text: &mut String, micros: i64) {
    let (year, month, day) = date_of(micros.div_euclid(DAY));
    let millis = micros.rem_euclid(DAY) / 1000;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to a string cannot fail.
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z");
}

/// Reads `2026-01-01T00:00:00.123Z`, also with a blank for the `T`, without a fraction or with `+00:00` for the `Z`.
pub fn read_moment(text: &[u8]) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        text.get(from..to)?.iter().try_fold(0, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
    };
    let days = days_of(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let mut micros = 0;
    if text.get(19) == Some(&b'.') {
        let mut worth = 100_000;
        for digit in text[20..].iter().take_while(|b| b.is_ascii_digit()) {
            micros += i64::from(digit - b'0') * worth;
            worth /= 10;
        }
    }
    Some(days * DAY + seconds * 1_000_000 + micros)
}

/// The civil date of a day since 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    // Counted from March on, a leap day is the last of its year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The day since 1970 of a civil date.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for micros in [0, 1_767_225_600_123_000, 1_709_210_096_000_000, 951_782_400_000_000] {
            let mut text = String::new();
            write_moment(&mut text, micros);
            assert_eq!(read_moment(text.as_bytes()), Some(micros), "{text}");
        }
        assert_eq!(read_moment(b"2024-02-29 12:34:56+00:00"), Some(1_709_210_096_000_000));
        assert_eq!(read_moment(b"soon"), None);
    }
}
