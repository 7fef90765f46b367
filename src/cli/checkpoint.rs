//! `millstream checkpoint`: whether one is sound, what is in it, and how to make it smaller or take it elsewhere.

pub(super) mod give_up;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use self::give_up::What;
use super::args::{CheckpointVerb, ReportFormat};
use super::run::grouped;
use super::state::{ago, batch, contents, disk, due, is_checkpoint, undelivered};
use super::table::aligned;
use super::terminal::Terminal;
use super::{Exit, Failure, Outcome};
use crate::engine::{Checkpoint, Contents, Copied, GivenUp, Verified};
use crate::model::size::show_bytes;
use crate::model::time::show_moment;
use crate::plan::operator::BatchTime;

/// Does what is asked for.
pub(crate) fn checkpoint(what: &CheckpointVerb, terminal: &mut Terminal) -> Outcome {
    match what {
        CheckpointVerb::Verify { dir, format } => verify(dir, *format, terminal),
        CheckpointVerb::Info { dir, format } => info(dir, *format, terminal),
        CheckpointVerb::Compact { dir } => compact(dir, terminal),
        CheckpointVerb::Export { dir, file } => export(dir, file, terminal),
        CheckpointVerb::Import { file, dir } => import(file, dir, terminal),
        CheckpointVerb::GiveUp { dir, sink, batch, to, yes } => {
            give_up::give_up(dir, &What { sink, batch: *batch, to: to.as_deref(), yes: *yes }, terminal)
        }
    }
}

fn verify(dir: &Path, format: ReportFormat, terminal: &mut Terminal) -> Outcome {
    if !dir.is_dir() {
        is_checkpoint(dir)?;
    }
    let Verified { records, snapshots, batches, wrong, odd } = Checkpoint::verify(&disk(), dir);
    let exit = if wrong.is_empty() { Exit::Clean } else { Exit::Mistakes };
    if format == ReportFormat::Json {
        let object = json!({
            "sound": wrong.is_empty(), "records": records, "commits": batches, "snapshots": snapshots,
            "wrong": wrong, "notes": odd,
        });
        writeln!(terminal.out(), "{object}")?;
        return Ok(exit);
    }
    for note in &odd {
        writeln!(terminal.out(), "note: {note}")?;
    }
    let (records, batches) = (grouped(records as u64), grouped(batches as u64));
    let read = format!("{records} records with {batches} commits and {snapshots} snapshots were read");
    match wrong.len() {
        0 => writeln!(terminal.out(), "`{}` is sound: {read}", dir.display())?,
        n => {
            wrong.iter().for_each(|sentence| terminal.complain(sentence));
            let places = if n == 1 { "in one place".into() } else { format!("in {n} places") };
            writeln!(terminal.out(), "`{}` is damaged {places}; {read}", dir.display())?;
        }
    }
    Ok(exit)
}

