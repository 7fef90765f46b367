//! Orders rows, always stably: rows that compare equal stay as they came. Knows nothing of stages.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::SortOptions;
use arrow::row::{RowConverter, Rows, SortField};

use crate::expressions::plain_floats;
use crate::operators::values::bug;
use crate::plan::expr::SortKey;
use crate::plan::operator::TaskError;

/// A way to compare rows by some columns.
pub(super) struct Ordering {
    converter: RowConverter,
}

impl Ordering {
    /// By these keys, whose values are computed elsewhere.
    pub(super) fn new(keys: &[SortKey]) -> Result<Self, TaskError> {
        let field = |key: &SortKey| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            SortField::new_with_options(key.value.slot.ty.to_arrow(), options)
        };
        let converter = RowConverter::new(keys.iter().map(field).collect()).map_err(bug)?;
        Ok(Ordering { converter })
    }

    /// The columns as rows that compare byte by byte; both zeros are equal, and so is every NaN.
    pub(super) fn rows(&self, columns: &[ArrayRef]) -> Result<Rows, TaskError> {
        let columns: Vec<_> = columns.iter().map(plain_floats).collect();
        self.converter.convert_columns(&columns).map_err(bug)
    }

    /// The order of the rows, as positions.
    pub(super) fn sorted(&self, columns: &[ArrayRef]) -> Result<UInt32Array, TaskError> {
        let rows = self.rows(columns)?;
        let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
        order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
        Ok(UInt32Array::from(order))
    }
}
