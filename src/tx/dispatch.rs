//! Owns the protocol's sending half, and keeps each foot until it is acked.
//!
//! Everything that happens comes here as a message; what the state machine says goes to the
//! connections. Nothing here blocks but the wait for the next message.

use super::Delivered;
use super::pack::Packed;
use super::read::Progress;
use crate::clock::Clock;
use crate::digest::{StreamDigest, Stretch, is_full};
use crate::error::Error;
use crate::link::{Event, Roster};
use crate::pool::{Filled, Pool};
use crate::ports::or_interrupt;
use crate::proto::WorkerId;
use crate::proto::frame::{End, Frame};
use crate::proto::hello::Settled;
use crate::proto::sender::{self, Config, Input, Sender};
use crate::sink::Remains;
use crate::stats::Stats;
use crossbeam_channel::{Receiver, never, select};
use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::time::Instant;
use tracing::debug;

/// Messages of one kind that are handled before the state machine is asked again: acks and writes
/// come in bundles, and one look serves them all.
const BUNDLE: usize = 64;

/// Where the messages come from.
pub(super) struct Inputs {
    /// Or else why nothing is read.
    pub(super) begun: Result<(), Error>,
    pub(super) events: Receiver<Event>,
    pub(super) packed: Receiver<Packed>,
    pub(super) progress: Receiver<Progress>,
    /// Whose buffers the feet are in.
    pub(super) pool: Pool,
    pub(super) remains: Remains,
    pub(super) failures: Receiver<Error>,
    pub(super) interrupt: Receiver<Error>,
}

/// Carries the stream to its end. `first` is the connection that was met.
pub(super) fn run(
    settled: Settled,
    config: Config,
    first: Event,
    roster: Roster,
    inputs: Inputs,
    stats: &Arc<Stats>,
) -> Result<Delivered, Error> {
    let mut clock = Clock::new();
    let now = clock.now();
    let mut dispatch = Dispatch {
        sender: Sender::new(config, now),
        roster,
        payloads: BTreeMap::new(),
        offered: 0,
        finished: None,
        digest: settled.verify.then(|| Digest::new(settled.foot_bytes)),
        foot_bytes: settled.foot_bytes,
        stats: Arc::clone(stats),
        witness: None,
        outcome: None,
    };
    let Inputs { begun, events, packed, progress, pool, remains, failures, interrupt } = inputs;
    let channels = Channels { events, packed, progress, failures, interrupt };
    let met = dispatch.handle_event(now, first).and(begun);
    let ended = met.and_then(|()| dispatch.turn(&channels, clock));
    let mut outcome = ended.map_err(|error| or_interrupt(error, &channels.interrupt));
    dispatch.show();
    stats.stop();
    // Nothing more is wanted of the source, whatever buffers become free.
    pool.close();
    // Before the farewell, which takes most of the time that a signal leaves us.
    drop(remains);
    if let Err(error) = &outcome
        && let Some((code, reason)) = error.farewell()
    {
        dispatch.sender.abort(code, &reason);
    }
    dispatch.transmit(Instant::now());
    let Dispatch { mut sender, roster, digest, witness, .. } = dispatch;
    let leave = outcome.as_ref().map(|_| witness);
    let Channels { events, interrupt, .. } = channels;
    roster.farewell(leave, &events, &interrupt, &mut |event| hear_late(&mut sender, event));
    events.try_iter().for_each(|event| hear_late(&mut sender, event));
    outcome = settle(outcome, &mut sender);
    stats.all_sent.set(sender.has_sent_all());
    show(&sender, stats);
    if let (Ok(delivered), Some(digest)) = (&mut outcome, digest) {
        delivered.digest = digest.finished;
    }
    outcome
}

/// What comes when the end has given up tells how far it came.
fn hear_late(sender: &mut Sender, event: Event) {
    let input = match event {
        Event::Written(worker) => Input::Written { worker },
        Event::Frame(worker, frame @ Frame::Done(_)) => Input::Frame { worker, frame },
        _ => return,
    };
    sender.handle(Instant::now(), input);
}

