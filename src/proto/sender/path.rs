//! What the sender knows of one connection: what is on it, how fast it delivers, how far it is.
//!
//! Estimates only. Does not decide anything: see [`super::schedule`].

use crate::proto::LinkId;
use crate::proto::frame::Ack;
use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Rates are measured over at least this long, so that acks that come in one bundle do not count
/// as speed.
const SAMPLE: Duration = Duration::from_millis(2);
/// A round trip stays the minimum for this long.
const RTT_MEMORY: Duration = Duration::from_secs(10);
/// A path on which nothing has moved for this long loses half its rate at each heartbeat.
const STANDSTILL: Duration = Duration::from_secs(1);
/// A worker that delivers a foot within this time may hold a second one that is not yet with the
/// kernel: it bridges the hand-over between the threads, and a slow worker hoards nothing.
const QUICK_FOOT: Duration = Duration::from_millis(50);

/// One connection as the sender sees it.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) link: LinkId,
    /// Feet sent on it and not acked.
    pub(super) in_flight: BTreeSet<u64>,
    pub(super) in_flight_bytes: u64,
    /// Feet handed over that are not yet with the kernel.
    pub(super) unwritten_feet: u32,
    pub(super) last_sent: Instant,
    pub(super) last_heard: Instant,
    /// When bytes last arrived over it, or had nothing to do there.
    pub(super) last_advance: Instant,
    /// Smallest round trip of the last ten seconds.
    pub(super) rtt: Duration,
    rtt_samples: VecDeque<(Instant, Duration)>,
    ping: Option<(u32, Instant)>,
    arrived_bytes: u64,
    rate: Option<u64>,
    sample_start: Instant,
    sample_bytes: u64,
}

impl Path {
    pub(super) fn new(link: LinkId, rtt: Duration, now: Instant) -> Path {
        Path {
            link,
            in_flight: BTreeSet::new(),
            in_flight_bytes: 0,
            unwritten_feet: 0,
            last_sent: now,
            last_heard: now,
            last_advance: now,
            rtt,
            rtt_samples: VecDeque::from([(now, rtt)]),
            ping: None,
            arrived_bytes: 0,
            rate: None,
            sample_start: now,
            sample_bytes: 0,
        }
    }

    /// Delivery rate in bytes a second; 0 while it is not known.
    pub(super) fn rate(&self) -> u64 {
        self.rate.unwrap_or(0)
    }

    /// How many feet it may hold that are not yet with the kernel.
    pub(super) fn unwritten_limit(&self, foot_bytes: u32) -> u32 {
        match self.time_for(u64::from(foot_bytes)) {
            Some(time) if time <= QUICK_FOOT => 2,
            _ => 1,
        }
    }

    /// How long `bytes` more would take to arrive behind what is on the way already.
    pub(super) fn time_for(&self, bytes: u64) -> Option<Duration> {
        let rate = self.rate?;
        let serialise = |bytes: u64| Duration::from_secs_f64((bytes as f64 / rate as f64).min(1e6));
        // One round trip's worth of what is in flight travels, or is an ack; only the rest queues.
        let queue = serialise(self.in_flight_bytes).saturating_sub(self.rtt);
        Some(self.rtt / 2 + queue + serialise(bytes))
    }

    /// How long until `bytes` more would be known to have arrived.
    pub(super) fn ack_time_for(&self, bytes: u64) -> Option<Duration> {
        self.time_for(bytes).map(|time| time + self.rtt / 2)
    }

    pub(super) fn sent(&mut self, now: Instant, id: u64, bytes: u64) {
        if self.in_flight.is_empty() {
            self.last_advance = now;
            // The way there and back is not the link's speed.
            self.sample_start = now + self.rtt;
            self.sample_bytes = 0;
        }
        self.in_flight.insert(id);
        self.in_flight_bytes += bytes;
        self.unwritten_feet += 1;
        self.last_sent = now;
    }

    /// Foot `id` is acked; it was on this connection.
    pub(super) fn delivered(&mut self, now: Instant, id: u64, bytes: u64) {
        if !self.in_flight.remove(&id) {
            return;
        }
        self.in_flight_bytes -= bytes;
        self.last_advance = now;
        self.sample_bytes += bytes;
        let time = now.saturating_duration_since(self.sample_start);
        if time < SAMPLE && !(self.rate.is_none() && self.in_flight.is_empty()) {
            return;
        }
        let seconds = time.as_secs_f64().max(1e-6);
        let sample = ((self.sample_bytes as f64 / seconds) as u64).max(1);
        self.rate = Some(match self.rate {
            Some(rate) => (rate / 4 * 3 + sample / 4).max(1),
            None => sample,
        });
        self.sample_start = now;
        self.sample_bytes = 0;
    }

    /// At each heartbeat: a path on which nothing moves is not as fast as it was, and nobody should
    /// wait for it.
    pub(super) fn age(&mut self, now: Instant) {
        if !self.in_flight.is_empty() && now - self.last_advance > STANDSTILL + self.rtt * 2 {
            self.rate = self.rate.map(|rate| (rate / 2).max(1));
        }
    }

    /// The copy of a foot is given up; it no longer counts as on the way.
    pub(super) fn forgot(&mut self, id: u64, bytes: u64) {
        if self.in_flight.remove(&id) {
            self.in_flight_bytes -= bytes;
        }
    }

    pub(super) fn pinged(&mut self, now: Instant, token: u32) {
        // An answer still under way is worth more than a newer question.
        self.ping.get_or_insert((token, now));
    }

    pub(super) fn heard_ack(&mut self, now: Instant, ack: &Ack) {
        if ack.connection_bytes > self.arrived_bytes {
            self.arrived_bytes = ack.connection_bytes;
            self.last_advance = now;
        }
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

    fn sampled_rtt(&mut self, now: Instant, rtt: Duration) {
        self.rtt_samples.push_back((now, rtt));
        while self.rtt_samples.front().is_some_and(|(at, _)| now - *at > RTT_MEMORY) {
            self.rtt_samples.pop_front();
        }
        self.rtt = self.rtt_samples.iter().map(|(_, rtt)| *rtt).min().unwrap_or(rtt);
    }
}
