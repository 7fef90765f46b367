//! Rows of both sides of a join that remembers them: taking them in, finding those of the other side they may be
//! partners of, trying the condition on them.
//!
//! Of two rows with which the condition fails, the one that came last is bad (of those that came together the right
//! one), because the other has been taken in already.

use std::ops::Range;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use crate::operators::join::recipe::Recipe;
use crate::operators::matching::NONE;
use crate::operators::sides::{Judge, Pick, Picked, Side, Waiting, pick};
use crate::operators::values::bug;
use crate::plan::Port;
use crate::plan::operator::{BatchTime, Evaluated, Held, NotRunnable, SavedTable, TableChange, TaskError};

/// How many pairs are looked at in one go, about.
const PAIRS: usize = 32_768;

/// Rows of both sides.
pub(super) struct Meeting {
    /// What is done with them.
    pub recipe: Recipe,
    /// Left rows.
    pub left: Waiting,
    /// Right rows.
    pub right: Waiting,
}

/// The side that rows come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum New {
    Left,
    Right,
}

/// What becomes of rows that can have no partner, because their key is null or their own side's condition is not true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hopeless {
    /// Nothing comes of them.
    Dropped,
    /// They come out now.
    AtOnce,
    /// They come out with the others.
    Kept,
}

/// Pairs of a new row and one that was there, those of a new row together.
pub(super) struct Pairs {
    /// Slots of left rows.
    pub left: Vec<u32>,
    /// Slots of right rows.
    pub right: Vec<u32>,
}

/// A search for partners of new rows.
pub(super) struct Search {
    new: New,
    slots: Range<u32>,
    /// The numbers of their keys on the other side.
    keys: std::vec::IntoIter<u32>,
    /// Only rows of the other side that came before this one.
    until: u32,
}

impl Meeting {
    /// Nobody is there yet.
    pub(super) fn new(recipe: Recipe) -> Result<Self, NotRunnable> {
        Ok(Meeting { left: recipe.left.rows.waiting()?, right: recipe.right.rows.waiting()?, recipe })
    }

    /// Takes in rows of a batch; their slots.
    pub(super) fn arrive(
        &mut self,
        new: New,
        blocks: &[RecordBatch],
        judge: &Judge<'_>,
        hopeless: Hopeless,
        (batch, out): (&BatchTime, &mut Evaluated),
    ) -> Result<Range<u32>, TaskError> {
        let (side, waiting) = match new {
            New::Left => (&self.recipe.left, &mut self.left),
            New::Right => (&self.recipe.right, &mut self.right),
        };
        let sifted = side.sift(side.rows.in_time(blocks, judge, out)?, batch)?;
        out.taken += sifted.rows.num_rows();
        let mut fit = vec![0; sifted.rows.num_rows()];
        sifted.unnumber(&mut fit);
        for nulls in side.rows.key(&sifted.rows).iter().filter_map(|column| column.logical_nulls()) {
            fit.iter_mut().enumerate().filter(|(row, _)| nulls.is_null(*row)).for_each(|(_, n)| *n = NONE);
        }
        out.rows.extend(sifted.bad);
        let fits = |row: usize| fit[row] != NONE;
        let arrivals = if hopeless == Hopeless::Dropped {
            let fit: BooleanArray = (0..fit.len()).map(|row| Some(fits(row))).collect();
            let rows = filter_record_batch(&sifted.rows, &fit).map_err(bug)?;
            side.rows.arrivals(rows, &|_| true, true, judge, out)?
        } else {
            side.rows.arrivals(sifted.rows, &fits, hopeless == Hopeless::AtOnce, judge, out)?
        };
        waiting.keep(arrivals)
    }

    /// Starts to look for partners of new rows among those of the other side that came before `until`.
    pub(super) fn search(&self, new: New, slots: Range<u32>, until: u32) -> Result<Search, TaskError> {
        let (mine, others, side) = self.of(new);
        let rows: Vec<u32> = slots.clone().collect();
        let picked = Picked::new(&rows);
        let key = side.keys.iter().map(|i| mine.column(*i, &picked)).collect::<Result<Vec<_>, _>>()?;
        Ok(Search { new, keys: others.find(&key, rows.len())?.into_iter(), slots, until })
    }

    fn of(&self, new: New) -> (&Waiting, &Waiting, &Side) {
        match new {
            New::Left => (&self.left, &self.right, &self.recipe.left.rows),
            New::Right => (&self.right, &self.left, &self.recipe.right.rows),
        }
    }

