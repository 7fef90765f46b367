//! Types: `decimal(12, 2)`, `list(string?)`, `{ user_id: string }`.

use super::page::Page;
use super::{items, words};
use crate::ast::{TypeArg, TypeExpr, TypeKind};

/// A type as written.
pub(super) fn type_expr(page: &mut Page, ty: &TypeExpr) {
    match &ty.kind {
        TypeKind::Named { name, args } => {
            page.text(words::name(&name.name));
            arguments(page, args);
        }
        TypeKind::Struct { fields, end } => items::braces(page, fields, end, |page, field| {
            page.text(words::key(&field.name.name));
            page.text(": ");
            type_expr(page, &field.ty);
        }),
    }
    if ty.nullable {
        page.text("?");
    }
}

fn arguments(page: &mut Page, args: &[TypeArg]) {
    if args.is_empty() {
        return;
    }
    page.group(|page| {
        page.text("(");
        match args {
            [one] => argument(page, one),
            several => items::commas(page, several, "", argument),
        }
        page.text(")");
    });
}

fn argument(page: &mut Page, arg: &TypeArg) {
    match arg {
        TypeArg::Number { value, .. } => page.text(value.to_string()),
        TypeArg::Text(text) => page.text(words::quoted(&text.value)),
        TypeArg::Type(ty) => type_expr(page, ty),
    }
}
