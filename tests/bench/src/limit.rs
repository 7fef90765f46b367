//! What a machine could do: each workload written by hand, doing only what its result needs. No schema, no checks of
//! what nobody asks for, no recovery. Every file is a batch; each thread works on a part of it.

mod fields;
mod orders;
mod words;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use memchr::memchr;

use crate::programs::BATCHES;

/// No line of an input is longer.
const LONGEST_LINE: u64 = 64 * 1024;

/// Runs a workload over the files of a folder; results and a line with its milliseconds for each batch go to `out`.
pub fn run(workload: &str, input: &Path, out: &Path, threads: usize) -> io::Result<()> {
    let files = files_of(input)?;
    let mut work: Box<dyn Work> = match workload {
        "wordcount" => Box::new(words::PerBatch::new(threads)),
        "running-wordcount" | "tiny-batches" => Box::new(words::Running::new(threads)),
        "orders-window" => Box::new(orders::Windows::new(threads, &orders::BY_CATEGORY)),
        "pane-cost" => Box::new(orders::Windows::new(threads, &orders::LONG)),
        "pane-cost-tumbling" => Box::new(orders::Windows::new(threads, &orders::SHORT)),
        "few-keys" => Box::new(orders::Keys::new(threads, 100)),
        "many-keys" => Box::new(orders::Keys::new(threads, 100_000)),
        "orders-filter" => Box::new(orders::Filter::new(threads)),
        "orders-join" => Box::new(orders::Join::new(threads, input)?),
        other => return Err(io::Error::other(format!("there is no hand-written `{other}`"))),
    };
    let mut times = String::new();
    for (i, file) in files.iter().enumerate() {
        let started = Instant::now();
        fs::write(out.join(format!("{i:04}.json")), work.batch(file)?)?;
        times.push_str(&format!("{:.4}\n", started.elapsed().as_secs_f64() * 1000.0));
    }
    let rest = work.close();
    if !rest.is_empty() {
        fs::write(out.join("close.json"), rest)?;
    }
    fs::write(out.join(BATCHES), times)
}

/// A workload.
trait Work {
    /// What a file gives.
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>>;
    /// What comes behind the last one.
    fn close(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

/// The files of a folder by name.
pub(crate) fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Lets each worker work on the lines of its part of a file, all at once.
fn in_parts<W: Send, R: Send>(
    file: &Path,
    workers: &mut [(Vec<u8>, W)],
    work: impl Fn(&[u8], &mut W) -> R + Sync,
) -> io::Result<Vec<R>> {
    let file = File::open(file)?;
    let (length, parts) = (file.metadata()?.len(), workers.len() as u64);
    let one = |i: u64, (buffer, worker): &mut (Vec<u8>, W)| -> io::Result<R> {
        let (from, to) = (length * i / parts, length * (i + 1) / parts);
        Ok(work(lines_between(&file, from, to, length, buffer)?, worker))
    };
    std::thread::scope(|scope| {
        let (first, others) = workers.split_first_mut().ok_or_else(|| io::Error::other("nobody works"))?;
        let numbered = (1..).zip(others);
        let others: Vec<_> = numbered.map(|(i, worker)| scope.spawn(move || one(i, worker))).collect();
        let mut results = vec![one(0, first)?];
        for other in others {
            results.push(other.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))?);
        }
        Ok(results)
    })
}

/// The lines that begin between two places.
fn lines_between<'a>(file: &File, from: u64, to: u64, length: u64, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    if from == to {
        return Ok(&[]);
    }
    // The byte before tells whether a line begins at `from`.
    let start = from.saturating_sub(1);
    let end = length.min(to + LONGEST_LINE);
    buffer.resize(usize::try_from(end - start).unwrap_or_default(), 0);
    file.read_exact_at(buffer, start)?;
    let behind_line = |at: usize| memchr(b'\n', &buffer[at..]).map_or(buffer.len(), |found| at + found + 1);
    let first = if from == 0 { 0 } else { behind_line(0) };
    let last = if to == length { buffer.len() } else { behind_line(usize::try_from(to - start - 1).unwrap_or(0)) };
    Ok(&buffer[first..last.max(first)])
}

/// A buffer and a state for each thread.
fn workers<W>(threads: usize, state: impl Fn() -> W) -> Vec<(Vec<u8>, W)> {
    (0..threads.max(1)).map(|_| (Vec::new(), state())).collect()
}

/// Puts a whole number into a line.
fn put_number(out: &mut Vec<u8>, number: u64) {
    let (mut digits, mut at, mut rest) = ([0; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Puts hundredths into a line as a decimal.
fn put_cents(out: &mut Vec<u8>, cents: u64) {
    put_number(out, cents / 100);
    out.extend_from_slice(&[b'.', b'0' + (cents / 10 % 10) as u8, b'0' + (cents % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_in_one_part() {
        let folder = std::env::temp_dir().join(format!("millstream-bench-parts-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("lines");
        for text in ["", "a\n", "aa\nb\n\nccc\nd", "a\nb\nc\nd\ne\nf\n", &"x\n".repeat(100)] {
            fs::write(&path, text).unwrap();
            for threads in 1..5 {
                let parts = in_parts(&path, &mut workers(threads, || ()), |lines, ()| lines.to_vec()).unwrap();
                assert_eq!(parts.concat(), text.as_bytes(), "{threads} threads");
            }
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn numbers_are_put_as_they_are_read() {
        let mut out = Vec::new();
        put_number(&mut out, 0);
        put_number(&mut out, 120);
        put_cents(&mut out, 1205);
        assert_eq!(out, b"012012.05");
    }
}
