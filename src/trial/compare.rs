//! Rows that a stream gave against rows that a test expects: which belong together, which are missing, which nobody
//! expected.

use crate::trial::value::Value;

/// A row that a stream gave.
pub type Row = Vec<Value>;

/// A row as a test expects it: positions of columns with their values.
pub type Wanted = Vec<(usize, Value)>;

/// What must have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// These and no others, in any order.
    Exactly,
    /// These among others.
    Contains,
    /// These and no others, in this order.
    InOrder,
}

/// One line of a comparison; numbers are positions in what was wanted and what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It came as expected.
    Kept(usize),
    /// Nothing like it came.
    Missing(usize),
    /// It came without being expected.
    Unexpected(usize),
    /// In place of the wanted row came one that is like it.
    Changed(usize, usize),
    /// The wanted row is missing; this other one, which nobody objects to, is like it.
    Near(usize, usize),
    /// Another row, which nobody objects to.
    Other(usize),
}

/// A comparison that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In the order of what was wanted, the rest behind.
    pub findings: Vec<Finding>,
    /// Every wanted row came, and no other, but not in that order.
    pub only_order: bool,
}

impl Difference {
    /// How many wanted rows did not come.
    pub fn missing(&self) -> usize {
        use Finding::{Changed, Missing, Near};
        self.findings.iter().filter(|f| matches!(f, Missing(_) | Changed(..) | Near(..))).count()
    }

    /// How many rows came that must not.
    pub fn unexpected(&self) -> usize {
        self.findings.iter().filter(|f| matches!(f, Finding::Unexpected(_) | Finding::Changed(..))).count()
    }
}

/// What differs; none where all is as expected.
pub fn difference(demand: Demand, wanted: &[Wanted], given: &[Row]) -> Option<Difference> {
    match demand {
        Demand::InOrder => in_order(wanted, given),
        Demand::Exactly => {
            let partners = matched(wanted, given);
            let complete = wanted.len() == given.len() && partners.iter().all(Option::is_some);
            if complete {
                return None;
            }
            let (missing, spare) = unmatched(&partners, given.len());
            let pairs = alike(wanted, given, &missing, &spare);
            let mut findings = by_wanted(&partners, |w| {
                pairs.iter().find(|(p, _)| *p == w).map_or(Finding::Missing(w), |(w, g)| Finding::Changed(*w, *g))
            });
            let alone = spare.into_iter().filter(|g| !pairs.iter().any(|(_, p)| p == g));
            findings.extend(alone.map(Finding::Unexpected));
            Some(Difference { findings, only_order: false })
        }
        Demand::Contains => {
            let partners = matched(wanted, given);
            let (missing, spare) = unmatched(&partners, given.len());
            if missing.is_empty() {
                return None;
            }
            let pairs = alike(wanted, given, &missing, &spare);
            let mut findings = by_wanted(&partners, |w| {
                pairs.iter().find(|(p, _)| *p == w).map_or(Finding::Missing(w), |(w, g)| Finding::Near(*w, *g))
            });
            let others = spare.into_iter().filter(|g| !pairs.iter().any(|(_, p)| p == g));
            findings.extend(others.map(Finding::Other));
            Some(Difference { findings, only_order: false })
        }
    }
}

/// One finding for each wanted row.
fn by_wanted(partners: &[Option<usize>], otherwise: impl Fn(usize) -> Finding) -> Vec<Finding> {
    let finding = |(w, partner): (usize, &Option<usize>)| partner.map_or_else(|| otherwise(w), Finding::Kept);
    partners.iter().enumerate().map(finding).collect()
}

fn fits(wanted: &Wanted, given: &Row) -> bool {
    wanted.iter().all(|(column, value)| given.get(*column).is_some_and(|cell| cell.same(value)))
}

/// For each wanted row the given row it belongs to, such that as many as possible have one: a row that says little
/// must not take what only another one fits.
fn matched(wanted: &[Wanted], given: &[Row]) -> Vec<Option<usize>> {
    let mut owner: Vec<Option<usize>> = vec![None; given.len()];
    let mut open = Vec::new();
    for (w, row) in wanted.iter().enumerate() {
        // Nearly always rows come in the order they are written in, or at least one of a kind.
        let free = |g: &usize| owner[*g].is_none() && fits(row, &given[*g]);
        let here = Some(w).filter(|g| *g < given.len()).filter(free);
        match here.or_else(|| (0..given.len()).find(free)) {
            Some(g) => owner[g] = Some(w),
            None => open.push(w),
        }
    }
    for w in open {
        let mut seen = vec![false; given.len()];
        make_room(w, wanted, given, &mut owner, &mut seen);
    }
    let mut partners = vec![None; wanted.len()];
    for (g, w) in owner.into_iter().enumerate() {
        if let Some(w) = w {
            partners[w] = Some(g);
        }
    }
    partners
}

