//! One program, measured: the time it takes, the processor time and memory it needs.
//!
//! What the system tells of memory is the most that any child ever had, so each program is the only child of a process
//! of its own: this very program, called with `measure`.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A command line and where it runs.
#[derive(Debug, Clone)]
pub struct Line {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<(String, String)>,
    /// The folder it runs in; what it prints goes to `stdout.json` and `stderr.txt` there.
    pub folder: PathBuf,
}

/// What a process needed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Needed {
    /// When it was started, in microseconds since 1970.
    pub started: i64,
    /// Milliseconds from its start to its end.
    pub millis: f64,
    /// Seconds of processors.
    pub cpu_seconds: f64,
    /// The most memory that it, or a child that it waited for, had at a time.
    pub peak_bytes: u64,
}

/// Runs a program by way of `own`, this program. `cores`: so many and no others, where the system can.
pub fn measure(own: &Path, line: &Line, cores: usize) -> io::Result<Needed> {
    let told = line.folder.join("needed.txt");
    let mut command = Command::new(own);
    command.arg("measure").arg(&told).args(pinned(cores)).args(&line.words);
    command.envs(line.env.iter().map(|(name, value)| (name, value))).current_dir(&line.folder);
    command.stdin(Stdio::null());
    command.stdout(File::create(line.folder.join("stdout.json"))?);
    command.stderr(File::create(line.folder.join("stderr.txt"))?);
    let status = command.status()?;
    if !status.success() {
        let said = fs::read_to_string(line.folder.join("stderr.txt")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        let told = line.folder.join("stderr.txt");
        return Err(io::Error::other(format!("it ended with {status}, see {}:\n{last}", told.display())));
    }
    let text: Value = serde_json::from_str(&fs::read_to_string(told)?).map_err(io::Error::other)?;
    Ok(Needed {
        started: text["started"].as_i64().unwrap_or_default(),
        millis: text["millis"].as_f64().unwrap_or_default(),
        cpu_seconds: text["cpu_seconds"].as_f64().unwrap_or_default(),
        peak_bytes: text["peak_bytes"].as_u64().unwrap_or_default(),
    })
}

/// What `measure TOLD PROGRAM ARGUMENT...` does; gives back the program's exit code.
pub fn wrapped(told: &Path, words: &[String]) -> io::Result<i32> {
    let (program, arguments) = words.split_first().ok_or_else(|| io::Error::other("no program to measure"))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    let status = Command::new(program).args(arguments).status()?;
    let millis = started.elapsed().as_secs_f64() * 1000.0;
    let usage = of_children()?;
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let needed = json!({
        "started": i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        "millis": millis,
        "cpu_seconds": seconds(usage.ru_utime) + seconds(usage.ru_stime),
        "peak_bytes": usage.ru_maxrss * 1024,
    });
    fs::write(told, needed.to_string())?;
    Ok(status.code().unwrap_or(1))
}

/// What all children that were waited for needed.
#[expect(
    unsafe_code,
    reason = "a call to the system that no crate of ours wraps; it fills plain numbers, which are zero before"
)]
fn of_children() -> io::Result<libc::rusage> {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a whole `rusage`, and all of its fields are numbers, for which zero is a value.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        usage.assume_init()
    };
    Ok(usage)
}

/// Keeps a program on the first cores, where there are more and `taskset` is there.
fn pinned(cores: usize) -> Vec<String> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let there = || Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success());
    if cores >= all || !there() {
        return Vec::new();
    }
    vec!["taskset".into(), "-c".into(), format!("0-{}", cores - 1)]
}
