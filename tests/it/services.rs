//! Against real servers, which `tests/services` starts: once for the whole binary, or by itself for a test that ends
//! them. Where one cannot be started its tests say so; where `CI` is set they fail.

#[cfg(feature = "kafka")]
mod kafka;
mod postgres;
mod proxy;
mod redis;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{command, root};

/// A server that runs.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) url: String,
    folder: PathBuf,
    name: &'static str,
    variables: Vec<(String, String)>,
}

impl Server {
    /// Starts one in a folder, which may be the one of before.
    fn start(name: &'static str, folder: &Path, variables: &[(String, String)]) -> Result<Server, String> {
        let started = Command::new(script(name, "start"))
            .arg(folder)
            .envs(variables.iter().cloned())
            .env("UNTIL_PID", std::process::id().to_string())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        if !started.status.success() {
            return Err(String::from_utf8_lossy(&started.stderr).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&started.stdout).into_owned();
        let said: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
        let port = said["port"].parse().map_err(|_| "it says no port".to_owned())?;
        Ok(Server { port, url: said["url"].to_owned(), folder: folder.to_owned(), name, variables: variables.to_vec() })
    }

    /// Ends it by a signal.
    pub(crate) fn stop(&self, signal: &str) {
        let stopped = Command::new(script(self.name, "stop")).arg(&self.folder).arg(signal).status();
        assert!(stopped.unwrap().success(), "{} does not stop", self.name);
    }

    /// Starts it again.
    pub(crate) fn go_on(&self) {
        Server::start(self.name, &self.folder, &self.variables).unwrap();
    }
}

fn script(name: &str, what: &str) -> PathBuf {
    root().join("tests/services").join(name).join(what)
}

/// The folder of a server: one that another user can enter.
fn folder_of(name: &str, test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("millstream-{name}-{}-{test}", std::process::id()))
}

/// A server of its own; none where it cannot be started.
pub(crate) fn own(name: &'static str, test: &str) -> Option<Server> {
    own_with(name, test, &[])
}

/// The same, started with variables.
pub(crate) fn own_with(name: &'static str, test: &str, variables: &[(&str, &str)]) -> Option<Server> {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    or_skipped(name, Server::start(name, &folder_of(name, test), &variables))
}

/// The server of that name that tests share; none where it cannot be started.
pub(crate) fn shared(name: &'static str) -> Option<&'static Server> {
    static STARTED: OnceLock<std::sync::Mutex<BTreeMap<&'static str, Option<&'static Server>>>> = OnceLock::new();
    let mut started = STARTED.get_or_init(Default::default).lock().unwrap();
    *started.entry(name).or_insert_with(|| own(name, "shared").map(|server| &*Box::leak(Box::new(server))))
}

fn or_skipped(name: &str, started: Result<Server, String>) -> Option<Server> {
    match started {
        Ok(server) => Some(server),
        Err(why) => {
            assert!(std::env::var_os("CI").is_none(), "{name} does not start: {why}");
            report(&format!("SKIPPED: a test that needs {name}, which does not start: {why}"));
            None
        }
    }
}

/// For whoever runs it by hand.
pub(crate) fn report(text: &str) {
    use std::io::Write as _;
    // Past the harness, which shows what a test prints only where it fails.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A number that the long form sets.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A random sequence that a seed names.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below.max(1)
    }
}

/// A folder with a pipeline `p.stream`.
pub(crate) fn pipeline(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("p.stream"), text).unwrap();
    folder
}

/// `millstream run p.stream --once`, with variables.
pub(crate) fn running(folder: &Path, variables: &[(&str, &str)]) -> Command {
    let mut command = command(folder, &["run", "p.stream", "--once"]);
    command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end; what it printed.
pub(crate) fn to_its_end(folder: &Path, variables: &[(&str, &str)]) -> String {
    let ended = running(folder, variables).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// Kills it at random moments and starts it again until it comes to its end; how often. `between` is called after each
/// kill with how many there were.
pub(crate) fn killed_until_it_ends(
    folder: &Path,
    variables: &[(&str, &str)],
    (most, draw): (Duration, &mut Draw),
    mut between: impl FnMut(u64),
) -> u64 {
    let (mut killed, most) = (0, u64::try_from(most.as_micros()).unwrap());
    loop {
        let mut child = running(folder, variables).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The process is the subject: it is killed wherever it is by then.
        std::thread::sleep(Duration::from_micros(draw.next(most)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            return killed;
        }
        killed += 1;
        between(killed);
    }
}

/// How long a thing takes.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let done = work();
    (done, started.elapsed())
}

/// Waits for a run that was started to come to a good end.
pub(crate) fn waited_for(child: std::process::Child) {
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Waits for something to be so.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "it does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}
