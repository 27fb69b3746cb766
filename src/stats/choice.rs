//! How feet are packed now, and why, where that is chosen by what holds the stream up (`--adapt`).
//!
//! Does not know how it is chosen: that is the sending end's affair.

use crate::codec::{LADDER, Packing};
use std::fmt;

/// The choices so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adapted {
    /// The one in use.
    pub choice: Choice,
    /// Feet that travel packed as each rung of the [`LADDER`] says; the first are those that travel raw.
    pub feet: [u64; LADDER.len()],
}

/// A choice and its reason, as they are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// How the next foot is packed.
    pub packing: Packing,
    /// Why like this, and not better or faster.
    pub reason: Reason,
}

/// What was seen when it was last looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing yet.
    Unknown,
    /// Feet wait for the network.
    Network,
    /// The network waits for the packers.
    Packing,
    /// Neither waits for the other.
    Balance,
    /// Packing better made the stream slower.
    NoGain,
    /// Feet do not shrink.
    Incompressible,
    /// Everybody waits for the source.
    Source,
    /// The receiver takes nothing.
    Receiver,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.packing, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Reason::Unknown => "nothing known yet",
            Reason::Network => "the network is slower",
            Reason::Packing => "packing is slower",
            Reason::Balance => "network and packing keep pace",
            Reason::NoGain => "more brought nothing",
            Reason::Incompressible => "the data does not shrink",
            Reason::Source => "the source is slower",
            Reason::Receiver => "the receiver is slower",
        })
    }
}
