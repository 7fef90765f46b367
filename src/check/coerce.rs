//! Which types go together and how one becomes another without loss: literals adapt, numbers widen.
//! Pure; a caller who gets `None` or `Err` makes the message.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

use crate::check::literals::{self, Digits};
use crate::model::{Column, Slot, Type};
use crate::plan::TypedExpr;
use crate::plan::expr::Node;

/// Why an expression does not become a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The types have nothing to do with each other, or something could be lost.
    Type,
    /// The literal is of the right kind, but cannot be read as the type.
    Literal(String),
}

/// An expression that did not become a type.
#[derive(Debug)]
pub(super) struct Unfit {
    /// As it was.
    pub(super) expr: TypedExpr,
    pub(super) why: Misfit,
}

/// A type for an expression, or the expression with the reason.
pub(super) type Fit = Result<TypedExpr, Box<Unfit>>;

fn unfit(expr: TypedExpr, why: Misfit) -> Fit {
    Err(Box::new(Unfit { expr, why }))
}

/// Makes `expr` a `ty` where [`fit`] can, and by a cast where the caller knows that it cannot fail.
pub(super) fn to(expr: TypedExpr, ty: &Type) -> TypedExpr {
    fit(expr, ty).unwrap_or_else(|unfit| cast(unfit.expr, ty))
}

/// Makes `expr` a `ty` where [`fit`] can; leaves it as it is where not.
pub(super) fn fit_or_keep(expr: TypedExpr, ty: &Type) -> TypedExpr {
    fit(expr, ty).unwrap_or_else(|unfit| unfit.expr)
}

/// Makes `expr` a `ty`, by adapting a literal or by a cast that cannot fail. Nullability is left as it is.
pub(super) fn fit(expr: TypedExpr, ty: &Type) -> Fit {
    if expr.slot.ty == *ty || expr.is_unknown() || ty.is_unknown() {
        return Ok(expr);
    }
    match &expr.node {
        Node::Literal(value) => match adapt(value, ty) {
            Some(Ok(value)) => Ok(literal_of(value, ty, &expr)),
            Some(Err(why)) => unfit(expr, Misfit::Literal(why)),
            None if widens(&expr.slot.ty, ty) => Ok(cast(expr, ty)),
            None => unfit(expr, Misfit::Type),
        },
        Node::List(_) => fit_list(expr, ty),
        Node::Struct(_) => fit_struct(expr, ty),
        _ if widens(&expr.slot.ty, ty) => Ok(cast(expr, ty)),
        _ => unfit(expr, Misfit::Type),
    }
}

fn literal_of(value: ScalarValue, ty: &Type, from: &TypedExpr) -> TypedExpr {
    let slot = Slot { ty: ty.clone(), nullable: value.is_null() };
    TypedExpr::new(Node::Literal(value), slot, from.span)
}

/// A cast that the checker puts in.
pub(super) fn cast(expr: TypedExpr, ty: &Type) -> TypedExpr {
    let slot = Slot { ty: ty.clone(), nullable: expr.slot.nullable };
    let (span, fails) = (expr.span, expr.fails);
    TypedExpr { node: Node::Cast(Box::new(expr)), slot, fails, span }
}

fn fit_list(expr: TypedExpr, ty: &Type) -> Fit {
    let Type::List(element) = ty else { return unfit(expr, Misfit::Type) };
    let Node::List(items) = &expr.node else { return unfit(expr, Misfit::Type) };
    let mut fitted = Vec::with_capacity(items.len());
    for item in items {
        match fit(item.clone(), &element.ty) {
            Ok(item) if item.slot.nullable && !element.nullable => return unfit(expr, Misfit::Type),
            Ok(item) => fitted.push(item),
            Err(inner) => return unfit(expr, inner.why),
        }
    }
    let slot = Slot { ty: ty.clone(), nullable: expr.slot.nullable };
    Ok(TypedExpr { node: Node::List(fitted), slot, fails: expr.fails, span: expr.span })
}

