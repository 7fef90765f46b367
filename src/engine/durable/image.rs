//! What a pipeline remembers, or what of it changed, as a stream of frames: the layout that commits in the journal and
//! snapshots have in common. A frame is a tag (1 byte), a length (4 bytes, little-endian) and so many bytes.
//!
//! | tag | bytes |
//! | --- | --- |
//! | 1 | JSON: whatever the stream is about as a whole, first of all |
//! | 2 | JSON: whose tables follow, and whether they are all it has or what became of it |
//! | 3 | JSON: which table follows |
//! | 4 | an Arrow IPC stream: identities of rows that are gone |
//! | 5 | an Arrow IPC stream: rows |
//! | 6 | JSON: what a sink prepared follows |
//! | 7 | a piece of that |
//! | 8 | a piece of the pipeline's text |
//! | 0 | the end |

mod packed;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};

use arrow::array::RecordBatch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::plan::operator::{Changes, SavedTable, TableChange};
use packed::{decoded, encoded};

/// About how many bytes of rows are put into a frame, and how many of other things.
const FRAME: usize = 4 << 20;
/// A frame is never longer: who reads it takes memory for it.
const LONGEST: u32 = 1 << 28;

const HEAD: u8 = 1;
const OWNER: u8 = 2;
const TABLE: u8 = 3;
const GONE: u8 = 4;
const ROWS: u8 = 5;
const ARTIFACT: u8 = 6;
const PIECE: u8 = 7;
const TEXT: u8 = 8;
const END: u8 = 0;

/// Who remembers something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(in crate::engine) enum Owner {
    /// A source, by its name: positions, and what is known of its time.
    Source(String),
    /// An operator, by its identity.
    State(String),
    /// A sink, by its identity: rows that it refused and that come in again.
    Rejected(String),
    /// An operator whose stage an edit took away, by its identity.
    Aside(String),
}

/// What follows a frame with the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Whose {
    owner: Owner,
    /// The operator's word: another one under the same name is another thing.
    word: String,
    /// The tables are all that it has.
    all: bool,
}

/// All tables of everyone who remembers something, with the word.
pub(in crate::engine) type Owned = BTreeMap<Owner, (String, Vec<SavedTable>)>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    name: String,
    /// How many columns at the front tell rows apart.
    identity: usize,
}

/// What a sink prepared for a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Prepared {
    /// The sink's identity.
    pub(in crate::engine) sink: String,
    /// How many rows are in it.
    pub(in crate::engine) rows: usize,
    #[serde(skip)]
    pub(in crate::engine) bytes: Vec<u8>,
}

/// A part of the stream, frames put together.
#[derive(Debug)]
pub(in crate::engine) enum Part {
    /// What became of an owner's tables; its word.
    Owner(Owner, String, Changes),
    Artifact(Prepared),
    Text(Vec<u8>),
}

/// A piece of a stream that says all there is.
#[derive(Debug)]
pub(in crate::engine) enum Piece {
    /// Whose tables follow; its word.
    Owner(Owner, String),
    /// Which table of theirs follows, and how many columns at the front tell its rows apart.
    Table(String, usize),
    /// Rows of it.
    Rows(RecordBatch),
}

