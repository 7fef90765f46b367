//! Millstream: Spark Streaming's model in one binary.
#![doc = include_str!("ARCHITECTURE.md")]

pub mod model;
pub mod plan;

pub mod connect;
pub mod expressions;

pub mod formats;
pub mod functions;
pub mod operators;
pub mod sinks;
pub mod sources;
pub mod windows;

pub mod builtins;

pub mod check;
pub mod cli;
pub mod engine;
pub mod journal;
pub mod library;
pub mod load;
pub mod metrics;
pub mod optimize;
pub mod reference;
pub mod reload;
pub mod schema;
pub mod trial;
