//! What comes out of a join: left columns, then right ones, which may be null where a side may be missing.

use millstream_dsl::ast::JoinWord;

use crate::model::{Column, Schema, Slot, Type};
use crate::operators::carry::{self, Carried};
use crate::plan::edge::{Edge, EventTime, Qualified};

/// The two sides and what is joined.
pub(super) struct Inputs<'a> {
    /// What comes in from the left.
    pub left: &'a Edge,
    /// Its name, if it has one.
    pub left_name: Option<&'a str>,
    /// The stream or table joined.
    pub right: &'a Edge,
    /// Its alias or name.
    pub right_name: &'a str,
    /// Which rows without a partner come out.
    pub modifier: Option<JoinWord>,
    /// Keys written as `using`: their positions left and right.
    pub using: &'a [(usize, usize)],
    /// Whether a left row has at most one partner.
    pub one_partner: bool,
}

impl Inputs<'_> {
    /// Only left columns come out.
    pub(super) fn left_only(&self) -> bool {
        matches!(self.modifier, Some(JoinWord::Semi | JoinWord::Anti))
    }

    /// Rows without a left partner come out.
    pub(super) fn left_may_miss(&self) -> bool {
        matches!(self.modifier, Some(JoinWord::Right | JoinWord::Full))
    }

    /// Rows without a right partner come out, with nulls.
    pub(super) fn right_may_miss(&self) -> bool {
        matches!(self.modifier, Some(JoinWord::Left | JoinWord::Full))
    }
}

/// Where an output column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The left column at this position.
    Left(usize),
    /// The right column at this position.
    Right(usize),
    /// A `using` key: the left column, or the right one where there is no left row.
    Key(usize, usize),
}

/// Columns with where they come from, and everything known of them but time and state.
pub(super) fn joined(inputs: &Inputs<'_>) -> (Edge, Vec<Part>) {
    if inputs.left_only() {
        return left_only(inputs);
    }
    let mut columns = Vec::new();
    let mut parts = Vec::new();
    for (i, column) in inputs.left.schema.columns.iter().enumerate() {
        let key = inputs.using.iter().find(|(left, _)| *left == i);
        let slot = match key {
            Some((_, right)) => key_slot(inputs, &column.slot, &inputs.right.schema.columns[*right].slot),
            None => Slot { nullable: column.slot.nullable || inputs.left_may_miss(), ..column.slot.clone() },
        };
        columns.push(Column::new(&column.name, slot));
        parts.push(key.map_or(Part::Left(i), |(left, right)| Part::Key(*left, *right)));
    }
    for (i, column) in inputs.right.schema.columns.iter().enumerate() {
        if inputs.using.iter().any(|(_, right)| *right == i) {
            continue;
        }
        let collides = inputs.left.schema.get(&column.name).is_some();
        let name = if collides { format!("{}.{}", inputs.right_name, column.name) } else { column.name.clone() };
        let nullable = column.slot.nullable || inputs.right_may_miss();
        columns.push(Column::new(name, Slot { nullable, ..column.slot.clone() }));
        parts.push(Part::Right(i));
    }
    let qualified = qualified(inputs, &parts);
    let unique = unique(inputs, &columns, &parts);
    let guarantee = inputs.left.guarantee.min(inputs.right.guarantee);
    (Edge { qualified, unique, guarantee, ..Edge::append(Schema::new(columns)) }, parts)
}

/// Left rows as they are.
fn left_only(inputs: &Inputs<'_>) -> (Edge, Vec<Part>) {
    let columns = carry::all(&inputs.left.schema);
    let parts = (0..columns.len()).map(Part::Left).collect();
    (carry::carry(inputs.left, columns), parts)
}

/// A key that appears once is what the side has that is there.
fn key_slot(inputs: &Inputs<'_>, left: &Slot, right: &Slot) -> Slot {
    let nullable = match inputs.modifier {
        None | Some(JoinWord::Cross) => false,
        Some(JoinWord::Right) => right.nullable,
        Some(JoinWord::Full) => left.nullable || right.nullable,
        Some(JoinWord::Left | JoinWord::Semi | JoinWord::Anti) => left.nullable,
    };
    Slot { ty: left.ty.clone(), nullable }
}

