//! The configuration language: Pound's, read into plain data.
//!
//! [`load`] is the door: a path goes in; a [`model::Config`] with warnings, or every error of the run, comes
//! out. [`help_directives`] tells the whole language.
//!
//! ```text
//!  source   files, Include, places          what was read
//!    │
//!   lex     words, literals, strings        never fails: what is wrong is reported, and skipped
//!    │                                      to the end of its line
//!  parse ── grammar                         a row for each directive says where it stands, what
//!    │                                      follows it, and what has become of it
//!   tree    statements as written
//!    │
//!    │      └─ upgrade                  the same text in today's words
//!    │
//!  lower    defaults, names, addresses      in file order: a default holds for what follows it
//!    │
//!  model    plain data for engine and warden
//! ```
//!
//! Invariants:
//!
//! 1. Nothing in a file panics, hangs or recurses without a bound: nesting, include chains, numbers and sizes of
//!    files are capped in `source` and `parse`. Mutilated goldens prove it (`tests/mutation.rs`).
//! 2. Every error of a run is reported, in the order of the text, with file, line and columns.
//! 3. A directive that is accepted does what it says or warns that it has no effect; what the engine cannot do yet
//!    is refused by name.
//! 4. A directive is known in one place, its row; what it accepts and refuses is shown by its golden
//!    (`tests/golden/`).
//!
//! # Supporting a directive
//!
//! Take `.later()` from its row, lower it into the model, and write its golden. The parser, the help and the
//! diagnostics follow from the row. A row marked `.ahead()` is lowered already, into [`model::Ahead`]: what it says
//! moves to where the engine reads it.
//!
//! # Log formats
//!
//! `LogFormat "name" "text"` knows Pound's conversions and these:
//!
//! | conversion | says |
//! |---|---|
//! | `%{STEP}T`, `%{STEP:UNIT}T` | time in a step: `receive route pick link ask answer relay tunnel`; in microseconds, or UNIT `f s ms us` |
//! | `%{side}E` | who ended the exchange before its time: `client`, `backend` or `proxy` (an answer of our own); `-` for nobody |
//! | `%{step}E` | the step in which it ended |
//! | `%{retries}E` | how often another attempt was made |
//! | `%{request}B`, `%{response}B` | bytes of the two bodies |
//! | `%{SSL_PROTOCOL}x`, `%{SSL_CIPHER}x` | version and cipher of the client's TLS (`TLSv1.3`, OpenSSL's name); `-` without TLS |
//!
//! Text of peers is escaped in every format: quotes and backslashes get a backslash, other bytes than printable ASCII
//! become `\xHH`. `LogFormat -json "name" "text"` writes an object; its text holds members apart by blanks, each a
//! conversion or `NAME=` and a conversion. What is missing is null, numbers are numbers, and bytes that are not UTF-8
//! are U+FFFD.
//!
//! Lines go to one place: `LogFacility` (syslog, or with `-` the standard streams), `LogServer` (another log daemon) or
//! `LogFile`. What the supervisor itself says when it has left the terminal goes to this machine's syslog in any case.
//!
//! # Departures from Pound
//!
//! | Pound 4.23 | here | why |
//! |---|---|---|
//! | stops at the first error | all errors of a run | one correction is enough |
//! | diagnostics name no remedy | what was expected, the nearest keyword, other places | the form `NAME: FILE:LINE.COL1-COL2:` is kept |
//! | each deprecated word is warned of wherever it stands | once, with the line to write instead and a count | old files hold hundreds |
//! | `-W preprocess` (development version) | the command is told nothing but the file, has 10 s and 16 MiB; the main file alone | a reload must end |
//! | `Include` in any order of nesting | at most 32 files deep, 4096 files, 16 MiB a file | a cycle through names that `stat` cannot tell apart ends |
//! | `IncludeDir` is `sysconfdir` at first | the directory of the main file | the same for a file in `/etc`, and right for one that is tried elsewhere |
//! | a string may end anywhere | a quote that is missing costs its line | the error is reported where it is |
//! | `Host` compares the whole value | also the value without its port | a client on another port asks for the same site |
//! | a second `Address`, `Port`, `Session`, `Control`: not documented | an error | one of them is a mistake |
//! | other directives twice: not documented | the last one holds, with a warning | as above, but old files have them |
//! | `%` that starts nothing, in whatever is expanded: 500 for each request | it is sent, with a warning | files written before 4.6 hold it, and it can be known |
//! | `$` that starts nothing: not documented | it is sent | as above |
//! | other malformed expansions: 500 for each request | an error | it can be known |
//! | header rules may set `Content-Length` and `Transfer-Encoding` | an error | they say where a request ends |
//! | header rules may set `Connection` and other hop-by-hop headers | no effect, with a warning | these headers end at the proxy |
//! | header rules may remove what frames a message | these headers are beyond rules | as above |
//! | bytes that no URL holds pass from rules into the request line | `%XX` | a request cannot be split |
//! | a rewritten path may begin with anything, or be empty | a slash is put before it; an empty one is 500 | it would be no request |
//! | `SetQueryParam` without value removes the first parameter of the name | all of them | what was to go is gone |
//! | `(?` in a POSIX pattern is an error, or has Perl's meaning where Pound was built with it | Perl's, with a warning | POSIX gives it none |
//! | a second service of a name is an error since 4.6 | a warning | older files have them |
//! | a file that is not UTF-8 is read as bytes | bytes that are not are taken for Latin-1, with a warning | comments of old files are written so |
//! | 2.x kept the backslash before any character of a string | as 4.x: it is dropped, with a warning; `\\` is one | a string says the same everywhere |
//! | 2.x: `HeadRemove` removes what clients send, wherever it stands | as 4.x: rules run in their order and also see the headers that are added here; with a warning where that shows | one order for all rules |
//! | 2.x: `AddHeader` adds a line whatever is there | as 4.x: it sets the header; with a warning where two have one name | as above |
//! | `-c` does not look for `User`, `Group` and `RootJail` | it does | what would fail at the start is found before |
//! | a watched file that is removed is taken for empty | what was read last holds, and the log says so | editors remove a file before they write it anew |
//! | a `ForwardedHeader` is believed from anybody | only from peers in `TrustedIP`, or over a UNIX socket | a client could claim any address |
//! | an answer with `RewriteErrors` keeps what describes the old body | `Content-Type` and its like go | they would describe what is not sent |
//! | `CombineHeaders` joins what it is told | not `Set-Cookie`, `Host` and what frames a message | these are no lists |
//! | limits of 0: not documented | at least a second, but `Grace` | 0 would fail each request |
//! | `Priority 0` is refused (4.23) or counts as 1 (4.6) | 1, with a warning | old files load |
//! | `DynScale` is unknown | every 5 s (every `Alive` if that is less) weights follow response times, up to 8 times and down to an eighth | as 2.6 documents it |
//! | `WebDAV` of 2.0 is about its own methods | as `xHTTP 2`, which also has `PUT`, `DELETE` and `PATCH` | one scale for all versions |
//! | `TTL -1` is unknown since 4.0 | as 2.4 to 2.8: the key's hash chooses | nodes agree without sessions |
//! | `Disable TLSv1_3` is unknown; patched versions differ | TLS 1.3 alone is left out | with all older ones nothing would be left |
//! | `HAport` is unknown; in 2.6 it alone revives a backend | a dead backend must answer at both ports | the backend serves at its own |
//! | `WorkerMinCount` and its like size the thread pool | no effect, with a warning | there are no worker threads |
//! | an address that is not found is a socket's path | only without `Port`, with a warning | a host name that is misspelt is an error |
//! | the first address of a name | the first IPv4 address, else the first | the system's order changes with the machine |
//! | listeners on one address fail to bind | an error when loading | sockets here share addresses, so binding would succeed |
//! | CNAME chains are refused unless `CNAMEChain` allows them | up to 8 records by default | they are common, and these end |
//! | a lookup that fails is repeated after `RetryInterval` | sooner while no address is known: after 1 s, 2 s, 4 s | it may have failed by chance, and nobody is served |
//! | what becomes of a backend whose name is not found any more: not documented | it stays where it was last | name servers fail more often than servers move without a word |
//! | dynamic backends are as many as there are addresses | at most 32 of a name, which is reported | the table that workers share has a fixed size |
//! | answers hold for as long as they say | for a second at least, a day at most | some say 0, some 68 years |
//! | `nameserver` takes an address | also a port, `127.0.0.1:8600` | name servers of a site's services are often no root's processes |
//! | `Resolve` of an address in digits: not documented | it is the address, with a warning | there is nothing to look up |
//! | `LineBufferSize` has no upper limit | 16 KiB hold, with a warning | a head lies in one page |
//! | `Constant` is looked up for each request | when the configuration is loaded, but for the contents of watched files; unknown names are errors | nothing is left to fail later |
//! | `SSLEngine` has no effect with OpenSSL 3 | it works up to OpenSSL 3, also as a section; since 4 there are no engines, and `SSLProvider` does their work | keys may lie in hardware |
//! | `%{x}a` and other arguments that mean nothing are ignored with a warning | an error | it can be known |
//! | `%D` prints milliseconds | microseconds | its manual says so |
//! | `%Z` in a log format is the zone's name | its distance from UTC, as `%z` | a worker knows no names of zones |
//! | log lines go to syslog or the standard streams | also to files (`LogFile`) and other machines (`LogServer`) | asked for again and again |
//! | certificates of backends are never verified | with `VerifyPeer`; off unless asked for | files of Pound name backends by addresses, with certificates that nobody signed |
//! | a backend whose TLS fails stays alive | not one whose certificate is verified and wrong; probes look at it too | it is not the backend that was meant |
//! | `ClientCert` in a service: how clients are asked is not documented | the listener asks and does not verify; X-SSL headers do not tell of certificates | the service compares the certificate, and others have not asked for one |
//! | sessions of one listener are resumed by any | only where clients have to prove the same | a session without a certificate would open a listener that asks for one |
//! | a client that asks for a name that no certificate has gets the first one | as there; refused with `StrictSNI` | asked for, and never done |
//! | a body that ends with its TLS connection is complete | only with close_notify (RFC 9112 9.8) | a cut would pass for an end |
//! | ticket keys are each process's own | in shared memory: they change each `TicketLifetime` (2 h), or come from `TicketKeyFile` | sessions are resumed by any worker, after reloads and deaths, and by other nodes |
//! | without `Ciphers` the library's list holds | also so, but for exchanges of keys by RSA: forward secrecy is not left to the client; versions are the library's | a stolen key must not open what was recorded |
//! | the password of an encrypted key is asked for at the terminal | such a key is refused | nobody is there when a reload reads it |
//! | plain HTTP on a TLS port is closed without a word | answered 400 | the client learns what is wrong |
//! | OCSP responses are not sent | those of `OCSP` or of `CERT.ocsp` are, while they are valid; one that the issuer has not signed is an error, one that is past a warning, since a file that nobody has refreshed must not keep a site down | asked for |
//! | certificates are read at the start alone | also when they change, with `-filewatch` behind `Cert`, `OCSP` and the lists about clients, the word that other files are watched with | a renewal ends no connection |
//! | a certificate without CN is refused | taken | its names are elsewhere today |
//! | TLS records are sealed by the library | also by it: kTLS is not used | the kernels at hand offer none to try it on |
//! | `SendFile` sends everything as `text/plain` | the type by the name's ending, else `application/octet-stream` | browsers show what they get |
//! | `SendFile` knows neither ranges nor versions | both: up to 16 ranges at once unless they overlap, `ETag`, `Last-Modified` and their conditions | a download can be resumed |
//! | `SendFile` and `ACME` follow links in the middle of a name to anywhere | only to what lies below the directory, and absolute links not at all | one link must not give away the machine |
//! | `ACME` is relative to the working directory | to the include directory, as Pound's development version | a service has no working directory worth the name |
//! | a directory that is not there is found out by requests | an error when loading | it can be known |
//! | token buckets of `TBF` grow with their keys | 114688 that are not full, over all services; then the one nearest to full is forgotten | keys are the clients' to choose |
//! | `TBF` with more than one token in a microsecond | one in a microsecond | the clock tells no more apart |
//! | a password hash of DES also matches as it stands | as a hash only | a hash that leaked is no password |
//! | a password is hashed while its thread waits | by helpers, a bounded number at a time; when too many wait, or after half a minute, the answer is 503 | a slow hash makes nobody else wait, and a flood of them exhausts nothing |
//! | `BasicAuth` in `Rewrite` sees what rules before it made of Authorization | what the client sent | a head that is being written does not wait for a password |
//! | watched files are read by the process that serves | by a child of the supervisor | workers have neither rights nor the files in their jail |
//! | times are whole seconds | also `90s`, `2m`, `1h`, `1d`; sizes also `64k`, `1m`, `1g` | as Pound's development version |
//! | header lines of a request that are none are dropped; folded ones too | 400 | what two readers understand differently is how requests are smuggled |
//! | a request of HTTP/1.1 without `Host`, or with two | 400 | as above (RFC 9112 3.2) |
//! | a request target is not looked at | 400 unless it is one (RFC 9112 3.2) | as above |
//! | `Transfer-Encoding` in HTTP/1.0 is passed on without the body | 400 | as above |
//! | chunk extensions and trailers are passed on as they are | extensions end here; trailers are checked as headers are | as above |
//! | chunks of a body are passed on one by one | what is there is sent together, in chunks of our own (RFC 9112 7.1) | boundaries of chunks mean nothing |
//! | a control byte in a header line is 500 | 400 | it is the client's fault |
//! | refusals are HTTP/1.0, without a length | HTTP/1.1 with `Content-Length` and `Connection: close`; none has a body after `HEAD` | a client knows when it has all |
//! | hop-by-hop headers are passed on | they end here (RFC 9110 7.6.1) | they are about the connection, and there are two |
//! | a backend's connection belongs to one client's | it serves anybody, unless a client logs in on it (NTLM, Negotiate) | connecting costs more than asking |
//! | interim responses are swallowed or taken for the answer | passed on, to clients of HTTP/1.1 | RFC 9110 15.2 |
//! | header lines of an answer that are none are dropped; long ones become 413 or 414 | 503 | the client did nothing wrong |
//! | of two lengths of an answer the last holds, and chunks before both | 503 | nobody knows where it ends |
//! | answers 305 and 306 have no body | as any other (RFC 9110 6.4.1) | what is sent would be taken for the next answer |
//! | after a redirect the connection stays open although it says `close` | it is closed | as it says |
//! | absolute locations are rewritten whatever host they name | as documented: the backend's, and with 1 our own | a foreign host is meant |
//! | names in locations are looked up | they are foreign unless the request named them | no request waits for a name server |
//! | only the first `Set-Cookie` is looked at, or none | each | applications set several |
//! | `X-SSL-` headers of a client pass when there is nothing to put in their place | never | a backend believes them |
//! | `X-SSL-serial` is -1 beyond 63 bits, `X-SSL-certificate` is folded | the whole number; one line | they are to be read |
//! | the control API tells what Pound's does | also `fleet` in the core, `certificates` in listeners and the like; queues are empty | templates and scripts of Pound's find all that they look for |
//! | `SIGHUP` ends the program | loads the configuration anew | asked for since 2002 |
//! | `SIGUSR1` kills the supervisor, `SIGUSR2` too | log files are reopened; the program is replaced | as elsewhere |
//! | without `Daemon` there is no supervisor | there always is | a worker that dies is replaced |

