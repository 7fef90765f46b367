//! `through exec("./score.py") with { schema: Scored }`: a batch's rows through a program of the user's. Typing is here;
//! what runs in `task` and `program`.

mod program;
mod task;

use millstream_dsl::{Diagnostic, Span, ast};

use crate::model::Schema;
use crate::operators::input;
use crate::operators::through::program::{Call, words};
use crate::operators::through::task::ThroughTask;
use crate::plan::catalog::{Arity, FormatCall, Names, OptionKind, StageCall};
use crate::plan::operator::{Distribution, NotRunnable, Task};
use crate::plan::seams::BadRow;
use crate::plan::{Doc, Edge, Operator, OptionSpec, Planned, Port, Properties, SideOutput, StageContext, StageEntry};

/// What `through` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("through", "sends the rows through a program of yours", "through exec(\"PROGRAM\") with { schema: TYPE }")
        .details(
            "The program reads the rows of a batch on its standard input and writes rows of the given schema to its \
             standard output, in any language; as many as it likes, in any order. What it writes to its standard error \
             goes to the log. It is found and run from the pipeline's own folder, a bare name on the PATH; arguments \
             stand behind it as in a shell: `exec(\"./score.py --fast\")`. The variables `MILLSTREAM_BATCH` and \
             `MILLSTREAM_TIME` say which batch it was started for. Lines that do not fit the schema are bad rows, with \
             text, place, line and reason. A program that ends with another code than 0, or says nothing for `timeout`, \
             fails the batch; the last lines of its standard error are shown. A batch without rows starts and asks \
             nothing.\n\n\
             With `start: once` it gets an empty line behind the rows of each batch, answers with its rows and an empty \
             line (and must flush that), and is started again should it end with code 0 between two batches. What it \
             remembers is its own business: a restart of the pipeline starts it anew.\n\n\
             A time column that it hands on under the same name stays the time of the rows.",
        )
        .example("through exec(\"./score.py\") with { format: json, schema: { id: string, score: float64 } }")
        .alias("pipe")
        .alias("exec")
        .alias("mapPartitions");
    let starts = &[
        ("once", "one program runs as long as the pipeline and is given batch after batch"),
        ("batch", "a new program is started for each batch"),
    ];
    let formats = &[
        ("json", "a JSON object a line"),
        ("csv", "values with commas between, the names in the first line"),
        ("text", "one column, a line each"),
    ];
    let options = vec![
        OptionSpec::with_default(
            "format",
            OptionKind::Symbol(formats),
            "json",
            "how rows are written to it and read from it",
        ),
        OptionSpec::required("schema", OptionKind::Schema, "the columns of the rows that come back"),
        OptionSpec::with_default("start", OptionKind::Symbol(starts), "batch", "when the program is started"),
        OptionSpec::with_default(
            "timeout",
            OptionKind::Duration,
            "1m",
            "how long it may say nothing while its answer is waited for",
        ),
    ];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1, names: Names::Never },
        clauses: vec![],
        options,
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    input::refuse_changes(call, ctx);
    let program = program(&call.stage.args.first()?.value, ctx);
    let schema = call.options.schema("schema")?.clone();
    let edge = ctx.input();
    let time = edge.time.clone().filter(|t| schema.get(&t.column) == edge.schema.get(&t.column));
    let out = Edge { time, guarantee: edge.guarantee, ..Edge::append(schema) };
    let word = call.options.text("format").unwrap_or("json").to_owned();
    let once = call.options.text("start") == Some("once");
    let at = call.options.span("format").unwrap_or(call.stage.name.at.0);
    let (input, output) = (edge.schema.clone(), out.schema.clone());
    refuse_lines(&word, once, at, [&input, &output], ctx);
    let format = ctx.format(&word, [&input, &output], at)?;
    let timeout = call.options.duration("timeout").unwrap_or(60_000_000);
    let call_of = Call { words: program?, folder: ctx.base(call.stage.at.0), timeout };
    let bad = Edge { guarantee: out.guarantee, ..Edge::append(BadRow::schema()) };
    let sides = vec![SideOutput { port: Port::Bad, edge: bad, name: None }];
    let operator = Through { call: call_of, format, once, input, output };
    Some(Planned { keeps_qualifiers: false, sides, ..input::passing(call, Box::new(operator), out) })
}

/// Reports formats in which not every row is a line that can be told from an empty one, or not every column has a place.
fn refuse_lines(word: &str, once: bool, at: Span, rows: [&Schema; 2], ctx: &mut dyn StageContext) {
    if once && word != "json" {
        let problem = Diagnostic::error(
            "wrong-argument",
            at,
            format!("rows as `{word}` cannot be told from the empty line that ends a batch"),
        )
        .label("may hold empty lines")
        .help("let the program speak JSON, or start it for every batch:\n  format: json\n  start: batch");
        ctx.report(problem);
    }
    for columns in rows.iter().map(|rows| rows.columns.len()).filter(|n| word == "text" && *n != 1) {
        let problem = Diagnostic::error("wrong-argument", at, format!("text is one column a line, not {columns}"))
            .label("has no place for them")
            .help("choose one before, or another format:\n  |> select ...\n  format: json");
        ctx.report(problem);
    }
}

/// What stands in `exec("...")`.
fn program(expr: &ast::Expr, ctx: &mut dyn StageContext) -> Option<Vec<String>> {
    match &expr.kind {
        ast::ExprKind::Call(call) if call.name.name == "exec" && call.args.len() == 1 => {
            let written = &call.args[0].value;
            let parted = words(&ctx.text(written)?);
            if let Err(why) = parted {
                let problem = Diagnostic::error("wrong-argument", written.at.0, "this names no program").label(why);
                ctx.report(problem.help("name it, with its arguments behind it:\n  exec(\"./score.py --fast\")"));
            }
            parted.ok()
        }
        ast::ExprKind::Broken => None,
        _ => {
            let problem = Diagnostic::error("wrong-argument", expr.at.0, "stage `through` wants a program")
                .label("is none")
                .help("say which one is to run:\n  through exec(\"./score.py\") with { schema: Scored }");
            ctx.report(problem);
            None
        }
    }
}

#[derive(Debug)]
struct Through {
    call: Call,
    format: FormatCall,
    /// One program runs as long as the pipeline.
    once: bool,
    input: Schema,
    output: Schema,
}

impl Operator for Through {
    fn word(&self) -> &'static str {
        "through"
    }

    fn explain(&self) -> String {
        let start = if self.once { " started once" } else { "" };
        format!("through exec({:?}) as {}{start}", self.call.words.join(" "), self.format.entry.doc.name)
    }

    fn properties(&self) -> Properties {
        let reads = Some((0..self.input.columns.len()).collect());
        Properties {
            deterministic: false,
            order_matters: true,
            effects: true,
            reads,
            ..Properties::gathering(Distribution::Any)
        }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Keyed(Box::new(ThroughTask::new(self)?)))
    }
}

#[cfg(test)]
mod tests;
