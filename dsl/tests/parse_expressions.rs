//! What binds how tightly, and what every form of expression becomes.

use millstream_dsl::ast::{Arg, Call, Expr, ExprKind, Literal, Negation, Piece};
use millstream_dsl::parse::{self, Positions};
use millstream_dsl::{FileId, Span};

/// An expression with all its parentheses.
fn shape(expr: &Expr) -> String {
    let list = |items: &[Expr], with: &str| items.iter().map(shape).collect::<Vec<_>>().join(with);
    let not = |n: &Negation| if *n == Negation::Not { "not " } else { "" };
    match &expr.kind {
        ExprKind::Name(name) => name.clone(),
        ExprKind::Literal(literal) => self::literal(literal),
        ExprKind::Interpolation(pieces) => pieces.iter().map(piece).collect::<Vec<_>>().join("+"),
        ExprKind::List(items) => format!("[{}]", list(items, " ")),
        ExprKind::Struct(s) => {
            let field = |f: &millstream_dsl::ast::StructField| {
                f.value.as_ref().map_or(f.name.name.clone(), |v| format!("{}:{}", f.name.name, shape(v)))
            };
            format!("{{{}}}", s.fields.iter().map(field).collect::<Vec<_>>().join(" "))
        }
        ExprKind::Field(of, name) => format!("{}.{}", shape(of), name.name),
        ExprKind::Index(of, at) => format!("{}[{}]", shape(of), shape(at)),
        ExprKind::Call(call) => self::call(call),
        ExprKind::Lambda(names, body) => {
            let names: Vec<_> = names.iter().map(|n| n.name.as_str()).collect();
            format!("({} -> {})", names.join(","), shape(body))
        }
        ExprKind::Negate(of) => format!("(- {})", shape(of)),
        ExprKind::Not(of) => format!("(not {})", shape(of)),
        ExprKind::Binary(l, op, r) => format!("({} {} {})", shape(l), op.word(), shape(r)),
        ExprKind::And(items) => format!("({})", list(items, " and ")),
        ExprKind::Or(items) => format!("({})", list(items, " or ")),
        ExprKind::In(l, n, r) => format!("({} {}in {})", shape(l), not(n), shape(r)),
        ExprKind::Like(l, n, r) => format!("({} {}like {})", shape(l), not(n), shape(r)),
        ExprKind::Between(v, n, l, h) => format!("({} {}between {} {})", shape(v), not(n), shape(l), shape(h)),
        ExprKind::IsNull(v, n) => format!("({} is {}null)", shape(v), not(n)),
        ExprKind::Case(case) => {
            let branches: Vec<_> = case.branches.iter().map(|(w, t)| format!("{}>{}", shape(w), shape(t))).collect();
            let operand = case.operand.as_ref().map(shape).unwrap_or_default();
            let otherwise = case.otherwise.as_ref().map(shape).unwrap_or_default();
            format!("case({operand};{};{otherwise})", branches.join(","))
        }
        ExprKind::Cast(of, ty) => {
            let millstream_dsl::ast::TypeKind::Named { name, .. } = &ty.kind else { panic!("{ty:?}") };
            format!("{}::{}{}", shape(of), name.name, if ty.nullable { "?" } else { "" })
        }
        ExprKind::Try(of) => format!("{}?", shape(of)),
        ExprKind::Broken => "BROKEN".to_owned(),
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Null => "null".to_owned(),
        Literal::Bool(value) => value.to_string(),
        Literal::Integer(text) | Literal::Decimal(text) | Literal::Float(text) => text.clone(),
        Literal::String(text) => format!("{text:?}"),
        Literal::Raw(text) => format!("r{text:?}"),
        Literal::Quantity { number, unit } => format!("{number}{}", unit.word()),
        Literal::Typed { word, text } => format!("{} {text:?}", word.word()),
    }
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Text(text) => format!("{text:?}"),
        Piece::Value(value) => shape(value),
    }
}

fn arg(arg: &Arg) -> String {
    let names: Vec<_> = arg.names.iter().map(|n| n.name.as_str()).collect();
    if names.is_empty() { shape(&arg.value) } else { format!("{}={}", names.join(","), shape(&arg.value)) }
}

