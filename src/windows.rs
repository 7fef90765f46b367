//! The windows of `over WINDOW`: each file says how one is written and what makes no sense in it.

pub mod count;
pub mod cumulative;
pub mod session;
pub mod sliding;
pub mod tumbling;
