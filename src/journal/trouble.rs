//! What can be wrong with a checkpoint directory, and what to do about it.

use std::path::{Path, PathBuf};
use std::{error, fmt, io};

/// Why the journal cannot go on.
#[derive(Debug)]
pub enum Trouble {
    /// Another process has the checkpoint.
    Busy {
        /// The checkpoint.
        folder: PathBuf,
        /// The number of that process; empty where it is not known.
        by: String,
    },
    /// A later version wrote it.
    Newer {
        /// The file that says so.
        file: PathBuf,
        /// The version of its format.
        version: u32,
    },
    /// It belongs to another pipeline.
    Foreign {
        /// The checkpoint.
        folder: PathBuf,
        /// The pipeline it belongs to.
        pipeline: String,
    },
    /// Bytes are not what was written.
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: Option<u64>,
        /// What is wrong there.
        why: String,
    },
    /// The disk or a quota is full. What was half-written has been cut off; the same call can be made again later.
    Full {
        /// The file that could not be written.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody knows what of the last records is durable. It is not tried again: every later call is refused.
    Broken {
        /// The file that could not be made durable.
        file: PathBuf,
        /// What the system says.
        why: String,
    },
    /// Anything else that the system refuses.
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What was tried, behind "cannot".
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl Trouble {
    pub(super) fn damaged(file: &Path, offset: impl Into<Option<u64>>, why: impl Into<String>) -> Trouble {
        Trouble::Damaged { file: file.to_owned(), offset: offset.into(), why: why.into() }
    }

    /// What a failed call means; a full disk is told from the rest.
    pub(crate) fn io(file: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Trouble {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full { file: file.to_owned(), error },
            _ => Trouble::Io { file: file.to_owned(), doing, error },
        }
    }

    pub(super) fn broken(file: &Path) -> impl FnOnce(io::Error) -> Trouble {
        |error| Trouble::Broken { file: file.to_owned(), why: error.to_string() }
    }

    /// Whether a file or folder was not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Trouble::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Busy { folder, by } => {
                let by = if by.is_empty() { String::new() } else { format!(" ({by})") };
                let folder = folder.display();
                write!(f, "another process{by} uses the checkpoint `{folder}`; end it, or name another `checkpoint`")
            }
            Trouble::Newer { file, version } => {
                let file = file.display();
                let known = super::VERSION;
                write!(f, "`{file}` has format {version}, this version reads {known}; use the millstream that wrote it")
            }
            Trouble::Foreign { folder, pipeline } => {
                let folder = folder.display();
                write!(f, "the checkpoint `{folder}` belongs to pipeline `{pipeline}`; name another `checkpoint`")
            }
            Trouble::Damaged { file, offset, why } => {
                let at = offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
                write!(f, "`{}` is damaged{at}: {why}; put back a copy, or move the checkpoint away", file.display())?;
                f.write_str(" and start anew")
            }
            Trouble::Full { file, error } => {
                write!(f, "cannot write `{}`: {error}; it goes on as soon as there is room", file.display())
            }
            Trouble::Broken { file, why } => {
                write!(f, "`{}` could not be made durable: {why}; see to the disk and start again,", file.display())?;
                f.write_str(" what was committed is read back then")
            }
            Trouble::Io { file, doing, error } => {
                write!(f, "cannot {doing} `{}`: {error}{}", file.display(), advice(error.kind()))
            }
        }
    }
}

fn advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "; put the checkpoint back, or start anew",
        io::ErrorKind::PermissionDenied => {
            "; give the user who runs this the right to it, or name another `checkpoint`"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; name a `checkpoint` where writing is allowed",
        io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => "; take away what stands there",
        _ => "; see to the disk and start again",
    }
}

impl error::Error for Trouble {}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> io::Error {
        io::Error::other(trouble)
    }
}
