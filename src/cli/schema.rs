//! `millstream schema`: the JSON Schema of the YAML form, for editors.

use std::io::Write;

use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::{builtins, schema};

/// Prints it.
pub(crate) fn schema(terminal: &mut Terminal) -> Outcome {
    let text =
        serde_json::to_string_pretty(&schema::of(&builtins::catalog())).map_err(|e| Failure::new(e.to_string()))?;
    writeln!(terminal.out(), "{text}")?;
    Ok(Exit::Clean)
}
