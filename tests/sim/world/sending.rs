//! The owner of the sender: reads while it has buffers, packs, offers, hands frames to workers.
//!
//! Does not know the receiver.

use super::{MOST_OUTPUTS, Outcome, World, worker};
use crate::sim::agenda::Due;
use crate::sim::ledger::{Verdict, require};
use crate::sim::net::Side;
use viamillipede::proto::WorkerId;
use viamillipede::proto::frame::{End, Frame};
use viamillipede::proto::sender::{Event, Input};

impl World {
    /// The source has a foot, or its end: it is read if there is a buffer for it.
    pub(super) fn read(&mut self) {
        if !self.is_alive(Side::Sender) {
            return;
        }
        let (id, feet) = (self.next_read, self.plan.feet.len() as u64);
        if id == feet {
            self.next_read += 1; // nothing is read after the end
            if self.plan.early_end || self.unoffered == 0 {
                self.agenda.after(0, Due::Finish);
            }
            return;
        }
        self.reader_waits = self.held_buffers == self.plan.buffers;
        if self.reader_waits {
            return;
        }
        self.held_buffers += 1;
        self.unoffered += 1;
        self.next_read += 1;
        let pack_time = self.rng.within(0..self.plan.pack_time);
        self.agenda.after(pack_time, Due::Offer { id });
        let pause = self.plan.source_pauses.get(&(id + 1)).copied().unwrap_or(0);
        self.agenda.after(self.plan.source_gap + pause, Due::Read);
    }

    pub(super) fn offer(&mut self, id: u64) -> Verdict {
        if !self.is_alive(Side::Sender) {
            return Ok(());
        }
        self.sender.offer(self.plan.feet[id as usize]);
        self.ledger.offered(id);
        self.unoffered -= 1;
        let at_end = self.next_read > self.plan.feet.len() as u64;
        if at_end && self.unoffered == 0 && !self.plan.early_end {
            self.agenda.after(0, Due::Finish);
        }
        self.pump_sender()
    }

    pub(super) fn finish(&mut self) -> Verdict {
        if !self.is_alive(Side::Sender) {
            return Ok(());
        }
        let (feet, bytes) = (self.plan.feet.len() as u64, self.plan.total_bytes());
        self.sender.finish(End { feet, bytes, digest: None });
        self.pump_sender()
    }

    pub(super) fn sender_hears(&mut self, conn: usize, frame: Frame) -> Verdict {
        if !self.is_up(conn, Side::Sender) {
            return Ok(());
        }
        self.ledger.sender_hears(worker(conn), &frame);
        self.tell_sender(conn, |worker| Input::Frame { worker, frame })
    }

    /// Something happened on a connection that the sender knows.
    pub(super) fn tell_sender(
        &mut self,
        conn: usize,
        input: impl FnOnce(WorkerId) -> Input,
    ) -> Verdict {
        if !self.is_up(conn, Side::Sender) {
            return Ok(());
        }
        self.sender.handle(self.now(), input(worker(conn)));
        self.pump_sender()
    }

    /// Does what the sender wants until it wants nothing more.
    pub(super) fn pump_sender(&mut self) -> Verdict {
        let mut over = None;
        for _ in 0..MOST_OUTPUTS {
            if let Some((to, frame)) = self.sender.poll_transmit(self.now()) {
                self.note(|| format!("{to}: the sender says {frame:?}"));
                self.transmit_from_sender(to, frame)?;
            } else if let Some(event) = self.sender.poll_event() {
                self.note(|| format!("the sender wants {event:?}"));
                over = self.obey_sender(event)?.or(over);
            } else {
                self.ledger.judge_sender(&self.sender)?;
                if let Some(outcome) = over {
                    self.exit(Side::Sender, outcome);
                }
                return Ok(());
            }
        }
        Err("the sender never has enough".to_owned())
    }

    fn transmit_from_sender(&mut self, to: WorkerId, frame: Frame) -> Verdict {
        if let Frame::Foot(header) = &frame {
            self.ledger.sent(to, header)?;
        }
        let conn = to.0 as usize;
        if let Frame::Foot(header) = &frame {
            self.sends.push((self.agenda.now, self.net.conns[conn].link, header.id));
        }
        require(self.is_up(conn, Side::Sender), || format!("{to} is gone, and gets {frame:?}"))?;
        self.net.send(&mut self.agenda, conn, Side::Sender, frame);
        Ok(())
    }

    fn obey_sender(&mut self, event: Event) -> Result<Option<Outcome>, String> {
        match event {
            Event::Acked { id } => {
                self.ledger.acked(id)?;
                self.last_ack = self.agenda.now;
                self.first_ack = if self.first_ack == 0 { self.last_ack } else { self.first_ack };
                self.held_buffers -= 1;
                if std::mem::take(&mut self.reader_waits) {
                    self.agenda.after(0, Due::Read);
                }
            }
            Event::Close { worker, .. } => {
                self.closes += 1;
                self.close(worker, Side::Sender);
            }
            Event::Retired { worker } => {
                let (conn, side) = (worker.0 as usize, Side::Sender);
                self.ledger.retired(worker)?;
                self.agenda.after(0, Due::Down { conn, side });
            }
            Event::PassedOver { .. } => {}
            Event::Delivered(done) => {
                self.ledger.delivered()?;
                require(done.bytes == self.plan.total_bytes(), || format!("{done:?}"))?;
                return Ok(Some(Outcome::Delivered));
            }
            Event::Failed(failure) => {
                self.sender.abort(4, "given up");
                return Ok(Some(Outcome::Failed(failure)));
            }
        }
        Ok(None)
    }
}
