//! Options after checking: `{ format: json, watermark: 30s }` as values an entry's build function can use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use millstream_dsl::Span;

use crate::model::Schema;
use crate::plan::expr::TypedExpr;

/// One checked option.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// `true`
    Bool(bool),
    /// `8`
    Integer(i64),
    /// `0.25`
    Number(f64),
    /// `"text"`
    Text(String),
    /// `json`: one of the option's symbols.
    Symbol(String),
    /// `10s` in microseconds.
    Duration(i64),
    /// `1mo`, `2y` in calendar months.
    Months(u32),
    /// `64mb` in bytes.
    Size(u64),
    /// A moment, in microseconds since 1970 UTC.
    Timestamp(i64),
    /// `{ a: string, b: int64 }` or the name of a struct type.
    Schema(Schema),
    /// A column's name.
    Column(String),
    /// `env("X")`, `secret("name")`: resolved when the connector opens, never printed.
    Secret(SecretRef),
    /// An expression over the rows.
    Expr(Box<TypedExpr>),
    /// `[ ... ]`
    List(Vec<OptionValue>),
    /// `{ ... }` of free keys.
    Map(BTreeMap<String, OptionValue>),
}

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `env("X")`
    Env(String),
    /// `secret("name")`
    Named(String),
}

impl SecretRef {
    /// Why no secret can have this name, as the end of a sentence about it; none where one can.
    pub fn misnamed(name: &str) -> Option<&'static str> {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        let stays = !name.is_empty() && Path::new(name).components().all(plain);
        (!stays).then_some("leaves the folder of secrets")
    }
}

/// All options of a call by name, defaults put in, and the positional arguments by the names the entry gives them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    values: BTreeMap<String, (OptionValue, Span)>,
    /// Names of `values` that nobody wrote.
    defaults: BTreeSet<String>,
}

impl Settings {
    /// Sets an option.
    pub fn set(&mut self, name: impl Into<String>, value: OptionValue, span: Span) {
        self.values.insert(name.into(), (value, span));
    }

    /// Sets an option that was not written to its default.
    pub fn set_default(&mut self, name: impl Into<String>, value: OptionValue, span: Span) {
        let name = name.into();
        self.defaults.insert(name.clone());
        self.set(name, value, span);
    }

    /// Whether an option was written.
    pub fn is_written(&self, name: &str) -> bool {
        self.values.contains_key(name) && !self.defaults.contains(name)
    }

    /// An option's value; none where it was not given and has no default.
    pub fn get(&self, name: &str) -> Option<&OptionValue> {
        self.values.get(name).map(|(v, _)| v)
    }

    /// Where an option was written (the call itself for a default).
    pub fn span(&self, name: &str) -> Option<Span> {
        self.values.get(name).map(|(_, s)| *s)
    }

    /// Text of a text, symbol or column option.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            OptionValue::Text(s) | OptionValue::Symbol(s) | OptionValue::Column(s) => Some(s),
            _ => None,
        }
    }

    /// An expression over the rows.
    pub fn expr(&self, name: &str) -> Option<&TypedExpr> {
        match self.get(name)? {
            OptionValue::Expr(expr) => Some(expr),
            _ => None,
        }
    }

    /// Whether a switch is on; off where not given.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(OptionValue::Bool(true)))
    }

    /// A number, also one without a point.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name) {
            Some(OptionValue::Number(n)) => Some(*n),
            Some(OptionValue::Integer(n)) => Some(*n as f64),
            _ => None,
        }
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            OptionValue::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// A duration in microseconds.
    pub fn duration(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            OptionValue::Duration(micros) => Some(*micros),
            _ => None,
        }
    }

    /// A size in bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            OptionValue::Size(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// The texts, symbols or columns of a list; none of them where it was not given.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let one = |value| match value {
            &OptionValue::Text(ref s) | &OptionValue::Symbol(ref s) | &OptionValue::Column(ref s) => Some(s.as_str()),
            _ => None,
        };
        match self.get(name) {
            Some(OptionValue::List(values)) => values.iter().filter_map(one).collect(),
            Some(value) => one(value).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// A schema.
    pub fn schema(&self, name: &str) -> Option<&Schema> {
        match self.get(name)? {
            OptionValue::Schema(schema) => Some(schema),
            _ => None,
        }
    }

    /// In alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &OptionValue)> {
        self.values.iter().map(|(name, (value, _))| (name.as_str(), value))
    }
}
