//! The smallest and largest of numbers and times. Among floats a NaN is larger than everything, whatever the order of
//! rows, as in Spark.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use crate::operators::cells::{CellError, Cells, chosen, each_row};
use crate::plan::operator::TaskError;

/// Whether there are cells for values of the type.
pub(super) fn knows(ty: &DataType) -> bool {
    cells(ty, true).is_some()
}

/// Cells for values of the type.
pub(super) fn cells(ty: &DataType, largest: bool) -> Option<Box<dyn Cells>> {
    fn of<T: ArrowPrimitiveType<Native: Ord>>(ty: &DataType, largest: bool) -> Box<dyn Cells> {
        by::<T, _>(ty, largest, Ord::cmp)
    }
    fn by<T, C>(ty: &DataType, largest: bool, compare: C) -> Box<dyn Cells>
    where
        T: ArrowPrimitiveType,
        C: Fn(&T::Native, &T::Native) -> Ordering + Send + 'static,
    {
        Box::new(Extremes::<T, C> { ty: ty.clone(), largest, compare, best: Vec::new() })
    }
    Some(match ty {
        DataType::Int8 => of::<Int8Type>(ty, largest),
        DataType::Int16 => of::<Int16Type>(ty, largest),
        DataType::Int32 => of::<Int32Type>(ty, largest),
        DataType::Int64 => of::<Int64Type>(ty, largest),
        DataType::UInt8 => of::<UInt8Type>(ty, largest),
        DataType::UInt16 => of::<UInt16Type>(ty, largest),
        DataType::UInt32 => of::<UInt32Type>(ty, largest),
        DataType::UInt64 => of::<UInt64Type>(ty, largest),
        DataType::Float32 => by::<Float32Type, _>(ty, largest, |a, b| {
            a.is_nan().cmp(&b.is_nan()).then_with(|| if a.is_nan() { Ordering::Equal } else { a.total_cmp(b) })
        }),
        DataType::Float64 => by::<Float64Type, _>(ty, largest, |a, b| {
            a.is_nan().cmp(&b.is_nan()).then_with(|| if a.is_nan() { Ordering::Equal } else { a.total_cmp(b) })
        }),
        DataType::Decimal128(..) => of::<Decimal128Type>(ty, largest),
        DataType::Date32 => of::<Date32Type>(ty, largest),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(ty, largest),
        DataType::Duration(TimeUnit::Microsecond) => of::<DurationMicrosecondType>(ty, largest),
        _ => return None,
    })
}

/// None: no values.
struct Extremes<T: ArrowPrimitiveType, C> {
    ty: DataType,
    largest: bool,
    compare: C,
    best: Vec<Option<T::Native>>,
}

impl<T: ArrowPrimitiveType, C> Extremes<T, C> {
    fn column(&self, which: Option<&[u32]>) -> ArrayRef {
        let values = PrimitiveArray::<T>::from_iter(chosen(&self.best, which));
        Arc::new(values.with_data_type(self.ty.clone()))
    }
}

impl<T, C> Cells for Extremes<T, C>
where
    T: ArrowPrimitiveType,
    C: Fn(&T::Native, &T::Native) -> Ordering + Send,
{
    fn update(
        &mut self,
        args: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<(), TaskError> {
        self.best.resize(total, None);
        let values = args[0].as_primitive::<T>().values();
        let (best, compare) = (&mut self.best, &self.compare);
        let wanted = if self.largest { Ordering::Greater } else { Ordering::Less };
        each_row(&args[..1], groups, filter, |group, row| {
            let value = values[row];
            if best[group].is_none_or(|best| compare(&value, &best) == wanted) {
                best[group] = Some(value);
            }
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<(), TaskError> {
        self.update(states, groups, None, total)
    }

    fn states(&self, which: Option<&[u32]>) -> Result<Vec<ArrayRef>, TaskError> {
        Ok(vec![self.column(which)])
    }

    fn results(&self, which: Option<&[u32]>) -> Result<ArrayRef, CellError> {
        Ok(self.column(which))
    }

    fn keep(&mut self, which: &[u32]) -> Result<(), TaskError> {
        self.best = chosen(&self.best, Some(which));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.best.capacity() * size_of::<Option<T::Native>>()
    }
}
