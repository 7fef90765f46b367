//! The syntax tree that both front ends build and both printers write.
//!
//! The syntax is closed and the vocabulary open: the tree knows statements, stages, clauses and expressions,
//! but a stage, source, sink, format, window or function is only a name here. Two trees are equal when they say
//! the same, wherever they stand ([`At`]); comments are part of what they say.
//!
//! What could not be read stays in the tree as a hole ([`StatementKind::Broken`], [`Stage::broken`],
//! [`ExprKind::Broken`]), so that the rest of the file can still be checked; a hole has always been reported.

use std::ops::Deref;

use crate::span::Span;

/// Where a node stands. Always equal to any other, so that trees compare by meaning.
#[derive(Debug, Clone, Copy, Default, Eq)]
pub struct At(pub Span);

impl PartialEq for At {
    fn eq(&self, _: &At) -> bool {
        true
    }
}

impl Deref for At {
    type Target = Span;
    fn deref(&self) -> &Span {
        &self.0
    }
}

impl From<Span> for At {
    fn from(span: Span) -> Self {
        At(span)
    }
}

/// One file, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct File {
    /// In the order of the text.
    pub statements: Vec<Statement>,
    /// Comments after the last statement.
    pub end: Vec<Comment>,
}

/// A comment, from after `#` to the end of its line, without trailing white space and without the control characters
/// and marks that nobody sees and YAML refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The text after `#`, its leading space included.
    pub text: String,
    /// Whether an empty line stands above it (several count as one).
    pub gap: bool,
    /// Where it stands, `#` included.
    pub at: At,
}

impl Comment {
    /// The comment that stands behind `#` as `written`.
    pub fn new(written: &str, gap: bool, at: At) -> Self {
        let shown: String = written.chars().filter(|c| *c == '\t' || !c.is_control() && *c != '\u{FEFF}').collect();
        Comment { text: shown.trim_end().to_owned(), gap, at }
    }
}

/// What the layout keeps of the text around an item. Items are: statements, stages, clauses of a statement's
/// or stage's own line are not; options, fields, rows and test steps are. A comment inside an item's
/// expression moves above the item.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trivia {
    /// Whether an empty line stands above the item, below the comments that belong to it.
    pub gap: bool,
    /// Comments on lines of their own above the item.
    pub above: Vec<Comment>,
    /// A comment behind the item on its last line.
    pub behind: Option<Comment>,
}

/// A name with its place. Written in backticks where it is a reserved word or no plain word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ident {
    /// The name itself, without backticks.
    pub name: String,
    /// Where it stands, backticks included.
    pub at: At,
}

/// A top-level statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Comments and empty lines around it.
    pub trivia: Trivia,
    /// What it says.
    pub kind: StatementKind,
    /// From its first word to its last character.
    pub at: At,
}

/// The kinds of statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementKind {
    /// `pipeline revenue { every: 10s }`
    Pipeline {
        /// The pipeline's name.
        name: Ident,
        /// Its settings.
        options: Options,
    },
    /// `import "common.stream"`
    Import {
        /// The path, relative to the importing file.
        path: Text,
    },
    /// `param threshold: decimal(12, 2) = 100.00`
    Param {
        /// The parameter's name.
        name: Ident,
        /// Its declared type.
        ty: TypeExpr,
        /// What it is when nobody sets it; none: it must be set.
        default: Option<Expr>,
    },
    /// `let vip_tiers = ["gold", "platinum"]`
    Let {
        /// The constant's name.
        name: Ident,
        /// Its value.
        value: Expr,
    },
    /// `fn gross(net: decimal(12, 2), rate: float64): float64 = net::float64 * (1.0 + rate)`
    Fn {
        /// The function's name.
        name: Ident,
        /// Its typed parameters.
        params: Vec<FnParam>,
        /// The declared result; inferred where it is not written.
        result: Option<TypeExpr>,
        /// What it computes.
        body: Expr,
    },
    /// `stage per_user(window: duration) = |> where ... |> aggregate ...`
    Stage {
        /// The stage's name.
        name: Ident,
        /// Its parameters: values with a type, or columns and streams without.
        params: Vec<FnParam>,
        /// What a call stands for.
        stages: Vec<Stage>,
    },
    /// `type Order = { order_id: string, amount: decimal(12, 2) }`
    Type {
        /// The type's name.
        name: Ident,
        /// What it stands for.
        ty: TypeExpr,
    },
    /// `source orders = files("orders/*.json") { format: json } bad to orders_bad`
    Source(Input),
    /// `table users = files("users.csv") { format: csv }`
    Table(Input),
    /// `stream clean = from orders |> where amount > 0`
    Stream {
        /// The stream's name.
        name: Ident,
        /// How it is computed.
        chain: Chain,
    },
    /// `from clean |> into console`
    Sink {
        /// What is written; stages may stand before `into`.
        chain: Chain,
        /// Comments around the `into` line.
        trivia: Trivia,
        /// The sink and its arguments.
        into: Endpoint,
    },
    /// `test "late rows" { ... }`
    Test {
        /// What the test is called.
        name: Text,
        /// Its steps, in order.
        steps: Vec<Step>,
        /// Comments before the closing brace.
        end: Vec<Comment>,
    },
    /// A statement that could not be read.
    Broken {
        /// The name it would have defined, where that could be made out.
        name: Option<Ident>,
    },
}

