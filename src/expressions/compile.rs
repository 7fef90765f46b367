//! Typed expressions to steps. Names of nodes end here: a step knows nothing of the language.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion_common::ScalarValue;
use datafusion_common::config::ConfigOptions;
use millstream_dsl::ast::BinaryOp;

use super::attempt::conformed;
use super::step::{Rows, Step, Value};
use super::{access, arithmetic, call, cast, choose, compare, construct, json, lambda, logic, membership};
use crate::model::{Schema, Type};
use crate::plan::catalog::FunctionBody;
use crate::plan::operator::{BatchTime, NotRunnable};
use crate::plan::{Node, TypedExpr};

/// Turns expressions into steps, over columns that stand in some order.
pub(super) struct Compiler {
    /// Where each column and lambda variable in sight stands in the rows.
    places: HashMap<Place, usize>,
    /// DataFusion's settings, which its kernels want to see.
    pub config: Arc<ConfigOptions>,
}

/// What rows hold a column for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// A column of the input.
    Column(usize),
    /// A parameter of a lambda around.
    Variable(String),
}

impl Compiler {
    /// Over the columns of an input.
    pub(super) fn over(input: &Schema) -> Self {
        let places = (0..input.columns.len()).map(|i| (Place::Column(i), i)).collect();
        Compiler { places, config: Arc::new(ConfigOptions::default()) }
    }

    /// Over the columns of a lambda's rows: what it captures, then its parameters.
    pub(super) fn within(&self, places: impl IntoIterator<Item = Place>) -> Self {
        let places = places.into_iter().enumerate().map(|(i, place)| (place, i)).collect();
        Compiler { places, config: Arc::clone(&self.config) }
    }

    /// Where a column stands.
    pub(super) fn position(&self, place: &Place) -> Result<usize, NotRunnable> {
        let missing = || NotRunnable(format!("an expression reads {place:?}, which its input does not have"));
        self.places.get(place).copied().ok_or_else(missing)
    }

    /// Makes an expression ready to run; what has one value for all rows is computed once, here.
    pub(super) fn step(&self, expr: &TypedExpr) -> Result<Step, NotRunnable> {
        let step = self.node(expr)?;
        if step.constant.is_some() || step.fails || !super::constant::is_constant(expr) {
            return Ok(step);
        }
        Ok(computed(&step).map_or(step, Step::constant))
    }

    fn node(&self, expr: &TypedExpr) -> Result<Step, NotRunnable> {
        let ty = expr.slot.ty.to_arrow();
        match &expr.node {
            Node::Unknown => Err(NotRunnable("an expression has mistakes".into())),
            Node::Column { index, .. } => Ok(Step::column(self.position(&Place::Column(*index))?, ty)),
            Node::LambdaVariable(name) => Ok(Step::column(self.position(&Place::Variable(name.clone()))?, ty)),
            Node::Literal(value) => literal(value, expr),
            Node::Negate(of) => Ok(arithmetic::negate(expr, self.step(of)?)),
            Node::Binary(a, op, b) => self.binary(expr, a, *op, b),
            Node::Not(of) => Ok(logic::not(self.step(of)?)),
            Node::And(all) => Ok(logic::all(self.steps(all)?)),
            Node::Or(all) => Ok(logic::any(self.steps(all)?)),
            Node::IsNull(of) => Ok(logic::is_null(self.step(of)?)),
            Node::Coalesce(a, b) => Ok(choose::coalesce(self.step(a)?, self.step(b)?, ty)),
            Node::Try(of) => Ok(choose::settle(self.step(of)?)),
            Node::Case { branches, otherwise } => self.case(branches, otherwise.as_deref(), expr),
            Node::In(value, list) => membership::step(self, value, list),
            Node::Like(a, b) => Ok(compare::like(expr, self.step(a)?, self.step(b)?)),
            Node::Cast(of) => Ok(cast::step(expr, &of.slot.ty, self.step(of)?)),
            Node::Field(of, name) => access::field(&of.slot.ty, name, self.step(of)?, ty),
            Node::Index(of, at) if of.slot.ty == Type::Json => self.json_path(of, at),
            Node::Index(of, at) => Ok(access::index(self.step(of)?, self.step(at)?, ty)),
            Node::List(all) => Ok(construct::list(self.steps(all)?, ty)),
            Node::Struct(fields) => self.record(fields, ty),
            Node::Call { function, args } => match &function.body {
                FunctionBody::Scalar(udf) => call::step(self, expr, function, udf, self.steps(args)?),
                FunctionBody::HigherOrder(body) => lambda::step(self, expr, body.udf(), args),
                FunctionBody::Shorthand(expand) => self.node(&TypedExpr { node: expand(args), ..expr.clone() }),
            },
            Node::Lambda { .. } => Err(NotRunnable("a lambda stands where no function takes it".into())),
        }
    }

