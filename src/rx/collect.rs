//! Owns the protocol's receiving half, and keeps each verified foot until its turn comes.
//!
//! The mirror of the dispatcher: everything that happens comes here as a message, and nothing blocks
//! but the wait for the next one.

use super::Delivered;
use super::unpack::{Admission, Unpacked};
use super::write::{Order, Report, Writer};
use crate::clock::Clock;
use crate::digest::FootCheck;
use crate::error::Error;
use crate::foot::Hash;
use crate::link::{Event, Roster};
use crate::pool::Filled;
use crate::ports::or_interrupt;
use crate::proto::WorkerId;
use crate::proto::hello::{Settled, min_window_feet};
use crate::proto::receiver::{self, Config, Input, Receiver as Machine};
use crate::sink::Remains;
use crate::stats::Stats;
use crossbeam_channel::{Receiver, never, select};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::debug;

/// Messages of one kind that are handled before the state machine is asked again.
const BUNDLE: usize = 64;

/// How long a sink may take to say that it has succeeded, or was stopped.
const CLOSING: Duration = Duration::from_millis(100);

/// Where the messages come from, and where the feet go.
pub(super) struct Inputs {
    /// Or else why the sink is not written to.
    pub(super) begun: Result<(), Error>,
    pub(super) events: Receiver<Event>,
    pub(super) unpacked: Receiver<Unpacked>,
    pub(super) writer: Writer,
    pub(super) remains: Remains,
    pub(super) failures: Receiver<Error>,
    pub(super) interrupt: Receiver<Error>,
}

/// Takes the stream to its end. `first` is the connection that was met.
pub(super) fn run(
    settled: Settled,
    patience: Option<Duration>,
    first: Event,
    roster: Roster,
    inputs: Inputs,
    admission: Arc<Admission>,
    stats: &Arc<Stats>,
) -> Result<Delivered, Error> {
    let mut clock = Clock::new();
    let now = clock.now();
    let config = Config {
        foot_bytes: settled.foot_bytes,
        window_feet: admission.window_feet(),
        open_feet: min_window_feet(settled.workers),
        patience,
        pace: settled.pace,
    };
    let mut collect = Collect {
        machine: Machine::new(config, now),
        roster,
        feet: BTreeMap::new(),
        admission,
        writer: inputs.writer,
        stats: Arc::clone(stats),
        digest: None,
        is_closing: false,
        is_delivered: false,
        is_hurried: false,
        finished: false,
    };
    let Inputs { begun, events, unpacked, remains, failures, interrupt, .. } = inputs;
    let channels = Channels { events, unpacked, failures, interrupt };
    let met = collect.handle_event(now, first).and(begun);
    let ended = met.and_then(|()| collect.turn(&channels, clock));
    let mut outcome = ended.map_err(|error| or_interrupt(error, &channels.interrupt));
    collect.show();
    stats.stop();
    // Before the farewell, which takes most of the time that a signal leaves us.
    drop(remains);
    let is_wrong = matches!(outcome, Err(Error::Corrupt { .. }));
    if outcome.is_err() && !is_wrong && collect.has_succeeded_late() {
        collect.is_hurried = true;
        outcome = Ok(Delivered { bytes: stats.stream_bytes.now(), digest: None });
    }
    if let Err(error) = &outcome
        && let Some((code, reason)) = error.farewell()
    {
        collect.machine.abort(code, &reason);
    }
    collect.transmit();
    if let Ok(delivered) = &mut outcome {
        delivered.digest = collect.digest;
    }
    // Who has heard all of the other end's words, as after a success, has nothing to wait for.
    if outcome.is_err() || collect.is_hurried {
        let leave = outcome.as_ref().map(|_| None);
        let Channels { events, interrupt, .. } = &channels;
        collect.roster.farewell(leave, events, interrupt, &mut |_| {});
    }
    outcome
}

struct Channels {
    events: Receiver<Event>,
    unpacked: Receiver<Unpacked>,
    /// Hears when the sink fails by itself.
    failures: Receiver<Error>,
    interrupt: Receiver<Error>,
}

