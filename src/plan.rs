//! The middle of Millstream: what a checked pipeline is. Everything here is a value: printable, comparable,
//! without handles. The vocabulary (`operators`, `functions`, `sources` ...) is written against these seams,
//! and `check`, `optimize` and `engine` see nothing else of it.

pub mod catalog;
pub mod conflict;
pub mod context;
pub mod edge;
pub mod expr;
pub mod graph;
pub mod measure;
pub mod memory;
pub mod operator;
pub mod print;
pub mod sample;
pub mod scenario;
pub mod seams;
pub mod settings;
pub mod vocabulary;

pub use catalog::{
    AggregateEntry, Catalog, ClauseSpec, Doc, FormatEntry, FunctionEntry, OptionKind, OptionSpec, SinkEntry,
    SourceEntry, StageEntry, WindowEntry,
};
pub use conflict::{Conflict, FormatUse, Records};
pub use context::{Planned, Port, Scope, SideOutput, StageContext};
pub use edge::{Edge, EventTime, Guarantee, Mode};
pub use expr::{AggregateCall, Node, TypedExpr};
pub use graph::{Plan, PlanNode, RowFate};
pub use operator::{Operator, Properties};
pub use settings::{OptionValue, SecretRef, Settings};
