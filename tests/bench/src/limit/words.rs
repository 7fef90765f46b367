//! Counting words by hand. A word of up to fifteen bytes is a number, so that finding it in a table touches nothing but
//! the table; longer ones are kept as they are.

use std::hash::BuildHasher;
use std::io;
use std::path::Path;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use memchr::memchr2_iter;

use super::{Work, in_parts, put_number, workers};

/// Bytes of a word that is a number; one more says how many there are.
const SHORT: usize = 15;

/// How often each word occurs.
#[derive(Default)]
struct Counts {
    short: HashTable<(u128, u64)>,
    long: HashMap<Vec<u8>, u64>,
    hasher: DefaultHashBuilder,
}

impl Counts {
    /// Counts the words of some lines.
    fn read(&mut self, lines: &[u8]) {
        let mut from = 0;
        for at in memchr2_iter(b' ', b'\n', lines) {
            self.word(lines, from, at);
            from = at + 1;
        }
        self.word(lines, from, lines.len());
    }

    fn word(&mut self, lines: &[u8], from: usize, to: usize) {
        let length = to - from;
        match length {
            0 => {}
            1..=SHORT => {
                // What stands behind the word is read as well, where there is something, and cut off.
                let number = match lines.get(from..from + 16).and_then(|bytes| bytes.try_into().ok()) {
                    Some(bytes) => u128::from_le_bytes(bytes) & ((1 << (length * 8)) - 1),
                    None => number_of(&lines[from..to]),
                };
                *self.short(number | (length as u128) << 120) += 1;
            }
            _ => *self.long.entry_ref(&lines[from..to]).or_insert(0) += 1,
        }
    }

    fn short(&mut self, number: u128) -> &mut u64 {
        let hasher = &self.hasher;
        let entry =
            self.short.entry(hasher.hash_one(number), |(known, _)| *known == number, |(n, _)| hasher.hash_one(n));
        &mut entry.or_insert((number, 0)).into_mut().1
    }

    fn add(&mut self, other: &Counts) {
        other.short.iter().for_each(|(number, n)| *self.short(*number) += n);
        other.long.iter().for_each(|(word, n)| *self.long.entry_ref(&word[..]).or_insert(0) += n);
    }

    /// Nothing is counted, but there is room.
    fn clear(&mut self) {
        self.short.clear();
        self.long.clear();
    }

    /// All words and their counts.
    fn each(&self, mut work: impl FnMut(&[u8], u64)) {
        for (number, n) in &self.short {
            let bytes = number.to_le_bytes();
            work(&bytes[..usize::from(bytes[SHORT])], *n);
        }
        self.long.iter().for_each(|(word, n)| work(word, *n));
    }
}

fn number_of(word: &[u8]) -> u128 {
    word.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// Counts of each file.
pub(super) struct PerBatch {
    workers: Vec<(Vec<u8>, Counts)>,
}

impl PerBatch {
    pub(super) fn new(threads: usize) -> Self {
        PerBatch { workers: workers(threads, Counts::default) }
    }
}

impl Work for PerBatch {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let all = count(file, &mut self.workers)?;
        let mut out = Vec::with_capacity(all.short.len() * 24);
        all.each(|word, n| put(&mut out, word, n, ""));
        Ok(out)
    }
}

/// Running totals, those that changed with a file.
pub(super) struct Running {
    workers: Vec<(Vec<u8>, Counts)>,
    totals: Counts,
}

impl Running {
    pub(super) fn new(threads: usize) -> Self {
        Running { workers: workers(threads, Counts::default), totals: Counts::default() }
    }
}

impl Work for Running {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let all = count(file, &mut self.workers)?;
        let totals = &mut self.totals;
        let mut out = Vec::with_capacity(all.short.len() * 34);
        for (number, n) in &all.short {
            let total = totals.short(*number);
            *total += n;
            let bytes = number.to_le_bytes();
            put(&mut out, &bytes[..usize::from(bytes[SHORT])], *total, ",\"op\":\"+\"");
        }
        for (word, n) in &all.long {
            let total = totals.long.entry_ref(&word[..]).or_insert(0);
            *total += n;
            put(&mut out, word, *total, ",\"op\":\"+\"");
        }
        Ok(out)
    }
}

/// How often each word of a file occurs: in the first worker's table.
fn count<'a>(file: &Path, workers: &'a mut [(Vec<u8>, Counts)]) -> io::Result<&'a Counts> {
    in_parts(file, workers, |lines, counts| {
        counts.clear();
        counts.read(lines);
    })?;
    let (first, others) = workers.split_first_mut().ok_or_else(|| io::Error::other("nobody works"))?;
    others.iter().for_each(|(_, counts)| first.1.add(counts));
    Ok(&first.1)
}

fn put(out: &mut Vec<u8>, word: &[u8], n: u64, behind: &str) {
    out.extend_from_slice(b"{\"word\":\"");
    out.extend_from_slice(word);
    out.extend_from_slice(b"\",\"n\":");
    put_number(out, n);
    out.extend_from_slice(behind.as_bytes());
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_length_are_counted() {
        let long = "x".repeat(16);
        let fifteen = "y".repeat(15);
        let text = format!("a b  a\n{long} {fifteen} {long}\n\nba ab {fifteen}");
        // Tables whose hashers differ are added up as well.
        let (mut counts, mut all) = (Counts::default(), Counts::default());
        counts.read(text.as_bytes());
        all.read(b"a");
        all.add(&counts);
        let mut found = Vec::new();
        all.each(|word, n| found.push((String::from_utf8(word.to_vec()).unwrap(), n)));
        found.sort();
        let expected = [("a", 3), ("ab", 1), ("b", 1), ("ba", 1), (&long, 2), (&fifteen, 2)];
        assert_eq!(found, expected.map(|(word, n)| (word.to_owned(), n)));
    }
}
