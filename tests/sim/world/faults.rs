//! Connections that come and go, and all that goes wrong.
//!
//! Does not know what travels.

use super::{Outcome, SYN_TIME, World, worker};
use crate::sim::agenda::{Due, MS, SECOND};
use crate::sim::ledger::Verdict;
use crate::sim::net::{Side, State};
use crate::sim::plan::Fault;
use std::time::Duration;
use viamillipede::foot::{Codec, FootHeader};
use viamillipede::proto::{LinkId, WorkerId, receiver, sender};

impl World {
    /// The dialling end tries to fill a slot.
    pub(super) fn dial(&mut self, slot: usize) {
        let dialler = self.plan.dialler;
        if !self.is_alive(dialler) {
            return;
        }
        let link = self.slots[slot].link;
        let way = &self.net.links[link];
        let (now, delay) = (self.agenda.now, way.delay);
        if way.silent_until > now {
            return self.agenda.after(SYN_TIME, Due::Dial { slot });
        }
        if way.refused_until > now || !self.is_alive(dialler.other()) {
            return self.redial(slot);
        }
        let conn = self.net.connect(slot, link);
        self.slots[slot].conn = Some(conn);
        self.agenda.after(3 * delay, Due::Up { conn, side: dialler.other() });
        self.agenda.after(4 * delay, Due::Up { conn, side: dialler });
    }

    /// Back-off: doubling to two seconds, with jitter.
    fn redial(&mut self, slot: usize) {
        let tries = &mut self.slots[slot].tries;
        let longest = ((100 * MS) << *tries).min(2 * SECOND);
        *tries = (*tries + 1).min(8);
        let delay = self.rng.within(longest / 2..longest);
        self.agenda.after(delay, Due::Dial { slot });
    }

    pub(super) fn up(&mut self, conn: usize, side: Side) -> Verdict {
        let state = &mut self.net.conns[conn].states[side as usize];
        if *state != State::Pending {
            return Ok(());
        }
        if self.outcomes[side as usize].is_some() {
            *state = State::Gone;
            self.net.close(&mut self.agenda, conn, side);
            return Ok(());
        }
        *state = State::Up;
        if side == self.plan.dialler {
            self.slots[self.net.conns[conn].slot].tries = 0;
        }
        let link = self.net.conns[conn].link;
        match side {
            Side::Sender => {
                let rtt = Duration::from_nanos(2 * self.net.links[link].delay);
                let link = LinkId(link as u16);
                self.tell_sender(conn, |worker| sender::Input::Up { worker, link, rtt })
            }
            Side::Receiver => {
                let worker = worker(conn);
                self.receiver.handle(self.now(), receiver::Input::Up { worker });
                self.pump_receiver()
            }
        }
    }

    pub(super) fn down(&mut self, conn: usize, side: Side) -> Verdict {
        let state = self.net.conns[conn].states[side as usize];
        if state == State::Gone || !self.is_alive(side) {
            return Ok(());
        }
        self.net.conns[conn].states[side as usize] = State::Gone;
        self.net.close(&mut self.agenda, conn, side);
        let slot = self.net.conns[conn].slot;
        if side == self.plan.dialler {
            self.slots[slot].conn = None;
            self.redial(slot);
        }
        if state == State::Pending {
            return Ok(());
        }
        let worker = worker(conn);
        match side {
            Side::Sender => {
                self.ledger.sender_down(worker);
                self.sender.handle(self.now(), sender::Input::Down { worker });
                self.pump_sender()
            }
            Side::Receiver => {
                self.receiver.handle(self.now(), receiver::Input::Down { worker });
                self.pump_receiver()
            }
        }
    }

    /// An end wants a connection closed: what is under way may still arrive, or may not.
    pub(super) fn close(&mut self, worker: WorkerId, side: Side) {
        let conn = worker.0 as usize;
        if self.rng.one_in(2) {
            self.net.break_both(conn);
            if self.rng.one_in(2) {
                self.agenda.after(50 * MS, Due::Down { conn, side: side.other() });
            }
        }
        let delay = self.rng.within(0..5 * MS);
        self.agenda.after(delay, Due::Down { conn, side });
    }

