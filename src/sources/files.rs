//! `files`: the files a pattern matches, each read once, as they appear.

mod after;
mod columns;
mod listing;
mod opened;
mod pattern;
mod place;
mod reader;
mod sample;
mod tail;
mod waiting;
mod watch;

use crate::connect::COUNT;
use crate::model::{Column, Slot, Type};
use crate::plan::catalog::RowsFrom;
use crate::plan::{Doc, OptionKind, OptionSpec, Settings, SourceEntry};
use crate::sources::appends;

const ORDER: &[(&str, &str)] = &[("name", "by path"), ("time", "by the time of the last change, then by path")];
const START: &[(&str, &str)] =
    &[("earliest", "with the files that are there already"), ("latest", "with files that appear after the start")];
const AFTER: &[(&str, &str)] = &[
    ("keep", "it stays where it is"),
    ("delete", "it is deleted once its rows are delivered"),
    ("move", "it is moved to `move_to` once its rows are delivered"),
];
const COMPRESSION: &[(&str, &str)] = &[
    ("auto", "by the ending: `.gz`, `.zst`"),
    ("none", "never, whatever the ending"),
    ("gzip", "all of them"),
    ("zstd", "all of them"),
];
const METADATA: &[(&str, &str)] = &[
    ("file", "`_file: string`, the path"),
    ("line", "`_line: int64`, the line in the file, from 1"),
    ("mtime", "`_mtime: timestamp`, when the file was last changed"),
];

/// The entry.
pub fn entry() -> SourceEntry {
    SourceEntry {
        doc: Doc::new(
            "files",
            "reads the files that a pattern matches, each once, as they appear",
            "files(\"PATTERN\") { OPTIONS }",
        )
        .details(
            "`*` and `?` match within a name, `**` any number of folders; a folder alone means the files in it. Left out, \
             each told of once with its reason: names that start with `.` or `_` and names that end with `.tmp` or `~`, what \
             is no plain file, what may not be read. A file is read once it holds something and has been left alone for \
             `settle`; one that takes longer to write is better written elsewhere on the same disk and renamed into place. As \
             a table, all files together are its rows.\n\nWith `schema: infer` the front of the first files says what the columns are \
             (JSON, CSV, Parquet, Avro, Arrow); they are told once and stay until the process ends.\n\nEach file is read once, by its path: what is \
             appended to a file that was read, and another file of the same name, is left out and told of (with `after: \
             delete` or `move` a name is free again once its file is cleared away). A file that is not what it was when its \
             first part was read, or is gone, is given up, which is told of too. A file larger than a batch goes on in the \
             next one, packed files and columnar ones as well. At most 10,000 files are read in a batch where `max_files` \
             does not say otherwise. Files ending in `.gz` or `.zst` are unpacked; damaged ones give their whole lines and a \
             bad row.\n\nWith `tail: true` files that grow are followed by whole lines; the last line waits until it is whole, \
             except under `--once`. A file is known by its number on the disk, so a log that is renamed is read to its end, \
             under whatever name in its folder, and the new file of its name from its start. One that is cut short is read \
             from its start again. Packed copies are left out. With `start: latest` only lines that come after the start \
             count.\n\nFolders are listed every `poll`, and at once where the system tells of a change; a folder whose time \
             has not changed is not listed again, so waiting for very many files costs little. `after` clears a file away \
             when its rows are delivered; `move` keeps the folders below those that all files have in common, and \
             overwrites nothing.",
        )
        .example("source lines = files(\"data/*.txt\")")
        .example(
            "source orders = files(\"data/orders/**/*.json\") { format: json, \
             schema: { id: string, amount: decimal(12, 2) }, max_files: 1 }",
        )
        .example("source requests = files(\"/var/log/app/*.log\") { format: logfmt, schema: { level: string, msg: string? }, tail: true }")
        .example(
            "source sales = files(\"sales/**/*.csv.gz\") { format: csv, schema: { id: int64, day: date }, hive: true, \
             after: move, move_to: \"done\" }",
        )
        .alias("textFileStream")
        .alias("fileStream"),
        args: vec![OptionSpec::required("path", OptionKind::Path, "a file, a folder or a pattern")],
        options: options(),
        rows: RowsFrom::Format { default: "text", extra: metadata_columns },
        rewinds: true,
        table: true,
        mode: appends,
        feature: None,
        conflicts: reader::conflicts,
        sample: Some(sample::samples),
        open: SourceEntry::by(reader::open),
    }
}

fn options() -> Vec<OptionSpec> {
    use OptionKind::{Bool, Duration, Path, Size, Symbol};
    let start = OptionKind::AnyOf(vec![Symbol(START), OptionKind::Timestamp]);
    let metadata = OptionKind::List(Box::new(Symbol(METADATA)));
    let settle = "how long a file must have been left alone before it is read; `--once` does not wait";
    let hive = "whether folders named `key=value` give the columns of those names";
    let poll = "how often folders are listed, whatever the system reports of changes";
    vec![
        OptionSpec::with_default("poll", Duration, "1s", poll),
        OptionSpec::with_default("order", Symbol(ORDER), "name", "which file comes first"),
        OptionSpec::with_default("start", start, "earliest", "with which files it starts: those changed since"),
        OptionSpec::optional("max_files", COUNT, "at most so many files a batch"),
        OptionSpec::with_default("tail", Bool, "false", "whether files that grow are followed, by whole lines"),
        OptionSpec::with_default("settle", Duration, "500ms", settle),
        OptionSpec::with_default("after", Symbol(AFTER), "keep", "what becomes of a file that was read"),
        OptionSpec::optional("move_to", Path, "the folder for `after: move`"),
        OptionSpec::with_default(
            "recursive",
            Bool,
            "false",
            "whether files in folders below count as well, as with `**`",
        ),
        OptionSpec::with_default("hive", Bool, "false", hive),
        OptionSpec::with_default("compression", Symbol(COMPRESSION), "auto", "whether the files are compressed"),
        OptionSpec::optional("metadata", metadata, "columns about where a row comes from"),
        OptionSpec::with_default("max_line", Size, "16mb", "a longer line is a bad row"),
    ]
}

fn metadata_columns(settings: &Settings) -> Vec<Column> {
    let column = |word: &str| match word {
        "file" => Some(Column::new("_file", Slot::required(Type::String))),
        "line" => Some(Column::new("_line", Slot::required(Type::Int64))),
        "mtime" => Some(Column::new("_mtime", Slot::required(Type::Timestamp(None)))),
        _ => None,
    };
    settings.texts("metadata").into_iter().filter_map(column).collect()
}
