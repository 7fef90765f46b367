//! The `json` type: texts that are read by path and turned into values of other types.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema};
use arrow::json::ReaderBuilder;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::ColumnarValue;

use super::attempt::{Attempt, KernelResult, bug, column};
use super::construct::evaluated;
use super::step::{Compute, Rows, Step, Value};
use crate::functions::json::scan::{Part, find, text_of};
use crate::functions::json::{is_json, written as written_as_json};
use crate::plan::TypedExpr;
use crate::plan::operator::TaskError;

/// `json["a"]["b"][0]` where the path is known.
pub(super) fn path(of: Step, path: Vec<Part>) -> Step {
    Step::new(Path(path), vec![of], DataType::Utf8, false)
}

/// `json[key]`
pub(super) fn index(of: Step, at: Step) -> Step {
    Step::new(Index, vec![of, at], DataType::Utf8, false)
}

/// A constant step of a path; none where it is neither a name nor a position.
pub(super) fn part(value: &ScalarValue) -> Option<Part> {
    match value {
        ScalarValue::Utf8(Some(name)) => Some(Part::Field(name.clone())),
        ScalarValue::Int64(Some(at)) => usize::try_from(*at).ok().map(Part::Element),
        _ => None,
    }
}

/// `json::string`: a string without its quotes.
pub(super) fn to_text(of: Step) -> Step {
    Step::new(Text, vec![of], DataType::Utf8, false)
}

/// `json::list(T)` and the like.
pub(super) fn to_parts(expr: &TypedExpr, of: Step, ty: DataType) -> Step {
    Step::new(Parts { what: expr.to_string(), ty: ty.clone() }, vec![of], ty, true)
}

/// `string::json`
pub(super) fn checked(expr: &TypedExpr, of: Step) -> Step {
    Step::new(Checked { what: expr.to_string() }, vec![of], DataType::Utf8, true)
}

/// `x::json`
pub(super) fn written(of: Step) -> Step {
    Step::new(Written, vec![of], DataType::Utf8, false)
}

/// Turns each text of a step into another, or into null.
fn mapped(of: &Step, rows: &Rows<'_>, f: impl Fn(&str) -> Option<String>) -> Result<Value, TaskError> {
    let value = of.eval(rows)?;
    let array = column(&value.data, &DataType::Utf8, rows.count)?;
    let texts: StringArray = array.as_string::<i32>().iter().map(|text| f(text?)).collect();
    Ok(Value { data: (Arc::new(texts) as ArrayRef).into(), failures: value.failures })
}

/// A part's text, where it is not `null`.
fn there(part: &str) -> Option<String> {
    (part != "null").then(|| part.to_owned())
}

struct Path(Vec<Part>);

impl Compute for Path {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        mapped(&operands[0], rows, |text| there(find(text, &self.0)?))
    }
}

struct Index;

impl Compute for Index {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let (data, failures) = evaluated(operands, rows)?;
        let [json, at] = data.as_slice() else { return Err(bug("an index has two sides")) };
        let json = column(json, &DataType::Utf8, rows.count)?;
        let at = at.to_array(rows.count).map_err(bug)?;
        let part = |row: usize| match at.data_type() {
            _ if at.is_null(row) => None,
            DataType::Int64 => usize::try_from(at.as_primitive::<Int64Type>().value(row)).ok().map(Part::Element),
            DataType::Utf8 => Some(Part::Field(at.as_string::<i32>().value(row).to_owned())),
            _ => None,
        };
        let found = |(row, text): (usize, Option<&str>)| there(find(text?, &[part(row)?])?);
        let texts: StringArray = json.as_string::<i32>().iter().enumerate().map(found).collect();
        Ok(Value { data: (Arc::new(texts) as ArrayRef).into(), failures })
    }
}

struct Text;

impl Compute for Text {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        mapped(&operands[0], rows, text_of)
    }
}

struct Checked {
    what: String,
}

impl Compute for Checked {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let mut value = operands[0].eval(rows)?;
        let array = column(&value.data, &DataType::Utf8, rows.count)?;
        let mut failed = super::Failures::default();
        for (row, text) in array.as_string::<i32>().iter().enumerate() {
            if text.is_some_and(|text| !is_json(text)) {
                failed.push(row, format!("{}: the text is no json", self.what));
            }
        }
        value.failures.add(failed);
        Ok(value)
    }
}

struct Written;

impl Compute for Written {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let value = operands[0].eval(rows)?;
        let texts = written_as_json(&value.array(rows.count)?).map_err(bug)?;
        Ok(Value { data: texts.into(), failures: value.failures })
    }
}

struct Parts {
    what: String,
    ty: DataType,
}

impl Compute for Parts {
    fn eval(&self, operands: &[Step], rows: &Rows<'_>) -> Result<Value, TaskError> {
        let inputs = vec![operands[0].eval(rows)?];
        let kernel = |inputs: &[ColumnarValue], count: usize| read(&inputs[0].to_array(count)?, &self.ty);
        Attempt { what: &self.what, ty: &self.ty, kernel }.run(inputs, rows.count)
    }
}

/// Reads texts as values of a type, by way of records with one field.
fn read(texts: &ArrayRef, ty: &DataType) -> KernelResult {
    let schema = Arc::new(ArrowSchema::new(vec![Field::new("value", ty.clone(), true)]));
    let mut decoder = ReaderBuilder::new(schema).with_batch_size(texts.len().max(1)).build_decoder()?;
    let texts = texts.as_string::<i32>();
    let mut record = Vec::new();
    for text in texts {
        record.clear();
        record.extend_from_slice(b"{\"value\":");
        record.extend_from_slice(text.unwrap_or("null").as_bytes());
        record.extend_from_slice(b"}\n");
        if decoder.decode(&record)? != record.len() || decoder.has_partial_record() {
            return Err(DataFusionError::Execution("the text is no json".into()));
        }
    }
    let block = decoder.flush()?.ok_or_else(|| DataFusionError::Execution("there is no json".into()))?;
    if block.num_rows() != texts.len() {
        return Err(DataFusionError::Execution("the text is not one json value".into()));
    }
    Ok(ColumnarValue::Array(Arc::clone(block.column(0))))
}
