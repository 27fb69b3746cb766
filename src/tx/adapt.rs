//! How hard to compress, by what holds the stream up now (`--adapt`).
//!
//! A ladder of levels, climbed where the connections are what is waited for and packers have time, descended where it is the
//! packers. Little is packed ahead: what waits for a connection was packed for a way that may have changed since, and
//! on a thin one that would be all there is. (The queues and the ladder are those of `zstd --adapt`, which may stick at an end of its ladder, since
//! it watches how full its queues are; here it is the time that is spent waiting for either, so there is always a verdict.) Knows no threads and no clock.

use crate::codec::LADDER;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Where it begins: what is packed in vain on a fast way costs little, and what travels raw on a thin one much.
const FIRST: usize = 1;
/// A verdict is over so many feet, or this long.
const FEET: u32 = 8;
const SPAN: Duration = Duration::from_millis(100);
/// The pace of fewer feet says nothing.
const FEET_OF_A_RATE: u32 = 4;
/// So many verdicts in a row make a step.
const AGREED: u32 = 2;
/// How fast the stream was on another step counts for this long; then that step is tried again.
const MEMORY: Duration = Duration::from_secs(2);
/// Harder packing was slower because of the packers, and what they pack has to change a lot if it was much slower: that
/// counts for as many times as long as it was slower, up to this. (A way that has become thin shows in the pace here.)
const LONGER: f64 = 4.0;
/// Bytes that may wait for a packer, and packed ones that may wait for a connection, at least.
const AHEAD_BYTES: u32 = 8 << 20;

/// What a foot has to wait for before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A connection.
    Network,
    /// A packer.
    Packers,
}

/// The controller; the reading thread owns it.
#[derive(Debug)]
pub(super) struct Adapt {
    rung: usize,
    most_packing: u64,
    most_unsent: u64,
    /// Feet that were read and wait for a packer or a connection, as last told.
    queued: u64,
    /// Feet do not shrink now.
    in_vain: bool,
    span: Span,
    agreed: Agreed,
    /// When each step was last left, and how many feet a second there were on it.
    known: [Option<(Instant, f64)>; LADDER.len()],
    /// Until then, or for so many feet, the queues are still those of the step before.
    stale: (Instant, u64),
}

/// Verdicts in a row that say the same.
#[derive(Debug)]
struct Agreed {
    verdict: Option<Wait>,
    times: u32,
    since: Instant,
    feet: u32,
    /// Feet that were queued at the beginning.
    queued: u64,
}

impl Agreed {
    fn new(verdict: Option<Wait>, since: Instant, queued: u64) -> Agreed {
        Agreed { verdict, times: 0, since, feet: 0, queued }
    }

    /// How many feet a second went out, where enough were read to tell. (What only fills the queues is no
    /// pace: after a step that would be most of it.)
    fn rate(&self, now: Instant, queued: u64) -> Option<f64> {
        let feet = f64::from(self.feet) + self.queued as f64 - queued as f64;
        let time = (now - self.since).as_secs_f64();
        (self.feet >= FEET_OF_A_RATE).then(|| feet.max(0.0) / time)
    }
}

/// What was waited for since the last verdict.
#[derive(Debug)]
struct Span {
    since: Instant,
    feet: u32,
    /// Feet that were queued at the beginning.
    queued: u64,
    network: Duration,
    packers: Duration,
}

impl Span {
    fn new(since: Instant, queued: u64) -> Span {
        Span { since, feet: 0, queued, network: Duration::ZERO, packers: Duration::ZERO }
    }

    /// What a good part of the time was spent waiting for.
    fn verdict(&self, now: Instant) -> Option<Wait> {
        let part = (now - self.since) / 4;
        if self.network.max(self.packers) < part {
            return None;
        }
        Some(if self.network > self.packers { Wait::Network } else { Wait::Packers })
    }
}

