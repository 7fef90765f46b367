//! Options that the sources and the sinks of one system share. Knows no source and no sink.

pub mod kafka;
pub mod net;
pub mod postgres;

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
