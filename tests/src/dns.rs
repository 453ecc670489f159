//! A name server that says what a test wants, true or not, over UDP and TCP.

use crate::barrier::Journal;
use crate::port::Port;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bytes of a datagram that is not cut.
const DATAGRAM_MAX: usize = 1232;

/// Types of records.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An address.
    Address(IpAddr),
    /// Another name.
    Alias(String),
    /// A server of a service.
    Service {
        /// Lower ones are used first.
        priority: u16,
        /// Its share.
        weight: u16,
        /// Its port.
        port: u16,
        /// Its name.
        target: String,
    },
}

/// A record of the name that was asked for, or of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `None` is the name in question.
    pub of: Option<String>,
    /// How long it holds, in seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These records, those of other types than was asked for left out.
    Records(Vec<Record>),
    /// These records with a number that nobody asked under.
    Forged(Vec<Record>),
    /// There is no such name.
    NoSuchName,
    /// The server is unable to answer.
    Failure,
    /// Bytes that are no answer.
    Garbage,
    /// Nothing.
    Silence,
}

/// A question that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name in lower case, without its final dot.
    pub name: String,
    /// The type of record.
    pub kind: u16,
    /// It came over TCP.
    pub tcp: bool,
}

/// A name server. It ends with this value.
#[derive(Debug)]
pub struct Dns {
    port: Port,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    zone: Mutex<HashMap<String, Reply>>,
    asked: Journal<Question>,
    stopped: AtomicBool,
}

/// Addresses that hold for so many seconds.
#[must_use]
pub fn addresses(ttl: u32, addresses: &[&str]) -> Reply {
    let record = |text: &&str| {
        let address = text.parse().expect("an address");
        Record { of: None, ttl, data: Data::Address(address) }
    };
    Reply::Records(addresses.iter().map(record).collect())
}

/// Another name.
#[must_use]
pub fn alias(target: &str) -> Reply {
    Reply::Records(vec![Record { of: None, ttl: 1, data: Data::Alias(target.into()) }])
}

/// Servers of a service: priority, weight, port and name of each.
#[must_use]
pub fn services(ttl: u32, servers: &[(u16, u16, u16, &str)]) -> Reply {
    let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| {
        let data = Data::Service { priority, weight, port, target: target.into() };
        Record { of: None, ttl, data }
    };
    Reply::Records(servers.iter().map(record).collect())
}

impl Dns {
    /// A server that knows no name yet.
    ///
    /// # Panics
    /// When there is no port for it.
    #[must_use]
    pub fn start() -> Dns {
        let port = Port::reserve();
        let udp = UdpSocket::bind(port.address()).expect("a port for datagrams");
        let tcp = TcpListener::bind(port.address()).expect("a reserved port");
        let shared = Arc::new(Shared {
            zone: Mutex::default(),
            asked: Journal::default(),
            stopped: AtomicBool::new(false),
        });
        let (of_udp, of_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || datagrams(&udp, &of_udp));
        thread::spawn(move || streams(&tcp, &of_tcp));
        Dns { port, shared }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// A `Resolver` section that asks it, gives up soon, and tries again soon.
    #[must_use]
    pub fn resolver(&self) -> String {
        let server = self.address();
        format!(
            "Resolver\nConfigText\nnameserver {server}\noptions timeout:1 attempts:1\nEnd\nRetryInterval 1\nEnd\n"
        )
    }

    /// From now on this is said of a name. One of which nothing was ever said does not exist.
    pub fn say(&self, name: &str, reply: Reply) {
        let mut zone = self.shared.zone.lock().unwrap_or_else(PoisonError::into_inner);
        zone.insert(name.to_owned(), reply);
    }

    /// What was asked.
    #[must_use]
    pub fn asked(&self) -> &Journal<Question> {
        &self.shared.asked
    }

    /// Waits until so many more questions about a name have come.
    pub fn wait_asked(&self, name: &str, more: usize) {
        let of = |all: &[Question]| all.iter().filter(|question| question.name == name).count();
        let before = self.asked().find(|all| Some(of(all))).unwrap_or(0);
        self.asked().wait("questions", |all| (of(all) >= before + more).then_some(()));
    }

    /// Ends it: nobody listens on its port any more.
    pub fn stop(&self) {
        if !self.shared.stopped.swap(true, Ordering::SeqCst) {
            // Each of them wakes one thread, which then sees that it is over.
            if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
                let _ = socket.send_to(&[], self.address());
            }
            let _ = TcpStream::connect(self.address());
        }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop();
    }
}

