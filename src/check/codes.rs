//! Every code a diagnostic can have, with the page that `millstream explain CODE` prints.
//! A new code is its page in `codes/` and its line here. Nothing here finds mistakes.

use millstream_dsl::Severity;

/// A code and its page.
#[derive(Debug, Clone, Copy)]
pub struct Code {
    /// The stable name, e.g. `unknown-column`.
    pub name: &'static str,
    /// Whether a pipeline with it is refused.
    pub severity: Severity,
    /// What `explain` prints, in Markdown.
    pub page: &'static str,
}

/// The two examples of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Examples {
    /// Yields this code and no other.
    pub wrong: Example,
    /// Says the same without the mistake.
    pub right: Example,
}

/// A fenced block of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Example {
    /// `stream`, `yaml` or `sh`.
    pub language: &'static str,
    /// Whether it is a whole file that `check` can judge alone: not for command lines, several files, or what
    /// depends on the disk (marked `,ignore`).
    pub checkable: bool,
    /// The lines between the fences.
    pub text: &'static str,
}

/// Every code, in the order in which mistakes are found: text, names, types, wiring, time, state, tests, command line.
pub fn all() -> &'static [Code] {
    CODES
}

/// The code of this name.
pub fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

impl Code {
    /// The line that says in plain words what is wrong.
    pub fn title(&self) -> &'static str {
        self.page.lines().skip(1).find(|line| !line.is_empty()).unwrap_or_default()
    }

    /// The page's wrong and right example; none where the page has not both.
    pub fn examples(&self) -> Option<Examples> {
        Some(Examples { wrong: example(self.page, "\n## Wrong\n")?, right: example(self.page, "\n## Right\n")? })
    }
}

/// The first fenced block under a heading.
fn example(page: &'static str, heading: &str) -> Option<Example> {
    let (_, section) = page.split_once(heading)?;
    let (_, block) = section.split_once("```")?;
    let (info, rest) = block.split_once('\n')?;
    let (text, _) = rest.split_once("```")?;
    let (language, ignored) = match info.split_once(',') {
        Some((language, mark)) => (language, mark == "ignore"),
        None => (info, false),
    };
    Some(Example { language, checkable: !ignored && matches!(language, "stream" | "yaml"), text })
}

const fn error(name: &'static str, page: &'static str) -> Code {
    Code { name, severity: Severity::Error, page }
}

const fn warning(name: &'static str, page: &'static str) -> Code {
    Code { name, severity: Severity::Warning, page }
}

const fn note(name: &'static str, page: &'static str) -> Code {
    Code { name, severity: Severity::Note, page }
}

