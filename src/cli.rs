//! The command line: one file a verb. Verbs are given what was asked for and where to write; they end in an
//! `Exit` or a `Failure`. Nothing below this folder knows a terminal.

mod args;
mod check;
mod checkpoint;
mod completions;
mod convert;
mod decide;
mod edges;
mod excerpt;
mod explain;
mod findings;
mod fmt;
mod graph;
mod infer;
mod json;
mod kept;
mod list;
mod new;
mod plan;
mod report;
mod rewind;
mod rows;
mod run;
mod schema;
mod state;
mod table;
mod terminal;
mod test;
mod watch;
mod write;

use std::io;
use std::process::ExitCode;

use args::Verb;
use terminal::Terminal;

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// All is well.
    Clean,
    /// The user's text has mistakes, which have been printed.
    Mistakes,
    /// Something could not be read, which has been printed.
    Unreadable,
    /// What had been received was not worked off in time, which has been printed.
    CutShort,
}

/// Why a verb could not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The reader of our output has gone: nothing to say and nobody to say it to.
    NobodyListens,
    /// A sentence, lower-case, without a full stop, possibly with a second line of help.
    Said(String),
}

/// What a verb gives back.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// A failure with its sentence.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Failure::Said(sentence.into())
    }

    /// What the operating system refused, said of a path.
    pub(crate) fn of(path: &std::path::Path, refused: &io::Error) -> Self {
        Failure::Said(format!("`{}`: {}", path.display(), crate::load::plain_words(refused)))
    }
}

/// Writing to standard output can fail in one harmless way.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::NobodyListens
        } else {
            Failure::Said(format!("cannot write: {}", crate::load::plain_words(&error)))
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = match args::read(terminal::stderr_is_colored()) {
        Ok(args) => args,
        Err(instead) => return terminal::say_instead(&instead.text, instead.asked_for),
    };
    let mut terminal = Terminal::new(args.color);
    let outcome = dispatch(args.verb, &mut terminal).and_then(|exit| {
        terminal.finish()?;
        Ok(exit)
    });
    match outcome {
        Ok(Exit::Clean) | Err(Failure::NobodyListens) => ExitCode::SUCCESS,
        Ok(Exit::Mistakes) => ExitCode::from(1),
        Ok(Exit::Unreadable) => ExitCode::from(2),
        Ok(Exit::CutShort) => ExitCode::from(3),
        Err(Failure::Said(sentence)) => {
            terminal.complain(&sentence);
            ExitCode::from(2)
        }
    }
}

fn dispatch(verb: Verb, terminal: &mut Terminal) -> Outcome {
    match verb {
        Verb::Check(args) => check::check(&args, terminal),
        Verb::Run(args) => run::run(&args, terminal),
        Verb::Decide(args) => decide::decide(&args, terminal),
        Verb::Test(args) => test::test(&args, terminal),
        Verb::State(args) => state::state(&args, terminal),
        Verb::Checkpoint(args) => checkpoint::checkpoint(&args.what, terminal),
        Verb::Rewind(args) => rewind::rewind(&args, terminal),
        Verb::Plan(args) => plan::plan(&args, terminal),
        Verb::Graph(args) => graph::graph(&args, terminal),
        Verb::Fmt(args) => fmt::fmt(&args, terminal),
        Verb::Convert(args) => convert::convert(&args, terminal),
        Verb::Explain(args) => explain::explain(&args, terminal),
        Verb::List(args) => list::list(&args, terminal),
        Verb::New(args) => new::new(&args, terminal),
        Verb::Infer(args) => infer::infer(&args, terminal),
        Verb::Schema(_) => schema::schema(terminal),
        Verb::Completions(args) => completions::completions(&args, terminal),
    }
}
