//! What can be known of an expression before anything runs.

use datafusion_common::ScalarValue;

use super::compile::{Compiler, computed};
use crate::model::Schema;
use crate::plan::catalog::Stability;
use crate::plan::{Node, TypedExpr};

/// The value of an expression that is the same for all rows and times; none where it is not, or fails.
pub fn constant(expr: &TypedExpr) -> Option<ScalarValue> {
    if !is_constant(expr) {
        return None;
    }
    let step = Compiler::over(&Schema::default()).step(expr).ok()?;
    step.constant.clone().or_else(|| computed(&step))
}

/// Whether it reads nothing and always gives the same.
pub(super) fn is_constant(expr: &TypedExpr) -> bool {
    match &expr.node {
        Node::Unknown | Node::Column { .. } | Node::LambdaVariable(_) | Node::Lambda { .. } => false,
        Node::Call { function, .. } if function.stability != Stability::Pure => false,
        _ => expr.children().into_iter().all(is_constant),
    }
}
