//! What names mean: every statement that defines something, collected before anything is looked at closely.
//! Duplicates are reported here, at the second, with the first beside it.

use std::collections::BTreeMap;

use millstream_dsl::ast::{self, Expr, FnParam, Ident, Input, Statement, StatementKind, TypeExpr};
use millstream_dsl::{Diagnostic, Span};

use crate::check::checker::{Checker, Space};
use crate::check::walk;
use crate::model::Type;
use crate::plan::catalog::find;

/// Every name by its space.
#[derive(Default)]
pub(super) struct Names<'a> {
    pub(super) values: BTreeMap<String, Value<'a>>,
    pub(super) functions: BTreeMap<String, Function<'a>>,
    pub(super) stages: BTreeMap<String, Template<'a>>,
    pub(super) types: BTreeMap<String, TypeName<'a>>,
    /// Sources, tables, streams and side outputs.
    pub(super) flows: BTreeMap<String, Flow>,
    /// Sources and tables, in the order of the text.
    pub(super) inputs: Vec<InputStatement<'a>>,
    /// Streams and sinks, in the order of the text.
    pub(super) chains: Vec<ChainStatement<'a>>,
    pub(super) tests: Vec<TestStatement<'a>>,
    pub(super) pipelines: Vec<(&'a Ident, &'a ast::Options, Span)>,
}

/// `param` or `let`.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Param {
        name: &'a Ident,
        ty: &'a TypeExpr,
        default: Option<&'a Expr>,
    },
    Let {
        name: &'a Ident,
        value: &'a Expr,
    },
    /// Could not be read.
    Broken(Span),
}

impl<'a> Value<'a> {
    /// The values and functions it is made of.
    pub(super) fn refers(self) -> Vec<(Space, &'a str)> {
        match self {
            Value::Let { value, .. } => definitions_in(value),
            Value::Param { default, .. } => default.map(definitions_in).unwrap_or_default(),
            Value::Broken(_) => Vec::new(),
        }
    }

    /// Where its name stands.
    pub(super) fn span(self) -> Span {
        match self {
            Value::Param { name, .. } | Value::Let { name, .. } => name.at.0,
            Value::Broken(span) => span,
        }
    }
}

/// `fn`; none where it could not be read.
#[derive(Clone, Copy)]
pub(super) struct Function<'a> {
    pub(super) at: Span,
    pub(super) definition: Option<FnDefinition<'a>>,
}

/// What a `fn` says.
#[derive(Clone, Copy)]
pub(super) struct FnDefinition<'a> {
    pub(super) params: &'a [FnParam],
    pub(super) result: Option<&'a TypeExpr>,
    pub(super) body: &'a Expr,
}

impl<'a> FnDefinition<'a> {
    /// The values and functions it is made of.
    pub(super) fn refers(self) -> Vec<(Space, &'a str)> {
        let is_param = |name: &str| self.params.iter().any(|p| p.name.name == name);
        let mut found = definitions_in(self.body);
        found.retain(|(space, name)| *space == Space::Function || !is_param(name));
        found.extend(self.params.iter().filter_map(|p| p.default.as_ref()).flat_map(definitions_in));
        found
    }
}

fn definitions_in(expr: &Expr) -> Vec<(Space, &str)> {
    let values = walk::names(expr).into_iter().map(|name| (Space::Value, name));
    values.chain(walk::calls(expr).into_iter().map(|name| (Space::Function, name))).collect()
}

/// `stage`
#[derive(Clone, Copy)]
pub(super) struct Template<'a> {
    pub(super) name: &'a Ident,
    pub(super) params: &'a [FnParam],
    pub(super) stages: &'a [ast::Stage],
}

/// `type`; none where it could not be read.
#[derive(Clone, Copy)]
pub(super) struct TypeName<'a> {
    pub(super) at: Span,
    pub(super) ty: Option<&'a TypeExpr>,
}

/// A source, table, stream or side output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) at: Span,
    pub(super) kind: FlowKind,
}

