//! The files of a checkpoint directory, as bytes: records that are durable in order or not at all, and snapshots.
//!
//! What the bytes mean is the engine's business; this knows no Arrow, no plan and no engine. The directory:
//!
//! ```text
//! about                  whose it is                                            (journal/about.rs)
//! lock                   locked while a process writes here; holds its number
//! journal/<first>.log    segments: records, chained by sums                     (journal/format.rs)
//! snapshots/<number>     large things, written beside the journal               (journal/snapshots.rs)
//! ```
//!
//! [`Journal::append`] gathers records, [`Journal::sync`] makes all of them durable with one write and one `fdatasync`.
//! After a crash every record that was durable is there, none is altered and none invented; of those that were not,
//! the first so many are there. How a torn tail is told from damage says `journal/chain.rs`; how writing goes on
//! afterwards, `journal/mend.rs`. A sync that failed is never tried again: what it was to make durable may be gone
//! from the system's memory, and only reading the files anew tells what is there.

mod about;
mod chain;
mod disk;
mod format;
mod mend;
mod records;
mod snapshots;
mod trouble;
mod writer;

#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use about::Page;
use chain::Chain;
use format::{CLOSED, HEAD, Head, OWN_KINDS, TRIMMED, seed, segment_name};
use writer::Writer;

pub use about::About;
pub use disk::{Disk, DiskBytes, DiskFile, Lock, RealDisk};
pub use format::{MAX_PAYLOAD, VERSION};
pub use records::Records;
pub use snapshots::{SnapshotReader, Snapshots, as_trouble};
pub use trouble::Trouble;

/// A record, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its number: each record's is greater than those of all before it, but not by one where the journal keeps
    /// records of its own.
    pub sequence: u64,
    /// What the caller said it is.
    pub kind: u8,
    /// The length of its payload.
    pub length: u64,
    segment: u64,
    offset: u64,
}

/// A file of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    first: u64,
    length: u64,
    /// The file is longer than that.
    excess: bool,
}

/// What may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// A segment that has grown so long gets no more records. Segments are what [`Journal::trim`] removes.
    pub segment_bytes: u64,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning { segment_bytes: 64 << 20 }
    }
}

/// A checkpoint directory that is ours to write.
pub struct Journal {
    folder: PathBuf,
    page: Page,
    writer: Writer,
    /// Oldest first; the last is the one that is written.
    segments: Vec<Segment>,
    entries: Vec<Entry>,
    records: Records,
    snapshots: Snapshots,
    /// The record that says what is no longer needed, and from where on records are.
    trimming: Option<(u64, u64)>,
    /// Segments that are to be removed.
    unneeded: VecDeque<Segment>,
    /// Why one could not be.
    stuck: Option<Trouble>,
    /// Whether the last durable record marks a clean end.
    clean: bool,
    _lock: Box<dyn Send + Sync>,
}

