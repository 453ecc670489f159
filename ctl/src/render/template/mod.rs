//! Templates: an answer's JSON through a text of the operator's own, in the language of Pound's `poundctl`.
//!
//! The language resembles Go's text/template without methods: `{{ACTION}}` in a text, where `{{-` and `-}}` take the
//! blanks beside them away and `{{/* */}}` is a comment.
//!
//! | action | does |
//! |---|---|
//! | `PIPE`, `$x := PIPE`, `$x = PIPE` | prints what the pipe gives, or keeps it |
//! | `if PIPE` .. `else if PIPE` .. `else` .. `end` | chooses |
//! | `with [$x :=] PIPE` .. `else` .. `end` | makes it the dot, or keeps it, unless it is empty |
//! | `range [$k, $v :=] PIPE` .. `else` .. `end`, `break`, `continue` | for each item, or each member in the order of names |
//! | `define "n"` .. `end`, `template "n" [PIPE]`, `block "n" PIPE` .. `end` | names a text, runs it, does both |
//!
//! As in Pound, and not in Go: with variables, `range` and `with` leave the dot where it is, and `_` is one that nobody
//! wants; `=` declares there too; what runs a template shows it its variables; a `block` whose name is defined has neither
//! body nor `end`; a variable that is not there is null.
//!
//! A pipe is one or more commands with `|` between them; each gets what the one before it gives as its last argument. A
//! command is a value or a function ([`functions`]) with its arguments. Values are `.`, `.name.name`, `$`, `$x.name`,
//! literals, and pipes in parentheses. What is not there is null, which prints as nothing.
//!
//! Nothing here panics or runs for ever on what a file says: nesting, recursion and steps are bounded.

mod eval;
mod functions;
mod lex;
mod parse;

use super::text::word;
use parse::Node;
use serde_json::Value;
use std::collections::HashMap;

/// Deepest nesting of actions and parentheses, and of templates that run others.
const DEPTH_MAX: usize = 100;
/// Most steps of one run.
const STEPS_MAX: usize = 10_000_000;

/// Templates that were read.
#[derive(Debug, Default)]
pub struct Templates {
    named: HashMap<String, Vec<Node>>,
}

impl Templates {
    /// Adds the templates of a text. What stands outside any is the template `name`, unless it is blank.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), String> {
        let (outside, defined) = parse::parse(text)?;
        let blank = |node: &Node| matches!(node, Node::Text(text) if text.trim().is_empty());
        if !outside.iter().all(blank) {
            self.named.insert(name.to_owned(), outside);
        }
        self.named.extend(defined);
        Ok(())
    }

    /// Whether there is a template of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.named.contains_key(name)
    }

    /// Runs a template on an answer.
    ///
    /// # Errors
    /// Why it cannot be run to its end.
    pub fn run(&self, name: &str, answer: &Value) -> Result<String, String> {
        eval::run(&self.named, name, &harmless(answer))
    }
}

