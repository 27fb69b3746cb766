//! TLS on one connection, free of I/O: ciphertext goes in and out through two buffers.
//!
//! rustls decrypts in place in the one and encrypts into the other, so that sockets are read and
//! written many records at a time. The buffers begin small and grow to their bounds only where the
//! stream fills them: [`MAX_INCOMING`] and [`MAX_OUTGOING`], or less where there are [many connections](
//! Session::share), and as much as the first again at most for what is decrypted and not yet taken; in practice
//! a connection carries feet one way only. Does not know what is said.

mod buffers;

use super::{ALPN, Side, TlsError};
use crate::proto::hello::MAGIC;
use buffers::{Incoming, Outgoing, Room};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus};
use std::mem;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Most bytes of a handshake that wait to be whole: the largest message is less than 2 KiB.
const MAX_HANDSHAKE: usize = 8 << 10;
/// Ciphertext that is read at a time.
const MAX_INCOMING: usize = 128 << 10;
/// Plaintext in one record, and what that adds: header, kind and tag.
const RECORD: usize = 16 << 10;
const OVERHEAD: usize = 5 + 1 + 16;
/// Room for a change of keys before a record, which comes after some 2^24 of them.
const CHANGE: usize = 128;
/// Room for one record.
const FULL: usize = RECORD + OVERHEAD + CHANGE;
/// Ciphertext that is written at a time: few records, for what is encrypted cannot go another way.
const MAX_OUTGOING: usize = 6 * FULL;
/// What the buffers of all connections may grow to, each of both kinds.
const ALL_BUFFERS: usize = 24 << 20;
/// The first byte of each kind of record.
const KINDS: RangeInclusive<u8> = 0x14..=0x17;

/// One end of TLS.
pub struct Session {
    machine: Machine,
    incoming: Incoming,
    outgoing: Outgoing,
    max_incoming: usize,
    max_outgoing: usize,
    /// Plaintext; what is beyond `taken` was not asked for yet.
    spare: Vec<u8>,
    taken: usize,
    is_open: bool,
    /// The other end has said that it is done; rustls says so once.
    is_over: bool,
}

enum Machine {
    Dialling(UnbufferedClientConnection),
    Listening(UnbufferedServerConnection),
}

/// What there is to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes of plaintext.
    Bytes(usize),
    /// Nothing before more ciphertext is heard.
    Starved,
    /// The other end has said that it is done.
    Over,
}

/// What rustls is to do when it has nothing to do.
#[derive(Clone, Copy)]
enum Wish<'a> {
    Nothing,
    Encrypt(&'a [u8]),
    Finish,
}

/// What rustls has done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Something,
    TheWish,
    Starved,
    Over,
}

impl Session {
    /// A session that has not begun.
    pub fn new(side: &Side) -> Result<Session, TlsError> {
        let machine = match side {
            Side::Dialling(config) => {
                // Nobody looks at it, and it is not sent.
                let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
                Machine::Dialling(UnbufferedClientConnection::new(Arc::clone(config), name)?)
            }
            Side::Listening(config) => {
                Machine::Listening(UnbufferedServerConnection::new(Arc::clone(config))?)
            }
        };
        let (incoming, outgoing) = (Incoming::default(), Outgoing::default());
        let (max_incoming, max_outgoing) = (MAX_INCOMING, MAX_OUTGOING);
        Ok(Session {
            machine,
            incoming,
            outgoing,
            max_incoming,
            max_outgoing,
            spare: Vec::new(),
            taken: 0,
            is_open: false,
            is_over: false,
        })
    }

    /// There are up to so many connections: what the buffers of all of them take stays within a bound.
    pub fn share(&mut self, connections: u16) {
        let most = (ALL_BUFFERS / usize::from(connections).max(1)).max(FULL);
        (self.max_incoming, self.max_outgoing) = (MAX_INCOMING.min(most), MAX_OUTGOING.min(most));
    }

    /// Goes on with the handshake as far as what was heard allows; says whether it is done.
    pub fn open(&mut self) -> Result<bool, TlsError> {
        let mut spare = mem::take(&mut self.spare);
        while !self.is_open {
            let done = self.step(Wish::Nothing, &mut |bytes| spare.extend_from_slice(bytes))?;
            if matches!(done, Done::Starved | Done::Over) {
                break;
            }
        }
        self.spare = spare;
        Ok(self.is_open)
    }

    /// Moves plaintext into `first`, and what follows it into `rest`.
    pub fn read(&mut self, first: &mut [u8], rest: &mut [u8]) -> Result<Read, TlsError> {
        let mut room = Room { first, rest };
        let wanted = room.bytes();
        let mut spare = mem::take(&mut self.spare);
        self.taken += room.fill(&spare[self.taken..]);
        if self.taken == spare.len() {
            spare.clear();
            self.taken = 0;
        }
        while room.bytes() > 0 {
            let done = self.step(Wish::Nothing, &mut |bytes| {
                let filled = room.fill(bytes);
                spare.extend_from_slice(&bytes[filled..]);
            })?;
            match done {
                Done::Something | Done::TheWish => continue,
                Done::Starved => {}
                Done::Over => self.is_over = true,
            }
            break;
        }
        self.spare = spare;
        Ok(match wanted - room.bytes() {
            0 if self.is_over => Read::Over,
            0 => Read::Starved,
            read => Read::Bytes(read),
        })
    }

    /// Room for ciphertext; [`Session::heard`] says how much of it was filled.
    pub fn room(&mut self) -> Result<&mut [u8], TlsError> {
        self.incoming.room(if self.is_open { self.max_incoming } else { MAX_HANDSHAKE })
    }

