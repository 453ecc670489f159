//! What a client or an origin speaks through: bytes as they are, or TLS, by OpenSSL in memory.
//!
//! Keys differ from run to run, sizes do not: Ed25519 signs in as many bytes each time, and nobody hands out tickets. So a
//! seed is the same run with TLS too.

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509NameBuilder};
use ounce_sys::errno::Errno;
use ounce_sys::sim::{Far, FarRead, SimNet};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Plaintext of one record, at most.
const RECORD: usize = 16 * 1024;

/// Reads of the network behind one read of a line.
const READS: usize = 8;

/// One end of a connection.
pub(crate) struct Line {
    far: Far,
    tls: Option<Box<SslStream<Memory>>>,
    /// Close, or shut, once what is written is out.
    ending: Ending,
    /// The peer has said that it sends no more, in whatever way says so here.
    clean: bool,
    /// A write was told of a reset; a read will not be.
    reset: bool,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Ending {
    No,
    Shut,
    Done,
}

/// Where OpenSSL reads and writes.
#[derive(Default)]
struct Memory {
    input: VecDeque<u8>,
    output: Vec<u8>,
    ended: bool,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(into)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line {
    pub(crate) fn plain(far: Far) -> Line {
        Line { far, tls: None, ending: Ending::No, clean: false, reset: false }
    }

    /// The client's end of a connection that speaks TLS 1.3, or 1.2.
    pub(crate) fn client(far: Far, newest: bool) -> Line {
        let mut ssl = Ssl::new(&papers().clients[usize::from(newest)]).expect("memory");
        ssl.set_connect_state();
        Line::secure(far, ssl)
    }

    /// The server's end of one, likewise.
    pub(crate) fn server(far: Far, newest: bool) -> Line {
        let mut ssl = Ssl::new(&papers().servers[usize::from(newest)]).expect("memory");
        ssl.set_accept_state();
        Line::secure(far, ssl)
    }

    fn secure(far: Far, ssl: Ssl) -> Line {
        let stream = SslStream::new(ssl, Memory::default()).expect("memory");
        Line { tls: Some(Box::new(stream)), ..Line::plain(far) }
    }

    /// The end that has come was said to be one: with TLS, by close_notify.
    pub(crate) fn ended_clean(&self) -> bool {
        self.clean
    }

    /// A read would find something, or may.
    pub(crate) fn available(&self, net: &SimNet) -> bool {
        let held =
            self.tls.as_ref().is_some_and(|tls| !tls.get_ref().input.is_empty() || tls.ssl().pending() > 0);
        held || net.available(self.far) > 0
    }

    /// Writes as many bytes as there is room for, perhaps none.
    pub(crate) fn write(&mut self, net: &SimNet, bytes: &[u8]) -> Result<usize, Errno> {
        if self.tls.is_none() {
            return net.write(self.far, bytes);
        }
        self.flush(net)?;
        let Some(tls) = &mut self.tls else { return Ok(0) };
        if !tls.get_ref().output.is_empty() {
            return Ok(0);
        }
        let written = match tls.ssl_write(&bytes[..bytes.len().min(RECORD)]) {
            Ok(written) => written,
            Err(error) if error.code() == ErrorCode::WANT_READ => 0,
            Err(error) => panic!("nothing is wrong with this connection: {error}"),
        };
        self.flush(net)?;
        Ok(written)
    }

    /// Reads up to `most` bytes.
    pub(crate) fn read(&mut self, net: &SimNet, most: usize) -> FarRead {
        if self.tls.is_none() {
            let read = net.read(self.far, most);
            self.clean |= read == FarRead::End;
            return read;
        }
        // Of a broken connection reads tell as well.
        let _ = self.flush(net);
        for _ in 0..READS {
            let Some(tls) = &mut self.tls else { break };
            let memory = tls.get_ref();
            if !memory.input.is_empty() || memory.ended || tls.ssl().pending() > 0 {
                if let Some(read) = self.unseal(most) {
                    let _ = self.flush(net);
                    return read;
                }
                let _ = self.flush(net);
            }
            let Some(tls) = &mut self.tls else { break };
            match net.read(self.far, most) {
                FarRead::Bytes(bytes) => tls.get_mut().input.extend(bytes),
                FarRead::End if self.reset => return FarRead::Reset,
                FarRead::End => tls.get_mut().ended = true,
                other => return other,
            }
        }
        FarRead::Nothing
    }

    /// Reads what is here by TLS; `None` if that takes more.
    fn unseal(&mut self, most: usize) -> Option<FarRead> {
        let tls = self.tls.as_mut()?;
        let mut bytes = vec![0; most.min(RECORD)];
        match tls.ssl_read(&mut bytes) {
            Ok(count) => {
                bytes.truncate(count);
                return Some(FarRead::Bytes(bytes));
            }
            Err(error) => match error.code() {
                ErrorCode::WANT_READ if !tls.get_ref().ended => return None,
                ErrorCode::ZERO_RETURN => self.clean = true,
                _ if tls.get_ref().ended => {}
                _ => panic!("nothing is wrong with this connection: {error}"),
            },
        }
        Some(FarRead::End)
    }

    /// Sends what is written and not out.
    pub(crate) fn flush(&mut self, net: &SimNet) -> Result<(), Errno> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let output = &mut tls.get_mut().output;
        while !output.is_empty() {
            match net.write(self.far, output) {
                Ok(0) => return Ok(()),
                Ok(sent) => drop(output.drain(..sent)),
                Err(errno) => {
                    self.reset = true;
                    output.clear();
                    return Err(errno);
                }
            }
        }
        if self.ending == Ending::Shut {
            self.ending = Ending::Done;
            net.shutdown_write(self.far);
        }
        Ok(())
    }

