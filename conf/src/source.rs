//! The files of a configuration: their text, where each was included, and places in them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileId(u32);

/// A range of bytes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: FileId,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// From the start of `self` to the end of `last`, when both are of one file.
    pub(crate) fn to(self, last: Span) -> Span {
        if self.file == last.file { Span { end: last.end.max(self.end), ..self } } else { self }
    }
}

/// A range of a file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as it was named.
    pub file: String,
    /// First character.
    pub start: Position,
    /// Last character (inclusive, as Pound counts).
    pub end: Position,
    /// The first line of the range, without its line end.
    pub excerpt: String,
    /// The range in `excerpt`, in bytes; cut at its end.
    pub range: std::ops::Range<usize>,
}

/// A position in a file, counted as Pound does: from 1, a byte is one column and a TAB is eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Largest file that is read: a limit for mistakes such as including a disk image.
pub(crate) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Most files of one configuration, counted each time they are included.
const FILES_MAX: usize = 4096;
/// Deepest chain of includes.
const CHAIN_MAX: usize = 32;

/// A file that was read.
#[derive(Debug)]
struct Source {
    /// As it was named, for messages.
    name: String,
    /// Device and inode, for finding cycles; `None` for text that is not a file.
    identity: Option<(u64, u64)>,
    text: String,
    /// The `Include` that brought it.
    included_at: Option<Span>,
    /// Byte offset of each line's first byte.
    lines: Vec<u32>,
    /// Byte offset of the first character that was not UTF-8.
    foreign: Option<u32>,
}

/// All files of a run, in the order in which they were opened.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds text that is not in a file.
    pub(crate) fn add_text(&mut self, name: &str, text: &str) -> FileId {
        self.add(name.to_owned(), None, text.to_owned(), None)
    }

    /// Reads a file. The error is a sentence without the place.
    pub(crate) fn open(&mut self, path: &Path, included_at: Option<Span>) -> Result<FileId, String> {
        let shown = path.display();
        let status = fs::metadata(path).map_err(|e| format!("cannot open {shown}: {}", reason(&e)))?;
        let identity = (status.dev(), status.ino());
        if let Some(span) = included_at {
            self.check_chain(identity, span).map_err(|e| format!("{shown} {e}"))?;
        }
        if self.files.len() >= FILES_MAX {
            return Err(format!("more than {FILES_MAX} files are included"));
        }
        // An included pipe would block for ever; the main file may be one, as in `-f <(generate)`.
        let bytes = if included_at.is_some() { read_regular(path) } else { read_any(path) };
        let bytes = bytes.map_err(|e| format!("cannot read {shown}: {}", reason(&e)))?;
        let (text, foreign) = decoded(bytes);
        let id = self.add(shown.to_string(), Some(identity), text, included_at);
        self.files[id.0 as usize].foreign = foreign;
        Ok(id)
    }

    /// Where a file's first character is that is not UTF-8.
    pub(crate) fn foreign(&self, file: FileId) -> Option<Span> {
        // Two bytes hold it now.
        self.files[file.0 as usize].foreign.map(|start| Span { file, start, end: start + 2 })
    }

    fn add(&mut self, name: String, identity: Option<(u64, u64)>, text: String, at: Option<Span>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let breaks = text.bytes().zip(1u32..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
        let lines = std::iter::once(0).chain(breaks).collect();
        self.files.push(Source { name, identity, text, included_at: at, lines, foreign: None });
        id
    }

    /// Refuses a file that is already open in the chain that ends at `at`.
    fn check_chain(&self, identity: (u64, u64), at: Span) -> Result<(), String> {
        let mut next = Some(at);
        let mut depth = 0;
        while let Some(span) = next {
            let source = &self.files[span.file.0 as usize];
            if source.identity == Some(identity) {
                return Err("includes itself".to_owned());
            }
            depth += 1;
            if depth >= CHAIN_MAX {
                return Err(format!("is included more than {CHAIN_MAX} files deep"));
            }
            next = source.included_at;
        }
        Ok(())
    }

    /// The text of a file.
    pub(crate) fn text(&self, file: FileId) -> &str {
        &self.files[file.0 as usize].text
    }

    /// All files, in the order in which they were opened.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..u32::try_from(self.files.len()).unwrap_or(u32::MAX)).map(FileId)
    }

    /// The name of a file, as it was given.
    pub(crate) fn name(&self, file: FileId) -> &str {
        &self.files[file.0 as usize].name
    }

    /// Where a file is included; `None` for the main one.
    pub(crate) fn included_at(&self, file: FileId) -> Option<Span> {
        self.files[file.0 as usize].included_at
    }

    /// Whether both are the same file, included more than once.
    pub(crate) fn is_same(&self, one: FileId, other: FileId) -> bool {
        let [one, other] = [one, other].map(|file| &self.files[file.0 as usize]);
        one.identity.is_some() && one.identity == other.identity
    }

    /// All of a file's text.
    pub(crate) fn whole(&self, file: FileId) -> Span {
        // Files are at most 16 MiB.
        Span { file, start: 0, end: self.text(file).len() as u32 }
    }

    /// A key that sorts spans as a reader meets them: an included file at the line that includes it.
    pub(crate) fn reading_order(&self, span: Span) -> Vec<(u32, u32)> {
        let mut key = vec![(span.start, span.file.0)];
        let mut next = self.files[span.file.0 as usize].included_at;
        while let Some(at) = next {
            key.push((at.start, at.file.0));
            next = self.files[at.file.0 as usize].included_at;
        }
        key.reverse();
        key
    }

    /// A span as a person counts it.
    pub(crate) fn place(&self, span: Span) -> Place {
        let source = &self.files[span.file.0 as usize];
        let start = source.position(span.start);
        let last = span.end.max(span.start + 1) - 1;
        let end = source.position(last.min(source.text.len() as u32));
        let from = source.lines[start.line as usize - 1] as usize;
        let excerpt = source.text[from..].split('\n').next().unwrap_or("").trim_end_matches('\r').to_owned();
        let first = (span.start as usize - from).min(excerpt.len());
        let past = (span.end as usize - from).clamp(first, excerpt.len());
        Place { file: source.name.clone(), start, end, excerpt, range: first..past }
    }
}

