//! A foot that is broken off: the last word of a sender that fails while a foot is under way.
//!
//! In the place of the rest of the payload come an [`Abort`] frame, its length as a u16, and the end of the
//! connection: over a slow way the rest would take longer than a process may that was told to end. Whoever reads
//! takes it for payload until the connection ends in due form before the foot does. A connection that is cut ends with such
//! a frame only if the stream itself carries one there, and inside TLS not in due form. Does not know who breaks off, nor
//! why.

use super::{Abort, Frame, HEAD_BYTES, MAX_REASON_BYTES, decode};

/// Bytes of the length behind the frame.
const LENGTH_BYTES: usize = 2;
/// Most bytes that a last word within a foot takes.
const MAX_BYTES: usize = HEAD_BYTES + super::ABORT_FIXED_BYTES + MAX_REASON_BYTES + LENGTH_BYTES;

const _: () = assert!(MAX_BYTES <= u16::MAX as usize);

impl Abort {
    /// What is written in the place of the rest of a foot, if that would have been longer.
    pub fn within_foot(self) -> Vec<u8> {
        let mut word = Vec::new();
        Frame::Abort(self).encode(&mut word);
        let length = word.len() as u16; // see MAX_BYTES
        word.extend_from_slice(&length.to_le_bytes());
        word
    }

    /// The last word at the end of what came of a foot before its connection ended.
    pub fn at_end_of(payload: &[u8]) -> Option<Abort> {
        let (rest, length) = payload.split_last_chunk::<LENGTH_BYTES>()?;
        let begin = rest.len().checked_sub(usize::from(u16::from_le_bytes(*length)))?;
        let word = &rest[begin..];
        match decode(word) {
            Ok(Some((Frame::Abort(abort), length))) if length == word.len() => Some(abort),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> [Abort; 3] {
        [String::new(), "ended by signal: SIGINT".into(), "x".repeat(MAX_REASON_BYTES)]
            .map(|reason| Abort { code: 130, reason })
    }

    #[test]
    fn a_last_word_is_found_at_the_end_of_a_part_of_a_foot() {
        for word in words() {
            let tail = word.clone().within_foot();
            assert!(tail.len() <= MAX_BYTES);
            for before in [0, 1, 1000] {
                let payload = [vec![7; before], tail.clone()].concat();
                assert_eq!(Abort::at_end_of(&payload), Some(word.clone()));
            }
        }
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        for tail in words().map(Abort::within_foot) {
            for cut in 1..tail.len() {
                assert_eq!(Abort::at_end_of(&tail[..tail.len() - cut]), None, "cut by {cut}");
            }
            for flipped in 0..tail.len() {
                let mut tail = tail.clone();
                tail[flipped] ^= 1;
                assert_eq!(Abort::at_end_of(&tail), None, "byte {flipped}");
            }
            assert_eq!(Abort::at_end_of(&[&tail[..], &[0]].concat()), None);
        }
        let mut retire = Vec::new();
        Frame::Retire.encode(&mut retire);
        let length = retire.len() as u16;
        retire.extend_from_slice(&length.to_le_bytes());
        assert_eq!(Abort::at_end_of(&retire), None);
    }
}
