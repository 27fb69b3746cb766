//! Arbitrary sequences of all that can happen to a [`Receiver`]: an owner that keeps its word, and a
//! peer that says anything that can be said.

use super::decoders::through;
use super::tape::Tape;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use viamillipede::foot::{Codec, FootHeader};
use viamillipede::proto::WorkerId;
use viamillipede::proto::frame::{Abort, Ack, Done, End, Frame, Ping};
use viamillipede::proto::liveness::Pace;
use viamillipede::proto::receiver::{Config, Event, Input, Receiver};

const FOOT: u32 = 64 << 10;
const WINDOW: u64 = 16;
const PATIENCE: Duration = Duration::from_secs(20);

struct Owner {
    receiver: Receiver,
    now: Instant,
    next_worker: u32,
    up: BTreeSet<WorkerId>,
    /// Feet that came in and are not with the sink.
    held: BTreeSet<u64>,
    /// Feet that the sink was given and has not taken.
    writing: VecDeque<u64>,
    next_write: u64,
    next_offset: u64,
    /// What the sink was told to be the end.
    closing: Option<End>,
    is_closed: bool,
    is_over: bool,
}

/// Plays the tape, lets the sink succeed, and then waits: whatever happened, it comes to an end.
pub fn play(bytes: &[u8]) {
    let mut tape = Tape(bytes);
    let now = Instant::now();
    let (window_feet, open_feet) = (WINDOW, 6);
    let patience = Some(PATIENCE);
    let config = Config {
        foot_bytes: FOOT,
        window_feet,
        open_feet,
        patience,
        pace: Pace::for_patience(patience),
    };
    let mut owner = Owner {
        receiver: Receiver::new(config, now),
        now,
        next_worker: 0,
        up: BTreeSet::new(),
        held: BTreeSet::new(),
        writing: VecDeque::new(),
        next_write: 0,
        next_offset: 0,
        closing: None,
        is_closed: false,
        is_over: false,
    };
    while !tape.is_over() && !owner.is_over {
        owner.step(&mut tape);
        owner.serve();
    }
    for _ in 0..200 {
        while owner.sink_takes() || owner.sink_closes() {
            owner.serve();
        }
        owner.advance(Duration::from_secs(1));
        owner.serve();
    }
    assert!(owner.is_over, "it goes on for ever with nobody there");
}

