//! What a stage's `plan` function can ask of the checker, and what it gives back. The stages know this trait;
//! the checker implements it; neither knows the other.

use std::path::PathBuf;

use millstream_dsl::ast;
use millstream_dsl::{Diagnostic, Span};

use crate::model::{Schema, Slot};
use crate::plan::catalog::FormatCall;
use crate::plan::edge::Edge;
use crate::plan::expr::{AggregateCall, SortKey, TypedExpr};
use crate::plan::operator::Operator;
use crate::plan::seams::Window;

/// The names an expression may use.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Each input with the name it is qualified by (`from orders as o`: `o`), in order; columns are numbered through.
    pub inputs: Vec<(Option<String>, Edge)>,
    /// The record `state.` stands for inside `fold`.
    pub state: Option<Schema>,
    /// What to call the stage in messages: "`where`".
    pub place: String,
}

/// An aggregate stage's output column: an expression over group keys and aggregates.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateColumn {
    /// The name it gets.
    pub name: String,
    /// Columns of its input are: the group keys in order, then the calls in order.
    pub value: TypedExpr,
}

/// The checker, as a stage sees it. Every method that can find a mistake reports it itself and gives back
/// something that makes no second one.
pub trait StageContext {
    /// What comes in from the left.
    fn input(&self) -> &Edge;

    /// The name the input is qualified by: its alias, else the stream the chain started from.
    fn input_name(&self) -> Option<&str>;

    /// Another stream or table by name; it becomes this stage's next input. None where there is none (reported).
    fn other(&mut self, name: &ast::Ident, kind: Other) -> Option<Edge>;

    /// Whether that name is a table: reference data that has no batches of its own. False where it is unknown.
    fn is_table(&self, name: &ast::Ident) -> bool;

    /// The stage that turned the rows that come in from the left into changes; none where they are final.
    fn changes_from(&self) -> Option<Span>;

    /// Keeps a mistake.
    fn report(&mut self, problem: Diagnostic);

    /// Types an expression. Failing parts that nobody handles are reported.
    fn expr(&mut self, expr: &ast::Expr, scope: &Scope) -> TypedExpr;

    /// Types an expression that must be a condition.
    fn condition(&mut self, expr: &ast::Expr, scope: &Scope) -> TypedExpr;

    /// Types an expression and casts it to `ty` where that cannot fail; else reports `type-mismatch`.
    fn expr_as(&mut self, expr: &ast::Expr, scope: &Scope, ty: &Slot) -> TypedExpr;

    /// Types an expression over aggregates: the calls found are appended to `calls`; columns of the result are
    /// the `keys` (by their names), then the calls.
    fn aggregate(
        &mut self,
        expr: &ast::Expr,
        scope: &Scope,
        keys: &Schema,
        calls: &mut Vec<AggregateCall>,
    ) -> TypedExpr;

    /// Types `by` items as an order.
    fn order(&mut self, items: &[ast::SortItem], scope: &Scope) -> Vec<SortKey>;

    /// Reads `sliding(60s, every 10s)`. Lengths are checked against the batch interval where `batch_time`.
    fn window(&mut self, expr: &ast::Expr, batch_time: bool) -> Option<Window>;

    /// A constant duration in microseconds, above zero.
    fn duration(&mut self, expr: &ast::Expr) -> Option<i64>;

    /// A constant whole number, at least `min`.
    fn whole_number(&mut self, expr: &ast::Expr, min: i64) -> Option<i64>;

    /// A constant number, e.g. a fraction.
    fn number(&mut self, expr: &ast::Expr) -> Option<f64>;

    /// A constant string.
    fn text(&mut self, expr: &ast::Expr) -> Option<String>;

    /// A bare column name of the input: its position.
    fn column(&mut self, expr: &ast::Expr, scope: &Scope) -> Option<usize>;

    /// The name a column gets that has no `as`: a column's own, a field's own; else `unnamed-column` is reported.
    fn column_name(&mut self, arg: &ast::Arg) -> String;

    /// A type as written.
    fn type_of(&mut self, ty: &ast::TypeExpr) -> Slot;

    /// The batch interval in microseconds; zero for as soon as possible.
    fn interval(&self) -> i64;

    /// A format by its word, without options, for rows of these schemas; columns that it cannot hold are reported.
    fn format(&mut self, word: &str, rows: [&Schema; 2], at: Span) -> Option<FormatCall>;

    /// Where relative paths start that are written there: the folder of the file.
    fn base(&self, at: Span) -> PathBuf;
}

/// What a further input may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    /// A stream or source only (`union`).
    Stream,
    /// A stream, source or table (`join`); [`StageContext::is_table`] says which.
    StreamOrTable,
    /// A table only (`init from`).
    Table,
}

/// Where rows leave an operator beside the straight way.
#[derive(Debug, Clone, PartialEq)]
pub struct SideOutput {
    /// Which rows.
    pub port: Port,
    /// What they look like.
    pub edge: Edge,
    /// `late to x`: the stream it defines. None: counted, or dropped where the text says so.
    pub name: Option<ast::Ident>,
}

/// An operator's outputs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    /// The straight way.
    Out,
    /// Came after its windows had closed.
    Late,
    /// An expression failed for it.
    Bad,
    /// The sink refused it.
    Rejected,
    /// The n-th branch of a `split`; its `else` is the last.
    Branch(usize),
}

/// What a stage became.
#[derive(Debug)]
pub struct Planned {
    /// What runs.
    pub operator: Box<dyn Operator>,
    /// What comes out.
    pub out: Edge,
    /// The qualifier of what comes out: none after select, aggregate and fold.
    pub keeps_qualifiers: bool,
    /// Further outputs. `bad` is the checker's own: it adds it to every stage that has something that can fail, unless
    /// the stage says here what its bad rows look like.
    pub sides: Vec<SideOutput>,
    /// Whether the stage can meet late rows, so that `late to` makes sense and its absence warns.
    pub can_be_late: bool,
    /// Where to point when the state is meant.
    pub span: Span,
}
