//! What an operator may ask: requests of the control API, and their form in a request line.
//!
//! Objects are named as Pound names them: `/L/S/B` is backend `B` of service `S` of listener `L`. Listeners and
//! services go by number or by label, backends by number; `-` in the place of `L` stands for the services outside any
//! listener.

use std::fmt;

/// The deepest indentation that an answer may be asked for.
pub const INDENT_MAX: usize = 32;

/// A listener or a service, as the operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// Its number, counted from 0.
    Index(usize),
    /// Its label in the configuration.
    Label(String),
}

/// Where a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Outside any listener.
    Global,
    /// Inside this listener.
    Listener(Name),
}

/// A service, as the operator names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePath {
    /// Where it stands.
    pub place: Place,
    /// Which one it is there.
    pub service: Name,
}

/// Something that can be shown, enabled or disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// The whole proxy; it can only be shown.
    Everything,
    /// A listener.
    Listener(Name),
    /// A service.
    Service(ServicePath),
    /// A backend of a service, by its number.
    Backend(ServicePath, usize),
}

/// A request of the control API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Describe an object and all below it.
    Show(Object),
    /// Describe the process.
    Core,
    /// Enable or disable an object.
    Switch {
        /// Which object; never [`Object::Everything`].
        object: Object,
        /// Enable it.
        enable: bool,
    },
    /// Bind a session key to a backend.
    AddSession {
        /// The service whose session it is.
        service: ServicePath,
        /// The backend, by its number.
        backend: usize,
        /// The key.
        key: Vec<u8>,
    },
    /// Forget a session key.
    ForgetSession {
        /// The service whose session it is.
        service: ServicePath,
        /// The key.
        key: Vec<u8>,
    },
    /// All counters in the OpenMetrics text format.
    Metrics,
    /// Show or change how request lines are written.
    Log {
        /// By this listener; `None`: by all without a level of their own.
        listener: Option<Name>,
        /// What to do.
        change: LogChange,
    },
}

/// What becomes of a log level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogChange {
    /// It is shown.
    Show,
    /// It is this one: the name or number of a format.
    Set(String),
    /// It is again what the configuration says.
    Reset,
}

/// Why a request line is not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A parameter is missing or cannot be read: 400.
    BadParameter,
    /// Nothing lives at that path: 404.
    NotFound,
    /// The path exists, but not for that method: 405. Holds the methods it has, as `Allow` lists them.
    MethodNotAllowed(&'static str),
}

impl Name {
    /// Reads a name: digits are a number, all else is a label.
    #[must_use]
    pub fn new(text: &str) -> Name {
        match text.parse() {
            Ok(index) if text.bytes().all(|byte| byte.is_ascii_digit()) => Name::Index(index),
            _ => Name::Label(text.to_owned()),
        }
    }
}

impl Object {
    /// Reads `/L/S/B` or a beginning of it; `None` if it has another form.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Object> {
        let segments = segments(path.strip_prefix('/')?, |segment| Some(segment.to_owned()))?;
        Object::from_segments(&segments)
    }

    fn from_segments(segments: &[String]) -> Option<Object> {
        match segments {
            [] => Some(Object::Everything),
            [listener] if listener != "-" => Some(Object::Listener(Name::new(listener))),
            [listener, service] => Some(Object::Service(ServicePath::new(listener, service))),
            [listener, service, backend] => {
                Some(Object::Backend(ServicePath::new(listener, service), number(backend)?))
            }
            _ => None,
        }
    }
}

impl ServicePath {
    fn new(listener: &str, service: &str) -> ServicePath {
        let place = if listener == "-" { Place::Global } else { Place::Listener(Name::new(listener)) };
        ServicePath { place, service: Name::new(service) }
    }
}