impl Owner {
    fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.below(13) {
            12 => {
                if let Some(worker) = self.pick(tape) {
                    self.receiver.handle(self.now, Input::Retire { worker });
                }
            }
            0 => {
                if self.up.len() < 8 {
                    let worker = WorkerId(self.next_worker);
                    self.next_worker += 1;
                    self.up.insert(worker);
                    self.receiver.handle(self.now, Input::Up { worker });
                }
            }
            1 => {
                if let Some(worker) = self.pick(tape) {
                    self.go_down(worker);
                }
            }
            2 => {
                let pauses = [0, 1, 30, 999, 4_001, 11_000];
                self.advance(Duration::from_millis(pauses[usize::from(tape.below(6))]));
            }
            3 => drop(self.sink_takes()),
            4 => drop(self.sink_closes()),
            5 => {
                if let Some(worker) = self.pick(tape) {
                    // Our own count, so never absurd.
                    let connection_bytes = u64::from(tape.byte()) << 12;
                    let input = Input::Received { worker, connection_bytes };
                    self.receiver.handle(self.now, input);
                }
            }
            6 | 7 => {
                let frame = self.frame(tape);
                if let Some(worker) = self.pick(tape)
                    && let Some(frame) = through(&frame)
                {
                    self.receiver.handle(self.now, Input::Frame { worker, frame });
                }
            }
            8 => {
                let id = tape.near(self.next_write);
                if let Some(worker) = self.pick(tape)
                    && self.admits(id)
                {
                    self.receiver.handle(self.now, Input::Corrupt { worker, id });
                }
            }
            _ => self.foot(tape),
        }
    }

    /// What the owner's buffers let in.
    fn admits(&self, id: u64) -> bool {
        (self.receiver.written()..self.receiver.written() + WINDOW).contains(&id)
    }

    fn foot(&mut self, tape: &mut Tape<'_>) {
        let id = tape.near(self.next_write);
        let offset = match tape.byte() {
            wild @ 250.. => tape.near(wild.into()),
            _ => id.wrapping_mul(FOOT.into()),
        };
        let raw_bytes = if tape.byte() > 250 { 1 } else { FOOT };
        let (packed_bytes, codec) = (raw_bytes, Codec::Raw);
        let header = FootHeader { id, offset, raw_bytes, packed_bytes, codec, check: [0; 32] };
        let Some(worker) = self.pick(tape) else { return };
        if self.admits(id) && header.is_plausible(FOOT) {
            self.held.insert(id);
            self.receiver.handle(self.now, Input::Foot { worker, header });
        }
    }

    fn pick(&self, tape: &mut Tape<'_>) -> Option<WorkerId> {
        let place = usize::from(tape.byte()) % self.up.len().max(1);
        self.up.iter().nth(place).copied()
    }

    fn frame(&self, tape: &mut Tape<'_>) -> Frame {
        match tape.below(9) {
            8 => Frame::Retire,
            0 => Frame::DoneAck,
            1 => Frame::Abort(Abort { code: tape.byte(), reason: "no".into() }),
            2 => Frame::Ack(Ack { limit: 1, ..Ack::default() }),
            3 => Frame::Nack { id: tape.near(0) },
            4 => Frame::Done(Done { bytes: 0, digest: None }),
            5 => {
                let (token, sent_feet) = (tape.near(2) as u32, tape.near(self.next_write));
                Frame::Ping(Ping { token, sent_feet, window_blocked: tape.coin() })
            }
            _ => {
                let feet = tape.near(self.next_write);
                let bytes = feet.wrapping_mul(FOOT.into()) ^ u64::from(tape.byte() == 255);
                Frame::End(End { feet, bytes, digest: None })
            }
        }
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        self.receiver.handle_timeout(self.now);
    }

    fn go_down(&mut self, worker: WorkerId) {
        if self.up.remove(&worker) {
            self.receiver.handle(self.now, Input::Down { worker });
        }
    }

    fn sink_takes(&mut self) -> bool {
        let took = !self.is_over && self.writing.pop_front().is_some();
        if took {
            self.receiver.handle(self.now, Input::Written);
        }
        took
    }

    fn sink_closes(&mut self) -> bool {
        let closes = !self.is_over && self.closing.is_some() && !self.is_closed;
        if closes {
            self.is_closed = true;
            self.receiver.handle(self.now, Input::SinkClosed { digest: None });
        }
        closes
    }

    /// Does what the machine wants done, and holds it to what it may want.
    fn serve(&mut self) {
        let mut sent = 0;
        while let Some((worker, frame)) = self.receiver.poll_transmit() {
            sent += 1;
            assert!(sent < 10_000, "it never stops talking");
            assert!(self.up.contains(&worker), "{worker} is not up");
            match &frame {
                Frame::Done(_) => assert!(self.is_closed, "done before the sink has succeeded"),
                Frame::Ack(ack) => assert!(ack.limit <= self.receiver.written() + WINDOW),
                _ => {}
            }
            assert!(through(&frame).is_some(), "{frame:?} is not a frame");
        }
        while let Some(event) = self.receiver.poll_event() {
            match event {
                Event::Write(header) => {
                    assert_eq!(header.id, self.next_write, "feet reach the sink in order");
                    assert_eq!(header.offset, self.next_offset, "and so do bytes");
                    assert!(self.held.remove(&header.id), "foot {} never came", header.id);
                    self.next_write += 1;
                    self.next_offset += u64::from(header.raw_bytes);
                    self.writing.push_back(header.id);
                }
                Event::Duplicate { .. } | Event::Retired { .. } => {}
                Event::Close { worker, .. } => self.go_down(worker),
                Event::CloseSink(end) => {
                    assert!(self.writing.is_empty() && self.closing.is_none());
                    assert_eq!((end.feet, end.bytes), (self.next_write, self.next_offset));
                    self.closing = Some(end);
                }
                Event::Finished => {
                    assert!(self.is_closed, "nothing is finished before the sink has succeeded");
                    self.is_over = true;
                }
                Event::Failed(_) => {
                    assert!(!self.is_closed, "what was delivered cannot fail");
                    self.is_over = true;
                }
            }
        }
    }
}
