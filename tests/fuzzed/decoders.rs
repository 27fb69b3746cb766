//! Arbitrary bytes at each decoder: a message or one clean error, and never more bytes than are there.

use viamillipede::proto::frame::{self, Abort, Frame, HEAD_BYTES};
use viamillipede::proto::hello::{Answer, Hello};

/// Bytes where frames are expected: as they are, and with a right check written into their head.
pub fn frames(bytes: &[u8]) {
    one_frame(bytes);
    if bytes.len() >= HEAD_BYTES {
        let length = usize::from(u16::from_le_bytes([bytes[2], bytes[3]]));
        let end = bytes.len().min(HEAD_BYTES + length);
        one_frame(&sealed(bytes, 4, end));
    }
    if let Some(word) = Abort::at_end_of(bytes) {
        assert_eq!(Abort::at_end_of(&word.clone().within_foot()), Some(word), "it means one thing");
    }
}

fn one_frame(bytes: &[u8]) {
    if let Ok(Some((frame, length))) = frame::decode(bytes) {
        assert!(length <= bytes.len());
        let mut again = Vec::new();
        frame.encode(&mut again);
        assert_eq!(frame::decode(&again), Ok(Some((frame, again.len()))), "it means one thing");
    }
}

/// Bytes where a hello, or the answer to one, is expected; the same with a right magic and check.
pub fn hellos(bytes: &[u8]) {
    one_hello(bytes);
    const HEAD: usize = 24;
    if bytes.len() >= HEAD {
        let mut bytes = bytes.to_vec();
        bytes[..8].copy_from_slice(&viamillipede::proto::hello::MAGIC);
        let length = usize::from(u16::from_le_bytes([bytes[14], bytes[15]]));
        let end = bytes.len().min(HEAD + length);
        one_hello(&sealed(&bytes, 16, end));
    }
}

fn one_hello(bytes: &[u8]) {
    if let Ok(Some((hello, length))) = Hello::decode(bytes) {
        assert!(length <= bytes.len());
        let mut again = Vec::new();
        hello.encode(&mut again);
        // What a later version appended is not ours to repeat.
        assert!(matches!(Hello::decode(&again), Ok(Some((same, _))) if same == hello));
    }
    match Answer::decode(bytes) {
        Ok(Some((answer, length))) => {
            assert!(length <= bytes.len());
            let mut again = Vec::new();
            answer.encode(&mut again);
            assert!(matches!(Answer::decode(&again), Ok(Some((same, _))) if same == answer));
        }
        Ok(None) => {}
        Err(error) => drop(error.to_string()),
    }
}

/// The same bytes up to `end`, with the eight bytes behind `covered` made the check of all others.
fn sealed(bytes: &[u8], covered: usize, end: usize) -> Vec<u8> {
    let (head, body) = (&bytes[..covered], &bytes[covered + 8..end]);
    let check = blake3::hash(&[head, body].concat());
    [head, &check.as_bytes()[..8], body].concat()
}

/// A frame as the other end would get it; none where no other end could.
pub fn through(frame: &Frame) -> Option<Frame> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    Some(frame::decode(&bytes).ok()??.0)
}
