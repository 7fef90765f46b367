//! `millstream run` from end to end: real files and pipes in, real files and a console out.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::program::{Ran, command, millstream, millstream_in};

/// A folder with a pipeline and its input.
fn folder(pipeline: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("p.stream"), pipeline).unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn once(folder: &TempDir, input: &str) -> Ran {
    millstream_in(folder.path(), &["run", "p.stream", "--once"], input)
}

/// The texts of a folder's files, by name, joined.
fn written(folder: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// The rows of the console: what stands behind the names, up to the empty line, of every batch.
fn shown(console: &str) -> Vec<Vec<&str>> {
    let batches = console.split("\n\n").filter(|batch| !batch.trim().is_empty());
    batches.map(|batch| batch.lines().skip_while(|l| !l.starts_with("---")).skip(4).collect()).collect()
}

#[test]
fn the_first_pipeline_counts_words() {
    let ran = millstream(&["run", "pipelines/wordcount.stream", "--once"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.lines().any(|line| line.split_whitespace().eq(["the", "8"])), "{}", ran.out);
    assert!(ran.err.starts_with("1 batch, 13 rows in, 40 rows out"), "{}", ran.err);
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let pipeline =
        "pipeline p { every: 0s }\nsource lines = stdin()\nfrom lines |> where line != \"\" |> into console\n";
    let ran = once(&folder(pipeline, &[]), "one\n\ntwo");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(shown(&ran.out), [["one", "two"]]);
}

#[test]
fn limits_cut_the_input_into_batches() {
    let pipeline = "pipeline p { every: 1s }\nsource lines = files(\"in/*.txt\") { max_files: 1 }\n\
                    stream n = from lines |> aggregate count() as n per batch\nfrom n |> into console\n";
    let files = [("in/a.txt", "1\n2\n"), ("in/b.txt", "3\n"), ("in/.hidden.txt", "x\n"), ("in/c.txt", "")];
    let ran = once(&folder(pipeline, &files), "");
    assert_eq!(shown(&ran.out), [["2"], ["1"], ["0"]], "{}", ran.err);
}

#[test]
fn rows_that_cannot_be_read_are_written_beside_the_good_ones() {
    let pipeline = "pipeline p { every: 1s }\n\
        source orders = files(\"in/*.json\") { format: json, schema: { id: int64, amount: decimal(12, 2) } } bad to refused\n\
        from orders |> where amount > 1 |> into files(\"good\") { format: csv }\n\
        from refused |> into files(\"bad\") { format: json }\n";
    let text = "{\"id\": 1, \"amount\": 10.05}\n{\"id\": 2}\nrubbish\n{\"id\": 3, \"amount\": \"1.00\"}\n{\"id\": 4, \"amount\": 2}\n";
    let folder = folder(pipeline, &[("in/a.json", text)]);
    let ran = once(&folder, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(written(&folder.path().join("good")), "id,amount\n1,10.05\n4,2.00\n");
    let bad = written(&folder.path().join("bad"));
    let lines: Vec<_> = bad.lines().collect();
    assert_eq!(
        lines[0],
        "{\"text\":\"{\\\"id\\\": 2}\",\"_place\":\"in/a.json\",\"_line\":2,\
         \"_reason\":\"field `amount` is missing or null\",\"_offset\":27,\"_length\":9}"
    );
    assert!(lines.len() == 2 && lines[1].contains("rubbish"), "{bad}");
}

#[test]
fn a_row_that_cannot_be_read_is_found_again_by_its_bytes_wherever_batches_end() {
    let pipeline = "pipeline p { every: 1s }\n\
        source rows = files(\"in/*.csv\") { format: csv, schema: { id: int64, name: string }, max_rows: 3 } bad to refused\n\
        from rows |> into discard\nfrom refused |> into files(\"bad\") { format: json }\n";
    let text: String = std::iter::once("id,name\n".to_owned())
        .chain((0..40).map(|n| if n % 5 == 2 { format!("x{n},näme\r\n") } else { format!("{n},name\n") }))
        .collect();
    let folder = folder(pipeline, &[("in/a.csv", &text)]);
    let ran = once(&folder, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut found = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder.path().join("bad")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.is_file()) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let at = |name: &str| usize::try_from(row[name].as_u64().unwrap()).unwrap();
            let bytes = &text.as_bytes()[at("_offset")..at("_offset") + at("_length")];
            assert_eq!(std::str::from_utf8(bytes).unwrap(), row["text"].as_str().unwrap());
            found.push(at("_line"));
        }
    }
    assert_eq!(found, (0..40).filter(|n| n % 5 == 2).map(|n| n + 2).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_run_yet_is_refused_before_anything_happens() {
    let pipeline = "pipeline p { every: 1s, time_zone: \"Europe/Berlin\" }\n\
                    source rows = postgres(\"t\") { url: env(\"PG_URL\"), read: changes, key: id, schema: { id: int64 } }\n\
                    from rows |> into console\n";
    let ran = once(&folder(pipeline, &[("in/a.txt", "1\n")]), "");
    assert_ne!(ran.code, 0);
    let refusals = ["a pipeline with `time_zone`", "source `postgres` with `read: changes`"];
    for refusal in refusals {
        assert!(ran.err.contains(&format!("{refusal} can be checked, but not run yet")), "{}", ran.err);
    }
}

#[test]
fn parquet_is_written_and_read_again() {
    let to = "pipeline p { every: 1s }\nsource rows = files(\"in/*.csv\") { format: csv, schema: { id: int64, name: string? } }\n\
              from rows |> into files(\"packed\") { format: parquet }\n";
    let folder = folder(to, &[("in/a.csv", "id,name\n1,one\n2,\n")]);
    assert_eq!(once(&folder, "").code, 0);
    let from = "pipeline p { every: 1s }\n\
                source rows = files(\"packed/*.parquet\") { format: parquet, schema: { name: string?, id: int64 } }\n\
                from rows |> into console { format: csv }\n";
    fs::write(folder.path().join("p.stream"), from).unwrap();
    let ran = once(&folder, "");
    assert!(ran.out.contains("name,id\none,1\n,2\n"), "{}{}", ran.out, ran.err);
}

#[test]
fn a_pipeline_with_mistakes_is_not_run() {
    let pipeline =
        "pipeline p { every: 0s }\nsource lines = stdin()\nfrom lines |> where lien != \"\" |> into console\n";
    let ran = once(&folder(pipeline, &[]), "one\n");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.err.contains("error[unknown-column]: "), "{}", ran.err);
}

#[test]
fn ctrl_c_ends_a_run_after_the_batch() {
    let pipeline = "pipeline p { every: 50ms }\nsource lines = files(\"in/*.txt\")\nfrom lines |> into console\n";
    let folder = folder(pipeline, &[("in/a.txt", "one\n")]);
    let mut child = command(folder.path(), &["run", "p.stream"]).spawn().unwrap();
    let mut console = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("one") {
        line.clear();
        assert_ne!(console.read_line(&mut line).unwrap(), 0, "the run ended by itself");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(" rows in, "), "{said}");
}

#[test]
fn rows_go_through_a_program_beside_the_pipeline_and_are_measured() {
    let pipeline = "pipeline p { every: 1s }\n\
        source orders = files(\"in/*.json\") { format: json, schema: { id: string, amount: int64 } } bad drop\n\
        stream scored = from orders |> meter seen = count(), biggest = max(amount)\n\
          |> through exec(\"./score.sh --x 'a b'\") with { format: csv, schema: { id: string, what: string } } bad drop\n\
        from scored |> into files(\"out\") { format: csv }\n";
    let script = "#!/bin/sh\ncat > /dev/null\necho id,what\necho \"$1,$2\"\nprintf 'half a line\\n'\necho told >&2\n";
    let folder = folder(
        pipeline,
        &[("in/a.json", "{\"id\": \"1\", \"amount\": 5}\n{\"id\": \"2\", \"amount\": 7}\n"), ("score.sh", script)],
    );
    let mut rights = fs::metadata(folder.path().join("score.sh")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0o755);
    fs::set_permissions(folder.path().join("score.sh"), rights).unwrap();
    let elsewhere = TempDir::new().unwrap();
    let path = folder.path().join("p.stream");
    let ran = millstream_in(elsewhere.path(), &["run", path.to_str().unwrap(), "--once"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("seen of scored: 2\nbiggest of scored: 7\n"), "{}", ran.err);
    assert_eq!(written(&folder.path().join("out")), "id,what\n--x,a b\n");
}

/// A pipeline that runs until it is told to end.
fn started(folder: &TempDir, args: &[&str]) -> std::process::Child {
    let args: Vec<&str> = ["run", "p.stream"].into_iter().chain(args.iter().copied()).collect();
    command(folder.path(), &args).spawn().unwrap()
}

/// Asks a server that may not be up yet.
fn asked(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    loop {
        if let Ok(mut stream) = std::net::TcpStream::connect(address) {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            return answer;
        }
        std::thread::yield_now();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_run_ends_after_so_many_batches_or_so_long() {
    let pipeline =
        "pipeline p { every: 20ms }\nsource n = generate() { rows_per_second: 1000 }\nfrom n |> into discard\n";
    let folder = folder(pipeline, &[]);
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--batches", "3"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("3 batches, "), "{}", ran.err);
    let began = std::time::Instant::now();
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--for", "300ms"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(began.elapsed() >= std::time::Duration::from_millis(300));
    let ran = millstream_in(folder.path(), &["run", "p.stream", "--for", "soon"], "");
    assert!(ran.code == 2 && ran.err.contains("write a number with a unit"), "{}", ran.err);
}

#[test]
fn progress_is_an_object_a_batch_and_the_log_may_be_json() {
    let pipeline = "pipeline p { every: 1s }\n\
        source lines = files(\"in/*.txt\") { max_rows: 1 }\nfrom lines |> into discard\n";
    let folder = folder(pipeline, &[("in/a.txt", "one\ntwo\n")]);
    let args = ["run", "p.stream", "--once", "--progress", "progress.jsonl", "--log-format", "json"];
    let ran = millstream_in(folder.path(), &args, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let written = fs::read_to_string(folder.path().join("progress.jsonl")).unwrap();
    let objects: Vec<serde_json::Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rows: Vec<_> = objects.iter().map(|object| object["numInputRows"].as_u64().unwrap()).collect();
    assert_eq!(rows, [1, 1]);
    assert_eq!((&objects[1]["name"], &objects[1]["batchId"]), (&"p".into(), &1.into()));
    let logged: Vec<serde_json::Value> = ran.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(
        logged.iter().filter(|line| line["message"] == "batch" && line["rows_in"] == 1).count(),
        2,
        "{}",
        ran.err
    );
}

#[test]
fn a_profile_says_where_the_time_went() {
    let pipeline = "pipeline p { every: 1s, checkpoint: \"state\" }\n\
        source lines = files(\"in/*.txt\") { max_rows: 1 }\n\
        stream counts = from lines |> where line != \"two\" |> aggregate count() as n by line per batch\n\
        from counts |> into files(\"out\") { format: json }\n";
    let folder = folder(pipeline, &[("in/a.txt", "one\ntwo\nthree\n")]);
    let ran = millstream_in(folder.path(), &["run", "--profile", "p.stream", "--once"], "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let (_, table) = ran.err.split_once("profile of p: 3 batches, ").expect(&ran.err);
    let row = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {table}"));
        line[name.len()..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("source lines")[5..], ["3", "14b"], "{table}");
    assert_eq!(row("counts |> where")[5..7], ["3", "2"], "{table}");
    assert_eq!(row("counts |> aggregate")[5..7], ["2", "2"], "{table}");
    assert_eq!(row("counts |> into files")[5..], ["2", "2"], "{table}");
    assert!(row("commit")[1].ends_with('%'), "{table}");
    let stacks = fs::read_to_string(folder.path().join("profile.folded")).unwrap();
    for stack in ["p;reading;lines ", "p;computing;counts;aggregate ", "p;writing;counts;files ", "p;committing "] {
        let count =
            stacks.lines().find_map(|line| line.strip_prefix(stack)).unwrap_or_else(|| panic!("{stack} in {stacks}"));
        assert!(count.parse::<u64>().unwrap() > 0, "{stacks}");
    }

    let ran = millstream_in(folder.path(), &["run", "--profile=other.folded", ".", "--once"], "");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("a profile is of one pipeline"), "{}", ran.err);
}

#[test]
fn what_was_received_is_worked_off_before_a_run_ends() {
    use std::io::Write;
    let port = free_port();
    let pipeline = format!(
        "pipeline p {{ every: 1h }}\nsource lines = listen(\"127.0.0.1:{port}\")\nfrom lines |> into console {{ format: csv }}\n"
    );
    let metrics = format!("127.0.0.1:{}", free_port());
    let folder = folder(&pipeline, &[]);
    let child = started(&folder, &["--metrics", &metrics]);
    assert!(asked(&metrics, "/ready").starts_with("HTTP/1.1 503"), "the first batch is an hour away");
    // It listens from the first batch on, which the first signal brings; rows sent before would have nobody to come to.
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    let folder = self::folder(&pipeline.replace("1h", "200ms"), &[]);
    let child = started(&folder, &["--metrics", &metrics]);
    while !asked(&metrics, "/ready").starts_with("HTTP/1.1 200") {}
    let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    for n in 0..1000 {
        writeln!(client, "row {n}").unwrap();
    }
    drop(client);
    // Every row is in the buffer when the metrics, or the console, say so; here it is enough that the peer is closed.
    while !asked(&metrics, "/metrics").contains("rows_in_total{pipeline=\"p\",stream=\"lines\",stage=\"source\"} 1000")
    {
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(" 1,000 rows in, 1,000 rows out"), "{said}");
}

#[test]
fn ticks_that_are_missed_are_counted_caught_up_on_or_fatal() {
    let pipeline = |how: &str| {
        format!(
            "pipeline p {{ every: 100ms, on_overrun: {how} }}\nsource n = generate() {{ rows_per_second: 10 }}\n\
             from n |> into exec(\"sleep\") {{ args: [\"0.45\"], format: json }}\n"
        )
    };
    let run = |how: &str| {
        let folder = folder(&pipeline(how), &[]);
        millstream_in(folder.path(), &["run", "p.stream", "--batches", "5"], "")
    };
    let skipped = run("skip");
    assert!(skipped.code == 0 && skipped.err.contains("ticks were skipped"), "{}", skipped.err);
    let caught_up = run("catch_up");
    assert!(caught_up.code == 0 && !caught_up.err.contains("ticks were skipped"), "{}", caught_up.err);
    let failed = run("fail");
    assert!(
        failed.code == 1 && failed.err.contains("longer than `every`, and `on_overrun` is `fail`"),
        "{}",
        failed.err
    );
}

#[test]
fn values_that_do_not_fit_are_null_where_that_is_asked_for() {
    let pipeline = |format: &str| {
        format!(
            "pipeline p {{ every: 1s }}\nsource rows = files(\"in/a.txt\") {{ format: {format}, \
             schema: {{ id: int64?, amount: decimal(8, 2)?, name: string }}, metadata: [line] }} bad null\n\
             from rows |> into files(\"out\") {{ format: csv }}\n"
        )
    };
    let json = "{\"id\": 1, \"amount\": 5, \"name\": \"a\"}\n{\"id\": \"x\", \"amount\": 7, \"name\": \"b\"}\nrubbish\n\
                {\"id\": 4, \"amount\": [], \"name\": \"d\"}\n{\"id\": 5, \"amount\": 1}\n";
    let folder = self::folder(&pipeline("json"), &[("in/a.txt", json)]);
    let ran = once(&folder, "");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows = "id,amount,name,_line\n1,5.00,a,1\n,7.00,b,2\n4,,d,4\n";
    assert_eq!(written(&folder.path().join("out")), rows, "{}", ran.err);
    assert!(
        ran.err.contains("in/a.txt:3 cannot be read") && ran.err.contains("in/a.txt:5 cannot be read"),
        "{}",
        ran.err
    );

    let csv = "id,amount,name\n1,5,a\nx,7,b\n3,y,c\n";
    let folder = self::folder(&pipeline("csv"), &[("in/a.txt", csv)]);
    let ran = once(&folder, "");
    assert_eq!(
        written(&folder.path().join("out")),
        "id,amount,name,_line\n1,5.00,a,2\n,7.00,b,3\n3,,c,4\n",
        "{}",
        ran.err
    );

    let logfmt = "id=1 amount=5 name=a\nid=x amount=7 name=b\n";
    let folder = self::folder(&pipeline("logfmt"), &[("in/a.txt", logfmt)]);
    once(&folder, "");
    assert_eq!(written(&folder.path().join("out")), "id,amount,name,_line\n1,5.00,a,1\n,7.00,b,2\n");

    let regex = pipeline("regex(r\"^(?<id>\\S+) (?<amount>\\S+) (?<name>\\w+)\")");
    let folder = self::folder(&regex, &[("in/a.txt", "1 5 a\nx 7 b\n")]);
    once(&folder, "");
    assert_eq!(written(&folder.path().join("out")), "id,amount,name,_line\n1,5.00,a,1\n,7.00,b,2\n");

    let ran = once(&self::folder(&pipeline("parquet"), &[("in/a.txt", "")]), "");
    assert!(
        ran.code == 1 && ran.err.contains("`bad null` needs a format that reads the values of a line one by one"),
        "{}",
        ran.err
    );
}
