//! The congestion window of one direction of a connection, in the manner of Reno with CUBIC's cut.
//!
//! Slow start from ten segments, a cut to seven tenths when the link's queue is full, and a segment a
//! round trip from then on. Nothing is lost: what a full queue refuses waits in the kernel. Does not
//! know time, retransmission time-outs, nor the receiver's window.

const SEGMENT: u64 = 1460;
const INITIAL: u64 = 10 * SEGMENT;

/// How many bytes may be sent and not acknowledged.
#[derive(Debug)]
pub(super) struct Congestion {
    window: u64,
    /// Slow start ends here.
    threshold: u64,
    in_flight: u64,
    /// Bytes that must be acknowledged before another cut: one in a round trip.
    recovering: u64,
}

impl Congestion {
    pub(super) fn new() -> Congestion {
        Congestion { window: INITIAL, threshold: u64::MAX, in_flight: 0, recovering: 0 }
    }

    /// How much of `wanted` may go now; as TCP does, it waits rather than send crumbs.
    pub(super) fn grant(&self, wanted: u64) -> u64 {
        let room = self.window.saturating_sub(self.in_flight);
        let crumb = wanted.min(self.window / 4);
        if room >= crumb { wanted.min(room) } else { 0 }
    }

    pub(super) fn sent(&mut self, bytes: u64) {
        self.in_flight += bytes;
    }

    pub(super) fn acknowledged(&mut self, bytes: u64) {
        let is_limited = 2 * self.in_flight >= self.window;
        self.in_flight -= bytes;
        self.recovering = self.recovering.saturating_sub(bytes);
        if is_limited {
            let slow_start = self.window < self.threshold;
            self.window += if slow_start { bytes } else { SEGMENT * bytes / self.window };
        }
    }

    /// The link's queue had no place for it.
    pub(super) fn refused(&mut self) {
        if self.recovering == 0 {
            self.window = (self.window / 10 * 7).max(2 * SEGMENT);
            self.threshold = self.window;
            self.recovering = self.in_flight;
        }
    }
}
