//! A text becomes pieces: text as it is, and actions as words.

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    /// The words of an action, and the line that it begins in.
    Action(Vec<Word>, usize),
}

/// A word of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A function or keyword.
    Name(String),
    /// `$x`; `$` alone is the empty name.
    Variable(String),
    /// `.x`; what stands before it is `joined` if no blank is between.
    Field {
        name: String,
        joined: bool,
    },
    Dot,
    Text(String),
    Integer(i64),
    Float(f64),
    /// `|`, `(`, `)`, `,`, `=` or `:=` as `:`.
    Sign(char),
}

/// Cuts a text.
///
/// # Errors
/// What is wrong, with its line.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let (mut line, mut counted) = (1, 0);
    while let Some(start) = rest.find("{{") {
        let at = text.len() - rest.len() + start;
        line += text[counted..at].matches('\n').count();
        counted = at;
        let before = &rest[..start];
        let mut inside = &rest[start + 2..];
        let trims = inside.strip_prefix('-').filter(|after| after.starts_with(char::is_whitespace));
        pieces.push(Piece::Text(if trims.is_some() { before.trim_end() } else { before }));
        inside = trims.unwrap_or(inside);
        let (words, after) = action(inside.trim_start()).map_err(|error| format!("line {line}: {error}"))?;
        if !words.is_empty() {
            pieces.push(Piece::Action(words, line));
        }
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| !matches!(piece, Piece::Text("")));
    Ok(pieces)
}

/// The words up to the end of an action, and what follows it. A comment has none.
fn action(text: &str) -> Result<(Vec<Word>, &str), String> {
    if let Some(comment) = text.strip_prefix("/*") {
        let (_, after) = comment.split_once("*/").ok_or("a comment that is not closed")?;
        return end(after)
            .map(|after| (Vec::new(), after))
            .ok_or_else(|| "a comment beside other things".into());
    }
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        if let Some(after) = end(rest) {
            return Ok((words, after));
        }
        let joined = !rest.starts_with(char::is_whitespace) && !words.is_empty();
        rest = rest.trim_start();
        let (word, after) = word(rest, joined)?;
        words.push(word);
        rest = after;
    }
}

/// What follows the end of an action, if it ends here.
fn end(text: &str) -> Option<&str> {
    if let Some(after) = text.trim_start().strip_prefix("}}") {
        return Some(after);
    }
    let trimming = text.starts_with(char::is_whitespace).then(|| text.trim_start().strip_prefix("-}}"));
    trimming.flatten().map(str::trim_start)
}

fn word(text: &str, joined: bool) -> Result<(Word, &str), String> {
    let first = text.chars().next().ok_or("an action that is not closed")?;
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let name = |from: &str| -> usize { from.find(|letter| !is_name(letter)).unwrap_or(from.len()) };
    let after_first = &text[first.len_utf8()..];
    match first {
        '"' => string(after_first),
        '`' => {
            let (raw, after) = after_first.split_once('`').ok_or("a string that is not closed")?;
            Ok((Word::Text(raw.to_owned()), after))
        }
        '|' | '(' | ')' | ',' | '=' => Ok((Word::Sign(first), after_first)),
        ':' => {
            let after = after_first.strip_prefix('=').ok_or("expected := after a variable")?;
            Ok((Word::Sign(':'), after))
        }
        '$' => {
            let (name, after) = after_first.split_at(name(after_first));
            Ok((Word::Variable(name.to_owned()), after))
        }
        '.' if after_first.starts_with(is_name) => {
            let (name, after) = after_first.split_at(name(after_first));
            Ok((Word::Field { name: name.to_owned(), joined }, after))
        }
        '.' => Ok((Word::Dot, after_first)),
        '0'..='9' | '-' | '+' => number(text),
        letter if is_name(letter) => {
            let (name, after) = text.split_at(name(text));
            Ok((Word::Name(name.to_owned()), after))
        }
        other => Err(format!("{other:?} means nothing here")),
    }
}

fn number(text: &str) -> Result<(Word, &str), String> {
    let signed = usize::from(text.starts_with(['-', '+']));
    let length = text[signed..].find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.');
    let (digits, after) = text.split_at(length.map_or(text.len(), |length| length + signed));
    if let Ok(integer) = digits.parse() {
        return Ok((Word::Integer(integer), after));
    }
    match digits.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok((Word::Float(float), after)),
        _ => Err(format!("{digits:?} is no number")),
    }
}

fn string(text: &str) -> Result<(Word, &str), String> {
    let mut read = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((Word::Text(read), &text[at + 1..])),
            '\n' => break,
            '\\' => match letters.next() {
                Some((_, 'n')) => read.push('\n'),
                Some((_, 't')) => read.push('\t'),
                Some((_, 'r')) => read.push('\r'),
                Some((_, other)) => read.push(other),
                None => break,
            },
            other => read.push(other),
        }
    }
    Err("a string that is not closed".into())
}
