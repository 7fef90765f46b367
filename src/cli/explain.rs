//! `millstream explain`: the page of a code, with a wrong example and the right one.

use std::io::Write;

use millstream_dsl::suggest;

use super::args::Explain;
use super::table::aligned;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::check::codes;

/// Prints a page, or the list of all.
pub(crate) fn explain(args: &Explain, terminal: &mut Terminal) -> Outcome {
    let Some(wanted) = args.code.as_deref().filter(|_| !args.list) else {
        let rows: Vec<_> =
            codes::all().iter().map(|code| vec![code.name.to_string(), code.title().to_string()]).collect();
        terminal.out().write_all(aligned(&rows, "").as_bytes())?;
        return Ok(Exit::Clean);
    };
    // People paste what they see: `error[unknown-column]`.
    let bare = wanted.split_once('[').map_or(wanted, |(_, rest)| rest).trim_end_matches([']', ':']);
    let Some(code) = codes::find(bare) else {
        let known = codes::all().iter().map(|code| code.name);
        let hint = suggest::closest(bare, known).map(|near| format!("; did you mean `{near}`?"));
        let hint = hint.unwrap_or_else(|| "; millstream explain --list has all of them".into());
        return Err(Failure::new(format!("code `{bare}` does not exist{hint}")));
    };
    terminal.out().write_all(code.page.as_bytes())?;
    Ok(Exit::Clean)
}
