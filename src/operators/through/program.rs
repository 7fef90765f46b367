//! A program of the user's under way: its three pipes, each with a thread of its own, so that it may write before it
//! has read everything and neither side ever waits for the other in vain.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use crate::plan::operator::{BatchTime, TaskError};

/// So many of the last lines on its standard error are told of when it fails.
const TOLD: usize = 5;
/// How much is read from it in one go.
const CHUNK: usize = 64 * 1024;
/// How many such pieces may wait.
const WAITING: usize = 16;
/// How long it may take to end once nothing more comes, in steps of [`STEP`].
const PATIENCE: u32 = 100;
const STEP: Duration = Duration::from_millis(20);

/// What is to be run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Where it runs, and where a relative path to it starts.
    pub folder: PathBuf,
    /// How long it may say nothing while an answer is waited for, in microseconds.
    pub timeout: i64,
}

/// A program under way.
pub(super) struct Program {
    name: String,
    timeout: Duration,
    child: Child,
    /// None once it was told that nothing more comes.
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    errors: Option<JoinHandle<()>>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    /// What it wrote behind the end of the last answer.
    rest: Vec<u8>,
}

/// A program and its arguments, as a shell would part them: by spaces, except within quotes. Nothing is expanded.
pub(super) fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().push(letters.next().ok_or("a backslash stands at its end")?);
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match (quote, words.is_empty()) {
        (Some(_), _) => Err("a quote is not closed"),
        (None, true) => Err("is empty"),
        (None, false) => Ok(words),
    }
}

impl Call {
    fn program(&self) -> OsString {
        let name = Path::new(&self.words[0]);
        if name.components().count() < 2 {
            return name.into();
        }
        let path = self.folder.join(name);
        std::path::absolute(&path).unwrap_or(path).into()
    }

    /// Starts it. It is told which batch it is started for.
    pub(super) fn start(&self, batch: &BatchTime) -> Result<Program, TaskError> {
        let name = self.words[0].clone();
        let stop = |why: std::io::Error| TaskError::Stop(format!("program `{name}` cannot be started: {why}"));
        let mut child = Command::new(self.program())
            .args(&self.words[1..])
            .current_dir(&self.folder)
            .env("MILLSTREAM_BATCH", batch.number.to_string())
            .env("MILLSTREAM_TIME", batch.micros.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(stop)?;
        let (put, output) = sync_channel(WAITING);
        if let Some(pipe) = child.stdout.take() {
            spawn(move || read(pipe, &put));
        }
        let told = name.clone();
        let last_lines = Arc::<Mutex<VecDeque<String>>>::default();
        let last = Arc::clone(&last_lines);
        let errors = child.stderr.take().map(|pipe| spawn(move || log(pipe, &told, &last)));
        let timeout = Duration::from_micros(self.timeout.unsigned_abs());
        let input = child.stdin.take();
        Ok(Program { name, timeout, child, input, output, errors, last_lines, rest: Vec::new() })
    }
}

/// Passes on what comes, until nothing comes or nobody listens.
fn read(mut pipe: impl Read, put: &SyncSender<Vec<u8>>) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count) = pipe.read(&mut chunk)
        && count > 0
        && put.send(chunk[..count].to_vec()).is_ok()
    {}
}

/// Logs lines, and keeps the last ones.
fn log(pipe: impl Read, name: &str, last: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        tracing::warn!(program = name, "{line}");
        let Ok(mut last) = last.lock() else { return };
        last.push_back(line);
        if last.len() > TOLD {
            last.pop_front();
        }
    }
}

impl Program {
    /// Gives it its whole input and takes its whole output; it ends with that.
    pub(super) fn whole(mut self, rows: Vec<u8>) -> Result<Vec<u8>, TaskError> {
        let input = self.input.take();
        let writer = spawn(move || input.map(|mut pipe| pipe.write_all(&rows)));
        let mut all = Vec::new();
        loop {
            match self.output.recv_timeout(self.timeout) {
                Ok(chunk) => all.extend(chunk),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(self.silent()),
            }
        }
        // Who ends without reading everything closes the pipe: that is no mistake by itself.
        let status = self.ended();
        drop(writer.join());
        match status {
            Some(status) if status.success() => Ok(all),
            status => Err(self.failed(status)),
        }
    }

