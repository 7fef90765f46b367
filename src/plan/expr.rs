//! Typed expressions: what the checker makes of an expression, what operators hold and rules rewrite.
//! Names are resolved to positions, parameters and constants are put in, functions of the user are unfolded.

use std::fmt;
use std::sync::Arc;

use datafusion_common::ScalarValue;
use millstream_dsl::Span;
use millstream_dsl::ast::BinaryOp;

use crate::model::{Column, Slot, Type};
use crate::plan::catalog::{AggregateEntry, FunctionEntry};

/// An expression with its type.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedExpr {
    /// What it computes.
    pub node: Node,
    /// What comes out.
    pub slot: Slot,
    /// Whether it can fail for a row with nobody saying what happens then. `??` and `?` clear it; a stage that
    /// meets it set reports `unhandled-failure`. Overflow of checked arithmetic does not set it: that row
    /// always goes to the stage's bad output.
    pub fails: bool,
    /// Where it was written; for messages at run time as well.
    pub span: Span,
}

/// What an expression computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Its mistake has been reported. Never part of a plan that runs.
    Unknown,
    /// A column of the operator's input; a join's input is the left columns, then the right ones.
    Column {
        /// Position in the input.
        index: usize,
        /// Its name, for people.
        name: String,
    },
    /// A parameter of the lambda around it.
    LambdaVariable(String),
    /// A constant.
    Literal(ScalarValue),
    /// `-x`
    Negate(Box<TypedExpr>),
    /// `not x`
    Not(Box<TypedExpr>),
    /// Arithmetic, comparison (not `??`). The operands have one type, brought about by casts.
    Binary(Box<TypedExpr>, BinaryOp, Box<TypedExpr>),
    /// `a ?? b`: b where a is null or fails.
    Coalesce(Box<TypedExpr>, Box<TypedExpr>),
    /// `x?`: where x fails the row goes to the bad output.
    Try(Box<TypedExpr>),
    /// All of them, by three-valued logic.
    And(Vec<TypedExpr>),
    /// Any of them, by three-valued logic.
    Or(Vec<TypedExpr>),
    /// Whether the list on the right holds the value on the left.
    In(Box<TypedExpr>, Box<TypedExpr>),
    /// SQL's pattern match.
    Like(Box<TypedExpr>, Box<TypedExpr>),
    /// Never null itself.
    IsNull(Box<TypedExpr>),
    /// The value of the first branch whose condition is true.
    Case {
        /// Condition and value.
        branches: Vec<(TypedExpr, TypedExpr)>,
        /// Otherwise; null where none.
        otherwise: Option<Box<TypedExpr>>,
    },
    /// A cast that was written, or one that the checker put in (those never fail).
    Cast(Box<TypedExpr>),
    /// A field of a struct.
    Field(Box<TypedExpr>, String),
    /// An element of a list (from 0), the value of a map's key, or a path into json; null where there is none.
    Index(Box<TypedExpr>, Box<TypedExpr>),
    /// A list of elements of one type.
    List(Vec<TypedExpr>),
    /// A struct.
    Struct(Vec<(String, TypedExpr)>),
    /// A function of the catalog.
    Call {
        /// Which.
        function: Arc<FunctionEntry>,
        /// Its arguments, already of the types it takes.
        args: Vec<TypedExpr>,
    },
    /// Only as an argument of a function that takes one.
    Lambda {
        /// Its parameters.
        parameters: Vec<Column>,
        /// What it computes of them and the row.
        body: Box<TypedExpr>,
    },
}

/// One aggregate of an `aggregate` stage.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// Which.
    pub function: Arc<AggregateEntry>,
    /// Over the stage's input columns.
    pub args: Vec<TypedExpr>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// Only rows for which this is true.
    pub filter: Option<TypedExpr>,
    /// For aggregates that depend on order.
    pub order_by: Vec<SortKey>,
    /// What comes out.
    pub slot: Slot,
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq)]
pub struct SortKey {
    /// What is compared.
    pub value: TypedExpr,
    /// Large first.
    pub descending: bool,
    /// Nulls before everything else.
    pub nulls_first: bool,
}

impl TypedExpr {
    /// An expression that cannot fail.
    pub fn new(node: Node, slot: Slot, span: Span) -> Self {
        TypedExpr { node, slot, fails: false, span }
    }

    /// What stands for an expression whose mistake has been reported.
    pub fn unknown(span: Span) -> Self {
        TypedExpr::new(Node::Unknown, Slot::unknown(), span)
    }

    /// A column of the input.
    pub fn column(index: usize, column: &Column, span: Span) -> Self {
        TypedExpr::new(Node::Column { index, name: column.name.clone() }, column.slot.clone(), span)
    }

    /// A constant; its type follows from the value.
    pub fn literal(value: ScalarValue, span: Span) -> Self {
        let ty = Type::from_arrow(&value.data_type()).unwrap_or(Type::Unknown);
        let nullable = value.is_null();
        TypedExpr::new(Node::Literal(value), Slot { ty, nullable }, span)
    }

    /// Whether its mistake has been reported.
    pub fn is_unknown(&self) -> bool {
        self.slot.ty.is_unknown()
    }

