//! MessagePack as JSON: what Fluentd's forward protocol is written in. Nothing that a client can send makes it take more
//! memory than what was sent, or more depth than [`DEPTH`].

use serde_json::{Map, Number, Value};

/// Lists within lists are read to this depth.
const DEPTH: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Packed {
    /// What JSON has as well. Floats that JSON does not have are null.
    Plain(Value),
    /// A list, whose items may be of any kind.
    List(Vec<Packed>),
    /// Names and values; names that are no texts are written as one.
    Map(Vec<(String, Packed)>),
    /// A text, or bytes: older clients do not tell these apart.
    Bytes(Vec<u8>),
    /// A kind of the application's own.
    Extension(i8, Vec<u8>),
}

/// Why bytes are no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The end is missing.
    Short,
    /// They are none.
    Wrong(&'static str),
}

/// The value at the front, and how many bytes it takes.
pub(super) fn read(bytes: &[u8]) -> Result<(Packed, usize), Fault> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(DEPTH)?;
    Ok((value, reader.at))
}

/// Finds where a value ends while its bytes are still coming, without looking at any of them twice.
#[derive(Debug, Default)]
pub(super) struct Scan {
    at: usize,
    /// How many values each list or map that is open still wants.
    open: Vec<u64>,
}

impl Scan {
    /// Where the value at the front ends; none where its end is missing. `bytes` are those of before and more.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            let Some((size, items)) = extent(&bytes[self.at..])? else { return Ok(None) };
            if size > bytes.len() - self.at {
                return Ok(None);
            }
            self.at += size;
            if items > 0 {
                if self.open.len() + 1 >= DEPTH {
                    return Err(Fault::Wrong("nested too deep"));
                }
                self.open.push(items);
                continue;
            }
            loop {
                let Some(left) = self.open.last_mut() else { return Ok(Some(std::mem::take(&mut self.at))) };
                *left -= 1;
                if *left > 0 {
                    break;
                }
                self.open.pop();
            }
        }
    }
}

