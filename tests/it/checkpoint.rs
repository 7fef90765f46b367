//! The verbs over a checkpoint: what is in it is looked at, verified, made smaller, taken elsewhere and gone back in.

mod aside;
mod give_up;
mod versions;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ran, millstream_in};

const PIPELINE: &str = r#"pipeline shop { every: 10ms, checkpoint: "state" }

source orders = files("in/*.csv") {
  format: csv, settle: 0ms, max_files: 1, schema: { id: int64, key: string, amount: decimal(10, 2) }
} bad drop

stream totals = from orders |> aggregate sum(amount) as sum, count() as n by key running ttl 30d emit all
stream fresh = from orders |> dedupe by key, id within 30d on batch time

from totals |> into files("out/totals") { format: json }
from fresh |> into files("out/fresh") { format: csv }
"#;

/// A folder in which the pipeline ran over some files, a batch each.
fn ran(files: std::ops::Range<u32>) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), PIPELINE).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    more(folder.path(), files);
    folder
}

fn more(folder: &Path, files: std::ops::Range<u32>) {
    for file in files {
        let row = |i: u32| format!("{},k{},{file}.{i}0\n", file * 3 + i, i % 2);
        let rows: String = (0..3).map(row).collect();
        fs::write(folder.join(format!("in/{file:03}.csv")), format!("id,key,amount\n{rows}")).unwrap();
    }
    well(&verb(folder, "run p.stream --once"));
}

/// `millstream ARGS`, cut at spaces.
fn verb(folder: &Path, args: &str) -> Ran {
    millstream_in(folder, &args.split(' ').collect::<Vec<_>>(), "")
}

fn well(ran: &Ran) -> &str {
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    &ran.out
}

fn refused(ran: &Ran, code: i32, why: &str) {
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(why), "{}", ran.err);
}

fn object(ran: &Ran) -> Value {
    serde_json::from_str(well(ran)).unwrap()
}

/// What a key's total is by now.
fn total(folder: &Path, key: &str) -> String {
    total_in(folder, "state", key)
}

fn total_in(folder: &Path, checkpoint: &str, key: &str) -> String {
    let ran = verb(folder, &format!("state {checkpoint} get totals {key} --format json"));
    let row: Value = serde_json::from_str(well(&ran)).unwrap();
    format!("{} {}", row["row"]["s0"], row["row"]["s1"])
}

/// The rows of a sink, in the order of the names of files.
fn rows(folder: &Path) -> String {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| !file.file_name().unwrap().to_string_lossy().starts_with('.'));
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn what_is_remembered_is_listed() {
    let folder = ran(0..3);
    let list = verb(folder.path(), "state state");
    let text = well(&list);
    assert!(text.starts_with("shop: behind batch 2 of "), "{text}");
    assert!(text.contains("in/002.csv"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("  totals/aggregate/1  cells") && line.contains("batch 2, ")));
    let list = object(&verb(folder.path(), "state state --format json"));
    assert_eq!(list["pipeline"], "shop");
    assert_eq!((&list["batch"], &list["rewound_to"]), (&Value::from(2), &Value::Null));
    assert_eq!(list["sources"][0]["name"], "orders");
    assert_eq!(list["sources"][0]["splits"][0]["split"], "in/000.csv");
    assert_eq!(list["operators"][0]["name"], "fresh/dedupe/1");
    assert_eq!(list["operators"][0]["operator"], "dedupe");
    assert_eq!(list["operators"][0]["tables"][0]["rows"], 9);
    assert_eq!(list["operators"][0]["changed"]["batch"], 2);
    assert_eq!(list["undelivered"], Value::Array(Vec::new()));
    let keys: Vec<_> = list.as_object().unwrap().keys().cloned().collect();
    let wanted = ["pipeline", "batch", "rewound_to", "time", "sources", "operators", "watermarks", "undelivered"]
        .map(str::to_owned);
    assert_eq!(keys, wanted);
}

#[test]
fn a_key_is_found_by_how_it_is_printed() {
    let folder = ran(0..3);
    let get = verb(folder.path(), "state state get fresh k1,4");
    assert!(well(&get).lines().nth(2).unwrap().split_whitespace().take(2).eq(["k1", "4"]), "{}", get.out);
    assert_eq!(total(folder.path(), "k1"), "3.3 3");
    refused(&verb(folder.path(), "state state get fresh 4"), 1, "a key is `key.key,key.id`");
    refused(&verb(folder.path(), "state state get sums k1"), 2, "there are `fresh/dedupe/1`, `totals/aggregate/1`");
    refused(&verb(folder.path(), "state state get / k1"), 2, "write more of the name");
    refused(&verb(folder.path(), "state nowhere"), 2, "give the folder that `checkpoint` names");
    refused(&verb(folder.path(), "state in"), 2, "is no checkpoint");
}

