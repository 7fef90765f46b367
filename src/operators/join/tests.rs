//! Joins at work: tasks are made from text and stepped by hand.

mod bounded;
pub(crate) mod hand;
mod latest;
mod together;
mod window;

use hand::{Bench, END, Given};

fn join(stage: &str, partitions: usize) -> Bench {
    Bench::new("join", stage, partitions)
}

fn none() -> Vec<String> {
    Vec::new()
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}
