//! `through exec("./score.py") with { schema: Scored }`: a batch's rows through a program of the user's.

use millstream_dsl::{Diagnostic, ast};

use crate::model::Schema;
use crate::operators::input;
use crate::plan::catalog::{Arity, Names, OptionKind, StageCall};
use crate::plan::operator::{Distribution, NotRunnable, Task};
use crate::plan::{Doc, Edge, Operator, OptionSpec, Planned, Properties, StageContext, StageEntry};

/// What `through` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new("through", "sends the rows through a program of yours", "through exec(\"PROGRAM\") with { schema: TYPE }")
        .details(
            "The program reads the rows of a batch on its standard input and writes rows of the given schema to its \
             standard output, in any language. Lines on its standard error go to the log. A time column that it hands on \
             under the same name stays the time of the rows.",
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
    let operator = Through { program: program?, input: edge.schema.clone() };
    Some(Planned { keeps_qualifiers: false, ..input::passing(call, Box::new(operator), out) })
}

/// What stands in `exec("...")`.
fn program(expr: &ast::Expr, ctx: &mut dyn StageContext) -> Option<String> {
    match &expr.kind {
        ast::ExprKind::Call(call) if call.name.name == "exec" && call.args.len() == 1 => ctx.text(&call.args[0].value),
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
    program: String,
    input: Schema,
}

impl Operator for Through {
    fn word(&self) -> &'static str {
        "through"
    }

    fn explain(&self) -> String {
        format!("through exec({:?})", self.program)
    }

    fn properties(&self) -> Properties {
        let reads = Some((0..self.input.columns.len()).collect());
        Properties { deterministic: false, effects: true, reads, ..Properties::gathering(Distribution::Any) }
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Err(NotRunnable::not_yet("stage", "through"))
    }
}
