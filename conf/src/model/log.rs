//! Request log formats, and where log lines go.

use std::net::SocketAddr;
use std::path::PathBuf;

/// `LogFormat`, or one of the six that are built in ([`crate::built_in_log_format`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFormat {
    /// Its name.
    pub name: String,
    /// What a line holds.
    pub line: LogLine,
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogLine {
    /// Text with fields in it; no pieces, no line.
    Text(Vec<LogPiece>),
    /// `-json`: an object with these members, each name once.
    Json(Vec<(String, LogField)>),
}

/// A part of a line of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// This, as it is; no control characters but tabs.
    Text(String),
    /// A fact about the request.
    Field(LogField),
}

/// A fact about a request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogField {
    /// `%a`: who the request is from.
    Originator,
    /// `%h`: who sent it to us.
    Peer,
    /// `%A`: the address that the client connected to.
    Local,
    /// `%H`: http or https.
    Scheme,
    /// `%{NAME}i`: a header field of the request; empty if it is missing.
    Header(String),
    /// `%{NAME}I`: the same; a dash if it is missing.
    HeaderOrDash(String),
    /// `%l`: a dash, where logs of old have a name found by RFC 1413.
    Ident,
    /// `%u`: the user name of Basic credentials.
    User,
    /// `%m`.
    Method,
    /// `%q`: the query with its question mark; empty without one.
    Query,
    /// `%r`: the request line as sent.
    RequestLine,
    /// `%U`: the path.
    Path,
    /// `%v`: the host that was asked for, without its port, or else the listener's address.
    Host,
    /// `%p`: the listener's port.
    Port,
    /// `%P`: the process that served the request.
    Worker,
    /// `%{KIND}N`: the name of what served the request.
    Name(LogObject),
    /// `%{KIND}L`: where in the configuration it stands.
    Place(LogObject),
    /// `%s`: three digits.
    Status,
    /// `%>s`: the status line.
    StatusLine,
    /// `%B`, `%{response}B`: bytes of the response's body.
    Bytes,
    /// `%b`: the same; a dash for 0.
    BytesOrDash,
    /// `%{request}B`: bytes of the request's body.
    RequestBytes,
    /// `%t`, `%{FORMAT}t`.
    Time(LogMoment, TimeFormat),
    /// `%D`, `%T`, `%{UNIT}T`: how long the request took.
    Elapsed(TimeUnit),
    /// `%{STEP}T`, `%{STEP:UNIT}T`: how long it was in one step.
    Spent(LogStep, TimeUnit),
    /// `%{side}E`: who ended the exchange before its time.
    Side,
    /// `%{step}E`: the step in which it ended.
    Step,
    /// `%{retries}E`: how often another attempt was made.
    Retries,
    /// `%{SSL_PROTOCOL}x`: the client's version of TLS.
    TlsVersion,
    /// `%{SSL_CIPHER}x`: the cipher, as OpenSSL calls it.
    TlsCipher,
}

/// What has a name and a place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogObject {
    /// The listener.
    Listener,
    /// The service.
    Service,
    /// The backend.
    Backend,
}

/// A step in the life of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStep {
    /// Its head comes in.
    Receive,
    /// A service is looked for.
    Route,
    /// A backend is looked for.
    Pick,
    /// The backend is connected to.
    Link,
    /// The request goes out; the response is awaited.
    Ask,
    /// The response's head is read.
    Answer,
    /// The response's body is passed on.
    Relay,
    /// The connection was upgraded.
    Tunnel,
}

/// A unit of elapsed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds with three digits after the point.
    Fraction,
    /// Whole seconds.
    Seconds,
    /// Whole milliseconds.
    Millis,
    /// Whole microseconds.
    Micros,
}

/// A moment of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogMoment {
    /// Its first byte came.
    Begin,
    /// The last byte of its response was given out.
    End,
}

/// How a moment is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// `[dd/Mon/yyyy:hh:mm:ss +zzzz]`.
    Common,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Millis,
    /// Microseconds since 1970.
    Micros,
    /// The milliseconds of the second, three digits.
    MillisOfSecond,
    /// The microseconds of the second, six digits.
    MicrosOfSecond,
    /// Parts of the date and text between them, in local time.
    Parts(Vec<TimePart>),
}

/// A part of a moment, named for its letter in strftime(3); names are English.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimePart {
    /// This, as it is.
    Text(String),
    /// `%a`: Fri.
    WeekdayShort,
    /// `%A`: Friday.
    Weekday,
    /// `%b`: Nov.
    MonthShort,
    /// `%B`: November.
    Month,
    /// `%C`: 20.
    Century,
    /// `%d`: 01 to 31.
    Day,
    /// `%e`: the same with a blank for the 0.
    DayBlank,
    /// `%G`: the year that the ISO 8601 week belongs to.
    WeekYear,
    /// `%g`: its last two digits.
    WeekYearShort,
    /// `%H`: 00 to 23.
    Hour,
    /// `%k`: the same with a blank for the 0.
    HourBlank,
    /// `%I`: 01 to 12.
    Hour12,
    /// `%l`: the same with a blank for the 0.
    Hour12Blank,
    /// `%j`: 001 to 366.
    DayOfYear,
    /// `%m`: 01 to 12.
    MonthNumber,
    /// `%M`: 00 to 59.
    Minute,
    /// `%p`: AM or PM.
    Half,
    /// `%P`: am or pm.
    HalfLower,
    /// `%s`: seconds since 1970.
    Epoch,
    /// `%S`: 00 to 59.
    Second,
    /// `%u`: 1 (Monday) to 7.
    WeekdayNumber,
    /// `%w`: 0 (Sunday) to 6.
    WeekdayFromSunday,
    /// `%U`: week of the year, weeks begin on Sunday.
    WeekFromSunday,
    /// `%V`: the week of ISO 8601.
    Week,
    /// `%W`: week of the year, weeks begin on Monday.
    WeekFromMonday,
    /// `%Y`: 2026.
    Year,
    /// `%y`: 26.
    YearShort,
    /// `%z`: +0100.
    Zone,
}

/// `LogFile`: log lines go to files, which USR1 opens anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// For request lines.
    pub requests: PathBuf,
    /// For problems; perhaps the same.
    pub problems: PathBuf,
}

/// `LogServer`: where syslog messages go instead of `/dev/log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogServer {
    /// Where it is.
    pub place: LogPlace,
    /// How messages are written.
    pub syntax: SyslogSyntax,
}

/// Where a log daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPlace {
    /// One message in a datagram (RFC 5426).
    Udp(SocketAddr),
    /// A stream of messages (RFC 6587).
    Tcp(SocketAddr),
    /// A datagram socket of this machine.
    Unix(PathBuf),
}

/// The form of syslog messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyslogSyntax {
    /// RFC 3164.
    Bsd,
    /// RFC 5424.
    Ietf,
}