impl Journal {
    /// The random number by which it is unlike every other checkpoint, its copies excepted.
    pub fn id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.page.id))
    }

    /// Opens a checkpoint, or makes it where there is none: locks it, checks the whole chain of records, and makes its
    /// end fit to be written, which takes a few syncs.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path, about: &About, tuning: Tuning) -> Result<Journal, Trouble> {
        disk.make_folder(folder).map_err(Trouble::io(folder, "make"))?;
        let lock = folder.join("lock");
        let lock = match disk.lock(&lock).map_err(Trouble::io(&lock, "lock"))? {
            Lock::Held(lock) => lock,
            Lock::Taken(by) => return Err(Trouble::Busy { folder: folder.to_owned(), by }),
        };
        let about_file = folder.join("about");
        let mut page = match about::read(&*disk, &about_file)? {
            Some(page) if page.about == *about => page,
            Some(page) => {
                return Err(Trouble::Foreign { folder: folder.to_owned(), pipeline: page.about.pipeline });
            }
            None => make(&*disk, folder, about)?,
        };
        let id = page.id;
        let journal = folder.join("journal");
        let mut chain = Chain::read(&*disk, &journal, &page)?;
        // Its name may be there in the system's memory only, if the process that gave it was killed.
        page.closed = None;
        place(&*disk, folder, "about", page.text().as_bytes())?;
        let file = mend::mend(&*disk, &journal, &id, &mut chain)?;
        for first in &chain.leftovers {
            mend::remove(&*disk, &journal.join(segment_name(*first)))?;
        }
        for name in disk.list(&journal).map_err(Trouble::io(&journal, "look into"))? {
            if name.ends_with(mend::ASIDE) {
                mend::remove(&*disk, &journal.join(name))?;
            }
        }
        let snapshots = Snapshots::new(disk.clone(), folder.join("snapshots"), id);
        snapshots.sweep()?;
        let last = chain.segments[chain.segments.len() - 1];
        let writer = Writer {
            disk: disk.clone(),
            folder: journal.clone(),
            id,
            seed: seed(&id),
            epoch: chain.epoch + 1,
            segment_bytes: tuning.segment_bytes,
            file: Some(file),
            first: last.first,
            written: last.length,
            ahead: last.length,
            gathered: Vec::new(),
            next: chain.next,
            sum: chain.sum,
            durable: chain.next,
            unsynced: Vec::new(),
            dirty: false,
            new_name: false,
            cut_to: None,
            broken: None,
        };
        Ok(Journal {
            folder: folder.to_owned(),
            page,
            records: Records::new(disk, journal, writer.seed),
            writer,
            segments: chain.segments,
            entries: chain.entries,
            snapshots,
            trimming: None,
            unneeded: VecDeque::new(),
            stuck: None,
            clean: chain.clean,
            _lock: lock,
        })
    }

    /// Looks at a checkpoint that another process may be writing. Nothing is changed and nothing locked.
    pub fn look(disk: Arc<dyn Disk>, folder: &Path) -> Result<Reader, Trouble> {
        // What is written, trimmed or mended meanwhile may look as if it were wrong, and a tail that was just copied as
        // if it were not there. It does not look so again.
        for _ in 0..10 {
            match Reader::open(disk.clone(), folder) {
                Err(Trouble::Damaged { .. } | Trouble::Io { .. }) => {}
                Ok(reader) if reader.is_behind(&*disk, &folder.join("journal")) => {}
                other => return other,
            }
        }
        Reader::open(disk, folder)
    }

    /// The snapshots of a checkpoint whose records cannot be read; only to be read.
    pub fn snapshots_of(disk: Arc<dyn Disk>, folder: &Path) -> Result<Option<Snapshots>, Trouble> {
        let page = about::read(&*disk, &folder.join("about"))?;
        Ok(page.map(|page| Snapshots::new(disk, folder.join("snapshots"), page.id)))
    }

    /// The caller's records, in order: those that were found and those that were appended since, without those that
    /// were trimmed.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The payload of a record.
    pub fn read(&self, entry: &Entry) -> Result<Vec<u8>, Trouble> {
        let writer = &self.writer;
        if entry.segment == writer.first && entry.offset >= writer.written {
            let from = (entry.offset - writer.written + format::RECORD) as usize;
            let payload = writer.gathered.get(from..from + entry.length as usize);
            let gone = || io::Error::new(io::ErrorKind::InvalidInput, "this record was given up");
            return payload.map(<[u8]>::to_vec).ok_or_else(gone).map_err(Trouble::io(&writer.folder, "read"));
        }
        self.records.read(entry)
    }

    /// Reads records for a thread of its own; those that were neither synced nor written it does not find.
    #[must_use]
    pub fn records(&self) -> Records {
        self.records.clone()
    }

    /// Adds a record, whose payload is the parts one behind the other, and gives its sequence. Kinds from 240 on are
    /// not the caller's. After a failure nothing was added.
    pub fn append(&mut self, kind: u8, parts: &[&[u8]]) -> Result<u64, Trouble> {
        if kind >= OWN_KINDS {
            let error = io::Error::new(io::ErrorKind::InvalidInput, format!("{kind} is no kind of record to write"));
            return Err(Trouble::Io { file: self.writer.folder.clone(), doing: "write", error });
        }
        let entry = self.add(kind, parts)?;
        self.entries.push(entry);
        Ok(entry.sequence)
    }

    fn add(&mut self, kind: u8, parts: &[&[u8]]) -> Result<Entry, Trouble> {
        let entry = self.writer.append(kind, parts)?;
        self.clean = false;
        let segment = Segment { first: entry.segment, length: self.writer.length(), excess: false };
        self.segments.pop_if(|last| last.first == segment.first);
        self.segments.push(segment);
        Ok(entry)
    }

    /// Makes all that was appended durable.
    pub fn sync(&mut self) -> Result<(), Trouble> {
        self.writer.sync()?;
        if let Some((_, needed)) = self.trimming.take() {
            let count = self.segments.partition_point(|segment| segment.first < needed);
            self.unneeded.extend(self.segments.drain(..count));
            self.entries.drain(..self.entries.partition_point(|entry| entry.sequence < needed));
        }
        self.remove_unneeded();
        Ok(())
    }

    /// Hands all that was appended to the system: it outlives this process, but perhaps not a power cut. What is
    /// appended after it is made durable after it.
    pub fn write(&mut self) -> Result<(), Trouble> {
        self.writer.write()
    }

    /// Forgets the records from a sequence on that are not durable. What had been handed to the system may come back if
    /// the power is cut before the next sync.
    pub fn give_up(&mut self, sequence: u64) {
        self.writer.give_up(sequence);
        let next = self.writer.next;
        self.entries.truncate(self.entries.partition_point(|entry| entry.sequence < next));
        self.trimming = self.trimming.filter(|(said, _)| *said < next);
        if let Some(last) = self.segments.last_mut() {
            last.length = self.writer.length();
        }
    }

    /// Says that records before a sequence are no longer needed. Segments that hold only such ones are removed once
    /// the next sync has made that durable, one after each sync.
    pub fn trim(&mut self, before: u64) -> Result<(), Trouble> {
        if let Some(trouble) = self.stuck.take() {
            return Err(trouble);
        }
        let needed = self.segments.iter().rev().find(|segment| segment.first <= before).map_or(1, |s| s.first);
        let said = self.trimming.map_or(1, |(_, needed)| needed);
        if needed > self.first() && needed > said {
            let record = self.add(TRIMMED, &[&needed.to_le_bytes()])?;
            self.trimming = Some((record.sequence, needed));
        }
        Ok(())
    }

    /// The sequence from which on no record is missing.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.segments.first().map_or(1, |segment| segment.first)
    }

    /// The sequence the next record will have.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.writer.next
    }

    /// Whether segments are still to be removed, with the next syncs.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.stuck.is_none() && !self.unneeded.is_empty()
    }

    /// Whether the process before this one closed the journal, and nothing was appended since.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.clean
    }

    /// How many bytes the segments take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().chain(&self.unneeded).map(|segment| segment.length).sum()
    }

    /// Makes all durable and marks a clean end.
    pub fn close(mut self) -> Result<(), Trouble> {
        if !self.clean {
            // The mark says of all before it that it is durable.
            self.sync()?;
            self.add(CLOSED, &[])?;
        }
        self.writer.end()?;
        self.sync()?;
        self.page.closed = Some(self.writer.next);
        place(&*self.writer.disk, &self.folder, "about", self.page.text().as_bytes())
    }

    /// The snapshots.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    /// Removes one segment, since removing a large file takes a while; the others wait for the next sync.
    fn remove_unneeded(&mut self) {
        let Some(segment) = self.unneeded.front() else { return };
        let path = self.writer.folder.join(segment_name(segment.first));
        match mend::remove(&*self.writer.disk, &path) {
            Ok(()) => drop(self.unneeded.pop_front()),
            // The records are durable, so this is for the next call of `trim` to say.
            Err(trouble) => self.stuck = Some(trouble),
        }
    }
}