fn datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut bytes = [0; 4096];
    while let Ok((count, from)) = socket.recv_from(&mut bytes) {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        if let Some(answer) = answer(&bytes[..count], false, shared) {
            // Who asked may be gone.
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn streams(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || stream_of(stream, &shared));
    }
}

/// Each message on a stream has its length before it (RFC 1035 4.2.2).
fn stream_of(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut bytes)?;
        if let Some(answer) = answer(&bytes, true, shared) {
            stream.write_all(&u16::try_from(answer.len()).unwrap_or(u16::MAX).to_be_bytes())?;
            stream.write_all(&answer)?;
        }
    }
}

/// The answer to a message, if it gets one.
fn answer(message: &[u8], tcp: bool, shared: &Shared) -> Option<Vec<u8>> {
    let question = message.get(12..)?;
    let (name, length) = read_name(question)?;
    let kind = u16::from_be_bytes(question.get(length..length + 2)?.try_into().ok()?);
    shared.asked.push(Question { name: name.clone(), kind, tcp });
    let zone = shared.zone.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = zone.get(&name).cloned().unwrap_or(Reply::NoSuchName);
    drop(zone);
    let id = u16::from_be_bytes(message.get(..2)?.try_into().ok()?);
    let (id, code, records) = match reply {
        Reply::Records(records) => (id, 0, records),
        Reply::Forged(records) => (id ^ 0x5555, 0, records),
        Reply::NoSuchName => (id, 3, Vec::new()),
        Reply::Failure => (id, 2, Vec::new()),
        Reply::Garbage => return Some(vec![0xff; 700]),
        Reply::Silence => return None,
    };
    let asked = question.get(..length + 4)?;
    let build = |flags: u16, records: &[&Record]| {
        let counts = [1, records.len() as u16, 0, 0];
        let words = [id, flags].into_iter().chain(counts);
        let mut out: Vec<u8> = words.flat_map(u16::to_be_bytes).collect();
        out.extend_from_slice(asked);
        records.iter().for_each(|record| write_record(record, &mut out));
        out
    };
    let meant: Vec<&Record> =
        records.iter().filter(|r| r.of.is_some() || [kind, CNAME].contains(&type_of(&r.data))).collect();
    // A response, recursion desired and available.
    let flags = 0x8180 | code;
    let whole = build(flags, &meant);
    // What is too long for a datagram is said to be cut (RFC 1035 4.2.1), and asked for again over TCP.
    if tcp || whole.len() <= DATAGRAM_MAX { Some(whole) } else { Some(build(flags | 0x0200, &[])) }
}

fn type_of(data: &Data) -> u16 {
    match data {
        Data::Address(IpAddr::V4(_)) => A,
        Data::Address(IpAddr::V6(_)) => AAAA,
        Data::Alias(_) => CNAME,
        Data::Service { .. } => SRV,
    }
}

/// A name without compression, and how many bytes it takes.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 0);
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
}

fn write_record(record: &Record, out: &mut Vec<u8>) {
    match &record.of {
        // A pointer to the name of the question (RFC 1035 4.1.4).
        None => out.extend_from_slice(&[0xc0, 12]),
        Some(name) => write_name(name, out),
    }
    out.extend_from_slice(&type_of(&record.data).to_be_bytes());
    out.extend_from_slice(&1_u16.to_be_bytes());
    out.extend_from_slice(&record.ttl.to_be_bytes());
    let mut data = Vec::new();
    match &record.data {
        Data::Address(IpAddr::V4(address)) => data.extend_from_slice(&address.octets()),
        Data::Address(IpAddr::V6(address)) => data.extend_from_slice(&address.octets()),
        Data::Alias(name) => write_name(name, &mut data),
        Data::Service { priority, weight, port, target } => {
            for number in [priority, weight, port] {
                data.extend_from_slice(&number.to_be_bytes());
            }
            write_name(target, &mut data);
        }
    }
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(&data);
}
