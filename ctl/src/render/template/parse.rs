//! Pieces become nodes.

use super::lex::{Piece, Word, pieces};
use super::{DEPTH_MAX, functions};
use serde_json::Value;
use std::collections::HashMap;
use std::iter::Peekable;
use std::vec::IntoIter;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    Pipe(Pipe),
    /// The first body whose pipe is not empty, or the last one.
    If(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Template(String, Option<Pipe>),
    Break,
    Continue,
}

/// Commands, and the variables that keep what they give.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipe {
    /// At most two, two only in a range; `_` is one that nobody reads.
    pub(super) variables: Vec<String>,
    /// The variables are new.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// A value or function and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Value(Operand),
    Call(String, Vec<Operand>),
}

/// A value and the members that are looked for in it, one in the other.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Literal(Value),
    Pipe(Box<Pipe>),
}

/// What ended a body.
enum Ended {
    Text,
    End,
    Else(Vec<Word>, usize),
}

type Named = HashMap<String, Vec<Node>>;

/// Reads a text: what stands outside `define`, and what is defined.
///
/// # Errors
/// What is wrong, with its line.
pub(super) fn parse(text: &str) -> Result<(Vec<Node>, Named), String> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter(), named: Named::new(), ranges: 0, depth: 0 };
    match parser.body()? {
        (nodes, Ended::Text) => Ok((nodes, parser.named)),
        (_, Ended::End) => Err(format!("line {}: end without a beginning", last_line(text, &parser))),
        (_, Ended::Else(_, line)) => Err(format!("line {line}: else without a beginning")),
    }
}

/// The line of the action that was read last.
fn last_line(text: &str, parser: &Parser<'_>) -> usize {
    let left: usize = parser.pieces.clone().filter(|piece| matches!(piece, Piece::Action(..))).count();
    let all = pieces(text).unwrap_or_default();
    let lines = all.iter().filter_map(|piece| match piece {
        Piece::Action(_, line) => Some(*line),
        Piece::Text(_) => None,
    });
    lines.rev().nth(left).unwrap_or(1)
}

struct Parser<'t> {
    pieces: IntoIter<Piece<'t>>,
    named: Named,
    /// How many ranges are open.
    ranges: usize,
    depth: usize,
}

impl Parser<'_> {
    fn body(&mut self) -> Result<(Vec<Node>, Ended), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let (words, line) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.to_owned()));
                    continue;
                }
                Piece::Action(words, line) => (words, line),
            };
            let keyword = match &words[0] {
                Word::Name(name) => name.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "end" => return Ok((nodes, Ended::End)),
                "else" => return Ok((nodes, Ended::Else(words[1..].to_vec(), line))),
                _ => {}
            }
            let node =
                self.action(&keyword, words, line).map_err(|error| match error.starts_with("line ") {
                    true => error,
                    false => format!("line {line}: {error}"),
                })?;
            nodes.extend(node);
        }
        Ok((nodes, Ended::Text))
    }

    fn action(&mut self, keyword: &str, words: Vec<Word>, line: usize) -> Result<Option<Node>, String> {
        let mut rest = words.into_iter().peekable();
        if matches!(keyword, "if" | "with" | "range" | "define" | "block" | "template" | "break" | "continue")
        {
            rest.next();
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("actions are nested too deep".into());
        }
        let node = match keyword {
            "if" => Some(self.choice(rest, line)?),
            "with" => {
                let pipe = whole(rest, 1)?;
                let (body, other) = self.bodies(keyword)?;
                Some(Node::With(pipe, body, other))
            }
            "range" => {
                let pipe = whole(rest, 2)?;
                self.ranges += 1;
                let read = self.bodies(keyword);
                self.ranges -= 1;
                let (body, other) = read?;
                Some(Node::Range(pipe, body, other))
            }
            "define" => {
                let (name, None) = named(rest)? else { return Err("define takes a name alone".into()) };
                self.define(name, keyword)?;
                None
            }
            "block" => {
                let (name, pipe) = named(rest)?;
                // Of a name that is defined it has no body of its own, and so no end.
                if !self.named.contains_key(&name) {
                    self.define(name.clone(), keyword)?;
                }
                Some(Node::Template(name, pipe))
            }
            "template" => {
                let (name, pipe) = named(rest)?;
                Some(Node::Template(name, pipe))
            }
            "break" | "continue" if self.ranges == 0 => return Err(format!("{keyword} outside a range")),
            "break" => Some(Node::Break),
            "continue" => Some(Node::Continue),
            _ => Some(Node::Pipe(whole(rest, 1)?)),
        };
        self.depth -= 1;
        Ok(node)
    }

    fn choice(&mut self, words: Peekable<IntoIter<Word>>, line: usize) -> Result<Node, String> {
        let mut choices = Vec::new();
        let mut words = words;
        loop {
            let pipe = whole(words, 1)?;
            let (body, ended) = self.body()?;
            choices.push((pipe, body));
            match ended {
                Ended::End => return Ok(Node::If(choices, Vec::new())),
                Ended::Text => return Err(format!("line {line}: if without end")),
                Ended::Else(more, _) if more.is_empty() => {
                    let (last, Ended::End) = self.body()? else {
                        return Err(format!("line {line}: if without end"));
                    };
                    return Ok(Node::If(choices, last));
                }
                Ended::Else(more, line) => {
                    words = more.into_iter().peekable();
                    if words.next() != Some(Word::Name("if".into())) {
                        return Err(format!("line {line}: expected if after else"));
                    }
                }
            }
        }
    }

    /// A body, and that of `else` if there is one.
    fn bodies(&mut self, keyword: &str) -> Result<(Vec<Node>, Vec<Node>), String> {
        let (body, ended) = self.body()?;
        let other = match ended {
            Ended::End => return Ok((body, Vec::new())),
            Ended::Else(words, _) if words.is_empty() => self.body()?,
            Ended::Else(..) => return Err("else takes nothing here".into()),
            Ended::Text => return Err(format!("{keyword} without end")),
        };
        match other {
            (other, Ended::End) => Ok((body, other)),
            _ => Err(format!("{keyword} without end")),
        }
    }

    fn define(&mut self, name: String, keyword: &str) -> Result<(), String> {
        let ranges = std::mem::take(&mut self.ranges);
        let (body, ended) = self.body()?;
        self.ranges = ranges;
        match ended {
            Ended::End => _ = self.named.insert(name, body),
            _ => return Err(format!("{keyword} without end")),
        }
        Ok(())
    }
}

