//! A checkpoint in one file, to be taken elsewhere: the state behind the last batch, what was not delivered, and the text.
//!
//! The magic line, a stream of frames as a snapshot has it (`image.rs`) with what sinks prepared behind the tables, and
//! the crc32c of all before it (4 bytes, little-endian). Nothing follows.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use crc32c::crc32c_append;
use serde::{Deserialize, Serialize};

use crate::engine::durable::changed::Changed;
use crate::engine::durable::contents::looked;
use crate::engine::durable::image::{Owned, Owner, Part, Prepared, Reader, Unread, Writer};
use crate::engine::durable::positions;
use crate::engine::durable::recovered::Recovered;
use crate::engine::durable::snapshots::Retention;
use crate::engine::durable::{Checkpoint, CommitHead, Pace, Undelivered};
use crate::engine::snapshot::Head;
use crate::journal::{Disk, Trouble};
use crate::plan::operator::{BatchTime, Changes};

/// The first line; the number is the version of the layout.
const MAGIC: &[u8] = b"millstream checkpoint copy 1\n";
/// Bytes of the sum.
const SUM: u64 = 4;
/// What the first line begins with in every version.
const TITLE: &[u8] = b"millstream checkpoint copy ";

/// What a checkpoint held when it was copied.
pub struct Copied {
    pipeline: String,
    recovered: Recovered,
    owned: Owned,
    /// Its sources had logs, which were left behind.
    without_logs: bool,
}

/// What the stream is about.
#[derive(Debug, Serialize, Deserialize)]
struct CopyHead {
    pipeline: String,
    head: Head,
    /// Number and time of each batch that was not delivered, and for how many sinks it is.
    undelivered: Vec<(u64, i64, usize)>,
}

impl Copied {
    /// Copies a checkpoint that somebody may be using.
    pub fn of(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Self, String> {
        let copied = looked(disk, folder, |reader| {
            let all = (reader.entries(), reader.first());
            let mut recovered = Recovered::of(all, &reader.records(), &reader.snapshots(), None)?;
            let (owned, pipeline) = (recovered.owned()?, reader.about().pipeline.clone());
            Ok(Copied { pipeline, recovered, owned, without_logs: false })
        });
        let mut copied = copied.map_err(|trouble| trouble.to_string())?;
        for (owner, (_, tables)) in &mut copied.owned {
            if let Owner::Source(_) = owner {
                let (kept, had) = positions::without_logs(tables)?;
                *tables = kept;
                copied.without_logs |= had;
            }
        }
        match copied.recovered.text {
            Some(_) => Ok(copied),
            None => Err(format!("no batch was committed to `{}` yet", folder.display())),
        }
    }

    /// The pipeline it belongs to.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// What sources keep in logs, because it cannot be read again, and no batch had yet: it was left behind.
    pub fn leaves_logs(&self) -> bool {
        self.without_logs
    }

    /// The last batch that is in it.
    pub fn behind(&self) -> Option<u64> {
        self.recovered.head.number.checked_sub(1)
    }

    /// Writes it as one file.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let mut to = Summed { through: to, sum: 0 };
        to.write_all(MAGIC)?;
        let undelivered = self.recovered.undelivered.iter();
        let undelivered = undelivered.map(|(_, of)| (of.batch.number, of.batch.micros, of.prepared.len())).collect();
        let head = CopyHead { pipeline: self.pipeline.clone(), head: self.recovered.head.clone(), undelivered };
        let mut writer = Writer::begin(&mut to, &head)?;
        writer.text(self.recovered.text.as_deref().unwrap_or_default())?;
        writer.owners(&self.owned)?;
        for prepared in self.recovered.undelivered.iter().flat_map(|(_, of)| &of.prepared) {
            writer.artifact(prepared)?;
        }
        writer.end()?;
        let sum = to.sum;
        to.through.write_all(&sum.to_le_bytes())
    }

    /// Reads such a file; `Err` says what is wrong with it, and where. Nothing is decoded before its sum is right.
    pub fn read<R: Read + Seek>(mut from: R) -> Result<Self, String> {
        let said = |error: io::Error| format!("it cannot be read: {error}");
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic).map_err(|_| "it is no copy of a checkpoint".to_owned())?;

