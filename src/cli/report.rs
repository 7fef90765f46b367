//! Diagnostics as people read them: the header, excerpts with underlines, the help. The only file that names
//! miette: a diagnostic is put into its protocol here, and [`Excerpts`] is the handler that draws it, with
//! miette's themes, because miette's own layout puts labels below the lines and has no header of one line.

use std::fmt;

use miette::{
    GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, ReportHandler, SourceCode, SourceSpan, SpanContents,
    ThemeCharacters, ThemeStyles,
};
use millstream_dsl::{Diagnostic, FileId, Severity, SourceFile, SourceMap, Span};

use super::excerpt::{Line, Mark, Piece, pieces};

/// How output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// With colours.
    pub(crate) color: bool,
    /// With box-drawing characters instead of ASCII.
    pub(crate) lines: bool,
    /// Longer lines are cut around what is meant.
    pub(crate) width: usize,
}

impl Look {
    /// The word `error` for a message that has no code.
    pub(crate) fn error_word(self) -> String {
        self.theme().styles.error.style("error").to_string()
    }

    /// Something that went well, or was not expected.
    pub(crate) fn good(self, text: &str) -> String {
        self.painted(text, 32)
    }

    /// Something that went wrong, or is missing.
    pub(crate) fn bad(self, text: &str) -> String {
        self.painted(text, 31)
    }

    fn painted(self, text: &str, color: u8) -> String {
        if self.color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn theme(self) -> GraphicalTheme {
        let characters = if self.lines { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
        let styles = if self.color { ThemeStyles::ansi() } else { ThemeStyles::none() };
        GraphicalTheme { characters, styles }
    }
}

/// A diagnostic as text, with an empty line at its end.
pub(crate) fn render(diagnostic: &Diagnostic, sources: &SourceMap, look: Look) -> String {
    let shown = Shown::new(diagnostic, sources);
    let handler = Excerpts { theme: look.theme(), width: look.width };
    Drawn { handler: &handler, shown: &shown }.to_string()
}

/// A diagnostic's labels in one file. The file of the first label carries the message, others are related to it.
struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    text: Option<Text<'a>>,
    labels: Vec<LabeledSpan>,
    related: Vec<Shown<'a>>,
}

impl<'a> Shown<'a> {
    fn new(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Self {
        let mut files: Vec<FileId> = Vec::new();
        for label in &diagnostic.labels {
            if !files.contains(&label.span.file) {
                files.push(label.span.file);
            }
        }
        let mut shown = files.into_iter().map(|file| Shown::in_file(diagnostic, sources, file));
        let first = shown.next();
        let related = shown.collect();
        match first {
            Some(first) => Shown { related, ..first },
            None => Shown { diagnostic, text: None, labels: Vec::new(), related },
        }
    }

    fn in_file(diagnostic: &'a Diagnostic, sources: &'a SourceMap, file: FileId) -> Self {
        let labels = diagnostic.labels.iter().enumerate().filter(|(_, label)| label.span.file == file);
        let labels = labels.map(|(i, label)| {
            let text = Some(label.text.clone()).filter(|text| !text.is_empty());
            let Span { start, end, .. } = label.span;
            let span = (start as usize, (end - start) as usize);
            if i == 0 { LabeledSpan::new_primary_with_span(text, span) } else { LabeledSpan::new_with_span(text, span) }
        });
        Shown { diagnostic, labels: labels.collect(), text: sources.get(file).map(Text), related: Vec::new() }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.diagnostic, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl miette::Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(self.diagnostic.code).filter(|code| !code.is_empty()).map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.text.as_ref().map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        Some(Box::new(self.related.iter().map(|shown| shown as &dyn miette::Diagnostic)))
    }
}

/// A file that finds its lines by their recorded starts; miette's own search begins at the first byte each time.
struct Text<'a>(&'a SourceFile);

impl SourceCode for Text<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _lines_before: usize,
        _lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let offset = u32::try_from(span.offset()).map_err(|_| MietteError::OutOfBounds)?;
        let line = self.0.line_range(offset);
        let place = self.0.line_column(offset);
        let bytes = self.0.text.as_bytes().get(line.clone()).ok_or(MietteError::OutOfBounds)?;
        let covered = (line.start, line.len()).into();
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            bytes,
            covered,
            place.line - 1,
            place.column - 1,
            1,
        )))
    }
}

/// The layout of messages.
struct Excerpts {
    theme: GraphicalTheme,
    width: usize,
}

/// A diagnostic and its handler, to be written anywhere.
struct Drawn<'a> {
    handler: &'a Excerpts,
    shown: &'a Shown<'a>,
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.debug(self.shown, f)
    }
}