/// Finds a place for a wanted row by moving others to places that fit them as well (Kuhn's augmenting paths, with a
/// stack of our own because a path can be as long as the table).
fn make_room(start: usize, wanted: &[Wanted], given: &[Row], owner: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    let mut path: Vec<(usize, usize)> = vec![(start, 0)];
    let mut taken: Vec<usize> = Vec::new();
    while let Some((w, next)) = path.last_mut() {
        let found = (*next..given.len()).find(|g| !seen[*g] && fits(&wanted[*w], &given[*g]));
        let Some(g) = found else {
            path.pop();
            taken.pop();
            continue;
        };
        *next = g + 1;
        seen[g] = true;
        taken.push(g);
        match owner[g] {
            Some(holder) => path.push((holder, 0)),
            None => {
                for ((w, _), g) in path.iter().zip(&taken) {
                    owner[*g] = Some(*w);
                }
                return true;
            }
        }
    }
    false
}

/// Wanted rows without a partner, and given ones.
fn unmatched(partners: &[Option<usize>], given: usize) -> (Vec<usize>, Vec<usize>) {
    let mut used = vec![false; given];
    partners.iter().flatten().for_each(|g| used[*g] = true);
    let missing = partners.iter().enumerate().filter(|(_, p)| p.is_none()).map(|(w, _)| w).collect();
    let spare = used.iter().enumerate().filter(|(_, used)| !**used).map(|(g, _)| g).collect();
    (missing, spare)
}

/// More pairs than this are not looked for: nobody reads on.
const PAIRED: usize = 200;

/// Missing and spare rows that have at least half of the cells in common, the most alike first.
fn alike(wanted: &[Wanted], given: &[Row], missing: &[usize], spare: &[usize]) -> Vec<(usize, usize)> {
    let only_two = missing.len() == 1 && spare.len() == 1;
    let mut scored = Vec::new();
    for w in missing.iter().take(PAIRED) {
        for g in spare.iter().take(PAIRED) {
            let equal = common(&wanted[*w], &given[*g]);
            if only_two || (equal > 0 && 2 * equal >= wanted[*w].len()) {
                scored.push((equal, *w, *g));
            }
        }
    }
    scored.sort_by_key(|(equal, w, g)| (std::cmp::Reverse(*equal), *w, *g));
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (_, w, g) in scored {
        if !pairs.iter().any(|(v, h)| *v == w || *h == g) {
            pairs.push((w, g));
        }
    }
    pairs
}

/// How many cells are as wanted.
fn common(wanted: &Wanted, given: &Row) -> usize {
    wanted.iter().filter(|(column, value)| given.get(*column).is_some_and(|cell| cell.same(value))).count()
}

/// Longer tables are compared line by line.
const ALIGNED: usize = 1_000;

/// The longest common run of rows is what is kept; between, missing and unexpected ones.
fn in_order(wanted: &[Wanted], given: &[Row]) -> Option<Difference> {
    if wanted.len() == given.len() && wanted.iter().zip(given).all(|(w, g)| fits(w, g)) {
        return None;
    }
    let only_order = wanted.len() == given.len() && matched(wanted, given).iter().all(Option::is_some);
    let kept = if wanted.len() <= ALIGNED && given.len() <= ALIGNED {
        longest_run(wanted, given)
    } else {
        (0..wanted.len().min(given.len())).filter(|i| fits(&wanted[*i], &given[*i])).map(|i| (i, i)).collect()
    };
    let mut findings = Vec::new();
    let (mut w, mut g) = (0, 0);
    for (next_w, next_g) in kept.into_iter().chain([(wanted.len(), given.len())]) {
        let (missing, spare): (Vec<_>, Vec<_>) = ((w..next_w).collect(), (g..next_g).collect());
        let pairs = if missing.len() == spare.len() && !only_order {
            missing.iter().copied().zip(spare.iter().copied()).collect()
        } else {
            Vec::new()
        };
        if pairs.is_empty() {
            findings.extend(missing.into_iter().map(Finding::Missing));
            findings.extend(spare.into_iter().map(Finding::Unexpected));
        } else {
            findings.extend(pairs.into_iter().map(|(w, g): (usize, usize)| Finding::Changed(w, g)));
        }
        if next_g < given.len() {
            findings.push(Finding::Kept(next_g));
        }
        (w, g) = (next_w + 1, next_g + 1);
    }
    Some(Difference { findings, only_order })
}