#![forbid(unsafe_code)]

mod diag;
mod grammar;
mod lex;
pub mod listing;
mod lower;
pub mod model;
mod parse;
mod render;
mod resolv_conf;
mod source;
mod suggest;
mod tree;
mod upgrade;
mod written;

pub use diag::{Diagnostic, Level, Note};
pub use grammar::{Directive, Group, directives, help_directives};
pub use lower::{built_in_log_format, certificate_files};
pub use resolv_conf::system_name_servers;
pub use source::{Place, Position};
pub use written::{Clause, Setting, Subject, Written};

use diag::{Findings, Problem};
use model::{Ahead, Config, Pattern};
use source::{FileId, Sources};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// What the command line says about loading.
#[derive(Debug, Clone)]
pub struct Options {
    /// `-W include-dir=DIR`: base of relative file names; `None` is the directory of the main file.
    pub include_dir: Option<PathBuf>,
    /// `-W warn-deprecated`: warn about old spellings and about statements that have no effect.
    pub warn_deprecated: bool,
    /// `-W dns`: look host names up; without it only addresses in digits and socket paths are known.
    pub resolve_dns: bool,
    /// What an earlier reading found, so that this one need not wait for a name server: other names are unknown.
    pub known_names: Option<Names>,
    /// Says whether a pattern compiles, so that one that does not is reported at its place.
    pub check_pattern: Option<CheckPattern>,
}

