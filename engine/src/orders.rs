//! Orders between the supervisor and a worker: one byte a message on a sequenced-packet socket.

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
