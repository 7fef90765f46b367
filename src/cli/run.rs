//! `millstream run`: a checked pipeline, batch by batch, until it ends or is told to.

mod checkpoint;
mod live;
mod log;
mod many;
mod profile;
mod progress;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use millstream_dsl::{SourceMap, Span};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use checkpoint::Begun;
use live::Live;
pub(super) use live::grouped;
use log::Lines;
use profile::Profile;
use progress::Progress;

use super::args::{LogFormat, Run};
use super::checkpoint::give_up::say_what_is_due;
use super::findings::{self, Counts, Findings};
use super::terminal::Terminal;
use super::watch::Before;
use super::watch::record::Record;
use super::watch::{Watch, Watching};
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::check::{Overrides, Program};
use crate::engine::{self, BatchReport, Clock, EngineError, MeterCount, RealClock, Report, RunSettings, Summary};
use crate::load::{STDIN, plain_words};
use crate::metrics::{self, Metrics, State};
use crate::model::time::show_elapsed;
use crate::optimize::optimize;
use crate::plan::Catalog;
use crate::plan::operator::TaskError;

/// What a shell calls a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// What the pipelines of a process share.
#[derive(Clone)]
struct Around {
    /// Becomes true when all are to end.
    stop: Arc<AtomicBool>,
    /// Becomes true when texts are to be read anew whatever the files look like.
    again: Arc<AtomicBool>,
    metrics: Metrics,
    /// The words, and what was inferred of sources.
    catalog: Catalog,
    /// There are several, so that what is said of one names it.
    many: bool,
}

/// Checks, then runs. What the pipeline prints goes to standard output, everything about it to standard error.
pub(crate) fn run(args: &Run, terminal: &mut Terminal) -> Outcome {
    let many = args.file.is_dir();
    if many && args.from_snapshot.is_some() {
        return Err(Failure::new("a checkpoint is of one pipeline: run that file alone with `--from-snapshot`"));
    }
    if many && args.profile.is_some() {
        return Err(Failure::new("a profile is of one pipeline: run that file alone with `--profile`"));
    }
    let catalog = builtins::catalog();
    let overrides = args.set.iter().cloned().collect();
    let found = (!many).then(|| findings::find(&args.file, &catalog, &overrides));
    if let Some(found) = &found
        && !is_well(&args.file, found, terminal)
    {
        return Ok(found.exit(false));
    }
    let around = Around { stop: <_>::default(), again: <_>::default(), metrics: Metrics::default(), catalog, many };
    end_on_signals(&around.stop).map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    signal_hook::flag::register(SIGHUP, Arc::clone(&around.again))
        .map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let served = args.metrics.as_deref().map(|address| (address, metrics::serve(address, around.metrics.clone())));
    let served = match served {
        Some((_, Ok(server))) => Some(server),
        Some((address, Err(e))) => {
            return Err(Failure::new(format!("metrics cannot be served on `{address}`: {}", plain_words(&e))));
        }
        None => None,
    };
    let address = served.as_ref().map(|server| format!("metrics are served on http://{}/metrics", server.address));
    match found {
        Some(found) => one(&args.file, found, args, &around, address, terminal),
        None => {
            terminal.aside(&address.map(|text| format!("{text}\n")).unwrap_or_default());
            many::run(args, &around, terminal)
        }
    }
}

/// Whether a text can be run; what is wrong with it is said.
fn is_well(file: &Path, found: &Findings, terminal: &mut Terminal) -> bool {
    let Counts { errors, warnings } = found.counts();
    if errors > 0 {
        let said = found.text(terminal.error_look);
        terminal.aside(&said);
    } else if warnings > 0 {
        let name = file.display();
        terminal.aside(&format!("{name}: {}; millstream check {name} shows them\n", found.counts()));
    }
    if errors == 0 {
        let notes = found.notes(terminal.error_look);
        terminal.aside(&notes);
    }
    errors == 0 && found.plan.is_some()
}

