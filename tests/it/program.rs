//! The real binary, run in the repository's folder with nothing of the caller's environment that could matter.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the program did.
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

/// The folder of the repository.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `millstream ARGS` in the repository's folder.
pub(crate) fn millstream(args: &[&str]) -> Ran {
    millstream_in(&root(), args, "")
}

/// Runs it in another folder, with something on standard input.
pub(crate) fn millstream_in(folder: &Path, args: &[&str], input: &str) -> Ran {
    let mut child = command(folder, args).spawn().unwrap();
    // Who does not read its input closes it early: not this function's business.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// What the program said, without what differs from run to run.
pub(crate) fn timeless(text: &str) -> String {
    let time = regex::Regex::new(r#"(finished in |time="|"seconds":)[0-9.e-]+"#).unwrap();
    time.replace_all(text, "${1}0.00").into_owned()
}

/// The program, ready to be started with pipes.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millstream"));
    command.current_dir(folder).args(args).env_remove("NO_COLOR").env("COLUMNS", "100");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