impl Adapt {
    /// A controller for so many packing threads, connections, and bytes a foot.
    pub(super) fn new(threads: usize, workers: u16, foot_bytes: u32, now: Instant) -> Adapt {
        let ahead = u64::from(AHEAD_BYTES / foot_bytes);
        Adapt {
            rung: FIRST,
            most_packing: ahead.max(2 * threads as u64),
            most_unsent: ahead.max(u64::from(workers) + 2),
            queued: 0,
            in_vain: false,
            span: Span::new(now, 0),
            agreed: Agreed::new(None, now, 0),
            known: [None; LADDER.len()],
            stale: (now, 0),
        }
    }

    /// What the next foot must wait for, where so many are being packed, and so many packed ones wait.
    pub(super) fn must_wait(&mut self, packing_feet: u64, unsent_feet: u64) -> Option<Wait> {
        self.queued = packing_feet + unsent_feet;
        if unsent_feet >= self.most_unsent {
            return Some(Wait::Network);
        }
        (packing_feet >= self.most_packing).then_some(Wait::Packers)
    }

    /// Whether the last foot that was packed did not shrink. No harder packing helps such feet; what they tell of the
    /// way is nothing that those after them should start from.
    pub(super) fn hear(&mut self, in_vain: bool) {
        self.in_vain = in_vain;
    }

    /// The next foot has waited this long for that, until now; the step on the [`LADDER`] for what is packed from now on.
    /// (A sink that takes nothing is nobody's fault: not to be told here.)
    pub(super) fn waited(&mut self, now: Instant, wait: Wait, time: Duration) -> usize {
        match wait {
            Wait::Network => self.span.network += time,
            Wait::Packers => self.span.packers += time,
        }
        self.look(now)
    }

    /// A foot is read now; the same.
    pub(super) fn next(&mut self, now: Instant) -> usize {
        self.span.feet += 1;
        self.stale.1 = self.stale.1.saturating_sub(1);
        self.look(now)
    }

    fn look(&mut self, now: Instant) -> usize {
        if self.stale.1 > 0 && now < self.stale.0 {
            self.span = Span::new(now, self.queued);
        } else if self.span.feet >= FEET || now - self.span.since >= SPAN {
            self.judge(now);
        }
        self.rung
    }

    fn judge(&mut self, now: Instant) {
        let span = std::mem::replace(&mut self.span, Span::new(now, self.queued));
        let verdict = span.verdict(now);
        if verdict != self.agreed.verdict {
            self.agreed = Agreed::new(verdict, span.since, span.queued);
        }
        self.agreed.times += 1;
        self.agreed.feet += span.feet;
        if self.agreed.times >= AGREED {
            self.step(now, verdict);
            self.agreed = Agreed::new(None, now, self.queued);
        }
    }

    /// One step up or down, unless the stream was just seen to be slower there.
    fn step(&mut self, now: Instant, verdict: Option<Wait>) {
        let next = match verdict {
            Some(Wait::Network) => self.rung + 1,
            Some(Wait::Packers) => self.rung.wrapping_sub(1),
            None => return,
        };
        // (From no packing to the first step it goes all the same: else nothing would be tried any more.)
        if self.in_vain && next > FIRST {
            return;
        }
        let Some(known) = self.known.get(next) else { return };
        let rate = self.agreed.rate(now, self.queued);
        let is_slower = |(at, known): (Instant, f64), rate: f64| {
            let times = if next > self.rung { (rate / known).clamp(1.0, LONGER) } else { 1.0 };
            known < rate && now - at < MEMORY.mul_f64(times)
        };
        if known.zip(rate).is_some_and(|(known, rate)| is_slower(known, rate)) {
            return;
        }
        self.known[self.rung] = rate.map(|rate| (now, rate));
        self.stale = (now + SPAN, self.most_packing);
        self.rung = next;
    }
}

/// Feet that do not shrink, and how many of those after them travel raw without a trial. Shared by the packing threads.
#[derive(Debug)]
pub(super) struct Trials {
    vain: AtomicU32,
    skip: AtomicU32,
    began: Instant,
    /// When a foot was last tried, in milliseconds after the beginning.
    tried_ms: AtomicU64,
}

