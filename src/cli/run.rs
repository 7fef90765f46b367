//! `millstream run`: a checked pipeline, batch by batch, until it ends or is told to.

mod live;
mod log;
mod progress;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use millstream_dsl::{SourceMap, Span};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use live::{Above, Live, grouped};
use log::Lines;
use progress::Progress;

use super::args::{LogFormat, Run};
use super::findings::{self, Counts};
use super::terminal::Terminal;
use super::watch::{Watch, Watching};
use super::{Exit, Failure, Outcome};
use crate::builtins;
use crate::check::Program;
use crate::engine::{
    self, BatchReport, Clock, EngineError, MeterCount, RealClock, ReloadCounts, Report, RunSettings, Summary,
};
use crate::load::{STDIN, plain_words};
use crate::metrics::{self, Metrics, State};
use crate::model::time::show_elapsed;
use crate::optimize::optimize;
use crate::plan::operator::TaskError;

/// What a shell calls a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Checks, then runs. What the pipeline prints goes to standard output, everything about it to standard error.
pub(crate) fn run(args: &Run, terminal: &mut Terminal) -> Outcome {
    let overrides = args.set.iter().cloned().collect();
    let found = findings::find(&args.file, &builtins::catalog(), &overrides);
    let exit = found.exit(false);
    let Counts { errors, warnings } = found.counts();
    if errors > 0 {
        let said = found.text(terminal.error_look);
        terminal.aside(&said);
    } else if warnings > 0 {
        let name = args.file.display();
        terminal.aside(&format!("{name}: {}; millstream check {name} shows them\n", found.counts()));
    }
    let Some(plan) = found.plan.filter(|_| errors == 0) else { return Ok(exit) };
    let stop = Arc::new(AtomicBool::new(false));
    end_on_signals(&stop).map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let pipeline = plan.header.name.clone();
    let metrics = Metrics::default();
    metrics.is(&pipeline, State::Starting);
    let served = args.metrics.as_deref().map(|address| (address, metrics::serve(address, metrics.clone())));
    let served = match served {
        Some((_, Ok(server))) => Some(server),
        Some((address, Err(e))) => {
            return Err(Failure::new(format!("metrics cannot be served on `{address}`: {}", plain_words(&e))));
        }
        None => None,
    };
    let progress = args.progress.as_deref().map(|to| progress(to, &pipeline)).transpose()?;
    let live = (terminal.is_watched && args.log_format.is_none()).then(|| Live::new(args.once));
    let format = args.log_format.unwrap_or(LogFormat::Text);
    log::begin(format, terminal.error_look.color, live.as_ref().map(Live::above));
    // Who runs something once wants to know how it ended; who runs a service wants a log.
    let logs = live.is_none() && (args.log_format.is_some() || !args.once);
    let lines = logs.then(|| Lines { name: pipeline.clone() });
    let sources = found.program.sources.clone();
    let watch = watched(args, found.program, terminal, live.as_ref().map(Live::above))?;
    let counts = watch.as_ref().map(Watch::counts);
    let mut told = Told { terminal, pipeline, live, lines, progress, metrics, counts };
    if let Some(server) = &served {
        told.note(&format!("metrics are served on http://{}/metrics", server.address));
    }
    let settings = RunSettings {
        once: args.once,
        batches: args.batches,
        lasting: args.lasting,
        drain: args.drain,
        threads: args.threads.map(usize::from),
        stop,
        reloads: watch.as_ref().map(Watch::reloads),
        ..RunSettings::default()
    };
    let ended = engine::run(&optimize(plan).plan, settings, &mut told);
    if let Some(live) = &told.live {
        live.clear();
    }
    match ended {
        Ok(summary) => {
            terminal.aside(&summed(&summary));
            Ok(if summary.cut_short { Exit::CutShort } else { Exit::Clean })
        }
        Err(error) => {
            let sources = watch.as_ref().map_or(sources, Watch::sources);
            failed(&error, &sources, terminal)
        }
    }
}

/// The pipeline's text under watch; none where it is run once, or comes from a pipe.
fn watched(args: &Run, program: Program, terminal: &Terminal, above: Option<Above>) -> Result<Option<Watch>, Failure> {
    if args.once || args.no_reload || args.file == Path::new(STDIN) {
        return Ok(None);
    }
    let again = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&again))
        .map_err(|e| Failure::new(format!("signals cannot be caught: {e}")))?;
    let say = Arc::new(move |text: &str| {
        // Who does not listen there misses it.
        let _ = match &above {
            Some(above) => above.clone().write_all(text.as_bytes()),
            None => io::stderr().lock().write_all(text.as_bytes()),
        };
    });
    let overrides = args.set.iter().cloned().collect();
    let watching = Watching { file: args.file.clone(), overrides, look: terminal.error_look, say, again };
    Ok(Some(Watch::start(watching, program)))
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
    let rows_in: u64 = summary.sources.iter().map(|source| source.rows).sum();
    let rows_out: u64 = summary.sinks.iter().map(|sink| sink.rows).sum();
    let took = show_elapsed(summary.took);
    let mut text = format!("{batches}, {} rows in, {} rows out, {took}\n", grouped(rows_in), grouped(rows_out));
    if summary.skipped > 0 {
        text.push_str(&format!(
            "{} ticks were skipped, because the batches before them took too long\n",
            summary.skipped
        ));
    }
    let late: u64 = summary.operators.iter().map(|operator| operator.late).sum();
    let rejected: u64 = summary.sinks.iter().map(|sink| sink.rejected).sum();
    let astray = [(summary.bad_rows(), "bad"), (late, "late"), (rejected, "rejected")];
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
    metrics: Metrics,
    counts: Option<Arc<ReloadCounts>>,
}

impl Report for Told<'_> {
    fn before(&mut self) {
        if let Some(live) = &mut self.live {
            live.before();
        }
    }

    fn batch(&mut self, batch: &BatchReport) {
        self.metrics.batch(&self.pipeline, batch);
        if let Some(counts) = &self.counts {
            self.metrics.reloads(&self.pipeline, counts);
        }
        if let Some(progress) = &mut self.progress {
            progress.batch(batch);
            if let Some(error) = progress.failure() {
                self.note(&format!("progress is written no more: {}", plain_words(&error)));
            }
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
