//! Numbers by the bytes that they stand for. The bytes are kept elsewhere, one behind the other, so that a number costs
//! no allocation of its own.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Numbers of byte strings.
#[derive(Default)]
pub struct Numbers {
    hashing: DefaultHashBuilder,
    /// With half of the hash, so that the table can grow without looking at bytes.
    table: HashTable<(u32, u32)>,
}

impl Numbers {
    /// The number of some bytes, or the next one, which is theirs from now on. `is_of`: whether a number is theirs.
    pub fn of(&mut self, bytes: &[u8], next: usize, is_of: impl Fn(usize) -> bool) -> usize {
        let hash = self.hashing.hash_one(bytes) as u32;
        let is_it = |(other, number): &(u32, u32)| *other == hash && is_of(*number as usize);
        match self.table.entry(widened(hash), is_it, |(hash, _)| widened(*hash)) {
            Entry::Occupied(entry) => entry.get().1 as usize,
            Entry::Vacant(entry) => {
                entry.insert((hash, next as u32));
                next
            }
        }
    }

    /// The number of some bytes, where they have one.
    pub fn find(&self, bytes: &[u8], is_of: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = self.hashing.hash_one(bytes) as u32;
        let is_it = |(other, number): &(u32, u32)| *other == hash && is_of(*number as usize);
        self.table.find(widened(hash), is_it).map(|(_, number)| *number as usize)
    }
}

/// The half of a hash that is kept, spread over a whole one: tables look at both ends.
pub fn widened(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_0000_0001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_number_they_were_given_first() {
        let mut numbers = Numbers::default();
        let mut known: Vec<Vec<u8>> = Vec::new();
        for round in 0..2 {
            for i in 0..10_000_u32 {
                let bytes = i.to_string().into_bytes();
                let next = known.len();
                let number = numbers.of(&bytes, next, |number| known[number] == bytes);
                assert_eq!(number, i as usize, "round {round}");
                if number == next {
                    known.push(bytes);
                }
            }
        }
        assert_eq!(numbers.find(b"77", |number| known[number] == b"77"), Some(77));
        assert_eq!(numbers.find(b"nobody", |number| known[number] == b"nobody"), None);
    }
}
