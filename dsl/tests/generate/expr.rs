//! Random expressions and types.

use std::collections::BTreeSet;

use millstream_dsl::ast::{
    Arg, At, BinaryOp, Call, Case, Direction, Expr, ExprKind, Ident, Literal, Negation, Nulls, Piece, SortItem,
    StructExpr, StructField, TypeArg, TypeExpr, TypeField, TypeKind, TypedWord, Unit,
};

use super::Dice;

impl Dice<'_> {
    /// An expression that is a value of its own.
    pub(super) fn value(&mut self, depth: usize) -> Expr {
        let kind = match if depth == 0 { 4 } else { self.below(8) } {
            0 => ExprKind::Struct(self.struct_expr(depth - 1)),
            1 => ExprKind::List(self.several(0, 3, |dice, _| dice.value(depth - 1))),
            _ => return self.in_text(|dice| dice.expr(depth)),
        };
        Expr { kind, at: At::default() }
    }

    pub(super) fn expr(&mut self, depth: usize) -> Expr {
        let kind = if depth == 0 { self.leaf() } else { self.inner(depth - 1) };
        Expr { kind, at: At::default() }
    }

    fn boxed(&mut self, depth: usize) -> Box<Expr> {
        Box::new(self.expr(depth))
    }

    fn leaf(&mut self) -> ExprKind {
        match self.below(3) {
            0 => ExprKind::Name(self.ident().name),
            _ => ExprKind::Literal(self.literal()),
        }
    }

    fn literal(&mut self) -> Literal {
        match self.below(9) {
            0 => Literal::Integer(self.pick(&["0", "7", "42"]).to_owned()),
            1 => Literal::String(self.string()),
            2 => Literal::Decimal(self.pick(&["10.00", "0.5"]).to_owned()),
            3 => Literal::Float(self.pick(&["1e1", "2.5e-3"]).to_owned()),
            4 => Literal::Raw(self.pick(&["\\d+", "", "a\"b", "a\"#b\"", "it's: # x"]).to_owned()),
            5 => Literal::Quantity { number: self.pick(&["10", "1.5"]).to_owned(), unit: self.unit() },
            6 => Literal::Typed { word: self.typed_word(), text: self.string() },
            7 => Literal::Bool(self.one_in(2)),
            _ => Literal::Null,
        }
    }

    fn unit(&mut self) -> Unit {
        self.pick(&Unit::SPELLINGS).1
    }

    fn typed_word(&mut self) -> TypedWord {
        self.pick(&TypedWord::ALL).0
    }

    fn negation(&mut self) -> Negation {
        self.pick(&[Negation::Plain, Negation::Not])
    }

    fn inner(&mut self, depth: usize) -> ExprKind {
        match self.below(22) {
            0 => self.leaf(),
            1..=3 => ExprKind::Binary(self.boxed(depth), self.pick(&BinaryOp::ALL).0, self.boxed(depth)),
            4 => ExprKind::And(self.operands(depth, |kind| matches!(kind, ExprKind::And(_)))),
            5 => ExprKind::Or(self.operands(depth, |kind| matches!(kind, ExprKind::Or(_)))),
            6 => ExprKind::Not(self.boxed(depth)),
            7 => ExprKind::Negate(self.boxed(depth)),
            8 => ExprKind::Field(self.boxed(depth), self.ident()),
            9 => ExprKind::Index(self.boxed(depth), self.boxed(depth)),
            10 => ExprKind::Try(self.boxed(depth)),
            11 => ExprKind::Cast(self.boxed(depth), self.type_expr(depth.min(2))),
            12 | 13 => ExprKind::Call(Box::new(self.call(depth))),
            14 => ExprKind::Lambda(self.several(0, 2, |dice, _| dice.ident()), self.boxed(depth)),
            15 => ExprKind::In(self.boxed(depth), self.negation(), self.boxed(depth)),
            16 => ExprKind::Between(self.boxed(depth), self.negation(), self.boxed(depth), self.boxed(depth)),
            17 => ExprKind::Like(self.boxed(depth), self.negation(), self.boxed(depth)),
            18 => ExprKind::IsNull(self.boxed(depth), self.negation()),
            19 => ExprKind::Case(Box::new(self.case(depth))),
            20 => ExprKind::Interpolation(self.in_string(|dice| dice.pieces(depth))),
            _ if self.one_in(2) => ExprKind::List(self.several(0, 3, |dice, _| dice.expr(depth))),
            _ => ExprKind::Struct(self.struct_expr(depth)),
        }
    }

    fn operands(&mut self, depth: usize, same: fn(&ExprKind) -> bool) -> Vec<Expr> {
        self.several(2, 4, |dice, _| {
            let operand = dice.expr(depth);
            if same(&operand.kind) {
                Expr { kind: ExprKind::Not(Box::new(operand)), at: At::default() }
            } else {
                operand
            }
        })
    }

    fn pieces(&mut self, depth: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for _ in 0..1 + self.below(2) {
            let text = self.string();
            if !text.is_empty() {
                pieces.push(Piece::Text(text));
            }
            pieces.push(Piece::Value(self.expr(depth)));
        }
        let text = self.string();
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces
    }

    pub(super) fn struct_expr(&mut self, depth: usize) -> StructExpr {
        let mut taken = BTreeSet::new();
        let fields = self.several(0, 3, |dice, index| {
            let trivia = dice.trivia(index == 0);
            let name = dice.key(&mut taken);
            let value = if dice.one_in(4) { None } else { Some(dice.value(depth)) };
            StructField { trivia, name, value }
        });
        let end = self.end(fields.len());
        StructExpr { fields, end }
    }

    pub(super) fn call_args(&mut self, depth: usize) -> Vec<Arg> {
        self.several(0, 3, |dice, _| {
            let names: Vec<Ident> = dice.maybe(Dice::ident).into_iter().collect();
            Arg { names, value: dice.in_text(|dice| dice.expr(depth)) }
        })
    }

    pub(super) fn call_expr(&mut self, depth: usize) -> Expr {
        Expr { kind: ExprKind::Call(Box::new(self.call(depth))), at: At::default() }
    }

    fn call(&mut self, depth: usize) -> Call {
        let name = self.ident();
        let args = self.call_args(depth);
        let distinct = !args.is_empty() && self.one_in(5);
        let order_by = if !args.is_empty() && self.one_in(6) {
            self.several(1, 2, |dice, _| dice.sort_item(depth))
        } else {
            Vec::new()
        };
        let filter = if self.one_in(6) { Some(self.expr(depth)) } else { None };
        Call { name, distinct, args, order_by, filter }
    }

    pub(super) fn sort_item(&mut self, depth: usize) -> SortItem {
        SortItem {
            value: self.expr(depth),
            name: self.maybe(Dice::ident),
            direction: self.maybe(|dice| dice.pick(&[Direction::Ascending, Direction::Descending])),
            nulls: self.maybe(|dice| dice.pick(&[Nulls::First, Nulls::Last])),
        }
    }

    fn case(&mut self, depth: usize) -> Case {
        Case {
            operand: self.maybe(|dice| dice.expr(depth)),
            branches: self.several(1, 2, |dice, _| (dice.expr(depth), dice.expr(depth))),
            otherwise: self.maybe(|dice| dice.expr(depth)),
        }
    }

    pub(super) fn type_expr(&mut self, depth: usize) -> TypeExpr {
        let nullable = self.one_in(4);
        let kind = if depth > 0 && self.one_in(3) {
            let mut taken = BTreeSet::new();
            let quiet = nullable;
            let field = |dice: &mut Self, index: usize| {
                let trivia = dice.trivia(index == 0);
                let name = dice.key(&mut taken);
                TypeField { trivia, name, ty: dice.type_expr(depth - 1) }
            };
            let struct_type = |dice: &mut Self| {
                let fields = dice.several(0, 3, field);
                let end = dice.end(fields.len());
                TypeKind::Struct { fields, end }
            };
            if quiet { self.in_text(struct_type) } else { struct_type(self) }
        } else {
            let args = if depth > 0 && self.one_in(3) {
                self.several(0, 2, |dice, _| dice.in_text(|dice| dice.type_arg(depth - 1)))
            } else {
                Vec::new()
            };
            TypeKind::Named { name: self.ident(), args }
        };
        TypeExpr { kind, nullable, at: At::default() }
    }

    fn type_arg(&mut self, depth: usize) -> TypeArg {
        match self.below(3) {
            0 => TypeArg::Number { value: self.below(200) as u64, at: At::default() },
            1 => TypeArg::Text(self.text()),
            _ => TypeArg::Type(self.type_expr(depth)),
        }
    }
}
