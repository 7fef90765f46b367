//! Types as written to types as meant: words, parameters, names of `type` statements.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_dsl::ast::{Ident, TypeArg, TypeExpr, TypeField, TypeKind};
use millstream_dsl::{Diagnostic, Span, suggest};

use crate::check::checker::{Checker, Space};
use crate::check::definitions::DEEPEST_DEFINITIONS;
use crate::check::{circles, literals, walk};
use crate::model::{Column, Slot, Type};

/// What people write for types elsewhere, and the word for it here.
const OTHER_WORDS: [(&str, &str); 26] = [
    ("int", "int32"),
    ("integer", "int32"),
    ("bigint", "int64"),
    ("long", "int64"),
    ("smallint", "int16"),
    ("short", "int16"),
    ("tinyint", "int8"),
    ("byte", "int8"),
    ("uint", "uint32"),
    ("float", "float32"),
    ("real", "float32"),
    ("double", "float64"),
    ("number", "float64"),
    ("numeric", "decimal(12, 2)"),
    ("boolean", "bool"),
    ("str", "string"),
    ("text", "string"),
    ("varchar", "string"),
    ("utf8", "string"),
    ("binary", "bytes"),
    ("blob", "bytes"),
    ("datetime", "timestamp"),
    ("timestamptz", "timestamp"),
    ("interval", "duration"),
    ("array", "list(string)"),
    ("struct", "{ a: string }"),
];

