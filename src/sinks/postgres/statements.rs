//! The statements of the sink: how rows get from the staging table into the target.

use crate::connect::postgres::{Target, fits, literal, made, quoted, staged, table};
use crate::model::Schema;
use crate::plan::edge::OP;
use crate::plan::seams::Giver;

/// The staging table of a session.
pub(super) const STAGE: &str = "pg_temp.millstream_stage";

/// What becomes of rows that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Append,
    Upsert,
    Changes,
    Replace,
}

/// Everything that the statements are made of.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) table: String,
    pub(super) write: Write,
    pub(super) key: Vec<String>,
    /// The columns as they are staged.
    pub(super) schema: Schema,
    /// Whether the last of them says which rows go.
    pub(super) changes: bool,
}

impl Shape {
    /// Columns that are written, each with its name in the staging table.
    fn columns(&self) -> impl Iterator<Item = (String, &crate::model::Column)> {
        let op = self.changes;
        let all = self.schema.columns.iter().enumerate();
        all.filter(move |(_, column)| !(op && column.name == OP)).map(|(at, column)| (format!("c{at}"), column))
    }

    fn op(&self) -> Option<String> {
        let at = self.schema.position(OP).filter(|_| self.changes);
        at.map(|at| format!("c{at}"))
    }

    /// Makes the staging table, empty at the start of every transaction.
    pub(super) fn stage(&self) -> String {
        let columns = self.schema.columns.iter().enumerate();
        let columns: String = columns.map(|(at, c)| format!(", c{at} {}", staged(&c.slot.ty))).collect();
        format!("create temp table if not exists millstream_stage (n int8{columns}) on commit delete rows")
    }

    /// Fills the staging table.
    pub(super) fn copy(&self) -> String {
        format!("copy {STAGE} from stdin (format binary)")
    }

    /// Makes the target, `original` being the columns before those with parts became JSON.
    pub(super) fn create(&self, original: &Schema) -> String {
        let mut parts: Vec<String> = self
            .columns()
            .map(|(_, column)| {
                let ty = original.get(&column.name).map_or(&column.slot.ty, |original| &original.slot.ty);
                let null = if column.slot.nullable { "" } else { " not null" };
                format!("{} {}{null}", quoted(&column.name), made(ty))
            })
            .collect();
        if !self.key.is_empty() {
            let key: Vec<String> = self.key.iter().map(|column| quoted(column)).collect();
            parts.push(format!("primary key ({})", key.join(", ")));
        }
        format!("create table if not exists {} ({})", table(&self.table), parts.join(", "))
    }

    /// What is wrong with the target's columns, in one sentence.
    pub(super) fn misfits(&self, targets: &[Target]) -> Option<String> {
        let find = |name: &str| targets.iter().find(|target| target.name == name);
        let mut wrong = Vec::new();
        for (staged, column) in self.columns() {
            match find(&column.name) {
                None => wrong.push(format!("it has no column `{}` ({})", column.name, made(&column.slot.ty))),
                Some(target) if target.generated => {
                    wrong.push(format!("column `{}` is computed by the server", column.name));
                }
                Some(target) if fits(&column.slot.ty, target, &staged).is_none() => {
                    wrong.push(format!("column `{}` is {}, not {}", column.name, target.ty, made(&column.slot.ty)));
                }
                Some(_) => {}
            }
        }
        let unsaid = targets.iter().filter(|target| target.needed && self.schema.get(&target.name).is_none());
        wrong.extend(unsaid.map(|target| format!("column `{}` wants a value and gets none", target.name)));
        (!wrong.is_empty()).then(|| format!("table `{}` does not fit the rows: {}", self.table, wrong.join("; ")))
    }

