//! Millstream: Spark Streaming's model in one binary.

pub mod check;
pub mod expressions;
pub mod functions;
pub mod model;
pub mod plan;
