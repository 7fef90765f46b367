//! Container files: a header with the schema, then blocks of records with a mark behind each.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_avro::reader::ReaderBuilder;
use twox_hash::XxHash3_64;

use crate::formats::avro::messages::Messages;
use crate::formats::conform::{conform, guarded};
use crate::formats::infer;
use crate::model::Column;
use crate::plan::Settings;
use crate::plan::sample::Sample;
use crate::plan::seams::{BadRow, Decoded, Piece};

const MAGIC: &[u8] = b"Obj\x01";

/// Bytes of a mark.
const MARK: usize = 16;

/// A block that unpacks to more is taken for damaged or hostile.
const LARGEST_BLOCK: u64 = 1 << 28;

/// The same for the number of records in it: records may take no bytes at all.
const MOST_RECORDS: i64 = 1 << 24;

/// A whole number as Avro writes it; none where its end is missing.
pub(super) fn long(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            #[expect(clippy::cast_possible_wrap, reason = "the lowest bit is the sign")]
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

fn text<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = usize::try_from(long(bytes, at)?).ok()?;
    let found = bytes.get(*at..at.checked_add(length)?)?;
    *at += length;
    Some(found)
}

/// What stands before the blocks.
struct Header<'a> {
    about: BTreeMap<&'a [u8], &'a [u8]>,
    mark: &'a [u8],
    length: usize,
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut at = MAGIC.len();
        let mut about = BTreeMap::new();
        loop {
            let mut count = long(bytes, &mut at)?;
            if count == 0 {
                break;
            }
            if count < 0 {
                count = count.checked_neg()?;
                long(bytes, &mut at)?;
            }
            for _ in 0..count {
                about.insert(text(bytes, &mut at)?, text(bytes, &mut at)?);
            }
        }
        let mark = bytes.get(at..at + MARK)?;
        Some(Header { about, mark, length: at + MARK })
    }

    fn schema(&self) -> &'a [u8] {
        self.about.get(&b"avro.schema"[..]).copied().unwrap_or_default()
    }

    fn packed(&self) -> &'a [u8] {
        self.about.get(&b"avro.codec"[..]).copied().unwrap_or(b"null")
    }
}

/// The columns that a file's header names.
pub(super) fn inferred(settings: &Settings, samples: &[Sample], _: usize) -> Result<Vec<Column>, String> {
    if settings.get("avro_schema").is_some() {
        return Err("messages do not carry a schema".into());
    }
    infer::carried(samples, |sample| {
        if !sample.front.starts_with(MAGIC) {
            return Err("it is no Avro container file".into());
        }
        let reader = guarded(|| ReaderBuilder::new().build(Cursor::new(&sample.front)).map_err(|e| e.to_string()))?;
        Ok(reader.schema())
    })
}

/// The length of the header; nothing where there is none.
pub(super) fn header(front: &[u8], last: bool) -> Option<usize> {
    if front.len() < MAGIC.len() && !last {
        return None;
    }
    if !front.starts_with(MAGIC) {
        return Some(0);
    }
    Header::read(front).map(|header| header.length).or(last.then_some(0))
}

/// A block: where its records are, and how many.
struct Block {
    records: i64,
    bytes: Range<usize>,
    end: usize,
}

fn block(bytes: &[u8], start: usize) -> Option<Block> {
    let mut at = start;
    let records = long(bytes, &mut at)?;
    let length = usize::try_from(long(bytes, &mut at)?).unwrap_or(usize::MAX);
    let end = at.saturating_add(length);
    Some(Block { records, bytes: at..end, end: end.saturating_add(MARK) })
}

