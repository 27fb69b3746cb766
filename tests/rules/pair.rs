//! Both ends under one virtual clock, with lines of a given speed between them.
//!
//! Workers write and read as real ones do: a foot's payload trickles in, other frames queue behind
//! it on the way there. Does not judge anything.

use super::tx::BUFFER_FEET;
use super::{PATIENCE, ms};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use viamillipede::foot::FootHeader;
use viamillipede::proto::frame::{End, Frame};
use viamillipede::proto::liveness::Pace;
use viamillipede::proto::receiver::{self, Receiver};
use viamillipede::proto::sender::{self, Sender};
use viamillipede::proto::{LinkId, WorkerId};

/// How finely lines move.
const TICK: Duration = Duration::from_millis(10);

/// What a line does with the bytes of feet.
#[derive(Clone, Copy)]
pub(super) enum Line {
    /// So many bytes a second.
    Rate(u64),
    /// Small packets pass, feet do not.
    SmallOnly,
    /// What comes back passes; there, all waits for TCP to send again what a full queue has dropped.
    Jammed,
    /// Nothing passes, in either direction.
    Dead,
}

struct Wire {
    link: u16,
    line: Line,
    there: VecDeque<Frame>,
    /// Payload bytes of the first foot in `there` that have passed.
    passed_bytes: f64,
    connection_bytes: u64,
    back: VecDeque<Frame>,
    /// The sender has ended it: it goes once all is there.
    ends: bool,
}

/// Both ends, and the lines between them.
pub(super) struct Pair {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) now: Instant,
    wires: BTreeMap<WorkerId, Wire>,
    /// The sink takes feet, and closes when it is told to.
    pub(super) sink_works: bool,
    with_sink: u64,
    sink_wants_close: bool,
    /// Feet that the sink has taken.
    pub(super) sunk: u64,
    pub(super) sender_end: Option<(Instant, sender::Event)>,
    pub(super) receiver_end: Option<(Instant, receiver::Event)>,
    /// How often an end asked for a connection to be closed.
    pub(super) closed: u32,
    /// Connections that ended because they were not needed, as the receiver knows.
    pub(super) retired: Vec<u32>,
}

impl Pair {
    pub(super) fn new(foot_bytes: u32, window_feet: u64) -> Pair {
        Pair::with_patience(foot_bytes, window_feet, PATIENCE)
    }

    pub(super) fn with_patience(foot_bytes: u32, window_feet: u64, patience: Duration) -> Pair {
        let now = Instant::now();
        let patience = Some(patience);
        let pace = Pace::for_patience(patience);
        let config = sender::Config { foot_bytes, buffer_feet: BUFFER_FEET, patience, pace };
        Pair {
            sender: Sender::new(config, now),
            receiver: Receiver::new(
                receiver::Config {
                    foot_bytes,
                    window_feet,
                    open_feet: window_feet,
                    patience,
                    pace,
                },
                now,
            ),
            now,
            wires: BTreeMap::new(),
            sink_works: true,
            with_sink: 0,
            sink_wants_close: false,
            sunk: 0,
            sender_end: None,
            receiver_end: None,
            closed: 0,
            retired: Vec::new(),
        }
    }

    /// A connection comes up, on a link of its own.
    pub(super) fn up(&mut self, worker: u32, line: Line) {
        self.up_on(worker as u16, worker, line);
    }

    pub(super) fn up_on(&mut self, link: u16, worker: u32, line: Line) {
        let id = WorkerId(worker);
        let (there, back) = (VecDeque::new(), VecDeque::new());
        let (passed_bytes, connection_bytes, ends) = (0.0, 0, false);
        self.wires
            .insert(id, Wire { link, line, there, passed_bytes, connection_bytes, back, ends });
        let link = LinkId(link);
        self.sender.handle(self.now, sender::Input::Up { worker: id, link, rtt: ms(20) });
        self.receiver.handle(self.now, receiver::Input::Up { worker: id });
        self.settle();
    }

    /// The connection breaks; what is on it is lost; both ends learn of it.
    pub(super) fn cut(&mut self, worker: u32) {
        let worker = WorkerId(worker);
        self.wires.remove(&worker);
        self.sender.handle(self.now, sender::Input::Down { worker });
        self.receiver.handle(self.now, receiver::Input::Down { worker });
        self.settle();
    }

    pub(super) fn line(&mut self, worker: u32, line: Line) {
        self.wires.get_mut(&WorkerId(worker)).expect("the story brought it up").line = line;
    }

    /// The sender is told that it does not need this connection any more.
    pub(super) fn retire(&mut self, worker: u32) {
        let worker = WorkerId(worker);
        self.sender.handle(self.now, sender::Input::Retire { worker });
        self.settle();
    }

    /// The receiver is.
    pub(super) fn retire_there(&mut self, worker: u32) {
        let worker = WorkerId(worker);
        self.receiver.handle(self.now, receiver::Input::Retire { worker });
        self.settle();
    }

    pub(super) fn offer(&mut self, header: FootHeader) {
        self.sender.offer(header);
        self.settle();
    }

    pub(super) fn finish(&mut self, end: End) {
        self.sender.finish(end);
        self.settle();
    }

