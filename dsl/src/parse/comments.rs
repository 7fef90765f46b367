//! Puts comments and empty lines back: a walk over the finished tree in the order of the text, with the comments as
//! a second list that is used up on the way. A comment goes above the item it stands above, behind the item whose
//! last line it ends, and above the item it stands inside of. None is lost.

use super::reader::Reader;
use crate::ast::{
    Arg, At, Chain, Clause, ClauseKind, Comment, Endpoint, Expected, Expr, ExprKind, File, FnParam, OptionEntry,
    Options, Piece, Row, Rows, SortItem, Stage, Statement, StatementKind, Step, StepKind, StructExpr, StructField,
    Trivia, Ttl, TypeArg, TypeExpr, TypeField, TypeKind,
};
use crate::span::Span;

/// Gives every comment of a file its place in the tree.
pub(super) fn attach(file: &mut File, text: &str, reader: &Reader<'_>, comments: &[(usize, usize)]) {
    let mut walk = Walk::new(text, reader, comments);
    for (i, statement) in file.statements.iter_mut().enumerate() {
        let Statement { trivia, kind, at } = statement;
        walk.item(trivia, *at, usize::MAX, i == 0, |walk| walk.statement(kind, *at));
    }
    file.end = walk.before(usize::MAX);
    if file.statements.is_empty() {
        no_gap(&mut file.end);
    }
}

/// The walk.
struct Walk<'t> {
    text: &'t str,
    reader: &'t Reader<'t>,
    /// Those that have no place yet.
    comments: &'t [(usize, usize)],
    /// Those that stand inside the current item and belong above it.
    strays: Vec<Comment>,
}

