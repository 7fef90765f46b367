//! Files that appear whole or not at all, once: written under a hidden name, brought to the disk, then given their name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::plan::operator::TaskError;

/// Whether a file got its name now or had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    Now,
    Before,
}

/// The name a file or folder has until it is published.
pub(super) fn hidden(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.tmp"))
}

/// Writes a file that nobody has yet, through to the disk. What a crash left under that name goes.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // Made anew, so that no link leads elsewhere.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)?
        }
        opened => opened?,
    };
    file.write_all(bytes)?;
    file.sync_data()?;
    sync(folder)
}

/// Brings the names in a folder to the disk.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Gives a hidden file its name. A file that has it already must be the same.
pub(super) fn publish(target: &Path) -> Result<Published, TaskError> {
    let from = hidden(target);
    let retry = |e: io::Error| TaskError::Retry(format!("cannot publish `{}`: {e}", target.display()));
    let linked = fs::hard_link(&from, target);
    let published = match linked {
        Ok(()) => Published::Now,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if !same(&from, target).map_err(retry)? {
                return Err(other(target));
            }
            Published::Before
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && target.exists() => return Ok(Published::Before),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(retry(e)),
        // Not every disk can give a file two names.
        Err(_) if target.exists() => return Err(other(target)),
        Err(_) => fs::rename(&from, target).map(|()| Published::Now).map_err(retry)?,
    };
    sync(target.parent().unwrap_or(Path::new("."))).map_err(retry)?;
    match fs::remove_file(&from) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(retry(e)),
        _ => Ok(published),
    }
}

/// What is said where a name is taken.
pub(super) fn other(target: &Path) -> TaskError {
    TaskError::Stop(format!(
        "`{}` is there already with other contents, from another run; move it away or write elsewhere",
        target.display()
    ))
}

/// Whether two files hold the same.
pub(super) fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    loop {
        a.clear();
        b.clear();
        let read = (&mut one).take(1 << 20).read_to_end(&mut a)?;
        (&mut other).take(1 << 20).read_to_end(&mut b)?;
        if a != b {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Writes a small file in the place of an older one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = hidden(path);
    write(&new, bytes)?;
    fs::rename(new, path)?;
    sync(path.parent().unwrap_or(Path::new(".")))
}
