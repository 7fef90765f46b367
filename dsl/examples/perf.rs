use millstream_dsl::{FileId, parse};
use std::time::Instant;
fn main() {
    let n = std::env::args().nth(2).map_or(10 << 20, |n| n.parse::<usize>().unwrap());
    let rep = |s: &str| s.repeat(n / s.len());
    let big_rows = format!("test \"x\" {{ given a [ {} ]\n}}", "{ a: 1, b: \"x\", c: 10.00 }, ".repeat(30000));
    let mut cases = vec![
        ("parens", rep("(")),
        ("close", rep(")")),
        ("quotes", rep("\"")),
        ("single", rep("'")),
        ("word", rep("a")),
        ("lines a", rep("a\n")),
        ("stream", rep("stream a = from b |> where x\n")),
        ("bad stages", format!("stream a = from b {}", rep("|> where == "))),
        ("pipes", rep("|>")),
        ("plus", format!("let x = 1{}", rep("+1"))),
        ("neg", format!("let x = {}1", rep("-"))),
        ("neg2", format!("let x = {}1", rep("- "))),
        ("lambda", format!("let x = {}1", rep("x -> "))),
        ("not", format!("let x = {}1", rep("not "))),
        ("interp", format!("let x = {}", rep("\"${"))),
        ("case", format!("let x = {}", rep("case when "))),
        ("dots", format!("let x = a{}", rep(".a"))),
        ("bq", rep("`")),
        ("raw", rep("r#")),
        ("nul", rep("\0")),
        ("cr", rep("\r")),
        ("smart", rep("“")),
        ("hash", rep("#")),
        ("hashlines", rep("#\n")),
        ("semicolon", rep(";")),
        ("dollar", rep("$a ")),
        ("missing pipe", format!("stream a = from b\n{}", rep(" where x\n"))),
        ("slash", rep("//\n")),
        ("braces col", rep("stream x {\n")),
        ("steps", format!("test \"x\" {{\n{}", rep("step\n"))),
        ("badsteps", format!("test \"x\" {{\n{}", rep("stp 3\n"))),
        ("mb", rep("日本語 ")),
        ("rows", big_rows),
        ("idx", format!("let x = {}", rep("a[1,"))),
        ("list", format!("let x = [{}]", rep("1,"))),
        ("backslash", format!("let x = \"{}\"", rep("\\x"))),
        ("ifs", format!("let x = {}1", "if(".repeat(60))),
        ("typed", format!("let x: {}", rep("a(b,"))),
        ("if-ok", format!("let x = {}1{}", "f(".repeat(60), ", 2)".repeat(60))),
        ("parens-ok", format!("let x = {}1{}", "(".repeat(60), ")".repeat(60))),
        ("lists-ok", format!("let x = {}1{}", "[".repeat(60), "]".repeat(60))),
        ("structs-ok", format!("let x = {}1{}", "{a: ".repeat(60), "}".repeat(60))),
        ("angle", format!("type x = {}a{}", "list<".repeat(60), ">".repeat(60))),
        ("angle-x", format!("let x = {}a{}", "list<".repeat(600), "(".repeat(60))),
        ("idx-ok", format!("let x = {}1{}", "a[".repeat(60), "]".repeat(60))),
        ("interp-ok", format!("let x = {}1{}", "\"${".repeat(60), "}\"".repeat(60))),
        ("case-ok", format!("let x = {}1{}", "case when ".repeat(60), " then 1 end".repeat(60))),
        ("and", format!("let x = {}a", "a and ".repeat(80000))),
        ("stage parens", format!("stream a = from b |> where {}1{} + 1", "(".repeat(60), ")".repeat(60))),
        ("lambda-par", format!("let x = {}", "(a, ".repeat(60))),
        ("label", format!("let x = {}1{}", "f(a ".repeat(60), ")".repeat(60))),
        ("typed2", format!("let x = {}1{}", "f(date ".repeat(60), ")".repeat(60))),
        ("on", format!("stream a = from b |> join c {}", rep("on "))),
        ("by", format!("stream a = from b |> {}", rep("by "))),
        ("group by", format!("stream a = from b |> s {}", rep("group by "))),
    ];
    if let Some(f) = std::env::args().nth(1).filter(|f| f != "all") {
        cases.retain(|c| c.0 == f);
    }
    for (name, text) in cases {
        let t = Instant::now();
        let p = parse::file(FileId(0), &text);
        let d = t.elapsed();
        println!(
            "{name:14} {:>8} KB {:>8.1} ms  {} problems {:?}",
            text.len() / 1024,
            d.as_secs_f64() * 1e3,
            p.problems.len(),
            p.problems.first().map(|p| (p.code, p.message.chars().take(80).collect::<String>()))
        );
    }
}
