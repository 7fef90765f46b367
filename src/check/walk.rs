//! Names within trees, for questions that need no types. Built on the walk of the syntax crate.

use millstream_dsl::ast::{Call, Expr, ExprKind, Stage, TypeArg, TypeExpr, TypeKind};
use millstream_dsl::walk::{self, Node};

/// Every bare name in an expression, in the order of the text.
pub(super) fn names(expr: &Expr) -> Vec<&str> {
    let mut found = Vec::new();
    walk::node(walk::Node::Expr(expr), |node| match node {
        Node::Expr(Expr { kind: ExprKind::Name(name), .. }) => found.push(name.as_str()),
        Node::StructField(field) if field.value.is_none() => found.push(field.name.name.as_str()),
        _ => {}
    });
    found
}

/// The name of everything that is called in an expression.
pub(super) fn calls(expr: &Expr) -> Vec<&str> {
    let mut found = Vec::new();
    walk::node(walk::Node::Expr(expr), |node| {
        if let Node::Expr(Expr { kind: ExprKind::Call(call), .. }) = node {
            found.push(call.name.name.as_str());
        }
    });
    found
}

/// Every call in the expressions of a stage.
pub(super) fn stage_calls(stage: &Stage) -> Vec<&Call> {
    let mut found = Vec::new();
    walk::node(walk::Node::Stage(stage), |node| {
        if let Node::Expr(Expr { kind: ExprKind::Call(call), .. }) = node {
            found.push(&**call);
        }
    });
    found
}

/// The name of every type that a type is made of.
pub(super) fn type_names(ty: &TypeExpr) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open = vec![ty];
    while let Some(ty) = open.pop() {
        match &ty.kind {
            TypeKind::Struct { fields, .. } => open.extend(fields.iter().map(|f| &f.ty)),
            TypeKind::Named { name, args } => {
                found.push(name.name.as_str());
                open.extend(args.iter().filter_map(|a| match a {
                    TypeArg::Type(ty) => Some(ty),
                    TypeArg::Number { .. } | TypeArg::Text(_) => None,
                }));
            }
        }
    }
    found
}
