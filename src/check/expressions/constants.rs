//! Literals, and what is known of an expression before it runs.

use std::sync::Arc;

use arrow::array::StructArray;
use datafusion_common::ScalarValue;
use millstream_dsl::ast::{Literal, TypedWord, Unit};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::Checker;
use crate::check::{coerce, literals};
use crate::model::{Slot, Type};
use crate::plan::TypedExpr;
use crate::plan::expr::Node;

impl Checker<'_> {
    /// `10.00`, `"text"`, `10s`
    pub(in crate::check) fn literal(&mut self, literal: &Literal, span: Span) -> TypedExpr {
        let value = match literal {
            Literal::Null => Ok(ScalarValue::Null),
            Literal::Bool(value) => Ok(ScalarValue::Boolean(Some(*value))),
            Literal::Integer(digits) => integer(digits),
            Literal::Decimal(digits) => decimal(digits),
            Literal::Float(text) => float(text),
            Literal::String(text) | Literal::Raw(text) => Ok(ScalarValue::Utf8(Some(text.clone()))),
            Literal::Quantity { number, unit } => quantity(number, *unit),
            Literal::Typed { word: TypedWord::Json, text } => return self.json_literal(text, span),
            Literal::Typed { word, text } => self.typed_literal(*word, text),
        };
        match value {
            Ok(value) => TypedExpr::literal(value, span),
            Err((code, why)) => {
                let (why, form) = why.split_once(": ").unwrap_or((&why, ""));
                let problem =
                    Diagnostic::error(code, span, format!("`{}` {why}", self.text(span))).label("cannot be read");
                self.report(if form.is_empty() { problem } else { problem.help(form) });
                TypedExpr::unknown(span)
            }
        }
    }

    fn json_literal(&mut self, text: &str, span: Span) -> TypedExpr {
        if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
            let problem = Diagnostic::error("invalid-literal", span, "the text is no json").label(error.to_string());
            self.report(problem);
            return TypedExpr::unknown(span);
        }
        let node = Node::Literal(ScalarValue::Utf8(Some(text.to_owned())));
        TypedExpr::new(node, Slot::required(Type::Json), span)
    }

    fn typed_literal(&self, word: TypedWord, text: &str) -> Result<ScalarValue, (&'static str, String)> {
        let ty = match word {
            TypedWord::Date => Type::Date,
            TypedWord::Time => Type::Time,
            TypedWord::Timestamp | TypedWord::Json => Type::Timestamp(None),
            TypedWord::Decimal => return decimal(text),
            TypedWord::Bytes => {
                let bytes = literals::bytes(text).map(|b| ScalarValue::Binary(Some(b)));
                return bytes.ok_or_else(|| invalid("is no `bytes`: write two hexadecimal digits a byte, \"00ff\""));
            }
        };
        if let (Type::Timestamp(_), Some(zone)) = (&ty, self.header.zone.as_deref()) {
            let micros = literals::timestamp(text, Some(zone));
            return micros
                .map(|m| coerce::timestamp(m, &ty))
                .ok_or_else(|| invalid(&format!("is no `{ty}`: {}", coerce::form_of(&ty))));
        }
        match coerce::adapt(&ScalarValue::Utf8(Some(text.to_owned())), &ty) {
            Some(Ok(value)) => Ok(value),
            Some(Err(why)) => Err(("invalid-literal", why)),
            None => Err(invalid("cannot be read")),
        }
    }
}

fn invalid(why: &str) -> (&'static str, String) {
    ("invalid-literal", why.to_owned())
}

fn integer(digits: &str) -> Result<ScalarValue, (&'static str, String)> {
    if let Ok(n) = digits.parse::<i64>() {
        return Ok(ScalarValue::Int64(Some(n)));
    }
    if let Ok(n) = digits.parse::<u64>() {
        return Ok(ScalarValue::UInt64(Some(n)));
    }
    decimal(digits)
}

fn decimal(digits: &str) -> Result<ScalarValue, (&'static str, String)> {
    let digits = literals::decimal(digits).ok_or_else(|| invalid("is no decimal of at most 38 digits"))?;
    Ok(ScalarValue::Decimal128(
        Some(digits.value),
        digits.precision.max(digits.scale.unsigned_abs()).max(1),
        digits.scale,
    ))
}

fn float(text: &str) -> Result<ScalarValue, (&'static str, String)> {
    match text.parse::<f64>() {
        Ok(n) if n.is_finite() => Ok(ScalarValue::Float64(Some(n))),
        _ => Err(invalid("does not fit into `float64`")),
    }
}

fn quantity(number: &str, unit: Unit) -> Result<ScalarValue, (&'static str, String)> {
    if let Unit::Months | Unit::Years = unit {
        return Err(("calendar-unit", "has no fixed length: months and years stand in calendar windows only".into()));
    }
    if unit.bytes().is_some() {
        let bytes = literals::size(number, unit).and_then(|n| i64::try_from(n).ok());
        return bytes.map(|n| ScalarValue::Int64(Some(n))).ok_or_else(|| invalid("is no whole number of bytes"));
    }
    let micros = literals::duration(number, unit).map(|n| ScalarValue::DurationMicrosecond(Some(n)));
    micros.ok_or_else(|| ("invalid-duration", "is no whole number of microseconds, or too long".into()))
}

/// The value of an expression that is known before it runs.
pub(in crate::check) fn constant(expr: &TypedExpr) -> Option<ScalarValue> {
    match &expr.node {
        Node::Literal(value) => Some(value.clone()),
        Node::Cast(inner) => {
            let value = constant(inner)?;
            if inner.slot.ty == expr.slot.ty { Some(value) } else { value.cast_to(&expr.slot.ty.to_arrow()).ok() }
        }
        Node::Negate(inner) => constant(inner)?.arithmetic_negate().ok(),
        _ => None,
    }
}

/// The value of a constant expression, lists, structs and maps included.
pub(in crate::check) fn value(expr: &TypedExpr) -> Option<ScalarValue> {
    if let Some(value) = constant(expr) {
        return Some(value);
    }
    match (&expr.node, &expr.slot.ty) {
        (Node::List(items), Type::List(element)) => {
            let values = items.iter().map(value).collect::<Option<Vec<_>>>()?;
            Some(ScalarValue::List(ScalarValue::new_list(&values, &element.ty.to_arrow(), element.nullable)))
        }
        (Node::Struct(fields), Type::Struct(columns)) => {
            let arrays = fields.iter().map(|(_, field)| value(field)?.to_array().ok()).collect::<Option<Vec<_>>>()?;
            let fields = columns.iter().map(crate::model::Column::to_field).collect::<Vec<_>>();
            let rows = StructArray::try_new(fields.into(), arrays, None).ok()?;
            Some(ScalarValue::Struct(Arc::new(rows)))
        }
        (Node::Cast(inner), ty) => value(inner)?.cast_to(&ty.to_arrow()).ok(),
        _ => None,
    }
}