/// What stands behind a flow's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowKind {
    /// A source, by its position in [`Names::inputs`].
    Source(usize),
    /// A table, by its position in [`Names::inputs`].
    Table(usize),
    /// `bad to x` of a source or table.
    BadInput(usize),
    /// A stream, by its position in [`Names::chains`].
    Stream(usize),
    /// A side output of a chain.
    Side(usize),
    /// Could not be read.
    Broken,
}

/// A source or table.
#[derive(Clone, Copy)]
pub(super) struct InputStatement<'a> {
    pub(super) input: &'a Input,
    pub(super) table: bool,
    /// Which file of the program it stands in.
    pub(super) file: usize,
}

/// A stream or a sink.
#[derive(Clone, Copy)]
pub(super) struct ChainStatement<'a> {
    /// The stream's name; none for a sink.
    pub(super) name: Option<&'a Ident>,
    pub(super) chain: &'a ast::Chain,
    pub(super) into: Option<&'a ast::Endpoint>,
    pub(super) file: usize,
}

/// A test.
#[derive(Clone, Copy)]
pub(super) struct TestStatement<'a> {
    pub(super) name: &'a ast::Text,
    pub(super) steps: &'a [ast::Step],
}

impl<'a> Checker<'a> {
    /// Collects every statement of every file.
    pub(super) fn collect_names(&mut self) {
        let program = self.program;
        for (index, file) in program.files.iter().enumerate() {
            for statement in &file.tree.statements {
                self.collect(statement, index);
            }
        }
    }

    fn collect(&mut self, statement: &'a Statement, file: usize) {
        if file > 0 {
            self.importable(statement);
        }
        match &statement.kind {
            StatementKind::Pipeline { name, options } => {
                if file == 0 {
                    self.names.pipelines.push((name, options, statement.at.0));
                }
            }
            StatementKind::Import { .. } => {}
            StatementKind::Param { name, ty, default } => {
                self.collect_value(name, Value::Param { name, ty, default: default.as_ref() });
            }
            StatementKind::Let { name, value } => self.collect_value(name, Value::Let { name, value }),
            StatementKind::Fn { name, params, result, body } => {
                let definition = FnDefinition { params, result: result.as_ref(), body };
                self.collect_function(name, definition);
            }
            StatementKind::Stage { name, params, stages } => self.collect_stage(Template { name, params, stages }),
            StatementKind::Type { name, ty } => self.collect_type(name, ty),
            StatementKind::Source(input) => self.collect_input(input, false, file),
            StatementKind::Table(input) => self.collect_input(input, true, file),
            StatementKind::Stream { name, chain } => {
                let position = self.names.chains.len();
                self.names.chains.push(ChainStatement { name: Some(name), chain, into: None, file });
                self.define_flow(name, FlowKind::Stream(position));
            }
            StatementKind::Sink { chain, into, .. } => {
                self.names.chains.push(ChainStatement { name: None, chain, into: Some(into), file });
            }
            StatementKind::Test { name, steps, .. } => self.names.tests.push(TestStatement { name, steps }),
            StatementKind::Broken { name } => self.collect_broken(name.as_ref()),
        }
    }

    /// What could not be read defined its name all the same, whatever it was.
    fn collect_broken(&mut self, name: Option<&'a Ident>) {
        let Some(name) = name else { return };
        let (text, at) = (&name.name, name.at.0);
        self.names.flows.entry(text.clone()).or_insert(Flow { at, kind: FlowKind::Broken });
        self.names.values.entry(text.clone()).or_insert(Value::Broken(at));
        self.names.functions.entry(text.clone()).or_insert(Function { at, definition: None });
        self.names.types.entry(text.clone()).or_insert(TypeName { at, ty: None });
        for space in [Space::Flow, Space::Value, Space::Function, Space::Type] {
            self.mark_used(space, text);
        }
    }

