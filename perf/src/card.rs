//! What crypto cards cost a worker: full handshakes with keys on one, and plain requests meanwhile.
//!
//! The card is none (`tests/data/card.c`): it answers 256 at a time after a fixed time that costs no CPU, then does in
//! software what it has promised. So cards differ in their latency only, and the ratio of two is what waiting costs.

use crate::cpu::{self, Cpus};
use crate::handshake;
use crate::report::{Row, Table};
use ounce_tests::card::Card;
use ounce_tests::port::Port;
use ounce_tests::proxy::{self, Proxy, Setup};
use ounce_tests::token::{PIN, Token};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Clients at a time: as many as the card works on at once.
const CLIENTS: u32 = 256;

/// How long a turn takes at least: the slowest of 100 requests is to say something of more than the crowd's arrival.
const SECONDS_MIN: u32 = 6;

/// How often a plain request is sent meanwhile.
const PACE: Duration = Duration::from_millis(1);

/// How long one may take before the run is given up.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// A machine that is busy otherwise must not make a card look silent.
const PATIENCE: &str = "TimeOut 60";

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A worker whose key is on a card, or in a token.
struct Subject {
    name: &'static str,
    proxy: Proxy,
    plain: Port,
    _hardware: Hardware,
}

enum Hardware {
    Card { _card: Card },
    Token { _token: Token },
}

/// What one turn has shown.
#[derive(Debug, Clone, Copy)]
struct Turn {
    rate: f64,
    cpu_us: f64,
    median_ms: f64,
    most_ms: f64,
}

/// Runs it, so many rounds with turns of so many seconds, or [`SECONDS_MIN`].
///
/// # Errors
/// What went wrong.
pub fn run(cpus: Cpus, origin: SocketAddr, rounds: u32, seconds: u32) -> Result<Table, String> {
    cpu::bind_to(cpus.proxy)?;
    let subjects = [
        card("no latency", "PreCommand \"DELAY_US\" \"0\"", origin),
        card("5 ms", "PreCommand \"DELAY_US\" \"5000\"", origin),
        card("5 ms, Mode sync", "PreCommand \"DELAY_US\" \"5000\"\nMode sync", origin),
        token("token, P-256", "ec", origin),
        token("token, RSA", "rsa", origin),
    ];
    cpu::bind_to(cpus.others)?;
    let mut turns: Vec<Vec<Turn>> = vec![Vec::new(); subjects.len()];
    for round in 0..rounds {
        eprintln!("round {} of {rounds}: cards", round + 1);
        for at in 0..subjects.len() {
            let at = (at + round as usize) % subjects.len();
            let turn = turn(&subjects[at], seconds.max(SECONDS_MIN))?;
            turns[at].push(turn);
        }
    }
    let row = |name: &str, value: fn(&Turn) -> f64| Row {
        name: name.into(),
        values: turns.iter().map(|turns| turns.iter().map(value).collect()).collect(),
    };
    Ok(Table {
        title: "Keys on cards: full handshakes of one worker, and plain requests to it meanwhile".into(),
        names: subjects.iter().map(|subject| subject.name).collect(),
        rows: vec![
            row("handshakes per second", |turn| turn.rate),
            row("CPU time for one, in microseconds", |turn| turn.cpu_us),
            row("plain request, median, in ms", |turn| turn.median_ms),
            row("plain request, 99 of 100, in ms", |turn| turn.most_ms),
        ],
    })
}

fn card(name: &'static str, inside: &str, origin: SocketAddr) -> Subject {
    let card = Card::new();
    let section = card.section(&format!("{inside}\n{PATIENCE}"));
    let certificate = card.held("ec");
    subject(name, Setup::new(), &section, &certificate, origin, Hardware::Card { _card: card })
}