fn call(call: &Call) -> String {
    let args: Vec<_> = call.args.iter().map(arg).collect();
    let distinct = if call.distinct { "distinct " } else { "" };
    let order: Vec<_> = call.order_by.iter().map(|i| format!(" by {} {:?}", shape(&i.value), i.direction)).collect();
    let filter = call.filter.as_ref().map(|f| format!(" where {}", shape(f))).unwrap_or_default();
    format!("{}({distinct}{}{}{filter})", call.name.name, args.join(", "), order.concat())
}

#[track_caller]
fn reads(text: &str, expected: &str) {
    let parsed = parse::expression(text, &Positions::whole(FileId(0), 0, text.len()));
    assert!(parsed.problems.is_empty(), "{text}: {:#?}", parsed.problems);
    assert_eq!(shape(&parsed.tree), expected, "{text}");
    assert_eq!(&text[parsed.tree.at.range()], text.trim());
}

#[test]
fn operators_bind_as_the_reference_says() {
    for (text, expected) in [
        ("a or b and c", "(a or (b and c))"),
        ("a and b and c", "(a and b and c)"),
        ("(a and b) and (c and d)", "(a and b and c and d)"),
        ("a or (b or c)", "(a or b or c)"),
        ("not a and b", "((not a) and b)"),
        ("not a == b", "(not (a == b))"),
        ("not not a", "(not (not a))"),
        ("a == b + c * d", "(a == (b + (c * d)))"),
        ("a - b - c", "((a - b) - c)"),
        ("a * b / c % d", "(((a * b) / c) % d)"),
        ("a ?? b ?? c", "(a ?? (b ?? c))"),
        ("a + b ?? c", "((a + b) ?? c)"),
        ("a / b ?? 0.0 > 1", "(((a / b) ?? 0.0) > 1)"),
        ("-a * b", "((- a) * b)"),
        ("a * -b", "(a * (- b))"),
        ("-a::int64", "(- a::int64)"),
        ("a.b::int64 + 1", "(a.b::int64 + 1)"),
        ("a::int64?", "a::int64?"),
        ("a? ?? b", "(a? ?? b)"),
        ("a??b", "(a ?? b)"),
        ("a.b[0].c?", "a.b[0].c?"),
        ("a between b and c and d", "((a between b c) and d)"),
        ("a not between b + 1 and c - 1 or d", "((a not between (b + 1) (c - 1)) or d)"),
        ("a in [1, 2] and b not in c", "((a in [1 2]) and (b not in c))"),
        ("a like \"x%\" or a not like b", "((a like \"x%\") or (a not like b))"),
        ("a is null or b is not null", "((a is null) or (b is not null))"),
        ("a + 1 is null", "((a + 1) is null)"),
        ("(a == b) == c", "((a == b) == c)"),
        ("x -> x > 1 and y", "(x -> ((x > 1) and y))"),
        ("(k, v) -> k + v", "(k,v -> (k + v))"),
        ("() -> 1", "( -> 1)"),
        ("(((a)))", "a"),
    ] {
        reads(text, expected);
    }
}

#[test]
fn calls_take_labels_orders_and_filters() {
    for (text, expected) in [
        ("f()", "f()"),
        ("f(a, b,)", "f(a, b)"),
        ("sliding(60s, every 10s)", "sliding(60s, every=10s)"),
        ("tumbling(1d, zone \"Europe/Berlin\", start off)", "tumbling(1d, zone=\"Europe/Berlin\", start=off)"),
        ("session(gap 30s)", "session(gap=30s)"),
        ("count(distinct user_id)", "count(distinct user_id)"),
        ("count(distinct)", "count(distinct)"),
        ("count(distinct, a)", "count(distinct, a)"),
        ("collect_list(x order by ts desc)", "collect_list(x by ts Some(Descending))"),
        ("f(order)", "f(order)"),
        ("sum(x) filter (where x > 0)", "sum(x where (x > 0))"),
        ("filter(xs, x -> x > 1)", "filter(xs, (x -> (x > 1)))"),
        ("if(a > 1, b, c)", "if((a > 1), b, c)"),
        ("f(date \"2026-01-01\")", "f(date \"2026-01-01\")"),
        ("f(r\"\\d\", x)", "f(r\"\\\\d\", x)"),
        ("date(x)", "date(x)"),
        ("timestamp", "timestamp"),
    ] {
        reads(text, expected);
    }
}

