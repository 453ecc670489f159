//! The children that live: their process, their orders socket, and what they say on it.
//!
//! Nothing that comes from a child is trusted: a message that is not one of the few known ones is dropped.

use crate::fleet::{Role, Slot};
use crate::log::foreign;
use ounce_engine::orders;
use ounce_sys::{fdpass, pairs, process};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Tells a child to finish what it has.
pub(crate) const DRAIN: u8 = b'D';
/// Tells a child to end.
pub(crate) const STOP: u8 = b'S';
/// Says, in either direction, that a switch in the segment was changed.
pub(crate) const CHANGED: u8 = b'C';
/// Has a worker look into the queues of its listening sockets.
pub(crate) const ACCEPT: u8 = b'A';
/// Tells the warden to reopen what it writes to.
pub(crate) const REOPEN: u8 = b'O';
/// Says that a child is ready.
const READY: u8 = b'R';
/// Says that a draining worker accepts nothing any more.
const LEFT: u8 = b'L';
/// Leads the reason for which a child is about to fail.
pub(crate) const FAILED: u8 = b'F';

/// Messages of one child that are read before others have their turn.
const MESSAGES_MAX: usize = 16;
/// Longest message that is looked at.
const MESSAGE_BYTES_MAX: usize = 1024;

/// A message of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// It is ready.
    Ready,
    /// It changed a switch in the segment.
    Changed,
    /// It drains and accepts nothing any more.
    Left,
    /// It uses the new contents of a watched file, or says why it cannot.
    Fed(u32, String),
}

/// Whether a child was told something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It will read it.
    Yes,
    /// It has too much to read already.
    NoRoom,
    /// There is nobody to be told.
    Nobody,
}

/// A child.
#[derive(Debug)]
pub(crate) struct Child {
    /// Where it stands.
    pub(crate) slot: Slot,
    /// Whose configuration it serves.
    pub(crate) generation: u32,
    /// What it is for.
    pub(crate) role: Role,
    /// Its process.
    pub(crate) pid: i32,
    /// Our end of the orders socket; `None` once it has closed its own.
    orders: Option<OwnedFd>,
    /// Why it will fail, in its own words.
    reason: Option<String>,
}

impl Child {
    /// A child with our end of its orders socket, if that is still open.
    pub(crate) fn new(slot: Slot, generation: u32, role: Role, pid: i32, orders: Option<OwnedFd>) -> Child {
        Child { slot, generation, role, pid, orders, reason: None }
    }

    /// Our end of its orders socket, to be watched.
    pub(crate) fn orders(&self) -> Option<BorrowedFd<'_>> {
        self.orders.as_ref().map(AsFd::as_fd)
    }

    /// How it ended, in words.
    pub(crate) fn epitaph(&self, end: process::End) -> String {
        let how = match end {
            process::End::Exited(status) => format!("status {status}"),
            process::End::Killed(signal) => format!("killed by signal {signal}"),
        };
        match &self.reason {
            Some(reason) => format!("{how}: {reason}"),
            None => how,
        }
    }

    /// Gives an order. A child that takes no orders any more will be seen by its exit or its heartbeat.
    fn order(&self, order: u8) {
        if let Some(orders) = &self.orders {
            let _ = pairs::send(orders.as_raw_fd(), &[order]);
        }
    }

    fn hear(&mut self) -> Vec<Message> {
        let mut heard = Vec::new();
        let Some(orders) = &self.orders else { return heard };
        let mut bytes = [0; MESSAGE_BYTES_MAX];
        for _ in 0..MESSAGES_MAX {
            match pairs::receive(orders.as_raw_fd(), &mut bytes) {
                Ok(None) => break,
                // Closed or broken: watching it on would only spin.
                Ok(Some(0)) | Err(_) => {
                    self.orders = None;
                    break;
                }
                Ok(Some(1)) if bytes[0] == READY => heard.push(Message::Ready),
                Ok(Some(1)) if bytes[0] == CHANGED => heard.push(Message::Changed),
                Ok(Some(1)) if bytes[0] == LEFT => heard.push(Message::Left),
                Ok(Some(count)) if bytes[0] == orders::FEED => {
                    let message = orders::feed_of(&bytes[..count]);
                    heard.extend(message.map(|(feed, fault)| Message::Fed(feed, foreign(fault))));
                }
                Ok(Some(count)) if bytes[0] == FAILED => {
                    let reason = bytes.get(1..count).unwrap_or_default();
                    self.reason = Some(foreign(reason)).filter(|reason| !reason.is_empty());
                }
                Ok(Some(_)) => {}
            }
        }
        heard
    }
}

/// All children that live.
#[derive(Debug, Default)]
pub(crate) struct Children {
    list: Vec<Child>,
}

