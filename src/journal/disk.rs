//! Everything the journal does to a disk, as a trait, so that tests can put a disk beneath it that loses, tears and
//! refuses; and the disk of the machine.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags, RawMode};
use rustix::io::Errno;

/// A disk. No call follows a link in the place of a file or folder, and none but `lock` reads or writes what is no regular file.
pub trait Disk: Send + Sync {
    /// Makes a folder for its owner alone, with the missing folders above it; their names are durable afterwards. It is
    /// fine when the folder is there.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// The names in a folder, in no order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes a file that was not there, for its owner alone.
    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that is there, to append to it or cut it.
    fn reopen(&self, file: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that is there, to read it.
    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskBytes>>;
    /// Gives a file another name in the same folder; a file that had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, file: &Path) -> io::Result<()>;
    /// Takes an empty folder away.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Locks a file against every other process (and every other lock in this one), without waiting.
    fn lock(&self, file: &Path) -> io::Result<Lock>;
    /// Bytes nobody can foresee.
    fn random(&self) -> io::Result<[u8; 16]>;
}

/// A file that is written.
pub trait DiskFile: Send {
    /// Writes at the end. After a failure the end may be anywhere in what was to be written: [`DiskFile::cut`] tells.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes contents and length durable. After a failure nothing is known of what was not durable before.
    fn sync(&mut self) -> io::Result<()>;
    /// Gives up what lies behind `length`, zeros written ahead as well; the next bytes are appended there.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// Writes zeros behind the end, which stays where it is. What is appended there later changes neither the file's
    /// length nor where it lies, so a sync has less to wait for. Where it fails nothing is lost, so nothing is said.
    fn write_ahead(&mut self, bytes: u64);
}

/// A file that is read.
pub trait DiskBytes: Send {
    /// How long it was when it was opened.
    fn length(&self) -> u64;
    /// Reads at a place; fewer bytes than asked for, also none, only where the file ends.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
}

/// What came of locking.
pub enum Lock {
    /// It is ours until this is dropped.
    Held(Box<dyn Send + Sync>),
    /// Somebody else has it: what that one wrote into the file, its number where all went well.
    Taken(String),
}

/// The machine's disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let make = || uninterrupted(|| rustix::fs::mkdirat(CWD, folder, Mode::RWXU));
        match make() {
            Ok(()) => sync_name(folder),
            Err(Errno::EXIST) => match open_folder(folder).and_then(|_| sync_name(folder)) {
                // The folder above is somebody else's, so this one was not made by us a moment before we were killed.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open_folder(folder).map(drop),
                other => other,
            },
            Err(Errno::NOENT) if above(folder) != folder => {
                self.make_folder(above(folder))?;
                match make() {
                    Ok(()) | Err(Errno::EXIST) => sync_name(folder),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = open_folder(folder)?;
        let entries = uninterrupted(|| Dir::read_from(&folder)?.collect::<Result<Vec<_>, Errno>>())?;
        // What is not UTF-8 is not ours.
        let names = entries.iter().filter_map(|entry| entry.file_name().to_str().ok());
        Ok(names.filter(|name| !matches!(*name, "." | "..")).map(str::to_owned).collect())
    }

    fn create(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = open_file(file, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        Ok(Box::new(RealFile { file, length: 0 }))
    }

    fn reopen(&self, file: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = open_file(file, OFlags::RDWR)?;
        let length = file.metadata()?.len();
        Ok(Box::new(RealFile { file, length }))
    }

    fn open(&self, file: &Path) -> io::Result<Box<dyn DiskBytes>> {
        let file = open_file(file, OFlags::RDONLY)?;
        let length = file.metadata()?.len();
        Ok(Box::new(RealBytes { file, length }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(uninterrupted(|| rustix::fs::renameat(CWD, from, CWD, to))?)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        Ok(uninterrupted(|| rustix::fs::unlinkat(CWD, file, AtFlags::empty()))?)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        Ok(uninterrupted(|| rustix::fs::unlinkat(CWD, folder, AtFlags::REMOVEDIR))?)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let folder = open_folder(folder)?;
        Ok(uninterrupted(|| rustix::fs::fsync(&folder))?)
    }

    fn lock(&self, file: &Path) -> io::Result<Lock> {
        let mut lock = open_file(file, OFlags::RDWR | OFlags::CREATE)?;
        let operation = FlockOperation::NonBlockingLockExclusive;
        if let Err(error) = uninterrupted(|| rustix::fs::flock(&lock, operation)) {
            return if error == Errno::WOULDBLOCK { taken(&mut lock) } else { Err(error.into()) };
        }
        // The file may be taken for a stale one and removed by hand; the folder stays the same. Where folders cannot
        // be locked, the file alone must do.
        let folder = open_folder(above(file))?;
        if uninterrupted(|| rustix::fs::flock(&folder, operation)) == Err(Errno::WOULDBLOCK) {
            return taken(&mut lock);
        }
        // Only a help for whoever meets the lock: a full disk must not keep a pipeline from starting.
        let number = std::process::id().to_string();
        let _ = lock.set_len(0).and_then(|()| lock.write_all_at(number.as_bytes(), 0));
        Ok(Lock::Held(Box::new((lock, folder))))
    }

    fn random(&self) -> io::Result<[u8; 16]> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => path,
    }
}

fn taken(lock: &mut File) -> io::Result<Lock> {
    let mut by = String::new();
    lock.take(20).read_to_string(&mut by)?;
    Ok(Lock::Taken(by))
}

fn open_folder(folder: &Path) -> io::Result<rustix::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    uninterrupted(|| rustix::fs::openat(CWD, folder, flags, Mode::empty())).map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => {
            io::Error::new(io::ErrorKind::NotADirectory, "it is no folder, or a link to one")
        }
        error => error.into(),
    })
}

/// Makes the name of a new folder durable. The folder above is the user's, so it may be reached by a link.
fn sync_name(folder: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = uninterrupted(|| rustix::fs::openat(CWD, above(folder), flags, Mode::empty()))?;
    Ok(uninterrupted(|| rustix::fs::fsync(&above))?)
}

/// Opens a regular file. A pipe in its place does not make us wait, since nothing is waited for when it is opened.
fn open_file(file: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = uninterrupted(|| rustix::fs::openat(CWD, file, flags, Mode::RUSR | Mode::WUSR));
    let opened = opened.map_err(|error| match error {
        Errno::LOOP => io::Error::new(io::ErrorKind::InvalidInput, "it is a link, and links are not followed here"),
        error => error.into(),
    })?;
    let status = rustix::fs::fstat(&opened)?;
    if FileType::from_raw_mode(status.st_mode as RawMode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(File::from(opened))
}

/// A call that a signal interrupted did nothing, so it is made again.
fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

struct RealFile {
    file: File,
    length: u64,
}

impl DiskFile for RealFile {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write_at(bytes, self.length) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.length += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        uninterrupted(|| rustix::fs::fdatasync(&self.file))?;
        // What is written into a file without a name is lost in silence.
        match rustix::fs::fstat(&self.file)?.st_nlink {
            0 => Err(io::Error::new(io::ErrorKind::NotFound, "it was removed while it was in use")),
            _ => Ok(()),
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.length = length;
        Ok(())
    }

    fn write_ahead(&mut self, bytes: u64) {
        let zeros = vec![0; bytes as usize];
        let _ = self.file.write_all_at(&zeros, self.length);
    }
}

struct RealBytes {
    file: File,
    length: u64,
}

impl DiskBytes for RealBytes {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.file.read_at(&mut into[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lock::Held(_) => f.write_str("Held"),
            Lock::Taken(by) => write!(f, "Taken({by:?})"),
        }
    }
}
