//! Where rows go: one file each, one list. A sink knows no operator and no source, and a batch by its number only.

pub mod console;
pub mod discard;
pub mod exec;
pub mod files;
pub mod foreach;
pub mod http;
pub mod kafka;
pub(crate) mod packed;
pub mod postgres;
mod publish;

pub mod redis;
pub mod tcp;
pub mod text_files;
mod texts;

use crate::plan::catalog::{Changes, Endpoint};
use crate::plan::operator::NotRunnable;
use crate::plan::seams::FormatCodec;
use crate::plan::{Settings, SinkEntry};

/// Every sink, in the order they are listed.
pub fn entries() -> Vec<SinkEntry> {
    vec![
        console::entry(),
        console::stderr_entry(),
        files::entry(),
        text_files::entry(),
        tcp::entry(),
        http::entry(),
        exec::entry(),
        foreach::entry(),
        discard::entry(),
        kafka::entry(),
        postgres::entry(),
        redis::entry(),
    ]
}

/// For sinks that show or pass on whatever comes.
fn takes_anything(_: &Settings) -> Changes {
    Changes::Any
}

/// For sinks that cannot take back rows.
fn appends_only(_: &Settings) -> Changes {
    Changes::AppendOnly
}

/// For sinks that several streams may share.
fn shared(_: &Settings) -> Option<String> {
    None
}

/// The format of a sink, for the rows it is given.
fn codec(endpoint: &Endpoint) -> Result<Box<dyn FormatCodec>, NotRunnable> {
    let format = endpoint.format.as_ref();
    let format = format.ok_or_else(|| NotRunnable(format!("sink `{}` has no format", endpoint.word)))?;
    (format.entry.open)(format, &endpoint.schema)
}

/// The columns an option names, itself or in an expression.
fn columns_of(settings: &Settings, name: &str) -> Vec<String> {
    use crate::plan::{Node, OptionValue};
    match settings.get(name) {
        Some(OptionValue::Expr(expr)) => {
            let mut found = Vec::new();
            expr.visit(&mut |e| match &e.node {
                Node::Column { name, .. } if !found.contains(name) => found.push(name.clone()),
                _ => {}
            });
            found
        }
        _ => settings.texts(name).into_iter().map(str::to_owned).collect(),
    }
}
