use millstream_dsl::{FileId, parse};
fn main() {
    let text = std::fs::read_to_string(std::env::args().nth(1).unwrap()).unwrap();
    for part in text.split("\n%%\n") {
        println!("=====\n{part}");
        let p = parse::file(FileId(0), part);
        for d in &p.problems {
            println!(
                "  [{}] {} @ {:?} {:?}",
                d.code,
                d.message,
                part.get(d.span().range()),
                d.labels.iter().map(|l| l.text.as_str()).collect::<Vec<_>>()
            );
            println!("      help: {}", d.help.clone().unwrap_or("-".into()).replace('\n', "\n        "));
            for e in &d.edits {
                println!("      edit {:?} -> {:?}", part.get(e.span.range()), e.replacement);
            }
        }
        if std::env::args().nth(2).is_some() {
            println!("{:#?}", p.tree);
        }
    }
}
