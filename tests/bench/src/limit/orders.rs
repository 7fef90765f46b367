//! Windows, filters and joins over orders by hand.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use hashbrown::{HashMap, HashSet};
use memchr::memchr;

use super::fields::{cents, fields, whole};
use super::{Work, in_parts, put_cents, put_number, workers};
use crate::generate::tables_beside;
use crate::moments::{read_moment, write_moment};

/// How far the watermark is behind the newest order, in microseconds.
const BEHIND: i64 = 10_000_000;

/// Which windows, and by what.
pub(super) struct Shape {
    key: &'static [u8],
    length: i64,
    step: i64,
}

pub(super) const BY_CATEGORY: Shape = Shape { key: b"category", length: 60_000_000, step: 10_000_000 };
pub(super) const LONG: Shape = Shape { key: b"region", length: 600_000_000, step: 1_000_000 };
pub(super) const SHORT: Shape = Shape { key: b"region", length: 1_000_000, step: 1_000_000 };

/// Sums and counts of a pane, by the number of the key.
type Pane = Vec<(u64, u64)>;

/// Sums over sliding windows, each sent out when the watermark has passed it.
pub(super) struct Windows {
    shape: &'static Shape,
    workers: Vec<(Vec<u8>, Numbers)>,
    names: Numbers,
    panes: BTreeMap<i64, Pane>,
    /// The end of the next window.
    next: Option<i64>,
    newest: i64,
}

/// Keys and their numbers.
#[derive(Default)]
struct Numbers {
    of: HashMap<Box<[u8]>, usize>,
    names: Vec<Box<[u8]>>,
}

impl Numbers {
    fn number(&mut self, name: &[u8]) -> usize {
        if let Some(number) = self.of.get(name) {
            return *number;
        }
        self.of.insert(Box::from(name), self.names.len());
        self.names.push(Box::from(name));
        self.names.len() - 1
    }
}

impl Windows {
    pub(super) fn new(threads: usize, shape: &'static Shape) -> Self {
        Windows {
            shape,
            workers: workers(threads, Numbers::default),
            names: Numbers::default(),
            panes: BTreeMap::new(),
            next: None,
            newest: i64::MIN,
        }
    }

    fn add(&mut self, key: usize, pane: i64, (sum, n): (u64, u64)) {
        let sums = self.panes.entry(pane).or_default();
        if sums.len() <= key {
            sums.resize(key + 1, (0, 0));
        }
        sums[key].0 += sum;
        sums[key].1 += n;
    }

    /// Windows that end up to that time.
    fn upto(&mut self, time: i64) -> Vec<u8> {
        let Shape { length, step, .. } = *self.shape;
        let mut out = Vec::new();
        let Some(first) = self.panes.keys().next() else { return out };
        let mut end = self.next.unwrap_or(first + step);
        // A window that slides is the one before without its first pane and with a new last one.
        let mut sums: Pane = vec![(0, 0); self.names.names.len()];
        let mut whole = false;
        while end <= time {
            let start = end - length;
            if whole {
                self.panes.get(&(end - step)).into_iter().for_each(|pane| change(&mut sums, pane, u64::wrapping_add));
            } else {
                self.panes.range(start..end).for_each(|(_, pane)| change(&mut sums, pane, u64::wrapping_add));
                whole = true;
            }
            put_window(&mut out, self.shape, start, &sums, &self.names);
            if let Some(gone) = self.panes.remove(&start) {
                change(&mut sums, &gone, u64::wrapping_sub);
            }
            end += step;
        }
        self.next = Some(end);
        out
    }
}

fn change(sums: &mut Pane, by: &Pane, how: fn(u64, u64) -> u64) {
    for (sum, more) in sums.iter_mut().zip(by) {
        *sum = (how(sum.0, more.0), how(sum.1, more.1));
    }
}

fn put_window(out: &mut Vec<u8>, shape: &Shape, start: i64, sums: &Pane, names: &Numbers) {
    let mut moment = String::with_capacity(24);
    write_moment(&mut moment, start);
    for ((sum, n), name) in sums.iter().zip(&names.names).filter(|((_, n), _)| *n > 0) {
        out.extend_from_slice(b"{\"window_start\":\"");
        out.extend_from_slice(moment.as_bytes());
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(shape.key);
        out.extend_from_slice(b"\":\"");
        out.extend_from_slice(name);
        out.extend_from_slice(b"\",\"revenue\":");
        put_cents(out, *sum);
        out.extend_from_slice(b",\"n\":");
        put_number(out, *n);
        out.extend_from_slice(b"}\n");
    }
}

impl Work for Windows {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let Shape { key, step, .. } = *self.shape;
        let parts = in_parts(file, &mut self.workers, |lines, numbers| {
            let mut panes: HashMap<i64, Pane> = HashMap::new();
            let mut newest = i64::MIN;
            each_line(lines, |line| {
                let [key, amount, ts] = fields(line, &[key, b"amount", b"ts"]);
                let ts = read_moment(ts).unwrap_or_default();
                newest = newest.max(ts);
                let key = numbers.number(key);
                let sums = panes.entry(ts - ts.rem_euclid(step)).or_default();
                if sums.len() <= key {
                    sums.resize(key + 1, (0, 0));
                }
                sums[key].0 += cents(amount);
                sums[key].1 += 1;
            });
            (panes, newest)
        })?;
        for (i, (panes, newest)) in parts.into_iter().enumerate() {
            let names: Vec<Box<[u8]>> = self.workers[i].1.names.clone();
            let keys: Vec<usize> = names.iter().map(|name| self.names.number(name)).collect();
            for (pane, sums) in panes {
                sums.into_iter().zip(&keys).for_each(|(sums, key)| self.add(*key, pane, sums));
            }
            self.newest = self.newest.max(newest);
        }
        Ok(self.upto(self.newest - BEHIND))
    }

    fn close(&mut self) -> Vec<u8> {
        let last = self.panes.keys().next_back().map(|pane| pane + self.shape.length);
        last.map(|end| self.upto(end)).unwrap_or_default()
    }
}

