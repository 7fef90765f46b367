//! Who is measured, and how each is started for a workload.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::generate::tables_beside;
use crate::measure::Line;
use crate::moments::read_moment;
use crate::workload::Workload;

/// The file in which a program other than Millstream leaves a line with its milliseconds for each batch.
pub const BATCHES: &str = "batches.txt";
/// The file in which Millstream tells of each batch.
const PROGRESS: &str = "progress.txt";

/// A program that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Millstream.
    Millstream,
    /// Millstream with a checkpoint.
    Durable,
    /// The hand-written program.
    Limit,
    /// DuckDB in a loop over the files.
    DuckDb,
    /// Polars in a loop over the files.
    Polars,
    /// Spark Structured Streaming.
    Spark,
    /// Flink SQL.
    Flink,
}

impl Program {
    /// All of them, in the order of the table.
    pub const ALL: [Program; 7] = [
        Program::Limit,
        Program::Millstream,
        Program::Durable,
        Program::DuckDb,
        Program::Polars,
        Program::Spark,
        Program::Flink,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Program::Millstream => "millstream",
            Program::Durable => "millstream-durable",
            Program::Limit => "limit",
            Program::DuckDb => "duckdb",
            Program::Polars => "polars",
            Program::Spark => "spark",
            Program::Flink => "flink",
        }
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<Program> {
        Program::ALL.into_iter().find(|program| program.name() == name)
    }

    /// Whether its results hold what comes only when the input is over. What goes on after a crash keeps it.
    pub fn closes(self) -> bool {
        !matches!(self, Program::Durable | Program::Spark)
    }

    /// Whether it outlives a crash without a row lost or twice.
    pub fn durable(self) -> bool {
        matches!(self, Program::Durable | Program::Spark)
    }
}

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// This program.
    pub own: PathBuf,
    /// The folder `tests/bench`.
    pub home: PathBuf,
    /// The binary.
    pub millstream: PathBuf,
    /// A virtual environment with peers, where there is one.
    pub peers: Option<PathBuf>,
    /// The folder that results go to.
    pub results: PathBuf,
}

/// Why a program cannot be measured at a workload; none where it can.
pub fn missing(program: Program, workload: &Workload, places: &Places) -> Option<String> {
    let script = |name: &str| places.home.join("compare").join(name);
    match program {
        Program::Millstream | Program::Durable => None,
        Program::Limit => None,
        Program::DuckDb | Program::Polars | Program::Spark => {
            let package = if program == Program::Spark { "pyspark" } else { program.name() };
            let Some(peers) = &places.peers else { return Some("no peers were installed".into()) };
            let there = fs::read_dir(peers.join("lib")).into_iter().flatten().flatten();
            let there = there.map(|python| python.path().join("site-packages").join(package)).any(|path| path.is_dir());
            (!there).then(|| format!("`{package}` is not installed"))
        }
        Program::Flink => {
            let Some(peers) = &places.peers else { return Some("no peers were installed".into()) };
            if !peers.join("flink/Peer.class").is_file() {
                return Some("Flink is not installed".into());
            }
            let sql = script("flink").join(format!("{}.sql", workload.name));
            let why = "it has no batches, and what this gives follows from them";
            (!sql.is_file()).then(|| why.to_owned())
        }
    }
}

