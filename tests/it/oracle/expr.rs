//! Expressions: how they are written, and what they are for a row.

use super::program::Column;
use super::value::{Row, Ty, Value, rescaled};

/// A failure: a division of whole numbers by zero.
#[derive(Debug)]
pub(crate) struct Fails;

/// An expression over the columns of a row.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    /// A column, by position and as it is written.
    Column(usize, String),
    Literal(Value),
    /// `+ - *` of two numbers of one type; `/ %` of whole numbers, which fail for zero.
    Arithmetic(Box<Expr>, char, Box<Expr>),
    /// `== != < <= > >=`
    Compare(Box<Expr>, &'static str, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    IsNull(Box<Expr>),
    /// `a ?? b`
    Else(Box<Expr>, Box<Expr>),
    /// `a?`
    OrBad(Box<Expr>),
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    Between(Box<Expr>, Box<Expr>, Box<Expr>),
    In(Box<Expr>, Vec<Value>),
    Upper(Box<Expr>),
    Length(Box<Expr>),
    Greatest(Box<Expr>, Box<Expr>),
}

impl Expr {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        match self {
            Expr::Column(_, name) => name.clone(),
            Expr::Literal(value) => literal(value),
            Expr::Arithmetic(a, op, b) => format!("({} {op} {})", a.text(), b.text()),
            Expr::Compare(a, op, b) => format!("({} {op} {})", a.text(), b.text()),
            Expr::And(a, b) => format!("({} and {})", a.text(), b.text()),
            Expr::Or(a, b) => format!("({} or {})", a.text(), b.text()),
            Expr::Not(a) => format!("(not {})", a.text()),
            Expr::IsNull(a) => format!("({} is null)", a.text()),
            Expr::Else(a, b) => format!("({} ?? {})", a.text(), b.text()),
            Expr::OrBad(a) => format!("{}?", a.text()),
            Expr::If(c, a, b) => format!("if({}, {}, {})", c.text(), a.text(), b.text()),
            Expr::Between(a, low, high) => format!("({} between {} and {})", a.text(), low.text(), high.text()),
            Expr::In(a, values) => {
                let values: Vec<_> = values.iter().map(literal).collect();
                format!("({} in [{}])", a.text(), values.join(", "))
            }
            Expr::Upper(a) => format!("upper({})", a.text()),
            Expr::Length(a) => format!("length({})", a.text()),
            Expr::Greatest(a, b) => format!("greatest({}, {})", a.text(), b.text()),
        }
    }

    /// What it is for a row.
    pub(crate) fn eval(&self, row: &Row) -> Result<Value, Fails> {
        Ok(match self {
            Expr::Column(i, _) => row[*i].clone(),
            Expr::Literal(value) => value.clone(),
            Expr::Arithmetic(a, op, b) => arithmetic(&a.eval(row)?, *op, &b.eval(row)?)?,
            Expr::Compare(a, op, b) => compared(&a.eval(row)?, op, &b.eval(row)?),
            // Both sides are computed where the left one does not settle it.
            Expr::And(a, b) => match a.eval(row)? {
                Value::Bool(false) => Value::Bool(false),
                left => match (left, b.eval(row)?) {
                    (_, Value::Bool(false)) => Value::Bool(false),
                    (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
                    _ => Value::Null,
                },
            },
            Expr::Or(a, b) => match a.eval(row)? {
                Value::Bool(true) => Value::Bool(true),
                left => match (left, b.eval(row)?) {
                    (_, Value::Bool(true)) => Value::Bool(true),
                    (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
                    _ => Value::Null,
                },
            },
            Expr::Not(a) => match a.eval(row)? {
                Value::Bool(b) => Value::Bool(!b),
                _ => Value::Null,
            },
            Expr::IsNull(a) => Value::Bool(a.eval(row)?.is_null()),
            Expr::Else(a, b) => match a.eval(row) {
                Ok(value) if !value.is_null() => value,
                _ => b.eval(row)?,
            },
            Expr::OrBad(a) => a.eval(row)?,
            Expr::If(c, a, b) => match c.eval(row)? {
                Value::Bool(true) => a.eval(row)?,
                _ => b.eval(row)?,
            },
            Expr::Between(a, low, high) => {
                let (value, low, high) = (a.eval(row)?, low.eval(row)?, high.eval(row)?);
                match (compared(&value, ">=", &low), compared(&value, "<=", &high)) {
                    (Value::Bool(false), _) | (_, Value::Bool(false)) => Value::Bool(false),
                    (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
                    _ => Value::Null,
                }
            }
            Expr::In(a, values) => match a.eval(row)? {
                Value::Null => Value::Null,
                value => Value::Bool(values.iter().any(|v| v.same(&value))),
            },
            Expr::Upper(a) => match a.eval(row)? {
                Value::Text(text) => Value::Text(text.to_uppercase()),
                _ => Value::Null,
            },
            Expr::Length(a) => match a.eval(row)? {
                Value::Text(text) => Value::Int(i64::try_from(text.chars().count()).unwrap()),
                _ => Value::Null,
            },
            Expr::Greatest(a, b) => match (a.eval(row)?, b.eval(row)?) {
                (Value::Null, x) | (x, Value::Null) => x,
                (x, y) => {
                    if x.order(&y).is_ge() {
                        x
                    } else {
                        y
                    }
                }
            },
        })
    }

    /// Whether the checker takes it that it may be null.
    pub(crate) fn nullable(&self, columns: &[Column]) -> bool {
        match self {
            Expr::Column(i, _) => columns[*i].nullable,
            Expr::Literal(value) => value.is_null(),
            Expr::Arithmetic(a, _, b) | Expr::Compare(a, _, b) | Expr::And(a, b) | Expr::Or(a, b) => {
                a.nullable(columns) || b.nullable(columns)
            }
            Expr::Greatest(a, b) => a.nullable(columns) && b.nullable(columns),
            Expr::Not(a) | Expr::OrBad(a) | Expr::In(a, _) | Expr::Upper(a) | Expr::Length(a) => a.nullable(columns),
            Expr::IsNull(_) => false,
            Expr::Else(_, b) => b.nullable(columns),
            Expr::If(_, a, b) => a.nullable(columns) || b.nullable(columns),
            Expr::Between(a, low, high) => [a, low, high].iter().any(|e| e.nullable(columns)),
        }
    }

    /// The columns that are not null where it is true, as far as the checker sees.
    pub(crate) fn never_null(&self) -> Vec<usize> {
        match self {
            Expr::And(a, b) => a.never_null().into_iter().chain(b.never_null()).collect(),
            Expr::Not(not) => match &**not {
                Expr::IsNull(of) => match **of {
                    Expr::Column(i, _) => vec![i],
                    _ => vec![],
                },
                _ => vec![],
            },
            _ => vec![],
        }
    }

    /// Whether it is true for a row.
    pub(crate) fn holds(&self, row: &Row) -> Result<bool, Fails> {
        Ok(matches!(self.eval(row)?, Value::Bool(true)))
    }
}

fn arithmetic(a: &Value, op: char, b: &Value) -> Result<Value, Fails> {
    Ok(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(match op {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            _ if *b == 0 => return Err(Fails),
            '/' => a / b,
            _ => a % b,
        }),
        (Value::Float(a), Value::Float(b)) => Value::Float(match op {
            '+' => a + b,
            '-' => a - b,
            _ => a * b,
        }),
        (Value::Dec(a, s), Value::Dec(b, t)) => {
            let scale = (*s).max(*t);
            let (a, b) = (rescaled(*a, *s, scale), rescaled(*b, *t, scale));
            Value::Dec(if op == '+' { a + b } else { a - b }, scale)
        }
        _ => Value::Null,
    })
}

/// By three-valued logic; NaN is equal to itself and above all other numbers.
fn compared(a: &Value, op: &str, b: &Value) -> Value {
    if a.is_null() || b.is_null() {
        return Value::Null;
    }
    let order = a.order(b);
    Value::Bool(match op {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// A value as it is written.
pub(crate) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) if *n < 0 => format!("({n})"),
        Value::Int(n) => n.to_string(),
        Value::Float(x) if x.is_nan() => "(\"NaN\"::float64 ?? 0e0)".into(),
        Value::Float(x) if *x < 0.0 => format!("(-{}e0)", -x),
        Value::Float(x) => format!("{x}e0"),
        Value::Text(text) => format!("{text:?}"),
        Value::Dec(digits, scale) => {
            let ten = 10_i128.pow(u32::try_from(*scale).unwrap());
            let sign = if *digits < 0 { "-" } else { "" };
            let digits = digits.abs();
            format!("({sign}{}.{:0width$})", digits / ten, digits % ten, width = usize::try_from(*scale).unwrap())
        }
        Value::Time(micros) => {
            let at = chrono::DateTime::from_timestamp_micros(*micros).unwrap();
            format!("timestamp \"{}\"", at.format("%Y-%m-%dT%H:%M:%S%.6fZ"))
        }
        Value::List(_) => panic!("lists are not written"),
    }
}

/// The type as it is written in a schema.
pub(crate) fn type_text(ty: Ty) -> String {
    match ty {
        Ty::Bool => "bool".into(),
        Ty::Int => "int64".into(),
        Ty::Float => "float64".into(),
        Ty::Text => "string".into(),
        Ty::Dec(p, s) => format!("decimal({p}, {s})"),
        Ty::Time => "timestamp".into(),
        Ty::Ints => "list(int64?)".into(),
        Ty::Texts => "list(string)".into(),
    }
}