impl Request {
    /// The method of its request line.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Request::Show(_) | Request::Core | Request::Metrics => "GET",
            Request::Switch { enable: true, .. } | Request::AddSession { .. } => "PUT",
            Request::Switch { enable: false, .. } | Request::ForgetSession { .. } => "DELETE",
            Request::Log { change, .. } => match change {
                LogChange::Show => "GET",
                LogChange::Set(_) => "PUT",
                LogChange::Reset => "DELETE",
            },
        }
    }

    /// The target of its request line. `indent` asks for an answer indented by so many blanks.
    #[must_use]
    pub fn target(&self, indent: Option<usize>) -> String {
        let (mut target, parameter) = match self {
            Request::Core => ("/core".to_owned(), None),
            Request::Metrics => ("/metrics".to_owned(), None),
            Request::Show(object) | Request::Switch { object, .. } => (format!("/listener{object}"), None),
            Request::AddSession { service, backend, key } => {
                (format!("/session{service}/{backend}"), Some(("key", &key[..])))
            }
            Request::ForgetSession { service, key } => {
                (format!("/session{service}"), Some(("key", &key[..])))
            }
            Request::Log { listener, change } => {
                let target =
                    listener.as_ref().map_or("/log".to_owned(), |listener| format!("/log/{listener}"));
                let level = match change {
                    LogChange::Set(level) => Some(("level", level.as_bytes())),
                    LogChange::Show | LogChange::Reset => None,
                };
                (target, level)
            }
        };
        if let Some((name, value)) = parameter {
            target.push_str(&format!("?{name}="));
            escape(value, &mut target);
        }
        if let Some(indent) = indent {
            let mark = if parameter.is_some() { '&' } else { '?' };
            target.push_str(&format!("{mark}indent={indent}"));
        }
        target
    }

    /// Reads a request line's method and target. Returns the request and the indentation that it asks for.
    ///
    /// # Errors
    /// A [`Refusal`], which names the status of the answer.
    pub fn parse(method: &str, target: &str) -> Result<(Request, Option<usize>), Refusal> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let rest = path.strip_prefix('/').ok_or(Refusal::NotFound)?;
        let segments = segments(rest, unescape_text).ok_or(Refusal::NotFound)?;
        let (kind, names) = segments.split_first().ok_or(Refusal::NotFound)?;
        let request = match kind.as_str() {
            "core" if names.is_empty() => only("GET", method).map(|()| Request::Core),
            "metrics" if names.is_empty() => only("GET", method).map(|()| Request::Metrics),
            "log" if names.len() <= 1 => on_log(method, names.first(), query),
            "listener" => on_object(method, Object::from_segments(names)),
            "service" if !names.is_empty() => {
                let global: Vec<String> =
                    std::iter::once("-".to_owned()).chain(names.iter().cloned()).collect();
                on_object(method, Object::from_segments(&global))
            }
            "session" => on_session(method, Object::from_segments(names), query),
            _ => Err(Refusal::NotFound),
        }?;
        Ok((request, indent(query)?))
    }
}

fn only(allowed: &'static str, method: &str) -> Result<(), Refusal> {
    if method == allowed { Ok(()) } else { Err(Refusal::MethodNotAllowed(allowed)) }
}

fn on_object(method: &str, object: Option<Object>) -> Result<Request, Refusal> {
    let object = object.ok_or(Refusal::NotFound)?;
    match method {
        "GET" => Ok(Request::Show(object)),
        _ if object == Object::Everything => Err(Refusal::MethodNotAllowed("GET")),
        "PUT" => Ok(Request::Switch { object, enable: true }),
        "DELETE" => Ok(Request::Switch { object, enable: false }),
        _ => Err(Refusal::MethodNotAllowed("GET, PUT, DELETE")),
    }
}

fn on_session(method: &str, object: Option<Object>, query: &str) -> Result<Request, Refusal> {
    match object {
        Some(Object::Service(service)) => {
            only("DELETE", method)?;
            Ok(Request::ForgetSession { service, key: session_key(query)? })
        }
        Some(Object::Backend(service, backend)) => {
            only("PUT", method)?;
            Ok(Request::AddSession { service, backend, key: session_key(query)? })
        }
        _ => Err(Refusal::NotFound),
    }
}

fn on_log(method: &str, listener: Option<&String>, query: &str) -> Result<Request, Refusal> {
    let listener = listener.map(|name| Name::new(name));
    let change = match method {
        "GET" => LogChange::Show,
        "PUT" => {
            let level = parameter(query, "level").and_then(unescape_text).filter(|level| !level.is_empty());
            LogChange::Set(level.ok_or(Refusal::BadParameter)?)
        }
        "DELETE" => LogChange::Reset,
        _ => return Err(Refusal::MethodNotAllowed("GET, PUT, DELETE")),
    };
    Ok(Request::Log { listener, change })
}

fn session_key(query: &str) -> Result<Vec<u8>, Refusal> {
    let key = parameter(query, "key").and_then(unescape).ok_or(Refusal::BadParameter)?;
    if key.is_empty() { Err(Refusal::BadParameter) } else { Ok(key) }
}

fn indent(query: &str) -> Result<Option<usize>, Refusal> {
    let Some(text) = parameter(query, "indent") else { return Ok(None) };
    match number(text) {
        Some(width) if width <= INDENT_MAX => Ok(Some(width)),
        _ => Err(Refusal::BadParameter),
    }
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn number(text: &str) -> Option<usize> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Cuts a path at its slashes; one slash may end it. An empty name in the middle is an error, as is one that `read`
/// cannot read.
fn segments(path: &str, read: impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.split('/').map(|segment| if segment.is_empty() { None } else { read(segment) }).collect()
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Index(index) => write!(out, "{index}"),
            Name::Label(label) => {
                let mut text = String::new();
                escape(label.as_bytes(), &mut text);
                out.write_str(&text)
            }
        }
    }
}

impl fmt::Display for ServicePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Global => write!(out, "/-/{}", self.service),
            Place::Listener(name) => write!(out, "/{name}/{}", self.service),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Everything => out.write_str("/"),
            Object::Listener(name) => write!(out, "/{name}"),
            Object::Service(path) => path.fmt(out),
            Object::Backend(path, backend) => write!(out, "{path}/{backend}"),
        }
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 2.3).
fn escape(bytes: &[u8], into: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Undoes percent-encoding (RFC 3986 2.1); `None` if a `%` is not followed by two hexadecimal digits.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    Some(bytes)
}

