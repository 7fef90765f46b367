//! `stage name(args) = |> ... |> ...`: a call stands for the stages behind it, with the arguments in place of the
//! parameters' names.

use std::collections::BTreeMap;

use millstream_dsl::ast::{self, Expr, ExprKind, Ident, Stage};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::{Checker, Space};
use crate::check::names::Template;
use crate::check::substitute::Substitution;
use crate::check::walk;

/// How many stages a chain may unfold to.
const LARGEST: usize = 10_000;

/// A stage of a chain, calls unfolded.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) stage: Stage,
    /// The calls that led to it, outermost first.
    pub(super) path: Vec<String>,
    /// The outermost call.
    pub(super) call: Option<Span>,
}

/// Arguments that must have the type their parameter says.
#[derive(Debug, Clone)]
pub(super) struct TypedArgument {
    pub(super) value: Expr,
    pub(super) ty: ast::TypeExpr,
    /// Before which stage of the unfolded chain it is to be checked.
    pub(super) before: usize,
}

/// A chain with every call of a defined stage unfolded.
#[derive(Debug, Clone, Default)]
pub(super) struct Unfolded {
    pub(super) stages: Vec<Placed>,
    pub(super) arguments: Vec<TypedArgument>,
}

/// Where unfolding is.
#[derive(Default)]
struct Open {
    path: Vec<String>,
    call: Option<Span>,
    /// How many stages and calls there were.
    count: usize,
}

impl Checker<'_> {
    /// Looks at the stages of definitions that nothing calls; those of others are checked where they are called.
    pub(super) fn check_templates(&mut self) {
        let unused: Vec<_> = self
            .names
            .stages
            .iter()
            .filter(|(name, _)| !self.used.contains(&(Space::Stage, (*name).clone())))
            .map(|(_, t)| *t)
            .collect();
        for template in unused {
            let stages = template.stages.iter().filter(|s| !s.broken && !self.names.stages.contains_key(&s.name.name));
            for stage in stages.cloned().collect::<Vec<_>>() {
                let without_options: Vec<_> =
                    stage.clauses.iter().filter(|c| !matches!(c.kind, ast::ClauseKind::With(_))).cloned().collect();
                self.shaped(&Stage { clauses: without_options, ..stage.clone() });
                self.check_called(&stage);
            }
        }
    }

    /// Reports functions that do not exist, for stages whose rows are not known.
    fn check_called(&mut self, stage: &Stage) {
        for call in walk::stage_calls(stage) {
            if !self.is_callable(&call.name.name) {
                let problem = self.unknown_function(call);
                self.report(problem);
            }
        }
    }

    /// Unfolds the stages of a chain.
    pub(super) fn unfold(&mut self, stages: &[Stage]) -> Unfolded {
        let mut unfolded = Unfolded::default();
        self.unfold_into(stages, &mut Open::default(), &mut unfolded);
        unfolded
    }

    fn unfold_into(&mut self, stages: &[Stage], open: &mut Open, out: &mut Unfolded) {
        for stage in stages {
            let template = self.names.stages.get(&stage.name.name).copied().filter(|_| !stage.broken);
            open.count += 1;
            if open.count > LARGEST {
                if open.count == LARGEST + 1 {
                    let message = format!("the chain unfolds to more than {LARGEST} stages");
                    self.report(Diagnostic::error("nesting-too-deep", stage.name.at.0, message).label("too many"));
                }
                return;
            }
            match template {
                None => out.stages.push(Placed { stage: stage.clone(), path: open.path.clone(), call: open.call }),
                Some(template) => self.unfold_call(stage, template, open, out),
            }
        }
    }

    fn unfold_call(&mut self, stage: &Stage, template: Template<'_>, open: &mut Open, out: &mut Unfolded) {
        let name = &template.name.name;
        self.mark_used(Space::Stage, name);
        if open.path.contains(name) || open.path.len() >= 32 {
            self.report(
                Diagnostic::error(
                    "recursive-function",
                    stage.name.at.0,
                    format!("stage `{name}` leads back to itself"),
                )
                .label("would never end")
                .also(template.name.at.0, "defined here"),
            );
            out.stages.push(broken(stage, open));
            return;
        }
        let Some(arguments) = self.stage_arguments(stage, template) else {
            out.stages.push(broken(stage, open));
            return;
        };
        for param in template.params {
            if let (Some(ty), Some(value)) = (&param.ty, arguments.get(param.name.name.as_str())) {
                out.arguments.push(TypedArgument { value: value.clone(), ty: ty.clone(), before: out.stages.len() });
            }
        }
        let substitution = Substitution::new(&arguments);
        let inner: Vec<Stage> = template.stages.iter().map(|s| substitution.stage(s)).collect();
        let outermost = open.call;
        open.call.get_or_insert(stage.at.0);
        open.path.push(name.clone());
        self.unfold_into(&inner, open, out);
        open.path.pop();
        open.call = outermost;
    }

    /// The argument of each parameter.
    fn stage_arguments(&mut self, stage: &Stage, template: Template<'_>) -> Option<BTreeMap<String, Expr>> {
        let name = &stage.name.name;
        for clause in &stage.clauses {
            let message = format!("stage `{name}` takes no clause `{}`", clause.kind.word());
            self.report(
                Diagnostic::error("misplaced-clause", clause.at.0, message)
                    .label("not taken")
                    .also(template.name.at.0, "a stage of your own takes arguments only"),
            );
        }
        let usage: Vec<_> = template.params.iter().map(|p| p.name.name.as_str()).collect();
        let help = format!("it is written like this:\n  |> {name}({})", usage.join(", "));
        if stage.args.len() > template.params.len() {
            let message = format!("stage `{name}` takes {} arguments, not {}", template.params.len(), stage.args.len());
            let problem = Diagnostic::error("too-many-arguments", stage.name.at.0, message).label("called here");
            self.report(problem.also(template.name.at.0, "defined here").help(help));
            return None;
        }
        let mut arguments = BTreeMap::new();
        for (param, arg) in template.params.iter().zip(&stage.args) {
            if let Some(label) = arg.names.first().filter(|l| l.name != param.name.name) {
                let message = format!("stage `{name}` takes its arguments in order");
                self.report(
                    Diagnostic::error("wrong-argument", label.at.0, message).label("a name").help(help.clone()),
                );
            }
            arguments.insert(param.name.name.clone(), arg.value.clone());
        }
        for param in template.params.iter().skip(stage.args.len()) {
            match &param.default {
                Some(default) => {
                    arguments.insert(param.name.name.clone(), default.clone());
                }
                None => {
                    let message = format!("stage `{name}` needs the argument `{}`", param.name.name);
                    let problem = Diagnostic::error("missing-argument", stage.name.at.0, message).label("not given");
                    self.report(problem.also(param.name.at.0, "has no default").help(help));
                    return None;
                }
            }
        }
        Some(arguments)
    }
}

/// A hole where a call cannot be unfolded; the mistake has been reported.
fn broken(stage: &Stage, open: &Open) -> Placed {
    Placed { stage: Stage { broken: true, ..stage.clone() }, path: open.path.clone(), call: open.call }
}

/// A name as an expression.
pub(super) fn name_of(expr: &Expr) -> Option<Ident> {
    match &expr.kind {
        ExprKind::Name(name) => Some(Ident { name: name.clone(), at: expr.at }),
        _ => None,
    }
}
