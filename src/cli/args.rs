//! What can be written behind `millstream`, recorded as plain values. The only file that names clap; what the
//! words mean is decided by the verbs.

use std::io::Write;
use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// Write a streaming pipeline, be told every mistake, run it in micro-batches
#[derive(Debug, Parser)]
#[command(
    name = "millstream",
    version,
    disable_help_subcommand = true,
    after_help = "Example:\n  millstream check pipelines/wordcount.stream"
)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// When to colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    #[arg(help = "When to colour: auto, always, never")]
    pub(crate) color: Color,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Even into a file.
    Always,
    /// Not at all.
    Never,
}

/// The verbs, in the order of help.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Find every mistake in pipelines, without running them
    Check(Check),
    /// Run a pipeline
    Run(Run),
    /// Answer what a saved edit of a running pipeline asks
    Decide(Decide),
    /// Run the test blocks of pipelines, in virtual time
    Test(Test),
    /// Look at what a pipeline remembers in its checkpoint
    State(State),
    /// Check, shrink or copy a checkpoint
    Checkpoint(Checkpoint),
    /// Go back to the state behind an earlier batch
    Rewind(Rewind),
    /// Print what is run: stages, passes, state, guarantees
    Plan(Plan),
    /// Draw what is run
    Graph(Graph),
    /// Lay out pipelines the one way
    Fmt(Fmt),
    /// Turn .stream into YAML or back
    Convert(Convert),
    /// Explain the code of a message
    Explain(Explain),
    /// List what a pipeline may use: stages, sources, functions ...
    List(List),
    /// Start a pipeline in a new folder
    New(New),
    /// Print a type for a JSON, CSV or Parquet sample
    Infer(Infer),
    /// Print the JSON Schema of the YAML form
    Schema(Schema),
    /// Print a completion script for a shell
    Completions(Completions),
}

/// Find every mistake in pipelines, without running them
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 clean, 1 mistakes, 2 a file cannot be read.\n\n\
    Example:\n  millstream check --deny warnings pipelines/revenue.stream")]
pub(crate) struct Check {
    /// .stream or .yaml files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// text, or json: one object a line
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    pub(crate) format: ReportFormat,
    /// Make warnings mistakes
    #[arg(long, value_enum, value_name = "warnings")]
    #[arg(hide_possible_values = true)]
    pub(crate) deny: Option<Deny>,
    /// Set a parameter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// How `check` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Text,
    /// For editors: one object a line.
    Json,
}

/// What `--deny` can deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deny {
    /// Warnings count as mistakes.
    Warnings,
}

/// Run a pipeline; Ctrl-C works off what was received, then ends
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Exit code: 0 ended, 1 mistakes or a failed batch, 2 unreadable, 3 cut short, 130 second Ctrl-C.\n\n\
    Example:\n  millstream run pipelines/wordcount.stream --once"
)]
pub(crate) struct Run {
    /// A .stream or .yaml file, or a folder: every .stream file in it
    pub(crate) file: PathBuf,
    /// Take what there is, close what is open, end
    #[arg(long)]
    pub(crate) once: bool,
    /// End after so many batches
    #[arg(long, value_name = "N")]
    pub(crate) batches: Option<u64>,
    /// End after so long: 90s, 10m, 8h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(crate) lasting: Option<i64>,
    /// How long working off may take at the end
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30s")]
    pub(crate) drain: i64,
    /// Write a JSON object a batch to a file; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) progress: Option<PathBuf>,
    /// Say at the end where the time went, and write it to a file that flame graphs are drawn from
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "profile.folded")]
    pub(crate) profile: Option<PathBuf>,
    /// Serve Prometheus metrics, /health and /ready
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<String>,
    /// Log as text or json, also on a terminal
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub(crate) log_format: Option<LogFormat>,
    /// Threads that compute; one a core if not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Go on by the text as it was at the start, whatever is saved
    #[arg(long)]
    pub(crate) no_reload: bool,
    /// Begin with the state of a checkpoint, or of a file that `checkpoint export` wrote
    #[arg(long, value_name = "FILE_OR_DIR")]
    pub(crate) from_snapshot: Option<PathBuf>,
    /// Set a parameter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// How a run logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For collectors: one object a line.
    Json,
}

/// Answer what a saved edit of a running pipeline asks
#[derive(Debug, clap::Args)]
#[command(after_help = "keep: what is remembered goes on; reset: it is put aside and begins anew.\n\
    all=keep answers everything that has no answer of its own.\n\n\
    Examples:\n  millstream decide revenue.stream\n  millstream decide revenue.stream user_totals=keep orders=reset")]
pub(crate) struct Decide {
    /// The file of the running pipeline, or the folder that is run
    pub(crate) file: PathBuf,
    /// NAME=keep or NAME=reset; without any, what is asked is printed
    #[arg(value_name = "NAME=ANSWER")]
    pub(crate) answers: Vec<String>,
}