/// Host names and their addresses in the system's order.
pub type Names = BTreeMap<String, Vec<IpAddr>>;

/// Says why a pattern does not compile.
pub type CheckPattern = fn(&Pattern) -> Result<(), String>;

impl Default for Options {
    fn default() -> Options {
        Options {
            include_dir: None,
            warn_deprecated: true,
            resolve_dns: true,
            known_names: None,
            check_pattern: None,
        }
    }
}

/// A configuration that loads.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What it says beyond that and the engine does not serve yet; empty but from [`load_text_ahead`].
    pub ahead: Ahead,
    /// What its owner may want to change, in file order.
    pub warnings: Vec<Diagnostic>,
    /// The names that were looked up.
    pub names: Names,
    /// Where stands what only others can judge.
    pub written: Written,
}

/// Loads a file and everything it includes.
///
/// # Errors
/// Every error of the run and the warnings between them, in file order.
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    match sources.open(path, None) {
        Ok(file) => {
            let base = path.parent().unwrap_or(Path::new("")).to_owned();
            read(sources, file, base, options, Unserved::Refuse)
        }
        Err(text) => {
            let mut findings = Findings::default();
            findings.push(Problem::nowhere(text));
            Err(findings.resolve(&sources))
        }
    }
}

/// Loads the text that a preprocessor has made of a file, for which the file's name stands in messages.
///
/// # Errors
/// As [`load`].
pub fn load_made(path: &Path, text: &str, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let file = sources.add_text(&path.display().to_string(), text);
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    read(sources, file, base, options, Unserved::Refuse)
}

