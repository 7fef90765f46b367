//! Partial results, one cell for each group: rows or other partial results go in, results or partial results come out.
//! Counts, sums, means and extremes are our own, with state columns of our own; every other aggregate is DataFusion's,
//! whose state columns a test pins. Knows groups by number, nothing of keys or windows.
//!
//! | aggregate | state columns |
//! | --- | --- |
//! | `count`, `count_if` | `int64` |
//! | `sum` of integers, decimals, durations | `decimal(38, scale)`, null for no values |
//! | `sum` of floats | `float64`, null for no values |
//! | `avg` of floats | `int64` values, `float64` their sum |
//! | `avg` of decimals | `int64` values, `decimal(38, scale)` their sum |
//! | `min`, `max` of numbers and times | the value, null for none |
//! | others | as pinned in `cells/tests.rs` |

mod borrowed;
mod exact;
mod extreme;
mod floats;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::DataType;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

use crate::operators::values::bug;
use crate::plan::operator::TaskError;

pub(super) use borrowed::{Encoded, Transient};

/// Partial results of one aggregate, by group. A group without rows is there and empty.
pub(super) trait Cells: Send {
    /// Takes the arguments of rows. There are `total` groups from now on.
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError>;

    /// Takes partial results of others.
    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError>;

    /// The partial results of some groups, or of all.
    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError>;

    /// The results of some groups, or of all.
    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError>;

    /// Forgets all groups but these, which get new numbers in this order.
    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError>;

    /// About how much memory it takes.
    fn bytes(&self) -> usize;
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CellError {
    /// It does not fit its type: the position among the results asked for.
    Overflow(usize),
    /// Something else.
    Task(TaskError),
}

impl From<TaskError> for CellError {
    fn from(error: TaskError) -> Self {
        CellError::Task(error)
    }
}

/// An aggregate whose cells can be made.
#[derive(Clone)]
pub(super) struct Recipe {
    expr: AggregateFunctionExpr,
    own: Option<Own>,
}

/// The aggregates that are our own.
#[derive(Clone)]
enum Own {
    Count,
    CountIf,
    ExactSum(DataType),
    FloatSum,
    FloatMean,
    DecimalMean { scale: i8, result: DataType },
    Extreme { ty: DataType, largest: bool },
}

impl Recipe {
    /// For an aggregate over arguments of these types.
    pub(super) fn new(name: &str, expr: AggregateFunctionExpr, args: &[DataType], result: &DataType) -> Self {
        let own = match (name, args) {
            ("count", _) => Some(Own::Count),
            ("count_if", _) => Some(Own::CountIf),
            ("sum", [arg]) if arg == result && arg.is_integer() => Some(Own::ExactSum(result.clone())),
            ("sum", [arg]) if arg == result && matches!(arg, DataType::Duration(_)) => {
                Some(Own::ExactSum(result.clone()))
            }
            ("sum", [DataType::Decimal128(_, scale)]) => match result {
                DataType::Decimal128(_, same) if same == scale => Some(Own::ExactSum(result.clone())),
                _ => None,
            },
            ("sum", [DataType::Float64]) => Some(Own::FloatSum),
            ("avg", [DataType::Float64]) => Some(Own::FloatMean),
            ("avg", [DataType::Decimal128(_, scale)]) => match result {
                DataType::Decimal128(_, wider) if wider >= scale => {
                    Some(Own::DecimalMean { scale: *scale, result: result.clone() })
                }
                _ => None,
            },
            ("min" | "max", [arg]) if arg == result && extreme::knows(arg) => {
                Some(Own::Extreme { ty: arg.clone(), largest: name == "max" })
            }
            _ => None,
        };
        Recipe { expr, own }
    }

    /// Cells that live within a block or a result: those of DataFusion give their states or results once, and all.
    pub(super) fn transient(&self) -> Result<Box<dyn Cells>, TaskError> {
        match self.own() {
            Some(own) => Ok(own),
            None => Ok(Box::new(Transient::new(&self.expr)?)),
        }
    }

    /// Cells that are remembered: they take partial results only, and can be looked at at any time.
    pub(super) fn lasting(&self) -> Result<Box<dyn Cells>, TaskError> {
        match self.own() {
            Some(own) => Ok(own),
            None => Ok(Box::new(Encoded::new(&self.expr)?)),
        }
    }

    /// The types of its state columns.
    pub(super) fn state_types(&self) -> Result<Vec<DataType>, TaskError> {
        Ok(match &self.own {
            Some(Own::Count | Own::CountIf) => vec![DataType::Int64],
            Some(Own::ExactSum(result)) => vec![exact::sum_type(result)],
            Some(Own::FloatSum) => vec![DataType::Float64],
            Some(Own::FloatMean) => vec![DataType::Int64, DataType::Float64],
            Some(Own::DecimalMean { scale, .. }) => {
                vec![DataType::Int64, DataType::Decimal128(arrow::datatypes::DECIMAL128_MAX_PRECISION, *scale)]
            }
            Some(Own::Extreme { ty, .. }) => vec![ty.clone()],
            None => self.expr.state_fields().map_err(bug)?.iter().map(|f| f.data_type().clone()).collect(),
        })
    }

    /// Whether its partial results are the values themselves, so that they are as many as the rows.
    pub(super) fn collects(&self) -> bool {
        let states = self.state_types().unwrap_or_default();
        self.own.is_none() && matches!(states[..], [DataType::List(_) | DataType::LargeList(_)])
    }

    fn own(&self) -> Option<Box<dyn Cells>> {
        let own: Box<dyn Cells> = match self.own.as_ref()? {
            Own::Count => Box::new(exact::Counts::of_values()),
            Own::CountIf => Box::new(exact::Counts::of_conditions()),
            Own::ExactSum(result) => Box::new(exact::Sums::new(result.clone())),
            Own::FloatSum => Box::new(floats::Sums::default()),
            Own::FloatMean => Box::new(floats::Means::default()),
            Own::DecimalMean { scale, result } => Box::new(exact::Means::new(*scale, result.clone())),
            Own::Extreme { ty, largest } => return extreme::cells(ty, *largest),
        };
        Some(own)
    }
}

/// Calls `f` with the group and the row of every row that has values in all columns and passes the filter.
fn each_row(args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, mut f: impl FnMut(usize, usize)) {
    let passes = |row: usize| filter.is_none_or(|f| f.value(row) && !arrow::array::Array::is_null(f, row));
    let nullable = args.iter().any(|a| a.null_count() > 0);
    if !nullable && filter.is_none() {
        groups.iter().enumerate().for_each(|(row, group)| f(*group, row));
        return;
    }
    for (row, group) in groups.iter().enumerate() {
        if passes(row) && args.iter().all(|a| a.is_valid(row)) {
            f(*group, row);
        }
    }
}

/// The chosen ones, or all.
fn chosen<T: Copy>(all: &[T], which: Option<&[u32]>) -> Vec<T> {
    match which {
        Some(which) => which.iter().map(|i| all[*i as usize]).collect(),
        None => all.to_vec(),
    }
}

#[cfg(test)]
mod tests;