impl ReportHandler for Excerpts {
    fn debug(&self, diagnostic: &dyn miette::Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header(diagnostic, f)?;
        let related = || diagnostic.related().into_iter().flatten();
        let mut files = vec![self.read(diagnostic)];
        files.extend(related().map(|other| self.read(other)));
        let last_line = files.iter().flat_map(|file| &file.pieces).map(|piece| piece.line).max().unwrap_or(0);
        let gutter = last_line.to_string().len();
        for file in files.iter().filter(|file| !file.pieces.is_empty()) {
            self.excerpt(file, gutter, diagnostic.severity(), f)?;
        }
        if let Some(help) = diagnostic.help() {
            self.help(&help.to_string(), f)?;
        }
        writeln!(f)
    }
}

/// What is shown of one file.
struct Excerpt {
    /// `name:line:column` of its first label.
    place: String,
    /// Its lines, in order.
    pieces: Vec<Piece>,
}

impl Excerpts {
    fn header(&self, diagnostic: &dyn miette::Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let styles = &self.theme.styles;
        let (word, style) = match diagnostic.severity() {
            Some(miette::Severity::Warning) => ("warning", styles.warning),
            Some(miette::Severity::Advice) => ("note", styles.advice),
            _ => ("error", styles.error),
        };
        let code = diagnostic.code().map(|code| format!("[{code}]")).unwrap_or_default();
        writeln!(f, "{}: {diagnostic}", style.style(format!("{word}{code}")))
    }

    fn read(&self, diagnostic: &dyn miette::Diagnostic) -> Excerpt {
        let labels: Vec<LabeledSpan> = diagnostic.labels().into_iter().flatten().collect();
        let Some(text) = diagnostic.source_code() else { return Excerpt { place: String::new(), pieces: Vec::new() } };
        let place = labels.first().and_then(|label| {
            let line = text.read_span(&(label.offset(), 0).into(), 0, 0).ok()?;
            Some(format!("{}:{}:{}", line.name().unwrap_or_default(), line.line() + 1, line.column() + 1))
        });
        let marks = labels.iter().filter_map(|label| {
            let (first, last) = (label.offset(), label.offset() + label.len().saturating_sub(1));
            Some(Mark {
                span: label.offset()..label.offset() + label.len(),
                first: line_at(text, first)?,
                last: line_at(text, last)?,
                text: label.label().unwrap_or_default().to_string(),
                primary: label.primary(),
            })
        });
        Excerpt { place: place.unwrap_or_default(), pieces: pieces(marks.collect(), self.width) }
    }

    fn excerpt(
        &self,
        file: &Excerpt,
        gutter: usize,
        severity: Option<miette::Severity>,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        let ThemeCharacters { ltop, lbot, hbar, vbar, vbar_break, lbox, rbox, .. } = &self.theme.characters;
        let styles = &self.theme.styles;
        let place = styles.link.style(&file.place);
        writeln!(f, "{:gutter$} {ltop}{hbar}{lbox}{place}{rbox}", "")?;
        for piece in &file.pieces {
            let number = format!("{:>gutter$}", piece.line);
            writeln!(f, "{}", format!("{} {vbar} {}", styles.linum.style(number), piece.text).trim_end())?;
            for mark in &piece.marks {
                let style = match (mark.primary, severity) {
                    (true, Some(miette::Severity::Warning)) => styles.warning,
                    (true, Some(miette::Severity::Advice)) => styles.advice,
                    (true, _) => styles.error,
                    (false, _) => styles.advice,
                };
                let underline = if mark.primary { "^" } else { "-" }.repeat(mark.width);
                let said = format!("{underline} {}", mark.text);
                let row = format!(
                    "{:gutter$} {vbar_break} {:indent$}{}",
                    "",
                    "",
                    style.style(said.trim_end()),
                    indent = mark.indent
                );
                writeln!(f, "{row}")?;
            }
        }
        writeln!(f, "{:gutter$} {lbot}{}", "", hbar.to_string().repeat(4))
    }

    fn help(&self, help: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = help.lines();
        let first = lines.next().unwrap_or_default();
        writeln!(f, "  {} {first}", self.theme.styles.help.style("help:"))?;
        lines.try_for_each(|line| writeln!(f, "{}", format!("        {line}").trim_end()))
    }
}

fn line_at(text: &dyn SourceCode, offset: usize) -> Option<Line<'_>> {
    let line = text.read_span(&(offset, 0).into(), 0, 0).ok()?;
    let content = std::str::from_utf8(line.data()).ok()?;
    Some(Line { number: line.line() + 1, start: line.span().offset(), content })
}
