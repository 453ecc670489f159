//! The proxies, each set up to do the same: for each port of the origin a plain one and one with TLS (a certificate of
//! P-256, key exchange by X25519 or P-256), connections to the origin kept and shared, the client's address passed on, no
//! request log.

use crate::cpu;
use ounce_tests::port::Port;
use ounce_tests::process;
use ounce_tests::proxy::{self, Proxy, Setup};
use ounce_tests::tool::Server;
use ounce_tests::wire;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// How many connections of a client a proxy must be able to hold.
const CONNECTIONS_MAX: usize = 9_000;

/// A proxy that runs.
#[derive(Debug)]
pub struct Peer {
    /// How it is called in tables.
    pub name: &'static str,
    ports: Vec<Port>,
    program: Program,
    _folder: TempDir,
}

#[derive(Debug)]
enum Program {
    Ounce(Box<Proxy>),
    Other(Server),
}

impl Peer {
    /// ounce with one worker. `engine` is a value of `IoEngine`, `program` another build than this workspace's.
    ///
    /// # Errors
    /// What could not be prepared.
    pub fn ounce(
        name: &'static str,
        engine: &str,
        program: Option<&Path>,
        cpu: usize,
        origins: &[SocketAddr],
    ) -> Result<Peer, String> {
        cpu::bind_to(cpu)?;
        let ports = ports(origins);
        let listeners = doors(&ports, origins).map(|(port, origin, tls)| {
            let inside = proxy::service(&[origin]);
            let inside = if tls { format!("Cert \"{{folder}}/wire.pem\"\n{inside}") } else { inside };
            let listener = proxy::listener(&port.number().to_string(), &inside);
            if tls { listener.replacen("ListenHTTP", "ListenHTTPS", 1) } else { listener }
        });
        let text: String = listeners.collect();
        let mut setup =
            Setup::new().global("Workers", "1").global("Client", "60").global("IoEngine", engine).text(&text);
        if let Some(program) = program {
            setup = setup.program(program);
        }
        let program = Program::Ounce(Box::new(setup.start()));
        Ok(Peer { name, ports, program, _folder: folder()? })
    }

