//! The `postgres` sink, source and table against a real PostgreSQL.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::services::proxy::Proxy;
use crate::services::{
    Draw, Server, killed_until_it_ends, number, own, own_with, pipeline, report, running, shared, timed, to_its_end,
    until, waited_for,
};

/// What `psql` says to statements, a line a row.
fn sql(server: &Server, statements: &str) -> String {
    let said = Command::new("psql")
        .args(["-h", "127.0.0.1", "-U", "millstream", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt", "-p"])
        .args([&server.port.to_string(), "-c", "set client_min_messages = error", "-c", statements])
        .env("PGTZ", "UTC")
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim_end().to_owned()
}

/// A pipeline over one file of JSON lines.
fn over(name: &str, schema: &str, rows: &str, rest: &str) -> tempfile::TempDir {
    let folder = pipeline(&format!(
        "pipeline {name} {{ every: 10ms, checkpoint: \"state\" }}\n\
         source rows = files(\"in/*.json\") {{ format: json, settle: 0ms, max_files: 1, schema: {{ {schema} }} }} bad fail\n{rest}"
    ));
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/1.json"), rows).unwrap();
    folder
}

const EVERY: &str = "id: int64, flag: bool?, small: int16?, tiny: uint8?, medium: int32?, large: uint64?, \
    real: float32?, double: float64?, price: decimal(12, 3)?, tall: decimal(38, 0)?, text: string?, raw: bytes?, \
    day: date?, clock: time?, at: timestamp?, took: duration?, any: json?, words: list(string)?, sums: list(decimal(8, 2)?)?, \
    counts: map(string, int64)?, part: { a: int64, b: string? }?, deep: list(list(int64))?";

#[test]
fn every_type_is_there_as_it_was() {
    let Some(server) = shared("postgres") else { return };
    let rows = concat!(
        r#"{"id":1,"flag":true,"small":-32768,"tiny":255,"medium":2147483647,"large":18446744073709551615,"#,
        r#""real":1.5,"double":-0.1,"price":-123456789.125,"tall":"12345678901234567890123456789012345678","#,
        r#""text":"a'b\\c\né","raw":"000102","day":"2026-02-28","clock":"23:59:59.000001","at":"1999-12-31T23:59:59.5Z","#,
        r#""took":90000000,"any":{"x":[1,null]},"words":["a","b\""],"sums":[1.50,null],"counts":{"k":7},"#,
        r#""part":{"a":1,"b":null},"deep":[[1],[]]}"#,
        "\n",
        r#"{"id":2,"words":[]}"#,
        "\n"
    );
    let folder = over(
        "every",
        EVERY,
        rows,
        "from rows |> into postgres(\"every type\") { url: env(\"URL\"), create: if_missing }\n",
    );
    to_its_end(folder.path(), &[("URL", &server.url)]);
    let said = sql(
        server,
        "select id, flag, small, tiny, medium, large, real, double, price, tall, text = E'a''b\\\\c\\né', \
         encode(raw, 'hex'), day, clock, at, took, \"any\", words, sums, counts, part, deep from \"every type\" order by id",
    );
    let first = "1|t|-32768|255|2147483647|18446744073709551615|1.5|-0.1|-123456789.125|\
        12345678901234567890123456789012345678|t|000102|2026-02-28|23:59:59.000001|1999-12-31 23:59:59.5+00|00:01:30|\
        {\"x\": [1, null]}|{a,\"b\\\"\"}|{1.50,NULL}|{\"k\": 7}|{\"a\": 1}|[[1], []]";
    let second = "2||||||||||||||||||{}||||".replace("||||||||||||||||||{}", &format!("{}{{}}", "|".repeat(17)));
    assert_eq!(said, format!("{first}\n{second}"));
    let types = sql(
        server,
        "select string_agg(format_type(atttypid, atttypmod), ',' order by attnum) from pg_attribute \
         where attrelid = '\"every type\"'::regclass and attnum > 0",
    );
    assert_eq!(
        types,
        "bigint,boolean,smallint,smallint,integer,numeric(20,0),real,double precision,numeric(12,3),numeric(38,0),text,\
         bytea,date,time without time zone,timestamp with time zone,interval,jsonb,text[],numeric(8,2)[],jsonb,jsonb,jsonb"
    );
}

#[test]
fn texts_become_what_the_columns_are_and_rows_that_do_not_fit_are_rejected() {
    let Some(server) = shared("postgres") else { return };
    sql(
        server,
        "create type mood as enum ('good', 'bad'); create table fitted (id uuid primary key, mood mood, code varchar(3), \
         n smallint check (n < 100), doc jsonb, extra text default 'x', number serial)",
    );
    let uuid = |n: u32| format!("00000000-0000-0000-0000-00000000000{n}");
    let row = |id: &str, mood: &str, code: &str, n: i64| {
        format!("{{\"id\":\"{id}\",\"mood\":\"{mood}\",\"code\":\"{code}\",\"n\":{n},\"doc\":[1]}}\n")
    };
    let rows = [
        row(&uuid(1), "good", "abc", 1),
        row("none", "good", "abc", 1),
        row(&uuid(2), "fair", "abc", 1),
        row(&uuid(3), "bad", "abcd", 1),
        row(&uuid(4), "bad", "abc", 100),
        row(&uuid(5), "bad", "abc", 100_000),
        row(&uuid(1), "good", "abc", 2),
        row(&uuid(6), "bad", "a\\u0000c", 3),
        row(&uuid(7), "bad", "", 99),
    ];
    let folder = over(
        "fitted",
        "id: string, mood: string, code: string, n: int64, doc: list(int64)",
        &rows.concat(),
        "from rows |> into postgres(\"public.fitted\") { url: env(\"URL\") } rejected to no\n\
         from no |> select id, n, _reason |> into files(\"no\") { format: csv }\n",
    );
    to_its_end(folder.path(), &[("URL", &server.url)]);
    let said = sql(server, "select right(id::text, 1), mood, code, n, doc, extra from fitted order by 1");
    assert_eq!(said, "1|good|abc|1|[1]|x\n7|bad||99|[1]|x");
    let no = texts_below(&folder.path().join("no"));
    for (id, why) in [
        ("none,1,", "invalid input syntax for type uuid"),
        ("02,1,", "invalid input value for enum mood"),
        ("03,1,", "value too long for type character varying(3)"),
        ("04,100,", "violates check constraint"),
        ("05,100000,", "smallint out of range"),
        ("01,2,", "duplicate key value"),
        ("06,3,", "holds no zero byte"),
    ] {
        assert!(no.lines().any(|line| line.contains(id) && line.contains(why)), "{id} {why}: {no}");
    }
    assert_eq!(no.lines().filter(|line| !line.starts_with("id,")).count(), 7, "{no}");
}

/// What the files of a folder hold.
fn texts_below(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().flatten().filter(|file| file.path().is_file());
    files.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
}

#[test]
fn what_does_not_fit_is_said_at_the_start_with_the_names_of_the_columns() {
    let Some(server) = shared("postgres") else { return };
    sql(server, "create table misfit (id text, n bigint, must int not null, made int generated always as (1) stored)");
    let said = |options: &str, schema: &str| {
        let folder = over(
            "misfit",
            schema,
            "{}",
            &format!("from rows |> into postgres(\"misfit\") {{ url: env(\"URL\"){options} }}\n"),
        );
        let ended = running(folder.path(), &[("URL", &server.url)]).output().unwrap();
        assert!(!ended.status.success());
        String::from_utf8_lossy(&ended.stderr).into_owned()
    };
    let wrong = said("", "id: int64?, n: string?, other: bool?, made: int32?");
    for part in [
        "column `id` is text, not bigint",
        "column `n` is bigint, not text",
        "no column `other` (boolean)",
        "`made` is computed",
        "column `must` wants a value",
    ] {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    let keyless = said(", write: upsert, key: [id]", "id: string, n: int64?, must: int32?");
    assert!(keyless.contains("no unique index on `id`"), "{keyless}");
    assert!(said("", "x: int64?").replace("misfit", "absent").contains("it has no column `x`"));
    let nobody = server.url.replace("millstream@", "nobody@");
    let folder = over("misfit", "x: int64?", "{}", "from rows |> into postgres(\"misfit\") { url: env(\"URL\") }\n");
    let ended = running(folder.path(), &[("URL", &nobody)]).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("role \"nobody\" does not exist"));
}

#[test]
fn rows_replace_by_their_key_and_leave_when_they_are_taken_back() {
    let Some(server) = shared("postgres") else { return };
    let folder = over(
        "keyed",
        "key: string, amount: int64",
        "{\"key\":\"a\",\"amount\":10}\n{\"key\":\"b\",\"amount\":7}\n{\"key\":\"c\",\"amount\":1}\n",
        "stream sums = from rows |> aggregate sum(amount) as sum by key running ttl 1d emit changes\n\
         from sums |> into postgres(\"keyed_all\") { url: env(\"URL\"), write: upsert, key: [key], create: if_missing }\n\
         from sums |> where sum > 5 |> into postgres(\"keyed_large\") { url: env(\"URL\"), write: changes, key: [key], create: if_missing }\n\
         from rows |> into postgres(\"keyed_last\") { url: env(\"URL\"), write: replace, create: if_missing }\n",
    );
    let run = || to_its_end(folder.path(), &[("URL", &server.url)]);
    run();
    let both = |server| {
        let of = |table: &str| sql(server, &format!("select string_agg(key || sum, ' ' order by key) from {table}"));
        (of("keyed_all"), of("keyed_large"))
    };
    assert_eq!(both(server), ("a10 b7 c1".into(), "a10 b7".into()));
    fs::write(
        folder.path().join("in/2.json"),
        "{\"key\":\"a\",\"amount\":-6}\n{\"key\":\"c\",\"amount\":8}\n{\"key\":\"d\",\"amount\":9}\n",
    )
    .unwrap();
    run();
    assert_eq!(both(server), ("a4 b7 c9 d9".into(), "b7 c9 d9".into()));
    assert_eq!(sql(server, "select string_agg(key || amount, ' ' order by key) from keyed_last"), "a-6 c8 d9");
    let marks = sql(server, "select count(*) from millstream_delivered where sink like 'keyed/%' and batch > 0");
    assert_eq!(marks, "3");
}

const FILES: u64 = 20;
const EACH: u64 = 30;

/// All rows, and totals that are replaced by key, for `FILES` batches.
fn counting(server: &Server, name: &str, seed: u64) -> (tempfile::TempDir, BTreeMap<String, i64>) {
    sql(server, &format!("create table {name}_few (id bigint check (id <> 107), key text, amount bigint)"));
    let folder = over(
        name,
        "id: int64, key: string, amount: int64",
        "",
        &format!(
            "stream sums = from rows |> aggregate sum(amount) as sum, count() as n by key running ttl 1d\n\
             from rows |> into postgres(\"{name}_all\") {{ url: env(\"URL\"), create: if_missing }}\n\
             from sums |> into postgres(\"{name}_sums\") {{ url: env(\"URL\"), write: upsert, key: [key], create: if_missing }}\n\
             from rows |> where id % 100 == 7 |> into postgres(\"{name}_few\") {{ url: env(\"URL\"), create: if_missing }} rejected to no\n\
             from no |> into postgres(\"{name}_no\") {{ url: env(\"URL\"), create: if_missing }}\n"
        ),
    );
    let (mut draw, mut sums) = (Draw(seed), BTreeMap::new());
    for file in 0..FILES {
        let mut text = String::new();
        for row in 0..EACH {
            let (key, amount) = (format!("k{}", draw.next(7)), draw.next(100).cast_signed() - 20);
            *sums.entry(key.clone()).or_insert(0) += amount;
            text.push_str(&format!("{{\"id\":{},\"key\":\"{key}\",\"amount\":{amount}}}\n", file * EACH + row));
        }
        fs::write(folder.path().join(format!("in/{:03}.json", file + 1)), text).unwrap();
    }
    fs::remove_file(folder.path().join("in/1.json")).unwrap();
    (folder, sums)
}

/// Each row is there once, and totals are those of all rows.
fn counted(server: &Server, name: &str, sums: &BTreeMap<String, i64>, what: &str) {
    let all = sql(server, &format!("select count(*), count(distinct id), min(id), max(id) from {name}_all"));
    let count = FILES * EACH;
    assert_eq!(all, format!("{count}|{count}|0|{}", count - 1), "{what}");
    let found = sql(server, &format!("select key, sum from {name}_sums order by key"));
    let expected: Vec<String> = sums.iter().map(|(key, sum)| format!("{key}|{sum}")).collect();
    assert_eq!(found, expected.join("\n"), "{what}");
    let few = format!(
        "select (select count(*) from {name}_few), (select count(distinct id) from {name}_few), \
         (select string_agg(id::text, ' ') from {name}_no)"
    );
    assert_eq!(sql(server, &few), "5|5|107", "{what}");
}

#[test]
fn killed_at_random_it_writes_every_row_once() {
    let Some(server) = own("postgres", "kills") else { return };
    let (kills, first) = (number("POSTGRES_KILLS", 20), number("KILL_SEED", 1));
    let (mut seed, mut killed) = (first, 0);
    while killed < kills {
        let (plain, sums) = counting(&server, &format!("plain{seed}"), seed);
        let (_, took) = timed(|| to_its_end(plain.path(), &[("URL", &server.url)]));
        counted(&server, &format!("plain{seed}"), &sums, "undisturbed");
        let name = format!("killed{seed}");
        let (folder, sums) = counting(&server, &name, seed);
        let mut draw = Draw(seed);
        killed += killed_until_it_ends(folder.path(), &[("URL", &server.url)], (took, &mut draw), |kills| {
            // The server is killed as well, now and then.
            if kills % 50 == 25 {
                server.stop("KILL");
                server.go_on();
            }
        });
        to_its_end(folder.path(), &[("URL", &server.url)]);
        counted(&server, &name, &sums, &format!("KILL_SEED={seed}"));
        seed += 1;
    }
    server.stop("KILL");
    report(&format!("postgres: {killed} kills, seeds {first} to {}", seed - 1));
}

#[test]
fn a_connection_that_is_cut_between_commit_and_its_answer_repeats_nothing() {
    let Some(server) = shared("postgres") else { return };
    let (folder, sums) = counting(server, "cut", 3);
    let proxy = Proxy::cutting(server.port, b"; commit", 8);
    let url = format!("postgres://millstream@127.0.0.1:{}/postgres?application_name=cut", proxy.port);
    to_its_end(folder.path(), &[("URL", &url)]);
    counted(server, "cut", &sums, "cut");
    assert!(proxy.cuts() >= 8 && proxy.is_done(), "{} cuts", proxy.cuts());
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let Some(server) = own("postgres", "away") else { return };
    let (folder, sums) = counting(&server, "away", 5);
    let child = running(folder.path(), &[("URL", &server.url)]).spawn().unwrap();
    until(|| sql(&server, "select count(*) from pg_tables where tablename = 'away_sums'") == "1");
    until(|| sql(&server, "select count(*) from away_sums") != "0");
    server.stop("INT");
    std::thread::sleep(Duration::from_millis(500));
    server.go_on();
    waited_for(child);
    counted(&server, "away", &sums, "away");
    server.stop("KILL");
}

#[test]
fn rows_are_read_by_a_column_that_grows_and_gone_on_with_behind_the_last() {
    let Some(server) = shared("postgres") else { return };
    sql(
        server,
        "create table growing (id int primary key, seen numeric(6,1), at timestamp, tags text[], doc jsonb, took interval, raw bytea, big numeric); \
         insert into growing select i, i / 10, '2026-01-01'::timestamp + i * interval '1 s', array['a', null], '{\"x\": 1}', '90 s', '\\x00ff', i \
         from generate_series(1, 25) i; update growing set big = 1e30 where id = 3",
    );
    let folder = pipeline(
        "pipeline growing { every: 10ms, checkpoint: \"state\" }\n\
         source rows = postgres(\"growing\") { url: env(\"URL\"), read: rows, column: seen, filter: \"id <> 20\", max_rows: 3, \
         schema: { id: int16, seen: decimal(6, 1), at: timestamp, tags: list(string?), doc: json, took: duration, raw: bytes, big: uint64 } } bad to wrong\n\
         from rows |> into files(\"out\") { format: json }\n\
         from wrong |> select _place, _reason, text |> into files(\"bad\") { format: csv }\n",
    );
    let url = [("URL", server.url.as_str())];
    to_its_end(folder.path(), &url);
    sql(server, "insert into growing select i, 9, now(), '{}', '1', '1 s', '', 1 from generate_series(26, 30) i");
    to_its_end(folder.path(), &url);
    let said = texts_below(&folder.path().join("out"));
    let mut ids: Vec<i64> = said
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=30).filter(|id| ![3, 20].contains(id)).collect::<Vec<_>>());
    let first = said.lines().find(|line| line.contains("\"id\":1,")).unwrap();
    assert!(first.contains(r#""at":"2026-01-01T00:00:01"#) && first.contains(r#""tags":["a",null]"#), "{first}");
    assert!(first.contains(r#""raw":"AP8=""#) || first.contains(r#""raw":"00ff""#), "{first}");
    let bad = texts_below(&folder.path().join("bad"));
    assert!(bad.contains("growing,") && bad.contains("is no uint64") && bad.contains("id=3"), "{bad}");
}

#[test]
fn a_table_is_read_anew_as_often_as_is_said() {
    let Some(server) = shared("postgres") else { return };
    sql(server, "create table users (key text, country text); insert into users values ('a', 'NL'), ('b', null)");
    let folder = over(
        "users",
        "id: int64, key: string",
        "{\"id\":1,\"key\":\"a\"}\n{\"id\":2,\"key\":\"b\"}\n",
        "table users = postgres(\"users\") { url: env(\"URL\"), refresh: 1h, schema: { key: string, country: string? } } bad fail\n\
         from rows |> join users using key |> into files(\"out\") { format: csv }\n",
    );
    to_its_end(folder.path(), &[("URL", &server.url)]);
    let said = texts_below(&folder.path().join("out"));
    assert!(said.contains("1,a,NL\n") && said.contains("2,b,\n"), "{said}");
    let text = fs::read_to_string(folder.path().join("p.stream")).unwrap();
    fs::write(folder.path().join("p.stream"), text.replace(", refresh: 1h", "")).unwrap();
    let ended = running(folder.path(), &[("URL", &server.url)]).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("refresh: 5min"));
}

#[test]
fn a_password_is_proved_and_a_certificate_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = secured(folder.path()) else { return };
    let run = |password: &str, tls: &str| {
        let over = over(
            "secured",
            "id: int64",
            "{\"id\":1}\n",
            &format!("from rows |> into postgres(\"secured\") {{ url: env(\"URL\"), create: if_missing, {tls} }}\n"),
        );
        fs::copy(folder.path().join("ca.pem"), over.path().join("ca.pem")).unwrap();
        let url = format!("postgres://millstream:{password}@localhost:{}/postgres", server.port);
        let ended = running(over.path(), &[("URL", &url)]).output().unwrap();
        if ended.status.success() { String::new() } else { String::from_utf8_lossy(&ended.stderr).into_owned() }
    };
    assert_eq!(run("p%40ss", "tls: verify, tls_ca: \"ca.pem\""), "");
    assert_eq!(run("p%40ss", "tls: require"), "");
    assert_eq!(run("p%40ss", "tls: disable"), "");
    assert!(run("other", "tls: prefer").contains("password authentication failed"));
    assert!(run("p%40ss", "tls: verify, retries: 0").contains("certificate"));
    server.stop("KILL");
}

/// A server that wants a password and shows a certificate.
fn secured(folder: &Path) -> Option<Server> {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(vec!["test authority".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
    fs::write(folder.join("password"), "p@ss\n").unwrap();
    own_with("postgres", "secured", &[("POSTGRES_SECURED", &folder.to_string_lossy())])
}