impl Trials {
    /// Two to the power of this: most feet that are not tried.
    const DOUBLINGS: u32 = 5;
    /// However few they were, one is tried after this time.
    const LONGEST: Duration = Duration::from_millis(500);

    /// Everything is tried.
    pub(super) fn new(began: Instant) -> Trials {
        let (vain, skip, tried_ms) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU64::new(0));
        Trials { vain, skip, began, tried_ms }
    }

    /// Whether the next foot is to travel raw; each call is one foot.
    pub(super) fn skips(&self, now: Instant) -> bool {
        let ms = now.saturating_duration_since(self.began).as_millis() as u64;
        let is_due =
            ms.saturating_sub(self.tried_ms.load(Relaxed)) >= Self::LONGEST.as_millis() as u64;
        // Between a look and the change another thread may have set it anew: one foot more or less.
        if !is_due && self.skip.fetch_update(Relaxed, Relaxed, |skip| skip.checked_sub(1)).is_ok() {
            return true;
        }
        self.tried_ms.store(ms, Relaxed);
        false
    }

    /// Whether the last foot that was tried did not shrink.
    pub(super) fn are_vain(&self) -> bool {
        self.vain.load(Relaxed) > 0
    }

    /// A foot of so many bytes was packed into so many; says whether that is worth it.
    pub(super) fn pays(&self, raw_bytes: usize, packed_bytes: usize) -> bool {
        let pays = packed_bytes < raw_bytes - raw_bytes / 33;
        if pays {
            self.vain.store(0, Relaxed);
            self.skip.store(0, Relaxed);
        } else {
            let vain = self.vain.fetch_add(1, Relaxed);
            self.skip.store(1 << vain.min(Self::DOUBLINGS), Relaxed);
        }
        pays
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const MB: f64 = 1e6;
    /// Raw bytes a second that two threads pack, and what becomes of a byte, on each step, for something like a dump.
    const SPEED: [f64; 6] = [1500. * MB, 800. * MB, 560. * MB, 430. * MB, 160. * MB, 90. * MB];
    const SIZE: [f64; 6] = [1.0, 0.36, 0.34, 0.32, 0.29, 0.27];
    const FOOT: f64 = 1048576.;

    /// A pipeline in virtual time: feet of 1 MiB, a link of this rate, a source as fast as raw feet are.
    struct Way {
        adapt: Adapt,
        start: Instant,
        now: f64,
        rung: usize,
        /// Feet that wait for the packers, and when these have done what they have begun.
        waiting: u64,
        packed: f64,
        /// When each packed foot will have been sent.
        sent: VecDeque<f64>,
    }

    impl Way {
        fn new() -> Way {
            let start = Instant::now();
            let adapt = Adapt::new(2, 4, 1 << 20, start);
            Way { adapt, start, now: 0., rung: 0, waiting: 0, packed: 0., sent: VecDeque::new() }
        }

        /// Carries for so many seconds; returns the raw bytes a second that were read.
        fn carry(&mut self, link: f64, seconds: f64) -> f64 {
            let (from, mut feet) = (self.now, 0.);
            while self.now < from + seconds {
                let packing = self.waiting + u64::from(self.packed > self.now);
                if let Some(wait) = self.adapt.must_wait(packing, self.sent.len() as u64) {
                    self.pass(0.002, link);
                    self.rung = self.adapt.waited(self.at(), wait, Duration::from_millis(2));
                    continue;
                }
                self.rung = self.adapt.next(self.at());
                self.pass(FOOT / SPEED[0], link);
                self.waiting += 1;
                feet += 1.;
            }
            feet * FOOT / (self.now - from)
        }

        fn at(&self) -> Instant {
            self.start + Duration::from_secs_f64(self.now)
        }

        fn pass(&mut self, seconds: f64, link: f64) {
            self.now += seconds;
            while self.waiting > 0 && self.packed <= self.now {
                self.waiting -= 1;
                let raw = self.rung == 0; // nobody packs it
                self.packed = self.packed.max(self.now - seconds)
                    + if raw { 0. } else { FOOT / SPEED[self.rung] };
                let last = self.sent.back().map_or(self.packed, |last| last.max(self.packed));
                self.sent.push_back(last + FOOT * SIZE[self.rung] / link);
            }
            while self.sent.front().is_some_and(|sent| *sent <= self.now) {
                self.sent.pop_front();
            }
        }
    }

    /// What the best fixed level carries.
    fn best(link: f64) -> f64 {
        let of = |rung: usize| (link / SIZE[rung]).min(SPEED[rung]);
        (0..LADDER.len()).map(of).fold(0., f64::max)
    }

    #[test]
    fn at_every_rate_it_carries_nine_tenths_of_the_best_fixed_level() {
        for link in [1.25, 5., 20., 80., 300., 5000.] {
            let mut way = Way::new();
            way.carry(link * MB, 3.);
            let rate = way.carry(link * MB, 30.);
            let best = best(link * MB);
            assert!(rate >= 0.9 * best, "{link} MB/s: {rate:.0} of {best:.0}");
        }
    }

    #[test]
    fn it_follows_a_link_that_changes_within_two_seconds() {
        let mut way = Way::new();
        for link in [1.25, 125., 1.25, 1000., 5.] {
            way.carry(link * MB, 2.);
            let rate = way.carry(link * MB, 10.);
            let best = best(link * MB);
            assert!(rate >= 0.9 * best, "{link} MB/s: {rate:.0} of {best:.0}");
        }
    }

    #[test]
    fn what_fills_the_queues_is_no_pace() {
        let since = Instant::now();
        let agreed = Agreed { feet: 20, ..Agreed::new(None, since, 2) };
        let rate = |queued| agreed.rate(since + Duration::from_secs(2), queued);
        assert_eq!([rate(2), rate(10), rate(0)], [Some(10.0), Some(6.0), Some(11.0)]);
    }

    #[test]
    fn who_waits_for_nothing_stays_where_he_is() {
        let start = Instant::now();
        let mut adapt = Adapt::new(2, 4, 1 << 20, start);
        for foot in 0..1000 {
            assert_eq!(adapt.next(start + Duration::from_millis(20 * foot)), FIRST);
        }
    }

    #[test]
    fn what_does_not_shrink_is_tried_less_and_less_and_never_given_up() {
        let now = Instant::now();
        let trials = Trials::new(now);
        let mut skipped = Vec::new();
        for _ in 0..8 {
            assert!(!trials.pays(1000, 980));
            skipped.push((0..).take_while(|_| trials.skips(now)).count());
        }
        assert_eq!(skipped, [1, 2, 4, 8, 16, 32, 32, 32]);
        // A slow stream has few feet.
        assert!(!trials.pays(1000, 980));
        assert!(trials.skips(now + Duration::from_millis(400)));
        assert!(!trials.skips(now + Duration::from_millis(500)));
        assert!(trials.skips(now + Duration::from_millis(900)));
        assert!(trials.are_vain());
        assert!(trials.pays(1000, 900));
        assert!(!trials.are_vain());
        assert!(!trials.skips(now));
    }

    #[test]
    fn what_does_not_shrink_is_not_packed_harder() {
        let start = Instant::now();
        let mut adapt = Adapt::new(2, 4, 1 << 20, start);
        adapt.hear(true);
        let mut rung = FIRST;
        for foot in 0..1000 {
            rung = adapt.waited(start + SPAN * foot, Wait::Network, SPAN);
            adapt.next(start + SPAN * foot);
        }
        assert_eq!(rung, FIRST);
        adapt.hear(false);
        for foot in 1000..1100 {
            rung = adapt.waited(start + SPAN * foot, Wait::Network, SPAN);
            adapt.next(start + SPAN * foot);
        }
        assert_eq!(rung, LADDER.len() - 1);
    }
}
