//! Habits from elsewhere that the vocabulary shows: Spark's `groupBy(...).agg(...)` and its windows among the keys,
//! option names of other tools, types and durations as text. Each gives one message with what is meant.

use millstream_dsl::ast::{Arg, ClauseKind, Expr, ExprKind, Ident, Literal, OptionEntry, Stage};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::Checker;
use crate::check::literals;
use crate::check::options::Around;
use crate::check::templates::Placed;
use crate::check::types::word_for;
use crate::model::Type;
use crate::plan::OptionSpec;
use crate::plan::catalog::StageEntry;

const GROUPS: [&str; 3] = ["group", "groupby", "group_by"];

/// Stages that people write behind `group`, and what they mean.
const AGGREGATES: [(&str, &str); 8] = [
    ("agg", ""),
    ("aggregate", ""),
    ("count", "count() as n"),
    ("sum", "sum(ARGS) as total"),
    ("avg", "avg(ARGS) as average"),
    ("mean", "avg(ARGS) as average"),
    ("min", "min(ARGS) as least"),
    ("max", "max(ARGS) as most"),
];

/// Calls by which other languages put a window among the keys.
const WINDOWS: [(&str, &str); 5] = [
    ("window", "tumbling"),
    ("tumble", "tumbling"),
    ("hop", "sliding"),
    ("session_window", "session"),
    ("session", "session"),
];

/// Options under the names they have elsewhere; an empty word is the call's argument.
const OPTIONS: [(&str, &str); 12] = [
    ("kafka.bootstrap.servers", "brokers"),
    ("bootstrap.servers", "brokers"),
    ("bootstrap_servers", "brokers"),
    ("subscribe", "topics"),
    ("topic", "topics"),
    ("startingoffsets", "start"),
    ("group.id", "group"),
    ("kafka.group.id", "group"),
    ("checkpointlocation", "checkpoint"),
    ("batch_interval", "every"),
    ("interval", "every"),
    ("sep", "delimiter"),
];