    /// So much of the room was filled. An error if the very first byte is none of TLS.
    pub fn heard(&mut self, bytes: usize) -> Result<(), TlsError> {
        self.incoming.heard(bytes);
        match self.incoming.waiting().first() {
            Some(&byte) if !KINDS.contains(&byte) && !self.is_open => {
                Err(if byte == MAGIC[0] { TlsError::Plain } else { TlsError::Strange(byte) })
            }
            _ => Ok(()),
        }
    }

    /// What was heard and is not TLS.
    pub fn into_heard(self) -> Vec<u8> {
        self.incoming.waiting().to_vec()
    }

    /// Encrypts as much as there is room for, and says how much that is. To be called when the session
    /// is open.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        let mut done = 0;
        while done < bytes.len() && self.outgoing.bytes() + FULL <= self.max_outgoing {
            let part = &bytes[done..bytes.len().min(done + RECORD)];
            self.say(Wish::Encrypt(part))?;
            done += part.len();
        }
        Ok(done)
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) -> Result<(), TlsError> {
        self.say(Wish::Finish)
    }

    /// Ciphertext that is to be sent; [`Session::sent`] says how much of it was.
    pub fn unsent(&self) -> &[u8] {
        self.outgoing.waiting()
    }

    /// So much was sent.
    pub fn sent(&mut self, bytes: usize) {
        self.outgoing.sent(bytes);
    }

    fn say(&mut self, wish: Wish<'_>) -> Result<(), TlsError> {
        let mut unread = Vec::new();
        loop {
            match self.step(wish, &mut |bytes| unread.extend_from_slice(bytes))? {
                Done::Something => {}
                Done::TheWish => {
                    debug_assert!(unread.is_empty(), "it was given nothing to decrypt");
                    return Ok(());
                }
                Done::Starved | Done::Over => return Err(TlsError::NotOpen),
            }
        }
    }

    /// Lets rustls do one thing. Who has a wish gives it nothing to decrypt: all plaintext goes where
    /// it was asked for.
    fn step(&mut self, wish: Wish<'_>, plain: &mut dyn FnMut(&[u8])) -> Result<Done, TlsError> {
        let heard = match wish {
            Wish::Nothing => self.incoming.waiting_mut(),
            Wish::Encrypt(_) | Wish::Finish => &mut [],
        };
        let (used, done) = match &mut self.machine {
            Machine::Dialling(machine) => {
                turn(machine.process_tls_records(heard), &mut self.outgoing, plain, wish)
            }
            Machine::Listening(machine) => {
                turn(machine.process_tls_records(heard), &mut self.outgoing, plain, wish)
            }
        };
        self.incoming.used(used);
        let done = done.inspect_err(|_| self.complain())?;
        if !self.is_open {
            self.check_open()?;
        } else if done == Done::Starved
            && self.incoming.holds_record()
            && matches!(wish, Wish::Nothing)
        {
            // A message of TLS's own in several records, which no end of ours sends. rustls would
            // leave it where it is, and look for it when it is given nothing.
            return Err(TlsError::TooLong);
        }
        Ok(done)
    }

    fn check_open(&mut self) -> Result<(), TlsError> {
        let (is_handshaking, alpn) = match &self.machine {
            Machine::Dialling(machine) => (machine.is_handshaking(), machine.alpn_protocol()),
            Machine::Listening(machine) => (machine.is_handshaking(), machine.alpn_protocol()),
        };
        if !is_handshaking && alpn != Some(ALPN) {
            return Err(TlsError::Foreign);
        }
        self.is_open = !is_handshaking;
        Ok(())
    }

    /// Puts the alert, if there is one for the other end, to what is to be sent.
    fn complain(&mut self) {
        let heard = self.incoming.waiting_mut();
        let (out, none) = (&mut self.outgoing, &mut |_: &[u8]| {});
        // It failed already; whatever else it has to say about that is of no interest.
        let _ = match &mut self.machine {
            Machine::Dialling(machine) => {
                turn(machine.process_tls_records(heard), out, none, Wish::Nothing)
            }
            Machine::Listening(machine) => {
                turn(machine.process_tls_records(heard), out, none, Wish::Nothing)
            }
        };
    }
}

/// Does what rustls says is next: plaintext goes to `plain`, its own messages to `out`. Returns how much
/// of what was heard is used up.
fn turn<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    out: &mut Outgoing,
    plain: &mut dyn FnMut(&[u8]),
    wish: Wish<'_>,
) -> (usize, Result<Done, TlsError>) {
    let UnbufferedStatus { mut discard, state } = status;
    let done = match state {
        Err(error) => Err(error.into()),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain(record.payload);
                }
                Some(Err(error)) => break Err(error.into()),
                None => break Ok(Done::Something),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut message)) => {
            match message.encode(out.room(MAX_HANDSHAKE)) {
                Ok(written) => {
                    out.wrote(written);
                    Ok(Done::Something)
                }
                Err(_) => Err(TlsError::TooLong),
            }
        }
        Ok(ConnectionState::TransmitTlsData(message)) => {
            message.done(); // it is in `out`, and nothing overtakes it there
            Ok(Done::Something)
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => match wish {
            Wish::Nothing => Ok(Done::Starved),
            Wish::Encrypt(bytes) => wish_done(out, |room| traffic.encrypt(bytes, room)),
            Wish::Finish => wish_done(out, |room| traffic.queue_close_notify(room)),
        },
        Ok(ConnectionState::BlockedHandshake) => Ok(Done::Starved),
        // No early data is asked for or taken.
        Ok(_) => Ok(Done::Over),
    };
    (discard, done)
}

fn wish_done(
    out: &mut Outgoing,
    write: impl FnOnce(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<Done, TlsError> {
    let written = write(out.room(FULL)).map_err(|_| TlsError::NotOpen)?;
    out.wrote(written);
    Ok(Done::TheWish)
}

#[cfg(test)]
mod tests;
