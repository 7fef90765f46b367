//! Millstream: Spark Streaming's model in one binary.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod builtins;
pub mod check;
pub mod cli;
pub mod connect;
pub mod formats;
pub mod load;
pub mod model;
pub mod plan;
pub mod reference;
pub mod schema;
pub mod sinks;
pub mod sources;
