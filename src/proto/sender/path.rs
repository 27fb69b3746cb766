//! What the sender knows of one connection: what is on it, how fast it delivers, how far it is.
//!
//! Estimates only. Does not decide anything: see [`super::schedule`]; nor add up: see [`super::survey`].

use super::flight::{Flight, Sent};
use super::ready::Asking;
use super::schedule::UNKNOWN;
use super::survey::Share;
use super::workers::Seat;
use crate::proto::LinkId;
use crate::proto::frame::Ack;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Rates are measured over at least this long, so that acks that come in one bundle do not count
/// as speed.
const SAMPLE: Duration = Duration::from_millis(2);
/// A round trip stays the minimum for this long.
const RTT_MEMORY: Duration = Duration::from_secs(10);
/// A path on which nothing has moved for this long loses half its rate at each heartbeat. Two of the other
/// end's heartbeats: of a foot that is on its way for longer there is no other news.
const STANDSTILL: Duration = Duration::from_secs(2);
/// A worker that delivers a foot within this time may hold a second one that is not yet with the
/// kernel: it bridges the hand-over between the threads, and a slow worker hoards nothing.
const QUICK_FOOT: Duration = Duration::from_millis(50);
/// Longer than anything lasts, and short enough to reckon with.
const LONG_NANOS: f64 = 1e18;

/// How soon a full foot would arrive, and where: the less the better.
pub(super) type Quickness = (Duration, Seat);

/// One connection as the sender sees it.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) link: LinkId,
    /// Feet sent on it and not acked.
    pub(super) in_flight: Flight,
    /// Wire bytes of those feet.
    pub(super) in_flight_bytes: u64,
    /// Feet handed over that are not yet with the kernel, in the order in which they go there.
    pub(super) unwritten: VecDeque<u64>,
    /// A rate that it shares is what holds it back, and not its own way.
    pub(super) is_held: bool,
    /// It gets no more feet.
    pub(super) retires: bool,
    pub(super) last_sent: Instant,
    pub(super) last_heard: Instant,
    /// When bytes last arrived over it, or had nothing to do there.
    pub(super) last_advance: Instant,
    /// When bytes last arrived over it.
    pub(super) last_arrival: Option<Instant>,
    /// Smallest round trip of the last ten seconds.
    pub(super) rtt: Duration,
    /// Those that may be the smallest once the ones before them are forgotten: ever larger.
    rtt_samples: VecDeque<(Instant, Duration)>,
    ping: Option<(u32, Instant)>,
    /// Payload bytes handed to it, and how many of them it said had arrived, parts of feet and copies
    /// that are not wanted any more included.
    sent_bytes: u64,
    arrived_bytes: u64,
    rate: Option<u64>,
    /// What a byte takes at that rate: asked for many times for each time that the rate changes, and dividing is slow.
    nanos_a_byte: f64,
    sample_start: Instant,
    sample_bytes: u64,
    /// Something has changed since the last [`Path::reckon`].
    pub(super) has_changed: bool,
    /// What follows from all this, as of then: what it adds to its link, how long a full foot more would take to
    /// arrive, when the next foot should have been acked, and its place among those that ask for one.
    pub(super) share: Share,
    pub(super) foot_time: Option<Duration>,
    next_due: Option<Instant>,
    pub(super) asking: Option<Asking>,
    /// It has been found to be overdue since it last changed; see [`Path::overdue`].
    pub(super) is_overdue: bool,
}

impl Path {
    pub(super) fn new(link: LinkId, rtt: Duration, now: Instant) -> Path {
        Path {
            link,
            in_flight: Flight::default(),
            in_flight_bytes: 0,
            unwritten: VecDeque::new(),
            is_held: false,
            retires: false,
            last_sent: now,
            last_heard: now,
            last_advance: now,
            last_arrival: None,
            rtt,
            rtt_samples: VecDeque::from([(now, rtt)]),
            ping: None,
            sent_bytes: 0,
            arrived_bytes: 0,
            rate: None,
            nanos_a_byte: 0.0,
            sample_start: now,
            sample_bytes: 0,
            has_changed: false,
            share: Share { workers: 1, ..Share::default() },
            foot_time: None,
            next_due: None,
            asking: None,
            is_overdue: false,
        }
    }

