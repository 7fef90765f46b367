//! The `redis` sink against a real Redis.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use redis::{Commands, Connection};

use crate::services::proxy::Proxy;
use crate::services::{
    Draw, Server, killed_until_it_ends, number, own, own_with, pipeline, report, shared, timed, to_its_end, until,
    waited_for,
};

fn client(server: &Server) -> Connection {
    redis::Client::open(server.url.as_str()).unwrap().get_connection().unwrap()
}

/// Rows of a file, by `id` from 1.
const ROWS: &str = "id,key,amount,note,tags\n1,a,10,first,x\n2,b,5,,y\n3,a,-3,third,z\n";

fn written(name: &str, sinks: &str) -> tempfile::TempDir {
    let sinks = sinks.replace("redis(\"", &format!("redis(\"{name}:"));
    let folder = pipeline(&format!(
        "pipeline {name} {{ every: 10ms, checkpoint: \"state\" }}\n\
         source rows = files(\"in/*.csv\") {{ format: csv, settle: 0ms, \
         schema: {{ id: int64, key: string, amount: int64, note: string?, tags: string }} }} bad fail\n{sinks}"
    ));
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/1.csv"), ROWS).unwrap();
    folder
}

#[test]
fn every_way_of_writing_writes_what_it_says() {
    let Some(server) = shared("redis") else { return };
    let folder = written(
        "ways",
        r#"
from rows |> into redis("set:${id}") { url: env("URL"), value: amount * 2, expire: 1h }
from rows |> into redis("row:${id}") { url: env("URL") }
from rows |> into redis("hash:${key}") { url: env("URL"), write: hset, expire: 1h }
from rows |> into redis("sum:${key}") { url: env("URL"), write: incrby, value: amount }
from rows |> into redis("mean") { url: env("URL"), write: incrby, value: amount::float64 / 4 }
from rows |> into redis("board") { url: env("URL"), write: zadd, score: amount::float64, value: note ?? "none" }
from rows |> into redis("names") { url: env("URL"), write: sadd, value: key }
from rows |> into redis("last") { url: env("URL"), write: lpush, value: id, trim: 2 }
from rows |> into redis("log") { url: env("URL"), write: xadd, trim: 2 }
"#,
    );
    to_its_end(folder.path(), &[("URL", &server.url)]);
    let mut redis = client(server);
    let text = |redis: &mut Connection, key: &str| redis.get::<_, Option<String>>(format!("ways:{key}")).unwrap();
    assert_eq!(text(&mut redis, "set:3").unwrap(), "-6");
    assert!((3_500_000..=3_600_000).contains(&redis.pttl::<_, i64>("ways:set:1").unwrap()));
    let row = r#"{"id":2,"key":"b","amount":5,"note":null,"tags":"y"}"#;
    assert_eq!(text(&mut redis, "row:2").unwrap(), row);
    let hash: BTreeMap<String, String> = redis.hgetall("ways:hash:b").unwrap();
    let fields = [("amount", "5"), ("id", "2"), ("key", "b"), ("tags", "y")];
    assert_eq!(hash, fields.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    assert!(redis.pttl::<_, i64>("ways:hash:a").unwrap() > 0);
    assert_eq!(text(&mut redis, "sum:a").unwrap(), "7");
    assert_eq!(text(&mut redis, "mean").unwrap(), "3");
    let board: Vec<(String, f64)> = redis.zrange_withscores("ways:board", 0, -1).unwrap();
    assert_eq!(board, [("third".to_owned(), -3.0), ("none".to_owned(), 5.0), ("first".to_owned(), 10.0)]);
    let mut names: Vec<String> = redis.smembers("ways:names").unwrap();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(redis.lrange::<_, Vec<i64>>("ways:last", 0, -1).unwrap(), [3, 2]);
    let log: Vec<redis::Value> = redis::cmd("XRANGE").arg("ways:log").arg("-").arg("+").query(&mut redis).unwrap();
    assert_eq!(log.len(), 2);
}

#[test]
fn a_row_that_redis_refuses_is_rejected_and_the_others_are_written() {
    let Some(server) = shared("redis") else { return };
    let mut redis = client(server);
    redis.set::<_, _, ()>("refusal:sum:b", "no number").unwrap();
    let folder = written(
        "refusal",
        "from rows |> into redis(\"sum:${key}\") { url: env(\"URL\"), write: incrby, value: amount } rejected to no\n\
         from no |> into files(\"no\") { format: json }\n",
    );
    to_its_end(folder.path(), &[("URL", &server.url)]);
    assert_eq!(redis.get::<_, i64>("refusal:sum:a").unwrap(), 7);
    assert_eq!(redis.get::<_, String>("refusal:sum:b").unwrap(), "no number");
    let said = texts_below(&folder.path().join("no"));
    assert!(said.contains("\"id\":2") && said.contains("not an integer"), "{said}");
    assert!(!said.contains("\"id\":1"), "{said}");
}

#[test]
fn what_updates_by_key_leaves_when_its_row_leaves() {
    let Some(server) = shared("redis") else { return };
    let folder = written(
        "leaving",
        "stream busy = from rows |> aggregate sum(amount) as sum by key running ttl 1d emit changes\n\
         from busy |> into redis(\"sum:${key}\") { url: env(\"URL\"), write: hset }\n",
    );
    to_its_end(folder.path(), &[("URL", &server.url)]);
    let mut redis = client(server);
    let hash: BTreeMap<String, String> = redis.hgetall("leaving:sum:a").unwrap();
    assert_eq!(hash, [("key", "a"), ("sum", "7")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    fs::write(folder.path().join("in/2.csv"), "id,key,amount,note,tags\n4,a,1,,\n").unwrap();
    to_its_end(folder.path(), &[("URL", &server.url)]);
    assert_eq!(redis.hget::<_, _, i64>("leaving:sum:a", "sum").unwrap(), 8);
}

/// What the files of a folder hold.
fn texts_below(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().flatten().filter(|file| file.path().is_file());
    files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
}

const FILES: u64 = 20;
const EACH: u64 = 30;

/// Counters, and a list in the order of the rows, for `FILES` batches.
fn counting(name: &str, seed: u64) -> (tempfile::TempDir, BTreeMap<String, i64>) {
    let folder = written(
        name,
        "from rows |> into redis(\"sum:${key}\") { url: env(\"URL\"), write: incrby, value: amount, backoff: 1ms, retries: 100, max_backoff: 200ms }\n\
         from rows |> into redis(\"all\") { url: env(\"URL\"), write: lpush, value: id, backoff: 1ms, retries: 100, max_backoff: 200ms }\n",
    );
    let text = fs::read_to_string(folder.path().join("p.stream")).unwrap();
    let text = text.replace("settle: 0ms", "settle: 0ms, max_files: 1");
    fs::write(folder.path().join("p.stream"), text).unwrap();
    let (mut draw, mut sums) = (Draw(seed), BTreeMap::new());
    for file in 0..FILES {
        let mut text = String::from("id,key,amount,note,tags\n");
        for row in 0..EACH {
            let (key, amount) = (format!("k{}", draw.next(7)), draw.next(100).cast_signed() - 20);
            *sums.entry(key.clone()).or_insert(0) += amount;
            text.push_str(&format!("{},{key},{amount},,\n", file * EACH + row));
        }
        fs::write(folder.path().join(format!("in/{file:03}.csv")), text).unwrap();
    }
    fs::remove_file(folder.path().join("in/1.csv")).unwrap();
    (folder, sums)
}

/// Each row counted once, in order.
fn counted(redis: &mut Connection, name: &str, sums: &BTreeMap<String, i64>, what: &str) {
    let found: BTreeMap<String, i64> =
        sums.keys().map(|key| (key.clone(), redis.get(format!("{name}:sum:{key}")).unwrap_or(0))).collect();
    assert_eq!(&found, sums, "{what}");
    let mut all: Vec<u64> = redis.lrange(format!("{name}:all"), 0, -1).unwrap();
    all.reverse();
    assert!(all == (0..FILES * EACH).collect::<Vec<_>>(), "{what}: {all:?}");
}

#[test]
fn killed_at_random_it_counts_every_row_once() {
    let Some(server) = own("redis", "kills") else { return };
    let (kills, first) = (number("REDIS_KILLS", 20), number("KILL_SEED", 1));
    let (mut seed, mut killed) = (first, 0);
    while killed < kills {
        let (plain, sums) = counting(&format!("plain{seed}"), seed);
        let (_, took) = timed(|| to_its_end(plain.path(), &[("URL", &server.url)]));
        counted(&mut client(&server), &format!("plain{seed}"), &sums, "undisturbed");
        let name = format!("killed{seed}");
        let (folder, sums) = counting(&name, seed);
        let mut draw = Draw(seed);
        killed += killed_until_it_ends(folder.path(), &[("URL", &server.url)], (took, &mut draw), |_| {});
        to_its_end(folder.path(), &[("URL", &server.url)]);
        counted(&mut client(&server), &name, &sums, &format!("KILL_SEED={seed}"));
        seed += 1;
    }
    server.stop("KILL");
    report(&format!("redis: {killed} kills, seeds {first} to {}", seed - 1));
}

#[test]
fn a_connection_that_is_cut_between_the_script_and_its_answer_repeats_nothing() {
    let Some(server) = shared("redis") else { return };
    let (folder, sums) = counting("cut", 3);
    let proxy = Proxy::cutting(server.port, b"EVAL", 8);
    let url = format!("redis://127.0.0.1:{}/", proxy.port);
    to_its_end(folder.path(), &[("URL", &url)]);
    counted(&mut client(server), "cut", &sums, "cut");
    assert!(proxy.cuts() >= 8 && proxy.is_done(), "{} cuts", proxy.cuts());
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let Some(server) = own("redis", "away") else { return };
    let (folder, sums) = counting("away", 5);
    let child = crate::services::running(folder.path(), &[("URL", &server.url)]).spawn().unwrap();
    let mut redis = client(&server);
    until(|| redis.llen::<_, u64>("away:all").unwrap() > 0);
    server.stop("TERM");
    std::thread::sleep(Duration::from_millis(500));
    server.go_on();
    waited_for(child);
    counted(&mut client(&server), "away", &sums, "away");
    server.stop("KILL");
}

#[test]
fn in_a_cluster_every_row_is_written_once_in_the_slot_of_its_key() {
    let Some(server) = own_cluster() else { return };
    let (folder, sums) = counting("cluster", 9);
    let text = fs::read_to_string(folder.path().join("p.stream")).unwrap();
    fs::write(
        folder.path().join("p.stream"),
        text.replace(
            "backoff: 1ms, retries: 100, max_backoff: 200ms",
            "backoff: 1ms, retries: 100, max_backoff: 200ms, cluster: true",
        ),
    )
    .unwrap();
    to_its_end(folder.path(), &[("URL", &server.url)]);
    counted(&mut client(&server), "cluster", &sums, "in a cluster");
    server.stop("KILL");
}

/// One node that has all slots.
fn own_cluster() -> Option<Server> {
    let server =
        own_with("redis", "slots", &[("REDIS_OPTIONS", "--cluster-enabled yes --cluster-announce-ip 127.0.0.1")])?;
    let mut redis = client(&server);
    redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16_383).exec(&mut redis).unwrap();
    for _ in 0..200 {
        let info: String = redis::cmd("CLUSTER").arg("INFO").query(&mut redis).unwrap();
        if info.contains("cluster_state:ok") {
            return Some(server);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the cluster does not come up");
}

/// Adds entries to a stream.
fn entries(redis: &mut Connection, key: &str, rows: &[(i64, &str)]) {
    for (id, amount) in rows {
        redis::cmd("XADD").arg(key).arg("*").arg("id").arg(id).arg("amount").arg(amount).exec(redis).unwrap();
    }
}

#[test]
fn a_stream_is_read_by_its_numbers_and_gone_on_with_behind_the_last() {
    let Some(server) = shared("redis") else { return };
    let folder = pipeline(
        "pipeline streams { every: 10ms, checkpoint: \"state\" }\n\
         source rows = redis([\"streams:1\", \"streams:2\"]) { url: env(\"URL\"), max_rows: 3, \
         schema: { id: int64, amount: decimal(8, 2), note: string?, at: timestamp? } } bad to wrong\n\
         from rows |> into files(\"out\") { format: csv }\n\
         from wrong |> select text, _place, _reason |> into files(\"bad\") { format: csv }\n",
    );
    let mut redis = client(server);
    entries(&mut redis, "streams:1", &[(1, "1.50"), (2, "2"), (3, "three"), (4, "4")]);
    entries(&mut redis, "streams:2", &[(5, "5")]);
    let url = [("URL", server.url.as_str())];
    to_its_end(folder.path(), &url);
    entries(&mut redis, "streams:1", &[(6, "6")]);
    to_its_end(folder.path(), &url);
    let said = texts_below(&folder.path().join("out"));
    let mut lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("id,")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["1,1.50,,", "2,2.00,,", "4,4.00,,", "5,5.00,,", "6,6.00,,"]);
    let bad = texts_below(&folder.path().join("bad"));
    assert!(bad.contains("id=3 amount=three,streams:1 "), "{bad}");
    assert!(bad.contains("`three` is no decimal(8, 2)"), "{bad}");
}

#[test]
fn hashes_are_a_table() {
    let Some(server) = shared("redis") else { return };
    let folder = pipeline(
        "pipeline hashes { every: 10ms }\n\
         table users = redis(\"hashes:*\") { url: env(\"URL\"), read: keys, refresh: 1min, schema: { key: string, tags: list(string), age: int64? } }\n\
         source rows = files(\"in.csv\") { format: csv, schema: { id: int64, key: string } } bad fail\n\
         from rows |> left join users using key |> into files(\"out\") { format: json }\n",
    );
    fs::write(folder.path().join("in.csv"), "id,key\n1,a\n2,b\n3,c\n").unwrap();
    let mut redis = client(server);
    let a = [("key", "a"), ("tags", "[\"x\",\"y\"]"), ("age", "7"), ("more", "nobody asks")];
    redis.hset_multiple::<_, _, _, ()>("hashes:a", &a).unwrap();
    redis.hset_multiple::<_, _, _, ()>("hashes:b", &[("key", "b"), ("tags", "[]")]).unwrap();
    to_its_end(folder.path(), &[("URL", &server.url)]);
    let said = texts_below(&folder.path().join("out"));
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    let expected = [
        r#"{"id":1,"key":"a","tags":["x","y"],"age":7}"#,
        r#"{"id":2,"key":"b","tags":[],"age":null}"#,
        r#"{"id":3,"key":"c","tags":null,"age":null}"#,
    ];
    assert_eq!(lines, expected);
}