/// Writes a stream.
pub(in crate::engine) struct Writer<W: Write> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Begins with what the stream is about.
    pub(in crate::engine) fn begin(to: W, head: &impl Serialize) -> io::Result<Self> {
        let mut writer = Writer { to };
        writer.json(HEAD, head)?;
        Ok(writer)
    }

    /// All that there is.
    pub(in crate::engine) fn owners(&mut self, owned: &Owned) -> io::Result<()> {
        let mut all = owned.iter();
        all.try_for_each(|(owner, (word, tables))| self.owner(owner, word, &Changes::All(tables.clone())))
    }

    /// What became of an owner's tables.
    pub(in crate::engine) fn owner(&mut self, owner: &Owner, word: &str, changes: &Changes) -> io::Result<()> {
        let all = matches!(changes, Changes::All(_));
        self.json(OWNER, &Whose { owner: owner.clone(), word: word.to_owned(), all })?;
        match changes {
            Changes::All(tables) => {
                tables.iter().try_for_each(|table| self.table(&table.name, table.identity, &[], &table.rows))
            }
            Changes::Some(tables) => {
                tables.iter().try_for_each(|table| self.table(&table.name, table.identity, &table.gone, &table.rows))
            }
        }
    }

    /// A piece of all that there is.
    pub(in crate::engine) fn piece(&mut self, piece: &Piece) -> io::Result<()> {
        match piece {
            Piece::Owner(owner, word) => {
                self.json(OWNER, &Whose { owner: owner.clone(), word: word.clone(), all: true })
            }
            Piece::Table(name, identity) => self.json(TABLE, &Named { name: name.clone(), identity: *identity }),
            Piece::Rows(rows) => self.rows(ROWS, rows),
        }
    }

    fn table(&mut self, name: &str, identity: usize, gone: &[RecordBatch], rows: &[RecordBatch]) -> io::Result<()> {
        self.json(TABLE, &Named { name: name.to_owned(), identity })?;
        gone.iter().try_for_each(|rows| self.rows(GONE, rows))?;
        rows.iter().try_for_each(|rows| self.rows(ROWS, rows))
    }

    /// What a sink prepared.
    pub(in crate::engine) fn artifact(&mut self, prepared: &Prepared) -> io::Result<()> {
        self.json(ARTIFACT, prepared)?;
        prepared.bytes.chunks(FRAME).try_for_each(|piece| self.frame(PIECE, piece))
    }

    /// The pipeline's text.
    pub(in crate::engine) fn text(&mut self, text: &[u8]) -> io::Result<()> {
        text.chunks(FRAME).try_for_each(|piece| self.frame(TEXT, piece))
    }

    /// Ends it.
    pub(in crate::engine) fn end(mut self) -> io::Result<W> {
        self.frame(END, &[])?;
        Ok(self.to)
    }

    /// Rows in frames of about the same size. A table without rows has a frame all the same, for its columns.
    fn rows(&mut self, tag: u8, rows: &RecordBatch) -> io::Result<()> {
        let bytes = rows.get_array_memory_size().max(1);
        let most = (rows.num_rows() * FRAME / bytes).max(1);
        let mut from = 0;
        loop {
            let count = most.min(rows.num_rows() - from);
            self.frame(tag, &encoded(&rows.slice(from, count))?)?;
            from += count;
            if from >= rows.num_rows() {
                return Ok(());
            }
        }
    }

    fn json(&mut self, tag: u8, value: &impl Serialize) -> io::Result<()> {
        let bytes = serde_json::to_vec(value)?;
        self.frame(tag, &bytes)
    }

    fn frame(&mut self, tag: u8, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| io::Error::other("a frame of saved state is too long"))?;
        self.to.write_all(&[tag])?;
        self.to.write_all(&length.to_le_bytes())?;
        self.to.write_all(bytes)
    }
}

/// Why a stream could not be read.
#[derive(Debug)]
pub(in crate::engine) enum Unread {
    /// Its bytes could not be.
    Bytes(io::Error),
    /// They are none that this version writes.
    Wrong(String),
}

impl Unread {
    fn wrong(why: impl fmt::Display) -> Self {
        Unread::Wrong(why.to_string())
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Unread::wrong("it is cut off"),
            _ => Unread::Bytes(error),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Bytes(error) => error.fmt(f),
            Unread::Wrong(why) => f.write_str(why),
        }
    }
}

/// Reads a stream.
pub(in crate::engine) struct Reader<R: Read> {
    from: R,
    /// Read, but part of what follows.
    ahead: Option<(u8, Vec<u8>)>,
}

impl<R: Read> Reader<R> {
    /// What the stream is about.
    pub(in crate::engine) fn begin<T: DeserializeOwned>(from: R) -> Result<(T, Self), Unread> {
        let mut reader = Reader { from, ahead: None };
        match reader.frame()? {
            (HEAD, bytes) => Ok((json(&bytes)?, reader)),
            (tag, _) => Err(unexpected(tag)),
        }
    }

    /// The next part; none at the end.
    pub(in crate::engine) fn next(&mut self) -> Result<Option<Part>, Unread> {
        match self.frame()? {
            (END, _) => Ok(None),
            (OWNER, bytes) => {
                let Whose { owner, word, all } = json(&bytes)?;
                let mut tables = Vec::new();
                while let Some(bytes) = self.frame_if(TABLE)? {
                    let Named { name, identity } = json(&bytes)?;
                    // What is gone may be told by fewer columns.
                    let gone = self.all_rows(GONE, identity.min(1))?;
                    let rows = self.all_rows(ROWS, identity)?;
                    tables.push(TableChange { name, identity, gone, rows });
                }
                let changes = if all { Changes::All(whole(tables)?) } else { Changes::Some(tables) };
                Ok(Some(Part::Owner(owner, word, changes)))
            }
            (ARTIFACT, bytes) => {
                let mut prepared: Prepared = json(&bytes)?;
                while let Some(piece) = self.frame_if(PIECE)? {
                    prepared.bytes.extend(piece);
                }
                Ok(Some(Part::Artifact(prepared)))
            }
            (TEXT, mut text) => {
                while let Some(piece) = self.frame_if(TEXT)? {
                    text.extend(piece);
                }
                Ok(Some(Part::Text(text)))
            }
            (tag, _) => Err(unexpected(tag)),
        }
    }

