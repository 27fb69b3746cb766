//! The owner of the receiver: unpacks, feeds the sink, closes it, hands frames to workers.
//!
//! Does not know the sender.

use super::{MOST_OUTPUTS, Outcome, World, worker};
use crate::sim::agenda::Due;
use crate::sim::ledger::{Verdict, require};
use crate::sim::net::Side;
use viamillipede::foot::FootHeader;
use viamillipede::proto::frame::Frame;
use viamillipede::proto::receiver::{Event, Input};

impl World {
    pub(super) fn receiver_hears(&mut self, conn: usize, frame: Frame) -> Verdict {
        if !self.is_up(conn, Side::Receiver) {
            return Ok(());
        }
        let worker = worker(conn);
        let Frame::Foot(header) = frame else {
            self.receiver.handle(self.now(), Input::Frame { worker, frame });
            return self.pump_receiver();
        };
        let unlucky = self.plan.corrupt_one_in > 0 && self.rng.one_in(self.plan.corrupt_one_in);
        let good = !unlucky && self.plan.hopeless != Some(header.id);
        let time = self.rng.within(0..self.plan.unpack_time);
        self.agenda.after(time, Due::Verified { conn, header, good });
        Ok(())
    }

    /// A foot comes out of unpacking; its connection may be gone by now.
    pub(super) fn verified(&mut self, conn: usize, header: FootHeader, good: bool) -> Verdict {
        if !self.is_alive(Side::Receiver) {
            return Ok(());
        }
        self.report_received(conn);
        let (worker, id) = (worker(conn), header.id);
        if !good {
            self.receiver.handle(self.now(), Input::Corrupt { worker, id });
            return self.pump_receiver();
        }
        self.receiver.handle(self.now(), Input::Foot { worker, header });
        self.ledger.verified(id);
        let closes = self.closes;
        self.pump_receiver()?;
        self.ledger.judge_admission(id, self.closes > closes)
    }

    /// Tells how many payload bytes have come in on a connection.
    pub(super) fn report_received(&mut self, conn: usize) {
        if self.is_up(conn, Side::Receiver) {
            let connection_bytes =
                self.net.conns[conn].pipes[Side::Sender as usize].payload_bytes();
            let input = Input::Received { worker: worker(conn), connection_bytes };
            self.receiver.handle(self.now(), input);
        }
    }

    /// Does what the receiver wants until it wants nothing more.
    pub(super) fn pump_receiver(&mut self) -> Verdict {
        let mut over = None;
        for _ in 0..MOST_OUTPUTS {
            if let Some((to, frame)) = self.receiver.poll_transmit() {
                self.note(|| format!("{to}: the receiver says {frame:?}"));
                self.ledger.receiver_says(&frame)?;
                let conn = to.0 as usize;
                require(self.is_up(conn, Side::Receiver), || format!("{to} is gone: {frame:?}"))?;
                self.net.send(&mut self.agenda, conn, Side::Receiver, frame);
            } else if let Some(event) = self.receiver.poll_event() {
                self.note(|| format!("the receiver wants {event:?}"));
                over = self.obey_receiver(event)?.or(over);
            } else {
                self.ledger.judge_receiver(&self.receiver)?;
                if let Some(outcome) = over {
                    self.exit(Side::Receiver, outcome);
                }
                return Ok(());
            }
        }
        Err("the receiver never has enough".to_owned())
    }

    fn obey_receiver(&mut self, event: Event) -> Result<Option<Outcome>, String> {
        match event {
            Event::Write(header) => {
                self.ledger.handed(&header)?;
                let since = self.last_write.replace(self.agenda.now).unwrap_or(self.agenda.now);
                self.longest_wait = self.longest_wait.max(self.agenda.now - since);
                self.sink.push_back(header);
                self.feed_sink();
            }
            Event::Duplicate { .. } | Event::Retired { .. } => {}
            Event::Close { worker, .. } => {
                self.closes += 1;
                self.close(worker, Side::Receiver);
            }
            Event::CloseSink(end) => {
                let (feet, bytes) = (self.ledger.written, self.plan.total_bytes());
                require(end.feet == feet && end.bytes == bytes, || format!("closes at {feet}"))?;
                self.agenda.after(self.plan.close_time, Due::SinkClosed);
            }
            Event::Finished => {
                self.ledger.delivered()?;
                return Ok(Some(Outcome::Delivered));
            }
            Event::Failed(failure) => {
                self.receiver.abort(4, "given up");
                return Ok(Some(Outcome::Failed(failure)));
            }
        }
        Ok(None)
    }

    fn feed_sink(&mut self) {
        if !self.sink_busy
            && let Some(header) = self.sink.front()
        {
            self.sink_busy = true;
            let pause = self.plan.sink_pauses.get(&header.id).copied().unwrap_or(0);
            self.agenda.after(self.plan.sink_gap + pause, Due::SinkTook);
        }
    }

    pub(super) fn sink_took(&mut self) -> Verdict {
        if !self.is_alive(Side::Receiver) {
            return Ok(());
        }
        self.sink.pop_front();
        self.sink_busy = false;
        self.feed_sink();
        self.ledger.written += 1;
        self.receiver.handle(self.now(), Input::Written);
        self.pump_receiver()
    }

    pub(super) fn sink_closed(&mut self) -> Verdict {
        if !self.is_alive(Side::Receiver) {
            return Ok(());
        }
        self.ledger.sink_closed = true;
        self.receiver.handle(self.now(), Input::SinkClosed { digest: None });
        self.pump_receiver()
    }
}
