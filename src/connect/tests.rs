//! What the tests of sources and sinks have in common: endpoints made by the checker from a text, certificates, ports,
//! and reading until something has come.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::check::{Overrides, Program, ProgramFile, check};
use crate::plan::catalog::{Endpoint, EndpointEntry};
use crate::plan::graph::Work;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{BadRow, Bell, Limits, Position, Positions, Sink, Source, Split};

/// How long something may take that is to come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The source `x` of a text: `source x = ...`.
pub(crate) fn source(text: &str, base: &Path) -> Result<Box<dyn Source>, NotRunnable> {
    let endpoint = source_endpoint(text, base);
    match &endpoint.entry {
        EndpointEntry::Source(entry) => (entry.open)(&endpoint),
        EndpointEntry::Sink(_) => panic!("a source is no sink"),
    }
}

/// What the source of a text is opened with.
pub(crate) fn source_endpoint(text: &str, base: &Path) -> Endpoint {
    endpoint(&format!("{text}\nfrom x |> into discard\n"), base, |work| match work {
        Work::Source(endpoint) => Some(endpoint.clone()),
        _ => None,
    })
}

/// Rows as the sinks of tests take them.
pub(crate) fn rows(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("name", DataType::Utf8, true)]);
    let ids = Int64Array::from_iter_values(rows.iter().map(|(id, _)| *id));
    let names = rows.iter().map(|(_, name)| *name).collect::<StringArray>();
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(names)]).unwrap()
}

/// The sink of a text: `into ...`, for rows with `id: int64, name: string?`.
pub(crate) fn sink(text: &str, base: &Path) -> Result<Box<dyn Sink>, NotRunnable> {
    let endpoint = sink_endpoint(text, base);
    match &endpoint.entry {
        EndpointEntry::Sink(entry) => (entry.open)(&endpoint),
        EndpointEntry::Source(_) => panic!("a sink is no source"),
    }
}

/// What the sink of a text is opened with.
pub(crate) fn sink_endpoint(text: &str, base: &Path) -> Endpoint {
    let text = format!(
        "source x = queue() {{ schema: {{ id: int64, name: string? }} }}\nfrom x |> {text} rejected to no\nfrom no |> into discard\n"
    );
    endpoint(&text, base, |work| match work {
        Work::Sink(endpoint) if endpoint.word != "discard" => Some(endpoint.clone()),
        _ => None,
    })
}

fn endpoint(text: &str, base: &Path, pick: impl Fn(&Work) -> Option<Endpoint>) -> Endpoint {
    let text = format!("pipeline p {{ every: 1s }}\n{text}");
    let mut sources = millstream_dsl::SourceMap::new();
    let id = sources.add("p.stream", &text);
    let tree = millstream_dsl::parse::file(id, &text).tree;
    let file = ProgramFile { id, path: base.join("p.stream"), tree, imports: Vec::new() };
    let program = Program { sources, files: vec![file], incomplete: false, ..Program::default() };
    let checked = check(&program, &crate::builtins::catalog(), &Overrides::new());
    let errors: Vec<_> = checked.problems.iter().filter(|problem| problem.is_error()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let plan = checked.plan;
    plan.ordered().into_iter().find_map(|id| pick(&plan.node(id).work)).unwrap()
}

/// An address that nobody listens at.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Without limits.
pub(crate) const ALL: Limits = Limits { rows: usize::MAX, bytes: u64::MAX, now: 0, drain: false, threads: 1 };

/// A source that is read bit by bit.
pub(crate) struct Reading {
    pub(crate) source: Box<dyn Source>,
    pub(crate) limits: Limits,
    bell: Bell,
    at: Position,
    split: Split,
    /// What came, each row as JSON or as its only text.
    pub(crate) rows: Vec<String>,
    pub(crate) bad: Vec<BadRow>,
}

impl Reading {
    /// Starts it.
    pub(crate) fn start(mut source: Box<dyn Source>, limits: Limits) -> Self {
        let bell = Bell::default();
        source.ring(&bell);
        let split = source.discover(&Positions::new(), &limits).unwrap().remove(0);
        Reading { source, limits, bell, at: Position::default(), split, rows: Vec::new(), bad: Vec::new() }
    }

    /// Reads once; how many rows came.
    pub(crate) fn read(&mut self) -> Result<usize, TaskError> {
        let read = self.source.read(&self.split, &self.at, &self.limits)?;
        self.at = read.to;
        let before = self.rows.len() + self.bad.len();
        self.rows.extend(read.blocks.iter().flat_map(texts));
        self.bad.extend(read.bad);
        Ok(self.rows.len() + self.bad.len() - before)
    }

    /// Reads until so many rows have come, bad ones too.
    pub(crate) fn until(&mut self, count: usize) -> &mut Self {
        let start = Instant::now();
        while self.rows.len() + self.bad.len() < count {
            self.read().unwrap();
            if self.rows.len() + self.bad.len() < count {
                self.bell.wait(Duration::from_millis(200));
            }
            assert!(start.elapsed() < PATIENCE, "only {:?} and {:?} came", self.rows, self.bad);
        }
        self
    }

    /// Reads until the source has ended or failed.
    pub(crate) fn finish(&mut self) -> Result<(), TaskError> {
        let start = Instant::now();
        while !self.source.ended() {
            if self.read()? == 0 {
                self.bell.wait(Duration::from_millis(200));
            }
            assert!(start.elapsed() < PATIENCE, "it does not end: {:?}", self.rows);
        }
        Ok(())
    }
}

/// Each row as its only text, or as JSON.
pub(crate) fn texts(block: &RecordBatch) -> Vec<String> {
    if let [column] = block.columns()
        && let Some(texts) = column.as_string_opt::<i32>()
    {
        return texts.iter().map(|text| text.unwrap_or("null").to_owned()).collect();
    }
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(block).unwrap();
    String::from_utf8(writer.into_inner()).unwrap().lines().map(str::to_owned).collect()
}

/// Writes `ca.pem`, and `server.pem`, `server.key`, `client.pem` and `client.key` signed by it, all for 127.0.0.1; keys
/// are secrets of these names.
pub(crate) fn certificates(folder: &Path) {
    let mut params = CertificateParams::new(vec!["test authority".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::create_dir_all(folder.join("secrets")).unwrap();
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(folder.join(format!("secrets/{name}.key")), key.serialize_pem()).unwrap();
    }
}
