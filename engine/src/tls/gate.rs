//! Where records begin, so that another handshake is seen before the library is.
//!
//! TLS 1.2 lets a client shake hands again in the middle of a connection, where it may. The library does that while it reads,
//! and would ask a card from within the loop. Up to TLS 1.2 the head of a record says what is in it, sealed or not
//! (RFC 5246 6.2.1): at one that belongs to a handshake the gate is shut, and what is read behind it is read as handshakes
//! are, by a job or in a helper thread.

/// Bytes of a record's head: type, version, length.
const HEAD_BYTES: usize = 5;

/// The type of a record that belongs to a handshake.
const HANDSHAKE: u8 = 22;

/// Follows the records that a library reads.
#[derive(Debug, Default)]
pub(super) struct Gate {
    head: [u8; HEAD_BYTES],
    /// How much of the head has been read.
    read: usize,
    /// How much of what is behind it has not.
    left: usize,
    open: bool,
    met: bool,
}

impl Gate {
    /// Whether the library may read on, with this byte.
    pub(super) fn admits(&mut self, next: u8) -> bool {
        self.met = self.is_between() && next == HANDSHAKE && !self.open;
        !self.met
    }

    /// These have been read.
    pub(super) fn passed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.read < HEAD_BYTES {
                let part = bytes.len().min(HEAD_BYTES - self.read);
                self.head[self.read..self.read + part].copy_from_slice(&bytes[..part]);
                self.read += part;
                bytes = &bytes[part..];
                if self.read == HEAD_BYTES {
                    self.left = usize::from(u16::from_be_bytes([self.head[3], self.head[4]]));
                }
            } else {
                let part = bytes.len().min(self.left);
                self.left -= part;
                bytes = &bytes[part..];
            }
            if self.read == HEAD_BYTES && self.left == 0 {
                self.read = 0;
            }
        }
    }

    /// No record has been read in part.
    pub(super) fn is_between(&self) -> bool {
        self.read == 0
    }

    /// The library was kept from a handshake.
    pub(super) fn is_met(&self) -> bool {
        self.met
    }

    /// Lets handshakes through from here on, or not any more.
    pub(super) fn set_open(&mut self, open: bool) {
        self.open = open;
        self.met = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the bytes are cut, it is met at the beginning of a handshake's record and nowhere else.
    #[test]
    fn handshakes_are_met_where_they_begin() {
        let record = |kind: u8, length: usize| {
            let mut record = vec![kind, 3, 3, (length >> 8) as u8, length as u8];
            record.resize(HEAD_BYTES + length, HANDSHAKE);
            record
        };
        let before = [record(23, 300), record(23, 0), record(21, 2)].concat();
        for cut in 1..40 {
            let mut gate = Gate::default();
            for piece in before.chunks(cut) {
                assert!(gate.admits(piece[0]), "cut {cut}");
                gate.passed(piece);
            }
            assert!(gate.is_between() && !gate.admits(HANDSHAKE) && gate.is_met());
            gate.set_open(true);
            for piece in record(HANDSHAKE, 100).chunks(cut) {
                assert!(gate.admits(piece[0]) && !gate.is_met());
                gate.passed(piece);
            }
            assert!(gate.admits(HANDSHAKE));
            gate.set_open(false);
            assert!(gate.admits(23) && !gate.admits(HANDSHAKE));
        }
    }
}
