//! The buffers of a session: what was heard and is not decrypted, what is encrypted and not sent, and where
//! plaintext is to go.
//!
//! Knows how long a record is, and nothing of what is in it.

use crate::tls::TlsError;
use std::mem;

/// Ciphertext that is read at first: whole messages of a handshake.
const FIRST_READ: usize = 2 << 10;
/// The header of a record, which ends in the length of what follows.
const HEADER: usize = 5;

/// Ciphertext: `bytes[from..to]` was heard and is not used yet.
#[derive(Default)]
pub struct Incoming {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    /// The last read filled all the room.
    is_tight: bool,
}

/// Ciphertext: `bytes[from..to]` is to be sent.
#[derive(Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Incoming {
    /// What was heard and is not used yet.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// The same, to be decrypted in place.
    pub fn waiting_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..self.to]
    }

    /// So much of it is used.
    pub fn used(&mut self, bytes: usize) {
        self.from += bytes;
    }

    /// So much of the room was filled.
    pub fn heard(&mut self, bytes: usize) {
        self.to += bytes;
        self.is_tight = self.to == self.bytes.len();
    }

    /// Whether a whole record is there.
    pub fn holds_record(&self) -> bool {
        match *self.waiting() {
            [_, _, _, high, low, ..] => {
                self.to - self.from >= HEADER + usize::from(u16::from_be_bytes([high, low]))
            }
            _ => false,
        }
    }

    /// Where more can be put, behind what waits; `most` bytes may wait.
    pub fn room(&mut self, most: usize) -> Result<&mut [u8], TlsError> {
        self.bytes.copy_within(self.from..self.to, 0);
        self.to -= mem::take(&mut self.from);
        if self.to >= most {
            return Err(TlsError::TooLong);
        }
        if mem::take(&mut self.is_tight) || self.to == self.bytes.len() {
            let more = (2 * self.bytes.len()).clamp(FIRST_READ, most);
            grow(&mut self.bytes, more);
        }
        Ok(&mut self.bytes[self.to..])
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Outgoing {
    /// Room behind what waits; [`Outgoing::wrote`] says how much of it was filled.
    pub fn room(&mut self, bytes: usize) -> &mut [u8] {
        grow(&mut self.bytes, self.to + bytes);
        &mut self.bytes[self.to..]
    }

    pub fn wrote(&mut self, bytes: usize) {
        self.to += bytes;
    }

    /// What is to be sent.
    pub fn waiting(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// So much was sent.
    pub fn sent(&mut self, bytes: usize) {
        self.from += bytes;
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// What the buffer is filled with, sent or not.
    pub fn bytes(&self) -> usize {
        self.to
    }

    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Makes a buffer so large, and no larger.
fn grow(buffer: &mut Vec<u8>, bytes: usize) {
    if buffer.len() < bytes {
        buffer.reserve_exact(bytes - buffer.len());
        buffer.resize(bytes, 0);
    }
}

/// Two places to fill, one after the other.
pub struct Room<'a> {
    pub first: &'a mut [u8],
    pub rest: &'a mut [u8],
}

impl Room<'_> {
    pub fn bytes(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Takes as much of `bytes` as there is room for, and says how much that is.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let of_first = put(&mut self.first, bytes);
        of_first + put(&mut self.rest, &bytes[of_first..])
    }
}

fn put(place: &mut &mut [u8], bytes: &[u8]) -> usize {
    let moved = bytes.len().min(place.len());
    let (filled, left) = mem::take(place).split_at_mut(moved);
    filled.copy_from_slice(&bytes[..moved]);
    *place = left;
    moved
}