/// Loads text that is not in a file; `name` stands for the file in messages.
///
/// # Errors
/// As [`load`].
pub fn load_text(name: &str, text: &str, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let file = sources.add_text(name, text);
    read(sources, file, PathBuf::new(), options, Unserved::Refuse)
}

/// As [`load_text`], but what the engine does not serve yet is read into [`Loaded::ahead`], not refused.
///
/// # Errors
/// As [`load`].
pub fn load_text_ahead(name: &str, text: &str, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let file = sources.add_text(name, text);
    read(sources, file, PathBuf::new(), options, Unserved::Read)
}

/// A configuration in today's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// Its main file, with comments and layout as they were.
    pub text: String,
    /// The files it includes that change too, by their names, and the new text of each.
    pub included: Vec<(String, String)>,
}

/// Says what a file and everything it includes say in today's words.
///
/// # Errors
/// What cannot be read, so that it cannot be said in other words either.
pub fn upgrade(path: &Path, options: &Options) -> Result<Upgraded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    match sources.open(path, None) {
        Ok(file) => {
            let base = path.parent().unwrap_or(Path::new("")).to_owned();
            in_today_s_words(sources, file, base, options)
        }
        Err(text) => {
            let mut findings = Findings::default();
            findings.push(Problem::nowhere(text));
            Err(findings.resolve(&sources))
        }
    }
}

