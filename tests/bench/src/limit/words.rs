//! Counting words by hand.

use std::io;
use std::path::Path;

use hashbrown::HashMap;
use memchr::memchr2_iter;

use super::{Work, in_parts, put_number, workers};

/// How many different words a part of a file may have before its table grows.
const WORDS: usize = 1 << 16;

type Counts<'a> = HashMap<&'a [u8], u64>;

/// Counts of each file.
pub(super) struct PerBatch {
    workers: Vec<(Vec<u8>, ())>,
}

impl PerBatch {
    pub(super) fn new(threads: usize) -> Self {
        PerBatch { workers: workers(threads, || ()) }
    }
}

impl Work for PerBatch {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let all = counts_of(file, &mut self.workers)?;
        let mut out = Vec::with_capacity(all.len() * 24);
        all.iter().for_each(|(word, n)| put(&mut out, word, *n, ""));
        Ok(out)
    }
}

/// Running totals, those that changed with a file.
pub(super) struct Running {
    workers: Vec<(Vec<u8>, ())>,
    totals: HashMap<Vec<u8>, u64>,
}

impl Running {
    pub(super) fn new(threads: usize) -> Self {
        Running { workers: workers(threads, || ()), totals: HashMap::new() }
    }
}

impl Work for Running {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let all = counts_of(file, &mut self.workers)?;
        let mut out = Vec::with_capacity(all.len() * 40);
        for (word, n) in &all {
            let total = self.totals.entry_ref(&word[..]).or_insert(0);
            *total += n;
            put(&mut out, word, *total, ",\"op\":\"+\"");
        }
        Ok(out)
    }
}

/// How often each word of a file occurs.
fn counts_of(file: &Path, workers: &mut [(Vec<u8>, ())]) -> io::Result<HashMap<Vec<u8>, u64>> {
    let parts = in_parts(file, workers, |lines, ()| {
        let mut counts = Counts::with_capacity(WORDS.min(lines.len()));
        let mut from = 0;
        for at in memchr2_iter(b' ', b'\n', lines) {
            if at > from {
                *counts.entry(&lines[from..at]).or_insert(0) += 1;
            }
            from = at + 1;
        }
        if from < lines.len() {
            *counts.entry(&lines[from..]).or_insert(0) += 1;
        }
        // A part's words are in its buffer, which is the worker's own.
        counts.into_iter().map(|(word, n)| (word.to_vec(), n)).collect::<HashMap<Vec<u8>, u64>>()
    })?;
    let mut parts = parts.into_iter();
    let mut all = parts.next().unwrap_or_default();
    for (word, n) in parts.flatten() {
        *all.entry(word).or_insert(0) += n;
    }
    Ok(all)
}

fn put(out: &mut Vec<u8>, word: &[u8], n: u64, behind: &str) {
    out.extend_from_slice(b"{\"word\":\"");
    out.extend_from_slice(word);
    out.extend_from_slice(b"\",\"n\":");
    put_number(out, n);
    out.extend_from_slice(behind.as_bytes());
    out.extend_from_slice(b"}\n");
}
