//! Hears of changes in folders, where the system tells of them. A hint and no more: whoever is told nothing looks for
//! himself every `poll`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::plan::seams::Bell;

/// More folders are not watched: the system has room for so many watches only.
const MOST: usize = 4_096;

/// Watches folders.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    watched: HashSet<PathBuf>,
    changed: Arc<AtomicBool>,
}

impl Watch {
    /// None where the system cannot tell.
    pub(super) fn start(bell: &Bell) -> Option<Self> {
        let changed = Arc::new(AtomicBool::new(false));
        let (told, bell) = (changed.clone(), bell.clone());
        let tell = move |event: notify::Result<Event>| {
            // An error, or that events were lost, is a reason to look as well.
            if event.as_ref().is_ok_and(|event| !matters(&event.kind)) {
                return;
            }
            if !told.swap(true, Ordering::AcqRel) {
                bell.ring();
            }
        };
        match notify::recommended_watcher(tell) {
            Ok(watcher) => Some(Watch { watcher, watched: HashSet::new(), changed }),
            Err(e) => {
                tracing::debug!(%e, "folders are not watched, but looked at every `poll`");
                None
            }
        }
    }

    /// Whether something changed since it was last asked.
    pub(super) fn changed(&self) -> bool {
        self.changed.swap(false, Ordering::AcqRel)
    }

    /// Watches these folders, and no others.
    pub(super) fn folders(&mut self, folders: impl Iterator<Item = PathBuf>) {
        let wanted: HashSet<PathBuf> = folders.take(MOST).collect();
        for gone in self.watched.difference(&wanted) {
            // A folder that is gone is not watched any more anyway.
            let _ = self.watcher.unwatch(gone);
        }
        self.watched.retain(|folder| wanted.contains(folder));
        for folder in wanted {
            if self.watched.contains(&folder) {
                continue;
            }
            match self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder);
                }
                Err(e) => tracing::debug!(folder = %folder.display(), %e, "a folder is not watched"),
            }
        }
    }
}

/// Our own reading is no change.
fn matters(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