impl Checker<'_> {
    /// Whether a stage belongs to the `group` before it, whose message speaks of both.
    pub(super) fn follows_group(&self, before: Option<&Placed>, stage: &Placed) -> bool {
        before.is_some_and(|before| is_word(&before.stage, &GROUPS)) && aggregate_of(&stage.stage).is_some()
    }

    /// Reports `|> group by x |> agg sum(y)`, with the aggregate that is meant.
    pub(super) fn group_by(&mut self, placed: &Placed, next: Option<&Placed>) -> bool {
        let stage = &placed.stage;
        if stage.broken || !is_word(stage, &GROUPS) || self.names.stages.contains_key(&stage.name.name) {
            return false;
        }
        let keys = stage.clauses.iter().find_map(|c| match &c.kind {
            ClauseKind::By(items) => Some(items.iter().map(|i| self.text(i.value.at.0)).collect::<Vec<_>>()),
            _ => None,
        });
        let keys = keys.unwrap_or_else(|| stage.args.iter().map(|a| self.text(a.value.at.0)).collect()).join(", ");
        let next = next.map(|p| &p.stage).filter(|s| aggregate_of(s).is_some());
        let calls = next.map_or("count() as n".to_owned(), |next| self.calls_of(next));
        let clauses: Vec<_> = next.iter().flat_map(|s| &s.clauses).map(|c| self.text(c.at.0)).collect();
        let scope = if clauses.is_empty() { "per batch".to_owned() } else { clauses.join(" ") };
        let mut problem =
            Diagnostic::error("unknown-stage", stage.name.at.0, format!("stage `{}` does not exist", stage.name.name))
                .label("rows are grouped by the aggregate itself")
                .help(format!(
                    "write one stage, with how long its results live:\n  |> aggregate {calls} by {keys} {scope}"
                ));
        if let Some(next) = next {
            problem = problem.also(next.name.at.0, "this belongs to it");
        }
        self.report(problem);
        true
    }

    /// The calls of a stage such as `agg sum(x) as y` or `count()`.
    fn calls_of(&self, stage: &Stage) -> String {
        let args = stage.args.iter().map(|arg| {
            let value = self.text(arg.value.at.0).replace("(*)", "()");
            match arg.names.first() {
                Some(name) => format!("{value} as {}", name.name),
                None => value,
            }
        });
        let args = args.collect::<Vec<_>>().join(", ");
        match aggregate_of(stage) {
            Some("") | None => args,
            Some(form) => form.replace("ARGS", &args),
        }
    }

    /// A stage under its name from elsewhere, written under the name `here`; none where its form differs.
    pub(super) fn same_stage(&self, stage: &Stage, here: &str) -> Option<String> {
        let text = self.text(stage.at.0);
        let rest = text.get(stage.name.name.len()..).filter(|r| !r.contains('\n') && stage.modifier.is_none())?;
        match (here, &stage.args[..]) {
            ("where", [arg]) if arg.names.is_empty() && !matches!(arg.value.kind, ExprKind::Lambda(..)) => {
                Some(format!("where{rest}"))
            }
            ("sort", []) if stage.clauses.iter().any(|c| matches!(c.kind, ClauseKind::By(_))) => {
                Some(format!("sort{rest}"))
            }
            ("extend", [name, value]) => match &name.value.kind {
                ExprKind::Literal(Literal::String(name)) => {
                    Some(format!("extend {name} = {}", self.text(value.value.at.0)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Reports `by window(ts, "1 minute"), user_id`.
    pub(super) fn window_among_keys(&mut self, stage: &Stage) -> bool {
        let items =
            stage.clauses.iter().find_map(|c| if let ClauseKind::By(items) = &c.kind { Some(items) } else { None });
        let Some(items) = items else { return false };
        let window = items.iter().enumerate().find_map(|(i, item)| match &item.value.kind {
            ExprKind::Call(call) if !self.names.functions.contains_key(&call.name.name) => {
                let lower = call.name.name.to_lowercase();
                WINDOWS.iter().find(|(word, _)| *word == lower).map(|(_, kind)| (i, call, *kind))
            }
            _ => None,
        });
        let Some((index, call, kind)) = window else { return false };
        let lengths: Vec<String> = call.args.iter().filter_map(|a| self.length_of(&a.value)).collect();
        let right = match (kind, lengths.as_slice()) {
            ("session", [gap, ..]) => format!("session(gap {gap})"),
            ("session", []) => "session(gap 30s)".to_owned(),
            (_, [length]) => format!("tumbling({length})"),
            ("sliding", [every, length, ..]) => format!("sliding({length}, every {every})"),
            (_, [length, every, ..]) => format!("sliding({length}, every {every})"),
            (_, []) => "tumbling(1m)".to_owned(),
        };
        let keys: Vec<_> =
            items.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, k)| self.text(k.value.at.0)).collect();
        let by = if keys.is_empty() { String::new() } else { format!("by {} ", keys.join(", ")) };
        let message = format!("`{}` is no key: a window stands behind `over`", call.name.name);
        self.report(
            Diagnostic::error("misplaced-call", items[index].value.at.0, message)
                .label("a window")
                .help(format!("write:\n  {by}over {right}")),
        );
        true
    }

    /// `10m` of `10m` or `"10 minutes"`.
    fn length_of(&self, value: &Expr) -> Option<String> {
        let text = self.text(value.at.0);
        duration_of(text.trim_matches('"'))
    }

    /// Reports `join users on user_id`, where `using user_id` is meant.
    pub(super) fn using_meant(&mut self, stage: &Stage, entry: &StageEntry) -> bool {
        if !entry.clauses.iter().any(|c| c.word == "using") {
            return false;
        }
        let Some(on) =
            stage.clauses.iter().find_map(|c| if let ClauseKind::On(on) = &c.kind { Some(on) } else { None })
        else {
            return false;
        };
        let names = match &on.kind {
            ExprKind::Name(name) => vec![name.as_str()],
            ExprKind::List(items) => items
                .iter()
                .filter_map(|i| if let ExprKind::Name(n) = &i.kind { Some(n.as_str()) } else { None })
                .collect(),
            _ => return false,
        };
        let names = names.join(", ");
        let clause = stage.clauses.iter().find(|c| matches!(c.kind, ClauseKind::On(_))).map_or(on.at.0, |c| c.at.0);
        self.report(
            Diagnostic::error("wrong-argument", on.at.0, "`on` wants a comparison")
                .label("is a column")
                .help(format!("for columns that are called the same on both sides, write:\n  using {names}"))
                .edit(clause, format!("using {names}")),
        );
        true
    }

    /// `where line = "start"`
    pub(super) fn equals_sign(&self, name: &Ident, value_at: Span, value: &str) -> Diagnostic {
        let gap = Span { start: name.at.end, end: value_at.start, ..value_at };
        let offset = self.text(gap).find(['=', ':']).and_then(|i| u32::try_from(i).ok()).unwrap_or(0);
        let sign = Span { start: gap.start + offset, end: gap.start + offset + 1, ..gap };
        Diagnostic::error("equals-sign", sign, "`=` does not compare")
            .label("`==` is meant here")
            .help(format!("compare with `==`:\n  {} == {value}", name.name))
            .edit(sign, "==")
    }

    /// `sliding(60s, 10s)`, where the label of the second is missing.
    pub(super) fn unlabelled<'s>(
        &mut self,
        arg: &Arg,
        labels: &'s [OptionSpec],
        given: &[&str],
    ) -> Option<&'s OptionSpec> {
        let spec = labels.iter().find(|l| l.required && !given.contains(&l.name))?;
        let text = self.text(arg.value.at.0);
        let message = format!("`{}` is missing before `{text}`", spec.name);
        self.report(
            Diagnostic::error("wrong-argument", arg.value.at.0, message)
                .label(spec.doc)
                .help(format!("write it with its name:\n  {} {text}", spec.name))
                .edit(Span { end: arg.value.at.start, ..arg.value.at.0 }, format!("{} ", spec.name)),
        );
        Some(spec)
    }

    /// A problem with an edit inside `whole` shows all of it as it should be.
    pub(super) fn with_whole(&self, problem: Diagnostic, whole: Span, before: &str) -> Diagnostic {
        let [edit] = &problem.edits[..] else { return problem };
        let start = edit.span.start.checked_sub(whole.start).and_then(|s| usize::try_from(s).ok());
        let end = edit.span.end.checked_sub(whole.start).and_then(|e| usize::try_from(e).ok());
        let (text, Some((start, end))) = (self.text(whole), start.zip(end)) else { return problem };
        let (Some(left), Some(right)) = (text.get(..start), text.get(end..)) else { return problem };
        let help = format!("write:\n  {before}{left}{}{right}", edit.replacement);
        problem.help(help)
    }

    /// Whether an option has a name from elsewhere, for one that is among `specs`.
    pub(super) fn is_foreign_option(&self, name: &str, specs: &[OptionSpec]) -> bool {
        specs.iter().all(|s| s.name != name) && meant_option(name, specs).is_some()
    }

    /// Reports an option under its name from elsewhere; gives the one that is meant.
    pub(super) fn foreign_option(
        &mut self,
        entry: &OptionEntry,
        specs: &[OptionSpec],
        around: &Around<'_>,
    ) -> Option<&'static str> {
        let name = &entry.name;
        let meant = meant_option(&name.name, specs)?;
        let value = self.text(entry.value.at.0);
        let (value, right) = match meant {
            "brokers" if value.starts_with('"') => (value, format!("brokers: [{value}]")),
            "start" => (value, format!("start: {}", value.trim_matches('"').to_lowercase())),
            "every" if value.starts_with('"') => {
                (value, format!("every: {}", duration_of(value.trim_matches('"')).unwrap_or_else(|| "10s".into())))
            }
            _ => (value, format!("{meant}: {value}")),
        };
        let help = match meant {
            "topics" => format!("topics stand in parentheses:\n  kafka({value})"),
            _ => format!("write:\n  {right}"),
        };
        let message = format!("{} has no option `{}`", around.what, name.name);
        let label = if meant == "topics" { "an argument here".to_owned() } else { format!("called `{meant}` here") };
        self.report(Diagnostic::error("unknown-option", name.at.0, message).label(label).help(help));
        Some(meant)
    }
}

