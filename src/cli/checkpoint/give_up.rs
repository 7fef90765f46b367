//! `millstream checkpoint give-up`: batches that were committed for a sink which will never take them. What is lost is said
//! first, and can be written elsewhere before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use arrow::ipc::reader::StreamReader;

use crate::cli::rewind::promise_of;
use crate::cli::run::grouped;
use crate::cli::state::{contents, disk, is_checkpoint};
use crate::cli::terminal::Terminal;
use crate::cli::{Exit, Failure, Outcome, rows};
use crate::engine::{Checkpoint, Clock, RealClock, Staged};
use crate::model::time::show_moment;

/// An Arrow IPC stream begins so.
const STREAM: &[u8] = &[0xff; 4];

/// Which batches of which sink.
pub(super) struct What<'a> {
    pub(super) sink: &'a str,
    pub(super) batch: Option<u64>,
    pub(super) to: Option<&'a Path>,
    pub(super) yes: bool,
}

/// Says what is lost, and gives it up with `--yes`.
pub(super) fn give_up(dir: &Path, what: &What<'_>, terminal: &mut Terminal) -> Outcome {
    is_checkpoint(dir)?;
    let due = Checkpoint::due(&disk(), dir).map_err(|trouble| Failure::new(trouble.to_string()))?;
    let sink = named(&due, what.sink)?;
    let mut lost: Vec<Staged> = due.into_iter().filter(|one| one.sink == sink).collect();
    if let Some(number) = what.batch {
        let there: Vec<String> = lost.iter().map(|one| one.batch.number.to_string()).collect();
        lost.retain(|one| one.batch.number == number);
        if lost.is_empty() {
            let there = there.join(", ");
            return Err(Failure::new(format!("batch {number} is not due to `{sink}`: what is are batches {there}")));
        }
    }
    for Staged { batch, rows, .. } in &lost {
        let (number, rows, time) = (batch.number, grouped(*rows as u64), show_moment(batch.micros));
        writeln!(terminal.out(), "batch {number} of {time}: `{sink}` never gets its {rows} rows")?;
    }
    let contents = contents(dir, None)?;
    let is_elsewhere = promise_of(dir, &contents, &sink).is_some_and(|promise| promise.contains("publish"));
    if is_elsewhere {
        writeln!(
            terminal.out(),
            "  they lie in hidden files beside the target of that sink, which the next run takes away: copy them first"
        )?;
    }
    match what.to {
        Some(file) if is_elsewhere => {
            return Err(Failure::new(format!(
                "nothing is written to `{}`: the rows are not in the checkpoint but in files that `{sink}` staged",
                file.display()
            )));
        }
        Some(file) => write(&lost, file, terminal)?,
        None => {}
    }
    if !what.yes {
        terminal.complain("nothing was given up: write `--yes` behind it to do so");
        return Ok(Exit::Mistakes);
    }
    let done = Checkpoint::give_up(&disk(), dir, &lost, RealClock.now());
    done.map_err(|trouble| Failure::new(trouble.to_string()))?;
    writeln!(terminal.out(), "given up, and noted in the checkpoint; the next run does not try to deliver it")?;
    Ok(Exit::Clean)
}

/// The sink of that name, or the only one whose name begins so.
fn named(due: &[Staged], name: &str) -> Result<String, Failure> {
    let mut sinks: Vec<&str> = due.iter().map(|one| one.sink.as_str()).collect();
    sinks.dedup();
    sinks.sort_unstable();
    sinks.dedup();
    let alike: Vec<&str> = sinks.iter().copied().filter(|sink| sink.starts_with(name)).collect();
    match (sinks.iter().find(|sink| **sink == name), alike.as_slice()) {
        (Some(sink), _) => Ok((*sink).to_owned()),
        (None, [sink]) => Ok((*sink).to_owned()),
        _ if sinks.is_empty() => Err(Failure::new("all that was committed is delivered: there is nothing to give up")),
        _ => {
            let there: Vec<String> = sinks.iter().map(|sink| format!("`{sink}`")).collect();
            Err(Failure::new(format!("nothing is due to a sink `{name}`; there is {}", there.join(", "))))
        }
    }
}

/// Rows as lines of JSON, where the sink staged rows; else what it staged, byte by byte.
fn write(lost: &[Staged], file: &Path, terminal: &mut Terminal) -> Result<(), Failure> {
    let mut out = Vec::new();
    for Staged { bytes, .. } in lost {
        if !bytes.starts_with(STREAM) {
            out.extend_from_slice(bytes);
            continue;
        }
        let said = |e: arrow::error::ArrowError| Failure::new(format!("what was staged cannot be read: {e}"));
        for block in StreamReader::try_new(bytes.as_slice(), None).map_err(said)? {
            for row in rows::objects(&block.map_err(said)?).map_err(said)? {
                out.extend_from_slice(format!("{row}\n").as_bytes());
            }
        }
    }
    let made = File::options().write(true).create_new(true).mode(0o600).open(file);
    let written = made.and_then(|mut made| made.write_all(&out).and_then(|()| made.sync_all()));
    written.map_err(|e| Failure::of(file, &e))?;
    writeln!(terminal.out(), "  what was staged is in `{}`, {} bytes", file.display(), out.len())?;
    Ok(())
}

/// Behind a run that failed: what it committed and could not deliver, and what can be done where it never can.
pub(in crate::cli) fn say_what_is_due(dir: &Path, terminal: &mut Terminal) {
    let Ok(due) = Checkpoint::due(&disk(), dir) else { return };
    let mut sinks: BTreeMap<&str, (Vec<u64>, usize)> = BTreeMap::new();
    for one in &due {
        let (batches, rows) = sinks.entry(&one.sink).or_default();
        batches.push(one.batch.number);
        *rows += one.rows;
    }
    for (sink, (batches, rows)) in sinks {
        let numbers: Vec<String> = batches.iter().map(u64::to_string).collect();
        let batches = match numbers.len() {
            1 => format!("batch {} was", numbers[0]),
            _ => format!("batches {} were", numbers.join(", ")),
        };
        let dir: PathBuf = dir.to_owned();
        terminal.aside(&format!(
            "{batches} committed, and `{sink}` did not get the {} rows of it: the next run delivers them first\n  \
             where that can never be: millstream checkpoint give-up {} --sink {}\n",
            grouped(rows as u64),
            dir.display(),
            quoted(sink)
        ));
    }
}

/// As a shell takes it.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    if name.chars().all(plain) { name.to_owned() } else { format!("'{name}'") }
}
