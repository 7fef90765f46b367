//! What a column's values have in common: shapes grow from value to value and never shrink, so the order of
//! rows does not matter.

use crate::model::{Column, Slot, Type};

/// Digits of a decimal column, unless its values have more.
const USUAL_DIGITS: u32 = 12;
/// What a decimal can hold.
const MOST_DIGITS: u32 = 38;

/// What has been seen in one place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::formats) struct Seen {
    /// What all values fit.
    shape: Shape,
    /// Whether a null was seen, or nothing where a value could be.
    nullable: bool,
}

/// What values fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::formats) enum Shape {
    /// No value has been seen.
    #[default]
    Nothing,
    /// `true`, `false`
    Bool,
    /// Whole numbers of at most 64 bits with a sign.
    Integer,
    /// Whole numbers that need all 64 bits.
    Unsigned,
    /// Numbers that are all written with the same two to four decimal places: money and the like.
    Decimal {
        /// Most digits before the point.
        whole: u32,
        /// Digits behind it.
        scale: u32,
    },
    /// Any other numbers.
    Float,
    /// `2026-01-31`
    Date,
    /// `23:59:59`
    Time,
    /// `2026-01-31T23:59:59Z`
    Timestamp,
    /// Any other text.
    Text,
    /// A list, and what its elements are.
    List(Box<Seen>),
    /// Named values.
    Fields(Fields),
    /// Values that have nothing in common.
    Anything,
}

/// The fields of records, in the order in which they were first seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::formats) struct Fields {
    fields: Vec<(String, Seen)>,
    records: usize,
}

impl Seen {
    /// Takes in a value, or a null.
    pub(in crate::formats) fn add(&mut self, value: Option<Shape>) {
        match value {
            Some(shape) => self.shape = std::mem::take(&mut self.shape).with(shape),
            None => self.nullable = true,
        }
    }

    /// Both together.
    fn with(self, other: Seen) -> Seen {
        Seen { shape: self.shape.with(other.shape), nullable: self.nullable || other.nullable }
    }

    /// The type that holds all of it.
    pub(in crate::formats) fn slot(&self) -> Slot {
        let nothing = self.shape == Shape::Nothing;
        Slot { ty: self.shape.ty(), nullable: self.nullable || nothing }
    }
}

impl Shape {
    /// The narrowest shape that both fit.
    pub(in crate::formats) fn with(self, other: Shape) -> Shape {
        use Shape::{Anything, Date, Decimal, Fields, Float, Integer, List, Nothing, Text, Time, Timestamp, Unsigned};
        match (self, other) {
            (Nothing, shape) | (shape, Nothing) => shape,
            (a, b) if a.is_plain() && a == b => a,
            (Integer, Unsigned) | (Unsigned, Integer) => Unsigned,
            (Decimal { whole: a, scale }, Decimal { whole: b, scale: same }) if scale == same => {
                Decimal { whole: a.max(b), scale }
            }
            (Integer | Unsigned | Decimal { .. } | Float, Integer | Unsigned | Decimal { .. } | Float) => Float,
            (Date | Time | Timestamp | Text, Date | Time | Timestamp | Text) => Text,
            (List(a), List(b)) => List(Box::new(a.with(*b))),
            (Fields(a), Fields(b)) => Fields(a.with(b)),
            _ => Anything,
        }
    }

    /// Whether it has no parts and no measure of its own.
    fn is_plain(&self) -> bool {
        !matches!(self, Shape::Decimal { .. } | Shape::List(_) | Shape::Fields(_))
    }

    fn ty(&self) -> Type {
        match self {
            Shape::Nothing | Shape::Anything => Type::Json,
            Shape::Bool => Type::Bool,
            Shape::Integer => Type::Int64,
            Shape::Unsigned => Type::UInt64,
            Shape::Decimal { whole, scale } => decimal(*whole, *scale),
            Shape::Float => Type::Float64,
            Shape::Date => Type::Date,
            Shape::Time => Type::Time,
            Shape::Timestamp => Type::Timestamp(None),
            Shape::Text => Type::String,
            Shape::List(element) => Type::List(Box::new(element.slot())),
            Shape::Fields(fields) if fields.fields.is_empty() => Type::Json,
            Shape::Fields(fields) => Type::Struct(fields.columns()),
        }
    }
}

fn decimal(whole: u32, scale: u32) -> Type {
    let digits = (whole + scale).max(USUAL_DIGITS);
    match (u8::try_from(digits), i8::try_from(scale)) {
        (Ok(precision), Ok(scale)) if digits <= MOST_DIGITS => Type::Decimal { precision, scale },
        _ => Type::Float64,
    }
}

impl Fields {
    /// A record of these values. A name that comes twice counts as its last value, as JSON readers have it.
    pub(in crate::formats) fn record(values: impl IntoIterator<Item = (String, Option<Shape>)>) -> Fields {
        let mut fields: Vec<(String, Seen)> = Vec::new();
        for (name, value) in values {
            let mut seen = Seen::default();
            seen.add(value);
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = seen,
                None => fields.push((name, seen)),
            }
        }
        Fields { fields, records: 1 }
    }

    /// These fields, of which no value was seen.
    pub(in crate::formats) fn named(names: &[String]) -> Fields {
        Fields { fields: names.iter().map(|name| (name.clone(), Seen::default())).collect(), records: 0 }
    }

    /// Both together: a field that one of them has not is nullable.
    pub(in crate::formats) fn with(mut self, other: Fields) -> Fields {
        if self.records == 0 {
            return other;
        }
        let known = self.fields.len();
        let mut met = vec![false; known];
        for (at, (name, seen)) in other.fields.into_iter().enumerate() {
            // Records mostly have the same fields in the same order.
            let guess = self.fields.get(at).is_some_and(|(known, _)| *known == name).then_some(at);
            match guess.or_else(|| self.fields.iter().position(|(known, _)| *known == name)) {
                Some(at) => {
                    let mine = std::mem::take(&mut self.fields[at].1);
                    self.fields[at].1 = mine.with(seen);
                    met.get_mut(at).into_iter().for_each(|met| *met = true);
                }
                None => self.fields.push((name, Seen { nullable: true, ..seen })),
            }
        }
        for ((_, seen), met) in self.fields.iter_mut().zip(met) {
            seen.nullable |= !met;
        }
        self.records += other.records;
        self
    }

    /// How many records were seen.
    pub(in crate::formats) fn records(&self) -> usize {
        self.records
    }

    /// The same with every type seen through `f`.
    pub(in crate::formats) fn columns_as(&self, f: impl Fn(Slot) -> Slot) -> Vec<Column> {
        self.fields.iter().map(|(name, seen)| Column::new(name, f(seen.slot()))).collect()
    }

    /// The columns that hold all of it.
    pub(in crate::formats) fn columns(&self) -> Vec<Column> {
        self.fields.iter().map(|(name, seen)| Column::new(name, seen.slot())).collect()
    }
}
