//! How a batch gets into the server: a script a piece, which looks at the mark, writes the rows and sets the mark, with
//! nothing in between. A script of before that comes late finds the mark and does nothing.

use std::collections::BTreeMap;

use redis::{Connection, RedisError, Value};

use crate::connect::redis::{Server, failed};
use crate::plan::operator::TaskError;
use crate::plan::seams::Giver;
use crate::sinks::redis::slots::tag;
use crate::sinks::redis::staged::{Piece, Staged};

/// So many bytes of scripts are sent before the first answer is read.
const AHEAD: usize = 16 << 20;

/// KEYS[1]: the mark. ARGV: history, batch, piece, then of each row its number, how many commands, and of each how many
/// words and the words. Gives back rows that were refused and why, one behind the other. The mark is written first: a
/// server that takes no writes now (it is full, it is a replica) refuses that, and nothing was done.
const SCRIPT: &str = r"
local mark = redis.call('HMGET', KEYS[1], 'history', 'batch', 'piece', 'refused')
local batch, piece = tonumber(ARGV[2]), tonumber(ARGV[3])
local refused, same = {}, false
if mark[1] == ARGV[1] then
  local b, p = tonumber(mark[2]), tonumber(mark[3])
  if b > batch then return {} end
  same = b == batch
  if same then
    refused = cjson.decode(mark[4])
    if p >= piece then return refused end
    if p + 1 < piece then return redis.error_reply('GAP a piece is missing') end
  end
end
if not same and piece > 0 then return redis.error_reply('GAP a piece is missing') end
local before = #refused
redis.call('HSET', KEYS[1], 'history', ARGV[1], 'batch', ARGV[2], 'piece', ARGV[3],
  'refused', before > 0 and mark[4] or '{}')
