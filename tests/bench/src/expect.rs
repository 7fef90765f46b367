//! What must come out, found in the plainest way: one row after the other, no threads, no tricks of the programs that are
//! measured. It is kept beside the input.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value;

use crate::digest::Digest;
use crate::generate::tables_beside;
use crate::limit::files_of;
use crate::moments::read_moment;
use crate::workload::Workload;

/// How far the watermark is behind the newest order.
const BEHIND: i64 = 10_000_000;

/// The digest of a workload's result over an input. `closed`: also what comes only when the input is over.
pub fn digest(workload: &Workload, input: &Path, closed: bool) -> io::Result<Digest> {
    let end = if closed && workload.closes { "-closed" } else { "" };
    let kept = input.join(format!(".expected-{}{end}", workload.name));
    if let Some(digest) = fs::read_to_string(&kept).ok().as_deref().and_then(read) {
        return Ok(digest);
    }
    let digest = match workload.name {
        "wordcount" => words(input, false)?,
        "running-wordcount" | "tiny-batches" => words(input, true)?,
        "orders-window" => windows(input, "category", 60_000_000, 10_000_000, closed)?,
        "pane-cost" => windows(input, "region", 600_000_000, 1_000_000, closed)?,
        "pane-cost-tumbling" => windows(input, "region", 1_000_000, 1_000_000, closed)?,
        "orders-filter" => filtered(input)?,
        "orders-join" => joined(input)?,
        "few-keys" => keys(input, 100)?,
        "many-keys" => keys(input, 100_000)?,
        other => return Err(io::Error::other(format!("nobody knows what `{other}` must give"))),
    };
    fs::write(kept, format!("{} {}", digest.rows, digest.sum))?;
    Ok(digest)
}

fn read(text: &str) -> Option<Digest> {
    let (rows, sum) = text.split_once(' ')?;
    Some(Digest { rows: rows.parse().ok()?, sum: sum.parse().ok()? })
}

/// Counts of each file, or totals of the words that a file has.
fn words(input: &Path, running: bool) -> io::Result<Digest> {
    let mut digest = Digest::default();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for file in files_of(input)? {
        let text = fs::read_to_string(file)?;
        if !running {
            counts.clear();
        }
        let mut here = BTreeSet::new();
        for word in text.split_whitespace() {
            *counts.entry(word.to_owned()).or_default() += 1;
            here.insert(word);
        }
        here.into_iter().for_each(|word| digest.add(&[word.to_owned(), counts[word].to_string()]));
    }
    Ok(digest)
}

/// Every order is put into each of its windows.
fn windows(input: &Path, key: &str, length: i64, step: i64, closed: bool) -> io::Result<Digest> {
    // Panes first: an order is in as many as six hundred windows.
    let mut panes: BTreeMap<i64, BTreeMap<String, (u64, u64)>> = BTreeMap::new();
    let mut newest = i64::MIN;
    each_order(input, |order| {
        let ts = order["ts"].as_str().and_then(|ts| read_moment(ts.as_bytes())).unwrap_or_default();
        newest = newest.max(ts);
        let sums = panes.entry(ts - ts.rem_euclid(step)).or_default();
        let (sum, n) = sums.entry(text(&order[key])).or_default();
        *sum += cents(&order["amount"]);
        *n += 1;
    })?;
    let (Some(first), Some(last)) = (panes.keys().next(), panes.keys().next_back()) else {
        return Ok(Digest::default());
    };
    let mut digest = Digest::default();
    let upto = if closed { i64::MAX } else { newest - BEHIND };
    let mut start = first - length + step;
    while start <= *last && start + length <= upto {
        let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (key, (sum, n)) in panes.range(start..start + length).flat_map(|(_, keys)| keys) {
            let of = sums.entry(key).or_default();
            *of = (of.0 + sum, of.1 + n);
        }
        for (key, (sum, n)) in sums {
            digest.add(&[start.to_string(), key.to_owned(), shown(sum), n.to_string()]);
        }
        start += step;
    }
    Ok(digest)
}

fn filtered(input: &Path) -> io::Result<Digest> {
    let mut digest = Digest::default();
    each_order(input, |order| {
        let (amount, region, category) = (cents(&order["amount"]), text(&order["region"]), text(&order["category"]));
        if amount > 10_000 && (region == "r3" || region == "r7") {
            let total = amount * order["quantity"].as_u64().unwrap_or_default();
            let place = format!("{}/{category}", region.to_uppercase());
            let (id, user) = (text(&order["order_id"]), text(&order["user"]));
            let big = (amount >= 40_000).to_string();
            digest.add(&[id, user, category, region, shown(amount), shown(total), place, big]);
        }
    })?;
    Ok(digest)
}

fn joined(input: &Path) -> io::Result<Digest> {
    let tables = tables_beside(input);
    let blacklist = fs::read_to_string(tables.join("blacklist.csv"))?;
    let listed: BTreeSet<&str> = blacklist.lines().collect();
    let users = fs::read_to_string(tables.join("users.csv"))?;
    let cells = users.lines().filter_map(|line| line.split_once(','));
    let users: HashMap<&str, &str> = cells.filter(|(user, _)| !listed.contains(user)).collect();
    let mut digest = Digest::default();
    for file in files_of(input)? {
        let mut sums: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        each_order_of(&file, |order| {
            if let Some(of) = order["user"].as_str().and_then(|user| users.get(user)) {
                let (sum, n) = sums.entry(of).or_default();
                *sum += cents(&order["amount"]);
                *n += 1;
            }
        })?;
        for (of, (sum, n)) in sums {
            let (country, tier) = of.split_once(',').unwrap_or_default();
            digest.add(&[country.to_owned(), tier.to_owned(), shown(sum), n.to_string()]);
        }
    }
    Ok(digest)
}

/// How many keys each file has, and how many orders the most frequent one.
fn keys(input: &Path, keys: u64) -> io::Result<Digest> {
    let mut digest = Digest::default();
    for file in files_of(input)? {
        let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
        each_order_of(&file, |order| {
            *counts.entry(order["order_id"].as_u64().unwrap_or_default() % keys).or_default() += 1
        })?;
        let most = counts.values().max().copied().unwrap_or_default();
        digest.add(&[counts.len().to_string(), most.to_string()]);
    }
    Ok(digest)
}

fn each_order(input: &Path, mut work: impl FnMut(&Value)) -> io::Result<()> {
    files_of(input)?.iter().try_for_each(|file| each_order_of(file, &mut work))
}

fn each_order_of(file: &Path, mut work: impl FnMut(&Value)) -> io::Result<()> {
    for line in fs::read_to_string(file)?.lines() {
        work(&serde_json::from_str(line).map_err(io::Error::other)?);
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A decimal as whole hundredths: what JSON makes of it is next to them.
fn cents(value: &Value) -> u64 {
    (value.as_f64().unwrap_or_default() * 100.0).round() as u64
}

fn shown(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