    fn importable(&mut self, statement: &Statement) {
        let what = match &statement.kind {
            StatementKind::Source(_) => "a source",
            StatementKind::Sink { .. } => "a sink",
            StatementKind::Stream { .. } => "a stream",
            StatementKind::Pipeline { .. } => "a pipeline statement",
            StatementKind::Test { .. } => "a test",
            _ => return,
        };
        let word = Span { end: statement.at.start + self.first_word(statement.at.0), ..statement.at.0 };
        self.report(
            Diagnostic::error("import-content", word, format!("an imported file cannot hold {what}"))
                .label("belongs into the pipeline's own file")
                .help("imports bring types, functions, stages, tables, constants and parameters"),
        );
    }

    fn first_word(&self, span: Span) -> u32 {
        let length = self.text(span).find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(1).max(1);
        u32::try_from(length).unwrap_or(1)
    }

    fn collect_value(&mut self, name: &'a Ident, value: Value<'a>) {
        if let Some(first) = self.names.values.get(&name.name) {
            let first = first.span();
            return self.duplicate("constant", name, first);
        }
        self.names.values.insert(name.name.clone(), value);
    }

    fn collect_function(&mut self, name: &'a Ident, definition: FnDefinition<'a>) {
        if let Some(first) = self.names.functions.get(&name.name) {
            let first = first.at;
            return self.duplicate("function", name, first);
        }
        let builtin =
            find(&self.catalog.functions, &name.name).is_some() || find(&self.catalog.aggregates, &name.name).is_some();
        self.warn_builtin("function", name, builtin);
        self.names.functions.insert(name.name.clone(), Function { at: name.at.0, definition: Some(definition) });
    }

    fn collect_stage(&mut self, template: Template<'a>) {
        let name = template.name;
        if let Some(first) = self.names.stages.get(&name.name) {
            let first = first.name.at.0;
            return self.duplicate("stage", name, first);
        }
        self.warn_builtin("stage", name, find(&self.catalog.stages, &name.name).is_some());
        self.names.stages.insert(name.name.clone(), template);
    }

    fn collect_type(&mut self, name: &'a Ident, ty: &'a TypeExpr) {
        if let Some(first) = self.names.types.get(&name.name) {
            let first = first.at;
            return self.duplicate("type", name, first);
        }
        self.warn_builtin("type", name, Type::words().any(|w| w == name.name));
        self.names.types.insert(name.name.clone(), TypeName { at: name.at.0, ty: Some(ty) });
    }

    fn warn_builtin(&mut self, kind: &str, name: &Ident, is_builtin: bool) {
        if is_builtin {
            let message = format!("{kind} `{}` hides the one that comes with Millstream", name.name);
            let problem = Diagnostic::warning("shadowed-name", name.at.0, message).label("the same name");
            self.report(problem.help(format!("give it a name of its own:\n  my_{}", name.name)));
        }
    }

    fn collect_input(&mut self, input: &'a Input, table: bool, file: usize) {
        let position = self.names.inputs.len();
        self.names.inputs.push(InputStatement { input, table, file });
        self.define_flow(&input.name, if table { FlowKind::Table(position) } else { FlowKind::Source(position) });
        for clause in &input.from.clauses {
            if let ast::ClauseKind::Bad(ast::Fate::To(name)) = &clause.kind {
                self.define_flow(name, FlowKind::BadInput(position));
            }
        }
    }

    /// Defines a source, table, stream or side output.
    pub(super) fn define_flow(&mut self, name: &Ident, kind: FlowKind) {
        if let Some(first) = self.names.flows.get(&name.name) {
            if first.kind != FlowKind::Broken {
                let first = first.at;
                self.duplicate("stream", name, first);
            }
            return;
        }
        self.names.flows.insert(name.name.clone(), Flow { at: name.at.0, kind });
    }

    fn duplicate(&mut self, kind: &str, name: &Ident, first: Span) {
        self.report(
            Diagnostic::error("duplicate-name", name.at.0, format!("{kind} `{}` is defined twice", name.name))
                .label("a second time")
                .also(first, "first here")
                .help(format!("give one of them another name:\n  {}_2", name.name)),
        );
    }
}
