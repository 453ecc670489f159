//! Every cap of the flow in one place, with its reason. (The caps of the message syntax are in `http::limits`.)

/// Bytes handed over for sending and not yet taken by the kernel, per socket: at this much, the other side is not
/// asked for more. Eight pages keep a fast pair busy and bound what a slow reader can hold.
pub(crate) const OWED_MAX: u32 = 128 * 1024;

/// The same by how many eighths of the pool are free: what some readers that stand still hold, others must do without, so
/// that a thousand of them take little more than a hundred.
pub(crate) const OWED_MAX_BY_EIGHTHS: [u32; 9] = {
    const PAGE: u32 = 16 * 1024;
    [PAGE, PAGE, PAGE, PAGE, PAGE, PAGE, 2 * PAGE, OWED_MAX, OWED_MAX]
};

/// Bytes a client may send ahead (pipelined requests) before it is paused.
pub(crate) const AHEAD_MAX: usize = 32 * 1024;

/// Bytes that must remain of a body before it moves to the kernel's pipe: below it, the system calls of a splice
/// cost more than the copy (measured: the crossover lies between 32 and 64 KiB).
pub(crate) const SPLICE_MIN: u64 = 64 * 1024;

/// Parked connections per backend and worker: enough for a worker's share of a busy site, few enough that a
/// backend with 1024 descriptors survives 4 workers.
pub(crate) const PARKED_MAX: u32 = 256;

/// Sockets beyond three for each client (its own, one to a backend, one parked or closing): for clients that the kernel
/// had accepted already when accepting was stopped. Without them these would take the places of their own backends.
pub(crate) const SPARE_SOCKETS: u32 = 256;

/// How long a parked connection waits for its next request: below the 75 s and 60 s at which common servers close,
/// so that most closings are ours and race with nothing.
pub(crate) const PARKED_US: u64 = 15_000_000;

/// How long a lingering close reads and drops what a client still sends, so that our last bytes are not lost to a
/// reset (RFC 9112 9.6).
pub(crate) const LINGER_US: u64 = 2_000_000;

/// Bytes that a lingering close drops before it closes all the same.
pub(crate) const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// How long a lingering close goes on while the client keeps sending.
pub(crate) const LINGER_MAX_US: u64 = 30_000_000;

/// Empty lines before a request line that are skipped (RFC 9112 2.2 asks for at least one), per request.
pub(crate) const EMPTY_LINES_MAX: usize = 64;

/// Bytes of a head while rules change it, replaced ones included: a few rules that each repeat the largest head
/// fit, and a chain of rules that double it does not.
pub(crate) const REWRITTEN_BYTES_MAX: usize = 128 * 1024;

/// How long a request waits for its passwords to be looked at: hashes that are made to be slow take a second, and a full
/// queue of them some ten times as long.
pub(crate) const PASSWORD_US: u64 = 30_000_000;

/// Attempts beyond the first at what the program answers itself: whoever answers may be replaced while it does, and a
/// request that ends each one must not go on for ever.
pub(crate) const HOUSE_RETRIES: u16 = 2;

/// Interim (1xx) responses that one request may bring: more is a backend gone wrong.
pub(crate) const INTERIM_MAX: u8 = 16;

/// Retained exchanges, for reuse of their memory.
pub(crate) const SPARE_EXCHANGES: usize = 256;
