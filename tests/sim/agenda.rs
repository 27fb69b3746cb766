//! The virtual clock, and what happens when.
//!
//! Times are nanoseconds since the start of the run. Things due at the same time happen in the order
//! in which they were entered, so a run is the same every time. Does not know what the things mean.

use super::net::Side;
use std::collections::BTreeMap;
use viamillipede::foot::FootHeader;

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000 * MS;

/// Something that happens at its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// The link has put a chunk on the line.
    Served { link: usize, from: Side },
    /// Bytes of this connection may have arrived.
    Arrive { conn: usize, from: Side },
    /// TCP's own word that so many bytes have arrived is back.
    Acknowledged { conn: usize, from: Side, bytes: u64 },
    /// A stall may be over.
    Resume { conn: usize, from: Side },
    /// The dialling end tries again.
    Dial { slot: usize },
    /// This end sees the connection come up.
    Up { conn: usize, side: Side },
    /// This end sees the connection go.
    Down { conn: usize, side: Side },
    /// The receiver has unpacked a foot.
    Verified { conn: usize, header: FootHeader, good: bool },
    /// The source has its next foot.
    Read,
    /// A foot is packed.
    Offer { id: u64 },
    /// The source has ended.
    Finish,
    /// The sink has taken a foot.
    SinkTook,
    /// The sink has closed.
    SinkClosed,
    /// The fault with this number in the plan.
    Fault { number: usize },
}

/// The queue of things to come.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    pub(super) now: u64,
    entered: u64,
    queue: BTreeMap<(u64, u64), Due>,
}

impl Agenda {
    pub(super) fn at(&mut self, time: u64, due: Due) {
        self.entered += 1;
        self.queue.insert((time.max(self.now), self.entered), due);
    }

    pub(super) fn after(&mut self, delay: u64, due: Due) {
        self.at(self.now + delay, due);
    }

    pub(super) fn next_time(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((time, _), _)| *time)
    }

    /// Moves the clock to the next thing and returns it.
    pub(super) fn pop(&mut self) -> Option<Due> {
        let ((time, _), due) = self.queue.pop_first()?;
        self.now = time;
        Some(due)
    }
}
