//! The configuration as the program uses it: plain data, names resolved, defaults filled in.
//!
//! Nothing here knows how a file was written; `lower` makes it, the engine and the warden read it.

mod ahead;
mod backend;
mod card;
mod condition;
mod dynamic;
mod feed;
mod global;
mod listener;
mod log;
mod rewrite;
mod service;
mod session;
mod tls;

pub use ahead::{Ahead, Tunnel};
pub use backend::{Address, Backend, BackendKind, ErrorPage, HouseWork, Server};
pub use card::{Card, CardKind, CardMode, Key};
pub use condition::{Condition, Flavour, Kind, NamedCondition, Networks, Pattern, TokenLimit};
pub use dynamic::{DynamicName, Families, NameServers, ResolveMode, Resolver};
pub use feed::{Feed, FeedKind, FeedName};
pub use global::{
    Balancer, Config, Control, Global, HeaderOption, IoEngine, LogTarget, Originator, TicketKey,
};
pub use listener::{HeaderRule, Listen, Listener, Protocol, RewriteLocation};
pub use log::{
    LogField, LogFile, LogFormat, LogLine, LogMoment, LogObject, LogPiece, LogPlace, LogServer, LogStep,
    SyslogSyntax, TimeFormat, TimePart, TimeUnit,
};
pub use rewrite::{Branch, Operation, Rule};
pub use service::{Service, ServiceName};
pub use session::{Session, SessionKind};
pub use tls::{
    Ciphers, ClientCertificate, ClientList, ListenerTls, OneRequest, PeerName, Renegotiation, ServerTls,
    TlsVersion, Verify, Watched,
};
