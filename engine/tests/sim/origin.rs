//! Origins: they check what they are asked and do what the path says.

use crate::line::Line;
use crate::message::{Deed, Frame, Head, Reader, chunks, pattern};
use ounce_sys::sim::{FarRead, Random, SimNet};
use ounce_sys::socket::Address;
use std::collections::HashSet;

/// One origin at one address.
pub(crate) struct Origin {
    address: Address,
    /// Speaks TLS, and whether that is 1.3.
    tls: Option<bool>,
    /// What requests say of the client's side.
    scheme: &'static str,
    connections: Vec<Connection>,
}

/// What all origins know together: which requests an origin has died on.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) died: HashSet<u64>,
    /// Requests that an origin had whole, by id: how often.
    pub(crate) bodies: u64,
}

struct Connection {
    /// Gone when it is over.
    line: Option<Line>,
    scheme: &'static str,
    input: Vec<u8>,
    output: Vec<u8>,
    /// No more requests: close when the output is out.
    closing: bool,
    /// Break off when so many bytes of output are out.
    die_at: Option<usize>,
    written: usize,
    /// The request that is being read.
    reading: Option<(Head, Reader)>,
    /// The answer to the request being read is out already.
    early: bool,
    /// It is a tunnel that gives back what comes in.
    echo: bool,
    eof: bool,
    /// Nothing more is to be done but to close.
    over: bool,
}

impl Origin {
    pub(crate) fn new(net: &SimNet, address: Address, tls: Option<bool>, scheme: &'static str) -> Origin {
        net.listen(&address);
        Origin { address, tls, scheme, connections: Vec::new() }
    }

    pub(crate) fn act(&mut self, net: &SimNet, random: &mut Random, memory: &mut Memory) {
        while let Some(far) = net.accept(&self.address) {
            let line = self.tls.map_or_else(|| Line::plain(far), |newest| Line::server(far, newest));
            self.connections.push(Connection::new(line, self.scheme));
        }
        for connection in &mut self.connections {
            connection.act(net, random, memory);
        }
        self.connections.retain(|connection| connection.line.is_some());
    }
}

impl Connection {
    fn new(line: Line, scheme: &'static str) -> Connection {
        Connection {
            line: Some(line),
            scheme,
            input: Vec::new(),
            output: Vec::new(),
            closing: false,
            die_at: None,
            written: 0,
            reading: None,
            early: false,
            echo: false,
            eof: false,
            over: false,
        }
    }

    fn act(&mut self, net: &SimNet, random: &mut Random, memory: &mut Memory) {
        let Some(mut line) = self.line.take() else { return };
        if !self.over && self.receive(net, &mut line, random) {
            return line.vanish(net);
        }
        while !self.over && !self.echo && !self.closing && self.die_at.is_none() && self.serve(random, memory)
        {
        }
        if self.echo {
            self.output.append(&mut self.input);
        }
        if !self.over && self.send(net, &mut line) {
            return line.vanish(net);
        }
        self.over |= (self.eof || self.closing) && self.output.is_empty();
        self.line = if self.over { line.closed(net) } else { Some(line) };
    }

    /// Takes what came in; true if the connection is broken.
    fn receive(&mut self, net: &SimNet, line: &mut Line, random: &mut Random) -> bool {
        while !self.eof {
            match line.read(net, 1 + random.below(40_000) as usize) {
                FarRead::Bytes(bytes) => self.input.extend(bytes),
                FarRead::Nothing => break,
                FarRead::End => self.eof = true,
                FarRead::Reset => return true,
            }
        }
        false
    }

    /// Sends what is to be sent; true if the connection is broken, or is to be broken off.
    fn send(&mut self, net: &SimNet, line: &mut Line) -> bool {
        while !self.output.is_empty() {
            if self.die_at.is_some_and(|at| self.written >= at) {
                break;
            }
            let most = self.die_at.map_or(self.output.len(), |at| (at - self.written).min(self.output.len()));
            match line.write(net, &self.output[..most]) {
                Ok(0) => return false,
                Ok(bytes) => {
                    self.output.drain(..bytes);
                    self.written += bytes;
                }
                Err(_) => return true,
            }
        }
        self.die_at.is_some_and(|at| self.written >= at)
    }

