//! What a join's condition says: which columns must be equal, how far apart in time two partners may be.

use datafusion_common::ScalarValue;
use millstream_dsl::ast::BinaryOp;

use crate::model::Type;
use crate::operators::show;
use crate::plan::{Node, TypedExpr};

/// A join's condition, taken apart.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Condition {
    /// Positions of columns that must be equal: in the left input, in the right one.
    pub pairs: Vec<(usize, usize)>,
    /// Everything that must be true, the equalities and bounds included; over left columns, then right ones.
    pub all: Vec<TypedExpr>,
    /// For each part of `all` who looks after it.
    pub kinds: Vec<Kind>,
    /// How far the right row's time may lie behind the left one's.
    pub bounds: Bounds,
}

/// What a part of a condition is about, and so who looks after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Two columns are equal: rows find each other by it.
    Pair,
    /// It is one of the bounds in time and says nothing beyond.
    Bound,
    /// Of the left row alone.
    Left,
    /// Of the right row alone.
    Right,
    /// Of both rows.
    Both,
}

/// `lower <= right.time - left.time <= upper`, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// None: a right row may be older without end.
    pub lower: Option<i64>,
    /// None: a right row may be younger without end.
    pub upper: Option<i64>,
}

impl Bounds {
    /// Both ends, where both are known: only then do rows of both sides grow old.
    pub(super) fn both(self) -> Option<(i64, i64)> {
        self.lower.zip(self.upper)
    }

    fn at_least(&mut self, bound: i64) {
        self.lower = Some(self.lower.map_or(bound, |known| known.max(bound)));
    }

    fn at_most(&mut self, bound: i64) {
        self.upper = Some(self.upper.map_or(bound, |known| known.min(bound)));
    }
}

/// Where the sides' columns stand: the right ones behind the left ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    /// How many columns the left side has.
    pub left_width: usize,
    /// Position of the left time column.
    pub left_time: Option<usize>,
    /// Position of the right time column among the right columns.
    pub right_time: Option<usize>,
}

/// Takes a typed condition apart.
pub(super) fn analyse(condition: TypedExpr, sides: Sides) -> Condition {
    let mut found = Condition::default();
    flatten(condition, &mut found.all);
    for part in &found.all {
        let mut kind = whose(part, sides);
        if let Node::Binary(a, op, b) = &part.node {
            if bound(&mut found.bounds, a, *op, b, sides) {
                kind = Kind::Bound;
            }
            if *op == BinaryOp::Equal
                && let Some(equal) = pair(a, b, sides).or_else(|| pair(b, a, sides))
            {
                found.pairs.push(equal);
                kind = Kind::Pair;
            }
        }
        found.kinds.push(kind);
    }
    found
}

/// Which rows a part speaks of. What is left to chance is asked anew for each pair.
fn whose(part: &TypedExpr, sides: Sides) -> Kind {
    let columns = part.columns();
    if !show::deterministic([part]) {
        return Kind::Both;
    }
    match (columns.first(), columns.last()) {
        (_, Some(last)) if *last < sides.left_width => Kind::Left,
        (None, _) => Kind::Left,
        (Some(first), _) if *first >= sides.left_width => Kind::Right,
        _ => Kind::Both,
    }
}

/// The parts that must all be true.
fn flatten(condition: TypedExpr, into: &mut Vec<TypedExpr>) {
    match condition.node {
        Node::And(parts) => parts.into_iter().for_each(|part| flatten(part, into)),
        _ => into.push(condition),
    }
}

/// A left and a right column.
fn pair(left: &TypedExpr, right: &TypedExpr, sides: Sides) -> Option<(usize, usize)> {
    match (&left.node, &right.node) {
        (Node::Column { index: l, .. }, Node::Column { index: r, .. }) if *l < sides.left_width => {
            Some((*l, r.checked_sub(sides.left_width)?))
        }
        _ => None,
    }
}

/// One side's time, moved by a constant.
enum Moved {
    Left(i64),
    Right(i64),
}

/// Reads `clicks.ts <= impressions.ts + 1h` as a bound. Whether it is one.
fn bound(bounds: &mut Bounds, a: &TypedExpr, op: BinaryOp, b: &TypedExpr, sides: Sides) -> bool {
    // Everything is brought into the form "right + r  op  left + l", so that right - left  op  l - r.
    let (op, distance) = match (moved(a, sides), moved(b, sides)) {
        (Some(Moved::Right(r)), Some(Moved::Left(l))) => (op, l.saturating_sub(r)),
        (Some(Moved::Left(l)), Some(Moved::Right(r))) => (mirrored(op), l.saturating_sub(r)),
        _ => return false,
    };
    match op {
        BinaryOp::Less => bounds.at_most(distance.saturating_sub(1)),
        BinaryOp::LessOrEqual => bounds.at_most(distance),
        BinaryOp::Greater => bounds.at_least(distance.saturating_add(1)),
        BinaryOp::GreaterOrEqual => bounds.at_least(distance),
        BinaryOp::Equal => {
            bounds.at_least(distance);
            bounds.at_most(distance);
        }
        _ => return false,
    }
    true
}

fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        same => same,
    }
}

