//! The controller in a pipeline of virtual time, and its parts alone.

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
/// The dump again, on a machine whose packers are as fast as a link of 125 MB/s on the lightest step.
const BALANCED: Kind = Kind {
    speed: [1500. * MB, 450. * MB, 400. * MB, 340. * MB, 180. * MB, 105. * MB],
    size: [1.0, 0.264, 0.25, 0.239, 0.228, 0.217],
};
const RANDOM: Kind = Kind {
    speed: [1500. * MB, 1200. * MB, 1100. * MB, 1000. * MB, 300. * MB, 200. * MB],
    size: [1.0; 6],
};

/// All three on a machine where raw feet cost next to nothing, and the lightest step a lot more.
const QUICK_SQL: Kind =
    Kind { speed: [2300. * MB, 480. * MB, 430. * MB, 360. * MB, 180. * MB, 105. * MB], ..BALANCED };
const QUICK_TAR: Kind =
    Kind { speed: [2300. * MB, 430. * MB, 390. * MB, 320. * MB, 160. * MB, 95. * MB], ..TAR };
const QUICK_RANDOM: Kind = Kind {
    speed: [2300. * MB, 1200. * MB, 1100. * MB, 1000. * MB, 300. * MB, 200. * MB],
    ..RANDOM
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
            adapt.hear(self.trials.are_vain());
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
        for (kinds, feet) in [
            ([RANDOM, SQL, TAR], 256),
            ([RANDOM, SQL, TAR], 400),
            ([QUICK_RANDOM, QUICK_SQL, QUICK_TAR], 256),
            ([QUICK_SQL, QUICK_RANDOM, QUICK_TAR], 256),
        ] {
            let time = |rung| Pipeline::new(rung).phases(&kinds, feet, link * MB);
            let best = (0..LADDER.len()).map(|rung| time(Some(rung))).fold(f64::MAX, f64::min);
            let ours = time(None);
            let told = format!("{feet} feet, {link} MB/s: {ours:.2} s instead of {best:.2}");
            assert!(best >= 0.9 * ours, "{told}");
        }
    }
}

#[test]
fn a_few_feet_that_do_not_shrink_leave_the_others_to_be_packed_hard() {
    for link in [1.25, 5., 20., 80.] {
        let kinds: Vec<Kind> = (0..600).map(|n| if n % 5 == 0 { RANDOM } else { SQL }).collect();
        let time = |rung| Pipeline::new(rung).phases(&kinds, 1, link * MB);
        let best = (0..LADDER.len()).map(|rung| time(Some(rung))).fold(f64::MAX, f64::min);
        let ours = time(None);
        assert!(best >= 0.9 * ours, "{link} MB/s: {ours:.1} s instead of {best:.1}");
    }
}

#[test]
fn it_follows_a_link_that_changes_within_two_seconds() {
    for kind in [SQL, TAR, BALANCED] {
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
    assert_eq!(skipped, [0, 1, 2, 4, 8, 16, 32, 32]);
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
    adapt.hear(true);
    adapt.ahead.packed_bytes = RUN_BYTES;
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
