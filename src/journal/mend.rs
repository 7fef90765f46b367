//! Makes the end of a journal fit to be written again.
//!
//! Nobody knows which of the last records the disk has: what is read may be in the system's memory only, most of all
//! after a failed sync; that holds for the mark of a clean end as well. So those that are not known to be durable are
//! copied into a segment of their own, which is made durable before it gets its name; the old one is cut where the new
//! one begins. Whatever happens in between, the new one counts from where it begins.

use std::io;
use std::path::Path;

use crate::journal::Segment;
use crate::journal::chain::Chain;
use crate::journal::disk::{Disk, DiskFile};
use crate::journal::format::{HEAD, Head, Id, segment_name};
use crate::journal::trouble::Trouble;

/// So much is copied at once.
const PIECE: u64 = 1 << 20;

/// The ending of a file that has not got its name yet.
pub(super) const ASIDE: &str = ".new";

/// Copies the tail of the last segment; gives the new one, to be written on.
pub(super) fn mend(disk: &dyn Disk, folder: &Path, id: &Id, chain: &mut Chain) -> Result<Box<dyn DiskFile>, Trouble> {
    let last = chain.segments.len() - 1;
    let Segment { first, length, .. } = chain.segments[last];
    let (from, offset, previous) = chain.unsure.front().copied().unwrap_or((chain.next, length, chain.sum));
    let head = Head { epoch: chain.epoch + 1, first: from, id: *id, previous };
    let aside = folder.join(format!("{}{ASIDE}", segment_name(from)));
    let file = copy(disk, folder, first, (offset.max(HEAD), length), &head, &aside).inspect_err(|_| {
        // It may be all the room there is.
        let _ = disk.remove(&aside);
    })?;
    let path = folder.join(segment_name(from));
    disk.rename(&aside, &path).map_err(Trouble::io(&path, "make"))?;
    disk.sync_folder(folder).map_err(Trouble::broken(folder))?;

    let moved = Segment { first: from, length: HEAD + length.saturating_sub(offset.max(HEAD)), excess: false };
    if from == first {
        chain.segments[last] = moved;
    } else {
        chain.segments[last] = Segment { first, length: offset, excess: true };
        chain.segments.push(moved);
    }
    for entry in chain.entries.iter_mut().rev().take_while(|entry| entry.sequence >= from) {
        entry.segment = from;
        entry.offset = entry.offset - offset + HEAD;
    }
    cut(disk, folder, &mut chain.segments)?;
    Ok(file)
}

fn copy(
    disk: &dyn Disk,
    folder: &Path,
    first: u64,
    (mut offset, end): (u64, u64),
    head: &Head,
    aside: &Path,
) -> Result<Box<dyn DiskFile>, Trouble> {
    let path = folder.join(segment_name(first));
    let old = disk.open(&path).map_err(Trouble::io(&path, "open"))?;
    remove(disk, aside)?;
    let mut file = disk.create(aside).map_err(Trouble::io(aside, "make"))?;
    let mut bytes = head.bytes().to_vec();
    while offset < end {
        let from = bytes.len();
        let piece = PIECE.min(end - offset);
        bytes.resize(from + piece as usize, 0);
        let read = old.read_at(offset, &mut bytes[from..]).map_err(Trouble::io(&path, "read"))?;
        if (read as u64) < piece {
            return Err(Trouble::io(&path, "read")(io::ErrorKind::UnexpectedEof.into()));
        }
        offset += piece;
        file.append(&bytes).map_err(Trouble::io(aside, "write"))?;
        bytes.clear();
    }
    file.append(&bytes).map_err(Trouble::io(aside, "write"))?;
    file.sync().map_err(Trouble::broken(aside))?;
    Ok(file)
}

/// Cuts segments that are longer than their records.
fn cut(disk: &dyn Disk, folder: &Path, segments: &mut [Segment]) -> Result<(), Trouble> {
    for segment in segments.iter_mut().filter(|segment| segment.excess) {
        let path = folder.join(segment_name(segment.first));
        let mut file = disk.reopen(&path).map_err(Trouble::io(&path, "open"))?;
        file.cut(segment.length).map_err(Trouble::io(&path, "cut"))?;
        file.sync().map_err(Trouble::broken(&path))?;
        segment.excess = false;
    }
    Ok(())
}

/// Removes a file that may be there.
pub(super) fn remove(disk: &dyn Disk, file: &Path) -> Result<(), Trouble> {
    match disk.remove(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Trouble::io(file, "remove")(error)),
        _ => Ok(()),
    }
}
