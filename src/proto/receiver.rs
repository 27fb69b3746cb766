//! The receiving half: what is acknowledged, in which order feet reach the sink, and how it ends.
//!
//! An ack means *verified*: feet enter only after their check. `Done` goes out only after the sink
//! has succeeded, and is repeated until the sender has answered it.
//!
//! Does not know the feet's bytes, sockets or clocks: see [`super`].

mod hear;
mod opening;

use super::frame::{Abort, Ack, Done, End, Frame, MAX_ACK_RANGES};
use super::liveness::{Liveness, Pace};
use super::reassembler::Reassembler;
use super::{Failure, WorkerId};
use crate::foot::{FootHeader, Hash};
use opening::Opening;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// A foot whose check failed this often ends the stream.
pub const MAX_CORRUPT: u8 = 16;
/// After so many connections in a row that died before a whole foot was through, parts of feet are progress
/// only beyond the furthest that one of those came: without it a way that is always cut in mid-foot would be
/// tried for ever. With many workers one outage takes many, see [`FRUITLESS_ROUNDS`].
pub const MAX_FRUITLESS: usize = 8;
/// How often all connections may die like that.
pub const FRUITLESS_ROUNDS: usize = 4;
/// How long a receiver without limit of patience waits for the last word of the sender.
const LONGEST_LINGER: Duration = Duration::from_secs(120);

/// What a [`Receiver`] is told once.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Foot size of the session, in bytes.
    pub foot_bytes: u32,
    /// Feet that it holds at most.
    pub window_feet: u64,
    /// Feet of the window that are open at first; it opens further as the connections need it.
    pub open_feet: u64,
    /// How long without progress before giving up; `None` is for ever.
    pub patience: Option<Duration>,
    /// How often heartbeats go out.
    pub pace: Pace,
}

/// What can happen to a [`Receiver`].
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection was welcomed.
    Up {
        /// The connection.
        worker: WorkerId,
    },
    /// A connection is gone.
    Down {
        /// The connection.
        worker: WorkerId,
    },
    /// A connection is not needed any more: the sender is to give it no more feet, and to end it.
    Retire {
        /// The connection.
        worker: WorkerId,
    },
    /// Payload bytes that came in on this connection so far, whole feet or not.
    Received {
        /// The connection.
        worker: WorkerId,
        /// Bytes since it came up.
        connection_bytes: u64,
    },
    /// A foot came in and its check holds.
    Foot {
        /// The connection it came on.
        worker: WorkerId,
        /// Its header.
        header: FootHeader,
    },
    /// A foot came in and its check fails.
    Corrupt {
        /// The connection it came on.
        worker: WorkerId,
        /// The foot.
        id: u64,
    },
    /// Any frame but a foot came in.
    Frame {
        /// The connection it came on.
        worker: WorkerId,
        /// The frame.
        frame: Frame,
    },
    /// The sink has taken the next foot that [`Event::Write`] named.
    Written,
    /// Whether the sink is in the middle of taking a foot, or of its end.
    Writing(bool),
    /// The sink has succeeded: closed without error.
    SinkClosed {
        /// BLAKE3 of all that was written, where the session verifies.
        digest: Option<Hash>,
    },
}

/// What a [`Receiver`] wants its owner to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Give this foot to the sink; they come in order. [`Input::Written`] must follow.
    Write(FootHeader),
    /// A foot that was there before came in: its bytes may be forgotten.
    Duplicate {
        /// The foot.
        id: u64,
    },
    /// Close this connection; an [`Input::Down`] must follow.
    Close {
        /// The connection.
        worker: WorkerId,
        /// Why, for people.
        reason: &'static str,
    },
    /// The sender ends this connection, which is not needed any more: it is not lost.
    Retired {
        /// The connection.
        worker: WorkerId,
    },
    /// All is written: compare the digest and close the sink. [`Input::SinkClosed`] must follow.
    CloseSink(End),
    /// The stream is delivered, and the sender knows it or was given all of patience to learn it.
    Finished,
    /// The stream cannot be received.
    Failed(Failure),
}

#[derive(Debug)]
struct Path {
    last_heard: Instant,
    connection_bytes: u64,
    /// Some foot came in whole.
    is_fruitful: bool,
    /// Token of a ping that wants an answer, else 0.
    echo: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Receiving,
    Closing,
    Lingering { done: Done, until: Instant },
    Over,
}

