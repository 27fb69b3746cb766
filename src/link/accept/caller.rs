//! One who calls and has not said hello yet: a handshake in parts, then a hello in parts, or neither.
//!
//! Costs at most twice [`MAX_HELLO_BYTES`] and the buffers of a handshake, and never waits. Does not know
//! what becomes of who said hello, nor how many others call.

use crate::link::channel::{Channel, is_plain};
use crate::link::lobby::Origin;
use crate::proto::hello::{Answer, Hello, HelloError, MAX_HELLO_BYTES, Refusal, RefusalKind};
use crate::tls::TlsError;
use nix::poll::PollFlags;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

/// Reads of what a refused caller has said beyond what was refused.
const UNREAD: usize = 8;
/// The first byte of TLS.
const TLS: u8 = 0x16;

/// A connection that has not yet said all of its hello.
pub struct Caller {
    pub channel: Channel,
    pub peer: SocketAddr,
    pub origin: Origin,
    /// It has to use TLS, and does not: it will be refused once its hello is whole.
    is_plain: bool,
    pub heard: Vec<u8>,
    pub until: Instant,
}

/// Why there will be no hello.
pub enum Deaf {
    /// The caller has hung up.
    Gone,
    /// It is none that belongs here; there may be an answer that helps.
    Wrong(String, Option<Refusal>),
}

impl Caller {
    /// One who has just called, from there, and may take until then.
    pub fn new(channel: Channel, peer: SocketAddr, origin: Origin, until: Instant) -> Caller {
        Caller { channel, peer, origin, is_plain: false, heard: Vec::new(), until }
    }

    /// What it waits for.
    pub fn wants(&self) -> PollFlags {
        let mut wanted = PollFlags::POLLIN;
        wanted.set(PollFlags::POLLOUT, !self.channel.is_flushed());
        wanted
    }

    /// The hello, once it is whole. An error ends the call.
    pub fn hear(&mut self) -> Result<Option<Hello>, Deaf> {
        let mut chunk = [0; MAX_HELLO_BYTES];
        loop {
            match Hello::decode(&self.heard) {
                Ok(None) => {}
                Ok(Some(_)) | Err(HelloError::Version(_)) if self.is_plain => {
                    let refusal = Refusal::new(RefusalKind::Tls, "the listening end has a key");
                    return Err(Deaf::Wrong("it came without encryption".into(), Some(refusal)));
                }
                Ok(Some((hello, length))) => {
                    self.heard.drain(..length);
                    return Ok(Some(hello));
                }
                Err(error) => return Err(wrong(&error)),
            }
            match self.channel.read(&mut chunk, &mut []) {
                Ok(read) if read > 0 => self.heard.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_plain(&error) => {
                    self.is_plain = true;
                    self.heard = self.channel.without_tls();
                }
                Err(error) => {
                    return Err(match TlsError::within(&error) {
                        Some(TlsError::Cut) | None => Deaf::Gone,
                        Some(why) => Deaf::Wrong(why.to_string(), None),
                    });
                }
                Ok(_) => return Err(Deaf::Gone),
            }
        }
    }
}

/// What to think of bytes that are no hello of ours.
fn wrong(error: &HelloError) -> Deaf {
    match error {
        HelloError::Magic { place: 0, byte: TLS } => {
            let refusal = Refusal::new(RefusalKind::Plain, "the listening end is --plain");
            Deaf::Wrong("it came with TLS".into(), Some(refusal))
        }
        error => Deaf::Wrong(error.to_string(), error.refusal()),
    }
}

/// Says no, where there is something to say; the connection ends either way.
pub fn refuse(channel: &mut Channel, answer: Option<&Answer>) {
    if let Some(answer) = answer {
        // What is closed with something unread is reset, and that may overtake the answer.
        let mut unread = [0; MAX_HELLO_BYTES];
        let _ = (0..UNREAD).find(|_| !channel.read(&mut unread, &mut []).is_ok_and(|it| it > 0));
        // Who does not take its refusal has not earned another.
        let _ = say(channel, answer);
    }
}

pub fn say(channel: &mut Channel, answer: &Answer) -> io::Result<()> {
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    channel.say(&bytes)
}