    fn steps(&self, all: &[TypedExpr]) -> Result<Vec<Step>, NotRunnable> {
        all.iter().map(|e| self.step(e)).collect()
    }

    fn binary(&self, expr: &TypedExpr, a: &TypedExpr, op: BinaryOp, b: &TypedExpr) -> Result<Step, NotRunnable> {
        let (left, right) = (self.step(a)?, self.step(b)?);
        Ok(match op {
            BinaryOp::Coalesce => choose::coalesce(left, right, expr.slot.ty.to_arrow()),
            _ if op.compares() => compare::step(op, left, right),
            _ => arithmetic::step(expr, op, left, right),
        })
    }

    fn case(
        &self,
        branches: &[(TypedExpr, TypedExpr)],
        otherwise: Option<&TypedExpr>,
        expr: &TypedExpr,
    ) -> Result<Step, NotRunnable> {
        let pair = |(when, then): &(TypedExpr, TypedExpr)| Ok((self.step(when)?, self.step(then)?));
        let branches = branches.iter().map(pair).collect::<Result<_, NotRunnable>>()?;
        let otherwise = otherwise.map(|e| self.step(e)).transpose()?;
        Ok(choose::case(branches, otherwise, expr.slot.ty.to_arrow()))
    }

    /// A chain of known steps into json is walked at once.
    fn json_path(&self, of: &TypedExpr, at: &TypedExpr) -> Result<Step, NotRunnable> {
        let (mut root, mut path) = (of, Vec::new());
        let Some(last) = super::constant(at).as_ref().and_then(json::part) else {
            return Ok(json::index(self.step(of)?, self.step(at)?));
        };
        path.push(last);
        while let Node::Index(inner, at) = &root.node
            && inner.slot.ty == Type::Json
            && let Some(part) = super::constant(at).as_ref().and_then(json::part)
        {
            path.push(part);
            root = inner;
        }
        path.reverse();
        Ok(json::path(self.step(root)?, path))
    }

    fn record(&self, fields: &[(String, TypedExpr)], ty: arrow::datatypes::DataType) -> Result<Step, NotRunnable> {
        let steps = fields.iter().map(|(_, value)| self.step(value)).collect::<Result<_, _>>()?;
        Ok(construct::record(steps, ty))
    }
}

fn literal(value: &ScalarValue, expr: &TypedExpr) -> Result<Step, NotRunnable> {
    let ty = expr.slot.ty.to_arrow();
    if value.data_type() == ty {
        return Ok(Step::constant(value.clone()));
    }
    let value = value.cast_to(&ty).map_err(|e| NotRunnable(format!("literal {expr}: {}", e.strip_backtrace())))?;
    Ok(Step::constant(value))
}

/// The one value of a step that reads nothing; none where it fails.
pub(super) fn computed(step: &Step) -> Option<ScalarValue> {
    let time = BatchTime::default();
    let Value { data, failures } = step.eval(&Rows::one(&time)).ok()?;
    if !failures.is_empty() {
        return None;
    }
    let array = conformed(&data.into_array(1).ok()?, &step.ty).ok()?;
    ScalarValue::try_from_array(&*array, 0).ok()
}
