//! The shape of one value, from how it is written.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use super::shape::Shape;

/// How many decimal places money and the like are written with.
const MONEY_PLACES: std::ops::RangeInclusive<usize> = 2..=4;

/// A number as JSON writes it; none where it is none.
pub(super) fn number(text: &str) -> Option<Shape> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if is_digits(whole) && (whole.len() == 1 || !whole.starts_with('0')) {
        if digits.len() == whole.len() {
            return Some(integer(text));
        }
        if is_digits(places) && MONEY_PLACES.contains(&places.len()) {
            return Some(Shape::Decimal { whole: width(whole), scale: width(places) });
        }
    }
    let float =
        text.starts_with(|c: char| c.is_ascii_digit() || c == '-') && text.parse::<f64>().is_ok_and(f64::is_finite);
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    (float && !leading_zero).then_some(Shape::Float)
}

fn integer(text: &str) -> Shape {
    if text.parse::<i64>().is_ok() {
        Shape::Integer
    } else if text.parse::<u64>().is_ok() {
        Shape::Unsigned
    } else {
        Shape::Float
    }
}

fn width(digits: &str) -> u32 {
    u32::try_from(digits.len()).unwrap_or(u32::MAX)
}

/// A text: a moment, a day, a time of day, or just text.
pub(super) fn text(text: &str) -> Shape {
    let starts_with_digit = text.starts_with(|c: char| c.is_ascii_digit());
    if !starts_with_digit || text.len() > 40 {
        Shape::Text
    } else if text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() {
        Shape::Date
    } else if DateTime::parse_from_rfc3339(text).is_ok() || local_moment(text) {
        Shape::Timestamp
    } else if text.len() >= 8 && NaiveTime::parse_from_str(text, "%H:%M:%S%.f").is_ok() {
        Shape::Time
    } else {
        Shape::Text
    }
}

fn local_moment(text: &str) -> bool {
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .any(|form| NaiveDateTime::parse_from_str(text, form).is_ok())
}