/// Runs one pipeline until it ends.
fn one(
    file: &Path,
    found: Findings,
    args: &Run,
    around: &Around,
    first: Option<String>,
    terminal: &mut Terminal,
) -> Outcome {
    let Findings { plan: Some(plan), program, .. } = found else { return Ok(Exit::Unreadable) };
    let set = args.set.iter().cloned().collect();
    let how = (is_watched(file, args), args.from_snapshot.as_deref());
    let begun = match checkpoint::begin(file, (plan, program), set, how, terminal)? {
        Ok(begun) => begun,
        Err(exit) => return Ok(exit),
    };
    let Begun { plan, program, set, start, before } = begun;
    let pipeline = plan.header.name.clone();
    let home = file.parent().unwrap_or(Path::new(""));
    let dir = plan.header.checkpoint.as_ref().map(|folder| home.join(folder));
    around.metrics.is(&pipeline, State::Starting);
    let metrics = args.metrics.is_some().then(|| around.metrics.clone());
    let progress = args.progress.as_deref().map(|to| progress(to, &pipeline)).transpose()?;
    let live = (terminal.is_watched && args.log_format.is_none() && !around.many).then(|| Live::new(args.once));
    let format = args.log_format.unwrap_or(LogFormat::Text);
    log::begin(format, terminal.error_look.color, live.as_ref().map(Live::above));
    // Who runs something once wants to know how it ended; who runs a service wants a log.
    let logs = live.is_none() && (args.log_format.is_some() || !args.once);
    let lines = logs.then(|| Lines { name: pipeline.clone() });
    let above = live.as_ref().map(Live::above);
    let sources = program.sources.clone();
    let lasts = !args.once && file != Path::new(STDIN);
    let record = lasts.then(|| Arc::new(Record::begin(file, &pipeline, &set, &program)));
    let watch = record.as_ref().filter(|_| !args.no_reload).map(|record| {
        let given = args.set.iter().cloned().collect();
        let text = (program, &set, before);
        watched(file, text, given, record, around, (above, args.log_format), (&pipeline, terminal))
    });
    let profile = args.profile.as_ref().map(|_| Profile::of(&pipeline));
    let mut told = Told { terminal, pipeline: pipeline.clone(), live, lines, progress, profile, metrics };
    first.iter().for_each(|text| told.note(text));
    let settings = RunSettings {
        once: args.once,
        batches: args.batches,
        lasting: args.lasting,
        drain: args.drain,
        threads: args.threads.map(usize::from),
        stop: Arc::clone(&around.stop),
        reloads: watch.as_ref().map(Watch::reloads),
        ..RunSettings::default()
    };
    let ended = engine::run_from(&optimize(plan).plan, start, settings, &mut told);
    if let Some(live) = &told.live {
        live.clear();
    }
    if let (Some(profile), Some(to)) = (&told.profile, &args.profile) {
        std::fs::write(to, profile.stacks()).map_err(|e| Failure::of(to, &e))?;
        let stacks = format!("stacks for a flame graph are in {}\n", to.display());
        told.terminal.aside(&format!("{}{stacks}", profile.table()));
    }
    match ended {
        Ok(summary) => {
            let name = if around.many { format!("{pipeline}: ") } else { String::new() };
            terminal.aside(&format!("{name}{}", summed(&summary)));
            Ok(if summary.cut_short { Exit::CutShort } else { Exit::Clean })
        }
        Err(error) => {
            around.metrics.is(&pipeline, State::Failed);
            let exit = failed(&error, &watch.as_ref().map_or(sources, Watch::sources), terminal);
            dir.iter().for_each(|dir| say_what_is_due(dir, terminal));
            exit
        }
    }
}

/// Whether saved edits take effect.
fn is_watched(file: &Path, args: &Run) -> bool {
    !args.once && !args.no_reload && file != Path::new(STDIN)
}

/// The pipeline's text under watch.
fn watched(
    file: &Path,
    (program, set, before): (Program, &Overrides, Before),
    overrides: Overrides,
    record: &Arc<Record>,
    around: &Around,
    (above, log_format): (Option<live::Above>, Option<LogFormat>),
    (pipeline, terminal): (&str, &Terminal),
) -> Watch {
    let logged = log_format == Some(LogFormat::Json);
    let name = pipeline.to_owned();
    let say = move |text: &str| {
        let text = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
        // Who does not listen on standard error misses it.
        let _ = match &above {
            _ if logged => {
                tracing::info!(pipeline = name, "{}", text.trim_end());
                Ok(())
            }
            Some(above) => above.clone().write_all(text.as_bytes()),
            None => io::stderr().lock().write_all(text.as_bytes()),
        };
    };
    let watching = Watching {
        file: file.to_owned(),
        pipeline: pipeline.to_owned(),
        overrides,
        catalog: around.catalog.clone(),
        record: Arc::clone(record),
        look: terminal.error_look,
        say: Arc::new(say),
        again: Arc::clone(&around.again),
        metrics: around.metrics.clone(),
        gone_is_told: !around.many,
    };
    Watch::start(watching, program, set, before)
}

