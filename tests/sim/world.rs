//! Plays a plan: the two real state machines, each with the duties of its owner, over the virtual net.
//!
//! The ends are strangers to each other here: all that passes between them passes through the net.
//! What must hold is judged by the ledger.

mod faults;
mod receiving;
mod sending;

use super::agenda::{Agenda, Due, MS, SECOND};
use super::ledger::{Ledger, Verdict, require};
use super::net::{Happening, Link, Net, Side, State};
use super::plan::{Expect, Plan};
use super::rng::Rng;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use viamillipede::foot::FootHeader;
use viamillipede::proto::liveness::Pace;
use viamillipede::proto::receiver::{self, Receiver};
use viamillipede::proto::sender::{self, Counts, Sender};
use viamillipede::proto::{Failure, WorkerId};

/// No run lasts longer than this, in virtual time.
const LONGEST: u64 = 20_000 * SECOND;
/// More wake-ups than this in a virtual second, of one end, are a busy wait.
const MOST_TIMEOUTS: u32 = 2_000;
/// More outputs than this on one input are a loop.
const MOST_OUTPUTS: u32 = 10_000;
/// A SYN that nobody answers goes out again after this.
const SYN_TIME: u64 = SECOND;

/// How an end ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Delivered, or Finished.
    Delivered,
    /// It gave up for this.
    Failed(Failure),
    /// The plan made it give up, or killed it.
    Ordered,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    pub(super) outcomes: [Outcome; 2],
    pub(super) counts: Counts,
    pub(super) duplicate_feet: u64,
    pub(super) connections: usize,
    pub(super) most_timeouts: u32,
    /// When the first and the last foot was acked.
    pub(super) first_ack: u64,
    pub(super) last_ack: u64,
    /// The longest time between two feet that came into order.
    pub(super) longest_wait: u64,
    /// Every foot that went to a worker: when, over which link, and which.
    pub(super) sends: Vec<(u64, usize, u64)>,
    /// Under a rate: how many bytes went to the kernel, and when.
    pub(super) writes: Vec<(u64, u64)>,
    /// Connections that the ends wanted closed.
    pub(super) closes: u64,
    pub(super) end: u64,
}

/// A place for a connection, filled again by the dialling end.
#[derive(Debug)]
struct Slot {
    link: usize,
    conn: Option<usize>,
    tries: u32,
}

/// One run.
pub(super) struct World {
    plan: Plan,
    rng: Rng,
    base: Instant,
    agenda: Agenda,
    net: Net,
    ledger: Ledger,
    sender: Sender,
    receiver: Receiver,
    outcomes: [Option<Outcome>; 2],
    slots: Vec<Slot>,
    next_read: u64,
    unoffered: u64,
    held_buffers: u64,
    reader_waits: bool,
    sink: VecDeque<FootHeader>,
    sink_busy: bool,
    /// Connections that the ends wanted closed.
    closes: u64,
    first_ack: u64,
    last_ack: u64,
    last_write: Option<u64>,
    longest_wait: u64,
    sends: Vec<(u64, usize, u64)>,
    timeouts: [(u64, u32); 2],
    most_timeouts: u32,
    /// The last events, at most `trace_length` of them.
    trace: VecDeque<String>,
    trace_length: usize,
}

impl World {
    pub(super) fn new(plan: Plan) -> World {
        let base = Instant::now();
        let patience = plan.patience.map(Duration::from_nanos);
        let (foot_bytes, window_feet) = (plan.foot_bytes, plan.window_feet);
        let pace = Pace::for_patience(patience);
        let buffer_feet = plan.buffers;
        let sender = Sender::new(sender::Config { foot_bytes, buffer_feet, patience, pace }, base);
        let open_feet = plan.open_feet;
        let config = receiver::Config { foot_bytes, window_feet, open_feet, patience, pace };
        let links = plan.links.iter().map(|link| Link::new(link.bytes_per_second, link.delay));
        let slots = plan.links.iter().enumerate().flat_map(|(link, plan)| {
            (0..plan.workers).map(move |_| Slot { link, conn: None, tries: 0 })
        });
        World {
            rng: Rng::new(!plan.seed),
            base,
            agenda: Agenda::default(),
            net: Net::new(links.collect(), plan.kernel_bytes, plan.chunk_bytes, plan.congestion)
                .limited(plan.rate),
            ledger: Ledger::new(&plan.feet, plan.window_feet),
            sender,
            receiver: Receiver::new(config, base),
            outcomes: [None, None],
            slots: slots.collect(),
            next_read: 0,
            unoffered: 0,
            held_buffers: 0,
            reader_waits: false,
            sink: VecDeque::new(),
            sink_busy: false,
            closes: 0,
            first_ack: 0,
            last_ack: 0,
            last_write: None,
            longest_wait: 0,
            sends: Vec::new(),
            timeouts: [(0, 0); 2],
            most_timeouts: 0,
            trace: VecDeque::new(),
            trace_length: 0,
            plan,
        }
    }

