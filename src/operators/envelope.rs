//! Rows that a stage with two inputs sets aside: the sides' columns differ, so the row itself is JSON.

use crate::model::{Column, Schema, Slot, Type};
use crate::plan::Edge;

/// `side`, `time`, `reason`, `row`.
pub(super) fn envelope(left: &Edge, right: &Edge) -> Edge {
    let columns = vec![
        Column::new("side", Slot::required(Type::String)),
        Column::new("time", Slot::nullable(Type::Timestamp(None))),
        Column::new("reason", Slot::required(Type::String)),
        Column::new("row", Slot::required(Type::Json)),
    ];
    Edge { guarantee: left.guarantee.min(right.guarantee), ..Edge::append(Schema::new(columns)) }
}
