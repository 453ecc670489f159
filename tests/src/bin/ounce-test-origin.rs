//! An origin of the harness as a process of its own, so that a test can kill it: `ounce-test-origin ADDRESS NAME`.

use ounce_tests::link::Link;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, name] = arguments.as_slice() else {
        eprintln!("usage: ounce-test-origin ADDRESS NAME");
        return ExitCode::FAILURE;
    };
    let listener = match TcpListener::bind(address.as_str()) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("{address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let answer = ounce_tests::origin::named_answer(name);
    for stream in listener.incoming().flatten() {
        let answer = answer.clone();
        std::thread::spawn(move || serve(stream, &answer));
    }
    ExitCode::SUCCESS
}

/// Answers every head; requests with a body do not come here.
fn serve(stream: TcpStream, answer: &[u8]) {
    let Ok(mut link) = Link::server(stream) else { return };
    while link.read_head().is_ok() {
        if link.send(answer).is_err() {
            return;
        }
    }
}
