//! A stage with names replaced by expressions: what a call of a defined stage stands for. Names that lambdas
//! bind are left alone.

use std::collections::BTreeMap;

use millstream_dsl::ast::{
    Arg, Call, Case, Chain, Clause, ClauseKind, Expr, ExprKind, Fate, Ident, OptionEntry, Options, Piece, SortItem,
    Stage, StructExpr, StructField, Ttl,
};

use crate::check::templates::name_of;

/// What each name becomes.
pub(super) struct Substitution<'s> {
    by: &'s BTreeMap<String, Expr>,
    /// Names that mean something else here.
    hidden: Vec<String>,
}

impl<'s> Substitution<'s> {
    pub(super) fn new(by: &'s BTreeMap<String, Expr>) -> Self {
        Substitution { by, hidden: Vec::new() }
    }

    /// The stage with every name replaced.
    pub(super) fn stage(&self, stage: &Stage) -> Stage {
        let args = stage.args.iter().map(|a| self.arg(a)).collect();
        let clauses = stage.clauses.iter().map(|c| Clause { kind: self.clause(&c.kind), at: c.at }).collect();
        Stage { args, clauses, ..stage.clone() }
    }

    fn value(&self, name: &str) -> Option<&Expr> {
        if self.hidden.iter().any(|h| h == name) { None } else { self.by.get(name) }
    }

    /// A name that must stay one: of a stream, of a column.
    fn ident(&self, ident: &Ident) -> Ident {
        self.value(&ident.name).and_then(name_of).unwrap_or_else(|| ident.clone())
    }

    /// Names of new columns are the definition's own.
    fn arg(&self, arg: &Arg) -> Arg {
        Arg { names: arg.names.clone(), value: self.expr(&arg.value) }
    }

    fn clause(&self, kind: &ClauseKind) -> ClauseKind {
        match kind {
            ClauseKind::By(items) => ClauseKind::By(items.iter().map(|i| self.sort(i)).collect()),
            ClauseKind::Using(names) => ClauseKind::Using(names.iter().map(|n| self.ident(n)).collect()),
            ClauseKind::On(e) => ClauseKind::On(self.expr(e)),
            ClauseKind::OnExpiry(e) => ClauseKind::OnExpiry(self.expr(e)),
            ClauseKind::Over(e) => ClauseKind::Over(self.expr(e)),
            ClauseKind::Per(all) => ClauseKind::Per(all.iter().map(|e| self.expr(e)).collect()),
            ClauseKind::Running(Ttl::For(e)) => ClauseKind::Running(Ttl::For(self.expr(e))),
            ClauseKind::Within(e) => ClauseKind::Within(self.expr(e)),
            ClauseKind::Named(name) => ClauseKind::Named(self.ident(name)),
            ClauseKind::Late(fate) => ClauseKind::Late(self.fate(fate)),
            ClauseKind::Bad(fate) => ClauseKind::Bad(self.fate(fate)),
            ClauseKind::Rejected(fate) => ClauseKind::Rejected(self.fate(fate)),
            ClauseKind::Else(fate) => ClauseKind::Else(self.fate(fate)),
            ClauseKind::Emit { mode, every } => {
                ClauseKind::Emit { mode: mode.clone(), every: every.as_ref().map(|e| self.expr(e)) }
            }
            ClauseKind::Init(e) => ClauseKind::Init(self.expr(e)),
            ClauseKind::InitFrom(name) => ClauseKind::InitFrom(self.ident(name)),
            ClauseKind::Step(e) => ClauseKind::Step(self.expr(e)),
            ClauseKind::Yield(e) => ClauseKind::Yield(self.expr(e)),
            ClauseKind::With(options) => ClauseKind::With(self.options(options)),
            ClauseKind::OnBatchTime | ClauseKind::PerBatch | ClauseKind::Running(_) => kind.clone(),
        }
    }

    fn fate(&self, fate: &Fate) -> Fate {
        match fate {
            Fate::To(name) => Fate::To(self.ident(name)),
            Fate::Word(_) => fate.clone(),
        }
    }

    fn options(&self, options: &Options) -> Options {
        let entry = |e: &OptionEntry| OptionEntry { value: self.expr(&e.value), ..e.clone() };
        Options { entries: options.entries.iter().map(entry).collect(), ..options.clone() }
    }

    /// A key that was passed in as an expression is called like the parameter.
    fn sort(&self, item: &SortItem) -> SortItem {
        let value = self.expr(&item.value);
        let computed = !matches!(value.kind, ExprKind::Name(_) | ExprKind::Field(..));
        let parameter = name_of(&item.value).filter(|_| computed);
        SortItem { value, name: item.name.clone().or(parameter), ..item.clone() }
    }

