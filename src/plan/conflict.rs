//! Options that cannot stand as they are written, be each of them right by itself: an entry finds them in its settings
//! alone, without a file, a socket or a secret, and the checker reports them. An entry's `open` need not look again.

use crate::model::Column;
use crate::plan::catalog::Directions;
use crate::plan::settings::Settings;

/// What is wrong with an option, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The diagnostic's code.
    pub code: &'static str,
    /// The option or argument to point at; the call where nobody wrote it.
    pub option: &'static str,
    /// The sentence.
    pub message: String,
    /// What stands at the place.
    pub label: String,
    /// What to write instead.
    pub help: String,
}

impl Conflict {
    /// An option that does not go with another one, or with their absence.
    pub fn between(option: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let label = "does not go together".into();
        Conflict { code: "option-conflict", option, message: message.into(), label, help: help.into() }
    }

    /// A value that nothing can be done with, though it is of the right kind.
    pub fn value(option: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        let label = "does not fit".into();
        Conflict { code: "wrong-argument", option, message: message.into(), label, help: help.into() }
    }
}

/// A format as a source or sink uses it.
#[derive(Debug, Clone, Copy)]
pub struct FormatUse<'a> {
    /// Its arguments and options.
    pub settings: &'a Settings,
    /// What it reads or writes; none where that is not known.
    pub columns: Option<&'a [Column]>,
    /// [`Directions::In`] or [`Directions::Out`].
    pub way: Directions,
}

/// What the records of a format are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    /// Each is a line, so that a file that grows can be followed.
    pub lines: bool,
    /// A value in them that cannot be read can be null (`bad null`).
    pub forgiving: bool,
}

impl Records {
    /// Lines whose values are read each by itself.
    pub const VALUES: Records = Records { lines: true, forgiving: true };
    /// Lines that can be read as a whole or not at all.
    pub const LINES: Records = Records { lines: true, forgiving: false };
    /// What only a reader of the format can tell apart.
    pub const OTHER: Records = Records { lines: false, forgiving: false };
}
