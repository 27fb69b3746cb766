//! Connections that are not needed any more: they get no feet, and go once nothing is on them.
//!
//! Does not know why one is not needed, nor which: either end may say so of any.

use super::{Event, Sender};
use crate::proto::WorkerId;
use crate::proto::frame::Frame;

impl Sender {
    /// This connection is not needed any more.
    pub(super) fn retire(&mut self, worker: WorkerId) {
        let Some(seat) = self.workers.seat(worker).filter(|_| !self.over) else {
            return; // all are about to end, or it has just done so
        };
        self.retiring.insert(worker);
        self.withdraw(seat);
        self.let_go();
    }

    /// Ends those on which nothing is any more. What the receiver has of their feet, it has said; what is
    /// said over them from now on, is said over others too.
    pub(super) fn let_go(&mut self) {
        if self.retiring.is_empty() {
            return; // as nearly always
        }
        let is_free = |worker: &&WorkerId| {
            let seat = self.workers.seat(**worker);
            seat.is_none_or(|seat| self.workers[seat].in_flight.is_empty())
        };
        let free: Vec<WorkerId> = self.retiring.iter().filter(is_free).copied().collect();
        for worker in free {
            self.handle_down(worker);
            self.control.push_back((worker, Frame::Retire));
            self.events.push_back(Event::Retired { worker });
        }
    }
}
