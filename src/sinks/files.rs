//! `files`: a folder of files that readers never see half-written.

mod partition;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use crate::connect::columns;
use crate::model::Schema;
use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, FormatCodec, Sink};
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::appends_only;

const COMPRESSION: &[(&str, &str)] =
    &[("none", "as they are"), ("gzip", "with the ending `.gz`"), ("zstd", "with the ending `.zst`")];

/// The entry.
pub fn entry() -> SinkEntry {
    let roll = OptionKind::AnyOf(vec![OptionKind::Size, OptionKind::Duration]);
    SinkEntry {
        doc: Doc::new("files", "writes files into a folder, each whole or not at all", "files(\"FOLDER\") { OPTIONS }")
            .details(
                "A batch that has rows gives one file (one for each value of `partition_by`), written under a temporary \
                 name and renamed. Names sort by batch, and writing a batch again replaces its own files.",
            )
            .example("from orders |> into files(\"out/orders\") { format: parquet }")
            .example("from orders |> into files(\"out/by-user\") { format: json, partition_by: [user_id] }"),
        args: vec![OptionSpec::required("path", OptionKind::Path, "the folder; it is made when it is not there")],
        options: vec![
            OptionSpec::optional("partition_by", columns(), "a folder `column=value` for each value of these columns"),
            OptionSpec::optional("roll", roll, "rows wait until a file is this large or this old"),
            OptionSpec::with_default("prefix", OptionKind::Text, "\"part\"", "what file names start with"),
            OptionSpec::with_default("compression", OptionKind::Symbol(COMPRESSION), "none", "whether files are compressed"),
            OptionSpec::with_default("manifest", OptionKind::Bool, "false", "whether `_manifest` lists every published file"),
            OptionSpec::with_default("latest", OptionKind::Bool, "false", "whether `_latest` names the newest file"),
        ],
        takes_changes: appends_only,
        format: Some("json"),
        guarantee: |_| "exactly once (published by batch)".into(),
        target: |settings| settings.text("path").map(|path| format!("files {path}")),
        feature: None,
        open: SinkEntry::by(open),
    }
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    let later = [
        ("roll", settings.get("roll").is_some()),
        ("manifest", settings.flag("manifest")),
        ("latest", settings.flag("latest")),
        ("compression", matches!(settings.text("compression"), Some("gzip" | "zstd"))),
    ];
    if let Some((option, _)) = later.iter().find(|(_, given)| *given) {
        return Err(NotRunnable(format!("sink `files` with `{option}` can be checked, but not run yet")));
    }
    let by: Vec<usize> = settings.texts("partition_by").iter().filter_map(|c| endpoint.schema.position(c)).collect();
    let kept: Vec<usize> = (0..endpoint.schema.columns.len()).filter(|i| !by.contains(i)).collect();
    let written = Schema::new(kept.iter().map(|i| endpoint.schema.columns[*i].clone()).collect());
    let format = endpoint.format.as_ref().ok_or_else(|| NotRunnable("sink `files` has no format".into()))?;
    Ok(Box::new(Files {
        folder: endpoint.base.join(settings.text("path").unwrap_or_default()),
        prefix: settings.text("prefix").unwrap_or("part").to_owned(),
        ending: ending(&format.entry.doc.name),
        codec: (format.entry.open)(format, &written)?,
        by,
        kept,
    }))
}

/// What people expect names of that format to end with.
fn ending(format: &str) -> String {
    if format == "text" { "txt".into() } else { format.into() }
}

struct Files {
    folder: PathBuf,
    prefix: String,
    ending: String,
    codec: Box<dyn FormatCodec>,
    /// Columns that become folders.
    by: Vec<usize>,
    /// Columns that are written.
    kept: Vec<usize>,
}

impl Sink for Files {
    /// Writes under names that readers skip.
    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let mut artifact = Artifact { rows: rows.iter().map(RecordBatch::num_rows).sum(), ..Artifact::default() };
        for (folder, rows) in self.by_folder(rows)? {
            let mut bytes = Vec::new();
            self.codec.encode(&rows, &mut bytes)?;
            let name = format!("{}-{:013}-{:06}.{}", self.prefix, batch.micros / 1000, batch.number, self.ending);
            let target = Path::new(&folder).join(name);
            let path = target.to_string_lossy();
            self.write(&target, &bytes).map_err(|e| TaskError::Retry(format!("cannot write `{path}`: {e}")))?;
            artifact.bytes.extend(path.as_bytes());
            artifact.bytes.push(b'\n');
        }
        Ok(artifact)
    }

    fn deliver(&mut self, _: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let names = String::from_utf8_lossy(&artifact.bytes);
        for name in names.lines() {
            let target = self.folder.join(name);
            match fs::rename(staged(&target), &target) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound && target.exists() => {}
                Err(e) => return Err(TaskError::Retry(format!("cannot publish `{}`: {e}", target.display()))),
            }
        }
        Ok(Delivered::default())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}

impl Files {
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

    fn write(&self, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = staged(&self.folder.join(target));
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        fs::write(path, bytes)
    }
}

/// The name a file has until it is published.
fn staged(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.tmp"))
}

#[cfg(test)]
mod tests;
