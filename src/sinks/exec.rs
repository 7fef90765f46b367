//! `exec`: hands every batch to a program in any language.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use arrow::array::RecordBatch;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::connect::programs::{self, Call, LastLines};
use crate::connect::waiting::{both, runtime};
use crate::connect::{backoff, net, texts};
use crate::model::time::show_duration;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, FormatCodec, Sink};
use crate::plan::{Conflict, Doc, OptionKind, OptionSpec, Settings, SinkEntry};
use crate::sinks::{codec, shared, takes_anything};

const PROCESS: &[(&str, &str)] = &[
    ("per_batch", "started for every batch that has rows; its end with code 0 is success"),
    ("kept", "started once; it answers every batch with a line `ok`"),
];

/// A longer answer is none.
const LONGEST: u64 = 4_096;

/// How long a program that is kept has to end once nothing more comes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The entry.
pub fn entry() -> SinkEntry {
    let mut options = vec![
        OptionSpec::optional("args", texts(), "its arguments, each passed on as it is"),
        OptionSpec::optional("env", OptionKind::Map(Box::new(OptionKind::Secret)), "variables of its environment"),
        OptionSpec::optional("folder", OptionKind::Path, "where it runs; the pipeline's own folder otherwise"),
        OptionSpec::with_default("process", OptionKind::Symbol(PROCESS), "per_batch", "how long a process lives"),
        OptionSpec::with_default(
            "announce",
            OptionKind::Bool,
            "false",
            "whether a line before each batch says which one it is, to a program that is kept",
        ),
        OptionSpec::with_default("timeout", OptionKind::Duration, "1m", "how long a batch may take"),
    ];
    options.extend(net::reconnecting());
    SinkEntry {
        doc: Doc::new("exec", "gives every batch to a program on its standard input", "exec(\"PROGRAM\") { OPTIONS }")
            .details(
                "Spark's `foreachRDD`, in any language. A batch that has rows is written to the program's standard input \
                 in the sink's format. What the program writes itself goes to the log.\n\n\
                 - `per_batch`: the input ends with the batch, and code 0 at the program's end is success. The variables \
                 `MILLSTREAM_BATCH` and `MILLSTREAM_TIME` (microseconds since 1970) say which batch it is, so that the \
                 program can tell a repeated one.\n\
                 - `kept`: an empty line ends the batch, and the program answers with a line: `ok`, or what is wrong. \
                 Rows are written as JSON, whose lines are never empty. With `announce: true` the first line of every batch \
                 is `{\"batch\": 7, \"time\": 1767225600000000}`, so that this program too can tell a repeated one.\n\n\
                 What fails or takes longer than `timeout` is tried again, with the whole batch.",
            )
            .example("from orders |> into exec(\"./load.py\") { format: json }")
            .example("from orders |> into exec(\"./load.py\") { process: kept, env: { KEY: secret(\"load/key\") } }"),
        args: vec![OptionSpec::required("program", OptionKind::Text, "the program; a bare name is looked up on the PATH, all else beside the pipeline")],
        options,
        takes_changes: takes_anything,
        format: Some("json"),
        guarantee: |settings: &Settings| match settings.text("process") {
            Some("kept") if !settings.flag("announce") => "at least once".into(),
            _ => "at least once (the batch's number is handed on)".into(),
        },
        target: shared,
        feature: None,
        conflicts,
        open: SinkEntry::by(open),
    }
}

fn keeps(settings: &Settings) -> bool {
    settings.text("process") == Some("kept")
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let is_json = endpoint.format.as_ref().is_none_or(|format| format.entry.doc.name == "json");
    let conflict = || {
        let message = "`process: kept` wants `format: json`: an empty line ends a batch";
        Conflict::between("process", message, "write:\n  format: json")
    };
    let announced = endpoint.settings.flag("announce") && !keeps(&endpoint.settings);
    let announced = announced.then(|| {
        let message =
            "`announce` means nothing without `process: kept`: a program for each batch has `MILLSTREAM_BATCH`";
        Conflict::between("announce", message, "leave it out, or write:\n  process: kept")
    });
    (keeps(&endpoint.settings) && !is_json).then(conflict).into_iter().chain(announced).collect()
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    Ok(Box::new(Exec {
        codec: codec(endpoint)?,
        call: Call::of(endpoint)?,
        timeout: backoff::time(settings, "timeout").unwrap_or(Duration::from_secs(60)),
        keeps: keeps(settings),
        announces: settings.flag("announce"),
        kept: None,
    }))
}

struct Exec {
    codec: Box<dyn FormatCodec>,
    call: Call,
    timeout: Duration,
    keeps: bool,
    /// A line before each batch says which one it is.
    announces: bool,
    kept: Option<Kept>,
}

/// A program that goes on from batch to batch.
struct Kept {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    said: LastLines,
    log: Option<JoinHandle<()>>,
}

