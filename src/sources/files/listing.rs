//! Which files a pattern finds. A folder is listed anew only where its time says that names came or went, so that looking
//! again at a million files costs a look at their folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::plan::seams::LeftOut;
use crate::sources::files::pattern::{Pattern, Step};
use crate::sources::files::place::changed;

/// For so long after a change, in microseconds, another may not show in a folder's time.
const BLURRED: i64 = 3_000_000;

/// The files of a pattern.
#[derive(Debug)]
pub(super) struct Listing {
    pattern: Pattern,
    base: PathBuf,
    /// Never looked into: where files are moved to.
    avoided: Option<PathBuf>,
    folders: HashMap<String, Folder>,
    /// What was told of already.
    told: HashSet<(String, &'static str)>,
    left_out: Vec<LeftOut>,
}

/// A folder as it was found.
#[derive(Debug, Clone)]
struct Folder {
    /// When names came or went, as far as that is known for sure.
    changed: Option<i64>,
    items: Arc<Vec<Item>>,
}

#[derive(Debug, Clone)]
struct Item {
    name: String,
    kind: Kind,
    inode: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    /// A pipe, a device, a link to nowhere.
    Other,
}

/// What was found: the files by path, each with its number.
pub(super) type Found = BTreeMap<String, u64>;

impl Listing {
    pub(super) fn new(pattern: Pattern, base: PathBuf, avoided: Option<PathBuf>) -> Self {
        let (folders, told, left_out) = Default::default();
        Listing { pattern, base, avoided, folders, told, left_out }
    }

    /// Where the files start to differ.
    pub(super) fn root(&self) -> PathBuf {
        self.base.join(self.pattern.root())
    }

    /// The folders that were looked into.
    pub(super) fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.folders.keys().map(|folder| self.base.join(folder))
    }

    /// What was found and is no file of ours, since it was last asked.
    pub(super) fn left_out(&mut self) -> Vec<LeftOut> {
        std::mem::take(&mut self.left_out)
    }

    /// Tells of a file that is not read, once.
    pub(super) fn leave_out(&mut self, path: &str, reason: &'static str) {
        if self.told.insert((path.to_owned(), reason)) {
            self.left_out.push(LeftOut { place: path.to_owned(), reason: reason.to_owned() });
        }
    }

    /// The files there are now; none where that is what there was.
    pub(super) fn look(&mut self, now: i64) -> Option<Found> {
        let same = |(folder, known): (&String, &Folder)| {
            known.changed.is_some() && time_of(&self.base.join(folder)) == known.changed
        };
        if !self.folders.is_empty() && self.folders.iter().all(same) {
            return None;
        }
        let mut walk = Walk { old: std::mem::take(&mut self.folders), listing: self, now, found: Found::new() };
        let (root, steps) = walk.listing.pattern.parts();
        let (root, steps) = (root.to_owned(), steps.to_vec());
        walk.go(&root, &steps, &mut Vec::new());
        Some(walk.found)
    }
}

fn time_of(folder: &Path) -> Option<i64> {
    fs::metadata(folder).ok().map(|about| changed(&about))
}

/// A walk through the folders.
struct Walk<'a> {
    listing: &'a mut Listing,
    old: HashMap<String, Folder>,
    now: i64,
    found: Found,
}

impl Walk<'_> {
    /// `above`: the folders that this one is in, by their numbers; links may lead back into them.
    fn go(&mut self, at: &str, steps: &[Step], above: &mut Vec<(u64, u64)>) {
        let Some((step, rest)) = steps.split_first() else { return };
        match step {
            Step::Name(name) => {
                let path = join(at, name);
                if !rest.is_empty() {
                    return self.enter(&path, rest, above);
                }
                match fs::metadata(self.listing.base.join(&path)) {
                    Ok(about) if about.is_file() => {
                        self.found.insert(path, about.ino());
                    }
                    Ok(about) if !about.is_dir() => self.listing.leave_out(&path, "no plain file"),
                    _ => {}
                }
                // Its folder says when it comes or goes.
                self.items(at);
            }
            Step::Matching(pattern) => {
                for item in self.items(at).iter() {
                    let path = join(at, &item.name);
                    if !pattern.is_match(&item.name) || rest.is_empty() == (item.kind == Kind::Folder) {
                        continue;
                    }
                    match (hidden(&item.name), item.kind) {
                        (Some(reason), _) => self.listing.leave_out(&path, reason),
                        (None, Kind::File) if rest.is_empty() => {
                            self.found.insert(path, item.inode);
                        }
                        (None, Kind::Folder) => self.enter(&path, rest, above),
                        (None, Kind::Other) => self.listing.leave_out(&path, "no plain file"),
                        (None, Kind::File) => {}
                    }
                }
            }
            Step::AnyFolders => {
                self.go(at, rest, above);
                let items = self.items(at);
                for item in items.iter().filter(|item| item.kind == Kind::Folder) {
                    let path = join(at, &item.name);
                    match hidden(&item.name) {
                        Some(reason) => self.listing.leave_out(&path, reason),
                        None => self.enter(&path, steps, above),
                    }
                }
            }
        }
    }

    fn enter(&mut self, path: &str, steps: &[Step], above: &mut Vec<(u64, u64)>) {
        let full = self.listing.base.join(path);
        if self.listing.avoided.as_ref() == Some(&full) {
            return;
        }
        let Ok(about) = fs::metadata(&full) else { return };
        let number = (about.dev(), about.ino());
        if above.contains(&number) {
            return self.listing.leave_out(path, "a link back to a folder it is in");
        }
        above.push(number);
        self.go(path, steps, above);
        above.pop();
    }

    /// What is in a folder, listed anew only where something may have come or gone.
    fn items(&mut self, folder: &str) -> Arc<Vec<Item>> {
        if let Some(known) = self.listing.folders.get(folder) {
            return known.items.clone();
        }
        let full = self.listing.base.join(folder);
        let time = time_of(&full);
        let known = self.old.remove(folder).filter(|known| known.changed.is_some() && known.changed == time);
        let known = known.unwrap_or_else(|| {
            let items = match list(&full) {
                Ok((items, unnamed)) => {
                    for name in unnamed {
                        self.listing.leave_out(&join(folder, &name), "its name is no UTF-8");
                    }
                    items
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(e) => {
                    tracing::debug!(folder, %e, "a folder cannot be listed");
                    self.listing.leave_out(folder, "a folder that cannot be listed");
                    Vec::new()
                }
            };
            // What changed just now may change again without another time.
            let changed = time.filter(|time| time.saturating_add(BLURRED) < self.now);
            Folder { changed, items: Arc::new(items) }
        });
        let items = known.items.clone();
        self.listing.folders.insert(folder.to_owned(), known);
        items
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() || at.ends_with('/') { format!("{at}{name}") } else { format!("{at}/{name}") }
}

/// Names that writers use for files that are not meant to be read, and why they are none.
fn hidden(name: &str) -> Option<&'static str> {
    match name {
        name if name.starts_with('.') => Some("hidden: its name starts with `.`"),
        name if name.starts_with('_') => Some("hidden: its name starts with `_`"),
        name if name.ends_with('~') || name.ends_with(".tmp") => Some("temporary: its name ends with `.tmp` or `~`"),
        _ => None,
    }
}

