//! `regex(r"...")`: lines taken apart by a pattern with named groups.

use ::regex::Regex;

use crate::formats::{accepts_flat, required};
use crate::model::{Column, Type};
use crate::plan::catalog::Directions;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, FormatEntry, OptionKind, OptionSpec, Settings};

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new(
            "regex",
            "lines taken apart by a pattern; its named groups are the columns",
            "regex(r\"PATTERN\")",
        )
        .details(
            "Columns are strings in the order of the groups, the empty text where a group took no part; a schema gives \
                 them other types. A line that does not match is a bad row.",
        )
        .example("source access = files(\"logs/*.log\") { format: regex(r\"^(?<ip>\\S+) (?<status>\\d+)\") }"),
        args: vec![OptionSpec::required("pattern", OptionKind::Text, "a regular expression with named groups")],
        options: Vec::new(),
        columns: group_columns,
        accepts: accepts_flat,
        directions: Directions::In,
        open: |_, _| Err(NotRunnable::not_yet("format", "regex")),
    }
}

fn group_columns(settings: &Settings) -> Option<Vec<Column>> {
    let pattern = Regex::new(settings.text("pattern")?).ok()?;
    let columns: Vec<_> = pattern.capture_names().flatten().map(|name| required(name, Type::String)).collect();
    (!columns.is_empty()).then_some(columns)
}

#[cfg(test)]
mod tests {
    use millstream_dsl::Span;

    use super::*;
    use crate::plan::OptionValue;

    #[test]
    fn named_groups_are_columns_in_the_order_of_the_pattern() {
        let mut settings = Settings::default();
        settings.set("pattern", OptionValue::Text(r"(?<ip>\S+) (\d+) (?<status>\d+)".into()), Span::default());
        let names: Vec<_> = group_columns(&settings).unwrap().into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["ip", "status"]);
    }
}
