//! The `kafka` source and sink against a real broker. The client is a feature: `cargo test --features kafka`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::services::{Draw, Server, killed_until_it_ends, number, pipeline, report, shared, timed, to_its_end};

const WAIT: Duration = Duration::from_secs(20);

fn config(server: &Server) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &server.url);
    config
}

fn make(server: &Server, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = config(server).create().unwrap();
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(WAIT));
    runtime.block_on(admin.create_topics([&topic], &options)).unwrap().remove(0).unwrap();
}

/// A transactional producer.
fn producer(server: &Server, id: &str) -> BaseProducer {
    let producer: BaseProducer = config(server).set("transactional.id", id).create().unwrap();
    producer.init_transactions(WAIT).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, key: &str, value: Option<&str>) {
    let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("v") });
    let record = BaseRecord::<str, str>::to(topic).partition(partition).key(key).headers(headers);
    let record = match value {
        Some(value) => record.payload(value),
        None => record,
    };
    producer.send(record).map_err(|(why, _)| why).unwrap();
}

/// A message: partition, key, value and header `h`.
type Seen = (i32, Option<String>, Option<String>, Option<String>);

/// Everything that is committed in a topic, partition by partition.
fn committed(server: &Server, topic: &str, partitions: i32) -> Vec<Seen> {
    let consumer: BaseConsumer = config(server)
        .set("group.id", "looks")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut seen = Vec::new();
    for partition in 0..partitions {
        // A commit is decided before its mark is in the partition.
        let started = Instant::now();
        let uncommitted: BaseConsumer =
            config(server).set("group.id", "ends").set("isolation.level", "read_uncommitted").create().unwrap();
        while consumer.fetch_watermarks(topic, partition, WAIT).unwrap()
            != uncommitted.fetch_watermarks(topic, partition, WAIT).unwrap()
        {
            assert!(started.elapsed() < WAIT, "a transaction is open in {topic}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        loop {
            match consumer.poll(WAIT).expect("the end of the partition") {
                Ok(message) => {
                    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                    let header =
                        message.headers().and_then(|headers| headers.iter().next().and_then(|h| text(h.value)));
                    seen.push((partition, text(message.key()), text(message.payload()), header));
                }
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => break,
                Err(why) => panic!("{why}"),
            }
        }
    }
    seen
}

/// What the files of a folder hold.
fn texts_below(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().flatten().filter(|file| file.path().is_file());
    files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
}

#[test]
fn committed_messages_are_read_once_with_where_they_come_from() {
    let Some(server) = shared("kafka") else { return };
    make(server, "direct", 2);
    let from = producer(server, "direct");
    from.begin_transaction().unwrap();
    for id in 0..20 {
        send(&from, "direct", id % 2, &format!("k{id}"), Some(&format!("{{\"id\":{id}}}")));
    }
    send(&from, "direct", 0, "bad", Some("{\"id\":\"no\"}"));
    send(&from, "direct", 0, "gone", None);
    from.commit_transaction(WAIT).unwrap();
    from.begin_transaction().unwrap();
    send(&from, "direct", 1, "aborted", Some("{\"id\":1000}"));
    from.flush(WAIT).unwrap();
    from.abort_transaction(WAIT).unwrap();
    let folder = pipeline(
        "pipeline direct { every: 10ms, checkpoint: \"state\" }\n\
         source rows = kafka(\"direct\") { brokers: env_free, format: json, max_rows: 7, metadata: [key, headers, topic, partition, offset, timestamp], \
         schema: { id: int64 } } bad to wrong\n\
         from rows |> select id, _topic, _partition, _offset, _timestamp |> into files(\"out\") { format: json }\n\
         from wrong |> select text, _place, _line |> into files(\"bad\") { format: csv }\n"
            .replace("env_free", &format!("\"{}\"", server.url))
            .as_str(),
    );
    to_its_end(folder.path(), &[]);
    from.begin_transaction().unwrap();
    send(&from, "direct", 1, "later", Some("{\"id\":20}"));
    from.commit_transaction(WAIT).unwrap();
    // The commit's mark may be a moment behind.
    committed(server, "direct", 2);
    to_its_end(folder.path(), &[]);
    let said = texts_below(&folder.path().join("out"));
    let rows: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids: Vec<i64> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..=20).collect::<Vec<_>>());
    for row in rows.iter().filter(|row| row["id"].as_i64().unwrap() < 20) {
        let id = row["id"].as_i64().unwrap();
        assert_eq!((row["_partition"].as_i64(), row["_offset"].as_i64()), (Some(id % 2), Some(id / 2)), "{row}");
        assert_eq!(row["_topic"], "direct");
    }
    let bad = texts_below(&folder.path().join("bad"));
    assert!(bad.contains("direct/0,10"), "{bad}");
}