/// A name in quotes and a pipe, or none.
fn named(mut words: Peekable<IntoIter<Word>>) -> Result<(String, Option<Pipe>), String> {
    let Some(Word::Text(name)) = words.next() else { return Err("expected a name in quotes".into()) };
    let pipe = if words.peek().is_none() { None } else { Some(whole(words, 1)?) };
    Ok((name, pipe))
}

/// A pipe that takes all the words, with at most so many variables.
fn whole(words: Peekable<IntoIter<Word>>, variables_max: usize) -> Result<Pipe, String> {
    let mut words: Vec<Word> = words.collect();
    let sign = words.iter().position(|word| matches!(word, Word::Sign('=' | ':')));
    let mut variables = Vec::new();
    let mut declares = false;
    if let Some(sign) = sign {
        declares = words[sign] == Word::Sign(':');
        for (at, word) in words.drain(..=sign).enumerate() {
            match word {
                Word::Variable(name) if at % 2 == 0 && !name.is_empty() => variables.push(name),
                // A variable that nobody wants: no name that can be asked for.
                Word::Name(name) if at % 2 == 0 && name == "_" => variables.push(name),
                Word::Sign(',') if at % 2 == 1 => {}
                Word::Sign('=' | ':') if at % 2 == 1 => {}
                _ => return Err("expected variables before the = sign".into()),
            }
        }
        if variables.len() > variables_max {
            return Err("too many variables".into());
        }
    }
    let mut words = words.into_iter().peekable();
    let commands = commands(&mut words, 0)?;
    if words.next().is_some() {
        return Err("a parenthesis that was not opened".into());
    }
    Ok(Pipe { variables, declares, commands })
}

/// Commands up to the end or a closing parenthesis.
fn commands(words: &mut Peekable<IntoIter<Word>>, depth: usize) -> Result<Vec<Command>, String> {
    if depth > DEPTH_MAX {
        return Err("parentheses are nested too deep".into());
    }
    let mut commands = Vec::new();
    loop {
        let function = match words.peek() {
            Some(Word::Name(name)) if literal(name).is_none() => Some(name.clone()),
            _ => None,
        };
        if let Some(name) = &function {
            if !functions::is_known(name) {
                return Err(format!("there is no function {name}"));
            }
            words.next();
        }
        let mut operands = Vec::new();
        while !matches!(words.peek(), None | Some(Word::Sign(')' | '|'))) {
            operands.push(operand(words, depth)?);
        }
        commands.push(match function {
            Some(name) => Command::Call(name, operands),
            None if operands.len() > 1 => return Err("only functions take arguments".into()),
            None => Command::Value(operands.pop().ok_or("a value is missing")?),
        });
        if words.peek() != Some(&Word::Sign('|')) {
            break;
        }
        words.next();
        if !matches!(words.peek(), Some(Word::Name(name)) if literal(name).is_none()) {
            return Err("expected a function after |".into());
        }
    }
    Ok(commands)
}

fn operand(words: &mut Peekable<IntoIter<Word>>, depth: usize) -> Result<Operand, String> {
    let mut fields = Vec::new();
    let base = match words.next() {
        Some(Word::Dot) => Base::Dot,
        Some(Word::Field { name, .. }) => {
            fields.push(name);
            Base::Dot
        }
        Some(Word::Variable(name)) => Base::Variable(name),
        Some(Word::Text(text)) => Base::Literal(text.into()),
        Some(Word::Integer(number)) => Base::Literal(number.into()),
        Some(Word::Float(number)) => Base::Literal(number.into()),
        Some(Word::Name(name)) => match literal(&name) {
            Some(value) => Base::Literal(value),
            // A function without arguments.
            None if functions::is_known(&name) => {
                let commands = vec![Command::Call(name, Vec::new())];
                Base::Pipe(Box::new(Pipe { variables: Vec::new(), declares: false, commands }))
            }
            None => return Err(format!("there is no function {name}")),
        },
        Some(Word::Sign('(')) => {
            let commands = commands(words, depth + 1)?;
            if words.next() != Some(Word::Sign(')')) {
                return Err("a parenthesis that is not closed".into());
            }
            Base::Pipe(Box::new(Pipe { variables: Vec::new(), declares: false, commands }))
        }
        Some(Word::Sign(sign)) => return Err(format!("{sign:?} means nothing here")),
        None => return Err("a value is missing".into()),
    };
    while let Some(Word::Field { joined: true, .. }) = words.peek() {
        if let Some(Word::Field { name, .. }) = words.next() {
            fields.push(name);
        }
    }
    Ok(Operand { base, fields })
}

fn literal(name: &str) -> Option<Value> {
    match name {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        "nil" => Some(Value::Null),
        _ => None,
    }
}
