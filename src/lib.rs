//! Millstream: Spark Streaming's model in one binary.

pub mod builtins;
pub mod check;
pub mod model;
pub mod operators;
pub mod plan;
pub mod windows;
