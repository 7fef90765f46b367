//! How a segment and its records lie in bytes. All numbers are little-endian; every sum is crc32c.
//!
//! A segment `journal/<first sequence, 20 digits>.log` is a head and records, with nothing between or behind them:
//!
//! ```text
//! head, 64 bytes                             record, 44 bytes and the payload
//!  0  "MSJOURNL"                              0  u32  length of the payload, 16 MiB at most
//!  8  u32  version of the format              4  u8   kind
//! 12  u32  0                                  5       000
//! 16  u64  epoch                              8  u64  epoch
//! 24  u64  sequence of the first record      16  u64  sequence
//! 32  16   id of the checkpoint              24  u64  durable: all records before this sequence were, when this
//! 48  u32  sum of the record before it, or 0          one was written
//! 52  u64  0                                 32  u32  sum of the record before it, or 0
//! 60  u32  sum of bytes 0..60                36  u32  sum of the payload
//!                                            40  u32  sum of bytes 0..40: the sum of the record
//! ```
//!
//! All sums but the head's start from the sum of the checkpoint's id, so that records of another checkpoint which
//! somebody processes as data are none of this one's.

use crc32c::{crc32c, crc32c_append};

/// The version of all files of a checkpoint.
pub const VERSION: u32 = 1;
/// The longest payload of one record.
pub const MAX_PAYLOAD: u64 = 16 << 20;

pub(super) const HEAD: u64 = 64;
pub(super) const RECORD: u64 = 44;
const MAGIC: &[u8; 8] = b"MSJOURNL";

/// Marks a clean end.
pub(super) const CLOSED: u8 = 255;
/// Its payload is the first sequence that is still needed.
pub(super) const TRIMMED: u8 = 254;
/// Kinds from here on are the journal's own.
pub(super) const OWN_KINDS: u8 = 240;

/// What identifies a checkpoint.
pub(super) type Id = [u8; 16];

/// The sum all sums of a checkpoint start from.
pub(super) fn seed(id: &Id) -> u32 {
    crc32c(id)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) epoch: u64,
    pub(super) first: u64,
    pub(super) id: Id,
    pub(super) previous: u32,
}

/// Why bytes are no head.
#[derive(Debug)]
pub(super) enum NoHead {
    Newer(u32),
    Bad,
}

impl Head {
    pub(super) fn bytes(&self) -> [u8; HEAD as usize] {
        let mut bytes = [0; HEAD as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.id);
        bytes[48..52].copy_from_slice(&self.previous.to_le_bytes());
        let sum = crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Head, NoHead> {
        if bytes.len() < HEAD as usize || &bytes[..8] != MAGIC || u32_at(bytes, 60) != crc32c(&bytes[..60]) {
            return Err(NoHead::Bad);
        }
        match u32_at(bytes, 8) {
            VERSION => {}
            version if version > VERSION => return Err(NoHead::Newer(version)),
            _ => return Err(NoHead::Bad),
        }
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[32..48]);
        let head = Head { epoch: u64_at(bytes, 16), first: u64_at(bytes, 24), id, previous: u32_at(bytes, 48) };
        if head.bytes()[..] == bytes[..HEAD as usize] { Ok(head) } else { Err(NoHead::Bad) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) epoch: u64,
    pub(super) sequence: u64,
    pub(super) durable: u64,
    pub(super) previous: u32,
    pub(super) payload: u32,
    /// Of the record: what the next one holds as `previous`.
    pub(super) sum: u32,
}

impl Record {
    /// The bytes before the payload; `sum` is set by it.
    pub(super) fn bytes(&mut self, seed: u32) -> [u8; RECORD as usize] {
        let mut bytes = [0; RECORD as usize];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind;
        bytes[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.previous.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.payload.to_le_bytes());
        self.sum = crc32c_append(seed, &bytes[..40]);
        bytes[40..].copy_from_slice(&self.sum.to_le_bytes());
        bytes
    }

    /// The record whose first bytes these are, if they are those of one. Cheap where they are not, since a tail that
    /// was torn is looked through byte by byte.
    pub(super) fn read(bytes: &[u8], seed: u32) -> Option<Record> {
        if bytes.len() < RECORD as usize || bytes[5..8] != [0; 3] || u64::from(u32_at(bytes, 0)) > MAX_PAYLOAD {
            return None;
        }
        let (epoch, sequence, durable) = (u64_at(bytes, 8), u64_at(bytes, 16), u64_at(bytes, 24));
        if epoch == 0 || sequence == 0 || durable > sequence {
            return None;
        }
        let sum = u32_at(bytes, 40);
        (sum == crc32c_append(seed, &bytes[..40])).then(|| Record {
            length: u32_at(bytes, 0),
            kind: bytes[4],
            epoch,
            sequence,
            durable,
            previous: u32_at(bytes, 32),
            payload: u32_at(bytes, 36),
            sum,
        })
    }
}

/// The name of the segment whose first record has this sequence.
pub(super) fn segment_name(first: u64) -> String {
    format!("{first:020}.log")
}

/// The sequence a segment's name says; none for other files.
pub(super) fn named_segment(name: &str) -> Option<u64> {
    number(name.strip_suffix(".log")?)
}

/// A number of twenty digits, as files are named.
pub(super) fn number(text: &str) -> Option<u64> {
    (text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Four bytes at a place; the caller has made sure that they are there.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(four)
}

/// Eight bytes at a place; the caller has made sure that they are there.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}