#[test]
fn literals_keep_what_is_written() {
    for (text, expected) in [
        ("42", "42"),
        ("007", "7"),
        ("0", "0"),
        ("10.00", "10.00"),
        ("00.50", "0.50"),
        ("1e1", "1e1"),
        ("2.5E+3", "2.5e3"),
        ("2.5e-3", "2.5e-3"),
        ("1.5h", "1.5h"),
        ("10min", "10m"),
        ("64mib", "64mib"),
        ("\"a\\n\\\"\\u{e9}\\${x}\"", "\"a\\n\\\"é${x}\""),
        ("\"costs $5\"", "\"costs $5\""),
        ("\"a ${b} c ${\"d ${e}\"}\"", "\"a \"+b+\" c \"+\"d \"+e"),
        ("r\"\\d+\"", "r\"\\\\d+\""),
        ("r##\"a \"# b\"##", "r\"a \\\"# b\""),
        ("bytes \"00ff\"", "bytes \"00ff\""),
        ("json r\"{}\"", "json \"{}\""),
        ("{ a, b: 1, `c d`: 2, \"e f\": 3, case: 4 }", "{a b:1 c d:2 e f:3 case:4}"),
        ("[]", "[]"),
        ("{}", "{}"),
    ] {
        reads(text, expected);
    }
}

#[test]
fn cases_and_casts_have_two_forms_each() {
    for (text, expected) in [
        ("case when a then b when c then d else e end", "case(;a>b,c>d;e)"),
        ("case a when 1 then b end", "case(a;1>b;)"),
        ("cast(a + b as int64)", "(a + b)::int64"),
        ("cast(a as string?)", "a::string?"),
        ("a::decimal(12, 2)", "a::decimal"),
    ] {
        reads(text, expected);
    }
}

#[test]
fn words_are_reserved_only_where_they_can_stand() {
    for word in
        ["every", "state", "from", "by", "late", "step", "yield", "on", "filter", "order", "batch", "if", "date"]
    {
        reads(&format!("{word} == a.{word}"), &format!("({word} == a.{word})"));
    }
    for word in ["and", "case", "null", "end", "in", "like"] {
        reads(&format!("`{word}` == a.{word}"), &format!("({word} == a.{word})"));
        reads(&format!("{{ {word}: 1 }}"), &format!("{{{word}:1}}"));
    }
    reads("größe > `two words`", "(größe > two words)");
}

#[test]
fn a_fragment_points_into_its_file() {
    // The scalar "a \u0026\u0026 b" of a YAML file: each escape is six bytes of the file and one of the fragment.
    let offsets = vec![10, 11, 12, 18, 24, 25, 26];
    let parsed = parse::expression("a && b", &Positions { file: FileId(3), offsets });
    let problem = &parsed.problems[0];
    assert_eq!((problem.code, problem.span()), ("logical-symbol", Span::new(FileId(3), 12, 24)));
    assert_eq!(problem.edits[0].span, Span::new(FileId(3), 12, 24));
    assert_eq!(parsed.tree.at.0, Span::new(FileId(3), 10, 26));
    let cut = parse::expression("a == \"b", &Positions::whole(FileId(3), 100, 7));
    assert_eq!((cut.problems[0].code, cut.problems[0].span()), ("unclosed-string", Span::new(FileId(3), 105, 107)));
}

#[test]
fn types_are_read_from_option_values() {
    let text = "{ a: string?, b: list(decimal(12, 2)), c: { d: timestamp(\"UTC\") }, e: Order }";
    let positions = Positions::whole(FileId(0), 0, text.len());
    let value = parse::expression(text, &positions).tree;
    let ty = parse::type_expr(text, &positions);
    assert!(ty.problems.is_empty());
    assert_eq!(Some(parse::type_from_expr(&value).unwrap()), ty.tree);
    for wrong in ["1", "a + b", "f(x order by y)", "{ a }", "list(every 10s)"] {
        let value = parse::expression(wrong, &Positions::whole(FileId(0), 0, wrong.len())).tree;
        assert_eq!(parse::type_from_expr(&value).unwrap_err().code, "syntax", "{wrong}");
    }
}