/// The outcome by all that is known at last: what was delivered by then is, and of what had gone out nobody knows.
fn settle(outcome: Result<Delivered, Error>, sender: &mut Sender) -> Result<Delivered, Error> {
    let error = match outcome {
        Err(error) => error,
        delivered => return delivered,
    };
    while let Some(event) = sender.poll_event() {
        if let sender::Event::Delivered(done) = event {
            return Ok(Delivered { bytes: done.bytes, digest: None });
        }
    }
    let is_unknown = matches!(error, Error::PeerLost { .. }) && sender.has_sent_all();
    Err(if is_unknown { Error::OutcomeUnknown } else { error })
}

struct Channels {
    events: Receiver<Event>,
    packed: Receiver<Packed>,
    progress: Receiver<Progress>,
    /// Hears when the source fails by itself.
    failures: Receiver<Error>,
    interrupt: Receiver<Error>,
}

struct Dispatch {
    sender: Sender,
    roster: Roster,
    /// Packed feet that are not acked.
    payloads: BTreeMap<u64, Arc<Filled>>,
    /// Feet that were packed so far.
    offered: u64,
    /// Feet and bytes in all, once the source has ended.
    finished: Option<(u64, u64)>,
    digest: Option<Digest>,
    foot_bytes: u32,
    stats: Arc<Stats>,
    /// Where the receiver said last that it is done.
    witness: Option<WorkerId>,
    outcome: Option<Delivered>,
}