/// Look at what a pipeline remembers in its checkpoint; it may be running
#[derive(Debug, clap::Args)]
#[command(after_help = "OPERATOR is a name as the list prints it, or as much of it as no other has.\n\n\
    Examples:\n  millstream state state\n  millstream state state get totals books\n  \
    millstream state state dump totals --format csv")]
pub(crate) struct State {
    /// The checkpoint
    pub(crate) dir: PathBuf,
    /// text, or json: one object
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    pub(crate) format: ReportFormat,
    /// What to look at
    #[command(subcommand)]
    pub(crate) what: Option<StateOf>,
}

/// What of the state to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum StateOf {
    /// The rows of a key
    Get {
        /// Whose rows
        operator: String,
        /// The columns of the key, separated by commas
        key: String,
        /// As it was behind that batch
        #[arg(long, value_name = "BATCH")]
        behind: Option<u64>,
        /// text, or json: one object a row
        #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
        format: ReportFormat,
    },
    /// All rows of an operator
    Dump {
        /// Whose rows
        operator: String,
        /// json (one object a row), csv or parquet
        #[arg(long, value_enum, default_value = "json", hide_possible_values = true)]
        format: RowFormat,
        /// Only this table
        #[arg(long, value_name = "TABLE")]
        table: Option<String>,
        /// A new file to write to; standard output where not said
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// As it was behind that batch
        #[arg(long, value_name = "BATCH")]
        behind: Option<u64>,
    },
    /// Rows that came (+), changed (~) and went (-) between two batches
    Diff {
        /// Behind this batch
        from: u64,
        /// And behind this one
        to: u64,
        /// text, or json: one object a row
        #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
        format: ReportFormat,
    },
}

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    /// One object a line.
    Json,
    /// With a line of names.
    Csv,
    /// Columns, packed.
    Parquet,
}

/// Check, shrink or copy a checkpoint
#[derive(Debug, clap::Args)]
#[command(after_help = "verify and info may be asked while the pipeline runs, and so may export.\n\
    Exit code: 0 all is well, 1 something is damaged, 2 it cannot be done.\n\n\
    Examples:\n  millstream checkpoint export state orders.checkpoint\n  millstream checkpoint verify state")]
pub(crate) struct Checkpoint {
    /// What to do
    #[command(subcommand)]
    pub(crate) what: CheckpointVerb,
}

/// What to do with a checkpoint.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointVerb {
    /// Read every record and every snapshot, and say what is wrong
    Verify {
        /// The checkpoint
        dir: PathBuf,
        /// text, or json: one object
        #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
        format: ReportFormat,
    },
    /// Tell what is in it: batches, snapshots, bytes, what is still to be delivered
    Info {
        /// The checkpoint
        dir: PathBuf,
        /// text, or json: one object
        #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
        format: ReportFormat,
    },
    /// Make a snapshot now and let go of everything before it; nothing may run
    Compact {
        /// The checkpoint
        dir: PathBuf,
    },
    /// Write all it takes to go on into one file
    Export {
        /// The checkpoint
        dir: PathBuf,
        /// A new file
        file: PathBuf,
    },
    /// Give up batches that were committed for a sink which will never take them; nothing may run. Without --yes it is
    /// only said what is lost
    GiveUp {
        /// The checkpoint
        dir: PathBuf,
        /// The sink's name, as `checkpoint info` tells it, or how only that one begins
        #[arg(long, value_name = "NAME")]
        sink: String,
        /// Only this batch
        #[arg(long, value_name = "BATCH")]
        batch: Option<u64>,
        /// Write what was staged into a new file first
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Do it
        #[arg(long)]
        yes: bool,
    },
    /// Make a checkpoint of such a file
    Import {
        /// What export wrote
        file: PathBuf,
        /// A new folder
        dir: PathBuf,
    },
}

/// Go back to the state behind an earlier batch; nothing may run
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --yes it is only said what it means for sources and sinks.\n\
    The batches in between stay in the journal: going to the last of them undoes it.\n\n\
    Example:\n  millstream rewind state --to 1200")]