impl Source {
    fn position(&self, offset: u32) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let from = self.lines[line - 1] as usize;
        let to = (offset as usize).min(self.text.len());
        // Pound adds eight for a TAB wherever it stands; editors that jump to a column were taught so.
        let before: u32 =
            self.text.as_bytes()[from..to].iter().map(|b| if *b == b'\t' { 8 } else { 1 }).sum();
        let tab = self.text.as_bytes().get(to) == Some(&b'\t');
        Position { line: line as u32, column: before + if tab { 8 } else { 1 } }
    }
}

/// A file's text, and where its first byte is that is not UTF-8. Such bytes are taken for Latin-1, in which the comments of
/// many an old file are written.
fn decoded(bytes: Vec<u8>) -> (String, Option<u32>) {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return (text, None),
        Err(error) => error.into_bytes(),
    };
    let (mut text, mut foreign) = (String::with_capacity(2 * bytes.len()), None);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            // Files are at most 16 MiB.
            foreign = foreign.or(Some(text.len() as u32));
            text.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
        }
    }
    (text, foreign)
}

/// Reads a regular file of at most [`FILE_BYTES_MAX`] bytes.
pub(crate) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    open_regular(path)?;
    read_any(path)
}

/// Opens a regular file. What is in it may be a key: that is read by nobody who only wants to know whether it can be.
pub(crate) fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

fn read_any(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("longer than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// The files that a name stands for: itself, or in order those that match it as a pattern.
pub(crate) fn expand(name: &Path) -> Result<Vec<PathBuf>, String> {
    let Some(pattern) = name.to_str().filter(|text| text.contains(['*', '?', '['])) else {
        return Ok(vec![name.to_owned()]);
    };
    // As a shell: what starts with a dot, such as an editor's own files, is not meant.
    let shell = glob::MatchOptions {
        require_literal_leading_dot: true,
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let found = glob::glob_with(pattern, shell)
        .map_err(|e| format!("{pattern} is no pattern for files: {}", e.msg))?;
    // A directory that cannot be read hides files that the owner meant; say so rather than load the rest.
    let mut paths =
        found.collect::<Result<Vec<_>, _>>().map_err(|e| format!("cannot read {}", e.path().display()))?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

/// The system's words for an error, without Rust's `(os error N)`.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