impl Sink for Exec {
    fn stage(&mut self, _: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let mut bytes = Vec::new();
        self.codec.encode(rows, &mut bytes)?;
        Ok(Artifact { bytes, rows: rows.iter().map(RecordBatch::num_rows).sum() })
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        if artifact.rows == 0 {
            return Ok(Delivered::default());
        }
        let runtime = runtime().map_err(|e| TaskError::Stop(format!("cannot start a thread: {e}")))?;
        let done = runtime.block_on(async {
            if self.keeps { self.ask(batch, &artifact.bytes).await } else { self.once(batch, &artifact.bytes).await }
        });
        done.map_err(|why| TaskError::Retry(format!("program `{}` {why}", self.call.name)))?;
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}

impl Exec {
    /// A program for this batch alone. Whatever happens, it is no more afterwards.
    async fn once(&mut self, batch: &BatchTime, rows: &[u8]) -> Result<(), String> {
        let mut command = self.call.command();
        command.env("MILLSTREAM_BATCH", batch.number.to_string()).env("MILLSTREAM_TIME", batch.micros.to_string());
        let (mut child, said, error_log) = self.start(&mut command)?;
        let name = || self.call.name.clone();
        let log = child.stdout.take().map(|pipe| tokio::spawn(programs::log(pipe, name(), LastLines::default())));
        let input = child.stdin.take();
        let work = async {
            if let Some(mut input) = input {
                // Who ends without reading everything closes the pipe: that is no mistake by itself.
                let _ = input.write_all(rows).await;
                let _ = input.shutdown().await;
            }
            child.wait().await
        };
        let ended = tokio::time::timeout(self.timeout, work).await;
        if ended.is_err() {
            programs::end(&mut child).await;
        }
        for log in error_log.into_iter().chain(log) {
            programs::said(log).await;
        }
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{}{}", programs::how(status), said.below())),
            Ok(Err(e)) => Err(format!("is lost: {e}")),
            Err(_) => Err(format!("{}{}", self.too_slow(), said.below())),
        }
    }

    /// The program that is kept, started where there is none.
    async fn ask(&mut self, batch: &BatchTime, rows: &[u8]) -> Result<(), String> {
        let there = self.kept.as_mut().is_some_and(|kept| matches!(kept.child.try_wait(), Ok(None)));
        let mut kept = match self.kept.take().filter(|_| there) {
            Some(kept) => kept,
            None => self.keep()?,
        };
        let (number, time) = (batch.number, batch.micros);
        let first = match self.announces {
            true => format!("{{\"batch\": {number}, \"time\": {time}}}\n"),
            false => String::new(),
        };
        let Kept { input, output, .. } = &mut kept;
        let write = async {
            input.write_all(first.as_bytes()).await?;
            input.write_all(rows).await?;
            input.write_all(b"\n").await?;
            input.flush().await
        };
        let mut answer = Vec::new();
        // Both at once, so that neither side ever waits for the other in vain.
        let read = async { output.take(LONGEST).read_until(b'\n', &mut answer).await };
        let why = match tokio::time::timeout(self.timeout, both(write, read)).await {
            Err(_) => self.too_slow(),
            Ok((_, Ok(0))) => {
                let ended = tokio::time::timeout(PATIENCE, kept.child.wait()).await;
                let how = |status: io::Result<_>| status.map_or_else(|e| format!("is lost: {e}"), programs::how);
                format!("{} instead of an answer", ended.map_or_else(|_| "closed its output".to_owned(), how))
            }
            Ok((_, Err(e))) => format!("cannot be heard: {e}"),
            Ok((Err(e), Ok(_))) => format!("cannot be given rows: {e}"),
            Ok((Ok(()), Ok(_))) => {
                let answer = String::from_utf8_lossy(&answer).trim().to_owned();
                // It is of one mind with us where a batch ends, whatever it has to say of this one.
                self.kept = Some(kept);
                return if answer == "ok" { Ok(()) } else { Err(format!("answered: {answer}")) };
            }
        };
        let said = kept.end().await;
        Err(format!("{why}{}", said.below()))
    }

    fn keep(&self) -> Result<Kept, String> {
        let (mut child, said, log) = self.start(&mut self.call.command())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else { return Err("has no pipes".into()) };
        Ok(Kept { child, input, output: BufReader::new(output), said, log })
    }

    fn start(&self, command: &mut Command) -> Result<(Child, LastLines, Option<JoinHandle<()>>), String> {
        let said = LastLines::default();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|e| format!("cannot be started: {e}"))?;
        let name = self.call.name.clone();
        let log = child.stderr.take().map(|pipe| tokio::spawn(programs::log(pipe, name, said.clone())));
        Ok((child, said, log))
    }

    fn too_slow(&self) -> String {
        let most = i64::try_from(self.timeout.as_micros()).unwrap_or(i64::MAX);
        format!("takes longer than {}", show_duration(most))
    }
}

