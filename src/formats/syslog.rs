//! `syslog`: what programs and network gear log.

mod message;

use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;

use crate::formats::syslog::message::Message;
use crate::formats::{accepts_flat, cells, lines, nullable, required};
use crate::model::{Schema, Type};
use crate::plan::catalog::Directions;
use crate::plan::operator::{NotRunnable, TaskError};
use crate::plan::seams::{Decoded, FormatCodec, Piece};
use crate::plan::{Conflict, Doc, FormatEntry, FormatUse, Records};

/// What a message consists of, in the order of the columns.
const PARTS: [&str; 9] = ["facility", "severity", "time", "host", "app", "pid", "message_id", "data", "message"];

/// The entry.
pub fn entry() -> FormatEntry {
    FormatEntry {
        doc: Doc::new("syslog", "log messages by RFC 5424 or RFC 3164", "syslog")
            .details(
                "A message a line. What a message leaves out is null. RFC 3164 says neither year nor zone: UTC is taken, and \
                 the year that brings the time closest to the batch's. `facility` and `severity` are their usual words \
                 (`kern`, `local0`; `err`, `info`), `data` is the structured data as JSON: `{\"ID\": {\"name\": \"value\"}}`. A line that \
                 does not start with `<NUMBER>` is a bad row. With a schema, some of the columns by name.",
            )
            .example("source logs = listen(\"0.0.0.0:514\") { protocol: udp, format: syslog }")
            .example("source logs = files(\"/var/log/remote/*.log\") { format: syslog, tail: true }"),
        args: Vec::new(),
        options: Vec::new(),
        columns: |_| {
            Some(vec![
                required("facility", Type::String),
                required("severity", Type::String),
                nullable("time", Type::Timestamp(None)),
                nullable("host", Type::String),
                nullable("app", Type::String),
                nullable("pid", Type::String),
                nullable("message_id", Type::String),
                nullable("data", Type::Json),
                required("message", Type::String),
            ])
        },
        accepts: accepts_flat,
        directions: Directions::In,
        records: |_| Records::LINES,
        conflicts,
        infer: None,
        open: |_, schema| Ok(Box::new(Syslog::of(schema)?)),
    }
}

fn part(name: &str) -> Result<usize, Conflict> {
    PARTS.iter().position(|part| *part == name).ok_or_else(|| {
        let help = format!("leave `schema` out, or take some of\n  {}", PARTS.join(", "));
        Conflict::between("schema", format!("a message of format `syslog` has no `{name}`"), help)
    })
}

fn conflicts(used: &FormatUse<'_>) -> Vec<Conflict> {
    used.columns.unwrap_or_default().iter().filter_map(|column| part(&column.name).err()).collect()
}

struct Syslog {
    schema: SchemaRef,
    /// Which part each column is.
    parts: Vec<usize>,
    longest: usize,
    /// What time it is.
    now: AtomicI64,
}

impl Syslog {
    fn of(schema: &Schema) -> Result<Self, NotRunnable> {
        let parts = schema.names().map(part).collect::<Result<_, _>>();
        let parts = parts.map_err(|conflict| NotRunnable(conflict.message))?;
        Ok(Syslog { schema: schema.to_arrow(), parts, longest: usize::MAX, now: AtomicI64::new(0) })
    }

    fn read(&self, bytes: &[u8], now: i64) -> Result<RecordBatch, String> {
        let mut columns: Vec<Vec<Option<String>>> = vec![Vec::new(); self.parts.len()];
        for line in bytes.split(|b| *b == b'\n').filter(|line| !is_blank(line)) {
            let text = std::str::from_utf8(line.trim_ascii_end()).map_err(|_| "not UTF-8".to_owned())?;
            let mut parts = Message::read(text, now)?.into_parts();
            for (column, part) in columns.iter_mut().zip(&self.parts) {
                column.push(parts[*part].take());
            }
        }
        cells::rows(columns.into_iter().map(StringArray::from).collect(), &self.schema)
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|b| b.is_ascii_whitespace() || *b == 0)
}

impl FormatCodec for Syslog {
    fn is_lines(&self) -> bool {
        true
    }

    fn limit(&mut self, longest: usize) {
        self.longest = longest;
    }

    fn now(&self, micros: i64) {
        self.now.store(micros, Ordering::Relaxed);
    }

    fn decode(&self, piece: &Piece<'_>) -> Result<Decoded, TaskError> {
        let found = lines::find(piece, self.longest, |line| !is_blank(line));
        let now = self.now.load(Ordering::Relaxed);
        Ok(lines::decode(piece, found, &|bytes, _| self.read(bytes, now)))
    }

