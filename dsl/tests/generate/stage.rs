//! Random chains, stages, clauses and endpoints.

use std::collections::BTreeSet;

use millstream_dsl::ast::{
    Arg, At, Chain, Clause, ClauseKind, Endpoint, ExprKind, Fate, Ident, JoinWord, OptionEntry, Options, Stage, Ttl,
};

use super::{Dice, ident};

/// How deep the expressions of a stage are.
const DEPTH: usize = 3;

impl Dice<'_> {
    pub(super) fn chain(&mut self, least: usize) -> Chain {
        Chain { from: self.ident(), alias: self.maybe(Dice::ident), stages: self.stages(least), at: At::default() }
    }

    pub(super) fn stages(&mut self, least: usize) -> Vec<Stage> {
        self.several(least, 3, |dice, index| dice.stage(index == 0))
    }

    fn stage(&mut self, first: bool) -> Stage {
        let trivia = self.trivia(first);
        let modifier = self.maybe(|dice| dice.pick(&JoinWord::ALL).0);
        let name = match modifier {
            Some(_) => ident(self.pick(&["join", "cogroup"])),
            None if self.one_in(2) => ident(self.pick(&["where", "extend", "explode", "aggregate", "split"])),
            // `as` is a key of its own beside a stage's.
            None => Some(self.ident()).filter(|name| name.name != "as").unwrap_or_else(|| ident("where")),
        };
        let args = self.stage_args();
        let mut clauses = self.clauses();
        let bare = ClauseKind::Running(Ttl::Missing);
        clauses.retain(|clause| first_word(&clause.kind) != name.name && !(args.is_empty() && clause.kind == bare));
        Stage { trivia, modifier, name, args, clauses, broken: false, at: At::default() }
    }

    fn stage_args(&mut self) -> Vec<Arg> {
        let named = self.one_in(2);
        self.several(0, 3, |dice, _| {
            let most = if named { 1 } else { 2 };
            let names: Vec<Ident> =
                if named || dice.one_in(3) { dice.several(1, most, |d, _| d.ident()) } else { Vec::new() };
            Arg { names, value: dice.in_text(|dice| dice.expr(DEPTH)) }
        })
    }

    /// No two of the same first word.
    fn clauses(&mut self) -> Vec<Clause> {
        let mut clauses = self.several(0, 3, |dice, _| Clause { kind: dice.clause(), at: At::default() });
        let mut words = BTreeSet::new();
        clauses.retain(|clause| words.insert(first_word(&clause.kind)));
        clauses
    }

    /// A struct that is a value of its own, or an expression in a text.
    fn struct_or_expr(&mut self) -> millstream_dsl::ast::Expr {
        if self.one_in(3) {
            return self.in_text(|dice| dice.expr(DEPTH));
        }
        millstream_dsl::ast::Expr { kind: ExprKind::Struct(self.struct_expr(2)), at: At::default() }
    }

    fn clause(&mut self) -> ClauseKind {
        match self.below(21) {
            0 => ClauseKind::By(self.in_text(|dice| dice.several(1, 2, |d, _| d.sort_item(2)))),
            1 => ClauseKind::Using(self.several(1, 2, |dice, _| dice.ident())),
            2 => ClauseKind::On(self.in_text(|dice| dice.expr(DEPTH))),
            3 => ClauseKind::OnBatchTime,
            4 => ClauseKind::OnExpiry(match self.struct_or_expr() {
                // `on expiry` wants what cannot go on with a name before it.
                expr if matches!(expr.kind, ExprKind::Struct(_) | ExprKind::Name(_)) => expr,
                expr => millstream_dsl::ast::Expr { kind: ExprKind::Name("x".to_owned()), ..expr },
            }),
            // What is no name and no call could not stand behind a stage without arguments.
            5 => ClauseKind::Over(self.in_text(|dice| dice.call_expr(2))),
            6 => ClauseKind::PerBatch,
            7 => ClauseKind::Per(self.in_text(|dice| dice.several(1, 2, |d, _| d.expr(2)))),
            8 => ClauseKind::Running(Ttl::Missing),
            9 => ClauseKind::Running(Ttl::Forever),
            10 => ClauseKind::Running(Ttl::For(self.in_text(|dice| dice.expr(1)))),
            11 => ClauseKind::Within(self.in_text(|dice| dice.expr(1))),
            12 => ClauseKind::Named(self.ident()),
            13 => ClauseKind::Late(self.fate()),
            14 => ClauseKind::Bad(self.fate()),
            15 => ClauseKind::Emit { mode: self.ident(), every: self.in_text(|dice| dice.maybe(|d| d.expr(1))) },
            16 => ClauseKind::Init(self.struct_or_expr()),
            17 => ClauseKind::InitFrom(self.ident()),
            18 => ClauseKind::Step(self.struct_or_expr()),
            19 => ClauseKind::Yield(self.struct_or_expr()),
            _ => ClauseKind::With(self.options()),
        }
    }

    fn fate(&mut self) -> Fate {
        match self.below(3) {
            0 => Fate::To(self.ident()),
            _ => Fate::Word(ident(self.pick(&["drop", "null", "fail"]))),
        }
    }

    pub(super) fn options(&mut self) -> Options {
        let mut taken = BTreeSet::new();
        let entries = self.several(0, 4, |dice, index| {
            let trivia = dice.trivia(index == 0);
            let name = dice.key(&mut taken);
            OptionEntry { trivia, name, value: dice.value(2) }
        });
        let end = self.end(entries.len());
        Options { entries, end, at: At::default() }
    }

    pub(super) fn endpoint(&mut self) -> Endpoint {
        let name = ident(self.pick(&["files", "kafka", "console", "größe", "null", "format"]));
        let args = self.in_text(|dice| dice.call_args(2));
        let options = self.options();
        let mut clauses = if self.one_in(2) { self.clauses() } else { Vec::new() };
        clauses.retain(|clause| first_word(&clause.kind) != name.name);
        Endpoint { name, args, options, clauses, at: At::default() }
    }
}

/// The key of a clause in YAML.
fn first_word(kind: &ClauseKind) -> &'static str {
    let word = kind.word();
    if word == "on expiry" { word } else { word.split(' ').next().unwrap_or(word) }
}
