//! Parts of values: fields of structs, elements of lists, entries of maps, paths into json.

use datafusion_common::ScalarValue;
use millstream_dsl::{Diagnostic, Span, ast};

use super::Env;
use super::columns::{has_parts, suggested};
use crate::check::checker::Checker;
use crate::check::coerce;
use crate::model::{Slot, Type};
use crate::plan::TypedExpr;
use crate::plan::expr::Node;

impl Checker<'_> {
    /// `of.name` where `of` is a value.
    pub(super) fn field_of(&mut self, of: TypedExpr, name: &str, at: Span, span: Span) -> TypedExpr {
        let fails = of.fails;
        match &of.slot.ty {
            _ if of.is_unknown() => TypedExpr::unknown(span),
            Type::Struct(columns) => {
                let Some(column) = columns.iter().find(|c| c.name == name) else {
                    let problem = Diagnostic::error("unknown-field", at, format!("field `{name}` does not exist"))
                        .label("no such field")
                        .also(of.span, format!("is `{}`", of.slot.ty));
                    self.report(suggested(problem, name, at, columns.iter().map(|c| c.name.as_str())));
                    return TypedExpr::unknown(span);
                };
                let slot = Slot { ty: column.slot.ty.clone(), nullable: column.slot.nullable || of.slot.nullable };
                TypedExpr { node: Node::Field(Box::new(of), name.to_owned()), slot, fails, span }
            }
            Type::Json => {
                let path = TypedExpr::literal(ScalarValue::Utf8(Some(name.to_owned())), at);
                let node = Node::Index(Box::new(of), Box::new(path));
                TypedExpr { node, slot: Slot::nullable(Type::Json), fails, span }
            }
            other => {
                let help = match other {
                    Type::Map(..) => {
                        format!("an entry of a map is reached by its key:\n  {}[\"{name}\"]", self.text(of.span))
                    }
                    _ => format!("only structs and json have fields; this is `{other}`"),
                };
                let message = format!("`{other}` has no field `{name}`");
                self.report(Diagnostic::error("unknown-field", at, message).label("no fields here").help(help));
                TypedExpr::unknown(span)
            }
        }
    }

    /// `of[index]`
    pub(super) fn index(&mut self, of: &ast::Expr, index: &ast::Expr, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let of = self.typed(of, env);
        let index = self.typed(index, env);
        if of.is_unknown() || index.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let (index, element) = match of.slot.ty.clone() {
            Type::List(element) => (self.fitted(index, &Slot::required(Type::Int64)), element.ty.clone()),
            Type::Map(key, value) => (self.fitted(index, &Slot::required((*key).clone())), value.ty.clone()),
            Type::Json if index.slot.ty.is_integer() => (self.fitted(index, &Slot::required(Type::Int64)), Type::Json),
            Type::Json => (self.fitted(index, &Slot::required(Type::String)), Type::Json),
            other => {
                let problem = Diagnostic::error("wrong-operand", of.span, format!("`{other}` has no elements"))
                    .label("neither a list nor a map nor json");
                let text = self.text(of.span);
                self.report(match other {
                    Type::String => problem.help(format!("cut a text with a function:\n  substr({text}, 1, 1)")),
                    _ => problem,
                });
                return TypedExpr::unknown(span);
            }
        };
        if index.is_unknown() {
            return TypedExpr::unknown(span);
        }
        let fails = of.fails || index.fails;
        TypedExpr { node: Node::Index(Box::new(of), Box::new(index)), slot: Slot::nullable(element), fails, span }
    }

    /// `[1, 2, 3]`
    pub(super) fn list(&mut self, items: &[ast::Expr], span: Span, env: &mut Env<'_>) -> TypedExpr {
        let typed: Vec<_> = items.iter().map(|item| self.typed(item, env)).collect();
        if typed.iter().any(TypedExpr::is_unknown) {
            return TypedExpr::unknown(span);
        }
        let Some((items, ty)) = self.unified(typed, "the elements of a list") else { return TypedExpr::unknown(span) };
        let element = Slot { ty, nullable: items.iter().any(|i| i.slot.nullable) };
        let fails = items.iter().any(|i| i.fails);
        let slot = Slot::required(Type::List(Box::new(element)));
        TypedExpr { node: Node::List(items), slot, fails, span }
    }

    /// `{ user_id, total: state.total }`
    pub(super) fn record(&mut self, record: &ast::StructExpr, span: Span, env: &mut Env<'_>) -> TypedExpr {
        let mut fields: Vec<(String, TypedExpr)> = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let value = match &field.value {
                Some(value) => self.typed(value, env),
                None => self.name(&field.name.name, field.name.at.0, env),
            };
            if let Some((_, first)) = fields.iter().find(|(name, _)| *name == field.name.name) {
                let first = first.span;
                let message = format!("field `{}` stands here twice", field.name.name);
                let problem = Diagnostic::error("duplicate-column", field.name.at.0, message);
                self.report(problem.label("again").also(first, "first here"));
                continue;
            }
            fields.push((field.name.name.clone(), value));
        }
        let columns = fields.iter().map(|(name, value)| crate::model::Column::new(name, value.slot.clone())).collect();
        let fails = fields.iter().any(|(_, value)| value.fails);
        TypedExpr { node: Node::Struct(fields), slot: Slot::required(Type::Struct(columns)), fails, span }
    }

    /// Brings several values to one type; reports the first that does not go with those before it.
    pub(super) fn unified(&mut self, values: Vec<TypedExpr>, what: &str) -> Option<(Vec<TypedExpr>, Type)> {
        let literal = |e: &TypedExpr| matches!(e.node, Node::Literal(_));
        let mut common: Option<(Type, Span)> = None;
        let order = values.iter().filter(|e| !literal(e)).chain(values.iter().filter(|e| literal(e)));
        for value in order {
            let met = match &common {
                None => Some(value.slot.ty.clone()),
                Some((ty, _)) if literal(value) && coerce::fit(value.clone(), ty).is_ok() => Some(ty.clone()),
                Some((ty, _)) => coerce::common(ty, &value.slot.ty),
            };
            match (met, &common) {
                (Some(ty), _) => common = Some((ty, value.span)),
                (None, Some((ty, first))) => {
                    let message = format!("{what} are of different types: `{ty}` and `{}`", value.slot.ty);
                    let problem = Diagnostic::error("branch-mismatch", value.span, message)
                        .label(format!("this is `{}`", value.slot))
                        .also(*first, format!("this is `{ty}`"));
                    let help = format!("cast one of them:\n  ({})::{ty}", self.text(value.span));
                    let helps = !literal(value) && super::castable(&value.slot.ty, ty);
                    self.report(if helps { problem.help(help) } else { problem });
                    return None;
                }
                (None, None) => return None,
            }
        }
        let ty = common.map_or(Type::Null, |(ty, _)| ty);
        let fitted = values.into_iter().map(|v| coerce::to(v, &ty)).collect();
        Some((fitted, ty))
    }

    /// `order ${order_id}`: a text, null where a part is.
    pub(super) fn interpolation(&mut self, pieces: &[ast::Piece], span: Span, env: &mut Env<'_>) -> TypedExpr {
        let mut args = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match piece {
                ast::Piece::Text(text) => args.push(TypedExpr::literal(ScalarValue::Utf8(Some(text.clone())), span)),
                ast::Piece::Value(value) => {
                    let value = self.typed(value, env);
                    args.push(self.text_piece(value));
                }
            }
        }
        if args.iter().any(TypedExpr::is_unknown) {
            return TypedExpr::unknown(span);
        }
        let fails = args.iter().any(|a| a.fails);
        let nullable = args.iter().any(|a| a.slot.nullable);
        let joined = self.catalog_call("concat", args, span);
        let slot = Slot { ty: Type::String, nullable: nullable && joined.slot.nullable };
        if joined.is_unknown() { joined } else { TypedExpr { slot, fails, ..joined } }
    }

    fn text_piece(&mut self, value: TypedExpr) -> TypedExpr {
        let ty = value.slot.ty.clone();
        match ty {
            Type::String => value,
            _ if value.is_unknown() => value,
            _ if has_parts(&ty) && ty != Type::Json || ty == Type::Bytes => {
                self.report(
                    Diagnostic::error("wrong-operand", value.span, format!("`{ty}` has no text"))
                        .label("cannot stand in a text")
                        .help("name one of its parts, or write it as json with a function"),
                );
                TypedExpr::unknown(value.span)
            }
            _ => coerce::cast(value, &Type::String),
        }
    }
}
