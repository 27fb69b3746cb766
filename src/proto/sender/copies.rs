//! The copies of a foot: where they are on their way, whether one has gone out, and what becomes of one that is lost.
//!
//! Does not decide where they go: see [`super::schedule`] and [`super::reinject`].

use super::Sender;
use super::workers::Seat;
use crate::proto::WorkerId;

/// Who carries a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carrier {
    pub(super) seat: Seat,
    /// Which of the feet on that connection it is: see [`super::flight`].
    pub(super) number: u32,
}

/// A foot that was offered and is not acked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Foot {
    pub(super) packed_bytes: u32,
    /// Where it is in flight; the second is a reinjection.
    pub(super) copies: [Option<Carrier>; 2],
    /// How often its check has failed.
    pub(super) nacks: u8,
    pub(super) was_sent: bool,
    /// A copy of it has gone to the kernel whole.
    pub(super) is_written: bool,
}

impl Foot {
    pub(super) fn new(packed_bytes: u32) -> Foot {
        Foot { packed_bytes, copies: [None; 2], nacks: 0, was_sent: false, is_written: false }
    }
}

impl Sender {
    /// The kernel has the next of this worker's feet.
    pub(super) fn handle_written(&mut self, worker: WorkerId) {
        let Some(seat) = self.workers.seat(worker) else { return };
        let mut written = None;
        self.change(seat, |path| written = path.unwritten.pop_front());
        // (One that is acked has been counted.)
        if let Some(foot) = written.and_then(|id| self.foot_mut(id)) {
            let is_first = !std::mem::replace(&mut foot.is_written, true);
            self.written_feet += u64::from(is_first);
        }
    }

    /// The copy of foot `id` on `worker` will not arrive.
    pub(super) fn lose(&mut self, id: u64, worker: WorkerId) {
        let Some(foot) = self.foot_mut(id) else { return };
        match foot.copies {
            // The copy that is left is the first again: it may get a second one.
            [Some(first), second] if first.seat.worker == worker => foot.copies = [second, None],
            [first, Some(second)] if second.seat.worker == worker => foot.copies = [first, None],
            _ => {}
        }
        if foot.copies == [None; 2] {
            let bytes = u64::from(foot.packed_bytes);
            self.backlog_bytes += bytes;
            self.lost.insert(id);
        }
    }

    pub(super) fn foot_mut(&mut self, id: u64) -> Option<&mut Foot> {
        self.feet.get_mut(id.checked_sub(self.base)? as usize)?.as_mut()
    }
}