    fn boxed(&self, expr: &Expr) -> Box<Expr> {
        Box::new(self.expr(expr))
    }

    fn all(&self, exprs: &[Expr]) -> Vec<Expr> {
        exprs.iter().map(|e| self.expr(e)).collect()
    }

    fn expr(&self, expr: &Expr) -> Expr {
        let kind = match &expr.kind {
            ExprKind::Name(name) => match self.value(name) {
                Some(value) => return value.clone(),
                None => return expr.clone(),
            },
            ExprKind::Literal(_) | ExprKind::Broken => return expr.clone(),
            ExprKind::Interpolation(pieces) => ExprKind::Interpolation(pieces.iter().map(|p| self.piece(p)).collect()),
            ExprKind::List(items) => ExprKind::List(self.all(items)),
            ExprKind::Struct(record) => ExprKind::Struct(self.record(record)),
            ExprKind::Field(of, field) => ExprKind::Field(self.boxed(of), field.clone()),
            ExprKind::Index(of, index) => ExprKind::Index(self.boxed(of), self.boxed(index)),
            ExprKind::Call(call) => ExprKind::Call(Box::new(self.call(call))),
            ExprKind::Lambda(names, body) => self.lambda(names, body),
            ExprKind::Negate(of) => ExprKind::Negate(self.boxed(of)),
            ExprKind::Not(of) => ExprKind::Not(self.boxed(of)),
            ExprKind::Binary(a, op, b) => ExprKind::Binary(self.boxed(a), *op, self.boxed(b)),
            ExprKind::And(all) => ExprKind::And(self.all(all)),
            ExprKind::Or(all) => ExprKind::Or(self.all(all)),
            ExprKind::In(a, n, b) => ExprKind::In(self.boxed(a), *n, self.boxed(b)),
            ExprKind::Between(a, n, b, c) => ExprKind::Between(self.boxed(a), *n, self.boxed(b), self.boxed(c)),
            ExprKind::Like(a, n, b) => ExprKind::Like(self.boxed(a), *n, self.boxed(b)),
            ExprKind::IsNull(a, n) => ExprKind::IsNull(self.boxed(a), *n),
            ExprKind::Case(case) => ExprKind::Case(Box::new(self.case(case))),
            ExprKind::Cast(of, ty) => ExprKind::Cast(self.boxed(of), ty.clone()),
            ExprKind::Try(of) => ExprKind::Try(self.boxed(of)),
        };
        Expr { kind, at: expr.at }
    }

    fn piece(&self, piece: &Piece) -> Piece {
        match piece {
            Piece::Value(value) => Piece::Value(self.expr(value)),
            Piece::Text(_) => piece.clone(),
        }
    }

    /// `{ user_id }` means the value of that name, under that name.
    fn record(&self, record: &StructExpr) -> StructExpr {
        let field = |f: &StructField| {
            let value = match &f.value {
                Some(value) => Some(self.expr(value)),
                None => self.value(&f.name.name).cloned(),
            };
            StructField { value, ..f.clone() }
        };
        StructExpr { fields: record.fields.iter().map(field).collect(), ..record.clone() }
    }

    fn call(&self, call: &Call) -> Call {
        Call {
            args: call.args.iter().map(|a| self.arg(a)).collect(),
            order_by: call.order_by.iter().map(|i| self.sort(i)).collect(),
            filter: call.filter.as_ref().map(|f| self.expr(f)),
            ..call.clone()
        }
    }

    fn lambda(&self, names: &[Ident], body: &Expr) -> ExprKind {
        let hidden = self.hidden.iter().cloned().chain(names.iter().map(|n| n.name.clone())).collect();
        let inner = Substitution { by: self.by, hidden };
        ExprKind::Lambda(names.to_vec(), inner.boxed(body))
    }

    fn case(&self, case: &Case) -> Case {
        Case {
            operand: case.operand.as_ref().map(|e| self.expr(e)),
            branches: case.branches.iter().map(|(when, then)| (self.expr(when), self.expr(then))).collect(),
            otherwise: case.otherwise.as_ref().map(|e| self.expr(e)),
        }
    }
}

/// The streams a chain may read: where it starts, and every bare name among its stages' arguments.
pub(super) fn may_read<'c>(chain: &'c Chain, stages: impl Iterator<Item = &'c Stage>) -> Vec<String> {
    let mut found = vec![chain.from.name.clone()];
    for stage in stages {
        found.extend(stage.args.iter().filter_map(|a| name_of(&a.value)).map(|ident| ident.name));
        found.extend(stage.clauses.iter().filter_map(|c| match &c.kind {
            ClauseKind::InitFrom(name) => Some(name.name.clone()),
            _ => None,
        }));
    }
    found
}