pub(crate) struct Rewind {
    /// The checkpoint
    pub(crate) dir: PathBuf,
    /// The batch whose state it is to be
    #[arg(long, value_name = "BATCH")]
    pub(crate) to: u64,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Print what is run: stages, passes, state, guarantees
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millstream plan --verbose pipelines/revenue.stream")]
pub(crate) struct Plan {
    /// A .stream or .yaml file
    pub(crate) file: PathBuf,
    /// Also tell rule by rule how the plan came about, and why a rule did not fire
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Tell what this text would do to a pipeline that runs by an older one: a file, or a folder in which a pipeline of
    /// the same name runs; what a process runs counts, and not what lies on the disk
    #[arg(long, value_name = "OLD", conflicts_with = "verbose")]
    pub(crate) against: Option<PathBuf>,
    /// Set a parameter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// Draw what is run
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millstream graph --format svg pipelines/revenue.stream > revenue.svg")]
pub(crate) struct Graph {
    /// A .stream or .yaml file
    pub(crate) file: PathBuf,
    /// mermaid, dot or svg
    #[arg(long, value_enum, default_value = "mermaid", hide_possible_values = true)]
    pub(crate) format: GraphFormat,
    /// Set a parameter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// How `graph` draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Markdown.
    Mermaid,
    /// For Graphviz.
    Dot,
    /// To look at.
    Svg,
}

/// Run the test blocks of pipelines, in virtual time
#[derive(Debug, clap::Args)]
#[command(after_help = "A folder stands for every .stream file in it.\n\
    Exit code: 0 all passed, 1 a test failed or the text has mistakes, 2 a file cannot be read.\n\n\
    Example:\n  millstream test pipelines/revenue.stream")]
pub(crate) struct Test {
    /// .stream or .yaml files, and folders; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Only tests with this in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// text, json (one object a line) or junit
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    pub(crate) format: TestFormat,
    /// Set a parameter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
}

/// How `test` reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestFormat {
    /// For people.
    Text,
    /// For scripts: one object a line.
    Json,
    /// For build servers: JUnit's XML.
    Junit,
}

/// Lay out pipelines the one way
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A folder stands for every .stream file in it. Files with mistakes in their syntax are left alone.\n\n\
    Example:\n  millstream fmt --check pipelines"
)]
pub(crate) struct Fmt {
    /// Files and folders; - formats standard input to standard output
    #[arg(value_name = "PATH", default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,
    /// Change nothing; exit with 1 and say which files would change
    #[arg(long)]
    pub(crate) check: bool,
}

/// Turn .stream into YAML or back
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millstream convert --to yaml pipelines/wordcount.stream -o wordcount.yaml")]
pub(crate) struct Convert {
    /// A .stream or .yaml file; - is standard input, in the form that is not asked for
    pub(crate) file: PathBuf,
    /// stream or yaml
    #[arg(long, value_enum, hide_possible_values = true)]
    pub(crate) to: Form,
    /// Where to write; standard output where not said
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// The two forms of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// `.stream`
    Stream,
    /// `.yaml`
    Yaml,
}

/// Explain the code of a message
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millstream explain unbounded-state")]
pub(crate) struct Explain {
    /// What stands in brackets behind error or warning
    #[arg(required_unless_present = "list")]
    pub(crate) code: Option<String>,
    /// List every code
    #[arg(long)]
    pub(crate) list: bool,
}

/// List what a pipeline may use: stages, sources, functions ...
#[derive(Debug, clap::Args)]
#[command(after_help = "Kinds: sources, stages, sinks, formats, windows, functions, aggregates.\n\n\
    Examples:\n  millstream list functions\n  millstream list aggregate\n  millstream list sinks files")]
pub(crate) struct List {
    /// A kind, or the name of anything
    #[arg(value_name = "KIND|NAME")]
    pub(crate) what: Option<String>,
    /// One of that kind, in full
    pub(crate) name: Option<String>,
}

/// Start a pipeline in a new folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millstream new shop && millstream check shop/pipeline.stream")]
pub(crate) struct New {
    /// A folder that does not exist or is empty
    pub(crate) dir: PathBuf,
}

/// Print a type for a JSON, CSV or Parquet sample
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millstream infer pipelines/data/orders.json --name Order")]
pub(crate) struct Infer {
    /// JSON lines, a JSON array, CSV with a header, or Parquet; - is standard input
    pub(crate) file: PathBuf,
    /// What to call the type; made from the file's name where not said
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Read no more rows than this
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(crate) rows: usize,
}

/// Print the JSON Schema of the YAML form
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  millstream schema > millstream.schema.json")]
pub(crate) struct Schema {}

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  millstream completions bash > ~/.local/share/bash-completion/completions/millstream"
)]
pub(crate) struct Completions {
    /// bash, elvish, fish, powershell or zsh
    #[arg(value_enum, hide_possible_values = true)]
    pub(crate) shell: clap_complete::Shell,
}

/// What the command line cannot mean: what to print, and whether it was asked for (`--help`).
pub(crate) struct NotAVerb {
    /// Help, version or what is wrong.
    pub(crate) text: String,
    /// Help and version go to standard output with exit code 0.
    pub(crate) asked_for: bool,
}

/// Reads the command line of this process.
pub(crate) fn read(colored: bool) -> Result<Args, NotAVerb> {
    Args::try_parse().map_err(|problem| {
        let text = problem.render();
        let text = if colored { text.ansi().to_string() } else { text.to_string() };
        NotAVerb { text, asked_for: !problem.use_stderr() }
    })
}

/// Writes the completion script of a shell.
pub(crate) fn completions(shell: clap_complete::Shell, out: &mut dyn Write) {
    clap_complete::generate(shell, &mut Args::command(), "millstream", &mut { out });
}

/// `name=value`
fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

/// A duration as pipelines write it, in microseconds.
fn duration(text: &str) -> Result<i64, String> {
    crate::check::duration_text(text).ok_or_else(|| "write a number with a unit: 500ms, 90s, 10m, 8h, 2d".into())
}
