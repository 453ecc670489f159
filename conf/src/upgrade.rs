//! Today's words: what of a configuration is out of date, and the text that says the same.
//!
//! Works on the text as it was written: a change replaces the place of a word and leaves the rest of its line, the
//! comments and the layout alone. Lines keep their numbers, so that the two files can be laid side by side.

use crate::diag::{Findings, Problem};
use crate::grammar::{Status, Switch};
use crate::lower;
use crate::source::{FileId, Sources, Span};
use crate::tree::Statement;
use std::collections::HashMap;

/// Longest text that is shown as ready to paste.
const PASTE_MAX: usize = 100;

/// One place of a text and what stands there today.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit {
    /// Empty for text that is put in.
    at: Span,
    text: String,
}

/// What a statement becomes.
#[derive(Debug)]
struct Change<'t> {
    statement: &'t Statement,
    why: Why,
    edits: Vec<Edit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its word is out of date; what to write in general.
    Old(&'static str),
    /// It has no effect, for this reason.
    Idle(&'static str),
    /// Another statement, which is out of date, is about it too.
    Other,
}

/// How an old word is said today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Today {
    /// By another word, with the same arguments.
    Word(&'static str),
    /// By this word and `-icase`.
    WithoutCase(&'static str),
    /// `ErrNNN`: by `ErrorFile NNN`.
    Page,
    /// `XSSLHeaders`: by `HeaderOption`.
    SslHeaders,
    /// `WebDAV` and `MSDAV`: by `xHTTP`.
    Methods,
    /// Not at all: what it does is done where it has an effect.
    Elsewhere,
}

/// Directives whose patterns `IgnoreCase` is about.
const CASED: [&str; 7] = ["URL", "Path", "Query", "QueryParam", "StringMatch", "CheckURL", "DeleteHeader"];

/// Directives that say together which methods a listener allows.
const METHODS: [&str; 3] = ["xHTTP", "WebDAV", "MSDAV"];

/// How an old word is said today, if it is one.
fn today(word: &str) -> Option<Today> {
    Some(match word.to_ascii_lowercase().as_str() {
        "addheader" | "headeradd" => Today::Word("SetHeader"),
        "headremove" | "headerremove" => Today::WithoutCase("DeleteHeader"),
        "change30x" => Today::Word("RewriteLocation"),
        "headrequire" => Today::Word("Header"),
        "headdeny" => Today::Word("Not Header"),
        "ignorecase" => Today::Elsewhere,
        "webdav" | "msdav" => Today::Methods,
        "disablesslv2" => Today::Word("Disable SSLv2"),
        "disablesslv3" => Today::Word("Disable SSLv3"),
        "xsslheaders" => Today::SslHeaders,
        old if old.starts_with("err") && old.len() == 6 => Today::Page,
        _ => return None,
    })
}

/// Warns of words that are out of date, each once with what to write instead, and of directives without effect.
pub(crate) fn advise(tree: &[Statement], sources: &Sources, findings: &mut Findings) {
    let mut old: Vec<(String, &Change<'_>, usize)> = Vec::new();
    let changes = changes(tree, sources);
    for change in &changes {
        match change.why {
            Why::Old(_) => {
                let word = change.statement.word.to_ascii_lowercase();
                match old.iter_mut().find(|(known, ..)| *known == word) {
                    Some((_, _, more)) => *more += 1,
                    None => old.push((word, change, 0)),
                }
            }
            Why::Idle(why) => {
                let text = format!("{} has no effect: {why}", change.statement.row.name);
                findings.push(Problem::warning(change.statement.keyword, text));
            }
            Why::Other => {}
        }
    }
    for (_, change, more) in old {
        let Why::Old(general) = change.why else { continue };
        let mut text = format!("{} is out of date", change.statement.word);
        if more > 0 {
            text.push_str(&format!(
                ", here and in {more} more {}",
                if more == 1 { "place" } else { "places" }
            ));
        }
        let write = ready_to_paste(change, sources).unwrap_or_else(|| general.to_owned());
        findings.push(Problem::warning(change.statement.keyword, text).help(format!("write {write}")));
    }
}

/// The statement in today's words, if that is short and on one line.
fn ready_to_paste(change: &Change<'_>, sources: &Sources) -> Option<String> {
    if !change.statement.sound {
        return None;
    }
    let text = rewritten(sources, extent(change.statement), &change.edits);
    // Nobody is told to write a comment.
    (!text.starts_with('#') && text.len() <= PASTE_MAX && !text.contains('\n')).then_some(text)
}

/// The files of a configuration whose text changes, with the new text of each.
///
/// # Errors
/// A file that is included twice and would have to be changed in two ways.
pub(crate) fn files(tree: &[Statement], sources: &Sources) -> Result<Vec<(FileId, String)>, Problem> {
    let mut edits: HashMap<FileId, Vec<Edit>> = HashMap::new();
    for change in changes(tree, sources) {
        edits.entry(change.statement.keyword.file).or_default().extend(change.edits);
    }
    let mut files: Vec<(FileId, String)> = Vec::new();
    for file in sources.files() {
        let text = rewritten(sources, sources.whole(file), edits.get(&file).map_or(&[], Vec::as_slice));
        match files.iter().find(|(known, _)| sources.is_same(*known, file)) {
            Some((_, known)) if *known == text => {}
            Some(_) => {
                let text = format!("{} is included with IgnoreCase and without", sources.name(file));
                let at = sources.included_at(file).unwrap_or_else(|| sources.whole(file));
                return Err(Problem::error(at, text).help("write -icase before its patterns by hand"));
            }
            None => files.push((file, text)),
        }
    }
    files.retain(|(file, text)| text != sources.text(*file));
    Ok(files)
}

/// All changes of a tree, in the order of its statements.
fn changes<'t>(tree: &'t [Statement], sources: &Sources) -> Vec<Change<'t>> {
    let mut changes = Vec::new();
    let mut ignore_case = false;
    walk(tree, sources, &mut ignore_case, &mut changes);
    changes
}

/// `IgnoreCase` holds for all that follows it, in whatever section.
fn walk<'t>(
    block: &'t [Statement],
    sources: &Sources,
    ignore_case: &mut bool,
    changes: &mut Vec<Change<'t>>,
) {
    for statement in block {
        let row = statement.row;
        if let Status::NoEffect(why) = row.status {
            changes.push(Change {
                statement,
                why: Why::Idle(why),
                edits: vec![comment_out(statement, sources)],
            });
        }
        if let Some(general) = row.advice(&statement.word) {
            let edits = match today(&statement.word) {
                Some(Today::Methods) => of_methods(statement, block, sources),
                _ => edits(statement, sources),
            };
            changes.push(Change { statement, why: Why::Old(general), edits });
        } else if METHODS.contains(&row.name) && block.iter().any(says_methods) {
            let edits = of_methods(statement, block, sources);
            changes.push(Change { statement, why: Why::Other, edits });
        } else if *ignore_case && statement.sound && CASED.contains(&row.name) && !says_case(statement) {
            let edits = vec![put_in(statement.keyword, " -icase")];
            changes.push(Change { statement, why: Why::Other, edits });
        }
        if row.name == "IgnoreCase" && statement.sound {
            *ignore_case = statement.flag();
        }
        walk(statement.block(), sources, ignore_case, changes);
    }
}

