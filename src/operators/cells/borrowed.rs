//! DataFusion's accumulators as cells. Its accumulators cannot be looked at without being emptied, and taking a state
//! into an empty accumulator may round; so what is remembered between batches is the state itself, as rows of bytes,
//! and an accumulator is made for each merge. What was saved and loaded is then the same bit for bit.

use std::cell::RefCell;
use std::collections::BTreeMap;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion_expr::{EmitTo, GroupsAccumulator};
use datafusion_physical_expr::GroupsAccumulatorAdapter;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use crate::operators::cells::{CellError, Cells};
use crate::operators::values::{bug, not_accumulated, take_rows};
use crate::plan::operator::TaskError;

type Accumulator = Box<dyn GroupsAccumulator>;

fn accumulator(expr: &AggregateFunctionExpr) -> Result<Accumulator, TaskError> {
    if expr.groups_accumulator_supported() {
        return expr.create_groups_accumulator().map_err(bug);
    }
    let expr = expr.clone();
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || expr.create_accumulator())))
}

/// Within a block or a result: states or results can be asked for once, and of all groups.
pub(in crate::operators) struct Transient {
    inner: RefCell<Accumulator>,
}

impl Transient {
    pub(super) fn new(expr: &AggregateFunctionExpr) -> Result<Self, TaskError> {
        Ok(Transient { inner: RefCell::new(accumulator(expr)?) })
    }
}

fn once(which: Option<&[u32]>) -> Result<(), TaskError> {
    if which.is_some() { Err(bug("these cells are read once and whole")) } else { Ok(()) }
}

impl Cells for Transient {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError> {
        self.inner.get_mut().update_batch(args, groups, filter, total).map_err(not_accumulated)
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.inner.get_mut().merge_batch(states, groups, total).map_err(not_accumulated)
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        once(which)?;
        self.inner.borrow_mut().state(EmitTo::All).map_err(not_accumulated)
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        once(which)?;
        Ok(self.inner.borrow_mut().evaluate(EmitTo::All).map_err(not_accumulated)?)
    }

    fn keep(&mut self, _: &[u32]) -> Result<(), TaskError> {
        Err(bug("these cells are not remembered"))
    }

    fn bytes(&self) -> usize {
        self.inner.borrow().size()
    }
}

/// Remembered: the state of each group as bytes. None: nothing came yet.
pub(in crate::operators) struct Encoded {
    expr: AggregateFunctionExpr,
    types: Vec<DataType>,
    converter: RowConverter,
    states: Vec<Option<Box<[u8]>>>,
}

impl Encoded {
    pub(super) fn new(expr: &AggregateFunctionExpr) -> Result<Self, TaskError> {
        let fields = expr.state_fields().map_err(bug)?;
        let types: Vec<_> = fields.iter().map(|f| f.data_type().clone()).collect();
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect()).map_err(bug)?;
        Ok(Encoded { expr: expr.clone(), types, converter, states: Vec::new() })
    }

    fn decoded<'a>(&self, states: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, TaskError> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(states.map(|bytes| parser.parse(bytes))).map_err(bug)?;
        // Types inside of lists may come back under other field names.
        let cast = |(column, ty): (ArrayRef, &DataType)| {
            if column.data_type() == ty { Ok(column) } else { arrow::compute::cast(&column, ty).map_err(bug) }
        };
        columns.into_iter().zip(&self.types).map(cast).collect()
    }

    /// The groups' states in an accumulator, numbered by their places in `which`.
    fn in_accumulator(&self, which: &[u32]) -> Result<Accumulator, TaskError> {
        let mut accumulator = accumulator(&self.expr)?;
        let filled: Vec<_> = (0..which.len()).filter(|i| self.states[which[*i] as usize].is_some()).collect();
        let states = self.decoded(filled.iter().filter_map(|i| self.states[which[*i] as usize].as_deref()))?;
        if filled.is_empty() {
            // Makes room for the groups, none of which has anything.
            let none = states.iter().map(|s| s.slice(0, 0)).collect::<Vec<_>>();
            accumulator.merge_batch(&none, &[], which.len()).map_err(not_accumulated)?;
        } else {
            accumulator.merge_batch(&states, &filled, which.len()).map_err(not_accumulated)?;
        }
        Ok(accumulator)
    }
}

impl Cells for Encoded {
    fn update(&mut self, _: &[ArrayRef], _: &[usize], _: Option<&BooleanArray>, _: usize) -> Result<(), TaskError> {
        Err(bug("what is remembered takes partial results only"))
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.states.resize(total, None);
        // One state for one empty group, the common case, is taken as it is.
        let mut touched: Vec<u32> = Vec::new();
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        let mut local = Vec::with_capacity(groups.len());
        for group in groups {
            let place = *places.entry(*group).or_insert_with(|| {
                touched.push(*group as u32);
                touched.len() - 1
            });
            local.push(place);
        }
        let fresh = touched.iter().all(|group| self.states[*group as usize].is_none());
        let merged = if fresh && touched.len() == groups.len() {
            states.to_vec()
        } else {
            let mut accumulator = self.in_accumulator(&touched)?;
            accumulator.merge_batch(states, &local, touched.len()).map_err(not_accumulated)?;
            accumulator.state(EmitTo::All).map_err(not_accumulated)?
        };
        let rows = self.converter.convert_columns(&merged).map_err(bug)?;
        for (group, row) in touched.iter().zip(&rows) {
            self.states[*group as usize] = Some(row.data().into());
        }
        Ok(())
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        let all: Vec<u32>;
        let which = match which {
            Some(which) => which,
            None => {
                all = (0..self.states.len() as u32).collect();
                &all
            }
        };
        if which.iter().all(|group| self.states[*group as usize].is_some()) {
            return self.decoded(which.iter().filter_map(|group| self.states[*group as usize].as_deref()));
        }
        let states = self.in_accumulator(which)?.state(EmitTo::All).map_err(not_accumulated)?;
        states.iter().map(|column| take_rows(column, &(0..which.len() as u32).collect::<Vec<_>>().into())).collect()
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        let all: Vec<u32> = (0..self.states.len() as u32).collect();
        Ok(self.in_accumulator(which.unwrap_or(&all))?.evaluate(EmitTo::All).map_err(not_accumulated)?)
    }

    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError> {
        self.states = which.iter().map(|group| self.states[*group as usize].take()).collect();
        Ok(())
    }

    fn bytes(&self) -> usize {
        let own = self.states.capacity() * size_of::<Option<Box<[u8]>>>();
        own + self.states.iter().flatten().map(|state| state.len()).sum::<usize>()
    }
}
