//! The running half of `files`: lists, reads from a position, and clears away what is done with.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;

use crate::model::Schema;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Limits, Position, Positions, Read, Source, Split};
use crate::plan::{OptionValue, Settings};
use crate::sources::cutter::{self, Cutter};
use crate::sources::files::pattern::Pattern;

/// Bytes read in one go, for each thread that decodes them.
const CHUNK: usize = 4 << 20;

/// What people can give that does not run yet.
const LATER: [(&str, &str); 3] = [("tail", "true"), ("hive", "true"), ("compression", "gzip")];

pub(super) fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    for (option, value) in LATER {
        let given = settings.flag(option) || matches!(settings.text(option), Some("gzip" | "zstd"));
        if given {
            return Err(NotRunnable(format!(
                "source `files` with `{option}: {value}` can be checked, but not run yet"
            )));
        }
    }
    if settings.is_written("max_line") {
        return Err(NotRunnable("source `files` with `max_line` can be checked, but not run yet".into()));
    }
    let metadata: Vec<Meta> = settings.texts("metadata").into_iter().filter_map(Meta::from_word).collect();
    let own = endpoint.schema.columns.len().saturating_sub(metadata.len());
    let codec = cutter::codec(endpoint, &Schema::new(endpoint.schema.columns[..own].to_vec()))?;
    let path = settings.text("path").ok_or_else(|| NotRunnable("source `files` has no path".into()))?;
    Ok(Box::new(Files {
        pattern: Pattern::new(path, &endpoint.base, settings.flag("recursive"))?,
        base: endpoint.base.clone(),
        codec,
        schema: endpoint.schema.to_arrow(),
        metadata,
        start: Start::of(settings),
        by_time: settings.text("order") == Some("time"),
        max_files: settings.integer("max_files").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX),
        settle: settings.duration("settle").unwrap_or(0),
        poll: settings.duration("poll").unwrap_or(0),
        listed: None,
        after: After::of(settings, &endpoint.base)?,
    }))
}

struct Files {
    pattern: Pattern,
    base: PathBuf,
    codec: Arc<dyn FormatCodec>,
    schema: SchemaRef,
    metadata: Vec<Meta>,
    start: Start,
    by_time: bool,
    max_files: usize,
    settle: i64,
    poll: i64,
    /// What was found when it was last looked, and when that was.
    listed: Option<(i64, Vec<String>)>,
    after: After,
}

/// A column about where a row comes from.
#[derive(Debug, Clone, Copy)]
enum Meta {
    File,
    Line,
    Mtime,
}

impl Meta {
    fn from_word(word: &str) -> Option<Self> {
        match word {
            "file" => Some(Meta::File),
            "line" => Some(Meta::Line),
            "mtime" => Some(Meta::Mtime),
            _ => None,
        }
    }
}

/// Which files count.
enum Start {
    Earliest,
    /// Those changed since the first time it is asked.
    Latest,
    Since(i64),
}

impl Start {
    fn of(settings: &Settings) -> Self {
        match settings.get("start") {
            Some(OptionValue::Timestamp(micros)) => Start::Since(*micros),
            Some(OptionValue::Symbol(word)) if word == "latest" => Start::Latest,
            _ => Start::Earliest,
        }
    }
}

/// What becomes of a file that was read.
enum After {
    Keep,
    Delete,
    Move(PathBuf),
}

