//! The sending half: which foot goes to which worker, what is sent again, and when to give up.
//!
//! A foot is *unsent* (offered, never sent), *in flight* (on one worker, or on two as a reinjection),
//! *lost* (its worker went, or its check failed) or *acked*. The worker asks for feet by reporting that
//! one has gone to the kernel: the window of its TCP connection, kept short by TCP_NOTSENT_LOWAT, is the
//! credit. (A credit of our own, rate x round trip, was the first plan; it is a second congestion
//! control on top of the kernel's, and starves where checking a foot takes longer than its round trip.)
//!
//! Does not know what a foot holds, and does not know sockets or clocks: see [`super`].

mod backlog;
mod copies;
mod flight;
mod hear;
mod least;
mod path;
mod ready;
mod reinject;
mod retire;
mod schedule;
mod silence;
mod spill;
mod survey;
mod workers;

use super::frame::{Abort, Done, End, Frame, Ping};
use super::liveness::{Liveness, Pace};
use super::ranges::Ranges;
use super::{Failure, LinkId, WorkerId};
use crate::foot::FootHeader;
pub use backlog::Backlog;
use copies::Foot;
use least::Least;
use path::{Path, Quickness};
use ready::Ready;
use schedule::PassedOver;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use survey::{Share, Survey};
use workers::{Seat, Workers};

/// What a [`Sender`] is told once.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Foot size of the session, in bytes.
    pub foot_bytes: u32,
    /// Feet that its owner holds at most: with so many offered and not acked, the source waits.
    pub buffer_feet: u64,
    /// How long without progress before giving up; `None` is for ever.
    pub patience: Option<Duration>,
    /// How often heartbeats go out.
    pub pace: Pace,
}

/// What can happen to a [`Sender`].
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection was welcomed; its hello took this long.
    Up {
        /// The connection.
        worker: WorkerId,
        /// The way it takes.
        link: LinkId,
        /// The round trip of its hello.
        rtt: Duration,
    },
    /// A connection is gone; the feet on it must go elsewhere.
    Down {
        /// The connection.
        worker: WorkerId,
    },
    /// A connection is not needed any more; the feet on it may arrive.
    Retire {
        /// The connection.
        worker: WorkerId,
    },
    /// One foot handed to this worker has gone to the kernel whole.
    Written {
        /// The connection.
        worker: WorkerId,
    },
    /// A rate that all connections share is what holds this worker back from now on, or is not any more.
    Held {
        /// The connection.
        worker: WorkerId,
        /// Whether it is, and its own way is not.
        is_held: bool,
    },
    /// A frame came in.
    Frame {
        /// The connection it came on.
        worker: WorkerId,
        /// The frame.
        frame: Frame,
    },
}

/// What a [`Sender`] wants its owner to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The foot is verified at the other end: its buffer may return.
    Acked {
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
    /// This connection is not needed, and carries nothing: end it, once all that it was given to send is out.
    /// Nothing more is said of it.
    Retired {
        /// The connection.
        worker: WorkerId,
    },
    /// This link works, and has been given nothing for a while: its feet would come too late.
    PassedOver {
        /// The link.
        link: LinkId,
    },
    /// The receiver's sink has succeeded; once the last frames are out, all is done.
    Delivered(Done),
    /// The stream cannot be delivered.
    Failed(Failure),
}

/// Counts for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Feet sent again because their connection was lost or their check failed.
    pub resent_feet: u64,
    /// Feet sent a second time ahead of need, because their first worker was late.
    pub reinjected_feet: u64,
    /// Feet whose check failed at the receiver.
    pub nacked_feet: u64,
}