/// As [`upgrade`], of text that is not in a file.
///
/// # Errors
/// As [`upgrade`].
pub fn upgrade_text(name: &str, text: &str, options: &Options) -> Result<Upgraded, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let file = sources.add_text(name, text);
    in_today_s_words(sources, file, PathBuf::new(), options)
}

fn in_today_s_words(
    mut sources: Sources,
    file: FileId,
    base: PathBuf,
    options: &Options,
) -> Result<Upgraded, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let base = options.include_dir.clone().unwrap_or(base);
    let tree = parse::parse(&mut sources, file, base, &mut findings);
    let files = upgrade::files(&tree, &sources);
    if let (0, Ok(files)) = (findings.errors(), &files) {
        let main = files.iter().find(|(changed, _)| *changed == file).map(|(_, text)| text.clone());
        let included = files.iter().filter(|(changed, _)| *changed != file);
        return Ok(Upgraded {
            text: main.unwrap_or_else(|| sources.text(file).to_owned()),
            included: included.map(|(file, text)| (sources.name(*file).to_owned(), text.clone())).collect(),
        });
    }
    if let Err(problem) = files {
        findings.push(problem);
    }
    Err(findings.resolve(&sources))
}

/// What becomes of directives that are lowered and not served yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unserved {
    Refuse,
    Read,
}

/// Reads a file that is open into the model.
fn read(
    mut sources: Sources,
    file: FileId,
    base: PathBuf,
    options: &Options,
    unserved: Unserved,
) -> Result<Loaded, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let base = options.include_dir.clone().unwrap_or(base);
    let tree = parse::parse(&mut sources, file, base, &mut findings);
    if options.warn_deprecated {
        upgrade::advise(&tree, &sources, &mut findings);
    }
    let lower::Lowered { config, ahead, names, noted } =
        lower::lower(&tree, &sources, options, unserved, &mut findings);
    let failed = findings.errors() > 0;
    let warnings = findings.resolve(&sources);
    if failed {
        return Err(warnings);
    }
    Ok(Loaded { config, ahead, warnings, names, written: Written::new(noted, &sources) })
}