/// A source or a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The name it defines.
    pub name: Ident,
    /// Where its rows come from.
    pub from: Endpoint,
}

/// A call of a source or sink: `files("out") { format: json } rejected to refused`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The source's or sink's word.
    pub name: Ident,
    /// What stands in parentheses; none where there are no parentheses or nothing in them.
    pub args: Vec<Arg>,
    /// What stands in braces.
    pub options: Options,
    /// `bad to x`, `rejected to x`.
    pub clauses: Vec<Clause>,
    /// From the word to the last clause.
    pub at: At,
}

/// `{ name: value, ... }`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// In the order of the text.
    pub entries: Vec<OptionEntry>,
    /// Comments before the closing brace.
    pub end: Vec<Comment>,
    /// The braces and what is between; where they would stand, empty, if there are none.
    pub at: At,
}

/// One `name: value` of [`Options`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionEntry {
    /// Comments around it.
    pub trivia: Trivia,
    /// The option's name; dots are part of it (`kafka.acks`).
    pub name: Ident,
    /// Its value: an expression, a symbol of the option (`json`), or a type, told apart by the catalog.
    pub value: Expr,
}

/// `from orders as o |> where ... |> ...`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The stream, source or table it starts from.
    pub from: Ident,
    /// `as o`.
    pub alias: Option<Ident>,
    /// What is done, in order.
    pub stages: Vec<Stage>,
    /// From `from` to the last stage.
    pub at: At,
}

/// One link of a chain: a word, positional expressions, clauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Comments around it.
    pub trivia: Trivia,
    /// `left`, `anti` ... ; only before `join`.
    pub modifier: Option<JoinWord>,
    /// The stage's word.
    pub name: Ident,
    /// `amount * 2 as double, user_id`.
    pub args: Vec<Arg>,
    /// In the order of the text.
    pub clauses: Vec<Clause>,
    /// True where the text could not be read; nothing else in it is meaningful then.
    pub broken: bool,
    /// From its first word (not `|>`) to its last character.
    pub at: At,
}

/// The words that may stand before `join`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinWord {
    /// Every row of the left side.
    Left,
    /// Every row of the right side.
    Right,
    /// Every row of both.
    Full,
    /// Left rows with a partner, once.
    Semi,
    /// Left rows without a partner.
    Anti,
    /// Every pair.
    Cross,
}

impl JoinWord {
    /// All of them, with their spelling.
    pub const ALL: [(JoinWord, &'static str); 6] = [
        (JoinWord::Left, "left"),
        (JoinWord::Right, "right"),
        (JoinWord::Full, "full"),
        (JoinWord::Semi, "semi"),
        (JoinWord::Anti, "anti"),
        (JoinWord::Cross, "cross"),
    ];

    /// How it is written.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(w, _)| *w == self).map_or("", |(_, s)| s)
    }

    /// What `word` means, if it is one of them.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, s)| *s == word).map(|(w, _)| *w)
    }
}

/// A positional argument, possibly named. In a stage `x = expr` and `expr as x` are the same tree;
/// in a call a name is a label that stands before its value (`every 10s`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// The name; several for `as (key, value)`; none where it has none.
    pub names: Vec<Ident>,
    /// The value.
    pub value: Expr,
}

