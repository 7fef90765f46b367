//! Joins rows that are all there: those of a batch, of a window, or of a batch with a table. Pairs come in the order of
//! the left rows and for each in that of its partners, left rows without one in their place, right ones behind all;
//! which side was hashed changes nothing.

use arrow::array::RecordBatch;

use crate::operators::join::recipe::Recipe;
use crate::operators::join::truth::is_true;
use crate::operators::matching::{Buckets, NONE};
use crate::plan::operator::{BatchTime, TaskError};

/// How many pairs are looked at in one go, about.
const PAIRS: usize = 32_768;

/// The rows of both sides, and which keys they have.
pub(super) struct Pairing<'a> {
    /// The left rows.
    pub left: &'a RecordBatch,
    /// The right rows.
    pub right: &'a RecordBatch,
    /// The number of each left row's key.
    pub numbers: &'a [u32],
    /// The right rows by number.
    pub partners: &'a Buckets,
    /// What stands before the columns.
    pub window: Option<(i64, i64)>,
}

/// What a join of rows gave.
#[derive(Default)]
pub(super) struct Joined {
    /// What comes out.
    pub rows: Vec<RecordBatch>,
    /// How many left rows came out, with a partner or without.
    pub handed: usize,
    /// Left rows for which the condition failed with some partner, and why: neither they nor their pairs come out.
    pub bad: Vec<(u32, String)>,
}

impl Recipe {
    /// Joins them.
    pub(super) fn join(&self, of: &Pairing<'_>, batch: &BatchTime) -> Result<Joined, TaskError> {
        let mut run = Run {
            recipe: self,
            of,
            batch,
            left: Vec::new(),
            right: Vec::new(),
            matched: vec![false; if self.wanted.right_alone { of.right.num_rows() } else { 0 }],
            out: (Vec::new(), Vec::new()),
            joined: Joined::default(),
        };
        let mut from = 0;
        for row in 0..of.left.num_rows() {
            let partners = of.partners.of(of.numbers[row]);
            run.left.extend(std::iter::repeat_n(row as u32, partners.len()));
            run.right.extend_from_slice(partners);
            if run.left.len() >= PAIRS {
                run.settle(from..row + 1)?;
                from = row + 1;
            }
        }
        run.settle(from..of.left.num_rows())?;
        run.leftovers()?;
        Ok(run.joined)
    }
}

struct Run<'a> {
    recipe: &'a Recipe,
    of: &'a Pairing<'a>,
    batch: &'a BatchTime,
    /// Pairs with equal keys.
    left: Vec<u32>,
    right: Vec<u32>,
    /// Right rows that have a partner.
    matched: Vec<bool>,
    /// What comes out next.
    out: (Vec<u32>, Vec<u32>),
    joined: Joined,
}

impl Run<'_> {
    /// Finds out which of the pairs of these left rows are pairs indeed.
    fn settle(&mut self, rows: std::ops::Range<usize>) -> Result<(), TaskError> {
        let truth = match &self.recipe.pair {
            None => None,
            Some(test) => {
                let sides = (self.of.left as _, self.of.right as _);
                let (truth, failures) = test.eval(sides, (&self.left, &self.right), self.batch)?;
                for (pair, why) in failures.iter() {
                    let row = self.left[pair];
                    if self.joined.bad.last().is_none_or(|(last, _)| *last != row) {
                        self.joined.bad.push((row, why.to_owned()));
                    }
                }
                Some(truth)
            }
        };
        let mut bad = self.joined.bad.partition_point(|(row, _)| (*row as usize) < rows.start);
        let mut at = 0;
        for row in rows {
            let start = at;
            at += self.left[start..].iter().take_while(|l| **l as usize == row).count();
            if self.joined.bad.get(bad).is_some_and(|(failed, _)| *failed as usize == row) {
                bad += 1;
                continue;
            }
            self.row(row as u32, start..at, |pair| truth.as_ref().is_none_or(|truth| is_true(truth, pair)));
        }
        self.left.clear();
        self.right.clear();
        if self.out.0.len() >= PAIRS { self.hand_on() } else { Ok(()) }
    }

    /// What comes out for one left row.
    fn row(&mut self, row: u32, pairs: std::ops::Range<usize>, holds: impl Fn(usize) -> bool) {
        let wanted = self.recipe.wanted;
        let before = self.out.0.len();
        let mut alone = true;
        for pair in pairs.filter(|pair| holds(*pair)) {
            let partner = self.right[pair];
            alone = false;
            if let Some(matched) = self.matched.get_mut(partner as usize) {
                *matched = true;
            }
            if wanted.pairs {
                self.out.0.push(row);
                self.out.1.push(partner);
            } else {
                break;
            }
        }
        if (alone && wanted.left_alone) || (!alone && wanted.left_once) {
            self.out.0.push(row);
            self.out.1.push(NONE);
        }
        self.joined.handed += usize::from(self.out.0.len() > before);
    }

    /// Right rows without a partner.
    fn leftovers(&mut self) -> Result<(), TaskError> {
        for (row, _) in self.matched.iter().enumerate().filter(|(_, matched)| !**matched) {
            self.out.0.push(NONE);
            self.out.1.push(row as u32);
        }
        self.hand_on()
    }

    fn hand_on(&mut self) -> Result<(), TaskError> {
        let (left, right) = (std::mem::take(&mut self.out.0), std::mem::take(&mut self.out.1));
        if !left.is_empty() {
            let rows = self.recipe.out.rows((self.of.left, self.of.right), &left, &right, self.of.window)?;
            self.joined.rows.push(rows);
        }
        Ok(())
    }
}
