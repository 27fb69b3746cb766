//! Arbitrary sequences of all that can happen to a [`Sender`]: an owner that keeps its word, and a peer
//! that says anything that can be said.

use super::decoders::through;
use super::tape::Tape;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use viamillipede::foot::{Codec, FootHeader};
use viamillipede::proto::frame::{Abort, Ack, Done, End, Frame, Ping};
use viamillipede::proto::liveness::Pace;
use viamillipede::proto::sender::{Config, Event, Input, Sender};
use viamillipede::proto::{LinkId, WorkerId};

const FOOT: u32 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(20);
/// Feet that an owner has buffers for.
const BUFFERS: usize = 64;

struct Owner {
    sender: Sender,
    now: Instant,
    next_worker: u32,
    /// Who is up, and how many feet it was given that are not yet written.
    up: BTreeMap<WorkerId, u32>,
    offered: u64,
    unacked: BTreeSet<u64>,
    /// The most that any ack has allowed.
    limit: u64,
    end: Option<End>,
    is_over: bool,
}

/// Plays the tape, and then waits: whatever happened, it comes to an end.
pub fn play(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let now = Instant::now();
    let config = Config {
        foot_bytes: FOOT,
        buffer_feet: 16,
        patience: Some(PATIENCE),
        pace: Pace::for_patience(Some(PATIENCE)),
    };
    let mut owner = Owner {
        sender: Sender::new(config, now),
        now,
        next_worker: 0,
        up: BTreeMap::new(),
        offered: 0,
        unacked: BTreeSet::new(),
        limit: 0,
        end: None,
        is_over: false,
    };
    while !tape.is_over() && !owner.is_over {
        owner.step(&mut tape);
        owner.serve();
    }
    for _ in 0..200 {
        owner.advance(Duration::from_secs(1));
        owner.serve();
    }
    let asked = owner.offered > 0 || owner.end.is_some();
    assert!(owner.is_over || !asked, "it goes on for ever with nobody there");
}