/// A checkpoint as it was when it was looked at.
pub struct Reader {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    about: About,
    chain: Chain,
    records: Records,
    snapshots: Snapshots,
}

impl Reader {
    fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Reader, Trouble> {
        let file = folder.join("about");
        let Some(page) = about::read(&*disk, &file)? else {
            let error = io::Error::new(io::ErrorKind::NotFound, "it is not there");
            return Err(Trouble::Io { file, doing: "open", error });
        };
        let journal = folder.join("journal");
        let chain = Chain::read(&*disk, &journal, &page)?;
        let snapshots = Snapshots::new(disk.clone(), folder.join("snapshots"), page.id);
        let records = Records::new(disk.clone(), journal, seed(&page.id));
        Ok(Reader { disk, folder: folder.to_owned(), about: page.about, chain, records, snapshots })
    }

    /// Whether there are newer segments by now.
    fn is_behind(&self, disk: &dyn Disk, journal: &Path) -> bool {
        let last = self.chain.segments.last().map_or(0, |segment| segment.first);
        let names = disk.list(journal).unwrap_or_default();
        names.iter().filter_map(|name| format::named_segment(name)).any(|first| first > last)
    }

    /// Whose checkpoint it is.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The records, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.chain.entries
    }

    /// The payload of a record.
    pub fn read(&self, entry: &Entry) -> Result<Vec<u8>, Trouble> {
        self.records.read(entry)
    }

    /// Reads records for a thread of its own.
    #[must_use]
    pub fn records(&self) -> Records {
        self.records.clone()
    }

    /// The snapshots; only to be read.
    #[must_use]
    pub fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    /// The sequence from which on no record is missing.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.chain.segments.first().map_or(1, |segment| segment.first)
    }

    /// How many segments there are.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.chain.segments.len()
    }

    /// The end of the last segment, where something lies behind it that was never made durable. Zeros are room.
    pub fn torn(&self) -> Result<Option<(PathBuf, u64)>, Trouble> {
        let Some(last) = self.chain.segments.last().filter(|last| last.excess) else { return Ok(None) };
        let path = self.folder.join("journal").join(segment_name(last.first));
        let file = self.disk.open(&path).map_err(Trouble::io(&path, "open"))?;
        let (mut at, mut bytes) = (last.length, vec![0; 64 << 10]);
        loop {
            let read = file.read_at(at, &mut bytes).map_err(Trouble::io(&path, "read"))?;
            match bytes[..read].iter().position(|byte| *byte != 0) {
                Some(_) => return Ok(Some((path, last.length))),
                None if read == 0 => return Ok(None),
                None => at += read as u64,
            }
        }
    }

    /// Whether the last process that wrote it closed it.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.chain.clean
    }

    /// How many bytes the segments take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.chain.segments.iter().map(|segment| segment.length).sum()
    }
}

