//! Results as a number, whoever wrote them and in whatever order.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::moments::read_moment;
use crate::workload::{Column, Holds};

/// How many rows there are, and a sum over what is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    /// The sum of the rows' hashes.
    pub sum: u64,
}

impl Digest {
    /// Adds a row, its cells as they are compared.
    pub fn add(&mut self, cells: &[String]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash(cells.join("\u{1f}").as_bytes()));
    }
}

/// The digest of all rows in the files of a folder: every line that is a JSON object is one. Rows with an `op` other
/// than `+` are not looked at.
pub fn of_folder(folder: &Path, columns: &[Column]) -> io::Result<Digest> {
    let mut digest = Digest::default();
    for file in files_below(folder)? {
        let text = fs::read_to_string(&file)?;
        for line in text.lines().filter(|line| line.starts_with('{')) {
            let wrong = |why: &str| io::Error::other(format!("{}: {why}: {line}", file.display()));
            let row: Value = serde_json::from_str(line).map_err(|e| wrong(&e.to_string()))?;
            if row.get("op").is_some_and(|op| op != "+") {
                continue;
            }
            let cells = columns.iter().map(|(name, holds)| cell(row.get(name), *holds).ok_or_else(|| wrong(name)));
            digest.add(&cells.collect::<io::Result<Vec<_>>>()?);
        }
    }
    Ok(digest)
}

/// Files with rows: not those of other programs, nor hidden ones.
fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else if name.ends_with(".json") || name.starts_with("part-") {
            files.push(path);
        }
    }
    Ok(files)
}

/// A cell as it is compared.
pub fn cell(value: Option<&Value>, holds: Holds) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match holds {
        Holds::Text => Some(text),
        Holds::Whole => Some(text.parse::<i64>().ok()?.to_string()),
        Holds::Cents => Some(format!("{:.2}", text.parse::<f64>().ok()?)),
        Holds::Moment => Some(read_moment(text.as_bytes())?.to_string()),
    }
}

/// FNV-1a, then mixed, so that sums of hashes tell rows apart.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_the_order_or_the_spelling() {
        let of = |rows: &[[&str; 2]]| {
            let mut digest = Digest::default();
            rows.iter().for_each(|row| digest.add(&row.map(str::to_owned)));
            digest
        };
        assert_eq!(of(&[["a", "1"], ["b", "2"]]), of(&[["b", "2"], ["a", "1"]]));
        assert_ne!(of(&[["a", "1"], ["b", "2"]]), of(&[["a", "2"], ["b", "1"]]));
        assert_ne!(of(&[["a", "1"], ["a", "1"]]), of(&[["a", "1"]]));
        let (one, other) = (serde_json::json!(12.5), serde_json::json!("12.50"));
        assert_eq!(cell(Some(&one), Holds::Cents), cell(Some(&other), Holds::Cents));
    }
}
