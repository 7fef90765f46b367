//! Records that stand one behind the other, their schema known from elsewhere. How long each is follows from the schema,
//! so that many can be read in one go.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::datatypes::SchemaRef;
use serde_json::Value;

use crate::formats::avro::container::{long, plain_header, read_container, shaped};
use crate::plan::seams::{BadRow, Decoded, Piece};

/// What stands before a record of Avro's single-object encoding; eight bytes of fingerprint follow.
const SINGLE: [u8; 2] = [0xc3, 0x01];

/// How deep values may be nested.
const DEEPEST: usize = 64;

/// Records of one schema.
pub(super) struct Messages {
    /// Its text.
    text: Vec<u8>,
    record: Shape,
    named: BTreeMap<String, Shape>,
}

/// As much of a schema as says where a value ends.
#[derive(Debug, Clone)]
enum Shape {
    Nothing,
    /// So many bytes.
    Fixed(usize),
    /// Of so many bytes a digit.
    Number,
    /// A length and so many bytes.
    Counted,
    /// One after the other.
    Record(Vec<Shape>),
    /// One of them.
    Union(Vec<Shape>),
    List(Box<Shape>),
    Map(Box<Shape>),
    /// Said elsewhere.
    Named(String),
}

/// What became of a value.
enum Missing {
    /// Its end is not there.
    End,
    /// It is none.
    Sense,
}

impl Messages {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|e| format!("cannot read `{}`: {e}", path.display()))?;
        Self::of(text).map_err(|e| format!("`{}` is no Avro schema of a record: {e}", path.display()))
    }

    pub(super) fn of(text: Vec<u8>) -> Result<Self, String> {
        let schema: Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
        let mut named = BTreeMap::new();
        let record = shape(&schema, "", &mut named)?;
        let is_record = |shape: &Shape| matches!(shape, Shape::Record(_));
        let found = if let Shape::Named(name) = &record { named.get(name).is_some_and(is_record) } else { false };
        if !found {
            return Err("it must be a record".into());
        }
        Ok(Messages { text, record, named })
    }

    /// Whether bytes are so many records and nothing else. The library must not be given others: it looks for the end of
    /// what is left for ever.
    pub(super) fn fill(&self, records: u64, bytes: &[u8]) -> bool {
        let mut at = 0;
        (0..records).all(|_| self.skip(&self.record, bytes, &mut at, 0).is_ok()) && at == bytes.len()
    }

    /// As many records as there are; one that makes no sense takes the rest of the piece with it.
    pub(super) fn decode(&self, piece: &Piece<'_>, schema: &SchemaRef) -> Decoded {
        let mut decoded = Decoded::default();
        let mut records: Vec<&[u8]> = Vec::new();
        let mut trouble = None;
        while decoded.used < piece.bytes.len() && records.len() < piece.records {
            let rest = &piece.bytes[decoded.used..];
            let front = if rest.starts_with(&SINGLE) { SINGLE.len() + 8 } else { 0 };
            let mut at = front;
            match self.skip(&self.record, rest, &mut at, 0) {
                // A record without fields takes no bytes, and there is no end to them.
                Ok(()) if at > 0 => {
                    records.push(&rest[front..at]);
                    decoded.used += at;
                }
                Err(Missing::End) if !piece.last => break,
                Err(Missing::End) => trouble = Some("the record is not whole"),
                Ok(()) | Err(Missing::Sense) => trouble = Some("it does not fit the schema of `avro_schema`"),
            }
            if trouble.is_some() {
                break;
            }
        }
        self.read(&records, 0, schema, &mut decoded);
        decoded.lines = records.len() as u64;
        if let Some(reason) = trouble {
            let text = BadRow::shown(&piece.bytes[decoded.used..]);
            let line = decoded.lines;
            decoded.bad.push(BadRow { text, reason: reason.into(), place: String::new(), line, bytes: None });
            decoded.lines += 1;
            (decoded.used, decoded.over) = (piece.bytes.len(), true);
        }
        decoded
    }

    /// All in one go; where that fails, each half by itself.
    fn read(&self, records: &[&[u8]], before: u64, schema: &SchemaRef, out: &mut Decoded) {
        let count = records.len();
        let mark = [0; 16];
        let all = i64::try_from(count).map_err(|e| e.to_string());
        let read = all.and_then(|n| read_container(plain_header(&self.text, &mark), &mark, n, &records.concat()));
        match read.and_then(|batches| shaped(&batches, schema, count as u64)) {
            Ok((blocks, bad)) => {
                out.blocks.extend(blocks);
                out.bad.extend(bad.into_iter().map(|row| BadRow { line: before + row.line, ..row }));
            }
            Err(reason) if count <= 1 => {
                let text = records.first().map(|bytes| BadRow::shown(bytes)).unwrap_or_default();
                out.bad.push(BadRow { text, reason, place: String::new(), line: before, bytes: None });
            }
            Err(_) => {
                let (front, back) = records.split_at(count / 2);
                self.read(front, before, schema, out);
                self.read(back, before + front.len() as u64, schema, out);
            }
        }
    }

    /// Moves behind a value.
    fn skip(&self, shape: &Shape, bytes: &[u8], at: &mut usize, depth: usize) -> Result<(), Missing> {
        if depth > DEEPEST {
            return Err(Missing::Sense);
        }
        let number = |at: &mut usize| {
            let whole = bytes.len() - (*at).min(bytes.len()) >= 10;
            long(bytes, at).ok_or(if whole { Missing::Sense } else { Missing::End })
        };
        let forward = |at: &mut usize, length: i64| {
            let length = usize::try_from(length).map_err(|_| Missing::Sense)?;
            *at = at.checked_add(length).ok_or(Missing::Sense)?;
            if *at <= bytes.len() { Ok(()) } else { Err(Missing::End) }
        };
        match shape {
            Shape::Nothing => Ok(()),
            Shape::Fixed(length) => forward(at, i64::try_from(*length).unwrap_or(i64::MAX)),
            Shape::Number => number(at).map(drop),
            Shape::Counted => {
                let length = number(at)?;
                forward(at, length)
            }
            Shape::Record(fields) => fields.iter().try_for_each(|field| self.skip(field, bytes, at, depth + 1)),
            Shape::Union(branches) => {
                let branch = usize::try_from(number(at)?).ok().and_then(|n| branches.get(n));
                self.skip(branch.ok_or(Missing::Sense)?, bytes, at, depth + 1)
            }
            Shape::List(element) | Shape::Map(element) => loop {
                let count = number(at)?;
                if count == 0 {
                    return Ok(());
                }
                if count < 0 {
                    let length = number(at)?;
                    forward(at, length)?;
                    continue;
                }
                for _ in 0..count {
                    let before = *at;
                    if matches!(shape, Shape::Map(_)) {
                        self.skip(&Shape::Counted, bytes, at, depth + 1)?;
                    }
                    self.skip(element, bytes, at, depth + 1)?;
                    if *at == before {
                        // Elements without bytes: the rest takes none either.
                        break;
                    }
                }
            },
            Shape::Named(name) => match self.named.get(name) {
                Some(shape) => self.skip(shape, bytes, at, depth + 1),
                None => Err(Missing::Sense),
            },
        }
    }
}

