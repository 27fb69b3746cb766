//! What the receiver says, and what follows from it.
//!
//! Whatever it says, the sender stays sound: what cannot be true closes the connection, or ends the
//! stream. Does not decide where feet go: see [`super::schedule`].

use super::workers::Seat;
use super::{Event, Sender};
use crate::proto::frame::{Ack, Done, Frame};
use crate::proto::receiver::MAX_CORRUPT;
use crate::proto::{Failure, WorkerId};
use std::ops::Range;
use std::time::Instant;

/// So far beyond the first foot that it does not have a receiver may be sent others, whatever it allows: each of those
/// is remembered, with every time that it was sent, in some 600 bytes at most. More than any window has use for.
const MOST_AHEAD: u64 = 1 << 17;

impl Sender {
    pub(super) fn handle_frame(&mut self, now: Instant, worker: WorkerId, frame: Frame) {
        let Some(seat) = self.workers.seat(worker) else { return };
        let Some(path) = self.workers.get_mut(seat) else { return };
        path.last_heard = now;
        if self.over && !(self.gave_up && matches!(frame, Frame::Done(_))) {
            return;
        }
        match frame {
            Frame::Ack(ack) => self.handle_ack(now, seat, &ack),
            Frame::Nack { id } => self.handle_nack(worker, id),
            Frame::Done(done) => self.handle_done(worker, done),
            Frame::Abort(abort) => self.fail(Failure::Aborted(abort)),
            Frame::Retire => self.retire(worker),
            Frame::Foot(_) | Frame::Ping(_) | Frame::End(_) | Frame::DoneAck => {
                self.close(worker, "it sent a frame that only a sender sends");
            }
        }
    }

    fn handle_ack(&mut self, now: Instant, seat: Seat, ack: &Ack) {
        let worker = seat.worker;
        let ends = ack.ranges.iter().map(|range| range.end);
        if ends.fold(ack.cumulative, u64::max) > self.sent_feet {
            return self.close(worker, "it acknowledged a foot that was never sent");
        }
        if ack.written_bytes > self.offered_bytes {
            return self.close(worker, "it has written more than there is");
        }
        let Some(window_feet) = ack.limit.checked_sub(ack.cumulative) else {
            return self.close(worker, "it set its limit below what it has");
        };
        self.change(seat, |path| path.heard_ack(now, ack));
        let most = ack.cumulative.max(self.base) + MOST_AHEAD;
        self.limit = self.limit.max(ack.limit.min(most));
        self.window_feet = self.window_feet.max(window_feet);
        if ack.received_bytes >= self.received_bytes && ack.written_bytes >= self.written_bytes {
            // Not an older word that came over a slower worker.
            (self.sink_blocked, self.sink_writing) = (ack.sink_blocked, ack.sink_writing);
        }
        self.written_bytes = self.written_bytes.max(ack.written_bytes);
        if ack.received_bytes > self.received_bytes || self.sink_blocked || self.is_quiet() {
            self.liveness.progress(now);
        }
        self.received_bytes = self.received_bytes.max(ack.received_bytes);

        let mut fresh = self.acked.insert(self.base..ack.cumulative.max(self.base));
        let ranges: Vec<Range<u64>> = self.acked.fresh_of(&ack.ranges).cloned().collect();
        for range in ranges {
            if range.end > self.base {
                fresh.extend(self.acked.insert(range.start.max(self.base)..range.end));
            }
        }
        if fresh.is_empty() {
            return;
        }
        // Feet are offered in any order, so there may be holes below the highest foot sent.
        let mut ids = fresh.iter().cloned().flatten();
        if let Some(id) = ids.find(|id| !self.was_sent(*id)) {
            let lie = format!("the receiver acknowledged foot {id}, which was never sent");
            return self.fail(Failure::Corrupt(lie));
        }
        self.liveness.progress(now);
        self.settle_all(fresh);
        self.let_go();
    }

    /// These feet, all of them sent, are acked for the first time.
    fn settle_all(&mut self, fresh: Vec<Range<u64>>) {
        for id in fresh.into_iter().flatten() {
            self.settle(id);
        }
        let base = self.acked.first_gap_at_or_after(self.base);
        let settled = ..(base - self.base) as usize;
        self.feet.drain(settled); // all of them were sent, so they are there
        self.headers.drain(settled);
        self.base = base;
        self.acked.remove_below(base);
    }

    /// Foot `id` is acked: whoever carries it has delivered.
    fn settle(&mut self, id: u64) {
        let Some(foot) = self.feet[(id - self.base) as usize].take() else { return };
        self.held_feet -= 1;
        self.written_feet += u64::from(!foot.is_written); // it has gone out, though that was not told yet
        let bytes = u64::from(foot.packed_bytes);
        for carrier in foot.copies.into_iter().flatten() {
            self.change(carrier.seat, |path| path.settled(carrier.number, bytes));
        }
        if self.lost.remove(&id) {
            self.backlog_bytes -= bytes;
        }
        self.events.push_back(Event::Acked { id });
    }

    fn handle_nack(&mut self, worker: WorkerId, id: u64) {
        if id >= self.sent_feet {
            return self.close(worker, "it refused a foot that was never sent");
        }
        let Some(foot) = self.foot_mut(id) else { return };
        let (copies, bytes) = (foot.copies, u64::from(foot.packed_bytes));
        if !copies.iter().flatten().any(|carrier| carrier.seat.worker == worker) {
            return;
        }
        foot.nacks += 1;
        if foot.nacks >= MAX_CORRUPT {
            // A receiver says so itself. Another could have us remember one sending more each time.
            return self
                .fail(Failure::Corrupt(format!("foot {id} failed its check {MAX_CORRUPT} times")));
        }
        let was_written = std::mem::take(&mut foot.is_written);
        self.written_feet -= u64::from(was_written);
        self.counts.nacked_feet += 1;
        // The other copy, too: one that came in while this one was being checked was read past.
        for carrier in copies.into_iter().flatten() {
            self.change(carrier.seat, |path| path.settled(carrier.number, bytes));
            self.lose(id, carrier.seat.worker);
        }
        self.let_go();
    }

    fn handle_done(&mut self, worker: WorkerId, done: Done) {
        let Some(end) = self.end else {
            return self.close(worker, "it said that it is done before the stream's end");
        };
        if self.sent_feet < end.feet || !self.unsent.is_empty() {
            return self.close(worker, "it said that it is done before all was sent");
        }
        if done.bytes != end.bytes {
            return self.fail(Failure::Corrupt(format!(
                "the receiver wrote {} bytes of {}",
                done.bytes, end.bytes
            )));
        }
        if end.digest.is_some() && done.digest != end.digest {
            return self.fail(Failure::Corrupt("the digests of the two ends differ".to_owned()));
        }
        (self.over, self.gave_up) = (true, false);
        // It is the ack of all feet, also of those whose own was lost with a connection.
        let fresh = self.acked.insert(self.base..end.feet);
        self.settle_all(fresh);
        self.written_bytes = done.bytes;
        self.control.extend(self.workers.ids().map(|worker| (worker, Frame::DoneAck)));
        self.events.push_back(Event::Delivered(done));
    }

    /// Whether foot `id`, not acked before, has been on a worker.
    fn was_sent(&self, id: u64) -> bool {
        self.feet[(id - self.base) as usize].as_ref().is_some_and(|foot| foot.was_sent)
    }
}