#[test]
fn the_rows_of_an_operator_are_dumped_as_json_csv_and_parquet() {
    let folder = ran(0..2);
    let dump = verb(folder.path(), "state state dump fresh");
    let lines: Vec<Value> = well(&dump).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!((&lines[0]["table"], &lines[0]["row"]["key.key"]), (&Value::from("keys"), &Value::from("k0")));
    let dump = verb(folder.path(), "state state dump fresh --format csv");
    assert!(well(&dump).starts_with("key.key,key.id,until\nk0,0,"), "{}", dump.out);
    refused(&verb(folder.path(), "state state dump totals --format csv"), 2, "name one with `--table`");
    refused(&verb(folder.path(), "state state dump fresh --format parquet"), 2, "name a new one with `--to`");
    well(&verb(folder.path(), "state state dump fresh --format parquet --to keys.parquet"));
    refused(&verb(folder.path(), "state state dump fresh --format parquet --to keys.parquet"), 2, "keys.parquet");
    let infer = verb(folder.path(), "infer keys.parquet");
    assert!(well(&infer).contains("`key.id`"), "{}", infer.out);
    let earlier = verb(folder.path(), "state state dump fresh --behind 0");
    assert_eq!(well(&earlier).lines().count(), 3);
}

#[test]
fn what_came_changed_and_went_between_two_batches_is_told() {
    let folder = ran(0..4);
    let diff = verb(folder.path(), "state state diff 1 2");
    let text = well(&diff);
    assert!(text.contains("fresh/dedupe/1, keys: 3 came, 0 changed, 0 went\n"), "{text}");
    assert!(text.contains("totals/aggregate/1, cells: 0 came, 2 changed, 0 went\n"), "{text}");
    assert!(text.contains("2 -> 3"), "{text}");
    let back = verb(folder.path(), "state state diff 2 1 --format json");
    let went: Vec<Value> = well(&back).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&went[0]["operator"], &went[0]["what"]), (&Value::from("fresh/dedupe/1"), &Value::from("went")));
    assert_eq!((&went[0]["was"]["key.id"], &went[0]["is"]), (&Value::from("6"), &Value::Null));
    refused(&verb(folder.path(), "state state diff 1 7"), 2, "batch 7 was not committed: the last one is 3");
    well(&verb(folder.path(), "checkpoint compact state"));
    more(folder.path(), 4..5);
    refused(&verb(folder.path(), "state state diff 1 4"), 2, "reaches back to batch 4");
    assert!(well(&verb(folder.path(), "state state diff 4 4")).starts_with("nothing that operators remember differs"));
}

#[test]
fn a_checkpoint_is_verified_byte_by_byte() {
    let folder = ran(0..3);
    assert!(well(&verb(folder.path(), "checkpoint verify state")).starts_with("`state` is sound: "));
    well(&verb(folder.path(), "checkpoint compact state"));
    more(folder.path(), 3..5);
    let sound = object(&verb(folder.path(), "checkpoint verify state --format json"));
    assert_eq!((&sound["sound"], &sound["snapshots"], &sound["commits"]), (&true.into(), &1.into(), &2.into()));
    for part in ["journal", "snapshots"] {
        let file = fs::read_dir(folder.path().join("state").join(part)).unwrap().map(|entry| entry.unwrap().path());
        // The largest, so that what is changed in its middle matters.
        let file = file.max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        fs::write(&file, bad).unwrap();
        let verified = verb(folder.path(), "checkpoint verify state");
        refused(&verified, 1, file.file_name().unwrap().to_str().unwrap());
        assert!(verified.err.contains("is damaged at byte "), "{}", verified.err);
        assert!(verified.out.starts_with("`state` is damaged in one place"), "{}", verified.out);
        fs::write(&file, good).unwrap();
    }
    fs::remove_file(folder.path().join("state/about")).unwrap();
    refused(&verb(folder.path(), "checkpoint verify state"), 1, "about");
}

#[test]
fn a_checkpoint_tells_what_is_in_it() {
    let folder = ran(0..3);
    let info = verb(folder.path(), "checkpoint info state");
    let text = well(&info);
    for line in
        ["pipeline     shop", "format       1", "end          the last run ended by itself", "snapshots    none"]
    {
        assert!(text.lines().any(|other| other == line), "{text}");
    }
    assert!(text.contains("3 batches\n") && text.contains("\nlast batch   2, "), "{text}");
    let info = object(&verb(folder.path(), "checkpoint info state --format json"));
    assert_eq!((&info["first"]["batch"], &info["last"]["batch"]), (&0.into(), &2.into()));
    assert_eq!((&info["clean"], &info["rewinds_to"]), (&true.into(), &0.into()));
    assert_eq!(info["journal"]["batches"], 3);
}

