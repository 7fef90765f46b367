//! A batch that was committed for a sink which is not there any more: the pipeline does not begin, says why, and can be made
//! to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::{object, refused, verb, well};

const SOURCE: &str = "pipeline p { every: 10ms, checkpoint: \"state\" }\n\
    source lines = files(\"in/*.txt\") { settle: 0ms, max_files: 1 }\n\
    stream counts = from lines |> aggregate count() as n by line running ttl 30d emit all\n";
const FILES: &str = "from counts |> into files(\"out\") { format: json }\n";
const TAKEN: &str = "from lines |> into exec(\"./take\") { format: json, retries: 0 }\n";

fn program(folder: &Path, body: &str) {
    let path = folder.join("take");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder in which a batch was committed that the program did not take, and the program is gone.
fn stuck(text: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    fs::create_dir(path.join("in")).unwrap();
    fs::write(path.join("in/a.txt"), "a\nb\na\n").unwrap();
    fs::write(path.join("p.stream"), text).unwrap();
    program(path, "cat > /dev/null; exit 3");
    let ran = verb(path, "run p.stream --once");
    refused(&ran, 1, "program `./take` ended with code 3");
    let said = "batch 0 was committed, and `lines into exec/exec/1` did not get the 3 rows of it";
    assert!(ran.err.contains(said), "{}", ran.err);
    let how = "millstream checkpoint give-up state --sink 'lines into exec/exec/1'";
    assert!(ran.err.contains(how), "{}", ran.err);
    fs::remove_file(path.join("take")).unwrap();
    folder
}

fn totals(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.file_name().unwrap().to_string_lossy().starts_with('.'));
    files.sort();
    files
        .iter()
        .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_batch_of_a_sink_that_is_gone_is_given_up_and_the_other_sink_gets_its_rows_once() {
    let folder = stuck(&format!("{SOURCE}{TAKEN}{FILES}"));
    let path = folder.path();
    let ran = verb(path, "run p.stream --once");
    refused(&ran, 1, "take");
    assert!(ran.err.contains("checkpoint give-up state"), "{}", ran.err);
    // Leaving the sink out of the text is not enough: its batch is committed.
    fs::write(path.join("p.stream"), format!("{SOURCE}{FILES}")).unwrap();
    let ran = verb(path, "run p.stream --once");
    refused(&ran, 1, "checkpoint give-up state");
    let asked = verb(path, "checkpoint give-up state --sink lines --batch 0");
    refused(&asked, 1, "write `--yes` behind it");
    assert!(asked.out.contains("`lines into exec/exec/1` never gets its 3 rows"), "{}", asked.out);
    let before = object(&verb(path, "checkpoint info state --format json"));
    assert_eq!(before["undelivered"][0]["sinks"].as_array().unwrap().len(), 2);
    let done = verb(path, "checkpoint give-up state --sink lines --to lost.json --yes");
    assert!(well(&done).contains("given up"), "{}", done.out);
    let lost = fs::read_to_string(path.join("lost.json")).unwrap();
    assert_eq!(lost, "{\"line\":\"a\"}\n{\"line\":\"b\"}\n{\"line\":\"a\"}\n");
    let after = object(&verb(path, "checkpoint info state --format json"));
    assert_eq!(after["given_up"][0]["sink"], "lines into exec/exec/1");
    assert_eq!(after["given_up"][0]["rows"], 3);
    assert_eq!(after["undelivered"][0]["sinks"].as_array().unwrap().len(), 1);
    well(&verb(path, "checkpoint verify state"));
    well(&verb(path, "run p.stream --once"));
    assert_eq!(totals(path), ["{\"line\":\"a\",\"n\":2}", "{\"line\":\"b\",\"n\":1}"]);
    fs::write(path.join("in/b.txt"), "a\n").unwrap();
    well(&verb(path, "run p.stream --once"));
    assert_eq!(totals(path)[2..], ["{\"line\":\"a\",\"n\":3}", "{\"line\":\"b\",\"n\":1}"]);
    refused(&verb(path, "checkpoint give-up state --sink lines --yes"), 2, "there is nothing to give up");
}

#[test]
fn what_cannot_be_given_up_is_said() {
    let folder = stuck(&format!("{SOURCE}{TAKEN}{FILES}"));
    let path = folder.path();
    refused(
        &verb(path, "checkpoint give-up state --sink other --yes"),
        2,
        "there is `counts into files/files/1`, `lines into",
    );
    refused(&verb(path, "checkpoint give-up state --sink lines --batch 7 --yes"), 2, "what is are batches 0");
    let files = verb(path, "checkpoint give-up state --sink counts --to lost --yes");
    refused(&files, 2, "not in the checkpoint but in files");
    fs::write(path.join("lost"), "mine").unwrap();
    refused(&verb(path, "checkpoint give-up state --sink lines --to lost --yes"), 2, "lost");
    assert_eq!(fs::read_to_string(path.join("lost")).unwrap(), "mine");
    let due = object(&verb(path, "checkpoint info state --format json"));
    assert_eq!(due["undelivered"][0]["sinks"].as_array().unwrap().len(), 2, "nothing was given up");
    // A sink that comes back gets what was committed for it.
    program(path, "cat > taken");
    well(&verb(path, "run p.stream --once"));
    assert_eq!(fs::read_to_string(path.join("taken")).unwrap().lines().count(), 3);
}
