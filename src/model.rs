//! What data is: types, columns, schemas and their Arrow form. Knows no syntax tree, no plan and no engine.

pub mod hollow;
pub mod key_groups;
pub mod numbers;
pub mod size;
pub mod time;
pub mod types;

pub use types::{Column, Schema, Slot, Type};