/// The sending state machine; see the module's text.
#[derive(Debug)]
pub struct Sender {
    config: Config,
    liveness: Liveness,
    /// Feet from `base` on, `None` until offered.
    feet: VecDeque<Option<Foot>>,
    /// Their headers, apart: each is wanted when its foot goes out, while the rest of a foot is touched at every word of
    /// it, and of a hundred thousand feet only so much is in a cache.
    headers: VecDeque<Option<FootHeader>>,
    /// Every foot below this number is acked.
    base: u64,
    acked: Ranges,
    /// Offered and never sent, ascending.
    unsent: VecDeque<u64>,
    lost: BTreeSet<u64>,
    /// Feet offered and not acked.
    held_feet: u64,
    /// Wire bytes of the feet in `unsent` and `lost`.
    backlog_bytes: u64,
    /// Raw bytes of all feet offered.
    offered_bytes: u64,
    /// One more than the highest foot sent.
    sent_feet: u64,
    /// How many different feet were sent.
    different_feet: u64,
    /// How many of them have gone to the kernel whole, or are acked.
    written_feet: u64,
    /// The receiver takes feet below this number.
    limit: u64,
    /// The window as the receiver has shown it: the widest distance of limit and cumulative ack.
    window_feet: u64,
    workers: Workers,
    /// Those that have changed since they were last reckoned.
    changed: Vec<Seat>,
    /// Those that get no more feet.
    retiring: BTreeSet<WorkerId>,
    /// What the workers of each link that is up come to, and what all do.
    links: BTreeMap<LinkId, Share>,
    total: Share,
    /// How soon a foot would arrive on each of those that may be waited for, at its slot.
    quickness: Least<Quickness>,
    /// When it was last looked who is overdue.
    looked_for_overdue: Instant,
    survey: Survey,
    ready: Ready,
    /// Workers that a rate they share is said to hold back.
    held_workers: usize,
    control: VecDeque<(WorkerId, Frame)>,
    events: VecDeque<Event>,
    end: Option<End>,
    received_bytes: u64,
    written_bytes: u64,
    sink_blocked: bool,
    sink_writing: bool,
    next_token: u32,
    /// New feet have had to wait for the first link since then.
    waiting_since: Option<Instant>,
    /// Later links help the first.
    spills: bool,
    /// When time alone may change which foot goes where.
    look_again_at: Option<Instant>,
    /// A worker went without a foot because the window is too narrow for how slow it is, and that was not told yet.
    window_is_short: bool,
    /// The last worker that was asked did.
    was_short: bool,
    /// The receiver was told then that its window holds us back.
    complained: Option<Instant>,
    /// Links that ask for feet and are given none.
    passed_over: BTreeMap<LinkId, PassedOver>,
    counts: Counts,
    over: bool,
    /// It is over because its owner gave up: only that the stream is delivered all the same is still news.
    gave_up: bool,
}

impl Sender {
    /// A sender with nothing to send yet, whose patience begins at `now`.
    pub fn new(config: Config, now: Instant) -> Sender {
        Sender {
            config,
            liveness: Liveness::new(config.patience, config.pace, now),
            feet: VecDeque::new(),
            headers: VecDeque::new(),
            base: 0,
            acked: Ranges::default(),
            unsent: VecDeque::new(),
            lost: BTreeSet::new(),
            held_feet: 0,
            backlog_bytes: 0,
            offered_bytes: 0,
            sent_feet: 0,
            different_feet: 0,
            written_feet: 0,
            limit: 0,
            window_feet: 0,
            workers: Workers::default(),
            changed: Vec::new(),
            retiring: BTreeSet::new(),
            links: BTreeMap::new(),
            total: Share::default(),
            quickness: Least::new(),
            looked_for_overdue: now,
            survey: Survey::new(now),
            ready: Ready::default(),
            held_workers: 0,
            control: VecDeque::new(),
            events: VecDeque::new(),
            end: None,
            received_bytes: 0,
            written_bytes: 0,
            sink_blocked: false,
            sink_writing: false,
            next_token: 1,
            waiting_since: None,
            spills: false,
            look_again_at: None,
            window_is_short: false,
            was_short: false,
            complained: None,
            passed_over: BTreeMap::new(),
            counts: Counts::default(),
            over: false,
            gave_up: false,
        }
    }

    /// A foot is packed and may be sent. Feet may be offered in any order, each once, each below the
    /// `feet` of [`Sender::finish`].
    pub fn offer(&mut self, header: FootHeader) {
        let index = (header.id - self.base) as usize; // the owner holds its buffer: a bounded number
        if self.feet.len() <= index {
            self.feet.resize(index + 1, None);
            self.headers.resize(index + 1, None);
        }
        assert!(self.feet[index].is_none(), "foot {} is offered twice", header.id);
        self.backlog_bytes += u64::from(header.packed_bytes);
        self.offered_bytes += u64::from(header.raw_bytes);
        // Nearly in order: only packing them side by side makes one overtake another.
        let above = self.unsent.iter().rev().take_while(|id| **id > header.id).count();
        self.unsent.insert(self.unsent.len() - above, header.id);
        self.held_feet += 1;
        self.feet[index] = Some(Foot::new(header.packed_bytes));
        self.headers[index] = Some(header);
    }

    /// There are no more feet than these.
    pub fn finish(&mut self, end: End) {
        self.end = Some(end);
        self.control.extend(self.workers.ids().map(|worker| (worker, Frame::End(end))));
    }