impl Owner {
    fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.below(11) {
            10 => {
                if let Some(worker) = self.pick(tape) {
                    self.sender.handle(self.now, Input::Retire { worker });
                }
            }
            0 => self.come_up(tape),
            1 => {
                if let Some(worker) = self.pick(tape) {
                    self.go_down(worker);
                }
            }
            2 | 3 => self.offer(tape),
            4 => self.finish(),
            5 => {
                if let Some(worker) = self.pick(tape)
                    && let Some(given @ 1..) = self.up.get_mut(&worker)
                {
                    *given -= 1;
                    self.sender.handle(self.now, Input::Written { worker });
                }
            }
            6 if tape.coin() => {
                if let Some(worker) = self.pick(tape) {
                    let is_held = tape.coin();
                    self.sender.handle(self.now, Input::Held { worker, is_held });
                }
            }
            6 => {
                let pauses = [0, 1, 30, 999, 4_001, 11_000];
                self.advance(Duration::from_millis(pauses[usize::from(tape.below(6))]));
            }
            _ => {
                let frame = self.frame(tape);
                if let Some(worker) = self.pick(tape)
                    && let Some(frame) = through(&frame)
                {
                    if let Frame::Ack(ack) = &frame {
                        self.limit = self.limit.max(ack.limit);
                    }
                    self.sender.handle(self.now, Input::Frame { worker, frame });
                }
            }
        }
    }

    fn come_up(&mut self, tape: &mut Tape<'_>) {
        if self.up.len() >= 8 {
            return;
        }
        let worker = WorkerId(self.next_worker);
        self.next_worker += 1;
        self.up.insert(worker, 0);
        let (link, rtt) = (LinkId(tape.below(3).into()), Duration::from_millis(tape.byte().into()));
        self.sender.handle(self.now, Input::Up { worker, link, rtt });
    }

    fn go_down(&mut self, worker: WorkerId) {
        if self.up.remove(&worker).is_some() {
            self.sender.handle(self.now, Input::Down { worker });
        }
    }

    fn offer(&mut self, tape: &mut Tape<'_>) {
        if self.end.is_some() || self.unacked.len() >= BUFFERS {
            return;
        }
        let id = self.offered;
        let packed_bytes = 1 + u32::from(tape.byte()) * 256;
        let codec = if packed_bytes == FOOT { Codec::Raw } else { Codec::Zstd };
        let offset = id * u64::from(FOOT);
        let header =
            FootHeader { id, offset, raw_bytes: FOOT, packed_bytes, codec, check: [id as u8; 32] };
        self.unacked.insert(id);
        self.offered += 1;
        self.sender.offer(header);
    }

    fn finish(&mut self) {
        if self.end.is_none() {
            let bytes = self.offered * u64::from(FOOT);
            let end = End { feet: self.offered, bytes, digest: None };
            self.end = Some(end);
            self.sender.finish(end);
        }
    }

    fn pick(&self, tape: &mut Tape<'_>) -> Option<WorkerId> {
        let place = usize::from(tape.byte()) % self.up.len().max(1);
        self.up.keys().nth(place).copied()
    }

    /// Anything that a peer can say, the likely more often.
    fn frame(&self, tape: &mut Tape<'_>) -> Frame {
        let base = self.unacked.first().copied().unwrap_or(self.offered);
        match tape.below(13) {
            12 => Frame::Retire,
            0 => Frame::Nack { id: tape.near(base) },
            1 => Frame::Done(Done {
                bytes: self.end.map_or(0, |end| end.bytes) ^ u64::from(tape.below(2)),
                digest: None,
            }),
            2 => Frame::DoneAck,
            3 => Frame::Abort(Abort { code: tape.byte(), reason: "no".into() }),
            4 => Frame::Ping(Ping { token: 1, sent_feet: 0, window_blocked: tape.coin() }),
            5 => Frame::End(End { feet: tape.near(0), bytes: tape.near(0), digest: None }),
            _ => {
                let cumulative = tape.near(base.saturating_sub(2));
                let mut ranges = Vec::new();
                let mut place = cumulative;
                for _ in 0..tape.below(4) {
                    let start = place.saturating_add(1 + u64::from(tape.below(3)));
                    place = start.saturating_add(1 + u64::from(tape.below(3)));
                    ranges.push(start..place);
                }
                Frame::Ack(Ack {
                    cumulative,
                    limit: tape.near(cumulative.saturating_add(8)),
                    ranges,
                    received_bytes: tape.near(base << 16),
                    connection_bytes: tape.near(u64::from(tape.0.len() as u32) << 12),
                    written_bytes: tape.near(base << 16),
                    sink_blocked: tape.coin(),
                    sink_writing: tape.coin(),
                    echo: tape.near(2) as u32,
                })
            }
        }
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.sender.handle_timeout(self.now);
    }

    /// Does what the machine wants done, and holds it to what it may want.
    fn serve(&mut self) {
        let mut sent = 0;
        while let Some((worker, frame)) = self.sender.poll_transmit(self.now) {
            sent += 1;
            assert!(sent < 10_000, "it never stops talking");
            assert!(self.up.contains_key(&worker), "{worker} is not up");
            if let Frame::Foot(header) = &frame {
                assert!(self.unacked.contains(&header.id), "foot {} has no buffer", header.id);
                assert!(header.id < self.limit, "foot {} is outside the window", header.id);
                assert!(!self.is_over, "it goes on after its end");
                *self.up.entry(worker).or_default() += 1;
            }
            assert!(through(&frame).is_some(), "{frame:?} is not a frame");
        }
        while let Some(event) = self.sender.poll_event() {
            match event {
                Event::Acked { id } => assert!(self.unacked.remove(&id), "foot {id} acked twice"),
                Event::Close { worker, .. } | Event::Retired { worker } => self.go_down(worker),
                Event::PassedOver { .. } => {}
                Event::Delivered(done) => {
                    assert_eq!(Some(done.bytes), self.end.map(|end| end.bytes));
                    self.is_over = true;
                }
                Event::Failed(_) => self.is_over = true,
            }
        }
    }
}
