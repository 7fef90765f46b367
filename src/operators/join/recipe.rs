//! Everything that running a join needs, whatever brings its rows together: keys, conditions, what comes out.

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter, filter_record_batch, not};
use arrow::datatypes::SchemaRef;
use millstream_dsl::ast::JoinWord;

use crate::model::Schema;
use crate::operators::envelope::enclosed;
use crate::operators::join::condition::{Condition, Kind};
use crate::operators::join::rows::Beside;
use crate::operators::join::truth::{PairTest, Test, is_true, joint};
use crate::operators::matching::{KeyNumbers, NONE};
use crate::operators::values::bug;
use crate::plan::Port;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};

/// A join ready to run, but for how its rows come together.
pub(super) struct Recipe {
    /// Which rows come out.
    pub wanted: Wanted,
    /// The left rows.
    pub left: Side,
    /// The right rows.
    pub right: Side,
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

/// One side's rows.
pub(super) struct Side {
    /// What envelopes call it.
    pub name: &'static str,
    /// Its columns.
    pub schema: SchemaRef,
    /// Positions of its key.
    pub keys: Vec<usize>,
    /// The column of event time.
    pub time: Option<usize>,
    /// What must be true of it alone.
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

/// What a side is made from.
pub(super) struct SideSpec<'a> {
    /// What envelopes call it.
    pub name: &'static str,
    /// Its columns.
    pub schema: &'a Schema,
    /// Positions of its key.
    pub keys: Vec<usize>,
    /// The column of event time.
    pub time: Option<usize>,
}

impl Recipe {
    /// `mine` says which parts of the condition are evaluated where; what it calls a bound or a pair is looked after
    /// by who runs the recipe.
    pub(super) fn new(
        modifier: Option<JoinWord>,
        (left, right): (SideSpec<'_>, SideSpec<'_>),
        condition: &Condition,
        mine: impl Fn(Kind) -> Kind,
        out: Beside,
    ) -> Result<Self, NotRunnable> {
        let parts = |kind: Kind| {
            let all = condition.all.iter().zip(&condition.kinds);
            all.filter(|(_, k)| mine(**k) == kind).map(|(part, _)| part.clone()).collect::<Vec<_>>()
        };
        let joint = joint(left.schema, right.schema);
        let (own_left, own_right) = (parts(Kind::Left), parts(Kind::Right));
        Ok(Recipe {
            wanted: Wanted::of(modifier),
            pair: PairTest::new(parts(Kind::Both), &joint, left.schema.columns.len())?,
            left: Side::new(&left, own_left, (&joint, 0))?,
            right: Side::new(&right, own_right, (&joint, left.schema.columns.len()))?,
            out,
        })
    }

    /// Numbers for the keys of either side.
    pub(super) fn key_numbers(&self) -> Result<KeyNumbers, NotRunnable> {
        let types: Vec<_> = self.left.keys.iter().map(|i| self.left.schema.field(*i).data_type().clone()).collect();
        KeyNumbers::new(&types)
    }
}

impl Side {
    fn new(
        of: &SideSpec<'_>,
        own: Vec<crate::plan::TypedExpr>,
        (joint, offset): (&Schema, usize),
    ) -> Result<Self, NotRunnable> {
        let own = Test::new(own, joint, offset)?;
        Ok(Side { name: of.name, schema: of.schema.to_arrow(), keys: of.keys.clone(), time: of.time, own })
    }

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
        Ok(Sifted { rows, fit: Some(fit), bad: Some(self.aside(Port::Bad, &bad, &reasons)?) })
    }

    /// The columns of the key.
    pub(super) fn key(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.keys.iter().map(|i| rows.column(*i).clone()).collect()
    }

    /// Rows of it that leave in envelopes.
    pub(super) fn aside(
        &self,
        port: Port,
        rows: &RecordBatch,
        reasons: &[String],
    ) -> Result<(Port, RecordBatch), TaskError> {
        Ok((port, enclosed(self.name, rows, self.time, reasons)?))
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
