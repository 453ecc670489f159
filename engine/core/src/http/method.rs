//! Request methods: which there are, from which `xHTTP` level on, and what may be repeated.

macro_rules! methods {
    ($($variant:ident $name:literal $level:literal $nature:ident,)+) => {
        /// A request method that some `xHTTP` level allows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum Method {
            #[default]
            $(#[doc = concat!("`", $name, "`.")] $variant,)+
        }

        impl Method {
            /// All methods, by level.
            pub const ALL: &'static [Method] = &[$(Method::$variant,)+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Method::$variant => $name,)+ }
            }

            /// The lowest `xHTTP` level that allows it.
            #[must_use]
            pub const fn level(self) -> u8 {
                match self { $(Method::$variant => $level,)+ }
            }

            const fn nature(self) -> Nature {
                match self { $(Method::$variant => Nature::$nature,)+ }
            }
        }
    };
}

/// What repeating a method does (RFC 9110 9.2, and the registry of methods for WebDAV's).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nature {
    /// Reads only.
    Safe,
    /// Twice is as good as once.
    Idempotent,
    /// Twice may be worse than once, or nobody has promised otherwise.
    Unsafe,
}

methods! {
    Get "GET" 0 Safe,
    Post "POST" 0 Unsafe,
    Head "HEAD" 0 Safe,
    Put "PUT" 1 Idempotent,
    Patch "PATCH" 1 Unsafe,
    Delete "DELETE" 1 Idempotent,
    Lock "LOCK" 2 Unsafe,
    Unlock "UNLOCK" 2 Idempotent,
    Propfind "PROPFIND" 2 Safe,
    Proppatch "PROPPATCH" 2 Idempotent,
    Search "SEARCH" 2 Safe,
    Mkcol "MKCOL" 2 Idempotent,
    Move "MOVE" 2 Idempotent,
    Copy "COPY" 2 Idempotent,
    Options "OPTIONS" 2 Safe,
    Trace "TRACE" 2 Safe,
    Mkactivity "MKACTIVITY" 2 Idempotent,
    Checkout "CHECKOUT" 2 Idempotent,
    Merge "MERGE" 2 Idempotent,
    Report "REPORT" 2 Safe,
    Subscribe "SUBSCRIBE" 3 Unsafe,
    Unsubscribe "UNSUBSCRIBE" 3 Unsafe,
    Notify "NOTIFY" 3 Unsafe,
    Bpropfind "BPROPFIND" 3 Unsafe,
    Bproppatch "BPROPPATCH" 3 Unsafe,
    Poll "POLL" 3 Unsafe,
    Bmove "BMOVE" 3 Unsafe,
    Bcopy "BCOPY" 3 Unsafe,
    Bdelete "BDELETE" 3 Unsafe,
    Connect "CONNECT" 3 Unsafe,
    RpcInData "RPC_IN_DATA" 4 Unsafe,
    RpcOutData "RPC_OUT_DATA" 4 Unsafe,
}

impl Method {
    /// Recognises a method name. Methods in lower case are accepted as they always were (and passed on as
    /// sent), except where the two ends of a connection could then disagree about where the response ends: a
    /// backend that does not know `head` answers with a body. RFC 9110 9.1 has methods case-sensitive.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Method> {
        match name {
            b"GET" => return Some(Method::Get),
            b"POST" => return Some(Method::Post),
            b"HEAD" => return Some(Method::Head),
            _ => {}
        }
        let found = Method::ALL.iter().copied().find(|m| name.eq_ignore_ascii_case(m.name().as_bytes()))?;
        let exact = matches!(found, Method::Head | Method::Connect);
        (!exact || name == found.name().as_bytes()).then_some(found)
    }

    /// Whether a request may be sent again when its fate is unknown (RFC 9110 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        !matches!(self.nature(), Nature::Unsafe)
    }

    /// Whether a request asks for no change (RFC 9110 9.2.1).
    #[must_use]
    pub const fn is_safe(self) -> bool {
        matches!(self.nature(), Nature::Safe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_in_any_case_but_head_and_connect() {
        for &method in Method::ALL {
            assert_eq!(Method::of(method.name().as_bytes()), Some(method));
            let lower = method.name().to_ascii_lowercase();
            let framed = matches!(method, Method::Head | Method::Connect);
            assert_eq!(Method::of(lower.as_bytes()), (!framed).then_some(method), "{lower}");
        }
        assert_eq!(Method::of(b"BREW"), None);
        assert_eq!(Method::of(b""), None);
        assert_eq!(Method::of(b"GETS"), None);
    }

    #[test]
    fn levels_are_cumulative_and_as_documented() {
        let count = |level| Method::ALL.iter().filter(|m| m.level() <= level).count();
        assert_eq!([count(0), count(1), count(2), count(3), count(4)], [3, 6, 20, 30, 32]);
    }

    #[test]
    fn what_may_be_repeated() {
        assert!(Method::Put.is_idempotent() && !Method::Put.is_safe());
        assert!(Method::Get.is_idempotent() && Method::Get.is_safe());
        assert!(!Method::Post.is_idempotent() && !Method::Patch.is_idempotent());
        assert!(!Method::Connect.is_idempotent());
    }
}