fn meant_option(name: &str, specs: &[OptionSpec]) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let (_, meant) = OPTIONS.iter().find(|(word, _)| *word == lower)?;
    let there =
        specs.iter().any(|s| s.name == *meant) || *meant == "topics" && specs.iter().any(|s| s.name == "brokers");
    there.then_some(*meant)
}

fn is_word(stage: &Stage, words: &[&str]) -> bool {
    stage.modifier.is_none() && words.contains(&stage.name.name.to_lowercase().as_str())
}

/// The form of a stage that aggregates in other tools.
fn aggregate_of(stage: &Stage) -> Option<&'static str> {
    let lower = stage.name.name.to_lowercase();
    AGGREGATES.iter().find(|(word, _)| *word == lower).map(|(_, form)| *form)
}

/// `yes` and its kin as `true` or `false`.
pub(super) fn bool_word(word: &str) -> Option<&'static str> {
    match word.to_lowercase().as_str() {
        "yes" | "on" | "y" | "true" => Some("true"),
        "no" | "off" | "n" | "false" => Some("false"),
        _ => None,
    }
}

/// `10m` of `10m` or `10 minutes`.
pub(super) fn duration_of(text: &str) -> Option<String> {
    let text = text.trim();
    if literals::duration_text(text).is_some() {
        return Some(text.to_owned());
    }
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit.trim().to_lowercase().trim_end_matches('s') {
        "microsecond" => "us",
        "millisecond" | "milli" => "ms",
        "second" | "sec" => "s",
        "minute" | "min" => "m",
        "hour" | "hr" => "h",
        "day" => "d",
        "week" => "w",
        _ => return None,
    };
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}