impl Kept {
    /// Closes its input; where that is not enough, it is ended. Gives back its last words.
    async fn end(mut self) -> LastLines {
        drop(self.input);
        if tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            programs::end(&mut self.child).await;
        }
        if let Some(log) = self.log {
            programs::said(log).await;
        }
        self.said
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        if let (Some(kept), Ok(runtime)) = (self.kept.take(), runtime()) {
            runtime.block_on(kept.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::connect::tests::{rows, sink};

    fn program(script: &str, options: &str, base: &Path) -> Box<dyn Sink> {
        fs::write(base.join("load.sh"), script).unwrap();
        sink(&format!("into exec(\"sh\") {{ args: [\"load.sh\"], {options} }}"), base).unwrap()
    }

    fn deliver(sink: &mut dyn Sink, number: u64, count: usize) -> Result<Delivered, TaskError> {
        let batch = BatchTime { number, micros: 5 };
        let artifact = sink.stage(&batch, &[rows(&vec![(7, Some("a")); count])])?;
        sink.deliver(&batch, &artifact)
    }

    #[test]
    fn each_batch_has_a_program_of_its_own_which_is_told_which_one_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo \"$MILLSTREAM_BATCH $MILLSTREAM_TIME $KEY\" >> out; cat >> out";
        let mut sink = program(script, "env: { KEY: env(\"PATH\") }", folder.path());
        deliver(&mut *sink, 3, 1).unwrap();
        deliver(&mut *sink, 4, 2).unwrap();
        deliver(&mut *sink, 5, 0).unwrap();
        let row = "{\"id\":7,\"name\":\"a\"}\n";
        let path = std::env::var("PATH").unwrap();
        let out = fs::read_to_string(folder.path().join("out")).unwrap();
        assert_eq!(out, format!("3 5 {path}\n{row}4 5 {path}\n{row}{row}"));
    }

    #[test]
    fn a_program_that_fails_is_tried_again_and_its_last_words_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = program("cat > /dev/null; echo no room >&2; exit 4", "", folder.path());
        let failed = deliver(&mut *sink, 1, 1).unwrap_err();
        assert_eq!(failed, TaskError::Retry("program `sh` ended with code 4\n  no room".into()));
    }

    #[test]
    fn much_on_all_pipes_at_once_locks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let script = "while read -r line; do echo \"$line\"; echo \"$line\" >&2; done; exit 0";
        let mut sink = program(script, "timeout: 30s", folder.path());
        deliver(&mut *sink, 1, 20_000).unwrap();
        let mut deaf = program("exit 0", "", folder.path());
        deliver(&mut *deaf, 1, 20_000).unwrap();
    }

    #[test]
    fn one_that_takes_too_long_is_ended_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let script = "sleep 1000 & echo $! > child; wait";
        let mut sink = program(script, "timeout: 300ms", folder.path());
        let failed = deliver(&mut *sink, 1, 1).unwrap_err();
        assert_eq!(failed, TaskError::Retry("program `sh` takes longer than 300ms".into()));
        let child = fs::read_to_string(folder.path().join("child")).unwrap();
        let status = || fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        while !(status().is_empty() || status().contains(") Z ")) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_kept_program_answers_every_batch_and_is_started_again_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo start >> out; while read -r line; do \
            if [ -z \"$line\" ]; then n=$((n+1)); echo end >> out; \
              case $n in 2) echo broken;; 3) exit 1;; *) echo ok;; esac; \
            else echo \"$line\" >> out; fi; done; echo bye >> out";
        let mut sink = program(script, "process: kept", folder.path());
        deliver(&mut *sink, 1, 1).unwrap();
        let failed = deliver(&mut *sink, 2, 1).unwrap_err();
        assert_eq!(failed, TaskError::Retry("program `sh` answered: broken".into()));
        let failed = deliver(&mut *sink, 2, 1).unwrap_err();
        assert_eq!(failed, TaskError::Retry("program `sh` ended with code 1 instead of an answer".into()));
        deliver(&mut *sink, 2, 1).unwrap();
        drop(sink);
        let out = fs::read_to_string(folder.path().join("out")).unwrap().replace("{\"id\":7,\"name\":\"a\"}", "row");
        assert_eq!(out.replace('\n', " "), "start row end row end row end start row end bye ");
    }

    #[test]
    fn a_kept_program_learns_which_batch_comes_where_it_asks_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let script = "while read line; do if [ -z \"$line\" ]; then echo ok; else echo \"$line\" >> out; fi; done";
        let mut sink = program(script, "process: kept, announce: true", folder.path());
        deliver(&mut *sink, 1, 1).unwrap();
        deliver(&mut *sink, 2, 1).unwrap();
        let out = fs::read_to_string(folder.path().join("out")).unwrap();
        let firsts: Vec<&str> = out.lines().step_by(2).collect();
        assert!(firsts[0].starts_with("{\"batch\": 1, \"time\": "), "{out}");
        assert!(firsts[1].starts_with("{\"batch\": 2, \"time\": "), "{out}");
        assert_eq!(out.lines().nth(1), Some("{\"id\":7,\"name\":\"a\"}"));
    }

    #[test]
    fn a_kept_program_that_says_nothing_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = program("cat > /dev/null", "process: kept, timeout: 100ms", folder.path());
        let failed = deliver(&mut *sink, 1, 1).unwrap_err();
        assert_eq!(failed, TaskError::Retry("program `sh` takes longer than 100ms".into()));
    }
}
