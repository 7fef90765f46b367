//! Counts, and sums and means of whole numbers: nothing is lost, whatever the order, and what does not fit its type is
//! told instead of wrapping round.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, Int64Array, PrimitiveArray,
};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, DurationMicrosecondType, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::operators::cells::{CellError, Cells, chosen, each_row};
use crate::operators::values::bug;
use crate::plan::operator::TaskError;

/// How many rows have values, or meet a condition.
pub(super) struct Counts {
    of_conditions: bool,
    counts: Vec<i64>,
}

impl Counts {
    pub(super) fn of_values() -> Self {
        Counts { of_conditions: false, counts: Vec::new() }
    }

    pub(super) fn of_conditions() -> Self {
        Counts { of_conditions: true, counts: Vec::new() }
    }
}

impl Cells for Counts {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError> {
        self.counts.resize(total, 0);
        let counts = &mut self.counts;
        if self.of_conditions {
            let holds = args[0].as_boolean();
            each_row(args, groups, filter, |group, row| counts[group] += i64::from(holds.value(row)));
        } else {
            each_row(args, groups, filter, |group, _| counts[group] += 1);
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.counts.resize(total, 0);
        let more = states[0].as_primitive::<Int64Type>();
        groups.iter().zip(more.values()).for_each(|(group, more)| self.counts[*group] += more);
        Ok(())
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        Ok(vec![Arc::new(Int64Array::from(chosen(&self.counts, which)))])
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        Ok(Arc::new(Int64Array::from(chosen(&self.counts, which))))
    }

    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError> {
        self.counts = chosen(&self.counts, Some(which));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}

/// The type a sum is kept as.
pub(super) fn sum_type(result: &DataType) -> DataType {
    let scale = if let DataType::Decimal128(_, scale) = result { *scale } else { 0 };
    DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale)
}

/// Sums of whole numbers, and of decimals by their digits. None: no values.
pub(super) struct Sums {
    result: DataType,
    sums: Vec<Option<i128>>,
}

impl Sums {
    pub(super) fn new(result: DataType) -> Self {
        Sums { result, sums: Vec::new() }
    }

