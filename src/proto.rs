//! The protocol core, free of I/O: what travels between the ends, and the two state machines that
//! decide what travels next.
//!
//! It knows no sockets, threads, channels, clock, randomness, compression or printing. Time is an
//! argument; everything enters by `handle_*` and `offer`, and leaves by `poll_*` (the shape is that
//! of quinn-proto). So the same code runs under the simulator in `tests/sim`.

pub mod backoff;
pub mod bucket;
pub(crate) mod fields;
pub mod flush;
pub mod frame;
pub mod hello;
pub mod liveness;
pub mod ranges;
pub mod reassembler;
pub mod receiver;
pub mod sender;

use frame::Abort;
use std::fmt;

/// One TCP connection of the session. Never used again for another connection of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

/// One way between the ends (one DEST); lower numbers are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u16);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {}", self.0)
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}", self.0)
    }
}

/// Why a stream did not arrive, as the protocol sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No progress for all of patience.
    PeerLost,
    /// All was sent and acknowledged, and no word came whether the sink succeeded.
    OutcomeUnknown,
    /// The two ends do not agree on the stream.
    Corrupt(String),
    /// The other end gave up and said why.
    Aborted(Abort),
}
