//! Rows that wait until a file is full or old: a segment for each batch and folder, in a hidden folder beside the files.
//! A segment is written and synced when its batch is staged and gets its name when it is delivered, so it is neither lost
//! nor there twice. What was published last is noted before it is, so that a crash between the file and its segments
//! leaves no doubt whether they are in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;

use crate::plan::operator::{BatchTime, TaskError};
use crate::sinks::publish;

/// A file is full with so many bytes, however young: it is put together in memory.
const LARGEST: u64 = 256_000_000;

/// When a file is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Roll {
    /// So many bytes wait.
    Size(u64),
    /// The oldest batch is that old, in microseconds.
    Age(i64),
}

/// What waits.
pub(super) struct Spool {
    root: PathBuf,
    roll: Roll,
    /// By the folder that the rows belong into.
    parts: BTreeMap<String, Part>,
}

/// What waits for one folder.
#[derive(Default)]
struct Part {
    /// By batch, with how many bytes each has.
    segments: BTreeMap<Segment, u64>,
    /// Segments that were published last.
    published: BTreeSet<Segment>,
}

/// A batch by its time and number, in the order of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Segment {
    micros: i64,
    number: u64,
}

/// Rows that are to be one file.
pub(super) struct Full {
    pub(super) folder: String,
    /// The first batch in it, which names it.
    pub(super) first: BatchTime,
    pub(super) rows: Vec<RecordBatch>,
    segments: Vec<Segment>,
}

/// What names the note of what was published last.
const NOTE: &str = "published";

impl Segment {
    fn of(batch: &BatchTime) -> Self {
        Segment { micros: batch.micros, number: batch.number }
    }

    fn name(self) -> String {
        format!("{:020}-{:020}.rows", self.micros, self.number)
    }

    fn read(name: &str) -> Option<Self> {
        let (micros, number) = name.strip_suffix(".rows")?.split_once('-')?;
        Some(Segment { micros: micros.parse().ok()?, number: number.parse().ok()? })
    }
}

impl Spool {
    /// What waits from runs before is gone on with. `folder`: where files are published.
    pub(super) fn open(folder: &Path, roll: Roll) -> io::Result<Self> {
        let mut spool = Spool { root: folder.join(".spool"), roll, parts: BTreeMap::new() };
        if spool.root.is_dir() {
            spool.load(folder, String::new())?;
        }
        Ok(spool)
    }

    fn load(&mut self, folder: &Path, name: String) -> io::Result<()> {
        let mut part = Part::default();
        let mut below = Vec::new();
        for entry in fs::read_dir(self.root.join(&name))? {
            let entry = entry?;
            let Ok(own) = entry.file_name().into_string() else { continue };
            if entry.file_type()?.is_dir() {
                below.push(if name.is_empty() { own } else { format!("{name}/{own}") });
            } else if let Some(segment) = Segment::read(&own) {
                part.segments.insert(segment, entry.metadata()?.len());
            }
        }
        if let Ok(note) = fs::read_to_string(self.root.join(&name).join(NOTE)) {
            let mut lines = note.lines();
            let target = lines.next().unwrap_or_default();
            // The note is written first; it holds where the file is there.
            if folder.join(&name).join(target).exists() {
                part.published = lines.filter_map(Segment::read).collect();
            }
            for segment in &part.published {
                if part.segments.remove(segment).is_some() {
                    fs::remove_file(self.root.join(&name).join(segment.name()))?;
                }
            }
        }
        self.parts.insert(name, part);
        below.into_iter().try_for_each(|name| self.load(folder, name))
    }

