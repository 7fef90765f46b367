//! Random expressions over the columns of a stream, of a given type.

use super::Draft;
use crate::oracle::expr::Expr;
use crate::oracle::program::Edge;
use crate::oracle::value::{Ty, Value};

impl Draft<'_> {
    /// A value that may fail, with what happens then.
    pub(super) fn top_value(&mut self, edge: &Edge) -> (Expr, Ty) {
        if self.chance.chance(25) {
            let (a, b) = (self.of_type(edge, Ty::Int, 1), self.of_type(edge, Ty::Int, 1));
            let op = self.chance.pick(&['/', '%']);
            let divided = Expr::Arithmetic(Box::new(a), op, Box::new(b));
            let expr = match self.chance.chance(50) {
                true => Expr::Else(Box::new(divided), Box::new(Expr::Literal(Value::Int(-1)))),
                false => Expr::OrBad(Box::new(divided)),
            };
            return (expr, Ty::Int);
        }
        self.value(edge, 2)
    }

    pub(super) fn value(&mut self, edge: &Edge, depth: usize) -> (Expr, Ty) {
        let ty = self.chance.pick(&[Ty::Int, Ty::Int, Ty::Float, Ty::Text, Ty::Bool]);
        (self.of_type(edge, ty, depth), ty)
    }

    pub(super) fn column_of(&mut self, edge: &Edge, ty: Ty) -> Option<Expr> {
        let all: Vec<usize> =
            (0..edge.columns.len()).filter(|i| edge.columns[*i].ty == ty && edge.columns[*i].name != "op").collect();
        if all.is_empty() { None } else { Some(edge.column(self.chance.pick(&all))) }
    }

    fn literal(&mut self, ty: Ty) -> Expr {
        Expr::Literal(match ty {
            Ty::Int => Value::Int(self.chance.between(-2, 4)),
            Ty::Float => Value::Float(self.chance.pick(&[0.5, -1.5, 2.0, 0.0])),
            Ty::Text => Value::Text(self.chance.pick(&["a", "b", "ä", ""]).to_owned()),
            Ty::Bool => Value::Bool(self.chance.chance(50)),
            Ty::Dec(_, scale) => Value::Dec(i128::from(self.chance.between(-200, 200)), scale),
            _ => panic!("no literal of {ty:?}"),
        })
    }

    /// An expression that does not fail.
    fn of_type(&mut self, edge: &Edge, ty: Ty, depth: usize) -> Expr {
        if depth == 0 || self.chance.chance(35) {
            return match self.column_of(edge, ty) {
                Some(column) if self.chance.chance(85) => column,
                _ => self.literal(ty),
            };
        }
        let boxed = |expr: Expr| Box::new(expr);
        match (ty, self.chance.below(4)) {
            (Ty::Bool, _) => self.condition(edge, depth - 1),
            (_, 0) => {
                let condition = self.condition(edge, depth - 1);
                let (a, b) = (self.of_type(edge, ty, depth - 1), self.of_type(edge, ty, depth - 1));
                Expr::If(boxed(condition), boxed(a), boxed(b))
            }
            (_, 1) => match self.column_of(edge, ty) {
                Some(column) => Expr::Else(boxed(column), boxed(self.literal(ty))),
                None => self.literal(ty),
            },
            (Ty::Text, _) => Expr::Upper(boxed(self.of_type(edge, Ty::Text, depth - 1))),
            (Ty::Int, 2) if self.chance.chance(40) => Expr::Length(boxed(self.of_type(edge, Ty::Text, depth - 1))),
            (Ty::Int | Ty::Float, 2) => {
                let (a, b) = (self.of_type(edge, ty, depth - 1), self.of_type(edge, ty, depth - 1));
                Expr::Greatest(boxed(a), boxed(b))
            }
            _ => {
                let (a, b) = (self.of_type(edge, ty, depth - 1), self.of_type(edge, ty, depth - 1));
                // Products of large sums could leave the range.
                let op = self.chance.pick(&['+', '-']);
                Expr::Arithmetic(boxed(a), op, boxed(b))
            }
        }
    }

    pub(super) fn condition(&mut self, edge: &Edge, depth: usize) -> Expr {
        let boxed = |expr: Expr| Box::new(expr);
        if depth > 0 && self.chance.chance(40) {
            let (a, b) = (self.condition(edge, depth - 1), self.condition(edge, depth - 1));
            return match self.chance.below(3) {
                0 => Expr::And(boxed(a), boxed(b)),
                1 => Expr::Or(boxed(a), boxed(b)),
                _ => Expr::Not(boxed(a)),
            };
        }
        let ty = self.chance.pick(&[Ty::Int, Ty::Text, Ty::Float, Ty::Dec(8, 2)]);
        let Some(column) = self.column_of(edge, ty) else {
            let op = self.chance.pick(&["==", "<"]);
            return match self.column_of(edge, Ty::Int) {
                Some(column) => Expr::Compare(boxed(column), op, boxed(self.literal(Ty::Int))),
                None => Expr::Literal(Value::Bool(true)),
            };
        };
        match self.chance.below(6) {
            0 => Expr::IsNull(boxed(column)),
            1 if matches!(ty, Ty::Int | Ty::Text) => {
                let values = (0..2).map(|_| match self.literal(ty) {
                    Expr::Literal(value) => value,
                    _ => Value::Null,
                });
                Expr::In(boxed(column), values.collect())
            }
            2 if ty == Ty::Int => {
                let low = self.chance.between(-3, 2);
                let (low, high) = (Value::Int(low), Value::Int(low + self.chance.between(0, 3)));
                Expr::Between(boxed(column), boxed(Expr::Literal(low)), boxed(Expr::Literal(high)))
            }
            _ => {
                let op = self.chance.pick(&["==", "!=", "<", "<=", ">", ">="]);
                let other = match self.chance.chance(30) {
                    true => self.column_of(edge, ty).unwrap_or_else(|| self.literal(ty)),
                    false => self.literal(ty),
                };
                Expr::Compare(boxed(column), op, boxed(other))
            }
        }
    }
}
