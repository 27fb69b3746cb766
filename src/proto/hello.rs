//! What is said on a connection before any frame: the dialling end sends a [`Hello`], the listening
//! end a [`Welcome`] or a [`Refusal`]. Only a welcome means connected.
//!
//! Layout, every integer little-endian; that of the head and of the refusal never changes, so that
//! ends of any two versions can at least part politely:
//!
//! ```text
//!  0  magic     8 bytes, MAGIC
//!  8  kind      u8      1 hello, 2 welcome, 3 refusal
//!  9  zero      u8
//! 10  versions  u16 lowest, u16 highest that the speaker knows; in a welcome the chosen one, twice
//! 14  length    u16     bytes of body that follow the head
//! 16  check     8 bytes of BLAKE3(bytes 0..16, body)
//! 24  body
//! ```
//!
//! A hello's body is readable by its lowest version; higher ones may only append to it. Does not know
//! whether the connection is encrypted, nor who may be trusted.

mod gate;
mod settle;
mod wire;

use super::liveness::Pace;
use crate::digest::Checks;
use std::{fmt, ops::RangeInclusive};

pub use gate::{Gate, Listener};
pub use settle::{min_window_feet, settle};
pub use wire::HelloError;

/// The first bytes in either direction. The first of them begins neither TLS (0x16) nor text, the
/// last would not survive a terminal.
pub const MAGIC: [u8; 8] = *b"\x89VMILLI\n";
/// The versions of the protocol that this program speaks.
pub const VERSIONS: RangeInclusive<u16> = 1..=1;
/// Longest message before frames begin, in bytes, head included.
pub const MAX_HELLO_BYTES: usize = 1024;
/// Longest name of a stream, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest detail of a refusal, in bytes.
pub const MAX_DETAIL_BYTES: usize = 255;
/// Most connections that a session may use.
pub const MAX_WORKERS: u16 = 1024;

/// Names one session, at random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

/// What an end does with the stream; who dials is independent of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// It transmits.
    Sender = 1,
    /// It receives.
    Receiver = 2,
}

/// Whether a hello may open a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HelloKind {
    /// The dialling end has not been welcomed yet.
    New = 1,
    /// It has, so a listening end that knows nothing of it was restarted.
    Join = 2,
}

/// What the dialling end says first on each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Versions it speaks.
    pub versions: RangeInclusive<u16>,
    /// Whether it asks for a session or for a part in one.
    pub kind: HelloKind,
    /// Its session.
    pub session: SessionId,
    /// What it does with the stream.
    pub role: Role,
    /// Index of this connection among its connections.
    pub worker: u16,
    /// Index of the link, which is its preference; 0 comes first.
    pub link: u16,
    /// How many connections it means to use: 1 to [`MAX_WORKERS`].
    pub workers: u16,
    /// The foot size that a sender wants, the largest that a receiver takes.
    pub foot_bytes: u32,
    /// Most stream bytes it holds in memory.
    pub window_bytes: u64,
    /// Whether it wants the stream's digest compared.
    pub verify: bool,
    /// How often it must hear from the other end.
    pub pace: Pace,
    /// Label of the stream, [`MAX_NAME_BYTES`] at most.
    pub name: String,
}

/// What one end would like; `settle` finds what suits both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// See [`Hello::foot_bytes`].
    pub foot_bytes: u32,
    /// See [`Hello::workers`]; of a listening end the most it takes.
    pub workers: u16,
    /// See [`Hello::window_bytes`].
    pub window_bytes: u64,
    /// See [`Hello::verify`].
    pub verify: bool,
    /// See [`Hello::pace`].
    pub pace: Pace,
}

/// What holds for the whole session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Raw bytes of a full foot.
    pub foot_bytes: u32,
    /// Most connections at a time.
    pub workers: u16,
    /// Most stream bytes the receiver holds in memory.
    pub window_bytes: u64,
    /// Whether both ends digest the stream and compare.
    pub verify: bool,
    /// How often both ends send heartbeats.
    pub pace: Pace,
}

impl Settled {
    /// How feet are checked.
    pub(crate) fn checks(&self) -> Checks {
        Checks { foot_bytes: self.foot_bytes, verify: self.verify }
    }
}

/// The listening end takes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version that both speak from here on.
    pub version: u16,
    /// Random name of the listening process: a dialling end that meets two of them under its DESTs,
    /// or another one after a while, notices.
    pub incarnation: [u8; 16],
    /// What holds for the session.
    pub settled: Settled,
}

/// The listening end does not take the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Versions that the listening end speaks.
    pub versions: RangeInclusive<u16>,
    /// Why.
    pub reason: RefusalKind,
    /// One line for people, [`MAX_DETAIL_BYTES`] at most.
    pub detail: String,
}

/// Why a listening end does not take a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusalKind {
    /// It serves another session; worth another try.
    Busy = 1,
    /// It was restarted and has forgotten the session, or never knew it.
    UnknownSession = 2,
    /// No version is common.
    Version = 3,
    /// The name is another.
    Name = 4,
    /// Both ends would transmit, or both receive.
    Role = 5,
    /// The session has fewer connections than that.
    Workers = 6,
    /// The smallest feet on one connection do not fit into one of the windows.
    Window = 7,
    /// The listening end is without encryption, the dialling end is not.
    Plain = 8,
    /// The listening end is encrypted, the dialling end is not.
    Tls = 9,
}

/// What the listening end says to a [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Frames follow.
    Welcome(Welcome),
    /// Nothing follows.
    Refuse(Refusal),
}

impl Hello {
    /// The part of it that is settled with the other end.
    pub fn wish(&self) -> Wish {
        let Hello { foot_bytes, workers, window_bytes, verify, pace, .. } = *self;
        Wish { foot_bytes, workers, window_bytes, verify, pace }
    }
}

impl Refusal {
    /// A refusal by this program.
    pub fn new(reason: RefusalKind, detail: impl Into<String>) -> Refusal {
        Refusal { versions: VERSIONS, reason, detail: detail.into() }
    }
}

impl Role {
    /// What the other end must do.
    pub fn opposite(self) -> Role {
        match self {
            Role::Sender => Role::Receiver,
            Role::Receiver => Role::Sender,
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}
