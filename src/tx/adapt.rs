//! Chooses how the next foot is packed, by what holds the stream up now.
//!
//! Feet wait raw until the network wants them ([`super::late`]), so a choice is made for each foot as it is
//! begun, and takes effect at once. There is a ladder of choices, and one *rung* in use:
//!
//! - While feet wait for the network it is slower than packing: *up*, if the packers could keep up with the
//!   stream there. How much they could is reckoned from the time that feet have taken so far. Where they
//!   could do twice as much several rungs are taken at once.
//! - A foot for which the network waits, while all packers are busy and more feet are there, is packed a rung
//!   lower. So two neighbouring rungs are mixed as needed, and a rung that is a little too high costs little.
//!   When nearly all feet are packed lower, the rung is too high: *down*.
//! - Not at all and zstd 1 are too far apart for that: there the network gets raw feet when it asks for them,
//!   and *down* is when it carries as many bytes as could be packed, so that packing is no gain. That is
//!   also what holds where both ends share a busy processor.
//! - A rung is not tried again for a while when it was too high, or when the stream came to be slower there for
//!   whatever reason, unless the stream becomes much slower.
//! - While the source or the receiver is the slowest there is nothing to gain, and nothing changes.
//! - Feet that do not shrink go raw, and most of those behind them untried ([`shy`]).
//!
//! A state machine: time comes as an argument. Does not know threads, codecs, nor the connections.

mod shy;

use crate::codec::LADDER;
use crate::stats::{Choice, Reason};
use shy::Shy;
use std::time::{Duration, Instant};

/// The topmost rung.
const TOP: usize = LADDER.len() - 1;
/// The time that a byte takes at each rung, as multiples of zstd 1's: of text and of libraries, with feet of
/// 1 MiB.
const COSTS: [f64; LADDER.len()] = [0.0, 1.0, 1.2, 1.75, 4.4, 6.6];
/// What zstd 1 takes as long as it was not measured, in seconds a byte.
const FIRST_COST: f64 = 1.0 / 400e6;

/// The first feet are packed, though not well: as long as nothing is known of the network, raw ones might hold
/// it up for seconds.
const FIRST_FEET: u64 = 8;
/// How often it is looked at what holds the stream up.
const LOOK: Duration = Duration::from_millis(200);
/// So many feet may be under way to the network in any case.
const FEW_FEET: u64 = 2;
/// Feet for this long wait packed, to bridge what the machine does in between.
const RESERVE: Duration = Duration::from_millis(50);
/// The share of feet that are packed lower for want of time at which the rung is too high, and the shortest
/// time after a change when that counts.
const TOO_MANY: f64 = 0.8;
const DWELL: Duration = Duration::from_millis(100);
/// What a foot weighs in that share, if it is packed within a hundred milliseconds; longer ones weigh more.
const WEIGHT: f64 = 1.0 / 8.0;
/// Where nothing is packed, a foot is once in so long, to see what it takes.
const PROBE: Duration = Duration::from_secs(1);
/// How long a rung that was too high is not tried: at first, and at most.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// A stream is much slower than one at which a rung was too high below this part of its rate.
const MUCH_SLOWER: f64 = 0.7;
/// A higher rung must not make the stream slower than this part of its rate before.
const WORSE: f64 = 0.85;
/// Fewer feet than these in one look say nothing of a rate.
const SOME_FEET: u64 = 8;

/// A place on the [`LADDER`].
pub(super) type Rung = usize;

/// What is seen of the feet that are packed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sight {
    /// Feet that were given to a connection, so far.
    pub(super) sent_feet: u64,
    /// A connection asks for a foot, and there is none.
    pub(super) asks: bool,
    /// The receiver takes nothing: its sink or its window holds the stream up.
    pub(super) blocked: bool,
}

/// How one foot came out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// How it was packed.
    pub(super) rung: Rung,
    /// Its length.
    pub(super) raw_bytes: usize,
    /// How long it travels.
    pub(super) packed_bytes: usize,
    /// What it took a thread.
    pub(super) took: Duration,
}

/// The chooser; see the module's text.
#[derive(Debug)]
pub(super) struct Adapt {
    /// Threads that pack, and how many of them may do so on the topmost rung.
    threads: usize,
    top_threads: usize,
    foot_bytes: f64,

