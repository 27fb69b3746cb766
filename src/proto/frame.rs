//! What travels on a connection once both sides have said hello.
//!
//! Layout, every integer little-endian:
//!
//! ```text
//!  0  kind    u8
//!  1  zero    u8
//!  2  length  u16     bytes of body that follow the head, MAX_BODY_BYTES at most
//!  4  check   8 bytes of BLAKE3(bytes 0..4, body)
//! 12  body
//! ```
//!
//! After the body of a `Foot` its payload follows, `packed_bytes` long; the payload is covered by the
//! foot's own check; how a sender that fails breaks it off is in `broken`. Does not know who sends what when: see [`super::sender`], [`super::receiver`].

mod broken;
mod decode;
mod encode;

use crate::foot::{FootHeader, Hash};
use std::{fmt, ops::Range};

pub use decode::{FrameError, decode};

/// Bytes before the body of a frame.
pub const HEAD_BYTES: usize = 12;
/// Longest body of any frame, in bytes.
pub const MAX_BODY_BYTES: usize = 8192;
/// Most ranges that one [`Ack`] carries.
pub const MAX_ACK_RANGES: usize = 256;
/// Longest reason that an [`Abort`] carries, in bytes.
pub const MAX_REASON_BYTES: usize = 1024;

// Fixed parts of the bodies. The lists have no count of their own: the length of the body says it.
const FOOT_BYTES: usize = 64;
const ACK_FIXED_BYTES: usize = 48;
const RANGE_BYTES: usize = 16;
const NACK_BYTES: usize = 8;
const PING_BYTES: usize = 13;
const END_BYTES: usize = 56;
const DONE_BYTES: usize = 48;
const ABORT_FIXED_BYTES: usize = 1;

const _: () = assert!(ACK_FIXED_BYTES + MAX_ACK_RANGES * RANGE_BYTES <= MAX_BODY_BYTES);
const _: () = assert!(ABORT_FIXED_BYTES + MAX_REASON_BYTES <= MAX_BODY_BYTES);
const _: () = assert!(MAX_BODY_BYTES <= u16::MAX as usize);

/// One message between the ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Sender to receiver: a foot; its payload follows.
    Foot(FootHeader),
    /// Receiver to sender: all that the receiver has; also its heartbeat.
    Ack(Ack),
    /// Receiver to sender: this foot failed its check and is wanted again.
    Nack {
        /// The foot that failed.
        id: u64,
    },
    /// Sender to receiver: heartbeat, answered at once by an [`Ack`] that echoes the token.
    Ping(Ping),
    /// Sender to receiver: the stream is this long and no longer.
    End(End),
    /// Receiver to sender: the sink has succeeded.
    Done(Done),
    /// Sender to receiver: the outcome is known here, you may go.
    DoneAck,
    /// Either way: this end has failed and says why.
    Abort(Abort),
    /// Either way: the connection that carries this is not needed any more. A receiver asks for its end;
    /// a sender says that nothing is on it, and ends it.
    Retire,
}

/// The receiver's full state, idempotent and valid on any worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Every foot below this number is verified.
    pub cumulative: u64,
    /// Feet below this number may be sent.
    pub limit: u64,
    /// Verified feet above `cumulative`, ascending, disjoint, not empty, not adjacent.
    pub ranges: Vec<Range<u64>>,
    /// Payload bytes that came in on all connections of the session so far.
    pub received_bytes: u64,
    /// Payload bytes that came in on the connection that carries this ack.
    pub connection_bytes: u64,
    /// Raw bytes that the sink has taken.
    pub written_bytes: u64,
    /// The sink has feet (or its own end) to digest: waiting is its doing, not the network's.
    pub sink_blocked: bool,
    /// The sink is in the middle of taking a foot, or of its end. Only for people: with a sink that is quick
    /// it seldom is, though it may have feet all the time.
    pub sink_writing: bool,
    /// Token of the last [`Ping`] on this connection when this answers it, else 0.
    pub echo: u32,
}

/// The sender's heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Not 0; echoed by the next ack on this connection.
    pub token: u32,
    /// How many different feet were sent so far.
    pub sent_feet: u64,
    /// There are more, and the window is what holds them back.
    pub window_blocked: bool,
}

/// The length of the whole stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Number of feet.
    pub feet: u64,
    /// Number of raw bytes.
    pub bytes: u64,
    /// BLAKE3 of the stream, where the session verifies.
    pub digest: Option<Hash>,
}

/// The receiver's word that the stream is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Raw bytes that the sink took.
    pub bytes: u64,
    /// BLAKE3 of them, where the session verifies.
    pub digest: Option<Hash>,
}

/// Why an end gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// The exit code of the end that failed; never 0, which is kept for a delivered stream.
    pub code: u8,
    /// One line for people, [`MAX_REASON_BYTES`] at most.
    pub reason: String,
}

/// The first byte of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`Frame::Foot`]
    Foot = 1,
    /// [`Frame::Ack`]
    Ack = 2,
    /// [`Frame::Nack`]
    Nack = 3,
    /// [`Frame::Ping`]
    Ping = 4,
    /// [`Frame::End`]
    End = 5,
    /// [`Frame::Done`]
    Done = 6,
    /// [`Frame::DoneAck`]
    DoneAck = 7,
    /// [`Frame::Abort`]
    Abort = 8,
    /// [`Frame::Retire`]
    Retire = 9,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Foot,
        Kind::Ack,
        Kind::Nack,
        Kind::Ping,
        Kind::End,
        Kind::Done,
        Kind::DoneAck,
        Kind::Abort,
        Kind::Retire,
    ];

    fn from_wire(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|&kind| kind as u8 == number)
    }

    /// Whether a body of this kind may be this long; known before any of the body is there.
    fn admits(self, body_bytes: usize) -> bool {
        match self {
            Kind::Foot => body_bytes == FOOT_BYTES,
            Kind::Ack => body_bytes.checked_sub(ACK_FIXED_BYTES).is_some_and(|list_bytes| {
                list_bytes % RANGE_BYTES == 0 && list_bytes / RANGE_BYTES <= MAX_ACK_RANGES
            }),
            Kind::Nack => body_bytes == NACK_BYTES,
            Kind::Ping => body_bytes == PING_BYTES,
            Kind::End => body_bytes == END_BYTES,
            Kind::Done => body_bytes == DONE_BYTES,
            Kind::DoneAck | Kind::Retire => body_bytes == 0,
            Kind::Abort => body_bytes
                .checked_sub(ABORT_FIXED_BYTES)
                .is_some_and(|reason_bytes| reason_bytes <= MAX_REASON_BYTES),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Foot => "foot",
            Kind::Ack => "ack",
            Kind::Nack => "nack",
            Kind::Ping => "ping",
            Kind::End => "end",
            Kind::Done => "done",
            Kind::DoneAck => "done-ack",
            Kind::Abort => "abort",
            Kind::Retire => "retire",
        })
    }
}
