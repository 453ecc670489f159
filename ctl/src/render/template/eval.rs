//! Nodes and an answer become text.

use super::functions::{self, is_empty};
use super::parse::{Base, Command, Node, Operand, Pipe};
use super::{DEPTH_MAX, STEPS_MAX};
use serde_json::Value;
use std::collections::HashMap;

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Run<'t> {
    named: &'t HashMap<String, Vec<Node>>,
    out: String,
    /// The variables that are known, the last of a name first; `$` has the empty name.
    variables: Vec<(String, Value)>,
    depth: usize,
    steps: usize,
}

/// Runs a template.
///
/// # Errors
/// Why it cannot be run to its end.
pub(super) fn run(named: &HashMap<String, Vec<Node>>, name: &str, answer: &Value) -> Result<String, String> {
    let mut run = Run { named, out: String::new(), variables: Vec::new(), depth: 0, steps: 0 };
    run.template(name, answer)?;
    Ok(run.out)
}

impl Run<'_> {
    fn template(&mut self, name: &str, dot: &Value) -> Result<(), String> {
        let nodes = self.named.get(name).ok_or_else(|| format!("no template is named {name}"))?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("templates run each other without end".into());
        }
        // What the one that runs it has kept is known in it too.
        let known = self.variables.len();
        self.variables.push((String::new(), dot.clone()));
        let flow = self.nodes(nodes, dot);
        self.variables.truncate(known);
        self.depth -= 1;
        flow.map(|_| ())
    }

    /// Runs a body; variables that it makes end with it.
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, String> {
        let known = self.variables.len();
        let mut flow = Flow::Next;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::Next {
                break;
            }
        }
        self.variables.truncate(known);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err("the template does not come to an end".into());
        }
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Pipe(pipe) => {
                let value = self.pipe(pipe, dot)?;
                match pipe.variables.first() {
                    Some(name) => self.keep(name, value, pipe.declares)?,
                    None => self.out.push_str(&functions::text(&value)),
                }
            }
            Node::If(choices, last) => {
                let known = self.variables.len();
                let mut chosen = last;
                for (pipe, body) in choices {
                    if !is_empty(&self.kept(pipe, dot)?) {
                        chosen = body;
                        break;
                    }
                }
                let flow = self.nodes(chosen, dot);
                self.variables.truncate(known);
                return flow;
            }
            Node::With(pipe, body, other) => {
                let known = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                let inner = match pipe.variables.first() {
                    Some(name) => {
                        self.keep(name, value.clone(), true)?;
                        dot
                    }
                    None => &value,
                };
                let flow = if is_empty(&value) { self.nodes(other, dot) } else { self.nodes(body, inner) };
                self.variables.truncate(known);
                return flow;
            }
            Node::Range(pipe, body, other) => return self.range(pipe, body, other, dot),
            Node::Template(name, pipe) => {
                let value = match pipe {
                    Some(pipe) => self.pipe(pipe, dot)?,
                    None => Value::Null,
                };
                self.template(name, &value)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], other: &[Node], dot: &Value) -> Result<Flow, String> {
        let items: Vec<(Value, Value)> = match self.pipe(pipe, dot)? {
            Value::Array(items) => (0..items.len()).map(Value::from).zip(items).collect(),
            // serde_json keeps the names sorted.
            Value::Object(members) => members.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            value if is_empty(&value) => Vec::new(),
            _ => return Err("range takes an array or an object".into()),
        };
        if items.is_empty() {
            return self.nodes(other, dot);
        }
        let known = self.variables.len();
        for (key, value) in items {
            let inner = if pipe.variables.is_empty() { &value } else { dot };
            match &pipe.variables[..] {
                [one] => self.keep(one, value.clone(), true)?,
                [first, second] => {
                    self.keep(first, key, true)?;
                    self.keep(second, value.clone(), true)?;
                }
                _ => {}
            }
            let flow = self.nodes(body, inner)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::Next)
    }

    fn keep(&mut self, name: &str, value: Value, declares: bool) -> Result<(), String> {
        if declares {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let variable = self.variables.iter_mut().rfind(|(known, _)| known == name);
        variable.ok_or_else(|| format!("there is no variable ${name}"))?.1 = value;
        Ok(())
    }

    /// What a pipe gives, kept in its variable too.
    fn kept(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        let value = self.pipe(pipe, dot)?;
        if let Some(name) = pipe.variables.first() {
            self.keep(name, value.clone(), pipe.declares)?;
        }
        Ok(value)
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        self.commands(&pipe.commands, dot)
    }

    fn commands(&mut self, commands: &[Command], dot: &Value) -> Result<Value, String> {
        let mut given: Option<Value> = None;
        for command in commands {
            let value = match command {
                Command::Value(operand) => self.operand(operand, dot)?,
                Command::Call(name, operands) => {
                    let mut arguments = Vec::with_capacity(operands.len() + 1);
                    for operand in operands {
                        arguments.push(self.operand(operand, dot)?);
                    }
                    arguments.extend(given.take());
                    functions::call(name, &arguments)?
                }
            };
            given = Some(value);
        }
        Ok(given.unwrap_or_default())
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        let member = |from: &Value| {
            let mut value = from;
            for field in &operand.fields {
                value = value.get(field).unwrap_or(&Value::Null);
            }
            value.clone()
        };
        match &operand.base {
            Base::Dot => Ok(member(dot)),
            Base::Literal(value) => Ok(member(value)),
            Base::Pipe(pipe) => Ok(member(&self.pipe(pipe, dot)?)),
            Base::Variable(name) => {
                let variable = self.variables.iter().rfind(|(known, _)| known == name);
                Ok(variable.map_or(Value::Null, |(_, value)| member(value)))
            }
        }
    }
}