local i = 4
while i <= #ARGV do
  local row, commands, fine = ARGV[i], tonumber(ARGV[i + 1]), true
  i = i + 2
  for _ = 1, commands do
    local words = tonumber(ARGV[i])
    if fine then
      local answer = redis.pcall(unpack(ARGV, i + 1, i + words))
      if type(answer) == 'table' and answer.err then
        refused[#refused + 1] = row
        refused[#refused + 1] = answer.err
        fine = false
      end
    end
    i = i + words + 1
  end
end
if #refused > before then redis.call('HSET', KEYS[1], 'refused', cjson.encode(refused)) end
return refused
";

/// A server, or the nodes of a cluster.
pub(super) struct Target {
    server: Server,
    cluster: bool,
    giver: Giver,
    /// By node; the one of the URL has no name.
    connections: BTreeMap<Option<Node>, Connection>,
    /// First and last slot, and whose they are.
    slots: Vec<(u16, u16, Node)>,
}

type Node = (String, u16);

impl Target {
    pub(super) fn new(server: Server, cluster: bool) -> Self {
        let (connections, slots) = (BTreeMap::new(), Vec::new());
        Target { server, cluster, giver: Giver::default(), connections, slots }
    }

    pub(super) fn marks_as(&mut self, giver: &Giver) {
        self.giver = giver.clone();
    }

    /// The newest batch that this history began to write.
    pub(super) fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        // In a cluster every slot has a mark of its own, and no batch needs to have rows in all of them.
        if self.cluster {
            self.with(None, "ask redis", |connection| redis::cmd("PING").query::<Value>(connection).map(drop))?;
            return Ok(None);
        }
        let key = self.mark(None);
        let found: (Option<String>, Option<u64>) = self.with(None, "read the mark in redis", |connection| {
            redis::cmd("HMGET").arg(&key).arg("history").arg("batch").query(connection)
        })?;
        Ok(found.1.filter(|_| found.0.as_ref() == Some(&self.giver.history)))
    }

    /// Writes what is not written yet; gives the rows that the server refused.
    pub(super) fn deliver(&mut self, batch: u64, staged: &Staged<'_>) -> Result<BTreeMap<usize, String>, TaskError> {
        let mut by_node: BTreeMap<Option<Node>, Vec<&Piece<'_>>> = BTreeMap::new();
        if self.cluster && self.slots.is_empty() {
            self.find_slots()?;
        }
        for piece in &staged.pieces {
            by_node.entry(self.node(piece.slot)).or_default().push(piece);
        }
        let mut refused = BTreeMap::new();
        for (node, pieces) in by_node {
            let marks: Vec<String> = pieces.iter().map(|p| self.mark(self.cluster.then_some(p.slot))).collect();
            let history = self.giver.history.clone();
            let scripts: Vec<Vec<u8>> =
                pieces.iter().zip(marks).map(|(piece, mark)| script(&mark, &history, batch, piece)).collect();
            let answers = self.with(node, "write to redis", |connection| sent(connection, &scripts));
            if answers.is_err() {
                // Slots may have moved to another node.
                self.slots.clear();
            }
            for (row, why) in answers? {
                refused.insert(row, why);
            }
        }
        Ok(refused)
    }

    /// The key of the mark, in the same slot as the rows.
    fn mark(&self, slot: Option<u16>) -> String {
        match slot {
            Some(slot) => format!("millstream:delivered:{{{}}}:{}", tag(slot), self.giver.name),
            None => format!("millstream:delivered:{{{}}}", self.giver.name),
        }
    }

    fn node(&self, slot: u16) -> Option<Node> {
        let of = self.slots.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        of.map(|(_, _, node)| node.clone())
    }

    fn find_slots(&mut self) -> Result<(), TaskError> {
        let found: Vec<Value> = self
            .with(None, "ask redis for its slots", |connection| redis::cmd("CLUSTER").arg("SLOTS").query(connection))?;
        let range = |value: &Value| -> Option<(u16, u16, Node)> {
            let Value::Array(parts) = value else { return None };
            let number = |value: &Value| redis::from_redis_value_ref::<u16>(value).ok();
            let (first, last) = (number(parts.first()?)?, number(parts.get(1)?)?);
            let Value::Array(node) = parts.get(2)? else { return None };
            let host = redis::from_redis_value_ref::<String>(node.first()?).ok()?;
            Some((first, last, (host, number(node.get(1)?)?)))
        };
        self.slots = found.iter().filter_map(range).collect();
        Ok(())
    }

    /// Uses the connection to a node, made anew where there is none; one that failed is not used again.
    fn with<T>(
        &mut self,
        node: Option<Node>,
        doing: &str,
        work: impl FnOnce(&mut Connection) -> Result<T, RedisError>,
    ) -> Result<T, TaskError> {
        let mut connection = match self.connections.remove(&node) {
            Some(connection) => connection,
            None => self.server.connect(node.as_ref().map(|(host, port)| (host.as_str(), *port)))?,
        };
        let done = work(&mut connection).map_err(|e| failed(doing, &e))?;
        self.connections.insert(node, connection);
        Ok(done)
    }
}

/// `EVAL` with everything it takes.
fn script(mark: &str, history: &str, batch: u64, piece: &Piece<'_>) -> Vec<u8> {
    let (batch, number) = (batch.to_string(), piece.number.to_string());
    let words = ["EVAL", SCRIPT, "1", mark, history, &batch, &number];
    let mut out = format!("*{}\r\n", words.len() as u64 + piece.args).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
    }
    out.extend(piece.bytes);
    out
}

/// Sends scripts one behind the other and reads what they refused.
fn sent(connection: &mut Connection, scripts: &[Vec<u8>]) -> Result<Vec<(usize, String)>, RedisError> {
    let (mut refused, mut next) = (Vec::new(), 0);
    while next < scripts.len() {
        let (first, mut bytes) = (next, 0);
        while next < scripts.len() && (next == first || bytes + scripts[next].len() <= AHEAD) {
            connection.send_packed_command(&scripts[next])?;
            bytes += scripts[next].len();
            next += 1;
        }
        for _ in first..next {
            let answer = connection.recv_response()?.extract_error()?;
            let words: Vec<String> = redis::from_redis_value(answer)?;
            let pairs = words.chunks_exact(2).filter_map(|pair| Some((pair[0].parse().ok()?, pair[1].clone())));
            refused.extend(pairs);
        }
    }
    Ok(refused)
}