    /// nginx with one worker process.
    ///
    /// # Errors
    /// What could not be prepared.
    pub fn nginx(cpu: usize, origins: &[SocketAddr]) -> Result<Peer, String> {
        cpu::bind_to(cpu)?;
        let (folder, ports) = (folder()?, ports(origins));
        let path = folder.path().display();
        let mut servers = String::new();
        for (number, (port, origin, tls)) in doors(&ports, origins).enumerate() {
            let tls = match tls {
                true => format!(
                    " ssl;\n  ssl_certificate {path}/pem; ssl_certificate_key {path}/pem;\n  \
                     ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519:prime256v1"
                ),
                false => String::new(),
            };
            servers += &format!(
                "upstream origin{number} {{ server {origin}; keepalive 2048; keepalive_requests 1000000000; }}\n\
                 server {{\n  listen {} backlog=4096{tls};\n  location / {{\n    proxy_pass http://origin{number};\n    \
                 proxy_http_version 1.1;\n    proxy_set_header Host $http_host;\n    proxy_set_header Connection \"\";\n    \
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    \
                 proxy_set_header X-Forwarded-Proto $scheme;\n    proxy_set_header X-Forwarded-Port $server_port;\n  }}\n}}\n",
                port.address()
            );
        }
        let config = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error warn; worker_rlimit_nofile 40000;\n\
             events {{ worker_connections {}; }}\n\
             http {{\naccess_log off; keepalive_requests 1000000000; keepalive_timeout 60;\n\
             # What does not fit its buffers waits at the origin, not in a file.\nproxy_max_temp_file_size 0;\n\
             client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;\n\
             uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n{servers}}}\n",
            CONNECTIONS_MAX
        );
        Peer::other("nginx", folder, ports, config, &["nginx", "-p", "{folder}", "-c", "{config}"])
    }

    /// HAProxy with one thread.
    ///
    /// # Errors
    /// What could not be prepared.
    pub fn haproxy(cpu: usize, origins: &[SocketAddr]) -> Result<Peer, String> {
        cpu::bind_to(cpu)?;
        let (folder, ports) = (folder()?, ports(origins));
        let mut config = format!(
            "global\n  nbthread 1\n  maxconn {CONNECTIONS_MAX}\n\
             defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n  \
             option forwardfor\n  http-reuse always\n"
        );
        for (number, (port, origin, tls)) in doors(&ports, origins).enumerate() {
            let (scheme, tls) = match tls {
                true => ("https", format!(" ssl crt {}/pem curves X25519:P-256", folder.path().display())),
                false => ("http", String::new()),
            };
            config += &format!(
                "listen l{number}\n  bind {} backlog 4096{tls}\n  http-request set-header X-Forwarded-Proto {scheme}\n  \
                 http-request set-header X-Forwarded-Port %[dst_port]\n  server s {origin}\n",
                port.address()
            );
        }
        Peer::other("haproxy", folder, ports, config, &["haproxy", "-db", "-f", "{config}"])
    }

    fn other(
        name: &'static str,
        folder: TempDir,
        mut ports: Vec<Port>,
        config: String,
        command: &[&str],
    ) -> Result<Peer, String> {
        let pem = folder.path().join("pem");
        fs::write(&pem, wire::pem()).map_err(|error| format!("{}: {error}", pem.display()))?;
        let file = folder.path().join("config");
        fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
        let fill = |word: &&str| {
            word.replace("{folder}", &folder.path().to_string_lossy())
                .replace("{config}", &file.to_string_lossy())
        };
        let command = command.iter().map(fill).collect();
        // The server keeps the last port; it is the last address as well.
        let last = ports.pop().ok_or("no origin")?;
        Ok(Peer { name, ports, program: Program::Other(Server::start(last, command)), _folder: folder })
    }

    /// Where it listens, in the order of the origin's ports, with TLS or without.
    #[must_use]
    pub fn addresses(&self, tls: bool) -> Vec<SocketAddr> {
        let last = match &self.program {
            Program::Ounce(_) => None,
            Program::Other(server) => Some(server.port()),
        };
        let mut plain: Vec<SocketAddr> = self.ports.iter().chain(last).map(Port::address).collect();
        let secure = plain.split_off(plain.len() / 2);
        if tls { secure } else { plain }
    }

    /// The process that all its others descend from.
    #[must_use]
    pub fn pid(&self) -> i32 {
        match &self.program {
            Program::Ounce(proxy) => proxy.pid(),
            Program::Other(server) => server.pid(),
        }
    }

    /// Bytes that the process which serves has for itself.
    ///
    /// # Errors
    /// When there is none.
    pub fn own_bytes(&self) -> Result<u64, String> {
        let serving = match &self.program {
            Program::Ounce(proxy) => proxy.workers().first().copied(),
            // The last of the family: nginx's worker, or HAProxy itself.
            Program::Other(server) => process::family(server.pid()).last().copied(),
        };
        let memory = serving.and_then(process::memory);
        memory.map(|memory| memory.private).ok_or_else(|| format!("{} is gone", self.name))
    }
}

/// A port for each of the origin's, and another with TLS.
fn ports(origins: &[SocketAddr]) -> Vec<Port> {
    (0..origins.len() * 2).map(|_| Port::reserve()).collect()
}

/// The ports, where each leads, and whether it speaks TLS.
fn doors<'a>(
    ports: &'a [Port],
    origins: &'a [SocketAddr],
) -> impl Iterator<Item = (&'a Port, SocketAddr, bool)> {
    let origin = move |at: usize| origins[at % origins.len()];
    ports.iter().enumerate().map(move |(at, port)| (port, origin(at), at >= origins.len()))
}

fn folder() -> Result<TempDir, String> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().map_err(|error| format!("no temporary directory: {error}"))?;
    // nginx's worker has other rights than whoever starts it.
    let opened = fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755));
    opened.map_err(|error| error.to_string())?;
    Ok(folder)
}