/// The first signal lets the batch at hand end, the second one does not.
fn end_on_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

fn failed(error: &EngineError, sources: &SourceMap, terminal: &mut Terminal) -> Outcome {
    match error {
        EngineError::Refused(refusals) => {
            let lines =
                refusals.iter().map(|refusal| format!("\n  {}: {}", place(refusal.span, sources), refusal.message));
            terminal.complain(&format!("the pipeline has no mistakes, but cannot be run{}", lines.collect::<String>()));
        }
        EngineError::Failed { error: TaskError::Stop(why), .. } if why.contains("Broken pipe") => {
            return Err(Failure::NobodyListens);
        }
        EngineError::Failed { span, .. } => terminal.complain(&format!("{}: {error}", place(*span, sources))),
    }
    Ok(Exit::Mistakes)
}

/// `file:line:column`
fn place(span: Span, sources: &SourceMap) -> String {
    let Some(file) = sources.get(span.file) else { return "the pipeline".into() };
    let at = file.line_column(span.start);
    format!("{}:{}:{}", file.name, at.line, at.column)
}

/// What came of a run, in a line, and a line for what did not go the straight way.
fn summed(summary: &Summary) -> String {
    let batches = if summary.batches == 1 { "1 batch".into() } else { format!("{} batches", summary.batches) };
    let (rows_in, rows_out) = (summary.rows_in(), summary.rows_out());
    let took = show_elapsed(summary.took);
    let mut text = format!("{batches}, {} rows in, {} rows out, {took}\n", grouped(rows_in), grouped(rows_out));
    if summary.skipped > 0 {
        text.push_str(&format!(
            "{} ticks were skipped, because the batches before them took too long\n",
            summary.skipped
        ));
    }
    let rejected: u64 = summary.sinks.iter().map(|sink| sink.rejected).sum();
    let astray = [(summary.bad_rows(), "bad"), (summary.late_rows(), "late"), (rejected, "rejected")];
    let astray: Vec<String> = astray.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !astray.is_empty() {
        text.push_str(&format!("rows that did not go the straight way: {}\n", astray.join(", ")));
    }
    for MeterCount { stream, measured } in &summary.meters {
        let value = measured.so_far.map_or_else(|| "no value".to_owned(), |value| value.to_string());
        text.push_str(&format!("{} of {stream}: {value}\n", measured.name));
    }
    text
}

/// Who is told of a run.
struct Told<'a> {
    terminal: &'a mut Terminal,
    pipeline: String,
    live: Option<Live>,
    lines: Option<Lines>,
    progress: Option<Progress>,
    profile: Option<Profile>,
    /// Where somebody may ask for them.
    metrics: Option<Metrics>,
}

impl Report for Told<'_> {
    fn before(&mut self) {
        if let Some(live) = &mut self.live {
            live.before();
        }
    }

    fn batch(&mut self, batch: &BatchReport) {
        if let Some(metrics) = &self.metrics {
            metrics.batch(&self.pipeline, batch);
        }
        if let Some(progress) = &mut self.progress {
            progress.batch(batch);
            if let Some(error) = progress.failure() {
                self.note(&format!("progress is written no more: {}", plain_words(&error)));
            }
        }
        if let Some(profile) = &mut self.profile {
            profile.batch(batch);
        }
        if let Some(live) = &mut self.live {
            live.batch(batch);
        }
        if let Some(lines) = &mut self.lines {
            lines.batch(batch);
        }
    }

    fn note(&mut self, text: &str) {
        match (&mut self.lines, &mut self.live) {
            (Some(lines), _) => lines.note(text),
            (None, Some(live)) => live.note(text),
            (None, None) => self.terminal.aside(&format!("{text}\n")),
        }
    }
}

/// Where `--progress` goes.
fn progress(to: &Path, pipeline: &str) -> Result<Progress, Failure> {
    let to_whom: Box<dyn io::Write + Send> = if to.as_os_str() == "-" {
        Box::new(io::stdout())
    } else {
        let file = OpenOptions::new().create(true).append(true).open(to);
        Box::new(file.map_err(|e| Failure::of(to, &e))?)
    };
    let run = format!("{:x}-{}", RealClock.now(), std::process::id());
    Ok(Progress::new(to_whom, pipeline, run))
}