impl Children {
    /// Takes in a child.
    pub(crate) fn insert(&mut self, child: Child) {
        self.list.push(child);
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Child> {
        self.list.iter()
    }

    /// Takes out the child with this process, with its last words.
    pub(crate) fn remove(&mut self, pid: i32) -> Option<(Child, Vec<Message>)> {
        let at = self.list.iter().position(|child| child.pid == pid)?;
        let mut child = self.list.swap_remove(at);
        let heard = child.hear();
        Some((child, heard))
    }

    /// Reads what the child in a slot says.
    pub(crate) fn hear(&mut self, slot: Slot) -> Vec<Message> {
        self.list.iter_mut().find(|child| child.slot == slot).map(Child::hear).unwrap_or_default()
    }

    /// Gives an order to the child in a slot, if there is one.
    pub(crate) fn order(&self, slot: Slot, order: u8) {
        self.iter().filter(|child| child.slot == slot).for_each(|child| child.order(order));
    }

    /// Gives an order to all workers.
    pub(crate) fn order_workers(&self, order: u8) {
        self.iter().filter(|child| child.role != Role::Warden).for_each(|child| child.order(order));
    }

    /// Gives an order to all wardens: there are two during a reload.
    pub(crate) fn order_wardens(&self, order: u8) {
        self.iter().filter(|child| child.role == Role::Warden).for_each(|child| child.order(order));
    }

    /// Gives the new contents of a watched file to the child in a slot.
    pub(crate) fn feed(&self, slot: Slot, feed: u32, parcel: BorrowedFd<'_>) -> Told {
        let child = self.iter().find(|child| child.slot == slot);
        let Some(socket) = child.and_then(Child::orders) else { return Told::Nobody };
        match fdpass::send(socket, &[parcel], &orders::feed_message(feed)) {
            Ok(()) => Told::Yes,
            // Descriptors that nobody has taken yet are counted, too.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAGAIN | libc::ETOOMANYREFS | libc::ENOBUFS)
                ) =>
            {
                Told::NoRoom
            }
            Err(_) => Told::Nobody,
        }
    }

    /// Kills the child in a slot, if there is one.
    pub(crate) fn kill(&self, slot: Slot) {
        for child in self.iter().filter(|child| child.slot == slot) {
            // It is not reaped yet, so the number is still its own.
            let _ = process::kill(child.pid, libc::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child() -> (Child, OwnedFd) {
        let (ours, theirs) = pairs::seqpacket().unwrap();
        (Child::new(3, 1, Role::Worker { position: 1 }, 1_000_000_000, Some(ours)), theirs)
    }

    fn say(theirs: &OwnedFd, message: &[u8]) {
        assert!(pairs::send(theirs.as_raw_fd(), message).unwrap());
    }

    #[test]
    fn messages_are_heard_and_nonsense_is_not() {
        let (mut child, theirs) = child();
        for message in [&b"x"[..], b"R", b"RR", b"C", b"L", b"F", b"\0\0"] {
            say(&theirs, message);
        }
        assert_eq!(child.hear(), [Message::Ready, Message::Changed, Message::Left]);
        assert_eq!(child.epitaph(process::End::Exited(1)), "status 1");
    }

    #[test]
    fn the_reason_of_a_failure_is_in_the_epitaph() {
        let (child, theirs) = child();
        say(&theirs, b"Fno ring:\nnot permitted");
        drop(theirs);
        let mut children = Children::default();
        children.insert(child);
        let (child, heard) = children.remove(1_000_000_000).unwrap();
        assert_eq!(heard, []);
        assert_eq!(child.epitaph(process::End::Exited(1)), "status 1: no ring: not permitted");
        assert_eq!(child.epitaph(process::End::Killed(9)), "killed by signal 9: no ring: not permitted");
    }

    #[test]
    fn a_child_that_talks_without_end_does_not_keep_the_supervisor() {
        let (mut child, theirs) = child();
        while pairs::send(theirs.as_raw_fd(), b"x").unwrap() {}
        assert_eq!(child.hear(), []);
        assert!(pairs::receive(child.orders().unwrap().as_raw_fd(), &mut [0]).unwrap().is_some());
    }

    #[test]
    fn a_closed_orders_socket_is_watched_no_more() {
        let (mut child, theirs) = child();
        say(&theirs, b"R");
        drop(theirs);
        assert_eq!(child.hear(), [Message::Ready]);
        assert!(child.orders().is_none());
        child.order(DRAIN);
    }

    #[test]
    fn orders_reach_whom_they_are_for() {
        let mut children = Children::default();
        let (worker, at_worker) = child();
        let (ours, at_warden) = pairs::seqpacket().unwrap();
        children.insert(worker);
        children.insert(Child::new(4, 1, Role::Warden, 1_000_000_001, Some(ours)));
        children.order(3, DRAIN);
        children.order(9, DRAIN);
        children.order_workers(CHANGED);
        children.order_wardens(REOPEN);
        let read = |socket: &OwnedFd| {
            let mut bytes = [0; 2];
            let mut all = Vec::new();
            while let Ok(Some(1)) = pairs::receive(socket.as_raw_fd(), &mut bytes) {
                all.push(bytes[0]);
            }
            all
        };
        assert_eq!(read(&at_worker), [DRAIN, CHANGED]);
        assert_eq!(read(&at_warden), [REOPEN]);
    }
}
