//! What becomes of a file whose rows are delivered.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::plan::{Conflict, Settings};
use crate::sources::files::place::Identity;

/// What becomes of it.
pub(super) enum After {
    Keep,
    Delete,
    /// Into a folder, in which it stands as it stood below the other.
    Move {
        to: PathBuf,
        below: PathBuf,
    },
}

impl After {
    /// `root`: the folder that all files are below.
    pub(super) fn of(settings: &Settings, base: &Path, root: PathBuf) -> Self {
        match (settings.text("after"), settings.text("move_to")) {
            (Some("delete"), _) => After::Delete,
            (Some("move"), Some(folder)) => After::Move { to: base.join(folder), below: root },
            _ => After::Keep,
        }
    }

    /// What of its options does not go together.
    pub(super) fn conflict(settings: &Settings) -> Option<Conflict> {
        match (settings.text("after"), settings.is_written("move_to")) {
            (Some("move"), false) => {
                let help = "name it:\n  move_to: \"done\"";
                Some(Conflict::between("after", "`after: move` needs `move_to`, the folder to move to", help))
            }
            (after, true) if after != Some("move") => {
                let help = "write it too:\n  after: move";
                Some(Conflict::between("move_to", "`move_to` means nothing without `after: move`", help))
            }
            _ => None,
        }
    }

    /// Where files go, which are not found there again.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        if let After::Move { to, .. } = self { Some(to.clone()) } else { None }
    }

    /// Clears a file away, unless another has its name by now. One that is gone already is fine.
    pub(super) fn clear(&self, path: &Path, read: Identity) -> io::Result<()> {
        if matches!(self, After::Keep) {
            return Ok(());
        }
        let gone = |e: io::Error| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) };
        match fs::metadata(path) {
            Ok(about) if read.is_known() && Identity::exact(&about) != read => return Ok(()),
            Ok(_) => {}
            Err(e) => return gone(e),
        }
        match self {
            After::Keep => Ok(()),
            After::Delete => fs::remove_file(path).or_else(gone),
            After::Move { to, below } => {
                let name = path.strip_prefix(below).unwrap_or_else(|_| Path::new(path.file_name().unwrap_or_default()));
                let target = free(&to.join(name));
                fs::create_dir_all(target.parent().unwrap_or(to))?;
                fs::rename(path, &target).or_else(|e| across(path, &target, e)).or_else(gone)
            }
        }
    }
}

/// Another file of the same name stays.
fn free(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = (1..).map(|n| target.with_file_name(format!("{name}.{n}")));
    std::iter::once(target.to_owned())
        .chain(numbered)
        .find(|path| fs::symlink_metadata(path).is_err())
        .unwrap_or_default()
}

/// To another disk a file must be copied. It gets its name when all of it is there.
fn across(path: &Path, target: &Path, e: io::Error) -> io::Result<()> {
    if e.kind() != io::ErrorKind::CrossesDevices {
        return Err(e);
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let part = target.with_file_name(format!(".{name}.tmp"));
    fs::copy(path, &part)?;
    fs::File::open(&part)?.sync_all()?;
    fs::rename(&part, target)?;
    fs::remove_file(path)
}