    /// The next pairs with equal keys whose times (left, right) go together. None when there are no more.
    pub(super) fn next_pairs(&self, search: &mut Search, together: impl Fn(i64, i64) -> bool) -> Option<Pairs> {
        let (mine, others, _) = self.of(search.new);
        let (mut found, mut partners) = (Vec::new(), Vec::new());
        for slot in search.slots.by_ref() {
            let key = search.keys.next().unwrap_or(NONE);
            if !mine.fits(slot) || !mine.is_live(slot) {
                continue;
            }
            let at = mine.time(slot);
            partners.extend(others.of_key(key, search.until).filter(|other| match search.new {
                New::Left => together(at, others.time(*other)),
                New::Right => together(others.time(*other), at),
            }));
            found.resize(partners.len(), slot);
            if found.len() >= PAIRS {
                break;
            }
        }
        let (left, right) = if search.new == New::Left { (found, partners) } else { (partners, found) };
        (!left.is_empty()).then_some(Pairs { left, right })
    }

    /// Whether the condition is true of each pair; none: of all. New rows with which it fails are set aside.
    pub(super) fn test(
        &mut self,
        new: New,
        pairs: &Pairs,
        (batch, out): (&BatchTime, &mut Evaluated),
    ) -> Result<Option<BooleanArray>, TaskError> {
        let Some(test) = &self.recipe.pair else { return Ok(None) };
        let (holds, failures) = test.eval((&self.left, &self.right), (&pairs.left, &pairs.right), batch)?;
        let (waiting, side, slots) = match new {
            New::Left => (&mut self.left, &self.recipe.left.rows, &pairs.left),
            New::Right => (&mut self.right, &self.recipe.right.rows, &pairs.right),
        };
        let mut bad: Vec<(u32, String)> = failures.iter().map(|(pair, why)| (slots[pair], why.to_owned())).collect();
        if !bad.is_empty() {
            bad.dedup_by_key(|(slot, _)| *slot);
            let (slots, reasons): (Vec<u32>, Vec<String>) = bad.into_iter().unzip();
            out.rows.push(side.aside(Port::Bad, &pick(waiting, &side.schema, &slots)?, &reasons)?);
            out.taken -= slots.len();
            slots.iter().for_each(|slot| waiting.forget(*slot));
        }
        Ok(Some(holds))
    }

    /// Tries the condition on new rows and those that were there, only to find out with which it fails: for joins that
    /// look for partners later, when the rows have been taken in.
    pub(super) fn screen(
        &mut self,
        (left, right): (Range<u32>, Range<u32>),
        together: impl Fn(i64, i64) -> bool,
        (batch, out): (&BatchTime, &mut Evaluated),
    ) -> Result<(), TaskError> {
        if self.recipe.pair.is_none() {
            return Ok(());
        }
        let until = [right.start, left.end];
        for (new, slots, until) in [(New::Left, left, until[0]), (New::Right, right, until[1])] {
            let mut search = self.search(new, slots, until)?;
            while let Some(pairs) = self.next_pairs(&mut search, &together) {
                self.test(new, &pairs, (batch, out))?;
            }
        }
        Ok(())
    }

    /// How many rows were given up since this was last asked, because their time was up.
    pub(super) fn expired(&mut self) -> usize {
        self.left.expired() + self.right.expired()
    }

    /// Hands on rows by their slots.
    pub(super) fn hand_on(&self, left: &[u32], right: &[u32], out: &mut Evaluated) -> Result<(), TaskError> {
        if !left.is_empty() {
            out.rows.push((Port::Out, self.recipe.out.rows((&self.left, &self.right), left, right, None)?));
        }
        Ok(())
    }

    /// Both sides as rows.
    pub(super) fn save(&self) -> Result<Vec<SavedTable>, TaskError> {
        Ok(vec![self.recipe.left.rows.save(&self.left)?, self.recipe.right.rows.save(&self.right)?])
    }

    /// From now on both note what changes.
    pub(super) fn track(&mut self) {
        self.left.track();
        self.right.track();
    }

    /// What changed on both sides.
    pub(super) fn changes(&mut self) -> Result<Vec<TableChange>, TaskError> {
        Ok(vec![self.recipe.left.rows.changes(&mut self.left)?, self.recipe.right.rows.changes(&mut self.right)?])
    }

    /// Takes back both; until when a left row of a time is kept, and a right one.
    pub(super) fn load(
        &mut self,
        saved: &[SavedTable],
        left: &dyn Fn(i64) -> i64,
        right: &dyn Fn(i64) -> i64,
    ) -> Result<(), TaskError> {
        self.recipe.left.rows.load(saved, &mut self.left, left)?;
        self.recipe.right.rows.load(saved, &mut self.right, right)
    }

    /// How much it remembers.
    pub(super) fn held(&self) -> Held {
        Held { keys: self.left.len() + self.right.len(), bytes: self.left.memory() + self.right.memory(), on_disk: 0 }
    }
}
