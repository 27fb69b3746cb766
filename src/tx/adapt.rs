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
const FEET_OF_A_PACE: u32 = 4;
/// So many verdicts in a row make a step.
const AGREED: u32 = 2;
/// How fast the stream was on another step counts for this long; then that step is tried again.
const MEMORY: Duration = Duration::from_secs(2);
/// Harder packing was slower because of the packers, and what they pack has to change a lot if it was much slower: that
/// counts for as many times as long as it was slower, up to this. (A way that has become thin shows in the pace here.)
const LONGER: f64 = 4.0;
/// Bytes that may wait for a packer, at least.
const AHEAD_BYTES: u32 = 8 << 20;
/// Packed feet may wait for a connection for so long on each step, if they are more than a few. Raw ones: so that the
/// connections never run dry. Lightly packed ones: packers and connections are about as fast there, and each has
/// to be busy where feet that hardly shrink are followed by others. On a way that is worth more packing nothing is gained by
/// it, and lost when it changes.
const AHEAD_MS: [u32; LADDER.len()] = [10, 200, 0, 0, 0, 0];
const LONGEST_AHEAD: Duration = Duration::from_millis(200);

/// What a foot has to wait for before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A connection.
    Network,
    /// A packer.
    Packers,
    /// A packer, though packed feet wait for a connection as well: both have enough to do.
    Both,
}

/// What was read and has not gone out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// Feet that wait for a packer, or are with one.
    pub(super) packing_feet: u64,
    /// Packed feet that wait for a connection, and how large they are.
    pub(super) unsent_feet: u64,
    pub(super) unsent_bytes: u64,
    /// Bytes of all feet that were packed so far.
    pub(super) packed_bytes: u64,
}

impl Ahead {
    /// Bytes that connections have taken, or are about to.
    fn sent_bytes(&self) -> u64 {
        self.packed_bytes.saturating_sub(self.unsent_bytes)
    }
}

/// The controller; the reading thread owns it.
#[derive(Debug)]
pub(super) struct Adapt {
    rung: usize,
    most_packing: u64,
    /// So many packed feet may wait in any case, and so many at most.
    few_unsent: u64,
    most_unsent: u64,
    way: Way,
    /// As last told.
    ahead: Ahead,
    /// Feet do not shrink, since then.
    in_vain: Option<Instant>,
    span: Span,
    agreed: Agreed,
    /// When each step was last left, and how many feet a second there were on it.
    known: [Option<(Instant, f64)>; LADDER.len()],
    /// Until then, or for so many feet, what is packed is still of the step before.
    stale: (Instant, u64),
}

/// Verdicts in a row that say the same.
#[derive(Debug)]
struct Agreed {
    verdict: Option<Wait>,
    times: u32,
    since: Instant,
    feet: u32,
    /// What was ahead at the beginning.
    ahead: Ahead,
}

impl Agreed {
    fn new(verdict: Option<Wait>, since: Instant, ahead: Ahead) -> Agreed {
        Agreed { verdict, times: 0, since, feet: 0, ahead }
    }

    /// How many feet a second go through with this packing, where enough were read to tell: as many as were packed, if
    /// packers are waited for, else as many of what they make as the way takes. (What goes out now was packed before.)
    fn pace(&self, now: Instant, ahead: Ahead) -> Option<f64> {
        let packed =
            f64::from(self.feet) + self.ahead.packing_feet as f64 - ahead.packing_feet as f64;
        if self.feet < FEET_OF_A_PACE || packed < 1.0 {
            return None;
        }
        let time = (now - self.since).as_secs_f64();
        Some(match self.verdict? {
            Wait::Packers | Wait::Both => packed / time,
            Wait::Network => {
                let sent_bytes = ahead.sent_bytes().saturating_sub(self.ahead.sent_bytes());
                let bytes = ahead.packed_bytes.saturating_sub(self.ahead.packed_bytes);
                sent_bytes as f64 / time * packed / bytes.max(1) as f64
            }
        })
    }
}