    rung: Rung,
    reason: Reason,
    changed_at: Instant,
    shy: Shy,

    /// The figures below are those of this moment.
    now: Instant,
    sight: Sight,
    waiting_feet: usize,
    started_feet: u64,
    packing_feet: usize,
    top_feet: usize,

    look: Look,
    /// Bytes of the stream a second, at the last look.
    rate: f64,
    /// Of one foot.
    mean_bytes: f64,
    /// What zstd 1 takes, in seconds a byte.
    cost: f64,
    /// Of the last feet, the share that was packed lower for want of time.
    lower_share: f64,
    probe_at: Instant,
    trial: Option<Trial>,
    barred: Option<Barred>,
    pause: Duration,
}

/// What happened since the last look.
#[derive(Debug)]
struct Look {
    since: Instant,
    /// Feet that were sent before.
    sent_feet_before: u64,
    /// Feet waited for the network for so long.
    held: Duration,
    /// The network waited for the packers.
    starved: Duration,
    /// The receiver took nothing.
    blocked: Duration,
    started_feet: u64,
    started_bytes: f64,
    /// Those of them that were not even tried, since they do not shrink.
    shy_feet: u64,
    /// Feet that are ready to travel, and how long they are.
    packed_feet: u64,
    packed_bytes: f64,
}

/// A higher rung has to show that the stream is not slower there.
#[derive(Debug)]
struct Trial {
    from: Rung,
    rate_before: f64,
    looks: u32,
    rate_sum: f64,
}

/// Rungs from this one on were too high for a stream of this rate.
#[derive(Debug)]
struct Barred {
    rung: Rung,
    rate: f64,
    until: Instant,
}

impl Adapt {
    /// A chooser for feet of this size and so many threads, of which so many may be on the topmost rung.
    pub(super) fn new(threads: usize, top_threads: usize, foot_bytes: u32, now: Instant) -> Adapt {
        Adapt {
            threads,
            top_threads,
            foot_bytes: f64::from(foot_bytes),
            rung: 0,
            reason: Reason::Unknown,
            changed_at: now,
            shy: Shy::new(now),
            now,
            sight: Sight::default(),
            waiting_feet: 0,
            started_feet: 0,
            packing_feet: 0,
            top_feet: 0,
            look: Look::new(now, 0),
            rate: 0.0,
            mean_bytes: f64::from(foot_bytes),
            cost: FIRST_COST,
            lower_share: 0.0,
            probe_at: now,
            trial: None,
            barred: None,
            pause: PAUSE,
        }
    }

    /// Whether a foot is so much shorter when packed that it should travel so.
    pub(super) fn is_worth(raw_bytes: usize, packed_bytes: usize) -> bool {
        packed_bytes as f64 <= 0.97 * raw_bytes as f64
    }

    /// The choice for now, and why.
    pub(super) fn choice(&self) -> Choice {
        Choice { packing: LADDER[self.rung], reason: self.reason }
    }

    /// Whether the packers are what the stream waits for.
    pub(super) fn is_starved(&self) -> bool {
        self.waiting_feet > 0 && self.sight.asks && self.packing_feet >= self.threads
    }

    /// What the connections want.
    pub(super) fn see(&mut self, now: Instant, sight: Sight) {
        self.advance(now);
        self.sight = sight;
    }

    /// The first of `waiting_feet` feet, of this length, may begin: on which rung, if now.
    pub(super) fn start(&mut self, now: Instant, bytes: usize, waiting_feet: usize) -> Option<Rung> {
        self.advance(now);
        self.waiting_feet = waiting_feet;
        if waiting_feet == 0 || !self.is_open() {
            return None;
        }
        let rung = self.choose(waiting_feet > 1)?;
        if rung == 0 {
            self.sight.asks = false; // that one is here at once
            self.look.packed(bytes);
        } else {
            self.packing_feet += 1;
            self.top_feet += usize::from(rung == TOP);
        }
        self.waiting_feet -= 1;
        self.started_feet += 1;
        self.look.started_feet += 1;
        self.look.started_bytes += bytes as f64;
        Some(rung)
    }

