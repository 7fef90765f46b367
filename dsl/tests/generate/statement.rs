//! Random statements and files.

use std::collections::BTreeSet;

use millstream_dsl::ast::{
    At, Chain, Expected, File, FnParam, Input, Row, Rows, Statement, StatementKind, Step, StepKind, Trivia,
};

use super::{Comments, Dice};

/// A file, made of `bytes`.
pub(crate) fn file(bytes: &[u8], comments: Comments) -> File {
    let mut dice = Dice::new(bytes, comments);
    let mut names: Vec<BTreeSet<String>> = vec![BTreeSet::new(); 12];
    let mut pipelines = 0;
    let statements = dice.several(0, 6, |dice, index| {
        let mut trivia = dice.trivia(index == 0);
        let mut kind = dice.statement(&mut names);
        if let StatementKind::Pipeline { .. } = kind {
            pipelines += 1;
            if pipelines > 1 {
                kind = StatementKind::Import { path: dice.text() };
            }
        }
        let ends_inside = match &kind {
            StatementKind::Stream { chain: Chain { stages, .. }, .. } => !stages.is_empty(),
            StatementKind::Stage { .. } | StatementKind::Sink { .. } => true,
            _ => false,
        };
        if ends_inside {
            trivia.behind = None;
        }
        Statement { trivia, kind, at: At::default() }
    });
    let mut end = if dice.one_in(4) { dice.several(1, 2, |dice, _| dice.comment()) } else { Vec::new() };
    if let (true, Some(comment)) = (statements.is_empty(), end.first_mut()) {
        comment.gap = false;
    }
    File { statements, end }
}

impl Dice<'_> {
    fn statement(&mut self, names: &mut [BTreeSet<String>]) -> StatementKind {
        let which = self.below(12);
        let mut fresh = |dice: &mut Self| dice.fresh(&mut names[which]);
        match which {
            0 => StatementKind::Stream { name: fresh(self), chain: self.chain(0) },
            1 => {
                let chain = self.chain(0);
                let trivia = self.trivia(chain.stages.is_empty());
                StatementKind::Sink { chain, trivia, into: self.endpoint() }
            }
            2 => StatementKind::Pipeline { name: self.ident(), options: self.options() },
            3 => StatementKind::Import { path: self.text() },
            4 => StatementKind::Param {
                name: fresh(self),
                ty: self.type_expr(2),
                default: self.maybe(|dice| dice.value(2)),
            },
            5 => StatementKind::Let { name: fresh(self), value: self.value(4) },
            6 => StatementKind::Fn {
                name: fresh(self),
                params: self.params(),
                result: self.maybe(|dice| dice.type_expr(2)),
                body: self.value(3),
            },
            7 => StatementKind::Stage { name: fresh(self), params: self.params(), stages: self.stages(1) },
            8 => StatementKind::Type { name: fresh(self), ty: self.type_expr(3) },
            9 => StatementKind::Source(Input { name: fresh(self), from: self.endpoint() }),
            10 => StatementKind::Table(Input { name: fresh(self), from: self.endpoint() }),
            _ => {
                let steps = self.several(0, 4, |dice, index| {
                    let trivia = dice.trivia(index == 0);
                    Step { trivia, kind: dice.step(), at: At::default() }
                });
                let end = self.end(steps.len());
                StatementKind::Test { name: self.text(), steps, end }
            }
        }
    }

    fn params(&mut self) -> Vec<FnParam> {
        let mut taken = BTreeSet::new();
        self.several(0, 2, |dice, _| FnParam {
            name: dice.fresh(&mut taken),
            ty: dice.maybe(|dice| dice.type_expr(1)),
            default: dice.maybe(|dice| dice.value(1)),
        })
    }

    fn step(&mut self) -> StepKind {
        match self.below(9) {
            0 => StepKind::Given { input: self.ident(), rows: self.rows() },
            1 => StepKind::GivenFrom { input: self.ident(), path: self.text() },
            2 => StepKind::Step { count: self.maybe(|dice| dice.below(100) as u64) },
            3 => StepKind::Advance(self.in_text(|dice| dice.expr(2))),
            4 => StepKind::AdvanceWatermark { of: self.maybe(Dice::ident), to: self.in_text(|dice| dice.expr(2)) },
            5 => StepKind::Restart,
            6 if self.one_in(5) => StepKind::ExpectCount { what: super::ident("in"), of: self.ident(), count: 0 },
            6 => StepKind::ExpectCount { what: self.ident(), of: self.ident(), count: self.below(100) as u64 },
            _ => {
                let rows = match self.below(4) {
                    0 => Expected::Exactly(self.rows()),
                    1 => Expected::Contains(self.rows()),
                    2 => Expected::InOrder(self.rows()),
                    _ => Expected::Nothing,
                };
                StepKind::Expect { batch: self.maybe(|dice| dice.below(100) as u64), of: self.ident(), rows }
            }
        }
    }

    fn rows(&mut self) -> Rows {
        let rows = self.several(0, 3, |dice, index| {
            let trivia: Trivia = dice.trivia(index == 0);
            Row { trivia, cells: dice.struct_expr(2), at: At::default() }
        });
        let end = self.end(rows.len());
        Rows { rows, end, at: At::default() }
    }
}