impl After {
    fn of(settings: &Settings, base: &Path) -> Result<Self, NotRunnable> {
        match (settings.text("after"), settings.text("move_to")) {
            (Some("delete"), _) => Ok(After::Delete),
            (Some("move"), Some(folder)) => Ok(After::Move(base.join(folder))),
            (Some("move"), None) => Err(NotRunnable("`after: move` needs `move_to`, the folder to move to".into())),
            _ => Ok(After::Keep),
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    offset: u64,
    lines: u64,
    done: bool,
}

impl Place {
    fn read(position: &Position) -> Self {
        let number =
            |at: usize| position.0.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        Place { offset: number(0), lines: number(8), done: position.0.get(16) == Some(&1) }
    }

    fn write(self) -> Position {
        let mut bytes = self.offset.to_le_bytes().to_vec();
        bytes.extend(self.lines.to_le_bytes());
        bytes.push(u8::from(self.done));
        Position(bytes)
    }
}

impl Source for Files {
    fn leave_out(&mut self, unread: &BTreeSet<usize>) {
        // Columns about where a row comes from stand behind the format's own.
        let own = self.schema.fields().len() - self.metadata.len();
        if let Some(codec) = Arc::get_mut(&mut self.codec) {
            codec.leave_out(&unread.range(..own).copied().collect());
        }
    }

    fn discover(&mut self, known: &Positions, limits: &Limits) -> Result<Vec<Split>, TaskError> {
        if matches!(self.start, Start::Latest) {
            self.start = Start::Since(limits.now);
        }
        let names = self.list(limits).into_iter().map(|id| Split { id });
        let mut open: Vec<_> = names.filter(|split| known.get(split).is_none_or(|p| !Place::read(p).done)).collect();
        let timed = self.by_time || self.settle > 0 || matches!(self.start, Start::Since(_));
        if timed {
            let mut dated: Vec<_> = open.into_iter().map(|split| (self.mtime(&split), split)).collect();
            dated.retain(|(mtime, _)| self.counts(*mtime, limits));
            if self.by_time {
                dated.sort();
            }
            open = dated.into_iter().map(|(_, split)| split).collect();
        }
        open.truncate(self.max_files);
        Ok(open)
    }

    fn read(&mut self, split: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let place = Place::read(from);
        match self.read_file(split, place, limits) {
            Ok(read) => Ok(read),
            Err(Trouble::Task(e)) => Err(e),
            Err(Trouble::Io(e)) if e.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(file = %split.id, "a file went away before it was read");
                let to = Place { done: true, ..place }.write();
                Ok(Read { to, exhausted: true, ..Read::default() })
            }
            Err(Trouble::Io(e)) => Err(TaskError::Retry(format!("cannot read `{}`: {e}", split.id))),
        }
    }

    fn ack(&mut self, split: &Split, position: &Position) -> Result<(), TaskError> {
        if !Place::read(position).done {
            return Ok(());
        }
        let path = self.base.join(&split.id);
        let cleared = match &self.after {
            After::Keep => Ok(()),
            After::Delete => fs::remove_file(&path),
            After::Move(folder) => fs::create_dir_all(folder)
                .and_then(|()| fs::rename(&path, folder.join(path.file_name().unwrap_or_default()))),
        };
        cleared.map_err(|e| TaskError::Retry(format!("cannot clear away `{}`: {e}", split.id)))
    }

    /// From the names, sizes and times of all files.
    fn version(&mut self) -> Option<u64> {
        let mut hash = DefaultHasher::new();
        for name in self.pattern.files(&self.base) {
            let about = fs::metadata(self.base.join(&name)).ok();
            (&name, about.as_ref().map(fs::Metadata::len), about.and_then(|a| a.modified().ok())).hash(&mut hash);
        }
        Some(hash.finish())
    }
}

enum Trouble {
    Io(io::Error),
    Task(TaskError),
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        Trouble::Io(e)
    }
}

impl From<TaskError> for Trouble {
    fn from(e: TaskError) -> Self {
        Trouble::Task(e)
    }
}

impl Files {
    /// Looks no more often than `poll` says, unless the run waits for nothing.
    fn list(&mut self, limits: &Limits) -> Vec<String> {
        if let Some((when, names)) = &self.listed
            && !limits.drain
            && limits.now - when < self.poll
        {
            return names.clone();
        }
        let names = self.pattern.files(&self.base);
        self.listed = Some((limits.now, names.clone()));
        names
    }

    fn mtime(&self, split: &Split) -> i64 {
        let changed = fs::metadata(self.base.join(&split.id)).and_then(|m| m.modified());
        let since = changed.ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        since.and_then(|d| i64::try_from(d.as_micros()).ok()).unwrap_or(0)
    }

    fn counts(&self, mtime: i64, limits: &Limits) -> bool {
        let since = if let Start::Since(start) = self.start { start } else { i64::MIN };
        mtime >= since && limits.now - mtime >= self.settle
    }