fn info(dir: &Path, format: ReportFormat, terminal: &mut Terminal) -> Outcome {
    let contents = contents(dir, None)?;
    let Contents { pipeline, version, is_clean, journal, logs, snapshots, batches, reach, next, last, .. } = &contents;
    let bytes = journal.1 + logs.1 + snapshots.iter().map(|(_, bytes)| bytes).sum::<u64>();
    if format == ReportFormat::Json {
        let snapshot = |(number, bytes): &(u64, u64)| json!({ "number": number, "bytes": bytes });
        let object = json!({
            "pipeline": pipeline,
            "version": version,
            "clean": is_clean,
            "bytes": bytes,
            "journal": { "segments": journal.0, "bytes": journal.1, "batches": batches.len() },
            "logs": { "count": logs.0, "bytes": logs.1 },
            "snapshots": snapshots.iter().map(snapshot).collect::<Vec<_>>(),
            "first": batches.first().map(|(of, _)| batch(*of)),
            "last": next.checked_sub(1).zip(*last).map(|(number, micros)| batch(BatchTime { number, micros })),
            "rewinds_to": reach,
            "rewound_to": contents.rewound,
            "undelivered": due(&contents),
            "given_up": contents.given_up.iter().map(given_up).collect::<Vec<_>>(),
        });
        writeln!(terminal.out(), "{object}")?;
        return Ok(Exit::Clean);
    }
    let said = |of: BatchTime| format!("{}, {} ({})", of.number, show_moment(of.micros), ago(of.micros));
    let sizes = snapshots.iter().map(|(_, bytes)| show_bytes(*bytes)).collect::<Vec<_>>().join(", ");
    let segments = if journal.0 == 1 { "1 segment".into() } else { format!("{} segments", journal.0) };
    let last = next.checked_sub(1).zip(*last).map(|(number, micros)| BatchTime { number, micros });
    let end = if *is_clean { "the last run ended by itself" } else { "a run is under way, or was cut off" };
    let row = |name: &str, text: String| vec![name.to_owned(), text];
    let table = vec![
        row("pipeline", pipeline.clone()),
        row("format", version.to_string()),
        row("end", end.into()),
        row("size", show_bytes(bytes)),
        row("journal", format!("{segments}, {}, {} batches", show_bytes(journal.1), grouped(batches.len() as u64))),
        row("snapshots", if snapshots.is_empty() { "none".into() } else { format!("{}: {sizes}", snapshots.len()) }),
        row("first batch", batches.first().map_or("none".into(), |(of, _)| said(*of))),
        row("last batch", last.map_or("none".into(), said)),
        row("rewinds to", reach.map_or("none".into(), |batch| format!("batch {batch}"))),
    ];
    let received = (logs.0 > 0).then(|| row("received", format!("{} in {} logs", show_bytes(logs.1), logs.0)));
    let back = contents.rewound.map(|batch| row("gone back", format!("to the state behind batch {batch}")));
    let lost = |of: &GivenUp| {
        let (rows, when) = (grouped(of.rows as u64), show_moment(of.micros));
        row("given up", format!("batch {} for `{}`: {rows} rows, on {when}", of.number, of.sink))
    };
    let table: Vec<_> =
        table.into_iter().chain(received).chain(back).chain(contents.given_up.iter().map(lost)).collect();
    let text = aligned(&table, "") + &undelivered(&contents);
    terminal.out().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

fn given_up(of: &GivenUp) -> Value {
    json!({ "batch": of.number, "sink": of.sink, "rows": of.rows, "time": show_moment(of.micros) })
}

fn compact(dir: &Path, terminal: &mut Terminal) -> Outcome {
    is_checkpoint(dir)?;
    let done = Checkpoint::compact(&disk(), dir).map_err(Failure::new)?;
    let (before, after) = (show_bytes(done.bytes.0), show_bytes(done.bytes.1));
    let text = match done.behind {
        Some(batch) => format!("{before} before, {after} now; what is kept begins behind batch {batch}"),
        None => "no batch was committed yet: there is nothing to let go of".into(),
    };
    writeln!(terminal.out(), "{text}")?;
    Ok(Exit::Clean)
}

fn export(dir: &Path, file: &Path, terminal: &mut Terminal) -> Outcome {
    is_checkpoint(dir)?;
    let copied = Copied::of(&disk(), dir).map_err(Failure::new)?;
    let made = File::options().write(true).create_new(true).mode(0o600).open(file);
    let made = made.map_err(|e| Failure::of(file, &e))?;
    let written = write_all(&copied, &made);
    if let Err(error) = written {
        // Half a copy is of no use to anybody.
        drop(std::fs::remove_file(file));
        return Err(Failure::of(file, &error));
    }
    let bytes = made.metadata().map_or(0, |found| found.len());
    let behind = copied.behind().map_or(String::new(), |batch| format!(" behind batch {batch}"));
    if copied.leaves_logs() {
        terminal.aside("what was pushed at sources and no batch had yet stays in the checkpoint it came from\n");
    }
    let name = file.display();
    writeln!(terminal.out(), "`{}`{behind} is in `{name}`, {}", copied.pipeline(), show_bytes(bytes))?;
    Ok(Exit::Clean)
}

fn write_all(copied: &Copied, file: &File) -> io::Result<()> {
    let mut to = BufWriter::new(file);
    copied.write(&mut to)?;
    to.flush()?;
    file.sync_all()
}

fn import(file: &Path, dir: &Path, terminal: &mut Terminal) -> Outcome {
    let copied = read(file)?;
    let (pipeline, behind) = (copied.pipeline().to_owned(), copied.behind());
    copied.put(&disk(), dir).map_err(Failure::new)?;
    let behind = behind.map_or(String::new(), |batch| format!(" behind batch {batch}"));
    writeln!(
        terminal.out(),
        "`{}` is a checkpoint of `{pipeline}`{behind}: a pipeline with that name and `checkpoint` goes on from there",
        dir.display()
    )?;
    Ok(Exit::Clean)
}

/// What `export` wrote.
pub(super) fn read(file: &Path) -> Result<Copied, Failure> {
    let opened = File::open(file).map_err(|e| Failure::of(file, &e))?;
    let said = |why| Failure::new(format!("`{}`: {why}", file.display()));
    Copied::read(BufReader::new(opened)).map_err(said)
}