/// Some orders, with three columns more.
pub(super) struct Filter {
    workers: Vec<(Vec<u8>, ())>,
}

impl Filter {
    pub(super) fn new(threads: usize) -> Self {
        Filter { workers: workers(threads, || ()) }
    }
}

impl Work for Filter {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let parts = in_parts(file, &mut self.workers, |lines, ()| {
            let mut out = Vec::with_capacity(lines.len() / 4);
            each_line(lines, |line| {
                let [id, user, category, region, amount, quantity] =
                    fields(line, &[b"order_id", b"user", b"category", b"region", b"amount", b"quantity"]);
                let price = cents(amount);
                if price <= 10_000 || !matches!(region, b"r3" | b"r7") {
                    return;
                }
                let texts: [(&[u8], &[u8]); 5] = [
                    (b"{\"order_id\":", id),
                    (b",\"user\":\"", user),
                    (b"\",\"category\":\"", category),
                    (b"\",\"region\":\"", region),
                    (b"\",\"amount\":", amount),
                ];
                for (before, text) in texts {
                    out.extend_from_slice(before);
                    out.extend_from_slice(text);
                }
                out.extend_from_slice(b",\"total\":");
                put_cents(&mut out, price * whole(quantity));
                out.extend_from_slice(b",\"place\":\"");
                out.extend(region.iter().map(u8::to_ascii_uppercase));
                out.push(b'/');
                out.extend_from_slice(category);
                out.extend_from_slice(if price >= 40_000 { b"\",\"big\":true}\n" } else { b"\",\"big\":false}\n" });
            });
            out
        })?;
        Ok(parts.concat())
    }
}

/// How many keys a file has, and how many orders the most frequent one.
pub(super) struct Keys {
    workers: Vec<(Vec<u8>, HashMap<u64, u64>)>,
    keys: u64,
}

impl Keys {
    pub(super) fn new(threads: usize, keys: u64) -> Self {
        Keys { workers: workers(threads, HashMap::new), keys }
    }
}

impl Work for Keys {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let keys = self.keys;
        in_parts(file, &mut self.workers, |lines, counts| {
            counts.clear();
            each_line(lines, |line| {
                let [id] = fields(line, &[b"order_id"]);
                *counts.entry(whole(id) % keys).or_insert(0) += 1;
            });
        })?;
        let (first, others) = self.workers.split_first_mut().ok_or_else(|| io::Error::other("nobody works"))?;
        for (key, n) in others.iter().flat_map(|(_, counts)| counts) {
            *first.1.entry(*key).or_insert(0) += n;
        }
        let most = first.1.values().max().copied().unwrap_or_default();
        Ok(format!("{{\"keys\":{},\"most\":{most}}}\n", first.1.len()).into_bytes())
    }
}

/// Revenue by what a table says of the user.
pub(super) struct Join {
    workers: Vec<(Vec<u8>, ())>,
    /// By user, the number of the country and tier.
    users: HashMap<Box<[u8]>, usize>,
    groups: Vec<(String, String)>,
}

impl Join {
    pub(super) fn new(threads: usize, input: &Path) -> io::Result<Self> {
        let tables = tables_beside(input);
        let text = fs::read_to_string(tables.join("blacklist.csv"))?;
        let listed: HashSet<&str> = text.lines().skip(1).collect();
        let (mut users, mut groups) = (HashMap::new(), Vec::new());
        for line in fs::read_to_string(tables.join("users.csv"))?.lines().skip(1) {
            let mut cells = line.split(',').map(str::to_owned);
            let (Some(user), Some(country), Some(tier)) = (cells.next(), cells.next(), cells.next()) else { continue };
            if listed.contains(user.as_str()) {
                continue;
            }
            let of = (country, tier);
            let group = groups.iter().position(|known| *known == of).unwrap_or_else(|| {
                groups.push(of);
                groups.len() - 1
            });
            users.insert(user.into_bytes().into(), group);
        }
        Ok(Join { workers: workers(threads, || ()), users, groups })
    }
}

impl Work for Join {
    fn batch(&mut self, file: &Path) -> io::Result<Vec<u8>> {
        let (users, count) = (&self.users, self.groups.len());
        let parts = in_parts(file, &mut self.workers, |lines, ()| {
            let mut sums: Pane = vec![(0, 0); count];
            each_line(lines, |line| {
                let [user, amount] = fields(line, &[b"user", b"amount"]);
                if let Some(group) = users.get(user) {
                    sums[*group].0 += cents(amount);
                    sums[*group].1 += 1;
                }
            });
            sums
        })?;
        let mut all: Pane = vec![(0, 0); count];
        parts.iter().for_each(|part| change(&mut all, part, u64::wrapping_add));
        let mut out = Vec::new();
        for ((sum, n), (country, tier)) in all.into_iter().zip(&self.groups).filter(|((_, n), _)| *n > 0) {
            out.extend_from_slice(format!("{{\"country\":\"{country}\",\"tier\":\"{tier}\",\"revenue\":").as_bytes());
            put_cents(&mut out, sum);
            out.extend_from_slice(b",\"n\":");
            put_number(&mut out, n);
            out.extend_from_slice(b"}\n");
        }
        Ok(out)
    }
}

fn each_line<'a>(lines: &'a [u8], mut work: impl FnMut(&'a [u8])) {
    let mut rest = lines;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        if end > 0 {
            work(&rest[..end]);
        }
        rest = &rest[(end + 1).min(rest.len())..];
    }
}