    fn add(&mut self, group: usize, more: i128) -> Result<(), TaskError> {
        let sum = &mut self.sums[group];
        *sum = Some(sum.unwrap_or(0).checked_add(more).ok_or_else(beyond)?);
        Ok(())
    }
}

/// More than 38 digits: not even as a number on the way.
fn beyond() -> TaskError {
    TaskError::Stop("a sum in `aggregate` has more than 38 digits".into())
}

/// Calls `f` with the group and the number of every row that has one and passes the filter.
fn each_number(
    arg: &ArrayRef,
    groups: &[usize],
    filter: Option<&BooleanArray>,
    f: impl FnMut(usize, i128),
) -> Result<(), TaskError> {
    fn of<T: ArrowPrimitiveType<Native: Into<i128>>>(
        arg: &ArrayRef,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        mut f: impl FnMut(usize, i128),
    ) {
        let values = arg.as_primitive::<T>().values();
        each_row(std::slice::from_ref(arg), groups, filter, |group, row| f(group, values[row].into()));
    }
    match arg.data_type() {
        DataType::Int8 => of::<Int8Type>(arg, groups, filter, f),
        DataType::Int16 => of::<Int16Type>(arg, groups, filter, f),
        DataType::Int32 => of::<Int32Type>(arg, groups, filter, f),
        DataType::Int64 => of::<Int64Type>(arg, groups, filter, f),
        DataType::UInt8 => of::<UInt8Type>(arg, groups, filter, f),
        DataType::UInt16 => of::<UInt16Type>(arg, groups, filter, f),
        DataType::UInt32 => of::<UInt32Type>(arg, groups, filter, f),
        DataType::UInt64 => of::<UInt64Type>(arg, groups, filter, f),
        DataType::Decimal128(..) => of::<Decimal128Type>(arg, groups, filter, f),
        DataType::Duration(_) => of::<DurationMicrosecondType>(arg, groups, filter, f),
        other => return Err(bug(format!("no sums of `{other}`"))),
    }
    Ok(())
}

impl Cells for Sums {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError> {
        self.sums.resize(total, None);
        let mut outcome = Ok(());
        each_number(&args[0], groups, filter, |group, number| {
            if outcome.is_ok() {
                outcome = self.add(group, number);
            }
        })?;
        outcome
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.sums.resize(total, None);
        let more = states[0].as_primitive::<Decimal128Type>();
        for (group, more) in groups.iter().zip(more) {
            if let Some(more) = more {
                self.add(*group, more)?;
            }
        }
        Ok(())
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        let sums = Decimal128Array::from(chosen(&self.sums, which)).with_data_type(sum_type(&self.result));
        Ok(vec![Arc::new(sums)])
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        fitted(chosen(&self.sums, which), &self.result)
    }

    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError> {
        self.sums = chosen(&self.sums, Some(which));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Option<i128>>()
    }
}

/// Numbers as a type that may be too narrow for them.
fn fitted(numbers: Vec<Option<i128>>, ty: &DataType) -> Result<ArrayRef, CellError> {
    fn of<T: ArrowPrimitiveType<Native: TryFrom<i128>>>(numbers: &[Option<i128>]) -> Result<ArrayRef, CellError> {
        let fits = |(i, number): (usize, &Option<i128>)| {
            number.map(|n| T::Native::try_from(n).map_err(|_| CellError::Overflow(i))).transpose()
        };
        let numbers = numbers.iter().enumerate().map(fits).collect::<Result<PrimitiveArray<T>, _>>()?;
        Ok(Arc::new(numbers))
    }
    match ty {
        DataType::Int8 => of::<Int8Type>(&numbers),
        DataType::Int16 => of::<Int16Type>(&numbers),
        DataType::Int32 => of::<Int32Type>(&numbers),
        DataType::Int64 => of::<Int64Type>(&numbers),
        DataType::UInt8 => of::<UInt8Type>(&numbers),
        DataType::UInt16 => of::<UInt16Type>(&numbers),
        DataType::UInt32 => of::<UInt32Type>(&numbers),
        DataType::UInt64 => of::<UInt64Type>(&numbers),
        DataType::Duration(_) => of::<DurationMicrosecondType>(&numbers),
        DataType::Decimal128(precision, _) => {
            let limit = 10_i128.pow(u32::from(*precision));
            let too_large = |n: &Option<i128>| n.is_some_and(|n| n >= limit || n <= -limit);
            match numbers.iter().position(too_large) {
                Some(at) => Err(CellError::Overflow(at)),
                None => Ok(Arc::new(Decimal128Array::from(numbers).with_data_type(ty.clone()))),
            }
        }
        other => Err(CellError::Task(bug(format!("no sums as `{other}`")))),
    }
}

/// Means of decimals: as many digits behind the point as the type has, the last one rounded, halves away from zero.
pub(super) struct Means {
    counts: Counts,
    sums: Sums,
    scale: i8,
    result: DataType,
}

impl Means {
    pub(super) fn new(scale: i8, result: DataType) -> Self {
        let sums = Sums::new(DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale));
        Means { counts: Counts::of_values(), sums, scale, result }
    }
}

/// Halves are rounded away from zero.
fn rounded_quotient(sum: i128, count: i64) -> i128 {
    let count = i128::from(count.max(1));
    let (quotient, rest) = (sum / count, sum % count);
    quotient + if rest.abs() * 2 >= count { rest.signum() } else { 0 }
}

impl Cells for Means {
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError> {
        self.counts.update(args, groups, filter, total)?;
        self.sums.update(args, groups, filter, total)
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.counts.merge(&states[..1], groups, total)?;
        self.sums.merge(&states[1..], groups, total)
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        let mut states = self.counts.states(which)?;
        states.extend(self.sums.states(which)?);
        Ok(states)
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        let wider = if let DataType::Decimal128(_, scale) = self.result { scale } else { self.scale };
        let factor = 10_i128.pow(u32::from((wider - self.scale).unsigned_abs()));
        let counts = chosen(&self.counts.counts, which);
        let mean = |(i, (sum, count)): (usize, (Option<i128>, i64))| {
            let Some(sum) = sum else { return Ok(None) };
            sum.checked_mul(factor).map(|sum| Some(rounded_quotient(sum, count))).ok_or(CellError::Overflow(i))
        };
        let means = chosen(&self.sums.sums, which).into_iter().zip(counts).enumerate().map(mean);
        fitted(means.collect::<Result<_, _>>()?, &self.result)
    }

    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError> {
        self.counts.keep(which)?;
        self.sums.keep(which)
    }

    fn bytes(&self) -> usize {
        self.counts.bytes() + self.sums.bytes()
    }
}
