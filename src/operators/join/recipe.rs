//! Everything that running a join needs, whatever brings its rows together: keys, conditions, what comes out.

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter, filter_record_batch, not};
use millstream_dsl::ast::{BinaryOp, JoinWord};

use crate::model::{Schema, Slot, Type};
use crate::operators::join::condition::{Condition, Kind};
use crate::operators::join::rows::Beside;
use crate::operators::join::truth::{PairTest, Test, is_true, joint};
use crate::operators::matching::NONE;
use crate::operators::sides::Side;
use crate::operators::values::bug;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::{Node, Port, TypedExpr};

/// A join ready to run, but for how its rows come together.
pub(super) struct Recipe {
    /// Which rows come out.
    pub wanted: Wanted,
    /// The left rows.
    pub left: OneSide,
    /// The right rows.
    pub right: OneSide,
    /// What must be true of a pair beyond that.
    pub pair: Option<PairTest>,
    /// What comes out.
    pub out: Beside,
}

/// Which rows come out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Each pair.
    pub pairs: bool,
    /// Left rows without a partner, with nulls.
    pub left_alone: bool,
    /// Right rows without a partner, with nulls.
    pub right_alone: bool,
    /// Left rows that have a partner, once.
    pub left_once: bool,
}

impl Wanted {
    /// What a modifier asks for.
    pub(super) fn of(modifier: Option<JoinWord>) -> Self {
        let only = matches!(modifier, Some(JoinWord::Semi | JoinWord::Anti));
        Wanted {
            pairs: !only,
            left_alone: matches!(modifier, Some(JoinWord::Left | JoinWord::Full | JoinWord::Anti)),
            right_alone: matches!(modifier, Some(JoinWord::Right | JoinWord::Full)),
            left_once: modifier == Some(JoinWord::Semi),
        }
    }

    /// Whether a left row is done with at its first partner.
    pub(super) fn one_partner_settles(&self) -> bool {
        !self.pairs
    }
}

/// One side's rows and what must be true of them alone.
pub(super) struct OneSide {
    /// The rows.
    pub rows: Side,
    own: Option<Test>,
}

/// Rows of one side after its own conditions were computed.
pub(super) struct Sifted {
    /// The rows for which they did not fail.
    pub rows: RecordBatch,
    /// For each whether they are true, so that it can have partners at all; none: for all.
    fit: Option<BooleanArray>,
    /// The others, in envelopes.
    pub bad: Option<(Port, RecordBatch)>,
}

/// The sides of a join, each with what its columns are.
pub(super) type BothSides<'a> = ((Side, &'a Schema), (Side, &'a Schema));

impl Recipe {
    /// `mine` says which parts of the condition are evaluated where; what it calls a bound or a pair is looked after
    /// by who runs the recipe.
    pub(super) fn new(
        modifier: Option<JoinWord>,
        ((left, of_left), (right, of_right)): BothSides<'_>,
        condition: &Condition,
        mine: impl Fn(Kind) -> Kind,
        out: Beside,
    ) -> Result<Self, NotRunnable> {
        let parts = |kind: Kind| {
            let all = condition.all.iter().zip(&condition.kinds);
            all.filter(|(_, k)| mine(**k) == kind).map(|(part, _)| part.clone()).collect::<Vec<_>>()
        };
        let joint = joint(of_left, of_right);
        let width = of_left.columns.len();
        let pairs = parts(Kind::Both);
        let own = |kind: Kind| {
            let there =
                pairs.iter().flat_map(equal_columns).filter(|c| (c.columns()[0] < width) == (kind == Kind::Left));
            parts(kind).into_iter().chain(there.map(is_there)).collect::<Vec<_>>()
        };
        Ok(Recipe {
            wanted: Wanted::of(modifier),
            left: OneSide { own: Test::new(own(Kind::Left), &joint, 0)?, rows: left },
            right: OneSide { own: Test::new(own(Kind::Right), &joint, width)?, rows: right },
            pair: PairTest::new(pairs, &joint, width)?,
            out,
        })
    }
}

/// The columns of both sides that must be equal but are no key, as their types differ. Null is equal to nothing, so rows
/// without a value there can have no partner, and need not wait to know.
fn equal_columns(part: &TypedExpr) -> Vec<TypedExpr> {
    let column = |e: &TypedExpr| match &e.node {
        Node::Column { .. } => Some(e.clone()),
        Node::Cast(inner) if matches!(inner.node, Node::Column { .. }) => Some((**inner).clone()),
        _ => None,
    };
    match &part.node {
        Node::Binary(a, BinaryOp::Equal, b) => column(a).zip(column(b)).map_or_else(Vec::new, |(a, b)| vec![a, b]),
        _ => Vec::new(),
    }
}

/// That a column is not null.
fn is_there(column: TypedExpr) -> TypedExpr {
    let span = column.span;
    let is_null = TypedExpr::new(Node::IsNull(Box::new(column)), Slot::required(Type::Bool), span);
    TypedExpr::new(Node::Not(Box::new(is_null)), Slot::required(Type::Bool), span)
}

impl OneSide {
    /// Computes the side's own conditions.
    pub(super) fn sift(&self, rows: RecordBatch, batch: &BatchTime) -> Result<Sifted, TaskError> {
        let Some(own) = &self.own else { return Ok(Sifted { rows, fit: None, bad: None }) };
        let columns = rows.columns().iter().cloned().map(Some).collect();
        let (fit, failures) = own.eval(columns, rows.num_rows(), batch)?;
        let Some(failed) = failures.mask(rows.num_rows()) else {
            return Ok(Sifted { rows, fit: Some(fit), bad: None });
        };
        let bad = filter_record_batch(&rows, &failed).map_err(bug)?;
        let reasons: Vec<_> = failures.iter().map(|(_, why)| why.to_owned()).collect();
        let good = not(&failed).map_err(bug)?;
        let fit = filter(&fit, &good).map_err(bug)?.as_boolean().clone();
        let rows = filter_record_batch(&rows, &good).map_err(bug)?;
        Ok(Sifted { rows, fit: Some(fit), bad: Some(self.rows.aside(Port::Bad, &bad, &reasons)?) })
    }
}

impl Sifted {
    /// Takes the number from rows that can have no partner.
    pub(super) fn unnumber(&self, numbers: &mut [u32]) {
        if let Some(fit) = &self.fit {
            numbers.iter_mut().enumerate().filter(|(row, _)| !is_true(fit, *row)).for_each(|(_, n)| *n = NONE);
        }
    }
}
