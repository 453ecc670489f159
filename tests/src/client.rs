//! A client that sends exactly what it is told and reads strictly what comes back.

use crate::answer::{self, Answer, Broken, Head, Length};
use crate::barrier::DEADLINE;
use crate::link::Link;
use openssl::ssl::Ssl;
use std::io;
use std::net::{SocketAddr, TcpStream};

/// One connection.
#[derive(Debug)]
pub struct Client {
    link: Link,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("somebody who listens")
    }

    /// Connects.
    ///
    /// # Errors
    /// What connect(2) reports.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Ok(Client { link: Link::client(TcpStream::connect_timeout(&address, DEADLINE)?)? })
    }

    /// Connects, and sends bytes as they are whatever the wire of the test is.
    ///
    /// # Panics
    /// When nobody listens.
    #[must_use]
    pub fn raw(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("somebody who listens");
        Client { link: Link::plain(stream).expect("a socket") }
    }

    /// Connects, and speaks TLS with this.
    ///
    /// # Errors
    /// What connect(2) reports.
    pub fn tls(address: SocketAddr, ssl: Ssl) -> io::Result<Client> {
        Ok(Client { link: Link::tls(TcpStream::connect_timeout(&address, DEADLINE)?, ssl)? })
    }

    /// The connection, for what this type does not offer.
    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The socket.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.link.stream()
    }

    /// Sends these bytes.
    ///
    /// # Panics
    /// When the connection is broken.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.link.send(bytes.as_ref()).expect("a connection that takes what is sent");
    }

    /// Sends a request and reads the answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(&request);
        self.read_answer(request.as_ref().starts_with(b"HEAD ")).unwrap_or_else(|broken| {
            panic!("no answer to {:?}: {broken}", String::from_utf8_lossy(request.as_ref()))
        })
    }

    /// Sends a GET for this path, with keep-alive, and reads the answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&mut self, path: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
    }

    /// Reads the answer to a request that was not HEAD.
    ///
    /// # Panics
    /// When there is none.
    pub fn answer(&mut self) -> Answer {
        self.read_answer(false).unwrap_or_else(|broken| panic!("no answer: {broken}"))
    }

    /// Reads an answer, and the interim ones before it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn read_answer(&mut self, to_head: bool) -> Result<Answer, Broken> {
        let mut interim = Vec::new();
        loop {
            let head = self.link.read_head()?;
            let (minor, status, reason) = answer::status_line(&head.first_line)?;
            if status < 200 && status != 101 {
                answer::response_length(status, false, &head.fields)?;
                interim.push(head);
                continue;
            }
            let length = match status {
                101 => Length::Bytes(0),
                _ => answer::response_length(status, to_head, &head.fields)?,
            };
            let (body, trailers) = self.link.read_body(length)?;
            let Head { fields, raw, .. } = head;
            return Ok(Answer { minor, status, reason, fields, raw_head: raw, body, trailers, interim });
        }
    }

    /// Waits for the end of the connection, before which nothing may come.
    ///
    /// # Panics
    /// When something comes, or the end does not.
    pub fn expect_end(&mut self) {
        match self.link.rest() {
            Ok(rest) => assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest)),
            Err(broken) => panic!("the connection did not end as it should: {broken}"),
        }
    }

    /// Ends the sending direction.
    ///
    /// # Panics
    /// When the connection is broken.
    pub fn end(&mut self) {
        self.link.end().expect("a connection");
    }

    /// Resets the connection.
    pub fn reset(self) {
        self.link.reset();
    }
}
