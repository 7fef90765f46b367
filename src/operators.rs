//! The stages: each file holds everything true about one, typing and running side by side. No stage knows another;
//! what several need is in the modules below, which know no stage.

pub mod aggregate;
pub mod drop;
pub mod explode;
pub mod extend;
pub mod rename;
pub mod select;
pub mod r#where;

mod carry;
mod groups;
mod input;
mod keys;
mod lifetime;
mod ordering;
mod projection;
mod show;
mod values;
