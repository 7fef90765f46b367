//! How much of what is remembered may be in memory, and the files of what is not. They are of this process alone: a
//! restart goes on from the journal and its snapshots, and clears them away.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::engine::durable::image::{Owner, Part, Piece, Reader, Writer};
use crate::engine::tables::add;
use crate::journal::{Disk, DiskBytes, DiskFile, Trouble};
use crate::plan::Plan;
use crate::plan::operator::{Changes, SavedTable, TaskError};

/// So many bytes are written or read at once.
const BUFFER: usize = 256 << 10;

/// A folder for state that is not in memory.
#[derive(Clone)]
pub struct ColdPlace {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    limit: Option<u64>,
}

impl ColdPlace {
    /// In a folder that is nobody else's.
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf) -> Self {
        ColdPlace { disk, folder, limit: None }
    }

    /// So many bytes may be in memory, whatever the pipeline says.
    #[must_use]
    pub fn beyond(self, limit: u64) -> Self {
        ColdPlace { limit: Some(limit), ..self }
    }

    /// How many bytes may be in memory, where that is limited.
    pub(super) fn limit(&self, plan: &Plan) -> Option<u64> {
        self.limit.or(plan.header.settings.size("state_limit"))
    }
}

/// The memory that state may take, shared by all that remembers something.
pub(super) struct Room {
    place: ColdPlace,
    limit: AtomicUsize,
    taken: AtomicUsize,
    /// The name of the next file.
    next: AtomicU64,
}

impl Room {
    /// For so many bytes; what a process before left in the folder is removed.
    pub(super) fn new(place: ColdPlace, limit: u64) -> Result<Arc<Self>, TaskError> {
        let ColdPlace { disk, folder, .. } = &place;
        let failed = |doing| move |e| stopped(&Trouble::io(folder, doing)(e));
        disk.make_folder(folder).map_err(failed("make"))?;
        for name in disk.list(folder).map_err(failed("look into"))? {
            disk.remove(&folder.join(name)).map_err(failed("clear"))?;
        }
        let room = Room { place, limit: AtomicUsize::new(0), taken: AtomicUsize::new(0), next: AtomicU64::new(0) };
        room.resize(limit);
        Ok(Arc::new(room))
    }

    /// Another limit from now on.
    pub(super) fn resize(&self, limit: u64) {
        self.limit.store(usize::try_from(limit).unwrap_or(usize::MAX), Ordering::Relaxed);
    }

    /// What took so many bytes takes so many now. Gives whether all of it together is too much.
    pub(super) fn now_takes(&self, before: usize, now: usize) -> bool {
        let taken =
            self.taken.fetch_add(now.wrapping_sub(before), Ordering::Relaxed).wrapping_add(now.wrapping_sub(before));
        taken > self.limit.load(Ordering::Relaxed)
    }

    /// Writes tables into a file.
    pub(super) fn put(self: &Arc<Self>, tables: &[SavedTable]) -> Result<ColdFile, TaskError> {
        let mut file = self.begin()?;
        file.add(tables)?;
        file.end()
    }

    /// Begins a file.
    pub(super) fn begin(self: &Arc<Self>) -> Result<GrowingFile, TaskError> {
        let ColdPlace { disk, folder, .. } = &self.place;
        let path = folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let failed = |e| stopped(&Trouble::io(&path, "write")(e));
        let file = disk.create(&path).map_err(failed)?;
        let cold = ColdFile { room: Arc::clone(self), path: path.clone(), bytes: 0 };
        let out = io::BufWriter::with_capacity(BUFFER, Appended { file, bytes: 0 });
        let writer = Writer::begin(out, &()).and_then(|mut writer| {
            writer.piece(&Piece::Owner(Owner::State(String::new()), String::new()))?;
            Ok(writer)
        });
        Ok(GrowingFile { cold, writer: writer.map_err(failed)? })
    }
}

/// A file that is written.
pub(super) struct GrowingFile {
    cold: ColdFile,
    writer: Writer<io::BufWriter<Appended>>,
}

impl GrowingFile {
    /// Adds rows of tables: of new ones, or more of those that are there.
    pub(super) fn add(&mut self, tables: &[SavedTable]) -> Result<(), TaskError> {
        let mut pieces = tables.iter().flat_map(|table| {
            let rows = table.rows.iter().map(|rows| Piece::Rows(rows.clone()));
            std::iter::once(Piece::Table(table.name.clone(), table.identity)).chain(rows)
        });
        let written = pieces.try_for_each(|piece| self.writer.piece(&piece));
        written.map_err(|e| stopped(&Trouble::io(&self.cold.path, "write")(e)))
    }

    /// Nothing more comes.
    pub(super) fn end(self) -> Result<ColdFile, TaskError> {
        let GrowingFile { mut cold, writer } = self;
        let written = writer.end().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error));
        cold.bytes = written.map_err(|e| stopped(&Trouble::io(&cold.path, "write")(e)))?.bytes;
        Ok(cold)
    }
}

/// Tables in a file, which goes with this.
pub(super) struct ColdFile {
    room: Arc<Room>,
    path: PathBuf,
    bytes: usize,
}

impl ColdFile {
    /// How long it is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads the tables.
    pub(super) fn tables(&self) -> Result<Vec<SavedTable>, TaskError> {
        let file = self.room.place.disk.open(&self.path);
        let file = file.map_err(|e| stopped(&Trouble::io(&self.path, "open")(e)))?;
        let from = io::BufReader::with_capacity(BUFFER, Read { file, at: 0 });
        let read = Reader::begin::<()>(from).and_then(|((), mut reader)| reader.next());
        match read {
            // A table may have been written in several turns.
            Ok(Some(Part::Owner(_, _, Changes::All(tables)))) => {
                Ok(tables.into_iter().fold(Vec::new(), |mut all, table| {
                    add(&mut all, table);
                    all
                }))
            }
            Ok(_) => Err(lost(&self.path, "it holds something else")),
            Err(why) => Err(lost(&self.path, &why.to_string())),
        }
    }
}

impl Drop for ColdFile {
    fn drop(&mut self) {
        if let Err(error) = self.room.place.disk.remove(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "what is no longer needed cannot be removed");
        }
    }
}

fn stopped(trouble: &Trouble) -> TaskError {
    TaskError::Stop(format!("state that does not fit into `state_limit` goes to disk: {trouble}"))
}

fn lost(path: &Path, why: &str) -> TaskError {
    TaskError::Stop(format!(
        "state that was put into `{}` cannot be read again: {why}; run it anew, it goes on from the last batch",
        path.display()
    ))
}

struct Appended {
    file: Box<dyn DiskFile>,
    bytes: usize,
}

impl io::Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Read {
    file: Box<dyn DiskBytes>,
    at: u64,
}

impl io::Read for Read {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.at, to)?;
        self.at += read as u64;
        Ok(read)
    }
}
