//! `postgres`: a table of a PostgreSQL database: whole, by an increasing column, or its changes.

use crate::connect::postgres::{Decoder, Server, Session, failed, quoted, table};
use crate::connect::{columns, postgres, texts};
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{Endpoint, RowsFrom};
use crate::plan::edge::Mode;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Limits, Position, Positions, Read, Source, Split};
use crate::plan::{Conflict, Doc, OptionKind, OptionSpec, Settings, SourceEntry};
use crate::sources::conform::Conforming;
use crate::sources::{nothing_extra, untold};

/// So many rows are asked for at a time.
const ROWS: usize = 50_000;

/// The column that a position is made of, beside those that are asked for.
const PLACE: &str = "millstream place";

const READ: &[(&str, &str)] = &[
    ("rows", "rows whose `column` is greater than the greatest seen"),
    ("changes", "inserts, updates and deletes, by logical replication"),
    ("all", "all rows, once; what a table does"),
];

/// The entry.
pub fn entry() -> SourceEntry {
    let mut options = vec![
        OptionSpec::with_default("read", OptionKind::Symbol(READ), "all", "which rows it reads"),
        OptionSpec::optional("column", OptionKind::Column, "the increasing column for `read: rows`"),
        OptionSpec::optional("key", columns(), "the columns that identify a row for `read: changes`"),
        OptionSpec::optional(
            "slot",
            OptionKind::Text,
            "the replication slot for `read: changes`; named after the pipeline otherwise",
        ),
        OptionSpec::optional("publication", texts(), "the publications for `read: changes`"),
        OptionSpec::with_default(
            "max_slot_lag",
            OptionKind::Size,
            "10gb",
            "how far the slot may fall behind before the pipeline stops",
        ),
        OptionSpec::optional("filter", OptionKind::Text, "an SQL condition that the server tests"),
    ];
    options.extend(postgres::connection());
    SourceEntry {
        doc: Doc::new("postgres", "reads a table of a PostgreSQL database, or its changes", "postgres(\"TABLE\") { url: SECRET, schema: TYPE, OPTIONS }")
            .details(
                "`read: rows` asks for rows whose `column` is greater than the greatest that was seen, which is the \
                 position: a restart goes on behind it, rows with equal values are read together. A row that becomes \
                 visible after one with a greater value is not found: a `serial` column filled by long transactions \
                 does that. `read: all` reads everything once, and is what a table wants: with `refresh: 5min` it is \
                 read anew every five minutes. `read: changes` can be checked, but not run yet; it will need \
                 `wal_level = logical` on the server and give rows that take back earlier ones.",
            )
            .example("source orders = postgres(\"orders\") { url: env(\"PG_URL\"), read: rows, column: id, schema: { id: int64, amount: decimal(12, 2) } }")
            .example("table users = postgres(\"users\") { url: env(\"PG_URL\"), refresh: 5min, schema: { user_id: string, country: string } }")
            .example("source users = postgres(\"users\") { url: secret(\"pg/url\"), read: changes, key: user_id, schema: { user_id: string, country: string } }")
            .alias("jdbc"),
        args: vec![OptionSpec::required("table", OptionKind::Text, "the table, with its schema where that is not `public`")],
        options,
        rows: RowsFrom::Schema { default: None, extra: nothing_extra },
        rewinds: true,
        table: true,
        mode,
        feature: None,
        conflicts,
        sample: None,
        open: SourceEntry::by(open),
    }
}

fn mode(settings: &Settings) -> Mode {
    match settings.text("read") {
        Some("changes") => Mode::Changes { key: settings.texts("key").into_iter().map(str::to_owned).collect() },
        _ => Mode::Append,
    }
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let mut found: Vec<Conflict> = postgres::conflicts(settings).into_iter().collect();
    let read = settings.text("read").unwrap_or("all");
    if read == "rows" && settings.get("column").is_none() {
        let message = "`read: rows` wants `column` beside it";
        found.push(Conflict::between("read", message, "name a column whose values only grow:\n  column: id"));
    }
    let mut idle = |option: &'static str, way: &str| {
        if settings.is_written(option) && read != way {
            let message = format!("`{option}` means nothing for `read: {read}`");
            found.push(Conflict::between(option, message, format!("leave it out, or write:\n  read: {way}")));
        }
    };
    idle("column", "rows");
    for option in ["key", "slot", "publication", "max_slot_lag"] {
        idle(option, "changes");
    }
    found.extend(untold(settings));
    found
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Source>, NotRunnable> {
    let settings = &endpoint.settings;
    if settings.text("read") == Some("changes") {
        return Err(NotRunnable("source `postgres` with `read: changes` can be checked, but not run yet".into()));
    }
    let asked = |column: &Column| {
        let (ty, expression) = Decoder::asked(&column.slot.ty, &format!("t.{}", quoted(&column.name)));
        (Column::new(column.name.clone(), Slot::nullable(ty)), expression)
    };
    let (mut raw, mut asked): (Vec<Column>, Vec<String>) = endpoint.schema.columns.iter().map(asked).unzip();
    let conforming = Conforming::new(&Schema::new(raw.clone()), &endpoint.schema)?;
    let grows = settings.text("column").map(|column| format!("t.{}", quoted(column)));
    if let Some(column) = &grows {
        raw.push(Column::new(PLACE, Slot::nullable(Type::String)));
        asked.push(format!("{column}::text"));
    }
    Ok(Box::new(Postgres {
        server: Server::of(endpoint)?,
        table: settings.text("table").unwrap_or_default().to_owned(),
        raw,
        asked: asked.join(", "),
        filter: settings.text("filter").map(|filter| format!("({filter})")),
        grows,
        conforming,
        session: None,
    }))
}