const CODES: &[Code] = &[
    error("syntax", include_str!("codes/syntax.md")),
    error("unclosed-string", include_str!("codes/unclosed-string.md")),
    error("unclosed-bracket", include_str!("codes/unclosed-bracket.md")),
    error("unknown-statement", include_str!("codes/unknown-statement.md")),
    error("missing-pipe", include_str!("codes/missing-pipe.md")),
    error("single-quotes", include_str!("codes/single-quotes.md")),
    error("equals-sign", include_str!("codes/equals-sign.md")),
    error("unequal-sign", include_str!("codes/unequal-sign.md")),
    error("logical-symbol", include_str!("codes/logical-symbol.md")),
    error("group-by", include_str!("codes/group-by.md")),
    error("unit-space", include_str!("codes/unit-space.md")),
    error("unknown-unit", include_str!("codes/unknown-unit.md")),
    error("into-inside-stream", include_str!("codes/into-inside-stream.md")),
    error("nesting-too-deep", include_str!("codes/nesting-too-deep.md")),
    error("too-long", include_str!("codes/too-long.md")),
    error("invalid-escape", include_str!("codes/invalid-escape.md")),
    error("invalid-number", include_str!("codes/invalid-number.md")),
    error("semicolon", include_str!("codes/semicolon.md")),
    error("sql-word", include_str!("codes/sql-word.md")),
    error("angle-type", include_str!("codes/angle-type.md")),
    error("missing-name", include_str!("codes/missing-name.md")),
    error("trailing-text", include_str!("codes/trailing-text.md")),
    error("comment-style", include_str!("codes/comment-style.md")),
    error("colon-equals", include_str!("codes/colon-equals.md")),
    error("yaml-syntax", include_str!("codes/yaml-syntax.md")),
    error("yaml-shape", include_str!("codes/yaml-shape.md")),
    error("yaml-unknown-key", include_str!("codes/yaml-unknown-key.md")),
    error("yaml-quoted-expression", include_str!("codes/yaml-quoted-expression.md")),
    error("unknown-stream", include_str!("codes/unknown-stream.md")),
    error("unknown-column", include_str!("codes/unknown-column.md")),
    error("unknown-function", include_str!("codes/unknown-function.md")),
    error("unknown-stage", include_str!("codes/unknown-stage.md")),
    error("unknown-source", include_str!("codes/unknown-source.md")),
    error("unknown-sink", include_str!("codes/unknown-sink.md")),
    error("unknown-option", include_str!("codes/unknown-option.md")),
    error("unknown-type", include_str!("codes/unknown-type.md")),
    error("unknown-format", include_str!("codes/unknown-format.md")),
    error("unknown-window", include_str!("codes/unknown-window.md")),
    error("unknown-field", include_str!("codes/unknown-field.md")),
    error("unknown-symbol", include_str!("codes/unknown-symbol.md")),
    error("unknown-param", include_str!("codes/unknown-param.md")),
    error("missing-param", include_str!("codes/missing-param.md")),
    error("duplicate-name", include_str!("codes/duplicate-name.md")),
    error("duplicate-column", include_str!("codes/duplicate-column.md")),
    error("duplicate-option", include_str!("codes/duplicate-option.md")),
    error("duplicate-clause", include_str!("codes/duplicate-clause.md")),
    error("ambiguous-column", include_str!("codes/ambiguous-column.md")),
    error("misplaced-clause", include_str!("codes/misplaced-clause.md")),
    error("missing-clause", include_str!("codes/missing-clause.md")),
    error("missing-option", include_str!("codes/missing-option.md")),
    error("missing-argument", include_str!("codes/missing-argument.md")),
    error("too-many-arguments", include_str!("codes/too-many-arguments.md")),
    error("wrong-argument", include_str!("codes/wrong-argument.md")),
    error("misplaced-modifier", include_str!("codes/misplaced-modifier.md")),
    error("misplaced-aggregate", include_str!("codes/misplaced-aggregate.md")),
    error("misplaced-call", include_str!("codes/misplaced-call.md")),
    error("unnamed-column", include_str!("codes/unnamed-column.md")),
    warning("shadowed-name", include_str!("codes/shadowed-name.md")),
    error("type-mismatch", include_str!("codes/type-mismatch.md")),
    error("not-comparable", include_str!("codes/not-comparable.md")),
    error("wrong-operand", include_str!("codes/wrong-operand.md")),
    error("not-boolean", include_str!("codes/not-boolean.md")),
    error("invalid-literal", include_str!("codes/invalid-literal.md")),
    error("invalid-cast", include_str!("codes/invalid-cast.md")),
    error("unhandled-failure", include_str!("codes/unhandled-failure.md")),
    warning("needless-handling", include_str!("codes/needless-handling.md")),
    error("nullable-key", include_str!("codes/nullable-key.md")),
    error("mixed-decimal", include_str!("codes/mixed-decimal.md")),
    error("branch-mismatch", include_str!("codes/branch-mismatch.md")),
    error("not-iterable", include_str!("codes/not-iterable.md")),
    error("misplaced-lambda", include_str!("codes/misplaced-lambda.md")),
    error("recursive-type", include_str!("codes/recursive-type.md")),
    error("recursive-function", include_str!("codes/recursive-function.md")),
    error("unsupported-type", include_str!("codes/unsupported-type.md")),
    warning("constant-condition", include_str!("codes/constant-condition.md")),
    error("misplaced-types", include_str!("codes/misplaced-types.md")),
    error("cycle", include_str!("codes/cycle.md")),
    error("import-cycle", include_str!("codes/import-cycle.md")),
    error("import-missing", include_str!("codes/import-missing.md")),
    error("import-content", include_str!("codes/import-content.md")),
    warning("unused-stream", include_str!("codes/unused-stream.md")),
    warning("unused-column", include_str!("codes/unused-column.md")),
    warning("unused-source", include_str!("codes/unused-source.md")),
    warning("unused-definition", include_str!("codes/unused-definition.md")),
    error("option-conflict", include_str!("codes/option-conflict.md")),
    error("nothing-to-infer", include_str!("codes/nothing-to-infer.md")),
    note("inferred-schema", include_str!("codes/inferred-schema.md")),
    error("sink-conflict", include_str!("codes/sink-conflict.md")),
    error("no-output", include_str!("codes/no-output.md")),
    error("table-as-stream", include_str!("codes/table-as-stream.md")),
    error("stream-as-table", include_str!("codes/stream-as-table.md")),
    error("self-join-alias", include_str!("codes/self-join-alias.md")),
    error("colliding-columns", include_str!("codes/colliding-columns.md")),
    error("missing-pipeline", include_str!("codes/missing-pipeline.md")),
    error("duplicate-pipeline", include_str!("codes/duplicate-pipeline.md")),
    warning("repeated-pipeline", include_str!("codes/repeated-pipeline.md")),
    warning("cross-join", include_str!("codes/cross-join.md")),
    error("missing-feature", include_str!("codes/missing-feature.md")),
    warning("no-matching-files", include_str!("codes/no-matching-files.md")),
    error("no-time-column", include_str!("codes/no-time-column.md")),
    error("window-not-multiple", include_str!("codes/window-not-multiple.md")),
    error("batch-window-asap", include_str!("codes/batch-window-asap.md")),
    error("invalid-window", include_str!("codes/invalid-window.md")),
    warning("no-watermark", include_str!("codes/no-watermark.md")),
    warning("slide-gap", include_str!("codes/slide-gap.md")),
    warning("unhandled-late", include_str!("codes/unhandled-late.md")),
    warning("unhandled-bad", include_str!("codes/unhandled-bad.md")),
    warning("unhandled-else", include_str!("codes/unhandled-else.md")),
    warning("window-beyond-retention", include_str!("codes/window-beyond-retention.md")),
    error("invalid-duration", include_str!("codes/invalid-duration.md")),
    error("calendar-unit", include_str!("codes/calendar-unit.md")),
    error("misplaced-time", include_str!("codes/misplaced-time.md")),
    error("unbounded-state", include_str!("codes/unbounded-state.md")),
    error("unbounded-join", include_str!("codes/unbounded-join.md")),
    warning("running-forever", include_str!("codes/running-forever.md")),
    error("misplaced-state", include_str!("codes/misplaced-state.md")),
    error("duplicate-state-name", include_str!("codes/duplicate-state-name.md")),
    warning("nondeterministic-state", include_str!("codes/nondeterministic-state.md")),
    error("append-only-sink", include_str!("codes/append-only-sink.md")),
    error("changes-not-accepted", include_str!("codes/changes-not-accepted.md")),
    error("missing-key", include_str!("codes/missing-key.md")),
    error("emit-mode", include_str!("codes/emit-mode.md")),
    error("fold-shape", include_str!("codes/fold-shape.md")),
    warning("secret-in-text", include_str!("codes/secret-in-text.md")),
    error("side-output-misuse", include_str!("codes/side-output-misuse.md")),
    error("test-unknown-input", include_str!("codes/test-unknown-input.md")),
    error("test-column", include_str!("codes/test-column.md")),
    error("test-value", include_str!("codes/test-value.md")),
    warning("test-duplicate", include_str!("codes/test-duplicate.md")),
    warning("test-without-expect", include_str!("codes/test-without-expect.md")),
    error("test-side", include_str!("codes/test-side.md")),
    error("unreadable-file", include_str!("codes/unreadable-file.md")),
    error("invalid-utf8", include_str!("codes/invalid-utf8.md")),
    error("invalid-regex", include_str!("codes/invalid-regex.md")),
];

#[cfg(test)]
mod tests {
    use super::{all, find};

    #[test]
    fn every_page_starts_with_its_code_and_a_sentence() {
        for code in all() {
            assert!(code.page.starts_with(&format!("# {}\n\n", code.name)), "{}", code.name);
            assert!(code.title().ends_with('.'), "{}: {}", code.name, code.title());
        }
    }

    #[test]
    fn every_page_has_a_wrong_and_a_right_example_that_differ() {
        for code in all() {
            let examples = code.examples().unwrap_or_else(|| panic!("{} has no examples", code.name));
            assert_ne!(examples.wrong.text, examples.right.text, "{}", code.name);
            assert_eq!(examples.wrong.language, examples.right.language, "{}", code.name);
        }
    }

    #[test]
    fn every_page_in_the_folder_is_listed_once() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/check/codes");
        let pages = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(pages, all().len());
        assert!(all().iter().all(|code| std::ptr::eq(find(code.name).unwrap(), code)));
    }
}
