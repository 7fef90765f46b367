//! `text_files`: a folder for every batch, as Spark's `saveAsTextFiles` does, but without empty files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;

use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, FormatCodec, Sink};
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::appends_only;

/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "text_files",
            "writes every batch into a folder of its own, `PREFIX-MILLISECONDS[.SUFFIX]`",
            "text_files(\"PREFIX\", \"SUFFIX\")",
        )
        .details("For programs that expect Spark's layout. A batch without rows gives no folder.")
        .example("from orders |> into text_files(\"out/orders\", \"txt\")")
        .alias("saveAsTextFiles"),
        args: vec![
            OptionSpec::required("prefix", OptionKind::Path, "the path that every folder's name starts with"),
            OptionSpec::optional("suffix", OptionKind::Text, "what every folder's name ends with"),
        ],
        options: Vec::new(),
        takes_changes: appends_only,
        format: Some("text"),
        guarantee: |_| "exactly once (published by batch)".into(),
        target: |settings| settings.text("prefix").map(|prefix| format!("text_files {prefix}")),
        feature: None,
        open: SinkEntry::by(open),
    }
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    let format = endpoint.format.as_ref().ok_or_else(|| NotRunnable("sink `text_files` has no format".into()))?;
    let suffix = settings.text("suffix").filter(|s| !s.is_empty());
    Ok(Box::new(TextFiles {
        base: endpoint.base.clone(),
        prefix: settings.text("prefix").unwrap_or_default().to_owned(),
        suffix: suffix.map(|s| format!(".{s}")).unwrap_or_default(),
        codec: (format.entry.open)(format, &endpoint.schema)?,
    }))
}

struct TextFiles {
    base: PathBuf,
    prefix: String,
    /// With its point.
    suffix: String,
    codec: Box<dyn FormatCodec>,
}

impl TextFiles {
    fn folder(&self, batch: &BatchTime) -> PathBuf {
        self.base.join(format!("{}-{}{}", self.prefix, batch.micros / 1000, self.suffix))
    }
}

/// The name a folder has until it is published.
fn staged(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.tmp"))
}

impl Sink for TextFiles {
    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let mut bytes = Vec::new();
        self.codec.encode(rows, &mut bytes)?;
        let folder = staged(&self.folder(batch));
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("part-00000"), bytes));
        written.map_err(|e| TaskError::Retry(format!("cannot write into `{}`: {e}", folder.display())))?;
        Ok(Artifact { bytes: Vec::new(), rows: rows.iter().map(RecordBatch::num_rows).sum() })
    }

    fn deliver(&mut self, batch: &BatchTime, _: &Artifact) -> Result<Delivered, TaskError> {
        let folder = self.folder(batch);
        match fs::rename(staged(&folder), &folder) {
            Ok(()) => Ok(Delivered::default()),
            Err(e) if e.kind() == io::ErrorKind::NotFound && folder.exists() => Ok(Delivered::default()),
            Err(e) => Err(TaskError::Retry(format!("cannot publish `{}`: {e}", folder.display()))),
        }
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}
