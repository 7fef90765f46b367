//! Random pipelines that check, with random rows: few keys, so that they meet; times that come out of order and late;
//! nulls, duplicates, both zeros and NaN.

mod rows;
mod values;

pub(crate) use rows::in_time;

use super::aggregates::result_type;
use super::evaluate::plain;
use super::expr::Expr;
use super::program::{
    Call, Column, Edge, Emit, Fold, Func, Join, Key, Kind, Meeting, Order, Program, SECOND, Scope, Source, Stage, Step,
    Stream, Window, changes,
};
use super::run::{Case, Course};
use super::value::{Ty, Value};

/// 2026-01-01.
pub(crate) const START: i64 = 1_767_225_600 * SECOND;

/// Numbers that follow from a seed.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0, less than `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.next() % u64::try_from(high - low + 1).unwrap()).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// The case of a seed.
pub(crate) fn case(seed: u64) -> Case {
    drafted(seed, false)
}

/// A case whose rows follow from an order that the oracle does not know, but that is to be the same whatever the course.
pub(crate) fn wild_case(seed: u64) -> Case {
    drafted(seed, true)
}

fn drafted(seed: u64, wild: bool) -> Case {
    let mut chance = Chance::new(seed);
    let mut draft = Draft { chance: &mut chance, wild, program: Program::default(), names: 0 };
    draft.sources();
    draft.streams();
    let program = draft.program;
    let batches = rows::batches(&mut chance, &program);
    let course = course(&mut chance, batches.count());
    Case { program, batches, course }
}

/// How the pipeline is run.
pub(crate) fn course(chance: &mut Chance, batches: usize) -> Course {
    let restarts = if chance.chance(40) { 1 + chance.below(2) } else { 0 };
    Course {
        partitions: 1 + chance.below(4),
        threads: 1 + chance.below(3),
        block_rows: chance.pick(&[1, 2, 3, 7, 65_536]),
        optimized: chance.chance(60),
        restarts: (0..restarts).map(|_| (chance.below(batches), 1 + chance.below(4))).collect(),
        pieces: 1 + chance.below(3),
        followed: chance.chance(60),
    }
}

struct Draft<'a> {
    chance: &'a mut Chance,
    /// Stages may look at the order of rows where it is the engine's own affair, as long as it is always the same.
    wild: bool,
    program: Program,
    names: usize,
}

