//! Programs that a source or a sink starts: found on the PATH or beside the pipeline, each the leader of a group of its
//! own, so that what it starts ends with it. What one says on its standard error goes to the log.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::connect::secrets::Secret;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::NotRunnable;

/// So many of the last lines on its standard error are told of when it fails.
const TOLD: usize = 5;

/// A line that is longer is logged in pieces.
const LONGEST: u64 = 4_096;

/// How long it has between being asked to end and being made to.
const GRACE: Duration = Duration::from_millis(500);

/// What is to be started, and how.
#[derive(Debug)]
pub(crate) struct Call {
    /// As the user calls it.
    pub(crate) name: String,
    program: PathBuf,
    args: Vec<String>,
    env: BTreeMap<String, Secret>,
    folder: PathBuf,
}

impl Call {
    /// The options `program`, `args`, `env` and `folder`.
    pub(crate) fn of(endpoint: &Endpoint) -> Result<Call, NotRunnable> {
        let settings = &endpoint.settings;
        let name = settings.text("program").unwrap_or_default().to_owned();
        let folder = settings.text("folder").map_or_else(|| endpoint.base.clone(), |f| endpoint.base.join(f));
        if !folder.is_dir() {
            return Err(NotRunnable(format!("there is no folder `{}` to run `{name}` in", folder.display())));
        }
        let args = settings.texts("args").into_iter().map(str::to_owned).collect();
        let program = find(&name, &endpoint.base)?;
        Ok(Call { program, name, args, env: Secret::map_of(endpoint, "env")?, folder })
    }

    /// Ready to be started; its pipes are still to be said.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).current_dir(&self.folder).process_group(0).kill_on_drop(true);
        command.envs(self.env.iter().map(|(name, secret)| (name, secret.value())));
        command.stderr(Stdio::piped());
        command
    }
}

/// The program's file: a bare name stands on the PATH, all else beside the pipeline.
fn find(name: &str, base: &Path) -> Result<PathBuf, NotRunnable> {
    let missing = |place: String| NotRunnable(format!("there is no program `{name}`{place}"));
    if Path::new(name).components().count() > 1 {
        let path = base.join(name);
        let path = std::path::absolute(&path).unwrap_or(path);
        return if path.is_file() { Ok(path) } else { Err(missing(format!(" in `{}`", base.display()))) };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(OsStr::new(name))).find(|p| p.is_file());
    let beside = base.join(name);
    match found {
        Some(found) => Ok(found),
        None if !name.is_empty() && beside.is_file() => Err(missing(format!(" on the PATH; write \"./{name}\""))),
        None => Err(missing(" on the PATH".into())),
    }
}

/// Ends a program and what it started: asks first, then makes it.
pub(crate) async fn end(child: &mut Child) {
    // Without a number it has ended and was waited for.
    let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else { return };
    // A group that is gone needs no signal.
    let _ = kill_process_group(group, Signal::TERM);
    if tokio::time::timeout(GRACE, leader_is_over(child)).await.is_err() {
        tracing::debug!(id = child.id(), "a program that was asked to end is made to");
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}

/// Comes true when the program itself has ended. It stays to be waited for, so that its number is not given anew while
/// its group is sent a signal.
async fn leader_is_over(child: &Child) {
    while child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).is_some_and(|id| !is_over(id)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_over(id: Pid) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(id), look), Ok(None))
}

/// How a program ended, in words.
pub(crate) fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "was ended".to_owned(),
    }
}

/// The last lines that a program said on its standard error.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn add(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        if lines.len() > TOLD {
            lines.pop_front();
        }
    }

    /// Each on a line of its own, below a sentence.
    pub(crate) fn below(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("\n  {line}")).collect()
    }
}

/// Waits for the last words, which may come a moment after a program's end. What it left running may keep the pipe open:
/// that is not waited for.
pub(crate) async fn said(log: JoinHandle<()>) {
    let abort = log.abort_handle();
    if tokio::time::timeout(GRACE, log).await.is_err() {
        abort.abort();
    }
}

/// Logs what comes, line by line, until nothing comes any more; keeps the last lines.
pub(crate) async fn log(pipe: impl AsyncRead + Unpin, name: String, kept: LastLines) {
    use tokio::io::AsyncReadExt;
    let mut pipe = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        match (&mut pipe).take(LONGEST).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                tracing::warn!(program = name, "{line}");
                kept.add(line);
            }
        }
    }
}
