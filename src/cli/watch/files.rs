//! Files that are watched. What the operating system tells is a hint; what lies on the disk, looked at now and then, is
//! the truth: hints get lost, and there are disks that give none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// How long nothing must happen before a text is read.
const QUIET: Duration = Duration::from_millis(50);
/// A text that is saved again and again is read after so long all the same.
const MOST: Duration = Duration::from_secs(1);
/// How often the disk is looked at where nothing is told.
const LOOK: Duration = Duration::from_millis(250);

/// What a file looks like from outside. None: it is not there.
type Look = Option<(SystemTime, u64, u64)>;

/// The files, and what is known of them.
pub(super) struct Watched {
    looks: BTreeMap<PathBuf, Look>,
    folders: BTreeSet<PathBuf>,
    /// None where the system gives no hints.
    watcher: Option<RecommendedWatcher>,
    hints: Receiver<PathBuf>,
}

impl Watched {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        let (tell, hints) = channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if !event.kind.is_access() {
                // Nobody listens any more when the run is over.
                let _ = event.paths.into_iter().try_for_each(|path| tell.send(path));
            }
        });
        let watcher = watcher.map_err(|error| tracing::debug!(%error, "no hints about files")).ok();
        Watched { looks: BTreeMap::new(), folders: BTreeSet::new(), watcher, hints }
    }

    /// Watches these files from now on, and no others; as they are now is what is known.
    pub(super) fn set(&mut self, files: impl IntoIterator<Item = PathBuf>) {
        self.looks = files.into_iter().map(|file| (file.clone(), look(&file))).collect();
        let folder = |file: &PathBuf| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        // A folder, not the file: editors put another file in its place.
        let wanted: BTreeSet<PathBuf> = self.looks.keys().map(folder).collect();
        if let Some(watcher) = &mut self.watcher {
            for gone in self.folders.difference(&wanted) {
                let _ = watcher.unwatch(gone);
            }
            for new in wanted.difference(&self.folders) {
                if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                    tracing::debug!(%error, folder = %new.display(), "no hints about a folder");
                }
            }
        }
        self.folders = wanted;
    }

    /// Waits until one of the files changed and then was still for a moment; false where nothing did for some time.
    pub(super) fn wait(&mut self) -> bool {
        let hinted = self.hint(LOOK);
        if !self.changed() && !hinted {
            return false;
        }
        let first = Instant::now();
        while first.elapsed() < MOST {
            let touched = self.hint(QUIET);
            if !self.changed() && !touched {
                break;
            }
        }
        true
    }

    /// Whether one of the files changes within that time.
    pub(super) fn move_within(&mut self, most: Duration) -> bool {
        let until = Instant::now() + most;
        loop {
            if self.changed() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(Duration::from_millis(10)));
        }
    }

    /// Whether one of the files is told of within that time.
    fn hint(&self, most: Duration) -> bool {
        let until = Instant::now() + most;
        let mut found = false;
        loop {
            match self.hints.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(path) => found |= self.is_mine(&path),
                Err(RecvTimeoutError::Timeout) => return found,
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    return found;
                }
            }
            // The first word of a change starts the wait for the last.
            if found && most == LOOK {
                return true;
            }
        }
    }

    fn is_mine(&self, path: &Path) -> bool {
        self.looks.keys().any(|file| file.file_name() == path.file_name())
    }

    /// Looks at the files; whether any looks otherwise than before.
    fn changed(&mut self) -> bool {
        let mut changed = false;
        for (file, known) in &mut self.looks {
            let now = look(file);
            changed |= now != *known;
            *known = now;
        }
        changed
    }
}

fn look(file: &Path) -> Look {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len(), inode(&about)))
}

#[cfg(unix)]
fn inode(about: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(about)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}
