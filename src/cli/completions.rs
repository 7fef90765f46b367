//! `millstream completions`: what a shell needs to complete the command line.

use super::args::{self, Completions};
use super::terminal::Terminal;
use super::{Exit, Outcome};

/// Prints the script.
pub(crate) fn completions(args: &Completions, terminal: &mut Terminal) -> Outcome {
    args::completions(args.shell, terminal.out());
    Ok(Exit::Clean)
}
