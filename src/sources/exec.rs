//! `exec`: a program in any language whose output is rows.

use crate::connect::{net, texts};
use crate::plan::catalog::RowsFrom;
use crate::plan::operator::NotRunnable;
use crate::plan::{Doc, OptionKind, OptionSpec, SourceEntry};
use crate::sources::{appends, nothing_extra};

const RESTART: &[(&str, &str)] = &[
    ("always", "whenever it ends"),
    ("on_failure", "when it ends with another code than 0"),
    ("never", "not at all; its end is the end of the source"),
];

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::optional("args", texts(), "its arguments, each passed on as it is"),
        OptionSpec::optional("env", OptionKind::Map(Box::new(OptionKind::Secret)), "variables of its environment"),
        OptionSpec::optional("folder", OptionKind::Path, "where it runs; the pipeline's own folder otherwise"),
        OptionSpec::with_default("restart", OptionKind::Symbol(RESTART), "always", "when it is started again"),
    ];
    options.extend(net::reconnecting());
    options.extend(net::receiving());
    SourceEntry {
        doc: Doc::new("exec", "starts a program and reads the lines it prints", "exec(\"PROGRAM\") { OPTIONS }")
            .details("Spark's custom receiver, in any language: what it prints is rows, what it says on stderr goes to the log.")
            .example("source readings = exec(\"./read-sensor\") { args: [\"--all\"], format: csv, schema: { id: string, celsius: float64 } }")
            .alias("receiverStream"),
        args: vec![OptionSpec::required("program", OptionKind::Path, "the program; a bare name is looked up on the PATH")],
        options,
        rows: RowsFrom::Format { default: "text", extra: nothing_extra },
        rewinds: false,
        table: false,
        mode: appends,
        feature: None,
        open: SourceEntry::by(|_| Err(NotRunnable::not_yet("source", "exec"))),
    }
}
