//! Files that grow. A file is known by its number, so it is followed when it gets another name, and the new file of its
//! old name is another.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt, FileExt};
use std::path::Path;

use crate::plan::seams::{Backlog, Positions, Split};
use crate::sources::files::listing::Found;
use crate::sources::files::opened::Packed;
use crate::sources::files::place::{Head, Identity, Place, changed};
use crate::sources::files::reader::Files;

/// What is followed.
#[derive(Default)]
pub(super) struct Tail {
    found: Found,
    /// Where each split's file is now.
    paths: HashMap<Split, String>,
    /// What was handed out and not heard of since, or is to be handed out.
    open: Vec<Split>,
    /// How long files were, and when last changed, when they had no whole line any more.
    stood: HashMap<Split, (u64, i64)>,
    /// Files that were there at the start and whose lines do not count.
    at_end: HashSet<Split>,
    /// Files that are not in their folder any more.
    gone: HashSet<Split>,
    /// Nothing is waited for: a line without an end is one.
    drains: bool,
    backlog: Backlog,
}

impl Tail {
    /// Whether a file is no more, so that nothing of it will be read.
    pub(super) fn is_gone(&self, split: &Split) -> bool {
        self.gone.contains(split)
    }

    pub(super) fn path(&self, split: &Split) -> Option<String> {
        self.paths.get(split).cloned()
    }

    pub(super) fn backlog(&self) -> Backlog {
        self.backlog
    }

    /// Whether a file is gone on with from its end, asked once.
    pub(super) fn starts_at_end(&mut self, split: &Split) -> bool {
        self.at_end.remove(split)
    }

    /// A file was read to its end.
    pub(super) fn stands(&mut self, split: &Split, about: &Metadata) {
        self.stood.insert(split.clone(), (about.len(), changed(about)));
    }

    /// All files there are, each to be gone on with from its end.
    pub(super) fn start_at_ends(&mut self, files: &mut Files) -> Vec<Split> {
        self.look(files);
        let paths = self.followed(files);
        let splits: Vec<Split> = paths.iter().map(|path| Split { id: path.clone() }).collect();
        self.paths = splits.iter().cloned().zip(paths).collect();
        self.at_end = splits.iter().cloned().collect();
        splits
    }

    /// Behind the last whole line of a file.
    pub(super) fn end_of(file: &File, about: &Metadata) -> io::Result<Place> {
        let mut end = about.len();
        let mut piece = vec![0; 1 << 16];
        while end > 0 {
            let start = end.saturating_sub(piece.len() as u64);
            let bytes = &mut piece[..usize::try_from(end - start).unwrap_or(0)];
            file.read_exact_at(bytes, start)?;
            if let Some(at) = memchr::memrchr(b'\n', bytes) {
                end = start + at as u64 + 1;
                break;
            }
            end = start;
        }
        Ok(Place { offset: end, file: Identity::of(about), head: Head::of(file, end)?, ..Place::default() })
    }

    fn look(&mut self, files: &mut Files) {
        if let Some(found) = files.find() {
            self.found = found;
        }
    }

    /// Those that are no packed copies.
    fn followed(&self, files: &mut Files) -> Vec<String> {
        let (plain, packed): (Vec<_>, Vec<_>) =
            self.found.keys().cloned().partition(|path| Packed::by_name(path) == Packed::No);
        for path in packed {
            files.listing.leave_out(&path, "compressed: a log that is packed was followed before");
        }
        plain
    }

