//! `text_files`: a folder for every batch, as Spark's `saveAsTextFiles` does, but without empty files.

use std::path::PathBuf;

use arrow::array::RecordBatch;

use crate::plan::catalog::Endpoint;
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, FormatCodec, Sink};
use crate::plan::{Doc, OptionKind, OptionSpec, SinkEntry};
use crate::sinks::appends_only;
use crate::sinks::publish::{self, Staging};

/// The file in every folder, named as Spark does.
const PART: &str = "part-00000";

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
        conflicts: |_| Vec::new(),
        open: SinkEntry::by(open),
    }
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    let format = endpoint.format.as_ref().ok_or_else(|| NotRunnable("sink `text_files` has no format".into()))?;
    let suffix = settings.text("suffix").filter(|s| !s.is_empty());
    let prefix = endpoint.base.join(settings.text("prefix").unwrap_or_default());
    Ok(Box::new(TextFiles {
        staging: Staging::new(prefix.parent().unwrap_or(&endpoint.base), endpoint),
        prefix: prefix.to_string_lossy().into_owned(),
        suffix: suffix.map(|s| format!(".{s}")).unwrap_or_default(),
        codec: (format.entry.open)(format, &endpoint.schema)?,
    }))
}

struct TextFiles {
    staging: Staging,
    /// The path that every folder's name starts with.
    prefix: String,
    /// With its point.
    suffix: String,
    codec: Box<dyn FormatCodec>,
}

impl TextFiles {
    fn folder(&self, batch: &BatchTime) -> PathBuf {
        format!("{}-{}{}", self.prefix, batch.micros / 1000, self.suffix).into()
    }

    fn staged(&self, batch: &BatchTime) -> PathBuf {
        let folder = self.folder(batch);
        self.staging.path(&folder.file_name().unwrap_or_default().to_string_lossy())
    }
}

impl Sink for TextFiles {
    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let count = rows.iter().map(RecordBatch::num_rows).sum();
        if count == 0 {
            return Ok(Artifact::default());
        }
        let mut bytes = Vec::new();
        self.codec.encode(rows, &mut bytes)?;
        let staged = self.staged(batch);
        let written = publish::write(&staged.join(PART), &bytes);
        // The folder's own name is to be durable too.
        let written = written.and_then(|()| publish::sync(staged.parent().unwrap_or(&staged)));
        written.map_err(|e| TaskError::Retry(format!("cannot write into `{}`: {e}", staged.display())))?;
        Ok(Artifact { bytes: Vec::new(), rows: count })
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        if artifact.rows > 0 {
            publish::publish(&self.staged(batch), &self.folder(batch), Some(PART))?;
        }
        Ok(Delivered::default())
    }

    fn sweep(&mut self) -> Result<(), TaskError> {
        self.staging.sweep().map_err(|e| TaskError::Retry(format!("cannot clear up: {e}")))
    }

    fn finish(&mut self) -> Result<(), TaskError> {
        self.staging.tidy();
        Ok(())
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use arrow::array::StringArray;
    use millstream_dsl::Span;

    use super::*;
    use crate::model::{Column, Schema, Slot, Type};
    use crate::plan::catalog::{EndpointEntry, FormatCall};
    use crate::plan::{OptionValue, Settings};

    fn sink(base: &Path) -> Box<dyn Sink> {
        let mut settings = Settings::default();
        settings.set("prefix", OptionValue::Text("out/words".into()), Span::default());
        settings.set("suffix", OptionValue::Text("txt".into()), Span::default());
        open(&Endpoint {
            name: "words".into(),
            word: "text_files".into(),
            entry: EndpointEntry::Sink(Arc::new(entry())),
            settings,
            format: Some(FormatCall { entry: Arc::new(crate::formats::text::entry()), settings: Settings::default() }),
            schema: schema(),
            changes: false,
            pipeline: "p".into(),
            base: base.into(),
        })
        .unwrap()
    }

    fn schema() -> Schema {
        Schema::new(vec![Column::new("word", Slot::required(Type::String))])
    }

    fn rows(words: &[&str]) -> RecordBatch {
        RecordBatch::try_new(schema().to_arrow(), vec![Arc::new(StringArray::from(words.to_vec()))]).unwrap()
    }

    #[test]
    fn a_batch_is_a_folder_that_appears_whole_and_once() {
        let base = tempfile::tempdir().unwrap();
        let batch = BatchTime { number: 3, micros: 1_000_000 };
        let mut sink = sink(base.path());
        let artifact = sink.stage(&batch, &[rows(&["to", "be"])]).unwrap();
        let names = || -> Vec<String> {
            let entries = fs::read_dir(base.path().join("out")).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert!(matches!(names().as_slice(), [only] if only.starts_with(".staged-")));
        for _ in 0..2 {
            sink.deliver(&batch, &artifact).unwrap();
            sink.finish().unwrap();
            assert_eq!(names(), ["words-1000.txt"]);
        }
        assert_eq!(fs::read_to_string(base.path().join("out/words-1000.txt/part-00000")).unwrap(), "to\nbe\n");
        // After a crash the batch may be staged and delivered once more.
        let again = sink.stage(&batch, &[rows(&["to", "be"])]).unwrap();
        sink.deliver(&batch, &again).unwrap();
        sink.finish().unwrap();
        assert_eq!(names(), ["words-1000.txt"]);
        let other = sink.stage(&batch, &[rows(&["not"])]).unwrap();
        assert!(matches!(sink.deliver(&batch, &other), Err(TaskError::Stop(_))));
    }

    #[test]
    fn a_batch_without_rows_gives_no_folder() {
        let base = tempfile::tempdir().unwrap();
        let mut sink = sink(base.path());
        let batch = BatchTime { number: 3, micros: 1_000_000 };
        let artifact = sink.stage(&batch, &[rows(&[])]).unwrap();
        sink.deliver(&batch, &artifact).unwrap();
        assert!(!base.path().join("out").exists());
    }
}