    pub(super) fn advance(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += TICK;
            if self.sender_end.is_none() && self.sender.poll_timeout() <= self.now {
                self.sender.handle_timeout(self.now);
            }
            if self.receiver_end.is_none() && self.receiver.poll_timeout() <= self.now {
                self.receiver.handle_timeout(self.now);
            }
            self.settle();
            self.pass();
            self.settle();
        }
    }

    /// Whether neither end has come to its end.
    pub(super) fn goes_on(&self) -> bool {
        self.sender_end.is_none() && self.receiver_end.is_none()
    }

    /// The lines carry for one tick.
    fn pass(&mut self) {
        let workers: Vec<WorkerId> = self.wires.keys().copied().collect();
        for worker in workers {
            self.pass_back(worker);
            self.pass_there(worker);
        }
    }

    fn pass_back(&mut self, worker: WorkerId) {
        let Some(wire) = self.wires.get_mut(&worker) else { return };
        if matches!(wire.line, Line::Dead) {
            return;
        }
        for frame in std::mem::take(&mut wire.back) {
            if self.sender_end.is_none() {
                self.sender.handle(self.now, sender::Input::Frame { worker, frame });
            }
        }
    }

    fn pass_there(&mut self, worker: WorkerId) {
        let Some(wire) = self.wires.get_mut(&worker) else { return };
        let (mut budget, small) = match wire.line {
            Line::Rate(rate) => (rate as f64 * TICK.as_secs_f64(), false),
            Line::SmallOnly => (0.0, true),
            Line::Jammed | Line::Dead => return,
        };
        let mut arrived = Vec::new();
        while let Some(frame) = wire.there.front() {
            if let Frame::Foot(header) = frame {
                let passes = (f64::from(header.packed_bytes) - wire.passed_bytes).min(budget);
                (budget, wire.passed_bytes) = (budget - passes, wire.passed_bytes + passes);
                if wire.passed_bytes < f64::from(header.packed_bytes) {
                    break;
                }
                wire.connection_bytes += u64::from(header.packed_bytes);
                wire.passed_bytes = 0.0;
            }
            arrived.extend(wire.there.pop_front());
        }
        if small {
            // What is small overtakes the feet that stay behind.
            let (feet, rest) = std::mem::take(&mut wire.there)
                .into_iter()
                .partition(|frame| matches!(frame, Frame::Foot(_)));
            wire.there = feet;
            arrived.extend::<VecDeque<Frame>>(rest);
        }
        let connection_bytes = wire.connection_bytes + wire.passed_bytes as u64;
        let is_over = wire.ends && wire.there.is_empty();
        self.arrive(worker, connection_bytes, arrived);
        if is_over {
            self.cut(worker.0);
        }
    }

    fn arrive(&mut self, worker: WorkerId, connection_bytes: u64, frames: Vec<Frame>) {
        let now = self.now;
        if self.receiver_end.is_some() {
            return;
        }
        self.receiver.handle(now, receiver::Input::Received { worker, connection_bytes });
        for frame in frames {
            match frame {
                Frame::Foot(header) => {
                    self.sender.handle(now, sender::Input::Written { worker });
                    self.receiver.handle(now, receiver::Input::Foot { worker, header });
                }
                frame => self.receiver.handle(now, receiver::Input::Frame { worker, frame }),
            }
        }
    }

    /// Frames go onto the lines, events are done, the sink works, until nothing is left to do.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some((worker, frame)) = self.sender.poll_transmit(self.now) {
                self.wires.get_mut(&worker).expect("it is up").there.push_back(frame);
            }
            while let Some((worker, frame)) = self.receiver.poll_transmit() {
                self.wires.get_mut(&worker).expect("it is up").back.push_back(frame);
            }
            while let Some(event) = self.sender.poll_event() {
                moved = true;
                self.handle_sender_event(event);
            }
            while let Some(event) = self.receiver.poll_event() {
                moved = true;
                self.handle_receiver_event(event);
            }
            moved |= self.work_sink();
            if !moved {
                return;
            }
        }
    }

    fn handle_sender_event(&mut self, event: sender::Event) {
        match event {
            sender::Event::Acked { .. } => {}
            sender::Event::Close { worker, .. } => self.close(worker),
            sender::Event::Retired { worker } => {
                self.wires.get_mut(&worker).expect("it is up").ends = true;
            }
            end => {
                assert!(self.sender_end.is_none(), "a second end: {end:?}");
                self.sender_end = Some((self.now, end));
            }
        }
    }

    fn handle_receiver_event(&mut self, event: receiver::Event) {
        match event {
            receiver::Event::Write(_) => self.with_sink += 1,
            receiver::Event::Duplicate { .. } => {}
            receiver::Event::Close { worker, .. } => self.close(worker),
            receiver::Event::Retired { worker } => self.retired.push(worker.0),
            receiver::Event::CloseSink(_) => self.sink_wants_close = true,
            end => {
                assert!(self.receiver_end.is_none(), "a second end: {end:?}");
                self.receiver_end = Some((self.now, end));
            }
        }
    }

    /// A connection that an end gives up is dialled again at once, on the same line.
    fn close(&mut self, worker: WorkerId) {
        self.closed += 1;
        if let Some(wire) = self.wires.get(&worker) {
            let (link, line) = (wire.link, wire.line);
            self.cut(worker.0);
            self.up_on(link, worker.0 + 100, line);
        }
    }

    fn work_sink(&mut self) -> bool {
        if !self.sink_works {
            return false;
        }
        if self.with_sink > 0 {
            self.with_sink -= 1;
            self.sunk += 1;
            self.receiver.handle(self.now, receiver::Input::Written);
            return true;
        }
        if std::mem::take(&mut self.sink_wants_close) {
            self.receiver.handle(self.now, receiver::Input::SinkClosed { digest: None });
            return true;
        }
        false
    }
}
