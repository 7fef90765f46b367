//! Tastes of the layout that depend on a word. Nothing else in this crate knows the word of a stage, and nothing
//! but the looks of the printed text depends on it.

/// Stages that define things: their named arguments are printed `name = expr`, all others' `expr as name`.
const DEFINING: &[&str] = &["extend", "meter", "split"];

/// Whether the named arguments of `stage` are printed name first.
pub(crate) fn names_first(stage: &str) -> bool {
    DEFINING.contains(&stage)
}

/// Stages whose single argument is no definition: in YAML its name stands apart, under `as`.
const NAMING: &[&str] = &["explode", "join"];

/// Whether the name of the single argument of `stage` stands apart from it in YAML.
pub(crate) fn names_apart(stage: &str) -> bool {
    NAMING.contains(&stage)
}
