//! A checkpoint in places that do not let it be: a real disk that is full for a while, one that cannot be written, folders of
//! somebody else. Namespaces and another user are needed for that; where a machine has none, it is said and passed over.
#![expect(clippy::print_stderr, reason = "what is not tried on a machine is said")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::mishaps::{PIPELINE, folder, totals};

const NOBODY: &str = "65534";

/// Where the checkpoint is on a small disk of its own.
fn on_a_small_disk() -> TempDir {
    let folder = folder(&PIPELINE.replace("\"state\"", "\"small/state\""));
    fs::create_dir(folder.path().join("small")).unwrap();
    folder
}

/// Runs a script with a small disk at `small`; `$BIN` is the program. None where the machine does not let us.
fn with_a_small_disk(folder: &Path, megabytes: u32, script: &str) -> Option<String> {
    let whole = format!("mount -t tmpfs -o size={megabytes}m none small || exit 77\n{script}");
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &whole]).current_dir(folder).env("BIN", env!("CARGO_BIN_EXE_millstream"));
    let ran = command.output();
    match ran {
        Ok(ran) if ran.status.success() => {
            Some(String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr))
        }
        Ok(ran) if ran.status.code() == Some(77) || String::from_utf8_lossy(&ran.stderr).starts_with("unshare:") => {
            eprintln!("skipped: no disk can be made here: {}", String::from_utf8_lossy(&ran.stderr));
            None
        }
        Ok(ran) => panic!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr)),
        Err(error) => {
            eprintln!("skipped: `unshare` cannot be started: {error}");
            None
        }
    }
}

#[test]
fn a_real_disk_that_is_full_holds_the_run_until_there_is_room() {
    let folder = on_a_small_disk();
    let many: String = (0..100_000).map(|n| format!("a line with the number {n}\n")).collect();
    fs::write(folder.path().join("many.txt"), many).unwrap();
    let script = r#"
        until_said() { n=0; until grep -q "$1" said; do n=$((n+1)); [ $n -lt 600 ] || { cat said; exit 1; }; sleep 0.1; done; }
        "$BIN" run p.stream 2> said > /dev/null &
        pid=$!
        n=0; until ls out/* > /dev/null 2>&1; do n=$((n+1)); [ $n -lt 600 ] || { cat said; exit 1; }; sleep 0.1; done
        cat /dev/zero > small/filler 2> /dev/null
        cp many.txt in/.many; mv in/.many in/many.txt
        until_said 'the batch waits'
        sleep 1
        kill -0 $pid || { cat said; exit 1; }
        rm small/filler
        until_said 'there is room again'
        kill -INT $pid; wait $pid || { cat said; exit 1; }
        "$BIN" checkpoint verify small/state || exit 1
        "$BIN" run p.stream --once || exit 1
        cat said
    "#;
    let Some(said) = with_a_small_disk(folder.path(), 64, script) else { return };
    assert!(said.contains("it goes on as soon as there is room"), "{said}");
    assert!(said.contains("is sound"), "{said}");
    let all = totals(folder.path());
    assert_eq!(all.lines().count(), 100_002, "each line is counted");
    assert!(all.lines().all(|line| line.ends_with("\"n\":1}") || line == "{\"line\":\"a\",\"n\":2}"), "and once");
}

#[test]
fn a_disk_that_cannot_be_written_is_said_and_nothing_is_run() {
    let folder = on_a_small_disk();
    fs::write(folder.path().join("more.txt"), "a\n").unwrap();
    let script = r#"
        "$BIN" run p.stream --once 2> said > /dev/null || exit 1
        mount -o remount,ro none small || exit 77
        cp more.txt in/more.txt
        "$BIN" run p.stream --once && exit 1
        "$BIN" checkpoint verify small/state || exit 1
        "$BIN" state small/state || exit 1
        exit 0
    "#;
    let Some(said) = with_a_small_disk(folder.path(), 16, script) else { return };
    assert!(said.contains("name a `checkpoint` where writing is allowed"), "{said}");
    assert!(said.contains("is sound") && said.contains("counts"), "it can still be looked at: {said}");
    assert_eq!(totals(folder.path()), "{\"line\":\"a\",\"n\":2}\n{\"line\":\"b\",\"n\":1}\n");
}

/// Runs the pipeline as somebody who owns nothing here; what was said, and whether it went well.
fn as_nobody(folder: &Path) -> Option<(bool, String)> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    command.args([env!("CARGO_BIN_EXE_millstream"), "run", "p.stream", "--once"]).current_dir(folder);
    match command.output() {
        Ok(ran) => {
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            if said.starts_with("setpriv:") {
                eprintln!("skipped: nobody else can be made here: {said}");
                return None;
            }
            Some((ran.status.success(), said))
        }
        Err(error) => {
            eprintln!("skipped: `setpriv` cannot be started: {error}");
            None
        }
    }
}

#[test]
fn a_checkpoint_of_another_user_is_not_taken_and_stays_whole() {
    let folder = folder(PIPELINE);
    assert_eq!(super::mishaps::once(folder.path()).code, 0);
    let Some((well, said)) = as_nobody(folder.path()) else { return };
    assert!(
        !well && said.contains("give the user who runs this the right to it, or name another `checkpoint`"),
        "{said}"
    );
    let verified = crate::program::millstream_in(folder.path(), &["checkpoint", "verify", "state"], "");
    assert_eq!(verified.code, 0, "{}", verified.err);
    fs::write(folder.path().join("in/b.txt"), "a\n").unwrap();
    assert_eq!(super::mishaps::once(folder.path()).code, 0);
    assert!(totals(folder.path()).starts_with("{\"line\":\"a\",\"n\":3}\n"));
}

#[test]
fn a_folder_in_which_no_checkpoint_can_be_made_is_said() {
    let folder = folder(PIPELINE);
    let Some((well, said)) = as_nobody(folder.path()) else { return };
    assert!(
        !well && said.contains("give the user who runs this the right to it, or name another `checkpoint`"),
        "{said}"
    );
    assert!(!folder.path().join("state").exists() && !folder.path().join("out").exists());
}