    fn encode(&self, _: &[RecordBatch], _: &mut Vec<u8>) -> Result<(), TaskError> {
        Err(TaskError::Stop("format `syslog` is read only".into()))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;
    use proptest::prelude::*;

    use super::*;

    fn codec() -> Syslog {
        let columns = (entry().columns)(&crate::plan::Settings::default()).unwrap();
        let codec = Syslog::of(&Schema::new(columns)).unwrap();
        // The second of January 2026.
        codec.now(1_767_312_000_000_000);
        codec
    }

    fn read(text: &[u8]) -> Decoded {
        codec().decode(&Piece { header: &[], bytes: text, last: true, records: usize::MAX, threads: 1 }).unwrap()
    }

    fn row(line: &str) -> (Vec<Option<String>>, i64) {
        let decoded = read(line.as_bytes());
        assert_eq!(decoded.bad, []);
        let block = &decoded.blocks[0];
        let texts = |column: &arrow::array::ArrayRef| {
            column.as_string_opt::<i32>().map(|c| c.is_valid(0).then(|| c.value(0).to_owned()))
        };
        let time = block.column(2).as_primitive::<TimestampMicrosecondType>();
        (block.columns().iter().filter_map(texts).collect(), if time.is_valid(0) { time.value(0) } else { 0 })
    }

    fn texts(parts: [&str; 8]) -> Vec<Option<String>> {
        parts.iter().map(|part| (*part != "-").then(|| (*part).to_owned())).collect()
    }

    #[test]
    fn messages_by_rfc_5424_are_taken_apart() {
        let line = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 8710 ID47 \
                    [exampleSDID@32473 iut=\"3\" eventSource=\"App \\\"x\\\" \\]\"][b@1] \u{feff}An entry";
        let (found, time) = row(line);
        let data = r#"{"exampleSDID@32473":{"iut":"3","eventSource":"App \"x\" ]"},"b@1":{}}"#;
        assert_eq!(
            found,
            texts(["local4", "notice", "mymachine.example.com", "evntslog", "8710", "ID47", data, "An entry"])
        );
        assert_eq!(time, 1_065_910_455_003_000);
        let (found, time) = row("<0>1 - - - - - -");
        assert_eq!((found, time), (texts(["kern", "emerg", "-", "-", "-", "-", "-", ""]), 0));
    }

    #[test]
    fn messages_by_rfc_3164_get_the_year_that_is_closest() {
        let (found, time) = row("<34>Oct 11 22:14:15 mymachine su[123]: 'su root' failed\r");
        assert_eq!(found, texts(["auth", "crit", "mymachine", "su", "123", "-", "-", "'su root' failed"]));
        assert_eq!(time, 1_760_220_855_000_000, "October is last year's");
        let (found, time) = row("<13>Jan  3 01:00:00 10.0.0.1 plain words");
        assert_eq!(found, texts(["user", "notice", "10.0.0.1", "-", "-", "-", "-", "plain words"]));
        assert_eq!(time, 1_767_402_000_000_000);
        let (found, _) = row("<13>no time at all");
        assert_eq!(found, texts(["user", "notice", "-", "-", "-", "-", "-", "no time at all"]));
    }

    #[test]
    fn bad_lines_cost_their_neighbours_nothing() {
        let decoded = read(b"<1>a\nno number\n\n<999>b\n<1>1 2026-13-40T00:00:00Z a b c d - x\n\xff\n<1>1 - a\n<1>c\n");
        let bad: Vec<_> = decoded.bad.iter().map(|row| (row.line, row.reason.as_str())).collect();
        let reasons = [
            (1, "it does not start with a priority, `<NUMBER>`"),
            (3, "the priority 999 is more than 191"),
            (4, "`2026-13-40T00:00:00Z` is no time"),
            (5, "not UTF-8"),
            (6, "the message ends within its header"),
        ];
        assert_eq!(bad, reasons);
        assert_eq!(decoded.blocks.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    }

    #[test]
    fn a_schema_may_choose_columns() {
        let codec = Syslog::of(&Schema::new(vec![required("message", Type::String)])).unwrap();
        let piece = Piece { header: &[], bytes: b"<1>a b", last: true, records: 9, threads: 1 };
        assert_eq!(codec.decode(&piece).unwrap().blocks[0].column(0).as_string::<i32>().value(0), "a b");
        assert!(Syslog::of(&Schema::new(vec![required("level", Type::String)])).is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_a_row_or_a_bad_row(text in "(<[0-9]{1,4}>)?(1 )?[ -~\\[\\]\"é]{0,80}") {
            let decoded = read(text.as_bytes());
            let rows: usize = decoded.blocks.iter().map(RecordBatch::num_rows).sum();
            prop_assert_eq!(rows + decoded.bad.len() + decoded.blank.len(), usize::from(!text.is_empty()));
        }
    }
}
