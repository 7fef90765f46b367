//! Files that hold one large thing each, whole or not at all: `snapshots/<number, 20 digits>`.
//!
//! ```text
//! head, 48 bytes                       block, 8 bytes and its data
//!  0  "MSSNAPSH"                        0  u32  length of the data, 1 to 262144; 0 in the last block, whose
//!  8  u32  version of the format                data are the length of all data before it, u64
//! 12  u32  0                            4  u32  sum of the sum of the block before it (of the head, in the
//! 16  u64  number                               first), the length and the data
//! 24  16   id of the checkpoint
//! 40  u32  0
//! 44  u32  sum of bytes 0..44
//! ```
//!
//! Nothing is behind the last block. A reader holds one block in memory and hands on none that it has not checked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32c::{crc32c, crc32c_append};

use crate::journal::disk::{Disk, DiskBytes, DiskFile};
use crate::journal::format::{Id, VERSION, number, u32_at, u64_at};
use crate::journal::mend::remove;
use crate::journal::trouble::Trouble;

const MAGIC: &[u8; 8] = b"MSSNAPSH";
const HEAD: usize = 48;
const BLOCK: usize = 256 << 10;

/// So much is written before it is synced: a commit of the journal may have to wait for what other files hold back.
const AT_ONCE: usize = 4 << 20;

/// The ending of a snapshot that is not complete.
const PART: &str = ".part";

/// The snapshots of a checkpoint. A copy may be used by a thread of its own.
#[derive(Clone)]
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    id: Id,
}

impl Snapshots {
    pub(super) fn new(disk: Arc<dyn Disk>, folder: PathBuf, id: Id) -> Snapshots {
        Snapshots { disk, folder, id }
    }

    /// Their numbers, in order; none that is half-written.
    pub fn list(&self) -> Result<Vec<u64>, Trouble> {
        let names = self.disk.list(&self.folder).map_err(Trouble::io(&self.folder, "look into"))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes a snapshot aside, makes it durable, gives it its name and reads it back. It replaces one with the same
    /// number; where the name cannot be made durable, neither is there. Gives the length of its file.
    pub fn write(
        &self,
        number: u64,
        fill: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<u64, Trouble> {
        let path = self.path(number);
        let part = path.with_extension(&PART[1..]);
        remove(&*self.disk, &part)?;
        self.write_aside(&part, number, fill).inspect_err(|_| {
            // It may be all the room there is.
            let _ = self.disk.remove(&part);
        })?;
        self.disk.rename(&part, &path).map_err(Trouble::io(&path, "make"))?;
        if let Err(error) = self.disk.sync_folder(&self.folder) {
            // Nobody is to take it for durable.
            let _ = self.disk.remove(&path);
            return Err(Trouble::broken(&self.folder)(error));
        }
        let mut written = self.read(number)?;
        io::copy(&mut written, &mut io::sink()).map_err(|error| as_trouble(&path, error))?;
        Ok(written.file.length())
    }

    fn write_aside(
        &self,
        part: &Path,
        number: u64,
        fill: &mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), Trouble> {
        let mut file = self.disk.create(part).map_err(Trouble::io(part, "make"))?;
        let head = self.head(number);
        file.append(&head).map_err(Trouble::io(part, "write"))?;
        let mut blocks =
            Blocks { file, data: Vec::with_capacity(BLOCK), total: 0, sum: u32_at(&head, 44), unsynced: 0 };
        fill(&mut blocks).and_then(|()| blocks.finish()).map_err(Trouble::io(part, "write"))?;
        blocks.file.sync().map_err(Trouble::broken(part))
    }

    /// Reads a snapshot. An error it gives holds a [`Trouble`], which [`as_trouble`] takes out.
    pub fn read(&self, number: u64) -> Result<SnapshotReader, Trouble> {
        let path = self.path(number);
        let file = self.disk.open(&path).map_err(Trouble::io(&path, "open"))?;
        let mut head = [0; HEAD];
        let read = file.read_at(0, &mut head).map_err(Trouble::io(&path, "read"))?;
        if read < HEAD || &head[..8] != MAGIC || u32_at(&head, 44) != crc32c(&head[..44]) {
            return Err(Trouble::damaged(&path, 0, "the head of the snapshot is not what was written"));
        }
        let version = u32_at(&head, 8);
        if version > VERSION {
            return Err(Trouble::Newer { file: path, version });
        }
        if head != self.head(number) {
            return Err(Trouble::damaged(&path, 0, "it is another snapshot, or one of another checkpoint"));
        }
        let sum = u32_at(&head, 44);
        Ok(SnapshotReader { file, path, offset: HEAD as u64, sum, block: Vec::new(), taken: 0, total: 0, ended: false })
    }

    /// Removes a snapshot, if it is there.
    pub fn forget(&self, number: u64) -> Result<(), Trouble> {
        remove(&*self.disk, &self.path(number))
    }

    /// How many bytes a snapshot takes.
    pub fn bytes(&self, number: u64) -> Result<u64, Trouble> {
        let path = self.path(number);
        Ok(self.disk.open(&path).map_err(Trouble::io(&path, "open"))?.length())
    }

    /// Removes what a process that ended left half-written.
    pub(super) fn sweep(&self) -> Result<(), Trouble> {
        let names = self.disk.list(&self.folder).map_err(Trouble::io(&self.folder, "look into"))?;
        let parts = names.iter().filter(|name| name.strip_suffix(PART).and_then(number).is_some());
        parts.into_iter().try_for_each(|name| remove(&*self.disk, &self.folder.join(name)))?;
        // The names of the others may be there in the system's memory only.
        self.disk.sync_folder(&self.folder).map_err(Trouble::broken(&self.folder))
    }

    /// Where a snapshot lies.
    #[must_use]
    pub fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}"))
    }

