//! Which types adapt to which without a row being lost: the casts a call may have put in for it.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

use crate::model::{Slot, Type};

/// Whether every value of a type becomes a value of another.
pub(super) fn always_fits(from: &Type, to: &Type) -> bool {
    match (from, to) {
        _ if from == to => true,
        (Type::Unknown | Type::Null, _) | (_, Type::Unknown) => true,
        (Type::Json, Type::String) | (Type::String, Type::Bytes) => true,
        (Type::List(from), Type::List(to)) => slot_fits(from, to),
        (Type::Map(from_key, from_value), Type::Map(to_key, to_value)) => {
            always_fits(from_key, to_key) && slot_fits(from_value, to_value)
        }
        (Type::Struct(from), Type::Struct(to)) => {
            from.len() == to.len() && from.iter().zip(to).all(|(a, b)| slot_fits(&a.slot, &b.slot))
        }
        (Type::Timestamp(_), Type::Timestamp(_)) => true,
        (Type::Date, Type::Timestamp(_)) => true,
        _ => number_fits(from, to),
    }
}

/// Whether every value of a type has a text.
pub(super) fn has_text(ty: &Type) -> bool {
    !ty.is_nested() && *ty != Type::Bytes
}

fn slot_fits(from: &Slot, to: &Slot) -> bool {
    always_fits(&from.ty, &to.ty)
}

fn number_fits(from: &Type, to: &Type) -> bool {
    match (from.integer_bits(), to.integer_bits()) {
        (Some((a, signed)), Some((b, to_signed))) if signed == to_signed => a <= b,
        (Some((a, false)), Some((b, true))) => a < b,
        (Some((bits, signed)), None) => match to {
            Type::Float32 | Type::Float64 => true,
            Type::Decimal { precision, scale } => i32::from(*precision) - i32::from(*scale) >= digits(bits, signed),
            _ => false,
        },
        _ => match (from, to) {
            (Type::Float32, Type::Float64) | (Type::Decimal { .. }, Type::Float64) => true,
            (Type::Decimal { precision: p, scale: s }, Type::Decimal { precision: q, scale: t }) => {
                t >= s && i32::from(*q) - i32::from(*t) >= i32::from(*p) - i32::from(*s)
            }
            _ => false,
        },
    }
}

/// Decimal digits of the largest number of so many bits.
fn digits(bits: u8, signed: bool) -> i32 {
    match bits {
        8 => 3,
        16 => 5,
        32 => 10,
        _ if signed => 19,
        _ => 20,
    }
}

/// Whether a constant becomes a value of another type without loss.
pub(super) fn constant_fits(value: &ScalarValue, to: &DataType) -> bool {
    let Ok(cast) = value.cast_to(to) else { return false };
    let text = value.data_type().is_string();
    !cast.is_null() && (text || cast.cast_to(&value.data_type()).is_ok_and(|back| back == *value))
}

/// The type that two values of a choice share without a row being lost; none where there is none.
pub(crate) fn common(a: &Type, b: &Type) -> Option<Type> {
    match (a, b) {
        (Type::Unknown, _) | (_, Type::Unknown) => Some(Type::Unknown),
        (Type::List(x), Type::List(y)) => Some(Type::List(Box::new(common_slot(x, y)?))),
        _ if a == b || *a == Type::Null => Some(b.clone()),
        _ if *b == Type::Null => Some(a.clone()),
        (Type::Decimal { precision: p, scale: s }, Type::Decimal { precision: q, scale: t }) => {
            let (scale, whole) = (*s.max(t), (i16::from(*p) - i16::from(*s)).max(i16::from(*q) - i16::from(*t)));
            let precision = u8::try_from(whole + i16::from(scale)).ok().filter(|p| *p <= 38)?;
            Some(Type::Decimal { precision, scale })
        }
        (Type::Decimal { .. }, other) if other.is_integer() => common_decimal(a, other),
        (other, Type::Decimal { .. }) if other.is_integer() => common_decimal(b, other),
        _ if !a.is_number() || !b.is_number() => None,
        _ if a.is_float() || b.is_float() => float(a, b),
        _ if number_fits(a, b) => Some(b.clone()),
        _ if number_fits(b, a) => Some(a.clone()),
        _ => Some(Type::Int64).filter(|wide| number_fits(a, wide) && number_fits(b, wide)),
    }
}

fn common_slot(a: &Slot, b: &Slot) -> Option<Slot> {
    Some(Slot { ty: common(&a.ty, &b.ty)?, nullable: a.nullable || b.nullable })
}

fn common_decimal(decimal: &Type, integer: &Type) -> Option<Type> {
    let (bits, signed) = integer.integer_bits()?;
    let precision = u8::try_from(digits(bits, signed)).ok()?;
    common(decimal, &Type::Decimal { precision, scale: 0 })
}

fn float(a: &Type, b: &Type) -> Option<Type> {
    let mixed = matches!(a, Type::Decimal { .. }) || matches!(b, Type::Decimal { .. });
    let small = *a == Type::Float32 && *b == Type::Float32;
    (!mixed).then_some(if small { Type::Float32 } else { Type::Float64 })
}
