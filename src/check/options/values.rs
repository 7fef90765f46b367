//! What each kind of option accepts: constants as values, defaults as entries write them, words and examples for
//! messages. Pure; knows no checker.

use datafusion_common::ScalarValue;
use millstream_dsl::ast::{self, Expr, ExprKind, Literal};

use crate::check::{coerce, literals};
use crate::model::Type;
use crate::plan::{OptionKind, OptionValue};

/// Months of `1mo`, `2y`.
pub(in crate::check) fn calendar(value: &Expr) -> Option<u32> {
    let ExprKind::Literal(Literal::Quantity { number, unit }) = &value.kind else { return None };
    let number: u32 = number.parse().ok()?;
    match unit {
        ast::Unit::Months => Some(number),
        ast::Unit::Years => number.checked_mul(12),
        _ => None,
    }
}

/// A constant as an option of that kind.
pub(super) fn convert(value: &ScalarValue, kind: &OptionKind, zone: Option<&str>) -> Option<OptionValue> {
    let number = |v: &ScalarValue| match v.cast_to(&arrow::datatypes::DataType::Float64) {
        Ok(ScalarValue::Float64(Some(n))) => Some(n),
        _ => None,
    };
    match (kind, value) {
        (OptionKind::Bool, ScalarValue::Boolean(Some(b))) => Some(OptionValue::Bool(*b)),
        (OptionKind::Integer { min, max }, _) => match coerce::adapt(value, &Type::Int64) {
            Some(Ok(ScalarValue::Int64(Some(n)))) if (*min..=*max).contains(&n) => Some(OptionValue::Integer(n)),
            _ => None,
        },
        (OptionKind::Number { min, max }, value) if !matches!(value, ScalarValue::Utf8(_)) => {
            number(value).filter(|n| (*min..=*max).contains(n)).map(OptionValue::Number)
        }
        (OptionKind::Text | OptionKind::Path, ScalarValue::Utf8(Some(text))) => Some(OptionValue::Text(text.clone())),
        (OptionKind::Address, ScalarValue::Utf8(Some(text))) => {
            is_address(text).then(|| OptionValue::Text(text.clone()))
        }
        (OptionKind::Duration | OptionKind::Period, ScalarValue::DurationMicrosecond(Some(n))) if *n >= 0 => {
            Some(OptionValue::Duration(*n))
        }
        (OptionKind::Size, ScalarValue::Int64(Some(n))) => u64::try_from(*n).ok().map(OptionValue::Size),
        (OptionKind::Timestamp, ScalarValue::TimestampMicrosecond(Some(n), _)) => Some(OptionValue::Timestamp(*n)),
        (OptionKind::Timestamp, ScalarValue::Utf8(Some(text))) => {
            literals::timestamp(text, zone).map(OptionValue::Timestamp)
        }
        (OptionKind::AnyOf(kinds), value) => kinds.iter().find_map(|kind| convert(value, kind, zone)),
        (OptionKind::Column, ScalarValue::Utf8(Some(text))) => Some(OptionValue::Column(text.clone())),
        (OptionKind::Symbol(words), ScalarValue::Utf8(Some(text))) => {
            words.iter().any(|(word, _)| word == text).then(|| OptionValue::Symbol(text.clone()))
        }
        _ => None,
    }
}

/// `host:port`
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// A default as the entry writes it.
pub(super) fn default_value(text: &str, kind: &OptionKind) -> Option<OptionValue> {
    match kind {
        OptionKind::Symbol(_) => Some(OptionValue::Symbol(text.to_owned())),
        OptionKind::Bool => text.parse().ok().map(OptionValue::Bool),
        OptionKind::Integer { .. } => text.parse().ok().map(OptionValue::Integer),
        OptionKind::Number { .. } => text.parse().ok().map(OptionValue::Number),
        OptionKind::Duration | OptionKind::Period => literals::duration_text(text).map(OptionValue::Duration),
        OptionKind::Size => size_text(text).map(OptionValue::Size),
        OptionKind::AnyOf(kinds) => kinds.iter().find_map(|kind| match kind {
            OptionKind::Symbol(words) if !words.iter().any(|(word, _)| *word == text) => None,
            kind => default_value(text, kind),
        }),
        OptionKind::Column => Some(OptionValue::Column(text.to_owned())),
        OptionKind::Text | OptionKind::Path | OptionKind::Address | OptionKind::Name => {
            let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
            Some(OptionValue::Text(quoted.replace("\\\"", "\"").replace("\\\\", "\\")))
        }
        _ => None,
    }
}

fn size_text(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = if end == text.len() { ast::Unit::Bytes } else { ast::Unit::from_word(&text[end..])? };
    literals::size(&text[..end], unit)
}

/// What a kind accepts, in words behind "is".
pub(super) fn wanted(kind: &OptionKind) -> String {
    match kind {
        OptionKind::Bool => "`true` or `false`".into(),
        OptionKind::Integer { min, max } if *max >= i64::from(i32::MAX) => format!("a whole number from {min}"),
        OptionKind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        OptionKind::Number { min, max } => format!("a number from {min} to {max}"),
        OptionKind::Text => "a text".into(),
        OptionKind::Path => "a path as a text".into(),
        OptionKind::Address => "a text like \"host:9999\"".into(),
        OptionKind::Symbol(words) => format!("one of {}", words.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(", ")),
        OptionKind::Duration => "a duration like `10s`".into(),
        OptionKind::Period => "a duration like `10s` or `1mo`".into(),
        OptionKind::Size => "a size like `64mb`".into(),
        OptionKind::Timestamp => "a moment like \"2026-01-31T00:00:00Z\"".into(),
        OptionKind::Schema => "a type with columns".into(),
        OptionKind::Column => "the name of a column".into(),
        OptionKind::Name => "a name".into(),
        OptionKind::Format => "a format".into(),
        OptionKind::Secret => "a secret".into(),
        OptionKind::Expr(_) => "an expression".into(),
        OptionKind::List(item) => format!("a list, each {}", wanted(item)),
        OptionKind::Map(_) => "names and values in braces".into(),
        OptionKind::AnyOf(kinds) => kinds.iter().map(wanted).collect::<Vec<_>>().join(" or "),
    }
}

/// A value for pasting.
pub(super) fn example(kind: &OptionKind) -> String {
    match kind {
        OptionKind::Bool => "true".into(),
        OptionKind::Integer { min, .. } => min.max(&1).to_string(),
        OptionKind::Number { min, max } => format!("{}", if max.is_finite() { (min + max) / 2.0 } else { *min }),
        OptionKind::Text => "\"text\"".into(),
        OptionKind::Path => "\"data/*.json\"".into(),
        OptionKind::Address => "\"127.0.0.1:9999\"".into(),
        OptionKind::Symbol(words) => words.first().map_or("...", |(word, _)| word).into(),
        OptionKind::Duration | OptionKind::Period => "10s".into(),
        OptionKind::Size => "64mb".into(),
        OptionKind::Timestamp => "\"2026-01-31T00:00:00Z\"".into(),
        OptionKind::Schema => "{ id: string, amount: decimal(12, 2) }".into(),
        OptionKind::Column => "ts".into(),
        OptionKind::Name => "name".into(),
        OptionKind::Format => "json".into(),
        OptionKind::Secret => "env(\"PASSWORD\")".into(),
        OptionKind::Expr(_) => "amount".into(),
        OptionKind::List(item) => format!("[{}]", example(item)),
        OptionKind::Map(item) => format!("{{ name: {} }}", example(item)),
        OptionKind::AnyOf(kinds) => kinds.first().map_or_else(|| "...".into(), example),
    }
}