/// The names in a folder, and those that are no text.
fn list(folder: &Path) -> io::Result<(Vec<Item>, Vec<String>)> {
    let (mut items, mut unnamed) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = match entry.file_type()? {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => match fs::metadata(entry.path()) {
                Ok(about) if about.is_file() => Kind::File,
                Ok(about) if about.is_dir() => Kind::Folder,
                _ => Kind::Other,
            },
            _ => Kind::Other,
        };
        match entry.file_name().into_string() {
            Ok(name) => items.push(Item { name, kind, inode: entry.ino() }),
            Err(name) => unnamed.push(name.to_string_lossy().into_owned()),
        }
    }
    Ok((items, unnamed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/1.txt", "a/2.json", "a/b/3.txt", "a/b/c/4.txt", "a/.5.txt", "a/_d/6.txt", "a/7.txt.tmp"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn listing(folder: &Path, pattern: &str, recursive: bool) -> Listing {
        Listing::new(Pattern::new(pattern, folder, recursive).unwrap(), folder.into(), None)
    }

    fn found(pattern: &str, recursive: bool) -> Vec<String> {
        let folder = folder();
        listing(folder.path(), pattern, recursive).look(0).unwrap().into_keys().collect()
    }

    #[test]
    fn stars_stay_within_a_name_and_double_stars_do_not() {
        assert_eq!(found("a/*.txt", false), ["a/1.txt"]);
        assert_eq!(found("a/**/*.txt", false), ["a/1.txt", "a/b/3.txt", "a/b/c/4.txt"]);
        assert_eq!(found("a/*/?.txt", false), ["a/b/3.txt"]);
        assert_eq!(found("a/[12].{txt,json}", false), ["a/1.txt", "a/2.json"]);
        assert_eq!(found("a/1.txt", false), ["a/1.txt"]);
    }

    #[test]
    fn a_folder_means_the_files_in_it() {
        assert_eq!(found("a", false), ["a/1.txt", "a/2.json"]);
        assert_eq!(found("a/", true), ["a/1.txt", "a/2.json", "a/b/3.txt", "a/b/c/4.txt"]);
    }

    #[test]
    fn what_is_not_there_is_no_file() {
        assert_eq!(found("x/*.txt", false), Vec::<String>::new());
    }

    #[test]
    fn what_is_left_out_is_told_once_with_its_reason() {
        let folder = folder();
        let status = std::process::Command::new("mkfifo").arg(folder.path().join("a/pipe.txt")).status().unwrap();
        assert!(status.success());
        std::os::unix::fs::symlink("nowhere", folder.path().join("a/link.txt")).unwrap();
        std::os::unix::fs::symlink("..", folder.path().join("a/b/back")).unwrap();
        let mut listing = listing(folder.path(), "a/**/*.txt*", false);
        assert_eq!(listing.look(0).unwrap().len(), 3);
        let mut told: Vec<_> =
            listing.left_out().into_iter().map(|out| format!("{}: {}", out.place, out.reason)).collect();
        told.sort();
        let expected = [
            "a/.5.txt: hidden: its name starts with `.`",
            "a/7.txt.tmp: temporary: its name ends with `.tmp` or `~`",
            "a/_d: hidden: its name starts with `_`",
            "a/b/back: a link back to a folder it is in",
            "a/link.txt: no plain file",
            "a/pipe.txt: no plain file",
        ];
        assert_eq!(told, expected);
        listing.look(0).unwrap();
        assert_eq!(listing.left_out(), []);
    }

    #[test]
    fn a_folder_that_has_not_changed_is_not_listed_again() {
        let folder = folder();
        let late = i64::MAX / 2;
        let mut listing = listing(folder.path(), "a/**/*.txt", false);
        assert_eq!(listing.look(late).unwrap().len(), 3);
        assert_eq!(listing.look(late), None);
        fs::write(folder.path().join("a/b/8.txt"), "").unwrap();
        assert_eq!(listing.look(late).unwrap().len(), 4);
        fs::remove_file(folder.path().join("a/1.txt")).unwrap();
        assert_eq!(listing.look(late).unwrap().len(), 3);
        assert_eq!(listing.look(late), None);
    }
}