fn token(name: &'static str, key: &str, origin: SocketAddr) -> Subject {
    let token = Token::new();
    let module = Token::module();
    let section = format!(
        "SSLEngine \"pkcs11\"\nPreCommand \"MODULE_PATH\" \"{}\"\nPreCommand \"PIN\" \"{PIN}\"\n{PATIENCE}\nEnd\n",
        module.display()
    );
    let file = token.path(&format!("{key}.crt"));
    let certificate =
        format!("Cert \"{}\"\nKey \"pkcs11:token=ounce;object={key};type=private\"", file.display());
    let configuration = token.configuration();
    let setup = Setup::new().environment("SOFTHSM2_CONF", &configuration.to_string_lossy());
    subject(name, setup, &section, &certificate, origin, Hardware::Token { _token: token })
}

fn subject(
    name: &'static str,
    setup: Setup,
    section: &str,
    certificate: &str,
    origin: SocketAddr,
    hardware: Hardware,
) -> Subject {
    let plain = Port::reserve();
    let service = proxy::service(&[origin]);
    let secure = proxy::listener("{port}", &format!("{certificate}\n{service}"));
    let secure = secure.replacen("ListenHTTP", "ListenHTTPS", 1);
    let text = format!("{section}{secure}{}", proxy::listener(&plain.number().to_string(), &service));
    let proxy = setup.global("Workers", "1").global("Client", "60").text(&text).start();
    Subject { name, proxy, plain, _hardware: hardware }
}

fn turn(subject: &Subject, seconds: u32) -> Result<Turn, String> {
    let about = |text: String| format!("{}: {text}", subject.name);
    let (over, plain) = (AtomicBool::new(false), subject.plain.address());
    let before = cpu::spent_ns(subject.proxy.pid());
    let began = Instant::now();
    let (shaken, mut times) = thread::scope(|scope| {
        let asking = thread::Builder::new().name("plain".into());
        let plain =
            asking.spawn_scoped(scope, || ask_meanwhile(plain, &over)).map_err(|error| error.to_string())?;
        let shaken = handshake::crowd(subject.proxy.address(), CLIENTS, seconds);
        over.store(true, Ordering::Relaxed);
        let times = plain.join().unwrap_or_else(|_| Err("a client panicked".into()));
        Ok::<_, String>((shaken?, times?))
    })
    .map_err(about)?;
    let took = began.elapsed();
    let spent = cpu::spent_ns(subject.proxy.pid()).saturating_sub(before);
    times.sort_unstable();
    let part = |hundredths: usize| match times.len() {
        0 => f64::NAN,
        count => times[(count * hundredths / 100).min(count - 1)].as_secs_f64() * 1e3,
    };
    Ok(Turn {
        rate: shaken as f64 / took.as_secs_f64(),
        cpu_us: spent as f64 / shaken.max(1) as f64 / 1e3,
        median_ms: part(50),
        most_ms: part(99),
    })
}

/// Sends plain requests on one connection, one each millisecond, and tells how long each was answered after. An answer that
/// took longer counts for those too that would have been sent meanwhile.
fn ask_meanwhile(address: SocketAddr, over: &AtomicBool) -> Result<Vec<Duration>, String> {
    let failed = |error: std::io::Error| format!("a plain request: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        thread::sleep(PACE);
        let sent = Instant::now();
        stream.write_all(REQUEST).map_err(failed)?;
        answer(&mut stream)?;
        let mut took = Some(sent.elapsed());
        while let Some(time) = took {
            times.push(time);
            took = time.checked_sub(PACE).filter(|rest| !rest.is_zero());
        }
    }
    Ok(times)
}

/// Reads one answer of the origin, which has the shortest of its bodies.
fn answer(stream: &mut TcpStream) -> Result<(), String> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n")
            && bytes.len() >= end + 4 + crate::load::BODY_BYTES[0]
        {
            return Ok(());
        }
        match stream.read(&mut piece) {
            Ok(0) => return Err("a plain request: no answer".into()),
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) => return Err(format!("a plain request: {error}")),
        }
    }
}