    /// Keeps the last `length` events for [`World::trace`].
    pub(super) fn traced(mut self, length: usize) -> World {
        self.trace_length = length;
        self
    }

    /// The last events, oldest first.
    pub(super) fn trace(&self) -> String {
        let lines: Vec<&str> = self.trace.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// Plays the plan to its end.
    pub(super) fn run(&mut self) -> Result<Summary, String> {
        for slot in 0..self.slots.len() {
            self.agenda.after(slot as u64, Due::Dial { slot });
        }
        for (number, (at, _)) in self.plan.faults.iter().enumerate() {
            self.agenda.at(*at, Due::Fault { number });
        }
        let first_read = self.plan.source_pauses.get(&0).copied().unwrap_or(0);
        self.agenda.at(first_read, Due::Read);
        while self.outcomes.contains(&None) {
            self.step()?;
            require(self.agenda.now < LONGEST, || format!("no end: {:?}", self.outcomes))?;
        }
        let outcomes = self.outcomes.clone().map(|outcome| outcome.expect("both ends are over"));
        self.judge_outcomes(&outcomes)?;
        Ok(Summary {
            outcomes,
            counts: self.sender.counts(),
            duplicate_feet: self.receiver.duplicate_feet(),
            connections: self.net.conns.len(),
            most_timeouts: self.most_timeouts,
            first_ack: self.first_ack,
            last_ack: self.last_ack,
            longest_wait: self.longest_wait,
            sends: std::mem::take(&mut self.sends),
            writes: std::mem::take(&mut self.net.writes),
            closes: self.closes,
            end: self.agenda.now,
        })
    }

    /// The next thing, and all that follows from it at the same time.
    fn step(&mut self) -> Verdict {
        let timeout = [Side::Sender, Side::Receiver]
            .into_iter()
            .filter(|side| self.is_alive(*side))
            .map(|side| (self.timeout_of(side), side as usize, side))
            .min_by_key(|(time, number, _)| (*time, *number));
        let next = self.agenda.next_time().unwrap_or(u64::MAX);
        match timeout {
            Some((time, _, side)) if time <= next => {
                self.agenda.now = self.agenda.now.max(time);
                self.handle_timeout(side)?;
            }
            _ => {
                let due = self.agenda.pop().ok_or("nothing is to come")?;
                self.note(|| format!("{due:?}"));
                self.play(due)?;
            }
        }
        while let Some(happening) = self.net.happened.pop_front() {
            self.happen(happening)?;
        }
        Ok(())
    }

    fn play(&mut self, due: Due) -> Verdict {
        match due {
            Due::Served { link, from } => self.net.served(&mut self.agenda, link, from),
            Due::Arrive { conn, from } => self.net.arrive(&mut self.agenda, conn, from),
            Due::Acknowledged { conn, from, bytes } => {
                self.net.acknowledged(&mut self.agenda, conn, from, bytes);
            }
            Due::Resume { conn, from } => self.net.resume(&mut self.agenda, conn, from),
            Due::Dial { slot } => self.dial(slot),
            Due::Up { conn, side } => return self.up(conn, side),
            Due::Down { conn, side } => return self.down(conn, side),
            Due::Verified { conn, header, good } => return self.verified(conn, header, good),
            Due::Read => self.read(),
            Due::Offer { id } => return self.offer(id),
            Due::Finish => return self.finish(),
            Due::SinkTook => return self.sink_took(),
            Due::SinkClosed => return self.sink_closed(),
            Due::Fault { number } => return self.fault(self.plan.faults[number].1),
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Verdict {
        match happening {
            Happening::Written { conn } => {
                self.tell_sender(conn, |worker| sender::Input::Written { worker })
            }
            Happening::Held { conn, is_held } => {
                self.tell_sender(conn, |worker| sender::Input::Held { worker, is_held })
            }
            Happening::Frame { conn, at, frame } => {
                self.note(|| format!("worker {conn}: the {at:?} hears {frame:?}"));
                match at {
                    Side::Sender => self.sender_hears(conn, frame),
                    Side::Receiver => self.receiver_hears(conn, frame),
                }
            }
            Happening::Cut { conn } => {
                self.net.break_both(conn);
                for side in [Side::Sender, Side::Receiver] {
                    let delay = self.rng.magnitude(1..100 * MS);
                    self.agenda.after(delay, Due::Down { conn, side });
                }
                Ok(())
            }
            Happening::Fin { conn, at } => {
                self.agenda.after(0, Due::Down { conn, side: at });
                Ok(())
            }
        }
    }

    fn timeout_of(&self, side: Side) -> u64 {
        let at = match side {
            Side::Sender => self.sender.poll_timeout(),
            Side::Receiver => self.receiver.poll_timeout(),
        };
        at.saturating_duration_since(self.base).as_nanos() as u64
    }

    fn handle_timeout(&mut self, side: Side) -> Verdict {
        let second = self.agenda.now / SECOND;
        let (last, count) = &mut self.timeouts[side as usize];
        *count = if *last == second { *count + 1 } else { 1 };
        *last = second;
        self.most_timeouts = self.most_timeouts.max(*count);
        require(*count <= MOST_TIMEOUTS, || format!("the {side:?} waits busily"))?;
        self.note(|| format!("timeout of the {side:?}"));
        match side {
            Side::Sender => {
                self.sender.handle_timeout(self.now());
                self.pump_sender()
            }
            Side::Receiver => {
                for conn in 0..self.net.conns.len() {
                    self.report_received(conn);
                }
                self.receiver.handle_timeout(self.now());
                self.pump_receiver()
            }
        }
    }

    fn judge_outcomes(&self, outcomes: &[Outcome; 2]) -> Verdict {
        use Failure::{Aborted, Corrupt, OutcomeUnknown, PeerLost};
        use Outcome::{Delivered, Failed, Ordered};
        let agree = match outcomes {
            [Delivered, Delivered] => true,
            _ if self.plan.expect == Expect::Delivered => false,
            [Failed(OutcomeUnknown), Delivered] => true,
            [Failed(Aborted(_) | PeerLost | OutcomeUnknown) | Ordered, Failed(Corrupt(_))] => {
                self.plan.hopeless.is_some()
            }
            // One end told the other, or was never heard again.
            [Failed(PeerLost | OutcomeUnknown | Aborted(_)), Ordered | Failed(PeerLost)] => true,
            [Ordered | Failed(_), Failed(PeerLost | Aborted(_))] => true,
            [Ordered, Delivered] | [Delivered, Ordered] => true,
            _ => false,
        };
        require(agree, || format!("{:?}, but the ends said {outcomes:?}", self.plan.expect))
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_nanos(self.agenda.now)
    }

    fn is_alive(&self, side: Side) -> bool {
        self.outcomes[side as usize].is_none()
    }

    fn is_up(&self, conn: usize, side: Side) -> bool {
        self.is_alive(side) && self.net.conns[conn].states[side as usize] == State::Up
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if self.trace_length > 0 {
            if self.trace.len() == self.trace_length {
                self.trace.pop_front();
            }
            let seconds = self.agenda.now as f64 / 1e9;
            self.trace.push_back(format!("{seconds:>16.6} s  {}", line()));
        }
    }
}

/// Worker and connection carry the same number.
fn worker(conn: usize) -> WorkerId {
    WorkerId(conn as u32)
}
