//! What runs now, as a file beside the pipeline: `.millstream/NAME.running` holds the process and the texts it runs by,
//! which need not be those on the disk. It is there while the process is; only its owner may read it, because a text or
//! a parameter may hold a secret.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::waiting::beside;
use crate::check::{Overrides, Program};
use crate::cli::kept::Kept;

/// What the names of these files end with.
pub(in crate::cli) const ENDING: &str = "running";

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Recorded {
    /// The process.
    pub(in crate::cli) pid: u32,
    /// The pipeline's name.
    pub(in crate::cli) pipeline: String,
    /// The pipeline file, from the root.
    pub(in crate::cli) file: PathBuf,
    /// The texts and parameters.
    pub(in crate::cli) kept: Kept,
}

impl Recorded {
    /// Reads such a file; none where there is none, or none that can be read.
    pub(in crate::cli) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether its process is still there. What a crash has left is not.
    pub(in crate::cli) fn is_alive(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // One that is another user's may not be asked, but is there.
        pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH)))
    }
}

/// The file of a pipeline that this process runs; goes with its value.
pub(in crate::cli) struct Record {
    path: PathBuf,
    pipeline: String,
    given: Overrides,
}

impl Record {
    /// Of a pipeline file; lays down what runs first. `given`: parameters from the command line.
    pub(in crate::cli) fn begin(file: &Path, pipeline: &str, given: &Overrides, program: &Program) -> Self {
        let record = Record { path: beside(file, ENDING), pipeline: pipeline.to_owned(), given: given.clone() };
        record.lay(program);
        record
    }

    /// Lays down what runs from now on. A folder that nobody may write into is no reason not to run.
    pub(in crate::cli) fn lay(&self, program: &Program) {
        if let Err(why) = self.written(program) {
            tracing::debug!(%why, path = %self.path.display(), "what runs is not recorded");
        }
    }

    fn written(&self, program: &Program) -> io::Result<()> {
        let file = program.files.first().map(|file| file.path.as_path()).unwrap_or(Path::new(""));
        let recorded = Recorded {
            pid: std::process::id(),
            pipeline: self.pipeline.clone(),
            file: std::path::absolute(file)?,
            kept: Kept::of(program, &self.given),
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Whole or not at all: a reader never sees half of it.
        let half = self.path.with_extension(format!("{ENDING}.half"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(&serde_json::to_vec(&recorded)?)?;
        fs::rename(&half, &self.path)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Another process may run the same pipeline by now.
        if Recorded::read(&self.path).is_some_and(|recorded| recorded.pid == std::process::id()) {
            let _ = fs::remove_file(&self.path);
        }
        if let Some(folder) = self.path.parent() {
            // Where something else waits in it, it stays.
            let _ = fs::remove_dir(folder);
        }
    }
}