    /// A foot that was begun above the lowest rung is done.
    pub(super) fn packed(&mut self, now: Instant, foot: Outcome) {
        self.advance(now);
        self.packing_feet -= 1;
        self.top_feet -= usize::from(foot.rung == TOP);
        self.look.packed(foot.packed_bytes);
        if foot.packed_bytes >= foot.raw_bytes {
            return self.shy.failed(now);
        }
        self.shy.shrunk();
        // Of a short foot most is the beginning.
        if foot.raw_bytes as f64 * 2.0 >= self.foot_bytes {
            let cost = foot.took.as_secs_f64() / foot.raw_bytes as f64 / COSTS[foot.rung];
            self.cost += (cost - self.cost) / 4.0;
        }
    }

    /// Whether another foot may begin: so many as the network takes while one is packed, and a reserve; or
    /// when it asks.
    fn is_open(&self) -> bool {
        let feet = match self.rung {
            0 => 0.0, // it is ready as soon as it is begun
            rung => {
                let seconds = COSTS[rung] * self.cost * self.foot_bytes + RESERVE.as_secs_f64();
                self.rate * seconds / self.foot_bytes
            }
        };
        let under_way = self.started_feet.saturating_sub(self.sight.sent_feet);
        self.sight.asks || under_way < FEW_FEET + feet as u64
    }

    /// How a foot is packed that begins now; not at all as long as all threads are busy.
    fn choose(&mut self, more_wait: bool) -> Option<Rung> {
        let pressed = self.sight.asks && more_wait;
        let is_first = self.started_feet < FIRST_FEET;
        let is_probe = self.probe_at <= self.now && more_wait && !self.sight.asks;
        if self.rung == 0 && !is_first && !is_probe {
            return Some(0);
        }
        let is_free = self.packing_feet < self.threads;
        if self.shy.is_trying() && (!is_free || self.shy.is_next_raw(self.now)) {
            self.look.shy_feet += 1;
            return Some(0);
        }
        if !is_free {
            return (self.rung <= 1 && !is_first && pressed).then_some(0);
        }
        self.probe_at = self.now + PROBE;
        if self.shy.is_trying() || self.rung <= 1 {
            return Some(1);
        }
        let is_lower = pressed && self.packing_feet + 1 >= self.threads;
        self.note_lower(is_lower);
        let rung = self.rung - usize::from(is_lower && self.rung > 1);
        Some(if rung == TOP && self.top_feet >= self.top_threads { rung - 1 } else { rung })
    }

    /// Takes note whether a foot was packed lower; goes down if nearly all are.
    fn note_lower(&mut self, is_lower: bool) {
        let seconds = COSTS[self.rung] * self.cost * self.foot_bytes / self.threads as f64;
        let weight = WEIGHT.max(seconds / 0.1).min(0.5);
        self.lower_share += (f64::from(u8::from(is_lower)) - self.lower_share) * weight;
        if self.lower_share > TOO_MANY && self.now >= self.changed_at + DWELL {
            let rate = self.capacity(self.rung);
            self.bar(self.rung, rate);
            self.step_to(self.rung - 1);
            self.reason = Reason::Packing;
        }
    }

