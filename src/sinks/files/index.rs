//! Files that tell of the others: `_manifest` of all, `_latest` of the newest.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::model::time::show_moment;
use crate::plan::operator::BatchTime;
use crate::sinks::publish::{self, Published};

/// Where a file that was published before is looked for: so many bytes at the end of the manifest.
const SEARCHED: u64 = 1 << 20;

/// What is told, and where.
pub(super) struct Index {
    pub(super) folder: PathBuf,
    pub(super) manifest: bool,
    pub(super) latest: bool,
}

/// A file as the manifest has it.
pub(super) struct Entry<'a> {
    /// Its path in the folder.
    pub(super) file: &'a str,
    pub(super) rows: u64,
    pub(super) batch: &'a BatchTime,
}

impl Index {
    /// Tells of a file that was published.
    pub(super) fn add(&self, entry: &Entry<'_>, published: Published) -> io::Result<()> {
        if self.manifest {
            let path = self.folder.join("_manifest");
            if published == Published::Now || !self.lists(&path, entry.file)? {
                self.append(&path, entry)?;
            }
        }
        let path = self.folder.join("_latest");
        if self.latest && (published == Published::Now || fs::read_to_string(&path).is_ok_and(|of| *of < *entry.file)) {
            publish::replace(&path, format!("{}\n", entry.file).as_bytes())?;
        }
        Ok(())
    }

    fn append(&self, path: &Path, entry: &Entry<'_>) -> io::Result<()> {
        let bytes = fs::metadata(self.folder.join(entry.file))?.len();
        let line = json!({
            "file": entry.file,
            "rows": entry.rows,
            "bytes": bytes,
            "batch": entry.batch.number,
            "time": show_moment(entry.batch.micros),
        });
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        // A crash may have left half a line.
        let mut text = if ends_a_line(&mut file)? { String::new() } else { "\n".to_owned() };
        text.push_str(&line.to_string());
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    fn lists(&self, path: &Path, name: &str) -> io::Result<bool> {
        let mut file = match fs::File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let start = file.metadata()?.len().saturating_sub(SEARCHED);
        file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        let listed = |line: &[u8]| {
            let entry: Option<serde_json::Value> = serde_json::from_slice(line).ok();
            entry.is_some_and(|entry| entry["file"] == name)
        };
        Ok(end.split(|b| *b == b'\n').any(listed))
    }
}

fn ends_a_line(file: &mut fs::File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