#[test]
fn a_sink_writes_keys_headers_and_what_is_forgotten() {
    let Some(server) = shared("kafka") else { return };
    make(server, "written", 3);
    make(server, "sums", 2);
    let folder = pipeline(&format!(
        "pipeline written {{ every: 10ms, checkpoint: \"state\" }}\n\
         source rows = files(\"in/*.json\") {{ format: json, settle: 0ms, schema: {{ key: string, n: int64 }} }} bad fail\n\
         from rows |> into kafka(\"written\") {{ brokers: \"{url}\", key: key, partition: (n % 3)::int32 ?? 0, headers: {{ h: key }}, max_message: 40b }} rejected to no\n\
         from no |> select n, _reason |> into files(\"no\") {{ format: csv }}\n\
         from rows |> aggregate sum(n) as sum by key running ttl 1d emit changes |> where sum > 2\n\
         |> into kafka(\"sums\") {{ brokers: \"{url}\", key: key, write: upsert }}\n",
        url = server.url
    ));
    fs::create_dir(folder.path().join("in")).unwrap();
    let long = "x".repeat(60);
    fs::write(
        folder.path().join("in/1.json"),
        format!("{{\"key\":\"a\",\"n\":1}}\n{{\"key\":\"b\",\"n\":5}}\n{{\"key\":\"{long}\",\"n\":2}}\n"),
    )
    .unwrap();
    to_its_end(folder.path(), &[]);
    let text = |text: &str| Some(text.to_owned());
    let written = committed(server, "written", 3);
    let expected = [
        (1, text("a"), text("{\"key\":\"a\",\"n\":1}"), text("a")),
        (2, text("b"), text("{\"key\":\"b\",\"n\":5}"), text("b")),
    ];
    assert_eq!(written, expected);
    let no = texts_below(&folder.path().join("no"));
    assert!(no.contains("2,") && no.contains("`max_message` allows 40"), "{no}");
    fs::write(folder.path().join("in/2.json"), "{\"key\":\"b\",\"n\":-4}\n{\"key\":\"a\",\"n\":6}\n").unwrap();
    to_its_end(folder.path(), &[]);
    let mut by_key: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for (_, key, value, _) in committed(server, "sums", 2) {
        by_key.entry(key.unwrap()).or_default().push(value);
    }
    assert_eq!(by_key["a"], [text("{\"key\":\"a\",\"sum\":7}")]);
    assert_eq!(by_key["b"], [text("{\"key\":\"b\",\"sum\":5}"), None]);
}

const MESSAGES: u64 = 600;

/// From one topic to another, and totals beside.
fn copying(server: &Server, name: &str, seed: u64) -> (tempfile::TempDir, BTreeMap<String, i64>) {
    let (input, output) = (format!("{name}-in"), format!("{name}-out"));
    make(server, &input, 3);
    make(server, &output, 3);
    let producer: BaseProducer = config(server).create().unwrap();
    let (mut draw, mut sums) = (Draw(seed), BTreeMap::new());
    for id in 0..MESSAGES {
        let (key, n) = (format!("k{}", draw.next(7)), draw.next(100).cast_signed());
        *sums.entry(key.clone()).or_insert(0) += n;
        let value = format!("{{\"id\":{id},\"key\":\"{key}\",\"n\":{n}}}");
        send(&producer, &input, (key.as_bytes()[1] % 3).into(), &key, Some(&value));
    }
    producer.flush(WAIT).unwrap();
    let text = format!(
        "pipeline copying {{ every: 10ms, checkpoint: \"state\" }}\n\
         source rows = kafka(\"{input}\") {{ brokers: \"{url}\", format: json, max_rows: 40, schema: {{ id: int64, key: string, n: int64 }} }} bad fail\n\
         from rows |> into kafka(\"{output}\") {{ brokers: \"{url}\", key: key, transactional_id: \"{name}\" }}\n\
         from rows |> aggregate sum(n) as sum by key running ttl 1d emit all |> into files(\"sums\") {{ format: json }}\n",
        url = server.url
    );
    (pipeline(&text), sums)
}

/// Each message once, in order by key, and the totals of all.
fn copied(server: &Server, name: &str, folder: &Path, sums: &BTreeMap<String, i64>, what: &str) {
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut count = 0;
    for (_, key, value, _) in committed(server, &format!("{name}-out"), 3) {
        let value: serde_json::Value = serde_json::from_str(&value.unwrap()).unwrap();
        by_key.entry(key.unwrap()).or_default().push(value["id"].as_u64().unwrap());
        count += 1;
    }
    assert_eq!(count, MESSAGES, "{what}");
    assert!(by_key.values().all(|ids| ids.is_sorted_by(|a, b| a < b)), "{what}: {by_key:?}");
    let mut files: Vec<_> = fs::read_dir(folder.join("sums")).unwrap().flatten().map(|file| file.path()).collect();
    files.sort();
    let mut last = BTreeMap::new();
    for line in
        files.iter().flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
    {
        let row: serde_json::Value = serde_json::from_str(&line).unwrap();
        last.insert(row["key"].as_str().unwrap().to_owned(), row["sum"].as_i64().unwrap());
    }
    assert_eq!(&last, sums, "{what}");
}

#[test]
fn killed_at_random_every_message_is_written_once_and_in_order() {
    let Some(server) = shared("kafka") else { return };
    let (kills, first) = (number("KAFKA_KILLS", 10), number("KILL_SEED", 1));
    let (mut seed, mut killed) = (first, 0);
    while killed < kills {
        let (plain, sums) = copying(server, &format!("plain{seed}"), seed);
        let (_, took) = timed(|| to_its_end(plain.path(), &[]));
        copied(server, &format!("plain{seed}"), plain.path(), &sums, "undisturbed");
        let name = format!("killed{seed}");
        let (folder, sums) = copying(server, &name, seed);
        let mut draw = Draw(seed);
        killed += killed_until_it_ends(folder.path(), &[], (took, &mut draw), |_| {});
        to_its_end(folder.path(), &[]);
        copied(server, &name, folder.path(), &sums, &format!("KILL_SEED={seed}"));
        seed += 1;
    }
    report(&format!("kafka: {killed} kills, seeds {first} to {}", seed - 1));
}
