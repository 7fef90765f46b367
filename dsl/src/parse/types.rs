//! Types, where they stand as types (`param`, `fn`, `type`, `cast`) and where they stand as expressions (options).

use super::literal;
use super::reader::{Node, Reader, Rule};
use super::slip;
use crate::ast::{
    Arg, At, Call, Expr, ExprKind, Ident, Literal, StructExpr, StructField, Text, Trivia, TypeArg, TypeExpr, TypeField,
    TypeKind,
};
use crate::diagnostic::Diagnostic;

/// A `type_expr` node.
pub(super) fn type_expr(reader: &mut Reader<'_>, node: Node<'_>) -> TypeExpr {
    let at = reader.at(&node);
    let mut parts = node.into_inner();
    let Some(first) = parts.next() else { return nothing(at) };
    let ty = core(reader, first);
    TypeExpr { nullable: parts.next().is_some(), at, ..ty }
}

/// A type without its `?`.
pub(super) fn core(reader: &mut Reader<'_>, node: Node<'_>) -> TypeExpr {
    let at = reader.at(&node);
    match node.as_rule() {
        Rule::struct_type => structure(reader, node),
        Rule::angle_type => angle(reader, node),
        _ => {
            let mut parts = node.into_inner();
            let Some(name) = parts.next() else { return nothing(at) };
            let name = reader.ident(&name);
            let mut args = Vec::new();
            for arg in parts.flat_map(Node::into_inner) {
                args.extend(type_arg(reader, arg));
            }
            TypeExpr { kind: TypeKind::Named { name, args }, nullable: false, at }
        }
    }
}

fn nothing(at: At) -> TypeExpr {
    let name = Ident { name: String::new(), at };
    TypeExpr { kind: TypeKind::Named { name, args: Vec::new() }, nullable: false, at }
}

fn type_arg(reader: &mut Reader<'_>, node: Node<'_>) -> Option<TypeArg> {
    match node.as_rule() {
        Rule::type_expr => Some(TypeArg::Type(type_expr(reader, node))),
        Rule::string => Some(TypeArg::Text(literal::text(reader, node))),
        _ => {
            let at = reader.at(&node);
            match node.as_str().parse() {
                Ok(value) => Some(TypeArg::Number { value, at }),
                Err(_) => {
                    let text = format!("`{}` is no whole number", slip::short(node.as_str()));
                    let problem = Diagnostic::error("invalid-number", at.0, text);
                    reader.report(problem.help("a type takes whole numbers:\n  decimal(12, 2)"));
                    None
                }
            }
        }
    }
}

fn structure(reader: &mut Reader<'_>, node: Node<'_>) -> TypeExpr {
    let at = reader.at(&node);
    let mut fields = Vec::new();
    for part in node.into_inner() {
        if part.as_rule() != Rule::type_field {
            slip::missing_comma(reader, &part);
            continue;
        }
        let (mut name, mut ty) = (None, None);
        for piece in part.into_inner() {
            match piece.as_rule() {
                Rule::key => name = Some(literal::key(reader, piece)),
                Rule::type_expr => ty = Some(type_expr(reader, piece)),
                _ => slip::assign(reader, &piece),
            }
        }
        fields.extend(name.zip(ty).map(|(name, ty)| TypeField { trivia: Trivia::default(), name, ty }));
    }
    TypeExpr { kind: TypeKind::Struct { fields, end: Vec::new() }, nullable: false, at }
}

/// `list<string>`, read as what is meant.
pub(super) fn angle(reader: &mut Reader<'_>, node: Node<'_>) -> TypeExpr {
    let at = reader.at(&node);
    slip::angle(reader, &node);
    let mut parts = node.into_inner();
    let Some(word) = parts.next() else { return nothing(at) };
    let mut name = reader.ident(&word);
    name.name = slip::angle_word(word.as_str()).to_owned();
    let args = parts.map(|part| TypeArg::Type(type_expr(reader, part))).collect();
    TypeExpr { kind: TypeKind::Named { name, args }, nullable: false, at }
}