    /// An end is over: its last frames travel, its sockets close.
    pub(super) fn exit(&mut self, side: Side, outcome: Outcome) {
        if !self.is_alive(side) {
            return;
        }
        self.outcomes[side as usize] = Some(outcome);
        for conn in 0..self.net.conns.len() {
            let state = &mut self.net.conns[conn].states[side as usize];
            if *state == State::Up {
                *state = State::Gone;
                self.net.close(&mut self.agenda, conn, side);
            }
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) -> Verdict {
        match fault {
            Fault::Cut { slot, learn } => {
                if let Some(conn) = self.slots[slot].conn {
                    self.cut(conn, learn);
                }
            }
            Fault::CutAtByte { slot, bytes } => {
                if let Some(conn) = self.slots[slot].conn {
                    self.net.conns[conn].pipes[Side::Sender as usize].cut_after(bytes);
                }
            }
            Fault::Stall { slot, from, time } => {
                if let Some(conn) = self.slots[slot].conn {
                    let until = self.agenda.now + time;
                    for side in [Side::Sender, Side::Receiver] {
                        if from[side as usize] {
                            self.net.stall(&mut self.agenda, conn, side, until);
                        }
                    }
                }
            }
            Fault::Refuse { link, time } => self.refuse(link, time),
            Fault::Silence { link, time } => self.silence(link, time),
            Fault::AllGone { silent } => {
                for link in 0..self.net.links.len() {
                    let time = u64::MAX / 4;
                    if silent { self.silence(link, time) } else { self.refuse(link, time) }
                }
            }
            Fault::Vanish { side } => {
                if self.is_alive(side) {
                    self.exit(side, Outcome::Ordered);
                }
            }
            Fault::Abort { side } => return self.abort(side),
            Fault::Retire { slot } => return self.retire(slot),
            Fault::Rogue { slot } => return self.rogue(slot),
        }
        Ok(())
    }

    fn cut(&mut self, conn: usize, learn: [Option<u64>; 2]) {
        self.net.break_both(conn);
        for side in [Side::Sender, Side::Receiver] {
            if let Some(delay) = learn[side as usize] {
                self.agenda.after(delay, Due::Down { conn, side });
            }
        }
    }

    fn refuse(&mut self, link: usize, time: u64) {
        let until = &mut self.net.links[link].refused_until;
        *until = (*until).max(self.agenda.now + time);
        for conn in self.conns_of(link) {
            self.cut(conn, [Some(MS), Some(MS)]);
        }
    }

    fn silence(&mut self, link: usize, time: u64) {
        let until = self.agenda.now + time;
        let way = &mut self.net.links[link];
        way.silent_until = way.silent_until.max(until);
        for conn in self.conns_of(link) {
            for side in [Side::Sender, Side::Receiver] {
                self.net.stall(&mut self.agenda, conn, side, until);
            }
        }
    }

    /// Connections of a link that an end still knows, or will.
    fn conns_of(&self, link: usize) -> Vec<usize> {
        let conns = self.net.conns.iter().enumerate();
        conns
            .filter(|(_, conn)| conn.link == link && conn.states != [State::Gone; 2])
            .map(|(number, _)| number)
            .collect()
    }

    fn abort(&mut self, side: Side) -> Verdict {
        if !self.is_alive(side) {
            return Ok(());
        }
        match side {
            Side::Sender => {
                self.sender.abort(1, "as planned");
                self.pump_sender()?;
            }
            Side::Receiver => {
                self.receiver.abort(1, "as planned");
                self.pump_receiver()?;
            }
        }
        self.exit(side, Outcome::Ordered);
        Ok(())
    }

    /// The dialling end asks for a connection to end without loss.
    fn retire(&mut self, slot: usize) -> Verdict {
        let Some(conn) = self.slots[slot].conn else { return Ok(()) };
        if !self.is_up(conn, self.plan.dialler) {
            return Ok(());
        }
        match self.plan.dialler {
            Side::Sender => {
                self.ledger.retires(worker(conn));
                self.tell_sender(conn, |worker| sender::Input::Retire { worker })
            }
            Side::Receiver => {
                let worker = worker(conn);
                self.receiver.handle(self.now(), receiver::Input::Retire { worker });
                self.pump_receiver()
            }
        }
    }

    /// A foot that no sender may have sent; the connection must go, and nothing else may happen.
    fn rogue(&mut self, slot: usize) -> Verdict {
        let Some(conn) = self.slots[slot].conn else { return Ok(()) };
        if !self.is_up(conn, Side::Receiver) {
            return Ok(());
        }
        let id = self.ledger.limit_of_receiver() + self.rng.within(0..3);
        let (raw_bytes, codec) = (100, Codec::Raw);
        let offset = id * u64::from(self.plan.foot_bytes);
        let header =
            FootHeader { id, offset, raw_bytes, packed_bytes: 100, codec, check: [0xff; 32] };
        self.verified(conn, header, true)
    }
}
