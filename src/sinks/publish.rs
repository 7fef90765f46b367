//! Files that appear whole or not at all, once: written under a hidden name, brought to the disk, then given their name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use twox_hash::XxHash3_64;

use crate::plan::catalog::Endpoint;
use crate::plan::operator::TaskError;

/// Whether a file got its name now or had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    Now,
    /// Perhaps by another run.
    Before,
}

/// The hidden folder in which what a sink stages waits for its name, beside where it will be. A file leaves it by being
/// renamed: one that is not there any more has been published, even if somebody has taken it away since.
pub(super) struct Staging {
    folder: PathBuf,
}

impl Staging {
    /// In that folder, for this sink alone.
    pub(super) fn new(folder: &Path, endpoint: &Endpoint) -> Self {
        let whose = format!("{}\n{}\n{}", endpoint.pipeline, endpoint.name, endpoint.word);
        let mark = XxHash3_64::oneshot(whose.as_bytes()) as u32;
        Staging { folder: folder.join(format!(".staged-{mark:08x}")) }
    }

    /// Where the file of that path waits.
    pub(super) fn path(&self, target: &str) -> PathBuf {
        let (folder, name) = target.rsplit_once('/').unwrap_or(("", target));
        match folder {
            "" => self.folder.join(name),
            folder => self.folder.join(format!("{:016x}-{name}", XxHash3_64::oneshot(folder.as_bytes()))),
        }
    }

    /// Takes away what is staged and will not be published.
    pub(super) fn sweep(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// Takes the folder away where nothing waits in it.
    pub(super) fn tidy(&self) {
        // With something in it, or without it, there is nothing to do.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The name a file has until it takes the place of an older one.
pub(super) fn hidden(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.tmp"))
}

/// Writes a file that nobody has yet, through to the disk. What a crash left under that name goes.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make(folder)?;
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

/// Makes a folder and those above it, so that they are there after a power cut too.
fn make(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make(above)?;
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    sync(above)
}

/// Brings the names in a folder to the disk.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Gives what is staged its name: a file, or a folder with one file of that name in it. What has the name already must
/// be the same. Where neither is there it was published before, and taken away by somebody who reads.
pub(super) fn publish(staged: &Path, target: &Path, within: Option<&str>) -> Result<Published, TaskError> {
    let retry = |e: io::Error| TaskError::Retry(format!("cannot publish `{}`: {e}", target.display()));
    let folder = target.parent().unwrap_or(Path::new("."));
    make(folder).map_err(retry)?;
    let published = match rename_anew(staged, target) {
        Ok(()) => Published::Now,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists || e.kind() == io::ErrorKind::DirectoryNotEmpty => {
            let file = |path: &Path| within.map_or(path.to_path_buf(), |name| path.join(name));
            if !same(&file(staged), &file(target)).unwrap_or(false) {
                return Err(other(target));
            }
            if within.is_some() { fs::remove_dir_all(staged) } else { fs::remove_file(staged) }.map_err(retry)?;
            Published::Before
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && !staged.exists() => {
            if !target.exists() {
                let target = target.display();
                tracing::warn!("`{target}` was published before, and has been taken away since");
            }
            return Ok(Published::Before);
        }
        Err(e) => return Err(retry(e)),
    };
    sync(folder).map_err(retry)?;
    Ok(published)
}

/// Renames, but never in the place of something.
fn rename_anew(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every disk can: then nobody else may write there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if to.exists() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(from, to),
        other => other.map_err(io::Error::from),
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
