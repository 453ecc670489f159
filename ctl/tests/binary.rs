//! The binary against a proxy that answers what the test says.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

const BINARY: &str = env!("CARGO_BIN_EXE_ouncectl");

/// Runs `program` with `-s SOCKET` and `arguments` against a proxy that answers once. Returns the head of the request
/// that came, and what the program did.
fn run(program: &Path, arguments: &[&str], answer: &'static str) -> (String, Output) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control");
    let listener = UnixListener::bind(&socket).unwrap();
    let proxy = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let output = Command::new(program).arg("-s").arg(&socket).args(arguments).output().unwrap();
    (proxy.join().unwrap(), output)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_granted_switch_says_nothing() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntrue\n";
    let (request, output) = run(Path::new(BINARY), &["disable", "/-/web/1"], answer);
    assert!(request.starts_with("DELETE /listener/-/web/1 HTTP/1.1\r\n"), "{request}");
    assert!(output.status.success());
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("", ""));
}

#[test]
fn a_refusal_is_its_reason_phrase_and_status_1() {
    let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let (_, output) = run(Path::new(BINARY), &["on", "/9"], answer);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("", "ouncectl: Not Found\n"));
}

/// Scripts that were written for Pound look for its name in the message.
#[test]
fn a_link_speaks_under_its_own_name() {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("poundctl");
    symlink(BINARY, &link).unwrap();
    let (_, output) = run(&link, &["list", "/1"], "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(text(&output.stderr), "poundctl: Bad Request\n");
}

#[test]
fn json_is_shown_as_it_was_asked_for() {
    let answer = "HTTP/1.1 200 OK\r\n\r\n{\"kind\":\"core\",\"a\":[1]}";
    let (request, output) = run(Path::new(BINARY), &["core", "-ji2"], answer);
    assert!(request.starts_with("GET /core HTTP/1.1\r\n"), "{request}");
    assert_eq!(text(&output.stdout), "{\n  \"a\": [\n    1\n  ],\n  \"kind\": \"core\"\n}\n");
}

#[test]
fn a_session_key_travels_whole() {
    let answer = "HTTP/1.1 200 OK\r\n\r\n{\"kind\":\"service\",\"name\":null,\"enabled\":true}";
    let (request, output) = run(Path::new(BINARY), &["add", "/0/0/2", "a b&c"], answer);
    assert!(request.starts_with("PUT /session/0/0/2?key=a%20b%26c HTTP/1.1\r\n"), "{request}");
    assert_eq!(text(&output.stdout), "Service active\n");
}

#[test]
fn the_socket_is_the_one_of_the_control_statement() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("ounce.cfg");
    std::fs::write(&config, "Control \"/nonexistent/control\"\n").unwrap();
    let output = Command::new(BINARY).arg("-f").arg(&config).arg("core").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("ouncectl: cannot connect to /nonexistent/control: "), "{said}");
}

#[test]
fn a_configuration_without_control_statement_or_with_errors_is_of_no_use() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("ounce.cfg");
    let run = |content: &str| {
        std::fs::write(&config, content).unwrap();
        let output = Command::new(BINARY).arg("-f").arg(&config).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr).to_owned()
    };
    let path = config.display();
    assert_eq!(run("Alive 10\n"), format!("ouncectl: {path} has no Control statement\n"));
    let said = run("Alivee 10\n");
    assert!(said.starts_with(&format!("ouncectl: {path}:1.")), "{said}");
    assert!(said.ends_with("cannot be used; -s names the control socket without it\n"), "{said}");
}

/// A template of the operator's, found by `-t`, or by the file in the operator's home.
#[test]
fn a_template_shows_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("own.tmpl");
    let text = "{{define \"default\"}}pid {{.pid}}{{end}}{{define \"short\"}}{{range $k, $v := .}}{{$k}} {{end}}{{end}}";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"pid\": 7, \"a\": \"b\"}";
    let (_, output) = run(Path::new(BINARY), &["-t", file, "core"], answer);
    assert_eq!((text_of(&output), output.status.code()), ("pid 7".to_owned(), Some(0)));
    let (_, output) = run(Path::new(BINARY), &["-t", file, "-T", "short", "core"], answer);
    assert_eq!(text_of(&output), "a pid ");
    let (_, output) = run(Path::new(BINARY), &["-t", file, "-T", "none", "core"], answer);
    assert_eq!(output.status.code(), Some(1));
    assert!(self::text(&output.stderr).contains("no template is named none"), "{output:?}");
}

fn text_of(output: &Output) -> String {
    text(&output.stdout).to_owned()
}
