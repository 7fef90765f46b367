//! Millstream: Spark Streaming's model in one binary.

pub mod builtins;
pub mod check;
pub mod connect;
pub mod formats;
pub mod functions;
pub mod model;
pub mod operators;
pub mod plan;
pub mod sinks;
pub mod sources;
pub mod windows;