    /// Time has come this far.
    fn advance(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.now);
        self.now = self.now.max(now);
        if self.sight.blocked {
            self.look.blocked += span;
        } else if self.is_starved() {
            self.look.starved += span;
        } else if self.waiting_feet > 0 && !self.sight.asks && !self.is_open() {
            self.look.held += span;
        }
        let span = self.now.saturating_duration_since(self.look.since);
        if span >= LOOK {
            let next = Look::new(self.now, self.sight.sent_feet);
            let look = std::mem::replace(&mut self.look, next);
            self.judge(&look, span);
        }
    }

    fn judge(&mut self, look: &Look, span: Duration) {
        // What is begun comes in gusts when the rung changes; what is sent does not.
        let sent_feet = self.sight.sent_feet.saturating_sub(look.sent_feet_before);
        let feet_a_second = sent_feet as f64 / span.as_secs_f64();
        if look.started_feet > 0 {
            self.mean_bytes = look.started_bytes / look.started_feet as f64;
        }
        self.rate = feet_a_second * self.mean_bytes;
        let wire_rate = feet_a_second * look.packed_bytes / look.packed_feet.max(1) as f64;
        let much = |time: Duration| time * 2 > span;
        self.reason = match () {
            () if look.shy_feet * 2 > look.started_feet => Reason::Incompressible,
            () if much(look.blocked) => Reason::Receiver,
            () if much(look.held) => Reason::Network,
            () if look.starved * 10 > span => Reason::Packing,
            () if self.waiting_feet > 0 => Reason::Balance,
            () => Reason::Source,
        };
        let reason = self.reason;
        match reason {
            Reason::Incompressible | Reason::Receiver => self.trial = None,
            _ if self.rung == 1 && wire_rate >= self.capacity(1) => {
                self.bar(1, self.rate.min(wire_rate));
                self.step_to(0);
                self.reason = Reason::Packing;
            }
            Reason::Network if !self.judge_trial(look) => self.rise(look),
            _ => {}
        }
    }

    /// Whether a higher rung is still, or no longer, on trial.
    fn judge_trial(&mut self, look: &Look) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        if look.started_feet < SOME_FEET {
            self.trial = None; // a stream so slow is not slow because of what we do
            return false;
        }
        trial.looks += 1;
        if trial.looks == 1 {
            return true; // what was begun before is still under way
        }
        trial.rate_sum += self.rate;
        if trial.looks < 3 {
            return true;
        }
        let rate = trial.rate_sum / f64::from(trial.looks - 1);
        let (from, before) = (trial.from, trial.rate_before);
        self.trial = None;
        if rate < WORSE * before {
            self.bar(self.rung, before);
            self.step_to(from);
            self.reason = Reason::NoGain;
        } else {
            self.pause = PAUSE;
        }
        true
    }

    /// Goes up as far as the packers could keep up.
    fn rise(&mut self, look: &Look) {
        let need = self.rate;
        let far = (self.rung + 1..=TOP).rev().find(|&rung| self.capacity(rung) >= 2.0 * need);
        // Off the ground only for a gain.
        let margin = if self.rung == 0 { 1.1 } else { 0.9 };
        let next = Some(self.rung + 1).filter(|&rung| rung <= TOP);
        let near = next.filter(|&rung| self.capacity(rung) >= margin * need);
        let Some(mut rung) = far.or(near) else { return };
        if let Some(barred) = &self.barred
            && self.now < barred.until
            && need >= MUCH_SLOWER * barred.rate
        {
            rung = rung.min(barred.rung - 1);
        }
        if rung > self.rung {
            let (from, rate_before) = (self.rung, self.rate);
            let is_telling = look.started_feet >= SOME_FEET;
            self.step_to(rung);
            self.trial = is_telling.then_some(Trial { from, rate_before, looks: 0, rate_sum: 0.0 });
        }
    }

    fn step_to(&mut self, rung: Rung) {
        self.rung = rung;
        self.changed_at = self.now;
        self.lower_share = 0.0;
        self.trial = None;
    }

    /// This rung is too high for a stream of this rate; the longer so the sooner after it was taken.
    fn bar(&mut self, rung: Rung, rate: f64) {
        let again = self.barred.as_ref().is_some_and(|barred| {
            barred.rung == rung && self.now < barred.until + PAUSE
        });
        self.pause = if again { (self.pause * 2).min(LONGEST_PAUSE) } else { PAUSE };
        self.barred = Some(Barred { rung, rate, until: self.now + self.pause });
    }

    /// What the packers can do on this rung, in bytes of the stream a second.
    fn capacity(&self, rung: Rung) -> f64 {
        let threads = if rung == TOP { self.top_threads } else { self.threads };
        threads as f64 / (COSTS[rung] * self.cost)
    }
}

impl Look {
    fn new(now: Instant, sent_feet: u64) -> Look {
        Look {
            since: now,
            sent_feet_before: sent_feet,
            held: Duration::ZERO,
            starved: Duration::ZERO,
            blocked: Duration::ZERO,
            started_feet: 0,
            started_bytes: 0.0,
            shy_feet: 0,
            packed_feet: 0,
            packed_bytes: 0.0,
        }
    }

    fn packed(&mut self, bytes: usize) {
        self.packed_feet += 1;
        self.packed_bytes += bytes as f64;
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
