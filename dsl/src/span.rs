//! Places in source files: who asks "where is that?" gets a [`Span`], who asks "what stands there?" a [`SourceMap`].
//! Nothing here reads a file; texts are handed in.

use serde::Serialize;

/// A file of the [`SourceMap`] it was added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct FileId(pub u32);

/// A half-open byte range of one file. Both ends lie on character boundaries of the file as it was read
/// (a byte order mark and carriage returns count).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Span {
    /// The file that is meant.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte; never less than `start`.
    pub end: u32,
}

impl Span {
    /// The range `start..end` of `file`.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { file, start: clamp(start), end: clamp(end).max(clamp(start)) }
    }

    /// The smallest span that holds both; `other` where they lie in different files.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return other;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty span at the end of this one: where something is missing.
    #[must_use]
    pub fn after(self) -> Span {
        Span { start: self.end, ..self }
    }

    /// The bytes as a range for slicing.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// May stand at the start of a file; people do not see it, so columns do not count it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A source text and the name people know it by.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// What messages call it: the path as the user wrote it.
    pub name: String,
    /// The whole text, as read.
    pub text: String,
    line_starts: Vec<u32>,
}

/// A place as people count it. Columns count characters, from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LineColumn {
    /// The line, from one.
    pub line: usize,
    /// The character in the line, from one.
    pub column: usize,
}

impl SourceFile {
    /// Remembers where each line starts.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(i, _)| u32::try_from(i + 1).unwrap_or(u32::MAX)),
        );
        SourceFile { name: name.into(), text, line_starts }
    }

    /// Line and column of a byte offset; the end of the text where it lies beyond.
    pub fn line_column(&self, offset: u32) -> LineColumn {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|start| *start as usize <= offset).max(1);
        let start = self.line_starts[line - 1] as usize;
        let before = self.text[start..offset].trim_start_matches(BYTE_ORDER_MARK);
        LineColumn { line, column: before.chars().count() + 1 }
    }

    /// The bytes of the line in which an offset stands, without its end (`\n` or `\r\n`).
    pub fn line_range(&self, offset: u32) -> std::ops::Range<usize> {
        let next = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts[next - 1] as usize;
        let end = self.line_starts.get(next).map_or(self.text.len(), |next| *next as usize);
        let line = &self.text[start..end];
        start..start + line.trim_end_matches('\n').trim_end_matches('\r').len()
    }
}

/// Every file that takes part in one check: the pipeline and what it imports.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file and says how it is called from now on.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.files.push(SourceFile::new(name, text));
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    /// The file, if it is one of this map's.
    pub fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }

    /// The text under a span; empty where the span lies outside.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.file).and_then(|f| f.text.get(span.range())).unwrap_or("")
    }

    /// All files, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().enumerate().map(|(i, f)| (FileId(u32::try_from(i).unwrap_or(u32::MAX)), f))
    }
}
