//! Runs a checked plan in micro-batches: the clock ticks, sources are read, operators run in parallel over blocks and
//! partitions, sinks take what came of it, in the order of batches. Knows no operator, source or sink by name.

mod accounts;
mod aside;
mod batch;
mod blocks;
mod chain;
pub mod clock;
mod durable;
mod exchange;
mod failure;
mod first_batch;
mod flow;
mod intake;
mod keyed;
mod later;
mod marks;
mod outlet;
mod part;
mod patience;
mod pool;
mod program;
mod queue;
mod rate;
mod reload;
mod room;
mod run;
mod session;
mod silence;
mod snapshot;
mod stopping;
mod switch;
pub(crate) mod tables;

pub use accounts::{
    BatchReport, MarkCount, MeterCount, Moved, OperatorCount, Phases, Report, SinkCount, SourceCount, Summary,
};
pub use clock::{Clock, ManualClock, RealClock};
pub use durable::{
    Checkpoint, Compacted, Contents, Copied, Differs, Due, GivenUp, Remembered, Rewound, SourceAt, Staged, Start,
    Texts, Verified, Versions,
};
pub use failure::{EngineError, Refusal};
pub use program::{Watch, runnable};
pub use queue::Inlet;
pub use reload::{Handover, Reloads};
pub use room::ColdPlace;
pub use run::{RunSettings, run, run_from};
pub use session::{Opening, Session, Stepped};
pub use switch::Switched;

#[cfg(test)]
mod tests;
