//! What travels through ssh's stdin and stdout: a greeting line, then packets.
//!
//! The greeting tells the far end's program from what login shells and banners write before it, and names
//! the version of what follows. A packet belongs to a conversation: number 0 is what the two ends say about
//! each other, any other number is one connection. Does not know what packets hold.

use crate::error::one_line;
use crate::proto::fields::truncated;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use zeroize::Zeroize;

/// The version of the conversation through ssh. It is told first, so it must be the same at both ends.
pub const VERSION: u16 = 2;
/// Begins the greeting.
const MAGIC: &[u8] = b"viamillipede-remote ";
/// Most bytes that may come before the greeting ends: banners are longer than one thinks.
const MAX_BANNER_BYTES: u64 = 1 << 20;
/// Longest version of a program that is repeated to people.
const MAX_RELEASE_BYTES: usize = 40;
/// Most bytes of one packet of a connection.
pub const MAX_CHUNK_BYTES: usize = 64 << 10;
/// The conversation of the two ends themselves.
pub const WORDS: u32 = 0;
const HEAD_BYTES: usize = 8;

/// What the far end's program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Its version of what follows.
    pub version: u16,
    /// The version of its program, for people.
    pub release: String,
}

/// Some bytes of one conversation; of a connection, none say that it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// [`WORDS`], or the number of a connection; a newer one is greater.
    pub conversation: u32,
    /// What is said.
    pub bytes: Vec<u8>,
}

/// Says who we are.
pub fn greet(to: &mut impl Write) -> io::Result<()> {
    let release = env!("CARGO_PKG_VERSION");
    to.write_all(&[MAGIC, format!("{VERSION} {release}\n").as_bytes()].concat())?;
    to.flush()
}

/// Skips whatever comes before the greeting, and reads it. None: there was none before the end.
pub fn await_greeting(from: &mut impl BufRead) -> io::Result<Option<Greeting>> {
    let mut from = from.take(MAX_BANNER_BYTES);
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        // A banner need not end its last line.
        let found = line.windows(MAGIC.len()).position(|part| part == MAGIC);
        if let Some(place) = found {
            return Ok(Greeting::parse(&line[place + MAGIC.len()..]));
        }
    }
}

impl Greeting {
    fn parse(text: &[u8]) -> Option<Greeting> {
        let text = one_line(str::from_utf8(text).ok()?);
        let (version, release) = text.split_once(' ')?;
        let release = truncated(release, MAX_RELEASE_BYTES).to_owned();
        Some(Greeting { version: version.parse().ok()?, release })
    }
}

/// Writes one packet; of a connection no more than [`MAX_CHUNK_BYTES`] at a time.
pub fn send(to: &mut impl Write, conversation: u32, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| ErrorKind::InvalidInput)?;
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&conversation.to_le_bytes());
    head[4..].copy_from_slice(&length.to_le_bytes());
    to.write_all(&head)?;
    to.write_all(bytes)?;
    to.flush()
}

/// Reads one packet; none at the end. Words may have `most_words_bytes`.
pub fn receive(from: &mut impl Read, most_words_bytes: usize) -> io::Result<Option<Packet>> {
    let mut head = [0; HEAD_BYTES];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let [a, b, c, d, e, f, g, h] = head;
    let (conversation, length) =
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let most = if conversation == WORDS { most_words_bytes } else { MAX_CHUNK_BYTES };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > most {
        return Err(io::Error::new(ErrorKind::InvalidData, "not what viamillipede says"));
    }
    let mut bytes = vec![0; length];
    // A part of an order may hold the key.
    from.read_exact(&mut bytes).inspect_err(|_| bytes.zeroize())?;
    Ok(Some(Packet { conversation, bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting_after(banner: &[u8]) -> Option<Greeting> {
        let mut said = banner.to_vec();
        greet(&mut said).expect("a Vec takes all");
        await_greeting(&mut &said[..]).expect("a slice can be read")
    }

    #[test]
    fn the_greeting_is_found_behind_any_banner() {
        let banners: [&[u8]; 5] =
            [b"", b"Welcome!\r\n", b"no line end", b"\xff\0\n\n", b"viamillipede-remot\n"];
        for banner in banners {
            let greeting = greeting_after(banner).expect("it is there");
            assert_eq!(greeting.version, VERSION);
            assert_eq!(greeting.release, env!("CARGO_PKG_VERSION"));
        }
        assert_eq!(await_greeting(&mut &b"only a banner\n"[..]).ok(), Some(None));
        assert_eq!(await_greeting(&mut &b"viamillipede-remote x y\n"[..]).ok(), Some(None));
        assert!(greeting_after(&vec![b'x'; MAX_BANNER_BYTES as usize]).is_none(), "bounded");
    }

    #[test]
    fn packets_come_as_they_were_sent_and_within_bounds() {
        let mut bytes = Vec::new();
        send(&mut bytes, WORDS, b"order").expect("a Vec takes all");
        send(&mut bytes, 7, &[]).expect("a Vec takes all");
        let mut rest = &bytes[..];
        let mut next = || receive(&mut rest, 5).expect("whole packets");
        assert_eq!(next(), Some(Packet { conversation: WORDS, bytes: b"order".to_vec() }));
        assert_eq!(next(), Some(Packet { conversation: 7, bytes: Vec::new() }));
        assert_eq!(next(), None);
        assert!(receive(&mut &bytes[..], 4).is_err(), "too long");
        assert!(receive(&mut &bytes[..10], 5).is_err(), "cut short");
    }
}
