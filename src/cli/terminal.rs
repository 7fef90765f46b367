//! Standard output and standard error, and what is known of who reads them. The only place that asks whether
//! a terminal is there.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::process::ExitCode;

use super::args::Color;
use super::report::Look;

/// How wide excerpts are where no terminal says so.
const WIDTH_OF_FILES: usize = 160;

/// Where verbs write.
pub(crate) struct Terminal {
    /// Not locked: what a pipeline prints comes from other threads.
    out: BufWriter<Stdout>,
    /// How diagnostics look on standard output.
    pub(crate) look: Look,
    /// How diagnostics look on standard error.
    pub(crate) error_look: Look,
    /// Standard error is a terminal, so that somebody may be looking.
    pub(crate) is_watched: bool,
}

impl Terminal {
    /// Finds out who reads.
    pub(crate) fn new(color: Color) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        Terminal {
            look: look(color, out.is_terminal()),
            error_look: look(color, err.is_terminal()),
            is_watched: err.is_terminal(),
            out: BufWriter::new(out),
        }
    }

    /// Another one for the same readers, for another thread.
    pub(crate) fn beside(&self) -> Self {
        let out = BufWriter::new(io::stdout());
        Terminal { out, look: self.look, error_look: self.error_look, is_watched: self.is_watched }
    }

    /// Standard output.
    pub(crate) fn out(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Says on standard error what stopped the verb. Who does not listen there misses it.
    pub(crate) fn complain(&mut self, sentence: &str) {
        let text = format!("{}: {sentence}\n", self.error_look.error_word());
        self.aside(&text);
    }

    /// Says something on standard error that is not the verb's product.
    pub(crate) fn aside(&mut self, text: &str) {
        let nobody_listens = self.out.flush().and_then(|()| io::stderr().lock().write_all(text.as_bytes()));
        drop(nobody_listens);
    }

    /// Writes what is still buffered.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether clap's messages are coloured; it has not told us of `--color` when it fails.
pub(crate) fn stderr_is_colored() -> bool {
    wants_color(Color::Auto, io::stderr().is_terminal())
}

/// Prints what clap has to say instead of a verb's outcome.
pub(crate) fn say_instead(text: &str, asked_for: bool) -> ExitCode {
    let nobody_listens = if asked_for {
        io::stdout().lock().write_all(text.as_bytes())
    } else {
        io::stderr().lock().write_all(text.as_bytes())
    };
    drop(nobody_listens);
    if asked_for { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// Everything that standard input holds.
pub(crate) fn read_stdin() -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::stdin().lock(), &mut bytes)?;
    Ok(bytes)
}

fn look(color: Color, terminal: bool) -> Look {
    let width = if terminal { terminal_size::terminal_size().map(|(w, _)| usize::from(w.0)) } else { None };
    Look {
        color: wants_color(color, terminal),
        lines: terminal && speaks_unicode(),
        width: width.unwrap_or(WIDTH_OF_FILES),
    }
}

/// Whether the locale has more than ASCII; the first of the variables that is set decides.
fn speaks_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    locale.is_some_and(|value| value.to_string_lossy().to_ascii_lowercase().replace('-', "").contains("utf8"))
}

fn wants_color(color: Color, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}