/// A clause of a stage, source or sink. The set is closed; which one a stage takes is the catalog's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// What it says.
    pub kind: ClauseKind,
    /// From its word to its last character.
    pub at: At,
}

/// The clauses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClauseKind {
    /// `by category, date_trunc("day", ts) as day`, `by amount desc nulls last`
    By(Vec<SortItem>),
    /// `using user_id, region`
    Using(Vec<Ident>),
    /// `on a.id == b.id and ...`
    On(Expr),
    /// `on batch time`
    OnBatchTime,
    /// `on expiry { user_id, best: state.best }`
    OnExpiry(Expr),
    /// `over sliding(60s, every 10s)`
    Over(Expr),
    /// `per batch`
    PerBatch,
    /// `per category`
    Per(Vec<Expr>),
    /// `running ttl 30d`
    Running(Ttl),
    /// `within 10m`
    Within(Expr),
    /// `named user_totals`
    Named(Ident),
    /// `late to x | late drop`
    Late(Fate),
    /// `bad to x | bad drop | bad null | bad fail`
    Bad(Fate),
    /// `rejected to x | rejected fail`
    Rejected(Fate),
    /// `else to rest | else drop`
    Else(Fate),
    /// `emit changes every 5s`
    Emit {
        /// `final`, `changes`, `all`; checked later.
        mode: Ident,
        /// How often.
        every: Option<Expr>,
    },
    /// `init { total: 0 }`
    Init(Expr),
    /// `init from seed`
    InitFrom(Ident),
    /// `step { total: state.total + amount }`
    Step(Expr),
    /// `yield { user_id, total: state.total }`
    Yield(Expr),
    /// `with { outer: true }`
    With(Options),
}

impl ClauseKind {
    /// The word (or words) the clause starts with: what messages and the catalog call it.
    pub fn word(&self) -> &'static str {
        match self {
            ClauseKind::By(_) => "by",
            ClauseKind::Using(_) => "using",
            ClauseKind::On(_) => "on",
            ClauseKind::OnBatchTime => "on batch time",
            ClauseKind::OnExpiry(_) => "on expiry",
            ClauseKind::Over(_) => "over",
            ClauseKind::PerBatch => "per batch",
            ClauseKind::Per(_) => "per",
            ClauseKind::Running(_) => "running",
            ClauseKind::Within(_) => "within",
            ClauseKind::Named(_) => "named",
            ClauseKind::Late(_) => "late",
            ClauseKind::Bad(_) => "bad",
            ClauseKind::Rejected(_) => "rejected",
            ClauseKind::Else(_) => "else",
            ClauseKind::Emit { .. } => "emit",
            ClauseKind::Init(_) => "init",
            ClauseKind::InitFrom(_) => "init from",
            ClauseKind::Step(_) => "step",
            ClauseKind::Yield(_) => "yield",
            ClauseKind::With(_) => "with",
        }
    }
}

/// How long `running` state lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ttl {
    /// `running`: not said, which the checker refuses.
    Missing,
    /// `running ttl forever`
    Forever,
    /// `running ttl 30d`
    For(Expr),
}

/// Where rows go that do not go the straight way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// `to x`: a stream of that name.
    To(Ident),
    /// `drop`, `null`, `fail`; which are allowed is checked later.
    Word(Ident),
}

/// An expression of a `by` clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortItem {
    /// What to group or sort by.
    pub value: Expr,
    /// `as day`.
    pub name: Option<Ident>,
    /// `asc` or `desc`, where written.
    pub direction: Option<Direction>,
    /// `nulls first` or `nulls last`, where written.
    pub nulls: Option<Nulls>,
}

/// Which way to sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Small first.
    Ascending,
    /// Large first.
    Descending,
}

/// Where nulls sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Before everything.
    First,
    /// After everything.
    Last,
}

/// A parameter of a function or stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FnParam {
    /// Its name.
    pub name: Ident,
    /// Its type; a stage's parameter without one is a column or an expression of the caller.
    pub ty: Option<TypeExpr>,
    /// Its default.
    pub default: Option<Expr>,
}

/// A type as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeExpr {
    /// What it is without its `?`.
    pub kind: TypeKind,
    /// Whether `?` follows.
    pub nullable: bool,
    /// All of it.
    pub at: At,
}

