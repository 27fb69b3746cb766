//! What the figures of an end are at one moment, for whoever shows them.
//!
//! Does not know how they come about ([`super::Stats`]).

use super::{Bottleneck, Role};
use crate::codec::Packing;
use std::time::Duration;

/// The figures of one end at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Which end this is.
    pub role: Role,
    /// Time from when the ends have met to the stream's end; none before.
    pub elapsed: Option<Duration>,
    /// How long the stream is said to be.
    pub expected_bytes: Option<u64>,
    /// Raw bytes that are through: written to the sink, as the receiver has last said it (sender).
    pub stream_bytes: u64,
    /// Bytes on all connections, the way that the stream goes.
    pub wire_bytes: u64,
    /// Raw bytes read from the source (sender).
    pub source_bytes: u64,
    /// Payload bytes of the feet, each counted once.
    pub packed_bytes: u64,
    /// Raw bytes of the same feet.
    pub raw_bytes: u64,
    /// Feet that have gone out whole, or come in and are verified, each counted once.
    pub feet: u64,
    /// Feet that went, or came, again.
    pub resent_feet: u64,
    /// Connections that ended before the stream did.
    pub lost_connections: u64,
    /// Connections that carry the stream, or did when it was over.
    pub connections_in_use: u64,
    /// All of the stream has gone out, and the receiver may have it (sender); known once it is over.
    pub all_sent: bool,
    /// Connections that there are.
    pub live_workers: usize,
    /// Feet packed, and not yet acked; those that no connection has taken are among them (sender).
    pub unacked_feet: u64,
    /// Feet verified, and not yet with the sink (receiver).
    pub held_feet: u64,
    /// How many feet the receiver's window has been wide at most; 0 where it is not known (sender).
    pub far_window_feet: u64,
    /// Packed feet that no connection has taken (sender).
    pub unsent_feet: u64,
    /// Feet of the stream that this end can hold; 0 before that is settled.
    pub window_feet: u64,
    /// The size of a whole foot, in bytes.
    pub foot_bytes: u64,
    /// Threads that pack or unpack.
    pub threads: u64,
    /// Feet below this number may be sent.
    pub limit: u64,
    /// Every foot below this number is verified.
    pub cumulative: u64,
    /// How feet are packed, where that is adaptive.
    pub packing: Option<Packing>,
    /// What holds the stream up.
    pub bottleneck: Bottleneck,
}
