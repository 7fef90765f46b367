//! Every node of a tree in the order of the text, for those who look for one thing in all of it: names, spans,
//! comments, expressions. It keeps its own stack, so that no tree is too deep for it.

use crate::ast::{
    Arg, Call, Case, Chain, Clause, ClauseKind, Comment, Endpoint, Expected, Expr, ExprKind, Fate, File, FnParam,
    Ident, OptionEntry, Options, Piece, Row, Rows, SortItem, Stage, Statement, StatementKind, Step, StepKind,
    StructExpr, StructField, Text, Trivia, Ttl, TypeArg, TypeExpr, TypeField, TypeKind,
};
use crate::span::Span;

/// A part of a tree that can be visited.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each variant is called like the type it holds")]
pub enum Node<'a> {
    Statement(&'a Statement),
    Chain(&'a Chain),
    Stage(&'a Stage),
    Arg(&'a Arg),
    Clause(&'a Clause),
    Endpoint(&'a Endpoint),
    Options(&'a Options),
    OptionEntry(&'a OptionEntry),
    SortItem(&'a SortItem),
    FnParam(&'a FnParam),
    Expr(&'a Expr),
    StructField(&'a StructField),
    Type(&'a TypeExpr),
    TypeField(&'a TypeField),
    Step(&'a Step),
    Rows(&'a Rows),
    Row(&'a Row),
    Ident(&'a Ident),
    Text(&'a Text),
    Comment(&'a Comment),
}

impl Node<'_> {
    /// Where it stands, if it remembers.
    pub fn span(&self) -> Option<Span> {
        Some(match self {
            Node::Statement(node) => *node.at,
            Node::Chain(node) => *node.at,
            Node::Stage(node) => *node.at,
            Node::Clause(node) => *node.at,
            Node::Endpoint(node) => *node.at,
            Node::Options(node) => *node.at,
            Node::Expr(node) => *node.at,
            Node::Type(node) => *node.at,
            Node::Step(node) => *node.at,
            Node::Rows(node) => *node.at,
            Node::Row(node) => *node.at,
            Node::Ident(node) => *node.at,
            Node::Text(node) => *node.at,
            Node::Comment(node) => *node.at,
            _ => return None,
        })
    }
}

/// Visits every node of a file, each before what is in it.
pub fn file<'a>(file: &'a File, visit: impl FnMut(Node<'a>)) {
    let mut todo = Todo::default();
    todo.each(&file.statements, Node::Statement);
    todo.each(&file.end, Node::Comment);
    todo.run(visit);
}

/// Visits a node and every node in it, each before what is in it.
pub fn node<'a>(node: Node<'a>, visit: impl FnMut(Node<'a>)) {
    Todo { nodes: vec![node] }.run(visit);
}

/// The nodes that are still to be visited, the next one last.
#[derive(Default)]
struct Todo<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Todo<'a> {
    fn run(&mut self, mut visit: impl FnMut(Node<'a>)) {
        self.nodes.reverse();
        while let Some(node) = self.nodes.pop() {
            visit(node);
            let waiting = self.nodes.len();
            self.children(node);
            self.nodes[waiting..].reverse();
        }
    }

    fn each<T>(&mut self, items: impl IntoIterator<Item = &'a T>, node: fn(&'a T) -> Node<'a>) {
        self.nodes.extend(items.into_iter().map(node));
    }

    fn children(&mut self, node: Node<'a>) {
        match node {
            Node::Statement(node) => self.item(&node.trivia, |todo| todo.statement(&node.kind)),
            Node::Chain(node) => self.chain(node),
            Node::Stage(node) => self.item(&node.trivia, |todo| {
                todo.nodes.push(Node::Ident(&node.name));
                todo.each(&node.args, Node::Arg);
                todo.each(&node.clauses, Node::Clause);
            }),
            Node::Arg(node) => {
                self.nodes.push(Node::Expr(&node.value));
                self.each(&node.names, Node::Ident);
            }
            Node::Clause(node) => self.clause(&node.kind),
            Node::Endpoint(node) => {
                self.nodes.push(Node::Ident(&node.name));
                self.each(&node.args, Node::Arg);
                self.nodes.push(Node::Options(&node.options));
                self.each(&node.clauses, Node::Clause);
            }
            Node::Options(node) => {
                self.each(&node.entries, Node::OptionEntry);
                self.each(&node.end, Node::Comment);
            }
            Node::OptionEntry(node) => self.item(&node.trivia, |todo| {
                todo.nodes.push(Node::Ident(&node.name));
                todo.nodes.push(Node::Expr(&node.value));
            }),
            Node::SortItem(node) => {
                self.nodes.push(Node::Expr(&node.value));
                self.each(&node.name, Node::Ident);
            }
            Node::FnParam(node) => {
                self.nodes.push(Node::Ident(&node.name));
                self.each(&node.ty, Node::Type);
                self.each(&node.default, Node::Expr);
            }
            Node::Expr(node) => self.expr(&node.kind),
            Node::StructField(node) => self.item(&node.trivia, |todo| {
                todo.nodes.push(Node::Ident(&node.name));
                todo.each(&node.value, Node::Expr);
            }),
            Node::Type(node) => self.type_expr(&node.kind),
            Node::TypeField(node) => self.item(&node.trivia, |todo| {
                todo.nodes.push(Node::Ident(&node.name));
                todo.nodes.push(Node::Type(&node.ty));
            }),
            Node::Step(node) => self.item(&node.trivia, |todo| todo.step(&node.kind)),
            Node::Rows(node) => {
                self.each(&node.rows, Node::Row);
                self.each(&node.end, Node::Comment);
            }
            Node::Row(node) => self.item(&node.trivia, |todo| todo.struct_expr(&node.cells)),
            Node::Ident(_) | Node::Text(_) | Node::Comment(_) => {}
        }
    }

    fn item(&mut self, trivia: &'a Trivia, content: impl FnOnce(&mut Self)) {
        self.each(&trivia.above, Node::Comment);
        content(self);
        self.each(&trivia.behind, Node::Comment);
    }

    fn chain(&mut self, chain: &'a Chain) {
        self.nodes.push(Node::Ident(&chain.from));
        self.each(&chain.alias, Node::Ident);
        self.each(&chain.stages, Node::Stage);
    }

    fn statement(&mut self, kind: &'a StatementKind) {
        match kind {
            StatementKind::Pipeline { name, options } => {
                self.nodes.extend([Node::Ident(name), Node::Options(options)]);
            }
            StatementKind::Import { path } => self.nodes.push(Node::Text(path)),
            StatementKind::Param { name, ty, default } => {
                self.nodes.extend([Node::Ident(name), Node::Type(ty)]);
                self.each(default, Node::Expr);
            }
            StatementKind::Let { name, value } => self.nodes.extend([Node::Ident(name), Node::Expr(value)]),
            StatementKind::Fn { name, params, result, body } => {
                self.nodes.push(Node::Ident(name));
                self.each(params, Node::FnParam);
                self.each(result, Node::Type);
                self.nodes.push(Node::Expr(body));
            }
            StatementKind::Stage { name, params, stages } => {
                self.nodes.push(Node::Ident(name));
                self.each(params, Node::FnParam);
                self.each(stages, Node::Stage);
            }
            StatementKind::Type { name, ty } => self.nodes.extend([Node::Ident(name), Node::Type(ty)]),
            StatementKind::Source(input) | StatementKind::Table(input) => {
                self.nodes.extend([Node::Ident(&input.name), Node::Endpoint(&input.from)]);
            }
            StatementKind::Stream { name, chain } => self.nodes.extend([Node::Ident(name), Node::Chain(chain)]),
            StatementKind::Sink { chain, trivia, into } => {
                self.nodes.push(Node::Chain(chain));
                self.item(trivia, |todo| todo.nodes.push(Node::Endpoint(into)));
            }
            StatementKind::Test { name, steps, end } => {
                self.nodes.push(Node::Text(name));
                self.each(steps, Node::Step);
                self.each(end, Node::Comment);
            }
            StatementKind::Broken { name } => self.each(name, Node::Ident),
        }
    }

    fn clause(&mut self, kind: &'a ClauseKind) {
        match kind {
            ClauseKind::By(items) => self.each(items, Node::SortItem),
            ClauseKind::Using(names) => self.each(names, Node::Ident),
            ClauseKind::Per(values) => self.each(values, Node::Expr),
            ClauseKind::On(value)
            | ClauseKind::OnExpiry(value)
            | ClauseKind::Over(value)
            | ClauseKind::Running(Ttl::For(value))
            | ClauseKind::Within(value)
            | ClauseKind::Init(value)
            | ClauseKind::Step(value)
            | ClauseKind::Yield(value) => self.nodes.push(Node::Expr(value)),
            ClauseKind::Named(name) | ClauseKind::InitFrom(name) => self.nodes.push(Node::Ident(name)),
            ClauseKind::Late(fate) | ClauseKind::Bad(fate) | ClauseKind::Rejected(fate) | ClauseKind::Else(fate) => {
                let (Fate::To(name) | Fate::Word(name)) = fate;
                self.nodes.push(Node::Ident(name));
            }
            ClauseKind::Emit { mode, every } => {
                self.nodes.push(Node::Ident(mode));
                self.each(every, Node::Expr);
            }
            ClauseKind::With(options) => self.nodes.push(Node::Options(options)),
            ClauseKind::OnBatchTime | ClauseKind::PerBatch | ClauseKind::Running(_) => {}
        }
    }

    fn expr(&mut self, kind: &'a ExprKind) {
        match kind {
            ExprKind::Name(_) | ExprKind::Literal(_) | ExprKind::Broken => {}
            ExprKind::Interpolation(pieces) => {
                let values = pieces.iter().filter_map(|piece| match piece {
                    Piece::Value(value) => Some(value),
                    Piece::Text(_) => None,
                });
                self.each(values, Node::Expr);
            }
            ExprKind::List(items) | ExprKind::And(items) | ExprKind::Or(items) => self.each(items, Node::Expr),
            ExprKind::Struct(value) => self.struct_expr(value),
            ExprKind::Field(value, name) => self.nodes.extend([Node::Expr(value), Node::Ident(name)]),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Lambda(names, body) => {
                self.each(names, Node::Ident);
                self.nodes.push(Node::Expr(body));
            }
            ExprKind::Negate(value) | ExprKind::Not(value) | ExprKind::IsNull(value, _) | ExprKind::Try(value) => {
                self.nodes.push(Node::Expr(value));
            }
            ExprKind::Index(a, b) | ExprKind::Binary(a, _, b) | ExprKind::In(a, _, b) | ExprKind::Like(a, _, b) => {
                self.nodes.extend([Node::Expr(a), Node::Expr(b)])
            }
            ExprKind::Between(a, _, b, c) => self.nodes.extend([Node::Expr(a), Node::Expr(b), Node::Expr(c)]),
            ExprKind::Case(case) => self.case(case),
            ExprKind::Cast(value, ty) => self.nodes.extend([Node::Expr(value), Node::Type(ty)]),
        }
    }

    fn struct_expr(&mut self, value: &'a StructExpr) {
        self.each(&value.fields, Node::StructField);
        self.each(&value.end, Node::Comment);
    }

    fn call(&mut self, call: &'a Call) {
        self.nodes.push(Node::Ident(&call.name));
        self.each(&call.args, Node::Arg);
        self.each(&call.order_by, Node::SortItem);
        self.each(&call.filter, Node::Expr);
    }

    fn case(&mut self, case: &'a Case) {
        self.each(&case.operand, Node::Expr);
        for (condition, value) in &case.branches {
            self.nodes.extend([Node::Expr(condition), Node::Expr(value)]);
        }
        self.each(&case.otherwise, Node::Expr);
    }

    fn type_expr(&mut self, kind: &'a TypeKind) {
        match kind {
            TypeKind::Named { name, args } => {
                self.nodes.push(Node::Ident(name));
                for arg in args {
                    match arg {
                        TypeArg::Type(ty) => self.nodes.push(Node::Type(ty)),
                        TypeArg::Text(text) => self.nodes.push(Node::Text(text)),
                        TypeArg::Number { .. } => {}
                    }
                }
            }
            TypeKind::Struct { fields, end } => {
                self.each(fields, Node::TypeField);
                self.each(end, Node::Comment);
            }
        }
    }

    fn step(&mut self, kind: &'a StepKind) {
        match kind {
            StepKind::Given { input, rows } => self.nodes.extend([Node::Ident(input), Node::Rows(rows)]),
            StepKind::GivenFrom { input, path } => self.nodes.extend([Node::Ident(input), Node::Text(path)]),
            StepKind::Advance(by) => self.nodes.push(Node::Expr(by)),
            StepKind::AdvanceWatermark { of, to } => {
                self.each(of, Node::Ident);
                self.nodes.push(Node::Expr(to));
            }
            StepKind::Expect { of, rows, .. } => {
                self.nodes.push(Node::Ident(of));
                if let Expected::Exactly(rows) | Expected::Contains(rows) | Expected::InOrder(rows) = rows {
                    self.nodes.push(Node::Rows(rows));
                }
            }
            StepKind::ExpectCount { what, of, .. } => self.nodes.extend([Node::Ident(what), Node::Ident(of)]),
            StepKind::Step { .. } | StepKind::Restart | StepKind::Broken => {}
        }
    }
}
