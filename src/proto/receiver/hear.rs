//! What comes in from the sender: feet, good and bad, and what it says.
//!
//! Whatever it says, the receiver stays sound: what cannot be true closes the connection, or ends the
//! stream. Does not know the sink's side of it: see [`super`].

use super::{Event, FRUITLESS_ROUNDS, MAX_CORRUPT, MAX_FRUITLESS, Phase, Receiver};
use crate::foot::FootHeader;
use crate::proto::frame::{End, Frame, Ping};
use crate::proto::reassembler::Inserted;
use crate::proto::{Failure, WorkerId};
use std::time::Instant;

impl Receiver {
    pub(super) fn handle_received(
        &mut self,
        now: Instant,
        worker: WorkerId,
        connection_bytes: u64,
    ) {
        let Some(path) = self.workers.get_mut(&worker) else { return };
        let known = path.connection_bytes;
        if connection_bytes <= known {
            return;
        }
        path.connection_bytes = connection_bytes;
        path.last_heard = now;
        let is_hopeful = self.fruitless < MAX_FRUITLESS.max(FRUITLESS_ROUNDS * self.most_workers);
        let counted = if is_hopeful { known } else { known.max(self.furthest_bytes) };
        if connection_bytes > counted {
            self.received_bytes += connection_bytes - counted;
            self.liveness.progress(now);
        }
    }

    pub(super) fn handle_foot(&mut self, now: Instant, worker: WorkerId, header: FootHeader) {
        if self.phase == Phase::Over {
            return;
        }
        if self.end.is_some_and(|end| header.id >= end.feet) {
            return self.close(worker, "it sent a foot beyond the end");
        }
        self.liveness.progress(now);
        if let Some(path) = self.workers.get_mut(&worker) {
            path.is_fruitful = true;
            self.ack_due.insert(worker);
        }
        // There may be room for more feet than were allowed so far.
        let is_allowed = header.id < self.limit();
        match if is_allowed { self.window.insert(header) } else { Inserted::Outside } {
            Inserted::New => {
                (self.fruitless, self.furthest_bytes) = (0, 0);
                self.corrupt.remove(&header.id);
                self.verified_feet += 1;
                self.write_ready();
                self.opening.sink_idle(now, !self.sink_blocked());
            }
            Inserted::Duplicate => {
                self.duplicate_feet += 1;
                self.events.push_back(Event::Duplicate { id: header.id });
            }
            Inserted::Conflict => self.fail(Failure::Corrupt(format!(
                "foot {} came twice with different checks",
                header.id
            ))),
            Inserted::Outside => self.close(worker, "it sent a foot outside the window"),
        }
    }

    /// Hands to the sink what has come into order.
    fn write_ready(&mut self) {
        while let Some(header) = self.window.pop() {
            if header.offset != self.next_offset {
                return self.fail(Failure::Corrupt(format!(
                    "foot {} says that it begins at byte {}, not {}",
                    header.id, header.offset, self.next_offset
                )));
            }
            self.next_offset += u64::from(header.raw_bytes);
            self.writing.push_back(header.raw_bytes);
            self.events.push_back(Event::Write(header));
        }
        self.judge_end();
    }

    pub(super) fn handle_corrupt(&mut self, worker: WorkerId, id: u64) {
        if !self.window.is_missing(id) || self.phase != Phase::Receiving {
            return; // nobody waits for it: a good copy is here, or it was outside the window
        }
        let failures = self.corrupt.entry(id).or_insert(0);
        *failures += 1;
        if *failures >= MAX_CORRUPT {
            let failures = *failures;
            return self
                .fail(Failure::Corrupt(format!("foot {id} failed its check {failures} times")));
        }
        if self.workers.contains_key(&worker) {
            self.control.push_back((worker, Frame::Nack { id }));
        }
    }

    pub(super) fn handle_frame(&mut self, now: Instant, worker: WorkerId, frame: Frame) {
        let Some(path) = self.workers.get_mut(&worker) else { return };
        path.last_heard = now;
        if self.phase == Phase::Over {
            return;
        }
        match frame {
            Frame::Ping(ping) => {
                path.echo = ping.token;
                self.handle_ping(now, worker, ping);
            }
            Frame::End(end) => self.handle_end(worker, end),
            Frame::DoneAck if self.is_delivered() => self.finish(),
            Frame::DoneAck => self.close(worker, "it acknowledged an end that was never said"),
            Frame::Abort(_) if self.is_delivered() => self.finish(),
            // The sink has all of it, and may succeed yet: then the sender is told so.
            Frame::Abort(abort) if self.phase == Phase::Closing => {
                self.events.push_back(Event::Failed(Failure::Aborted(abort)));
            }
            Frame::Abort(abort) => self.fail(Failure::Aborted(abort)),
            Frame::Retire => {
                // It has done all that it was given to do.
                self.workers.entry(worker).and_modify(|path| path.is_fruitful = true);
                self.events.push_back(Event::Retired { worker });
            }
            Frame::Foot(_) | Frame::Ack(_) | Frame::Nack { .. } | Frame::Done(_) => {
                self.close(worker, "it sent a frame that only a receiver sends");
            }
        }
    }

    fn handle_ping(&mut self, now: Instant, worker: WorkerId, ping: Ping) {
        self.sent_feet = self.sent_feet.max(ping.sent_feet);
        self.ack_due.insert(worker);
        if self.verified_feet >= self.sent_feet || self.sink_blocked() {
            self.liveness.progress(now);
        }
        if ping.window_blocked {
            self.opening.complained(now);
        }
    }

    fn handle_end(&mut self, worker: WorkerId, end: End) {
        match self.end {
            Some(known) if known == end => {}
            Some(_) if self.is_delivered() => self.close(worker, "it said another end"),
            Some(_) => self.fail(Failure::Corrupt("the stream has two different ends".to_owned())),
            None if end.feet < self.window.seen() => {
                self.close(worker, "it said an end before feet that it had sent");
            }
            None => {
                self.end = Some(end);
                self.judge_end();
            }
        }
    }
}
