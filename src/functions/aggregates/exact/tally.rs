//! One value and a count for each group: sums that do not wrap around, means that are rounded, extremes of floats with
//! NaN above all other numbers.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, PrimitiveArray, UInt64Array};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, DecimalType, UInt64Type};
use arrow::error::ArrowError;
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// What is known of one group. Without values there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell<N> {
    count: u64,
    value: N,
}

/// Takes a value into a group.
pub(super) type Put<T> = fn(
    &mut Cell<<T as ArrowPrimitiveType>::Native>,
    <T as ArrowPrimitiveType>::Native,
) -> std::result::Result<(), ArrowError>;

/// What comes out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Finish {
    /// The value.
    Value,
    /// A decimal by the count. Only this one keeps the count and takes values back.
    Mean {
        /// Of the result.
        precision: u8,
        /// Of the result.
        scale: i8,
    },
}

/// The accumulator, for one group or many.
pub(super) struct Tally<T: ArrowPrimitiveType> {
    cells: Vec<Cell<T::Native>>,
    put: Put<T>,
    finish: Finish,
    /// Of the value that is kept.
    ty: DataType,
}

impl<T: ArrowPrimitiveType> fmt::Debug for Tally<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tally of {} in {} groups", self.ty, self.cells.len())
    }
}

impl<T: ArrowPrimitiveType> Tally<T> {
    /// One that has seen nothing; `ty` is the type of what it keeps.
    pub(super) fn new(put: Put<T>, finish: Finish, ty: DataType) -> Self {
        Tally { cells: Vec::new(), put, finish, ty }
    }

    fn grow(&mut self, groups: usize) {
        self.cells.resize(groups.max(self.cells.len()), Cell { count: 0, value: T::Native::default() });
    }

    /// The values for the groups of their rows.
    fn take(&mut self, values: &ArrayRef, group: impl Fn(usize) -> Option<usize>) -> Result<()> {
        let values = values.as_primitive::<T>();
        for row in 0..values.len() {
            if let Some(group) = group(row).filter(|_| values.is_valid(row)) {
                (self.put)(&mut self.cells[group], values.value(row))?;
            }
        }
        Ok(())
    }

    /// What other accumulators have seen.
    fn merge(&mut self, states: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
        match (&self.finish, states) {
            (Finish::Value, [values]) => self.take(&Arc::clone(values), |row| Some(group(row))),
            (Finish::Mean { .. }, [counts, sums]) => {
                let (counts, sums) = (counts.as_primitive::<UInt64Type>(), sums.as_primitive::<T>());
                for row in (0..sums.len()).filter(|&row| sums.is_valid(row) && counts.is_valid(row)) {
                    let cell = &mut self.cells[group(row)];
                    let before = cell.count;
                    (self.put)(cell, sums.value(row))?;
                    cell.count = before + counts.value(row);
                }
                Ok(())
            }
            _ => internal_err!("another accumulator's state"),
        }
    }

    fn states(&self, cells: &[Cell<T::Native>]) -> Vec<ArrayRef> {
        let values = self.column(cells.iter().map(|c| (c.count > 0).then_some(c.value)), &self.ty);
        match self.finish {
            Finish::Value => vec![values],
            Finish::Mean { .. } => {
                vec![Arc::new(cells.iter().map(|c| c.count).collect::<UInt64Array>()), values]
            }
        }
    }

    fn results(&self, cells: &[Cell<T::Native>]) -> Result<ArrayRef> {
        let values = self.column(cells.iter().map(|c| (c.count > 0).then_some(c.value)), &self.ty);
        match (self.finish, &self.ty) {
            (Finish::Value, DataType::Decimal128(precision, _)) => {
                values.as_primitive::<Decimal128Type>().iter().flatten().try_for_each(|v| fits(v, *precision))?;
                Ok(values)
            }
            (Finish::Value, _) => Ok(values),
            (Finish::Mean { precision, scale }, DataType::Decimal128(_, of_sum)) => {
                let more = u32::try_from(i32::from(scale) - i32::from(*of_sum)).unwrap_or(0);
                let mean = |(sum, cell): (Option<i128>, &Cell<T::Native>)| {
                    let Some(sum) = sum else { return Ok(None) };
                    let mean = mean(sum, cell.count, more).ok_or_else(|| too_large("mean"))?;
                    fits(mean, precision).map(|()| Some(mean))
                };
                let means = values.as_primitive::<Decimal128Type>().iter().zip(cells).map(mean);
                let means = means.collect::<Result<PrimitiveArray<Decimal128Type>>>()?;
                Ok(Arc::new(means.with_data_type(DataType::Decimal128(precision, scale))))
            }
            _ => internal_err!("means are of decimals"),
        }
    }