/// The forms of types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// `string`, `decimal(12, 2)`, `list(string)`, `map(string, int64)`, `timestamp("Europe/Berlin")`, `Order`
    Named {
        /// The type's word.
        name: Ident,
        /// What stands in parentheses.
        args: Vec<TypeArg>,
    },
    /// `{ user_id: string, tags: list(string) }`
    Struct {
        /// In the order of the text.
        fields: Vec<TypeField>,
        /// Comments before the closing brace.
        end: Vec<Comment>,
    },
}

/// An argument of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeArg {
    /// `decimal(12, 2)`
    Number {
        /// The number.
        value: u64,
        /// Where it stands.
        at: At,
    },
    /// `timestamp("Europe/Berlin")`
    Text(Text),
    /// `list(string)`
    Type(TypeExpr),
}

/// A field of a struct type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeField {
    /// Comments around it.
    pub trivia: Trivia,
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub ty: TypeExpr,
}

/// A string literal that is not an expression (an import's path, a test's name).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The value, escapes resolved.
    pub value: String,
    /// Where it stands, quotes included.
    pub at: At,
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// All of it; the parentheses around it, if any, included.
    pub at: At,
}

/// The kinds of expressions. Parentheses are not kept: the printer puts them where they are needed
/// and where they help (`and` inside `or`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExprKind {
    /// A column, a parameter, a constant, a stream, an option's symbol.
    Name(String),
    /// `10.00`, `"text"`, `10s`.
    Literal(Literal),
    /// `"order ${order_id} of ${user_id}"`
    Interpolation(Vec<Piece>),
    /// `[1, 2, 3]`
    List(Vec<Expr>),
    /// `{ user_id, total: state.total }`
    Struct(StructExpr),
    /// `users.country`, `state.best`
    Field(Box<Expr>, Ident),
    /// `tags[0]`, `attributes["color"]`
    Index(Box<Expr>, Box<Expr>),
    /// `sum(amount)`, `count(distinct user_id) filter (where amount > 0)`
    Call(Box<Call>),
    /// `x -> x * 2`, `(k, v) -> v`
    Lambda(Vec<Ident>, Box<Expr>),
    /// `-x`
    Negate(Box<Expr>),
    /// `not x`
    Not(Box<Expr>),
    /// `a + b`, `a == b`, `a ?? b`
    Binary(Box<Expr>, BinaryOp, Box<Expr>),
    /// `a and b and c`; two or more, none of them an `And` itself.
    And(Vec<Expr>),
    /// `a or b or c`; two or more, none of them an `Or` itself.
    Or(Vec<Expr>),
    /// `x in ["a", "b"]`; the second operand is any expression that gives a list.
    In(Box<Expr>, Negation, Box<Expr>),
    /// `x between a and b`
    Between(Box<Expr>, Negation, Box<Expr>, Box<Expr>),
    /// `x like "a%"`
    Like(Box<Expr>, Negation, Box<Expr>),
    /// `x is null`
    IsNull(Box<Expr>, Negation),
    /// `case when a then b else c end`, `case x when 1 then "one" end`
    Case(Box<Case>),
    /// `x::int64`; `cast(x as int64)` is the same tree.
    Cast(Box<Expr>, TypeExpr),
    /// `x?`: a row in which it fails goes to the stage's bad output.
    Try(Box<Expr>),
    /// Could not be read.
    Broken,
}

/// Whether `not` stands before `in`, `between`, `like` or `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negation {
    /// It does not.
    Plain,
    /// It does.
    Not,
}

/// A literal, as written where writing matters (`10.00` has two decimal places).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`
    Bool(bool),
    /// `42`: digits only, without leading zeros.
    Integer(String),
    /// `10.00`: digits with a point.
    Decimal(String),
    /// `1e1`, `2.5e-3`
    Float(String),
    /// `"text"`, escapes resolved.
    String(String),
    /// `r"\d+"`: a raw string.
    Raw(String),
    /// `10s`, `1.5h`, `64mb`
    Quantity {
        /// Digits, possibly with a point.
        number: String,
        /// The unit.
        unit: Unit,
    },
    /// `date "2026-01-01"`, `timestamp "..."`, `bytes "00ff"`; the text is read by the checker.
    Typed {
        /// The type's word.
        word: TypedWord,
        /// The text, escapes resolved.
        text: String,
    },
}