/// Whole blocks, at most so many records, but one block at least. A block that cannot be read is one bad row, and the
/// next is looked for by the mark before it.
pub(super) fn decode(piece: &Piece<'_>, schema: &SchemaRef) -> Decoded {
    let bytes = piece.bytes;
    let mut decoded = Decoded::default();
    let Some(header) = Header::read(piece.header).filter(|_| !piece.header.is_empty()) else {
        if !bytes.is_empty() {
            let reason = "not an Avro container; records without one want `avro_schema`".into();
            decoded.bad.push(BadRow { text: String::new(), reason, place: String::new(), line: 0, bytes: None });
            (decoded.used, decoded.over, decoded.lines) = (bytes.len(), true, 1);
        }
        return decoded;
    };
    let layout = match Messages::of(header.schema().to_vec()) {
        Ok(layout) => layout,
        Err(reason) => {
            let reason = format!("its schema cannot be read: {reason}");
            decoded.bad.push(BadRow {
                text: BadRow::shown(header.schema()),
                reason,
                place: String::new(),
                line: 0,
                bytes: None,
            });
            (decoded.used, decoded.over, decoded.lines) = (bytes.len(), true, 1);
            return decoded;
        }
    };
    while decoded.used < bytes.len() {
        let start = decoded.used;
        let found = block(bytes, start);
        let whole = found.as_ref().is_some_and(|block| block.end <= bytes.len());
        let sound = |block: &Block| {
            let marked = bytes.get(block.bytes.end..block.end).is_none_or(|mark| mark == header.mark);
            marked && (0..=MOST_RECORDS).contains(&block.records) && (block.bytes.len() as u64) < LARGEST_BLOCK
        };
        match found {
            Some(block) if sound(&block) && whole => {
                let records = u64::try_from(block.records).unwrap_or(0);
                if decoded.lines > 0 && decoded.lines + records > piece.records as u64 {
                    break;
                }
                let rows = unpacked(header.packed(), &bytes[block.bytes.clone()])
                    .and_then(|data| read(&header, &layout, block.records, &data))
                    .and_then(|batches| shaped(&batches, schema, records));
                add(rows, records, range(start, block.end), &mut decoded);
                decoded.used = block.end;
            }
            Some(block) if !sound(&block) => skip(&header, piece, &mut decoded),
            _ if piece.last => skip(&header, piece, &mut decoded),
            _ => break,
        }
        if decoded.lines >= piece.records as u64 {
            break;
        }
    }
    decoded
}

/// Goes on behind the next mark; without one the rest is given up.
fn skip(header: &Header<'_>, piece: &Piece<'_>, decoded: &mut Decoded) {
    let rest = &piece.bytes[decoded.used..];
    let next = memchr::memmem::find(rest, header.mark).map(|at| at + MARK);
    let lost = next.unwrap_or(rest.len());
    let reason = format!("{lost} bytes cannot be read: a block is damaged or not whole");
    let bytes = Some(range(decoded.used, decoded.used + lost));
    decoded.bad.push(BadRow { text: String::new(), reason, place: String::new(), line: decoded.lines, bytes });
    decoded.lines += 1;
    decoded.used += lost;
    decoded.over = next.is_none();
}

fn range(start: usize, end: usize) -> Range<u64> {
    start as u64..end as u64
}

type Rows = (Vec<RecordBatch>, Vec<BadRow>);

/// What a block held; `bytes` is where it stands. A row of it that does not fit says no more than that.
fn add(rows: Result<Rows, String>, records: u64, bytes: Range<u64>, decoded: &mut Decoded) {
    let line = decoded.lines;
    match rows {
        Ok((blocks, bad)) => {
            decoded.blocks.extend(blocks);
            let of_block = |row: BadRow| BadRow { line: line + row.line, bytes: Some(bytes.clone()), ..row };
            decoded.bad.extend(bad.into_iter().map(of_block));
            decoded.lines += records;
        }
        Err(reason) => {
            let reason = format!("{records} records cannot be read: {reason}");
            let bytes = Some(bytes);
            decoded.bad.push(BadRow { text: String::new(), reason, place: String::new(), line, bytes });
            decoded.lines += 1;
        }
    }
}

/// Rows in the schema's shape; as many as the block says.
pub(super) fn shaped(batches: &[RecordBatch], schema: &SchemaRef, records: u64) -> Result<Rows, String> {
    let (mut blocks, mut bad, mut before) = (Vec::new(), Vec::new(), 0);
    for batch in batches {
        let (fitting, misfits) = conform(batch, schema)?;
        blocks.extend(fitting);
        bad.extend(misfits.into_iter().map(|row| BadRow { line: before + row.line, ..row }));
        before += batch.num_rows() as u64;
    }
    if before == records { Ok((blocks, bad)) } else { Err(format!("there are {before} records in it")) }
}