    /// Sends no more, and says so.
    pub(crate) fn shutdown(&mut self, net: &SimNet) {
        match &mut self.tls {
            None => net.shutdown_write(self.far),
            Some(_) if self.ending != Ending::No => {}
            Some(tls) => {
                say_end(tls);
                self.ending = Ending::Shut;
                let _ = self.flush(net);
            }
        }
    }

    /// Closes as one should; comes back if that takes another call, since what is written is not out.
    pub(crate) fn closed(mut self, net: &SimNet) -> Option<Line> {
        if self.ending == Ending::No
            && let Some(tls) = &mut self.tls
        {
            say_end(tls);
            self.ending = Ending::Shut;
        }
        let out = |tls: &SslStream<Memory>| tls.get_ref().output.is_empty();
        if self.flush(net).is_ok() && self.tls.as_deref().is_some_and(|tls| !out(tls)) {
            return Some(self);
        }
        net.close(self.far);
        None
    }

    /// Goes away without a word.
    pub(crate) fn vanish(self, net: &SimNet) {
        net.close(self.far);
    }
}

/// Says by TLS that no more will come. Before a handshake is over there is nothing to be said.
fn say_end(tls: &mut SslStream<Memory>) {
    if tls.ssl().is_init_finished() {
        let _ = tls.shutdown();
    }
}

struct Papers {
    pem: PathBuf,
    /// TLS 1.2 and 1.3.
    clients: [SslContext; 2],
    servers: [SslContext; 2],
}

/// A file with a certificate and its key.
pub(crate) fn pem() -> &'static Path {
    &papers().pem
}

fn papers() -> &'static Papers {
    static PAPERS: OnceLock<Papers> = OnceLock::new();
    PAPERS.get_or_init(|| make().expect("papers"))
}

fn make() -> Result<Papers, Box<dyn std::error::Error>> {
    let key = PKey::generate_ed25519()?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "sim")?;
    let name = name.build();
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_pubkey(&key)?;
    certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    certificate.set_not_after(&*Asn1Time::days_from_now(10)?)?;
    certificate.sign(&key, MessageDigest::null())?;
    let certificate = certificate.build();
    let mut text = certificate.to_pem()?;
    text.extend(key.private_key_to_pem_pkcs8()?);
    let pem = std::env::temp_dir().join(format!("ounce-sim-{}.pem", std::process::id()));
    std::fs::write(&pem, text)?;
    let client = |newest: bool| -> Result<SslContext, openssl::error::ErrorStack> {
        let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
        context.set_verify(SslVerifyMode::NONE);
        version(&mut context, newest)?;
        Ok(context.build())
    };
    let server = |newest: bool| -> Result<SslContext, openssl::error::ErrorStack> {
        let mut context = SslContextBuilder::new(SslMethod::tls_server())?;
        context.set_certificate(&certificate)?;
        context.set_private_key(&key)?;
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_num_tickets(0)?;
        version(&mut context, newest)?;
        Ok(context.build())
    };
    Ok(Papers { pem, clients: [client(false)?, client(true)?], servers: [server(false)?, server(true)?] })
}

fn version(context: &mut SslContextBuilder, newest: bool) -> Result<(), openssl::error::ErrorStack> {
    let version = if newest { SslVersion::TLS1_3 } else { SslVersion::TLS1_2 };
    context.set_options(SslOptions::NO_TICKET);
    context.set_min_proto_version(Some(version))?;
    context.set_max_proto_version(Some(version))
}