/// Makes a folder ready and says what is to be run in it.
pub fn prepare(program: Program, workload: &Workload, input: &Path, cores: usize, places: &Places) -> io::Result<Line> {
    let folder = places.results.join(format!("{}-{}-{cores}", workload.name, program.name()));
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("out"))?;
    symlink(input, folder.join("in"))?;
    if tables_beside(input).is_dir() {
        symlink(tables_beside(input), folder.join("tables"))?;
    }
    let shown = |path: &Path| path.display().to_string();
    let cores = cores.to_string();
    let script = |name: &str| shown(&places.home.join("compare").join(name));
    let peers = places.peers.clone().unwrap_or_default();
    let mut env = Vec::new();
    let words = match program {
        Program::Millstream | Program::Durable => {
            let text = fs::read_to_string(places.home.join("workloads").join(format!("{}.stream", workload.name)))?;
            let text = if program == Program::Durable { durable(&text) } else { text };
            fs::write(folder.join("run.stream"), text)?;
            let words = ["run", "run.stream", "--once", "--threads", &cores, "--progress", PROGRESS];
            [shown(&places.millstream)].into_iter().chain(words.map(str::to_owned)).collect()
        }
        Program::Limit => {
            let words = [shown(&places.own), "limit".into(), workload.name.into(), shown(input), "out".into(), cores];
            words.to_vec()
        }
        Program::DuckDb | Program::Polars => {
            // Polars asks for it before anything else.
            env.push(("POLARS_MAX_THREADS".into(), cores.clone()));
            let python = shown(&peers.join("bin/python"));
            vec![python, script(&format!("{}_loop.py", program.name())), workload.name.into(), cores]
        }
        Program::Spark => {
            env.push(("SPARK_LOCAL_IP".into(), "127.0.0.1".into()));
            env.push(("PYSPARK_PYTHON".into(), shown(&peers.join("bin/python"))));
            let submit = shown(&peers.join("bin/spark-submit"));
            let master = format!("local[{cores}]");
            let words = ["--master", &master, "--driver-memory", "4g"].map(str::to_owned);
            let rest = [script("spark_stream.py"), workload.name.into(), cores];
            [submit].into_iter().chain(words).chain(rest).collect()
        }
        Program::Flink => {
            let classes = format!("{0}/flink:{0}/flink/lib/*", shown(&peers));
            let sql = places.home.join("compare/flink").join(format!("{}.sql", workload.name));
            let opens = "--add-opens=java.base/java.util=ALL-UNNAMED";
            let words = ["java", "-Xmx4g", opens, "-cp", &classes, "Peer"].map(str::to_owned);
            words.into_iter().chain([shown(&sql), cores]).collect()
        }
    };
    Ok(Line { words, env, folder })
}

/// The same pipeline, but what it remembers outlives the process.
fn durable(text: &str) -> String {
    text.replacen("every: 0s", "every: 0s, checkpoint: \"checkpoint\"", 1)
}

/// The folder, below that of the run, in which the rows are: what goes to the console is beside it.
pub fn rows_in(program: Program, folder: &Path) -> PathBuf {
    let written = folder.join("out");
    let printed = matches!(program, Program::Millstream | Program::Durable)
        && fs::read_dir(&written).is_ok_and(|mut entries| entries.next().is_none());
    if printed { folder.to_owned() } else { written }
}

/// What a program told of its batches.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    /// Milliseconds of each batch with rows.
    pub batches: Vec<f64>,
    /// When the first one was delivered, in microseconds since 1970; only Millstream tells.
    pub first: Option<i64>,
}

/// Reads what a program told of its batches.
pub fn told(program: Program, folder: &Path) -> io::Result<Told> {
    if !matches!(program, Program::Millstream | Program::Durable) {
        let path = folder.join("out").join(BATCHES);
        let text = fs::read_to_string(&path)?;
        let batches = text.lines().map(|line| line.trim().parse::<f64>().map_err(io::Error::other));
        return Ok(Told { batches: batches.collect::<io::Result<_>>()?, first: None });
    }
    let mut told = Told::default();
    for line in fs::read_to_string(folder.join(PROGRESS))?.lines() {
        let batch: Value = serde_json::from_str(line).map_err(io::Error::other)?;
        if batch["numInputRows"].as_u64().unwrap_or_default() == 0 {
            continue;
        }
        let millis = batch["batchDuration"].as_f64().unwrap_or_default();
        told.batches.push(millis);
        let began = batch["timestamp"].as_str().and_then(|at| read_moment(at.as_bytes()));
        told.first = told.first.or(began.map(|began| began + (millis * 1000.0) as i64));
    }
    Ok(told)
}