    /// Serves one request if enough of it is here.
    fn serve(&mut self, random: &mut Random, memory: &mut Memory) -> bool {
        if self.reading.is_none() {
            let Some(head) = Head::read(&self.input) else { return false };
            let frame = match (head.field("transfer-encoding"), head.field("content-length")) {
                (Some("chunked"), None) => Frame::Chunked,
                (None, Some(len)) => Frame::Length(len.parse().expect("a length")),
                (None, None) => Frame::Length(0),
                both => panic!("framing {both:?}"),
            };
            self.reading = Some((head, Reader::new(frame)));
        }
        let Some((head, mut reader)) = self.reading.take() else { return false };
        let (id, answer, deed) = head.path();
        assert_eq!(head.field("x-id"), Some(id.to_string().as_str()), "a head of two requests");
        assert_eq!(head.field("x-forwarded-proto"), Some(self.scheme));
        let method = head.first.split(' ').next().unwrap_or_default().to_owned();
        if head.field("upgrade").is_some() && deed.accepts_upgrade() {
            self.input.drain(..head.len);
            self.switch(id, answer, deed);
            return false;
        }
        if deed == Deed::Early && !self.early {
            self.early = true;
            self.answer(&method, id, answer, deed, random);
        }
        let Some((body, taken)) = reader.read(&self.input[head.len..], false) else {
            self.reading = Some((head, reader));
            return false;
        };
        assert_eq!(body, pattern(id, body.len()), "request {id} has a body that is not its own");
        memory.bodies += u64::from(!body.is_empty());
        self.input.drain(..head.len + taken);
        if !std::mem::take(&mut self.early) {
            let deed = match deed {
                Deed::DieFirst | Deed::DieInHead if !memory.died.insert(id) => Deed::Length,
                deed => deed,
            };
            self.answer(&method, id, answer, deed, random);
        }
        self.closing |= head.field("connection") == Some("close") || head.first.ends_with("1.0");
        true
    }

    /// Accepts an upgrade.
    fn switch(&mut self, id: u64, len: usize, deed: Deed) {
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nX-Id: {id}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        self.output.extend(head.bytes());
        self.echo = true;
        if deed == Deed::DieInBody {
            self.die_at = Some(self.written + self.output.len() + len / 2);
        }
    }

    fn answer(&mut self, method: &str, id: u64, len: usize, deed: Deed, random: &mut Random) {
        let body = if method == "HEAD" { Vec::new() } else { pattern(!id, len) };
        let before = self.output.len();
        if deed == Deed::Interim {
            self.output
                .extend(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        }
        let version = if deed == Deed::Old { "1.0" } else { "1.1" };
        self.output.extend(format!("HTTP/{version} 200 OK\r\nX-Id: {id}\r\n").bytes());
        match deed {
            Deed::Chunked | Deed::Trailers => {
                self.output.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                if method != "HEAD" {
                    let trailers = if deed == Deed::Trailers { "X-Sum: 1\r\n" } else { "" };
                    chunks(
                        &body,
                        &mut self.output,
                        &mut |most| 1 + random.below(most as u64) as usize,
                        trailers,
                    );
                }
            }
            Deed::UntilClose => {
                self.output.extend(b"Connection: close\r\n\r\n");
                self.output.extend(body);
                self.closing = true;
            }
            _ => {
                if deed == Deed::ThenClose || deed == Deed::Old {
                    self.closing = true;
                }
                self.output.extend(format!("Content-Length: {len}\r\n\r\n").bytes());
                self.output.extend(body);
            }
        }
        let added = self.output.len() - before;
        let from = self.written + before;
        match deed {
            Deed::DieFirst => self.die_at = Some(from),
            Deed::DieInHead => self.die_at = Some(from + 10),
            Deed::DieInBody => self.die_at = Some(from + added - added.min(len) / 2 - 1),
            _ => {}
        }
    }
}
