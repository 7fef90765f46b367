//! Whose checkpoint it is: the file `about`, lines of text that a person can read.
//!
//! ```text
//! millstream checkpoint
//! version 1
//! id 0123456789abcdef0123456789abcdef
//! pipeline orders
//! closed 42
//! sum 01234567
//! ```
//!
//! Behind `closed` is the sequence the next record was to have at a clean end, so that a tail which is lost after it is
//! missed; the line is there only then. The sum is the crc32c of the lines before it. The first two lines and the last stay as they are in all versions.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crc32c::crc32c;

use crate::journal::disk::Disk;
use crate::journal::format::{Id, VERSION};
use crate::journal::trouble::Trouble;

/// No `about` is longer.
const LONGEST: u64 = 64 << 10;
const TITLE: &str = "millstream checkpoint";

/// Whose a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The pipeline it belongs to.
    pub pipeline: String,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) about: About,
    pub(super) id: Id,
    /// The sequence of the record behind a clean end.
    pub(super) closed: Option<u64>,
}

/// Reads `about`; none where it is not there.
pub(super) fn read(disk: &dyn Disk, file: &Path) -> Result<Option<Page>, Trouble> {
    let bytes = match disk.open(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Trouble::io(file, "open")(error)),
    };
    let damaged = |why: &str| Trouble::damaged(file, 0, why);
    if bytes.length() > LONGEST {
        return Err(damaged("it is longer than it can be"));
    }
    let mut text = vec![0; bytes.length() as usize];
    let read = bytes.read_at(0, &mut text).map_err(Trouble::io(file, "read"))?;
    text.truncate(read);
    let text = String::from_utf8(text).map_err(|_| damaged("it is no text"))?;
    let sound = text.rfind("sum ").filter(|at| text[*at..] == sum(&text[..*at]));
    let Some(at) = sound else { return Err(damaged("its text is not what was written")) };
    let mut lines = text[..at].lines();
    if lines.next() != Some(TITLE) {
        return Err(damaged("it is not the `about` of a checkpoint"));
    }
    let version = lines.next().and_then(|line| line.strip_prefix("version ")?.parse().ok());
    match version {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(Trouble::Newer { file: file.to_owned(), version }),
        _ => return Err(damaged("it names no version")),
    }
    let page = page(lines).ok_or_else(|| damaged("it names no pipeline"))?;
    if page.text() == text { Ok(Some(page)) } else { Err(damaged("it is not what this version would write")) }
}

/// The lines from the third on.
fn page<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Page> {
    let id = u128::from_str_radix(lines.next()?.strip_prefix("id ")?, 16).ok()?.to_be_bytes();
    let about = About { pipeline: unquoted(lines.next()?.strip_prefix("pipeline ")?) };
    let closed = match lines.next() {
        Some(line) => Some(line.strip_prefix("closed ")?.parse().ok()?),
        None => None,
    };
    Some(Page { about, id, closed })
}

impl Page {
    /// The text of the file.
    pub(super) fn text(&self) -> String {
        let id = u128::from_be_bytes(self.id);
        let pipeline = quoted(&self.about.pipeline);
        let mut text = format!("{TITLE}\nversion {VERSION}\nid {id:032x}\npipeline {pipeline}\n");
        if let Some(closed) = self.closed {
            // Writing to a string does not fail.
            let _ = writeln!(text, "closed {closed}");
        }
        let sum = sum(&text);
        text.push_str(&sum);
        text
    }
}

fn sum(text: &str) -> String {
    format!("sum {:08x}\n", crc32c(text.as_bytes()))
}

/// A name on one line.
fn quoted(name: &str) -> String {
    let mut quoted = String::new();
    for c in name.chars() {
        match c {
            c if c.is_control() || c == '%' => {
                let _ = write!(quoted, "%{:06x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

fn unquoted(quoted: &str) -> String {
    let mut parts = quoted.split('%');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..6).and_then(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
        match code {
            Some(c) => {
                name.push(c);
                name.push_str(&part[6..]);
            }
            None => name.push_str(part),
        }
    }
    name
}
