//! The stages: each file holds everything true about one, typing and running side by side. No stage knows another;
//! what several need is in the private modules, which know no stage.

pub mod aggregate;
pub mod cogroup;
pub mod dedupe;
pub mod distinct;
pub mod drop;
pub mod explode;
pub mod extend;
pub mod fold;
pub mod join;
pub mod limit;
pub mod meter;
pub mod rename;
pub mod repartition;
pub mod sample;
pub mod select;
pub mod sort;
pub mod split;
pub mod tap;
pub mod through;
pub mod top;
pub mod union;
pub mod r#where;
pub mod window;

mod carry;
mod cells;
mod envelope;
mod gathering;
mod groups;
mod held_rows;
mod input;
mod keys;
mod known;
mod lateness;
mod lifetime;
mod matching;
mod ordering;
mod projection;
mod show;
mod sides;
mod spans;
mod touched;
mod values;

#[cfg(test)]
#[path = "operators/tests/at_work.rs"]
mod at_work;
#[cfg(test)]
#[path = "operators/tests/stepping.rs"]
mod stepping;
#[cfg(test)]
#[path = "operators/tests/telling.rs"]
mod telling;