#[test]
fn a_compacted_checkpoint_is_gone_on_from() {
    let (folder, straight) = (ran(0..20), ran(0..22));
    let before = object(&verb(folder.path(), "checkpoint info state --format json"))["bytes"].as_u64().unwrap();
    well(&verb(folder.path(), "checkpoint compact state"));
    let info = object(&verb(folder.path(), "checkpoint info state --format json"));
    assert!(info["bytes"].as_u64().unwrap() * 2 < before, "{before} {info}");
    well(&verb(folder.path(), "checkpoint compact state"));
    more(folder.path(), 20..22);
    assert_eq!(total(folder.path(), "k0"), total(straight.path(), "k0"));
    assert_eq!(rows(&folder.path().join("out/totals")), rows(&straight.path().join("out/totals")));
}

#[test]
fn an_exported_checkpoint_is_imported_elsewhere_and_gone_on_from() {
    let (folder, straight) = (ran(0..3), ran(0..5));
    well(&verb(folder.path(), "checkpoint export state shop.checkpoint"));
    refused(&verb(folder.path(), "checkpoint export state shop.checkpoint"), 2, "shop.checkpoint");
    refused(&verb(folder.path(), "checkpoint import shop.checkpoint state"), 2, "is there already");
    fs::remove_dir_all(folder.path().join("state")).unwrap();
    well(&verb(folder.path(), "checkpoint import shop.checkpoint state"));
    well(&verb(folder.path(), "checkpoint verify state"));
    more(folder.path(), 3..5);
    assert_eq!(total(folder.path(), "k0"), total(straight.path(), "k0"));
    assert_eq!(rows(&folder.path().join("out/fresh")), rows(&straight.path().join("out/fresh")));
}

#[test]
fn no_cut_and_no_changed_byte_of_an_export_is_taken() {
    let folder = ran(0..1);
    well(&verb(folder.path(), "checkpoint export state good"));
    let good = fs::read(folder.path().join("good")).unwrap();
    let step = good.len() / 12;
    for at in (0..good.len()).step_by(step) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        for bad in [&changed, &good[..at]] {
            fs::write(folder.path().join("bad"), bad).unwrap();
            let import = verb(folder.path(), "checkpoint import bad new");
            refused(&import, 2, "`bad`: it is ");
            assert!(!folder.path().join("new").exists());
        }
    }
    refused(&verb(folder.path(), "checkpoint import p.stream new"), 2, "`p.stream`: it is no copy of a checkpoint");
}

#[test]
fn a_pipeline_goes_back_to_an_earlier_batch_and_does_it_all_again() {
    let folder = ran(0..5);
    let (then, now) =
        (verb(folder.path(), "state state get totals k0 --behind 1 --format json").out, total(folder.path(), "k0"));
    let asked = verb(folder.path(), "rewind state --to 1");
    refused(&asked, 1, "nothing was changed: write `--yes` behind it");
    assert!(asked.out.starts_with("shop: back to the state behind batch 1; batches 2 to 4 are computed again\n"));
    assert!(asked.out.contains("is read again from there"), "{}", asked.out);
    assert!(asked.out.contains("files of batches 2 to 4 stay"), "{}", asked.out);
    assert!(asked.out.lines().all(|line| line.chars().count() <= 100), "{}", asked.out);
    assert_eq!(total(folder.path(), "k0"), now);
    well(&verb(folder.path(), "rewind state --to 1 --yes"));
    assert_eq!(verb(folder.path(), "state state get totals k0 --format json").out, then);
    let list = object(&verb(folder.path(), "state state --format json"));
    assert_eq!((&list["rewound_to"], &list["operators"][1]["changed"]["batch"]), (&1.into(), &1.into()));
    // Undone, and done again.
    well(&verb(folder.path(), "rewind state --to 4 --yes"));
    assert_eq!(total(folder.path(), "k0"), now);
    well(&verb(folder.path(), "rewind state --to 1 --yes"));
    let out = folder.path().join("out/fresh");
    let before = rows(&out);
    well(&verb(folder.path(), "run p.stream --once"));
    assert_eq!(total(folder.path(), "k0"), now);
    let (_, again) = before.split_at(before.match_indices("id,key").nth(2).unwrap().0);
    assert_eq!(rows(&out), format!("{before}{again}"), "rows of three batches once more, under names of their own");
    assert_eq!(object(&verb(folder.path(), "state state --format json"))["batch"], 7);
    refused(&verb(folder.path(), "rewind state --to 9"), 2, "the last one is 7");
}

