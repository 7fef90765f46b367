//! Expressions, options, types, arguments and clauses to YAML values.
//!
//! What has a YAML form of its own takes it: strings, lists, structs, options. All else is text as in a `.stream` file.

use std::collections::BTreeSet;

use super::emit::{Element, Out, Pair, list, map};
use crate::ast::{
    Arg, Clause, ClauseKind, Comment, Expr, ExprKind, FnParam, Ident, Literal, OptionEntry, Options, Stage, StructExpr,
    Trivia, Ttl, TypeExpr, TypeKind,
};
use crate::walk::{self, Node};
use crate::{layout, print};

/// Builds values; the comments that these cannot hold are collected for the item around them.
#[derive(Default)]
pub(super) struct Builder {
    lost: Vec<Comment>,
}

impl Builder {
    /// What `build` makes of an item, and the comments around it, those that its value cannot hold above it.
    pub(super) fn item<T>(&mut self, trivia: &Trivia, build: impl FnOnce(&mut Self) -> T) -> (Trivia, T) {
        let outer = std::mem::take(&mut self.lost);
        let built = build(self);
        let lost = std::mem::replace(&mut self.lost, outer);
        let mut trivia = trivia.clone();
        trivia.above.extend(lost.into_iter().map(|comment| Comment { gap: false, ..comment }));
        (trivia, built)
    }

    /// Gives up comments that have no place in a value.
    pub(super) fn lose(&mut self, comments: &[Comment]) {
        self.lost.extend_from_slice(comments);
    }

    /// Gives up all comments in what is written as text.
    pub(super) fn lose_all(&mut self, node: Node<'_>) {
        walk::node(node, |node| {
            if let Node::Comment(comment) = node {
                self.lost.push(comment.clone());
            }
        });
    }

    /// A value.
    pub(super) fn value(&mut self, expr: &Expr) -> Out {
        match &expr.kind {
            ExprKind::Literal(Literal::String(text)) if !text.contains("${") => Out::Quoted(text.clone()),
            ExprKind::List(items) => {
                list(items.iter().map(|item| Element::new(self.value(item))).collect(), Vec::new())
            }
            ExprKind::Struct(fields) if unique(fields.fields.iter().map(|field| &field.name)) => {
                self.struct_expr(fields)
            }
            _ => self.text(expr),
        }
    }

    /// An expression as text.
    pub(super) fn text(&mut self, expr: &Expr) -> Out {
        self.lose_all(Node::Expr(expr));
        Out::Text(print::expr(expr))
    }

    /// A struct as a mapping.
    pub(super) fn struct_expr(&mut self, value: &StructExpr) -> Out {
        let fields = value.fields.iter().map(|field| {
            let (trivia, out) = self.item(&field.trivia, |builder| match &field.value {
                Some(value) => builder.value(value),
                None => Out::Empty,
            });
            Pair { trivia, key: field.name.name.clone(), value: out }
        });
        let fields: Vec<_> = fields.collect();
        self.mapping(fields, &value.end)
    }

    /// A mapping; an empty one has no place for comments.
    fn mapping(&mut self, pairs: Vec<Pair>, end: &[Comment]) -> Out {
        if pairs.is_empty() {
            self.lose(end);
            return map(pairs, Vec::new());
        }
        map(pairs, end.to_vec())
    }

    /// Options as pairs.
    pub(super) fn entries(&mut self, entries: &[OptionEntry]) -> Vec<Pair> {
        let pair = |entry: &OptionEntry| {
            let (trivia, value) = self.item(&entry.trivia, |builder| builder.value(&entry.value));
            Pair { trivia, key: entry.name.name.clone(), value }
        };
        entries.iter().map(pair).collect()
    }

    /// Options as a mapping.
    pub(super) fn options(&mut self, options: &Options) -> Out {
        let pairs = self.entries(&options.entries);
        self.mapping(pairs, &options.end)
    }

    /// A type.
    pub(super) fn type_expr(&mut self, ty: &TypeExpr) -> Out {
        if let TypeKind::Struct { fields, end } = &ty.kind
            && !ty.nullable
            && unique(fields.iter().map(|field| &field.name))
        {
            let field = |field: &crate::ast::TypeField| {
                let (trivia, value) = self.item(&field.trivia, |builder| builder.type_expr(&field.ty));
                Pair { trivia, key: field.name.name.clone(), value }
            };
            let pairs = fields.iter().map(field).collect();
            return self.mapping(pairs, end);
        }
        self.lose_all(Node::Type(ty));
        Out::Text(print::type_expr(ty))
    }

