//! Appends records: they are gathered in memory, handed to the system with one write, made durable with one sync.

use std::path::PathBuf;
use std::sync::Arc;

use crc32c::crc32c_append;

use crate::journal::Entry;
use crate::journal::disk::{Disk, DiskFile};
use crate::journal::format::{HEAD, Head, Id, MAX_PAYLOAD, Record, segment_name};
use crate::journal::trouble::Trouble;

/// So much, or a segment, is gathered before it is handed to the system without being asked.
const GATHERED: usize = 4 << 20;

/// So many zeros are written ahead of the records; measured by `journal/tests/costs.rs`.
const AHEAD: u64 = 1 << 20;

/// The end of the journal.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    /// The folder of the segments.
    pub(super) folder: PathBuf,
    pub(super) id: Id,
    pub(super) seed: u32,
    pub(super) epoch: u64,
    /// A segment that has grown so long gets no more records.
    pub(super) segment_bytes: u64,
    /// The segment; none until it has to be there.
    pub(super) file: Option<Box<dyn DiskFile>>,
    /// The sequence of the segment's first record.
    pub(super) first: u64,
    /// The segment's length as handed to the system.
    pub(super) written: u64,
    /// Up to here the file holds zeros behind that.
    pub(super) ahead: u64,
    /// What comes behind that.
    pub(super) gathered: Vec<u8>,
    /// The sequence of the next record.
    pub(super) next: u64,
    /// The sum of the last record.
    pub(super) sum: u32,
    /// All records before this sequence are durable.
    pub(super) durable: u64,
    /// The records from there on: sequence, place, and the sum of the one before it.
    pub(super) unsynced: Vec<(u64, u64, u32)>,
    /// What was handed to the system is more, or less, than what is durable.
    pub(super) dirty: bool,
    /// The segment's name is not durable yet.
    pub(super) new_name: bool,
    /// Where the file has to be cut before anything else is written.
    pub(super) cut_to: Option<u64>,
    /// A sync failed, and this was said.
    pub(super) broken: Option<(PathBuf, String)>,
}

impl Writer {
    pub(super) fn append(&mut self, kind: u8, parts: &[&[u8]]) -> Result<Entry, Trouble> {
        self.check()?;
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        if length > MAX_PAYLOAD {
            let why = format!("a record of {length} bytes is longer than {MAX_PAYLOAD}; cut it");
            let error = std::io::Error::new(std::io::ErrorKind::FileTooLarge, why);
            return Err(Trouble::Io { file: self.path(), doing: "write", error });
        }
        if self.unsynced.is_empty() && !self.dirty && self.next > self.first && self.written >= self.segment_bytes {
            self.begin_segment();
        }
        if self.gathered.len() as u64 >= self.segment_bytes.min(GATHERED as u64) {
            self.write()?;
        }
        let offset = self.written + self.gathered.len() as u64;
        let mut record = Record {
            length: length as u32,
            kind,
            epoch: self.epoch,
            sequence: self.next,
            durable: self.durable,
            previous: self.sum,
            payload: parts.iter().fold(self.seed, |sum, part| crc32c_append(sum, part)),
            sum: 0,
        };
        self.gathered.extend_from_slice(&record.bytes(self.seed));
        parts.iter().for_each(|part| self.gathered.extend_from_slice(part));
        self.unsynced.push((self.next, offset, self.sum));
        self.next += 1;
        self.sum = record.sum;
        Ok(Entry { sequence: record.sequence, kind, length, segment: self.first, offset })
    }

    /// Hands what was gathered to the system. After a failure the file ends where it ended before, or will be cut there
    /// before it is written again.
    pub(super) fn write(&mut self) -> Result<(), Trouble> {
        self.check()?;
        let path = self.path();
        if let (Some(length), Some(file)) = (self.cut_to, &mut self.file) {
            file.cut(length).map_err(Trouble::io(&path, "cut"))?;
            self.cut_to = None;
        }
        // A head is written with the first record behind it.
        let nothing = if self.written == 0 { HEAD as usize } else { 0 };
        if self.gathered.len() <= nothing {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = self.disk.create(&path).map_err(Trouble::io(&path, "make"))?;
                self.new_name = true;
                none.insert(file)
            }
        };
        self.dirty = true;
        if let Err(error) = file.append(&self.gathered) {
            self.ahead = self.written;
            if file.cut(self.written).is_err() {
                self.cut_to = Some(self.written);
            }
            return Err(Trouble::io(&path, "write")(error));
        }
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        self.gathered.shrink_to(GATHERED);
        if self.written > self.ahead {
            // The file has become longer, so its sync takes longer anyway.
            let zeros = AHEAD.min(self.segment_bytes.saturating_sub(self.written));
            self.ahead = self.written + zeros;
            if zeros > 0 {
                file.write_ahead(zeros);
            }
        }
        Ok(())
    }

    /// Makes all that was appended durable.
    pub(super) fn sync(&mut self) -> Result<(), Trouble> {
        self.write()?;
        let path = self.path();
        if let (true, Some(file)) = (self.dirty, &mut self.file) {
            let mut synced = file.sync().map_err(|error| (path, error.to_string()));
            if synced.is_ok() && self.new_name {
                let folder = self.folder.clone();
                synced = self.disk.sync_folder(&folder).map_err(|error| (folder, error.to_string()));
            }
            self.broken = synced.err();
            self.check()?;
            self.dirty = false;
            self.new_name = false;
            self.durable = self.next;
            self.unsynced.clear();
        }
        Ok(())
    }

    /// Forgets the records from a sequence on that are not durable.
    pub(super) fn give_up(&mut self, sequence: u64) {
        let at = self.unsynced.partition_point(|(other, ..)| *other < sequence);
        let Some((sequence, offset, sum)) = self.unsynced.get(at).copied() else { return };
        if self.broken.is_some() {
            return;
        }
        self.unsynced.truncate(at);
        (self.next, self.sum) = (sequence, sum);
        if offset >= self.written {
            self.gathered.truncate((offset - self.written) as usize);
            return;
        }
        self.gathered.clear();
        self.written = offset;
        self.ahead = offset;
        // In the place of an earlier cut that is still to be made.
        self.cut_to = Some(offset);
        if let Some(file) = &mut self.file
            && file.cut(offset).is_ok()
        {
            self.cut_to = None;
        }
    }

    /// Makes all that was appended durable, and takes back the zeros behind it.
    pub(super) fn end(&mut self) -> Result<(), Trouble> {
        self.write()?;
        if let (true, Some(file)) = (self.ahead > self.written, &mut self.file) {
            self.ahead = self.written;
            let path = self.folder.join(segment_name(self.first));
            file.cut(self.written).map_err(Trouble::io(&path, "cut"))?;
        }
        self.sync()
    }

    /// How long the segment is with what was gathered.
    pub(super) fn length(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    fn begin_segment(&mut self) {
        if let Some(mut file) = self.file.take()
            && self.ahead > self.written
        {
            // Where this fails, or is not durable, the next start sees to it.
            let _ = file.cut(self.written);
        }
        self.first = self.next;
        (self.written, self.ahead) = (0, 0);
        let head = Head { epoch: self.epoch, first: self.first, id: self.id, previous: self.sum };
        self.gathered.extend_from_slice(&head.bytes());
    }

    fn path(&self) -> PathBuf {
        self.folder.join(segment_name(self.first))
    }

    fn check(&self) -> Result<(), Trouble> {
        match &self.broken {
            Some((file, why)) => Err(Trouble::Broken { file: file.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }
}
