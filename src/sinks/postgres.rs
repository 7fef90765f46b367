//! `postgres`: writes into a table, with the batch's number in the same transaction.

mod delivery;
mod statements;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use millstream_dsl::Span;

use crate::connect::{columns, postgres};
use crate::expressions::Compiled;
use crate::model::{Column, Schema, Slot, Type};
use crate::plan::catalog::{Changes, Endpoint};
use crate::plan::operator::{BatchTime, NotRunnable, TaskError};
use crate::plan::seams::{Artifact, Delivered, Giver, Sink};
use crate::plan::{Conflict, Doc, Node, OptionKind, OptionSpec, Settings, SinkEntry, TypedExpr};
use crate::sinks::columns_of;
use crate::sinks::packed::{packed, unpacked};

use delivery::{Base, Refused};
use statements::{Shape, Write};

const WRITE: &[(&str, &str)] = &[
    ("append", "rows are inserted"),
    ("upsert", "a row with a known `key` replaces the row that is there"),
    ("changes", "rows that come replace by `key`, rows that go are deleted"),
    ("replace", "the table holds the rows of the newest batch"),
];
const CREATE: &[(&str, &str)] =
    &[("never", "it must be there"), ("if_missing", "it is made, with the columns of the rows")];
/// The entry.
pub fn entry() -> SinkEntry {
    SinkEntry {
        doc: Doc::new(
            "postgres",
            "writes into a table of a PostgreSQL database",
            "postgres(\"TABLE\") { url: SECRET, write: HOW, OPTIONS }",
        )
        .details(
            "The rows and the batch's number are written in one transaction: a batch that comes again changes nothing. \
             Rows go by binary COPY into a temporary table, and from there by one statement into the target; the number \
             is in the table `millstream_delivered`, which is made where it is missing. When the pipeline starts the \
             target's columns are compared with the rows': what does not fit is said with the names of the columns. A \
             column may have any type that the values can become: a text can go into `uuid`, `inet` or an enum, a list \
             into an array, what has parts into `jsonb`. Rows that break a constraint or are out of range are found by \
             halving and rejected, the others are written. A deadlock or a lost connection is tried again; the number \
             says whether the transaction had been committed. `key` needs a unique index. A batch without rows changes \
             nothing, with `write: replace` neither.",
        )
        .example("from orders |> into postgres(\"shop.orders\") { url: env(\"PG_URL\"), create: if_missing } rejected to refused\nfrom refused |> into stderr")
        .example("from orders |> into postgres(\"orders\") { url: secret(\"pg/url\"), write: upsert, key: [id] }")
        .alias("jdbc"),
        args: vec![OptionSpec::required(
            "table",
            OptionKind::Text,
            "the table, with its schema where that is not `public`",
        )],
        options: options(),
        takes_changes,
        format: None,
        guarantee: |settings| match settings.text("write") {
            Some("upsert") => "exactly once (upsert + batch id)".into(),
            _ => "exactly once (transaction with batch id)".into(),
        },
        target: |settings| match settings.text("write") {
            Some("replace") => settings.text("table").map(|table| format!("postgres {table}")),
            _ => None,
        },
        feature: None,
        conflicts,
        open: SinkEntry::by(open),
    }
}

fn options() -> Vec<OptionSpec> {
    let mut options = vec![
        OptionSpec::with_default("write", OptionKind::Symbol(WRITE), "append", "what becomes of rows that are there"),
        OptionSpec::optional("key", columns(), "the columns that identify a row"),
        OptionSpec::with_default(
            "create",
            OptionKind::Symbol(CREATE),
            "never",
            "what happens when the table is not there",
        ),
    ];
    options.extend(postgres::connection());
    options
}

fn takes_changes(settings: &Settings) -> Changes {
    match settings.text("write") {
        Some("upsert" | "changes") => Changes::ByKey(columns_of(settings, "key")),
        _ => Changes::AppendOnly,
    }
}

fn conflicts(endpoint: &Endpoint) -> Vec<Conflict> {
    let settings = &endpoint.settings;
    let mut found: Vec<Conflict> = postgres::conflicts(settings).into_iter().collect();
    let write = settings.text("write").unwrap_or("append");
    if settings.is_written("key") && matches!(write, "append" | "replace") {
        let message = format!("`key` means nothing for `write: {write}`");
        found.push(Conflict::between("key", message, "replace rows by it:\n  write: upsert"));
    }
    let key = settings.texts("key");
    let unknown = key.into_iter().filter(|name| endpoint.schema.get(name).is_none());
    found.extend(
        unknown.map(|name| {
            Conflict::value("key", format!("the rows have no column `{name}`"), "name columns of the rows")
        }),
    );
    if write == "changes" && !endpoint.changes {
        let message = "`write: changes` wants rows that take back earlier ones";
        found.push(Conflict::between(
            "write",
            message,
            "rows that only come replace those that are there:\n  write: upsert",
        ));
    }
    found
}