/// The words that may stand before a string to make a literal of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypedWord {
    /// `date "2026-01-31"`
    Date,
    /// `time "23:59:59.5"`
    Time,
    /// `timestamp "2026-01-31T23:59:59Z"`
    Timestamp,
    /// `decimal "12345678901234567890.12"`
    Decimal,
    /// `bytes "00ff"`: hexadecimal digits.
    Bytes,
    /// `json "{\"a\": 1}"`
    Json,
}

impl TypedWord {
    /// All of them, with their spelling.
    pub const ALL: [(TypedWord, &'static str); 6] = [
        (TypedWord::Date, "date"),
        (TypedWord::Time, "time"),
        (TypedWord::Timestamp, "timestamp"),
        (TypedWord::Decimal, "decimal"),
        (TypedWord::Bytes, "bytes"),
        (TypedWord::Json, "json"),
    ];

    /// How it is written.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(w, _)| *w == self).map_or("", |(_, s)| s)
    }

    /// What `word` means, if it is one of them.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, s)| *s == word).map(|(w, _)| *w)
    }
}

/// Units of time and size. `m` and `min` are the same unit; the printer writes `m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds.
    Micros,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
    /// Days of 24 hours.
    Days,
    /// Weeks of 7 days.
    Weeks,
    /// Calendar months; windows only.
    Months,
    /// Calendar years; windows only.
    Years,
    /// Bytes.
    Bytes,
    /// 1000 bytes.
    Kilobytes,
    /// 1000² bytes.
    Megabytes,
    /// 1000³ bytes.
    Gigabytes,
    /// 1024 bytes.
    Kibibytes,
    /// 1024² bytes.
    Mebibytes,
    /// 1024³ bytes.
    Gibibytes,
}

impl Unit {
    /// Every spelling; the first of a unit is the one the printer writes.
    pub const SPELLINGS: [(&'static str, Unit); 17] = [
        ("us", Unit::Micros),
        ("ms", Unit::Millis),
        ("s", Unit::Seconds),
        ("m", Unit::Minutes),
        ("min", Unit::Minutes),
        ("h", Unit::Hours),
        ("d", Unit::Days),
        ("w", Unit::Weeks),
        ("mo", Unit::Months),
        ("y", Unit::Years),
        ("b", Unit::Bytes),
        ("kb", Unit::Kilobytes),
        ("mb", Unit::Megabytes),
        ("gb", Unit::Gigabytes),
        ("kib", Unit::Kibibytes),
        ("mib", Unit::Mebibytes),
        ("gib", Unit::Gibibytes),
    ];

    /// How it is written.
    pub fn word(self) -> &'static str {
        Self::SPELLINGS.iter().find(|(_, u)| *u == self).map_or("", |(s, _)| s)
    }

    /// What `word` means, if it is a unit.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::SPELLINGS.iter().find(|(s, _)| *s == word).map(|(_, u)| *u)
    }

    /// Microseconds in one unit of time with a fixed length; none for sizes, months and years.
    pub fn micros(self) -> Option<i64> {
        Some(match self {
            Unit::Micros => 1,
            Unit::Millis => 1_000,
            Unit::Seconds => 1_000_000,
            Unit::Minutes => 60_000_000,
            Unit::Hours => 3_600_000_000,
            Unit::Days => 86_400_000_000,
            Unit::Weeks => 604_800_000_000,
            _ => return None,
        })
    }

    /// Bytes in one unit of size; none for times.
    pub fn bytes(self) -> Option<u64> {
        Some(match self {
            Unit::Bytes => 1,
            Unit::Kilobytes => 1_000,
            Unit::Megabytes => 1_000_000,
            Unit::Gigabytes => 1_000_000_000,
            Unit::Kibibytes => 1 << 10,
            Unit::Mebibytes => 1 << 20,
            Unit::Gibibytes => 1 << 30,
            _ => return None,
        })
    }
}

/// A part of an interpolated string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text, escapes resolved; never empty, never two in a row.
    Text(String),
    /// `${expr}`
    Value(Expr),
}

/// `{ user_id, total: state.total }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructExpr {
    /// In the order of the text.
    pub fields: Vec<StructField>,
    /// Comments before the closing brace.
    pub end: Vec<Comment>,
}

/// A field of a struct expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StructField {
    /// Comments around it.
    pub trivia: Trivia,
    /// Its name.
    pub name: Ident,
    /// Its value; none for `{ user_id }`, which means `user_id: user_id`.
    pub value: Option<Expr>,
}

