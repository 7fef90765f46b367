//! Definitions that refer to one another: an order in which each comes after those it refers to, and the circles
//! that have none. Iterative, so that no program is too deep for it.

use std::collections::{BTreeMap, BTreeSet};

/// What [`ordered`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ordered<K> {
    /// Each after those it refers to, as far as that goes, and how many it leads through, itself included.
    pub(super) order: Vec<(K, usize)>,
    /// What leads back to itself: each circle once, nothing in two.
    pub(super) circles: Vec<Vec<K>>,
}

/// A key that is being looked into, what it refers to, and how far that was followed.
type Open<K> = (K, Vec<K>, usize);

/// Orders `keys`; `refers` gives what one refers to, others than `keys` included.
pub(super) fn ordered<K: Ord + Copy>(keys: impl Iterator<Item = K>, refers: impl Fn(K) -> Vec<K>) -> Ordered<K> {
    let mut found = Ordered { order: Vec::new(), circles: Vec::new() };
    // How deep each leads; none while it is being looked into.
    let mut depths: BTreeMap<K, Option<usize>> = BTreeMap::new();
    let keys: Vec<K> = keys.collect();
    let known: BTreeSet<K> = keys.iter().copied().collect();
    let known_of = |key: K| refers(key).into_iter().filter(|k| known.contains(k)).collect::<Vec<_>>();
    for start in keys {
        if depths.contains_key(&start) {
            continue;
        }
        depths.insert(start, None);
        let mut path: Vec<Open<K>> = vec![(start, known_of(start), 0)];
        while let Some((key, referred, next)) = path.last_mut() {
            let Some(to) = referred.get(*next).copied() else {
                let depth = referred.iter().filter_map(|r| depths.get(r).copied().flatten()).max().unwrap_or(0) + 1;
                depths.insert(*key, Some(depth));
                found.order.push((*key, depth));
                path.pop();
                continue;
            };
            *next += 1;
            match depths.get(&to) {
                Some(Some(_)) => {}
                Some(None) => {
                    let from = path.iter().position(|(key, _, _)| *key == to).unwrap_or(0);
                    let circle: Vec<K> = path[from..].iter().map(|(key, _, _)| *key).collect();
                    if !found.circles.iter().flatten().any(|key| circle.contains(key)) {
                        found.circles.push(circle);
                    }
                }
                None => {
                    depths.insert(to, None);
                    path.push((to, known_of(to), 0));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(refers: &[(&'static str, &[&'static str])]) -> Ordered<&'static str> {
        let of = |name: &str| refers.iter().find(|(n, _)| *n == name).map(|(_, r)| r.to_vec()).unwrap_or_default();
        ordered(refers.iter().map(|(name, _)| *name), of)
    }

    #[test]
    fn each_comes_after_those_it_refers_to() {
        let found = order_of(&[("a", &["b"]), ("b", &["c", "elsewhere"]), ("c", &[])]);
        assert_eq!(found.order, [("c", 1), ("b", 2), ("a", 3)]);
        assert!(found.circles.is_empty());
    }

    #[test]
    fn a_circle_is_found_once() {
        let found = order_of(&[("a", &["b"]), ("b", &["a"]), ("c", &["a"]), ("d", &["d"])]);
        assert_eq!(found.circles, [vec!["a", "b"], vec!["d"]]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let last = ordered(0..100_000, |n| vec![n + 1]).order.pop();
        assert_eq!(last, Some((0, 100_000)));
    }
}
