//! What is still true of rows that a stage passes on: their time, what is unique, by which qualifiers their columns
//! are reached, what identifies an update. Knows columns, not stages.

use std::collections::BTreeSet;

use crate::model::{Column, Schema, Slot, Type};
use crate::plan::edge::{OP, Qualified};
use crate::plan::{Edge, Mode};

/// A column that comes out of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Carried {
    /// Its name and type.
    pub column: Column,
    /// The input column whose values it repeats; none where it is computed.
    pub from: Option<usize>,
}

impl Carried {
    /// A column of the input under its own name.
    pub(super) fn same(input: &Schema, index: usize) -> Self {
        Carried { column: input.columns[index].clone(), from: Some(index) }
    }

    /// A computed column.
    pub(super) fn new(name: impl Into<String>, slot: Slot) -> Self {
        Carried { column: Column::new(name, slot), from: None }
    }
}

/// Every column of the input, in order.
pub(super) fn all(input: &Schema) -> Vec<Carried> {
    (0..input.columns.len()).map(|i| Carried::same(input, i)).collect()
}

/// For `Properties::repeats`: every column of the only input, in order.
pub(super) fn repeats_all(input: &Schema) -> Vec<Option<(usize, usize)>> {
    (0..input.columns.len()).map(|i| Some((0, i))).collect()
}

/// The edge behind a stateless stage that passes rows on with these columns.
pub(super) fn carry(input: &Edge, columns: Vec<Carried>) -> Edge {
    let renamed = |name: &str| {
        let index = input.schema.position(name)?;
        let same = |c: &&Carried| c.from == Some(index);
        let kept = columns.iter().filter(same).find(|c| c.column.name == name);
        kept.or_else(|| columns.iter().find(same)).map(|c| c.column.name.clone())
    };
    let all_renamed = |names: &Vec<String>| names.iter().map(|n| renamed(n)).collect::<Option<Vec<_>>>();
    let time = input.time.clone().and_then(|t| Some(crate::plan::EventTime { column: renamed(&t.column)?, ..t }));
    let unique = input.unique.iter().filter_map(all_renamed).collect();
    let mode = match &input.mode {
        Mode::Append => Mode::Append,
        Mode::Changes { key } => Mode::Changes { key: all_renamed(key).unwrap_or_default() },
    };
    let qualified = input.qualified.iter().flat_map(|q| requalified(q, input, &columns)).collect();
    let schema = Schema::new(columns.iter().map(|c| c.column.clone()).collect());
    Edge { schema, qualified, time, mode, unique, guarantee: input.guarantee, state: String::new() }
}

/// Where a qualified name leads after the stage. A column that was renamed is reached by its new name.
fn requalified(old: &Qualified, input: &Edge, columns: &[Carried]) -> Option<Qualified> {
    let index = columns.iter().position(|c| c.from == Some(old.index))?;
    let (before, after) = (&input.schema.columns[old.index].name, &columns[index].column.name);
    let name = if before == after { old.name.clone() } else { after.clone() };
    Some(Qualified { qualifier: old.qualifier.clone(), name, index })
}

/// The column `op`, for stages that choose columns: changes keep it though nobody names it.
pub(super) fn op_column(input: &Edge) -> Option<Carried> {
    let Mode::Changes { .. } = input.mode else { return None };
    input.schema.position(OP).map(|index| Carried::same(&input.schema, index))
}

/// The columns of a changes edge: those given, then `op`.
pub(super) fn with_op(mut columns: Vec<Column>) -> Vec<Column> {
    columns.push(Column::new(OP, Slot::required(Type::String)));
    columns
}

/// The first name that occurs twice: the position of its second occurrence and of its first.
pub(super) fn first_twin<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<(usize, usize)> {
    let mut seen: Vec<&str> = Vec::new();
    let mut known = BTreeSet::new();
    for (i, name) in names.into_iter().enumerate() {
        if !known.insert(name) {
            return seen.iter().position(|n| *n == name).map(|first| (i, first));
        }
        seen.push(name);
    }
    None
}

/// The columns of rows that a stage with one input sets aside: the input's, then why.
pub(super) fn aside(input: &Edge) -> Vec<Column> {
    let kept = keeps_but(&input.schema, &["_reason"]).into_iter();
    let mut columns: Vec<Column> = kept.map(|i| input.schema.columns[i].clone()).collect();
    columns.push(Column::new("_reason", Slot::required(Type::String)));
    columns
}

/// The columns that rows keep when they are set aside: all but what they say anew.
pub(super) fn keeps_but(input: &Schema, said: &[&str]) -> Vec<usize> {
    (0..input.columns.len()).filter(|i| !said.contains(&input.columns[*i].name.as_str())).collect()
}

/// The edge of late rows of a stage with one input: its columns, `_reason`, `_late_by`. Their time is no event time
/// any more: behind the watermark as they are, every window would find them late again.
pub(super) fn late(input: &Edge) -> Edge {
    let mut columns = aside(input);
    columns.retain(|c| c.name != "_late_by");
    columns.push(Column::new("_late_by", Slot::required(Type::Duration)));
    Edge { guarantee: input.guarantee, ..Edge::append(Schema::new(columns)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::EventTime;

    fn orders() -> Edge {
        let string = || Slot::required(Type::String);
        let columns = vec![
            Column::new("id", string()),
            Column::new("amount", Slot::required(Type::Int64)),
            Column::new("ts", Slot::required(Type::Timestamp(None))),
        ];
        Edge {
            time: Some(EventTime { column: "ts".into(), delay: Some(0), ends_window: false }),
            unique: vec![vec!["id".into()], vec!["id".into(), "amount".into()]],
            qualified: vec![Qualified { qualifier: "o".into(), name: "id".into(), index: 0 }],
            ..Edge::append(Schema::new(columns))
        }
    }

    #[test]
    fn what_is_renamed_keeps_its_meaning_under_the_new_name() {
        let input = orders();
        let mut columns = all(&input.schema);
        columns[0].column.name = "order_id".into();
        columns[2].column.name = "at".into();
        let out = carry(&input, columns);
        assert_eq!(out.time.map(|t| t.column), Some("at".to_owned()));
        assert_eq!(out.unique, [vec!["order_id".to_owned()], vec!["order_id".to_owned(), "amount".to_owned()]]);
        assert_eq!(out.qualified, [Qualified { qualifier: "o".into(), name: "order_id".into(), index: 0 }]);
    }

    #[test]
    fn what_is_left_out_takes_time_and_uniqueness_with_it() {
        let input = orders();
        let out = carry(&input, vec![Carried::same(&input.schema, 1), Carried::same(&input.schema, 0)]);
        assert_eq!(out.time, None);
        assert_eq!(out.unique.len(), 2);
        assert_eq!(out.qualified[0].index, 1);
        let out = carry(&input, vec![Carried::same(&input.schema, 1)]);
        assert!(out.unique.is_empty() && out.qualified.is_empty());
    }

    #[test]
    fn twins_are_found_by_their_second_occurrence() {
        assert_eq!(first_twin(["a", "b", "a"]), Some((2, 0)));
        assert_eq!(first_twin(["a", "b"]), None);
    }
}
