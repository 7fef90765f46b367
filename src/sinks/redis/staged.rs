//! A batch as bytes: the arguments of scripts, a piece each, and the rows beside them for those that are refused.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use crate::sinks::packed::unpacked;

/// A piece has no more rows, and begins a new one behind so many bytes.
const ROWS: usize = 5_000;
const BYTES: usize = 4 << 20;

/// Arguments of one script, as they go over the wire.
#[derive(Debug, Default)]
struct Building {
    rows: usize,
    args: u64,
    bytes: Vec<u8>,
}

/// A batch that is being put together.
pub(super) struct Staging {
    cluster: bool,
    refused: Vec<(usize, String)>,
    /// The last piece of each slot, and those that are full.
    open: BTreeMap<u16, Building>,
    full: Vec<(u16, Building)>,
}

impl Staging {
    pub(super) fn new(cluster: bool) -> Self {
        Staging { cluster, refused: Vec::new(), open: BTreeMap::new(), full: Vec::new() }
    }

    /// A row that cannot be written.
    pub(super) fn refuse(&mut self, row: usize, why: &str) {
        self.refused.push((row, why.to_owned()));
    }

    /// A row and what writes it.
    pub(super) fn add(&mut self, row: usize, slot: u16, commands: &[Vec<Vec<u8>>]) {
        let piece = self.open.entry(slot).or_default();
        piece.arg(row.to_string().as_bytes());
        piece.arg(commands.len().to_string().as_bytes());
        for command in commands {
            piece.arg(command.len().to_string().as_bytes());
            command.iter().for_each(|word| piece.arg(word));
        }
        piece.rows += 1;
        if piece.rows >= ROWS || piece.bytes.len() >= BYTES {
            self.full.push((slot, std::mem::take(piece)));
        }
    }

    /// How many rows are refused, each with its reason; how many pieces, each with its slot, its arguments and their
    /// bytes; then the rows.
    pub(super) fn written(self, packed: &[u8]) -> Vec<u8> {
        let mut out = vec![u8::from(self.cluster)];
        let number = |out: &mut Vec<u8>, n: u64| out.extend(n.to_le_bytes());
        number(&mut out, self.refused.len() as u64);
        for (row, why) in self.refused {
            number(&mut out, row as u64);
            number(&mut out, why.len() as u64);
            out.extend(why.into_bytes());
        }
        // Pieces of one slot stay in their order.
        let open = self.open.into_iter().filter(|(_, piece)| piece.rows > 0);
        let pieces: Vec<(u16, Building)> = self.full.into_iter().chain(open).collect();
        number(&mut out, pieces.len() as u64);
        for (slot, piece) in pieces {
            number(&mut out, u64::from(slot));
            number(&mut out, piece.args);
            number(&mut out, piece.bytes.len() as u64);
            out.extend(piece.bytes);
        }
        out.extend(packed);
        out
    }
}

impl Building {
    fn arg(&mut self, word: &[u8]) {
        self.args += 1;
        self.bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        self.bytes.extend(word);
        self.bytes.extend(b"\r\n");
    }
}

/// A batch that was put together.
pub(super) struct Staged<'a> {
    refused: BTreeMap<usize, String>,
    pub(super) pieces: Vec<Piece<'a>>,
    packed: &'a [u8],
}

/// Arguments of one script.
pub(super) struct Piece<'a> {
    pub(super) slot: u16,
    /// The how manieth of its slot.
    pub(super) number: u64,
    pub(super) args: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Staged<'a> {
    /// What [`Staging::written`] wrote; none where it is something else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes.get(1..)?;
        let mut refused = BTreeMap::new();
        for _ in 0..number(&mut rest)? {
            let row = usize::try_from(number(&mut rest)?).ok()?;
            let length = usize::try_from(number(&mut rest)?).ok()?;
            refused.insert(row, String::from_utf8(taken(&mut rest, length)?.to_vec()).ok()?);
        }
        let (mut pieces, mut numbers) = (Vec::new(), BTreeMap::<u16, u64>::new());
        for _ in 0..number(&mut rest)? {
            let slot = u16::try_from(number(&mut rest)?).ok()?;
            let args = number(&mut rest)?;
            let length = usize::try_from(number(&mut rest)?).ok()?;
            let next = numbers.entry(slot).or_default();
            pieces.push(Piece { slot, number: *next, args, bytes: taken(&mut rest, length)? });
            *next += 1;
        }
        Some(Staged { refused, pieces, packed: rest })
    }

    /// The rows that were refused here or by the server, those with one reason together.
    pub(super) fn rejected(
        &self,
        by_server: BTreeMap<usize, String>,
    ) -> Result<Vec<(RecordBatch, String)>, ArrowError> {
        let all: BTreeMap<&usize, &String> = self.refused.iter().chain(&by_server).collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let Some(rows) = unpacked(self.packed)?.pop() else { return Ok(Vec::new()) };
        let known = all.into_iter().filter(|(row, _)| **row < rows.num_rows());
        Ok(known.map(|(row, why)| (rows.slice(*row, 1), why.clone())).collect())
    }
}

fn taken<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (front, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(front)
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(taken(rest, 8)?.try_into().ok()?))
}