impl Checker<'_> {
    /// Resolves every `type` statement once, each after those it refers to.
    pub(super) fn resolve_types(&mut self) {
        let names = self.names.types.clone();
        let found = circles::ordered(names.keys().map(String::as_str), |name| {
            names.get(name).and_then(|t| t.ty).map(walk::type_names).unwrap_or_default()
        });
        for circle in &found.circles {
            let places: Vec<Span> = circle.iter().filter_map(|n| self.names.types.get(*n)).map(|t| t.at).collect();
            let message = format!("type `{}` contains itself", circle[0]);
            let help = "rows have a fixed depth; keep the deeper part as `json` and read it by path";
            self.report_circle("recursive-type", message, "leads back to itself", &places, Some(help));
            for name in circle {
                self.types.insert((*name).to_owned(), Slot::unknown());
            }
        }
        for (name, depth) in found.order {
            let Some(definition) = self.names.types.get(name).copied().filter(|_| !self.types.contains_key(name))
            else {
                continue;
            };
            let slot = match definition.ty {
                Some(ty) if depth <= DEEPEST_DEFINITIONS => self.type_of(ty),
                _ => Slot::unknown(),
            };
            self.report_deep(depth, definition.at);
            self.types.insert(name.to_owned(), slot);
        }
    }

    /// A type as written.
    pub(super) fn type_of(&mut self, ty: &TypeExpr) -> Slot {
        let slot = match &ty.kind {
            TypeKind::Struct { fields, .. } => Slot::required(Type::Struct(self.fields(fields))),
            TypeKind::Named { name, args } => self.word(name, args, ty.at.0),
        };
        Slot { nullable: slot.nullable || ty.nullable, ..slot }
    }

    fn fields(&mut self, fields: &[TypeField]) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::with_capacity(fields.len());
        let mut seen = BTreeSet::new();
        for field in fields {
            let slot = self.type_of(&field.ty);
            if seen.insert(field.name.name.as_str()) {
                columns.push(Column::new(&field.name.name, slot));
                continue;
            }
            let first = fields.iter().find(|f| f.name.name == field.name.name).map(|f| f.name.at.0).unwrap_or_default();
            self.report(
                Diagnostic::error(
                    "duplicate-column",
                    field.name.at.0,
                    format!("field `{}` stands here twice", field.name.name),
                )
                .label("again")
                .also(first, "first here"),
            );
        }
        columns
    }

    fn word(&mut self, name: &Ident, args: &[TypeArg], span: Span) -> Slot {
        if self.names.types.contains_key(&name.name) {
            self.mark_used(Space::Type, &name.name);
            return self.types.get(&name.name).cloned().unwrap_or_else(Slot::unknown);
        }
        let ty = match (name.name.as_str(), args) {
            ("decimal", [TypeArg::Number { value: precision, .. }, TypeArg::Number { value: scale, .. }]) => {
                self.decimal(*precision, *scale, span)
            }
            ("list", [TypeArg::Type(element)]) => Type::List(Box::new(self.type_of(element))),
            ("map", [TypeArg::Type(key), TypeArg::Type(value)]) => self.map(key, value),
            ("timestamp", [TypeArg::Text(zone)]) => self.zoned(&zone.value, zone.at.0),
            (word, _) => match Type::from_word(word) {
                Some(ty) if args.is_empty() => ty,
                _ => self.wrong_word(name, span),
            },
        };
        Slot::required(ty)
    }

    fn decimal(&mut self, precision: u64, scale: u64, span: Span) -> Type {
        match (u8::try_from(precision), i8::try_from(scale)) {
            (Ok(p @ 1..=38), Ok(s)) if scale <= precision => Type::Decimal { precision: p, scale: s },
            _ => {
                self.report(
                    Diagnostic::error("unsupported-type", span, "a decimal has 1 to 38 digits, and no more behind the point")
                        .label("cannot be stored")
                        .help("write how many digits there are in all, and how many of them behind the point:\n  decimal(12, 2)"),
                );
                Type::Unknown
            }
        }
    }

    fn map(&mut self, key: &TypeExpr, value: &TypeExpr) -> Type {
        let key_slot = self.type_of(key);
        let value = self.type_of(value);
        if key_slot.nullable || key_slot.ty.is_nested() || key_slot.ty.is_float() {
            self.report(
                Diagnostic::error("unsupported-type", key.at.0, format!("`{key_slot}` cannot be the key of a map"))
                    .label("keys are plain, exact values and never null"),
            );
            return Type::Unknown;
        }
        Type::Map(Box::new(key_slot.ty), Box::new(value))
    }

    fn zoned(&mut self, zone: &str, span: Span) -> Type {
        if literals::is_zone(zone) {
            return Type::Timestamp(Some(Arc::from(zone)));
        }
        self.report(
            Diagnostic::error("invalid-literal", span, format!("time zone `{zone}` is not known"))
                .label("no such zone")
                .help("zones are named by place:\n  timestamp(\"Europe/Berlin\")"),
        );
        Type::Unknown
    }

    fn wrong_word(&mut self, name: &Ident, span: Span) -> Type {
        let forms = [
            ("decimal", "decimal(12, 2)"),
            ("list", "list(string)"),
            ("map", "map(string, int64)"),
            ("timestamp", "timestamp(\"Europe/Berlin\")"),
        ];
        if let Some((_, form)) = forms.iter().find(|(word, _)| *word == name.name) {
            self.report(
                Diagnostic::error("wrong-argument", span, format!("type `{}` is written otherwise", name.name))
                    .label("these are not its parameters")
                    .help(format!("write it like this:\n  {form}")),
            );
            return Type::Unknown;
        }
        if Type::from_word(&name.name).is_some() {
            self.report(
                Diagnostic::error("too-many-arguments", span, format!("type `{}` has no parameters", name.name))
                    .label("too much")
                    .edit(span, &name.name),
            );
            return Type::Unknown;
        }
        self.report(self.unknown_type(name));
        Type::Unknown
    }

    fn unknown_type(&self, name: &Ident) -> Diagnostic {
        let problem = Diagnostic::error("unknown-type", name.at.0, format!("type `{}` does not exist", name.name));
        let lower = name.name.to_lowercase();
        if let Some(here) = word_for(&lower) {
            return problem.label("not a word of this language").help(format!("write `{here}`")).edit(name.at.0, here);
        }
        let declared = suggest::closest(&name.name, self.names.types.keys().map(String::as_str));
        match declared.or_else(|| suggest::closest(&name.name, Type::words())) {
            Some(close) => {
                let help = format!("did you mean `{close}`?");
                problem.label("not known").edit(name.at.0, close.to_owned()).help(help)
            }
            None => problem.label("not known").help(format!("declare it:\n  type {} = {{ id: string }}", name.name)),
        }
    }
}

/// The word for a type of another language, in lower case; none where there is no other word.
pub(super) fn word_for(other: &str) -> Option<&'static str> {
    OTHER_WORDS.iter().find(|(word, _)| *word == other).map(|(_, here)| *here)
}