fn shape(schema: &Value, space: &str, named: &mut BTreeMap<String, Shape>) -> Result<Shape, String> {
    match schema {
        Value::String(word) => Ok(match word.as_str() {
            "null" => Shape::Nothing,
            "boolean" => Shape::Fixed(1),
            "int" | "long" => Shape::Number,
            "float" => Shape::Fixed(4),
            "double" => Shape::Fixed(8),
            "bytes" | "string" => Shape::Counted,
            name => Shape::Named(full(name, space)),
        }),
        Value::Array(branches) => {
            let branches = branches.iter().map(|branch| shape(branch, space, named)).collect::<Result<_, _>>()?;
            Ok(Shape::Union(branches))
        }
        Value::Object(about) => {
            let part = |name: &str| about.get(name).and_then(Value::as_str);
            let of = |key: &str| about.get(key).ok_or_else(|| format!("`{key}` is missing"));
            let space = part("namespace").unwrap_or(space);
            let own = part("name").map(|name| full(name, space));
            let space =
                own.as_deref().and_then(|own| own.rsplit_once('.')).map_or(space, |(space, _)| space).to_owned();
            let space = space.as_str();
            let found = match of("type")?.as_str() {
                Some("record") => {
                    let fields = of("fields")?.as_array().ok_or("`fields` is no list")?;
                    let field = |field: &Value| shape(field.get("type").unwrap_or(&Value::Null), space, named);
                    Shape::Record(fields.iter().map(field).collect::<Result<_, _>>()?)
                }
                Some("enum") => Shape::Number,
                Some("fixed") => {
                    let size = of("size")?.as_u64().and_then(|n| usize::try_from(n).ok());
                    Shape::Fixed(size.ok_or("`size` is no number")?)
                }
                Some("array") => return Ok(Shape::List(Box::new(shape(of("items")?, space, named)?))),
                Some("map") => return Ok(Shape::Map(Box::new(shape(of("values")?, space, named)?))),
                // A logical type, or a type in braces.
                _ => return shape(of("type")?, space, named),
            };
            let name = own.ok_or("`name` is missing")?;
            named.insert(name.clone(), found);
            Ok(Shape::Named(name))
        }
        other => Err(format!("`{other}` is no type")),
    }
}

fn full(name: &str, space: &str) -> String {
    if space.is_empty() || name.contains('.') { name.to_owned() } else { format!("{space}.{name}") }
}