struct Collect {
    machine: Machine,
    roster: Roster,
    /// Verified feet that are not with the writer.
    feet: BTreeMap<u64, (Filled, FootCheck)>,
    admission: Arc<Admission>,
    writer: Writer,
    stats: Arc<Stats>,
    digest: Option<Hash>,
    /// The sink is to close.
    is_closing: bool,
    /// The sink has succeeded.
    is_delivered: bool,
    /// The sender may not have heard so: somebody is in a hurry.
    is_hurried: bool,
    finished: bool,
}

impl Collect {
    fn turn(&mut self, channels: &Channels, mut clock: Clock) -> Result<Delivered, Error> {
        // A channel whose other side has ended must not wake the loop again.
        let mut reports = self.writer.reports.clone();
        let mut failures = channels.failures.clone();
        let mut interrupt = channels.interrupt.clone();
        loop {
            let now = clock.now();
            self.hear_received(now);
            self.machine.handle(now, Input::Writing(self.stats.sink_writing.now()));
            self.machine.handle_timeout(now);
            self.obey()?;
            self.transmit();
            if self.finished {
                return Ok(Delivered { bytes: self.stats.stream_bytes.now(), digest: None });
            }
            self.show();
            let wait = clock.wait_until(self.machine.poll_timeout());
            select! {
                recv(channels.events) -> event => {
                    let now = clock.now();
                    for event in event.into_iter().chain(channels.events.try_iter()).take(BUNDLE) {
                        let is_last = event.is_last_word();
                        self.handle_event(now, event)?;
                        if is_last {
                            self.obey()?;
                        }
                    }
                }
                recv(channels.unpacked) -> unpacked => {
                    let now = clock.now();
                    let unpacked = unpacked.into_iter().chain(channels.unpacked.try_iter());
                    for unpacked in unpacked.take(BUNDLE) {
                        self.handle_unpacked(now, unpacked);
                    }
                }
                recv(reports) -> report => {
                    let now = clock.now();
                    match report {
                        Ok(report) => self.handle_report(now, report)?,
                        Err(_) => reports = never(),
                    }
                }
                recv(failures) -> failure => match failure {
                    Ok(error) => return Err(error),
                    Err(_) => failures = never(),
                },
                recv(interrupt) -> error => match error {
                    // The sink has succeeded: all that a signal can end is the wait for the sender's
                    // last word.
                    Ok(_) if self.is_delivered => (self.finished, self.is_hurried) = (true, true),
                    Ok(error) => return Err(error),
                    Err(_) => interrupt = never(),
                },
                default(wait) => {}
            }
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) -> Result<(), Error> {
        let input = match event {
            Event::Up { handle, link, .. } => {
                let worker = handle.id();
                self.roster.up(handle, link);
                Input::Up { worker }
            }
            Event::Frame(worker, frame) => {
                self.hear_worker(now, worker);
                Input::Frame { worker, frame }
            }
            Event::Down(worker, cause) => {
                self.hear_worker(now, worker); // what came in last counts, too
                // A sender that knows its stream delivered hangs up.
                if self.is_delivered {
                    self.roster.hung_up(worker);
                } else {
                    self.roster.down(worker, cause);
                }
                Input::Down { worker }
            }
            Event::Missed(link, miss) => {
                let missed = self.roster.missed(link, miss);
                // There is nobody any more whose last word could come; the sink has succeeded all the same.
                self.finished |= missed.is_err() && self.is_delivered;
                return if self.is_delivered { Ok(()) } else { missed };
            }
            Event::Retire(worker) => Input::Retire { worker },
            // Of feet only, and those a receiver never sends.
            Event::Written(_) | Event::Held(..) => return Ok(()),
        };
        self.machine.handle(now, input);
        Ok(())
    }

    fn handle_unpacked(&mut self, now: Instant, unpacked: Unpacked) {
        let Unpacked { worker, header, raw } = unpacked;
        self.hear_worker(now, worker);
        let Some(raw) = raw else {
            self.stats.nacks.increment();
            return self.machine.handle(now, Input::Corrupt { worker, id: header.id });
        };
        self.feet.insert(header.id, raw);
        self.stats.feet.increment();
        self.stats.packed_bytes.add(u64::from(header.packed_bytes));
        self.stats.raw_bytes.add(u64::from(header.raw_bytes));
        self.machine.handle(now, Input::Foot { worker, header });
        if self.machine.is_missing(header.id) {
            // It came before it was allowed, and was not taken: the right one must find its place free.
            self.feet.remove(&header.id);
            self.admission.forget(header.id);
        }
    }

    fn handle_report(&mut self, now: Instant, report: Report) -> Result<(), Error> {
        match report {
            Report::Written => {
                self.machine.handle(now, Input::Written);
                self.admission.release(self.machine.written());
            }
            Report::Closed(digest) => {
                debug!(bytes = self.stats.stream_bytes.now(), "sink has succeeded");
                (self.digest, self.is_delivered) = (digest, true);
                self.stats.stop();
                self.machine.handle(now, Input::SinkClosed { digest });
            }
            Report::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the sink, which had all that it was to have when the run was ended, has succeeded before it could be
    /// stopped: then the stream is delivered, whatever had ended the run.
    fn has_succeeded_late(&mut self) -> bool {
        let until = Instant::now() + CLOSING;
        while self.is_closing && !self.is_delivered {
            match self.writer.reports.recv_deadline(until) {
                Ok(Report::Written) => {}
                Ok(report) => {
                    if self.handle_report(Instant::now(), report).is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
        self.is_delivered
    }

    /// Tells the state machine how much came in on each connection, whole feet or not.
    fn hear_received(&mut self, now: Instant) {
        for handle in self.roster.handles() {
            let (worker, connection_bytes) = (handle.id(), handle.received_bytes());
            self.machine.handle(now, Input::Received { worker, connection_bytes });
        }
    }

    fn hear_worker(&mut self, now: Instant, worker: WorkerId) {
        if let Some(handle) = self.roster.get(worker) {
            let connection_bytes = handle.received_bytes();
            self.machine.handle(now, Input::Received { worker, connection_bytes });
        }
    }

    /// Does what the state machine wants done.
    fn obey(&mut self) -> Result<(), Error> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                receiver::Event::Write(header) => {
                    let (raw, check) =
                        self.feet.remove(&header.id).expect("verified feet are kept");
                    self.order(Order::Write(header, raw, check));
                }
                receiver::Event::Duplicate { id } => {
                    self.feet.remove(&id);
                    self.stats.duplicate_feet.increment();
                }
                receiver::Event::Close { worker, reason } => {
                    if let Some(handle) = self.roster.get(worker) {
                        handle.close(reason);
                    }
                }
                receiver::Event::Retired { worker } => self.roster.retire(worker),
                receiver::Event::CloseSink(end) => {
                    self.is_closing = true;
                    self.order(Order::Close(end.digest));
                }
                receiver::Event::Finished => self.finished = true,
                receiver::Event::Failed(failure) => return Err(self.roster.error(failure)),
            }
        }
        Ok(())
    }

    /// Gives the writer something to do.
    fn order(&self, order: Order) {
        // It has room for the whole window. When the writer has failed, its report is on the way.
        let _ = self.writer.orders.try_send(order);
    }

    fn transmit(&mut self) {
        while let Some((worker, frame)) = self.machine.poll_transmit() {
            if let Some(handle) = self.roster.get(worker) {
                handle.send(frame);
            }
        }
    }

    fn show(&self) {
        // What came in bad, or once more, was sent again; what was lost on the way nobody knows here.
        self.stats.resent_feet.set(self.stats.duplicate_feet.now() + self.stats.nacks.now());
        self.stats.held_feet.set(self.machine.held_feet());
        self.stats.limit.set(self.machine.limit());
        self.stats.cumulative.set(self.machine.cumulative());
        self.stats.sink_blocked.set(self.machine.sink_blocked());
    }
}
