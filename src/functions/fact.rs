//! What has to be known of a borrowed function beyond what DataFusion says of it: whether a row can fail, and
//! when the result is null. Every function that is listed has a line of its own, so that each was looked at.

use datafusion_common::ScalarValue;

use crate::model::Type;
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
    /// Refuses arguments that the kernel takes and cannot use, as the end of "function `f` ...".
    pub accepts: fn(&[Argument<'_>]) -> Result<(), String>,
    /// Whether numbers, dates and the like become text for it.
    pub writes: bool,
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

    /// Takes the text of anything.
    pub(super) const fn writing(mut self) -> Self {
        self.writes = true;
        self
    }

    /// Refuses some arguments.
    pub(super) const fn only(mut self, accepts: fn(&[Argument<'_>]) -> Result<(), String>) -> Self {
        self.accepts = accepts;
        self
    }

    /// Another rule for nulls than [`Nulls::Strict`].
    pub(super) const fn null(mut self, nulls: Nulls) -> Self {
        self.nulls = nulls;
        self
    }
}

fn anything(_: &[Argument<'_>]) -> Result<(), String> {
    Ok(())
}

/// Lists of numbers.
pub(super) fn number_lists(args: &[Argument<'_>]) -> Result<(), String> {
    match args.first().map(|a| &a.slot.ty) {
        Some(Type::List(element)) if !element.ty.is_number() && !matches!(element.ty, Type::Null | Type::Unknown) => {
            Err(format!("wants a list of numbers as its first argument, got `list({element})`"))
        }
        _ => Ok(()),
    }
}

/// A format with `%`, not Java's `yyyy-MM-dd`, which would be printed as it stands.
pub(super) fn percent_format(args: &[Argument<'_>]) -> Result<(), String> {
    match args.get(1).and_then(|a| a.constant) {
        Some(ScalarValue::Utf8(Some(format))) if !format.contains('%') => {
            Err(format!("wants a format like `%Y-%m-%d %H:%M:%S`, got `{format}`"))
        }
        _ => Ok(()),
    }
}

/// A value for every row.
pub(super) const fn total(name: &'static str) -> Fact {
    fact(name, Failure::Total)
}

/// Null where there is no answer.
pub(super) const fn or_null(name: &'static str) -> Fact {
    fact(name, Failure::NullOnFailure)
}

/// Fails for some rows.
pub(super) const fn fallible(name: &'static str) -> Fact {
    fact(name, Failure::Fallible)
}

const fn fact(name: &'static str, failure: Failure) -> Fact {
    Fact {
        name,
        failure,
        nulls: Nulls::Strict,
        aliases: &[],
        settled: unsettled,
        accepts: anything,
        writes: false,
        usage: None,
    }
}