fn fit_struct(expr: TypedExpr, ty: &Type) -> Fit {
    let (Type::Struct(columns), Node::Struct(fields)) = (ty, &expr.node) else { return unfit(expr, Misfit::Type) };
    if columns.len() != fields.len() {
        return unfit(expr, Misfit::Type);
    }
    let mut fitted = Vec::with_capacity(fields.len());
    for column in columns {
        let Some((name, value)) = fields.iter().find(|(name, _)| *name == column.name) else {
            return unfit(expr, Misfit::Type);
        };
        match fit(value.clone(), &column.slot.ty) {
            Ok(value) if value.slot.nullable && !column.slot.nullable => return unfit(expr, Misfit::Type),
            Ok(value) => fitted.push((name.clone(), value)),
            Err(inner) => return unfit(expr, inner.why),
        }
    }
    let slot = Slot { ty: ty.clone(), nullable: expr.slot.nullable };
    Ok(TypedExpr { node: Node::Struct(fitted), slot, fails: expr.fails, span: expr.span })
}

/// Whether every value of `from` is a value of `to` (whole numbers become floats as SQL does it).
pub(super) fn widens(from: &Type, to: &Type) -> bool {
    match (from, to) {
        _ if from == to => true,
        (Type::Unknown, _) | (_, Type::Unknown) | (Type::Null, _) => true,
        (Type::Float32, Type::Float64)
        | (Type::Date, Type::Timestamp(_))
        | (Type::Timestamp(_), Type::Timestamp(_)) => true,
        (Type::Decimal { precision: p, scale: s }, Type::Decimal { precision: q, scale: t }) => {
            t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
        }
        (_, Type::Decimal { precision, scale }) => {
            integer_digits(from).is_some_and(|digits| i16::from(*precision) - i16::from(*scale) >= i16::from(digits))
        }
        (Type::List(a), Type::List(b)) => slot_widens(a, b),
        (Type::Map(k, v), Type::Map(l, w)) => k == l && slot_widens(v, w),
        (Type::Struct(a), Type::Struct(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name == b.name && slot_widens(&a.slot, &b.slot))
        }
        _ if from.is_integer() && to.is_float() => true,
        _ => match (from.integer_bits(), to.integer_bits()) {
            (Some((n, signed)), Some((m, to_signed))) => match (signed, to_signed) {
                (true, false) => false,
                (false, true) => m > n,
                _ => m >= n,
            },
            _ => false,
        },
    }
}

fn slot_widens(from: &Slot, to: &Slot) -> bool {
    (to.nullable || !from.nullable) && widens(&from.ty, &to.ty)
}

/// Decimal digits that hold every value of a whole number type.
pub(super) fn integer_digits(ty: &Type) -> Option<u8> {
    Some(match ty.integer_bits()? {
        (8, _) => 3,
        (16, _) => 5,
        (32, _) => 10,
        (_, true) => 19,
        (_, false) => 20,
    })
}

/// The smallest type that both widen to.
pub(super) fn common(a: &Type, b: &Type) -> Option<Type> {
    if widens(a, b) {
        return Some(b.clone());
    }
    if widens(b, a) {
        return Some(a.clone());
    }
    match (a, b) {
        (Type::Decimal { .. }, Type::Decimal { .. }) => decimal_union(a, b),
        (Type::Decimal { .. }, _) if b.is_integer() => decimal_union(a, &integer_decimal(b)?),
        (_, Type::Decimal { .. }) if a.is_integer() => decimal_union(&integer_decimal(a)?, b),
        (Type::List(x), Type::List(y)) => Some(Type::List(Box::new(common_slot(x, y)?))),
        (Type::Struct(x), Type::Struct(y)) if x.len() == y.len() => {
            let pairs =
                x.iter().zip(y).map(|(x, y)| (x.name == y.name).then(|| common_slot(&x.slot, &y.slot)).flatten());
            let slots = pairs.collect::<Option<Vec<_>>>()?;
            Some(Type::Struct(x.iter().zip(slots).map(|(c, slot)| Column::new(&c.name, slot)).collect()))
        }
        _ if a.is_float() && b.is_integer() || b.is_float() && a.is_integer() => Some(Type::Float64),
        _ => common_integer(a, b),
    }
}

fn common_slot(a: &Slot, b: &Slot) -> Option<Slot> {
    Some(Slot { ty: common(&a.ty, &b.ty)?, nullable: a.nullable || b.nullable })
}