    /// Direct operands, in order.
    pub fn children(&self) -> Vec<&TypedExpr> {
        match &self.node {
            Node::Unknown | Node::Column { .. } | Node::LambdaVariable(_) | Node::Literal(_) => Vec::new(),
            Node::Negate(e) | Node::Not(e) | Node::Try(e) | Node::IsNull(e) | Node::Cast(e) | Node::Field(e, _) => {
                vec![e]
            }
            Node::Binary(a, _, b) | Node::Coalesce(a, b) | Node::In(a, b) | Node::Like(a, b) | Node::Index(a, b) => {
                vec![a, b]
            }
            Node::And(all) | Node::Or(all) | Node::List(all) => all.iter().collect(),
            Node::Struct(fields) => fields.iter().map(|(_, e)| e).collect(),
            Node::Case { branches, otherwise } => {
                let pairs = branches.iter().flat_map(|(when, then)| [when, then]);
                pairs.chain(otherwise.as_deref()).collect()
            }
            Node::Call { args, .. } => args.iter().collect(),
            Node::Lambda { body, .. } => vec![body],
        }
    }

    /// Calls `f` on this and everything below.
    pub fn visit(&self, f: &mut impl FnMut(&TypedExpr)) {
        f(self);
        for child in self.children() {
            child.visit(f);
        }
    }

    /// The same with everything below and then itself replaced by what `f` makes of it.
    #[must_use]
    pub fn rebuilt(&self, f: &mut dyn FnMut(TypedExpr) -> TypedExpr) -> TypedExpr {
        let mut one = |e: &TypedExpr| e.rebuilt(&mut *f);
        let mut boxed = |e: &TypedExpr| Box::new(one(e));
        let node = match &self.node {
            Node::Unknown | Node::Column { .. } | Node::LambdaVariable(_) | Node::Literal(_) => self.node.clone(),
            Node::Negate(e) => Node::Negate(boxed(e)),
            Node::Not(e) => Node::Not(boxed(e)),
            Node::Try(e) => Node::Try(boxed(e)),
            Node::IsNull(e) => Node::IsNull(boxed(e)),
            Node::Cast(e) => Node::Cast(boxed(e)),
            Node::Field(e, name) => Node::Field(boxed(e), name.clone()),
            Node::Binary(a, op, b) => Node::Binary(boxed(a), *op, boxed(b)),
            Node::Coalesce(a, b) => Node::Coalesce(boxed(a), boxed(b)),
            Node::In(a, b) => Node::In(boxed(a), boxed(b)),
            Node::Like(a, b) => Node::Like(boxed(a), boxed(b)),
            Node::Index(a, b) => Node::Index(boxed(a), boxed(b)),
            Node::And(all) => Node::And(all.iter().map(one).collect()),
            Node::Or(all) => Node::Or(all.iter().map(one).collect()),
            Node::List(all) => Node::List(all.iter().map(one).collect()),
            Node::Struct(fields) => Node::Struct(fields.iter().map(|(name, e)| (name.clone(), one(e))).collect()),
            Node::Case { branches, otherwise } => Node::Case {
                branches: branches.iter().map(|(when, then)| (one(when), one(then))).collect(),
                otherwise: otherwise.as_deref().map(|e| Box::new(one(e))),
            },
            Node::Call { function, args } => {
                Node::Call { function: function.clone(), args: args.iter().map(one).collect() }
            }
            Node::Lambda { parameters, body } => Node::Lambda { parameters: parameters.clone(), body: boxed(body) },
        };
        f(TypedExpr { node, ..self.clone() })
    }

    /// Positions of the input columns it reads, ascending, each once.
    pub fn columns(&self) -> Vec<usize> {
        let mut found = Vec::new();
        self.visit(&mut |e| {
            if let Node::Column { index, .. } = e.node {
                found.push(index);
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl fmt::Display for TypedExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Node::Unknown => f.write_str("?"),
            Node::Column { name, .. } | Node::LambdaVariable(name) => f.write_str(name),
            Node::Literal(ScalarValue::Utf8(Some(s))) => write!(f, "{s:?}"),
            Node::Literal(ScalarValue::DurationMicrosecond(Some(micros))) => {
                f.write_str(&crate::model::time::show_duration(*micros))
            }
            Node::Literal(value) => write!(f, "{value}"),
            Node::Negate(e) => write!(f, "-{e}"),
            Node::Not(e) => write!(f, "not {e}"),
            Node::Binary(a, op, b) => write!(f, "({a} {} {b})", op.word()),
            Node::Coalesce(a, b) => write!(f, "({a} ?? {b})"),
            Node::Try(e) => write!(f, "{e}?"),
            Node::And(all) => joined(f, "(", all, " and ", ")"),
            Node::Or(all) => joined(f, "(", all, " or ", ")"),
            Node::In(a, b) => write!(f, "({a} in {b})"),
            Node::Like(a, b) => write!(f, "({a} like {b})"),
            Node::IsNull(e) => write!(f, "({e} is null)"),
            Node::Case { branches, otherwise } => {
                f.write_str("case")?;
                for (when, then) in branches {
                    write!(f, " when {when} then {then}")?;
                }
                if let Some(otherwise) = otherwise {
                    write!(f, " else {otherwise}")?;
                }
                f.write_str(" end")
            }
            Node::Cast(e) => write!(f, "{e}::{}", self.slot.ty),
            Node::Field(e, name) => write!(f, "{e}.{name}"),
            Node::Index(a, b) => write!(f, "{a}[{b}]"),
            Node::List(all) => joined(f, "[", all, ", ", "]"),
            Node::Struct(fields) => {
                f.write_str("{ ")?;
                for (i, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str(" }")
            }
            Node::Call { function, args } => {
                f.write_str(&function.doc.name)?;
                joined(f, "(", args, ", ", ")")
            }
            Node::Lambda { parameters, body } => {
                let names: Vec<_> = parameters.iter().map(|p| p.name.as_str()).collect();
                write!(f, "({}) -> {body}", names.join(", "))
            }
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, open: &str, all: &[TypedExpr], between: &str, close: &str) -> fmt::Result {
    f.write_str(open)?;
    for (i, e) in all.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        write!(f, "{e}")?;
    }
    f.write_str(close)
}
