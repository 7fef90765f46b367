//! The running half of `files`: rows become files, files get their names.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use crate::model::Schema;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, FormatCodec, Sink};
use crate::plan::{Conflict, OptionValue, Settings};
use crate::sinks::files::index::{Entry, Index};
use crate::sinks::files::partition;
use crate::sinks::files::spool::{Roll, Spool};
use crate::sinks::publish::{self, Staging};

/// Formats that pack their own contents and whose readers expect them as they are.
const PACK_THEMSELVES: [&str; 3] = ["parquet", "avro", "arrow"];

/// What of its options does not go together.
pub(super) fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let by = settings.texts("partition_by");
    let mut found = Vec::new();
    if !by.is_empty() && endpoint.schema.names().all(|name| by.contains(&name)) {
        let message = "`partition_by` names all columns, so nothing is left to write into the files";
        found.push(Conflict::between("partition_by", message, "leave one of them out"));
    }
    let own = endpoint.format.as_ref().map(|format| format.entry.doc.name.as_str());
    if let Some(name) = own.filter(|name| PACK_THEMSELVES.contains(name) && Packed::of(settings) != Packed::No) {
        let message = format!("`compression` packs whole files, but files of format `{name}` are packed inside");
        let help = match settings.text("compression") {
            Some("zstd") => "write instead:\n  codec: zstd",
            _ => "write `codec` instead of `compression`",
        };
        found.push(Conflict::between("compression", message, help));
    }
    let prefix = settings.text("prefix").unwrap_or_default();
    if prefix.contains(|c: char| c == '/' || c.is_control()) || prefix.starts_with(['.', '_']) {
        let help = "use letters:\n  prefix: \"part\"";
        found.push(Conflict::value("prefix", format!("`{prefix}` cannot be the start of a file's name"), help));
    }
    found
}

pub(super) fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    let by: Vec<usize> = settings.texts("partition_by").iter().filter_map(|c| endpoint.schema.position(c)).collect();
    let kept: Vec<usize> = (0..endpoint.schema.columns.len()).filter(|i| !by.contains(i)).collect();
    let written = Schema::new(kept.iter().map(|i| endpoint.schema.columns[*i].clone()).collect());
    let format = endpoint.format.as_ref().ok_or_else(|| NotRunnable("sink `files` has no format".into()))?;
    let name = format.entry.doc.name.as_str();
    let packed = Packed::of(settings);
    let prefix = settings.text("prefix").unwrap_or("part").to_owned();
    let folder = endpoint.base.join(settings.text("path").unwrap_or_default());
    let roll = match settings.get("roll") {
        Some(OptionValue::Size(bytes)) => Some(Roll::Size(*bytes)),
        Some(OptionValue::Duration(micros)) => Some(Roll::Age(*micros)),
        _ => None,
    };
    let spool = roll.map(|roll| Spool::open(&folder, roll)).transpose();
    let spool = spool.map_err(|e| NotRunnable(format!("cannot look into `{}`: {e}", folder.display())))?;
    Ok(Box::new(Shelf {
        index: Index { folder: folder.clone(), manifest: settings.flag("manifest"), latest: settings.flag("latest") },
        ending: format!("{}{}", ending(name), packed.ending()),
        codec: (format.entry.open)(format, &written)?,
        staging: Staging::new(&folder, endpoint),
        folder,
        prefix,
        packed,
        by,
        kept,
        spool,
    }))
}

/// What people expect names of that format to end with.
fn ending(format: &str) -> &str {
    match format {
        "text" => "txt",
        "logfmt" => "log",
        "binary" => "bin",
        other => other,
    }
}

/// How files are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packed {
    No,
    Gzip,
    Zstd,
}

impl Packed {
    fn of(settings: &Settings) -> Self {
        match settings.text("compression") {
            Some("gzip") => Packed::Gzip,
            Some("zstd") => Packed::Zstd,
            _ => Packed::No,
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Packed::No => "",
            Packed::Gzip => ".gz",
            Packed::Zstd => ".zst",
        }
    }

    fn pack(self, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            Packed::No => Ok(bytes),
            Packed::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(&bytes)?;
                packer.finish()
            }
            Packed::Zstd => zstd::stream::encode_all(&bytes[..], 0),
        }
    }
}

struct Shelf {
    folder: PathBuf,
    prefix: String,
    ending: String,
    codec: Box<dyn FormatCodec>,
    packed: Packed,
    /// Columns that become folders.
    by: Vec<usize>,
    /// Columns that are written.
    kept: Vec<usize>,
    /// Where files wait for their names.
    staging: Staging,
    index: Index,
    /// Rows wait for a file to be full.
    spool: Option<Spool>,
}