/// What was waited for since the last verdict.
#[derive(Debug)]
struct Span {
    since: Instant,
    feet: u32,
    /// What was ahead at the beginning.
    ahead: Ahead,
    network: Duration,
    packers: Duration,
}

impl Span {
    fn new(since: Instant, ahead: Ahead) -> Span {
        Span { since, feet: 0, ahead, network: Duration::ZERO, packers: Duration::ZERO }
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

/// How much the connections take.
#[derive(Debug)]
struct Way {
    since: Instant,
    /// Bytes that were out then.
    sent_bytes: u64,
    /// Bytes a second; at first none.
    rate: f64,
}

impl Way {
    fn look(&mut self, now: Instant, ahead: Ahead) {
        let time = now - self.since;
        if time < SPAN {
            return;
        }
        let sent_bytes = ahead.sent_bytes();
        let sent = sent_bytes.saturating_sub(self.sent_bytes) as f64;
        *self = Way { since: now, sent_bytes, rate: sent / time.as_secs_f64() };
    }
}

impl Adapt {
    /// A controller for so many packing threads, connections, feet in memory, and bytes a foot.
    pub(super) fn new(
        threads: usize,
        workers: u16,
        window_feet: usize,
        foot_bytes: u32,
        now: Instant,
    ) -> Adapt {
        Adapt {
            rung: FIRST,
            most_packing: u64::from(AHEAD_BYTES / foot_bytes).max(2 * threads as u64),
            few_unsent: u64::from(workers) + 2,
            most_unsent: window_feet as u64 / 2,
            way: Way { since: now, sent_bytes: 0, rate: 0.0 },
            ahead: Ahead::default(),
            in_vain: None,
            span: Span::new(now, Ahead::default()),
            agreed: Agreed::new(None, now, Ahead::default()),
            known: [None; LADDER.len()],
            stale: (now, 0),
        }
    }

    /// What the next foot must wait for, now that so much is ahead of it.
    pub(super) fn must_wait(&mut self, now: Instant, ahead: Ahead) -> Option<Wait> {
        self.ahead = ahead;
        self.way.look(now, ahead);
        let most_bytes = self.way.rate * f64::from(AHEAD_MS[self.rung]) / 1e3;
        let enough = ahead.unsent_bytes as f64 >= most_bytes;
        if ahead.unsent_feet >= self.most_unsent || enough && ahead.unsent_feet >= self.few_unsent {
            return Some(Wait::Network);
        }
        let is_dry = ahead.unsent_feet < self.few_unsent;
        (ahead.packing_feet >= self.most_packing).then_some(if is_dry {
            Wait::Packers
        } else {
            Wait::Both
        })
    }

    /// Whether the last foot that was packed did not shrink. No harder packing helps such feet; what they tell of the
    /// way is nothing that those after them should start from.
    pub(super) fn hear(&mut self, now: Instant, in_vain: bool) {
        if in_vain {
            self.in_vain.get_or_insert(now);
        } else if self.in_vain.take().is_some_and(|since| now - since >= LONGEST_AHEAD) {
            // The connections are busy with what did not shrink; what does has not shown yet whether they are too slow.
            self.stale = (now + LONGEST_AHEAD, u64::MAX);
        }
    }

    /// The next foot has waited this long for that, until now; the step on the [`LADDER`] for what is packed from now on.
    /// (A sink that takes nothing is nobody's fault: not to be told here.)
    pub(super) fn waited(&mut self, now: Instant, wait: Wait, time: Duration) -> usize {
        match wait {
            Wait::Network => self.span.network += time,
            Wait::Packers => self.span.packers += time,
            Wait::Both => {}
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
            self.span = Span::new(now, self.ahead);
        } else if self.span.feet >= FEET || now - self.span.since >= SPAN {
            self.judge(now);
        }
        self.rung
    }

    fn judge(&mut self, now: Instant) {
        let span = std::mem::replace(&mut self.span, Span::new(now, self.ahead));
        let verdict = span.verdict(now);
        if verdict != self.agreed.verdict {
            self.agreed = Agreed::new(verdict, span.since, span.ahead);
        }
        self.agreed.times += 1;
        self.agreed.feet += span.feet;
        if self.agreed.times >= AGREED {
            self.step(now, verdict);
            self.agreed = Agreed::new(None, now, self.ahead);
        }
    }

    /// One step up or down, unless the stream was just seen to be slower there.
    fn step(&mut self, now: Instant, verdict: Option<Wait>) {
        let next = match verdict {
            Some(Wait::Network) => self.rung + 1,
            Some(Wait::Packers) => self.rung.wrapping_sub(1),
            Some(Wait::Both) | None => return,
        };
        // (From no packing to the first step it goes all the same: else nothing would be tried any more.)
        if self.in_vain.is_some() && next > FIRST {
            return;
        }
        let Some(known) = self.known.get(next) else { return };
        let pace = self.agreed.pace(now, self.ahead);
        let is_slower = |(at, known): (Instant, f64), pace: f64| {
            let times = if next > self.rung { (pace / known).clamp(1.0, LONGER) } else { 1.0 };
            known < pace && now - at < MEMORY.mul_f64(times)
        };
        if known.zip(pace).is_some_and(|(known, pace)| is_slower(known, pace)) {
            return;
        }
        self.known[self.rung] = pace.map(|pace| (now, pace));
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
    const FOOT: f64 = 1048576.;
    /// Feet in memory.
    const WINDOW: usize = 248;

    /// Raw bytes a second that two threads pack, and what becomes of a byte, on each step.
    #[derive(Clone, Copy)]
    struct Kind {
        speed: [f64; 6],
        size: [f64; 6],
    }

    /// Something like a dump, a tar of libraries, and what does not shrink.
    const SQL: Kind = Kind {
        speed: [1500. * MB, 800. * MB, 560. * MB, 430. * MB, 160. * MB, 90. * MB],
        size: [1.0, 0.36, 0.34, 0.32, 0.29, 0.27],
    };
    const TAR: Kind = Kind {
        speed: [1500. * MB, 700. * MB, 500. * MB, 380. * MB, 140. * MB, 80. * MB],
        size: [1.0, 0.46, 0.44, 0.42, 0.39, 0.38],
    };
    const RANDOM: Kind = Kind {
        speed: [1500. * MB, 1200. * MB, 1100. * MB, 1000. * MB, 300. * MB, 200. * MB],
        size: [1.0; 6],
    };

    /// A pipeline in virtual time: feet of 1 MiB, a link of some rate, a source as fast as raw feet are.
    struct Pipeline {
        /// None: the step is fixed.
        adapt: Option<Adapt>,
        trials: Trials,
        start: Instant,
        now: f64,
        rung: usize,
        /// Feet that wait for the packers, and when these have done what they have begun.
        waiting: VecDeque<Kind>,
        packed: f64,
        packed_bytes: f64,
        /// When each packed foot will have been sent, and how large it is.
        unsent: VecDeque<(f64, f64)>,
        /// When the last foot was or will be sent.
        last: f64,
        sent_feet: f64,
    }

    impl Pipeline {
        fn new(rung: Option<usize>) -> Pipeline {
            let start = Instant::now();
            let adapt = rung.is_none().then(|| Adapt::new(2, 4, WINDOW, 1 << 20, start));
            Pipeline {
                adapt,
                trials: Trials::new(start),
                start,
                now: 0.,
                rung: rung.unwrap_or(FIRST),
                waiting: VecDeque::new(),
                packed: 0.,
                packed_bytes: 0.,
                unsent: VecDeque::new(),
                last: 0.,
                sent_feet: 0.,
            }
        }

        /// Carries for so many seconds; returns the raw bytes a second that went out.
        fn carry(&mut self, kind: Kind, link: f64, seconds: f64) -> f64 {
            let (from, sent) = (self.now, self.sent_feet);
            while self.now < from + seconds {
                self.read(kind, link);
            }
            (self.sent_feet - sent) * FOOT / (self.now - from)
        }

        /// The way changes.
        fn change(&mut self, from: f64, to: f64) {
            for (sent, _) in &mut self.unsent {
                *sent = self.now + (*sent - self.now) * from / to;
            }
            self.last = self.now + (self.last - self.now).max(0.) * from / to;
        }

        /// Carries so many feet of each kind, one after the other, to their end; returns the seconds it took.
        fn phases(&mut self, kinds: &[Kind], feet: usize, link: f64) -> f64 {
            let from = self.now;
            for &kind in kinds {
                let mut left = feet;
                while left > 0 {
                    left -= usize::from(self.read(kind, link));
                }
            }
            while !(self.waiting.is_empty() && self.packed <= self.now && self.unsent.is_empty()) {
                self.pass(0.001, link);
            }
            self.now - from
        }

        /// Reads a foot, or waits a while; says which.
        fn read(&mut self, kind: Kind, link: f64) -> bool {
            let packing_feet = self.waiting.len() as u64 + u64::from(self.packed > self.now);
            let ahead = Ahead {
                packing_feet,
                unsent_feet: self.unsent.len() as u64,
                unsent_bytes: self.unsent.iter().map(|(_, bytes)| bytes).sum::<f64>() as u64,
                packed_bytes: self.packed_bytes as u64,
            };
            let at = self.at();
            if let Some(adapt) = &mut self.adapt {
                adapt.hear(at, self.trials.are_vain());
                if let Some(wait) = adapt.must_wait(at, ahead) {
                    self.pass(0.002, link);
                    let at = self.at();
                    let adapt = self.adapt.as_mut().expect("it was there");
                    self.rung = adapt.waited(at, wait, Duration::from_millis(2));
                    return false;
                }
            }
            if self.waiting.len() + self.unsent.len() >= WINDOW {
                self.pass(0.002, link);
                return false;
            }
            if let Some(adapt) = &mut self.adapt {
                self.rung = adapt.next(at);
            }
            self.pass(FOOT / kind.speed[0], link);
            if self.rung == 0 || self.adapt.is_some() && self.trials.skips(at) {
                self.send(self.now, FOOT, link); // nobody packs it
            } else {
                self.waiting.push_back(kind);
            }
            true
        }

        fn at(&self) -> Instant {
            self.start + Duration::from_secs_f64(self.now)
        }

        fn send(&mut self, from: f64, bytes: f64, link: f64) {
            self.last = self.last.max(from) + bytes / link;
            self.packed_bytes += bytes;
            self.unsent.push_back((self.last, bytes));
        }

        fn pass(&mut self, seconds: f64, link: f64) {
            self.now += seconds;
            while self.packed <= self.now
                && let Some(kind) = self.waiting.pop_front()
            {
                // Whether feet shrink again the cheapest level tells as well.
                let is_trial = self.adapt.is_some() && self.trials.are_vain();
                let rung = if is_trial { 1 } else { self.rung.max(1) };
                self.packed = self.packed.max(self.now - seconds) + FOOT / kind.speed[rung];
                let bytes = FOOT * kind.size[rung];
                self.trials.pays(FOOT as usize, bytes as usize);
                self.send(self.packed, bytes, link);
            }
            while self.unsent.front().is_some_and(|(sent, _)| *sent <= self.now) {
                self.unsent.pop_front();
                self.sent_feet += 1.;
            }
        }
    }

    /// What the best fixed level carries.
    fn best(kind: Kind, link: f64) -> f64 {
        let of = |rung: usize| (link / kind.size[rung]).min(kind.speed[rung]);
        (0..LADDER.len()).map(of).fold(0., f64::max)
    }

    #[test]
    fn at_every_rate_it_carries_nine_tenths_of_the_best_fixed_level() {
        for (kind, asked) in [(SQL, 0.9), (TAR, 0.9), (RANDOM, 0.95)] {
            for link in [1.25, 5., 20., 80., 300., 5000.] {
                let mut pipeline = Pipeline::new(None);
                pipeline.carry(kind, link * MB, 2.);
                let rate = pipeline.carry(kind, link * MB, 20.);
                let best = best(kind, link * MB);
                assert!(rate >= asked * best, "{link} MB/s: {rate:.0} of {best:.0}");
            }
        }
    }

    /// A fixed level packs the next phase while the connections are busy with this one; so does it.
    #[test]
    fn streams_of_several_kinds_take_hardly_longer_than_with_the_best_fixed_level() {
        for link in [5., 20., 80., 300., 5000.] {
            let time = |rung| Pipeline::new(rung).phases(&[RANDOM, SQL, TAR], 256, link * MB);
            let best = (0..LADDER.len()).map(|rung| time(Some(rung))).fold(f64::MAX, f64::min);
            let ours = time(None);
            assert!(best >= 0.9 * ours, "{link} MB/s: {ours:.2} s instead of {best:.2}");
        }
    }

    #[test]
    fn it_follows_a_link_that_changes_within_two_seconds() {
        for kind in [SQL, TAR] {
            let mut pipeline = Pipeline::new(None);
            let mut before = 1.25;
            for link in [1.25, 125., 1.25, 1000., 5.] {
                pipeline.change(before * MB, link * MB);
                before = link;
                pipeline.carry(kind, link * MB, 2.);
                let rate = pipeline.carry(kind, link * MB, 10.);
                let best = best(kind, link * MB);
                assert!(rate >= 0.9 * best, "{link} MB/s: {rate:.0} of {best:.0}");
            }
        }
    }

    #[test]
    fn a_pace_is_that_of_what_is_packed_now() {
        let since = Instant::now();
        let now = since + Duration::from_secs(2);
        let begin = Ahead { packing_feet: 2, packed_bytes: 1000, ..Ahead::default() };
        let pace = |verdict, packing_feet| {
            let agreed = Agreed { feet: 20, ..Agreed::new(Some(verdict), since, begin) };
            let unsent_bytes = 1800;
            let ahead = Ahead { packing_feet, unsent_bytes, packed_bytes: 4000, ..begin };
            agreed.pace(now, ahead)
        };
        // What only fills the queue of the packers is no pace, and neither is what was packed before.
        let packers = [2, 10, 0].map(|packing_feet| pace(Wait::Packers, packing_feet));
        assert_eq!(packers, [Some(10.0), Some(6.0), Some(11.0)]);
        assert_eq!(pace(Wait::Network, 2), Some(600.0 / 150.0), "1200 bytes in two seconds");
    }

    #[test]
    fn who_waits_for_nothing_stays_where_he_is() {
        let start = Instant::now();
        let mut adapt = Adapt::new(2, 4, WINDOW, 1 << 20, start);
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
        let mut adapt = Adapt::new(2, 4, WINDOW, 1 << 20, start);
        adapt.hear(start, true);
        let mut rung = FIRST;
        for foot in 0..1000 {
            rung = adapt.waited(start + SPAN * foot, Wait::Network, SPAN);
            adapt.next(start + SPAN * foot);
        }
        assert_eq!(rung, FIRST);
        adapt.hear(start + SPAN * 1000, false);
        for foot in 1000..1100 {
            rung = adapt.waited(start + SPAN * foot, Wait::Network, SPAN);
            adapt.next(start + SPAN * foot);
        }
        assert_eq!(rung, LADDER.len() - 1);
    }
}