/// The type that a word of this or another language means, in lower case.
pub(super) fn type_word(lower: &str) -> Option<String> {
    let own = Type::words().find(|w| *w == lower).map(str::to_owned);
    own.or_else(|| word_for(lower).map(str::to_owned)).filter(|ty| !ty.starts_with(['{', 'l']))
}

/// A cast that says what holds where it fails.
pub(super) fn cast_of(text: &str, ty: &str) -> String {
    let text = if text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '"')) {
        text.to_owned()
    } else {
        format!("({text})")
    };
    let default = match ty {
        "string" => return format!("{text}::string"),
        "bool" => "false",
        "float32" | "float64" => "0e0",
        ty if ty.starts_with("decimal") => "0.00",
        "date" | "time" | "timestamp" | "duration" | "bytes" | "json" => return format!("({text}::{ty})?"),
        _ => "0",
    };
    format!("{text}::{ty} ?? {default}")
}

/// The problem of an unknown type within a cast shows all of the cast.
pub(super) fn whole_cast(problem: Diagnostic, text: &str) -> Diagnostic {
    match &problem.edits[..] {
        [edit] if problem.code == "unknown-type" => {
            let help = format!("write, with what holds where the cast fails:\n  {}", cast_of(text, &edit.replacement));
            problem.help(help)
        }
        _ => problem,
    }
}

/// `user_id STRING, amount DECIMAL(12, 2) NOT NULL` as a type.
pub(super) fn schema_of(text: &str) -> Option<String> {
    let mut fields = Vec::new();
    for part in split_top(text.trim().trim_start_matches('{').trim_end_matches('}')) {
        let part = part.trim();
        let (name, ty) = part.split_once(|c: char| c == ':' || c.is_whitespace())?;
        let lower = ty.trim().trim_start_matches(':').trim().to_lowercase();
        let plain = lower.trim_end_matches("not null").trim_end();
        let word = plain.split('(').next().unwrap_or("").trim();
        let args = plain.get(word.len()..).unwrap_or("").trim();
        let ty = match type_word(word)? {
            ty if ty.starts_with("decimal") && args.is_empty() => "decimal(12, 2)".to_owned(),
            ty if ty.starts_with("decimal") => format!("decimal{args}"),
            ty => ty,
        };
        fields.push(format!("{}: {ty}", name.trim().trim_matches(['`', '"'])));
    }
    (!fields.is_empty()).then(|| format!("{{ {} }}", fields.join(", ")))
}

/// The parts of a text between commas that stand in no parentheses.
fn split_top(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' | '<' => depth += 1,
            ')' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_other_tools_become_those_of_this_language() {
        assert_eq!(duration_of("10 minutes").as_deref(), Some("10m"));
        assert_eq!(duration_of("1 hour").as_deref(), Some("1h"));
        assert_eq!(duration_of("30s").as_deref(), Some("30s"));
        assert_eq!(duration_of("soon"), None);
        assert_eq!(duration_of(" seconds"), None);
    }

    #[test]
    fn a_schema_as_text_becomes_a_type() {
        let right = "{ user_id: string, amount: decimal(12, 2), n: int64 }";
        assert_eq!(schema_of("user_id STRING, amount DECIMAL(12, 2) NOT NULL, n: bigint").as_deref(), Some(right));
        assert_eq!(schema_of("orders.avsc"), None);
    }
}