struct Postgres {
    server: Server,
    table: String,
    /// The columns as they come, and what is asked for them.
    raw: Vec<Column>,
    asked: String,
    filter: Option<String>,
    /// The column whose values only grow; none: all rows are read, once.
    grows: Option<String>,
    conforming: Conforming,
    session: Option<Session>,
}

impl Source for Postgres {
    fn discover(&mut self, _: &Positions, _: &Limits) -> Result<Vec<Split>, TaskError> {
        Ok(vec![Split { id: self.table.clone() }])
    }

    fn read(&mut self, _: &Split, from: &Position, limits: &Limits) -> Result<Read, TaskError> {
        let mut read = Read { exhausted: true, to: from.clone(), ..Read::default() };
        let at = String::from_utf8(from.0.clone());
        let at = at.map_err(|_| TaskError::Stop(format!("the position in `{}` cannot be read", self.table)))?;
        if self.grows.is_none() && !at.is_empty() {
            return Ok(read);
        }
        let most = ROWS.min(limits.rows).max(1);
        let statement = self.statement(&at, most);
        let parameters: Vec<&str> = if at.is_empty() { Vec::new() } else { vec![at.as_str()] };
        let mut rows = Decoder::new(self.raw.clone());
        let mut last = None;
        let mut session = match self.session.take() {
            Some(session) => session,
            None => Session::begin(&self.server).map_err(|trouble| failed("connect to postgres", &trouble))?,
        };
        let (placed, mut bytes) = (self.grows.is_some(), 0);
        let done = session.read(&statement, &parameters, |values| {
            bytes += values.iter().map(|value| value.map_or(0, <[u8]>::len) as u64).sum::<u64>();
            if let Some(place) = values.last().copied().flatten().filter(|_| placed) {
                last = Some(place.to_vec());
            }
            rows.add(values)
        });
        done.map_err(|trouble| failed(&format!("read the table `{}`", self.table), &trouble))?;
        self.session = Some(session);
        read.bytes = bytes;
        read.exhausted = !placed || rows.rows() < most;
        read.to = match last {
            Some(place) => Position(place),
            None if placed => from.clone(),
            None => Position(b"all".to_vec()),
        };
        let block = rows.finish().map_err(|e| TaskError::Bug(e.to_string()))?;
        let block = block.project(&(0..block.num_columns() - usize::from(placed)).collect::<Vec<_>>());
        let block = block.map_err(|e| TaskError::Bug(e.to_string()))?;
        let place = |row: usize| (self.table.clone(), row as u64 + 1);
        self.conforming.add(&block, |_| None, place, &mut read)?;
        Ok(read)
    }

    fn ack(&mut self, _: &Split, _: &Position) -> Result<(), TaskError> {
        Ok(())
    }

    fn shown(&self, position: &Position) -> String {
        String::from_utf8_lossy(&position.0).into_owned()
    }
}

impl Postgres {
    /// What is asked for from a position on.
    fn statement(&self, at: &str, most: usize) -> String {
        let mut conditions: Vec<String> = self.filter.iter().cloned().collect();
        let mut end = String::new();
        if let Some(column) = &self.grows {
            conditions.push(if at.is_empty() { format!("{column} is not null") } else { format!("{column} > $1") });
            end = format!(" order by {column} fetch first {most} rows with ties");
        }
        let among = if conditions.is_empty() { String::new() } else { format!(" where {}", conditions.join(" and ")) };
        format!("select {} from {} t{among}{end}", self.asked, table(&self.table))
    }
}
