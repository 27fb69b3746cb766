//! What must hold at every step, judged from outside: only by what goes into the two ends and what
//! comes out of them.
//!
//! Does not know their insides, nor links or time.

use std::collections::{BTreeMap, BTreeSet};
use viamillipede::foot::FootHeader;
use viamillipede::proto::WorkerId;
use viamillipede::proto::frame::{Ack, Frame};
use viamillipede::proto::receiver::Receiver;
use viamillipede::proto::sender::Sender;

/// A rule was broken; says which.
pub(super) type Verdict = Result<(), String>;

/// The books of one run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    window_feet: u64,
    stream: Vec<FootHeader>,
    offered: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    /// Where each unacked foot is under way, as the sender has been told.
    copies: BTreeMap<u64, Vec<WorkerId>>,
    /// Connections of which the sender was told that they are not needed.
    retiring: BTreeSet<WorkerId>,
    /// The widest limit that has arrived at the sender.
    limit: u64,
    /// Feet that were given to the receiver whole and inside its window.
    verified: BTreeSet<u64>,
    /// Feet that the receiver handed to the sink, and those that the sink took.
    pub(super) handed: u64,
    pub(super) written: u64,
    pub(super) sink_closed: bool,
}

impl Ledger {
    pub(super) fn new(stream: &[FootHeader], window_feet: u64) -> Ledger {
        Ledger { window_feet, stream: stream.to_vec(), ..Ledger::default() }
    }

    pub(super) fn offered(&mut self, id: u64) {
        self.offered.insert(id);
    }

    /// The sender hands a foot to a worker.
    pub(super) fn sent(&mut self, worker: WorkerId, header: &FootHeader) -> Verdict {
        let id = header.id;
        require(self.offered.contains(&id), || format!("foot {id} is sent and was not offered"))?;
        require(!self.acked.contains(&id), || format!("foot {id} is sent and was acked"))?;
        require(self.stream[id as usize] == *header, || format!("foot {id} has another header"))?;
        require(id < self.limit, || format!("foot {id} is sent beyond limit {}", self.limit))?;
        require(!self.retiring.contains(&worker), || {
            format!("foot {id} is sent on {worker}, which is not needed")
        })?;
        let copies = self.copies.entry(id).or_default();
        require(copies.len() < 2, || format!("foot {id} is on three connections: {copies:?}"))?;
        require(!copies.contains(&worker), || format!("foot {id} is twice on {worker}"))?;
        copies.push(worker);
        Ok(())
    }

    /// The sender is told that it does not need a connection.
    pub(super) fn retires(&mut self, worker: WorkerId) {
        self.retiring.insert(worker);
    }

    /// The sender ends a connection that is not needed.
    pub(super) fn retired(&mut self, worker: WorkerId) -> Verdict {
        let mut copies = self.copies.iter().filter(|(_, copies)| copies.contains(&worker));
        copies
            .next()
            .map_or(Ok(()), |(id, _)| Err(format!("foot {id} is on {worker}, which is ended")))
    }

    /// The sender learns that a connection is gone.
    pub(super) fn sender_down(&mut self, worker: WorkerId) {
        self.copies.retain(|_, copies| {
            copies.retain(|copy| *copy != worker);
            !copies.is_empty()
        });
    }

    /// The sender is told a frame.
    pub(super) fn sender_hears(&mut self, worker: WorkerId, frame: &Frame) {
        match frame {
            Frame::Ack(Ack { limit, .. }) => self.limit = self.limit.max(*limit),
            Frame::Retire => self.retires(worker),
            // Of its other copy nothing will be said.
            Frame::Nack { id }
                if self.copies.get(id).is_some_and(|copies| copies.contains(&worker)) =>
            {
                self.copies.remove(id);
            }
            _ => {}
        }
    }

    /// The sender returns a foot's buffer.
    pub(super) fn acked(&mut self, id: u64) -> Verdict {
        self.copies.remove(&id);
        require(self.verified.contains(&id), || {
            format!("foot {id} is acked and was not verified")
        })?;
        require(self.acked.insert(id), || format!("foot {id} is acked twice"))
    }

    /// No foot is forgotten: each is acked, waits for a worker, or is on a live connection.
    pub(super) fn judge_sender(&self, sender: &Sender) -> Verdict {
        let unacked = self.offered.len() - self.acked.len();
        let waiting = sender.backlog().unsent_feet as usize;
        require(waiting + self.copies.len() == unacked, || {
            format!("{unacked} unacked, {waiting} wait, {} under way", self.copies.len())
        })
    }

    /// The receiver was given a foot whose check holds.
    pub(super) fn verified(&mut self, id: u64) {
        if id < self.limit_of_receiver() {
            self.verified.insert(id);
        }
    }

    /// Foot `id` was just given; `refused` if the receiver wants its connection closed.
    pub(super) fn judge_admission(&self, id: u64, refused: bool) -> Verdict {
        let inside = self.verified.contains(&id);
        require(inside != refused, || format!("foot {id}: inside {inside}, refused {refused}"))
    }

    /// Feet below this number have a place at the receiver.
    pub(super) fn limit_of_receiver(&self) -> u64 {
        self.written + self.window_feet
    }

    /// The receiver hands a foot to the sink.
    pub(super) fn handed(&mut self, header: &FootHeader) -> Verdict {
        let next = self.handed;
        require(self.stream.get(next as usize) == Some(header), || {
            format!("the sink is given foot {} where foot {next} belongs", header.id)
        })?;
        require(self.verified.contains(&next), || format!("foot {next} was never verified"))?;
        self.handed += 1;
        Ok(())
    }

    /// The receiver holds no more than its window, and says nothing that is not so.
    pub(super) fn judge_receiver(&self, receiver: &Receiver) -> Verdict {
        let held = self.verified.len() as u64 - self.written;
        require(held <= self.window_feet, || format!("the receiver holds {held} feet"))?;
        let limit = self.limit_of_receiver();
        require(receiver.limit() <= limit, || format!("limit {} over {limit}", receiver.limit()))
    }

    /// The receiver says a frame.
    pub(super) fn receiver_says(&self, frame: &Frame) -> Verdict {
        match frame {
            Frame::Done(_) => require(self.sink_closed, || "done before the sink closed".into()),
            Frame::Ack(ack) => {
                let below = self.verified.range(..ack.cumulative).count() as u64;
                require(below == ack.cumulative, || {
                    format!("{} acked, {below} are there", ack.cumulative)
                })
            }
            _ => Ok(()),
        }
    }

    /// Everything is with the sink, which has closed.
    pub(super) fn delivered(&self) -> Verdict {
        require(self.written == self.stream.len() as u64, || {
            format!("delivered is said after {} of {} feet", self.written, self.stream.len())
        })?;
        require(self.sink_closed, || "delivered is said before the sink closed".to_owned())
    }
}

pub(super) fn require(holds: bool, broken: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(broken()) }
}