    /// Parameters as a mapping.
    pub(super) fn params(&mut self, params: &[FnParam]) -> Out {
        let pair = |param: &FnParam| {
            let value = self.typed_default(param.ty.as_ref(), param.default.as_ref());
            Pair::new(param.name.name.clone(), value)
        };
        map(params.iter().map(pair).collect(), Vec::new())
    }

    /// A type as it stands, or with a default in a mapping.
    pub(super) fn typed_default(&mut self, ty: Option<&TypeExpr>, default: Option<&Expr>) -> Out {
        let ty = ty.map(|ty| self.type_expr(ty));
        match (ty, default) {
            (None, None) => Out::Empty,
            (Some(text @ Out::Text(_)), None) => text,
            (ty, default) => {
                let ty = ty.map(|ty| Pair::new("type", ty));
                let default = default.map(|value| Pair::new("default", self.value(value)));
                map(ty.into_iter().chain(default).collect(), Vec::new())
            }
        }
    }

    /// Arguments: nothing, one scalar, a mapping of named ones, or a list. `print` writes one with its name.
    pub(super) fn args(&mut self, args: &[Arg], print: fn(&Arg) -> String) -> Out {
        match args {
            [] => Out::Empty,
            [Arg { names, value }] if names.is_empty() => self.single(value),
            several
                if several.iter().all(|arg| arg.names.len() == 1) && unique(several.iter().flat_map(|a| &a.names)) =>
            {
                let named = several.iter().flat_map(|arg| arg.names.iter().map(move |name| (name, &arg.value)));
                map(named.map(|(name, value)| Pair::new(name.name.clone(), self.value(value))).collect(), Vec::new())
            }
            several => list(several.iter().map(|arg| Element::new(self.arg(arg, print))).collect(), Vec::new()),
        }
    }

    /// One argument where a list would be several and a mapping named ones.
    fn single(&mut self, value: &Expr) -> Out {
        match self.value(value) {
            out @ (Out::List(_) | Out::Map(_)) => list(vec![Element::new(out)], Vec::new()),
            out => out,
        }
    }

    fn arg(&mut self, arg: &Arg, print: fn(&Arg) -> String) -> Out {
        if arg.names.is_empty() {
            return self.value(&arg.value);
        }
        self.text(&arg.value);
        Out::Text(print(arg))
    }

    /// A stage: its word with its arguments, then its clauses; a word alone where there is nothing else.
    pub(super) fn stage(&mut self, stage: &Stage) -> Out {
        let head = print::stage_head(stage);
        if stage.args.is_empty() && stage.clauses.is_empty() {
            return Out::Word(head);
        }
        let mut pairs = Vec::new();
        match stage.args.as_slice() {
            [Arg { names, value }] if names.len() > 1 || !names.is_empty() && layout::names_apart(&stage.name.name) => {
                pairs.push(Pair::new(head, self.single(value)));
                pairs.push(Pair::new("as", alias(names)));
            }
            args => pairs.push(Pair::new(head, self.args(args, print::stage_argument))),
        }
        pairs.extend(stage.clauses.iter().map(|clause| self.clause(clause)));
        super::emit::tall_map(pairs, Vec::new())
    }

    /// A clause: its word and the rest of it.
    pub(super) fn clause(&mut self, clause: &Clause) -> Pair {
        let word = clause.kind.word();
        match &clause.kind {
            ClauseKind::With(options) => Pair::new(word, self.options(options)),
            ClauseKind::Init(value)
            | ClauseKind::Step(value)
            | ClauseKind::Yield(value)
            | ClauseKind::OnExpiry(value)
                if matches!(value.kind, ExprKind::Struct(_)) =>
            {
                Pair::new(word, self.value(value))
            }
            ClauseKind::Running(Ttl::Missing) => Pair::new(word, Out::Empty),
            _ => {
                self.lose_all(Node::Clause(clause));
                let text = print::clause(clause);
                let key = if matches!(clause.kind, ClauseKind::OnExpiry(_)) { word } else { first_word(word) };
                Pair::new(key, Out::Text(text[key.len()..].trim_start().to_owned()))
            }
        }
    }
}

fn first_word(word: &'static str) -> &'static str {
    word.split(' ').next().unwrap_or(word)
}

fn alias(names: &[Ident]) -> Out {
    let word = |name: &Ident| Out::Word(name.name.clone());
    match names {
        [one] => word(one),
        several => list(several.iter().map(|name| Element::new(word(name))).collect(), Vec::new()),
    }
}

/// Whether no name comes twice: a YAML mapping could not hold it.
pub(super) fn unique<'n>(names: impl IntoIterator<Item = &'n Ident>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| seen.insert(name.name.as_str()))
}