impl Sink for Shelf {
    /// Writes under names that readers skip. An artifact is a line for each file: how many rows, and its path, or where
    /// rows wait only the folder they belong into.
    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let mut artifact = Artifact { rows: count(rows), ..Artifact::default() };
        for (folder, rows) in self.by_folder(rows)? {
            let count = count(&rows);
            if count == 0 {
                continue;
            }
            let line = match &self.spool {
                Some(spool) => {
                    spool.stage(&folder, batch, &rows)?;
                    folder
                }
                None => self.write(&folder, batch, &rows)?,
            };
            artifact.bytes.extend(format!("{count}\t{line}\n").as_bytes());
        }
        Ok(artifact)
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let text = String::from_utf8_lossy(&artifact.bytes).into_owned();
        for line in text.lines() {
            let (rows, path) = line.split_once('\t').unwrap_or(("0", line));
            match &mut self.spool {
                Some(spool) => spool.deliver(path, batch)?,
                None => self.publish(path, rows.parse().unwrap_or(0), batch)?,
            }
        }
        self.roll(Some(batch.micros))?;
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }

    fn wants_empty(&self) -> bool {
        self.spool.as_ref().is_some_and(Spool::waits_for_time)
    }

    fn sweep(&mut self) -> Result<(), TaskError> {
        let swept = self.staging.sweep().and_then(|()| self.spool.as_ref().map_or(Ok(()), Spool::sweep));
        swept.map_err(|e| TaskError::Retry(format!("cannot clear up in `{}`: {e}", self.folder.display())))
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        self.roll(None)?;
        self.staging.tidy();
        Ok(())
    }
}

fn count(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::num_rows).sum()
}

impl Shelf {
    /// Rows by the folder they belong into.
    fn by_folder(&self, rows: &[RecordBatch]) -> Result<BTreeMap<String, Vec<RecordBatch>>, TaskError> {
        let mut folders = BTreeMap::new();
        for batch in rows {
            for (folder, rows) in partition::split(batch, &self.by).map_err(|e| TaskError::Bug(e.to_string()))? {
                let rows = rows.project(&self.kept).map_err(|e| TaskError::Bug(e.to_string()))?;
                folders.entry(folder).or_insert_with(Vec::new).push(rows);
            }
        }
        Ok(folders)
    }

    /// Writes a file that nobody sees yet; its path in the folder.
    fn write(&self, folder: &str, batch: &BatchTime, rows: &[RecordBatch]) -> Result<String, TaskError> {
        let mut bytes = Vec::new();
        self.codec.encode(rows, &mut bytes)?;
        let name = format!("{}-{:013}-{:06}.{}", self.prefix, batch.micros / 1000, batch.number, self.ending);
        let path = Path::new(folder).join(name);
        let path = path.to_string_lossy().into_owned();
        let staged = self.staging.path(&path);
        let written = self.packed.pack(bytes).and_then(|bytes| publish::write(&staged, &bytes));
        written.map_err(|e| TaskError::Retry(format!("cannot write `{path}`: {e}")))?;
        Ok(path)
    }

    fn publish(&self, path: &str, rows: u64, batch: &BatchTime) -> Result<(), TaskError> {
        let published = publish::publish(&self.staging.path(path), &self.folder.join(path), None)?;
        let told = self.index.add(&Entry { file: path, rows, batch }, published);
        told.map_err(|e| TaskError::Retry(format!("cannot list `{path}`: {e}")))
    }

    /// Publishes what is full; everything that waits where there is no time.
    fn roll(&mut self, now: Option<i64>) -> Result<(), TaskError> {
        let Some(mut spool) = self.spool.take() else { return Ok(()) };
        let done = spool.full(now).iter().try_for_each(|folder| self.publish_all(&mut spool, folder));
        self.spool = Some(spool);
        done
    }

    fn publish_all(&self, spool: &mut Spool, folder: &str) -> Result<(), TaskError> {
        let Some(full) = spool.rows(folder)? else { return Ok(()) };
        let path = self.write(&full.folder, &full.first, &full.rows)?;
        let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy();
        let retry = |e: std::io::Error| TaskError::Retry(format!("cannot publish `{path}`: {e}"));
        spool.note(&full, &name).map_err(retry)?;
        self.publish(&path, count(&full.rows) as u64, &full.first)?;
        spool.clear(&full).map_err(retry)
    }
}

#[cfg(test)]
mod tests;
