//! Orders between the supervisor and a worker: one byte a message on a sequenced-packet socket.
//!
//! One message is longer: [`FEED`], then the place of a feed in the plan as four bytes, the lowest first, and with it a
//! descriptor of its file's new contents ([`ounce_sys::parcel`]). A worker answers with the same five bytes once they are
//! in use, and with what is wrong behind them if they are not.

/// What the supervisor asks of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Accept nothing more, finish what is under way, then end.
    Drain,
    /// End at once.
    Stop,
    /// A listener, service or backend was switched on or off.
    Changed,
    /// Another process has stopped accepting from the sockets of this one: look into their queues.
    Accept,
}

/// The contents of a watched file have changed.
pub const FEED: u8 = b'N';

/// The message about the feed at this place.
#[must_use]
pub fn feed_message(feed: u32) -> [u8; 5] {
    let [a, b, c, d] = feed.to_le_bytes();
    [FEED, a, b, c, d]
}

/// The feed that a message is about, and what is said of it.
#[must_use]
pub fn feed_of(message: &[u8]) -> Option<(u32, &[u8])> {
    let (place, text) = message.strip_prefix(&[FEED])?.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*place), text))
}

/// What a worker says once it serves.
pub const READY: u8 = b'R';

/// What a draining worker says once it accepts nothing any more.
pub const LEFT: u8 = b'L';

impl Order {
    /// The order that a byte stands for.
    #[must_use]
    pub fn of(byte: u8) -> Option<Order> {
        match byte {
            b'D' => Some(Order::Drain),
            b'S' => Some(Order::Stop),
            b'C' => Some(Order::Changed),
            b'A' => Some(Order::Accept),
            _ => None,
        }
    }

    /// The byte that stands for an order.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Order::Drain => b'D',
            Order::Stop => b'S',
            Order::Changed => b'C',
            Order::Accept => b'A',
        }
    }
}
