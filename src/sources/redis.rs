//! `redis`: streams of a Redis or Valkey server, and its hashes as a table.

mod fields;

use std::collections::BTreeMap;

use redis::{Connection, RedisError, Value};

use crate::connect::redis::{Server, failed};
use crate::connect::texts;
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Limits, Position, Positions, Read, Source, Split};
use crate::plan::{Conflict, Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra, untold};

use fields::{Fields, Reading};

/// So many entries are asked for at a time.
const ENTRIES: usize = 5_000;

const READ: &[(&str, &str)] = &[
    ("stream", "the entries of a stream, by their number"),
    ("keys", "hashes whose key matches a pattern, all of them once; what a table does"),
];
const START: &[(&str, &str)] =
    &[("earliest", "with the oldest entry that is kept"), ("latest", "with entries that come after the start")];

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::with_default("read", OptionKind::Symbol(READ), "stream", "what is read"),
        OptionSpec::with_default("start", OptionKind::Symbol(START), "earliest", "where reading a stream starts"),
        OptionSpec::with_default("cluster", OptionKind::Bool, "false", "whether the server is a node of a cluster"),
    ];
    options.extend(crate::connect::redis::connection());
    SourceEntry {
        doc: Doc::new(
            "redis",
            "reads streams or hashes of a Redis server",
            "redis(\"KEY\") { url: SECRET, schema: TYPE, OPTIONS }",
        )
        .details(
            "Fields of an entry, or of a hash, are the columns of the same names; their texts are read as the types that \
             are declared, lists and structs as JSON. The position in a stream is the number of the last entry, so that \
             a restart goes on behind it; entries that the stream was trimmed of before they were read are not missed. \
             `read: keys` reads all hashes whose key matches a pattern, which is what a table wants: with `refresh: 1min` \
             it is read anew every minute. Valkey is spoken to in the same way.",
        )
        .example(
            "source clicks = redis(\"clicks\") { url: env(\"REDIS_URL\"), schema: { user_id: string, page: string } }",
        )
        .example(
            "table users = redis(\"user:*\") { url: env(\"REDIS_URL\"), read: keys, refresh: 1min, schema: { user_id: string, country: string } }",
        )
        .alias("valkey"),
        args: vec![OptionSpec::required("keys", texts(), "streams, or patterns of keys")],
        options,
        rows: RowsFrom::Schema { default: None, extra: nothing_extra },
        rewinds: true,
        table: true,
        mode: appends,
        feature: None,
        conflicts,
        sample: None,
        open: SourceEntry::by(open),
    }
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let mut found = crate::connect::redis::conflicts(settings);
    if settings.text("read") == Some("keys") && settings.is_written("start") {
        let message = "`start` means nothing for `read: keys`";
        found.push(Conflict::between("start", message, "leave it out"));
    }
    if settings.text("read") == Some("keys") && settings.flag("cluster") {
        let message = "`read: keys` asks one server, and a cluster has many";
        found.push(Conflict::between("cluster", message, "name each node in a table of its own, or read a stream"));
    }
    found.extend(untold(settings));
    found
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    Ok(Box::new(Redis {
        server: Server::of(endpoint)?,
        reading: Reading::of(&endpoint.schema)?,
        keys: settings.texts("keys").into_iter().map(str::to_owned).collect(),
        hashes: settings.text("read") == Some("keys"),
        latest: settings.text("start") == Some("latest"),
        cluster: settings.flag("cluster"),
        connections: BTreeMap::new(),
        nodes: BTreeMap::new(),
    }))
}

struct Redis {
    server: Server,
    reading: Reading,
    keys: Vec<String>,
    /// All hashes of a pattern instead of a stream's entries.
    hashes: bool,
    latest: bool,
    cluster: bool,
    connections: BTreeMap<Option<Node>, Connection>,
    /// Where the streams of a cluster are, as far as it was told.
    nodes: BTreeMap<String, Node>,
}

type Node = (String, u16);

/// Entries of a stream: the number and the fields of each.
type Entries = Vec<(String, Fields)>;

impl Source for Redis {
    fn discover(&mut self, _: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        Ok(self.keys.iter().map(|key| Split { id: key.clone() }).collect())
    }

    fn read(&mut self, split: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        if self.hashes { self.read_hashes(&split.id, from) } else { self.read_stream(&split.id, from, limits) }
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }

    fn splits_last(&self) -> bool {
        !self.hashes
    }

    fn shown(&self, position: &Position) -> String {
        String::from_utf8_lossy(&position.0).into_owned()
    }
}

