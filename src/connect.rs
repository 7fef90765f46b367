//! What the sources and the sinks of one kind share: options, secrets, encryption, programs that are started, and the
//! threads that wait for the network. Knows no source and no sink.

pub mod backoff;
pub mod dial;
pub mod kafka;
pub mod net;
pub mod postgres;
pub mod programs;
pub mod redis;
pub mod secrets;
#[cfg(test)]
pub(crate) mod tests;
pub mod tls;
pub mod waiting;

use crate::plan::OptionKind;

/// A whole number of things, at least one.
pub const COUNT: OptionKind = OptionKind::Integer { min: 1, max: i64::MAX };

/// A list of texts; one alone will do.
pub fn texts() -> OptionKind {
    OptionKind::List(Box::new(OptionKind::Text))
}

/// A list of columns; one alone will do.
pub fn columns() -> OptionKind {
    OptionKind::List(Box::new(OptionKind::Column))
}