    fn head(&self, number: u64) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&VERSION.to_le_bytes());
        head[16..24].copy_from_slice(&number.to_le_bytes());
        head[24..40].copy_from_slice(&self.id);
        let sum = crc32c(&head[..44]);
        head[44..].copy_from_slice(&sum.to_le_bytes());
        head
    }
}

/// The trouble an error of a [`SnapshotReader`] holds.
pub fn as_trouble(file: &Path, error: io::Error) -> Trouble {
    match error.downcast::<Trouble>() {
        Ok(trouble) => trouble,
        Err(error) => Trouble::io(file, "read")(error),
    }
}

/// Cuts what is written into blocks.
struct Blocks {
    file: Box<dyn DiskFile>,
    data: Vec<u8>,
    total: u64,
    sum: u32,
    unsynced: usize,
}

impl Blocks {
    fn block(&mut self, length: u32) -> io::Result<()> {
        self.sum = block_sum(self.sum, length, &self.data);
        let mut bytes = Vec::with_capacity(8 + self.data.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.sum.to_le_bytes());
        bytes.append(&mut self.data);
        self.file.append(&bytes)?;
        self.unsynced += bytes.len();
        if self.unsynced >= AT_ONCE {
            self.file.sync()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        io::Write::flush(self)?;
        self.data.extend_from_slice(&self.total.to_le_bytes());
        self.block(0)
    }
}

impl io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(BLOCK - self.data.len());
        self.data.extend_from_slice(&bytes[..taken]);
        self.total += taken as u64;
        if self.data.len() == BLOCK {
            self.block(BLOCK as u32)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.data.len() {
            0 => Ok(()),
            length => self.block(length as u32),
        }
    }
}

fn block_sum(previous: u32, length: u32, data: &[u8]) -> u32 {
    crc32c_append(crc32c_append(previous, &length.to_le_bytes()), data)
}

/// Reads one snapshot.
pub struct SnapshotReader {
    file: Box<dyn DiskBytes>,
    path: PathBuf,
    offset: u64,
    sum: u32,
    block: Vec<u8>,
    taken: usize,
    total: u64,
    ended: bool,
}

impl SnapshotReader {
    /// Reads and checks the next block.
    fn next_block(&mut self) -> Result<(), Trouble> {
        let damaged = |why| Err(Trouble::damaged(&self.path, self.offset, why));
        let mut head = [0; 8];
        let read = self.file.read_at(self.offset, &mut head).map_err(Trouble::io(&self.path, "read"))?;
        let length = u32_at(&head, 0);
        let size = if length == 0 { 8 } else { length as usize };
        let left = self.file.length().saturating_sub(self.offset + 8);
        if read < 8 || size > BLOCK || size as u64 > left {
            return damaged("the snapshot ends in the middle, or its block is too long");
        }
        self.block.resize(size, 0);
        let read = self.file.read_at(self.offset + 8, &mut self.block).map_err(Trouble::io(&self.path, "read"))?;
        let sum = block_sum(self.sum, length, &self.block);
        if read < size || sum != u32_at(&head, 4) {
            return damaged("the block is not what was written");
        }
        if length == 0 {
            if u64_at(&self.block, 0) != self.total || left != size as u64 {
                return damaged("the snapshot does not end where it should");
            }
            self.ended = true;
            self.block.clear();
        }
        self.offset += 8 + size as u64;
        self.total += u64::from(length);
        (self.sum, self.taken) = (sum, 0);
        Ok(())
    }
}

impl io::Read for SnapshotReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() && !self.ended {
            if let Err(trouble) = self.next_block() {
                // Nothing of this block is handed on, also when it is asked for again.
                self.block.clear();
                self.taken = 0;
                return Err(trouble.into());
            }
        }
        let taken = into.len().min(self.block.len() - self.taken);
        into[..taken].copy_from_slice(&self.block[self.taken..self.taken + taken]);
        self.taken += taken;
        Ok(taken)
    }
}