impl Redis {
    fn read_stream(&mut self, key: &str, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let mut at = String::from_utf8(from.0.clone()).map_err(|_| broken(key))?;
        if at.is_empty() {
            at = if self.latest { self.last(key)? } else { "0-0".to_owned() };
        }
        let (mut read, mut rows) = (Read::default(), 0);
        while rows < limits.rows && read.bytes < limits.bytes {
            let most = ENTRIES.min(limits.rows - rows);
            let found: Value = self.with(key, "read a stream of redis", |connection| {
                redis::cmd("XREAD").arg("COUNT").arg(most).arg("STREAMS").arg(key).arg(&at).query(connection)
            })?;
            let entries = entries(found).ok_or_else(|| TaskError::Stop(format!("`{key}` answers no entries")))?;
            let Some((last, _)) = entries.last() else {
                read.exhausted = true;
                break;
            };
            at.clone_from(last);
            rows += entries.len();
            read.bytes += entries.iter().flat_map(|(_, f)| f).map(|(k, v)| (k.len() + v.len()) as u64).sum::<u64>();
            self.reading.rows(&entries, key, &mut read)?;
            if entries.len() < most {
                read.exhausted = true;
                break;
            }
        }
        read.to = Position(at.into_bytes());
        Ok(read)
    }

    /// The number of the newest entry.
    fn last(&mut self, key: &str) -> Result<String, TaskError> {
        let newest: Vec<Value> = self.with(key, "read a stream of redis", |connection| {
            redis::cmd("XREVRANGE").arg(key).arg("+").arg("-").arg("COUNT").arg(1).query(connection)
        })?;
        let last = newest.into_iter().find_map(numbered);
        Ok(last.map_or_else(|| "0-0".to_owned(), |(number, _)| number))
    }

    /// All hashes of a pattern, once.
    fn read_hashes(&mut self, pattern: &str, from: &Position) -> Result<Read, TaskError> {
        let mut read = Read { exhausted: true, to: Position(b"all".to_vec()), ..Read::default() };
        if !from.0.is_empty() {
            return Ok(read);
        }
        let mut cursor = 0_u64;
        let mut known = std::collections::BTreeSet::new();
        loop {
            let (next, keys): (u64, Vec<String>) = self.with(pattern, "look for keys in redis", |connection| {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(1_000).arg("TYPE").arg("hash");
                scan.query(connection)
            })?;
            // A key may be told of twice.
            let keys: Vec<String> = keys.into_iter().filter(|key| known.insert(key.clone())).collect();
            let mut asked = redis::pipe();
            for key in &keys {
                asked.cmd("HGETALL").arg(key);
            }
            let hashes: Vec<Fields> = match keys.is_empty() {
                true => Vec::new(),
                false => self.with(pattern, "read hashes of redis", |connection| asked.query(connection))?,
            };
            // What has gone in between has no fields.
            let found: Entries = keys.into_iter().zip(hashes).filter(|(_, fields)| !fields.is_empty()).collect();
            self.reading.rows(&found, pattern, &mut read)?;
            cursor = next;
            if cursor == 0 {
                return Ok(read);
            }
        }
    }

    /// Uses the connection to the node that has a key; one that failed is not used again.
    fn with<T>(
        &mut self,
        key: &str,
        doing: &str,
        work: impl Fn(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, TaskError> {
        let node = self.nodes.get(key).cloned();
        let mut connection = match self.connections.remove(&node) {
            Some(connection) => connection,
            None => self.server.connect(node.as_ref().map(|(host, port)| (host.as_str(), *port)))?,
        };
        match work(&mut connection) {
            Ok(done) => {
                self.connections.insert(node, connection);
                Ok(done)
            }
            Err(error) => {
                self.nodes.remove(key);
                let moved = error.redirect_node().and_then(|(address, _)| address.rsplit_once(':'));
                if let Some((host, port)) = moved.filter(|_| self.cluster && node.is_none())
                    && let Ok(port) = port.parse()
                {
                    self.nodes.insert(key.to_owned(), (host.to_owned(), port));
                    return self.with(key, doing, work);
                }
                Err(failed(doing, &error))
            }
        }
    }
}

fn broken(key: &str) -> TaskError {
    TaskError::Stop(format!("the position in `{key}` cannot be read"))
}

/// What `XREAD` answers for one stream; none where it is something else.
fn entries(found: Value) -> Option<Entries> {
    let entries = match found {
        Value::Nil => return Some(Vec::new()),
        Value::Array(streams) => match streams.into_iter().next()? {
            Value::Array(stream) => stream.into_iter().nth(1)?,
            _ => return None,
        },
        Value::Map(streams) => streams.into_iter().next()?.1,
        _ => return None,
    };
    let Value::Array(entries) = entries else { return None };
    entries.into_iter().map(numbered).collect()
}

fn numbered(found: Value) -> Option<(String, Fields)> {
    let Value::Array(parts) = found else { return None };
    let mut parts = parts.into_iter();
    let number = redis::from_redis_value(parts.next()?).ok()?;
    Some((number, redis::from_redis_value(parts.next()?).ok()?))
}