/// Both sides' names lead to their columns, and so do the names that led there before.
fn qualified(inputs: &Inputs<'_>, parts: &[Part]) -> Vec<Qualified> {
    let from_left = |i: usize| parts.iter().position(|p| matches!(p, Part::Left(n) | Part::Key(n, _) if *n == i));
    let from_right = |i: usize| parts.iter().position(|p| matches!(p, Part::Right(n) | Part::Key(_, n) if *n == i));
    let mut all = Vec::new();
    let mut side = |edge: &Edge, name: Option<&str>, place: &dyn Fn(usize) -> Option<usize>| {
        for q in &edge.qualified {
            all.extend(place(q.index).map(|index| Qualified { index, ..q.clone() }));
        }
        let Some(name) = name else { return };
        for (i, column) in edge.schema.columns.iter().enumerate().filter(|(_, c)| !c.name.contains('.')) {
            let known = edge.qualified.iter().any(|q| q.qualifier == name && q.name == column.name);
            if let (false, Some(index)) = (known, place(i)) {
                all.push(Qualified { qualifier: name.to_owned(), name: column.name.clone(), index });
            }
        }
    };
    side(inputs.left, inputs.left_name, &from_left);
    side(inputs.right, Some(inputs.right_name), &from_right);
    all
}

/// With one partner at most, left rows stay unique; else pairs are, where both sides are.
fn unique(inputs: &Inputs<'_>, columns: &[Column], parts: &[Part]) -> Vec<Vec<String>> {
    if inputs.left_may_miss() {
        return Vec::new();
    }
    if inputs.one_partner {
        return inputs.left.unique.clone();
    }
    let right_name = |name: &String| {
        let position = inputs.right.schema.position(name)?;
        let out = parts.iter().position(|p| matches!(p, Part::Right(n) | Part::Key(_, n) if *n == position))?;
        Some(columns[out].name.clone())
    };
    let mut pairs = Vec::new();
    for right in &inputs.right.unique {
        let Some(right) = right.iter().map(right_name).collect::<Option<Vec<_>>>() else { continue };
        for left in &inputs.left.unique {
            let mut both = left.clone();
            both.extend(right.iter().filter(|name| !left.contains(name)).cloned());
            pairs.push(both);
        }
    }
    pairs
}

/// The time of the rows that come out: that of the side which is always there, `wait` behind its watermark.
pub(super) fn time(inputs: &Inputs<'_>, out: &Edge, parts: &[Part], wait: i64) -> Option<EventTime> {
    let (edge, right) = match inputs.modifier {
        Some(JoinWord::Full) => return None,
        Some(JoinWord::Right) => (inputs.right, true),
        _ => (inputs.left, false),
    };
    let time = edge.time.clone()?;
    let position = edge.schema.position(&time.column)?;
    let of_side = |part: &&Part| match part {
        Part::Left(n) => !right && *n == position,
        Part::Right(n) => right && *n == position,
        Part::Key(l, r) => position == if right { *r } else { *l },
    };
    let place = parts.iter().position(|part| of_side(&part))?;
    let column = out.schema.columns.get(place)?.name.clone();
    Some(EventTime { column, delay: time.delay.map(|d| d.saturating_add(wait)), ..time })
}

/// Window columns before all others.
pub(super) fn windowed(out: Edge, delay: Option<i64>) -> Edge {
    let mut columns =
        ["window_start", "window_end"].map(|name| Carried::new(name, Slot::required(Type::Timestamp(None)))).to_vec();
    columns.extend(carry::all(&out.schema));
    let mut windowed = carry::carry(&out, columns);
    windowed.time = Some(EventTime { column: "window_end".into(), delay, ends_window: true });
    for set in &mut windowed.unique {
        set.insert(0, "window_end".into());
    }
    windowed
}