fn open(endpoint: &Endpoint) -> Result<Box<dyn Sink>, NotRunnable> {
    let settings = &endpoint.settings;
    let server = postgres::Server::of(endpoint)?;
    let write = match settings.text("write") {
        Some("upsert") => Write::Upsert,
        Some("changes") => Write::Changes,
        Some("replace") => Write::Replace,
        _ => Write::Append,
    };
    let flat = |column: &Column| {
        let ty = if is_json(&column.slot.ty) { Type::Json } else { column.slot.ty.clone() };
        Column::new(column.name.clone(), Slot { ty, nullable: column.slot.nullable })
    };
    let schema = Schema::new(endpoint.schema.columns.iter().map(flat).collect());
    let shape = Shape {
        table: settings.text("table").unwrap_or_default().to_owned(),
        write,
        key: settings.texts("key").into_iter().map(str::to_owned).collect(),
        schema: schema.clone(),
        changes: endpoint.changes,
    };
    let create = settings.text("create") == Some("if_missing");
    Ok(Box::new(Postgres {
        flat: Compiled::new(&flattened(&endpoint.schema), &endpoint.schema)?,
        base: Base::new(server, shape, endpoint.schema.clone(), create),
        schema,
    }))
}

/// Whether a column goes as JSON: a list of plain values is an array, all else with parts has no counterpart.
fn is_json(ty: &Type) -> bool {
    match ty {
        Type::List(item) => item.ty.is_nested() || item.ty == Type::Json,
        ty => ty.is_nested(),
    }
}

/// The columns, those with parts as JSON.
fn flattened(schema: &Schema) -> Vec<TypedExpr> {
    let column = |(at, column): (usize, &Column)| {
        let of = TypedExpr::column(at, column, Span::default());
        if !is_json(&column.slot.ty) {
            return of;
        }
        let slot = Slot { ty: Type::Json, nullable: column.slot.nullable };
        TypedExpr::new(Node::Cast(Box::new(of)), slot, Span::default())
    };
    schema.columns.iter().enumerate().map(column).collect()
}

struct Postgres {
    flat: Compiled,
    /// The columns as they are staged.
    schema: Schema,
    base: Base,
}

impl Sink for Postgres {
    fn given_by(&mut self, giver: &Giver) {
        self.base.marks_as(giver);
    }

    /// How many bytes are copied and what they are, rows that cannot be copied, and all rows.
    fn stage(&mut self, batch: &BatchTime, rows: &[RecordBatch]) -> Result<Artifact, TaskError> {
        let bug = |e: ArrowError| TaskError::Bug(e.to_string());
        self.base.ready()?;
        let Some(first) = rows.first() else { return Ok(Artifact::default()) };
        let all = concat_batches(&first.schema(), rows).map_err(bug)?;
        let flat = self.flat.eval(&all, batch)?;
        let block = RecordBatch::try_new(self.schema.to_arrow(), flat.columns).map_err(bug)?;
        let mut encoder = postgres::Encoder::new(&self.schema);
        let refused = encoder.add(&block, |row| flat.failures.reason(row).map(str::to_owned)).map_err(bug)?;
        let refused = serde_json::to_vec(&refused).map_err(|e| TaskError::Bug(e.to_string()))?;
        let mut bytes = Vec::new();
        for part in [refused, encoder.finish()] {
            bytes.extend((part.len() as u64).to_le_bytes());
            bytes.extend(part);
        }
        let count = all.num_rows();
        bytes.extend(packed(&[all]).map_err(bug)?);
        Ok(Artifact { bytes, rows: count })
    }

    fn deliver(&mut self, batch: &BatchTime, artifact: &Artifact) -> Result<Delivered, TaskError> {
        let cut_off = || TaskError::Bug("a staged batch is cut off".into());
        if artifact.bytes.is_empty() {
            return Ok(Delivered::default());
        }
        let (refused, rest) = part(&artifact.bytes).ok_or_else(cut_off)?;
        let (copied, rows) = part(rest).ok_or_else(cut_off)?;
        let refused: Vec<(usize, String)> = serde_json::from_slice(refused).map_err(|_| cut_off())?;
        let mut all: Refused = refused.into_iter().collect();
        all.extend(self.base.deliver(batch.number, artifact.rows, copied)?);
        if all.is_empty() {
            return Ok(Delivered::default());
        }
        let rows = unpacked(rows).map_err(|e| TaskError::Bug(e.to_string()))?.pop().ok_or_else(cut_off)?;
        let one = |(row, why): (usize, String)| (row < rows.num_rows()).then(|| (rows.slice(row, 1), why));
        Ok(Delivered { rejected: all.into_iter().filter_map(one).collect() })
    }

    fn cursor(&mut self) -> Result<Option<u64>, TaskError> {
        self.base.cursor()
    }
}

/// Bytes behind their length, and what follows.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(8)?;
    rest.split_at_checked(usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?)
}