/// The receiving state machine; see the module's text.
#[derive(Debug)]
pub struct Receiver {
    config: Config,
    liveness: Liveness,
    window: Reassembler,
    opening: Opening,
    phase: Phase,
    workers: BTreeMap<WorkerId, Path>,
    ack_due: BTreeSet<WorkerId>,
    control: VecDeque<(WorkerId, Frame)>,
    events: VecDeque<Event>,
    end: Option<End>,
    /// Where the next foot to write begins in the stream.
    next_offset: u64,
    /// Lengths of the feet that the sink has, in order.
    writing: VecDeque<u32>,
    written_bytes: u64,
    /// Payload bytes that count as progress.
    received_bytes: u64,
    /// Connections that died before a whole foot was through, since the last one that was.
    fruitless: usize,
    /// The most payload bytes that one of those brought.
    furthest_bytes: u64,
    /// The most connections that there were at once.
    most_workers: usize,
    /// How many different feet the sender says it has sent, and how many have come in.
    sent_feet: u64,
    verified_feet: u64,
    /// The limit that the sender was told last.
    advertised: u64,
    /// The sender was told last that the sink is what blocks.
    told_blocked: bool,
    sink_writing: bool,
    corrupt: BTreeMap<u64, u8>,
    duplicate_feet: u64,
}

impl Receiver {
    /// An empty receiver whose patience begins at `now`.
    pub fn new(config: Config, now: Instant) -> Receiver {
        Receiver {
            liveness: Liveness::new(config.patience, config.pace, now),
            window: Reassembler::new(config.window_feet),
            opening: Opening::new(config.open_feet, config.window_feet, now),
            config,
            phase: Phase::Receiving,
            workers: BTreeMap::new(),
            ack_due: BTreeSet::new(),
            control: VecDeque::new(),
            events: VecDeque::new(),
            end: None,
            next_offset: 0,
            writing: VecDeque::new(),
            written_bytes: 0,
            received_bytes: 0,
            fruitless: 0,
            furthest_bytes: 0,
            most_workers: 0,
            sent_feet: 0,
            verified_feet: 0,
            advertised: 0,
            told_blocked: false,
            sink_writing: false,
            corrupt: BTreeMap::new(),
            duplicate_feet: 0,
        }
    }