    fn column(&self, values: impl Iterator<Item = Option<T::Native>>, ty: &DataType) -> ArrayRef {
        Arc::new(values.collect::<PrimitiveArray<T>>().with_data_type(ty.clone()))
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Tally<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let chosen = |row: usize| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        self.take(&values[0], |row| chosen(row).then(|| groups[row]))
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        self.merge(states, |row| groups[row])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let cells = emit_to.take_needed(&mut self.cells);
        self.results(&cells)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let cells = emit_to.take_needed(&mut self.cells);
        Ok(self.states(&cells))
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut each = Tally::<T>::new(self.put, self.finish, self.ty.clone());
        let rows: Vec<_> = (0..values[0].len()).collect();
        GroupsAccumulator::update_batch(&mut each, values, &rows, filter, rows.len())?;
        Ok(each.states(&each.cells))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.cells.capacity() * size_of::<Cell<T::Native>>()
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Tally<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.grow(1);
        self.take(&values[0], |_| Some(0))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.grow(1);
        for value in values[0].as_primitive::<T>().iter().flatten() {
            let cell = &mut self.cells[0];
            cell.value = cell.value.sub_checked(value)?;
            cell.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        matches!(self.finish, Finish::Mean { .. })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.grow(1);
        self.merge(states, |_| 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.grow(1);
        self.states(&self.cells).iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.grow(1);
        ScalarValue::try_from_array(&self.results(&self.cells)?, 0)
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(self)
    }
}

/// Sums, of which none wraps around.
pub(super) fn add<N: ArrowNativeTypeOp>(cell: &mut Cell<N>, value: N) -> std::result::Result<(), ArrowError> {
    cell.value = cell.value.add_checked(value).map_err(|_| too_large("sum"))?;
    cell.count += 1;
    Ok(())
}

/// NaN is above all other numbers. Of equal values the first stays.
pub(super) fn largest<N: ArrowNativeTypeOp>(cell: &mut Cell<N>, value: N) -> std::result::Result<(), ArrowError> {
    let above = !is_nan(cell.value) && (is_nan(value) || value.partial_cmp(&cell.value).is_some_and(|o| o.is_gt()));
    replace(cell, value, above);
    Ok(())
}

/// NaN is above all other numbers. Of equal values the first stays.
pub(super) fn smallest<N: ArrowNativeTypeOp>(cell: &mut Cell<N>, value: N) -> std::result::Result<(), ArrowError> {
    let below = !is_nan(value) && (is_nan(cell.value) || value.partial_cmp(&cell.value).is_some_and(|o| o.is_lt()));
    replace(cell, value, below);
    Ok(())
}

fn is_nan<N: ArrowNativeTypeOp>(value: N) -> bool {
    value.partial_cmp(&value).is_none()
}

fn replace<N>(cell: &mut Cell<N>, value: N, better: bool) {
    if cell.count == 0 || better {
        cell.value = value;
    }
    cell.count += 1;
}

/// Sum by count, rounded half away from zero behind `more` further digits.
fn mean(sum: i128, count: u64, more: u32) -> Option<i128> {
    let (sum, count) = (sum.checked_mul(10_i128.checked_pow(more)?)?, i128::from(count));
    let (whole, rest) = (sum / count, sum % count);
    let away = if rest.unsigned_abs() * 2 >= count.unsigned_abs() { rest.signum() } else { 0 };
    whole.checked_add(away)
}

/// Whether a decimal has no more digits than its type says.
fn fits(value: i128, precision: u8) -> Result<()> {
    match Decimal128Type::is_valid_decimal_precision(value, precision) {
        true => Ok(()),
        false => Err(too_large("result").into()),
    }
}

/// Arrow's own words are about its numbers, not about the user's.
fn too_large(what: &str) -> ArrowError {
    ArrowError::ArithmeticOverflow(format!("a {what} has more digits than its type can hold"))
}
