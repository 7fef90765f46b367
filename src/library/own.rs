//! Words of a program's own, made of closures. What they cannot say is said by writing the entry itself: a
//! [`StageEntry`](crate::plan::StageEntry) whose `plan` reads arguments and clauses, a
//! [`SourceEntry`](crate::plan::SourceEntry) whose `open` gives a [`Source`](crate::plan::seams::Source).

mod sink;
mod source;
mod stage;

pub use crate::functions::own::{fallible_function, function};
pub use sink::{foreach, sink};
pub use source::source;
pub use stage::{batch_stage, partition_stage};
