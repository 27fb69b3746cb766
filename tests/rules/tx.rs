//! A sender under a virtual clock, whose other end the story plays: a receiver with a quick sink.
//!
//! Does not judge anything.

use super::{FOOT, PATIENCE, end, foot, ms};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};
use viamillipede::proto::frame::{Ack, Frame};
use viamillipede::proto::liveness::Pace;
use viamillipede::proto::sender::{Config, Event, Input, Sender};
use viamillipede::proto::{LinkId, WorkerId};

/// More feet than any story offers: the owner never runs out of buffers.
pub(super) const BUFFER_FEET: u64 = 1_000_000;

/// The sender, and what the other end has.
pub(super) struct Tx {
    pub(super) sender: Sender,
    pub(super) now: Instant,
    /// Width of the played receiver's window.
    window_feet: u64,
    has: BTreeSet<u64>,
    /// The workers that each foot was sent on, and the payload bytes that have arrived on each.
    carriers: BTreeMap<u64, Vec<u32>>,
    arrived_bytes: BTreeMap<u32, u64>,
    pub(super) sink_blocked: bool,
    feet: Vec<(u32, u64)>,
    control: Vec<(u32, Frame)>,
    events: Vec<Event>,
    /// It has come to its end.
    pub(super) over: bool,
}

impl Tx {
    pub(super) fn new(window_feet: u64) -> Tx {
        Tx::with_patience(window_feet, Some(PATIENCE))
    }

    pub(super) fn with_patience(window_feet: u64, patience: Option<Duration>) -> Tx {
        let now = Instant::now();
        let config = Config {
            foot_bytes: FOOT,
            buffer_feet: BUFFER_FEET,
            patience,
            pace: Pace::for_patience(patience),
        };
        Tx {
            sender: Sender::new(config, now),
            now,
            window_feet,
            has: BTreeSet::new(),
            carriers: BTreeMap::new(),
            arrived_bytes: BTreeMap::new(),
            sink_blocked: false,
            feet: Vec::new(),
            control: Vec::new(),
            events: Vec::new(),
            over: false,
        }
    }

    /// A worker comes up on a link 10 ms away, and hears how wide the window is.
    pub(super) fn up(&mut self, worker: u32, link: u16) {
        self.up_far(worker, link, 10);
    }

    pub(super) fn up_far(&mut self, worker: u32, link: u16, rtt_ms: u64) {
        let (worker, link, rtt) = (WorkerId(worker), LinkId(link), ms(rtt_ms));
        self.handle(Input::Up { worker, link, rtt });
        self.heartbeat(worker.0);
    }

    pub(super) fn down(&mut self, worker: u32) {
        self.handle(Input::Down { worker: WorkerId(worker) });
    }

    pub(super) fn offer(&mut self, ids: Range<u64>) {
        for id in ids {
            self.sender.offer(foot(id));
        }
        self.poll();
    }

    pub(super) fn finish(&mut self, feet: u64) {
        self.sender.finish(end(feet));
        self.poll();
    }

    /// The kernel has taken one foot of this worker.
    pub(super) fn written(&mut self, worker: u32) {
        self.handle(Input::Written { worker: WorkerId(worker) });
    }

    /// The rate that all share is what holds this worker back, or is not any more.
    pub(super) fn held(&mut self, worker: u32, is_held: bool) {
        self.handle(Input::Held { worker: WorkerId(worker), is_held });
    }

    /// Feet arrive, on this worker where they were sent on it; their ack comes on it.
    pub(super) fn ack(&mut self, worker: u32, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            let carriers = self.carriers.get(&id).map_or(&[][..], |carriers| carriers);
            let carrier = carriers.iter().find(|carrier| **carrier == worker).or(carriers.first());
            if self.has.insert(id) {
                *self.arrived_bytes.entry(*carrier.unwrap_or(&worker)).or_default() +=
                    u64::from(FOOT);
            }
        }
        self.heartbeat(worker);
    }

    /// The other end repeats what it has.
    pub(super) fn heartbeat(&mut self, worker: u32) {
        let connection_bytes = self.arrived_bytes.get(&worker).copied().unwrap_or_default();
        let ack = Ack { connection_bytes, ..self.state() };
        self.frame(worker, Frame::Ack(ack));
    }

    /// What an ack of the played receiver says now.
    pub(super) fn state(&self) -> Ack {
        let cumulative = (0..).find(|id| !self.has.contains(id)).expect("ids have no end");
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for &id in self.has.range(cumulative..) {
            match ranges.last_mut() {
                Some(range) if range.end == id => range.end = id + 1,
                _ => ranges.push(id..id + 1),
            }
        }
        let bytes = self.has.len() as u64 * u64::from(FOOT);
        Ack {
            cumulative,
            limit: cumulative + self.window_feet,
            ranges,
            received_bytes: bytes,
            written_bytes: cumulative * u64::from(FOOT),
            sink_blocked: self.sink_blocked,
            ..Ack::default()
        }
    }

    pub(super) fn frame(&mut self, worker: u32, frame: Frame) {
        self.handle(Input::Frame { worker: WorkerId(worker), frame });
    }

    /// Time passes; the sender's clocks strike when they should.
    pub(super) fn advance(&mut self, time_ms: u64) {
        let until = self.now + ms(time_ms);
        let mut strikes = 0;
        while self.sender.poll_timeout() <= until && !self.over {
            self.now = self.now.max(self.sender.poll_timeout());
            self.sender.handle_timeout(self.now);
            self.poll();
            strikes += 1;
            assert!(strikes <= 2 * time_ms + 10, "the clocks strike without end");
        }
        self.now = until;
    }

    /// One foot goes over this worker and is acked a round trip and `time_ms` later, so that its
    /// rate is known. The foot must be the next.
    pub(super) fn learn(&mut self, worker: u32, id: u64, time_ms: u64) {
        assert_eq!(self.sends(), [(worker, id)], "the foot to learn from goes elsewhere");
        self.written(worker);
        self.advance(10 + time_ms);
        self.ack(worker, [id]);
    }

    /// The feet sent since the last look, as worker and number.
    pub(super) fn sends(&mut self) -> Vec<(u32, u64)> {
        std::mem::take(&mut self.feet)
    }

    /// The other frames sent since the last look.
    pub(super) fn says(&mut self) -> Vec<(u32, Frame)> {
        std::mem::take(&mut self.control)
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The feet whose buffers have come back since the last look; nothing else may have happened.
    pub(super) fn acked(&mut self) -> Vec<u64> {
        let id = |event| match event {
            Event::Acked { id } => id,
            other => panic!("instead of an ack: {other:?}"),
        };
        self.events().into_iter().map(id).collect()
    }

    fn handle(&mut self, input: Input) {
        self.sender.handle(self.now, input);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some((worker, frame)) = self.sender.poll_transmit(self.now) {
            match frame {
                Frame::Foot(header) => {
                    self.feet.push((worker.0, header.id));
                    self.carriers.entry(header.id).or_default().push(worker.0);
                }
                frame => self.control.push((worker.0, frame)),
            }
        }
        while let Some(event) = self.sender.poll_event() {
            self.over |= matches!(event, Event::Delivered(_) | Event::Failed(_));
            self.events.push(event);
        }
    }
}
