//! `explode tags as tag`: a row for each element of a list or entry of a map.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use millstream_dsl::Diagnostic;

use crate::model::{Column, Schema, Slot, Type};
use crate::operators::carry::{self, Carried};
use crate::operators::values::{Values, batch_of, bug, take_rows};
use crate::operators::{input, show};
use crate::plan::catalog::{Arity, Names, OptionKind, StageCall};
use crate::plan::operator::{BatchTime, Evaluated, NotRunnable, RowTask, Task, TaskError};
use crate::plan::{Doc, Mode, Operator, OptionSpec, Planned, Port, Properties, StageContext, StageEntry, TypedExpr};

/// What `explode` is.
pub fn entry() -> StageEntry {
    let doc = Doc::new(
        "explode",
        "makes a row of each element of a list or entry of a map",
        "explode EXPRESSION as NAME",
    )
    .details(
        "The other columns are repeated. A list gives one column, a map two: `as (key, value)`. A column that is \
             exploded without `as` is replaced by its elements. Rows whose list is empty or null are left out, and \
             counted as filtered; with `outer: true` they stay, with null for the element. `position: NAME` adds the \
             element's position, from 0.",
    )
    .example("explode split(lower(line), \" \") as token")
    .example("explode attributes as (attribute, setting) with { outer: true, position: pos }")
    .alias("flatMap")
    .alias("flat_map")
    .alias("unnest")
    .alias("posexplode");
    let options = vec![
        OptionSpec::with_default("outer", OptionKind::Bool, "false", "keeps rows whose list is empty or null"),
        OptionSpec::optional("position", OptionKind::Name, "a column for the element's position, from 0"),
    ];
    StageEntry {
        doc,
        arity: Arity { min: 1, max: 1, names: Names::Optional },
        clauses: vec![],
        options,
        modifiers: false,
        plan: StageEntry::by(plan),
    }
}

fn plan(call: &StageCall<'_>, ctx: &mut dyn StageContext) -> Option<Planned> {
    let scope = input::scope(call, ctx);
    let arg = call.stage.args.first()?;
    let value = ctx.expr(&arg.value, &scope);
    let outer = call.options.flag("outer");
    let slots = element_slots(&value, outer, ctx);
    let names: Vec<_> = match (arg.names.len(), slots.len()) {
        (0, 2) => ["key", "value"].iter().map(|n| ((*n).to_owned(), arg.value.at.0)).collect(),
        (0, _) => vec![(ctx.column_name(arg), arg.value.at.0)],
        _ => arg.names.iter().map(|n| (n.name.clone(), n.at.0)).collect(),
    };
    if names.len() != slots.len() && !value.is_unknown() {
        refuse_name_count(&value, names.len(), names.last()?.1, ctx);
        return None;
    }
    let edge = ctx.input().clone();
    let mut parts: Vec<_> = (0..edge.schema.columns.len()).map(Part::Input).collect();
    let mut columns = carry::all(&edge.schema);
    let mut defined = Vec::new();
    let replaced = match value.node {
        crate::plan::Node::Column { index, .. } if names.len() == 1 => Some(index),
        _ => None,
    };
    for (i, ((name, at), slot)) in names.into_iter().zip(slots).enumerate() {
        let column = Carried::new(&name, slot);
        match replaced.filter(|index| edge.schema.columns[*index].name == name) {
            Some(index) => {
                parts[index] = Part::Element(i);
                columns[index] = column;
            }
            None => {
                parts.push(Part::Element(i));
                columns.push(column);
                defined.push((name, at));
            }
        }
    }
    if let Some(name) = call.options.text("position") {
        parts.push(Part::Position);
        columns.push(Carried::new(name, Slot { ty: Type::Int64, nullable: outer }));
        defined.push((name.to_owned(), call.options.span("position").unwrap_or(call.stage.at.0)));
    }
    let mut all: Vec<_> = edge.schema.names().map(|n| (n.to_owned(), call.stage.name.at.0)).collect();
    all.extend(defined);
    input::refuse_twins(&all, ctx);
    move_op_last(&edge, &mut parts, &mut columns);
    let mut out = carry::carry(&edge, columns);
    out.unique.clear();
    if let Mode::Changes { key } = &mut out.mode {
        key.clear();
    }
    let operator = Explode { value, outer, parts, output: out.schema.clone(), input: edge.schema };
    Some(input::passing(call, Box::new(operator), out))
}

/// What the elements are; one slot for a list, two for a map, reported for anything else.
fn element_slots(value: &TypedExpr, outer: bool, ctx: &mut dyn StageContext) -> Vec<Slot> {
    let wider = |slot: &Slot| Slot { ty: slot.ty.clone(), nullable: slot.nullable || outer };
    match &value.slot.ty {
        Type::List(element) => vec![wider(element)],
        Type::Map(key, element) => vec![Slot { ty: (**key).clone(), nullable: outer }, wider(element)],
        Type::Unknown => vec![Slot::unknown()],
        other => {
            let problem =
                Diagnostic::error("not-iterable", value.span, format!("`{other}` has no elements to explode"))
                    .label(format!("is `{other}`, not a list or map"))
                    .help("make a list of it, e.g. of words:\n  explode split(line, \" \") as word");
            ctx.report(problem);
            vec![Slot::unknown()]
        }
    }
}