    /// What brings staged rows into the target: all, or those of numbers from one to another, both included.
    pub(super) fn merge(&self, targets: &[Target], range: Option<(usize, usize)>) -> String {
        let expression = |staged: &str, column: &str| {
            let target = targets.iter().find(|target| target.name == column);
            let ty = &self.schema.get(column).map(|c| c.slot.ty.clone());
            let cast = ty.as_ref().zip(target).and_then(|(ty, target)| fits(ty, target, &format!("s.{staged}")));
            cast.unwrap_or_else(|| format!("s.{staged}"))
        };
        let among = range.map_or_else(|| "true".to_owned(), |(from, to)| format!("n between {from} and {to}"));
        let columns: Vec<(String, String)> =
            self.columns().map(|(staged, column)| (quoted(&column.name), expression(&staged, &column.name))).collect();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let values: Vec<&str> = columns.iter().map(|(_, value)| value.as_str()).collect();
        let (target, names, values) = (table(&self.table), names.join(", "), values.join(", "));
        let insert = |from: &str, order: &str| {
            format!("insert into {target} ({names}) select {values} from {from} s order by {order}")
        };
        if matches!(self.write, Write::Append | Write::Replace) {
            return insert(&format!("(select * from {STAGE} where {among})"), "s.n");
        }
        let staged_key: Vec<String> =
            self.columns().filter(|(_, c)| self.key.contains(&c.name)).map(|(staged, _)| staged).collect();
        let by = staged_key.join(", ");
        let newest =
            |among: &str| format!("(select distinct on ({by}) * from {STAGE} where {among} order by {by}, n desc)");
        let comes = self.op().map_or_else(|| "true".to_owned(), |op| format!("{op} = '+'"));
        let from = match self.write {
            Write::Changes => format!("(select * from {} x where {comes})", newest(&among)),
            _ => newest(&format!("{among} and {comes}")),
        };
        let key: Vec<String> = self.key.iter().map(|column| quoted(column)).collect();
        let others = names.split(", ").filter(|name| !key.iter().any(|key| key == name));
        let sets: Vec<String> = others.map(|name| format!("{name} = excluded.{name}")).collect();
        let known = if sets.is_empty() { "nothing".to_owned() } else { format!("update set {}", sets.join(", ")) };
        // Keys in their order: two sinks that meet in a table do not wait for each other.
        let order: Vec<String> = staged_key.iter().map(|column| format!("s.{column}")).collect();
        let upsert = format!("{} on conflict ({}) do {known}", insert(&from, &order.join(", ")), key.join(", "));
        let Some(op) = self.op().filter(|_| self.write == Write::Changes) else { return upsert };
        let same = self.columns().filter(|(_, c)| self.key.contains(&c.name));
        let same: Vec<String> =
            same.map(|(staged, c)| format!("t.{} = {}", quoted(&c.name), expression(&staged, &c.name))).collect();
        format!(
            "delete from {target} t using (select * from {} x where {op} = '-') s where {}; {upsert}",
            newest(&among),
            same.join(" and ")
        )
    }

    /// Empties the target, where a batch replaces what is there.
    pub(super) fn clear(&self) -> Option<String> {
        (self.write == Write::Replace).then(|| format!("delete from {}", table(&self.table)))
    }

    /// What is known of the target's columns.
    pub(super) fn targets(&self) -> String {
        let name = literal(&table(&self.table));
        format!(
            "select a.attname, format_type(a.atttypid, null), coalesce(b.typname, t.typname), \
             coalesce(b.typcategory, t.typcategory), \
             a.attnotnull and not a.atthasdef and a.attidentity = '', a.attgenerated <> '' or a.attidentity = 'a' \
             from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_type b on b.oid = nullif(t.typbasetype, 0) \
             where a.attrelid = to_regclass({name}) and a.attnum > 0 and not a.attisdropped order by a.attnum"
        )
    }

    /// Whether something makes the key unique.
    pub(super) fn unique(&self) -> String {
        let name = literal(&table(&self.table));
        let mut key: Vec<String> = self.key.iter().map(|column| literal(column)).collect();
        key.sort();
        format!(
            "select count(*) from pg_index i where i.indrelid = to_regclass({name}) and i.indisunique and i.indisvalid \
             and i.indpred is null and i.indexprs is null and (select array_agg(a.attname::text order by a.attname::text collate \"C\") \
             from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any (i.indkey[0:i.indnkeyatts - 1])) \
             = (select array_agg(x order by x collate \"C\") from unnest(array[{}]::text[]) x)",
            key.join(", ")
        )
    }
}

/// Makes the table of marks.
pub(super) const MARKS: &str = "create table if not exists millstream_delivered (sink text primary key, \
     history text not null, batch bigint not null, rejected text not null, at timestamptz not null default now())";

/// The mark of a sink; locked until the transaction ends, so that one of before that comes late waits and finds it.
pub(super) fn lock(giver: &Giver) -> String {
    format!(
        "insert into millstream_delivered (sink, history, batch, rejected) values ({}, '', -1, '[]') \
         on conflict (sink) do update set sink = excluded.sink returning history, batch, rejected",
        literal(&giver.name)
    )
}

/// The mark as it is.
pub(super) fn mark(giver: &Giver) -> String {
    format!("select history, batch, rejected from millstream_delivered where sink = {}", literal(&giver.name))
}

/// Sets the mark.
pub(super) fn set_mark(giver: &Giver, batch: u64, rejected: &str) -> String {
    format!(
        "update millstream_delivered set history = {}, batch = {batch}, rejected = {}, at = now() where sink = {}",
        literal(&giver.history),
        literal(rejected),
        literal(&giver.name)
    )
}