    /// Draws the conclusions from what has changed; `seat` is where it is kept.
    pub(super) fn reckon(&mut self, seat: Seat, foot_bytes: u32) {
        self.has_changed = false;
        self.share = self.share();
        self.foot_time = self.time_for(u64::from(foot_bytes));
        // A foot that was acked another way is still on its way here.
        let all = self.has_more_to_come().then_some((self.last_sent, self.sent_bytes));
        let next = self.in_flight.first().map(|sent| (sent.at, sent.end)).or(all);
        self.next_due = next.and_then(|(at, end)| self.arrives(at, end));
        // Of which nothing is known, it is not tried again before it is.
        let untried = if self.in_flight.is_empty() { UNKNOWN } else { Duration::MAX };
        let asking = (self.link, self.foot_time.unwrap_or(untried), seat);
        let asks = !self.retires && self.unwritten.len() < self.unwritten_limit();
        self.asking = asks.then_some(asking);
    }

    /// What it adds to its link.
    fn share(&self) -> Share {
        let is_busy = !self.in_flight.is_empty();
        Share {
            workers: 1,
            rate: self.rate(),
            timely_rate: if self.is_timely() { self.rate() } else { 0 },
            in_flight_bytes: self.in_flight_bytes,
            busy: usize::from(is_busy),
            tried: usize::from(is_busy && self.rate() == 0),
        }
    }

    /// Whether it may be waited for.
    pub(super) fn is_timely(&self) -> bool {
        !self.retires && !self.is_overdue
    }

    /// How soon a foot would be there if it may be waited for; `None` while that is not known.
    pub(super) fn quickness(&self, seat: Seat) -> Option<Quickness> {
        self.foot_time.filter(|_| self.is_timely()).map(|time| (time, seat))
    }

    /// Delivery rate in bytes a second; 0 while it is not known.
    pub(super) fn rate(&self) -> u64 {
        self.rate.unwrap_or(0)
    }

    /// Whether bytes are on their way over it that are not known to have arrived.
    pub(super) fn has_more_to_come(&self) -> bool {
        self.sent_bytes > self.arrived_bytes
    }

    /// How many feet it may hold that are not yet with the kernel.
    fn unwritten_limit(&self) -> usize {
        match self.foot_time {
            Some(time) if time <= QUICK_FOOT => 2,
            _ => 1,
        }
    }

    /// How long `bytes` more would take to arrive behind what is on the way already.
    pub(super) fn time_for(&self, bytes: u64) -> Option<Duration> {
        // One round trip's worth of what is in flight travels, or is an ack; only the rest queues.
        let queue = self.serialise(self.sent_bytes - self.arrived_bytes)?.saturating_sub(self.rtt);
        Some(self.rtt / 2 + queue + self.serialise(bytes)?)
    }

    /// How long until `bytes` more would be known to have arrived.
    pub(super) fn ack_time_for(&self, bytes: u64) -> Option<Duration> {
        self.time_for(bytes).map(|time| time + self.rtt / 2)
    }

