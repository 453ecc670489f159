//! A TLS client that is led by the hand: OpenSSL says what it would send, and the test decides what of it goes out, when
//! and in which pieces.

use crate::answer::Broken;
use crate::client::Client;
use openssl::ssl::{Ssl, SslContextBuilder, SslMethod, SslStream, SslVersion};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

/// The client.
#[derive(Debug)]
pub struct Hand {
    tls: SslStream<Pockets>,
    client: Client,
}

/// Where OpenSSL reads and writes.
#[derive(Debug, Default)]
pub(crate) struct Pockets {
    pub(crate) incoming: Vec<u8>,
    pub(crate) outgoing: Vec<u8>,
}

impl Read for Pockets {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = self.incoming.len().min(into.len());
        into[..taken].copy_from_slice(&self.incoming[..taken]);
        self.incoming.drain(..taken);
        Ok(taken)
    }
}

impl Write for Pockets {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Hand {
    /// Connects; of TLS nothing has been said yet.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn reach(address: SocketAddr, newest: SslVersion) -> Hand {
        let mut context = SslContextBuilder::new(SslMethod::tls_client()).expect("memory");
        context.set_max_proto_version(Some(newest)).expect("a version");
        let mut ssl = Ssl::new(&context.build()).expect("memory");
        ssl.set_connect_state();
        let tls = SslStream::new(ssl, Pockets::default()).expect("memory");
        Hand { tls, client: Client::raw(address) }
    }

    /// What it would send next.
    pub fn say(&mut self) -> Vec<u8> {
        // Whatever it waits for, what it has to say is there.
        let _ = self.tls.do_handshake();
        std::mem::take(&mut self.tls.get_mut().outgoing)
    }

    /// What it would send to say this.
    ///
    /// # Panics
    /// When the handshake is not over.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        self.tls.write_all(plain).expect("an established session");
        std::mem::take(&mut self.tls.get_mut().outgoing)
    }

    /// Takes in what the other side says next.
    ///
    /// # Errors
    /// Why it says nothing.
    pub fn hear(&mut self) -> Result<(), Broken> {
        let bytes = self.client.link().read_any()?;
        self.tls.get_mut().incoming.extend(bytes);
        Ok(())
    }

    /// The connection below.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Goes on with the handshake until it is over.
    ///
    /// # Panics
    /// When it cannot be.
    pub fn shake(&mut self) {
        while !self.tls.ssl().is_init_finished() {
            let flight = self.say();
            self.client.send(flight);
            if !self.tls.ssl().is_init_finished() {
                self.hear().expect("the rest of a handshake");
            }
        }
        let last = self.say();
        self.client.send(last);
    }

    /// Sends a request and reads the status of its answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&mut self) -> u16 {
        let request = self.seal(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        self.client.send(request);
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !answer.ends_with(b"\r\n\r\na") {
            match self.tls.read(&mut piece) {
                Ok(count) => answer.extend_from_slice(&piece[..count]),
                Err(_) => self.hear().expect("the rest of an answer"),
            }
        }
        std::str::from_utf8(&answer[9..12]).ok().and_then(|status| status.parse().ok()).expect("a status")
    }
}

/// A record of TLS.
#[must_use]
pub fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("what fits a record").to_be_bytes();
    [&[kind, 3, 3, length[0], length[1]], content].concat()
}