        if magic != MAGIC {
            let why = if magic.starts_with(TITLE) {
                "another version wrote it: use the millstream that wrote it"
            } else {
                "it is no copy of a checkpoint"
            };
            return Err(why.into());
        }
        let end = from.seek(SeekFrom::End(0)).map_err(said)?.saturating_sub(SUM);
        from.rewind().map_err(said)?;
        let mut summed = Summed { through: io::sink(), sum: 0 };
        io::copy(&mut (&mut from).take(end), &mut summed).map_err(said)?;
        let mut word = [0; SUM as usize];
        from.read_exact(&mut word).map_err(said)?;
        if u32::from_le_bytes(word) != summed.sum {
            return Err(format!("it is damaged: its sum at byte {end} does not fit its bytes"));
        }
        from.seek(SeekFrom::Start(MAGIC.len() as u64)).map_err(said)?;
        parts(&mut from).map_err(|why| format!("it is not what this version writes: {why}"))
    }

    /// Makes a checkpoint of it in a folder that is not there yet.
    pub fn put(self, disk: &Arc<dyn Disk>, folder: &Path) -> Result<(), String> {
        let taken = |folder: &Path, what: &str| Err(format!("`{}` is there already; {what}", folder.display()));
        if folder.symlink_metadata().is_ok() {
            return taken(folder, "name a folder that is not, or move this one away");
        }
        let mut name = folder.file_name().unwrap_or_default().to_os_string();
        name.push(".importing");
        let aside = folder.with_file_name(name);
        if aside.symlink_metadata().is_ok() {
            return taken(&aside, "it was cut short: take it away and try again");
        }
        let placed = self.put_aside(disk, &aside).and_then(|()| {
            let renamed = disk.rename(&aside, folder).and_then(|()| match folder.parent() {
                Some(above) if !above.as_os_str().is_empty() => disk.sync_folder(above),
                _ => disk.sync_folder(Path::new(".")),
            });
            renamed.map_err(|error| Trouble::Io { file: folder.to_owned(), doing: "make", error })
        });
        placed.map_err(|trouble| trouble.to_string())
    }

    fn put_aside(self, disk: &Arc<dyn Disk>, folder: &Path) -> Result<(), Trouble> {
        let checkpoint = Checkpoint::open(disk.clone(), folder, &self.pipeline)?;
        let (Some(mut durable), _) = checkpoint.begin(Retention::Least)? else { return Ok(()) };
        let Recovered { head, text, undelivered, .. } = self.recovered;
        for (_, Undelivered { batch, prepared }) in undelivered {
            let head = Head { number: batch.number + 1, last: Some(batch.micros), ..Head::default() };
            let changed = Changed { head, batch, prepared, ..Changed::default() };
            durable.add(&CommitHead::of(&changed, false), &changed, None)?;
        }
        let batch = BatchTime { number: head.number, micros: head.last.unwrap_or_default() };
        let tables = self.owned.into_iter().map(|(owner, (word, all))| (owner, word, Changes::All(all))).collect();
        let all = Changed { head, batch, tables, ..Changed::default() };
        durable.add(&CommitHead::of(&all, true), &all, text.as_deref())?;
        durable.journal.sync()?;
        durable.journal.close()
    }

    /// What a run can begin with that keeps nothing of what becomes of it.
    pub fn alone(mut self) -> Result<Checkpoint, String> {
        if let Some((_, due)) = self.recovered.undelivered.first() {
            return Err(format!(
                "batch {} was committed and not delivered: give the pipeline a `checkpoint`, or let the pipeline that \
                 it was taken from deliver it and copy it again",
                due.batch.number
            ));
        }
        self.recovered.put(self.owned);
        Ok(Checkpoint { journal: None, recovered: self.recovered, pace: Pace::default(), logs: None, cold: None })
    }
}

fn parts(from: &mut dyn Read) -> Result<Copied, Unread> {
    let (head, mut reader) = Reader::begin::<CopyHead>(from)?;
    let mut recovered = Recovered::default();
    recovered.head = head.head;
    let (mut text, mut all) = (None, Vec::<Prepared>::new());
    let owned = reader.whole(|part| {
        match part {
            Part::Text(found) => text = Some(found),
            Part::Artifact(prepared) => all.push(prepared),
            Part::Owner(..) => return false,
        }
        true
    })?;
    recovered.text = text;
    let mut all = all.into_iter();
    for (number, micros, count) in head.undelivered {
        let prepared: Vec<Prepared> = all.by_ref().take(count).collect();
        if prepared.len() < count {
            return Err(Unread::Wrong(format!("batch {number} is not whole")));
        }
        let batch = BatchTime { number, micros };
        recovered.undelivered.push((0, Undelivered { batch, prepared }));
    }
    Ok(Copied { pipeline: head.pipeline, recovered, owned, without_logs: false })
}

/// Sums what passes.
struct Summed<T> {
    through: T,
    sum: u32,
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.through.write(bytes)?;
        self.sum = crc32c_append(self.sum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.through.flush()
    }
}