    /// Gives it the rows of a batch and the empty line that ends them; takes what it writes up to an empty line.
    pub(super) fn answer(&mut self, mut rows: Vec<u8>) -> Result<Vec<u8>, TaskError> {
        rows.push(b'\n');
        let input = self.input.take();
        let (give_back, taken) = sync_channel(1);
        spawn(move || {
            let written =
                input.and_then(|mut pipe| pipe.write_all(&rows).and_then(|()| pipe.flush()).ok().map(|()| pipe));
            // Nobody waits for it where the program failed.
            drop(give_back.send(written));
        });
        let mut all = std::mem::take(&mut self.rest);
        let mut looked = 0;
        let end = loop {
            if let Some(end) = empty_line(&all, looked) {
                break end;
            }
            looked = all.len().saturating_sub(2);
            match self.output.recv_timeout(self.timeout) {
                Ok(chunk) => all.extend(chunk),
                Err(RecvTimeoutError::Timeout) => return Err(self.silent()),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.ended();
                    return Err(self.failed(status));
                }
            }
        };
        match taken.recv_timeout(self.timeout) {
            Ok(input) => self.input = input,
            Err(_) => return Err(self.silent()),
        }
        self.rest = all.split_off(end.end);
        all.truncate(end.start);
        Ok(all)
    }

    /// Whether it ended by itself, and well, so that another one may take its place.
    pub(super) fn is_over(&mut self) -> Result<bool, TaskError> {
        match self.child.try_wait() {
            Ok(None) => Ok(false),
            Ok(Some(status)) if status.success() => Ok(true),
            Ok(status) => Err(self.failed(status)),
            Err(why) => Err(TaskError::Stop(format!("program `{}` is lost: {why}", self.name))),
        }
    }

    /// Waits for its end; none where it does not come, so that it was made to end.
    fn ended(&mut self) -> Option<ExitStatus> {
        drop(self.input.take());
        for _ in 0..PATIENCE {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) => sleep(STEP),
                Err(_) => break,
            }
        }
        self.kill();
        None
    }

    fn kill(&mut self) {
        // It may have ended by itself meanwhile.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn silent(&mut self) -> TaskError {
        self.kill();
        let timeout = crate::model::time::show_duration(i64::try_from(self.timeout.as_micros()).unwrap_or(i64::MAX));
        self.stopped(&format!("said nothing for {timeout}"))
    }

    fn failed(&self, status: Option<ExitStatus>) -> TaskError {
        self.stopped(&match status.map(|status| (status.success(), status.code())) {
            Some((true, _)) => "ended before it had answered".to_owned(),
            Some((_, Some(code))) => format!("ended with code {code}"),
            Some((_, None)) => "was ended by a signal".to_owned(),
            None => "closed its output but did not end".to_owned(),
        })
    }

    /// With the last lines on its standard error, which may come a moment after its end.
    fn stopped(&self, how: &str) -> TaskError {
        for _ in 0..PATIENCE / 10 {
            if self.errors.as_ref().is_none_or(JoinHandle::is_finished) {
                break;
            }
            sleep(STEP);
        }
        let lines = self.last_lines.lock().map(|lines| lines.clone()).unwrap_or_default();
        let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
        TaskError::Stop(format!("program `{}` {how}{lines}", self.name))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.ended();
        }
    }
}

/// The first empty line at or behind a position, as bytes with its end.
fn empty_line(bytes: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
    let mut start = bytes[..from].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    for end in memchr::memchr_iter(b'\n', &bytes[from..]).map(|i| from + i) {
        if end < start {
            continue;
        }
        if bytes[start..end].trim_ascii().is_empty() {
            return Some(start..end + 1);
        }
        start = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_as_in_a_shell() {
        assert_eq!(
            words("  ./score.py --all  'a b' \"c\\\"d\"e \\ f ''"),
            Ok(["./score.py", "--all", "a b", "c\"de", " f", ""].map(String::from).to_vec())
        );
        assert_eq!(words("sh -c 'exit"), Err("a quote is not closed"));
        assert_eq!(words("  "), Err("is empty"));
    }

    #[test]
    fn an_empty_line_is_found_wherever_reading_stopped() {
        let text = b"{\"a\":1}\n{}\n\r\nmore";
        for from in 0..11 {
            assert_eq!(empty_line(text, from), Some(11..13), "{from}");
        }
        assert_eq!(empty_line(b"\nx", 0), Some(0..1));
        assert_eq!(empty_line(b"x\n", 0), None);
    }
}