/// A type as the expression that reads the same: `schema: list(string)` is an expression until the catalog says
/// otherwise.
pub(super) fn to_expr(ty: &TypeExpr) -> Expr {
    let kind = match &ty.kind {
        TypeKind::Named { name, args } if args.is_empty() => ExprKind::Name(name.name.clone()),
        TypeKind::Named { name, args } => {
            let args = args.iter().map(|arg| Arg { names: Vec::new(), value: arg_to_expr(arg) }).collect();
            let call = Call { name: name.clone(), distinct: false, args, order_by: Vec::new(), filter: None };
            ExprKind::Call(Box::new(call))
        }
        TypeKind::Struct { fields, end } => {
            let field = |f: &TypeField| StructField {
                trivia: f.trivia.clone(),
                name: f.name.clone(),
                value: Some(to_expr(&f.ty)),
            };
            ExprKind::Struct(StructExpr { fields: fields.iter().map(field).collect(), end: end.clone() })
        }
    };
    let plain = Expr { kind, at: ty.at };
    if ty.nullable { Expr { kind: ExprKind::Try(Box::new(plain)), at: ty.at } } else { plain }
}

fn arg_to_expr(arg: &TypeArg) -> Expr {
    match arg {
        TypeArg::Number { value, at } => Expr { kind: ExprKind::Literal(Literal::Integer(value.to_string())), at: *at },
        TypeArg::Text(text) => Expr { kind: ExprKind::Literal(Literal::String(text.value.clone())), at: text.at },
        TypeArg::Type(ty) => to_expr(ty),
    }
}

/// Reads an option's value as the type it stands for.
pub(super) fn from_expr(expr: &Expr) -> Result<TypeExpr, Diagnostic> {
    let (plain, nullable) = match &expr.kind {
        ExprKind::Try(inner) => (inner.as_ref(), true),
        _ => (expr, false),
    };
    let kind = match &plain.kind {
        ExprKind::Name(name) => TypeKind::Named { name: Ident { name: name.clone(), at: plain.at }, args: Vec::new() },
        ExprKind::Call(call) if is_type_call(call) => {
            let args = call.args.iter().map(arg_from_expr).collect::<Result<_, _>>()?;
            TypeKind::Named { name: call.name.clone(), args }
        }
        ExprKind::Struct(fields) => {
            let types = fields.fields.iter().map(field_from_expr).collect::<Result<_, _>>()?;
            TypeKind::Struct { fields: types, end: fields.end.clone() }
        }
        _ => return Err(no_type(plain.at)),
    };
    Ok(TypeExpr { kind, nullable, at: expr.at })
}

fn is_type_call(call: &Call) -> bool {
    !call.distinct && call.order_by.is_empty() && call.filter.is_none()
}

fn field_from_expr(field: &StructField) -> Result<TypeField, Diagnostic> {
    let Some(value) = &field.value else {
        let message = format!("field `{}` has no type", field.name.name);
        let help = format!("say what it holds:\n  {}: string", field.name.name);
        return Err(Diagnostic::error("syntax", field.name.at.0, message).help(help));
    };
    Ok(TypeField { trivia: field.trivia.clone(), name: field.name.clone(), ty: from_expr(value)? })
}

fn arg_from_expr(arg: &Arg) -> Result<TypeArg, Diagnostic> {
    let at = arg.value.at;
    match &arg.value.kind {
        _ if !arg.names.is_empty() => Err(no_type(at)),
        ExprKind::Literal(Literal::Integer(digits)) => {
            digits.parse().map(|value| TypeArg::Number { value, at }).map_err(|_| no_type(at))
        }
        ExprKind::Literal(Literal::String(value)) => Ok(TypeArg::Text(Text { value: value.clone(), at })),
        _ => from_expr(&arg.value).map(TypeArg::Type),
    }
}

fn no_type(at: At) -> Diagnostic {
    Diagnostic::error("syntax", at.0, "this is no type")
        .label("expected a type")
        .help("types are written like these:\n  string\n  decimal(12, 2)\n  list(string)\n  { user_id: string, amount: float64? }")
}