    /// Gives up and tells the other end; what is queued for it stays queued. It may have been delivered by then,
    /// and the word of that be under way.
    pub fn abort(&mut self, code: u8, reason: &str) {
        (self.over, self.gave_up) = (true, !self.over);
        let frame = Frame::Abort(Abort { code, reason: reason.to_owned() });
        self.control.extend(self.workers.ids().map(|worker| (worker, frame.clone())));
    }

    /// Something happened.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Up { worker, link, rtt } => self.handle_up(now, worker, link, rtt),
            Input::Down { worker } => self.handle_down(worker),
            Input::Retire { worker } => self.retire(worker),
            Input::Written { worker } => self.handle_written(worker),
            Input::Held { worker, is_held } => {
                if let Some(seat) = self.workers.seat(worker) {
                    self.held_workers -= usize::from(self.workers[seat].is_held);
                    self.held_workers += usize::from(is_held);
                    self.change(seat, |path| path.is_held = is_held);
                }
            }
            Input::Frame { worker, frame } => self.handle_frame(now, worker, frame),
        }
    }

    /// The time that [`Sender::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.over {
            return;
        }
        if self.look_again_at.is_some_and(|at| at <= now) {
            self.look_again_at = None;
        }
        if self.liveness.is_expired(now) {
            return self.fail(if self.has_sent_all() {
                Failure::OutcomeUnknown
            } else {
                Failure::PeerLost
            });
        }
        if self.liveness.take_heartbeat(now) {
            self.close_dead(now);
            let workers: Vec<WorkerId> = self.workers.ids().collect();
            for worker in workers {
                self.greet(now, worker);
            }
        }
    }

    /// The next frame to hand to a worker, most urgent first. To be called until it says `None`,
    /// after each call of another method.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(WorkerId, Frame)> {
        if let Some(next) = self.control.pop_front() {
            return Some(next);
        }
        if self.over {
            return None;
        }
        if let Some((worker, header)) = self.schedule(now) {
            return Some((worker, Frame::Foot(header)));
        }
        self.complain(now)
    }

    /// When [`Sender::handle_timeout`] must be called.
    pub fn poll_timeout(&self) -> Instant {
        let timeout = self.liveness.next_timeout();
        self.look_again_at.map_or(timeout, |at| at.min(timeout))
    }

    /// What the owner must do next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether no foot is on its way, nor wanted again.
    fn is_quiet(&self) -> bool {
        self.held_feet == self.unsent.len() as u64
    }

    /// Whether every foot offered so far is acked.
    pub fn all_acked(&self) -> bool {
        self.feet.is_empty()
    }

    /// Whether all of the stream has gone out: then the receiver may have it, whatever acks have come back.
    pub fn has_sent_all(&self) -> bool {
        self.end.is_some_and(|end| self.written_feet == end.feet)
    }

    /// Counts since the start.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn handle_up(&mut self, now: Instant, worker: WorkerId, link: LinkId, rtt: Duration) {
        self.enter(worker, Path::new(link, rtt, now));
        self.greet(now, worker);
    }

    fn handle_down(&mut self, worker: WorkerId) {
        let Some(path) = self.leave(worker) else { return };
        self.held_workers -= usize::from(path.is_held);
        self.retiring.remove(&worker);
        self.control.retain(|(to, _)| *to != worker);
        for id in path.in_flight.ids() {
            self.lose(id, worker);
        }
    }

    /// What a connection is told when it comes up and at every heartbeat.
    fn greet(&mut self, now: Instant, worker: WorkerId) {
        let ping = self.ping(now, worker, false);
        self.control.push_back((worker, Frame::Ping(ping)));
        if let Some(end) = self.end {
            self.control.push_back((worker, Frame::End(end)));
        }
    }

    pub(super) fn ping(&mut self, now: Instant, worker: WorkerId, window_blocked: bool) -> Ping {
        let token = self.next_token;
        self.next_token = token.checked_add(1).unwrap_or(1);
        let path = self.workers.seat(worker).and_then(|seat| self.workers.get_mut(seat));
        if let Some(path) = path {
            path.pinged(now, token);
        }
        Ping { token, sent_feet: self.different_feet, window_blocked }
    }

    fn close(&mut self, worker: WorkerId, reason: &'static str) {
        self.events.push_back(Event::Close { worker, reason });
    }

    fn fail(&mut self, failure: Failure) {
        self.over = true;
        self.events.push_back(Event::Failed(failure));
    }
}