impl Draft<'_> {
    fn fresh(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    fn sources(&mut self) {
        let columns = || {
            vec![
                Column::new("ts", Ty::Time, false),
                Column::new("k", Ty::Text, true),
                Column::new("g", Ty::Int, false),
                Column::new("n", Ty::Int, true),
                Column::new("f", Ty::Float, true),
                Column::new("d", Ty::Dec(8, 2), true),
                Column::new("xs", Ty::Ints, true),
            ]
        };
        let delay = |chance: &mut Chance| Some(chance.between(0, 6));
        let mut sources =
            vec![Source { name: "a".into(), columns: columns(), delay: delay(self.chance), table: false }];
        if self.chance.chance(50) {
            let columns = vec![
                Column::new("b_ts", Ty::Time, false),
                Column::new("b_k", Ty::Text, true),
                Column::new("b_g", Ty::Int, false),
                Column::new("b_v", Ty::Int, true),
            ];
            sources.push(Source { name: "b".into(), columns, delay: delay(self.chance), table: false });
        }
        if self.chance.chance(25) {
            sources.push(Source { name: "c".into(), columns: columns(), delay: delay(self.chance), table: false });
        }
        if self.chance.chance(30) {
            let columns = vec![
                Column::new("t_k", Ty::Text, true),
                Column::new("t_g", Ty::Int, false),
                Column::new("t_v", Ty::Int, true),
            ];
            sources.push(Source { name: "t".into(), columns, delay: None, table: true });
        }
        if self.chance.chance(20) {
            let columns = vec![
                Column::new("u_k", Ty::Text, true),
                Column::new("u_g", Ty::Int, false),
                Column::new("u_v", Ty::Int, true),
            ];
            sources.push(Source { name: "u".into(), columns, delay: None, table: false });
        }
        self.program.sources = sources;
    }

    fn streams(&mut self) {
        let count = 1 + self.chance.below(4);
        for i in 0..count {
            let mut from: Vec<String> =
                self.program.sources.iter().filter(|s| !s.table).map(|s| s.name.clone()).collect();
            // Later streams rather go on from earlier ones.
            let earlier: Vec<String> = self.program.streams.iter().map(|s| s.name.clone()).collect();
            from.extend(earlier.iter().cloned());
            from.extend(earlier);
            let name = format!("s{i}");
            let from = self.chance.pick(&from);
            self.program.streams.push(Stream { name, from: from.clone(), steps: vec![] });
            let mut edge = self.program.edge(&from);
            let wanted = 1 + self.chance.below(3);
            for _ in 0..wanted {
                let Some(stage) = self.stage(&edge) else { break };
                let late = can_be_late(&stage, &edge) && self.chance.chance(60);
                let bad = can_be_bad(&stage) && self.chance.chance(70);
                let late = late.then(|| self.fresh('l'));
                let bad = bad.then(|| self.fresh('z'));
                edge = self.program.behind(&stage, &edge);
                self.program.streams[i].steps.push(Step { stage, late, bad });
            }
            if self.program.streams[i].steps.is_empty() {
                let step = Step { stage: Stage::Where(Expr::Literal(Value::Bool(true))), late: None, bad: None };
                self.program.streams[i].steps.push(step);
            }
        }
    }

    /// Whether a stage may look at the order of an edge's rows.
    fn in_order(&self, edge: &Edge) -> bool {
        edge.order == Order::Known || self.wild
    }

    /// A stage that fits an edge.
    fn stage(&mut self, edge: &Edge) -> Option<Stage> {
        for _ in 0..20 {
            let stage = match self.chance.below(100) {
                0..12 => Some(Stage::Where(self.condition(edge, 2))),
                12..20 => self.select(edge),
                20..28 => Some(self.extend(edge)),
                28..34 => self.explode(edge),
                34..62 => self.aggregate(edge),
                62..66 => self.distinct(edge),
                66..73 => self.dedupe(edge),
                73..76 => self.sort(edge),
                76..79 => self.limit(edge),
                79..83 => self.top(edge),
                83..87 => self.union(edge),
                87..96 => self.join(edge),
                _ => self.fold(edge),
            };
            if let Some(stage) = stage {
                return Some(stage);
            }
        }
        None
    }

    fn select(&mut self, edge: &Edge) -> Option<Stage> {
        let mut columns: Vec<usize> = (0..edge.columns.len() - usize::from(edge.changes)).collect();
        while columns.len() > 2 && self.chance.chance(60) {
            columns.remove(self.chance.below(columns.len()));
        }
        // The time stays where there is one.
        if let Some((time, _)) = edge.time
            && !columns.contains(&time)
            && self.chance.chance(80)
        {
            columns.insert(0, time);
        }
        let mut exprs: Vec<_> =
            columns.into_iter().map(|i| (edge.columns[i].name.clone(), edge.column(i), edge.columns[i].ty)).collect();
        if self.chance.chance(60) {
            let (expr, ty) = self.top_value(edge);
            exprs.push((self.fresh('e'), expr, ty));
        }
        Some(Stage::Select(exprs))
    }

    fn extend(&mut self, edge: &Edge) -> Stage {
        let count = 1 + self.chance.below(2);
        let exprs = (0..count).map(|_| {
            let (expr, ty) = self.top_value(edge);
            (self.fresh('e'), expr, ty)
        });
        Stage::Extend(exprs.collect())
    }

    fn explode(&mut self, edge: &Edge) -> Option<Stage> {
        let column = edge.columns.iter().position(|c| c.ty == Ty::Ints)?;
        let position = self.chance.chance(40).then(|| self.fresh('p'));
        (!edge.changes).then(|| Stage::Explode {
            column,
            name: self.fresh('x'),
            outer: self.chance.chance(40),
            position,
        })
    }

    fn aggregate(&mut self, edge: &Edge) -> Option<Stage> {
        if edge.changes {
            return None;
        }
        let scope = self.scope(edge)?;
        let by_rows = matches!(&scope, Scope::Over { window: Window::Count(_), .. });
        let by_time = matches!(&scope, Scope::Running { ttl: Some(_), batch_time: false }) && edge.time.is_some();
        if (by_rows || by_time) && !self.in_order(edge) {
            return None;
        }
        let sessions = matches!(&scope, Scope::Over { window: Window::Session { .. }, .. });
        let mut by: Vec<(String, Expr, Ty)> = Vec::new();
        let least = usize::from(sessions || by_rows);
        let keys = least.max(self.chance.below(3));
        for _ in 0..keys {
            let (expr, ty) = self.key(edge)?;
            by.push((self.fresh('k'), expr, ty));
        }
        let calls = 1 + self.chance.below(3);
        let calls: Vec<Call> = (0..calls).filter_map(|_| self.call(edge)).collect();
        if calls.is_empty() {
            return None;
        }
        let emit = match &scope {
            Scope::Over { window: Window::Count(_), .. } | Scope::Batch | Scope::Over { batch_time: true, .. } => {
                Emit::Unsaid
            }
            Scope::Over { .. } => {
                self.chance.pick(&[Emit::Unsaid, Emit::Unsaid, Emit::Final, Emit::Changes, Emit::All])
            }
            Scope::Running { .. } => self.chance.pick(&[Emit::Unsaid, Emit::Changes, Emit::All]),
        };
        if changes(&scope, emit) && edge.columns.iter().any(|c| c.name == "op") {
            return None;
        }
        Some(Stage::Aggregate { calls, by, scope, emit })
    }

    fn scope(&mut self, edge: &Edge) -> Option<Scope> {
        let timed = edge.time.is_some();
        let scope = match self.chance.below(10) {
            0..3 => Scope::Batch,
            3..7 if timed => {
                let window = if self.chance.chance(25) {
                    Window::Session { gap: self.chance.between(1, 5) }
                } else {
                    {
                        let started = self.chance.chance(30);
                        self.window(started)
                    }
                };
                Scope::Over { window, batch_time: false }
            }
            7 => Scope::Over { window: self.window(false), batch_time: true },
            8 if self.chance.chance(40) => {
                Scope::Over { window: Window::Count(1 + self.chance.below(4)), batch_time: false }
            }
            _ => {
                let ttl = self.chance.chance(80).then(|| self.chance.between(1, 12));
                Scope::Running { ttl, batch_time: ttl.is_some() && self.chance.chance(40) }
            }
        };
        Some(scope)
    }

    /// A window that follows from time, perhaps with a start.
    fn window(&mut self, started: bool) -> Window {
        let start = if started { self.chance.between(1, 3) } else { 0 };
        match self.chance.below(4) {
            0 => {
                let every = self.chance.between(1, 4);
                Window::Cumulative { length: every * self.chance.between(1, 3), every }
            }
            1 | 2 => Window::Sliding { length: self.chance.between(1, 8), every: self.chance.between(1, 4), start },
            _ => Window::Tumbling { length: self.chance.between(1, 6), start },
        }
    }

    fn call(&mut self, edge: &Edge) -> Option<Call> {
        let name = self.fresh('r');
        let filter = self.chance.chance(20).then(|| self.condition(edge, 1));
        if self.chance.chance(25) {
            return Some(Call { name, func: Func::Count, arg: None, ty: Ty::Int, distinct: false, filter });
        }
        let mut funcs = vec![Func::Count, Func::Sum, Func::Sum, Func::Avg, Func::Min, Func::Max];
        if self.in_order(edge) {
            funcs.extend([Func::First, Func::Last, Func::CollectList]);
        }
        let func = self.chance.pick(&funcs);
        let column = self.plain_column(edge)?;
        let (arg, ty) = match self.chance.chance(80) {
            true => (edge.column(column), edge.columns[column].ty),
            false => self.value(edge, 1),
        };
        let result = result_type(func, Some(ty))?;
        let distinct = matches!(func, Func::Count | Func::Sum) && ty != Ty::Float && self.chance.chance(25);
        Some(Call { name, func, arg: Some(arg), ty: result, distinct, filter })
    }

    /// A column whose values can be compared.
    fn plain_column(&mut self, edge: &Edge) -> Option<usize> {
        let plain: Vec<usize> =
            (0..edge.columns.len()).filter(|i| plain(edge.columns[*i].ty) && edge.columns[*i].name != "op").collect();
        if plain.is_empty() { None } else { Some(self.chance.pick(&plain)) }
    }

    /// A key: mostly a column with few values.
    fn key(&mut self, edge: &Edge) -> Option<(Expr, Ty)> {
        if self.chance.chance(15) {
            return Some(self.value(edge, 1));
        }
        let few: Vec<usize> = (0..edge.columns.len())
            .filter(|i| matches!(edge.columns[*i].ty, Ty::Text | Ty::Int | Ty::Bool) && edge.columns[*i].name != "op")
            .collect();
        let column =
            if few.is_empty() || self.chance.chance(10) { self.plain_column(edge)? } else { self.chance.pick(&few) };
        Some((edge.column(column), edge.columns[column].ty))
    }

    fn key_columns(&mut self, edge: &Edge, most: usize) -> Option<Vec<usize>> {
        let count = 1 + self.chance.below(most);
        let mut columns: Vec<usize> = Vec::new();
        for _ in 0..count {
            let column = self.plain_column(edge)?;
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        Some(columns)
    }

    fn distinct(&mut self, edge: &Edge) -> Option<Stage> {
        if edge.changes {
            return None;
        }
        if self.chance.chance(40) && edge.columns.iter().all(|c| plain(c.ty)) {
            return Some(Stage::Distinct(vec![]));
        }
        self.in_order(edge).then(|| self.key_columns(edge, 2)).flatten().map(Stage::Distinct)
    }

    fn dedupe(&mut self, edge: &Edge) -> Option<Stage> {
        if edge.changes {
            return None;
        }
        let all = edge.columns.iter().all(|c| plain(c.ty));
        let by = match self.in_order(edge) && (!all || self.chance.chance(80)) {
            true => self.key_columns(edge, 2)?,
            false if all => vec![],
            false => return None,
        };
        Some(Stage::Dedupe { by, within: self.chance.between(1, 8), batch_time: self.chance.chance(25) })
    }

    fn keys(&mut self, edge: &Edge) -> Option<Vec<Key>> {
        let columns = self.key_columns(edge, 2)?;
        Some(columns.into_iter().map(|i| Key { value: edge.column(i), descending: self.chance.chance(50) }).collect())
    }

    fn sort(&mut self, edge: &Edge) -> Option<Stage> {
        if edge.changes || (edge.order == Order::Unclear && !self.wild) {
            return None;
        }
        self.keys(edge).map(Stage::Sort)
    }

    fn limit(&mut self, edge: &Edge) -> Option<Stage> {
        (!edge.changes && (edge.order != Order::Unclear || self.wild)).then(|| Stage::Limit(self.chance.below(5)))
    }

    fn top(&mut self, edge: &Edge) -> Option<Stage> {
        if edge.changes || (edge.order == Order::Unclear && !self.wild) {
            return None;
        }
        let keys = self.keys(edge)?;
        let per = if self.chance.chance(50) && self.in_order(edge) { self.key_columns(edge, 1)? } else { vec![] };
        Some(Stage::Top { count: 1 + self.chance.below(3), keys, per })
    }

    fn union(&mut self, edge: &Edge) -> Option<Stage> {
        let names: Vec<String> = self.names_of_streams();
        let fits = |name: &String| {
            let other = self.program.edge(name);
            let same = |c: &Column| other.columns.iter().any(|o| o.name == c.name && o.ty == c.ty);
            !other.changes && other.columns.len() == edge.columns.len() && edge.columns.iter().all(same)
        };
        let fit: Vec<String> = names.into_iter().filter(fits).collect();
        (!edge.changes && !fit.is_empty()).then(|| Stage::Union(self.chance.pick(&fit)))
    }

    /// Sources and streams that can be read beside the one in the making.
    fn names_of_streams(&self) -> Vec<String> {
        let done = self.program.streams.len() - 1;
        let sources = self.program.sources.iter().filter(|s| !s.table).map(|s| s.name.clone());
        sources.chain(self.program.streams[..done].iter().map(|s| s.name.clone())).collect()
    }

    fn join(&mut self, edge: &Edge) -> Option<Stage> {
        if edge.changes {
            return None;
        }
        let tables: Vec<String> = self.program.sources.iter().filter(|s| s.table).map(|s| s.name.clone()).collect();
        let with_table = !tables.is_empty() && self.chance.chance(40);
        let fits = |name: &String| {
            let other = self.program.edge(name);
            let apart = |c: &Column| !edge.columns.iter().any(|o| o.name == c.name);
            !other.changes && other.columns.iter().all(apart)
        };
        let names: Vec<String> =
            if with_table { tables } else { self.names_of_streams() }.into_iter().filter(fits).collect();
        if names.is_empty() {
            return None;
        }
        let other = self.chance.pick(&names);
        let right = self.program.edge(&other);
        let mut keys: Vec<(usize, usize)> = Vec::new();
        for _ in 0..1 + self.chance.below(2) {
            let pairs: Vec<(usize, usize)> = (0..edge.columns.len())
                .flat_map(|l| (0..right.columns.len()).map(move |r| (l, r)))
                .filter(|(l, r)| {
                    let (l, r) = (&edge.columns[*l], &right.columns[*r]);
                    l.ty == r.ty && matches!(l.ty, Ty::Text | Ty::Int) && l.name != "op" && r.name != "op"
                })
                .collect();
            if pairs.is_empty() {
                return None;
            }
            let pair = self.chance.pick(&pairs);
            if !keys.contains(&pair) {
                keys.push(pair);
            }
        }
        let window_columns = |edge: &Edge| edge.columns.iter().any(|c| c.name.starts_with("window_"));
        let timed = edge.time.is_some() && right.time.is_some();
        let meeting = match self.chance.below(10) {
            _ if with_table => Meeting::Table,
            0..3 => Meeting::Batch,
            3..7 if timed => {
                let low = self.chance.between(-5, 3);
                Meeting::Bound { low, high: low + self.chance.between(0, 5) }
            }
            7 | 8 if timed && !window_columns(edge) && !window_columns(&right) => Meeting::Window(self.window(false)),
            _ if timed && self.in_order(&right) && self.in_order(edge) => {
                Meeting::Latest { back: self.chance.between(0, 8) }
            }
            _ => return None,
        };
        let kinds: &[Kind] = match meeting {
            Meeting::Table => &[Kind::Inner, Kind::Left, Kind::Semi, Kind::Anti],
            Meeting::Latest { .. } => &[Kind::Inner, Kind::Left],
            _ => &[Kind::Inner, Kind::Left, Kind::Right, Kind::Full, Kind::Semi, Kind::Anti],
        };
        let kind = self.chance.pick(kinds);
        let also = self.chance.chance(25).then(|| self.across(edge, &right)).flatten();
        Some(Stage::Join(Join { kind, other, keys, meeting, also }))
    }

    /// A condition over both sides.
    fn across(&mut self, left: &Edge, right: &Edge) -> Option<Expr> {
        let ints = |edge: &Edge| -> Vec<usize> {
            (0..edge.columns.len()).filter(|i| edge.columns[*i].ty == Ty::Int).collect()
        };
        let (l, r) = (ints(left), ints(right));
        if l.is_empty() || r.is_empty() {
            return None;
        }
        let (l, r) = (self.chance.pick(&l), self.chance.pick(&r));
        let there = Expr::Column(left.columns.len() + r, right.columns[r].name.clone());
        let op = self.chance.pick(&["<", ">=", "!="]);
        Some(Expr::Compare(Box::new(left.column(l)), op, Box::new(there)))
    }

    fn fold(&mut self, edge: &Edge) -> Option<Stage> {
        if edge.changes || !self.in_order(edge) {
            return None;
        }
        let mut by = if self.chance.chance(85) { self.key_columns(edge, 2)? } else { vec![] };
        by.retain(|i| !matches!(edge.columns[*i].name.as_str(), "total" | "steps" | "op"));
        let ints: Vec<usize> =
            (0..edge.columns.len()).filter(|i| edge.columns[*i].ty == Ty::Int && edge.columns[*i].nullable).collect();
        if ints.is_empty() {
            return None;
        }
        let adds = edge.column(self.chance.pick(&ints));
        let scope = match self.chance.below(4) {
            0 => Scope::Batch,
            1 => Scope::Running { ttl: None, batch_time: false },
            2 => Scope::Running { ttl: Some(self.chance.between(1, 8)), batch_time: true },
            _ => Scope::Running { ttl: Some(self.chance.between(1, 8)), batch_time: false },
        };
        Some(Stage::Fold(Fold { by, adds, scope, every_batch: self.chance.chance(25) }))
    }
}

fn can_be_bad(stage: &Stage) -> bool {
    match stage {
        Stage::Select(exprs) | Stage::Extend(exprs) => exprs.iter().any(|(_, e, _)| matches!(e, Expr::OrBad(_))),
        _ => false,
    }
}

fn can_be_late(stage: &Stage, edge: &Edge) -> bool {
    match stage {
        Stage::Aggregate { scope: Scope::Over { window, batch_time }, .. } => {
            !batch_time && !matches!(window, Window::Count(_))
        }
        Stage::Dedupe { batch_time, .. } => !batch_time && edge.time.is_some(),
        _ => false,
    }
}