    /// Takes away what is staged and will not be delivered.
    pub(super) fn sweep(&self) -> io::Result<()> {
        for folder in self.parts.keys() {
            for entry in fs::read_dir(self.root.join(folder))? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().ends_with(".rows.tmp") {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }

    fn path(&self, folder: &str, segment: Segment) -> PathBuf {
        self.root.join(folder).join(segment.name())
    }

    /// Writes rows so that they are safe, but wait for their batch to be delivered.
    pub(super) fn stage(&self, folder: &str, batch: &BatchTime, rows: &[RecordBatch]) -> Result<(), TaskError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let mut bytes = Vec::new();
        let written = StreamWriter::try_new(&mut bytes, &first.schema())
            .and_then(|mut writer| rows.iter().try_for_each(|rows| writer.write(rows)).and_then(|()| writer.finish()));
        written.map_err(|e| TaskError::Bug(e.to_string()))?;
        let path = self.path(folder, Segment::of(batch));
        let staged = publish::write(&publish::hidden(&path), &bytes);
        staged.map_err(|e| TaskError::Retry(format!("cannot write `{}`: {e}", path.display())))
    }

    /// The rows of a batch count from now on.
    pub(super) fn deliver(&mut self, folder: &str, batch: &BatchTime) -> Result<(), TaskError> {
        let segment = Segment::of(batch);
        let path = self.path(folder, segment);
        let part = self.parts.entry(folder.to_owned()).or_default();
        let staged = publish::hidden(&path);
        let retry = |e: io::Error| TaskError::Retry(format!("cannot keep `{}`: {e}", path.display()));
        if part.published.contains(&segment) {
            return match fs::remove_file(staged) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(retry(e)),
                _ => Ok(()),
            };
        }
        match fs::rename(staged, &path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.exists() => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(TaskError::Stop(format!("the rows that waited in `{}` are gone", path.display())));
            }
            Err(e) => return Err(retry(e)),
        }
        publish::sync(path.parent().unwrap_or(&self.root)).map_err(retry)?;
        let bytes = fs::metadata(&path).map_err(retry)?.len();
        part.segments.insert(segment, bytes);
        Ok(())
    }

    /// Whether time alone may make a file full.
    pub(super) fn waits_for_time(&self) -> bool {
        matches!(self.roll, Roll::Age(_)) && self.parts.values().any(|part| !part.segments.is_empty())
    }

    /// The folders whose files are full; all that have any rows where `now` is none.
    pub(super) fn full(&self, now: Option<i64>) -> Vec<String> {
        let is_full = |part: &Part| {
            let Some((oldest, _)) = part.segments.first_key_value() else { return false };
            let bytes: u64 = part.segments.values().sum();
            let Some(now) = now else { return true };
            match self.roll {
                Roll::Size(most) => bytes >= most.min(LARGEST),
                Roll::Age(most) => bytes >= LARGEST || now.saturating_sub(oldest.micros) >= most,
            }
        };
        self.parts.iter().filter(|(_, part)| is_full(part)).map(|(folder, _)| folder.clone()).collect()
    }

    /// All rows that wait for a folder.
    pub(super) fn rows(&self, folder: &str) -> Result<Option<Full>, TaskError> {
        let Some(part) = self.parts.get(folder) else { return Ok(None) };
        let Some((first, _)) = part.segments.first_key_value() else { return Ok(None) };
        let mut rows = Vec::new();
        for segment in part.segments.keys() {
            let path = self.path(folder, *segment);
            let damaged = |e: &dyn std::fmt::Display| {
                TaskError::Stop(format!("the rows that wait in `{}` cannot be read: {e}", path.display()))
            };
            let file = fs::File::open(&path).map_err(|e| damaged(&e))?;
            let reader = StreamReader::try_new_buffered(file, None).map_err(|e| damaged(&e))?;
            rows.extend(reader.collect::<Result<Vec<_>, _>>().map_err(|e| damaged(&e))?);
        }
        let first = BatchTime { micros: first.micros, number: first.number };
        Ok(Some(Full { folder: folder.to_owned(), first, rows, segments: part.segments.keys().copied().collect() }))
    }

    /// Says that these rows are about to be published under a name.
    pub(super) fn note(&self, full: &Full, name: &str) -> io::Result<()> {
        let names = full.segments.iter().map(|segment| segment.name());
        let text: String = std::iter::once(name.to_owned()).chain(names).map(|line| line + "\n").collect();
        publish::replace(&self.root.join(&full.folder).join(NOTE), text.as_bytes())
    }

    /// They are published: they wait no more.
    pub(super) fn clear(&mut self, full: &Full) -> io::Result<()> {
        for segment in &full.segments {
            match fs::remove_file(self.path(&full.folder, *segment)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        if let Some(part) = self.parts.get_mut(&full.folder) {
            part.segments.clear();
            part.published = full.segments.iter().copied().collect();
        }
        Ok(())
    }
}