/// Whether a statement says in an old word which methods are allowed.
fn says_methods(statement: &Statement) -> bool {
    statement.sound && today(&statement.word) == Some(Today::Methods)
}

/// The first of a block's statements about methods says today what they say together; the others are left out.
fn of_methods(statement: &Statement, block: &[Statement], sources: &Sources) -> Vec<Edit> {
    if !statement.sound {
        return Vec::new();
    }
    let first = block.iter().find(|other| other.sound && METHODS.contains(&other.row.name));
    if first.is_some_and(|first| first.keyword != statement.keyword) {
        return vec![comment_out(statement, sources)];
    }
    vec![Edit { at: extent(statement), text: format!("xHTTP {}", lower::methods(block)) }]
}

fn says_case(statement: &Statement) -> bool {
    statement.has(Switch::Case) || statement.has(Switch::Icase)
}

/// What is to be done to a statement whose word is out of date; nothing when its line is wrong.
fn edits(statement: &Statement, sources: &Sources) -> Vec<Edit> {
    let keyword = statement.keyword;
    if !statement.sound {
        return Vec::new();
    }
    let instead = |text: &str| Edit { at: keyword, text: text.to_owned() };
    match today(&statement.word) {
        Some(Today::Word(word)) => vec![instead(word)],
        Some(Today::WithoutCase(word)) => {
            // The old word never looked at case, whatever its options said.
            let sensitive = statement.switches.iter().filter(|switched| switched.switch == Switch::Case);
            let mut edits: Vec<Edit> =
                sensitive.map(|switched| Edit { at: switched.span, text: "-icase".to_owned() }).collect();
            edits.push(instead(word));
            if !says_case(statement) {
                edits.push(put_in(keyword, " -icase"));
            }
            edits
        }
        Some(Today::Page) => {
            vec![instead(&format!("ErrorFile {}", statement.word.get(3..).unwrap_or_default()))]
        }
        Some(Today::SslHeaders) => {
            let option = if statement.number(0) == Some(0) { "no-ssl" } else { "ssl" };
            vec![Edit { at: extent(statement), text: format!("HeaderOption {option}") }]
        }
        Some(Today::Elsewhere) => vec![comment_out(statement, sources)],
        Some(Today::Methods) | None => Vec::new(),
    }
}

/// Text behind a word.
fn put_in(word: Span, text: &str) -> Edit {
    Edit { at: Span { start: word.end, ..word }, text: text.to_owned() }
}

/// Makes a comment of a statement; a string in it may hold line ends.
fn comment_out(statement: &Statement, sources: &Sources) -> Edit {
    let at = extent(statement);
    let text = sources.text(at.file).get(at.start as usize..at.end as usize).unwrap_or_default();
    Edit { at, text: format!("# {}", text.replace('\n', "\n# ")) }
}

/// From the keyword to the last argument.
fn extent(statement: &Statement) -> Span {
    let switches = statement.switches.iter().map(|switched| switched.span);
    let values = statement.values.iter().map(|given| given.span);
    switches.chain(values).fold(statement.keyword, Span::to)
}

/// A range of a text with changes made.
fn rewritten(sources: &Sources, range: Span, edits: &[Edit]) -> String {
    let text = sources.text(range.file);
    let mut edits: Vec<&Edit> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let mut out = String::new();
    let mut from = range.start as usize;
    for edit in edits {
        let (start, end) = (edit.at.start as usize, edit.at.end as usize);
        out.push_str(text.get(from..start).unwrap_or_default());
        out.push_str(&edit.text);
        from = end.max(from);
    }
    out.push_str(text.get(from..range.end as usize).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar;

    /// A word that is called out of date and has no successor here would be left as it is, silently.
    #[test]
    fn each_old_word_is_known_here() {
        for row in grammar::rows() {
            for word in row.spellings().filter(|word| row.advice(word).is_some()) {
                assert!(today(word).is_some(), "{word}");
            }
        }
    }
}