fn common_integer(a: &Type, b: &Type) -> Option<Type> {
    let ((n, _), (m, _)) = (a.integer_bits()?, b.integer_bits()?);
    Some(match n.max(m) {
        8 => Type::Int16,
        16 => Type::Int32,
        32 => Type::Int64,
        _ => Type::Decimal { precision: 20, scale: 0 },
    })
}

/// The decimal that holds every value of a whole number type.
pub(super) fn integer_decimal(ty: &Type) -> Option<Type> {
    Some(Type::Decimal { precision: integer_digits(ty)?, scale: 0 })
}

fn decimal_union(a: &Type, b: &Type) -> Option<Type> {
    let (Type::Decimal { precision: p, scale: s }, Type::Decimal { precision: q, scale: t }) = (a, b) else {
        return None;
    };
    let scale = *s.max(t);
    let whole = (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t));
    let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|p| *p <= 38)?;
    Some(Type::Decimal { precision, scale })
}

/// A literal's value as another type: `None` where the kinds have nothing to do with each other, `Err` with a reason
/// where the kind is right and the value is not.
pub(super) fn adapt(value: &ScalarValue, ty: &Type) -> Option<Result<ScalarValue, String>> {
    if value.is_null() {
        return Some(ScalarValue::try_from(&ty.to_arrow()).map_err(|e| e.to_string()));
    }
    match value {
        ScalarValue::Int64(Some(n)) => adapt_integer(i128::from(*n), ty),
        ScalarValue::UInt64(Some(n)) => adapt_integer(i128::from(*n), ty),
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            adapt_decimal(Digits { value: *value, precision: *precision, scale: *scale }, ty)
        }
        ScalarValue::Float64(Some(n)) => adapt_float(*n, ty),
        ScalarValue::Utf8(Some(text)) => adapt_text(text, ty),
        _ => None,
    }
}

fn adapt_integer(n: i128, ty: &Type) -> Option<Result<ScalarValue, String>> {
    let misfit = || format!("{n} does not fit into `{ty}`");
    let value = match ty {
        Type::Int8 => i8::try_from(n).ok().map(|n| ScalarValue::Int8(Some(n))),
        Type::Int16 => i16::try_from(n).ok().map(|n| ScalarValue::Int16(Some(n))),
        Type::Int32 => i32::try_from(n).ok().map(|n| ScalarValue::Int32(Some(n))),
        Type::Int64 => i64::try_from(n).ok().map(|n| ScalarValue::Int64(Some(n))),
        Type::UInt8 => u8::try_from(n).ok().map(|n| ScalarValue::UInt8(Some(n))),
        Type::UInt16 => u16::try_from(n).ok().map(|n| ScalarValue::UInt16(Some(n))),
        Type::UInt32 => u32::try_from(n).ok().map(|n| ScalarValue::UInt32(Some(n))),
        Type::UInt64 => u64::try_from(n).ok().map(|n| ScalarValue::UInt64(Some(n))),
        #[expect(clippy::cast_precision_loss, reason = "a whole number literal becomes the nearest float, as in SQL")]
        Type::Float32 => Some(ScalarValue::Float32(Some(n as f32))),
        #[expect(clippy::cast_precision_loss, reason = "a whole number literal becomes the nearest float, as in SQL")]
        Type::Float64 => Some(ScalarValue::Float64(Some(n as f64))),
        Type::Decimal { .. } => return adapt_decimal(Digits { value: n, precision: 38, scale: 0 }, ty),
        _ => return None,
    };
    Some(value.ok_or_else(misfit))
}

fn adapt_decimal(digits: Digits, ty: &Type) -> Option<Result<ScalarValue, String>> {
    match ty {
        Type::Decimal { precision, scale } => {
            let value = digits.rescaled(*precision, *scale).ok_or_else(|| format!("has more digits than `{ty}` holds"));
            Some(value.map(|v| ScalarValue::Decimal128(Some(v), *precision, *scale)))
        }
        Type::Float64 => Some(Ok(ScalarValue::Float64(Some(decimal_to_float(digits))))),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a literal becomes the nearest float of the other operand's type"
        )]
        Type::Float32 => Some(Ok(ScalarValue::Float32(Some(decimal_to_float(digits) as f32)))),
        _ => None,
    }
}