/// What an item holds.
enum Inner<'t> {
    Nothing,
    Expr(&'t mut Expr),
    Type(&'t mut TypeExpr),
    Cells(&'t mut StructExpr, At),
    Step(&'t mut StepKind),
}

impl<'t> Walk<'t> {
    fn new(text: &'t str, reader: &'t Reader<'t>, comments: &'t [(usize, usize)]) -> Self {
        Walk { text, reader, comments, strays: Vec::new() }
    }

    /// Takes the comments that start before `end`.
    fn before(&mut self, end: usize) -> Vec<Comment> {
        let count = self.comments.iter().take_while(|(start, _)| *start < end).count();
        let (taken, rest) = self.comments.split_at(count);
        self.comments = rest;
        taken.iter().map(|(start, end)| self.comment(*start, *end)).collect()
    }

    fn comment(&self, start: usize, end: usize) -> Comment {
        Comment::new(&self.text[start + 1..end], self.gap_above(start), At(self.reader.span(start, end)))
    }

    /// Whether an empty line stands above what starts at `start`; a stage starts with its `|>`.
    fn gap_above(&self, start: usize) -> bool {
        let head = self.text[..start].trim_end();
        // An `into` is an item from its `|>` on, though its place is that of the sink.
        let into = head.strip_suffix("into").map(str::trim_end).filter(|head| head.ends_with("|>"));
        let (head, start) = into.map_or((head, start), |head| (head, head.len()));
        let own = head.strip_suffix("|>").map(str::trim_end);
        let (head, below) = match own {
            Some(before) => (before, head.len() - 2),
            None => (head, start),
        };
        self.text[head.len()..below].bytes().filter(|b| *b == b'\n').count() > 1
    }

    /// Takes the strays of `end`: comments before it that stand in the current item, but in no item inside it.
    fn stray_before(&mut self, end: usize) {
        let strays = self.before(end);
        self.strays.extend(strays);
    }

    /// An item at `at`, before which nothing else may claim a comment, and after which the next starts at `limit`.
    fn item(&mut self, trivia: &mut Trivia, at: At, limit: usize, first: bool, inner: impl FnOnce(&mut Self)) {
        let (start, end) = self.reader.indices(at.0);
        trivia.above = self.before(start);
        trivia.gap = self.gap_above(start);
        match trivia.above.first_mut() {
            Some(comment) => comment.gap &= !first,
            None => trivia.gap &= !first,
        }
        let outer = std::mem::take(&mut self.strays);
        inner(self);
        self.stray_before(end);
        let mut strays = std::mem::replace(&mut self.strays, outer);
        no_gap(&mut strays);
        strays.iter_mut().skip(1).for_each(|c| c.gap = false);
        if let (true, Some(stray)) = (trivia.above.is_empty(), strays.first_mut()) {
            stray.gap = std::mem::take(&mut trivia.gap);
        }
        trivia.above.extend(strays);
        if let Some((comment, _)) =
            self.comments.first().copied().filter(|(c, _)| *c < limit && self.same_line(end, *c))
        {
            trivia.behind = self.before(comment + 1).pop().map(|c| Comment { gap: false, ..c });
        }
    }

    fn same_line(&self, from: usize, to: usize) -> bool {
        from <= to && !self.text[from..to].contains('\n')
    }

    /// Items between brackets, which stand at `at`.
    fn block<T>(
        &mut self,
        at: At,
        items: &mut [T],
        end: &mut Vec<Comment>,
        extent: impl Fn(&T) -> Span,
        open: impl for<'a> Fn(&'a mut T) -> (&'a mut Trivia, Inner<'a>),
    ) {
        let (start, close) = self.reader.indices(at.0);
        let close = close.saturating_sub(1);
        self.stray_before(start);
        let limits = items.iter().skip(1).map(|i| self.reader.indices(extent(i)).0).chain([close]);
        let limits: Vec<usize> = limits.collect();
        for (i, (item, limit)) in items.iter_mut().zip(limits).enumerate() {
            let at = At(extent(item));
            let (trivia, inner) = open(item);
            self.item(trivia, at, limit, i == 0, |walk| walk.inner(inner));
        }
        *end = self.before(close);
        if items.is_empty() {
            no_gap(end);
        }
    }

    fn inner(&mut self, inner: Inner<'_>) {
        match inner {
            Inner::Nothing => {}
            Inner::Expr(expr) => self.expr(expr),
            Inner::Type(ty) => self.ty(ty),
            Inner::Cells(cells, at) => self.fields(cells, at),
            Inner::Step(step) => self.step(step),
        }
    }

    fn statement(&mut self, kind: &mut StatementKind, at: At) {
        match kind {
            StatementKind::Pipeline { options, .. } => self.options(options),
            StatementKind::Import { .. } | StatementKind::Broken { .. } => {}
            StatementKind::Param { ty, default, .. } => {
                self.ty(ty);
                default.iter_mut().for_each(|e| self.expr(e));
            }
            StatementKind::Let { value, .. } => self.expr(value),
            StatementKind::Fn { params, result, body, .. } => {
                self.params(params);
                result.iter_mut().for_each(|ty| self.ty(ty));
                self.expr(body);
            }
            StatementKind::Stage { params, stages, name } => {
                self.params(params);
                self.stages(name.at, stages, None);
            }
            StatementKind::Type { ty, .. } => self.ty(ty),
            StatementKind::Source(input) | StatementKind::Table(input) => self.endpoint(&mut input.from),
            StatementKind::Stream { chain, .. } => self.chain(chain, None),
            StatementKind::Sink { chain, trivia, into } => self.chain(chain, Some((trivia, into))),
            StatementKind::Test { steps, end, .. } => {
                self.block(at, steps, end, |s| s.at.0, |Step { trivia, kind, .. }| (trivia, Inner::Step(kind)));
            }
        }
    }

    fn params(&mut self, params: &mut [FnParam]) {
        for param in params {
            param.ty.iter_mut().for_each(|ty| self.ty(ty));
            param.default.iter_mut().for_each(|e| self.expr(e));
        }
    }

    fn chain(&mut self, chain: &mut Chain, into: Option<(&mut Trivia, &mut Endpoint)>) {
        let head = chain.alias.as_ref().unwrap_or(&chain.from).at;
        self.stages(head, &mut chain.stages, into);
    }

    /// The links of a chain, after a head that ends with `head`. A comment on the head's line speaks of the statement.
    fn stages(&mut self, head: At, stages: &mut [Stage], into: Option<(&mut Trivia, &mut Endpoint)>) {
        let (_, head_end) = self.reader.indices(head.0);
        self.stray_before(head_end);
        if !stages.is_empty() || into.is_some() {
            let first = stages.first().map(|stage| stage.at).or(into.as_ref().map(|(_, into)| into.at));
            let limit = first.map_or(usize::MAX, |at| self.reader.indices(at.0).0);
            let on_head = |walk: &Self, c: usize| c < limit && walk.same_line(head_end, c);
            while let Some((comment, _)) = self.comments.first().copied().filter(|(c, _)| on_head(self, *c)) {
                self.stray_before(comment + 1);
            }
        }
        let last = into.as_ref().map_or(usize::MAX, |(_, into)| self.reader.indices(into.at.0).0);
        let limits = stages.iter().skip(1).map(|s| self.reader.indices(s.at.0).0).chain([last]);
        let limits: Vec<usize> = limits.collect();
        let no_stages = stages.is_empty();
        for (i, (stage, limit)) in stages.iter_mut().zip(limits).enumerate() {
            let Stage { trivia, args, clauses, at, .. } = stage;
            self.item(trivia, *at, limit, i == 0, |walk| {
                walk.args(args);
                walk.clauses(clauses);
            });
        }
        if let Some((trivia, into)) = into {
            self.item(trivia, into.at, usize::MAX, no_stages, |walk| walk.endpoint(into));
        }
    }

    fn endpoint(&mut self, endpoint: &mut Endpoint) {
        self.args(&mut endpoint.args);
        self.options(&mut endpoint.options);
        self.clauses(&mut endpoint.clauses);
    }

    fn options(&mut self, options: &mut Options) {
        let Options { entries, end, at } = options;
        if entries.is_empty() && at.start == at.end {
            return;
        }
        let extent = |o: &OptionEntry| o.name.at.to(o.value.at.0);
        self.block(*at, entries, end, extent, |o| (&mut o.trivia, Inner::Expr(&mut o.value)));
    }

    fn args(&mut self, args: &mut [Arg]) {
        args.iter_mut().for_each(|arg| self.expr(&mut arg.value));
    }

    fn clauses(&mut self, clauses: &mut [Clause]) {
        clauses.iter_mut().for_each(|clause| self.clause(&mut clause.kind));
    }

    fn clause(&mut self, clause: &mut ClauseKind) {
        match clause {
            ClauseKind::By(items) => self.sort_items(items),
            ClauseKind::Per(values) => values.iter_mut().for_each(|e| self.expr(e)),
            ClauseKind::Emit { every, .. } => every.iter_mut().for_each(|e| self.expr(e)),
            ClauseKind::With(options) => self.options(options),
            ClauseKind::Running(Ttl::For(value))
            | ClauseKind::On(value)
            | ClauseKind::OnExpiry(value)
            | ClauseKind::Over(value)
            | ClauseKind::Within(value)
            | ClauseKind::Init(value)
            | ClauseKind::Step(value)
            | ClauseKind::Yield(value) => self.expr(value),
            ClauseKind::Using(_)
            | ClauseKind::OnBatchTime
            | ClauseKind::PerBatch
            | ClauseKind::Running(_)
            | ClauseKind::Named(_)
            | ClauseKind::Late(_)
            | ClauseKind::Bad(_)
            | ClauseKind::Rejected(_)
            | ClauseKind::Else(_)
            | ClauseKind::InitFrom(_) => {}
        }
    }

    fn sort_items(&mut self, items: &mut [SortItem]) {
        items.iter_mut().for_each(|item| self.expr(&mut item.value));
    }

    fn step(&mut self, step: &mut StepKind) {
        match step {
            StepKind::Given { rows, .. } => self.rows(rows),
            StepKind::Expect { rows, .. } => self.expected(rows),
            StepKind::Advance(value) | StepKind::AdvanceWatermark { to: value, .. } => self.expr(value),
            StepKind::GivenFrom { .. }
            | StepKind::Step { .. }
            | StepKind::Restart
            | StepKind::ExpectCount { .. }
            | StepKind::Broken => {}
        }
    }

    fn expected(&mut self, expected: &mut Expected) {
        match expected {
            Expected::Exactly(rows) | Expected::Contains(rows) | Expected::InOrder(rows) => self.rows(rows),
            Expected::Nothing => {}
        }
    }

    fn rows(&mut self, rows: &mut Rows) {
        let Rows { rows, end, at } = rows;
        self.block(*at, rows, end, |r| r.at.0, |Row { trivia, cells, at }| (trivia, Inner::Cells(cells, *at)));
    }

    fn fields(&mut self, fields: &mut StructExpr, at: At) {
        let extent = |f: &StructField| f.value.as_ref().map_or(f.name.at.0, |v| f.name.at.to(v.at.0));
        self.block(at, &mut fields.fields, &mut fields.end, extent, open_field);
    }

    fn ty(&mut self, ty: &mut TypeExpr) {
        match &mut ty.kind {
            TypeKind::Named { args, .. } => {
                for arg in args {
                    if let TypeArg::Type(inner) = arg {
                        self.ty(inner);
                    }
                }
            }
            TypeKind::Struct { fields, end } => {
                let extent = |f: &TypeField| f.name.at.to(f.ty.at.0);
                self.block(ty.at, fields, end, extent, |f| (&mut f.trivia, Inner::Type(&mut f.ty)));
            }
        }
    }

    /// An expression: only structs in it hold items.
    fn expr(&mut self, expr: &mut Expr) {
        let at = expr.at;
        match &mut expr.kind {
            ExprKind::Struct(fields) => self.fields(fields, at),
            ExprKind::Name(_) | ExprKind::Literal(_) | ExprKind::Broken => {}
            ExprKind::Interpolation(pieces) => {
                for piece in pieces {
                    if let Piece::Value(value) = piece {
                        self.expr(value);
                    }
                }
            }
            ExprKind::List(items) | ExprKind::And(items) | ExprKind::Or(items) => {
                items.iter_mut().for_each(|e| self.expr(e));
            }
            ExprKind::Field(inner, _)
            | ExprKind::Lambda(_, inner)
            | ExprKind::Negate(inner)
            | ExprKind::Not(inner)
            | ExprKind::IsNull(inner, _)
            | ExprKind::Try(inner) => self.expr(inner),
            ExprKind::Index(left, right)
            | ExprKind::Binary(left, _, right)
            | ExprKind::In(left, _, right)
            | ExprKind::Like(left, _, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Between(value, _, low, high) => {
                self.expr(value);
                self.expr(low);
                self.expr(high);
            }
            ExprKind::Call(call) => {
                self.args(&mut call.args);
                self.sort_items(&mut call.order_by);
                call.filter.iter_mut().for_each(|e| self.expr(e));
            }
            ExprKind::Case(case) => {
                case.operand.iter_mut().for_each(|e| self.expr(e));
                for (when, then) in &mut case.branches {
                    self.expr(when);
                    self.expr(then);
                }
                case.otherwise.iter_mut().for_each(|e| self.expr(e));
            }
            ExprKind::Cast(value, ty) => {
                self.expr(value);
                self.ty(ty);
            }
        }
    }
}

fn open_field(field: &mut StructField) -> (&mut Trivia, Inner<'_>) {
    (&mut field.trivia, field.value.as_mut().map_or(Inner::Nothing, Inner::Expr))
}

fn no_gap(comments: &mut [Comment]) {
    if let Some(first) = comments.first_mut() {
        first.gap = false;
    }
}