    /// Whether it would write more if the rate that all share let it. Then nothing that is late is its
    /// fault, and no other could do better.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.is_held && !self.unwritten.is_empty()
    }

    /// When the foot of this number, in flight here, should be acked, by all that is known now; `None` while it is
    /// not known how fast this path is.
    pub(super) fn due(&self, number: u32) -> Option<Instant> {
        let sent = self.in_flight.get(number)?;
        self.arrives(sent.at, sent.end)
    }

    /// When its next foot should have been acked, if that is longer ago than `grace`, which is for what
    /// nobody can know: then its estimates are out of date.
    pub(super) fn overdue(&self, now: Instant, grace: Duration) -> Option<Instant> {
        self.next_due.filter(|_| self.overdue_at(grace).is_some_and(|at| now > at))
    }

    /// When that will be, unless it is heard of.
    pub(super) fn overdue_at(&self, grace: Duration) -> Option<Instant> {
        self.next_due.filter(|_| !self.waits_for_turn()).map(|due| due + grace)
    }

    /// When the payload bytes sent on it up to `end`, the last of them `at` that time, should have arrived.
    fn arrives(&self, at: Instant, end: u64) -> Option<Instant> {
        // What has arrived is known as of the last sample.
        let queue = self.serialise(end.saturating_sub(self.arrived_bytes))?;
        Some((self.sample_start + queue).max(at + self.rtt))
    }

    fn serialise(&self, bytes: u64) -> Option<Duration> {
        self.rate.map(|_| nanos(bytes as f64 * self.nanos_a_byte))
    }

    /// Foot `id` is handed to it; its number in flight.
    pub(super) fn sent(&mut self, now: Instant, id: u64, bytes: u64) -> u32 {
        if self.sent_bytes == self.arrived_bytes {
            self.last_advance = now;
            // The way there and back is not the link's speed.
            self.sample_start = now + self.rtt;
            self.sample_bytes = 0;
        }
        self.sent_bytes += bytes;
        let number = self.in_flight.push(Sent { id, at: now, end: self.sent_bytes });
        self.in_flight_bytes += bytes;
        self.unwritten.push_back(id);
        self.last_sent = now;
        number
    }

    /// The foot of this number is acked or given up: it no longer counts as on the way here, whatever of it still is.
    pub(super) fn settled(&mut self, number: u32, bytes: u64) {
        if self.in_flight.remove(number) {
            self.in_flight_bytes -= bytes;
        }
    }

    /// Whether it carries feet, and nothing has moved for a while.
    pub(super) fn stands_still(&self, now: Instant) -> bool {
        !self.in_flight.is_empty() && now - self.last_advance > STANDSTILL + self.rtt * 2
    }

    /// How long it would take to carry once more what has arrived over it of feet that are not whole: what is
    /// thrown away with it. None where nothing has.
    pub(super) fn repetition(&self) -> Option<Duration> {
        let missing = self.sent_bytes - self.arrived_bytes;
        let in_part = self.in_flight_bytes.checked_sub(missing).filter(|bytes| *bytes > 0)?;
        self.serialise(in_part)
    }

    /// It is not as fast as it was, and nobody should wait for it.
    pub(super) fn slow_down(&mut self) {
        if let Some(rate) = self.rate {
            self.set_rate(rate / 2);
        }
    }

    pub(super) fn pinged(&mut self, now: Instant, token: u32) {
        // An answer still under way is worth more than a newer question.
        self.ping.get_or_insert((token, now));
    }

    pub(super) fn heard_ack(&mut self, now: Instant, ack: &Ack) {
        self.arrived(now, ack.connection_bytes);
        match self.ping {
            Some((token, at)) if token == ack.echo => {
                self.ping = None;
                self.sampled_rtt(now, now.saturating_duration_since(at));
            }
            // One ack has answered this ping and a newer one.
            Some((token, _)) if token < ack.echo => self.ping = None,
            _ => {}
        }
    }

    /// So many payload bytes have arrived on it by now. (A foot that was acked may have come another
    /// way; only this tells how fast this one is.)
    fn arrived(&mut self, now: Instant, connection_bytes: u64) {
        // Whoever claims more than was sent only makes its path look better than it is.
        let fresh = connection_bytes.min(self.sent_bytes).saturating_sub(self.arrived_bytes);
        if fresh == 0 {
            return;
        }
        self.arrived_bytes += fresh;
        self.last_advance = now;
        self.last_arrival = Some(now);
        self.sample_bytes += fresh;
        let time = now.saturating_duration_since(self.sample_start);
        if time < SAMPLE && !(self.rate.is_none() && self.arrived_bytes == self.sent_bytes) {
            return;
        }
        let seconds = time.as_secs_f64().max(1e-6);
        let sample = (self.sample_bytes as f64 / seconds) as u64;
        self.set_rate(match self.rate {
            Some(rate) => rate / 4 * 3 + sample / 4,
            None => sample,
        });
        self.sample_start = now;
        self.sample_bytes = 0;
    }

    /// From now on it delivers this many bytes a second; one at least.
    fn set_rate(&mut self, rate: u64) {
        let rate = rate.max(1);
        (self.rate, self.nanos_a_byte) = (Some(rate), 1e9 / rate as f64);
    }

    fn sampled_rtt(&mut self, now: Instant, rtt: Duration) {
        if self.is_held && rtt > self.rtt {
            return; // the question may have waited behind a foot for most of the time
        }
        while self.rtt_samples.back().is_some_and(|(_, older)| *older >= rtt) {
            self.rtt_samples.pop_back();
        }
        self.rtt_samples.push_back((now, rtt));
        while self.rtt_samples.front().is_some_and(|(at, _)| now - *at > RTT_MEMORY) {
            self.rtt_samples.pop_front();
        }
        self.rtt = self.rtt_samples.front().map_or(rtt, |(_, rtt)| *rtt);
    }
}

/// How long `bytes` take at this rate; very long at none.
pub(super) fn seconds(bytes: u64, bytes_per_second: u64) -> Duration {
    nanos(bytes as f64 / bytes_per_second as f64 * 1e9)
}

fn nanos(nanos: f64) -> Duration {
    Duration::from_nanos(nanos.min(LONG_NANOS) as u64)
}
