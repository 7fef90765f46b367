//! `exec`: a program in any language whose output is rows.

use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;

use crate::connect::backoff::Backoff;
use crate::connect::programs::{self, Call, LastLines};
use crate::connect::waiting::{Told, Working};
use crate::connect::{net, texts};
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::Source;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::receiver::{Feed, Once, Receiver};
use crate::sources::{appends, nothing_extra};

const RESTART: &[(&str, &str)] = &[
    ("always", "whenever it ends"),
    ("on_failure", "when it ends with another code than 0"),
    ("never", "not at all; its end is the end of the source, and with another code than 0 the end of the pipeline"),
];

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::optional("args", texts(), "its arguments, each passed on as it is"),
        OptionSpec::optional("env", OptionKind::Map(Box::new(OptionKind::Secret)), "variables of its environment"),
        OptionSpec::optional("folder", OptionKind::Path, "where it runs; the pipeline's own folder otherwise"),
        OptionSpec::with_default("restart", OptionKind::Symbol(RESTART), "always", "when it is started again"),
        net::records("16mb"),
    ];
    options.extend(net::reconnecting());
    options.extend(net::receiving());
    SourceEntry {
        doc: Doc::new("exec", "starts a program and reads the lines it prints", "exec(\"PROGRAM\") { OPTIONS }")
            .details(
                "Spark's custom receiver, in any language: what it prints is rows, what it says on stderr goes to the log. \
                 It is started before the first batch and ends with the source, and so does all that it started itself: \
                 first it is asked to (SIGTERM), half a second later it is made to. While `buffer` is full nothing is \
                 read, so that it waits when it prints more. With `--once` it is not started again, and the run goes \
                 on until it has ended.",
            )
            .example("source readings = exec(\"./read-sensor\") { args: [\"--all\"], format: csv, schema: { id: string, celsius: float64 } }")
            .alias("receiverStream"),
        args: vec![OptionSpec::required("program", OptionKind::Text, "the program; a bare name is looked up on the PATH, all else beside the pipeline")],
        options,
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        conflicts: |_| Vec::new(),
        sample: None,
        open: SourceEntry::by(open),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Restart {
    Always,
    OnFailure,
    Never,
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    let restart = match settings.text("restart") {
        Some("on_failure") => Restart::OnFailure,
        Some("never") => Restart::Never,
        _ => Restart::Always,
    };
    let mut program = Some(Program { call: Call::of(endpoint)?, restart, backoff: Backoff::of(settings) });
    Receiver::open(endpoint, Once::WaitsForTheEnd, move |feed| {
        let program = program.take().ok_or_else(|| TaskError::Bug("a program is started twice".into()))?;
        let working = Working::task(|told| program.run(feed, told));
        working.map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))
    })
}

/// The program, started again where that is asked for.
struct Program {
    call: Call,
    restart: Restart,
    backoff: Backoff,
}

/// How it came to its end.
enum End {
    /// By itself.
    Ended(ExitStatus),
    /// Nobody wants its rows any more.
    Unwanted,
}

impl Program {
    async fn run(mut self, feed: Feed, mut told: Told) {
        let restart = if feed.drains() { Restart::Never } else { self.restart };
        let mut tries = 0;
        loop {
            tries += 1;
            let said = LastLines::default();
            let again = match self.once(&feed, &mut told, &said).await {
                Ok(End::Unwanted) => return,
                Ok(End::Ended(status)) if status.success() => restart == Restart::Always,
                Ok(End::Ended(status)) => {
                    let why = format!("program `{}` {}{}", self.call.name, programs::how(status), said.below());
                    if restart == Restart::Never {
                        return feed.fail(TaskError::Stop(why));
                    }
                    tracing::warn!("{why}");
                    true
                }
                Err(e) if tries > 1 => {
                    tracing::warn!(program = self.call.name, %e, "cannot be started, trying again");
                    true
                }
                Err(e) => {
                    let why = format!("program `{}` cannot be started: {e}", self.call.name);
                    return feed.fail(TaskError::Stop(why));
                }
            };
            if !again || !told.sleep(self.backoff.wait()).await {
                return;
            }
        }
    }

    /// From its start to its end. Whatever happens, it and what it started are no more then.
    async fn once(&mut self, feed: &Feed, told: &mut Told, said: &LastLines) -> std::io::Result<End> {
        let mut child = self.call.command().stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let log =
            child.stderr.take().map(|pipe| tokio::spawn(programs::log(pipe, self.call.name.clone(), said.clone())));
        let output = child.stdout.take();
        let ended = match self.forward(output, feed, told).await {
            true => told.or(child.wait()).await,
            false => None,
        };
        let end = match ended {
            Some(status) => End::Ended(status?),
            None => {
                programs::end(&mut child).await;
                End::Unwanted
            }
        };
        if let Some(log) = log {
            programs::said(log).await;
        }
        Ok(end)
    }

