//! Identities of rows as bytes, and which of them went.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};
use datafusion_common::HashMap;

use crate::plan::operator::{TableChange, TaskError};

/// The leading columns of a table as bytes: equal where the values are, nulls among them; floats by their bits.
pub(super) struct Keys {
    /// By how many columns, from one on.
    converters: Vec<RowConverter>,
    types: Vec<DataType>,
}

impl Keys {
    /// For a table with rows like these, which are known by so many columns.
    pub(super) fn new(like: &RecordBatch, identity: usize) -> Result<Self, TaskError> {
        let types: Vec<_> = like.columns().iter().take(identity).map(|column| column.data_type().clone()).collect();
        if identity == 0 || types.len() < identity {
            return Err(bug(format!("saved rows of {} columns are not known by {identity}", like.num_columns())));
        }
        let fields: Vec<_> = types.iter().map(|ty| SortField::new(ty.clone())).collect();
        let converters = (1..=identity).map(|width| RowConverter::new(fields[..width].to_vec()));
        Ok(Keys { converters: converters.collect::<Result<_, _>>().map_err(bug)?, types })
    }

    /// No identities.
    pub(super) fn none(&self) -> Rows {
        self.converters[self.converters.len() - 1].empty_rows(0, 0)
    }

    /// The identities of rows.
    pub(super) fn of(&self, rows: &RecordBatch) -> Result<Rows, TaskError> {
        self.leading(rows, self.types.len())
    }

    /// What identities of rows begin with.
    fn leading(&self, rows: &RecordBatch, width: usize) -> Result<Rows, TaskError> {
        let found = rows.columns().iter().map(|column| column.data_type());
        if width == 0 || rows.num_columns() < width || found.zip(&self.types).take(width).any(|(a, b)| a != b) {
            return Err(bug("saved rows and changed ones have other columns"));
        }
        self.converters[width - 1].convert_columns(&rows.columns()[..width]).map_err(bug)
    }
}

/// Which identities went, and with which change they did so last.
pub(super) struct Gone {
    /// By how many columns are told.
    by_width: BTreeMap<usize, HashMap<Box<[u8]>, usize>>,
}

impl Gone {
    pub(super) fn of(keys: &Keys, changes: &[TableChange]) -> Result<Self, TaskError> {
        let mut by_width: BTreeMap<usize, HashMap<Box<[u8]>, usize>> = BTreeMap::new();
        for (step, change) in changes.iter().enumerate() {
            for gone in change.gone.iter().filter(|gone| gone.num_rows() > 0) {
                let width = gone.num_columns().min(keys.types.len());
                let known = by_width.entry(width).or_default();
                for key in &keys.leading(gone, width)? {
                    known.insert(key.data().into(), step);
                }
            }
        }
        Ok(Gone { by_width })
    }

    /// The last change with which each of these rows went, if any did.
    pub(super) fn last(&self, keys: &Keys, rows: &RecordBatch) -> Result<Option<Vec<Option<usize>>>, TaskError> {
        let mut last: Option<Vec<Option<usize>>> = None;
        for (width, gone) in &self.by_width {
            let found = last.get_or_insert_with(|| vec![None; rows.num_rows()]);
            for (found, key) in found.iter_mut().zip(&keys.leading(rows, *width)?) {
                *found = (*found).max(gone.get(key.data()).copied());
            }
        }
        Ok(last)
    }
}

pub(super) fn bug(why: impl std::fmt::Display) -> TaskError {
    TaskError::Bug(why.to_string())
}
