//! Texts as values of a column's type, the same for every format whose records are made of texts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, DurationMicrosecondArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};

use arrow::array::RecordBatch;

/// The values of a column; `Err` says which column does not fit. Null stays null, which a column that is not nullable
/// must not be given. Bytes are hexadecimal.
pub(crate) fn typed(texts: StringArray, field: &Field) -> Result<ArrayRef, String> {
    let name = field.name();
    let misfit = |text: &str| format!("`{name}` is `{}`, which does not fit its type", cut(text));
    let of = |value: Option<&str>| value.unwrap_or_default().to_owned();
    match field.data_type() {
        DataType::Utf8 => Ok(Arc::new(texts)),
        DataType::Boolean => {
            let truth = |text: Option<&str>| match text {
                None => Ok(None),
                Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
                Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
                Some(text) => Err(misfit(text)),
            };
            Ok(Arc::new(texts.iter().map(truth).collect::<Result<BooleanArray, _>>()?))
        }
        DataType::Binary => {
            let bytes = |text: Option<&str>| match text {
                None => Ok(None),
                Some(text) => from_hex(text).map(Some).ok_or_else(|| misfit(text)),
            };
            let values = texts.iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(values.iter().map(Option::as_deref).collect::<BinaryArray>()))
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            let micros = |text: Option<&str>| match text {
                None => Ok(None),
                Some(text) => duration(text).map(Some).ok_or_else(|| misfit(text)),
            };
            Ok(Arc::new(texts.iter().map(micros).collect::<Result<DurationMicrosecondArray, _>>()?))
        }
        other => {
            let forgiving = CastOptions { safe: true, ..CastOptions::default() };
            let cast = cast_with_options(&texts, other, &forgiving).map_err(|e| format!("`{name}`: {e}"))?;
            match (0..texts.len()).find(|row| cast.is_null(*row) && !texts.is_null(*row)) {
                Some(row) => Err(misfit(&of(texts.iter().nth(row).flatten()))),
                None => Ok(cast),
            }
        }
    }
}

/// Rows of columns of texts in the schema's order. Null in a column that is not nullable is the empty text where the
/// column is a string, else a mistake.
pub(crate) fn rows(columns: Vec<StringArray>, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let typed = |(field, texts): (&Arc<Field>, StringArray)| {
        if field.is_nullable() || texts.null_count() == 0 {
            return typed(texts, field);
        }
        if *field.data_type() != DataType::Utf8 {
            return Err(format!("`{}` is missing", field.name()));
        }
        let filled = texts.iter().map(Option::unwrap_or_default);
        Ok(Arc::new(StringArray::from_iter_values(filled)) as ArrayRef)
    };
    let columns = schema.fields().iter().zip(columns).map(typed).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| e.to_string())
}

/// Bytes written as hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if text.len().is_multiple_of(2) { text.as_bytes().chunks(2).map(pair).collect() } else { None }
}

/// A duration in microseconds: as people write it (`1h30m`, `250ms`, `1.5s`) or by ISO 8601 (`PT5400S`).
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let iso = rest.strip_prefix('P');
    let mut rest = iso.unwrap_or(rest);
    let (mut total, mut timed, mut any) = (0_i128, iso.is_none(), false);
    while !rest.is_empty() {
        if let (Some(behind), false) = (rest.strip_prefix('T'), timed) {
            (rest, timed) = (behind, true);
            continue;
        }
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').filter(|n| *n > 0)?;
        let unit = rest[number..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |n| number + n);
        let unit = if iso.is_some() { number + 1 } else { unit };
        let micros = match (&rest[number..unit], iso.is_some()) {
            ("us" | "µs", false) => 1,
            ("ms", false) => 1_000,
            ("s", false) | ("S", true) => 1_000_000,
            ("m" | "min", false) => 60_000_000,
            ("M", true) if timed => 60_000_000,
            ("h", false) | ("H", true) => 3_600_000_000,
            ("d", false) | ("D", true) => 86_400_000_000,
            ("w", false) | ("W", true) => 604_800_000_000,
            _ => return None,
        };
        total += scaled(&rest[..number], micros)?;
        any = true;
        rest = &rest[unit..];
    }
    let total = i64::try_from(total).ok()?;
    any.then_some(if negative { -total } else { total })
}

/// A decimal number times a unit, without rounding more than the last microsecond.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part = part.get(..part.len().min(15))?;
    let fraction: i128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let fraction = fraction * unit / 10_i128.pow(u32::try_from(part.len()).ok()?);
    let value = whole.checked_mul(unit)?.checked_add(fraction)?;
    Some(if negative { -value } else { value })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Whether a column holds texts.
pub(crate) fn texts(column: &ArrayRef) -> Option<&StringArray> {
    column.as_string_opt::<i32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_and_as_iso_8601_write_them() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000));
        assert_eq!(duration("1.5s"), Some(1_500_000));
        assert_eq!(duration("PT5400S"), Some(5_400_000_000));
        assert_eq!(duration("-P1DT0.25S"), Some(-86_400_250_000));
        for wrong in ["", "P", "5", "s", "1x", "PT", "99999999999999999999w", "1.2.3s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_is_named() {
        let field = Field::new("n", DataType::Int32, true);
        let ok = typed(StringArray::from(vec![Some("7"), None]), &field).unwrap();
        assert_eq!((ok.len(), ok.null_count()), (2, 1));
        let wrong = typed(StringArray::from(vec![Some("7"), Some("x")]), &field).unwrap_err();
        assert_eq!(wrong, "`n` is `x`, which does not fit its type");
    }
}