    /// Gives up and tells the other end.
    pub fn abort(&mut self, code: u8, reason: &str) {
        self.phase = Phase::Over;
        self.ack_due.clear();
        let frame = Frame::Abort(Abort { code, reason: reason.to_owned() });
        self.control.extend(self.workers.keys().map(|&worker| (worker, frame.clone())));
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Up { worker } => self.handle_up(now, worker),
            Input::Down { worker } => {
                let path = self.workers.remove(&worker);
                if let Some(path) =
                    path.filter(|path| !path.is_fruitful && path.connection_bytes > 0)
                {
                    self.fruitless = self.fruitless.saturating_add(1);
                    self.furthest_bytes = self.furthest_bytes.max(path.connection_bytes);
                }
                self.ack_due.remove(&worker);
                self.control.retain(|(to, _)| *to != worker);
            }
            Input::Retire { worker } if self.workers.contains_key(&worker) => {
                self.control.push_back((worker, Frame::Retire));
            }
            Input::Retire { .. } => {} // it has just ended
            Input::Received { worker, connection_bytes } => {
                self.handle_received(now, worker, connection_bytes);
            }
            Input::Foot { worker, header } => self.handle_foot(now, worker, header),
            Input::Corrupt { worker, id } => self.handle_corrupt(worker, id),
            Input::Frame { worker, frame } => self.handle_frame(now, worker, frame),
            Input::Written => self.handle_written(now),
            Input::Writing(is_writing) => self.sink_writing = is_writing,
            Input::SinkClosed { digest } => self.handle_sink_closed(now, digest),
        }
    }

    /// The time that [`Receiver::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Over => return,
            Phase::Lingering { until, .. } if now >= until => return self.finish(),
            Phase::Receiving if self.liveness.is_expired(now) => {
                return self.fail(Failure::PeerLost);
            }
            _ => {}
        }
        if self.liveness.take_heartbeat(now) {
            self.close_dead(now);
            self.ack_due.extend(self.workers.keys());
        }
    }

    /// The next frame to hand to a worker. To be called until it says `None`, after each call of
    /// another method.
    pub fn poll_transmit(&mut self) -> Option<(WorkerId, Frame)> {
        if let Some(next) = self.control.pop_front() {
            return Some(next);
        }
        let worker = self.ack_due.pop_first()?;
        if let Phase::Lingering { done, .. } = self.phase {
            return Some((worker, Frame::Done(done)));
        }
        Some((worker, Frame::Ack(self.ack_for(worker))))
    }

    /// When [`Receiver::handle_timeout`] must be called.
    pub fn poll_timeout(&self) -> Instant {
        match self.phase {
            Phase::Lingering { until, .. } => self.liveness.next_heartbeat().min(until),
            Phase::Receiving => self.liveness.next_timeout(),
            Phase::Closing | Phase::Over => self.liveness.next_heartbeat(),
        }
    }

    /// What the owner must do next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Feet below this number may be sent.
    pub fn limit(&self) -> u64 {
        self.advertised.max(self.window.written() + self.opening.feet())
    }

    /// Every foot below this number is verified.
    pub fn cumulative(&self) -> u64 {
        self.window.cumulative()
    }

    /// Feet below this number are with the sink.
    pub fn written(&self) -> u64 {
        self.window.written()
    }

    /// Verified feet that are not with the sink yet: they wait for others, or for it.
    pub fn held_feet(&self) -> u64 {
        self.verified_feet - self.window.written()
    }

    /// Whether foot `id` fits into the window and is not here: it may come, now or later.
    pub fn is_missing(&self, id: u64) -> bool {
        self.window.is_missing(id)
    }

    /// Whether the sink is what blocks: it has feet, or its own end, to digest.
    pub fn sink_blocked(&self) -> bool {
        self.phase == Phase::Closing || self.window.written() < self.window.cumulative()
    }

    /// Feet that came in once more than needed.
    pub fn duplicate_feet(&self) -> u64 {
        self.duplicate_feet
    }

    /// Whether the sink has succeeded.
    pub fn is_delivered(&self) -> bool {
        matches!(self.phase, Phase::Lingering { .. })
    }

    fn handle_up(&mut self, now: Instant, worker: WorkerId) {
        let path = Path { last_heard: now, connection_bytes: 0, is_fruitful: false, echo: 0 };
        self.workers.insert(worker, path);
        self.most_workers = self.most_workers.max(self.workers.len());
        self.ack_due.insert(worker);
    }

    fn handle_written(&mut self, now: Instant) {
        let raw_bytes = self.writing.pop_front();
        self.written_bytes += u64::from(raw_bytes.expect("the sink takes only what it was given"));
        self.window.release();
        self.opening.sink_idle(now, !self.sink_blocked());
        self.liveness.progress(now);
        // Every foot's own ack carries the limit; an ack for the limit's sake goes out only when the
        // sender may be waiting for it, or for a sink that it believes busy (it holds second copies
        // back as long), or the window has moved by a quarter.
        let moved = self.limit() - self.advertised;
        let used_up = self.window.seen() >= self.advertised;
        self.judge_end();
        let caught_up = self.told_blocked && !self.sink_blocked();
        if used_up || caught_up || moved * 4 >= self.opening.feet() {
            self.ack_due.extend(self.liveliest());
        }
    }

    /// Once all is with the sink, the sink is to be closed.
    fn judge_end(&mut self) {
        let Some(end) = self.end else { return };
        if self.phase != Phase::Receiving || self.window.written() < end.feet {
            return;
        }
        if end.bytes != self.written_bytes {
            return self.fail(Failure::Corrupt(format!(
                "the sender counts {} bytes, the receiver {}",
                end.bytes, self.written_bytes
            )));
        }
        self.phase = Phase::Closing;
        self.events.push_back(Event::CloseSink(end));
    }

    fn handle_sink_closed(&mut self, now: Instant, digest: Option<Hash>) {
        if self.phase != Phase::Closing {
            return; // aborted in the meantime
        }
        let linger = self.config.patience.unwrap_or(LONGEST_LINGER);
        let done = Done { bytes: self.written_bytes, digest };
        self.phase = Phase::Lingering { done, until: now + linger };
        self.ack_due.extend(self.workers.keys());
    }

    fn ack_for(&mut self, worker: WorkerId) -> Ack {
        let (connection_bytes, echo) = self
            .workers
            .get_mut(&worker)
            .map_or((0, 0), |path| (path.connection_bytes, std::mem::take(&mut path.echo)));
        self.advertised = self.limit();
        self.told_blocked = self.sink_blocked();
        Ack {
            cumulative: self.window.cumulative(),
            limit: self.advertised,
            ranges: self.window.ranges().take(MAX_ACK_RANGES).collect(),
            received_bytes: self.received_bytes,
            connection_bytes,
            written_bytes: self.written_bytes,
            sink_blocked: self.told_blocked,
            sink_writing: self.sink_writing,
            echo,
        }
    }

    /// The connection that was heard last.
    fn liveliest(&self) -> Option<WorkerId> {
        self.workers.iter().max_by_key(|(_, path)| path.last_heard).map(|(worker, _)| *worker)
    }

    fn close_dead(&mut self, now: Instant) {
        let limit = self.liveness.silent_after();
        let dead = self.workers.iter().filter(|(_, path)| now - path.last_heard >= limit);
        let dead: Vec<WorkerId> = dead.map(|(worker, _)| *worker).collect();
        for worker in dead {
            self.close(worker, "nothing was heard from it");
        }
    }

    fn close(&mut self, worker: WorkerId, reason: &'static str) {
        self.events.push_back(Event::Close { worker, reason });
    }

    fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Over;
        self.events.push_back(Event::Failed(failure));
    }

    fn finish(&mut self) {
        self.phase = Phase::Over;
        self.events.push_back(Event::Finished);
    }
}
