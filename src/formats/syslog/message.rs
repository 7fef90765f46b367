//! One message, taken apart.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat};
use serde_json::{Map, Value};

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What a message says; none where it leaves something out.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    facility: &'static str,
    severity: &'static str,
    /// By RFC 3339.
    time: Option<String>,
    host: Option<&'a str>,
    app: Option<&'a str>,
    pid: Option<&'a str>,
    message_id: Option<&'a str>,
    data: Option<String>,
    message: &'a str,
}

impl<'a> Message<'a> {
    pub(super) fn read(line: &'a str, now: i64) -> Result<Self, String> {
        let missing = || "it does not start with a priority, `<NUMBER>`".to_owned();
        let (number, rest) =
            line.trim_start().strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(missing)?;
        let digits = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        let priority: usize = number.parse().ok().filter(|_| digits).ok_or_else(missing)?;
        let facility =
            FACILITIES.get(priority / 8).ok_or_else(|| format!("the priority {priority} is more than 191"))?;
        let message = Message { facility, severity: SEVERITIES[priority % 8], ..Message::default() };
        match rest.strip_prefix("1 ") {
            Some(rest) => message.of_today(rest),
            None => Ok(message.of_old(rest, now)),
        }
    }

    /// In the order of the columns.
    pub(super) fn into_parts(self) -> [Option<String>; 9] {
        let own = |part: Option<&str>| part.map(str::to_owned);
        [
            Some(self.facility.to_owned()),
            Some(self.severity.to_owned()),
            self.time,
            own(self.host),
            own(self.app),
            own(self.pid),
            own(self.message_id),
            self.data,
            Some(self.message.to_owned()),
        ]
    }

    /// RFC 5424.
    fn of_today(mut self, rest: &'a str) -> Result<Self, String> {
        let mut words = rest.splitn(6, ' ');
        let mut next = || {
            let word = words.next().ok_or("the message ends within its header")?;
            Ok::<_, String>((word != "-").then_some(word))
        };
        let time = next()?;
        (self.host, self.app, self.pid, self.message_id) = (next()?, next()?, next()?, next()?);
        self.time = match time {
            Some(time) => {
                let read = DateTime::parse_from_rfc3339(time).map_err(|_| format!("`{time}` is no time"))?;
                Some(read.to_rfc3339_opts(SecondsFormat::Micros, true))
            }
            None => None,
        };
        let rest = words.next().ok_or("the message ends within its header")?;
        let (data, rest) = if let Some(rest) = rest.strip_prefix('-') { (None, rest) } else { structured(rest)? };
        self.data = data;
        if !rest.is_empty() && !rest.starts_with(' ') {
            return Err("there is no space before the message".into());
        }
        let text = rest.strip_prefix(' ').unwrap_or(rest);
        self.message = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(self)
    }

    /// RFC 3164, which is what programs do more than a rule: what does not look like a time is the message.
    fn of_old(mut self, rest: &'a str, now: i64) -> Self {
        let Some((time, rest)) = old_time(rest, now) else {
            self.message = rest;
            return self;
        };
        self.time = Some(format!("{}Z", time.format("%Y-%m-%dT%H:%M:%S")));
        let Some((host, rest)) = rest.split_once(' ') else {
            self.message = rest;
            return self;
        };
        self.host = Some(host);
        self.message = rest;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        let tag = rest.find(|c| !is_name(c)).filter(|end| *end > 0).map(|end| rest.split_at(end));
        let Some((app, behind)) = tag else { return self };
        let pid = behind.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (pid, behind) = pid.map_or((None, behind), |(pid, behind)| (Some(pid), behind));
        if let Some(message) = behind.strip_prefix(':') {
            (self.app, self.pid) = (Some(app), pid);
            self.message = message.strip_prefix(' ').unwrap_or(message);
        }
        self
    }
}

/// `[ID name="value" ...]...` as JSON, and what stands behind it.
fn structured(text: &str) -> Result<(Option<String>, &str), String> {
    let mut elements = Map::new();
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix('[') {
        let (element, behind) = element(inner).ok_or("the structured data is not closed, or no `name=\"value\"`")?;
        let (id, parameters) = element;
        elements.insert(id, Value::Object(parameters));
        rest = behind;
    }
    if elements.is_empty() {
        Err("neither `-` nor structured data follows the header".into())
    } else {
        Ok((Some(Value::Object(elements).to_string()), rest))
    }
}

type Element = (String, Map<String, Value>);

fn element(text: &str) -> Option<(Element, &str)> {
    let end = text.find([' ', ']'])?;
    let (id, mut rest) = text.split_at(end);
    let mut parameters = Map::new();
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(behind) = rest.strip_prefix(']') {
            return Some(((id.to_owned(), parameters), behind));
        }
        let (name, behind) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = behind.char_indices();
        rest = loop {
            match chars.next()? {
                (at, '"') => break &behind[at + 1..],
                (_, '\\') => match chars.next()?.1 {
                    c @ ('"' | '\\' | ']') => value.push(c),
                    c => value.extend(['\\', c]),
                },
                (_, c) => value.push(c),
            }
        };
        parameters.insert(name.to_owned(), Value::String(value));
    }
}

/// `Oct 11 22:14:15 `, in the year that brings it closest to now.
fn old_time(text: &str, now: i64) -> Option<(NaiveDateTime, &str)> {
    let month = MONTHS.iter().position(|month| text.starts_with(month))?;
    let day = text.get(3..6)?;
    let day: u32 = day.trim_start().parse().ok().filter(|_| day.starts_with(' '))?;
    let (clock, rest) = (text.get(6..15)?, text.get(15..)?);
    let mut numbers = clock.strip_prefix(' ')?.split(':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let now = DateTime::from_timestamp_micros(now)?.naive_utc();
    let month = u32::try_from(month).ok()? + 1;
    let of_year = |year| NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, minute, second.min(59));
    let years = [now.year() - 1, now.year(), now.year() + 1];
    let closest = years.into_iter().filter_map(of_year).min_by_key(|time| (*time - now).num_seconds().abs());
    Some((closest?, rest.strip_prefix(' ')?))
}