fn unescape_text(text: &str) -> Option<String> {
    String::from_utf8(unescape(text)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(listener: &str, name: &str) -> ServicePath {
        ServicePath::new(listener, name)
    }

    #[test]
    fn what_the_client_writes_the_server_reads() {
        let all = [
            Request::Core,
            Request::Metrics,
            Request::Show(Object::Everything),
            Request::Show(Object::Listener(Name::Label("web site/%1".into()))),
            Request::Show(Object::Service(service("-", "3"))),
            Request::Switch { object: Object::Listener(Name::Index(0)), enable: false },
            Request::Switch { object: Object::Backend(service("web", "1"), 7), enable: true },
            Request::AddSession { service: service("0", "main"), backend: 2, key: b"a b&c=\xff".to_vec() },
            Request::ForgetSession { service: service("-", "0"), key: b"127.0.0.1".to_vec() },
            Request::Log { listener: None, change: LogChange::Show },
            Request::Log { listener: None, change: LogChange::Set("my own".into()) },
            Request::Log { listener: Some(Name::Label("a/b".into())), change: LogChange::Set("5".into()) },
            Request::Log { listener: Some(Name::Index(1)), change: LogChange::Reset },
        ];
        for request in all {
            for indent in [None, Some(4)] {
                let target = request.target(indent);
                let read = Request::parse(request.method(), &target);
                assert_eq!(read, Ok((request.clone(), indent)), "{target}");
            }
        }
    }

    #[test]
    fn pounds_other_spellings_are_read() {
        let show = |object| Ok((Request::Show(object), None));
        assert_eq!(Request::parse("GET", "/listener"), show(Object::Everything));
        assert_eq!(Request::parse("GET", "/listener/"), show(Object::Everything));
        assert_eq!(Request::parse("GET", "/service/0"), show(Object::Service(service("-", "0"))));
        assert_eq!(Request::parse("GET", "/service/a/1"), show(Object::Backend(service("-", "a"), 1)));
        assert_eq!(Request::parse("GET", "/listener/-/a/"), show(Object::Service(service("-", "a"))));
    }

    #[test]
    fn a_wrong_method_is_told_the_right_ones() {
        let refused = |method, target| Request::parse(method, target).map(|_| ());
        assert_eq!(refused("PUT", "/listener"), Err(Refusal::MethodNotAllowed("GET")));
        assert_eq!(refused("POST", "/listener/0"), Err(Refusal::MethodNotAllowed("GET, PUT, DELETE")));
        assert_eq!(refused("DELETE", "/core"), Err(Refusal::MethodNotAllowed("GET")));
        assert_eq!(refused("GET", "/session/0/0?key=a"), Err(Refusal::MethodNotAllowed("DELETE")));
        assert_eq!(refused("DELETE", "/session/0/0/0?key=a"), Err(Refusal::MethodNotAllowed("PUT")));
    }

    #[test]
    fn a_path_that_names_nothing_is_not_found() {
        for target in [
            "",
            "/",
            "x",
            "/nothing",
            "/core/1",
            "/service",
            "/listener/-",
            "/listener/0//1",
            "/listener/0/0/b",
            "/listener/0/0/0/0",
            "/listener/%zz",
            "/listener/%ff",
            "/session",
            "/log/0/1",
            "/session/0",
            "//",
        ] {
            assert_eq!(Request::parse("GET", target).map(|_| ()), Err(Refusal::NotFound), "{target}");
        }
    }

    #[test]
    fn a_parameter_that_cannot_be_read_is_refused() {
        let refused = |method, target| Request::parse(method, target).map(|_| ());
        for target in ["/session/0/0", "/session/0/0?key=", "/session/0/0?key=%4", "/session/0/0?keys=a"] {
            assert_eq!(refused("DELETE", target), Err(Refusal::BadParameter), "{target}");
        }
        for target in ["/log", "/log?level=", "/log/0?levels=1", "/log?level=%zz"] {
            assert_eq!(refused("PUT", target), Err(Refusal::BadParameter), "{target}");
        }
        for target in
            ["/core?indent=", "/core?indent=x", "/core?indent=-1", "/core?indent=99999999999999999999"]
        {
            assert_eq!(refused("GET", target), Err(Refusal::BadParameter), "{target}");
        }
        assert_eq!(refused("GET", "/core?other=1"), Ok(()));
    }

    #[test]
    fn objects_on_the_command_line() {
        assert_eq!(Object::from_path("/"), Some(Object::Everything));
        assert_eq!(Object::from_path("/web"), Some(Object::Listener(Name::Label("web".into()))));
        assert_eq!(Object::from_path("/-/1/2"), Some(Object::Backend(service("-", "1"), 2)));
        assert_eq!(Object::from_path("web"), None);
        assert_eq!(Object::from_path("/0/0/x"), None);
    }
}