    /// Hands on what it prints, until it prints nothing more; false where nobody wants more of it. What has been read is
    /// always handed on.
    async fn forward(&mut self, output: Option<ChildStdout>, feed: &Feed, told: &mut Told) -> bool {
        let peer = feed.peer(&self.call.name);
        let Some(mut output) = output else { return true };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match told.or(output.read(&mut buffer)).await {
                None => return false,
                Some(Ok(0) | Err(_)) => return true,
                Some(Ok(count)) => {
                    self.backoff.reset();
                    if !peer.give(&buffer[..count]).await {
                        return false;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::connect::tests::{ALL, PATIENCE, Reading, source};
    use crate::plan::seams::Limits;

    fn running(options: &str, base: &Path) -> Reading {
        let text = format!("source x = exec(\"sh\") {{ backoff: 1ms, {options} }}");
        Reading::start(source(&text, base).unwrap(), ALL)
    }

    fn here() -> &'static Path {
        Path::new(".")
    }

    fn is_alive(id: &str) -> bool {
        let status = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    }

    #[test]
    fn what_it_prints_is_rows_with_its_environment_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("secrets")).unwrap();
        fs::write(folder.path().join("secrets/key"), "sesame\n").unwrap();
        fs::create_dir(folder.path().join("work")).unwrap();
        let script = "echo $KEY; basename $PWD; echo $1; echo noise >&2";
        let options = format!(
            "args: [\"-c\", \"{script}\", \"sh\", \"a b\"], env: {{ KEY: secret(\"key\") }}, folder: \"work\", restart: never"
        );
        let mut reading = running(&options, folder.path());
        reading.finish().unwrap();
        assert_eq!(reading.rows, ["sesame", "work", "a b"]);
    }

    #[test]
    fn one_that_fails_is_started_again_and_one_that_ends_well_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo again >> runs; echo run; test $(wc -l < runs) -ge 3";
        let mut reading = running(&format!("args: [\"-c\", \"{script}\"], restart: on_failure"), folder.path());
        reading.finish().unwrap();
        assert_eq!(reading.rows, ["run", "run", "run"]);
    }

    #[test]
    fn one_that_is_always_there_comes_back_whatever_its_end_was() {
        let mut reading = running("args: [\"-c\", \"echo run\"]", here());
        assert_eq!(reading.until(3).rows[..3], ["run", "run", "run"]);
    }

    #[test]
    fn a_failure_that_nothing_follows_stops_the_pipeline_with_its_last_words() {
        for (options, drain) in [("restart: never", false), ("restart: always", true)] {
            let text = format!(
                "source x = exec(\"sh\") {{ args: [\"-c\", \"echo row; echo sorry >&2; exit 3\"], {options} }}"
            );
            let mut reading = Reading::start(source(&text, here()).unwrap(), Limits { drain, ..ALL });
            let failed = reading.finish().unwrap_err();
            assert_eq!(failed, TaskError::Stop("program `sh` ended with code 3\n  sorry".into()));
            assert_eq!(reading.rows, ["row"], "what it printed before comes all the same");
        }
    }

    #[test]
    fn it_and_what_it_started_end_with_the_source_and_leave_no_zombie() {
        let script = "trap '' TERM; sleep 1000 & echo $$; echo $!; while :; do wait; done";
        let mut reading = running(&format!("args: [\"-c\", \"{script}\"]"), here());
        let ids = reading.until(2).rows.clone();
        assert!(ids.iter().all(|id| is_alive(id)));
        let start = Instant::now();
        drop(reading);
        assert!(!Path::new(&format!("/proc/{}", ids[0])).exists(), "the program itself has been waited for");
        while is_alive(&ids[1]) {
            assert!(start.elapsed() < PATIENCE, "its child goes on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_waits_while_the_buffer_is_full() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done";
        let mut reading = running(&format!("args: [\"-c\", \"{script}\"], buffer: 1kb, restart: never"), here());
        reading.limits.rows = 100;
        reading.finish().unwrap();
        assert!(reading.rows.len() == 3000 && reading.rows.iter().enumerate().all(|(n, row)| *row == n.to_string()));
    }

    #[test]
    fn what_is_not_there_is_said_before_the_start() {
        let refused = |text: &str| source(text, here()).err().expect("it is refused").0;
        assert_eq!(refused("source x = exec(\"no-such-thing\")"), "there is no program `no-such-thing` on the PATH");
        assert_eq!(refused("source x = exec(\"./no-such-thing\")"), "there is no program `./no-such-thing` in `.`");
        let folder = refused("source x = exec(\"sh\") { folder: \"nowhere\" }");
        assert_eq!(folder, "there is no folder `./nowhere` to run `sh` in");
    }
}
