//! An origin of the harness as a process of its own, so that a test can kill it: `ounce-test-origin ADDRESS NAME`.

use std::io::{BufReader, Read, Write};
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
        std::thread::spawn(move || serve(&stream, &answer));
    }
    ExitCode::SUCCESS
}

/// Answers every head; requests with a body do not come here.
fn serve(stream: &TcpStream, answer: &[u8]) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream);
    let mut last = [0; 4];
    let mut byte = [0];
    while reader.read_exact(&mut byte).is_ok() {
        last.rotate_left(1);
        last[3] = byte[0];
        if last == *b"\r\n\r\n" {
            let mut writer = stream;
            if writer.write_all(answer).is_err() {
                return;
            }
        }
    }
}
