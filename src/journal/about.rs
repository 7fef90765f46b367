//! Whose checkpoint it is: the file `about`, five lines of text that a person can read.
//!
//! ```text
//! millstream checkpoint
//! version 1
//! id 0123456789abcdef0123456789abcdef
//! pipeline orders
//! sum 01234567
//! ```
//!
//! The sum is the crc32c of the lines before it. The first two lines and the last stay as they are in all versions.

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

/// Reads `about`; none where it is not there.
pub(super) fn read(disk: &dyn Disk, file: &Path) -> Result<Option<(About, Id)>, Trouble> {
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
    let id = lines.next().and_then(|line| u128::from_str_radix(line.strip_prefix("id ")?, 16).ok());
    let pipeline = lines.next().and_then(|line| line.strip_prefix("pipeline "));
    match (id, pipeline) {
        (Some(id), Some(pipeline)) => Ok(Some((About { pipeline: unquoted(pipeline) }, id.to_be_bytes()))),
        _ => Err(damaged("it names no pipeline")),
    }
}

/// The text of an `about`.
pub(super) fn text(about: &About, id: &Id) -> String {
    let id = u128::from_be_bytes(*id);
    let pipeline = quoted(&about.pipeline);
    let mut text = format!("{TITLE}\nversion {VERSION}\nid {id:032x}\npipeline {pipeline}\n");
    let sum = sum(&text);
    text.push_str(&sum);
    text
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
                // Writing to a string does not fail.
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
