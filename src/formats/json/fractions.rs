//! Numbers with a fraction where whole ones are wanted: the reader beneath cuts the fraction off without a word, so they
//! are found before it reads. Lines are looked at together, by the names of such columns; only where one may hold a fraction
//! they are looked at one by one, and only those are parsed.

use memchr::memmem::Finder;
use serde_json::Value;

use crate::model::{Schema, Type};

/// The names behind which whole numbers are wanted, however deep.
pub(super) struct Fractions {
    names: Vec<(Finder<'static>, usize)>,
}

impl Fractions {
    pub(super) fn of(schema: &Schema) -> Self {
        let mut names = Vec::new();
        for column in &schema.columns {
            gather(&column.name, &column.slot.ty, &mut names);
        }
        names.sort();
        names.dedup();
        let quoted = names.iter().map(|name| serde_json::to_string(name).unwrap_or_default());
        Fractions { names: quoted.map(|name| (Finder::new(&name).into_owned(), name.len())).collect() }
    }

    /// Whether a value of these lines, or of this one, may have a fraction that its type has no room for.
    pub(super) fn may_be_in(&self, lines: &[u8]) -> bool {
        let may = |(name, length): &(Finder<'static>, usize)| {
            name.find_iter(lines).any(|at| has_fraction(lines[at + length..].trim_ascii_start()))
        };
        self.names.iter().any(may)
    }

    /// Whether a value of a line has one.
    pub(super) fn are_in(&self, line: &[u8], schema: &Schema) -> bool {
        self.may_be_in(line) && is_cut(line, schema)
    }
}

/// Whether a number may have a fraction that begins behind a name's colon; what is no plain number may.
fn has_fraction(rest: &[u8]) -> bool {
    let Some(rest) = rest.strip_prefix(b":") else { return false };
    let value = rest.trim_ascii_start();
    match value.first() {
        Some(b'[' | b'{') => true,
        _ => {
            let end = value.iter().position(|b| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace());
            value[..end.unwrap_or(value.len())].iter().any(|b| matches!(b, b'.' | b'e' | b'E'))
        }
    }
}

fn is_cut(line: &[u8], schema: &Schema) -> bool {
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else { return false };
    let cut = |column: &crate::model::Column| fields.get(&column.name).is_some_and(|v| cuts(v, &column.slot.ty));
    schema.columns.iter().any(cut)
}

fn cuts(value: &Value, ty: &Type) -> bool {
    match (ty, value) {
        (ty, Value::Number(number)) if ty.is_integer() => {
            number.is_f64() && number.as_f64().is_some_and(|number| number.fract() != 0.0)
        }
        (Type::List(element), Value::Array(values)) => values.iter().any(|value| cuts(value, &element.ty)),
        (Type::Map(_, slot), Value::Object(fields)) => fields.values().any(|value| cuts(value, &slot.ty)),
        (Type::Struct(columns), Value::Object(fields)) => {
            columns.iter().any(|column| fields.get(&column.name).is_some_and(|v| cuts(v, &column.slot.ty)))
        }
        _ => false,
    }
}

fn gather(name: &str, ty: &Type, names: &mut Vec<String>) {
    match ty {
        ty if ty.is_integer() => names.push(name.to_owned()),
        Type::List(element) => gather(name, &element.ty, names),
        Type::Map(_, slot) => gather(name, &slot.ty, names),
        Type::Struct(columns) => columns.iter().for_each(|column| gather(&column.name, &column.slot.ty, names)),
        _ => {}
    }
}
