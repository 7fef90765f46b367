//! What has to be known of a borrowed function beyond what DataFusion says of it: whether a row can fail, and
//! when the result is null. Every function that is listed has a line of its own, so that each was looked at.

use crate::plan::catalog::{Argument, Failure, unsettled};

/// One borrowed function, reviewed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fact {
    /// DataFusion's name.
    pub name: &'static str,
    /// What can happen to a row.
    pub failure: Failure,
    /// When the result is null.
    pub nulls: Nulls,
    /// Words of Spark and SQL that DataFusion does not know.
    pub aliases: &'static [&'static str],
    /// Whether the types and constants of a call rule a failure out.
    pub settled: fn(&[Argument<'_>]) -> bool,
    /// How it is written, where DataFusion's own text is no form of ours.
    pub usage: Option<&'static str>,
}

/// When a result is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// Where an argument is.
    Strict,
    /// Where all arguments are.
    WhenAll,
    /// Where the first argument is.
    First,
    /// Where the last argument is.
    Last,
    /// Never.
    Never,
    /// With any arguments.
    Ever,
}

impl Fact {
    /// Words of Spark and SQL.
    pub(super) const fn known_as(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Our form.
    pub(super) const fn written(mut self, usage: &'static str) -> Self {
        self.usage = Some(usage);
        self
    }

    /// What of a call rules a failure out.
    pub(super) const fn unless(mut self, settled: fn(&[Argument<'_>]) -> bool) -> Self {
        self.settled = settled;
        self
    }

    /// Another rule for nulls than [`Nulls::Strict`].
    pub(super) const fn null(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }
}

/// A value for every row.
pub(super) const fn total(name: &'static str) -> Fact {
    Fact { name, failure: Failure::Total, nulls: Nulls::Strict, aliases: &[], settled: unsettled, usage: None }
}

/// Null where there is no answer.
pub(super) const fn or_null(name: &'static str) -> Fact {
    Fact { name, failure: Failure::NullOnFailure, nulls: Nulls::Ever, aliases: &[], settled: unsettled, usage: None }
}

/// Fails for some rows.
pub(super) const fn fallible(name: &'static str) -> Fact {
    Fact { name, failure: Failure::Fallible, nulls: Nulls::Strict, aliases: &[], settled: unsettled, usage: None }
}