/// The nearest float, by way of the text so that `0.1` is `0.1`.
fn decimal_to_float(digits: Digits) -> f64 {
    format!("{}e-{}", digits.value, digits.scale).parse().unwrap_or(f64::NAN)
}

fn adapt_float(n: f64, ty: &Type) -> Option<Result<ScalarValue, String>> {
    match ty {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a literal becomes the nearest float of the other operand's type"
        )]
        Type::Float32 => Some(Ok(ScalarValue::Float32(Some(n as f32)))),
        Type::Decimal { precision, scale } => {
            let digits = literals::decimal(&format!("{n}")).and_then(|d| d.rescaled(*precision, *scale));
            let value = digits.ok_or_else(|| format!("is no `{ty}` exactly"));
            Some(value.map(|v| ScalarValue::Decimal128(Some(v), *precision, *scale)))
        }
        _ => None,
    }
}

fn adapt_text(text: &str, ty: &Type) -> Option<Result<ScalarValue, String>> {
    let value = match ty {
        Type::Timestamp(zone) => literals::timestamp(text, zone.as_deref()).map(|micros| timestamp(micros, ty)),
        Type::Date => literals::date(text).map(|days| ScalarValue::Date32(Some(days))),
        Type::Time => literals::time(text).map(|micros| ScalarValue::Time64Microsecond(Some(micros))),
        Type::Duration => literals::duration_text(text).map(|micros| ScalarValue::DurationMicrosecond(Some(micros))),
        _ => return None,
    };
    Some(value.ok_or_else(|| format!("is no `{ty}`: {}", form_of(ty))))
}

/// A moment as a value of a timestamp type.
pub(super) fn timestamp(micros: i64, ty: &Type) -> ScalarValue {
    let zone = match ty.to_arrow() {
        DataType::Timestamp(_, zone) => zone,
        _ => None,
    };
    ScalarValue::TimestampMicrosecond(Some(micros), zone)
}

/// How a text of this type looks.
pub(super) fn form_of(ty: &Type) -> &'static str {
    match ty {
        Type::Timestamp(_) => "write \"2026-01-31T23:59:59Z\"",
        Type::Date => "write \"2026-01-31\"",
        Type::Time => "write \"23:59:59\"",
        Type::Duration => "write \"1h30m\"",
        _ => "it cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(precision: u8, scale: i8) -> Type {
        Type::Decimal { precision, scale }
    }

    #[test]
    fn numbers_widen_only_where_nothing_is_lost() {
        assert!(widens(&Type::Int32, &Type::Int64));
        assert!(!widens(&Type::Int64, &Type::Int32));
        assert!(widens(&Type::UInt32, &Type::Int64));
        assert!(!widens(&Type::Int8, &Type::UInt8));
        assert!(widens(&decimal(12, 2), &decimal(14, 2)));
        assert!(!widens(&decimal(12, 2), &decimal(12, 4)));
        assert!(!widens(&decimal(12, 2), &Type::Float64));
    }

    #[test]
    fn two_numbers_meet_in_the_smallest_type_that_holds_both() {
        assert_eq!(common(&Type::UInt8, &Type::Int8), Some(Type::Int16));
        assert_eq!(common(&Type::Int32, &decimal(5, 2)), Some(decimal(12, 2)));
        assert_eq!(common(&decimal(5, 2), &Type::Float64), None);
        assert_eq!(common(&Type::String, &Type::Int64), None);
    }

    #[test]
    fn literals_take_the_type_of_their_neighbour_where_they_fit() {
        assert_eq!(adapt(&ScalarValue::Int64(Some(7)), &Type::UInt8), Some(Ok(ScalarValue::UInt8(Some(7)))));
        assert!(matches!(adapt(&ScalarValue::Int64(Some(700)), &Type::UInt8), Some(Err(_))));
        assert_eq!(adapt(&ScalarValue::Utf8(Some("x".into())), &Type::Int64), None);
        assert!(matches!(adapt(&ScalarValue::Utf8(Some("x".into())), &Type::Date), Some(Err(_))));
        let tenth = ScalarValue::Decimal128(Some(1), 1, 1);
        assert_eq!(adapt(&tenth, &Type::Float64), Some(Ok(ScalarValue::Float64(Some(0.1)))));
    }
}
