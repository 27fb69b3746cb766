//! What the connections of one link come to.
//!
//! Does not know the table of connections, nor what a link is called.

use super::{WorkerRow, WorkerState};
use crate::net::TcpInfo;
use std::time::Instant;

/// What the connections of one link have done together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkRow {
    /// The address at the other end of the last of them.
    pub(crate) peer: String,
    /// Bytes sent or received on them, headers included, those of connections included that are gone.
    pub(crate) bytes: u64,
    /// How many there are now.
    pub(crate) live: usize,
    /// How many of these carry something.
    pub(crate) busy: usize,
    /// When one of them was last lost.
    pub(crate) lost: Option<Instant>,
    /// What their kernel says: counts and times are sums over all there ever were, the window is the sum over
    /// those that are there, the round trip the shortest of theirs; zero where none is known.
    pub(crate) tcp: TcpInfo,
}

impl LinkRow {
    /// Adds what a connection has done, which is there or is gone.
    pub(super) fn add(&mut self, row: &WorkerRow, is_there: bool) {
        self.bytes += row.bytes.now();
        self.live += usize::from(is_there);
        self.busy += usize::from(is_there && row.state() == WorkerState::Busy);
        let Some(tcp) = row.tcp() else { return };
        self.tcp.count(tcp);
        if is_there {
            self.tcp.window_bytes += tcp.window_bytes;
            let known = Some(self.tcp.rtt).filter(|rtt| !rtt.is_zero());
            self.tcp.rtt = known.map_or(tcp.rtt, |rtt| rtt.min(tcp.rtt));
        }
    }
}