/// How many bytes the value at the front takes beside the values in it, and how many of these there are; none where
/// that is not there yet.
fn extent(bytes: &[u8]) -> Result<Option<(usize, u64)>, Fault> {
    let Some(head) = bytes.first() else { return Ok(None) };
    let number = |width: u8| -> Option<usize> {
        let digits = bytes.get(1..1 + usize::from(width))?;
        Some(digits.iter().fold(0, |n: usize, digit| n << 8 | usize::from(*digit)))
    };
    let counted = |width: u8, more: usize| number(width).map(|n| (n.saturating_add(1 + usize::from(width) + more), 0));
    let items = |width: u8, each: u64| number(width).map(|n| (1 + usize::from(width), n as u64 * each));
    Ok(match head {
        0x80..=0x8f => Some((1, u64::from(head & 0x0f) * 2)),
        0x90..=0x9f => Some((1, u64::from(head & 0x0f))),
        0xa0..=0xbf => Some((1 + usize::from(head & 0x1f), 0)),
        0xc1 => return Err(Fault::Wrong("a byte that is never used")),
        0xc4..=0xc6 => counted(1 << (head - 0xc4), 0),
        0xc7..=0xc9 => counted(1 << (head - 0xc7), 1),
        0xca | 0xce | 0xd2 => Some((5, 0)),
        0xcb | 0xcf | 0xd3 => Some((9, 0)),
        0xcc | 0xd0 => Some((2, 0)),
        0xcd | 0xd1 => Some((3, 0)),
        0xd4..=0xd8 => Some((2 + (1 << (head - 0xd4)), 0)),
        0xd9..=0xdb => counted(1 << (head - 0xd9), 0),
        0xdc | 0xdd => items(if *head == 0xdc { 2 } else { 4 }, 1),
        0xde | 0xdf => items(if *head == 0xde { 2 } else { 4 }, 2),
        _ => Some((1, 0)),
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], Fault> {
        let end = self.at.checked_add(count).ok_or(Fault::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(Fault::Short)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.try_into().map_err(|_| Fault::Short)
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, bytes: u8) -> Result<usize, Fault> {
        Ok(match bytes {
            1 => self.array::<1>()?[0].into(),
            2 => u16::from_be_bytes(self.array()?).into(),
            _ => usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX),
        })
    }

    fn value(&mut self, depth: usize) -> Result<Packed, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Wrong("nested too deep"))?;
        let head = self.array::<1>()?[0];
        let whole = |n: i64| Packed::Plain(Value::from(n));
        Ok(match head {
            0x00..=0x7f => whole(head.into()),
            0x80..=0x8f => self.map(usize::from(head & 0x0f), depth)?,
            0x90..=0x9f => self.list(usize::from(head & 0x0f), depth)?,
            0xa0..=0xbf => Packed::Bytes(self.take(usize::from(head & 0x1f))?.to_vec()),
            0xc0 => Packed::Plain(Value::Null),
            0xc1 => return Err(Fault::Wrong("a byte that is never used")),
            0xc2 | 0xc3 => Packed::Plain(Value::Bool(head == 0xc3)),
            0xc4..=0xc6 => self.bytes(1 << (head - 0xc4))?,
            0xc7..=0xc9 => {
                let length = self.length(1 << (head - 0xc7))?;
                self.extension(length)?
            }
            0xca => float(f32::from_be_bytes(self.array()?).into()),
            0xcb => float(f64::from_be_bytes(self.array()?)),
            0xcc => whole(self.array::<1>()?[0].into()),
            0xcd => whole(u16::from_be_bytes(self.array()?).into()),
            0xce => whole(u32::from_be_bytes(self.array()?).into()),
            0xcf => Packed::Plain(Value::from(u64::from_be_bytes(self.array()?))),
            0xd0 => whole(i8::from_be_bytes(self.array()?).into()),
            0xd1 => whole(i16::from_be_bytes(self.array()?).into()),
            0xd2 => whole(i32::from_be_bytes(self.array()?).into()),
            0xd3 => whole(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => self.extension(1 << (head - 0xd4))?,
            0xd9..=0xdb => self.bytes(1 << (head - 0xd9))?,
            0xdc | 0xdd => {
                let length = self.length(if head == 0xdc { 2 } else { 4 })?;
                self.list(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(if head == 0xde { 2 } else { 4 })?;
                self.map(length, depth)?
            }
            0xe0..=0xff => whole(i8::from_be_bytes([head]).into()),
        })
    }

    fn bytes(&mut self, width: u8) -> Result<Packed, Fault> {
        let length = self.length(width)?;
        Ok(Packed::Bytes(self.take(length)?.to_vec()))
    }

    fn extension(&mut self, length: usize) -> Result<Packed, Fault> {
        let kind = i8::from_be_bytes(self.array()?);
        Ok(Packed::Extension(kind, self.take(length)?.to_vec()))
    }

    /// Every item takes a byte at least, so a length that cannot be true is found out before anything is reserved.
    fn list(&mut self, length: usize, depth: usize) -> Result<Packed, Fault> {
        if length > self.bytes.len() - self.at {
            return Err(Fault::Short);
        }
        Ok(Packed::List((0..length).map(|_| self.value(depth)).collect::<Result<_, _>>()?))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Packed, Fault> {
        if length > self.bytes.len() - self.at {
            return Err(Fault::Short);
        }
        let mut fields = Vec::new();
        for _ in 0..length {
            let name = match self.value(depth)? {
                Packed::Bytes(name) => text(name),
                other => other.json().to_string(),
            };
            fields.push((name, self.value(depth)?));
        }
        Ok(Packed::Map(fields))
    }
}

fn float(number: f64) -> Packed {
    Packed::Plain(Number::from_f64(number).map_or(Value::Null, Value::Number))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

impl Packed {
    /// As JSON. Bytes that are no text come out with the sign for what cannot be read.
    pub(super) fn json(self) -> Value {
        match self {
            Packed::Plain(value) => value,
            Packed::List(items) => Value::Array(items.into_iter().map(Packed::json).collect()),
            Packed::Map(fields) => {
                Value::Object(fields.into_iter().map(|(name, v)| (name, v.json())).collect::<Map<_, _>>())
            }
            Packed::Bytes(bytes) => Value::String(text(bytes)),
            Packed::Extension(_, bytes) => Value::String(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        }
    }

    /// A text.
    pub(super) fn text(self) -> Option<String> {
        match self {
            Packed::Bytes(bytes) => Some(text(bytes)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let bytes = b"\x9b\x01\xff\xcd\x01\x00\xd3\xff\xff\xff\xff\xff\xff\xff\xfe\xcb\x3f\xf8\0\0\0\0\0\0\xc3\xc0\
                      \xa2hi\xc4\x01x\x81\xa1k\x92\x01\x02\xd4\x05\xab";
        let (value, used) = read(bytes).unwrap();
        assert_eq!(used, bytes.len());
        assert_eq!(value.json(), json!([1, -1, 256, -2, 1.5, true, null, "hi", "x", {"k": [1, 2]}, "ab"]));
        let mut scan = Scan::default();
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Err(Fault::Short), "{end} bytes");
            assert_eq!(scan.end(&bytes[..end]), Ok(None), "{end} bytes");
        }
        assert_eq!(scan.end(bytes), Ok(Some(bytes.len())));
    }

    #[test]
    fn lengths_that_cannot_be_true_take_no_memory_and_depth_is_bounded() {
        assert_eq!(read(b"\xdd\xff\xff\xff\xff\x01"), Err(Fault::Short));
        assert_eq!(read(b"\xc6\xff\xff\xff\xff\x01"), Err(Fault::Short));
        assert_eq!(read(&[0x91; 100]), Err(Fault::Wrong("nested too deep")));
        assert_eq!(Scan::default().end(&[0x91; 100]), Err(Fault::Wrong("nested too deep")));
        assert_eq!(Scan::default().end(b"\xdd\xff\xff\xff\xff\x01"), Ok(None));
        assert_eq!(read(b"\xc1"), Err(Fault::Wrong("a byte that is never used")));
    }
}