/// The records of a block, packed no more.
fn unpacked(packed: &[u8], bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let most = |reader: &mut dyn Read, out: &mut Vec<u8>| reader.take(LARGEST_BLOCK).read_to_end(out);
    let read = match packed {
        b"null" => return Ok(bytes.to_vec()),
        b"deflate" => most(&mut flate2::read::DeflateDecoder::new(bytes), &mut out),
        b"zstandard" => {
            zstd::stream::read::Decoder::with_buffer(bytes).and_then(|mut decoder| most(&mut decoder, &mut out))
        }
        b"snappy" => return snappy(bytes),
        other => return Err(format!("blocks packed with `{}` cannot be read", String::from_utf8_lossy(other))),
    };
    match read {
        Ok(length) if length as u64 >= LARGEST_BLOCK => Err(format!("it unpacks to more than {LARGEST_BLOCK} bytes")),
        Ok(_) => Ok(out),
        Err(e) => Err(e.to_string()),
    }
}

/// Behind the bytes stands a checksum of what they unpack to.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (packed, checksum) = bytes.split_last_chunk::<4>().ok_or("it is damaged")?;
    let length = snap::raw::decompress_len(packed).map_err(|e| e.to_string())?;
    if length as u64 >= LARGEST_BLOCK {
        return Err(format!("it unpacks to more than {LARGEST_BLOCK} bytes"));
    }
    let data = snap::raw::Decoder::new().decompress_vec(packed).map_err(|e| e.to_string())?;
    let mut sum = flate2::Crc::new();
    sum.update(&data);
    if sum.sum() == u32::from_be_bytes(*checksum) { Ok(data) } else { Err("its checksum is wrong".into()) }
}

/// Reads the records of one block by way of a container that holds nothing else.
fn read(header: &Header<'_>, layout: &Messages, records: i64, data: &[u8]) -> Result<Vec<RecordBatch>, String> {
    if !layout.fill(u64::try_from(records).unwrap_or(0), data) {
        return Err("they do not fit the schema".into());
    }
    read_container(plain_header(header.schema(), header.mark), header.mark, records, data)
}

/// A header for blocks that are not packed.
pub(super) fn plain_header(schema: &[u8], mark: &[u8]) -> Vec<u8> {
    let mut front = MAGIC.to_vec();
    put_long(1, &mut front);
    for part in [b"avro.schema", schema] {
        put_long(i64::try_from(part.len()).unwrap_or(i64::MAX), &mut front);
        front.extend_from_slice(part);
    }
    front.push(0);
    front.extend_from_slice(mark);
    front
}

/// Reads a container of one block.
pub(super) fn read_container(
    mut container: Vec<u8>,
    mark: &[u8],
    records: i64,
    data: &[u8],
) -> Result<Vec<RecordBatch>, String> {
    if records == 0 {
        return Ok(Vec::new());
    }
    put_long(records, &mut container);
    put_long(i64::try_from(data.len()).unwrap_or(i64::MAX), &mut container);
    container.extend_from_slice(data);
    container.extend_from_slice(mark);
    guarded(|| {
        let rows = usize::try_from(records).map_err(|e| e.to_string())?;
        let reader = ReaderBuilder::new().with_batch_size(rows.min(1 << 16)).build(Cursor::new(container));
        reader.and_then(Iterator::collect).map_err(|e| e.to_string())
    })
}

fn put_long(value: i64, out: &mut Vec<u8>) {
    #[expect(clippy::cast_sign_loss, reason = "the sign becomes the lowest bit")]
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left > 0x7f {
        out.push(u8::try_from(left & 0x7f).unwrap_or(0) | 0x80);
        left >>= 7;
    }
    out.push(u8::try_from(left).unwrap_or(0));
}

/// Puts marks that follow from the contents in the place of random ones, so that the same rows give the same file.
pub(super) fn settle_marks(file: &mut [u8], random: [u8; MARK]) {
    let Some(start) = Header::read(file).map(|header| header.length) else { return };
    let mut places = vec![start - MARK];
    let mut at = start;
    while let Some(block) = block(file, at).filter(|block| block.end <= file.len()) {
        places.push(block.bytes.end);
        at = block.end;
    }
    let mut mark = [0; MARK];
    for (half, seed) in mark.chunks_exact_mut(8).zip([1, 2]) {
        let (mut hash, mut from) = (seed, 0);
        for place in &places {
            hash = XxHash3_64::oneshot_with_seed(hash, &file[from..*place]);
            from = place + MARK;
        }
        half.copy_from_slice(&hash.to_le_bytes());
    }
    for place in places {
        if file[place..place + MARK] == random {
            file[place..place + MARK].copy_from_slice(&mark);
        }
    }
}
