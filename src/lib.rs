//! Millstream: Spark Streaming's model in one binary.

pub mod check;
pub mod connect;
pub mod formats;
pub mod model;
pub mod plan;
pub mod sinks;
pub mod sources;