#[test]
fn a_pipeline_begins_with_the_state_of_another_checkpoint() {
    let (folder, straight) = (ran(0..3), ran(0..4));
    well(&verb(folder.path(), "checkpoint export state shop.checkpoint"));
    let elsewhere = folder.path().join("new.stream");
    fs::write(&elsewhere, PIPELINE.replace("\"state\"", "\"state2\"")).unwrap();
    fs::copy(straight.path().join("in/003.csv"), folder.path().join("in/003.csv")).unwrap();
    well(&verb(folder.path(), "run new.stream --once --from-snapshot shop.checkpoint"));
    assert_eq!(total_in(folder.path(), "state2", "k0"), total(straight.path(), "k0"));
    refused(&verb(folder.path(), "run new.stream --once --from-snapshot state"), 2, "is there already");
    // Without a checkpoint of its own.
    fs::write(&elsewhere, PIPELINE.replace(", checkpoint: \"state\"", "").replace("out/totals", "out/more")).unwrap();
    well(&verb(folder.path(), "run new.stream --once --from-snapshot state"));
    let wanted = "{\"key\":\"k0\",\"sum\":12.80,\"n\":8}\n{\"key\":\"k1\",\"sum\":6.40,\"n\":4}\n";
    let more = rows(&folder.path().join("out/more"));
    assert!(more.starts_with(wanted), "{more}");
    fs::write(&elsewhere, PIPELINE.replace("pipeline shop", "pipeline store")).unwrap();
    refused(&verb(folder.path(), "run new.stream --once --from-snapshot state"), 2, "is of pipeline `shop`");
    refused(&verb(folder.path(), "run in --from-snapshot state"), 2, "run that file alone");
}

#[test]
fn who_uses_a_checkpoint_keeps_others_from_changing_it_and_not_from_looking() {
    let folder = ran(0..2);
    let mut command = crate::program::command(folder.path(), &["run", "p.stream"]);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let started = std::time::Instant::now();
    while object(&verb(folder.path(), "checkpoint info state --format json"))["clean"] == true {
        assert!(started.elapsed().as_secs() < 30, "it does not begin");
    }
    let busy = verb(folder.path(), "checkpoint compact state");
    let others =
        ["state state", "checkpoint info state", "checkpoint verify state", "checkpoint export state out.copy"];
    let looked: Vec<_> = others.iter().map(|args| verb(folder.path(), args)).collect();
    let rewind = verb(folder.path(), "rewind state --to 0 --yes");
    child.kill().unwrap();
    child.wait().unwrap();
    refused(&busy, 2, "another process");
    assert!(rewind.code != 0, "{}", rewind.out);
    for ran in &looked {
        well(ran);
    }
}

const PUSHED: &str = r#"pipeline pushed { every: 10ms, checkpoint: "state" }
source lines = stdin() {}
stream counts = from lines |> aggregate count() as n by line running ttl 30d emit all
from counts |> into discard
"#;

#[test]
fn what_was_pushed_at_a_source_is_not_read_again_by_who_goes_back_or_goes_elsewhere() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), PUSHED).unwrap();
    let run = |file: &str, input: &str| well(&millstream_in(folder.path(), &["run", file, "--once"], input)).len();
    let count = |checkpoint: &str| {
        let get = verb(folder.path(), &format!("state {checkpoint} get counts a --format json"));
        serde_json::from_str::<Value>(well(&get)).unwrap()["row"]["s0"].as_i64().unwrap()
    };
    run("p.stream", "a\na\n");
    let first = object(&verb(folder.path(), "checkpoint info state --format json"));
    let behind = first["last"]["batch"].as_u64().unwrap();
    assert_eq!(first["logs"]["count"], 1);
    run("p.stream", "a\na\na\n");
    assert_eq!(count("state"), 5);
    well(&verb(folder.path(), "checkpoint verify state"));
    let export = verb(folder.path(), "checkpoint export state copy");
    well(&export);
    assert!(export.err.contains("stays in the checkpoint it came from"), "{}", export.err);
    well(&verb(folder.path(), "checkpoint import copy state2"));
    fs::write(folder.path().join("q.stream"), PUSHED.replace("\"state\"", "\"state2\"")).unwrap();
    run("q.stream", "a\n");
    assert_eq!(count("state2"), 6);
    let back = verb(folder.path(), &format!("rewind state --to {behind} --yes"));
    assert!(well(&back).contains("cannot be read again: the rows that came since are lost"), "{}", back.out);
    assert_eq!(count("state"), 2);
    run("p.stream", "a\na\na\na\n");
    assert_eq!(count("state"), 6);
}
