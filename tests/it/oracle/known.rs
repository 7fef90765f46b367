//! The oracle against examples computed by hand, and seeds that once failed.

use super::run::{Trouble, try_case};
use super::{attempt, generate};

/// Seeds whose cases once showed a mistake of the engine.
const ONCE_FAILED: &[u64] = &[];

#[test]
fn what_once_failed_fails_no_more() {
    for seed in ONCE_FAILED {
        if let Err(Trouble::Wrong(why)) = attempt(&generate::case(*seed)) {
            panic!("seed {seed}: {why}");
        }
    }
}

#[test]
fn a_seed_always_gives_the_same_case() {
    assert_eq!(generate::case(7).program.text(), generate::case(7).program.text());
    assert!(try_case(&generate::case(7)).is_ok() || matches!(try_case(&generate::case(7)), Err(Trouble::Refused(_))));
}