/// Pairs of positions, both growing, as many as there can be.
fn longest_run(wanted: &[Wanted], given: &[Row]) -> Vec<(usize, usize)> {
    let (rows, columns) = (wanted.len(), given.len());
    let mut longest = vec![vec![0_u32; columns + 1]; rows + 1];
    let mut equal = vec![vec![false; columns]; rows];
    for w in (0..rows).rev() {
        for g in (0..columns).rev() {
            equal[w][g] = fits(&wanted[w], &given[g]);
            longest[w][g] =
                if equal[w][g] { longest[w + 1][g + 1] + 1 } else { longest[w + 1][g].max(longest[w][g + 1]) };
        }
    }
    let (mut w, mut g, mut run) = (0, 0, Vec::new());
    while w < rows && g < columns {
        if equal[w][g] {
            run.push((w, g));
            (w, g) = (w + 1, g + 1);
        } else if longest[w + 1][g] >= longest[w][g + 1] {
            w += 1;
        } else {
            g += 1;
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use super::Finding::{Changed, Kept, Missing, Near, Other, Unexpected};
    use super::*;

    fn row(cells: &[i128]) -> Row {
        cells.iter().map(|n| Value::Whole(*n)).collect()
    }

    fn rows(all: &[&[i128]]) -> Vec<Row> {
        all.iter().map(|cells| row(cells)).collect()
    }

    /// `None`: the column is not written.
    fn wanted(all: &[&[Option<i128>]]) -> Vec<Wanted> {
        let one = |cells: &&[Option<i128>]| {
            cells.iter().enumerate().filter_map(|(i, n)| Some((i, Value::Whole((*n)?)))).collect()
        };
        all.iter().map(one).collect()
    }

    fn findings(demand: Demand, wanted: &[Wanted], given: &[Row]) -> Vec<Finding> {
        difference(demand, wanted, given).expect("they differ").findings
    }

    #[test]
    fn order_means_nothing_where_it_is_not_asked_for() {
        let expected = wanted(&[&[Some(1)], &[Some(2)], &[Some(2)]]);
        assert_eq!(difference(Demand::Exactly, &expected, &rows(&[&[2], &[1], &[2]])), None);
        assert_eq!(
            findings(Demand::Exactly, &expected, &rows(&[&[2], &[1], &[1]])),
            [Kept(1), Kept(0), Changed(2, 2)],
            "how often a row comes counts"
        );
    }

    #[test]
    fn a_row_that_says_little_leaves_the_others_theirs() {
        let expected = wanted(&[&[Some(1), None], &[Some(1), Some(7)], &[None, Some(7)]]);
        assert_eq!(difference(Demand::Exactly, &expected, &rows(&[&[1, 7], &[3, 7], &[1, 8]])), None);
        assert_eq!(difference(Demand::Exactly, &expected, &rows(&[&[1, 8], &[1, 7], &[3, 7]])), None);
    }

    #[test]
    fn the_number_of_rows_must_match() {
        let one = wanted(&[&[Some(1)]]);
        assert_eq!(findings(Demand::Exactly, &one, &rows(&[&[1], &[1]])), [Kept(0), Unexpected(1)]);
        assert_eq!(findings(Demand::Exactly, &one, &[]), [Missing(0)]);
        assert_eq!(findings(Demand::Exactly, &[], &rows(&[&[1]])), [Unexpected(0)]);
        assert_eq!(difference(Demand::Exactly, &[], &[]), None);
    }

    #[test]
    fn rows_that_are_alike_are_shown_together() {
        let expected = wanted(&[&[Some(1), Some(10)], &[Some(2), Some(20)]]);
        let given = rows(&[&[2, 21], &[1, 11], &[9, 9]]);
        let found = difference(Demand::Exactly, &expected, &given).unwrap();
        assert_eq!(found.findings, [Changed(0, 1), Changed(1, 0), Unexpected(2)]);
        assert_eq!((found.missing(), found.unexpected()), (2, 3));
    }

    #[test]
    fn contains_minds_only_what_is_missing() {
        let expected = wanted(&[&[Some(1), Some(10)]]);
        assert_eq!(difference(Demand::Contains, &expected, &rows(&[&[5, 5], &[1, 10]])), None);
        assert_eq!(findings(Demand::Contains, &expected, &rows(&[&[5, 5], &[1, 12]])), [Near(0, 1), Other(0)]);
    }

    #[test]
    fn in_order_tells_another_order_from_other_rows() {
        let expected = wanted(&[&[Some(1)], &[Some(2)], &[Some(3)]]);
        assert_eq!(difference(Demand::InOrder, &expected, &rows(&[&[1], &[2], &[3]])), None);
        let swapped = difference(Demand::InOrder, &expected, &rows(&[&[1], &[3], &[2]])).unwrap();
        assert!(swapped.only_order);
        assert_eq!(swapped.findings, [Kept(0), Missing(1), Kept(1), Unexpected(2)]);
        let changed = difference(Demand::InOrder, &expected, &rows(&[&[1], &[5], &[3]])).unwrap();
        assert!(!changed.only_order);
        assert_eq!(changed.findings, [Kept(0), Changed(1, 1), Kept(2)]);
        let more = findings(Demand::InOrder, &expected, &rows(&[&[0], &[1], &[2], &[3]]));
        assert_eq!(more, [Unexpected(0), Kept(1), Kept(2), Kept(3)]);
    }

    #[test]
    fn long_tables_are_compared_in_time() {
        let many: Vec<Row> = (0..3_000).map(|n| row(&[n, n % 7])).collect();
        let expected: Vec<Wanted> = (0..3_000).rev().map(|n| vec![(0, Value::Whole(n))]).collect();
        assert_eq!(difference(Demand::Exactly, &expected, &many), None);
        assert!(difference(Demand::InOrder, &expected, &many).unwrap().only_order);
    }
}