    /// The text that the stream begins with, where it does.
    pub(in crate::engine) fn text(&mut self) -> Result<Vec<u8>, Unread> {
        let mut text = Vec::new();
        while let Some(piece) = self.frame_if(TEXT)? {
            text.extend(piece);
        }
        Ok(text)
    }

    /// Hands on the rest of a stream that says all there is, piece by piece.
    pub(in crate::engine) fn each<E: From<Unread>>(
        &mut self,
        mut to: impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut columns = 0;
        loop {
            match self.frame()? {
                (END, _) => return Ok(()),
                (OWNER, bytes) => match json(&bytes)? {
                    Whose { owner, word, all: true } => to(Piece::Owner(owner, word))?,
                    _ => return Err(misplaced().into()),
                },
                (TABLE, bytes) => {
                    let Named { name, identity } = json(&bytes)?;
                    columns = identity;
                    to(Piece::Table(name, identity))?;
                }
                (ROWS, bytes) => told_apart(&bytes, columns)?.into_iter().try_for_each(|rows| to(Piece::Rows(rows)))?,
                _ => return Err(misplaced().into()),
            }
        }
    }

    /// What was not read yet.
    pub(in crate::engine) fn into_bytes(self) -> R {
        self.from
    }

    /// Whose tables the rest of the stream tells of; rows are not looked at.
    pub(in crate::engine) fn owners(mut self) -> Result<Vec<Owner>, Unread> {
        let mut owners = Vec::new();
        loop {
            match self.frame()? {
                (END, _) => return Ok(owners),
                (OWNER, bytes) => owners.push(json::<Whose>(&bytes)?.owner),
                (TABLE | GONE | ROWS | ARTIFACT | PIECE | TEXT, _) => {}
                (tag, _) => return Err(unexpected(tag)),
            }
        }
    }

    /// The rest of a stream that says all there is; `beside` is given what else is in it, and says whether it
    /// may be there.
    pub(in crate::engine) fn whole(&mut self, mut beside: impl FnMut(Part) -> bool) -> Result<Owned, Unread> {
        let mut owned = Owned::new();
        while let Some(part) = self.next()? {
            match part {
                Part::Owner(owner, word, Changes::All(tables)) => {
                    owned.insert(owner, (word, tables));
                }
                other => match beside(other) {
                    true => {}
                    false => return Err(misplaced()),
                },
            }
        }
        Ok(owned)
    }

    fn all_rows(&mut self, tag: u8, identity: usize) -> Result<Vec<RecordBatch>, Unread> {
        let mut rows = Vec::new();
        while let Some(bytes) = self.frame_if(tag)? {
            rows.extend(told_apart(&bytes, identity)?);
        }
        Ok(rows)
    }

    /// The next frame, where it has that tag.
    fn frame_if(&mut self, tag: u8) -> Result<Option<Vec<u8>>, Unread> {
        let frame = self.frame()?;
        if frame.0 == tag {
            return Ok(Some(frame.1));
        }
        self.ahead = Some(frame);
        Ok(None)
    }

    fn frame(&mut self) -> Result<(u8, Vec<u8>), Unread> {
        if let Some(frame) = self.ahead.take() {
            return Ok(frame);
        }
        let mut head = [0; 5];
        self.from.read_exact(&mut head)?;
        let [tag, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            return Err(Unread::wrong("a frame is too long"));
        }
        // Memory is taken for what is there, not for what is said to be there.
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(length.into()).read_to_end(&mut bytes)?;
        if read < length as usize {
            return Err(Unread::wrong("it is cut off"));
        }
        Ok((tag, bytes))
    }
}

/// Tables that are there whole have no rows that went.
fn whole(tables: Vec<TableChange>) -> Result<Vec<SavedTable>, Unread> {
    let table = |table: TableChange| {
        if !table.gone.is_empty() {
            return Err(Unread::wrong("rows are gone from a table that is said to be whole"));
        }
        Ok(SavedTable { name: table.name, identity: table.identity, rows: table.rows })
    };
    tables.into_iter().map(table).collect()
}

fn misplaced() -> Unread {
    Unread::wrong("it holds what it may not")
}

/// What is said of a part that has no place in a stream.
fn unexpected(tag: u8) -> Unread {
    Unread::Wrong(format!("a frame {tag} stands where none may"))
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    serde_json::from_slice(bytes).map_err(Unread::wrong)
}

/// Rows of a table, which has so many columns that tell them apart.
fn told_apart(bytes: &[u8], identity: usize) -> Result<Vec<RecordBatch>, Unread> {
    let rows = decoded(bytes).map_err(Unread::Wrong)?;
    match rows.iter().all(|rows| rows.num_columns() >= identity) {
        true => Ok(rows),
        false => Err(Unread::wrong("rows have fewer columns than tell them apart")),
    }
}

#[cfg(test)]
mod tests;
