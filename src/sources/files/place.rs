//! A place in a file, and what tells the file from others: kept by the engine, also over a restart.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::plan::seams::Position;
use crate::sources::cutter::Skips;

/// How much of a file's front is remembered.
const HEAD: u64 = 256;

/// How far a file was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes, of what it unpacks to where it is compressed.
    pub(super) offset: u64,
    /// Lines or records before.
    pub(super) lines: u64,
    /// Records behind the offset that were given out: a block of many that did not fit into a batch.
    pub(super) given: u64,
    /// What is passed over from here on.
    pub(super) skips: Skips,
    /// Nothing of it will be read any more.
    pub(super) done: bool,
    /// The file.
    pub(super) file: Identity,
    /// The first bytes of it.
    pub(super) head: Head,
}

/// What a file keeps when it gets another name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Size and time of the last change, of files that are cleared away: another may get the same number.
    pub(super) size: u64,
    pub(super) changed: u64,
}

/// So many bytes of a file's front, as a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Head {
    length: u64,
    hash: u64,
}

const DONE: u8 = 1;
const SKIPS_LINE: u8 = 2;
const SKIPS_REST: u8 = 4;

impl Place {
    pub(super) fn read(position: &Position) -> Self {
        let mut bytes = position.0.iter().copied();
        let flags = bytes.next().unwrap_or(0);
        let mut number = || {
            let mut value = 0_u64;
            for shift in (0..64).step_by(7) {
                let byte = bytes.next().unwrap_or(0);
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            value
        };
        let file = Identity { device: number(), inode: number(), size: number(), changed: number() };
        let (offset, lines, given) = (number(), number(), number());
        let skips = match flags & (SKIPS_LINE | SKIPS_REST) {
            0 => Skips::Nothing,
            SKIPS_LINE => Skips::Line,
            _ => Skips::Rest,
        };
        let head = Head { length: number(), hash: number() };
        Place { offset, lines, given, skips, done: flags & DONE != 0, file, head }
    }

    /// Numbers of seven bits a byte, without the zeros at the end: a file that is done takes few bytes, and there may be
    /// a million of them.
    pub(super) fn write(self) -> Position {
        let skips = match self.skips {
            Skips::Nothing => 0,
            Skips::Line => SKIPS_LINE,
            Skips::Rest => SKIPS_REST,
        };
        let mut bytes = vec![skips | u8::from(self.done)];
        let Identity { device, inode, size, changed } = self.file;
        let numbers =
            [device, inode, size, changed, self.offset, self.lines, self.given, self.head.length, self.head.hash];
        let kept = numbers.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
        for mut number in numbers.into_iter().take(kept) {
            while number > 0x7f {
                bytes.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
                number >>= 7;
            }
            bytes.push(u8::try_from(number).unwrap_or(0));
        }
        Position(bytes)
    }

    /// The place behind everything.
    pub(super) fn at_end(file: Identity) -> Self {
        Place { done: true, file, ..Place::default() }
    }
}

impl Identity {
    pub(super) fn of(about: &Metadata) -> Self {
        Identity { device: about.dev(), inode: about.ino(), ..Identity::default() }
    }

    /// With what tells apart two files that had the same number one after the other.
    pub(super) fn exact(about: &Metadata) -> Self {
        Identity { size: about.len(), changed: changed(about).unsigned_abs(), ..Identity::of(about) }
    }

    /// Whether it is known at all.
    pub(super) fn is_known(self) -> bool {
        self.inode != 0
    }

    /// Whether both are one file, whatever was written to it.
    pub(super) fn is(self, other: Identity) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

impl Head {
    /// Of the bytes before an offset.
    pub(super) fn of(file: &File, offset: u64) -> io::Result<Self> {
        let length = offset.min(HEAD);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let mut hash = DefaultHasher::new();
        bytes.hash(&mut hash);
        Ok(Head { length, hash: hash.finish() })
    }

    /// Whether the file still starts like that.
    pub(super) fn fits(self, file: &File) -> bool {
        self.length == 0 || Head::of(file, self.length).is_ok_and(|now| now == self)
    }
}

/// When a file was last changed, in microseconds since 1970 UTC.
pub(super) fn changed(about: &Metadata) -> i64 {
    about.mtime().saturating_mul(1_000_000).saturating_add(about.mtime_nsec() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_as_it_was_written() {
        let file = Identity { device: 2049, inode: u64::MAX, size: 0, changed: 7 };
        let head = Head { length: 256, hash: u64::MAX - 3 };
        let places = [
            Place::default(),
            Place { done: true, ..Place::default() },
            Place { offset: 1 << 40, lines: 3, given: 9, skips: Skips::Line, done: false, file, head },
            Place { skips: Skips::Rest, file, ..Place::default() },
        ];
        for place in places {
            assert_eq!(Place::read(&place.write()), place);
        }
        assert_eq!(Place::read(&Position::default()), Place::default());
        assert!(Place::at_end(Identity { device: 2049, inode: 1 << 24, ..file }).write().0.len() < 12);
    }
}
