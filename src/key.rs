//! The shared key: 32 random bytes that make two ends belong together.
//!
//! Whoever holds it may be either end; nobody else may be any. [`text`] is how it is written down,
//! [`mod@file`] how it is kept, [`source`] where an end looks for it. Does not know what is derived from it.

pub mod file;
pub mod source;
pub mod text;

pub use source::{Found, KeySource};

use crate::error::Error;
use crate::link;
use std::fmt;
use zeroize::Zeroizing;

/// Length of a key, in bytes.
pub const KEY_BYTES: usize = 32;

/// A shared key. It is wiped from memory when it is dropped, and never shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

/// How a session is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not at all: no encryption, no authentication.
    Plain,
    /// TLS 1.3, both ends authenticated by this key.
    Keyed(Key),
}

impl Key {
    /// A new key at random.
    pub fn generate() -> Result<Key, Error> {
        Ok(Key(Zeroizing::new(link::random()?)))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Key {
        Key(Zeroizing::new(*bytes))
    }

    /// Its bytes, for deriving what is used of it.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown_by_accident() {
        let security = Security::Keyed(Key(Zeroizing::new([7; KEY_BYTES])));
        assert_eq!(format!("{security:?}"), "Keyed(Key(…))");
    }

    #[test]
    fn no_two_keys_are_alike() {
        let keys = [(); 2].map(|()| Key::generate().expect("there are random numbers"));
        assert_ne!(keys[0], keys[1]);
    }
}
