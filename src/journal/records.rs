//! Reads single records, checking them once more: a disk may have changed them since they were last looked at.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crc32c::crc32c_append;

use crate::journal::Entry;
use crate::journal::disk::{Disk, DiskBytes};
use crate::journal::format::{MAX_PAYLOAD, RECORD, Record, segment_name};
use crate::journal::trouble::Trouble;

/// Reads records that were handed to the system. A copy may be used by a thread of its own.
pub struct Records {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    seed: u32,
    /// The segment that was read last.
    open: Mutex<Option<(u64, Box<dyn DiskBytes>)>>,
}

impl Records {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: PathBuf, seed: u32) -> Records {
        Records { disk, folder, seed, open: Mutex::new(None) }
    }

    /// The file that a record lies in, and where, for messages; the folder of all where there is none.
    #[must_use]
    pub fn place(&self, entry: Option<&Entry>) -> (PathBuf, Option<u64>) {
        match entry {
            Some(entry) => (self.folder.join(segment_name(entry.segment)), Some(entry.offset)),
            None => (self.folder.clone(), None),
        }
    }

    /// The payload of a record.
    pub fn read(&self, entry: &Entry) -> Result<Vec<u8>, Trouble> {
        let path = self.folder.join(segment_name(entry.segment));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.take() {
            Some((segment, file)) if segment == entry.segment => file,
            _ => self.disk.open(&path).map_err(Trouble::io(&path, "open"))?,
        };
        // Entries come from a chain that was held against the file, so this is no more than the file holds.
        let length = RECORD + entry.length.min(MAX_PAYLOAD);
        let mut bytes = vec![0; length as usize];
        let read = file.read_at(entry.offset, &mut bytes).map_err(Trouble::io(&path, "read"))?;
        bytes.truncate(read);
        *open = Some((entry.segment, file));
        if !self.is_sound(entry, &bytes) {
            return Err(Trouble::damaged(&path, entry.offset, "the record is not what was written"));
        }
        bytes.drain(..RECORD as usize);
        Ok(bytes)
    }

    fn is_sound(&self, entry: &Entry, bytes: &[u8]) -> bool {
        let Some(record) = Record::read(bytes, self.seed) else { return false };
        let payload = &bytes[RECORD as usize..];
        (record.sequence, record.kind, u64::from(record.length)) == (entry.sequence, entry.kind, payload.len() as u64)
            && record.payload == crc32c_append(self.seed, payload)
    }
}

impl Clone for Records {
    fn clone(&self) -> Records {
        Records::new(self.disk.clone(), self.folder.clone(), self.seed)
    }
}