fn refuse_name_count(value: &TypedExpr, written: usize, at: millstream_dsl::Span, ctx: &mut dyn StageContext) {
    let (gives, example) = match value.slot.ty {
        Type::Map(..) => ("a map gives two columns", "as (key, value)"),
        _ => ("a list gives one column", "as element"),
    };
    let problem = Diagnostic::error("wrong-argument", at, format!("{written} names for the elements: {gives}"))
        .label(gives)
        .help(format!("name what comes out:\n  {example}"));
    ctx.report(problem);
}

/// Keeps `op` the last column of changes.
fn move_op_last(edge: &crate::plan::Edge, parts: &mut Vec<Part>, columns: &mut Vec<Carried>) {
    if let Some(index) = carry::op_column(edge).and_then(|op| op.from) {
        let part = parts.remove(index);
        parts.push(part);
        let column = columns.remove(index);
        columns.push(column);
    }
}

/// Where an output column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The input column at this position, repeated.
    Input(usize),
    /// A list's elements or a map's keys (0); a map's values (1).
    Element(usize),
    /// The element's position.
    Position,
}

#[derive(Debug, Clone)]
struct Explode {
    value: TypedExpr,
    outer: bool,
    parts: Vec<Part>,
    output: Schema,
    input: Schema,
}

impl Operator for Explode {
    fn word(&self) -> &'static str {
        "explode"
    }

    fn explain(&self) -> String {
        let named = |(part, column): (&Part, &Column)| matches!(part, Part::Element(_)).then(|| column.name.clone());
        let names: Vec<_> = self.parts.iter().zip(&self.output.columns).filter_map(named).collect();
        let names = if names.len() > 1 { format!("({})", names.join(", ")) } else { names.join(", ") };
        format!("explode {} as {names}{}", show::plain(&self.value), if self.outer { " outer" } else { "" })
    }

    fn properties(&self) -> Properties {
        let repeated = |part: &Part| if let Part::Input(i) = part { Some((0, *i)) } else { None };
        Properties {
            deterministic: show::deterministic([&self.value]),
            repeats: Some(self.parts.iter().map(repeated).collect()),
            ..Properties::row_wise(self.value.columns())
        }
    }

    fn rewritten(&self, f: &mut dyn FnMut(&TypedExpr) -> TypedExpr) -> Option<Box<dyn Operator>> {
        Some(Box::new(Explode { value: f(&self.value), ..self.clone() }))
    }

    fn task(&self) -> Result<Task, NotRunnable> {
        Ok(Task::Rows(Box::new(ExplodeTask {
            value: Values::new([&self.value], &self.input)?,
            outer: self.outer,
            parts: self.parts.clone(),
            schema: self.output.to_arrow(),
        })))
    }
}

struct ExplodeTask {
    value: Values,
    outer: bool,
    parts: Vec<Part>,
    schema: SchemaRef,
}

/// Lists or maps of a block, laid open.
struct Laid<'a> {
    /// Where each row's elements start; one more for the end.
    offsets: &'a [i32],
    /// Elements, or keys and values.
    elements: Vec<ArrayRef>,
}

impl ExplodeTask {
    /// For each row that comes out: the input row, the element and its position there, none where there is none.
    fn rows_out(&self, lists: &dyn Array, offsets: &[i32]) -> (UInt32Array, UInt32Array, Int64Array, usize) {
        let room = offsets.last().zip(offsets.first()).map_or(0, |(end, start)| (end - start).max(0)) as usize;
        let mut rows = Vec::with_capacity(room);
        let mut elements = Vec::with_capacity(room);
        let mut positions = Vec::with_capacity(room);
        let mut filtered = 0;
        for (row, ends) in offsets.windows(2).enumerate() {
            let range = if lists.is_null(row) { 0..0 } else { ends[0]..ends[1] };
            if range.is_empty() && self.outer {
                rows.push(row as u32);
                elements.push(None);
                positions.push(None);
            } else if range.is_empty() {
                filtered += 1;
            }
            for (position, element) in range.enumerate() {
                rows.push(row as u32);
                elements.push(Some(element as u32));
                positions.push(Some(position as i64));
            }
        }
        (UInt32Array::from(rows), UInt32Array::from(elements), Int64Array::from(positions), filtered)
    }
}

fn lay_open(lists: &ArrayRef) -> Result<Laid<'_>, TaskError> {
    if let Some(map) = lists.as_map_opt() {
        return Ok(Laid { offsets: map.value_offsets(), elements: vec![map.keys().clone(), map.values().clone()] });
    }
    let list = lists.as_list_opt::<i32>().ok_or_else(|| bug(format!("exploding {}", lists.data_type())))?;
    Ok(Laid { offsets: list.value_offsets(), elements: vec![list.values().clone()] })
}

impl RowTask for ExplodeTask {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn eval(&self, block: &RecordBatch, batch: &BatchTime) -> Result<Evaluated, TaskError> {
        let computed = self.value.eval(block, batch)?;
        let lists = &computed.columns[0];
        let laid = lay_open(lists)?;
        let (rows, elements, positions, filtered) = self.rows_out(lists, laid.offsets);
        let positions: ArrayRef = Arc::new(positions);
        let columns = self.parts.iter().map(|part| match part {
            Part::Input(i) => take_rows(computed.rows.column(*i), &rows),
            Part::Element(i) => take(&laid.elements[*i], &elements, None).map_err(bug),
            Part::Position => Ok(positions.clone()),
        });
        let out = batch_of(&self.schema, columns.collect::<Result<_, _>>()?, rows.len())?;
        let handed = Some(computed.rows.num_rows() - filtered);
        Ok(Evaluated { handed, ..computed.bad.evaluated(Port::Out, out, filtered) })
    }
}