/// Makes an empty checkpoint. `about` comes last: what is without it was never used.
fn make(disk: &dyn Disk, folder: &Path, about: &About) -> Result<Page, Trouble> {
    let [journal, snapshots] = ["journal", "snapshots"].map(|name| folder.join(name));
    for folder in [&journal, &snapshots] {
        disk.make_folder(folder).map_err(Trouble::io(folder, "make"))?;
    }
    let names = |folder: &PathBuf| disk.list(folder).map_err(Trouble::io(folder, "look into"));
    let first = journal.join(segment_name(1));
    let begun = match disk.open(&first) {
        Ok(file) => file.length() <= HEAD,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Trouble::io(&first, "open")(error)),
    };
    let others = names(&journal)?.iter().filter_map(|name| format::named_segment(name)).any(|first| first != 1);
    if !begun || others || names(&snapshots)?.iter().any(|name| format::number(name).is_some()) {
        return Err(Trouble::damaged(
            &folder.join("about"),
            None,
            "it is missing, and other files of a checkpoint are not",
        ));
    }
    let id = disk.random().map_err(Trouble::io(folder, "draw a number for"))?;
    let head = Head { epoch: 1, first: 1, id, previous: 0 };
    place(disk, &journal, &segment_name(1), &head.bytes())?;
    let page = Page { about: about.clone(), id, closed: None };
    place(disk, folder, "about", page.text().as_bytes())?;
    Ok(page)
}

/// Writes a small file, whole or not at all.
fn place(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
    let aside = folder.join(format!("{name}{}", mend::ASIDE));
    mend::remove(disk, &aside)?;
    let mut file = disk.create(&aside).map_err(Trouble::io(&aside, "make"))?;
    file.append(bytes).map_err(Trouble::io(&aside, "write"))?;
    file.sync().map_err(Trouble::broken(&aside))?;
    let path = folder.join(name);
    disk.rename(&aside, &path).map_err(Trouble::io(&path, "make"))?;
    disk.sync_folder(folder).map_err(Trouble::broken(folder))
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("segments", &self.segments).field("next", &self.writer.next).finish()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("about", &self.about).field("segments", &self.chain.segments).finish()
    }
}
