//! Rows of TLS, towards clients and towards backends.

use super::{Body, GLOBAL, Kind, Repeat, Row, Scope, Switch};
use super::{any, many, one, optional, row};

const HTTPS: &[Scope] = &[Scope::Https];
const BOTH: &[Scope] = &[Scope::Https, Scope::Backend];
const BACKEND: &[Scope] = &[Scope::Backend];
const CARDS: &[Scope] = &[Scope::Engine, Scope::Provider];
const ENGINE: &[Scope] = &[Scope::Engine];
const MODES: &[&str] = &["auto", "async", "threads", "sync"];
const VERSIONS: Kind = Kind::Word(&["SSLv2", "SSLv3", "TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"]);
const OLDEST: Kind = Kind::Word(&["TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"]);
const HSTS_WORDS: Kind = Kind::Word(&["includeSubDomains", "preload"]);

pub(super) const ROWS: &[Row] = &[
    row("Cert", HTTPS, "certificate and key; with -filewatch, changes of the files are followed")
        .takes(&[one(Kind::File, "file")])
        .switches(&[Switch::FileWatch])
        .repeat(Repeat::Many),
    row("Cert", BACKEND, "our certificate and its key").takes(&[one(Kind::File, "file")]),
    row(
        "Key",
        HTTPS,
        "key of the Cert before it: a file, a URI such as pkcs11:..., or an id and the engine that has it",
    )
    .takes(&[one(Kind::Source, "key"), optional(Kind::Text, "engine")])
    .repeat(Repeat::Many),
    row("Key", BACKEND, "key of the Cert of this section, as in ListenHTTPS")
        .takes(&[one(Kind::Source, "key"), optional(Kind::Text, "engine")]),
    row(
        "ClientCert",
        HTTPS,
        "ask clients for a certificate: 0 no, 1 yes, 2 require one, 3 yes but do not verify (0)",
    )
    .takes(&[
        one(Kind::Number { min: 0, max: 3 }, "mode"),
        optional(Kind::Number { min: 0, max: 9 }, "depth"),
    ]),
    row("Ciphers", BOTH, "allowed ciphers")
        .takes(&[many(Kind::Text, "ciphers")])
        .switches(&[Switch::CipherList, Switch::CipherSuites])
        .repeat(Repeat::Many),
    row("Disable", BOTH, "do not speak this version of TLS nor an older one; TLSv1_3 is about itself alone")
        .takes(&[one(VERSIONS, "version")])
        .repeat(Repeat::Many),
    row("DisableSSLv2", HTTPS, "as Disable SSLv2").instead("Disable SSLv2"),
    row("DisableSSLv3", HTTPS, "as Disable SSLv3").instead("Disable SSLv3"),
    row("MinProto", BOTH, "the oldest version of TLS that is spoken").takes(&[one(OLDEST, "version")]),
    row("Groups", BOTH, "groups for the exchange of keys, the best first")
        .takes(&[many(Kind::Text, "group")]),
    row(
        "DHParams",
        &[Scope::Global, Scope::Https],
        "accepted; the library chooses groups that are safe, and Groups names them",
    )
    .takes(&[one(Kind::Text, "file")])
    .idle("the library chooses groups that are safe; Groups names them"),
    row("SSLHonorCipherOrder", HTTPS, "prefer our order of ciphers (no)").takes(&[one(Kind::Flag, "value")]),
    row("SSLAllowClientRenegotiation", HTTPS, "renegotiation by clients: 0 no, 1 secure, 2 any (0)")
        .takes(&[one(Kind::Number { min: 0, max: 2 }, "mode")]),
    row("CAlist", HTTPS, "authorities whose names clients are sent")
        .takes(&[one(Kind::File, "file")])
        .switches(&[Switch::FileWatch]),
    row("VerifyList", HTTPS, "authorities that clients' certificates are verified against")
        .takes(&[one(Kind::File, "file")])
        .switches(&[Switch::FileWatch]),
    row("VerifyList", BACKEND, "authorities that its certificate is verified against (the system's)")
        .takes(&[one(Kind::File, "file")])
        .repeat(Repeat::Many),
    row("VerifyPeer", BACKEND, "verify its certificate (no)").takes(&[one(Kind::Flag, "value")]),
    row("CRLlist", HTTPS, "lists of revoked certificates; with -filewatch, changes of the file are followed")
        .takes(&[one(Kind::File, "file")])
        .switches(&[Switch::FileWatch]),
    row("CRLlist", BACKEND, "lists of revoked certificates").takes(&[one(Kind::File, "file")]),
    row("OCSP", HTTPS, "what the authority says of the certificate before this line (its name with .ocsp)")
        .takes(&[one(Kind::File, "file")])
        .switches(&[Switch::FileWatch])
        .repeat(Repeat::Many),
    row("StrictSNI", HTTPS, "refuse clients that ask for a name that no certificate has (no)")
        .takes(&[one(Kind::Flag, "value")]),
    row("HSTS", HTTPS, "tell browsers to come over HTTPS only, for so long")
        .takes(&[one(Kind::Time { min: 0 }, "time"), any(HSTS_WORDS, "option")]),
    row("NoHTTPS11", HTTPS, "one request a connection: 0 no, 1 yes, 2 for old browsers (0)")
        .takes(&[one(Kind::Number { min: 0, max: 2 }, "mode")]),
    row("XSSLHeaders", HTTPS, "which X-SSL headers requests get")
        .takes(&[one(Kind::Number { min: 0, max: 3 }, "mode")])
        .instead("HeaderOption ssl"),
    row("HTTPS", BACKEND, "speak TLS to this backend").takes(&[optional(Kind::File, "certificate")]),
    row("ServerName", BACKEND, "name for SNI and for the Host header").takes(&[one(Kind::Text, "name")]),
    row("SSLEngine", GLOBAL, "load an OpenSSL engine in each worker, by default for all that it can do")
        .takes(&[one(Kind::Text, "engine")])
        .body(Body::Perhaps(Scope::Engine)),
    row("SSLProvider", GLOBAL, "load an OpenSSL provider in each worker, beside the library's own")
        .takes(&[one(Kind::Text, "provider")])
        .body(Body::Perhaps(Scope::Provider)),
    row("Path", CARDS, "the module's file (the library knows where to look)")
        .takes(&[one(Kind::File, "file")]),
    row("PreCommand", ENGINE, "control command for the engine before it is initialised")
        .takes(&[one(Kind::Text, "command"), optional(Kind::Text, "value")])
        .repeat(Repeat::Many),
    row("PostCommand", ENGINE, "control command for the engine once it is initialised")
        .takes(&[one(Kind::Text, "command"), optional(Kind::Text, "value")])
        .repeat(Repeat::Many),
    row("Default", ENGINE, "what all keys use it for: ALL, or a list such as RSA,EC (nothing)")
        .takes(&[one(Kind::Text, "algorithms")]),
    row("Parameter", &[Scope::Provider], "a parameter of the provider")
        .takes(&[one(Kind::Text, "name"), one(Kind::Text, "value")])
        .repeat(Repeat::Many),
    row("Mode", CARDS, "how handshakes wait for it (auto)").takes(&[one(Kind::Word(MODES), "mode")]),
    row("Jobs", CARDS, "how many handshakes may wait for it at once in each worker (1024)")
        .takes(&[one(Kind::Number { min: 1, max: 65536 }, "count")]),
    row("TimeOut", CARDS, "how long it may take for one handshake (3 s)")
        .takes(&[one(Kind::Time { min: 1 }, "limit")]),
];