impl Dispatch {
    fn turn(&mut self, channels: &Channels, mut clock: Clock) -> Result<Delivered, Error> {
        // A channel whose other side has ended must not wake the loop again.
        let (mut packed, mut progress) = (channels.packed.clone(), channels.progress.clone());
        let (mut failures, mut interrupt) = (channels.failures.clone(), channels.interrupt.clone());
        loop {
            let now = clock.now();
            self.sender.handle_timeout(now);
            self.transmit(now);
            self.obey()?;
            if let Some(delivered) = self.outcome {
                return Ok(delivered);
            }
            self.show();
            let wait = clock.wait_until(self.sender.poll_timeout());
            select! {
                recv(channels.events) -> event => {
                    let now = clock.now();
                    for event in event.into_iter().chain(channels.events.try_iter()).take(BUNDLE) {
                        let is_last = event.is_last_word();
                        self.handle_event(now, event)?;
                        if is_last {
                            self.transmit(now);
                            self.obey()?;
                        }
                        if self.outcome.is_some() {
                            break;
                        }
                    }
                }
                recv(packed) -> message => match message {
                    Ok(first) => {
                        for foot in iter::once(first).chain(packed.try_iter()).take(BUNDLE) {
                            self.offer(foot);
                        }
                    }
                    Err(_) => packed = never(),
                },
                recv(progress) -> message => match message {
                    Ok(Progress::Digested(stretch)) => self.digested(stretch),
                    Ok(Progress::Finished { feet, bytes }) => {
                        debug!(feet, bytes, "source has ended");
                        self.finished = Some((feet, bytes));
                        self.finish();
                    }
                    Ok(Progress::Failed(error)) => return Err(error),
                    Err(_) => progress = never(),
                },
                recv(failures) -> failure => match failure {
                    Ok(error) => return Err(error),
                    Err(_) => failures = never(),
                },
                recv(interrupt) -> error => match error {
                    Ok(error) => return Err(error),
                    Err(_) => interrupt = never(),
                },
                default(wait) => {}
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) -> Result<(), Error> {
        let input = match event {
            Event::Up { handle, link, rtt, .. } => {
                let worker = handle.id();
                self.roster.up(handle, link);
                Input::Up { worker, link, rtt }
            }
            Event::Frame(worker, frame) => {
                if matches!(frame, Frame::Done(_)) {
                    self.witness = Some(worker);
                }
                Input::Frame { worker, frame }
            }
            Event::Written(worker) => Input::Written { worker },
            Event::Held(worker, is_held) => Input::Held { worker, is_held },
            Event::Down(worker, cause) => {
                self.roster.down(worker, cause);
                Input::Down { worker }
            }
            Event::Missed(link, miss) => return self.roster.missed(link, miss),
            Event::Retire(worker) => Input::Retire { worker },
        };
        self.sender.handle(now, input);
        Ok(())
    }

    fn offer(&mut self, packed: Packed) {
        let Packed { header, payload, root } = packed;
        if is_full(self.foot_bytes, header.offset, header.raw_bytes as usize) {
            self.digested(Stretch { offset: header.offset, check: header.check, root });
        }
        self.payloads.insert(header.id, payload);
        self.sender.offer(header);
        self.offered += 1;
        self.finish();
    }

    fn digested(&mut self, stretch: Stretch) {
        if let Some(digest) = &mut self.digest {
            digest.push(stretch);
        }
    }

    /// Says the end, once the source has ended and all of it is packed.
    fn finish(&mut self) {
        let Some((feet, bytes)) = self.finished else { return };
        if self.offered == feet {
            let digest = self.digest.as_mut().map(Digest::finish);
            self.sender.finish(End { feet, bytes, digest });
        }
    }

    /// Hands out what the state machine wants to send.
    fn transmit(&mut self, now: Instant) {
        while let Some((worker, frame)) = self.sender.poll_transmit(now) {
            let Some(handle) = self.roster.get(worker) else { continue };
            match frame {
                Frame::Foot(header) => {
                    let payload = self.payloads.get(&header.id).expect("unacked feet are kept");
                    handle.send_foot(header, Arc::clone(payload));
                }
                frame => handle.send(frame),
            }
        }
    }

    /// Does what the state machine wants done.
    fn obey(&mut self) -> Result<(), Error> {
        while let Some(event) = self.sender.poll_event() {
            match event {
                sender::Event::Acked { id } => {
                    self.payloads.remove(&id);
                }
                sender::Event::Close { worker, reason } => {
                    if let Some(handle) = self.roster.get(worker) {
                        handle.close(reason);
                    }
                }
                sender::Event::Retired { worker } => {
                    self.roster.retire(worker);
                    if let Some(handle) = self.roster.get(worker) {
                        handle.retire();
                    }
                }
                sender::Event::PassedOver { link } => self.roster.passed_over(link),
                sender::Event::Delivered(done) => {
                    self.outcome = Some(Delivered { bytes: done.bytes, digest: None });
                }
                sender::Event::Failed(failure) => return Err(self.roster.error(failure)),
            }
        }
        Ok(())
    }

    fn show(&self) {
        show(&self.sender, &self.stats);
    }
}

/// Shows how far the sender is.
fn show(sender: &Sender, stats: &Stats) {
    let (backlog, counts) = (sender.backlog(), sender.counts());
    stats.feet.set(backlog.sent_feet);
    stats.unacked_feet.set(backlog.unacked_feet);
    stats.unsent_feet.set(backlog.unsent_feet);
    stats.unsent_bytes.set(backlog.unsent_bytes);
    stats.window_blocked.set(backlog.window_blocked);
    stats.window_short.set(backlog.window_short);
    stats.far_window_feet.set(backlog.window_feet);
    stats.sink_blocked.set(backlog.sink_blocked);
    stats.sink_writing.set(backlog.sink_writing);
    stats.stream_bytes.set(backlog.written_bytes);
    stats.cumulative.set(backlog.cumulative);
    stats.limit.set(backlog.limit);
    stats.resent_feet.set(counts.resent_feet + counts.reinjected_feet);
    stats.reinjected.set(counts.reinjected_feet);
    stats.nacks.set(counts.nacked_feet);
}

/// The digest of the stream, from stretches that come in any order.
struct Digest {
    stream: StreamDigest,
    foot_bytes: u64,
    /// Where the next stretch begins.
    next: u64,
    early: BTreeMap<u64, Stretch>,
    finished: Option<crate::foot::Hash>,
}

impl Digest {
    fn new(foot_bytes: u32) -> Digest {
        Digest {
            stream: StreamDigest::new(),
            foot_bytes: u64::from(foot_bytes),
            next: 0,
            early: BTreeMap::new(),
            finished: None,
        }
    }

    fn push(&mut self, stretch: Stretch) {
        self.early.insert(stretch.offset, stretch);
        while let Some(stretch) = self.early.remove(&self.next) {
            self.stream.push(stretch);
            self.next += self.foot_bytes;
        }
    }

    fn finish(&mut self) -> crate::foot::Hash {
        assert!(self.early.is_empty(), "all stretches before the end have come");
        *self.finished.get_or_insert_with(|| std::mem::take(&mut self.stream).finish())
    }
}