    fn read_file(&self, split: &Split, place: Place, limits: &Limits) -> Result<Read, Trouble> {
        if split.id.ends_with(".gz") || split.id.ends_with(".zst") {
            return Err(TaskError::Stop(format!("`{}` is compressed, which cannot be read yet", split.id)).into());
        }
        let mut file = File::open(self.base.join(&split.id))?;
        let mut cutter = self.cutter(&mut file, place)?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut read = Read::default();
        let chunk = CHUNK * limits.threads.max(1);
        let (mut used, mut rows, mut want, mut last) = (0, 0, chunk, false);
        while rows < limits.rows && read.bytes < limits.bytes {
            if !last {
                last = fill(&mut file, cutter.pending(), want)?;
            }
            let cut = cutter.cut(last, limits.rows - rows, limits.threads)?;
            let nothing = cut.used == 0;
            used += cut.used as u64;
            read.bytes = used;
            self.hand_on(split, cut.decoded, &mut cutter, &mut read)?;
            rows = cutter::count(&read.blocks) + read.bad.len();
            if last && (nothing || cutter.pending().is_empty()) {
                read.exhausted = true;
                break;
            }
            want = if nothing { cutter.pending().len().max(chunk) } else { chunk };
        }
        read.to = Place { offset: place.offset + used, lines: cutter.lines, done: read.exhausted }.write();
        Ok(read)
    }

    /// A file that is gone on with needs its header, which stands at its front.
    fn cutter(&self, file: &mut File, place: Place) -> Result<Cutter, Trouble> {
        if place.offset == 0 {
            return Ok(Cutter::new(self.codec.clone()));
        }
        let mut front = Vec::new();
        loop {
            let last = fill(file, &mut front, CHUNK)?;
            if let Some(length) = self.codec.header(&front, last) {
                front.truncate(length);
                return Ok(Cutter::behind(self.codec.clone(), front, place.lines, cutter::Skips::Nothing));
            }
        }
    }

    fn hand_on(
        &self,
        split: &Split,
        mut decoded: Decoded,
        cutter: &mut Cutter,
        out: &mut Read,
    ) -> Result<(), TaskError> {
        if !self.metadata.is_empty() {
            let mut numbers = row_lines(&decoded, cutter.lines).into_iter();
            for block in &mut decoded.blocks {
                *block = self.with_metadata(split, block, &mut numbers)?;
            }
        }
        cutter.hand_on(decoded, &split.id, out);
        Ok(())
    }

    fn with_metadata(
        &self,
        split: &Split,
        block: &RecordBatch,
        numbers: &mut impl Iterator<Item = i64>,
    ) -> Result<RecordBatch, TaskError> {
        let rows = block.num_rows();
        let numbers: Vec<i64> = numbers.by_ref().take(rows).collect();
        let added = self.metadata.iter().map(|meta| -> ArrayRef {
            match meta {
                Meta::File => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&split.id, rows))),
                Meta::Line => Arc::new(Int64Array::from(numbers.clone())),
                Meta::Mtime => {
                    let times = TimestampMicrosecondArray::from_value(self.mtime(split), rows);
                    Arc::new(times.with_timezone("UTC"))
                }
            }
        });
        let columns = block.columns().iter().cloned().chain(added).collect();
        RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| TaskError::Bug(e.to_string()))
    }
}

/// The line of each row, from 1.
fn row_lines(decoded: &Decoded, before: u64) -> Vec<i64> {
    let mut others: Vec<u64> = decoded.bad.iter().map(|b| b.line).chain(decoded.blank.iter().copied()).collect();
    others.sort_unstable();
    let lines = (0..decoded.lines).filter(|line| others.binary_search(line).is_err());
    lines.map(|line| i64::try_from(before + line + 1).unwrap_or(i64::MAX)).collect()
}

/// Reads up to so many more bytes; true where there are no more.
fn fill(file: &mut File, into: &mut Vec<u8>, want: usize) -> io::Result<bool> {
    let got = file.take(want as u64).read_to_end(into)?;
    Ok(got < want)
}

#[cfg(test)]
mod tests;