/// The same answer with the control characters of its texts escaped: what prints it is a terminal.
fn harmless(value: &Value) -> Value {
    match value {
        Value::String(_) => word(value).into(),
        Value::Array(items) => items.iter().map(harmless).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), harmless(value))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(text: &str) -> Result<String, String> {
        let answer = json!({
            "name": "web", "zero": 0, "empty": "", "pi": 3.5, "on": true, "none": null,
            "list": [3, 1, 2], "object": {"b": 2, "a": 1}, "deep": {"er": {"n": 7}}
        });
        let mut templates = Templates::default();
        templates.add("default", text)?;
        templates.run("default", &answer)
    }

    #[test]
    fn texts_and_values() {
        for (text, expected) in [
            ("plain { } }}", "plain { } }}"),
            ("{{.name}}/{{ .deep.er.n }}/{{$.name}}", "web/7/web"),
            ("{{.none}}{{.absent}}{{.absent.deeper}}", ""),
            ("{{.on}} {{.pi}} {{.list}} {{.object}}", "true 3.5 [3,1,2] {\"a\":1,\"b\":2}"),
            ("{{\"a\\tb\\\"\"}} {{`raw\\n`}} {{-5}} {{1.5}} {{true}} {{nil}}", "a\tb\" raw\\n -5 1.5 true "),
            ("a {{- 1 -}} b", "a1b"),
            ("a {{-1}}", "a -1"),
            ("a {{- /* gone */ -}} b{{/* too */}}", "ab"),
            ("{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}", "12"),
            ("{{(index .list 0)}} {{(.deep).er.n}}", "3 7"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn choices_and_loops() {
        for (text, expected) in [
            ("{{if .on}}a{{else}}b{{end}}{{if .zero}}a{{else if .name}}c{{else}}b{{end}}", "ac"),
            ("{{if .empty}}a{{end}}{{if .none}}b{{end}}{{if .list}}c{{end}}", "c"),
            ("{{with .deep.er}}{{.n}}{{$.name}}{{end}}{{with .absent}}a{{else}}b{{end}}", "7webb"),
            ("{{range .list}}{{.}},{{end}}", "3,1,2,"),
            ("{{range $i, $x := .list}}{{$i}}={{$x}} {{end}}", "0=3 1=1 2=2 "),
            ("{{range $k, $v = .object}}{{$k}}{{$v}}{{end}}", "a1b2"),
            ("{{range $x := .list}}{{if eq $x 1}}{{continue}}{{end}}{{$x}}{{end}}", "32"),
            ("{{range .list}}{{if eq . 1}}{{break}}{{end}}{{.}}{{end}}", "3"),
            ("{{range .absent}}a{{else}}none{{end}}", "none"),
            ("{{range $i, $x = .list}}{{.name}}{{$x}} {{end}}", "web3 web1 web2 "),
            ("{{range _, $x = .list}}{{$x}}{{end}}{{range $i, _ := .list}}{{$i}}{{end}}", "312012"),
            ("{{with $y = .deep.er}}{{$y.n}}{{.name}}{{end}}", "7web"),
            ("{{$x}}{{if typeof $x | ne \"null\"}}a{{else}}b{{end}}", "b"),
            ("{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"),
            ("{{$n := 0}}{{range .list}}{{$n = add $n .}}{{end}}{{$n}}", "6"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn templates_run_others() {
        for (text, expected) in [
            ("{{define \"x\"}}<{{.}}>{{end}}{{template \"x\" .name}}{{template \"x\"}}", "<web><>"),
            ("{{block \"b\" .deep.er}}{{.n}}{{end}}{{template \"b\" .deep.er}}", "77"),
            ("{{define \"default\"}}inner{{end}}\n", "inner"),
            ("{{block \"b\" .zero}}1{{.}}{{end}}-{{block \"b\" .pi}}-{{block \"b\" 2}}", "10-13.5-12"),
            ("{{define \"q\"}}{{$i}}{{.}}{{end}}{{range $i, $v = .list}}{{block \"q\" $v}}{{end}}", "031122"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn functions_of_every_kind() {
        for (text, expected) in [
            ("{{and .on .name}} {{or .zero .name}} {{not .on}}", "web web false"),
            (
                "{{len .list}} {{len .object}} {{len .name}} {{len .none}} {{index .object \"b\"}} {{index .list 9}}",
                "3 2 3 0 2 ",
            ),
            (
                "{{eq 1 2 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1.5 1}} {{ge \"a\" \"b\"}}",
                "true true true true true false",
            ),
            (
                "{{even 4}} {{add 1 2}} {{sub 1 2}} {{mul 3 4}} {{div 7 2}} {{mod 7 2}} {{fdiv 7 2}}",
                "true 3 -1 12 3 1 3.5",
            ),
            ("{{int 3.9}} {{fraq 3.5}} {{add 1 .pi}}", "3 0.5 4.5"),
            (
                "{{typeof .name}} {{typeof .list}} {{typeof .none}} {{exists . \"name\"}} {{exists . \"x\"}}",
                "string array null true false",
            ),
            (
                "{{printf \"%s|%5d|%-5d|%05d|%x|%q|%v|%%|%.2f\" .name 42 42 42 255 \"a\" .list 1.005}}",
                "web|   42|42   |00042|ff|\"a\"|[3,1,2]|%|1.00",
            ),
            ("{{printf \"%*d|%-8s|%3s\" 4 7 \"ab\" \"long\"}}", "   7|ab      |long"),
            ("{{.name | printf \"%s-%s\" \"a\"}} {{.list | len | add 1}}", "a-web 4"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, expected) in [
            ("a\n{{", "line 2: an action that is not closed"),
            ("{{if .a}}", "line 1: if without end"),
            ("\n\n{{end}}", "line 3: end without a beginning"),
            ("{{else}}", "line 1: else without a beginning"),
            ("{{break}}", "line 1: break outside a range"),
            ("{{nosuch 1}}", "line 1: there is no function nosuch"),
            ("{{template \"x\"}}", "no template is named x"),
            ("{{$x = 1}}", "there is no variable $x"),
            ("{{div 1 0}}", "division by zero"),
            ("{{len 5}}", "len takes a string, an array or an object"),
            ("{{add 1}}", "add takes 2 arguments"),
            ("{{1 2}}", "line 1: only functions take arguments"),
            ("{{\"a}}", "line 1: a string that is not closed"),
            ("{{range .list}}{{/* }}", "line 1: a comment that is not closed"),
            (
                "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
                "templates run each other without end",
            ),
            ("{{printf \"%d\"}}", "printf has too few arguments"),
        ] {
            let error = run(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    /// Whatever is cut off or put in, nothing panics.
    #[test]
    fn mutilated_templates_do_no_harm() {
        let text = "{{define \"d\"}}{{- range $i, $x := .list | len -}}{{if eq $x (index .list 0)}}é{{printf \"%5.2f\" .pi}}\
                    {{else}}{{with $y := .deep}}{{.er.n}}{{end}}{{end}}{{end}}{{end}}{{template \"d\" .}}";
        for (at, _) in text.char_indices() {
            let _ = run(&text[..at]);
            let _ = run(&text[at..]);
            for put in ["{{", "}}", "\"", "(", "|", "$", ".", " ", "-", "0"] {
                let _ = run(&format!("{}{put}{}", &text[..at], &text[at..]));
            }
        }
        let _ = run(&"{{if .a}}".repeat(2_000));
        let _ = run(&format!("{{{{{}1}}}}", "(".repeat(2_000)));
    }
}