    /// The splits that have something to read.
    pub(super) fn discover(
        &mut self,
        files: &mut Files,
        known: &Positions,
        (due, drains): (bool, bool),
        since: i64,
    ) -> Vec<Split> {
        self.drains = drains;
        if !due {
            // What was cut off by the limits of a batch is gone on with; what stands still is not looked at.
            let open = std::mem::take(&mut self.open);
            self.open = open.into_iter().filter(|split| self.unread(files, split, known).is_some()).collect();
            return self.open.clone();
        }
        self.look(files);
        let places: BTreeMap<(u64, u64), &Split> = known
            .iter()
            .map(|(split, position)| (Place::read(position), split))
            .filter(|(place, _)| place.file.is_known() && !place.done)
            .map(|(place, split)| ((place.file.device, place.file.inode), split))
            .collect();
        let (mut here, mut bytes) = (HashSet::new(), 0);
        self.paths.clear();
        self.open.clear();
        for path in self.followed(files) {
            let Ok(about) = fs::metadata(files.base.join(&path)) else { continue };
            let file = Identity::of(&about);
            let split = match places.get(&(file.device, file.inode)) {
                Some(split) => (*split).clone(),
                None if changed(&about) < since => {
                    files.listing.leave_out(&path, "last changed before `start`");
                    continue;
                }
                None => new_split(&path, file, known),
            };
            here.insert((file.device, file.inode));
            self.paths.insert(split.clone(), path);
            if let Some(unread) = self.unread_of(&about, &split, known) {
                bytes += unread;
                self.open.push(split);
            }
        }
        // Files that have a name now which the pattern does not mean: what is left of them is read too.
        self.gone.clear();
        let mut folders = HashMap::new();
        for (number, split) in places.iter().filter(|(number, _)| !here.contains(*number)) {
            let name = split.id.split_once(NUMBER).map_or(split.id.as_str(), |(name, _)| name);
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let names = folders.entry(folder).or_insert_with(|| names(&files.base, folder));
            match names.as_ref().map(|names| names.get(&number.1)) {
                // Nobody knows: the disk may be away for a while.
                None => {}
                Some(Some(path)) => {
                    self.paths.insert((*split).clone(), path.clone());
                    if let Some(unread) = self.unread(files, split, known) {
                        bytes += unread;
                        self.open.push((*split).clone());
                    }
                }
                Some(None) => {
                    self.gone.insert((*split).clone());
                }
            }
        }
        self.open.extend(self.gone.iter().cloned());
        self.open.sort();
        self.backlog = Backlog { rows: None, bytes: Some(bytes), pieces: Some(self.open.len() as u64) };
        self.open.clone()
    }

    /// How many bytes of a file were not read; none where there is nothing to do.
    fn unread(&self, files: &Files, split: &Split, known: &Positions) -> Option<u64> {
        let about = fs::metadata(files.base.join(self.paths.get(split)?)).ok()?;
        self.unread_of(&about, split, known)
    }

    fn unread_of(&self, about: &Metadata, split: &Split, known: &Positions) -> Option<u64> {
        let offset = known.get(split).map_or(0, |position| Place::read(position).offset);
        // One that was written anew may be as long as before.
        let stands = self.stood.get(split) == Some(&(about.len(), changed(about)));
        let waits = about.len() != offset && self.drains;
        (!stands || waits).then(|| about.len().saturating_sub(offset))
    }
}

/// What stands between a name and the number of the file that has it now.
const NUMBER: &str = "#inode=";

/// A name for a file; where another file had it, with the number.
fn new_split(path: &str, file: Identity, known: &Positions) -> Split {
    let plain = Split { id: path.to_owned() };
    if known.contains_key(&plain) { Split { id: format!("{path}{NUMBER}{:x}", file.inode) } } else { plain }
}

/// The files of a folder by their numbers; packed ones were read before they were packed. None where the folder is empty
/// or cannot be listed.
fn names(base: &Path, folder: &str) -> Option<HashMap<u64, String>> {
    let mut entries = fs::read_dir(base.join(folder)).ok()?.flatten().peekable();
    entries.peek()?;
    let named = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let plain = entry.file_type().is_ok_and(|kind| kind.is_file()) && Packed::by_name(&name) == Packed::No;
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        plain.then(|| (entry.ino(), path))
    });
    Some(named.collect())
}