/// A call of a function, aggregate or window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What is called.
    pub name: Ident,
    /// Whether `distinct` stands before the arguments.
    pub distinct: bool,
    /// The arguments; labelled ones as in `every 10s`.
    pub args: Vec<Arg>,
    /// `collect_list(x order by ts desc)`
    pub order_by: Vec<SortItem>,
    /// `filter (where amount > 0)`
    pub filter: Option<Expr>,
}

/// `case ... end`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What the branches are compared with; none where they are conditions.
    pub operand: Option<Expr>,
    /// One or more `when ... then ...`.
    pub branches: Vec<(Expr, Expr)>,
    /// `else ...`
    pub otherwise: Option<Expr>,
}

/// The binary operators that do not chain to more than two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOp {
    /// `??`
    Coalesce,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl BinaryOp {
    /// All of them, with their spelling.
    pub const ALL: [(BinaryOp, &'static str); 12] = [
        (BinaryOp::Coalesce, "??"),
        (BinaryOp::Multiply, "*"),
        (BinaryOp::Divide, "/"),
        (BinaryOp::Modulo, "%"),
        (BinaryOp::Add, "+"),
        (BinaryOp::Subtract, "-"),
        (BinaryOp::Equal, "=="),
        (BinaryOp::NotEqual, "!="),
        (BinaryOp::LessOrEqual, "<="),
        (BinaryOp::GreaterOrEqual, ">="),
        (BinaryOp::Less, "<"),
        (BinaryOp::Greater, ">"),
    ];

    /// How it is written.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(w, _)| *w == self).map_or("", |(_, s)| s)
    }

    /// What `word` means, if it is one of them.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, s)| *s == word).map(|(w, _)| *w)
    }

    /// Whether it compares, and so does not chain at all.
    pub fn compares(self) -> bool {
        use BinaryOp::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        matches!(self, Equal | NotEqual | Less | LessOrEqual | Greater | GreaterOrEqual)
    }
}

/// One line of a test block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Comments around it.
    pub trivia: Trivia,
    /// What it does.
    pub kind: StepKind,
    /// All of it.
    pub at: At,
}

/// What a test block can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// `given orders [ ... ]`
    Given {
        /// The source or table that gets rows.
        input: Ident,
        /// The rows.
        rows: Rows,
    },
    /// `given orders from "rows.json"`
    GivenFrom {
        /// The source or table that gets rows.
        input: Ident,
        /// The file, relative to the pipeline.
        path: Text,
    },
    /// `step`, `step 5`
    Step {
        /// How many batches; one where not said.
        count: Option<u64>,
    },
    /// `advance 10s`
    Advance(Expr),
    /// `advance watermark to "2026-01-01T12:01:05Z"`
    AdvanceWatermark {
        /// `of orders`: only that source's.
        of: Option<Ident>,
        /// To when.
        to: Expr,
    },
    /// `restart`
    Restart,
    /// `expect revenue [ ... ]`, `expect batch 3 of revenue contains [ ... ]`
    Expect {
        /// `batch 3 of`.
        batch: Option<u64>,
        /// The stream or side output.
        of: Ident,
        /// What it must have given.
        rows: Expected,
    },
    /// `expect count of late of revenue == 1`
    ExpectCount {
        /// `late`, `bad`, `rejected`, `filtered`, `in`, `out`; checked later.
        what: Ident,
        /// The stream whose stages are counted.
        of: Ident,
        /// How many.
        count: u64,
    },
    /// Could not be read.
    Broken,
}

/// What an `expect` demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// `[ ... ]`: these and no others, in any order.
    Exactly(Rows),
    /// `contains [ ... ]`: these among others.
    Contains(Rows),
    /// `in order [ ... ]`: these and no others, in this order.
    InOrder(Rows),
    /// `nothing`
    Nothing,
}

/// `[ { ... }, { ... } ]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// In the order of the text.
    pub rows: Vec<Row>,
    /// Comments before the closing bracket.
    pub end: Vec<Comment>,
    /// The brackets and what is between.
    pub at: At,
}

/// One row of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Comments around it.
    pub trivia: Trivia,
    /// Cells are converted to the column's type.
    pub cells: StructExpr,
    /// The braces and what is between.
    pub at: At,
}
