//! Input that is the same every time: each file follows from the seed and its number.

pub mod nexmark;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::moments::write_moment;

/// Change this when files come out otherwise, so that old ones are not used.
const VERSION: u32 = 2;
/// What every number follows from.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
/// Words of a line.
const WORDS_OF_LINE: usize = 10;
/// How many words there are.
const WORDS: usize = 100_000;
/// How steeply they get rare.
const ZIPF: f64 = 1.2;
/// Users that orders are of.
pub const USERS: u64 = 50_000;
/// Every so many of them is on the blacklist.
const BLACKLISTED: u64 = 100;
/// Files of the tiny batches.
const TINY: usize = 60;
/// Microseconds from order to order.
const APART: i64 = 5_000;
/// Orders come up to so many milliseconds out of order.
const DISORDER: u64 = 2_000;
/// When the first file was written, as it says, in seconds since 1970.
const MODIFIED: u64 = 1_767_225_600;
/// When the first order is: 2026-01-01.
pub const START: i64 = 1_767_225_600_000_000;

/// How much input there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Files, each a batch.
    pub files: usize,
    /// Lines of each.
    pub lines: usize,
}

impl Size {
    /// What figures are made with.
    pub const FULL: Size = Size { files: 10, lines: 400_000 };
    /// What shows in seconds whether everything works.
    pub const SMALL: Size = Size { files: 4, lines: 3_000 };
}

/// The input of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Lines of words.
    Words,
    /// Orders as JSON, with users and a blacklist.
    Orders,
    /// Files of one line.
    Tiny,
    /// Events of Nexmark.
    Nexmark,
}

impl Kind {
    /// The folder's name.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Words => "words",
            Kind::Orders => "orders",
            Kind::Tiny => "tiny",
            Kind::Nexmark => "nexmark",
        }
    }
}

/// The folder with an input, made where it is not there yet.
pub fn ensure(below: &Path, kind: Kind, size: Size) -> io::Result<PathBuf> {
    let Size { files, lines } = size;
    let folder = below.join(format!("v{VERSION}-{files}x{lines}")).join(kind.folder());
    let whole = folder.join(".whole");
    if whole.exists() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder)?;
    let files = if kind == Kind::Tiny { TINY } else { files };
    let make = |number: usize| -> io::Result<()> {
        let (name, text) = match kind {
            Kind::Words => (format!("{number:03}.txt"), words(number, lines)),
            Kind::Orders => (format!("{number:03}.json"), orders(number, lines)),
            Kind::Tiny => (format!("{number:03}.txt"), words(number, 1)),
            Kind::Nexmark => (format!("{number:03}.json"), nexmark::events(number, lines)),
        };
        let mut file = File::create(folder.join(name))?;
        file.write_all(text.as_bytes())?;
        // Some programs read the oldest file first.
        file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED + number as u64))
    };
    let half = files.div_ceil(2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| (half..files).try_for_each(make));
        (0..half).try_for_each(make)?;
        other.join().unwrap_or_else(|_| Err(io::Error::other("a file could not be made")))
    })?;
    if kind == Kind::Orders {
        let tables = tables_beside(&folder);
        fs::create_dir_all(&tables)?;
        fs::write(tables.join("users.csv"), users())?;
        fs::write(tables.join("blacklist.csv"), blacklist())?;
    }
    if kind == Kind::Nexmark {
        let tables = tables_beside(&folder);
        fs::create_dir_all(&tables)?;
        fs::write(tables.join("side_input.csv"), nexmark::side_input())?;
    }
    fs::write(whole, "")?;
    Ok(folder)
}

/// Where the tables of an input's folder are.
pub fn tables_beside(folder: &Path) -> PathBuf {
    folder.with_file_name("tables")
}

/// Lines of words, few of them often.
pub fn words(number: usize, lines: usize) -> String {
    let mut sums = Vec::with_capacity(WORDS);
    let mut sum = 0.0;
    for rank in 1..=WORDS {
        sum += (rank as f64).powf(-ZIPF);
        sums.push(sum);
    }
    let mut chance = Chance::of(number);
    let mut text = String::with_capacity(lines * 44);
    for _ in 0..lines {
        for i in 0..WORDS_OF_LINE {
            let at = chance.fraction() * sum;
            let word = sums.partition_point(|s| *s < at).min(WORDS - 1);
            text.push_str(if i > 0 { " " } else { "" });
            write(&mut text, format_args!("w{word}"));
        }
        text.push('\n');
    }
    text
}

/// Orders as JSON, a line each, whose times are up to two seconds out of order.
pub fn orders(number: usize, lines: usize) -> String {
    let mut chance = Chance::of(number);
    let mut text = String::with_capacity(lines * 172);
    for n in number * lines..(number + 1) * lines {
        let cents = chance.below(50_000);
        let behind = chance.below(DISORDER) * 1000;
        let ts = START + i64::try_from(n).unwrap_or_default() * APART + i64::try_from(behind).unwrap_or_default();
        let (user, category, region) = (chance.below(USERS), chance.below(200), chance.below(12));
        write(
            &mut text,
            format_args!(
                "{{\"order_id\":{n},\"user\":\"u{user}\",\"category\":\"c{category}\",\"region\":\"r{region}\","
            ),
        );
        let (quantity, note) = (1 + chance.below(9), chance.below(1_000_000));
        write(
            &mut text,
            format_args!("\"amount\":{}.{:02},\"quantity\":{quantity},\"ts\":\"", cents / 100, cents % 100),
        );
        write_moment(&mut text, ts);
        write(&mut text, format_args!("\",\"note\":\"as agreed, number {note}\"}}\n"));
    }
    text
}

fn users() -> String {
    let mut chance = Chance::of(1_000_001);
    let mut text = String::from("user,country,tier\n");
    for n in 0..USERS {
        let tier = ["bronze", "silver", "gold", "platinum"][usize::try_from(chance.below(4)).unwrap_or_default()];
        write(&mut text, format_args!("u{n},C{},{tier}\n", chance.below(30)));
    }
    text
}

fn blacklist() -> String {
    let mut text = String::from("user\n");
    (0..USERS)
        .step_by(usize::try_from(BLACKLISTED).unwrap_or(1))
        .for_each(|n| write(&mut text, format_args!("u{n}\n")));
    text
}

/// Writing to a string cannot fail.
fn write(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

/// Numbers that look random and are the same every time.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Those of a file.
    pub fn of(number: usize) -> Self {
        let mut chance = Chance(SEED ^ (number as u64 + 1).wrapping_mul(0xbf58_476d_1ce4_e5b9));
        // The first ones still look like the seed.
        for _ in 0..8 {
            chance.next();
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to, not with, so much.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// From 0 up to, not with, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_every_time_and_no_two_are() {
        assert_eq!(orders(0, 100), orders(0, 100));
        assert_ne!(words(0, 100), words(1, 100));
    }

    #[test]
    fn few_words_are_often() {
        let text = words(0, 1000);
        let often = text.split_whitespace().filter(|word| *word == "w0").count();
        assert!((1_500..2_500).contains(&often), "{often} of 10,000");
    }
}