fn moved(expr: &TypedExpr, sides: Sides) -> Option<Moved> {
    match &expr.node {
        Node::Column { index, .. } if Some(*index) == sides.left_time => Some(Moved::Left(0)),
        Node::Column { index, .. } if index.checked_sub(sides.left_width) == Some(sides.right_time?) => {
            Some(Moved::Right(0))
        }
        // A timestamp of another zone is the same moment; its date is not.
        Node::Cast(inner) if is_moment(expr) && is_moment(inner) => moved(inner, sides),
        Node::Binary(a, BinaryOp::Add, b) => match micros(b) {
            Some(by) => Some(moved(a, sides)?.by(by)),
            None => Some(moved(b, sides)?.by(micros(a)?)),
        },
        Node::Binary(a, BinaryOp::Subtract, b) => Some(moved(a, sides)?.by(micros(b)?.checked_neg()?)),
        _ => None,
    }
}

fn is_moment(expr: &TypedExpr) -> bool {
    matches!(expr.slot.ty, Type::Timestamp(_))
}

impl Moved {
    fn by(self, micros: i64) -> Self {
        match self {
            Moved::Left(n) => Moved::Left(n.saturating_add(micros)),
            Moved::Right(n) => Moved::Right(n.saturating_add(micros)),
        }
    }
}

/// A constant duration.
fn micros(expr: &TypedExpr) -> Option<i64> {
    match &expr.node {
        Node::Literal(ScalarValue::DurationMicrosecond(micros)) => *micros,
        Node::Negate(inner) => micros(inner)?.checked_neg(),
        Node::Cast(inner) => micros(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::model::{Column, Slot, Type};

    const SIDES: Sides = Sides { left_width: 2, left_time: Some(1), right_time: Some(1) };

    /// Left: id 0, ts 1. Right: id 2, ts 3.
    fn column(index: usize) -> TypedExpr {
        let ty = if index % 2 == 1 { Type::Timestamp(None) } else { Type::String };
        TypedExpr::column(index, &Column::new(format!("c{index}"), Slot::required(ty)), Span::default())
    }

    fn binary(a: TypedExpr, op: BinaryOp, b: TypedExpr) -> TypedExpr {
        TypedExpr::new(Node::Binary(Box::new(a), op, Box::new(b)), Slot::required(Type::Bool), Span::default())
    }

    fn plus(a: TypedExpr, micros: i64) -> TypedExpr {
        let by = TypedExpr::literal(ScalarValue::DurationMicrosecond(Some(micros)), Span::default());
        TypedExpr { slot: a.slot.clone(), ..binary(a, BinaryOp::Add, by) }
    }

    fn all(parts: Vec<TypedExpr>) -> TypedExpr {
        TypedExpr::new(Node::And(parts), Slot::required(Type::Bool), Span::default())
    }

    #[test]
    fn between_bounds_both_ends_however_it_nests() {
        let equal = binary(column(0), BinaryOp::Equal, column(2));
        let from = binary(column(3), BinaryOp::GreaterOrEqual, column(1));
        let to = binary(column(3), BinaryOp::LessOrEqual, plus(column(1), 60));
        let found = analyse(all(vec![equal, all(vec![from, to])]), SIDES);
        assert_eq!(found.pairs, [(0, 0)]);
        assert_eq!(found.bounds.both(), Some((0, 60)));
        assert_eq!(found.all.len(), 3);
    }

    #[test]
    fn a_bound_may_stand_the_other_way_round() {
        // left + 5 > right - 0, and left < right + 7
        let a = binary(plus(column(1), 5), BinaryOp::Greater, column(3));
        let b = binary(column(1), BinaryOp::Less, plus(column(3), 7));
        let found = analyse(all(vec![a, b]), SIDES);
        assert_eq!(found.bounds, Bounds { lower: Some(-6), upper: Some(4) });
    }

    #[test]
    fn each_part_has_someone_who_looks_after_it() {
        let equal = binary(column(0), BinaryOp::Equal, column(2));
        let bound = binary(column(3), BinaryOp::LessOrEqual, plus(column(1), 60));
        let left = binary(column(0), BinaryOp::NotEqual, column(0));
        let right = binary(column(2), BinaryOp::Less, column(2));
        let both = binary(column(0), BinaryOp::Less, column(2));
        let kinds = analyse(all(vec![equal, bound, left, right, both]), SIDES).kinds;
        assert_eq!(kinds, [Kind::Pair, Kind::Bound, Kind::Left, Kind::Right, Kind::Both]);
    }

    #[test]
    fn the_date_of_a_time_bounds_nothing() {
        let date =
            |of: TypedExpr| TypedExpr::new(Node::Cast(Box::new(of)), Slot::required(Type::Date), Span::default());
        let found = analyse(binary(date(column(1)), BinaryOp::Equal, date(column(3))), SIDES);
        assert_eq!((found.bounds.both(), found.kinds), (None, vec![Kind::Both]));
    }

    #[test]
    fn the_same_time_bounds_and_one_end_does_not() {
        let found = analyse(binary(column(1), BinaryOp::Equal, column(3)), SIDES);
        assert_eq!(found.bounds.both(), Some((0, 0)));
        let found = analyse(binary(column(3), BinaryOp::LessOrEqual, column(1)), SIDES);
        assert_eq!(found.bounds, Bounds { lower: None, upper: Some(0) });
    }
}
