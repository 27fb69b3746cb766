//! A receiver under a virtual clock, whose other end and whose sink the story plays.
//!
//! Does not judge anything.

use super::{FOOT, PATIENCE, end, foot, ms};
use std::time::{Duration, Instant};
use viamillipede::foot::FootHeader;
use viamillipede::proto::WorkerId;
use viamillipede::proto::frame::{Ack, Frame, Ping};
use viamillipede::proto::liveness::Pace;
use viamillipede::proto::receiver::{Config, Event, Input, Receiver};

/// The receiver, and what it has asked for.
pub(super) struct Rx {
    pub(super) receiver: Receiver,
    pub(super) now: Instant,
    says: Vec<(u32, Frame)>,
    events: Vec<Event>,
    /// Feet that the sink was given and has not taken.
    with_sink: usize,
    /// It has come to its end.
    pub(super) over: bool,
}

impl Rx {
    pub(super) fn new(window_feet: u64) -> Rx {
        Rx::with_patience(window_feet, Some(PATIENCE))
    }

    pub(super) fn with_patience(window_feet: u64, patience: Option<Duration>) -> Rx {
        let now = Instant::now();
        let config = Config {
            foot_bytes: FOOT,
            window_feet,
            open_feet: window_feet,
            patience,
            pace: Pace::for_patience(patience),
        };
        let receiver = Receiver::new(config, now);
        Rx { receiver, now, says: Vec::new(), events: Vec::new(), with_sink: 0, over: false }
    }

    pub(super) fn up(&mut self, worker: u32) {
        self.handle(Input::Up { worker: WorkerId(worker) });
    }

    pub(super) fn down(&mut self, worker: u32) {
        self.handle(Input::Down { worker: WorkerId(worker) });
    }

    /// Whole feet come in, and their checks hold.
    pub(super) fn feet(&mut self, worker: u32, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.foot(worker, foot(id));
        }
    }

    pub(super) fn foot(&mut self, worker: u32, header: FootHeader) {
        self.handle(Input::Foot { worker: WorkerId(worker), header });
    }

    pub(super) fn corrupt(&mut self, worker: u32, id: u64) {
        self.handle(Input::Corrupt { worker: WorkerId(worker), id });
    }

    pub(super) fn received(&mut self, worker: u32, connection_bytes: u64) {
        self.handle(Input::Received { worker: WorkerId(worker), connection_bytes });
    }

    pub(super) fn ping(&mut self, worker: u32, sent_feet: u64) {
        self.frame(worker, Frame::Ping(Ping { token: 7, sent_feet, window_blocked: false }));
    }

    pub(super) fn end(&mut self, worker: u32, feet: u64) {
        self.frame(worker, Frame::End(end(feet)));
    }

    pub(super) fn frame(&mut self, worker: u32, frame: Frame) {
        self.handle(Input::Frame { worker: WorkerId(worker), frame });
    }

    /// The sink takes so many of the feet that it was given.
    pub(super) fn sink_takes(&mut self, feet: usize) {
        assert!(feet <= self.with_sink, "the sink has {} feet, not {feet}", self.with_sink);
        for _ in 0..feet {
            self.with_sink -= 1;
            self.handle(Input::Written);
        }
    }

    /// Whether it is in the middle of taking one.
    pub(super) fn sink_writes(&mut self, is_writing: bool) {
        self.handle(Input::Writing(is_writing));
    }

    pub(super) fn sink_closes(&mut self) {
        self.handle(Input::SinkClosed { digest: None });
    }

    /// Time passes; the receiver's clocks strike when they should.
    pub(super) fn advance(&mut self, time_ms: u64) {
        let until = self.now + ms(time_ms);
        let mut strikes = 0;
        while self.receiver.poll_timeout() <= until && !self.over {
            self.now = self.now.max(self.receiver.poll_timeout());
            self.receiver.handle_timeout(self.now);
            self.poll();
            strikes += 1;
            assert!(strikes <= 2 * time_ms + 10, "the clocks strike without end");
        }
        self.now = until;
    }

    /// The frames sent since the last look.
    pub(super) fn says(&mut self) -> Vec<(u32, Frame)> {
        std::mem::take(&mut self.says)
    }

    /// The acks sent since the last look; nothing else may have been said.
    pub(super) fn acks(&mut self) -> Vec<(u32, Ack)> {
        let ack = |(worker, frame)| match frame {
            Frame::Ack(ack) => (worker, ack),
            other => panic!("instead of an ack: {other:?}"),
        };
        self.says().into_iter().map(ack).collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The feet given to the sink since the last look; nothing else may have happened.
    pub(super) fn writes(&mut self) -> Vec<u64> {
        let id = |event| match event {
            Event::Write(header) => header.id,
            other => panic!("instead of a foot for the sink: {other:?}"),
        };
        self.events().into_iter().map(id).collect()
    }

    fn handle(&mut self, input: Input) {
        self.receiver.handle(self.now, input);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some((worker, frame)) = self.receiver.poll_transmit() {
            self.says.push((worker.0, frame));
        }
        while let Some(event) = self.receiver.poll_event() {
            self.with_sink += usize::from(matches!(event, Event::Write(_)));
            self.over |= matches!(event, Event::Finished | Event::Failed(_));
            self.events.push(event);
        }
    }
}
